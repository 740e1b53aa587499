/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "control/packet.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

int packet_send(int fd, const void *msg, size_t size)
{
	ssize_t n;

	do
		n = send(fd, msg, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	return 0;
}

int packet_nothing(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP) ? -ENODATA : -EPROTO;
}

ssize_t packet_recv(int fd, void *msg, size_t size)
{
	ssize_t n;

	/*
	 * MSG_TRUNC: the packet's real length, so that a longer one is seen.  ECONNRESET (it closed
	 * with something of ours unread) comes once, before what it had still sent.
	 */
	do
		n = recv(fd, msg, size, MSG_DONTWAIT | MSG_TRUNC);
	while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	return n ? n : packet_nothing(fd);
}
