/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_QMP_H
#define APPLETS_REMOTE_QMP_H

/*
 * The keeper's end of the VM's QMP socket.  It can do one thing, stop the VM, and it hears when the
 * VM runs again.
 *
 * The QEMU at the other end may have been taken over by its guest.  Nothing here waits for it:
 * lines have a bound, what is asked for has a time limit, and the first thing that is wrong ends
 * the connection, with its reason (src/qmp/client.h).  What is sent are fixed texts.
 */

#include <poll.h>
#include <stdbool.h>

#include "base/unixaddr.h"

#define QMP_LINE_MAX 65536	/* bytes */
#define QMP_LIMIT_MS 30000	/* from a question to its answer: QEMU drains its disks */

struct qmp;

struct qmp_ops {
	/* The VM does not run; @status is QEMU's word for it ("paused"). */
	void (*stopped)(void *opaque, const char *status);
	void (*resumed)(void *opaque);
	/* The connection is over.  @closed: by the peer, between two lines.  Once. */
	void (*failed)(void *opaque, const char *why, bool closed);
};

/*
 * @fd: a UNIX stream socket, taken over, whose status flags stay as they are.  With @addr it is not
 * connected yet, and is at the first qmp_stop().
 */
struct qmp *qmp_create(int fd, const struct unix_addr *addr, const struct qmp_ops *ops,
		       void *opaque);
/* NULL-safe. */
void qmp_destroy(struct qmp *qmp);

/* The socket while it is not connected, or -1. */
int qmp_unconnected(const struct qmp *qmp);

/* Before poll(): fills in *@p (fd -1: nothing), returns how long to wait at most, in ms, or -1. */
int qmp_poll(const struct qmp *qmp, struct pollfd *p);
/* After it, whatever it said. */
void qmp_polled(struct qmp *qmp, const struct pollfd *p);

/*
 * Asks for the VM to be stopped; stopped(), resumed() or failed() follows.  Returns 0, -ENOTCONN
 * when the connection is over (failed() was called), or why a path cannot be connected to, which
 * may be tried again.
 */
int qmp_stop(struct qmp *qmp);

#endif
