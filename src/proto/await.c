/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <sys/socket.h>

#include "proto/conn.h"

static ssize_t receive(struct conn *conn, size_t len, bool *ret_fds)
{
	struct iovec iov = { .iov_base = conn->in + conn->taken, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	do
		n = recvmsg(conn->fd, &mh, 0);
	while (n < 0 && errno == EINTR);
	/* No room for fds was given, so the kernel has closed what came. */
	*ret_fds = n > 0 && mh.msg_flags & MSG_CTRUNC;
	return n < 0 ? -errno : n;
}

/* The next bytes, and what the header says when it is there: more than zero, or -errno. */
static int receive_piece(struct conn *conn, size_t most, size_t *len)
{
	bool fds;
	ssize_t n = receive(conn, most - conn->taken, &fds);

	if (n == 0 || n == -ECONNRESET)
		return conn->taken ? -EPIPE : -ENODATA;
	if (n < 0)
		return n;
	if (fds)
		return conn_error(conn, "a message with file descriptors, expected none");
	conn->taken += n;
	return conn->taken < conn->framing->header ? 0 : conn->framing->length(conn, len);
}

int conn_await(struct conn *conn, size_t most)
{
	size_t len = most;
	int ret = 0;

	conn->msg_len = 0;
	while (!ret && conn->taken < most && conn->taken < len)
		ret = receive_piece(conn, most, &len);
	conn->taken = 0;
	if (!ret)
		conn->msg_len = len;
	return ret;
}
