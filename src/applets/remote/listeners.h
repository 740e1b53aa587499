/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_LISTENERS_H
#define APPLETS_REMOTE_LISTENERS_H

/*
 * The keeper's end of devices that have one client after the other: it accepts, and the device
 * process serves.
 *
 *     FREE --a client: CTL_PEER--> SERVED --CTL_PEER_GONE--> FREE
 *
 * While a device is served, who comes next waits in the socket's backlog.
 */

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "plan/spec.h"

struct listeners {
	const struct launch_spec *spec;
	int *fd;			/* one a device; -1: none; owned by the caller */
	bool served[SPEC_MAX_DEVICES];
};

/* What to wait for: a client of each device that is free; nothing (fd -1) if not @open. */
void listeners_poll(const struct listeners *listeners, bool open, struct pollfd *p);

/*
 * After poll() on the same @p: hands who came to the device process by its @control channel.  A
 * socket that fails, or whose client cannot be handed over, is closed, which is logged.
 */
void listeners_polled(struct listeners *listeners, const struct pollfd *p, int control);

/*
 * CTL_PEER_GONE with @arg came: is it a client that there was?  One that no device process of ours
 * sends changes nothing.
 */
bool listeners_gone(struct listeners *listeners, uint32_t arg);

#endif
