/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lsi.h"

#include <fcntl.h>

#include "mem/guestmem.h"
#include "scsi/bus.h"

void lsi_map_all(struct rig *rig)
{
	struct guestmem_region regions[2] = {
		{ .gpa = 0, .size = RIG_RAM, .fd = rig->fd },
		{ .gpa = RIG_HIGH, .size = RIG_HIGH_SIZE, .offset = RIG_RAM, .fd = rig->fd },
	};

	g_assert_cmpint(guestmem_set(rig->mem, regions, G_N_ELEMENTS(regions)), ==, 0);
}

/* The guest's memory goes back to zeroes, at the price of the pages that were touched. */
static void ram_clear(struct rig *rig)
{
	g_assert_cmpint(fallocate(rig->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
				  RIG_RAM + RIG_HIGH_SIZE), ==, 0);
}

void lsi_disks(struct rig *rig)
{
	for (unsigned i = 0; i < RIG_DISKS; i++) {
		uint8_t *data = rig->disk[i].data;

		rig->disk[i].data = fuzz_scratch(data, DISK_SECTORS * 512);
		g_free(data);
	}
}

void lsi_setup(struct rig *rig)
{
	rig_up(rig, &lsi53c895a_class);
	lsi_disks(rig);
	rig_settle(rig);
	ram_clear(rig);
	rig_set_clock(CLOCK_START);
	fuzz_snapshot(rig, sizeof(*rig));
	fuzz_snapshot(rig->state, sizeof(*rig->state));
	fuzz_snapshot(rig->l, sizeof(*rig->l));
	fuzz_snapshot(rig->l->scsi, sizeof(*rig->l->scsi));
}

void lsi_write(struct rig *rig, uint32_t reg, unsigned size, uint32_t val)
{
	pci_bus_write(&rig->dev, true, RIG_REGS + reg, size, val);
}

uint32_t lsi_read(struct rig *rig, uint32_t reg, unsigned size)
{
	uint64_t val;

	pci_bus_read(&rig->dev, true, RIG_REGS + reg, size, &val);
	return val;
}

void lsi_pump(struct rig *rig, struct lsi_budget *left, unsigned passes)
{
	while (passes-- && left->passes && left->insns) {
		unsigned slices = rig->l->slices, used;

		rig_pass(rig, 1);
		left->passes--;
		if (slices == rig->l->slices)
			continue;
		used = LSI_SLICE_INSNS - MAX(rig->l->insns, 0);
		used += (LSI_SLICE_BYTES - MAX(rig->l->bytes, 0)) / LSI_BUDGET_BYTES;
		left->insns -= MIN(used, left->insns);
	}
	g_assert_cmpuint(rig->l->max_slice_insns, <=, LSI_SLICE_INSNS);
	/* the last instruction of a slice may move one chunk more */
	g_assert_cmpuint(rig->l->max_slice_bytes, <=, LSI_SLICE_BYTES + LSI_CHUNK);
}

static void end_requests(struct rig *rig)
{
	for (unsigned i = 0; i < RIG_DISKS; i++) {
		rig->disk[i].hold = false;
		while (rig->disk[i].count)
			rig_end(rig, i, 0);
	}
}

/* Nothing may be left of any request: a copied struct must not be in a list of the loop's. */
static void assert_idle(struct rig *rig)
{
	static void *taken[300];	/* rig_bare() makes so many */

	g_assert_cmpuint(scsi_active(rig->l->scsi), ==, 0);
	g_assert_false(rig->l->work.queued || rig->l->gen.armed || rig->l->hth.armed);
	g_assert_false(rig->l->scsi->work.queued || rig->l->scsi->waiter.queued);
	for (unsigned i = 0; i < RIG_DISKS; i++) {
		g_assert_true(block_idle(&rig->disk[i].block));
		g_assert_false(rig->l->scsi->unit[i].retry.armed);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(taken); i++)
		g_assert_nonnull(taken[i] = buffers_get(rig->buffers, NULL));
	for (unsigned i = G_N_ELEMENTS(taken); i > 0; i--)
		buffers_put(rig->buffers, taken[i - 1]);
}

void lsi_quiet(struct rig *rig)
{
	pci_dev_reset(&rig->dev);
	end_requests(rig);
	rig_settle(rig);
	assert_idle(rig);
}

void lsi_clear(struct rig *rig)
{
	ram_clear(rig);
	rig_set_clock(CLOCK_START);
	fuzz_restore();
}

void lsi_check(struct rig *rig)
{
	rig_place(rig);
	lsi_map_all(rig);
	assert_recovers(rig);
	lsi_quiet(rig);
}

void lsi_reset(struct rig *rig)
{
	lsi_check(rig);
	lsi_clear(rig);
}
