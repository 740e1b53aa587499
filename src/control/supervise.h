/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CONTROL_SUPERVISE_H
#define CONTROL_SUPERVISE_H

/*
 * How a remote is run from outside (mpqemu-remote --control=fd=N): a seqpacket pair between whoever
 * started it and its keeper, one fixed-size message a packet.
 *
 *     supervisor                         remote
 *                                        SUP_READY       its devices are served
 *     SUP_PAUSE id  ------------------>
 *                   <------------------  SUP_PAUSED id   or SUP_REFUSED id
 *     SUP_RESUME id ------------------>
 *                   <------------------  SUP_RESUMED id
 *     SUP_RESTART id ----------------->
 *                   <------------------  SUP_RESTARTED id
 *                                        SUP_CLIENT_GONE a client of a device that listens has left
 *                                        SUP_CRASHED     the device process has died
 *                                        SUP_RESTARTED   and has a successor (--on-crash=)
 *                                        SUP_STORAGE_GONE    a disk's storage daemon has ended
 *                                        SUP_GONE        the last message; then the end
 *
 * Each request has exactly one answer, with its id, unless SUP_GONE comes first; a request may be
 * sent before SUP_READY and is answered after it.  The others are told unasked, with id 0.  The
 * supervisor is the remote's caller and is trusted by it; the supervisor need not trust what it
 * gets, which is plain numbers.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SUPERVISE_VERSION 1

enum sup_type {
	SUP_PAUSE,	/* drain, flush and hold: guest RAM does not change after the answer */
	SUP_RESUME,	/* go on; also ends a pause that is still to be reached */
	SUP_PAUSED,	/* value: errno of the disks' flush, 0: all is stable */
	SUP_RESUMED,
	SUP_REFUSED,	/* value: errno: EALREADY, it is under way; ECANCELED, by resuming or by the
			 * end; ENOTSUP, there are no successors; ECHILD, none any more */
	SUP_READY,	/* value: SUPERVISE_VERSION; arg: the device process's pid */
	SUP_CRASHED,	/* arg: enum sup_cause; value: what that says */
	SUP_GONE,	/* the remote ends; value: its exit status */
	SUP_RESTARTED,	/* a successor serves; arg: its pid; value: us without anybody */
	SUP_RESTART,	/* end the device process: it gets a successor (--on-crash=) */
	SUP_CLIENT_GONE,	/* the next may come; arg: the device's index */
	SUP_STORAGE_GONE,	/* its disk's requests fail; arg, value: as of SUP_CRASHED */
	SUP_TYPE_COUNT,
};

enum sup_sender { SUP_FROM_SUPERVISOR, SUP_FROM_REMOTE };

/* Why a device process ended. */
enum sup_cause {
	SUP_CAUSE_EXIT,		/* value: exit status; 70: it found out a bug of its own */
	SUP_CAUSE_SIGNAL,	/* value: the signal */
	SUP_CAUSE_FORBIDDEN,	/* a system call that its sandbox forbids; value: 0 */
	SUP_CAUSE_COUNT,
};

struct sup_msg {
	uint32_t type;		/* enum sup_type */
	uint32_t id;		/* the supervisor's, any but 0; of an event: 0 */
	uint32_t arg, value;
};

/* A row of the table; NULL: there is no such message. */
struct sup_rule {
	const char *name;
	uint8_t sender;		/* enum sup_sender */
};
const struct sup_rule *sup_rule(uint32_t type);

/* Never waits: 0, -EAGAIN when the channel is full, -EPIPE when nobody is there, or -errno. */
int sup_send(int fd, const struct sup_msg *msg);

/*
 * The next message that @sender may send.  Never waits: 0, -EAGAIN, -ENODATA at the end of the
 * channel, -EPROTO for anything else.
 */
int sup_recv(int fd, enum sup_sender sender, struct sup_msg *ret_msg);

/* Is it a socket for this?  0; -ENOTSOCK; -EPROTOTYPE: not seqpacket; or -errno. */
int sup_check(int fd);

/*
 * For a log or a user: "signal 9 (Killed)", "exit status 70", "a forbidden system call"; a cause
 * that is none of them is told as it came.  Returns @text.
 */
char *sup_cause_text(const struct sup_msg *crashed, char *text, size_t size);

#endif
