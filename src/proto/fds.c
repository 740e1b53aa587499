/* SPDX-License-Identifier: GPL-2.0-or-later */
/* File descriptors that come and go with messages: SCM_RIGHTS, unix(7). */
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "proto/conn.h"

void conn_fds_put(struct msghdr *mh, union conn_fd_room *room, const int *fds, unsigned count)
{
	struct cmsghdr *c;

	if (!count)
		return;
	memset(room, 0, sizeof(*room));
	mh->msg_control = room;
	mh->msg_controllen = CMSG_SPACE(count * sizeof(int));
	c = CMSG_FIRSTHDR(mh);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(c), fds, count * sizeof(int));
}

/* What goes beyond that the kernel drops and says so (MSG_CTRUNC). */
void conn_fds_expect(struct msghdr *mh, union conn_fd_room *room, unsigned max)
{
	mh->msg_control = room;
	mh->msg_controllen = CMSG_SPACE((max + 1) * sizeof(int));
}

void conn_fds_take(struct conn_fds *fds, struct msghdr *mh, unsigned max)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (fds->count < max) {
				fds->fd[fds->count++] = fd;
			} else {
				close(fd);
				fds->surplus++;
			}
		}
	}
	fds->lost |= mh->msg_flags & MSG_CTRUNC;
}

void conn_fds_close(struct conn_fds *fds)
{
	for (unsigned i = 0; i < fds->count; i++)
		fd_close(&fds->fd[i]);
	*fds = (struct conn_fds){ 0 };
}
