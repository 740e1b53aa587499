/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CONTROL_CHANNEL_H
#define CONTROL_CHANNEL_H

/*
 * The keeper's channel to a device process: a seqpacket pair, one fixed-size message a packet.  The
 * keeper never acts on more than the row allows: a device process may have been taken over.
 */

#include <stdint.h>

enum ctl_type {
	CTL_READY,	/* device: set-up is over, the next thing is the first byte of a peer */
	CTL_STOP,	/* keeper: finish what is under way, flush, exit */
	CTL_HELD,	/* device: requests are held back after an error; arg: the disk's index */
	CTL_RETRY,	/* keeper: try again what is held back */
	CTL_TYPE_COUNT,
};

enum ctl_sender { CTL_FROM_KEEPER, CTL_FROM_DEVICE };

struct ctl_msg {
	uint32_t type;		/* enum ctl_type */
	uint32_t arg;
};

/* Never waits: 0, -EAGAIN when the channel is full, or -errno. */
int ctl_send(int fd, enum ctl_type type, uint32_t arg);

/*
 * The next message that @sender may send.  Never waits: 0, -EAGAIN, -ENODATA at the end of the
 * channel, -EPROTO for anything else.
 */
int ctl_recv(int fd, enum ctl_sender sender, struct ctl_msg *ret_msg);

#endif
