/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PROTO_CONN_PRIV_H
#define PROTO_CONN_PRIV_H

#include <errno.h>
#include <sys/socket.h>

#include "proto/conn.h"

/* Where the next look begins (SO_PEEK_OFF); -1: at the start, and a look moves nothing. */
static inline void conn_set_peek_offset(int fd, int off)
{
	setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off));
}

/* recv() that takes nothing and is not disturbed by signals.  Bytes, 0 at the end; or -errno. */
static inline ssize_t conn_look(int fd, void *buf, size_t len)
{
	ssize_t n;

	do
		n = recv(fd, buf, len, MSG_PEEK | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* conn_peek() of a marked connection. */
int conn_peek_marked(struct conn *conn);

#endif
