/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/num.h"
#include "scsi/disk.h"

/* Logical block provisioning: WRITE SAME, UNMAP, GET LBA STATUS. */

/* ---- WRITE SAME (SBC-3 5.43, 5.44) ---- */

#define WS_UNMAP 0x08
#define WS_NDOB 0x01		/* 16-byte CDB: no data, zeroes */

static bool all_zero(const uint8_t *p, size_t len)
{
	return !p[0] && !memcmp(p, p + 1, len - 1);
}

static bool may_discard(const struct unit *unit)
{
	return unit->config->discard && unit->block->can_discard;
}

static void write_same_zeroes(struct task *t)
{
	uint32_t flags = t->unit->state->write_cache ? 0 : BLOCK_REQ_FUA;

	if (task_cdb(t)[1] & WS_UNMAP && may_discard(t->unit))
		flags |= BLOCK_REQ_UNMAP;
	disk_io(t, BLOCK_ZERO, flags, t->s->blocks * t->s->block_size, 0);
}

void cmd_write_same(struct task *t)
{
	const uint8_t *cdb = task_cdb(t);
	/* Protection, ANCHOR (not supported: VPD B2h), and the obsolete PBDATA and LBDATA. */
	uint8_t refused = cdb[1] & (t->row->len == 16 ? 0xf6 : 0xf7);

	if (refused) {
		task_bad_cdb(t, 1, 31 - __builtin_clz(refused));
		return;
	}
	if (!disk_parse_range(t, UINT32_MAX))
		return;
	if (!t->s->blocks)		/* WSNZ, VPD B0h */
		task_bad_cdb(t, t->row->len == 16 ? 10 : 7, -1);
	else if (cdb[1] & WS_NDOB)
		write_same_zeroes(t);
	else
		task_data_out(t, 0, t->s->block_size);
}

static void write_same_next(struct task *t)
{
	uint32_t bs = t->s->block_size;

	disk_io(t, BLOCK_WRITE, t->unit->state->write_cache ? 0 : BLOCK_REQ_FUA,
		disk_window_blocks(t, t->buf_size) * bs, 0);
}

/* Zeroes need no transfer; anything else fills the buffer with copies once. */
void write_same_moved(struct task *t)
{
	uint32_t bs = t->s->block_size;
	uint64_t len = disk_window_blocks(t, t->buf_size) * (uint64_t)bs;

	if (all_zero(t->buf, bs)) {
		write_same_zeroes(t);
		return;
	}
	for (uint64_t off = bs; off < len; off += bs)
		memcpy(t->buf + off, t->buf, bs);
	write_same_next(t);
}

void write_same_done(struct task *t)
{
	disk_advance(t, t->s->io_len);
	if (t->s->blocks)
		write_same_next(t);
	else
		task_good(t);
}

/* ---- UNMAP (SBC-3 5.28) ---- */

void cmd_unmap(struct task *t)
{
	const uint8_t *cdb = task_cdb(t);
	uint32_t len = cdb_list_len(cdb);

	if (cdb[1] & 0x01)		/* ANCHOR */
		task_bad_cdb(t, 1, 0);
	else if (!len)
		task_good(t);
	else if (len < 8 || len > t->buf_size)
		task_check(t, SENSE_LIST_LENGTH);
	else
		task_data_out(t, 0, len);
}

static void unmap_descriptor(const struct task *t, unsigned i, uint64_t *ret_lba,
			     uint32_t *ret_blocks)
{
	const uint8_t *p = t->buf + 8 + 16 * i;

	*ret_lba = get_be64(p);
	*ret_blocks = get_be32(p + 8);
}

/* All descriptors are looked at before the first one is carried out. */
static bool unmap_check(struct task *t, unsigned count)
{
	uint64_t lba, total = 0, max = t->unit->config->max_unmap_size;
	uint32_t blocks;

	for (unsigned i = 0; i < count; i++) {
		unmap_descriptor(t, i, &lba, &blocks);
		if (!disk_check_range(t, lba, blocks))
			return false;
		total += blocks;
	}
	if (max && total > max / t->s->block_size) {
		task_bad_param(t, 8, -1);
		return false;
	}
	return true;
}

/* arg[0]: the next descriptor, arg[1]: how many there are. */
static void unmap_next(struct task *t)
{
	uint32_t blocks, bs = t->s->block_size;
	uint64_t lba;

	while (t->s->arg[0] < t->s->arg[1] && may_discard(t->unit)) {
		unmap_descriptor(t, t->s->arg[0]++, &lba, &blocks);
		if (!blocks)
			continue;
		task_io(t, BLOCK_DISCARD, 0, lba * bs, (uint64_t)blocks * bs, 0);
		return;
	}
	task_good(t);
}

void unmap_moved(struct task *t)
{
	uint32_t len = t->s->win_len, descriptors = get_be16(t->buf + 2);

	if (get_be16(t->buf) + 2u > len || descriptors + 8 > len || descriptors % 16) {
		task_check(t, SENSE_LIST_LENGTH);
		return;
	}
	if (descriptors / 16 > UNMAP_MAX_DESCRIPTORS) {
		task_bad_param(t, 2, -1);
		return;
	}
	t->s->arg[0] = 0;
	t->s->arg[1] = descriptors / 16;
	if (unmap_check(t, t->s->arg[1]))
		unmap_next(t);
}

void unmap_done(struct task *t)
{
	unmap_next(t);
}

/* ---- GET LBA STATUS (SBC-3 5.4) ---- */

#define LBA_STATUS_MAX 8u	/* descriptors a command: each costs a look at the file */

static uint32_t lba_status_len(const struct task *t)
{
	return 8 + 16 * t->s->arg[0];
}

static void lba_status_reply(struct task *t)
{
	put_be32(t->buf, lba_status_len(t) - 4);
	task_reply(t, lba_status_len(t), cdb_list_len(task_cdb(t)));
}

/* One descriptor at a time, while there is room and medium; s->blocks are left of it. */
static void lba_status_next(struct task *t)
{
	uint32_t bs = t->s->block_size;
	uint64_t blocks = min_u64(t->s->blocks, UINT32_MAX);
	bool room = lba_status_len(t) + 16 <= cdb_list_len(task_cdb(t)) || !t->s->arg[0];

	if (blocks && room && t->s->arg[0] < LBA_STATUS_MAX)
		task_io(t, BLOCK_STATUS, 0, t->s->lba * bs, blocks * bs, 0);
	else
		lba_status_reply(t);
}

static void lba_status_put(struct task *t, uint64_t blocks, bool mapped)
{
	uint8_t *p = t->buf + lba_status_len(t);

	put_be64(p, t->s->lba);
	put_be32(p + 8, blocks);
	p[12] = mapped ? 0 : 1;
	t->s->arg[0]++;
	t->s->lba += blocks;
	t->s->blocks -= blocks;
}

void cmd_get_lba_status(struct task *t)
{
	uint64_t lba = get_be64(&task_cdb(t)[2]), end = unit_blocks(t->unit);

	if (lba >= end) {
		task_check_sense(t, sense_info(SENSE_LBA_RANGE, lba));
		return;
	}
	memset(t->buf, 0, 8 + 16 * LBA_STATUS_MAX);
	t->s->lba = lba;
	t->s->blocks = end - lba;
	t->s->arg[0] = 0;
	if (unit_is_thin(t->unit)) {
		lba_status_next(t);
		return;
	}
	lba_status_put(t, min_u64(end - lba, UINT32_MAX), true);
	lba_status_reply(t);
}

/* A block that is mapped in part is mapped. */
void get_lba_status_done(struct task *t)
{
	uint32_t bs = t->s->block_size;
	uint64_t max = t->s->io_len / bs, len = t->status_len;
	bool mapped = t->status_allocated;

	if (!mapped && len < bs) {
		mapped = true;
		len = bs;
	}
	len = mapped ? len / bs + (len % bs != 0) : len / bs;
	lba_status_put(t, max_u64(1, min_u64(len, max)), mapped);
	lba_status_next(t);
}
