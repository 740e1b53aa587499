/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_RUN_RUN_H
#define APPLETS_ORCHESTRATE_RUN_RUN_H

/*
 * The life of a plan's processes:
 *
 *   START  the remotes run; each is asked for its vendor id over the socket that QEMU will get, or
 *          over a connection to the one on which it listens, and QEMU starts when all have answered
 *          (QEMU takes a dead peer for a device without a word)
 *   RUN    QEMU runs
 *   END    QEMU has ended, or nothing is to start any more: the remotes see their sockets close and
 *          end, or get SIGTERM if they listen; whoever has not ended after a while gets SIGTERM,
 *          later SIGKILL
 *
 * START goes straight to END when a remote fails or a signal comes.
 */

#include <signal.h>
#include <stdbool.h>

#include "plan/procs.h"

/* Exit statuses of our own; any other is QEMU's. */
enum run_status {
	RUN_STATUS_REMOTE = 123,	/* a remote failed, and QEMU did not */
	RUN_STATUS_FAILED = 125,	/* bad usage, refused, or the system said no */
	RUN_STATUS_NO_EXEC = 126,	/* a program is there and cannot be run */
	RUN_STATUS_NOT_FOUND = 127,	/* a program is not there */
};

/* Seconds that a remote has to answer, if nothing else is said. */
#define RUN_START_TIMEOUT 30

struct run_options {
	bool stop_on_remote_exit;	/* else: report it, and let QEMU go on */
	unsigned start_timeout;		/* seconds that a remote has to answer */
	struct sigaction sigpipe;	/* what SIGPIPE does in the children */
};

/*
 * Starts the plan's processes, sees them through to their end, returns the exit status.  The plan
 * gets the real paths of its sockets.
 */
int run_plan(struct plan *plan, const struct run_options *options);

#endif
