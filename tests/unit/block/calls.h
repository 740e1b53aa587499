/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TEST_BLOCK_CALLS_H
#define TEST_BLOCK_CALLS_H

/*
 * Runs a function in a child process under a system call filter of the test's own, for checking
 * that code needs no other call than those that it says it needs.
 */

#include <stdbool.h>

#define CALLS_MAX 32

struct calls_allowed {
	const char *name[CALLS_MAX];	/* NULL ends them */
};

/* Statuses of the child. */
#define CALLS_FORBIDDEN 99	/* the filter stopped a call; its name was printed */

/*
 * fork(), then prepare(opaque) without a filter, then run(opaque) with one for all threads: what is
 * not in @allowed, futex and exit_group ends the child.  Returns its exit status.
 */
int calls_run(const struct calls_allowed *allowed, void (*prepare)(void *opaque),
	      void (*run)(void *opaque), void *opaque);

/* Why the filter cannot be used here; NULL when it can. */
const char *calls_unusable(void);

#endif
