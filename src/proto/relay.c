/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/relay.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/num.h"

void relay_init(struct relay *r, int from, int to)
{
	*r = (struct relay){ .from = from, .to = to };
}

void relay_finish(struct relay *r)
{
	conn_fds_close(&r->fds);
}

/* How many bytes may be taken: none of the message after the one that is passing. */
static ssize_t piece_size(struct relay *r)
{
	struct mpq_header h;
	ssize_t n;

	if (r->raw)
		return sizeof(r->buf);
	if (r->header_len == sizeof(h))
		return min_u64(r->left, sizeof(r->buf));
	if (r->header_len)
		return sizeof(h) - r->header_len;
	n = recv(r->from, &h, sizeof(h), MSG_PEEK | MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	if (n < (ssize_t)sizeof(h))
		return n ? n : 1;
	return sizeof(h) + (h.size <= MPQ_MAX_PAYLOAD ? h.size : 0);
}

/* Keeps account of where in a message the piece in hand ends. */
static void advance(struct relay *r)
{
	size_t head = min_u64(r->len, sizeof(r->header) - r->header_len);

	if (r->raw)
		return;
	memcpy((uint8_t *)&r->header + r->header_len, r->buf, head);
	r->header_len += head;
	if (head && r->header_len == sizeof(r->header)) {
		r->left = r->header.size;
		r->raw = r->left > MPQ_MAX_PAYLOAD;
	}
	r->left -= r->len - head;
	if (r->header_len == sizeof(r->header) && !r->left)
		r->header_len = 0;
}

int relay_take(struct relay *r)
{
	ssize_t n = piece_size(r);
	struct iovec iov = { .iov_base = r->buf, .iov_len = n };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	union conn_fd_room room;

	if (n < 0)
		return n;
	conn_fds_expect(&mh, &room, CONN_MAX_FDS);
	n = recvmsg(r->from, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -errno;
	conn_fds_take(&r->fds, &mh, CONN_MAX_FDS);
	if (!n) {
		r->ended = true;
		return -ENODATA;
	}
	r->len = n;
	r->off = 0;
	advance(r);
	return 0;
}

int relay_give(struct relay *r)
{
	while (r->off < r->len) {
		struct iovec iov = { .iov_base = r->buf + r->off, .iov_len = r->len - r->off };
		struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
		union conn_fd_room room;
		ssize_t n;

		conn_fds_put(&mh, &room, r->fds.fd, r->fds.count);
		n = sendmsg(r->to, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return -errno;
		conn_fds_close(&r->fds);
		r->off += n;
	}
	r->len = r->off = 0;
	return 0;
}
