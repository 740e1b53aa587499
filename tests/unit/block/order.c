/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The generic part against a backend that holds requests and ends them in any order: what it
 * promises in block/block.h holds whatever the backend and the submitters do.
 */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "base/num.h"
#include "block/block.h"
#include "event/loop.h"

#define DISK_SIZE 4096u
#define MAX_HELD 64

/* Holds what is submitted; the test ends it. */
struct held_block {
	struct block block;
	struct block_req *held[MAX_HELD];
	unsigned count;
	uint8_t data[DISK_SIZE];
	bool closed;
};

static void held_submit(struct block *block, struct block_req *req)
{
	struct held_block *held = (struct held_block *)block;

	g_assert_cmpuint(held->count, <, MAX_HELD);
	held->held[held->count++] = req;
}

static void held_close(struct block *block)
{
	((struct held_block *)block)->closed = true;
}

/* At most @now_max bytes at once. */
static ssize_t now_max, nows;

static ssize_t held_read_now(struct block *block, uint64_t off, const struct iovec *iov, int count)
{
	struct held_block *held = (struct held_block *)block;
	ssize_t n = 0;

	nows++;
	for (int i = 0; i < count && n < now_max; i++) {
		size_t part = MIN(iov[i].iov_len, (size_t)(now_max - n));

		memcpy(iov[i].iov_base, held->data + off + n, part);
		n += part;
	}
	return n ? n : -EAGAIN;
}

static const struct block_ops held_ops = {
	.name = "held", .submit = held_submit, .close = held_close,
	.read_now = held_read_now,
};

/* Does what the request says, then ends it. */
static void held_end(struct held_block *held, unsigned index, int ret)
{
	struct block_req *req = held->held[index];

	held->held[index] = held->held[--held->count];
	if (ret)
		;
	else if (req->op == BLOCK_READ)
		memcpy(req->buf, held->data + req->off, req->len);
	else if (req->op == BLOCK_WRITE)
		memcpy(held->data + req->off, req->buf, req->len);
	else if (req->op == BLOCK_ZERO || req->op == BLOCK_DISCARD)
		memset(held->data + req->off, 0, req->len);
	block_complete(req, ret);
}

struct submitter {
	struct block_req req;
	uint8_t buf[DISK_SIZE];
	uint8_t expect[DISK_SIZE];	/* of a read */
	bool busy, gone;
	unsigned done;
	int ret;
};

static void submitter_done(struct block_req *req, int ret)
{
	struct submitter *s = req->opaque;

	g_assert_true(s->busy);
	s->busy = false;
	s->done++;
	s->ret = ret;
	if (ret || s->gone)
		return;
	if (req->op == BLOCK_READ)
		g_assert_cmpint(memcmp(s->buf, s->expect, req->len), ==, 0);
}

static void held_init(struct held_block *held, struct loop *loop)
{
	memset(held, 0, sizeof(*held));
	block_init(&held->block, &held_ops, loop, DISK_SIZE);
}

/* What the disk must be when requests that overlap run in the order of their submission. */
static void submit_random(struct held_block *held, struct submitter *s, uint8_t *model, GRand *rand)
{
	static const enum block_op ops[] = { BLOCK_READ, BLOCK_READ, BLOCK_WRITE, BLOCK_WRITE,
					     BLOCK_ZERO, BLOCK_DISCARD, BLOCK_FLUSH };

	s->req.op = ops[g_rand_int_range(rand, 0, G_N_ELEMENTS(ops))];
	s->req.flags = g_rand_boolean(rand) ? BLOCK_REQ_FUA : 0;
	s->req.len = 512 * g_rand_int_range(rand, 1, 5);
	s->req.off = 512 * g_rand_int_range(rand, 0, (DISK_SIZE - s->req.len) / 512 + 1);
	s->req.buf = s->buf;
	s->req.done = submitter_done;
	s->req.opaque = s;
	s->busy = true;
	s->gone = g_rand_int_range(rand, 0, 4) == 0;
	memset(s->buf, g_rand_int_range(rand, 1, 256), s->req.len);
	if (s->req.op == BLOCK_READ)
		memcpy(s->expect, model + s->req.off, s->req.len);
	else if (s->req.op == BLOCK_WRITE)
		memcpy(model + s->req.off, s->buf, s->req.len);
	else if (s->req.op != BLOCK_FLUSH)
		memset(model + s->req.off, 0, s->req.len);
	block_submit(&held->block, &s->req);
}

/* No two at work may touch the same bytes when one of them writes. */
static void check_held(const struct held_block *held)
{
	for (unsigned i = 0; i < held->count; i++)
		for (unsigned j = 0; j < i; j++) {
			const struct block_req *a = held->held[i], *b = held->held[j];

			if (a->op == BLOCK_FLUSH || b->op == BLOCK_FLUSH ||
			    (a->op == BLOCK_READ && b->op == BLOCK_READ))
				continue;
			g_assert_false(ranges_overlap(align_down(a->off, held->block.overlap_align),
				align_up(a->off + a->len, held->block.overlap_align) -
				align_down(a->off, held->block.overlap_align), b->off, b->len));
		}
}

static void run_schedule(struct loop *loop, uint32_t seed)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
	static struct submitter all[24];
	uint8_t model[DISK_SIZE] = { 0 };
	struct held_block held;
	unsigned submitted = 0;

	memset(all, 0, sizeof(all));
	held_init(&held, loop);
	held.block.overlap_align = seed % 3 ? 1 : 4096 >> (seed % 4);
	held.block.serial_sync = seed % 2;
	while (submitted < 60 || !block_idle(&held.block)) {
		struct submitter *s = &all[g_rand_int_range(rand, 0, G_N_ELEMENTS(all))];

		if (submitted < 60 && !s->busy && g_rand_boolean(rand)) {
			submit_random(&held, s, model, rand);
			submitted++;
		} else if (held.count) {
			held_end(&held, g_rand_int_range(rand, 0, held.count), 0);
		} else {
			g_assert_true(block_idle(&held.block) || submitted < 60);
		}
		check_held(&held);
	}
	g_assert_cmpint(memcmp(held.data, model, DISK_SIZE), ==, 0);
	block_close(&held.block);
	g_assert_true(held.closed);
}

/* The newest acknowledged write wins, and a read sees it, in any order of ending. */
static void test_random_order(void)
{
	struct loop *loop = loop_create(-1);

	for (uint32_t seed = 0; seed < 10000; seed++)
		run_schedule(loop, seed);
	loop_destroy(loop);
}

/* How a request that was not sent to the backend ends. */
static int refused(struct held_block *held, struct submitter *s, enum block_op op, uint64_t off,
		   uint64_t len)
{
	memset(s, 0, sizeof(*s));
	s->gone = s->busy = true;
	s->req = (struct block_req){ .op = op, .off = off, .len = len, .buf = s->buf,
				     .done = submitter_done, .opaque = s };
	block_submit(&held->block, &s->req);
	g_assert_cmpuint(s->done, ==, 0);	/* never inside block_submit() */
	g_assert_cmpuint(held->count, ==, 0);
	g_assert_false(block_idle(&held->block));
	loop_step(held->block.loop, 0);
	g_assert_cmpuint(s->done, ==, 1);
	g_assert_true(block_idle(&held->block));
	return s->ret;
}

static void test_bad_ranges(void)
{
	static const struct { uint64_t off, len; } bad[] = {
		{ 0, DISK_SIZE + 512 }, { DISK_SIZE, 512 }, { DISK_SIZE + 512, 0 },
		{ UINT64_MAX, 1 }, { UINT64_MAX - 511, 512 }, { 512, UINT64_MAX },
		{ UINT64_MAX, UINT64_MAX }, { 1, 512 }, { 0, 511 }, { 0, 1 },
	};
	static const enum block_op ops[] = { BLOCK_READ, BLOCK_WRITE, BLOCK_ZERO, BLOCK_STATUS };
	struct loop *loop = loop_create(-1);
	struct held_block held;
	static struct submitter s;

	held_init(&held, loop);
	held.block.align = 512;
	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++)
		for (unsigned j = 0; j < G_N_ELEMENTS(ops); j++)
			g_assert_cmpint(refused(&held, &s, ops[j], bad[i].off, bad[i].len), ==,
					-EINVAL);
	g_assert_cmpint(refused(&held, &s, (enum block_op)99, 0, 512), ==, -EINVAL);
	/* nothing to do is no error; a discard outside is a hint that cannot be taken */
	g_assert_cmpint(refused(&held, &s, BLOCK_READ, DISK_SIZE, 0), ==, 0);
	g_assert_cmpint(refused(&held, &s, BLOCK_DISCARD, UINT64_MAX, UINT64_MAX), ==, 0);
	g_assert_cmpint(refused(&held, &s, BLOCK_DISCARD, 1, 1000), ==, 0);
	held.block.readonly = true;
	g_assert_cmpint(refused(&held, &s, BLOCK_WRITE, 0, 512), ==, -EROFS);
	g_assert_cmpint(refused(&held, &s, BLOCK_ZERO, 0, 512), ==, -EROFS);
	g_assert_cmpint(refused(&held, &s, BLOCK_DISCARD, 0, 512), ==, -EROFS);
	loop_destroy(loop);
}

static void submit_held(struct held_block *held, struct submitter *s, enum block_op op,
			unsigned flags, uint64_t off)
{
	memset(s, 0, sizeof(*s));
	s->gone = s->busy = true;
	s->req = (struct block_req){ .op = op, .flags = flags, .off = off, .len = 512,
				     .buf = s->buf, .done = submitter_done, .opaque = s };
	block_submit(&held->block, &s->req);
}

static void test_discard_trimmed(void)
{
	struct loop *loop = loop_create(-1);
	struct held_block held;
	static struct submitter s;

	held_init(&held, loop);
	held.block.align = 512;
	submit_held(&held, &s, BLOCK_DISCARD, 0, DISK_SIZE - 700);
	g_assert_cmpuint(held.count, ==, 0);		/* 3396..3908 has no whole unit */
	loop_step(loop, 0);
	s.busy = true;
	s.req.off = DISK_SIZE - 700;
	s.req.len = UINT64_MAX - 5;
	block_submit(&held.block, &s.req);
	g_assert_cmpuint(held.count, ==, 1);
	g_assert_cmpuint(held.held[0]->off, ==, DISK_SIZE - 512);
	g_assert_cmpuint(held.held[0]->len, ==, 512);
	held_end(&held, 0, 0);
	g_assert_cmpint(s.ret, ==, 0);
	loop_destroy(loop);
}

/* Data that was acknowledged and lost is not forgotten. */
static void test_flush_latch(void)
{
	struct loop *loop = loop_create(-1);
	struct held_block held;
	static struct submitter a, b, w, fua;

	held_init(&held, loop);
	/* Two flushes at once: the one that ends well after the other one failed knows nothing. */
	submit_held(&held, &a, BLOCK_FLUSH, 0, 0);
	submit_held(&held, &b, BLOCK_FLUSH, 0, 0);
	g_assert_cmpuint(held.count, ==, 2);
	held_end(&held, 0, -EIO);
	held_end(&held, 0, 0);
	g_assert_cmpint(a.ret, ==, -EIO);
	g_assert_cmpint(b.ret, ==, -EIO);
	/* Ordinary requests go on; what promises stable storage does not. */
	submit_held(&held, &w, BLOCK_WRITE, 0, 0);
	g_assert_cmpuint(held.count, ==, 1);
	held_end(&held, 0, 0);
	g_assert_cmpint(w.ret, ==, 0);
	for (int i = 0; i < 3; i++) {
		submit_held(&held, &a, BLOCK_FLUSH, 0, 0);
		submit_held(&held, &fua, BLOCK_WRITE, BLOCK_REQ_FUA, 1024);
		g_assert_cmpuint(held.count, ==, 0);
		g_assert_cmpuint(a.done + fua.done, ==, 0);
		loop_step(loop, 0);
		g_assert_cmpint(a.ret, ==, -EIO);
		g_assert_cmpint(fua.ret, ==, -EIO);
	}
	g_assert_true(block_idle(&held.block));
	loop_destroy(loop);
}

/* With serial_sync the flush that waits for the failing one fails too, and is never started. */
static void test_flush_serial(void)
{
	struct loop *loop = loop_create(-1);
	struct held_block held;
	static struct submitter a, b, fua;

	held_init(&held, loop);
	held.block.serial_sync = true;
	submit_held(&held, &a, BLOCK_FLUSH, 0, 0);
	submit_held(&held, &fua, BLOCK_WRITE, BLOCK_REQ_FUA, 0);
	submit_held(&held, &b, BLOCK_FLUSH, 0, 0);
	g_assert_cmpuint(held.count, ==, 1);
	held_end(&held, 0, -ENOSPC);
	g_assert_cmpuint(held.count, ==, 0);
	loop_step(loop, 0);
	loop_step(loop, 0);
	g_assert_cmpint(a.ret, ==, -ENOSPC);
	g_assert_cmpint(fua.ret, ==, -ENOSPC);
	g_assert_cmpint(b.ret, ==, -ENOSPC);
	g_assert_true(block_idle(&held.block));
	loop_destroy(loop);
}

/* A read of [off, off + len) without a request: bytes, or -errno. */
static ssize_t read_now(struct held_block *held, uint64_t off, uint64_t len)
{
	static uint8_t buf[DISK_SIZE];
	struct iovec iov[2] = { { buf, len / 2 }, { buf + len / 2, len - len / 2 } };
	ssize_t n = block_read_now(&held->block, off, iov, 2, len);

	if (n > 0)
		g_assert_cmpmem(buf, n, held->data + off, n);
	return n;
}

/* Only what no older write can change any more, inside the device; a read holds up nobody. */
static void test_read_now(void)
{
	struct loop *loop = loop_create(-1);
	struct held_block held;
	static struct submitter a, b, c;

	held_init(&held, loop);
	for (unsigned i = 0; i < DISK_SIZE; i++)
		held.data[i] = i * 7 + (i >> 8);
	now_max = DISK_SIZE;
	g_assert_cmpint(read_now(&held, 0, DISK_SIZE), ==, DISK_SIZE);
	g_assert_cmpint(read_now(&held, 1, 777), ==, 777);
	now_max = 100;
	g_assert_cmpint(read_now(&held, 512, 512), ==, 100);
	now_max = 0;
	g_assert_cmpint(read_now(&held, 512, 512), ==, -EAGAIN);
	now_max = DISK_SIZE;
	nows = 0;
	g_assert_cmpint(read_now(&held, 0, 0), ==, -EAGAIN);
	g_assert_cmpint(read_now(&held, DISK_SIZE - 511, 512), ==, -EAGAIN);
	g_assert_cmpint(read_now(&held, DISK_SIZE + 512, 1), ==, -EAGAIN);
	g_assert_cmpint(nows, ==, 0);
	/* one at work, one that waits for it, and a read that waits for that */
	held.block.overlap_align = 512;
	submit_held(&held, &a, BLOCK_WRITE, 0, 1024);
	submit_held(&held, &b, BLOCK_ZERO, 0, 1024);
	submit_held(&held, &c, BLOCK_READ, 0, 1024);
	g_assert_cmpint(read_now(&held, 1024, 1), ==, -EAGAIN);
	g_assert_cmpint(read_now(&held, 1000, 25), ==, -EAGAIN);
	g_assert_cmpint(read_now(&held, 0, DISK_SIZE), ==, -EAGAIN);
	g_assert_cmpint(nows, ==, 0);
	g_assert_cmpint(read_now(&held, 1000, 24), ==, 24);
	g_assert_cmpint(read_now(&held, 1536, 512), ==, 512);
	held_end(&held, 0, 0);
	g_assert_cmpint(read_now(&held, 1024, 512), ==, -EAGAIN);
	held_end(&held, 0, 0);
	g_assert_cmpint(read_now(&held, 1024, 512), ==, 512);
	held_end(&held, 0, 0);
	g_assert_true(block_idle(&held.block));
	loop_destroy(loop);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/block/bad-ranges", test_bad_ranges);
	g_test_add_func("/block/discard-trimmed", test_discard_trimmed);
	g_test_add_func("/block/flush-latch", test_flush_latch);
	g_test_add_func("/block/flush-serial", test_flush_serial);
	g_test_add_func("/block/read-now", test_read_now);
	g_test_add_func("/block/random-order", test_random_order);
	return g_test_run();
}
