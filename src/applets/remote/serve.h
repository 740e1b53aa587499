/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_SERVE_H
#define APPLETS_REMOTE_SERVE_H

/*
 * One device behind one peer that speaks the mpqemu protocol.
 *
 *     OPEN --message--> OPEN            the handler changes device state, then (after the commit)
 *                                       interrupt and reply leave, in this order
 *     OPEN --part of a message--> OPEN  edge-triggered until the rest is there
 *     OPEN --socket full--> OPEN        no message is taken until the reply is out
 *     OPEN --end, error--> CLOSED       ops->closed() tells the process why
 */

#include <stdbool.h>
#include <stdint.h>

#include "event/loop.h"
#include "pci/pci.h"
#include "proto/conn.h"

struct guestmem;
struct guestmem_arena;
struct serve;

/* How a session ended; the process's exit status is the worst of all. */
enum serve_end {
	SERVE_END_CLEAN = 0,		/* the peer closed between two messages */
	SERVE_END_MID_MESSAGE = 2,	/* it went away inside one */
	SERVE_END_PROTOCOL = 3,		/* it sent what the protocol does not allow */
};

struct serve_ops {
	/* The session is over (its fds are closed but for the peer's socket itself). */
	void (*closed)(void *opaque, struct serve *serve, enum serve_end end);
	void *opaque;
};

struct serve {
	struct pci_dev dev;
	struct conn conn;
	struct guestmem *mem;
	struct loop *loop;
	const struct serve_ops *ops;
	const uint8_t *rom;		/* of the caller, who sets it after serve_init(); or NULL */
	uint32_t rom_size;		/* bytes, a power of two */
	int irqfd, resamplefd;		/* owned; -1 until SET_IRQFD */
	bool open;
	bool raise;			/* write irqfd after the commit */
	bool reply;			/* a reply is staged */
	uint32_t watching;		/* epoll events of the peer's socket */
	uint8_t reply_size;
	uint64_t reply_value;
	struct loop_timer reraise;
	unsigned long guest_errors;
	int64_t guest_error_after;	/* ns: no line about the guest before */
	int64_t lost_ram_after;		/* ns: none about RAM that is gone before */
};

/*
 * Starts to serve the socket @fd with a device of class @cls on @state, with guest RAM in @arena.
 * The serve and what it is given stay in place until serve_finish().  Returns 0 or -errno.
 */
int serve_init(struct serve *serve, struct loop *loop, struct guestmem_arena *arena, int fd,
	       const struct pci_class *cls, struct pci_state *state, const char *id,
	       void *scsi_config, const struct serve_ops *ops);
/* Begins to listen to the peer. */
int serve_start(struct serve *serve);
/* A client is connected at the device's slot: begins to serve it.  0 or -errno. */
int serve_attach(struct serve *serve);
/* Takes no more messages, drops the interrupt fds and guest RAM; closed() is not called. */
void serve_stop(struct serve *serve);
void serve_finish(struct serve *serve);

/* After the commit of each event: sends what that event has staged. */
void serve_flush(struct serve *serve);

#endif
