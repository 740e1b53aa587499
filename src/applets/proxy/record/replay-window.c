/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "applets/proxy/record/replay-priv.h"
#include "base/num.h"

/* The lines of a record that are known ahead, and when the data of DMA reads are placed. */

static bool is_dma(const struct item *item)
{
	return item->e.kind == REC_DMA_READ || item->e.kind == REC_DMA_WRITE;
}

static bool is_map(const struct item *item)
{
	return item->e.kind == REC_MESSAGE && item->e.cmd == MPQ_SYNC_SYSMEM;
}

static bool overlaps(const struct item *a, const struct item *b)
{
	return ranges_overlap(a->e.dma.gpa, a->e.dma.len, b->e.dma.gpa, b->e.dma.len);
}

static void wait_for(struct item *item, struct item *what)
{
	item->waits++;
	what->waiters = g_slist_prepend(what->waiters, item);
}

/* How a byte of a DMA read gets where it is read. */
enum { SETTLED, OPEN, NOW, LATER };

/*
 * Settles the open bytes of @item that @before has touched.  One that is the same there is placed
 * for that one, or written by the device itself; another one comes when that access has been made.
 */
static bool settle(struct item *item, const struct item *before)
{
	uint64_t from = max_u64(item->e.dma.gpa, before->e.dma.gpa);
	uint64_t end = min_u64(item->e.dma.gpa + item->e.dma.len,
			       before->e.dma.gpa + before->e.dma.len);
	bool later = false;

	for (uint64_t at = from; at < end; at++) {
		uint64_t i = at - item->e.dma.gpa;
		bool same = before->e.dma.has_data &&
			    before->e.dma.data[at - before->e.dma.gpa] == item->e.dma.data[i];

		if (item->place[i] != OPEN)
			continue;
		item->place[i] = same ? SETTLED : LATER;
		later |= !same;
	}
	return later;
}

static void put_bytes(struct item *item, uint8_t from, uint8_t to)
{
	for (uint32_t i = 0; i < item->e.dma.len; i++)
		if (item->place[i] == from)
			item->place[i] = to;
}

/* Bytes of RAM around a DMA read, but for those that an access to come is known of. */
static void leave_out(struct item *ram, const struct item *access)
{
	uint64_t from = max_u64(ram->e.dma.gpa, access->e.dma.gpa);
	uint64_t end = min_u64(ram->e.dma.gpa + ram->e.dma.len,
			       access->e.dma.gpa + access->e.dma.len);

	if (from < end)
		memset(ram->place + (from - ram->e.dma.gpa), SETTLED, end - from);
}

static void ram_joins(struct replay *r, struct item *item)
{
	item->place = g_malloc(item->e.dma.len);
	memset(item->place, LATER, item->e.dma.len);
	for (uint64_t n = r->head; n < r->tail; n++)
		if (!window_at(r, n)->done && is_dma(window_at(r, n)))
			leave_out(item, window_at(r, n));
	for (GList *l = r->deferred.head; l; l = l->next)
		leave_out(item, l->data);
}

static void dma_joins(struct replay *r, const struct item *item)
{
	for (uint64_t n = r->head; n < r->tail; n++)
		if (window_at(r, n)->e.kind == REC_RAM && overlaps(window_at(r, n), item))
			leave_out(window_at(r, n), item);
}

bool window_surround(struct replay *r, GError **error)
{
	struct item *item;

	for (uint64_t n = r->head + 1; (item = window_at(r, n)); n++) {
		if (item->e.kind == REC_MESSAGE)
			break;
		if (item->e.kind == REC_RAM && !item->done && !ram_place(r, item, LATER, error))
			return false;
		item->done |= item->e.kind == REC_RAM;
	}
	return true;
}

static void joins_behind(struct item *item, struct item *before, bool *later)
{
	if (before->done || !is_dma(before) || !overlaps(before, item) || !settle(item, before) ||
	    *later)
		return;
	wait_for(item, before);
	*later = true;
}

/*
 * The bytes that no access to come touches are placed at once, the others behind the last of those
 * accesses that had another value; all of them behind the last change of the map.
 */
static bool read_joins(struct replay *r, struct item *item, GError **error)
{
	bool map = false, later = false;

	item->place = g_malloc(item->e.dma.len);
	memset(item->place, OPEN, item->e.dma.len);
	for (uint64_t n = r->tail; n > r->head;) {
		struct item *before = window_at(r, --n);

		if (!map && !before->done && is_map(before)) {
			wait_for(item, before);
			map = true;
		}
		joins_behind(item, before, &later);
	}
	for (GList *l = r->deferred.tail; l; l = l->prev)
		joins_behind(item, l->data, &later);
	put_bytes(item, OPEN, map ? LATER : NOW);
	return ram_place(r, item, NOW, error);
}

static bool item_joins(struct replay *r, struct item *item, GError **error)
{
	if (item->e.kind == REC_RAM && r->tracing.on)
		item->done = true;
	else if (item->e.kind == REC_RAM)
		ram_joins(r, item);
	if (is_dma(item) && !r->tracing.on)
		dma_joins(r, item);
	return item->e.kind != REC_DMA_READ || read_joins(r, item, error);
}

static void item_free(struct item *item)
{
	rec_entry_finish(&item->e);
	g_slist_free(item->waiters);
	g_free(item->place);
	g_free(item);
}

bool window_fill(struct replay *r, GError **error)
{
	while (!r->ended && r->tail - r->head < REPLAY_WINDOW && r->bytes < REPLAY_WINDOW_BYTES) {
		struct item *item = g_new0(struct item, 1);

		if (!rec_read(&r->file, &item->e, error) || !item_joins(r, item, error)) {
			item_free(item);
			return false;
		}
		if (item->e.dma.data)
			r->bytes += item->e.dma.len;
		r->ended = item->e.kind == REC_END;
		r->window[r->tail++ % REPLAY_WINDOW] = item;
	}
	return true;
}

bool window_done(struct replay *r, struct item *item, GError **error)
{
	bool ok = true;

	item->done = true;
	for (GSList *w = item->waiters; w && ok; w = w->next) {
		struct item *waiter = w->data;

		if (!--waiter->waits && !waiter->done)
			ok = ram_place(r, waiter, LATER, error);
	}
	g_slist_free(item->waiters);
	item->waiters = NULL;
	return ok;
}

static struct item *take_first(struct replay *r)
{
	struct item *item = window_at(r, r->head);

	if (item->e.dma.data)
		r->bytes -= item->e.dma.len;
	r->head++;
	return item;
}

void window_drop(struct replay *r)
{
	item_free(take_first(r));
}

void window_defer(struct replay *r)
{
	g_queue_push_tail(&r->deferred, take_first(r));
}

bool window_settle(struct replay *r, GError **error)
{
	struct item *item;
	bool ok = true;

	while (ok && (item = g_queue_pop_head(&r->deferred))) {
		ok = window_done(r, item, error);
		item_free(item);
	}
	return ok;
}

void window_clear(struct replay *r)
{
	struct item *item;

	while (r->head < r->tail)
		window_drop(r);
	while ((item = g_queue_pop_head(&r->deferred)))
		item_free(item);
}
