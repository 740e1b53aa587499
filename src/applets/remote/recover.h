/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_RECOVER_H
#define APPLETS_REMOTE_RECOVER_H

/*
 * The keeper's part when a device process has crashed (--on-crash=):
 *
 *     SERVED --crash--> WAITING --recover_launch()--> ADOPTING --CTL_READY--> SERVED
 *     ADOPTING --crash--> WAITING, longer
 *     WAITING --a disk's storage is not done with what the last one asked for--> WAITING
 *     WAITING --too many in a row that did not come to serve--> given up
 *
 * What a successor goes on from are the journals, and the fds in the vault.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "applets/remote/nursery.h"
#include "applets/remote/vault.h"

struct keeper;
struct spawn;

struct recover {
	bool on;
	bool lost;			/* who launches has ended */
	struct nursery nursery;
	struct vault vault;
	unsigned in_vain;		/* crashes in a row of processes that never served */
	bool serves;			/* the one that is there now */
	int64_t stalled;		/* since then a disk's storage is waited for; 0: none is */
	bool stall_told;
	int64_t died, due;		/* of loop_now(); due 0: none is to be launched */
	/* A process that crashes again and again costs its host so much and no more. */
	unsigned tokens;
	int64_t refilled;
	/* Nor does it fill the log. */
	int64_t told;
	unsigned untold;
};

/*
 * Where successors are wanted: makes what is needed for it while the keeper still may, after
 * spawn_prepare().  0, or -errno after logging why.
 */
int recover_start(struct recover *r, const struct keeper *keeper, struct spawn *s);
/* Nobody launches anything any more, and nothing is kept. */
void recover_finish(struct recover *r);

/*
 * The device process has crashed, as @wait_status says, or was @asked to be replaced: will there be
 * another one?  Says so in one line, unless it was asked for, or that it is given up.
 */
bool recover_crashed(struct recover *r, pid_t pid, int wait_status, bool asked);
/* A child has ended: is it the one that launches?  Then nobody has a successor any more. */
bool recover_reap(struct recover *r);
/* ms until one is to be launched, or @wait_ms if that is sooner or there is none (-1: never). */
int recover_wait(const struct recover *r, int wait_ms);
bool recover_due(const struct recover *r);
/*
 * Launches it: its pid, and its channel in place of what is at number @control.  0, or -errno after
 * logging why: there is none, and will be none.  -EBUSY: not yet, it is due again later.
 */
int recover_launch(struct recover *r, int control, pid_t *ret_pid);
/* CTL_READY came: true, if it is a successor; then *ret_outage is how long nobody served, in us. */
bool recover_ready(struct recover *r, uint32_t *ret_outage);

#endif
