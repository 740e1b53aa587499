/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PROTO_FDPASS_H
#define PROTO_FDPASS_H

/* One fd with one packet, by SCM_RIGHTS (unix(7)), for what is no peer's protocol.  Never waits. */

#include <stddef.h>
#include <sys/types.h>

struct conn_fds;

/* Sends @len bytes and @passed, which stays the caller's.  0, -EAGAIN (all is full) or -errno. */
int fdpass_send(int sock, const void *buf, size_t len, int passed);

/*
 * Takes a packet of up to @len bytes.  Returns its real length, which may be more (MSG_TRUNC), or
 * -errno.  What came with it: *ret_fd, owned by the caller (CLOEXEC); FDPASS_NONE; or
 * FDPASS_WRONG, when it was more than one or could not be had: then none is left open.
 */
ssize_t fdpass_recv(int sock, void *buf, size_t len, int *ret_fd);

/* The same with @count fds, and up to @max: what came is the caller's to close. */
int fdpass_send_all(int sock, const void *buf, size_t len, const int *passed, unsigned count);
/*
 * The same for who may wait: the kernel refuses fds while too many of this user are on their way,
 * anybody's, against the sender's RLIMIT_NOFILE (ETOOMANYREFS in unix(7)).  That has 5 s to pass;
 * a full socket has not.
 */
int fdpass_give(int sock, const void *buf, size_t len, const int *passed, unsigned count);
ssize_t fdpass_recv_all(int sock, void *buf, size_t len, unsigned max, struct conn_fds *ret_fds);

#define FDPASS_NONE (-1)
#define FDPASS_WRONG (-2)

#endif
