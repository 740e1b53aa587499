/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TEST_SANDBOX_BOX_H
#define TEST_SANDBOX_BOX_H

/* What the sandbox tests share: children that end in some way, and values for the filter's sets. */

#include <stdbool.h>

#include <glib.h>

#include "sandbox/filter.h"

/* What the trap ends a process with. */
#define TRAPPED 77
/* What a body that comes to its end ends with. */
#define RETURNED 42

#define BOX_LOG 100		/* fd of the log in a child */
#define BOX_ARENA (1ULL << 45)
#define BOX_ARENA_SIZE (1ULL << 40)

/* A child's end. */
struct ending {
	int status;		/* as waitpid() gives it */
	char said[1024];	/* what it wrote to BOX_LOG */
};

/* Runs @body in a child whose log is at BOX_LOG; it ends with RETURNED when @body returns. */
struct ending box_run(void (*body)(const void *opaque), const void *opaque);

/* @features of a filter's user; every set has values. */
struct filter_env box_env(unsigned features);

/* Ends the child when @ret is not 0; g_assert would make calls that a filter forbids. */
void box_must(int ret);

/* Skips the calling test, and says true, where no filter can be loaded. */
bool box_no_filter(void);
/* The same where the process is not root. */
bool box_not_root(void);

static inline bool ended_with(const struct ending *e, int status)
{
	return e->status == status << 8;
}

#endif
