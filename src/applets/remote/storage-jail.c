/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a storage daemon may open: its images, and what a program needs to run.  Image formats are
 * full of names and offsets that a guest can have written; a daemon that is led astray by them
 * finds nothing.  With Landlock (Linux 5.13 on); on a kernel without it the daemon runs as the
 * user may.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "applets/remote/storage-priv.h"
#include "base/fd.h"

#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)	/* ABI 3; older headers lack it */
#endif

#define FS_ABI1 ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)	/* all rights of ABI 1 */
#define FS_REFER (1ULL << 13)					/* ABI 2 */
#define READ_FILE LANDLOCK_ACCESS_FS_READ_FILE
#define READ_TREE (READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define RUN_TREE (READ_TREE | LANDLOCK_ACCESS_FS_EXECUTE)
#define WRITE_IMAGE (READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE)

/* A place and what may be done below it. */
struct place {
	const char *path;
	uint64_t access;
};

/* Programs, libraries, and what glibc, glib, gnutls and QEMU look at when they start. */
static const struct place program_places[] = {
	{ "/usr", RUN_TREE }, { "/lib", RUN_TREE }, { "/lib64", RUN_TREE }, { "/bin", RUN_TREE },
	{ "/etc/ld.so.cache", READ_FILE }, { "/etc/ld.so.preload", READ_FILE },
	{ "/etc/gnutls", READ_TREE }, { "/etc/ssl/openssl.cnf", READ_FILE },
	{ "/etc/localtime", READ_FILE }, { "/proc", READ_TREE }, { "/sys", READ_TREE },
	{ "/dev/null", READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE },
	{ "/dev/urandom", READ_FILE },
};

/* Names of hosts and the like, where a protocol goes over the network. */
static const struct place network_places[] = {
	{ "/etc", READ_TREE }, { "/run", READ_TREE },
};

/* Which rights the kernel knows; 0: it has no Landlock. */
static uint64_t known_rights(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	if (abi < 1)
		return 0;
	return FS_ABI1 | (abi >= 2 ? FS_REFER : 0) | (abi >= 3 ? LANDLOCK_ACCESS_FS_TRUNCATE : 0);
}

/* A place that is not there needs no rule; rights of a directory make no sense on a file. */
static void allow(int ruleset, uint64_t known, const char *path, uint64_t access)
{
	autofd fd = open(path, O_PATH | O_CLOEXEC);
	struct landlock_path_beneath_attr rule = { .allowed_access = access & known,
						   .parent_fd = fd };
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	if (!S_ISDIR(st.st_mode))
		rule.allowed_access &= ~LANDLOCK_ACCESS_FS_READ_DIR;
	syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

static void allow_places(int ruleset, uint64_t known, const struct place *places, size_t count)
{
	for (size_t i = 0; i < count; i++)
		allow(ruleset, known, places[i].path, places[i].access);
}

/* A secret's file, a TLS directory. */
static void allow_objects(int ruleset, uint64_t known, const GPtrArray *objects)
{
	for (guint i = 0; objects && i < objects->len; i++) {
		const char *file = opt_get(objects->pdata[i], "file");
		const char *dir = opt_get(objects->pdata[i], "dir");

		if (file)
			allow(ruleset, known, file, READ_FILE);
		if (dir)
			allow(ruleset, known, dir, READ_TREE);
	}
}

void storage_jail_make(const struct storage_graph *graph, const GPtrArray *objects,
		       const char *program, struct storage_jail *ret)
{
	uint64_t known = known_rights();
	struct landlock_ruleset_attr attr = { .handled_access_fs = known };

	ret->ruleset = -1;
	if (known)
		ret->ruleset = syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ret->ruleset < 0)
		return;
	fd_set_cloexec(ret->ruleset, true);
	allow(ret->ruleset, known, program, RUN_TREE);
	allow_places(ret->ruleset, known, program_places, G_N_ELEMENTS(program_places));
	if (graph->network)
		allow_places(ret->ruleset, known, network_places, G_N_ELEMENTS(network_places));
	allow_objects(ret->ruleset, known, objects);
	for (guint i = 0; i < graph->files->len; i++) {
		const struct storage_file *file = graph->files->pdata[i];

		allow(ret->ruleset, known, file->path, file->writable ? WRITE_IMAGE : READ_FILE);
	}
}

int storage_jail_enter(const struct storage_jail *jail)
{
	if (jail->ruleset < 0)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, jail->ruleset, 0) < 0)
		return -errno;
	return 0;
}

void storage_jail_finish(struct storage_jail *jail)
{
	fd_close(&jail->ruleset);
}
