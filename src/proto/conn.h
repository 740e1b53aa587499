/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PROTO_CONN_H
#define PROTO_CONN_H

/*
 * A connection that carries messages, and file descriptors with them, of either protocol.
 *
 * Receiving has two steps: conn_peek() looks at the next message and takes nothing, conn_consume()
 * takes exactly that message.  No byte beyond the message in hand ever leaves the socket.
 *
 * A message that is longer than a first look and comes in pieces is taken as it comes: the sender's
 * buffer may have no room for all of it (one of single bytes ends after some 300).
 *
 * The socket's own status flags are never changed: each call asks for MSG_DONTWAIT by itself.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define CONN_MAX_FDS 16		/* of a message, in any protocol */

struct conn;

/* How a protocol's messages are told apart in the stream. */
struct conn_framing {
	size_t header;		/* bytes */
	size_t look;		/* bytes that a first look asks for; the header at least */
	unsigned max_fds;	/* of a message, CONN_MAX_FDS at most */
	/*
	 * The header stands in @conn->in.  Sets *ret_len to the whole message's length, header
	 * included, which is conn->in_size at most.  0, or conn_error().
	 */
	int (*length)(struct conn *conn, size_t *ret_len);
};

/* What came with a message: @count of them are open and the holder's to close (conn_fds_close). */
struct conn_fds {
	unsigned count;
	unsigned surplus;		/* found no room in @fd and were closed */
	bool lost;			/* the kernel dropped some: no room for their numbers */
	int fd[CONN_MAX_FDS];
};

struct conn {
	int fd;				/* owned by whoever called conn_init() */
	const struct conn_framing *framing;
	unsigned peer;			/* for the protocol: who is at the other end */
	size_t msg_len;			/* of the peeked message, header included; 0: none */
	size_t taken;			/* bytes of it that are in @in already; 0: none */
	bool marked;			/* see conn_mark() */
	size_t seen;			/* marked: bytes of the message that were looked at */
	struct conn_fds fds;		/* that came with them; owned */
	uint8_t *in, *out;		/* room for a message each; the caller's */
	size_t in_size, out_size;
	size_t out_len, out_off;	/* a message that the socket has not taken whole */
	char why[128];			/* after -EPROTO: what was wrong, for the log */
};

/* An idle connection over @fd, with buffers of these sizes, which stay the caller's. */
void conn_init(struct conn *conn, int fd, const struct conn_framing *framing, uint8_t *in,
	       size_t in_size, uint8_t *out, size_t out_size);

/* Says in conn->why what was wrong; returns -EPROTO. */
int conn_error(struct conn *conn, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Looks at the next message: conn->in holds it then.  Returns
 *   0          a whole message of the right framing, conn->msg_len bytes
 *   -EAGAIN    nothing there
 *   -EINPROGRESS  a part of a message: wait for an edge, since the fd stays readable
 *   -ENODATA   end of stream between messages
 *   -EPIPE     end of stream within a message
 *   -EPROTO    not a message of this protocol; conn->why says what
 *   other      the socket failed
 */
int conn_peek(struct conn *conn);

/*
 * From now on the socket itself tells how much of a message was looked at and not taken yet
 * (SO_PEEK_OFF), also to a successor of this process: 0 between messages.  Costs a call where a
 * message is none of the usual lengths.
 */
void conn_mark(struct conn *conn);
/* What a predecessor's mark says: bytes; 0 also where it never marked; or -errno. */
ssize_t conn_marked(int fd);
/* Takes @len bytes off the socket that a predecessor looked at, with their fds.  0 or -errno. */
int conn_drop(int fd, size_t len);
/*
 * Marked, between conn_peek() and conn_consume(): copies of the fds that came with the message's
 * first byte, which become the caller's.  (Where it has none they may be the next message's.)  0 or
 * -errno: then there are none.
 */
int conn_peek_fds(struct conn *conn, struct conn_fds *ret_fds);

/* Is there anything in the socket?  The end is something, too. */
bool conn_waiting(const struct conn *conn);

/*
 * Takes the peeked message off the stream, and its fds (CLOEXEC), which become the caller's.  0 or
 * -errno: then there are none.
 */
int conn_consume(struct conn *conn, struct conn_fds *ret_fds);

/* Room for the fds of a message, and for one more, so that a surplus is seen. */
union conn_fd_room {
	char bytes[CMSG_SPACE((CONN_MAX_FDS + 1) * sizeof(int))];
	struct cmsghdr align;
};

/* For sendmsg(): hangs @count fds, CONN_MAX_FDS at most, on the first byte of @mh. */
void conn_fds_put(struct msghdr *mh, union conn_fd_room *room, const int *fds, unsigned count);
/* For recvmsg(): gives @mh room for @max fds and a surplus. */
void conn_fds_expect(struct msghdr *mh, union conn_fd_room *room, unsigned max);
/* After it: moves what came to the others, @max in all; those beyond are closed and counted. */
void conn_fds_take(struct conn_fds *fds, struct msghdr *mh, unsigned max);

/* Closes those that nobody took over (fd_steal() leaves -1). */
void conn_fds_close(struct conn_fds *fds);

/*
 * Sends a message without fds, header and payload, as one write.  What the socket does not take is
 * kept and sent by conn_flush().  Returns 0; -EAGAIN when something is left to send; -EBUSY when an
 * earlier message still is; -EMSGSIZE; or -errno.
 */
int conn_send(struct conn *conn, const void *header, const void *payload, size_t size);
int conn_flush(struct conn *conn);

/*
 * Ends the connection for both sides: the peer sees the end and can send nothing more.  What it had
 * queued is dropped, with its fds, up to a bound that no socket buffer of usual size reaches.  The
 * fd stays open, so that its number stays taken.  Returns 0 or -errno.
 */
int conn_hang_up(struct conn *conn);

/* For the client's side: sends a message with fds, waiting as long as it takes.  0 or -errno. */
int conn_send_fds(struct conn *conn, const void *header, const void *payload, size_t size,
		  const int *fds, unsigned fd_count);

/*
 * For the client's side, where nothing but one reply without fds can be next: blocks for it and
 * takes it, in one call when it has been sent in one.  Of a longer message than @most bytes, which
 * are the header's at least, only so many are taken.  The socket must be a blocking one; its
 * SO_RCVTIMEO bounds the wait for each piece.  Returns
 *   0          conn->in holds a message of conn->msg_len bytes, or its first @most
 *   -EAGAIN    not all of it came in time
 *   -ENODATA, -EPIPE, -EPROTO, other: as conn_peek()
 */
int conn_await(struct conn *conn, size_t most);

#endif
