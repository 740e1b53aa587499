/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "control/trace.h"

#include <errno.h>
#include <string.h>

#include "base/num.h"

#define TRACE_MAGIC 0x5254514dU	/* "MQTR" */
#define TRACE_VERSION 1

struct trace_shared {
	uint32_t magic, version;
	uint64_t size;
	/* Bytes ever written and ever read; each is one side's, and on a cache line of its own. */
	uint64_t head __attribute__((aligned(64)));
	uint64_t lost;
	uint64_t tail __attribute__((aligned(64)));
};

static void view(struct trace *t, void *map, uint64_t size)
{
	t->shared = map;
	t->ring = (uint8_t *)map + TRACE_HEADER;
	t->size = size;
	t->pos = 0;
	t->stopped = false;
}

void trace_begin(struct trace *t, void *map, uint64_t size)
{
	view(t, map, size);
	*t->shared = (struct trace_shared){
		.magic = TRACE_MAGIC, .version = TRACE_VERSION, .size = size,
	};
}

int trace_join(struct trace *t, void *map, uint64_t size)
{
	view(t, map, size);
	return t->shared->magic == TRACE_MAGIC && t->shared->version == TRACE_VERSION &&
	       t->shared->size == size && !t->shared->head ? 0 : -EINVAL;
}

/* ---- the writer ---- */

static void copy_in(struct trace *t, const void *data, size_t len)
{
	uint64_t at = t->pos & (t->size - 1);
	size_t first = min_u64(len, t->size - at);

	memcpy(t->ring + at, data, first);
	memcpy(t->ring, (const uint8_t *)data + first, len - first);
	t->pos += align_up(len, 8);
}

static bool has_room(const struct trace *t, size_t len)
{
	uint64_t used = t->pos - __atomic_load_n(&t->shared->tail, __ATOMIC_ACQUIRE);

	/* Of a reader that writes nonsense: full. */
	return used <= t->size && len <= t->size - used;
}

static void put_one(struct trace *t, const struct trace_event *event, const void *data)
{
	if (t->stopped || !has_room(t, sizeof(*event) + align_up(event->len, 8))) {
		t->stopped = true;
		__atomic_store_n(&t->shared->lost, t->shared->lost + 1, __ATOMIC_RELEASE);
		return;
	}
	copy_in(t, event, sizeof(*event));
	if (event->len)
		copy_in(t, data, event->len);
	__atomic_store_n(&t->shared->head, t->pos, __ATOMIC_RELEASE);
}

void trace_put(struct trace *t, enum trace_kind kind, unsigned device, uint64_t arg,
	       const void *data, size_t len)
{
	struct trace_event event = { .kind = kind, .device = device, .arg = arg };
	const uint8_t *from = data;	/* NULL without data */

	for (;;) {
		event.len = min_u64(len, TRACE_DATA_MAX - (event.arg & (TRACE_DATA_MAX - 1)));
		put_one(t, &event, from);
		len -= event.len;
		if (!len)
			return;
		event.arg += event.len;
		from += event.len;
	}
}

/* ---- the reader ---- */

static void copy_out(struct trace *t, void *data, size_t len)
{
	uint64_t at = t->pos & (t->size - 1);
	size_t first = min_u64(len, t->size - at);

	memcpy(data, t->ring + at, first);
	memcpy((uint8_t *)data + first, t->ring, len - first);
	t->pos += align_up(len, 8);
}

uint64_t trace_lost(const struct trace *t)
{
	return __atomic_load_n(&t->shared->lost, __ATOMIC_ACQUIRE);
}

/* Nothing more is there: is it that the rest was lost? */
static int at_end(const struct trace *t, uint64_t head)
{
	return trace_lost(t) && __atomic_load_n(&t->shared->head, __ATOMIC_ACQUIRE) == head ?
	       -ENOBUFS : -EAGAIN;
}

int trace_next(struct trace *t, struct trace_event *ret_event)
{
	uint64_t head = __atomic_load_n(&t->shared->head, __ATOMIC_ACQUIRE);
	uint64_t there = head - t->pos;
	struct trace_event event;

	if (t->stopped)
		return -EPROTO;
	if (!there)
		return at_end(t, head);
	t->stopped = true;
	if (there > t->size || there < sizeof(event))
		return -EPROTO;
	copy_out(t, &event, sizeof(event));
	if (!event.kind || event.kind >= TRACE_KIND_COUNT || event.len > TRACE_DATA_MAX ||
	    align_up(event.len, 8) > there - sizeof(event))
		return -EPROTO;
	copy_out(t, t->data, event.len);
	__atomic_store_n(&t->shared->tail, t->pos, __ATOMIC_RELEASE);
	t->stopped = false;
	*ret_event = event;
	return 0;
}
