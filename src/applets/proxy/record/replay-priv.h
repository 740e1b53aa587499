/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_PROXY_REPLAY_PRIV_H
#define APPLETS_PROXY_REPLAY_PRIV_H

/*
 * The parts of the verb replay.
 *
 * The record is read through a window, so that what comes later is known without all of it being in
 * memory.  Messages are sent in the record's order, each when the device has done what it had done
 * by then in the record: DMA and interrupts are followed by the remote's trace.  A remote that
 * traces nothing (QEMU's) is followed by its replies and interrupts alone.
 *
 * Data that the device read from guest RAM are put there as early as they can be: when the last
 * access to the same bytes before has been made.  So the device may be faster than it was.
 */

#include <stdbool.h>
#include <stdint.h>

#include "applets/proxy/launch.h"
#include "applets/proxy/record/recfile.h"
#include "applets/proxy/record/tracing.h"
#include "base/error.h"
#include "proto/mpqemu.h"

#define REPLAY_WINDOW 4096		/* lines */
#define REPLAY_WINDOW_BYTES (8u << 20)	/* of data in it */
#define REPLAY_TIMEOUT_MS 20000		/* what was recorded has to happen again within */
#define REPLAY_RAM_MAX (4ULL << 30)	/* bytes of guest RAM that are there at all */
#define REPLAY_PERIOD_MAX 8		/* reads in one turn of a poll loop */

/* One line of the record. */
struct item {
	struct rec_entry e;
	bool done;			/* it has happened again */
	unsigned waits;			/* DMA read: for an access, for a map */
	uint8_t *place;			/* DMA read: how each byte is placed; owned */
	GSList *waiters;		/* struct item *: that wait for this one */
};

/* What the trace has told and no line has been compared with. */
struct seen {
	enum rec_kind kind;
	uint64_t gpa, sum;
	uint32_t len;
};

struct replay {
	const char *path;
	struct rec_file file;
	struct remote_process remote;
	struct tracing tracing;
	struct mpq_conn conn;
	int fd, irqfd, resamplefd;	/* owned */

	/* The lines from @head up to @tail are in the window. */
	struct item *window[REPLAY_WINDOW];
	uint64_t head, tail;
	size_t bytes;
	GQueue deferred;		/* struct item: without a trace, see window_defer() */
	bool ended;			/* all has been read */

	/* Guest RAM: replay-ram.c. */
	int ram[REC_FILES];		/* memfds; owned; -1 */
	uint64_t ram_size[REC_FILES];
	struct rec_region map[MPQ_MAX_REGIONS];
	unsigned regions, placed;

	/* The trace: replay-side.c. */
	GQueue seen;			/* struct seen */
	unsigned irqs, eois;		/* seen, not compared */
	uint64_t next_dma, next_irq;	/* lines that are compared next */
	struct seen last_read;		/* that agreed */
	bool started;			/* a first reply has come */

	unsigned long messages, dma_reads, dma_writes, interrupts;
	unsigned long differences, timed;
};

/* Window: replay-window.c.  False with @error: the record is wrong. */
bool window_fill(struct replay *r, GError **error);
static inline struct item *window_at(const struct replay *r, uint64_t n)
{
	return n < r->tail ? r->window[n % REPLAY_WINDOW] : NULL;
}
/* It has happened: what waited for it is placed. */
bool window_done(struct replay *r, struct item *item, GError **error);
/* Takes the first line off. */
void window_drop(struct replay *r);
void window_clear(struct replay *r);
/*
 * Without a trace nobody says when the device makes an access.  window_defer() takes the first line
 * off and keeps it; window_settle() says that all those have happened: an interrupt has come that
 * was behind them, or a reply, or a message is due that the guest sent when it knew of them.
 */
void window_defer(struct replay *r);
/*
 * Without a trace the device may read more than it was recorded to: what stood there when the first
 * message of the window was sent is placed, but for what DMA is known of.
 */
bool window_surround(struct replay *r, GError **error);
bool window_settle(struct replay *r, GError **error);

/* Guest RAM. */
void ram_init(struct replay *r);
void ram_finish(struct replay *r);
/* Makes the files large enough for the map of a SYNC_SYSMEM, which holds from now on. */
bool ram_map(struct replay *r, const struct item *item, GError **error);
/* Puts those data of a DMA read that are marked @mark where the device will read them. */
bool ram_place(struct replay *r, const struct item *item, uint8_t mark, GError **error);

/* What the device does on its own.  Compares what the trace tells as far as the window goes. */
bool side_pump(struct replay *r, GError **error);
/* Waits until this line has happened.  False with @error: it does not. */
bool side_wait(struct replay *r, struct item *item, GError **error);
/* The guest acknowledges the interrupt. */
bool side_eoi(struct replay *r, struct item *item, GError **error);
/*
 * One step of a wait that began at monotonic time @start (us): waits shortly, for the remote's
 * socket too.  False: it has lasted too long.
 */
bool side_pause(struct replay *r, gint64 start);

/* Sends the message that is first in the window, and compares its reply; a poll loop as one. */
bool talk_message(struct replay *r, GError **error);

/* A line of output for each; false with @error when there are too many of them. */
bool replay_differs(struct replay *r, const struct item *item, GError **error, const char *fmt,
		    ...) __attribute__((format(printf, 4, 5)));
void replay_timed(struct replay *r, const struct item *item, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
