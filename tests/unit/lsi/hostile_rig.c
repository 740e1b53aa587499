/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hostile.h"

#include <string.h>

void hostile_up(struct rig *rig, struct prog *p)
{
	rig_up(rig, &lsi53c895a_class);
	*p = prog_at(rig, AT);
	memcpy(rig->ram + MEM, "\xc0", 1);
	memcpy(rig->ram + MEM + 8, "\x12\0\0\0\x24\0", 6);
}

/* Tests that have come to their end: see hostile_add(). */
static unsigned ended;

void hostile_down(struct rig *rig)
{
	assert_recovers(rig);
	g_assert_cmpuint(rig->l->max_slice_insns, <=, LSI_SLICE_INSNS);
	/* a piece that moves more than was left of the budget is at most one chunk too long */
	g_assert_cmpuint(rig->l->max_slice_bytes, <=, LSI_SLICE_BYTES + LSI_CHUNK);
	g_assert_cmpuint(rig->max_pass_ops, <=, 8192);
	g_assert_cmpuint(rig->max_pass_bytes, <=,
			 2 * (LSI_SLICE_BYTES + LSI_CHUNK) + LSI_SLICE_INSNS * 20);
	rig_down(rig);
	ended++;
}

static void run_test(const void *data)
{
	void (*fn)(void) = (void (*)(void))(uintptr_t)data;
	unsigned before = ended;

	fn();
	g_assert_cmpuint(ended, >, before);
}

void hostile_add(const char *path, void (*fn)(void))
{
	g_test_add_data_func(path, (const void *)(uintptr_t)fn, run_test);
}

void assert_runs_in_slices(struct rig *rig)
{
	unsigned slices = rig->l->slices;

	for (unsigned i = 0; i < 200; i++) {
		rig_pass(rig, 1);
		g_assert_cmphex(rd8(rig, R_ISTAT1) & ISTAT1_SRUN, ==, ISTAT1_SRUN);
		g_assert_cmphex(rd8(rig, R_ISTAT0) & (ISTAT0_SIP | ISTAT0_DIP), ==, 0);
	}
	g_assert_cmpuint(rig->l->slices - slices, <=, 200);
	g_assert_cmpuint(rig->l->slices - slices, >=, 190);
}

unsigned start_many(struct rig *rig, unsigned count, bool write)
{
	unsigned started = 0;

	for (unsigned k = 0; k < count; k++) {
		struct cmd c = cmd_rw(k & 1, k / 2, write, 4 * k, 1);

		/* all in one slot: what matters is what the disk was asked to do */
		if (write)
			memset(rig->ram + CMD_DATA(1), k, 512);
		started += cmd_start(rig, 1, &c) == INT_DISCONNECTED;
	}
	return started;
}

void assert_nothing_lands(struct rig *rig)
{
	uint8_t *copy = g_memdup2(rig->ram, RIG_RAM);

	g_assert_cmpuint(scsi_active(rig->l->scsi), ==, 0);
	for (unsigned d = 0; d < RIG_DISKS; d++) {
		rig->disk[d].hold = false;
		while (rig->disk[d].count)
			rig_end(rig, d, rig->disk[d].count / 2);
	}
	rig_pass(rig, 20);
	g_assert_true(!memcmp(copy, rig->ram, RIG_RAM));
	g_free(copy);
}

void release_disk(struct rig *rig, unsigned d)
{
	rig->disk[d].hold = false;
	while (rig->disk[d].count)
		rig_end(rig, d, 0);
	rig_pass(rig, 4);
}
