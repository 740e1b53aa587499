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

struct logs;
struct plan_group_limits;

struct run_options {
	enum plan_remote_exit on_remote_exit;
	unsigned start_timeout;		/* seconds that a remote has to answer */
	unsigned shutdown_timeout;	/* seconds that the guest has when we are told to end;
					   0: it is not asked, QEMU gets the signal */
	struct sigaction sigpipe;	/* what SIGPIPE does in the children */
	char *name;			/* the VM's */
	const struct plan_group_limits *group;	/* of all its processes together, or NULL */
	char *control;			/* the path of its control socket; NULL: it has none */
	const char *metrics;		/* the path of the socket for Prometheus; NULL: none */
	struct logs *logs;		/* gets what the remotes write to stderr */
	bool log_qemu;			/* what QEMU writes to stderr goes there as well */
	bool keep_stderr;		/* once QEMU runs */
	int ready_fd;			/* whoever waits for that (base/service.h), or -1 */
	/*
	 * QEMU takes this very process over once the remotes have answered, and a keeper beside it
	 * is their parent.  run_plan() returns only if that failed.
	 */
	bool in_place;
	char **title;			/* with in_place: our argv, which the keeper overwrites */
};

/*
 * Starts the plan's processes, sees them through to their end, returns the exit status.  The plan
 * gets the real paths of its sockets.
 */
int run_plan(struct plan *plan, struct run_options *options);

#endif
