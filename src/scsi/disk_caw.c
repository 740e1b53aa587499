/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/num.h"
#include "scsi/disk.h"

/*
 * COMPARE AND WRITE (SBC-3 5.2).  Both halves of the data and what the medium says are in the
 * buffer together; nothing else happens on the medium between the compare and the write
 * (CDB_ALONE).
 */

enum { STEP_COMPARE, STEP_WRITE };

uint8_t unit_caw_max(const struct unit *unit)
{
	size_t space = buffers_size(unit->bus->setup->buffers) - 4096;

	return min_u64(255, space / (3 * (size_t)unit->state->block_size));
}

/* Where the medium's blocks go: after the initiator's, aligned for direct I/O. */
static uint32_t medium_off(const struct task *t)
{
	return align_up(t->s->win_len, 4096);
}

void cmd_compare_and_write(struct task *t)
{
	const uint8_t *cdb = task_cdb(t);
	uint8_t blocks = cdb[13];

	if (!disk_check_byte1(t))
		return;
	if (blocks > unit_caw_max(t->unit)) {
		task_bad_cdb(t, 13, -1);
		return;
	}
	if (!disk_check_range(t, cdb_lba(cdb), blocks))
		return;
	t->s->lba = cdb_lba(cdb);
	t->s->blocks = blocks;
	if (blocks)
		task_data_out(t, 0, 2 * blocks * t->s->block_size);
	else
		task_good(t);
}

void compare_and_write_moved(struct task *t)
{
	t->s->step = STEP_COMPARE;
	disk_io(t, BLOCK_READ, 0, t->s->win_len / 2, medium_off(t));
}

void compare_and_write_done(struct task *t)
{
	uint8_t *medium = t->buf + medium_off(t);
	uint64_t off = 0, len = t->s->io_len;

	if (t->s->step == STEP_WRITE) {
		task_good(t);
		return;
	}
	while (off < len && t->buf[off] == medium[off])
		off++;
	if (off < len) {
		/* INFORMATION: the offset of the first byte that differs. */
		task_check_sense(t, sense_info(SENSE_MISCOMPARE, off));
		return;
	}
	memcpy(medium, t->buf + len, len);
	t->s->step = STEP_WRITE;
	disk_io(t, BLOCK_WRITE, disk_write_flags(t), len, medium_off(t));
}
