/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/throttle.h"

#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "block/block.h"

#define SECOND 1000000000LL
#define BURST (SECOND / 10)

/* What a limit is of. */
static const struct {
	bool reads, writes, bytes;	/* else each request is one */
} kinds[BLOCK_LIMITS] = {
	[BLOCK_BPS] = { true, true, true },
	[BLOCK_BPS_READ] = { true, false, true },
	[BLOCK_BPS_WRITE] = { false, true, true },
	[BLOCK_IOPS] = { true, true, false },
	[BLOCK_IOPS_READ] = { true, false, false },
	[BLOCK_IOPS_WRITE] = { false, true, false },
};

/* Does the limit count this request? */
static bool counts(enum block_limit limit, const struct block_req *req)
{
	return req->op == BLOCK_READ ? kinds[limit].reads : kinds[limit].writes;
}

/* The time that a request takes of a limit, in ns; it fits: a request has 2^63 bytes at most. */
static int64_t cost(const struct block_throttle *t, enum block_limit limit,
		    const struct block_req *req)
{
	double units = kinds[limit].bytes ? (double)req->len : 1;
	double ns = units * SECOND / t->limit[limit];

	return ns < 1e15 ? ns : 1e15;
}

/* How long until it may start; 0: now. */
static int64_t wait_of(const struct block_throttle *t, const struct block_req *req, int64_t now)
{
	int64_t wait = 0;

	for (unsigned i = 0; i < BLOCK_LIMITS; i++)
		if (t->limit[i] && counts(i, req) && t->due[i] - now - BURST > wait)
			wait = t->due[i] - now - BURST;
	return wait;
}

static void charge(struct block_throttle *t, const struct block_req *req, int64_t now)
{
	for (unsigned i = 0; i < BLOCK_LIMITS; i++) {
		if (!t->limit[i] || !counts(i, req))
			continue;
		t->due[i] = (t->due[i] > now ? t->due[i] : now) + cost(t, i, req);
	}
}

/* The oldest that waits. */
static void start_first(struct block_throttle *t, int64_t now)
{
	struct block_req *req = t->first;

	t->first = req->ended_next;
	if (!t->first)
		t->tail = &t->first;
	req->ended_next = NULL;
	charge(t, req, now);
	block_start(req);
}

static void let_go(void *opaque)
{
	struct block_throttle *t = opaque;

	while (t->first) {
		int64_t now = loop_now(), wait = wait_of(t, t->first, now);

		if (wait) {
			loop_timer_set(t->block->loop, &t->timer, now + wait);
			return;
		}
		start_first(t, now);
	}
}

void block_throttle_drain(struct block_throttle *t)
{
	while (t->first)
		start_first(t, loop_now());
}

void block_throttle_init(struct block_throttle *t, struct block *block)
{
	*t = (struct block_throttle){
		.block = block, .tail = &t->first,
		.timer = { .fn = let_go, .opaque = t, .unheld = true },
	};
}

void block_throttle_finish(struct block_throttle *t)
{
	if (t->block)
		loop_timer_cancel(t->block->loop, &t->timer);
	t->block = NULL;
}

int block_throttle_set(struct block_throttle *t, const uint64_t limit[BLOCK_LIMITS])
{
	for (unsigned i = 0; i < BLOCK_LIMITS; i++)
		if (limit[i] > BLOCK_LIMIT_MAX)
			return -EINVAL;
	memcpy(t->limit, limit, sizeof(t->limit));
	memset(t->due, 0, sizeof(t->due));
	loop_timer_cancel(t->block->loop, &t->timer);
	loop_timer_set(t->block->loop, &t->timer, loop_now());
	return 0;
}

bool block_throttle_on(const struct block_throttle *t)
{
	for (unsigned i = 0; i < BLOCK_LIMITS; i++)
		if (t->limit[i])
			return true;
	return t->first;
}

bool block_throttle_holds(struct block_throttle *t, struct block_req *req)
{
	int64_t now;

	if (!block_throttle_on(t) || req->op == BLOCK_FLUSH || req->op == BLOCK_STATUS ||
	    !req->len)
		return false;
	now = loop_now();
	if (!t->first && !wait_of(t, req, now)) {
		charge(t, req, now);
		return false;
	}
	if (!t->first)
		loop_timer_set(t->block->loop, &t->timer, now + wait_of(t, req, now));
	req->ended_next = NULL;
	*t->tail = req;
	t->tail = &req->ended_next;
	return true;
}
