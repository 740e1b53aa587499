/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "control/supervise.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "control/packet.h"

static const struct sup_rule rules[SUP_TYPE_COUNT] = {
	[SUP_PAUSE] = { "PAUSE", SUP_FROM_SUPERVISOR },
	[SUP_RESUME] = { "RESUME", SUP_FROM_SUPERVISOR },
	[SUP_PAUSED] = { "PAUSED", SUP_FROM_REMOTE },
	[SUP_RESUMED] = { "RESUMED", SUP_FROM_REMOTE },
	[SUP_REFUSED] = { "REFUSED", SUP_FROM_REMOTE },
	[SUP_READY] = { "READY", SUP_FROM_REMOTE },
	[SUP_CRASHED] = { "CRASHED", SUP_FROM_REMOTE },
	[SUP_GONE] = { "GONE", SUP_FROM_REMOTE },
	[SUP_RESTARTED] = { "RESTARTED", SUP_FROM_REMOTE },
	[SUP_RESTART] = { "RESTART", SUP_FROM_SUPERVISOR },
	[SUP_CLIENT_GONE] = { "CLIENT_GONE", SUP_FROM_REMOTE },
	[SUP_STORAGE_GONE] = { "STORAGE_GONE", SUP_FROM_REMOTE },
};

const struct sup_rule *sup_rule(uint32_t type)
{
	return type < SUP_TYPE_COUNT ? &rules[type] : NULL;
}

int sup_send(int fd, const struct sup_msg *msg)
{
	return packet_send(fd, msg, sizeof(*msg));
}

int sup_recv(int fd, enum sup_sender sender, struct sup_msg *ret_msg)
{
	struct sup_msg msg;
	ssize_t n = packet_recv(fd, &msg, sizeof(msg));

	if (n < 0)
		return n;
	if (n != sizeof(msg) || msg.type >= SUP_TYPE_COUNT || rules[msg.type].sender != sender)
		return -EPROTO;
	*ret_msg = msg;
	return 0;
}

int sup_check(int fd)
{
	socklen_t len = sizeof(int);
	int type;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return -errno;
	return type == SOCK_SEQPACKET ? 0 : -EPROTOTYPE;
}

char *sup_cause_text(const struct sup_msg *crashed, char *text, size_t size)
{
	const char *name = crashed->value <= INT32_MAX ? sigdescr_np(crashed->value) : NULL;

	if (crashed->arg == SUP_CAUSE_SIGNAL)
		snprintf(text, size, "signal %u (%s)", crashed->value, name ? name : "unknown");
	else if (crashed->arg == SUP_CAUSE_EXIT)
		snprintf(text, size, "exit status %u", crashed->value);
	else if (crashed->arg == SUP_CAUSE_FORBIDDEN)
		snprintf(text, size, "a forbidden system call");
	else
		snprintf(text, size, "cause %u (%u)", crashed->arg, crashed->value);
	return text;
}
