/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "control/manage.h"

#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "control/packet.h"
#include "proto/fdpass.h"

#define MANAGE_DISKS 64

static const struct {
	uint8_t sender;		/* enum manage_sender */
	bool fd;		/* may have one */
	bool body;		/* has one */
} rows[MANAGE_TYPE_COUNT] = {
	[MANAGE_REPLY] = { MANAGE_FROM_DEVICE },
	[MANAGE_TRAY] = { MANAGE_FROM_DEVICE },
	[MANAGE_FAILED] = { MANAGE_FROM_DEVICE },
	[MANAGE_RESIZE] = { MANAGE_FROM_KEEPER },
	[MANAGE_EJECT] = { MANAGE_FROM_KEEPER },
	[MANAGE_LOAD] = { MANAGE_FROM_KEEPER, .fd = true, .body = true },
	[MANAGE_ATTACH] = { MANAGE_FROM_KEEPER, .fd = true, .body = true },
	[MANAGE_DETACH] = { MANAGE_FROM_KEEPER },
	[MANAGE_THROTTLE] = { MANAGE_FROM_KEEPER, .body = true },
};

uint64_t manage_value(const struct manage_msg *msg)
{
	return (uint64_t)msg->value_high << 32 | msg->value_low;
}

void manage_set_value(struct manage_msg *msg, uint64_t value)
{
	msg->value_high = value >> 32;
	msg->value_low = value;
}

int manage_send(int fd, const struct manage_msg *msg, int passed)
{
	if (passed >= 0)
		return fdpass_give(fd, msg, sizeof(*msg), &passed, 1);
	return packet_send(fd, msg, sizeof(*msg));
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
	return !bytes[0] && !memcmp(bytes, bytes + 1, len - 1);
}

static bool msg_ok(const struct manage_msg *msg, enum manage_sender sender, int passed)
{
	return msg->type < MANAGE_TYPE_COUNT && rows[msg->type].sender == sender &&
	       msg->disk < MANAGE_DISKS && passed != FDPASS_WRONG &&
	       (passed < 0 || rows[msg->type].fd) &&
	       (rows[msg->type].body || is_zero(msg->body, sizeof(msg->body)));
}

int manage_recv(int fd, enum manage_sender sender, struct manage_msg *ret_msg, int *ret_fd)
{
	autofd passed = FDPASS_NONE;
	struct manage_msg msg;
	ssize_t n;

	/* ECONNRESET: it closed with something of ours unread; what it has sent comes after. */
	do
		n = fdpass_recv(fd, &msg, sizeof(msg), &passed);
	while (n == -ECONNRESET);
	if (n < 0)
		return n;
	if (n == 0)
		return packet_nothing(fd);
	if (n != sizeof(msg) || !msg_ok(&msg, sender, passed))
		return -EPROTO;
	*ret_msg = msg;
	*ret_fd = fd_steal(&passed);
	return 0;
}
