/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Limits of a disk, by a clock of the test's own. */

#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <glib.h>

#include "block/block.h"
#include "block/null.h"
#include "block/throttle.h"
#include "event/loop.h"

#define SECOND 1000000000LL
#define REQS 8

static int64_t fake_now = 1000 * SECOND;

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	if (clock != CLOCK_MONOTONIC)
		return syscall(SYS_clock_gettime, clock, ret);
	ret->tv_sec = fake_now / SECOND;
	ret->tv_nsec = fake_now % SECOND;
	return 0;
}

struct world {
	struct loop *loop;
	struct block *block;
	struct block_throttle throttle;
	struct block_extra extra;
	struct block_req req[REQS];
	unsigned order[REQS], ended;
	uint8_t data[4096];
};

static void on_done(struct block_req *req, int ret)
{
	struct world *w = req->opaque;

	g_assert_cmpint(ret, ==, 0);
	w->order[w->ended++] = req - w->req;
}

static void world_up(struct world *w)
{
	*w = (struct world){ .loop = loop_create(-1) };
	w->block = null_create(w->loop, 1 << 20, 0);
	block_throttle_init(&w->throttle, w->block);
	w->extra.throttle = &w->throttle;
	w->block->extra = &w->extra;
}

static void world_down(struct world *w)
{
	block_throttle_finish(&w->throttle);
	block_throttle_finish(&w->throttle);
	block_close(w->block);
	loop_destroy(w->loop);
}

static void settle(struct world *w)
{
	for (unsigned i = 0; i < 16; i++)
		loop_step(w->loop, 0);
}

/* So many have ended after that time. */
static void after(struct world *w, int64_t ns, unsigned ended)
{
	fake_now += ns;
	settle(w);
	g_assert_cmpuint(w->ended, ==, ended);
}

static void submit(struct world *w, unsigned i, enum block_op op, uint64_t len)
{
	w->req[i] = (struct block_req){
		.op = op, .off = i * 4096, .len = len, .buf = w->data, .done = on_done,
		.opaque = w,
	};
	block_submit(w->block, &w->req[i]);
}

static void test_refused(void)
{
	uint64_t limit[BLOCK_LIMITS] = { [BLOCK_IOPS] = BLOCK_LIMIT_MAX + 1 };
	struct world w;

	world_up(&w);
	g_assert_cmpint(block_throttle_set(&w.throttle, limit), ==, -EINVAL);
	g_assert_false(block_throttle_on(&w.throttle));
	limit[BLOCK_IOPS] = BLOCK_LIMIT_MAX;
	g_assert_cmpint(block_throttle_set(&w.throttle, limit), ==, 0);
	for (unsigned i = 0; i < REQS; i++)
		submit(&w, i, BLOCK_READ, 4096);
	after(&w, 1, REQS);
	world_down(&w);
}

/* The slowest that there is: the wait is long, and no number overflows. */
static void test_slowest(void)
{
	const uint64_t limit[BLOCK_LIMITS] = { 1, 0, 0, 1, 0, 0 }, none[BLOCK_LIMITS] = { 0 };
	struct world w;

	world_up(&w);
	block_throttle_set(&w.throttle, limit);
	settle(&w);
	submit(&w, 0, BLOCK_ZERO, 1 << 20);
	submit(&w, 1, BLOCK_READ, 4096);
	after(&w, 1000 * SECOND, 1);
	g_assert_false(block_idle(w.block));
	/* What counts for no limit does not wait; the end of the limits is the end of the wait. */
	submit(&w, 2, BLOCK_FLUSH, 0);
	after(&w, 0, 2);
	block_throttle_set(&w.throttle, none);
	after(&w, 0, 3);
	g_assert_true(block_idle(w.block));
	g_assert_false(block_throttle_on(&w.throttle));
	world_down(&w);
}

/* A disk that is to become idle does: what waits goes, in order. */
static void test_drain(void)
{
	const uint64_t limit[BLOCK_LIMITS] = { [BLOCK_IOPS] = 1 };
	struct world w;

	world_up(&w);
	block_throttle_set(&w.throttle, limit);
	settle(&w);
	for (unsigned i = 0; i < REQS; i++)
		submit(&w, i, BLOCK_WRITE, 4096);
	after(&w, 0, 1);
	loop_hold(w.loop, true);
	block_throttle_drain(&w.throttle);
	after(&w, 0, REQS);
	for (unsigned i = 0; i < REQS; i++)
		g_assert_cmpuint(w.order[i], ==, i);
	world_down(&w);
}

/* A tenth of a second's worth at once, then one after the other, in order. */
static void test_iops(void)
{
	const uint64_t limit[BLOCK_LIMITS] = { [BLOCK_IOPS] = 10 };
	struct world w;

	world_up(&w);
	block_throttle_set(&w.throttle, limit);
	settle(&w);
	for (unsigned i = 0; i < REQS; i++)
		submit(&w, i, i & 1 ? BLOCK_WRITE : BLOCK_READ, 512);
	after(&w, 0, 2);
	for (unsigned i = 3; i <= REQS; i++) {
		after(&w, SECOND / 10 - 1000, i - 1);
		after(&w, 1000, i);
	}
	for (unsigned i = 0; i < REQS; i++)
		g_assert_cmpuint(w.order[i], ==, i);
	world_down(&w);
}

/* Writes alone are limited: the reads go past when no write stands before them. */
static void test_directions(void)
{
	const uint64_t limit[BLOCK_LIMITS] = { [BLOCK_BPS_WRITE] = 4096 };
	struct world w;

	world_up(&w);
	block_throttle_set(&w.throttle, limit);
	settle(&w);
	submit(&w, 0, BLOCK_WRITE, 4096);
	submit(&w, 1, BLOCK_READ, 4096);
	after(&w, 0, 2);
	submit(&w, 2, BLOCK_WRITE, 4096);
	submit(&w, 3, BLOCK_READ, 4096);
	after(&w, SECOND / 2, 2);
	after(&w, SECOND / 2, 4);
	g_assert_cmpuint(w.order[2], ==, 2);
	world_down(&w);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/block/throttle/refused", test_refused);
	g_test_add_func("/block/throttle/slowest", test_slowest);
	g_test_add_func("/block/throttle/iops", test_iops);
	g_test_add_func("/block/throttle/drain", test_drain);
	g_test_add_func("/block/throttle/directions", test_directions);
	return g_test_run();
}
