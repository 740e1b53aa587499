/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>

#include "block/block.h"
#include "block/buffers.h"
#include "event/loop.h"

/* The least of src/block that the target can run on. */

void block_init(struct block *block, const struct block_ops *ops, struct loop *loop, uint64_t size)
{
	*block = (struct block){ .ops = ops, .loop = loop, .size = size, .align = 1,
				 .mem_align = 1 };
}

void block_submit(struct block *block, struct block_req *req)
{
	req->block = block;
	block->seq++;
	block->ops->submit(block, req);
}

void block_complete(struct block_req *req, int ret)
{
	req->block->seq--;
	req->done(req, ret);
}

bool block_idle(const struct block *block)
{
	return !block->seq;
}

bool block_allocated(struct block *block, uint64_t off, uint64_t len, uint64_t *ret_len)
{
	return block->ops->allocated(block, off, len, ret_len);
}

struct buffers {
	struct loop *loop;
	size_t size;
	unsigned free_count;
	struct loop_work work;
	struct buffers_waiter *waiters;
	void *free[64];
};

static void buffers_work(void *opaque)
{
	struct buffers *bufs = opaque;
	struct buffers_waiter *w = bufs->waiters;

	if (!w || !bufs->free_count)
		return;
	bufs->waiters = w->next;
	w->queued = 0;
	w->ready(w);
}

struct buffers *buffers_create(struct loop *loop, unsigned count, size_t size)
{
	struct buffers *bufs = calloc(1, sizeof(*bufs));

	bufs->loop = loop;
	bufs->size = size;
	bufs->work = (struct loop_work){ .fn = buffers_work, .opaque = bufs };
	for (unsigned i = 0; i < count; i++)
		bufs->free[bufs->free_count++] = aligned_alloc(4096, size);
	return bufs;
}

void buffers_destroy(struct buffers *bufs)
{
	loop_work_cancel(bufs->loop, &bufs->work);
	while (bufs->free_count)
		free(bufs->free[--bufs->free_count]);
	free(bufs);
}

size_t buffers_size(const struct buffers *bufs)
{
	return bufs->size;
}

void *buffers_get(struct buffers *bufs, struct buffers_waiter *waiter)
{
	if (bufs->free_count)
		return bufs->free[--bufs->free_count];
	if (waiter && !waiter->queued) {
		waiter->queued = 1;
		waiter->next = bufs->waiters;
		bufs->waiters = waiter;
	}
	return NULL;
}

void buffers_put(struct buffers *bufs, void *buf)
{
	bufs->free[bufs->free_count++] = buf;
	if (bufs->waiters)
		loop_work_queue(bufs->loop, &bufs->work);
}

void buffers_cancel(struct buffers *bufs, struct buffers_waiter *waiter)
{
	for (struct buffers_waiter **p = &bufs->waiters; *p; p = &(*p)->next)
		if (*p == waiter) {
			*p = waiter->next;
			break;
		}
	waiter->queued = 0;
}
