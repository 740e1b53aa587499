/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sandbox/root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "sandbox/mounts-priv.h"

/* Where the new root is put together: nothing that goes into it is below. */
#define BUILD_DIR "/proc"
#define OPEN_TRIES 100000	/* a host that does nothing but mount */
#define TMPFS_OPTIONS "nr_inodes=65536,size=64k,mode=0755"

static int fail(char *why, const char *path, int err)
{
	snprintf(why, SANDBOX_WHY, "root of its own: '%s': %s", path, log_errname(err));
	return err;
}

/* ---- Paths inside the new root ---- */

/*
 * Opens (O_PATH) what @path is in the root @root: neither ".." nor a link leads out of it.  Each
 * mount or rename on the host makes the kernel unsure of a ".." (EAGAIN, openat2(2)).
 */
static int open_in(int root, const char *path)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	int tries = OPEN_TRIES, fd;

	do
		fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
	while (fd < 0 && errno == EAGAIN && --tries);
	return fd < 0 ? -errno : fd;
}

static int make_dir(int root, const char *parent, const char *name)
{
	autofd dir = open_in(root, parent);
	int ret;

	if (dir < 0)
		return dir;
	ret = mkdirat(dir, name, 0755) < 0 ? -errno : 0;
	/* What is there already may stand in a tree that is read-only. */
	if (ret == -EROFS && faccessat(dir, name, F_OK, 0) == 0)
		ret = -EEXIST;
	return ret == -EEXIST ? 0 : ret;
}

/* The folders on the way to the last name of @path, and that one too if @all. */
static int make_dirs(int root, const char *path, bool all)
{
	char parent[PATH_MAX], name[NAME_MAX + 1];
	const char *at = path;
	int ret = 0;

	while (!ret) {
		size_t len;

		at += strspn(at, "/");
		len = strcspn(at, "/");
		if (!len || (!all && !strchr(at, '/')))
			return 0;
		if (len > NAME_MAX || (size_t)(at - path) >= sizeof(parent) - 1)
			return -ENAMETOOLONG;
		snprintf(parent, sizeof(parent), "/%.*s", (int)(at - path), path);
		snprintf(name, sizeof(name), "%.*s", (int)len, at);
		if (strcmp(name, ".") && strcmp(name, ".."))
			ret = make_dir(root, parent, name);
		at += len;
	}
	return ret;
}

static int make_file(int root, const char *path)
{
	const char *slash = strrchr(path, '/');
	char parent[PATH_MAX];
	autofd dir = -1;

	snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path) + 1, path);
	dir = open_in(root, parent);
	if (dir < 0)
		return dir;
	if (mknodat(dir, slash + 1, S_IFREG | 0600, 0) == 0 || errno == EEXIST)
		return 0;
	return errno == EROFS && faccessat(dir, slash + 1, F_OK, 0) == 0 ? 0 : -EROFS;
}

/* ---- Binds ---- */

/* A copy of the mount at @path, which is nowhere yet, with no more rights than @flags. */
static int copy_mount(const char *path, unsigned flags, struct stat *ret_st)
{
	autofd tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NOSUID };

	if (tree < 0 || fstat(tree, ret_st) < 0)
		return -errno;
	if (!(flags & SANDBOX_BIND_WRITE))
		attr.attr_set |= MOUNT_ATTR_RDONLY;
	if (!(flags & SANDBOX_BIND_RUN))
		attr.attr_set |= MOUNT_ATTR_NOEXEC;
	if (!S_ISBLK(ret_st->st_mode) && !S_ISCHR(ret_st->st_mode))
		attr.attr_set |= MOUNT_ATTR_NODEV;
	if (mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
		return -errno;
	return fd_steal(&tree);
}

/* The path as the new root has it: absolute. */
static int full_path(const char *cwd, const char *path, char full[PATH_MAX])
{
	int n = snprintf(full, PATH_MAX, "%s/%s", path[0] == '/' ? "" : cwd, path);

	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int bind_one(int root, const char *cwd, const struct sandbox_bind *bind)
{
	char full[PATH_MAX];
	struct stat st;
	autofd tree = copy_mount(bind->path, bind->flags, &st);
	autofd target = -1;
	int ret;

	if (tree < 0)
		return tree == -ENOENT || tree == -ENOTDIR ? 0 : tree;
	ret = full_path(cwd, bind->path, full);
	if (!ret)
		ret = make_dirs(root, full, S_ISDIR(st.st_mode));
	if (!ret && !S_ISDIR(st.st_mode))
		ret = make_file(root, full);
	if (ret)
		return ret;
	target = open_in(root, full);
	if (target < 0)
		return target;
	if (move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

/*
 * Is the same file at the path, inside and outside?  Two paths that differ outside, by a link and
 * "..", may be one inside.
 */
static int check_one(int root, const char *cwd, const struct sandbox_bind *bind)
{
	struct stat outside, inside;
	char full[PATH_MAX];
	autofd fd = -1;

	if (stat(bind->path, &outside) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	full_path(cwd, bind->path, full);
	fd = open_in(root, full);
	if (fd < 0 || fstat(fd, &inside) < 0)
		return fd < 0 ? fd : -errno;
	if (inside.st_dev != outside.st_dev || inside.st_ino != outside.st_ino)
		return -EEXIST;
	return 0;
}

static int bind_all(int root, const struct sandbox_bind *bind, size_t count, const char *cwd,
		    char *why)
{
	int ret = make_dirs(root, cwd, true);

	if (ret)
		return fail(why, cwd, ret);
	for (size_t i = 0; i < count; i++) {
		ret = bind_one(root, cwd, &bind[i]);
		if (ret)
			return fail(why, bind[i].path, ret);
	}
	for (size_t i = 0; i < count; i++) {
		ret = check_one(root, cwd, &bind[i]);
		if (ret == -EEXIST)
			snprintf(why, SANDBOX_WHY, "root of its own: '%s' and another file would "
				 "have one path there; name them without symbolic links",
				 bind[i].path);
		else if (ret)
			fail(why, bind[i].path, ret);
		if (ret)
			return ret;
	}
	return 0;
}

/* ---- The root ---- */

int sandbox_enter_binds(enum sandbox_level level, const struct sandbox_bind *bind, size_t count,
			const char *cwd, bool *ret_own_root, char *why)
{
	autofd root = -1;
	int ret;

	*ret_own_root = false;
	if (!sandbox_may_mount(level))
		return 0;
	ret = sandbox_private_mounts();
	if (!ret && mount("mpqemu", BUILD_DIR, "tmpfs", MS_NODEV | MS_NOEXEC | MS_NOSUID,
			  TMPFS_OPTIONS) < 0)
		ret = -errno;
	if (sandbox_mount_refused(level, ret))
		return 0;
	if (ret)
		return sandbox_mount_obstacle(ret, "root of its own", why);
	root = open(BUILD_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return fail(why, BUILD_DIR, -errno);
	ret = bind_all(root, bind, count, cwd, why);
	if (ret)
		return ret;
	ret = fchdir(root) < 0 ? -errno : sandbox_pivot();
	if (!ret && chdir(cwd) < 0)
		ret = -errno;
	if (ret)
		return fail(why, "/", ret);
	*ret_own_root = true;
	return 0;
}
