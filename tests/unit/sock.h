/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_UNIT_SOCK_H
#define TESTS_UNIT_SOCK_H

/* A peer's side of a connection: bytes with file descriptors of any number. */

#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <glib.h>

#define SOCK_MAX_FDS 64

/* Sends the bytes, with the fds on their first one; sendmsg()'s value. */
static inline ssize_t sock_send(int sock, const void *bytes, size_t len, const int *fds,
				unsigned fd_count, int flags)
{
	union {
		char bytes[CMSG_SPACE(SOCK_MAX_FDS * sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	g_assert_cmpuint(fd_count, <=, SOCK_MAX_FDS);
	if (fd_count) {
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, fd_count * sizeof(int));
	}
	return sendmsg(sock, &mh, flags | MSG_NOSIGNAL);
}

#endif
