/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_PAUSE_H
#define APPLETS_REMOTE_PAUSE_H

/*
 * A device process that stands still while its VM does (CTL_PAUSE, CTL_RESUME).
 *
 *     RUNNING --pause_begin()--> DRAINING --nothing under way, disks flushed: told()--> PAUSED
 *     DRAINING, PAUSED --pause_end()--> RUNNING
 *
 * From DRAINING on the loop is held: no engine goes on and no disk request begins.  What is under
 * way ends, in the disks and in memory that the VMM does not share.  Guest RAM is not changed after
 * told(); registers and config space are served all the time.
 */

#include <stdbool.h>
#include <stdint.h>

#include "event/loop.h"

struct disks;
struct serve;

struct pause {
	struct loop *loop;
	struct disks *disks;
	struct serve *serve;		/* by device index; dev.cls NULL: not served */
	unsigned count;
	/* All is quiet; @err is what the flush came to, 0 or -errno. */
	void (*told)(void *opaque, uint32_t number, int err);
	void *opaque;
	uint32_t number;		/* of the pause that is on */
	int64_t since;			/* of loop_now() */
	struct loop_timer look;
	bool on;
};

/* The fields up to opaque are the caller's. */
void pause_init(struct pause *pause);
/* With another number it begins anew. */
void pause_begin(struct pause *pause, uint32_t number);
/* Nothing if there is none. */
void pause_end(struct pause *pause);

#endif
