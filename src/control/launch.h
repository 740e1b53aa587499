/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CONTROL_LAUNCH_H
#define CONTROL_LAUNCH_H

/*
 * The launch contract: a device process gets all it has as fds at these numbers, and nothing else.
 * The same table stands in mpqemu-remote(1).
 */

enum launch_slot {
	LAUNCH_SLOT_STDIN,		/* /dev/null */
	LAUNCH_SLOT_STDOUT,		/* /dev/null */
	LAUNCH_SLOT_STDERR,		/* the log pipe, for what libc itself may print */
	LAUNCH_SLOT_LOG,		/* pipe to the keeper, non-blocking, a line a write */
	LAUNCH_SLOT_CONTROL,		/* seqpacket pair with the keeper */
	LAUNCH_SLOT_SPEC,		/* struct launch_spec, sealed memfd */
	LAUNCH_SLOT_STATE,		/* memfd: PCI_STATE_MAX bytes a device */
	LAUNCH_SLOT_METRICS,		/* memfd: counters, one page */
	LAUNCH_SLOT_EPOLL,		/* made by the device process itself, at this number */
	LAUNCH_SLOT_POOL,		/* eventfd of the block pool */
	LAUNCH_SLOT_PEER = 16,		/* 16..23: the peer of each device */
	LAUNCH_SLOT_IRQ = 24,		/* 24..39: irqfd and resamplefd of each device, once received */
	LAUNCH_SLOT_IMAGE = 40,		/* 40..103: images and NBD sockets */
	LAUNCH_SLOT_FREE = 104,		/* 104..127: fds on their way in */
	LAUNCH_SLOT_COUNT = 128,
};

#endif
