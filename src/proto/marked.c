/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <sys/socket.h>

#include "proto/conn-priv.h"

/*
 * A connection whose socket remembers how far into a message its reader has looked.  The offset
 * moves with each look and back with each byte that is taken, by the kernel, in the same call; it
 * is the open socket's and outlives the process.
 */

/* What most messages have, in any protocol: one look is enough for these. */
#define USUAL 40

void conn_mark(struct conn *conn)
{
	conn->marked = true;
	conn->seen = 0;
	conn_set_peek_offset(conn->fd, 0);
}

ssize_t conn_marked(int fd)
{
	socklen_t len = sizeof(int);
	int off;

	if (getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &off, &len) < 0)
		return -errno;
	return off < 0 ? 0 : off;
}

int conn_drop(int fd, size_t len)
{
	uint8_t dropped[256];

	while (len) {
		size_t part = len < sizeof(dropped) ? len : sizeof(dropped);
		/* no room for fds is given: the kernel closes them */
		ssize_t n = recv(fd, dropped, part, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EPIPE;
		len -= n;
	}
	return 0;
}

/* What the next look has to ask for at least; a header that cannot be is told. */
static int wanted(struct conn *conn, size_t *ret_want)
{
	if (conn->seen >= conn->framing->header)
		return conn->framing->length(conn, ret_want);
	*ret_want = USUAL < conn->in_size ? USUAL : conn->in_size;
	return 0;
}

static int no_more(const struct conn *conn, ssize_t n)
{
	/* Closed with our replies unread is as good an end as any. */
	if (n == 0 || n == -ECONNRESET)
		return conn->seen ? -EPIPE : -ENODATA;
	return n == -EAGAIN && conn->seen ? -EINPROGRESS : n;
}

int conn_peek_marked(struct conn *conn)
{
	size_t want;
	ssize_t n;
	int ret;

	while (!(ret = wanted(conn, &want)) &&
	       (conn->seen < conn->framing->header || conn->seen < want)) {
		n = conn_look(conn->fd, conn->in + conn->seen, want - conn->seen);
		if (n <= 0)
			return no_more(conn, n);
		conn->seen += n;
	}
	if (ret)
		return ret;
	if (conn->seen > want)
		conn_set_peek_offset(conn->fd, want);
	conn->seen = conn->msg_len = want;
	return 0;
}

/*
 * They come with the first byte.  A look that ends with a segment has the fds of the next one, too,
 * without a byte of it: so no fds are taken behind the first piece.
 */
int conn_peek_fds(struct conn *conn, struct conn_fds *ret_fds)
{
	unsigned max = conn->framing->max_fds;
	struct iovec iov = { .iov_base = conn->in, .iov_len = conn->msg_len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct conn_fds fds = { 0 };
	union conn_fd_room room;
	ssize_t n;

	conn_set_peek_offset(conn->fd, 0);
	conn_fds_expect(&mh, &room, max);
	do
		n = recvmsg(conn->fd, &mh, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : -EPIPE;
	conn_fds_take(&fds, &mh, max);
	if ((size_t)n < conn->msg_len)
		conn_set_peek_offset(conn->fd, conn->msg_len);
	*ret_fds = fds;
	return 0;
}
