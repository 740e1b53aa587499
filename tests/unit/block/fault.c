/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fault backend, and what block/block.h promises when the disk behind it fails. */
#include "block/fault.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

#include "block/block.h"
#include "event/loop.h"

#define SIZE 32768u

struct io {
	struct block_req req;
	uint8_t buf[4096];
	bool done;
	int ret;
};

static void on_done(struct block_req *req, int ret)
{
	struct io *io = req->opaque;

	g_assert_false(io->done);
	io->done = true;
	io->ret = ret;
}

static void start(struct block *block, struct io *io, enum block_op op, unsigned flags,
		  uint64_t off, uint64_t len, int byte)
{
	io->done = false;
	io->ret = 1;
	memset(io->buf, byte, sizeof(io->buf));
	io->req = (struct block_req){ .op = op, .flags = flags, .off = off, .len = len,
				      .buf = io->buf, .done = on_done, .opaque = io };
	block_submit(block, &io->req);
}

static int run(struct block *block, enum block_op op, unsigned flags, uint64_t off, uint64_t len,
	       int byte)
{
	struct io io;

	start(block, &io, op, flags, off, len, byte);
	while (!io.done)
		g_assert_cmpint(loop_step(block->loop, 10000), ==, 0);
	return io.ret;
}

static void rule(struct block *block, struct fault_rule r)
{
	g_assert_cmpint(fault_add_rule(block, &r), ==, 0);
}

static void test_rules(void)
{
	struct loop *loop = loop_create(-1);
	struct block *block = fault_create(loop, SIZE);
	int64_t begin;

	rule(block, (struct fault_rule){ .ops = 1 << BLOCK_WRITE, .lo = 4096, .hi = 8192, .skip = 1,
					 .count = 2, .error = -ENOSPC, .done = 100 });
	rule(block, (struct fault_rule){ .ops = 1 << BLOCK_READ, .delay = 5 * LOOP_MS });
	g_assert_cmpint(run(block, BLOCK_WRITE, 0, 0, 4096, 1), ==, 0);		/* elsewhere */
	g_assert_cmpint(run(block, BLOCK_WRITE, 0, 4096, 4096, 1), ==, 0);	/* skipped */
	g_assert_cmpint(run(block, BLOCK_WRITE, 0, 4096, 4096, 2), ==, -ENOSPC);
	g_assert_cmpint(fault_data(block)[4096 + 99], ==, 2);
	g_assert_cmpint(fault_data(block)[4096 + 100], ==, 1);
	g_assert_cmpint(run(block, BLOCK_WRITE, 0, 8191, 1, 2), ==, -ENOSPC);
	g_assert_cmpint(run(block, BLOCK_WRITE, 0, 4096, 4096, 3), ==, 0);	/* used up */
	begin = loop_now();
	g_assert_cmpint(run(block, BLOCK_READ, 0, 0, 512, 0), ==, 0);
	g_assert_cmpint(loop_now() - begin, >=, 5 * LOOP_MS);
	block_close(block);
	g_assert_null(fault_create(loop, 0));
	g_assert_null(fault_create(loop, 511));
	g_assert_cmpint(errno, ==, EINVAL);
	loop_destroy(loop);
}

/*
 * 64 writes stuck in a disk that hangs; their submitters have given up on them, and others write
 * to the same place: the newest wins, and it waits.
 */
static void test_hanging(void)
{
	struct loop *loop = loop_create(-1);
	struct block *block = fault_create(loop, SIZE);
	static struct io old[64], new[64], other;

	rule(block, (struct fault_rule){ .lo = 0, .hi = 4096, .count = 8, .delay = FAULT_HANG });
	for (int i = 0; i < 64; i++)
		start(block, &old[i], BLOCK_WRITE, 0, 512 * (i % 8), 512, 1 + i);
	for (int i = 0; i < 64; i++)
		start(block, &new[i], i % 2 ? BLOCK_WRITE : BLOCK_ZERO, 0, 512 * (i % 8), 512,
		      100 + i);
	start(block, &other, BLOCK_WRITE, 0, 8192, 512, 7);
	for (int i = 0; i < 5; i++)
		loop_step(loop, 0);
	g_assert_true(other.done);		/* who overlaps nothing waits for nothing */
	for (int i = 0; i < 64; i++)
		g_assert_false(old[i].done || new[i].done);
	g_assert_cmpuint(fault_release(block), ==, 8);
	while (!block_idle(block))
		loop_step(loop, 0);
	for (int i = 0; i < 8; i++)
		g_assert_cmpint(fault_data(block)[512 * i], ==, i % 2 ? 100 + 56 + i : 0);
	block_close(block);
	loop_destroy(loop);
}

/*
 * Whatever the moment of a power cut: a sector holds what was written and flushed last, or
 * something that was written after that; never something older.
 */
static void cut_once(struct loop *loop, uint32_t seed)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
	struct block *block = fault_create(loop, 16 * 512);
	int flushed[16] = { 0 }, written[16] = { 0 };
	bool flush_failed = false;

	rule(block, (struct fault_rule){ .ops = 1 << BLOCK_FLUSH, .skip = seed % 7, .count = 1,
					 .error = seed % 3 ? 0 : -EIO });
	for (int step = 1; step <= 100; step++) {
		int sector = g_rand_int_range(rand, 0, 16);
		bool fua = g_rand_int_range(rand, 0, 8) == 0;
		int ret;

		if (g_rand_int_range(rand, 0, 6) == 0) {
			ret = run(block, BLOCK_FLUSH, 0, 0, 0, 0);
			g_assert_cmpint(ret, ==, flush_failed ? -EIO : ret);	/* latched */
			flush_failed = ret;
			if (!ret)
				memcpy(flushed, written, sizeof(flushed));
			continue;
		}
		ret = run(block, BLOCK_WRITE, fua ? BLOCK_REQ_FUA : 0, 512 * sector, 512, step);
		g_assert_cmpint(ret, ==, fua && flush_failed ? -EIO : 0);
		if (ret == 0)
			written[sector] = step;
		if (ret == 0 && fua)
			flushed[sector] = step;
	}
	fault_power_cut(block, seed);
	for (int i = 0; i < 16; i++) {
		g_assert_cmpint(fault_data(block)[512 * i], >=, flushed[i]);
		g_assert_cmpint(fault_data(block)[512 * i], <=, written[i]);
	}
	g_assert_cmpint(run(block, BLOCK_FLUSH, 0, 0, 0, 0), ==, 0);
	block_close(block);
}

static void test_power_cut(void)
{
	struct loop *loop = loop_create(-1);
	struct block *block = fault_create(loop, SIZE);
	unsigned lost = 0;

	for (uint32_t seed = 0; seed < 500; seed++)
		cut_once(loop, seed);
	/* it does lose data: about half of what was not flushed */
	g_assert_cmpint(run(block, BLOCK_WRITE, 0, 0, 4096, 1), ==, 0);
	g_assert_cmpint(run(block, BLOCK_WRITE, 0, 4096, 4096, 1), ==, 0);
	fault_power_cut(block, 1);
	for (int i = 0; i < 16; i++)
		lost += !fault_data(block)[512 * i];
	g_assert_cmpuint(lost, >, 0);
	g_assert_cmpuint(lost, <, 16);
	block_close(block);
	loop_destroy(loop);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/fault/rules", test_rules);
	g_test_add_func("/fault/hanging", test_hanging);
	g_test_add_func("/fault/power-cut", test_power_cut);
	return g_test_run();
}
