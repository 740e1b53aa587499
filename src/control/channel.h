/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CONTROL_CHANNEL_H
#define CONTROL_CHANNEL_H

/*
 * The keeper's channel to a device process: a seqpacket pair, one fixed-size message a packet.  The
 * keeper never acts on more than the row allows: a device process may have been taken over.
 */

#include <stdbool.h>
#include <stdint.h>

enum ctl_type {
	CTL_READY,	/* device: set-up is over, the next thing is the first byte of a peer */
	CTL_STOP,	/* keeper: finish what is under way, flush, exit */
	CTL_HELD,	/* device: requests are held back after an error; arg: struct ctl_held */
	CTL_RETRY,	/* keeper: try again what is held back */
	CTL_RETRY_LATER,	/* keeper: nobody will say so: by a timer, with growing waits */
	CTL_PEER,	/* keeper: the next client of a device, one connected fd; arg: its index */
	CTL_PEER_GONE,	/* device: it is served no more, the next may come; arg: device index */
	CTL_PAUSE,	/* keeper: stand still; arg: its number, < CTL_PAUSE_NUMBERS */
	CTL_RESUME,	/* keeper: go on, whether or not CTL_PAUSED has come */
	CTL_PAUSED,	/* device: nothing is under way, guest RAM stays; arg: struct ctl_paused */
	CTL_KEEP,	/* device: keep these fds; arg: struct ctl_keep */
	CTL_KEPT,	/* keeper: that is what your predecessor let me keep; the same arg */
	CTL_KEPT_ALL,	/* keeper: and no more */
	CTL_PING,	/* keeper: does the loop still turn? arg: any number */
	CTL_PONG,	/* device: it does; the same arg */
	CTL_TYPE_COUNT,
};

enum ctl_sender { CTL_FROM_KEEPER, CTL_FROM_DEVICE };

struct ctl_msg {
	uint32_t type;		/* enum ctl_type */
	uint32_t arg;
};

struct ctl_held {
	unsigned disk;		/* index, < 256 */
	bool write;
	int err;		/* errno, 1..4095 */
};

/* A pause that was given up may be told of after the next one was asked for: they have numbers. */
#define CTL_PAUSE_NUMBERS (1u << 20)

struct ctl_paused {
	uint32_t number;	/* of the CTL_PAUSE */
	int err;		/* errno of the flush, 0..4095 */
};

/* What CTL_PAUSED says, in the 32 bits of its arg; all of them mean something. */
uint32_t ctl_paused_pack(const struct ctl_paused *paused);
struct ctl_paused ctl_paused_unpack(uint32_t arg);

/* What CTL_HELD says, in the 32 bits of its arg. */
uint32_t ctl_held_pack(const struct ctl_held *held);
/* False: no device process of ours packed this. */
bool ctl_held_unpack(uint32_t arg, unsigned disk_count, struct ctl_held *ret_held);

/*
 * Fds of the peer that a successor of the device process will need: guest memory's, interrupts'.
 * They are numbered: only the state that a successor finds says which ones count.
 */
enum ctl_keep_kind { CTL_KEEP_MEMORY, CTL_KEEP_IRQ, CTL_KEEP_KINDS };
#define CTL_KEEP_FDS 8

struct ctl_keep {
	uint8_t device;		/* index */
	uint8_t kind;		/* enum ctl_keep_kind */
	uint16_t epoch;		/* counts up with each kind of a device */
};

/* In the 32 bits of a message's arg. */
uint32_t ctl_keep_pack(const struct ctl_keep *keep);
/* False: no device process of ours packed this. */
bool ctl_keep_unpack(uint32_t arg, unsigned device_count, struct ctl_keep *ret_keep);

/* Never waits: 0, -EAGAIN when the channel is full, or -errno. */
int ctl_send(int fd, enum ctl_type type, uint32_t arg);

/*
 * The next message that @sender may send.  Never waits: 0, -EAGAIN, -ENODATA at the end of the
 * channel, -EPROTO for anything else.
 */
int ctl_recv(int fd, enum ctl_sender sender, struct ctl_msg *ret_msg);

/* ctl_send() with a fd, which stays the caller's.  It waits as fdpass_give() does. */
int ctl_send_fd(int fd, enum ctl_type type, uint32_t arg, int passed);

/*
 * ctl_recv() for who may get CTL_PEER: *ret_fd is the fd that came with it (CLOEXEC), owned by the
 * caller, and -1 with all others.  -EBADMSG: a message that has not exactly the fds that it takes;
 * those that it had are closed.
 */
int ctl_recv_fd(int fd, enum ctl_sender sender, struct ctl_msg *ret_msg, int *ret_fd);

/* The same for CTL_KEEP and CTL_KEPT: @count fds, at most CTL_KEEP_FDS; they stay the caller's. */
int ctl_send_fds(int fd, enum ctl_type type, uint32_t arg, const int *fds, unsigned count);

/* The same, which waits as fdpass_give() does. */
int ctl_give_fds(int fd, enum ctl_type type, uint32_t arg, const int *fds, unsigned count);

struct conn_fds;
/*
 * ctl_recv() for who may get these, or CTL_PEER: the message's fds (CLOEXEC) are the caller's, to
 * close by conn_fds_close().  -EBADMSG: a message that has not as many as it takes; they are
 * closed.
 */
int ctl_recv_fds(int fd, enum ctl_sender sender, struct ctl_msg *ret_msg,
		 struct conn_fds *ret_fds);

#endif
