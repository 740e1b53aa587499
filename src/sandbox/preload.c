/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sandbox/preload.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

/* Places of the module, the program's directory in front of those that are not absolute. */
static const char *const places[] = {
	PRELOAD_MODULE, "src/sandbox/" PRELOAD_MODULE, PRELOAD_MODULE_DIR "/" PRELOAD_MODULE,
};

int sandbox_preload_find(char *path, size_t size)
{
	const char *given = getenv(SANDBOX_PRELOAD_ENV);
	char exe[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	exe[len < 0 ? 0 : len] = 0;
	if (strrchr(exe, '/'))
		strrchr(exe, '/')[1] = 0;
	if (given)
		return (size_t)snprintf(path, size, "%s", given) < size &&
		       access(path, R_OK) == 0 ? 0 : -ENOENT;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if ((size_t)snprintf(path, size, "%s%s", places[i][0] == '/' ? "" : exe,
				     places[i]) < size && access(path, R_OK) == 0)
			return 0;
	return -ENOENT;
}

bool sandbox_is_filtered(pid_t pid)
{
	char path[64], text[8192];
	const char *line;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	autofd fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return false;
	text[n] = '\0';
	line = strstr(text, "\nSeccomp:");
	/* proc_pid_status(5): 2 is a filter */
	return line && strtol(line + strlen("\nSeccomp:"), NULL, 10) == 2;
}
