/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_RUN_ADOPTED_H
#define APPLETS_ORCHESTRATE_RUN_ADOPTED_H

/*
 * Remotes that attach has brought into a running VM.  attach's process stays their parent; it
 * hands the keeper what the keeper has of its own ones: the channel of control/supervise.h (which
 * it passes on), the file of the counters, and the log.  From then on they are shown, stand still
 * with the VM and are missed when they end as its own are.  The end of the channel is their end.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

struct run;
struct run_remote;
struct sup_msg;

/* What is said of one; all of it stays the caller's. */
struct adopted_facts {
	const char *id;		/* of its device */
	const char *serves;	/* for people */
	const char *program;
	pid_t pid, holder;	/* of the remote and of its parent; they are only shown */
	ino_t socket;		/* QEMU's end of its socketpair; 0: QEMU connects to it */
};

/* @control is taken over.  False with @error: it is no channel, or the id is in use. */
bool adopted_add(struct run *run, const struct adopted_facts *facts, int control, GError **error);
/* @name: "metrics" or "log"; @fd is taken over.  False with @error. */
bool adopted_give(struct run *run, const char *id, const char *name, int fd, GError **error);

/* It has said this, which is not of the kind that each remote says. */
void adopted_hear(struct run_remote *remote, const struct sup_msg *msg);
/* Its channel has ended; @remote may be no more afterwards. */
void adopted_gone(struct run_remote *remote);
/* QEMU has the device no more. */
void adopted_deleted(struct run *run, const char *id);

/* Does one of them run? */
bool adopted_any(const struct run *run);
/* Those that have not ended are not waited for any more. */
void adopted_leave(struct run *run);
/* Forgets all. */
void adopted_finish(struct run *run);

#endif
