/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/module.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int module_find(const char *const *places, size_t count, char *path, size_t size)
{
	char exe[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	exe[len < 0 ? 0 : len] = 0;
	if (strrchr(exe, '/'))
		strrchr(exe, '/')[1] = 0;
	for (size_t i = 0; i < count; i++) {
		const char *folder = places[i][0] == '/' ? "" : exe;

		if ((size_t)snprintf(path, size, "%s%s", folder, places[i]) < size &&
		    access(path, R_OK) == 0)
			return 0;
	}
	return -ENOENT;
}
