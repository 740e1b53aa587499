/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_NURSERY_H
#define APPLETS_REMOTE_NURSERY_H

/*
 * A keeper that serves has given up the right to launch anything.  Where device processes have
 * successors (--on-crash=) it forks this process before: which has the fds that a device process
 * gets, launches one when the keeper says so, as the keeper's child, and kills the last one when it
 * says so.  It hears nobody but its keeper and ends with it.
 */

#include <sys/types.h>

struct keeper;
struct spawn;

struct nursery {
	int sock;		/* owned; -1: none */
	pid_t pid;		/* 0: it has been waited for */
};

/* After spawn_prepare().  The keeper's own dups of @s's fds stay.  0, or -errno. */
int nursery_start(const struct keeper *keeper, struct spawn *s, struct nursery *nursery);
/* NULL-safe for one that never started (sock -1). */
void nursery_finish(struct nursery *nursery);

/*
 * Launches a device process: its pid, and the keeper's end of a channel to it, owned by the caller.
 * Not the first, where disks are behind NBD, while a server is not done with the last one (-EBUSY).
 * 0, or -errno: why was logged.
 */
int nursery_launch(struct nursery *nursery, pid_t *ret_pid, int *ret_control);
/* SIGKILL for the last one. */
void nursery_kill(const struct nursery *nursery);

#endif
