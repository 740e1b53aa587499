/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/fdpass.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/fd.h"
#include "proto/conn.h"

#define PATIENCE 5000	/* ms */

int fdpass_send_all(int sock, const void *buf, size_t len, const int *passed, unsigned count)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	union conn_fd_room room;
	ssize_t n;

	conn_fds_put(&mh, &room, passed, count);
	do
		n = sendmsg(sock, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	return 0;
}

int fdpass_give(int sock, const void *buf, size_t len, const int *passed, unsigned count)
{
	int ret = fdpass_send_all(sock, buf, len, passed, count);

	for (int ms = 0; ret == -ETOOMANYREFS && ms < PATIENCE; ms++) {
		poll(NULL, 0, 1);
		ret = fdpass_send_all(sock, buf, len, passed, count);
	}
	return ret;
}

int fdpass_send(int sock, const void *buf, size_t len, int passed)
{
	return fdpass_send_all(sock, buf, len, &passed, 1);
}

ssize_t fdpass_recv_all(int sock, void *buf, size_t len, unsigned max, struct conn_fds *ret_fds)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	union conn_fd_room room;
	ssize_t n;

	*ret_fds = (struct conn_fds){ 0 };
	conn_fds_expect(&mh, &room, max);
	do
		n = recvmsg(sock, &mh, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	conn_fds_take(ret_fds, &mh, max);
	return n;
}

ssize_t fdpass_recv(int sock, void *buf, size_t len, int *ret_fd)
{
	struct conn_fds fds;
	ssize_t n = fdpass_recv_all(sock, buf, len, 1, &fds);

	if (n < 0)
		return n;
	if (fds.surplus || fds.lost)
		*ret_fd = FDPASS_WRONG;
	else
		*ret_fd = fds.count ? fd_steal(&fds.fd[0]) : FDPASS_NONE;
	conn_fds_close(&fds);
	return n;
}
