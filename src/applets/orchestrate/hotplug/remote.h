/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_HOTPLUG_REMOTE_H
#define APPLETS_ORCHESTRATE_HOTPLUG_REMOTE_H

/*
 * The remote of a plan that has one, and no QEMU to be started:
 *
 *   START --its ids, then a reset, over our own client--> READY --> (QEMU has it)
 *     any of them --it ends, or hotplug_remote_end()--> ENDED
 *
 * One that listens would wait for its next client for ever.  mpqemu-remote says over a socket of
 * ours (control/supervise.h) that a client has left: after our own it is READY, after QEMU's it is
 * to end.
 *
 * Of a VM that has a keeper, that is who runs the remote: what either says to the other over that
 * channel is passed on, and how the remote ended is the last thing that the keeper hears.
 */

#include <signal.h>
#include <sys/types.h>

#include "applets/orchestrate/hotplug/look.h"
#include "applets/orchestrate/run/child.h"
#include "applets/orchestrate/run/peer.h"

struct plan;
struct plan_process;

struct hotplug_remote_ops {
	/* It has answered and was reset: QEMU can have it.  @error: why not; then it is to end. */
	void (*ready)(void *opaque, const GError *error);
	/* It has ended, and child.status says how; whether it was to or not. */
	void (*ended)(void *opaque);
};

struct hotplug_remote {
	const struct plan_process *process;
	const struct hotplug_remote_ops *ops;
	void *opaque;
	struct child child;
	char *socket_dir;	/* made here, or NULL */
	char *path;		/* the plan's, of the socket that it listens on, or NULL */
	bool bound;		/* the path is there */
	int proxy_end;		/* what QEMU is to get, or our own connection to @path */
	ino_t proxy_inode;	/* of the former */
	struct peer peer;
	bool ready;		/* our own client has come and gone */
	int control;		/* the other end of its --control=, or -1 */
	int keeper;		/* our end of the keeper's channel, or -1 */
	int keeper_end;		/* the other one, until the keeper has it, or -1 */
	int metrics;		/* the same: the file of its counters, or -1 */
	guint child_watch, peer_watch, control_watch, keeper_watch, timer;
	unsigned end_step;
};

#define HOTPLUG_REMOTE_INIT { \
	.child = CHILD_INIT, .proxy_end = -1, .control = -1, .keeper = -1, .keeper_end = -1, \
	.metrics = -1, \
}

struct hotplug_remote_setup {
	const sigset_t *sigmask;
	const struct sigaction *sigpipe;
	int log_fd;		/* its stderr; -1: ours */
	unsigned timeout_s;	/* that it has to answer */
	bool keeper;		/* the VM has one, which is to get it */
};

/*
 * Starts the remote of @plan, which stays in place.  False with @error: nothing is left of it, and
 * *ret_status is the exit status that says so.
 */
bool hotplug_remote_start(struct hotplug_remote *remote, struct plan *plan,
			  const struct hotplug_remote_setup *setup,
			  const struct hotplug_remote_ops *ops, void *opaque, int *ret_status,
			  GError **error);

/*
 * Tells it to end, harder after a while each time: its socket is closed, SIGTERM, once more,
 * SIGKILL.  ops->ended follows, unless it has ended already.
 */
void hotplug_remote_end(struct hotplug_remote *remote);

/* After its end, or when it was never started (HOTPLUG_REMOTE_INIT). */
void hotplug_remote_finish(struct hotplug_remote *remote);

/* The end of the channel by which the keeper runs it, which the caller owns now. */
int hotplug_remote_take_keeper(struct hotplug_remote *remote);

/* QEMU has not taken it, or has given it back: its end is not missed. */
void hotplug_remote_unused(struct hotplug_remote *remote);

/* The proxy's end of its socketpair, which the caller owns now; -1: it has a path. */
int hotplug_remote_take_end(struct hotplug_remote *remote);

#endif
