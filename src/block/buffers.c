/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/buffers.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/num.h"
#include "event/loop.h"

struct buffers {
	struct loop *loop;
	struct loop_work work;
	size_t size;
	unsigned count;
	char *mem;
	struct buffers_waiter *waiters;		/* oldest first */
	struct buffers_waiter **waiters_tail;
	bool serving;				/* inside ready(): it may take what is free */
	unsigned free_count;
	unsigned *free;				/* a stack of indices */
	bool *taken;
};

/* Calls waiters while there is something to take; who does not take it leaves it to the next. */
static void buffers_serve(void *opaque)
{
	struct buffers *bufs = opaque;

	bufs->serving = true;
	while (bufs->waiters && bufs->free_count) {
		struct buffers_waiter *waiter = bufs->waiters;

		buffers_cancel(bufs, waiter);
		waiter->ready(waiter);
	}
	bufs->serving = false;
}

struct buffers *buffers_create(struct loop *loop, unsigned count, size_t size)
{
	struct buffers *bufs;

	if (!count || !size || !is_aligned(size, 4096) || size > SIZE_MAX / count) {
		errno = EINVAL;
		return NULL;
	}
	bufs = calloc(1, sizeof(*bufs));
	if (!bufs)
		return NULL;
	bufs->loop = loop;
	bufs->work = (struct loop_work){ .fn = buffers_serve, .opaque = bufs };
	bufs->size = size;
	bufs->count = bufs->free_count = count;
	bufs->waiters_tail = &bufs->waiters;
	bufs->free = calloc(count, sizeof(*bufs->free));
	bufs->taken = calloc(count, sizeof(*bufs->taken));
	bufs->mem = mmap(NULL, count * size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!bufs->free || !bufs->taken || bufs->mem == MAP_FAILED) {
		buffers_destroy(bufs);
		errno = ENOMEM;
		return NULL;
	}
	for (unsigned i = 0; i < count; i++)
		bufs->free[i] = count - 1 - i;
	return bufs;
}

void buffers_destroy(struct buffers *bufs)
{
	if (!bufs)
		return;
	loop_work_cancel(bufs->loop, &bufs->work);
	if (bufs->mem != MAP_FAILED)
		munmap(bufs->mem, bufs->count * bufs->size);
	free(bufs->taken);
	free(bufs->free);
	free(bufs);
}

size_t buffers_size(const struct buffers *bufs)
{
	return bufs->size;
}

/* Who comes later than a waiter waits behind it. */
void *buffers_get(struct buffers *bufs, struct buffers_waiter *waiter)
{
	unsigned index;

	if (bufs->free_count && (bufs->serving || !bufs->waiters)) {
		index = bufs->free[--bufs->free_count];
		bufs->taken[index] = true;
		return bufs->mem + index * bufs->size;
	}
	if (waiter && !waiter->queued) {
		waiter->queued = true;
		waiter->next = NULL;
		*bufs->waiters_tail = waiter;
		bufs->waiters_tail = &waiter->next;
	}
	return NULL;
}

void buffers_put(struct buffers *bufs, void *buf)
{
	size_t off = (char *)buf - bufs->mem;
	unsigned index = off / bufs->size;

	assert(index < bufs->count && off % bufs->size == 0 && bufs->taken[index]);
	bufs->taken[index] = false;
	bufs->free[bufs->free_count++] = index;
	if (bufs->waiters)
		loop_work_queue(bufs->loop, &bufs->work);
}

void buffers_cancel(struct buffers *bufs, struct buffers_waiter *waiter)
{
	struct buffers_waiter **p;

	if (!waiter->queued)
		return;
	p = &bufs->waiters;
	while (*p != waiter)
		p = &(*p)->next;
	*p = waiter->next;
	if (!waiter->next)
		bufs->waiters_tail = p;
	waiter->queued = false;
}
