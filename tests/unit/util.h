/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_UNIT_UTIL_H
#define TESTS_UNIT_UTIL_H

/* What several unit suites need: counting fds, checking calls that must succeed. */

#include <dirent.h>
#include <errno.h>
#include <unistd.h>

#include <glib.h>

/* The system call must succeed; its value. */
#define must(call)                                                             \
	({                                                                     \
		long must_ret = (call);                                        \
		if (must_ret < 0)                                              \
			g_error("%s:%d: %s: errno %d", __FILE__, __LINE__,     \
				#call, errno);                                 \
		must_ret;                                                      \
	})

/* How many fds this process has open. */
static inline unsigned open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	g_assert_nonnull(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

#endif
