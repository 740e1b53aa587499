/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sandbox/preload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/module.h"

#define STATUS_MAX 8192	/* bytes */

/* The module of the build tree goes before the installed one. */
static const char *const places[] = {
	PRELOAD_MODULE, "src/sandbox/" PRELOAD_MODULE, PRELOAD_MODULE_DIR "/" PRELOAD_MODULE,
};

int sandbox_preload_find(char *path, size_t size)
{
	const char *given = getenv(SANDBOX_PRELOAD_ENV);

	if (given)
		return (size_t)snprintf(path, size, "%s", given) < size &&
		       access(path, R_OK) == 0 ? 0 : -ENOENT;
	return module_find(places, sizeof(places) / sizeof(places[0]), path, size);
}

/* The number in the line "@key:" of a status file, or -1. */
static long number(const char *status, const char *key)
{
	const char *line = strstr(status, key);

	return line ? strtol(line + strlen(key), NULL, 10) : -1;
}

/* proc_pid_status(5): 2 is a filter.  How many there are is said since Linux 5.10. */
bool sandbox_status_filtered(const char *own, const char *its)
{
	long had = number(own, "\nSeccomp_filters:"), has = number(its, "\nSeccomp_filters:");

	if (number(its, "\nSeccomp:") != 2)
		return false;
	if (had >= 0 && has >= 0)
		return has >= had + SANDBOX_PRELOAD_COUNT;
	return number(own, "\nSeccomp:") == 0;
}

/* The caller frees; NULL if it cannot be read. */
static char *read_status(const char *pid)
{
	char path[64], *text = calloc(1, STATUS_MAX + 1);
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%s/status", pid);
	autofd fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 || !text ? -1 : read(fd, text, STATUS_MAX);
	if (n > 0)
		return text;
	free(text);
	return NULL;
}

bool sandbox_is_filtered(pid_t pid)
{
	char name[32], *own = read_status("self"), *its;
	bool ret;

	snprintf(name, sizeof(name), "%d", pid);
	its = read_status(name);
	ret = own && its && sandbox_status_filtered(own, its);
	free(own);
	free(its);
	return ret;
}
