/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/watchdog.h"

#include <poll.h>

#include "applets/remote/keeper.h"
#include "base/fd.h"
#include "base/num.h"
#include "control/channel.h"
#include "event/loop.h"

/* ns at least, for a successor until it serves: it maps, checks and shuts itself in. */
#define START_LIMIT (20000 * LOOP_MS)

void watchdog_start(struct watchdog *w, const struct keeper *keeper)
{
	*w = (struct watchdog){
		.interval = keeper->watchdog * 1000 * LOOP_MS, .count = keeper->spec->device_count,
	};
	for (unsigned i = 0; i < w->count; i++)
		w->peer[i] = keeper->peer[i];
	watchdog_begin(w, true);
	if (!w->interval)
		watchdog_finish(w);
}

void watchdog_finish(struct watchdog *w)
{
	for (unsigned i = 0; i < w->count; i++)
		fd_close(&w->peer[i]);
	w->count = 0;
	w->interval = 0;
}

void watchdog_begin(struct watchdog *w, bool serves)
{
	w->state = serves ? WATCHDOG_WATCHED : WATCHDOG_ASKED;
	w->due = loop_now() + (serves || w->interval > START_LIMIT ? w->interval : START_LIMIT);
	w->number++;
}

int watchdog_wait(const struct watchdog *w, int wait_ms)
{
	return w->interval ? loop_left_ms(w->due, wait_ms) : wait_ms;
}

/* Does anything lie there that the device process would take at once? */
static bool is_wanted(const struct watchdog *w)
{
	struct pollfd p[SPEC_MAX_DEVICES];

	for (unsigned i = 0; i < w->count; i++)
		p[i] = (struct pollfd){ .fd = w->peer[i], .events = POLLIN };
	return poll(p, w->count, 0) > 0;
}

bool watchdog_bites(struct watchdog *w, int control)
{
	int64_t now = loop_now();
	bool late = now > w->due + w->interval;

	if (!w->interval || now < w->due)
		return false;
	w->due = now + w->interval;
	if (w->state == WATCHDOG_ASKED && !late) {
		w->state = WATCHDOG_BITTEN;
		return true;
	}
	/* A channel that is full is one that nobody reads. */
	if (w->state == WATCHDOG_WATCHED && is_wanted(w)) {
		ctl_send(control, CTL_PING, ++w->number);
		w->state = WATCHDOG_ASKED;
	}
	return false;
}

void watchdog_pong(struct watchdog *w, uint32_t number)
{
	if (w->state == WATCHDOG_ASKED && number == w->number)
		w->state = WATCHDOG_WATCHED;
}
