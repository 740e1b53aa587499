/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CONTROL_MANAGE_H
#define CONTROL_MANAGE_H

/*
 * What a monitor's client wants of a device process: requests of the keeper, and what the device
 * process says of its disks.  A seqpacket pair of its own (LAUNCH_SLOT_MANAGE), one fixed-size
 * message a packet, there only with a monitor.
 *
 * Each request has a reply with its serial.  Neither end acts on more than the row of the table
 * allows; whether a disk may be changed so is the receiver's to check.
 */

#include <stdbool.h>
#include <stdint.h>

#define MANAGE_BODY 768		/* bytes */

enum manage_type {
	MANAGE_REPLY,	/* device: to a request; value: 0 or an errno */
	MANAGE_TRAY,	/* device: a tray was moved or locked; value: MANAGE_TRAY_... */
	MANAGE_FAILED,	/* device: a request of the host failed; value: MANAGE_FAILED_... */
	MANAGE_RESIZE,	/* keeper: the disk has @value bytes from now on */
	MANAGE_EJECT,	/* keeper: the tray opens, what is in it goes; value: MANAGE_FORCE or 0 */
	MANAGE_LOAD,	/* keeper: the tray closes; body: struct spec_image, with its fd, if any */
	MANAGE_ATTACH,	/* keeper: a new disk; body: struct spec_disk, with its fd, if any */
	MANAGE_DETACH,	/* keeper: the disk goes, once its requests have ended */
	MANAGE_THROTTLE,	/* keeper: body: uint64_t limits, as block/throttle.h has them */
	MANAGE_TYPE_COUNT,
};

#define MANAGE_FAILED_ERRNO 0xfffu
#define MANAGE_FAILED_WRITE 0x1000u
#define MANAGE_FAILED_IGNORED 0x2000u	/* else the guest was told */
#define MANAGE_TRAY_OPEN 1u
#define MANAGE_TRAY_LOCKED 2u
#define MANAGE_FORCE 1u

enum manage_sender { MANAGE_FROM_KEEPER, MANAGE_FROM_DEVICE };

struct manage_msg {
	uint32_t type;		/* enum manage_type */
	uint32_t serial;	/* of a request, and of its reply */
	uint32_t disk;		/* index, < 64 */
	uint32_t value_high, value_low;
	uint8_t body[MANAGE_BODY];	/* zero where the row has none */
};

/* The value, which stands in two halves so that no byte of a packet is padding. */
uint64_t manage_value(const struct manage_msg *msg);
void manage_set_value(struct manage_msg *msg, uint64_t value);

/*
 * @passed, which stays the caller's, goes along unless it is -1, and may wait as fdpass_give()
 * does.  0, -EAGAIN when the channel is full, or -errno.
 */
int manage_send(int fd, const struct manage_msg *msg, int passed);

/*
 * The next message that @sender may send; *ret_fd is the fd that came with it (CLOEXEC), which the
 * caller owns, or -1.  Never waits: 0; -EAGAIN; -ENODATA at the end of the channel; -EPROTO for
 * anything else, of which nothing stays open.
 */
int manage_recv(int fd, enum manage_sender sender, struct manage_msg *ret_msg, int *ret_fd);

#endif
