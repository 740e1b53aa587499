/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PROTO_RELAY_H
#define PROTO_RELAY_H

/*
 * One direction of a connection of the mpqemu protocol that is passed on: bytes and fds as they
 * come, a part of a message too, and what is no message as well.  What was sent in one piece goes
 * on in one where the socket gave it so.  Bytes of two messages are never taken together, so that
 * fds stay with the first byte of their message.  Never waits; never changes an fd's flags.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/conn.h"
#include "proto/mpqemu.h"

struct relay {
	int from, to;			/* the caller's */
	uint8_t buf[4096];
	size_t len, off;		/* in hand, and sent already */
	struct conn_fds fds;		/* to go with the first byte; owned */
	bool ended;			/* nothing more comes */
	struct mpq_header header;	/* of the message that is passing */
	size_t header_len;		/* bytes of it that have passed */
	uint64_t left;			/* bytes of its payload that have not */
	bool raw;			/* no message of the protocol: from there on just bytes */
};

/* Nothing is in hand.  The fds stay the caller's. */
void relay_init(struct relay *r, int from, int to);

/*
 * Takes the next piece, when none is in hand.  0: r->buf has r->len bytes, r->fds what came with
 * them, which may be replaced; -EAGAIN; -ENODATA: the end, r->ended is set; or -errno.
 */
int relay_take(struct relay *r);
/* Sends what is in hand.  0: all of it; -EAGAIN; -EPIPE, -ECONNRESET: nobody is there. */
int relay_give(struct relay *r);
/* Closes fds that were not sent. */
void relay_finish(struct relay *r);

#endif
