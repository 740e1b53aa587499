/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a storage daemon has: its images, and what a program needs to run.  Image formats are full
 * of names and offsets that a guest can have written; a daemon that is led astray by them, or taken
 * over, finds nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "applets/remote/storage-priv.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "sandbox/landlock.h"
#include "sandbox/preload.h"

/* Something that the daemon can see, and what may be done with it. */
struct place {
	const char *path;
	uint64_t access;	/* of landlock.h */
	bool outside_only;	/* left out of a root of its own */
};

#define MAX_FDS 4096

#define WRITE_IMAGE (LANDLOCK_READ_FILE | LANDLOCK_WRITE_FILE | LANDLOCK_USE_DEVICE)
#define READ_IMAGE (LANDLOCK_READ_FILE | LANDLOCK_USE_DEVICE)

/* Libraries, and what glibc, glib, gnutls and QEMU look at when they start. */
static const struct place program_places[] = {
	{ "/usr/lib", LANDLOCK_RUN_TREE }, { "/usr/lib64", LANDLOCK_RUN_TREE },
	{ "/usr/local/lib", LANDLOCK_RUN_TREE }, { "/usr/local/lib64", LANDLOCK_RUN_TREE },
	{ "/lib", LANDLOCK_RUN_TREE }, { "/lib64", LANDLOCK_RUN_TREE },
	{ "/etc/ld.so.cache", LANDLOCK_READ_FILE }, { "/etc/gnutls", LANDLOCK_READ_TREE },
	{ "/etc/crypto-policies", LANDLOCK_READ_TREE },
	{ "/usr/share/crypto-policies", LANDLOCK_READ_TREE },
	{ "/etc/ssl/openssl.cnf", LANDLOCK_READ_FILE }, { "/etc/localtime", LANDLOCK_READ_FILE },
	{ "/dev/null", LANDLOCK_READ_FILE | LANDLOCK_WRITE_FILE },
	{ "/dev/urandom", LANDLOCK_READ_FILE },
	/* They are read if they are there, and not missed. */
	{ "/etc/ld.so.preload", LANDLOCK_READ_FILE, true },
	{ "/proc", LANDLOCK_READ_TREE, true }, { "/sys", LANDLOCK_READ_TREE, true },
};

/* Names of hosts, certificates and the like, where a protocol goes over the network. */
static const struct place network_places[] = {
	{ "/etc/resolv.conf", LANDLOCK_READ_FILE }, { "/etc/hosts", LANDLOCK_READ_FILE },
	{ "/etc/host.conf", LANDLOCK_READ_FILE }, { "/etc/nsswitch.conf", LANDLOCK_READ_FILE },
	{ "/etc/gai.conf", LANDLOCK_READ_FILE }, { "/etc/services", LANDLOCK_READ_FILE },
	{ "/etc/protocols", LANDLOCK_READ_FILE }, { "/etc/passwd", LANDLOCK_READ_FILE },
	{ "/etc/ssl/certs", LANDLOCK_READ_TREE }, { "/etc/pki/tls", LANDLOCK_READ_TREE },
	{ "/etc/pki/ca-trust", LANDLOCK_READ_TREE }, { "/etc/ca-certificates", LANDLOCK_READ_TREE },
	{ "/usr/share/ca-certificates", LANDLOCK_READ_TREE }, { "/etc/ceph", LANDLOCK_READ_TREE },
	{ "/run/systemd/resolve", LANDLOCK_READ_TREE }, { "/run/nscd", LANDLOCK_READ_TREE },
};

/* What is left of the environment, where a sandbox is: nothing that may be secret. */
static const char *const env_names[] = {
	"LD_LIBRARY_PATH", "GLIBC_TUNABLES", "QEMU_MODULE_DIR", "TZ", NULL,
};
static const char *const env_network_names[] = {
	"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy",
	"NO_PROXY", "CEPH_CONF", "CEPH_ARGS", "SSL_CERT_FILE", "SSL_CERT_DIR", NULL,
};

/* ---- One place: a rule and a bind ---- */

static bool add(struct storage_jail *jail, const char *path, uint64_t access, bool outside_only,
		GError **error)
{
	struct sandbox_bind bind = { .path = g_strdup(path) };
	int ret = 0;

	if (access & LANDLOCK_WRITE_FILE)
		bind.flags |= SANDBOX_BIND_WRITE;
	if ((access & LANDLOCK_RUN_TREE) == LANDLOCK_RUN_TREE)
		bind.flags |= SANDBOX_BIND_RUN;
	if (outside_only)
		g_free(bind.path);
	else
		g_array_append_val(jail->binds, bind);
	if (jail->ruleset >= 0)
		ret = sandbox_landlock_allow(jail->ruleset, path, access);
	/* A way to it that leads through a file leads nowhere. */
	if (ret && ret != -ENOTDIR)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "cannot allow the storage daemon to use "
				"'%s': %s", path, log_errname(ret));
	return true;
}

static bool add_places(struct storage_jail *jail, const struct place *places, size_t count,
		       GError **error)
{
	for (size_t i = 0; i < count; i++)
		if (!add(jail, places[i].path, places[i].access, places[i].outside_only, error))
			return false;
	return true;
}

/* The program, and libraries beside it: ../lib of its folder. */
static bool add_program(struct storage_jail *jail, const char *program, GError **error)
{
	static const char *const beside[] = { "lib", "lib64" };
	g_autofree char *bin = g_path_get_dirname(program), *prefix = g_path_get_dirname(bin);

	for (size_t i = 0; i < G_N_ELEMENTS(beside) && strcmp(prefix, "/usr"); i++) {
		g_autofree char *path = g_build_filename(prefix, beside[i], NULL);

		if (!add(jail, path, LANDLOCK_RUN_TREE, false, error))
			return false;
	}
	return add(jail, program, LANDLOCK_RUN_TREE, false, error) &&
	       (!jail->module || add(jail, jail->module, LANDLOCK_RUN_TREE, false, error));
}

/* A secret's file, a list of who may, a TLS directory. */
static bool add_objects(struct storage_jail *jail, const GPtrArray *objects, GError **error)
{
	static const struct {
		const char *key;
		uint64_t access;
	} keys[] = {
		{ "file", LANDLOCK_READ_FILE }, { "filename", LANDLOCK_READ_FILE },
		{ "dir", LANDLOCK_READ_TREE },
	};

	for (guint i = 0; objects && i < objects->len; i++)
		for (size_t k = 0; k < G_N_ELEMENTS(keys); k++) {
			const char *path = opt_get(objects->pdata[i], keys[k].key);

			if (path && !add(jail, path, keys[k].access, false, error))
				return false;
		}
	return true;
}

/* A file that is read here and written there is one that is written: those come last. */
static bool add_files(struct storage_jail *jail, const GPtrArray *files, bool writable,
		      GError **error)
{
	for (guint i = 0; i < files->len; i++) {
		const struct storage_file *file = files->pdata[i];

		if (file->writable == writable &&
		    !add(jail, file->path, writable ? WRITE_IMAGE : READ_IMAGE, false, error))
			return false;
	}
	return true;
}

/* Where jobs may write: what is there, and what comes while the daemon runs. */
static bool add_folders(struct storage_jail *jail, const GPtrArray *folders, GError **error)
{
	for (guint i = 0; folders && i < folders->len; i++)
		if (!add(jail, folders->pdata[i], WRITE_IMAGE, false, error))
			return false;
	return true;
}

/* ---- The jail ---- */

static void keep_env(struct storage_jail *jail, const char *const *names)
{
	for (size_t i = 0; names[i]; i++)
		if (g_getenv(names[i]))
			jail->env = g_environ_setenv(jail->env, names[i], g_getenv(names[i]), true);
}

static void make_env(struct storage_jail *jail, bool network)
{
	if (jail->level == SANDBOX_OFF) {
		jail->env = g_get_environ();
		return;
	}
	jail->env = g_new0(char *, 1);
	keep_env(jail, env_names);
	if (network)
		keep_env(jail, env_network_names);
	jail->env = g_environ_setenv(jail->env, "LD_PRELOAD", jail->module, true);
}

static bool find_module(struct storage_jail *jail, GError **error)
{
	char path[PATH_MAX];

	if (sandbox_preload_find(path, sizeof(path)))
		return mpq_fail(error, MPQ_ERROR_REFUSED, "--sandbox=%s: the module with the "
				"system-call filter of storage daemons, mpqemu-preload.so, is "
				"missing; install it, or use --sandbox=off",
				sandbox_level_name(jail->level));
	jail->module = g_canonicalize_filename(path, NULL);
	return true;
}

static bool make_ruleset(struct storage_jail *jail, bool network, GError **error)
{
	jail->ruleset = sandbox_landlock_create(network, true);
	if (jail->ruleset >= 0)
		return true;
	/* In a root of its own there is nothing that it would have to keep away. */
	if (sandbox_landlock_abi())
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "Landlock: %s",
				log_errname(jail->ruleset));
	jail->ruleset = -1;
	if (jail->level == SANDBOX_SECCOMP_ONLY)
		log_warning("no Landlock in this kernel: the storage daemon can open what this "
			    "user can");
	return true;
}

static bool add_all(struct storage_jail *jail, const struct storage_graph *graph,
		    const GPtrArray *objects, const GPtrArray *folders, const char *program,
		    GError **error)
{
	bool network = graph->features & (FILTER_INET | FILTER_VSOCK);

	return add_places(jail, program_places, G_N_ELEMENTS(program_places), error) &&
	       (!network ||
		add_places(jail, network_places, G_N_ELEMENTS(network_places), error)) &&
	       add_program(jail, program, error) && add_objects(jail, objects, error) &&
	       add_files(jail, graph->files, false, error) && add_folders(jail, folders, error) &&
	       add_files(jail, graph->files, true, error);
}

static void clear_bind(void *bind)
{
	g_free(((struct sandbox_bind *)bind)->path);
}

bool storage_jail_make(enum sandbox_level level, const struct storage_graph *graph,
		       const GPtrArray *objects, const GPtrArray *folders, const char *program,
		       struct storage_jail *ret, GError **error)
{
	bool network = graph->features & (FILTER_INET | FILTER_VSOCK);
	struct storage_jail jail = {
		.level = level, .ruleset = -1, .features = graph->features,
		.share = SANDBOX_SHARE_USERS | (network ? SANDBOX_SHARE_NET : 0),
		.keep = sandbox_has_cap(CAP_DAC_OVERRIDE) ? 1ULL << CAP_DAC_OVERRIDE : 0,
		.binds = g_array_new(FALSE, TRUE, sizeof(struct sandbox_bind)),
		.cwd = g_get_current_dir(),
	};
	bool ok = true;

	g_array_set_clear_func(jail.binds, clear_bind);
	if (level != SANDBOX_OFF)
		ok = find_module(&jail, error) && make_ruleset(&jail, network, error) &&
		     add_all(&jail, graph, objects, folders, program, error);
	if (ok) {
		make_env(&jail, network);
		*ret = jail;
	} else {
		storage_jail_finish(&jail);
	}
	return ok;
}

int storage_jail_filter(const struct storage_jail *jail, pid_t pid,
			const int filter_fd[SANDBOX_PRELOAD_COUNT])
{
	struct filter_env env = {
		.set[FILTER_SELF] = { .mask = UINT64_MAX, .base = pid },
		.features = jail->features,
	};
	int ret = filter_write(&filter_storage_fatal, &env, FILTER_ROWS_KILL, filter_fd[0]);

	if (ret)
		return ret;
	return filter_write(&filter_storage, &env, FILTER_ROWS_ALLOWED, filter_fd[1]);
}

/*
 * No core file, which would have the guest's data; fds for a long chain of images, but as
 * many as there may be where a protocol has a socket for each server of a cluster.  No limit for
 * processes: it counts those of the user, in and out of the jail, and threads are some; none for
 * memory: how large the caches become is in the image and its options (l2-cache-size).
 */
static int lower_limits(const struct storage_jail *jail)
{
	struct rlimit none = { 0, 0 }, fds;

	if (setrlimit(RLIMIT_CORE, &none) < 0 || getrlimit(RLIMIT_NOFILE, &fds) < 0)
		return -errno;
	if (!(jail->features & FILTER_OFFLINE))
		return 0;
	fds.rlim_max = MIN(fds.rlim_max, MAX_FDS);
	fds.rlim_cur = MIN(fds.rlim_cur, fds.rlim_max);
	return setrlimit(RLIMIT_NOFILE, &fds) < 0 ? -errno : 0;
}

int storage_jail_enter(const struct storage_jail *jail, char *why)
{
	const struct sandbox_bind *binds = (const struct sandbox_bind *)(void *)jail->binds->data;
	bool own_root;
	int ret;

	if (jail->level == SANDBOX_OFF)
		return 0;
	ret = lower_limits(jail);
	if (ret) {
		g_strlcpy(why, "limits", SANDBOX_WHY);
		return ret;
	}
	ret = sandbox_enter_binds(jail->level, binds, jail->binds->len, jail->cwd, &own_root, why);
	if (!ret)
		ret = sandbox_drop_program(jail->keep, why);
	if (ret)
		return ret;
	if (jail->ruleset >= 0)
		ret = sandbox_landlock_enter(jail->ruleset);
	else if (jail->level == SANDBOX_CONTAINER && !own_root)
		ret = -EPERM;
	if (ret)
		g_strlcpy(why, "neither a root of its own nor Landlock can be had", SANDBOX_WHY);
	return ret;
}

void storage_jail_finish(struct storage_jail *jail)
{
	fd_close(&jail->ruleset);
	g_array_unref(jail->binds);
	g_free(jail->cwd);
	g_free(jail->module);
	g_strfreev(jail->env);
}
