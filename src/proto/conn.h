/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PROTO_CONN_H
#define PROTO_CONN_H

/*
 * One end of a stream connection with framed messages and fds.
 *
 * Receiving is two steps.  conn_peek() looks at the message at the head of the stream and takes
 * nothing: the kernel still has every byte and fd, should this process die.  conn_consume() takes
 * exactly that message.  No byte beyond the message in hand ever leaves the socket.
 *
 * The socket's own status flags are never changed: each call asks for MSG_DONTWAIT by itself.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/mpqemu.h"

struct conn {
	int fd;				/* owned by whoever called conn_init() */
	enum mpq_sender peer;		/* which messages may arrive */
	size_t msg_len;			/* of the peeked message, header included; 0: none */
	size_t out_len, out_off;	/* a reply that the socket has not taken whole */
	uint8_t out[sizeof(struct mpq_header) + MPQ_MAX_PAYLOAD];
	char why[128];			/* after -EPROTO: what was wrong, for the log */
};

/* An idle connection over @fd, on which @peer sends. */
void conn_init(struct conn *conn, int fd, enum mpq_sender peer);

/*
 * Looks at the next message: fills @msg but for its fds.  Returns
 *   0          a whole message of a known kind and the right size
 *   -EAGAIN    nothing there
 *   -EINPROGRESS  a part of a message: wait for an edge, since the fd stays readable
 *   -ENODATA   end of stream between messages
 *   -EPIPE     end of stream within a message
 *   -EPROTO    not a message of this protocol; conn->why says what
 *   other      the socket failed
 */
int conn_peek(struct conn *conn, struct mpq_msg *msg);

/*
 * Takes the peeked message off the stream, and its fds (CLOEXEC), which become the caller's in
 * @msg->fd.  Returns 0; -EPROTO (conn->why) when the fds are not those that the message takes: all
 * are closed then; or another -errno.
 */
int conn_consume(struct conn *conn, struct mpq_msg *msg);

/*
 * Sends a message without fds as one write.  What the socket does not take is kept and sent by
 * conn_flush().  Returns 0; -EAGAIN when something is left to send; -EBUSY when an earlier message
 * still is; or -errno.
 */
int conn_send(struct conn *conn, enum mpq_cmd cmd, const void *payload, size_t size);
int conn_flush(struct conn *conn);

/*
 * Ends the connection for both sides: the peer sees the end and can send nothing more.  What it had
 * queued is dropped, with its fds, up to a bound that no socket buffer of usual size reaches.  The
 * fd stays open, so that its number stays taken.  Returns 0 or -errno.
 */
int conn_hang_up(struct conn *conn);

/* For the proxy's side: sends a message with fds, waiting as long as it takes.  0 or -errno. */
int conn_send_fds(struct conn *conn, enum mpq_cmd cmd, const void *payload, size_t size,
		  const int *fds, unsigned fd_count);

#endif
