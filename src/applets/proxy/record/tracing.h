/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_PROXY_TRACING_H
#define APPLETS_PROXY_TRACING_H

/* The ring for an mpqemu-remote's --trace (trace.h), and its command line with that option. */

#include <stdbool.h>

#include "base/error.h"
#include "control/trace.h"

struct tracing {
	bool on;		/* the command is an mpqemu-remote */
	struct trace trace;
	void *map;
	int fd;			/* inheritable, until the remote has been started; owned; -1 */
	char **argv;		/* the command to start; owned */
};

/*
 * Makes both for the command @argv: it is an mpqemu-remote if a word before its first option says
 * so, as in "taskset 1 mpqemu-remote -machine ...".  @taken: a number that the fd shall not have.
 * False with @error set.  tracing_finish() in any case.
 */
bool tracing_create(struct tracing *t, char *const *argv, int taken, GError **error);
/* The remote has been started. */
void tracing_started(struct tracing *t);
void tracing_finish(struct tracing *t);

#endif
