/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_DEVICE_H
#define APPLETS_REMOTE_DEVICE_H

/*
 * The device process: everything it has stands in the slots of control/launch.h.  It serves until
 * its last peer is gone or the keeper says stop, drains and flushes its disks, and returns its
 * exit status (see EXIT STATUS in mpqemu-remote(1)).
 */
int device_main(void);

/* The applet's name under which a keeper executes it. */
#define DEVICE_APPLET "mpqemu-device"

/*
 * Seconds that a device process has to drain and flush when it is told to end, or when its keeper
 * is gone; then its keeper, or it itself, ends it.
 */
#define DEVICE_STOP_LIMIT 30

/* Exit statuses of a device process, of its keeper, and of mpqemu-remote as a whole. */
enum device_exit {
	DEVICE_EXIT_OK = 0,
	DEVICE_EXIT_START = 1,		/* bad options, an image that cannot be used */
	DEVICE_EXIT_MID_MESSAGE = 2,	/* the peer died inside a message */
	DEVICE_EXIT_PROTOCOL = 3,	/* the peer broke the protocol */
	DEVICE_EXIT_FLUSH = 4,		/* acknowledged data could not be made stable at the end */
	DEVICE_EXIT_FORBIDDEN = 5,	/* a system call that the sandbox forbids */
	DEVICE_EXIT_BROKEN = 70,	/* a bug of our own was found out (EX_SOFTWARE) */
};

#endif
