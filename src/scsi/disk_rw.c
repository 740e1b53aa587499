/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/num.h"
#include "scsi/bus.h"
#include "scsi/disk.h"

/*
 * READ and WRITE (SBC-3 5.11 to 5.13, 5.33 to 5.35): one buffer at a time between the medium and
 * the adapter's window, so that a transfer of any length needs one buffer.
 */

uint32_t unit_max_blocks(const struct unit *unit)
{
	uint64_t bytes = unit->config->max_io_size ? unit->config->max_io_size : INT32_MAX;

	return min_u64(min_u64(bytes, INT32_MAX) / unit->state->block_size, UINT32_MAX);
}

bool disk_check_range(struct task *t, uint64_t lba, uint64_t blocks)
{
	uint64_t size = unit_blocks(t->unit);

	if (range_fits(lba, blocks, size))
		return true;
	task_check_sense(t, sense_info(SENSE_LBA_RANGE, lba < size ? size : lba));
	return false;
}

uint8_t unit_dpofua(const struct unit *unit)
{
	return unit->config->dpofua || unit_is_cd(unit) ? 0x18 : 0;
}

bool disk_check_byte1(struct task *t)
{
	const uint8_t *cdb = task_cdb(t);
	uint8_t refused;

	if (t->row->len == 6)
		return true;
	refused = cdb[1] & (0xe0 | (t->row->usage[1] & 0x18 & ~unit_dpofua(t->unit)));
	if (refused)
		task_bad_cdb(t, 1, 31 - __builtin_clz(refused));
	return !refused;
}

bool disk_parse_range(struct task *t, uint32_t limit)
{
	const uint8_t *cdb = task_cdb(t);
	uint32_t blocks = cdb_blocks(cdb);

	if (!disk_check_range(t, cdb_lba(cdb), blocks))
		return false;
	if (blocks > limit) {
		task_bad_cdb(t, t->row->len == 16 ? 10 : t->row->len == 12 ? 6 : 7, -1);
		return false;
	}
	t->s->lba = cdb_lba(cdb);
	t->s->blocks = blocks;
	return true;
}

bool disk_start(struct task *t)
{
	if (!disk_check_byte1(t) || !disk_parse_range(t, unit_max_blocks(t->unit)))
		return false;
	if (t->s->blocks)
		return true;
	task_good(t);
	return false;
}

uint32_t disk_window_blocks(const struct task *t, size_t space)
{
	return min_u64(t->s->blocks, space / t->s->block_size);
}

/* Bytes of the next window. */
static uint32_t disk_window(const struct task *t)
{
	return disk_window_blocks(t, t->buf_size) * t->s->block_size;
}

void disk_io(struct task *t, enum block_op op, uint32_t flags, uint64_t bytes, uint32_t buf_off)
{
	task_io(t, op, flags, t->s->lba * t->s->block_size, bytes, buf_off);
}

void disk_advance(struct task *t, uint64_t bytes)
{
	t->s->lba += bytes / t->s->block_size;
	t->s->blocks -= bytes / t->s->block_size;
}

/* With the write cache off, or FUA, the data is on the medium before the status. */
uint32_t disk_write_flags(const struct task *t)
{
	bool fua = t->row->len > 6 && task_cdb(t)[1] & 0x08;

	return fua || !t->unit->state->write_cache ? BLOCK_REQ_FUA : 0;
}

/*
 * A long transfer's first part tells whether the host has the data cached; then the rest need not
 * pass through the buffer.
 */
#define DIRECT_FIRST 16384u	/* bytes, a multiple of any block */
#define DIRECT_MIN 65536u	/* of a transfer that is read so */
#define DIRECT_WINDOW (1u << 30)

static bool may_direct(const struct task *t, uint64_t least)
{
	return t->bus->ops->direct && t->s->blocks * t->s->block_size >= least &&
	       t->s->block_size <= DIRECT_FIRST;
}

/* What the host has cached comes at once, and no thread is asked for it. */
static void read_window(struct task *t)
{
	uint32_t bytes = disk_window(t);

	if (!task_read_now(t, t->s->lba * t->s->block_size, bytes)) {
		disk_io(t, BLOCK_READ, 0, bytes, 0);
		return;
	}
	disk_advance(t, bytes);
	task_data_in(t, bytes);
}

static void direct_window(struct task *t)
{
	t->s->direct = 1;
	task_data_in(t, min_u64(t->s->blocks * t->s->block_size, DIRECT_WINDOW));
}

size_t disk_read_direct(struct task *t, const struct iovec *iov, int count, size_t len)
{
	struct scsi_req_state *s = t->s;
	size_t n = task_read_into(t, s->lba * s->block_size, iov, count, len);

	n -= n % s->block_size;	/* what is over is read again */
	disk_advance(t, n);
	s->win_off += n;
	if (s->win_off == s->win_len)
		s->direct = 0;
	return n;
}

void disk_direct_end(struct task *t)
{
	t->s->direct = 0;
	task_enter_wait(t, TASK_WAIT_IO);
	read_window(t);
}

void cmd_read(struct task *t)
{
	uint32_t bytes;

	if (!disk_start(t))
		return;
	bytes = min_u64(disk_window(t), DIRECT_FIRST);
	if (may_direct(t, DIRECT_MIN) &&
	    task_read_now(t, t->s->lba * t->s->block_size, bytes)) {
		disk_advance(t, bytes);
		t->s->arg[0] = 1;	/* cached, as it seems */
		task_data_in(t, bytes);
	} else {
		read_window(t);
	}
}

void read_done(struct task *t)
{
	disk_advance(t, t->s->io_len);
	task_data_in(t, t->s->io_len);
}

void read_moved(struct task *t)
{
	if (!t->s->blocks)
		task_good(t);
	else if (t->s->arg[0] && may_direct(t, DIRECT_FIRST))
		direct_window(t);
	else
		read_window(t);
}

void cmd_write(struct task *t)
{
	if (disk_start(t))
		task_data_out(t, 0, disk_window(t));
}

void write_moved(struct task *t)
{
	disk_io(t, BLOCK_WRITE, disk_write_flags(t), t->s->win_len, 0);
}

void write_done(struct task *t)
{
	disk_advance(t, t->s->io_len);
	if (t->s->blocks)
		task_data_out(t, 0, disk_window(t));
	else
		task_good(t);
}
