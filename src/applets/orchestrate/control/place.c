/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/control/place.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/orchestrate/run/sockets.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/unixaddr.h"

#define SUFFIX ".sock"
#define BACKLOG 16

static bool is_name_char(char c)
{
	return g_ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
}

bool place_is_name(const char *name)
{
	size_t len = strlen(name);

	for (const char *c = name; *c; c++)
		if (!is_name_char(*c))
			return false;
	return len && len <= PLACE_NAME_MAX && name[0] != '.';
}

char *place_make_name(const char *text)
{
	char *name = g_strndup(text, PLACE_NAME_MAX);

	for (char *c = name; *c; c++)
		if (!is_name_char(*c) || (c == name && *c == '.'))
			*c = '_';
	if (*name)
		return name;
	g_free(name);
	return g_strdup("vm");
}

static bool can_enter(const char *dir)
{
	return dir && dir[0] == '/' && access(dir, W_OK | X_OK) == 0;
}

static char *choose_dir(void)
{
	g_autofree char *run = g_strdup_printf("/run/user/%u", (unsigned)geteuid());
	const char *env = g_getenv(PLACE_ENV), *xdg = g_getenv("XDG_RUNTIME_DIR");

	if (env && *env)
		return g_strdup(env);
	if (geteuid() == 0 && can_enter("/run"))
		return g_strdup("/run/mpqemu");
	if (can_enter(xdg))
		return g_build_filename(xdg, "mpqemu", NULL);
	if (can_enter(run))
		return g_build_filename(run, "mpqemu", NULL);
	return g_strdup_printf("/tmp/mpqemu-%u", (unsigned)geteuid());
}

/* In /tmp anybody could have made it before us. */
static bool check_dir(const char *dir, GError **error)
{
	struct stat st;

	if (lstat(dir, &st) < 0)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s", dir, log_errname(errno));
	if (!S_ISDIR(st.st_mode))
		return mpq_fail(error, MPQ_ERROR_REFUSED, "%s: it is no directory", dir);
	if (st.st_uid != geteuid())
		return mpq_fail(error, MPQ_ERROR_REFUSED, "%s: it belongs to another user (%u)",
				dir, (unsigned)st.st_uid);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return mpq_fail(error, MPQ_ERROR_REFUSED, "%s: others may write there", dir);
	return true;
}

char *place_dir(bool make, GError **error)
{
	g_autofree char *dir = choose_dir();

	if (make && mkdir(dir, 0700) < 0 && errno != EEXIST) {
		mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: cannot make the directory of the control "
			 "sockets: %s", dir, log_errname(errno));
		return NULL;
	}
	if (make && !check_dir(dir, error))
		return NULL;
	return g_steal_pointer(&dir);
}

char *place_socket(const char *vm, bool make, GError **error)
{
	g_autofree char *dir = NULL;
	g_autofree char *file = NULL;

	if (strchr(vm, '/'))
		return g_strdup(vm);
	if (!place_is_name(vm)) {
		mpq_fail(error, MPQ_ERROR_USAGE, "'%s': a VM's name has letters, digits, '-', '_' "
			 "and '.', at most %d of them", vm, PLACE_NAME_MAX);
		return NULL;
	}
	dir = place_dir(make, error);
	file = g_strconcat(vm, SUFFIX, NULL);
	return dir ? g_build_filename(dir, file, NULL) : NULL;
}

/* Two that start at once must not both find a socket that was left behind. */
static int lock_dir(const char *path)
{
	g_autofree char *dir = g_path_get_dirname(path);
	autofd fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || flock(fd, LOCK_EX) < 0)
		return -errno;
	return fd_steal(&fd);
}

/* Is the place free, or left behind?  Then nothing is there any more. */
static bool clear_place(const char *path, const struct unix_addr *addr, const char *what,
			GError **error)
{
	struct stat st;
	int ret;

	if (lstat(path, &st) < 0)
		return errno == ENOENT || mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s", path,
						   log_errname(errno));
	if (!S_ISSOCK(st.st_mode))
		return mpq_fail(error, MPQ_ERROR_REFUSED, "%s: something that is no socket is "
				"there", path);
	if (st.st_uid != geteuid())
		return mpq_fail(error, MPQ_ERROR_REFUSED, "%s: this %s belongs to another user "
				"(%u)", path, what, (unsigned)st.st_uid);
	ret = unix_addr_ask(addr);
	if (ret == -EPROTOTYPE)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "%s: the %s is in use: a VM that has it "
				"runs already", path, what);
	if (ret != -ECONNREFUSED)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s", path, log_errname(ret));
	return unlink(path) == 0 || mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s", path,
					     log_errname(errno));
}

static bool parse_path(const char *path, struct unix_addr *ret_addr, GError **error)
{
	return unix_addr_parse(path, ret_addr) == 0 ||
	       mpq_fail(error, MPQ_ERROR_USAGE, "%s: the path of a socket has at most %zu bytes",
			path, sizeof(ret_addr->sun.sun_path) - 1);
}

/* What stands at the path now is what was made. */
static void note_place(struct place *place, const char *path)
{
	struct stat st = { 0 };

	lstat(path, &st);
	*place = (struct place){ .path = g_strdup(path), .dev = st.st_dev, .ino = st.st_ino };
}

int place_listen(struct place *place, const char *path, const char *what, GError **error)
{
	struct unix_addr addr;
	autofd lock = -1;
	int fd;

	if (!*path || path[0] == '@') {
		mpq_fail(error, MPQ_ERROR_USAGE, "'%s': the %s has a path", path, what);
		return -1;
	}
	if (!parse_path(path, &addr, error))
		return -1;
	lock = lock_dir(path);
	if (lock < 0) {
		mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: its directory: %s", path, log_errname(lock));
		return -1;
	}
	if (!clear_place(path, &addr, what, error))
		return -1;
	fd = sockets_listen(path, BACKLOG);
	if (fd >= 0) {
		note_place(place, path);
		return fd;
	}
	mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: cannot make the %s: %s", path, what,
		 log_errname(fd));
	return -1;
}

void place_sweep(const char *dir)
{
	g_autofree char *any = g_build_filename(dir, "x", NULL);
	g_autoptr(GDir) entries = g_dir_open(dir, 0, NULL);
	autofd lock = entries ? lock_dir(any) : -1;
	const char *entry;

	while (lock >= 0 && (entry = g_dir_read_name(entries))) {
		g_autofree char *path = g_build_filename(dir, entry, NULL);
		struct unix_addr addr;

		/* What has somebody, or is no socket of ours, stays. */
		if (g_str_has_suffix(entry, SUFFIX) && !unix_addr_parse(path, &addr))
			clear_place(path, &addr, "", NULL);
	}
}

void place_remove(struct place *place)
{
	struct stat st;

	if (place->path && lstat(place->path, &st) == 0 && st.st_dev == place->dev &&
	    st.st_ino == place->ino)
		unlink(place->path);
	g_free(place->path);
	*place = (struct place){ 0 };
}

int place_connect(const char *path, GError **error)
{
	struct unix_addr addr;
	int fd = parse_path(path, &addr, error) ? sockets_connect(path) : -ENAMETOOLONG;

	if (fd >= 0)
		return fd;
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		mpq_fail(error, MPQ_ERROR_REFUSED, "%s: no VM of this name runs", path);
	else if (fd != -ENAMETOOLONG)
		mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s", path, log_errname(fd));
	return -1;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char **place_names(const char *dir)
{
	g_autoptr(GDir) entries = g_dir_open(dir, 0, NULL);
	GPtrArray *names = g_ptr_array_new();
	const char *entry;

	while (entries && (entry = g_dir_read_name(entries))) {
		g_autofree char *name = g_strdup(entry);

		if (!g_str_has_suffix(name, SUFFIX))
			continue;
		name[strlen(name) - strlen(SUFFIX)] = '\0';
		if (place_is_name(name))
			g_ptr_array_add(names, g_steal_pointer(&name));
	}
	g_ptr_array_sort(names, by_name);
	g_ptr_array_add(names, NULL);
	return (char **)g_ptr_array_free(names, false);
}
