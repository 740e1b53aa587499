/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * In QEMU's place, for programs that start QEMU by themselves (libvirt's <emulator>, Kata's path=):
 * called by a name of QEMU's, with QEMU's command line.  What moves is moved, and QEMU takes this
 * process over.  QEMU gets everything else as it came.
 */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/applet.h"
#include "applets/orchestrate/orchestrate.h"
#include "applets/orchestrate/service.h"
#include "base/log.h"
#include "plan/rewrite/cmd.h"

#define PREFIX "mpqemu-"
#define CONF "/etc/mpqemu/emulator.conf"
/* The pid that has searched already: QEMU's program led back to us if it is ours. */
#define MARK "MPQEMU_EMULATOR_PID"
#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

/* ---- The file ---- */

static const struct {
	const char *key;
	size_t at;		/* of a char * in struct orchestrate; 0: QEMU's path */
} keys[] = {
	{ "qemu", 0 },
	{ "protocol", offsetof(struct orchestrate, protocol_word) },
	{ "sandbox", offsetof(struct orchestrate, sandbox) },
	{ "on-error", offsetof(struct orchestrate, on_error) },
	{ "on-crash", offsetof(struct orchestrate, on_crash) },
	{ "watchdog", offsetof(struct orchestrate, watchdog) },
	{ "on-remote-exit", offsetof(struct orchestrate, on_remote_exit) },
	{ "remote-program", offsetof(struct orchestrate, remote_program) },
};

/* " A, B and C" */
static char *list_keys(void)
{
	GString *text = g_string_new(NULL);

	for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++)
		g_string_append_printf(text, "%s %s", !i ? "" : i + 1 < G_N_ELEMENTS(keys) ? "," :
				       " and", keys[i].key);
	return g_string_free(text, false);
}

static bool read_key(struct orchestrate *self, const struct vmfile *file,
		     const struct vmfile_entry *entry, char **qemu, GError **error)
{
	g_autofree char *known = NULL;

	for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
		char **to = keys[i].at ? (char **)((char *)self + keys[i].at) : qemu;

		if (strcmp(keys[i].key, entry->key))
			continue;
		g_free(*to);
		*to = g_strdup(entry->value);
		return true;
	}
	known = list_keys();
	return vmfile_fail(file, entry->line, error, "%s: no such key; there are%s", entry->key,
			   known);
}

/* An environment variable; NULL: it is not set, or empty. */
static const char *env_get(const char *name)
{
	const char *value = g_getenv(name);

	return value && *value ? value : NULL;
}

/* [emulator] is for every name, [emulator NAME] for one; they stand in that order. */
static bool read_conf(struct orchestrate *self, const char *name, char **qemu, GError **error)
{
	const char *given = env_get("MPQEMU_EMULATOR_CONF"), *path = given ?: CONF;
	auto_vmfile file = NULL;

	if (!given && access(path, F_OK) < 0)
		return true;
	file = vmfile_read(path, error);
	for (unsigned i = 0; file && i < file->groups->len; i++) {
		const struct vmfile_group *group = file->groups->pdata[i];

		if (strcmp(group->kind, "emulator"))
			return vmfile_fail(file, group->line, error, "[%s]: only [emulator] and "
					   "[emulator NAME] stand here", group->kind);
		if (group->name && strcmp(group->name, name))
			continue;
		for_each_entry(entry, group)
			if (!read_key(self, file, entry, qemu, error))
				return false;
	}
	return file;
}

/* ---- QEMU ---- */

static bool is_self(const char *path)
{
	struct stat own, other;

	return stat("/proc/self/exe", &own) == 0 && stat(path, &other) == 0 &&
	       own.st_dev == other.st_dev && own.st_ino == other.st_ino;
}

/* The first program of that name in PATH that is not this one. */
static char *search(const char *name)
{
	g_auto(GStrv) dirs = g_strsplit(g_getenv("PATH") ?: DEFAULT_PATH, ":", -1);

	for (char **dir = dirs; *dir; dir++) {
		g_autofree char *path = g_build_filename(**dir ? *dir : ".", name, NULL);

		if (access(path, X_OK) == 0 && !g_file_test(path, G_FILE_TEST_IS_DIR) &&
		    !is_self(path))
			return g_steal_pointer(&path);
	}
	return NULL;
}

/* The real QEMU for @name, or NULL with @error. */
static char *find_qemu(const char *name, const char *wanted, GError **error)
{
	const char *given = env_get("MPQEMU_QEMU") ?: wanted;
	g_autofree char *pid = g_strdup_printf("%d", getpid());
	char *found;

	if (!g_strcmp0(g_getenv(MARK), pid)) {
		mpq_fail(error, MPQ_ERROR_REFUSED, "the QEMU that was found for '%s' leads back "
			 "here; qemu= in " CONF " says which one it is", name);
		return NULL;
	}
	if (given && is_self(given)) {
		mpq_fail(error, MPQ_ERROR_REFUSED, "%s: this is mpqemu itself, not QEMU", given);
		return NULL;
	}
	found = given ? g_strdup(given) : search(name);
	if (!found)
		mpq_fail(error, MPQ_ERROR_REFUSED, "no %s in PATH but this one; qemu= in " CONF
			 " says where QEMU is", name);
	g_setenv(MARK, pid, true);
	return found;
}

/* Never returns but with @error. */
static bool become_qemu(struct orchestrate *self, GError **error)
{
	sigaction(SIGPIPE, &self->run.sigpipe, NULL);
	execv(self->qemu[0], self->qemu);
	return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: cannot run it: %s", self->qemu[0],
			log_errname(errno));
}

/* Is QEMU only asked something?  libvirt asks a machine "none" over QMP. */
static bool is_probe(char *const *argv, bool *ret, GError **error)
{
	auto_qcmd cmd = qcmd_parse(argv, error);

	if (!cmd)
		return false;
	*ret = cmd->wants_help || !g_strcmp0(qcmd_get(cmd, "machine", "type", NULL), "none");
	return true;
}

static bool emulate(struct orchestrate *self, const char *name, char **argv, GError **error)
{
	g_autofree char *wanted = NULL, *qemu = NULL;
	GError *local = NULL;
	bool probe;

	if (!read_conf(self, name, &wanted, error))
		return false;
	qemu = find_qemu(name, wanted, error);
	if (!qemu)
		return false;
	self->qemu = g_strdupv(argv);
	g_free(self->qemu[0]);
	self->qemu[0] = g_steal_pointer(&qemu);
	if (!is_probe(self->qemu, &probe, error))
		return false;
	if (probe)
		return become_qemu(self, error);
	if (!orchestrate_check(self, error) || !service_open_log(self, error))
		return false;
	if (orchestrate_run(self, &local))
		return true;
	if (g_error_matches(local, MPQ_ERROR, MPQ_ERROR_NOTHING)) {
		g_clear_error(&local);
		return become_qemu(self, error);
	}
	g_propagate_error(error, local);
	return false;
}

int emulator_main(int argc, char **argv)
{
	g_autofree char *called = g_path_get_basename(argv[0]);
	const char *name = g_str_has_prefix(called, PREFIX) ? called + strlen(PREFIX) : called;
	struct orchestrate self;
	g_autoptr(GError) error = NULL;

	if (!orchestrate_init(&self, called))
		return 1;
	self.run.in_place = true;
	self.run.title = argv;
	if (!emulate(&self, name, argv, &error)) {
		log_error("%s", error->message);
		self.status = 1;
	}
	service_end(&self);
	orchestrate_finish(&self);
	/* QEMU has one status for all that keeps it from starting. */
	return self.status ? 1 : 0;
}
