/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "applets/orchestrate/run/sockets.h"
#include "base/fd.h"
#include "base/inherited.h"
#include "base/log.h"

static char *kvm_problem(void)
{
	autofd fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int version;

	if (fd < 0)
		return g_strdup(log_errname(errno));
	version = ioctl(fd, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION)
		return g_strdup_printf("it answers API version %d, not %d",
				       version, KVM_API_VERSION);
	return NULL;
}

/*
 * mpqemu-remote stands beside this program; where it does not (an executable called by its own
 * name), the same executable is called as "mpqemu remote".
 */
static char **find_remote(void)
{
	g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
	g_autofree char *dir = self ? g_path_get_dirname(self) : NULL;
	g_autofree char *beside = dir ? g_build_filename(dir, "mpqemu-remote", NULL) : NULL;
	GPtrArray *argv = g_ptr_array_new();

	if (!self || access(beside, X_OK) == 0) {
		g_ptr_array_add(argv, g_strdup(beside ? beside : "mpqemu-remote"));
	} else {
		g_ptr_array_add(argv, g_steal_pointer(&self));
		g_ptr_array_add(argv, g_strdup("remote"));
	}
	g_ptr_array_add(argv, NULL);
	return (char **)g_ptr_array_free(argv, false);
}

static char **one_word(const char *word)
{
	char **argv = g_new0(char *, 2);

	argv[0] = g_strdup(word);
	return argv;
}

void probe_init(struct probe *probe, const char *remote_program)
{
	*probe = (struct probe){ 0 };
	probe->busy_fds = fd_inherited();
	probe->kvm_error = kvm_problem();
	probe->remote_prefix = remote_program ? one_word(remote_program) : find_remote();
	probe->socket_dir = sockets_dir();
	probe->facts.socket_dir = probe->socket_dir;
	probe->facts.kvm_error = probe->kvm_error;
	probe->facts.remote_prefix = (const char *const *)probe->remote_prefix;
	probe->facts.busy_fds = (const int *)probe->busy_fds->data;
	probe->facts.busy_count = probe->busy_fds->len;
}

void probe_finish(struct probe *probe)
{
	g_free(probe->kvm_error);
	g_strfreev(probe->remote_prefix);
	g_free(probe->socket_dir);
	if (probe->busy_fds)
		g_array_unref(probe->busy_fds);
}

/*
 * Runs @qemu with the given arguments and takes its output.  *ret_ok: it ended with status 0.
 */
static bool ask(struct probe *probe, const char *qemu, const char *const *args, char **ret_out,
		bool *ret_ok, GError **error)
{
	g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
	g_auto(GStrv) argv = NULL;
	g_autoptr(GError) local = NULL;
	int status;

	g_strv_builder_add(builder, qemu);
	for (; *args; args++)
		g_strv_builder_add(builder, *args);
	argv = g_strv_builder_end(builder);
	if (!g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL,
			  NULL, NULL, ret_out, NULL, &status, &local)) {
		probe->exec_errno = g_error_matches(local, G_SPAWN_ERROR, G_SPAWN_ERROR_NOENT) ?
				    ENOENT : EACCES;
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: cannot run it: %s", qemu,
				log_errname(probe->exec_errno));
	}
	*ret_ok = g_spawn_check_wait_status(status, NULL);
	return true;
}

char *probe_help(struct probe *probe, const char *qemu, const char *option, const char *type,
		 GError **error)
{
	g_autofree char *word = g_strconcat("-", option, NULL);
	g_autofree char *question = g_strconcat(type, ",help", NULL);
	const char *const args[] = { word, question, NULL };
	char *out = NULL;
	bool ok;

	return ask(probe, qemu, args, &out, &ok, error) ? out : NULL;
}

/* Has QEMU the device?  Of one that it has not it says so, and ends with status 0 or not. */
static bool ask_device(struct probe *probe, const char *qemu, const char *device, bool *ret,
		       GError **error)
{
	g_autofree char *expect = g_strconcat(device, " options", NULL);
	g_autofree char *out = probe_help(probe, qemu, "device", device, error);

	if (out)
		*ret = strstr(out, expect);
	return out;
}

bool probe_qemu(struct probe *probe, const char *qemu, GError **error)
{
	static const char *const version[] = { "-version", NULL };
	g_autofree char *version_out = NULL;
	bool ok;

	probe->qemu = qemu;
	if (!ask(probe, qemu, version, &version_out, &ok, error))
		return false;
	if (!ok || sscanf(version_out, "QEMU emulator version %u.%u", &probe->facts.qemu_major,
			  &probe->facts.qemu_minor) != 2)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "%s: it does not answer -version as QEMU "
				"does; QEMU itself has to stand here, not a program that starts it",
				qemu);
	return ask_device(probe, qemu, "x-pci-proxy-dev", &probe->facts.has_proxy, error) &&
	       ask_device(probe, qemu, "vfio-user-pci", &probe->facts.has_vfio_user, error);
}
