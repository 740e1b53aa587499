/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CONTROL_TRACE_H
#define CONTROL_TRACE_H

/*
 * What a device process does, for a program that records it (--trace): a ring of events in a memfd
 * that both have mapped.  One writer, one reader.  The writer makes no system call, never waits,
 * and so needs nothing of its sandbox; when the ring is full it counts what is lost, and writes
 * nothing more: what was written before is whole.  Neither side trusts what the other writes.
 *
 * The order of the events is that in which the device process did these things.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_DATA_MAX 4096		/* bytes of data in an event */
#define TRACE_SIZE_MIN (64u << 10)	/* bytes of the ring, a power of two */
#define TRACE_SIZE_MAX (256u << 20)
#define TRACE_HEADER 4096		/* bytes of the memfd before the ring */

enum trace_kind {
	TRACE_MESSAGE = 1,	/* took a message of its peer; arg: its command */
	TRACE_REPLY,		/* sends one; arg: its command */
	TRACE_IRQ,		/* writes irqfd: the line went up, or is up after TRACE_EOI */
	TRACE_EOI,		/* found resamplefd written */
	TRACE_DMA_READ,		/* read guest RAM; arg: guest-physical address, data: what it got */
	TRACE_DMA_WRITE,	/* wrote it */
	TRACE_KIND_COUNT,
};

struct trace_event {
	uint16_t kind;
	uint16_t device;	/* index in the device process */
	uint32_t len;		/* bytes of data that follow */
	uint64_t arg;
};

/* Both sides' view of the mapped memfd. */
struct trace {
	struct trace_shared *shared;
	uint8_t *ring;
	uint64_t size;		/* bytes of the ring */
	uint64_t pos;		/* where this side goes on: it does not ask the memory */
	bool stopped;		/* writer: something was lost; reader: nonsense was read */
	uint8_t data[TRACE_DATA_MAX];	/* reader: of the last event */
};

/* Reader: begins an empty ring of @size bytes in @map, TRACE_HEADER + @size bytes. */
void trace_begin(struct trace *t, void *map, uint64_t size);
/* Writer: joins it.  0, or -EINVAL: there is none of that size. */
int trace_join(struct trace *t, void *map, uint64_t size);

/*
 * Writes an event.  The data of DMA is split at pages of guest memory: so it is the same events in
 * whatever pieces a page is moved.
 */
void trace_put(struct trace *t, enum trace_kind kind, unsigned device, uint64_t arg,
	       const void *data, size_t len);

/*
 * The next event; its data are in t->data until the next call.  Returns 0; -EAGAIN: none is there;
 * -ENOBUFS: the writer has lost events here, trace_lost() says how many;
 * -EPROTO: that is no event.
 */
int trace_next(struct trace *t, struct trace_event *ret_event);
/* How many the writer has lost. */
uint64_t trace_lost(const struct trace *t);

#endif
