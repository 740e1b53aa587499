/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/fdpass.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Room for one more than is wanted, so that a surplus is seen. */
#define FDS 2

union fd_buffer {
	char bytes[CMSG_SPACE(FDS * sizeof(int))];
	struct cmsghdr align;
};

int fdpass_send(int sock, const void *buf, size_t len, int passed)
{
	union fd_buffer control = { .bytes = { 0 } };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
		.msg_controllen = CMSG_SPACE(sizeof(int)),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	ssize_t n;

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &passed, sizeof(int));
	do
		n = sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	return 0;
}

/* All that came, of which the first @room go to @fd.  Returns how many there were. */
static unsigned collect(struct msghdr *msg, int *fd, unsigned room)
{
	unsigned count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		unsigned n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (unsigned i = 0; i < n && count < room; i++)
			memcpy(&fd[count++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
	}
	return count;
}

ssize_t fdpass_recv(int sock, void *buf, size_t len, int *ret_fd)
{
	union fd_buffer control;
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	unsigned count;
	int fd[FDS];
	ssize_t n;

	do
		n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	count = collect(&msg, fd, FDS);
	if (count == 1 && !(msg.msg_flags & MSG_CTRUNC)) {
		*ret_fd = fd[0];
		return n;
	}
	*ret_fd = count || msg.msg_flags & MSG_CTRUNC ? FDPASS_WRONG : FDPASS_NONE;
	while (count > 0)
		close(fd[--count]);
	return n;
}
