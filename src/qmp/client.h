/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QMP_CLIENT_H
#define QMP_CLIENT_H

/*
 * A client of a QMP monitor, for any loop: qmp_client_poll() says what to wait for and
 * qmp_client_polled() does what came (source.h for GLib's loop).  It greets, negotiates, and then
 * sends commands, several at once; answers come in their order.
 *
 *   GREETING ---> CAPABILITIES ---> READY        any of them ---> DEAD
 *
 * The other end may be anybody's: the first thing that is wrong ends the connection, with its
 * reason, and so does a time limit.  All that is open fails then.
 */

#include <poll.h>
#include <stdbool.h>

#include "qmp/stream.h"

#define QMP_CLIENT_OPEN 16	/* commands in flight or waiting for the greeting */

struct unix_addr;
struct qmp_client;

/* Why a command has no value.  @class: QEMU's, or NULL: the connection has ended before. */
struct qmp_failure {
	const char *class, *desc;
};

/* Either @value (borrowed) or @failure is set. */
typedef void qmp_done_fn(void *opaque, const json_t *value, const struct qmp_failure *failure);

/* Each of these may be NULL, and may call any function of this file. */
struct qmp_client_ops {
	/* Capabilities are negotiated; @greeting is the "QMP" member (borrowed). */
	void (*ready)(void *opaque, const json_t *greeting);
	/* @event has "event", "data" and "timestamp", if the peer is in order (borrowed). */
	void (*event)(void *opaque, const char *name, const json_t *event);
	/* Once, after all that was open has failed.  @closed: by the peer, between two texts. */
	void (*failed)(void *opaque, const char *why, bool closed);
};

/* What suits QEMU, whose query-qmp-schema alone has 200 KiB. */
extern const struct qmp_bounds qmp_client_bounds;

/*
 * A client over the connected socket @fd, which is taken over.  It has @limit_ms to greet and
 * negotiate; 0: for ever.
 */
struct qmp_client *qmp_client_create(int fd, const struct qmp_bounds *bounds, int limit_ms,
				     const struct qmp_client_ops *ops, void *opaque);
/* NULL-safe; what is open is forgotten, without a call. */
void qmp_client_destroy(struct qmp_client *client);

/*
 * A connected socket, which the caller owns, without waiting.  Returns 0, -EAGAIN (the monitor has
 * too many who wait), or -errno.
 */
int qmp_client_connect(const struct unix_addr *addr, int *ret_fd);

/*
 * Sends a command, as soon as the peer has greeted.  @args (an object, or NULL) and @passed (a fd
 * that goes along, or -1) are taken over in any case.  Within @limit_ms (0: for ever) @done is
 * called, once, unless this returns -ENOTCONN: the connection has ended; -EBUSY: too many are open;
 * or another -errno.
 */
int qmp_client_execute(struct qmp_client *client, const char *name, json_t *args, int passed,
		       int limit_ms, qmp_done_fn *done, void *opaque);

/* Before poll(): fills in *@p (fd -1: nothing), returns how long to wait at most, in ms, or -1. */
int qmp_client_poll(const struct qmp_client *client, struct pollfd *p);
/* After it, whatever it said. */
void qmp_client_polled(struct qmp_client *client, const struct pollfd *p);

/* Is the connection over? */
bool qmp_client_dead(const struct qmp_client *client);

#endif
