/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_WATCHDOG_H
#define APPLETS_REMOTE_WATCHDOG_H

/*
 * The keeper's watch over a device process that is there but does not answer (--watchdog=): that is
 * stopped, or in a loop without an end.  An idle one is left alone:
 *
 *     WATCHED --a peer's message lies there at the interval's end--> ASKED (CTL_PING)
 *     ASKED --CTL_PONG--> WATCHED
 *     ASKED --another interval, no answer--> BITTEN: it is killed, and has a successor
 *
 * A successor has longer, until it serves.  An interval in which the keeper did not run either does
 * not count: somebody has stopped both.
 */

#include <stdbool.h>
#include <stdint.h>

#include "plan/spec.h"

struct keeper;

enum watchdog_state { WATCHDOG_WATCHED, WATCHDOG_ASKED, WATCHDOG_BITTEN };

struct watchdog {
	int64_t interval;		/* ns; 0: there is none */
	int64_t due;			/* of loop_now() */
	uint32_t number;		/* of the last CTL_PING */
	enum watchdog_state state;
	unsigned count;
	int peer[SPEC_MAX_DEVICES];	/* owned: each device's socket, only to look at; or -1 */
};

/*
 * Takes over the sockets keeper->peer[] if the keeper watches, and closes them if it does not: who
 * holds them keeps the peers from seeing the device process's end.
 */
void watchdog_start(struct watchdog *w, const struct keeper *keeper);
void watchdog_finish(struct watchdog *w);

/* A successor was launched, or has come to serve: it has its time from now on. */
void watchdog_begin(struct watchdog *w, bool serves);
/* ms until the next look, or @wait_ms if that is sooner; -1 is never. */
int watchdog_wait(const struct watchdog *w, int wait_ms);
/*
 * Looks, if it is time, and asks by @control.  True, once: the device process does not answer.
 */
bool watchdog_bites(struct watchdog *w, int control);
void watchdog_pong(struct watchdog *w, uint32_t number);

#endif
