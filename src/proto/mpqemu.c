/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/mpqemu.h"

#include <stddef.h>

#include "base/fd.h"

static const struct mpq_rule rules[MPQ_CMD_COUNT] = {
	[MPQ_SYNC_SYSMEM] = { "SYNC_SYSMEM", MPQ_FROM_PROXY, 192, 192, 1, MPQ_MAX_FDS, false },
	[MPQ_RET] = { "RET", MPQ_FROM_REMOTE, 0, 8, 0, 0, false },
	[MPQ_PCI_CFGWRITE] = { "PCI_CFGWRITE", MPQ_FROM_PROXY, 12, 12, 0, 0, true },
	[MPQ_PCI_CFGREAD] = { "PCI_CFGREAD", MPQ_FROM_PROXY, 12, 12, 0, 0, true },
	[MPQ_BAR_WRITE] = { "BAR_WRITE", MPQ_FROM_PROXY, 24, 24, 0, 0, true },
	[MPQ_BAR_READ] = { "BAR_READ", MPQ_FROM_PROXY, 24, 24, 0, 0, true },
	[MPQ_SET_IRQFD] = { "SET_IRQFD", MPQ_FROM_PROXY, 0, 0, 2, 2, false },
	[MPQ_DEVICE_RESET] = { "DEVICE_RESET", MPQ_FROM_PROXY, 0, 0, 0, 0, true },
};

const struct mpq_rule *mpq_rule(int32_t cmd)
{
	return cmd >= 0 && cmd < MPQ_CMD_COUNT ? &rules[cmd] : NULL;
}

void mpq_msg_close(struct mpq_msg *msg)
{
	for (unsigned i = 0; i < msg->fd_count; i++)
		fd_close(&msg->fd[i]);
	msg->fd_count = 0;
}
