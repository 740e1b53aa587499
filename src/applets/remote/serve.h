/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_SERVE_H
#define APPLETS_REMOTE_SERVE_H

/*
 * One device behind one peer, in one of two protocols.
 *
 *     CLOSED --serve_start()--> OPEN
 *     OPEN --message--> OPEN            the handler changes device state, then (after the commit)
 *                                       interrupt and reply leave, in this order
 *     OPEN --part of a message--> OPEN  edge-triggered until the rest is there
 *     OPEN --socket full--> OPEN        no message is taken until the reply is out
 *     OPEN --end, error--> CLOSED       ops->closed() tells the process why
 */

#include <stdbool.h>
#include <stdint.h>

#include "applets/remote/serve-journal.h"
#include "control/channel.h"
#include "event/loop.h"
#include "pci/pci.h"
#include "proto/mpqemu.h"

struct guestmem;
struct guestmem_arena;
struct serve;
struct trace;

/* How a session ended; the process's exit status is the worst of all. */
enum serve_end {
	SERVE_END_CLEAN = 0,		/* the peer closed between two messages */
	SERVE_END_MID_MESSAGE = 2,	/* it went away inside one */
	SERVE_END_PROTOCOL = 3,		/* it sent what the protocol does not allow */
};

struct serve_ops {
	/* The session is over (its fds are closed but for the peer's socket itself). */
	void (*closed)(void *opaque, struct serve *serve, enum serve_end end);
	/* Keeps dups of these fds for a successor: 0, -EAGAIN: not now; or -errno. */
	int (*keep)(void *opaque, const struct ctl_keep *what, const int *fds, unsigned count);
	void *opaque;
};

/* What is particular to a protocol; see serve-priv.h. */
struct serve_protocol;
extern const struct serve_protocol serve_mpqemu, serve_vfio_user;

/* What a session is made of; all of it stays in place until serve_finish(). */
struct serve_setup {
	const struct serve_protocol *protocol;
	struct loop *loop;
	struct guestmem_arena *arena;
	int fd;				/* number of the peer's socket */
	const struct pci_class *cls;
	struct pci_state *state;
	const char *id;
	void *scsi_config;
	const uint8_t *rom;		/* the option ROM, or NULL */
	uint32_t rom_size;		/* bytes, a power of two */
	struct trace *trace;		/* what is done is written there; or NULL */
	unsigned index;			/* of the device */
	struct journal *journal;	/* of a session that may have a successor; or NULL */
	const struct serve_ops *ops;
};

/* The mpqemu protocol's part of a session. */
struct serve_mpq {
	struct mpq_conn conn;
	int irqfd, resamplefd;		/* owned; -1 until SET_IRQFD */
	bool raise;			/* write irqfd after the commit */
	bool raised;			/* not only once more, by the timer */
	bool reply;			/* a reply is staged */
	uint8_t reply_size;
	uint64_t reply_value;
	struct loop_timer reraise;
};

struct serve {
	struct pci_dev dev;
	const struct serve_protocol *protocol;
	struct conn *conn;		/* the protocol's */
	struct guestmem *mem;
	struct loop *loop;
	const struct serve_ops *ops;
	struct trace *trace;		/* or NULL */
	unsigned index;
	bool open;
	uint32_t watching;		/* epoll events of the peer's socket */
	unsigned long guest_errors;
	int64_t guest_error_after;	/* ns: no line about the guest before */
	int64_t lost_ram_after;		/* ns: none about RAM that is gone before */
	int64_t peer_error_after;	/* ns: none about the peer's harmless mistakes before */
	int64_t end_after;		/* ns: none about how a session ended before */
	struct serve_mpq mpq;
	struct serve_journal journal;
	struct serve_vfu *vfu;
};

/* Makes the device and an idle session.  serve_finish() undoes it, also after a failure. */
int serve_init(struct serve *serve, const struct serve_setup *setup);
/*
 * Begins to listen to the peer at the socket's number, the first or the next one.  Returns 0 or
 * -errno.
 */
int serve_start(struct serve *serve);
/* The same for a session that a predecessor had.  @vault: as serve_journal_adopt(). */
int serve_adopt(struct serve *serve, struct serve_vault *vault);
/* Takes no more messages, drops the interrupt fds and guest RAM; closed() is not called. */
void serve_stop(struct serve *serve);
void serve_finish(struct serve *serve);

/* After the commit of each event: sends what that event has staged. */
void serve_flush(struct serve *serve);

#endif
