/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/conn.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "proto/conn-priv.h"

/*
 * Reads that a hang-up makes at the most.  One takes 4 KiB, or what came with one set of fds; the
 * usual send buffer of 208 KiB holds some 600 of the smallest messages.
 */
#define DRAIN_READS 4096

void conn_init(struct conn *conn, int fd, const struct conn_framing *framing, uint8_t *in,
	       size_t in_size, uint8_t *out, size_t out_size)
{
	*conn = (struct conn){
		.fd = fd, .framing = framing, .in = in, .in_size = in_size,
		.out = out, .out_size = out_size,
	};
	/* A process that died inside conn_peek() has left its offset on the socket. */
	conn_set_peek_offset(fd, -1);
}

int conn_error(struct conn *conn, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(conn->why, sizeof(conn->why), fmt, ap);
	va_end(ap);
	return -EPROTO;
}

/*
 * A plain peek ends with the segment that carries fds.  Peeking on from an offset goes beyond it:
 * looks at up to one whole message, however many pieces it came in.  Returns the bytes seen.
 */
static size_t peek_pieces(struct conn *conn)
{
	size_t got = 0, want = conn->framing->header;
	ssize_t n = 0;

	conn_set_peek_offset(conn->fd, 0);
	while (got < want) {
		n = conn_look(conn->fd, conn->in + got, want - got);
		if (n <= 0)
			break;
		got += n;
		if (got == conn->framing->header)
			conn->framing->length(conn, &want);
	}
	conn_set_peek_offset(conn->fd, -1);
	return got;
}

/* Is a whole message there, of the @n bytes seen, or the header of one that cannot be? */
static int check_whole(struct conn *conn, size_t n, bool *ret_whole)
{
	size_t len;
	int ret;

	*ret_whole = false;
	if (n < conn->framing->header)
		return 0;
	ret = conn->framing->length(conn, &len);
	if (ret)
		return ret;
	*ret_whole = n >= len;
	conn->msg_len = *ret_whole ? len : 0;
	return 0;
}

/* Takes @len bytes of the message at most, and their fds.  Bytes, 0 at the end; or -errno. */
static ssize_t take(struct conn *conn, size_t len)
{
	unsigned max = conn->framing->max_fds;
	struct iovec iov = { .iov_base = conn->in + conn->taken, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	union conn_fd_room room;
	ssize_t n;

	conn_fds_expect(&mh, &room, max);
	do
		n = recvmsg(conn->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	conn_fds_take(&conn->fds, &mh, max);
	conn->taken += n;
	return n;
}

/* The next pieces of a long message, as far as they are there. */
static int take_pieces(struct conn *conn, size_t len)
{
	while (conn->taken < len) {
		ssize_t n = take(conn, len - conn->taken);

		if (n == -EAGAIN)
			return -EINPROGRESS;
		if (n <= 0)
			return n == 0 || n == -ECONNRESET ? -EPIPE : n;
	}
	conn->msg_len = len;
	return 0;
}

static bool hung_up(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP);
}

/*
 * The first look saw a part of a message.  Is the rest there, still to come, or never to come?  The
 * hang-up is asked for before the second look: what came before it is seen then.
 */
static int peek_rest(struct conn *conn)
{
	bool gone = hung_up(conn->fd), whole;
	size_t seen = peek_pieces(conn), len = 0;
	int ret = check_whole(conn, seen, &whole);

	if (ret || whole)
		return ret;
	if (seen >= conn->framing->header)
		conn->framing->length(conn, &len);
	if (len > conn->framing->look)
		return take_pieces(conn, len);
	return gone ? -EPIPE : -EINPROGRESS;
}

int conn_peek(struct conn *conn)
{
	ssize_t first;
	size_t len;
	bool whole;
	int ret;

	conn->msg_len = 0;
	if (conn->taken) {
		ret = conn->framing->length(conn, &len);
		return ret ? ret : take_pieces(conn, len);
	}
	if (conn->marked)
		return conn_peek_marked(conn);
	first = conn_look(conn->fd, conn->in, conn->framing->look);
	/* Closed with our replies unread is as good an end as any. */
	if (first == 0 || first == -ECONNRESET)
		return -ENODATA;
	if (first < 0)
		return first;
	ret = check_whole(conn, first, &whole);
	return ret || whole ? ret : peek_rest(conn);
}

bool conn_waiting(const struct conn *conn)
{
	uint8_t byte;

	return conn_look(conn->fd, &byte, sizeof(byte)) >= 0;
}

int conn_consume(struct conn *conn, struct conn_fds *ret_fds)
{
	size_t len = conn->msg_len;
	ssize_t n = 1;

	conn->msg_len = 0;
	while (conn->taken < len && n > 0)
		n = take(conn, len - conn->taken);
	conn->taken = conn->seen = 0;
	if (n <= 0) {
		conn_fds_close(&conn->fds);
		return n < 0 ? n : -EPIPE;
	}
	*ret_fds = conn->fds;
	conn->fds = (struct conn_fds){ 0 };
	return 0;
}

int conn_flush(struct conn *conn)
{
	while (conn->out_off < conn->out_len) {
		ssize_t n = send(conn->fd, conn->out + conn->out_off, conn->out_len - conn->out_off,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EWOULDBLOCK ? -EAGAIN : -errno;
		conn->out_off += n;
	}
	conn->out_len = conn->out_off = 0;
	return 0;
}

/* Puts the message into conn->out. */
static int stage(struct conn *conn, const void *header, const void *payload, size_t size)
{
	size_t head = conn->framing->header;

	if (conn->out_len)
		return -EBUSY;
	if (size > conn->out_size - head)
		return -EMSGSIZE;
	memcpy(conn->out, header, head);
	if (size)
		memcpy(conn->out + head, payload, size);
	conn->out_len = head + size;
	conn->out_off = 0;
	return 0;
}

int conn_send(struct conn *conn, const void *header, const void *payload, size_t size)
{
	int ret = stage(conn, header, payload, size);

	return ret ? ret : conn_flush(conn);
}

int conn_hang_up(struct conn *conn)
{
	char dropped[4096];
	int ret = shutdown(conn->fd, SHUT_RDWR) < 0 ? -errno : 0;

	conn->msg_len = conn->taken = conn->seen = conn->out_len = conn->out_off = 0;
	conn_fds_close(&conn->fds);
	/* No room for fds is given, so the kernel closes those that come up. */
	for (unsigned i = 0; i < DRAIN_READS; i++) {
		ssize_t n = recv(conn->fd, dropped, sizeof(dropped), MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno != EINTR))
			break;
	}
	return ret;
}

/* Sends the head of conn->out, with the fds on its first byte. */
static int send_head(struct conn *conn, const int *fds, unsigned fd_count)
{
	struct iovec iov = { .iov_base = conn->out, .iov_len = conn->out_len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	union conn_fd_room room;
	ssize_t n;

	conn_fds_put(&mh, &room, fds, fd_count);
	do
		n = sendmsg(conn->fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	conn->out_off = n;
	return 0;
}

static int wait_for_room(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, -1) < 0 && errno != EINTR ? -errno : 0;
}

int conn_send_fds(struct conn *conn, const void *header, const void *payload, size_t size,
		  const int *fds, unsigned fd_count)
{
	int ret = fd_count > conn->framing->max_fds ? -EMSGSIZE :
		  stage(conn, header, payload, size);

	if (ret)
		return ret;
	while ((ret = send_head(conn, fds, fd_count)) == -EAGAIN) {
		ret = wait_for_room(conn->fd);
		if (ret)
			break;
	}
	while (!ret && (ret = conn_flush(conn)) == -EAGAIN)
		ret = wait_for_room(conn->fd);
	if (ret)
		conn->out_len = conn->out_off = 0;
	return ret;
}
