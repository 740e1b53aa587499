/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "control/channel.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

static const enum ctl_sender senders[CTL_TYPE_COUNT] = {
	[CTL_READY] = CTL_FROM_DEVICE,
	[CTL_STOP] = CTL_FROM_KEEPER,
	[CTL_HELD] = CTL_FROM_DEVICE,
	[CTL_RETRY] = CTL_FROM_KEEPER,
	[CTL_RETRY_LATER] = CTL_FROM_KEEPER,
};

/* Bits 0..7 disk, 8 write, 16..27 errno. */
uint32_t ctl_held_pack(const struct ctl_held *held)
{
	return (held->disk & 0xff) | (uint32_t)held->write << 8 |
	       (uint32_t)(held->err & 0xfff) << 16;
}

bool ctl_held_unpack(uint32_t arg, unsigned disk_count, struct ctl_held *ret_held)
{
	struct ctl_held held = { arg & 0xff, arg >> 8 & 1, arg >> 16 & 0xfff };

	if (held.disk >= disk_count || !held.err || ctl_held_pack(&held) != arg)
		return false;
	*ret_held = held;
	return true;
}

int ctl_send(int fd, enum ctl_type type, uint32_t arg)
{
	struct ctl_msg msg = { .type = type, .arg = arg };
	ssize_t n;

	do
		n = send(fd, &msg, sizeof(msg), MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	return 0;
}

/* Nothing was received: is the other end gone, or was it a packet without a byte? */
static int nothing(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP) ? -ENODATA : -EPROTO;
}

int ctl_recv(int fd, enum ctl_sender sender, struct ctl_msg *ret_msg)
{
	struct ctl_msg msg;
	ssize_t n;

	/*
	 * MSG_TRUNC: the packet's real length, so that a longer one is seen.  ECONNRESET (it closed
	 * with something of ours unread) comes once, before what it had still sent.
	 */
	do
		n = recv(fd, &msg, sizeof(msg), MSG_DONTWAIT | MSG_TRUNC);
	while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	if (n == 0)
		return nothing(fd);
	if (n != sizeof(msg) || msg.type >= CTL_TYPE_COUNT || senders[msg.type] != sender)
		return -EPROTO;
	*ret_msg = msg;
	return 0;
}
