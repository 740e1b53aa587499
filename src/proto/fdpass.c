/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/fdpass.h"

#include <errno.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/fd.h"
#include "proto/conn.h"

int fdpass_send(int sock, const void *buf, size_t len, int passed)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	union conn_fd_room room;
	ssize_t n;

	conn_fds_put(&mh, &room, &passed, 1);
	do
		n = sendmsg(sock, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	return 0;
}

ssize_t fdpass_recv(int sock, void *buf, size_t len, int *ret_fd)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct conn_fds fds = { 0 };
	union conn_fd_room room;
	ssize_t n;

	conn_fds_expect(&mh, &room, 1);
	do
		n = recvmsg(sock, &mh, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	conn_fds_take(&fds, &mh, 1);
	if (fds.surplus || fds.lost)
		*ret_fd = FDPASS_WRONG;
	else
		*ret_fd = fds.count ? fd_steal(&fds.fd[0]) : FDPASS_NONE;
	conn_fds_close(&fds);
	return n;
}
