/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BASE_UNIXADDR_H
#define BASE_UNIXADDR_H

#include <sys/socket.h>
#include <sys/un.h>

/* Of a UNIX socket, for connect(2) and bind(2): unix(7). */
struct unix_addr {
	struct sockaddr_un sun;
	socklen_t len;
};

/*
 * @name is a path, or "@NAME" for an abstract address, as QEMU's options have it.  Returns 0, or
 * -ENAMETOOLONG.
 */
int unix_addr_parse(const char *name, struct unix_addr *ret_addr);

/*
 * Has anybody the socket at @addr?  A datagram socket cannot be connected to another kind, and the
 * kernel says so where there is one, which hears nothing of the question.  Never 0: -EPROTOTYPE
 * somebody has it; -ECONNREFUSED the name was left behind; -ENOENT there is none; or -errno.
 */
int unix_addr_ask(const struct unix_addr *addr);

/* connect(2).  Returns 0 or -errno. */
int unix_addr_connect(int fd, const struct unix_addr *addr);

#endif
