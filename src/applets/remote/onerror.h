/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_ONERROR_H
#define APPLETS_REMOTE_ONERROR_H

/*
 * What the keeper does when a device process holds a request back after an error (--on-error,
 * werror=, rerror=): it tells, and where the policy says so it stops the VM by QMP, and lets the
 * request be tried again when the VM runs.  A VM that cannot be stopped: a timer of the device
 * process does it.
 *
 * The device process may have been taken over: what it says are a disk's index, a direction and an
 * errno, and nothing of it reaches QMP.
 */

#include <poll.h>
#include <stdint.h>

#include "plan/remote.h"

struct onerror;

/*
 * Opens what --qmp= and --events= name, and does what the keeper may not do later.  For the process
 * that goes on.  @plan stays in place.  False with @error set.
 */
bool onerror_create(const struct remote_plan *plan, struct onerror **ret, GError **error);
/* NULL-safe. */
void onerror_destroy(struct onerror *o);

/* The socket that is still to be connected, when it is needed, or -1. */
int onerror_unconnected(const struct onerror *o);

/* Before poll(): fills in *@p (fd -1: nothing), returns how long to wait at most, in ms, or -1. */
int onerror_poll(const struct onerror *o, struct pollfd *p);
/* After poll(), whatever it said.  @control: the keeper's end of the device process's channel. */
void onerror_polled(struct onerror *o, const struct pollfd *p, int control);

/* CTL_HELD came, with this arg. */
void onerror_held(struct onerror *o, uint32_t arg, int control);

#endif
