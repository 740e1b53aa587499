/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "control/channel.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "control/packet.h"
#include "proto/conn.h"
#include "proto/fdpass.h"

static const enum ctl_sender senders[CTL_TYPE_COUNT] = {
	[CTL_READY] = CTL_FROM_DEVICE,
	[CTL_STOP] = CTL_FROM_KEEPER,
	[CTL_HELD] = CTL_FROM_DEVICE,
	[CTL_RETRY] = CTL_FROM_KEEPER,
	[CTL_RETRY_LATER] = CTL_FROM_KEEPER,
	[CTL_PEER] = CTL_FROM_KEEPER,
	[CTL_PEER_GONE] = CTL_FROM_DEVICE,
	[CTL_PAUSE] = CTL_FROM_KEEPER,
	[CTL_RESUME] = CTL_FROM_KEEPER,
	[CTL_PAUSED] = CTL_FROM_DEVICE,
	[CTL_KEEP] = CTL_FROM_DEVICE,
	[CTL_KEPT] = CTL_FROM_KEEPER,
	[CTL_KEPT_ALL] = CTL_FROM_KEEPER,
	[CTL_PING] = CTL_FROM_KEEPER,
	[CTL_PONG] = CTL_FROM_DEVICE,
};

/* Bits 0..7 device, 8..15 kind, 16..31 epoch. */
uint32_t ctl_keep_pack(const struct ctl_keep *keep)
{
	return keep->device | (uint32_t)keep->kind << 8 | (uint32_t)keep->epoch << 16;
}

bool ctl_keep_unpack(uint32_t arg, unsigned device_count, struct ctl_keep *ret_keep)
{
	struct ctl_keep keep = { arg & 0xff, arg >> 8 & 0xff, arg >> 16 };

	if (keep.device >= device_count || keep.kind >= CTL_KEEP_KINDS)
		return false;
	*ret_keep = keep;
	return true;
}

/* Bits 0..11 errno, the others the number. */
uint32_t ctl_paused_pack(const struct ctl_paused *paused)
{
	return (paused->err & 0xfff) | (paused->number & (CTL_PAUSE_NUMBERS - 1)) << 12;
}

struct ctl_paused ctl_paused_unpack(uint32_t arg)
{
	return (struct ctl_paused){ .number = arg >> 12, .err = arg & 0xfff };
}

/* Bits 0..7 disk, 8 write, 16..27 errno. */
uint32_t ctl_held_pack(const struct ctl_held *held)
{
	return (held->disk & 0xff) | (uint32_t)held->write << 8 |
	       (uint32_t)(held->err & 0xfff) << 16;
}

bool ctl_held_unpack(uint32_t arg, unsigned disk_count, struct ctl_held *ret_held)
{
	struct ctl_held held = { arg & 0xff, arg >> 8 & 1, arg >> 16 & 0xfff };

	if (held.disk >= disk_count || !held.err || ctl_held_pack(&held) != arg)
		return false;
	*ret_held = held;
	return true;
}

int ctl_send(int fd, enum ctl_type type, uint32_t arg)
{
	struct ctl_msg msg = { .type = type, .arg = arg };

	return packet_send(fd, &msg, sizeof(msg));
}

/* @n bytes were received into @msg: is that a message that @sender may send? */
static int check(int fd, enum ctl_sender sender, const struct ctl_msg *msg, ssize_t n)
{
	if (n < 0)
		return n;
	if (n == 0)
		return packet_nothing(fd);
	if (n != sizeof(*msg) || msg->type >= CTL_TYPE_COUNT || senders[msg->type] != sender)
		return -EPROTO;
	return 0;
}

int ctl_recv(int fd, enum ctl_sender sender, struct ctl_msg *ret_msg)
{
	struct ctl_msg msg;
	int ret = check(fd, sender, &msg, packet_recv(fd, &msg, sizeof(msg)));

	if (!ret)
		*ret_msg = msg;
	return ret;
}

int ctl_send_fd(int fd, enum ctl_type type, uint32_t arg, int passed)
{
	struct ctl_msg msg = { .type = type, .arg = arg };

	return fdpass_give(fd, &msg, sizeof(msg), &passed, 1);
}

int ctl_recv_fd(int fd, enum ctl_sender sender, struct ctl_msg *ret_msg, int *ret_fd)
{
	int passed = FDPASS_NONE, ret;
	struct ctl_msg msg;
	ssize_t n;

	do
		n = fdpass_recv(fd, &msg, sizeof(msg), &passed);
	while (n == -ECONNRESET);
	ret = check(fd, sender, &msg, n);
	if (!ret && (passed == FDPASS_WRONG || (passed >= 0) != (msg.type == CTL_PEER)))
		ret = -EBADMSG;
	if (ret) {
		fd_close(&passed);
		return ret;
	}
	*ret_msg = msg;
	*ret_fd = passed;
	return 0;
}

int ctl_send_fds(int fd, enum ctl_type type, uint32_t arg, const int *fds, unsigned count)
{
	struct ctl_msg msg = { .type = type, .arg = arg };
	int ret = fdpass_send_all(fd, &msg, sizeof(msg), fds, count);

	/* unix(7): too many of this user's are in flight, others' too; who reads makes room */
	return ret == -ETOOMANYREFS ? -EAGAIN : ret;
}

int ctl_give_fds(int fd, enum ctl_type type, uint32_t arg, const int *fds, unsigned count)
{
	struct ctl_msg msg = { .type = type, .arg = arg };

	return fdpass_give(fd, &msg, sizeof(msg), fds, count);
}

/* Has the message the fds that it takes? */
static bool fds_ok(const struct ctl_msg *msg, const struct conn_fds *fds)
{
	if (fds->surplus || fds->lost)
		return false;
	if (msg->type == CTL_KEEP || msg->type == CTL_KEPT)
		return fds->count && fds->count <= CTL_KEEP_FDS;
	return fds->count == (msg->type == CTL_PEER);
}

int ctl_recv_fds(int fd, enum ctl_sender sender, struct ctl_msg *ret_msg, struct conn_fds *ret_fds)
{
	struct conn_fds fds;
	struct ctl_msg msg;
	ssize_t n;
	int ret;

	do
		n = fdpass_recv_all(fd, &msg, sizeof(msg), CTL_KEEP_FDS, &fds);
	while (n == -ECONNRESET);
	ret = check(fd, sender, &msg, n);
	if (!ret && !fds_ok(&msg, &fds))
		ret = -EBADMSG;
	if (ret) {
		conn_fds_close(&fds);
		return ret;
	}
	*ret_msg = msg;
	*ret_fds = fds;
	return 0;
}
