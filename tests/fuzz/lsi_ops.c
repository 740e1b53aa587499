/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lsi.h"

#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "mem/guestmem.h"

/*
 * The language: one byte of operation (modulo their number), then its operands, all fixed in size,
 * so that a mutation in the middle of an input leaves the rest of it in step.  A new operation
 * shifts the meaning of every input: minimise the corpus with a campaign after it.
 *
 * Budget of an input: MAX_OPS operations, and LSI_BUDGET.
 */

#define MAX_OPS 200

struct run {
	struct rig *rig;
	struct input *in;
	struct lsi_budget left;
};

static void pump(struct run *r, unsigned passes)
{
	lsi_pump(r->rig, &r->left, passes);
}

/* ---- registers and config space ---- */

/* Where an access goes: bits 1:0 its size, bits 3:2 the BAR, bit 4 unmapped space near it. */
static uint64_t bus_address(uint8_t how, uint16_t off, bool *ret_memory)
{
	static const uint64_t base[] = { RIG_REGS, RIG_IO, RIG_SRAM, RIG_REGS };

	*ret_memory = (how >> 2 & 3) != 1;
	if ((how >> 2 & 3) == 2)
		off &= how & 0x10 ? 0xffff : 0x1fff;
	else
		off &= how & 0x10 ? 0x7ff : 0xff;
	return base[how >> 2 & 3] + off;
}

/* An access is answered at once: the engine does not run meanwhile. */
static void access_bus(struct run *r, bool write)
{
	uint8_t how = in_u8(r->in);
	uint16_t off = in_u16(r->in);
	unsigned slices = r->rig->l->slices;
	uint64_t ops = r->rig->dma_ops, addr, val = write ? in_u32(r->in) : 0;
	bool memory;

	addr = bus_address(how, off, &memory);
	if (write)
		pci_bus_write(&r->rig->dev, memory, addr, 1u << (how & 3), val | val << 32);
	else
		pci_bus_read(&r->rig->dev, memory, addr, 1u << (how & 3), &val);
	g_assert_cmpuint(r->rig->l->slices, ==, slices);
	g_assert_cmpuint(r->rig->dma_ops, ==, ops);
}

static void op_write(struct run *r)
{
	access_bus(r, true);
}

static void op_read(struct run *r)
{
	access_bus(r, false);
}

static void op_config(struct run *r)
{
	uint8_t how = in_u8(r->in), off = in_u8(r->in);
	uint32_t val = in_u32(r->in);

	if (how & 0x80)
		pci_config_read(&r->rig->dev, off, 1 << (how & 3));
	else
		pci_config_write(&r->rig->dev, off, val, 1 << (how & 3));
}

/* What an interrupt handler does first. */
static void op_interrupt(struct run *r)
{
	lsi_read(r->rig, R_ISTAT0, 1);
	lsi_read(r->rig, R_SIST0, 2);
	lsi_read(r->rig, R_DSTAT, 1);
}

/* ---- guest memory ---- */

/* 16-byte units of the first MiB; the top bit set: of the region above 4 GiB. */
static uint8_t *ram_at(struct rig *rig, uint32_t unit)
{
	return unit & 0x10000 ? rig->high + (unit & 0xfff) * 16 : rig->ram + (unit & 0xffff) * 16;
}

static void op_ram(struct run *r)
{
	uint32_t unit = in_u16(r->in) | (in_u8(r->in) & 1) << 16;
	uint8_t len = in_u8(r->in);

	in_fill(r->in, ram_at(r->rig, unit), len);
}

static void map_all(struct rig *rig, uint64_t gpa, uint64_t size)
{
	lsi_map_all(rig);
}

static void map_none(struct rig *rig, uint64_t gpa, uint64_t size)
{
	guestmem_set(rig->mem, NULL, 0);
}

/* It ends in the first command's data. */
static void map_less(struct rig *rig, uint64_t gpa, uint64_t size)
{
	struct guestmem_region g = { .size = CMD_DATA(0) + 0x1000, .fd = rig->fd };

	guestmem_set(rig->mem, &g, 1);
}

/* The low region keeps nothing but a window. */
static void map_elsewhere(struct rig *rig, uint64_t gpa, uint64_t size)
{
	struct guestmem_region g[] = {
		{ .gpa = RIG_HIGH, .size = RIG_HIGH_SIZE, .offset = RIG_RAM, .fd = rig->fd },
		{ .gpa = gpa, .size = RIG_HIGH_SIZE, .offset = RIG_RAM, .fd = rig->fd },
	};

	guestmem_set(rig->mem, g, 2);
}

/* Two parts that touch, with the same part of the file: what crosses their border is in pieces. */
static void map_halves(struct rig *rig, uint64_t gpa, uint64_t size)
{
	uint64_t first = gpa % RIG_RAM ? gpa % RIG_RAM : 4096;
	struct guestmem_region g[] = {
		{ .size = first, .offset = RIG_RAM - first, .fd = rig->fd },
		{ .gpa = first, .size = RIG_RAM - first, .fd = rig->fd },
	};

	guestmem_set(rig->mem, g, 2);
}

/* Any; most of them are refused. */
static void map_any(struct rig *rig, uint64_t gpa, uint64_t size)
{
	struct guestmem_region g[] = {
		{ .gpa = gpa, .size = size, .fd = rig->fd },
		{ .gpa = RIG_HIGH, .size = RIG_HIGH_SIZE, .offset = RIG_RAM, .fd = rig->fd },
	};

	guestmem_set(rig->mem, g, 2);
}

static void op_map(struct run *r)
{
	static void (*const maps[])(struct rig *, uint64_t gpa, uint64_t size) = {
		map_all, map_none, map_less, map_elsewhere, map_halves, map_any, map_any, map_any,
	};
	uint8_t how = in_u8(r->in) % G_N_ELEMENTS(maps);
	uint64_t gpa = (uint64_t)in_u16(r->in) << 12;

	maps[how](r->rig, gpa, maps[how] == map_any ? in_u32(r->in) : 0);
}

/* ---- time and resets ---- */

static void op_pump(struct run *r)
{
	pump(r, 1 + in_u8(r->in) % 64);
}

static void op_time(struct run *r)
{
	uint8_t scale = in_u8(r->in);

	rig_advance(r->rig, (int64_t)(1 + (scale & 0x0f)) << (12 + (scale >> 4) * 2));
}

static void reset_function(struct rig *rig)
{
	pci_dev_reset(&rig->dev);
}

static void reset_chip(struct rig *rig)
{
	lsi_write(rig, R_ISTAT0, 1, ISTAT0_SRST);
	lsi_write(rig, R_ISTAT0, 1, 0);
}

static void reset_bus(struct rig *rig)
{
	lsi_write(rig, R_SCNTL1, 1, SCNTL1_RST);
	lsi_write(rig, R_SCNTL1, 1, 0);
}

/* And the driver starts again. */
static void reset_and_place(struct rig *rig)
{
	pci_dev_reset(&rig->dev);
	rig_place(rig);
	lsi_write(rig, R_SCID, 1, SCID_RRE | 7);
	lsi_write(rig, R_SIEN0, 2, 0x0486);
}

static void op_reset(struct run *r)
{
	static void (*const resets[])(struct rig *) = {
		reset_function, reset_chip, reset_bus, reset_and_place,
	};

	resets[in_u8(r->in) % G_N_ELEMENTS(resets)](r->rig);
}

/* ---- the host's side ---- */

static void op_disk(struct run *r)
{
	static const int errors[] = { 0, 0, 0, 0, EIO, ENOSPC, ENOMEM, EINVAL };
	uint8_t how = in_u8(r->in), index = in_u8(r->in);
	unsigned disk = (how & 3) % RIG_DISKS;
	struct rig_disk *d = &r->rig->disk[disk];

	if (how & 0x80)
		d->hold = how & 0x40;
	else if (d->count)
		rig_end_with(r->rig, disk, index % d->count, -errors[how >> 4 & 7]);
}

static void op_retry(struct run *r)
{
	if (r->rig->dev.cls->retry)
		r->rig->dev.cls->retry(&r->rig->dev, in_u8(r->in) & 1);
}

/* ---- what a driver does ---- */

/* A command whose CDB is as long as its opcode wants, or (bit 7 of how) as the input says. */
static struct cmd read_cmd(struct input *in)
{
	uint8_t how = in_u8(in), where = in_u8(in), tag = in_u8(in), len = in_u8(in);
	struct cmd c = {
		.target = where & 3, .lun = where >> 4 & 7,
		.tag = how & 1 ? tag : -1, .tag_msg = 0x20 + (how >> 1 & 3) % 3,
		.no_disconnect = how & 8, .extra_len = how & 0x10 ? where & 7 : 0,
	};

	in_fill(in, c.cdb, sizeof(c.cdb));
	c.cdb_len = scsi_cdb_len(c.cdb[0]);
	if (how & 0x80 || !c.cdb_len)
		c.cdb_len = 1 + len % 16;
	c.data_len = in_u16(in);
	if (how & 0x20)
		c.data_len <<= 8;
	if (how & 0x40)
		c.data_addr = in_u32(in);
	if (c.extra_len)
		in_fill(in, c.extra, sizeof(c.extra));
	return c;
}

static void start(struct run *r, uint32_t script)
{
	lsi_write(r->rig, R_DSP, 4, script);
}

static void op_start(struct run *r)
{
	unsigned slot = in_u8(r->in) & 3;
	struct cmd c = read_cmd(r->in);

	start(r, cmd_build(r->rig, slot, &c, NULL));
	pump(r, 4);
}

static void op_reselect(struct run *r)
{
	start(r, cmd_reselect_build(r->rig));
	pump(r, 4);
}

static void op_resume(struct run *r)
{
	unsigned slot = in_u8(r->in) & 3;
	struct cmd c = read_cmd(r->in);
	uint32_t dispatch;

	cmd_build(r->rig, slot, &c, &dispatch);
	start(r, dispatch);
	pump(r, 4);
}

/* A whole command, with its disconnections: a few rounds, whatever comes. */
static void op_command(struct run *r)
{
	struct cmd c = read_cmd(r->in);
	uint32_t at = cmd_build(r->rig, 0, &c, NULL);

	in_fill(r->in, r->rig->ram + CMD_DATA(0), 64);
	for (unsigned round = 0; round < 4; round++) {
		start(r, at);
		pump(r, 8);
		op_interrupt(r);
		if (lsi_read(r->rig, R_DSPS, 4) != INT_DISCONNECTED)
			break;
		start(r, cmd_reselect_build(r->rig));
		pump(r, 8);
		op_interrupt(r);
		cmd_build(r->rig, 0, &c, &at);
	}
}

/* Words of a script, at the place that op_run() starts, in RAM or in the chip's own. */
static void op_script(struct run *r)
{
	uint8_t how = in_u8(r->in), at = in_u8(r->in), words[32];
	unsigned len = 4 + (how & 7) * 4;

	in_fill(r->in, words, len);
	if (how & 0x80)
		memcpy(r->rig->state->ram + at * 4, words, len);
	else
		memcpy(r->rig->ram + CMD_BASE(0) + at * 4, words, len);
}

static void op_run(struct run *r)
{
	uint8_t how = in_u8(r->in), at = in_u8(r->in);

	start(r, (how & 0x80 ? RIG_SRAM : CMD_BASE(0)) + at * 4);
	pump(r, 1 + (how & 15));
}

static void (*const ops[])(struct run *) = {
	op_write, op_read, op_write, op_config, op_interrupt, op_ram, op_map, op_pump, op_time,
	op_reset, op_disk, op_retry, op_start, op_reselect, op_resume, op_command, op_script,
	op_run,
};

void lsi_ops(struct rig *rig, struct input *in)
{
	struct run r = { .rig = rig, .in = in, .left = LSI_BUDGET };

	for (unsigned i = 0; i < MAX_OPS && in->left; i++)
		ops[in_u8(in) % G_N_ELEMENTS(ops)](&r);
}
