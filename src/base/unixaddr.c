/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/unixaddr.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/fd.h"

int unix_addr_parse(const char *name, struct unix_addr *ret_addr)
{
	struct unix_addr addr = { .sun.sun_family = AF_UNIX };
	size_t len = strlen(name);

	if (len >= sizeof(addr.sun.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun.sun_path, name, len);
	addr.len = offsetof(struct sockaddr_un, sun_path) + len;
	if (name[0] == '@')
		addr.sun.sun_path[0] = '\0';
	else
		addr.len++;		/* a path ends with a zero, an abstract name does not */
	*ret_addr = addr;
	return 0;
}

int unix_addr_connect(int fd, const struct unix_addr *addr)
{
	return connect(fd, (const struct sockaddr *)&addr->sun, addr->len) < 0 ? -errno : 0;
}

int unix_addr_ask(const struct unix_addr *addr)
{
	autofd fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int ret = fd < 0 ? -errno : unix_addr_connect(fd, addr);

	/* a datagram socket's: not one that we would make */
	return ret ? ret : -EEXIST;
}
