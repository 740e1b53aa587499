/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/inherited.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

static int compare_fds(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

GArray *fd_inherited(void)
{
	GArray *fds = g_array_new(false, false, sizeof(int));
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		int fd = atoi(entry->d_name);
		int flags = fcntl(fd, F_GETFD);

		if (g_ascii_isdigit(entry->d_name[0]) && fd > STDERR_FILENO && flags >= 0 &&
		    !(flags & FD_CLOEXEC))
			g_array_append_val(fds, fd);
	}
	if (dir)
		closedir(dir);
	g_array_sort(fds, compare_fds);
	return fds;
}
