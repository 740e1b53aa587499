/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/conn.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADER sizeof(struct mpq_header)

/*
 * Reads that a hang-up makes at the most.  One takes 4 KiB, or what came with one set of fds; the
 * usual send buffer of 208 KiB holds some 600 of the smallest messages.
 */
#define DRAIN_READS 4096

/*
 * Room for one fd more than a message may carry, so that a surplus is seen.  What goes beyond that
 * the kernel drops and says so (MSG_CTRUNC).
 */
union fd_buffer {
	char bytes[CMSG_SPACE((MPQ_MAX_FDS + 1) * sizeof(int))];
	struct cmsghdr align;
};

static void set_peek_offset(int fd, int off)
{
	setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off));
}

void conn_init(struct conn *conn, int fd, enum mpq_sender peer)
{
	*conn = (struct conn){ .fd = fd, .peer = peer };
	/* A process that died inside conn_peek() has left its offset on the socket. */
	set_peek_offset(fd, -1);
}

static int protocol_error(struct conn *conn, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static int protocol_error(struct conn *conn, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(conn->why, sizeof(conn->why), fmt, ap);
	va_end(ap);
	return -EPROTO;
}

/* Is it a message that the peer may send, of a size that it may have? */
static int check_header(struct conn *conn, const struct mpq_header *h)
{
	const struct mpq_rule *rule = mpq_rule(h->cmd);

	if (!rule)
		return protocol_error(conn, "unknown command %d", h->cmd);
	if (rule->sender != conn->peer)
		return protocol_error(conn, "%s comes from the wrong side", rule->name);
	if (h->size < rule->size_min || h->size > rule->size_max)
		return protocol_error(conn, "%s with %llu bytes of payload, expected %u",
				      rule->name, (unsigned long long)h->size, rule->size_max);
	if (h->cmd == MPQ_RET && h->size != 0 && h->size != 8)
		return protocol_error(conn, "RET with %llu bytes of payload, expected 0 or 8",
				      (unsigned long long)h->size);
	return 0;
}

/* recv() that is not disturbed by signals. */
static ssize_t peek(int fd, void *buf, size_t len)
{
	ssize_t n;

	do
		n = recv(fd, buf, len, MSG_PEEK | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

struct incoming {
	struct mpq_header header;
	uint8_t payload[MPQ_MAX_PAYLOAD];
};

/*
 * A plain peek ends with the segment that carries fds.  Peeking on from an offset goes beyond it:
 * looks at up to one whole message, however many pieces it came in.  Returns the bytes seen.
 */
static ssize_t peek_pieces(struct conn *conn, struct incoming *in)
{
	size_t got = 0, want = HEADER;
	ssize_t n = 0;

	set_peek_offset(conn->fd, 0);
	while (got < want) {
		n = peek(conn->fd, (uint8_t *)in + got, want - got);
		if (n <= 0)
			break;
		got += n;
		if (got == HEADER && !check_header(conn, &in->header))
			want = HEADER + in->header.size;
	}
	set_peek_offset(conn->fd, -1);
	return got;
}

static bool whole(const struct incoming *in, size_t n)
{
	return n >= HEADER && (in->header.size > MPQ_MAX_PAYLOAD || n >= HEADER + in->header.size);
}

/*
 * The first look saw a part of a message.  Is the rest there, still to come, or never to come?  The
 * hang-up is asked for before the second look: what came before it is seen then.
 */
static int peek_rest(struct conn *conn, struct incoming *in, size_t *n)
{
	struct pollfd p = { .fd = conn->fd, .events = POLLRDHUP };
	bool gone = poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP);

	*n = peek_pieces(conn, in);
	if (whole(in, *n))
		return 0;
	return gone ? -EPIPE : -EINPROGRESS;
}

int conn_peek(struct conn *conn, struct mpq_msg *msg)
{
	struct incoming in;
	ssize_t first = peek(conn->fd, &in, sizeof(in));
	size_t n = first;
	int ret = 0;

	/* Closed with our replies unread is as good an end as any. */
	if (first == 0 || first == -ECONNRESET)
		return -ENODATA;
	if (first < 0)
		return first;
	if (!whole(&in, n))
		ret = peek_rest(conn, &in, &n);
	if (n >= HEADER) {
		int bad = check_header(conn, &in.header);

		if (bad)
			return bad;
	}
	if (ret)
		return ret;
	msg->cmd = in.header.cmd;
	msg->size = in.header.size;
	msg->fd_count = 0;
	memcpy(&msg->u, in.payload, msg->size);
	conn->msg_len = HEADER + msg->size;
	return 0;
}

/* Moves every fd of @mh into the message; those that find no room are closed. */
static unsigned take_fds(struct msghdr *mh, struct mpq_msg *msg)
{
	unsigned surplus = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (msg->fd_count < MPQ_MAX_FDS) {
				msg->fd[msg->fd_count++] = fd;
			} else {
				close(fd);
				surplus++;
			}
		}
	}
	return surplus;
}

static int check_fds(struct conn *conn, struct mpq_msg *msg, unsigned surplus, int flags)
{
	const struct mpq_rule *rule = mpq_rule(msg->cmd);
	unsigned count = msg->fd_count + surplus;

	if (!(flags & MSG_CTRUNC) && count >= rule->fd_min && count <= rule->fd_max)
		return 0;
	mpq_msg_close(msg);
	if (flags & MSG_CTRUNC)
		return protocol_error(conn, "%s with more file descriptors than fit (%u arrived)",
				      rule->name, count);
	return protocol_error(conn, "%s with %u file descriptors, expected %u..%u", rule->name,
			      count, rule->fd_min, rule->fd_max);
}

int conn_consume(struct conn *conn, struct mpq_msg *msg)
{
	uint8_t scratch[HEADER + MPQ_MAX_PAYLOAD];
	union fd_buffer control;
	size_t left = conn->msg_len;
	unsigned surplus = 0;
	int flags = 0;

	conn->msg_len = 0;
	while (left) {
		struct iovec iov = { .iov_base = scratch, .iov_len = left };
		struct msghdr mh = {
			.msg_iov = &iov, .msg_iovlen = 1,
			.msg_control = &control, .msg_controllen = sizeof(control),
		};
		ssize_t n = recvmsg(conn->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int err = n < 0 ? -errno : -EPIPE;

			mpq_msg_close(msg);
			return err;
		}
		surplus += take_fds(&mh, msg);
		flags |= mh.msg_flags;
		left -= n;
	}
	return check_fds(conn, msg, surplus, flags);
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

int conn_send(struct conn *conn, enum mpq_cmd cmd, const void *payload, size_t size)
{
	struct mpq_header h = { .cmd = cmd, .size = size };

	if (conn->out_len)
		return -EBUSY;
	if (size > MPQ_MAX_PAYLOAD)
		return -EMSGSIZE;
	memcpy(conn->out, &h, HEADER);
	if (size)
		memcpy(conn->out + HEADER, payload, size);
	conn->out_len = HEADER + size;
	return conn_flush(conn);
}

int conn_hang_up(struct conn *conn)
{
	char dropped[4096];
	int ret = shutdown(conn->fd, SHUT_RDWR) < 0 ? -errno : 0;

	conn->msg_len = conn->out_len = conn->out_off = 0;
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
	union fd_buffer control = { 0 };
	struct iovec iov = { .iov_base = conn->out, .iov_len = conn->out_len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;
	ssize_t n;

	if (fd_count) {
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
	}
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

int conn_send_fds(struct conn *conn, enum mpq_cmd cmd, const void *payload, size_t size,
		  const int *fds, unsigned fd_count)
{
	struct mpq_header h = { .cmd = cmd, .size = size };
	int ret;

	if (conn->out_len)
		return -EBUSY;
	if (size > MPQ_MAX_PAYLOAD || fd_count > MPQ_MAX_FDS)
		return -EMSGSIZE;
	memcpy(conn->out, &h, HEADER);
	if (size)
		memcpy(conn->out + HEADER, payload, size);
	conn->out_len = HEADER + size;
	conn->out_off = 0;
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
