/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_RUN_SUPERVISE_H
#define APPLETS_ORCHESTRATE_RUN_SUPERVISE_H

/*
 * The channel to each mpqemu-remote (control/supervise.h): a VM's pause goes to it, for QEMU's
 * proxy tells a remote nothing of that, and what befalls its device process comes back.
 */

#include <stdbool.h>

struct run;
struct run_remote;

/*
 * Makes the channel, if the plan has it.  Returns the remote's end, the caller's; -1: there is
 * none.
 */
int supervise_begin(struct run_remote *remote);
/* The channel of one that somebody else has started, which is taken over. */
void supervise_adopt(struct run_remote *remote, int control);
/* The remote has ended.  May be called twice. */
void supervise_end(struct run_remote *remote);

/* The VM's status is another: its remotes stand still while it does. */
void supervise_follow(struct run *run);

/*
 * Has its device process replaced; @done is called once, with NULL or why not.  0, -EBUSY: it is
 * under way; -ENOTSUP: it has no channel; or -errno.
 */
int supervise_restart(struct run_remote *remote, void (*done)(void *opaque, const char *why),
		      void *opaque);

/* "running", "pausing" or "paused". */
const char *supervise_state(const struct run_remote *remote);

#endif
