/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BLOCK_BLOCK_H
#define BLOCK_BLOCK_H

/*
 * Block devices: asynchronous requests on a byte range, one ops table a backend.
 *
 * The caller owns the request and its buffer until done() is called, exactly once, from the loop
 * (never inside block_submit()).  A submitted request cannot be called back: whoever loses interest
 * lets it finish.  The generic part guarantees, for every backend:
 *   - ranges are inside the device and aligned to block->align, else the request ends with -EINVAL
 *     (reads and writes) or is trimmed (discard);
 *   - a request that writes (write, zero, discard) and overlaps an older one that has not ended
 *     starts only after it, and so does a read that overlaps an older write: the newest
 *     acknowledged write wins, whatever its submitter did in between;
 *   - a flush covers every write that ended before the flush was submitted;
 *   - once a flush has failed (-EIO and the like), every later flush and FUA write of the device
 *     fails too, until it is reopened: data that was acknowledged and lost is not forgotten;
 *   - short transfers and EINTR are continued by the backend.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct block;
struct block_req;

enum block_op {
	BLOCK_READ,
	BLOCK_WRITE,
	BLOCK_FLUSH,		/* off, len and buf are not used */
	BLOCK_DISCARD,		/* a hint; see block->zero_after_discard for what reads back */
	BLOCK_ZERO,		/* the range reads as zeroes afterwards */
};

#define BLOCK_REQ_FUA	1u	/* BLOCK_WRITE, BLOCK_ZERO: on stable storage before done() */
#define BLOCK_REQ_UNMAP	2u	/* BLOCK_ZERO: may deallocate */

struct block_req {
	enum block_op op;
	unsigned flags;
	uint64_t off;		/* bytes */
	uint64_t len;		/* bytes */
	void *buf;		/* len bytes at block->mem_align; NULL but for READ, WRITE */
	void (*done)(struct block_req *req, int ret);	/* ret: 0 or -errno */
	void *opaque;

	/* private to src/block */
	struct block *block;
	struct block_req *next;
	struct block_req *peer;
	uint64_t seq;
	unsigned state;
	int ret;
};

struct block_ops {
	const char *name;
	/* Starts @req; block_complete() is called for it later, from the loop. */
	void (*submit)(struct block *block, struct block_req *req);
	/* Is the range allocated?  Sets *ret_len to how far the answer holds.  May be NULL. */
	bool (*allocated)(struct block *block, uint64_t off, uint64_t len, uint64_t *ret_len);
	void (*close)(struct block *block);
};

struct block {
	const struct block_ops *ops;
	struct loop *loop;
	uint64_t size;			/* bytes */
	uint32_t align;			/* of offsets and lengths, bytes, a power of two (1: any) */
	uint32_t mem_align;		/* of buffers, bytes */
	bool readonly;
	bool can_discard;
	bool zero_after_discard;	/* a discarded range is sure to read as zeroes */
	/* private: the list of requests in flight, failed-flush latch */
	struct block_req *inflight;
	struct block_req **inflight_tail;
	uint64_t seq;
	int flush_error;
};

/* Starts @req.  Allocates nothing. */
void block_submit(struct block *block, struct block_req *req);

/* Is nothing in flight? */
bool block_idle(const struct block *block);

/* See block_ops.allocated; a backend that cannot tell says that everything is. */
bool block_allocated(struct block *block, uint64_t off, uint64_t len, uint64_t *ret_len);

/* NULL-safe.  The device must be idle. */
void block_close(struct block *block);

/* For backends: prepares the generic part; ends a request (from the loop only). */
void block_init(struct block *block, const struct block_ops *ops, struct loop *loop, uint64_t size);
void block_complete(struct block_req *req, int ret);

#endif
