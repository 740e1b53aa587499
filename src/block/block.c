/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/block.h"

#include <assert.h>
#include <errno.h>

#include "base/num.h"
#include "block/throttle.h"
#include "metrics/disk.h"
#include "metrics/page.h"

_Static_assert(BLOCK_STATUS + 1 == METRICS_IO_OPS, "each operation is counted");

/* Does the op change data? */
static bool op_writes(enum block_op op)
{
	return op == BLOCK_WRITE || op == BLOCK_ZERO || op == BLOCK_DISCARD;
}

/* Does the request end only when data is on stable storage? */
static bool req_syncs(const struct block_req *req)
{
	return req->op == BLOCK_FLUSH || (op_writes(req->op) && (req->flags & BLOCK_REQ_FUA));
}

/*
 * Must the newer of two requests wait for the other one?  Syncing ones do where the host reports a
 * lost write once a file: with two of them at work the wrong one could take the report.
 */
static bool reqs_conflict(const struct block *block, const struct block_req *a,
			  const struct block_req *b)
{
	if (block->serial_sync && req_syncs(a) && req_syncs(b))
		return true;
	return (op_writes(a->op) || op_writes(b->op)) &&
		ranges_overlap(a->lo, a->hi - a->lo, b->lo, b->hi - b->lo);
}

void block_init(struct block *block, const struct block_ops *ops, struct loop *loop, uint64_t size)
{
	*block = (struct block){ .ops = ops, .loop = loop, .size = size,
				 .align = 1, .mem_align = 1, .overlap_align = 1 };
	block->inflight_tail = &block->inflight;
	block->ended_tail = &block->ended;
}

static int check_range(const struct block *block, const struct block_req *req)
{
	if (!range_fits(req->off, req->len, block->size))
		return -EINVAL;
	if (!is_aligned(req->off, block->align) || !is_aligned(req->len, block->align))
		return -EINVAL;
	return 0;
}

static int check_data(const struct block *block, const struct block_req *req)
{
	if (req->len && !req->buf)
		return -EINVAL;
	if (!is_aligned((uintptr_t)req->buf, block->mem_align))
		return -EINVAL;
	return check_range(block, req);
}

/* A discard is a hint: what lies outside the device or in a part of a unit is left out. */
static int trim_discard(const struct block *block, struct block_req *req)
{
	uint64_t end, start;

	if (req->off >= block->size) {
		req->len = 0;
		return 0;
	}
	end = req->off + min_u64(req->len, block->size - req->off);
	start = min_u64(end, align_up(req->off, block->align));
	req->off = start;
	req->len = align_down(end, block->align) > start ?
		align_down(end, block->align) - start : 0;
	return 0;
}

/* Returns 0 or -errno; sets what nobody else may touch meanwhile. */
static int req_check(struct block *block, struct block_req *req)
{
	int ret = 0;

	if (block->readonly && op_writes(req->op))
		return -EROFS;
	if (req->op == BLOCK_READ || req->op == BLOCK_WRITE)
		ret = check_data(block, req);
	else if (req->op == BLOCK_DISCARD)
		ret = trim_discard(block, req);
	else if (req->op == BLOCK_ZERO || req->op == BLOCK_STATUS)
		ret = check_range(block, req);
	else if (req->op != BLOCK_FLUSH)
		ret = -EINVAL;
	if (ret || req->op == BLOCK_FLUSH || req->op == BLOCK_STATUS || !req->len)
		return ret;
	req->lo = align_down(req->off, block->overlap_align);
	req->hi = align_up(req->off + req->len, block->overlap_align);
	return 0;
}

/* Is there nothing to do for the backend? */
static bool req_empty(const struct block_req *req)
{
	return req->op != BLOCK_FLUSH && !req->len;
}

static struct metrics_disk *stats_of(const struct block *block)
{
	return block->extra ? block->extra->stats : NULL;
}

static struct block_throttle *throttle_of(const struct block *block)
{
	return block->extra ? block->extra->throttle : NULL;
}

void block_start(struct block_req *req)
{
	struct block *block = req->block;

	block->starting++;
	req->started = true;
	if (block->flush_error && req_syncs(req))
		block_complete(req, block->flush_error);
	else if (req_empty(req))
		block_complete(req, 0);
	else
		block->ops->submit(block, req);
	block->starting--;
}

static void req_start(struct block *block, struct block_req *req)
{
	if (!throttle_of(block) || !block_throttle_holds(throttle_of(block), req))
		block_start(req);
}

void block_submit(struct block *block, struct block_req *req)
{
	int ret;

	req->block = block;
	req->next = req->ended_next = NULL;
	req->lo = req->hi = 0;
	req->blockers = 0;
	req->since = loop_now();
	req->started = req->lost = false;
	ret = req_check(block, req);
	if (!ret)
		for (const struct block_req *r = block->inflight; r; r = r->next)
			req->blockers += reqs_conflict(block, r, req);
	*block->inflight_tail = req;
	block->inflight_tail = &req->next;
	metrics_io_started(req->op, ++block->depth);
	if (ret) {
		req->started = true;
		block->starting++;
		block_complete(req, ret);
		block->starting--;
	} else if (!req->blockers) {
		req_start(block, req);
	}
}

/* Is there an older request that a read of the range has to wait for? */
static bool is_written(const struct block *block, uint64_t off, uint64_t len)
{
	for (const struct block_req *r = block->inflight; r; r = r->next)
		if (op_writes(r->op) && ranges_overlap(r->lo, r->hi - r->lo, off, len))
			return true;
	return false;
}

static void count_end(struct block *block, enum block_op op, uint64_t ns, int ret, uint64_t bytes)
{
	metrics_io_ended(op, ns, ret, bytes);
	if (stats_of(block))
		metrics_disk_ended(stats_of(block), op, ns, ret, bytes);
}

ssize_t block_read_now(struct block *block, uint64_t off, const struct iovec *iov, int count,
		       uint64_t len)
{
	int64_t since;
	ssize_t n;

	if (!block->ops->read_now || !len || !range_fits(off, len, block->size) ||
	    is_written(block, off, len) ||
	    (throttle_of(block) && block_throttle_on(throttle_of(block))))
		return -EAGAIN;
	since = loop_now();
	n = block->ops->read_now(block, off, iov, count);
	if (n <= 0)
		return -EAGAIN;
	metrics_io_started(BLOCK_READ, block->depth + 1);
	count_end(block, BLOCK_READ, loop_now() - since, 0, n);
	return n;
}

int block_resize(struct block *block, uint64_t size)
{
	if (!block->ops->resizable)
		return -ENOTSUP;
	if (!size || size > (uint64_t)INT64_MAX - block->overlap_align || size % 512 ||
	    (!block->readonly && size % block->overlap_align))
		return -EINVAL;
	block->size = size;
	if (stats_of(block))
		stats_of(block)->size = size;
	return 0;
}

static void inflight_remove(struct block *block, struct block_req *req)
{
	struct block_req **p = &block->inflight;

	while (*p != req)
		p = &(*p)->next;
	*p = req->next;
	if (!req->next)
		block->inflight_tail = p;
}

/* Starts the newer requests that waited for @req alone. */
static void release_waiters(struct block *block, const struct block_req *req)
{
	for (struct block_req *r = req->next; r; r = r->next) {
		if (r->started || !reqs_conflict(block, req, r))
			continue;
		if (--r->blockers == 0)
			req_start(block, r);
	}
}

/* What the request was for; an allocation status moves nothing. */
static uint64_t req_bytes(const struct block_req *req)
{
	return req->op == BLOCK_FLUSH || req->op == BLOCK_STATUS ? 0 : req->len;
}

static void req_end(struct block *block, struct block_req *req)
{
	int ret = req->ret;

	if (!block->flush_error && ret < 0 && (req->op == BLOCK_FLUSH || req->lost))
		block->flush_error = ret;
	/* One that ran beside the failing one cannot know whether it was meant. */
	if (!ret && req_syncs(req))
		ret = block->flush_error;
	release_waiters(block, req);
	inflight_remove(block, req);
	block->depth--;
	count_end(block, req->op, loop_now() - req->since, ret, req_bytes(req));
	if (stats_of(block) && !ret && (req->op == BLOCK_WRITE || req->op == BLOCK_ZERO))
		stats_of(block)->highest = max_u64(stats_of(block)->highest,
						   req->off + req->len);
	req->done(req, ret);	/* may free @req, and close an idle @block */
}

static void ended_run(void *opaque)
{
	struct block *block = opaque;
	struct block_req *req = block->ended;

	block->ended = NULL;
	block->ended_tail = &block->ended;
	while (req) {
		struct block_req *next = req->ended_next;

		req_end(block, req);
		req = next;
	}
}

void block_complete(struct block_req *req, int ret)
{
	struct block *block = req->block;

	req->ret = ret;
	if (!block->starting) {
		req_end(block, req);
		return;
	}
	req->ended_next = NULL;
	*block->ended_tail = req;
	block->ended_tail = &req->ended_next;
	block->ended_work.fn = ended_run;
	block->ended_work.opaque = block;
	block->ended_work.unheld = true;	/* what is under way ends */
	loop_work_queue(block->loop, &block->ended_work);
}

bool block_idle(const struct block *block)
{
	return !block->inflight;
}

void block_latch_flush_error(struct block *block, int err)
{
	if (!block->flush_error)
		block->flush_error = err;
}

int block_flush_error(const struct block *block)
{
	return block->flush_error;
}

void block_close(struct block *block)
{
	if (!block)
		return;
	assert(block_idle(block));
	block->ops->close(block);
}
