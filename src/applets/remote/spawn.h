/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_SPAWN_H
#define APPLETS_REMOTE_SPAWN_H

/*
 * Makes a device process: what it gets is put together here, then it is cloned into its namespaces
 * and executed anew, so that nothing of the keeper's memory (names, secrets, addresses) is in it.
 */

#include <sys/types.h>

#include "plan/spec.h"

struct keeper;

/* What a device process is made of, and the last one that was; all fds owned. */
struct spawn {
	int exe_fd;			/* this program */
	int spec_fd, state_fd, metrics_fd;
	int control[2];			/* keeper's end, device's end */
	int manage[2];			/* the same, with a monitor */
	int log[2];			/* read by the keeper, written by the device */
	int journal[SPEC_MAX_DEVICES];	/* -1: none */
	pid_t pid;
};

/*
 * Launches it; @s needs spawn_finish() in any case.  Returns 0, or -errno after logging why and
 * what helps.  The device's ends of the pairs are closed when it is there.
 */
int spawn_device(const struct keeper *keeper, struct spawn *s);

/*
 * The same in two steps, for more than one after the other: what all of them have, and one of them.
 * @share: of enum sandbox_share.  A new s->control[0] is put in place of the last one, which was
 * the caller's to close.  Both return as above.
 */
int spawn_prepare(const struct keeper *keeper, struct spawn *s);
int spawn_one(const struct keeper *keeper, struct spawn *s, unsigned share);

/* Closes what is left; does not wait for the process. */
void spawn_finish(struct spawn *s);

#endif
