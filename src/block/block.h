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
 *   - a write, zero or discard of a read-only device ends with -EROFS;
 *   - short transfers and EINTR are continued by the backend;
 *   - BLOCK_STATUS is a request as it may wait for the disk; a backend that cannot tell says that
 *     everything is allocated.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "block/pool.h"
#include "event/loop.h"

struct block;
struct block_req;
struct block_throttle;
struct metrics_disk;

enum block_op {
	BLOCK_READ,
	BLOCK_WRITE,
	BLOCK_FLUSH,		/* off, len and buf are not used */
	BLOCK_DISCARD,		/* a hint; see block->zero_after_discard for what reads back */
	BLOCK_ZERO,		/* the range reads as zeroes afterwards */
	BLOCK_STATUS,		/* is the range allocated? fills in ret_allocated and ret_len */
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

	/* What BLOCK_STATUS answers: so it is for the first ret_len bytes (1..len). */
	uint64_t ret_len;
	bool ret_allocated;

	/* private to src/block */
	bool started;
	bool lost;			/* backend: acknowledged data may be gone; sets the latch */
	int64_t since;			/* of loop_now(): its start */
	unsigned blockers;		/* older requests that this one waits for */
	int ret;
	struct block *block;
	struct block_req *next;		/* newer, in flight */
	struct block_req *ended_next;
	uint64_t lo, hi;		/* bytes that others must keep off; empty: none */
	union {				/* the backend's */
		struct pool_job job;
		struct loop_timer timer;
		struct {
			struct block_req *next;
			uint64_t done, chunk;	/* bytes */
			int64_t cookie;
			int err;
			bool flushing;
		} remote;
	} u;
};

struct block_ops {
	const char *name;
	/* Starts @req; calls block_complete() for it, now or later from the loop. */
	void (*submit)(struct block *block, struct block_req *req);
	void (*close)(struct block *block);	/* frees @block */
	bool resizable;			/* somebody else may change the size of what it is on */
	/*
	 * Reads what is at hand, without ever waiting: bytes, or -EAGAIN (as any error) when that
	 * is none.  NULL: nothing ever is.  The range is inside the device.
	 */
	ssize_t (*read_now)(struct block *block, uint64_t off, const struct iovec *iov, int count);
};

/* Each may be NULL. */
struct block_extra {
	struct metrics_disk *stats;	/* where its requests are counted, besides */
	struct block_throttle *throttle;	/* see throttle.h */
};

struct block {
	const struct block_ops *ops;
	struct loop *loop;
	const struct block_extra *extra;	/* of a disk that a monitor has, or NULL */
	uint64_t size;			/* bytes */
	uint32_t align;			/* of offsets and lengths, bytes, a power of two (1: any) */
	uint32_t mem_align;		/* of buffers, bytes */
	bool readonly;
	bool can_discard;
	bool zero_after_discard;	/* a discarded range is sure to read as zeroes */
	/* private; the backend may set these two after block_init() */
	uint32_t overlap_align;		/* bytes; requests that share such a unit are ordered */
	bool serial_sync;		/* flushes and FUA writes one after the other */
	/* private to block.c */
	unsigned depth;			/* requests in flight */
	struct block_req *inflight;	/* oldest first */
	struct block_req **inflight_tail;
	struct block_req *ended;	/* to be reported by the next pass of the loop */
	struct block_req **ended_tail;
	struct loop_work ended_work;
	unsigned starting;		/* inside block_submit() or ops->submit() */
	int flush_error;		/* the latch: 0 or -errno */
};

/* Starts @req.  Allocates nothing. */
void block_submit(struct block *block, struct block_req *req);

/*
 * A read without a request: of @len bytes at @off, any alignment, into @count segments of that
 * many bytes, which may be guest memory.  Returns at once, with the bytes read, which may be fewer;
 * or -EAGAIN: none could be had without a wait, an older write of the range has not ended, or they
 * cannot be read at all.  What block_submit() comes to then counts, also as an error.
 */
ssize_t block_read_now(struct block *block, uint64_t off, const struct iovec *iov, int count,
		       uint64_t len);

/*
 * What it is on has @size bytes now, or will have once it is idle, when it becomes shorter: newer
 * requests go by that.  0; -ENOTSUP: the backend has a size of its own; -EINVAL: not one that it
 * can have.
 */
int block_resize(struct block *block, uint64_t size);

/* Is nothing in flight? */
bool block_idle(const struct block *block);

/* The latch of failed flushes: 0, or the -errno that every flush and FUA write ends with. */
int block_flush_error(const struct block *block);
/* It has failed in another process, with @err (-errno): nothing if it has failed here. */
void block_latch_flush_error(struct block *block, int err);

/* NULL-safe.  The device must be idle. */
void block_close(struct block *block);

/* For backends: prepares the generic part (align, mem_align and overlap_align are 1). */
void block_init(struct block *block, const struct block_ops *ops, struct loop *loop, uint64_t size);
/* For throttle.c: starts one that block_throttle_holds() has kept. */
void block_start(struct block_req *req);
/* For backends: ends a request.  From the loop's thread; inside ops->submit() it is put off. */
void block_complete(struct block_req *req, int ret);

#endif
