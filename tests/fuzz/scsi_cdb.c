/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CDBs and parameter lists against the SCSI target itself: two disks of 512 and 4096 byte blocks at
 * one target id, a CD-ROM, a DVD and a drive without a medium; disks that hold requests back and
 * fail.
 */

#include <errno.h>
#include <string.h>

#include "../unit/scsi/rig.h"
#include "base/num.h"
#include "block/null.h"
#include "fuzz.h"
#include "scsi/bus.h"

#define MAX_OPS 100
#define MAX_WINDOWS 300		/* that an input may move */
#define DVD_SIZE (4ULL << 30)
#define BUFFERS 16		/* rig_init() makes so many */

static struct rig rig;

/* ---- set-up ---- */

static void unit_config(unsigned i, unsigned target, unsigned lun, unsigned block_size)
{
	struct scsi_unit_config *c = &rig.units[i].config;

	c->target = target;
	c->lun = lun;
	c->logical_block_size = c->physical_block_size = block_size;
}

static void configure(void)
{
	struct scsi_unit_config *c = &rig.units[1].config;

	rig.units[0].config.wwn = 0x5000c50015ea71acULL;
	rig.units[0].config.werror = SCSI_ON_ERROR_ENOSPC;
	unit_config(1, 0, 1, 4096);
	c->werror = c->rerror = SCSI_ON_ERROR_STOP;
	c->waits = SCSI_HOLD_READ;
	c->dpofua = 0;
	c->removable = 1;
	c->rotation_rate = 1;
	c->max_io_size = 16384;
	unit_config(2, 1, 0, 2048);
	unit_config(3, 2, 3, 2048);
	unit_config(4, 3, 0, 2048);
	for (unsigned i = 2; i < RIG_UNITS; i++) {
		c = &rig.units[i].config;
		c->type = SCSI_UNIT_CDROM;
		c->removable = c->readonly = 1;
	}
	rig.units[2].block->readonly = true;
	rig.units[2].config.rerror = SCSI_ON_ERROR_IGNORE;
	rig.units[3].block = NULL;
	rig.units[4].block = null_create(rig.loop, DVD_SIZE, 0);
	g_assert_nonnull(rig.units[4].block);
	rig.units[4].block->readonly = true;
}

void fuzz_setup(void)
{
	rig_init(&rig, RIG_UNITS);
	configure();
	rig_start(&rig);
	for (unsigned i = 0; i < RIG_UNITS; i++) {
		uint8_t *data = rig.disk[i].data;

		rig.disk[i].data = fuzz_scratch(data, RIG_BLOCKS * 512);
		g_free(data);
	}
	rig_settle(&rig);
	clock_reset();
	fuzz_snapshot(&rig, sizeof(rig));
	fuzz_snapshot(rig.state, sizeof(*rig.state));
	fuzz_snapshot(rig.bus, sizeof(*rig.bus));
}

/* ---- an initiator ---- */

struct run {
	struct input *in;
	unsigned windows;	/* left */
	bool flooded;		/* once is enough: it is slow */
};

/* Moves @req's data for at most @windows steps of at most @step bytes; returns where it is. */
static enum scsi_phase move(struct run *r, unsigned req, unsigned windows, size_t step)
{
	enum scsi_phase phase;

	while ((phase = scsi_phase(rig.bus, req)) == SCSI_PHASE_DATA_IN ||
	       phase == SCSI_PHASE_DATA_OUT) {
		size_t len;
		uint8_t *win = scsi_window(rig.bus, req, &len);
		static uint8_t sink[1 << 16];

		if (!windows-- || !r->windows)
			break;
		r->windows--;
		len = MIN(len, step);
		g_assert_cmpuint(len, >, 0);
		g_assert_cmpuint(len, <=, sizeof(sink));
		if (phase == SCSI_PHASE_DATA_OUT)
			in_fill(r->in, win, len);
		else
			memcpy(sink, win, len);
		scsi_advance(rig.bus, req, len);
	}
	return phase;
}

static void finish(struct run *r, unsigned req)
{
	if (move(r, req, 64, SIZE_MAX) == SCSI_PHASE_STATUS)
		scsi_release(rig.bus, req);
}

/* The CDB: from a row of the table, all the fields that it knows filled in, or any bytes. */
static void read_cdb(struct input *in, struct scsi_command *cmd)
{
	uint8_t index = in_u8(in), loose = in_u8(in);
	const struct cdb_row *row = &cdb_table[index % cdb_table_len];

	cmd->cdb_len = index < 0xf0 ? row->len : loose % (SCSI_MAX_CDB + 1);
	in_fill(in, cmd->cdb, cmd->cdb_len);
	if (index >= 0xf0)
		return;
	for (unsigned i = 1; i < cmd->cdb_len && !(loose & 0x80); i++)
		cmd->cdb[i] &= row->usage[i];
	cmd->cdb[0] = row->opcode;
	if (row->action >= 0)
		cmd->cdb[1] = (cmd->cdb[1] & ~0x1f) | row->action;
	/* most blocks are few, most addresses small: else all ends with "out of range" */
	if (loose & 0x40)
		memset(cmd->cdb + 2, 0, MIN(row->len, 10) / 2 - 1);
}

static int command(struct run *r)
{
	/* target << 4 | lun: the units, a missing unit, a missing target */
	static const uint8_t places[] = { 0x00, 0x01, 0x10, 0x23, 0x00, 0x30, 0x05, 0x70 };
	uint8_t where = in_u8(r->in), how = in_u8(r->in);
	struct scsi_command cmd = {
		.target = places[where & 7] >> 4, .lun = places[where & 7] & 0xf,
		.initiator = where & 0x80 ? 6 : 7,
		.attr = how & 3, .tag = how >> 2 & 7,
	};

	read_cdb(r->in, &cmd);
	return rig_command(&rig, &cmd);
}

static void op_command(struct run *r)
{
	int req = command(r);

	for (unsigned i = 0; req >= 0 && i < 6; i++) {
		if (move(r, req, 8, SIZE_MAX) == SCSI_PHASE_STATUS) {
			scsi_release(rig.bus, req);
			break;
		}
		loop_step(rig.loop, 0);
	}
}

static void op_start(struct run *r)
{
	command(r);
}

/* One that is under way: some of its data, by odd steps, or its status. */
static void op_go_on(struct run *r)
{
	unsigned req = in_u8(r->in) % 32, step = in_u16(r->in);

	if (move(r, req, 1 + step % 8, 1 + step) == SCSI_PHASE_STATUS)
		scsi_release(rig.bus, req);
}

/* The sense of whatever went wrong last; unit attentions go this way too. */
static void op_sense(struct run *r)
{
	uint8_t where = in_u8(r->in);
	struct scsi_command cmd = {
		.target = where >> 4 & 3, .lun = where & 3, .initiator = 7, .cdb_len = 6,
		.cdb = { 0x03, where >> 6, 0, 0, 252 },
	};
	int req = rig_command(&rig, &cmd);

	if (req >= 0)
		finish(r, req);
}

/*
 * Mode parameters are taken back with a bit of them changed: only a list that says of itself what
 * the unit would say passes all checks but the last one.
 */
static void op_mode(struct run *r)
{
	static const uint8_t places[] = { 0x00, 0x01, 0x10, 0x30 };
	uint8_t where = in_u8(r->in), page = in_u8(r->in), at = in_u8(r->in), bits = in_u8(r->in);
	struct scsi_command cmd = {
		.target = places[where & 3] >> 4, .lun = places[where & 3] & 0xf, .initiator = 7,
		.cdb_len = 6, .cdb = { 0x1a, where & 0x08, page & 0x3f, 0, 255 },
	};
	uint8_t list[256];
	struct input in = { .at = list };
	struct run back = { .in = &in, .windows = 8 };
	size_t len;
	void *win;
	int req = rig_command(&rig, &cmd);

	if (req < 0 || scsi_phase(rig.bus, req) != SCSI_PHASE_DATA_IN) {
		if (req >= 0)
			finish(r, req);
		return;
	}
	win = scsi_window(rig.bus, req, &len);
	len = MIN(len, sizeof(list) - 1);
	memcpy(list, win, len);
	finish(r, req);
	list[0] = list[2] = 0;		/* reserved in MODE SELECT */
	list[at % len] ^= bits;
	len -= MIN(len, where >> 4 & 7);	/* cut short */
	in.left = len;
	cmd.cdb[0] = 0x15;
	cmd.cdb[1] = 0x10;
	cmd.cdb[2] = 0;
	cmd.cdb[4] = len;
	req = rig_command(&rig, &cmd);
	if (req >= 0)
		finish(&back, req);
}

/* ---- the host's side ---- */

static void op_disk(struct run *r)
{
	static const int errors[] = { 0, EIO, ENOSPC, ENOMEM, EINVAL, ENODATA, ENOMEDIUM, EBADE };
	uint8_t how = in_u8(r->in), what = in_u8(r->in);
	struct memdisk *d = &rig.disk[how % 3];

	switch (how >> 6) {
	case 0:
		d->hold = what & 1;
		break;
	case 1:
		if (d->count)
			memdisk_end(d, what % d->count, -errors[how >> 3 & 7]);
		break;
	case 2:
		d->fail[what % G_N_ELEMENTS(d->fail)] = errors[how >> 3 & 7];
		d->fail_count = 1 + what / 64;
		break;
	default:
		d->mapped_until = what * 4096;
		break;
	}
}

static void op_settle(struct run *r)
{
	uint8_t how = in_u8(r->in);

	if (how & 0x80)
		clock_advance((int64_t)(how & 0x7c) * 100 * LOOP_MS);
	for (unsigned n = 1 + how % 4; n > 0; n--)
		loop_step(rig.loop, 0);
}

static void op_retry(struct run *r)
{
	if (in_u8(r->in) & 1)
		scsi_retry_later(rig.bus);
	else
		scsi_retry_held(rig.bus);
}

/* ---- task management ---- */

static void op_manage(struct run *r)
{
	uint8_t how = in_u8(r->in), what = in_u8(r->in);
	unsigned target = what >> 4 & 3, lun = what & 3;
	int req;

	switch (how % 6) {
	case 0:
		scsi_abort(rig.bus, what % 32);
		break;
	case 1:
		scsi_abort_task_set(rig.bus, target, lun, 7);
		break;
	case 2:
		scsi_clear_task_set(rig.bus, target, lun);
		break;
	case 3:
		scsi_target_reset(rig.bus, target);
		break;
	case 4:
		scsi_bus_reset(rig.bus, what & 1);
		break;
	default:
		req = scsi_find(rig.bus, target, lun, 7, how & 0x80 ? what & 7 : -1);
		if (req >= 0)
			scsi_abort(rig.bus, req);
		break;
	}
}

/* Many at once; FFh: a full table. */
static void op_flood(struct run *r)
{
	struct scsi_command cmd = { .initiator = 7, .attr = SCSI_TASK_SIMPLE, .cdb_len = 10 };
	uint8_t count = in_u8(r->in);

	if (count != 0xff)
		count %= 16;
	in_fill(r->in, cmd.cdb, cmd.cdb_len);
	if (r->flooded)
		return;
	r->flooded = true;
	rig.disk[0].hold = true;
	for (unsigned tag = 0; tag < count; tag++) {
		cmd.tag = tag;
		rig_command(&rig, &cmd);
	}
	cmd.initiator = 5;
	for (unsigned tag = 0; tag < count / 4; tag++) {
		cmd.tag = tag;
		rig_command(&rig, &cmd);
	}
}

/* ---- */

static bool share_memory(const struct block_req *a, const struct block_req *b)
{
	return ranges_overlap((uintptr_t)a->buf, a->buf ? a->len : 0, (uintptr_t)b->buf,
			      b->buf ? b->len : 0);
}

/* What the host still works on is nobody else's, whatever has become of the command. */
static void assert_own_buffers(void)
{
	const struct block_req *all[32];
	unsigned count = 0;

	for (unsigned i = 0; i < RIG_UNITS; i++)
		for (unsigned k = 0; k < rig.disk[i].count && count < G_N_ELEMENTS(all); k++)
			all[count++] = rig.disk[i].pending[k];
	for (unsigned i = 0; i < count; i++)
		for (unsigned k = 0; k < i; k++)
			g_assert_false(share_memory(all[i], all[k]));
}

/* However full the bus and whatever the disks do: an INQUIRY has its answer at once. */
static void assert_alive(void)
{
	struct scsi_command cmd = rig_cdb("12 00 00 00 24 00");
	struct run r = { .windows = 8 };
	struct input none = { 0 };
	int req;

	r.in = &none;
	cmd.initiator = 3;
	cmd.attr = SCSI_TASK_SIMPLE;
	req = rig_command(&rig, &cmd);
	if (req == -ENOSPC)
		return;
	g_assert_cmpint(req, >=, 0);
	g_assert_cmpint(move(&r, req, 8, SIZE_MAX), ==, SCSI_PHASE_STATUS);
	g_assert_cmpint(scsi_status(rig.bus, req), ==, SCSI_GOOD);
	scsi_release(rig.bus, req);
}

static void assert_idle(void)
{
	static void *taken[BUFFERS];

	g_assert_cmpuint(scsi_active(rig.bus), ==, 0);
	g_assert_false(rig.bus->work.queued || rig.bus->waiter.queued);
	for (unsigned i = 0; i < RIG_UNITS; i++) {
		g_assert_true(block_idle(&rig.disk[i].block));
		g_assert_false(rig.bus->unit[i].retry.armed);
		g_assert_false(rig.disk[i].work.queued || rig.disk[i].block.ended_work.queued);
	}
	for (unsigned i = 0; i < BUFFERS; i++)
		g_assert_nonnull(taken[i] = buffers_get(rig.buffers, NULL));
	for (unsigned i = BUFFERS; i > 0; i--)
		buffers_put(rig.buffers, taken[i - 1]);
}

static void reset(void)
{
	scsi_bus_reset(rig.bus, true);
	for (unsigned i = 0; i < RIG_UNITS; i++) {
		rig.disk[i].hold = false;
		while (rig.disk[i].count)
			memdisk_end(&rig.disk[i], 0, 0);
	}
	rig_settle(&rig);
	assert_idle();
	clock_reset();
	fuzz_restore();
}

void fuzz_one(struct input *in)
{
	static void (*const ops[])(struct run *) = {
		op_command, op_start, op_go_on, op_command, op_disk, op_settle, op_sense,
		op_command, op_manage, op_retry, op_flood, op_mode,
	};
	struct run r = { .in = in, .windows = MAX_WINDOWS };

	for (unsigned i = 0; i < MAX_OPS && in->left; i++) {
		ops[in_u8(in) % G_N_ELEMENTS(ops)](&r);
		assert_own_buffers();
	}
	assert_alive();
	reset();
}
