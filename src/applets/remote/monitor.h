/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_MONITOR_H
#define APPLETS_REMOTE_MONITOR_H

/*
 * The storage monitor: QMP for the disks of the devices (-qmp, -mon), in the keeper.  A device
 * process never sees a client's byte: it gets typed requests of a fixed size (control/manage.h),
 * and fds.  All functions are NULL-safe: without those options there is none.
 */

#include <poll.h>
#include <stdbool.h>

#include "plan/remote.h"
#include "qmp/server.h"

struct images;
struct monitor;

#define MONITOR_POLL (1 + SPEC_MAX_DISKS + QMP_SERVER_POLL)

/*
 * Opens the sockets; clients may connect, and wait.  @plan and @images stay
 * in place.  *ret: NULL if the plan has no monitor.  False with @error.
 */
bool monitor_create(struct remote_plan *plan, struct images *images, struct monitor **ret,
		    GError **error);
/* Closes them, and removes what was bound. */
void monitor_destroy(struct monitor *m);

/* The path that monitor number @index has bound, or NULL. */
const char *monitor_path(const struct monitor *m, unsigned index);

/* A memfd for the counters of the disks, the monitor's; -1: none. */
int monitor_disks_fd(const struct monitor *m);

/* The devices are served: and clients, from now on; @manage: the channel, the caller's. */
void monitor_ready(struct monitor *m, int manage);

/* CTL_HELD came, with this arg: a request is held back after an error. */
void monitor_held(struct monitor *m, uint32_t arg);

/* Do the devices go on, or stand still (--control=)? */
void monitor_set_running(struct monitor *m, bool running);

/* The process ends, and why, in QEMU's word (ShutdownCause); the first reason is told. */
void monitor_shutdown(struct monitor *m, const char *reason, bool guest);

/*
 * Before poll(): fills in @p (MONITOR_POLL entries are there); returns @wait_ms, or less.
 * *ret_count of them are used.
 */
int monitor_poll(struct monitor *m, int wait_ms, struct pollfd *p, unsigned *ret_count);
/* After it, whatever it said.  Returns true once, when a client wants the process to end. */
bool monitor_polled(struct monitor *m, const struct pollfd *p, unsigned count);

#endif
