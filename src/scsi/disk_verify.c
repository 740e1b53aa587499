/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/num.h"
#include "scsi/disk.h"

/*
 * VERIFY, WRITE AND VERIFY (SBC-3 5.29 to 5.31, 5.37 to 5.39): the upper half of the buffer takes
 * what the medium says, the lower half what the initiator says.
 */

enum { BYTCHK_MEDIUM = 0, BYTCHK_EACH = 1, BYTCHK_ONE = 3 };
enum { STEP_WRITE, STEP_READ_BACK };

static uint32_t half(const struct task *t)
{
	return align_down(t->buf_size / 2, 4096);
}

static uint32_t half_window(const struct task *t)
{
	return disk_window_blocks(t, half(t)) * t->s->block_size;
}

/* VRPROTECT and WRPROTECT are refused like RDPROTECT; BYTCHK goes to arg[0]. */
static bool verify_start(struct task *t, unsigned bytchk_allowed)
{
	const uint8_t *cdb = task_cdb(t);
	unsigned bytchk = cdb[1] >> 1 & 3;

	if (!disk_check_byte1(t))
		return false;
	if (!(bytchk_allowed & 1u << bytchk)) {
		task_bad_cdb(t, 1, 2);
		return false;
	}
	if (!disk_parse_range(t, bytchk == BYTCHK_EACH ? unit_max_blocks(t->unit) : UINT32_MAX))
		return false;
	t->s->arg[0] = bytchk;
	if (t->s->blocks)
		return true;
	task_good(t);
	return false;
}

static void verify_next(struct task *t)
{
	if (!t->s->blocks)
		task_good(t);
	else if (t->s->arg[0] == BYTCHK_EACH)
		task_data_out(t, 0, half_window(t));
	else
		disk_io(t, BLOCK_READ, 0, half_window(t), half(t));
}

void cmd_verify(struct task *t)
{
	if (!verify_start(t, 1u << BYTCHK_MEDIUM | 1u << BYTCHK_EACH | 1u << BYTCHK_ONE))
		return;
	if (t->s->arg[0] == BYTCHK_ONE)
		task_data_out(t, 0, t->s->block_size);
	else
		verify_next(t);
}

void verify_moved(struct task *t)
{
	disk_io(t, BLOCK_READ, 0, half_window(t), half(t));
}

static bool verify_equal(const struct task *t)
{
	uint32_t bs = t->s->block_size;
	const uint8_t *medium = t->buf + half(t);

	if (t->s->arg[0] == BYTCHK_EACH)
		return !memcmp(t->buf, medium, t->s->io_len);
	for (uint64_t off = 0; t->s->arg[0] == BYTCHK_ONE && off < t->s->io_len; off += bs)
		if (memcmp(t->buf, medium + off, bs))
			return false;
	return true;
}

void verify_done(struct task *t)
{
	if (!verify_equal(t)) {
		task_check(t, SENSE_MISCOMPARE);
		return;
	}
	disk_advance(t, t->s->io_len);
	verify_next(t);
}

/* ---- WRITE AND VERIFY ---- */

void cmd_write_verify(struct task *t)
{
	if (verify_start(t, 1u << BYTCHK_MEDIUM | 1u << BYTCHK_EACH))
		task_data_out(t, 0, half_window(t));
}

/* The data is verified on the medium, so it goes there (SBC-3 5.37). */
void write_verify_moved(struct task *t)
{
	t->s->step = STEP_WRITE;
	disk_io(t, BLOCK_WRITE, BLOCK_REQ_FUA, t->s->win_len, 0);
}

void write_verify_done(struct task *t)
{
	if (t->s->step == STEP_WRITE) {
		t->s->step = STEP_READ_BACK;
		disk_io(t, BLOCK_READ, 0, t->s->io_len, half(t));
		return;
	}
	if (t->s->arg[0] == BYTCHK_EACH && !verify_equal(t)) {
		task_check(t, SENSE_MISCOMPARE);
		return;
	}
	disk_advance(t, t->s->io_len);
	if (t->s->blocks)
		task_data_out(t, 0, half_window(t));
	else
		task_good(t);
}

/* ---- ORWRITE (SBC-3 5.5) ---- */

void cmd_orwrite(struct task *t)
{
	if (disk_start(t))
		task_data_out(t, 0, half_window(t));
}

void orwrite_moved(struct task *t)
{
	t->s->step = STEP_READ_BACK;
	disk_io(t, BLOCK_READ, 0, t->s->win_len, half(t));
}

void orwrite_done(struct task *t)
{
	if (t->s->step == STEP_READ_BACK) {
		for (uint64_t i = 0; i < t->s->io_len; i++)
			t->buf[i] |= t->buf[half(t) + i];
		t->s->step = STEP_WRITE;
		disk_io(t, BLOCK_WRITE, disk_write_flags(t), t->s->io_len, 0);
		return;
	}
	disk_advance(t, t->s->io_len);
	if (t->s->blocks)
		task_data_out(t, 0, half_window(t));
	else
		task_good(t);
}
