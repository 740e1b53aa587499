/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/proxy/record/tracing.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "base/log.h"
#include "mem/memfd.h"

/* What some hundred MB/s fill within the reader's longest pause; only what is used is there. */
#define RING_SIZE (32u << 20)

#define FD_FIRST 64		/* above the numbers that command lines name */

/* The index behind the word that says mpqemu-remote, or 0. */
static unsigned find_remote(char *const *argv)
{
	for (unsigned i = 0; argv[i] && argv[i][0] != '-'; i++) {
		g_autofree char *name = g_path_get_basename(argv[i]);
		bool multi = !strcmp(name, "mpqemu") && argv[i + 1] &&
			     !strcmp(argv[i + 1], "mpqemu-remote");

		if (!strcmp(name, "mpqemu-remote") || multi)
			return i + 1 + multi;
	}
	return 0;
}

/* A copy, with the option at index @at unless @fd is -1. */
static char **with_option(char *const *argv, unsigned at, int fd)
{
	GPtrArray *all = g_ptr_array_new();

	for (unsigned i = 0; i < at; i++)
		g_ptr_array_add(all, g_strdup(argv[i]));
	if (fd >= 0)
		g_ptr_array_add(all, g_strdup_printf("--trace=fd=%d", fd));
	for (unsigned i = at; argv[i]; i++)
		g_ptr_array_add(all, g_strdup(argv[i]));
	g_ptr_array_add(all, NULL);
	return (char **)g_ptr_array_free(all, false);
}

static int make_ring(struct tracing *t, int taken)
{
	autofd fd = memfd_make("mpqemu-trace", TRACE_HEADER + RING_SIZE);

	if (fd < 0)
		return fd;
	t->map = memfd_map(fd, TRACE_HEADER + RING_SIZE, true);
	if (!t->map)
		return -errno;
	trace_begin(&t->trace, t->map, RING_SIZE);
	t->fd = fcntl(fd, F_DUPFD, taken < FD_FIRST ? FD_FIRST : taken + 1);
	return t->fd < 0 ? -errno : 0;
}

bool tracing_create(struct tracing *t, char *const *argv, int taken, GError **error)
{
	unsigned at = find_remote(argv);
	int ret;

	*t = (struct tracing){ .fd = -1, .on = at != 0 };
	if (!at) {
		t->argv = with_option(argv, 0, -1);
		return true;
	}
	for (unsigned i = at; argv[i]; i++)
		if (g_str_has_prefix(argv[i], "--trace="))
			return mpq_fail(error, MPQ_ERROR_USAGE, "%s: this option is for us to give",
					argv[i]);
	ret = make_ring(t, taken);
	if (ret)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "memory for the trace: %s",
				log_errname(ret));
	t->argv = with_option(argv, at, t->fd);
	return true;
}

void tracing_started(struct tracing *t)
{
	fd_close(&t->fd);
}

void tracing_finish(struct tracing *t)
{
	fd_close(&t->fd);
	if (t->map)
		munmap(t->map, TRACE_HEADER + RING_SIZE);
	t->map = NULL;
	g_clear_pointer(&t->argv, g_strfreev);
}
