/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CONTROL_LAUNCH_H
#define CONTROL_LAUNCH_H

/*
 * The launch contract: a device process gets all it has as fds at these numbers, and nothing else.
 * A number that a device process does not use holds /dev/null, so that what it receives later
 * stands at LAUNCH_SLOT_FREE and above.  Each group starts at a multiple of its size: one masked
 * comparison of the system-call filter tells its members.  The same table stands in
 * mpqemu-remote(1).
 *
 * libnbd closes its socket when the server is gone.  What it gets is a copy at a number that
 * nothing received can ever take: the slot of the image stays open.
 */

enum launch_slot {
	LAUNCH_SLOT_STDIN,		/* /dev/null */
	LAUNCH_SLOT_STDOUT,		/* /dev/null */
	LAUNCH_SLOT_STDERR,		/* the log pipe, for what libc itself may print */
	LAUNCH_SLOT_LOG,		/* pipe to the keeper, non-blocking, a line a write */
	LAUNCH_SLOT_CONTROL,		/* seqpacket pair with the keeper */
	LAUNCH_SLOT_SPEC,		/* struct launch_spec, sealed memfd */
	LAUNCH_SLOT_STATE,		/* memfd: PCI_STATE_MAX bytes a device */
	LAUNCH_SLOT_METRICS,		/* memfd: struct metrics_page */
	LAUNCH_SLOT_EPOLL,		/* made by the device process itself */
	LAUNCH_SLOT_POOL,		/* eventfd of the block pool, made by the device process */
	LAUNCH_SLOT_TRACE,		/* memfd: the ring of --trace (trace.h) */
	LAUNCH_SLOT_DISKS,		/* memfd: struct metrics_disk of each, with a monitor */
	LAUNCH_SLOT_MANAGE = 12,	/* as CONTROL, one bit away, with a monitor */
	LAUNCH_SLOT_PEER = 16,		/* 16..23: the peer of each device, there or to come */
	LAUNCH_SLOT_ROM = 24,		/* 24..31: the option ROM of each device, sealed memfds */
	LAUNCH_SLOT_JOURNAL = 32,	/* 32..39: the journal of each device (journal.h), memfds */
	LAUNCH_SLOT_IMAGE = 64,		/* 64..127: images and NBD sockets */
	LAUNCH_SLOT_FREE = 128,		/* 128..191: what arrives from peers */
	LAUNCH_SLOT_COUNT = 192,	/* the limit of fds later: none is received from here on */
	LAUNCH_SLOT_NBD = 192,		/* 192..255: libnbd's copies of NBD sockets, by image */
};

/* How many numbers a group has. */
#define LAUNCH_PEERS 8
#define LAUNCH_ROMS 8
#define LAUNCH_JOURNALS 8
#define LAUNCH_IMAGES 64
#define LAUNCH_RECEIVED (LAUNCH_SLOT_COUNT - LAUNCH_SLOT_FREE)

/* One fd on its way into a slot. */
struct launch_fd {
	int fd;
	int slot;
};

/*
 * For the child between fork and exec: moves each fd to its slot, fills the slots below
 * LAUNCH_SLOT_FREE that are left with /dev/null, and closes everything else but @exe, which
 * becomes LAUNCH_SLOT_FREE and is gone after the exec (-1: none).  The slots outlive an exec.
 * Slots must be distinct.  Returns 0 or -errno; after a failure the child can only exit.
 */
int launch_arrange(const struct launch_fd *fds, unsigned count, int exe);

#endif
