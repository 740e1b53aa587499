/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/fault.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "block/block.h"

struct fault_block {
	struct block block;
	uint8_t *now;			/* what reads find: the disk with its cache */
	uint8_t *stable;		/* what is on the medium */
	bool *dirty;			/* a sector: now and stable may differ */
	struct fault_rule rules[FAULT_MAX_RULES];
	unsigned rule_count;
	struct block_req *hanging;	/* newest first; linked by hang_next() */
};

/* Hanging requests need no timer, so its opaque is the link to the next one. */
static struct block_req *hang_next(const struct block_req *req)
{
	return req->u.timer.opaque;
}

static struct fault_block *fault_of(const struct block *block)
{
	return (struct fault_block *)(uintptr_t)block;
}

static void make_stable(struct fault_block *f, uint64_t off, uint64_t len)
{
	uint64_t first = off / FAULT_SECTOR, last = (off + len + FAULT_SECTOR - 1) / FAULT_SECTOR;

	for (uint64_t i = first; i < last; i++) {
		if (!f->dirty[i])
			continue;
		memcpy(f->stable + i * FAULT_SECTOR, f->now + i * FAULT_SECTOR, FAULT_SECTOR);
		f->dirty[i] = false;
	}
}

/* Changes the first @len bytes of the request's range. */
static void change(struct fault_block *f, const struct block_req *req, uint64_t len)
{
	if (req->op == BLOCK_WRITE)
		memcpy(f->now + req->off, req->buf, len);
	else
		memset(f->now + req->off, 0, len);
	for (uint64_t i = req->off / FAULT_SECTOR; i * FAULT_SECTOR < req->off + len; i++)
		f->dirty[i] = true;
	if (req->flags & BLOCK_REQ_FUA)
		make_stable(f, req->off, len);
}

static bool changes(const struct block_req *req)
{
	return req->op == BLOCK_WRITE || req->op == BLOCK_ZERO || req->op == BLOCK_DISCARD;
}

/* Carries the request out, as far as its rule lets it, and ends it. */
static void finish(struct block_req *req, const struct fault_rule *rule)
{
	struct fault_block *f = fault_of(req->block);

	if (rule->error) {
		if (changes(req))
			change(f, req, min_u64(rule->done, req->len));
	} else if (changes(req)) {
		change(f, req, req->len);
	} else if (req->op == BLOCK_READ) {
		memcpy(req->buf, f->now + req->off, req->len);
	} else if (req->op == BLOCK_FLUSH) {
		make_stable(f, 0, f->block.size);
	}
	req->ret_allocated = true;
	req->ret_len = req->len;
	block_complete(req, rule->error);
}

/* Until its time comes a request keeps what its rule said, not the rule, which may go. */
static void on_time(void *opaque)
{
	struct block_req *req = opaque;
	struct fault_rule rule = { .error = req->ret, .done = req->ret_len };

	finish(req, &rule);
}

static bool matches(const struct fault_rule *rule, const struct block_req *req)
{
	if (rule->ops && !(rule->ops & 1u << req->op))
		return false;
	return !rule->hi || ranges_overlap(rule->lo, rule->hi - rule->lo, req->off, req->len);
}

static const struct fault_rule *find_rule(struct fault_block *f, const struct block_req *req)
{
	for (unsigned i = 0; i < f->rule_count; i++) {
		struct fault_rule *rule = &f->rules[i];

		if (rule->count == UINT32_MAX || !matches(rule, req))
			continue;	/* used up, or another's */
		if (rule->skip) {
			rule->skip--;
			continue;
		}
		if (rule->count && --rule->count == 0)
			rule->count = UINT32_MAX;
		return rule;
	}
	return NULL;
}

static void fault_submit(struct block *block, struct block_req *req)
{
	static const struct fault_rule none;
	struct fault_block *f = fault_of(block);
	const struct fault_rule *rule = find_rule(f, req);

	if (!rule || !rule->delay) {
		finish(req, rule ? rule : &none);
		return;
	}
	req->ret = rule->error;
	req->ret_len = rule->done;
	req->u.timer = (struct loop_timer){ .fn = on_time, .opaque = req, .unheld = true };
	if (rule->delay == FAULT_HANG) {
		req->u.timer.opaque = f->hanging;
		f->hanging = req;
	} else {
		loop_timer_set(block->loop, &req->u.timer, loop_now() + rule->delay);
	}
}

static void fault_close(struct block *block)
{
	struct fault_block *f = fault_of(block);

	free(f->now);
	free(f->stable);
	free(f->dirty);
	free(f);
}

static const struct block_ops fault_ops = {
	.name = "fault",
	.submit = fault_submit,
	.close = fault_close,
};

struct block *fault_create(struct loop *loop, uint64_t size)
{
	struct fault_block *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	block_init(&f->block, &fault_ops, loop, size);
	f->block.can_discard = true;
	f->block.zero_after_discard = true;
	f->now = calloc(1, size);
	f->stable = calloc(1, size);
	f->dirty = calloc(size / FAULT_SECTOR, sizeof(*f->dirty));
	if (!size || size % FAULT_SECTOR || !f->now || !f->stable || !f->dirty) {
		fault_close(&f->block);
		errno = !size || size % FAULT_SECTOR ? EINVAL : ENOMEM;
		return NULL;
	}
	return &f->block;
}

int fault_add_rule(struct block *block, const struct fault_rule *rule)
{
	struct fault_block *f = fault_of(block);

	if (f->rule_count == FAULT_MAX_RULES)
		return -ENOSPC;
	f->rules[f->rule_count++] = *rule;
	return 0;
}

void fault_clear_rules(struct block *block)
{
	fault_of(block)->rule_count = 0;
}

unsigned fault_release(struct block *block)
{
	struct fault_block *f = fault_of(block);
	struct block_req *req = f->hanging;
	unsigned count = 0;

	f->hanging = NULL;
	for (; req; count++) {
		struct block_req *next = hang_next(req);

		on_time(req);
		req = next;
	}
	return count;
}

void fault_power_cut(struct block *block, uint32_t seed)
{
	struct fault_block *f = fault_of(block);
	uint64_t state = seed * 2654435761u + 1;

	assert(block_idle(block));
	for (uint64_t i = 0; i < block->size / FAULT_SECTOR; i++) {
		/* Knuth's linear congruential generator (TAOCP 3.3.4); its top bit is good */
		state = state * 6364136223846793005u + 1442695040888963407u;
		if (state >> 63)
			make_stable(f, i * FAULT_SECTOR, FAULT_SECTOR);
		f->dirty[i] = false;
	}
	memcpy(f->now, f->stable, block->size);
	block->flush_error = 0;
}

const uint8_t *fault_data(const struct block *block)
{
	return fault_of(block)->now;
}
