/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BLOCK_BUFFERS_H
#define BLOCK_BUFFERS_H

/*
 * A fixed set of data buffers of equal size, page aligned, taken last-in-first-out so that a quiet
 * device touches few pages.  Who finds none waits in a queue and is called from the loop.
 */

#include <stddef.h>

struct loop;
struct buffers;

struct buffers_waiter {
	void (*ready)(struct buffers_waiter *waiter);	/* try buffers_get() again */
	/* private */
	struct buffers_waiter *next;
	int queued;
};

/* @count buffers of @size bytes (a multiple of 4096).  NULL with errno set on failure. */
struct buffers *buffers_create(struct loop *loop, unsigned count, size_t size);
void buffers_destroy(struct buffers *bufs);

/* Bytes of one buffer. */
size_t buffers_size(const struct buffers *bufs);

/*
 * A buffer, or NULL when there is none: then @waiter (may be NULL) is queued and its ready() called
 * once, from the loop, when one is free.
 */
void *buffers_get(struct buffers *bufs, struct buffers_waiter *waiter);
void buffers_put(struct buffers *bufs, void *buf);
/* Nothing when @waiter is not queued; @bufs may be NULL then (a bus without disks has none). */
void buffers_cancel(struct buffers *bufs, struct buffers_waiter *waiter);

#endif
