/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/reconnect.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "applets/remote/keeper.h"
#include "base/fd.h"
#include "base/log.h"

/* ---- Who has the other end ---- */

union answer {
	struct nlmsghdr head;
	char room[1024];	/* with UDIAG_SHOW_PEER alone: under 100 bytes */
};

/* The length of the answer, or -errno. */
static int ask(int fd, union answer *ret_answer)
{
	struct {
		struct nlmsghdr head;
		struct unix_diag_req req;
	} ask = {
		.head = {
			.nlmsg_len = sizeof(ask), .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST,
		},
		.req = {
			.sdiag_family = AF_UNIX, .udiag_states = UINT32_MAX,
			.udiag_show = UDIAG_SHOW_PEER, .udiag_cookie = { UINT32_MAX, UINT32_MAX },
		},
	};
	autofd diag = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	struct stat st;
	ssize_t len;

	if (diag < 0 || fstat(fd, &st) < 0)
		return -errno;
	ask.req.udiag_ino = st.st_ino;
	if (send(diag, &ask, sizeof(ask), 0) < 0)
		return -errno;
	/* The kernel has answered before send() returned. */
	len = recv(diag, ret_answer, sizeof(*ret_answer), MSG_DONTWAIT);
	return len < 0 ? -errno : len;
}

/* The inode of the other end: 0 once it has been closed (or not been accepted). */
static int peer_inode(union answer *answer, int len, uint32_t *ret_inode)
{
	const struct nlmsgerr *err = NLMSG_DATA(&answer->head);
	struct unix_diag_msg *msg = NLMSG_DATA(&answer->head);
	struct rtattr *attr = (struct rtattr *)(msg + 1);

	if (!NLMSG_OK(&answer->head, (unsigned)len))
		return -EIO;
	if (answer->head.nlmsg_type == NLMSG_ERROR &&
	    answer->head.nlmsg_len >= NLMSG_LENGTH(sizeof(*err)))
		return err->error ? err->error : -EIO;
	len = (int)answer->head.nlmsg_len - (int)NLMSG_LENGTH(sizeof(*msg));
	for (; RTA_OK(attr, len); attr = RTA_NEXT(attr, len))
		if (attr->rta_type == UNIX_DIAG_PEER && RTA_PAYLOAD(attr) == sizeof(*ret_inode)) {
			*ret_inode = *(uint32_t *)RTA_DATA(attr);
			return 0;
		}
	return -ENODATA;
}

int reconnect_is_held(int fd)
{
	union answer answer;
	uint32_t inode;
	int ret = ask(fd, &answer);

	if (ret >= 0)
		ret = peer_inode(&answer, ret, &inode);
	return ret ? ret : inode != 0;
}

/* ---- The disks ---- */

static bool is_nbd(const struct keeper *k, unsigned disk)
{
	return k->spec->disk[disk].image.kind == SPEC_IMAGE_NBD;
}

/* By the inode: its name may be gone, or stand for another server by now. */
static int connect_to(int place)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d", place);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	return fd_steal(&fd);
}

static int connect_disk(const struct keeper *k, unsigned disk)
{
	autofd fd = connect_to(k->place[disk]);

	/* Its queue is full. */
	if (fd == -EAGAIN)
		return -EBUSY;
	if (fd >= 0 && dup3(fd, k->image[disk], O_CLOEXEC) >= 0)
		return 0;
	return fd < 0 ? fd : -errno;
}

static int end_disk(const struct keeper *k, unsigned disk)
{
	int held;

	/* ENOTCONN: again. */
	shutdown(k->image[disk], SHUT_RDWR);
	held = reconnect_is_held(k->image[disk]);
	return held > 0 ? -EBUSY : held;
}

/* All of @each; -EBUSY does not stop it. */
static int for_disks(const struct keeper *k, int (*each)(const struct keeper *, unsigned))
{
	int all = 0;

	for (unsigned i = 0; i < k->spec->disk_count; i++) {
		int ret = is_nbd(k, i) ? each(k, i) : 0;

		if (ret && ret != -EBUSY) {
			log_error("%s: no connection to its storage for a successor: %s",
				  k->spec->disk[i].unit.id, log_errname(ret));
			return ret;
		}
		all = ret ? ret : all;
	}
	return all;
}

int reconnect_disks(const struct keeper *keeper)
{
	int ret = for_disks(keeper, end_disk);

	return ret ? ret : for_disks(keeper, connect_disk);
}
