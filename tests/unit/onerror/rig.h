/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TEST_ONERROR_RIG_H
#define TEST_ONERROR_RIG_H

/*
 * The keeper's error policy between a QEMU and a device process that the test plays: a QMP socket,
 * a control channel, a pipe of events, the log, and a clock that only the test moves.
 */

#include "applets/remote/onerror.h"
#include "control/channel.h"

#define SECOND_NS 1000000000LL

struct rig {
	struct remote_plan plan;
	struct onerror *o;
	int qemu;		/* the peer's end of the QMP socket */
	int control[2];		/* the keeper's end, the device process's */
	int events;		/* the reading end of the pipe */
	int events_full;	/* a copy of its writing end */
	int log[2];		/* read by the test, written by the keeper */
	unsigned fds;
};

/* CLOCK_MONOTONIC of this process. */
extern int64_t fake_now;

/* One drive, "d", under --on-error=stop and what @extra says; "%d" there is the fd of QMP. */
void rig_up(struct rig *rig, const char *extra);
void rig_down(struct rig *rig);

/* Whatever the keeper's loop has to do now. */
void rig_pump(struct rig *rig);

/* The QEMU says these bytes.  False: the keeper has closed its end. */
bool qemu_says(struct rig *rig, const char *text, size_t len);
#define qemu_line(rig, text) qemu_says(rig, text "\r\n", sizeof(text "\r\n") - 1)
/* What the keeper has sent since the last time; valid until the next call. */
const char *qemu_got(struct rig *rig);

/* The device process says that disk 0 holds a request back. */
void device_holds(struct rig *rig, bool write, int err);
/* The next message to the device process: enum ctl_type, or -1. */
int device_got(struct rig *rig);

/* What was logged, what was written to --events, since the last time; valid until the next call. */
const char *logged(struct rig *rig);
const char *emitted(struct rig *rig);

#endif
