/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/applet.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "base/log.h"

/* Makes DIR/PREFIXNAME a link to @target.  What stands there stays, and is an error. */
static int link_applet(const char *dir, const char *prefix, const char *name, const char *target,
		       bool symbolic)
{
	char path[PATH_MAX];
	int ret;

	if (snprintf(path, sizeof(path), "%s/%s%s", dir, prefix, name) >= (int)sizeof(path)) {
		log_error("%s: %s", dir, log_errname(ENAMETOOLONG));
		return -ENAMETOOLONG;
	}
	ret = symbolic ? symlink(target, path) : link(target, path);
	if (ret == 0)
		return 0;
	ret = -errno;
	log_error("%s: %s", path, log_errname(ret));
	return ret;
}

/*
 * Where this program is.  A container's root that is being made has no /proc: there it is the path
 * that was executed.  Returns 0 or -errno of /proc.
 */
static int find_self(char *path, size_t size)
{
	const char *executed = (const char *)getauxval(AT_EXECFN);
	ssize_t n = readlink("/proc/self/exe", path, size - 1);
	int ret = n < 0 ? -errno : 0;

	if (ret == -ENOENT && executed && executed[0] == '/' && strlen(executed) < size) {
		strcpy(path, executed);
		return 0;
	}
	if (!ret)
		path[n] = '\0';
	return ret;
}

int install_main(int argc, char **argv, const char *prefix, const char *const *names)
{
	bool symbolic = argc == 3 && !strcmp(argv[1], "-s");
	char self[PATH_MAX];
	int failed = 0, ret;

	if (argc != 2 + symbolic || (argv[1 + symbolic][0] == '-')) {
		fprintf(stderr, "usage: mpqemu --install [-s] DIRECTORY\n");
		return 1;
	}
	ret = find_self(self, sizeof(self));
	if (ret) {
		log_error("/proc/self/exe: %s", log_errname(ret));
		return 1;
	}
	for (; *names; names++)
		failed |= link_applet(argv[1 + symbolic], prefix, *names, self, symbolic);
	return failed ? 1 : 0;
}
