/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/num.h"
#include "scsi/disk.h"

/* READ CAPACITY, SYNCHRONIZE CACHE, PRE-FETCH, READ DEFECT DATA, SEEK. */

/* SBC-3 5.15: without PMI (obsolete) the LBA must be zero. */
void cmd_read_capacity_10(struct task *t)
{
	const uint8_t *cdb = task_cdb(t);
	uint64_t blocks = unit_blocks(t->unit);

	if (!(cdb[8] & 1) && get_be32(&cdb[2])) {
		task_bad_cdb(t, 2, -1);
		return;
	}
	if (!blocks) {
		task_check(t, SENSE_NOT_READY);
		return;
	}
	put_be32(t->buf, min_u64(blocks - 1, UINT32_MAX));
	put_be32(t->buf + 4, t->s->block_size);
	task_data_in(t, 8);
}

/* SBC-3 5.16 */
void cmd_read_capacity_16(struct task *t)
{
	const struct unit *unit = t->unit;
	const uint8_t *cdb = task_cdb(t);
	uint64_t blocks = unit_blocks(unit);
	uint32_t ratio = unit->config->physical_block_size / unit->state->block_size;

	if (!(cdb[14] & 1) && get_be64(&cdb[2])) {
		task_bad_cdb(t, 2, -1);
		return;
	}
	if (!blocks) {
		task_check(t, SENSE_NOT_READY);
		return;
	}
	memset(t->buf, 0, 32);
	put_be64(t->buf, blocks - 1);
	put_be32(t->buf + 8, unit->state->block_size);
	/* LOGICAL BLOCKS PER PHYSICAL BLOCK EXPONENT */
	t->buf[13] = ratio > 1 ? __builtin_ctz(ratio) : 0;
	t->buf[14] = (unit_is_thin(unit) ? 0x80 : 0) | (unit_reads_zeroes(unit) ? 0x40 : 0);
	task_reply(t, 32, cdb_list_len(cdb));
}

/*
 * SBC-3 5.26, 5.27: the whole cache is written, whatever range was asked for.  IMMED gets no
 * special answer: a status that comes early would hide a failure.
 */
void cmd_sync_cache(struct task *t)
{
	if (disk_check_range(t, cdb_lba(task_cdb(t)), cdb_blocks(task_cdb(t))))
		task_io(t, BLOCK_FLUSH, 0, 0, 0, 0);
}

/* SBC-3 5.8, 5.9: nothing is read ahead, so GOOD and not CONDITION MET: it did not fit. */
void cmd_prefetch(struct task *t)
{
	if (disk_check_range(t, cdb_lba(task_cdb(t)), cdb_blocks(task_cdb(t))))
		task_good(t);
}

/* SBC-2: obsolete, and there is no head to move. */
void cmd_seek(struct task *t)
{
	if (disk_check_range(t, cdb_lba(task_cdb(t)), 1))
		task_good(t);
}

/* SBC-3 5.17, 5.18: both lists are empty, in whatever format. */
void cmd_read_defect_data(struct task *t)
{
	bool twelve = t->row->len == 12;
	const uint8_t *cdb = task_cdb(t);
	uint8_t asked = twelve ? cdb[1] : cdb[2];

	memset(t->buf, 0, 8);
	t->buf[1] = asked & 0x1f;	/* PLISTV and GLISTV as asked, the format */
	task_reply(t, twelve ? 8 : 4, cdb_list_len(cdb));
}
