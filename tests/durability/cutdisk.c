/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cutdisk.h"

#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "block/block.h"
#include "block/rawio.h"

#define MAX_HELD 512
#define MAX_LOG 2048
#define TEAR 200	/* bytes, for CUT_TORN */

/* A change of the medium. */
struct change {
	uint64_t off, len;
	uint8_t *data;		/* NULL: zeroes */
	bool stable;		/* it was FUA: a cut does not lose it */
};

struct held {
	struct block_req *req;	/* NULL with CUT_LATE: it has ended, the change has not happened */
	struct change late;
	unsigned mark;		/* of a flush: changes up to this one were there before it */
};

struct cutdisk {
	struct block *block;
	const struct block_ops *ops;	/* the block device's own */
	enum cut_defect defect;
	struct cut_host host;
	unsigned writes;		/* calls of pwrite */
	uint64_t size;
	uint32_t sector;
	uint8_t *now;			/* the medium with its cache */
	uint8_t *medium;		/* with the changes before log[head] */
	struct change log[MAX_LOG];
	unsigned head, tail;
	struct held held[MAX_HELD];	/* oldest first */
	unsigned held_count;
};

/* block_ops have no place for it; one disk a program is enough. */
static struct cutdisk *attached;

static bool is_change(const struct block_req *req)
{
	return req->op == BLOCK_WRITE || req->op == BLOCK_ZERO || req->op == BLOCK_DISCARD;
}

static struct change change_of(const struct cutdisk *d, const struct block_req *req)
{
	return (struct change){
		.off = req->off, .len = req->len,
		.data = req->op == BLOCK_WRITE ? g_memdup2(req->buf, req->len) : NULL,
		.stable = req->flags & BLOCK_REQ_FUA && d->defect != CUT_FUA_DROPPED,
	};
}

/* The part of @c that lies in [lo, hi). */
static void apply(const struct change *c, uint8_t *disk, uint64_t lo, uint64_t hi)
{
	uint64_t from = max_u64(c->off, lo), to = min_u64(c->off + c->len, hi);

	if (from >= to)
		return;
	if (c->data)
		memcpy(disk + from, c->data + (from - c->off), to - from);
	else
		memset(disk + from, 0, to - from);
}

static void happen(struct cutdisk *d, struct change c)
{
	g_assert_cmpuint(d->tail, <, MAX_LOG);
	apply(&c, d->now, 0, UINT64_MAX);
	d->log[d->tail++] = c;
}

static void make_stable(struct cutdisk *d, unsigned mark)
{
	for (; d->head < mark; d->head++) {
		apply(&d->log[d->head], d->medium, 0, UINT64_MAX);
		g_free(d->log[d->head].data);
	}
}

static void carry_out(struct cutdisk *d, const struct held *h)
{
	struct block_req *req = h->req;

	if (!req) {
		happen(d, h->late);
		return;
	}
	if (d->host.raw) {
		static _Alignas(4096) char scratch[POOL_SCRATCH_SIZE];

		req->u.job.scratch = scratch;
		block_complete(req, rawio_run(&req->u.job));
		return;
	}
	if (is_change(req))
		happen(d, change_of(d, req));
	else if (req->op == BLOCK_READ)
		memcpy(req->buf, d->now + req->off, req->len);
	else if (req->op == BLOCK_FLUSH && d->defect != CUT_FLUSH_EARLY)
		make_stable(d, h->mark);
	req->ret_allocated = true;
	req->ret_len = req->len;
	block_complete(req, 0);
}

/* ---- the host below a raw block device ---- */

static ssize_t cut_pread(int fd, void *buf, size_t len, off_t off)
{
	size_t n = min_u64(len, attached->size - off);

	memcpy(buf, attached->now + off, n);
	return n;
}

static ssize_t cut_pwrite(int fd, const void *buf, size_t len, off_t off, int flags)
{
	struct cutdisk *d = attached;

	if (flags && d->host.no_dsync) {
		errno = EOPNOTSUPP;
		return -1;
	}
	if (d->host.short_writes && len > 4096 && d->writes++ % 2)
		len = align_down(len / 2, 4096) + 4096 * (len < 8192);
	happen(d, (struct change){
		.off = off, .len = len, .data = g_memdup2(buf, len),
		.stable = flags && d->defect != CUT_FUA_DROPPED,
	});
	return len;
}

static int cut_fdatasync(int fd)
{
	if (attached->defect != CUT_FLUSH_EARLY)
		make_stable(attached, attached->tail);
	return 0;
}

/* Behind the end of the image, and before there is one: raw_create() asks what the host can. */
static int cut_fallocate(int fd, int mode, off_t off, off_t len)
{
	struct cutdisk *d = attached;

	if (!d || off >= (off_t)d->size)
		return 0;
	if (d->host.no_fallocate) {
		errno = EOPNOTSUPP;
		return -1;
	}
	happen(d, (struct change){ .off = off, .len = len });
	return 0;
}

const struct raw_sys cut_sys = {
	.pread = cut_pread, .pwrite = cut_pwrite, .fdatasync = cut_fdatasync,
	.fallocate = cut_fallocate,
};

void cut_set_host(struct cutdisk *d, const struct cut_host *host)
{
	d->host = *host;
}

/* ---- the block device ---- */

static void cut_submit(struct block *block, struct block_req *req)
{
	struct cutdisk *d = attached;
	struct held *h = &d->held[d->held_count++];

	g_assert_true(block == d->block && d->held_count < MAX_HELD);
	g_assert_true(req->op == BLOCK_FLUSH || req->off + req->len <= d->size);
	*h = (struct held){ .req = req, .mark = d->tail };
	if (d->defect == CUT_LATE && is_change(req)) {
		h->late = change_of(d, req);
		h->req = NULL;
		block_complete(req, 0);
	}
}

static const struct block_ops cut_ops = { .name = "cut", .submit = cut_submit };

struct cutdisk *cut_attach(struct block *block, const void *content, uint64_t size,
			   uint32_t sector, enum cut_defect defect)
{
	struct cutdisk *d = g_new0(struct cutdisk, 1);

	g_assert_true(block_idle(block) && !attached);
	d->block = block;
	d->ops = block->ops;
	d->size = size;
	d->sector = sector;
	d->defect = defect;
	d->now = g_memdup2(content, size);
	d->medium = g_memdup2(content, size);
	block->ops = &cut_ops;
	attached = d;
	return d;
}

void cut_detach(struct cutdisk *d)
{
	g_assert_true(block_idle(d->block) && !d->held_count);
	make_stable(d, d->tail);
	d->block->ops = d->ops;
	attached = NULL;
	g_free(d->now);
	g_free(d->medium);
	g_free(d);
}

unsigned cut_waiting(const struct cutdisk *d)
{
	return d->held_count;
}

bool cut_step(struct cutdisk *d, GRand *rand, unsigned oldest)
{
	unsigned n = MIN(oldest, d->held_count), index;
	struct held h;

	if (!n)
		return false;
	index = g_rand_int_range(rand, 0, n);
	h = d->held[index];
	memmove(&d->held[index], &d->held[index + 1],
		(--d->held_count - index) * sizeof(d->held[0]));
	carry_out(d, &h);
	return true;
}

static void cut_change(const struct cutdisk *d, GRand *rand, const struct change *c, bool stable,
		       unsigned keep, uint8_t *disk)
{
	uint64_t unit = d->defect == CUT_TORN ? TEAR : d->sector;

	for (uint64_t at = align_down(c->off, d->sector); at < c->off + c->len; at += unit)
		if (stable || g_rand_int_range(rand, 0, 4) < (int)keep)
			apply(c, disk, at, at + unit);
}

/* Sectors are independent, so each change may take its chance in all of its sectors at once. */
void cut_power(const struct cutdisk *d, GRand *rand, uint8_t *ret_disk)
{
	unsigned keep = g_rand_int_range(rand, 0, 5);	/* quarters: none .. all */

	memcpy(ret_disk, d->medium, d->size);
	for (unsigned i = d->head; i < d->tail; i++)
		cut_change(d, rand, &d->log[i], d->log[i].stable, keep, ret_disk);
	/* What is under way overlaps nothing else that is: the order is of no consequence. */
	for (unsigned i = 0; i < d->held_count; i++) {
		struct change c = d->held[i].late;

		if (d->held[i].req && !is_change(d->held[i].req))
			continue;
		if (d->held[i].req)
			c = change_of(d, d->held[i].req);
		cut_change(d, rand, &c, false, keep, ret_disk);
		if (d->held[i].req)
			g_free(c.data);
	}
}

const uint8_t *cut_data(const struct cutdisk *d)
{
	return d->now;
}
