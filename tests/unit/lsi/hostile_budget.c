/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/num.h"
#include "hostile.h"

/*
 * What a script may use: instructions and bytes a slice, and slices over time.
 */

/* A script that writes over itself: what was fetched counts, once. */
static void test_self_modifying(void)
{
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	/* a move over its own words and those that follow, the new words make the same move */
	put3(&p, S_COPY(12), MEM + 0x100, AT);
	put2(&p, S_JUMP, AT);
	put_le32(rig.ram + MEM + 0x100, S_COPY(12));
	put_le32(rig.ram + MEM + 0x104, MEM + 0x100);
	put_le32(rig.ram + MEM + 0x108, AT);
	wr32(&rig, R_DSP, AT);
	assert_runs_in_slices(&rig);
	assert_recovers(&rig);
	/* the whole of guest memory as far as a count reaches, the script included */
	p = prog_at(&rig, AT);
	put3(&p, S_COPY(0xfffffc), 0, 0);
	put2(&p, S_INT, 1);
	prog_run(&p);
	g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SIR);
	hostile_down(&rig);
}

/* 16 MiB in one instruction, from and to memory, a disk, and the registers. */
static void test_giant_moves(void)
{
	struct cmd c = cmd_rw(0, -1, false, 0, 2);
	unsigned slices;
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	put3(&p, S_COPY(0x800000), 0x100000, 0x700000);
	put2(&p, S_INT, 1);
	slices = rig.l->slices;
	wr32(&rig, R_DSP, AT);
	rig_pass(&rig, 1);
	g_assert_cmphex(rd8(&rig, R_ISTAT1) & ISTAT1_SRUN, ==, ISTAT1_SRUN);
	rig_settle(&rig);
	g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SIR);
	g_assert_cmpuint(rig.l->slices - slices, >=, 0x800000 / LSI_SLICE_BYTES);
	/* into the registers: as far as the BAR goes, then there is nobody */
	p = prog_at(&rig, AT);
	put3(&p, S_COPY(0xffffff), 0x100000, RIG_REGS);
	prog_run(&p);
	rig_pass(&rig, 10);
	assert_recovers(&rig);
	/* a command block of 16 MiB: what the command does not need is not moved */
	c.cdb_len = 0xffffff;
	slices = rig.l->slices;
	g_assert_cmpint(cmd_run(&rig, 1, &c), ==, INT_DONE);
	g_assert_cmpuint(rig.l->slices - slices, <=, 8);
	c.cdb_len = 10;
	c.data_len = 0xffffff;
	cmd_run(&rig, 1, &c);
	g_assert_cmphex(take_irq(&rig).sist, ==, SIST_MA);
	g_assert_cmphex(rd32(&rig, R_DBC) & 0xffffff, ==, 0xffffff - 1024);
	hostile_down(&rig);
}

/*
 * A register access costs more than a byte of memory: a slice that does nothing else has fewer of
 * them.
 */
static void test_register_accesses_cost(void)
{
	struct rig rig;
	struct prog p;
	uint64_t bytes;

	hostile_up(&rig, &p);
	for (unsigned i = 0; i < 64; i++)
		put3(&p, S_COPY(0x400), RIG_REGS, 0x100000);
	put2(&p, S_JUMP, AT);
	wr32(&rig, R_DSP, AT);
	for (unsigned i = 0; i < 10; i++) {
		bytes = rig.dma_bytes;
		rig_pass(&rig, 1);
		g_assert_cmpuint((rig.dma_bytes - bytes) / 4, <=,
				 (LSI_SLICE_BYTES + LSI_CHUNK) / LSI_REG_COST + 512);
	}
	assert_recovers(&rig);
	/* from the registers to the registers, and a script that lies in them */
	p = prog_at(&rig, AT);
	put3(&p, S_COPY(0xa0), RIG_REGS + 0x100 + R_SCRATCHC, RIG_REGS + R_SCRATCHC);
	put2(&p, S_JUMP, AT);
	wr32(&rig, R_DSP, AT);
	assert_runs_in_slices(&rig);
	assert_recovers(&rig);
	wr32(&rig, R_SCRATCHC, S_JUMP);
	wr32(&rig, R_SCRATCHC + 4, RIG_REGS + R_SCRATCHC);
	wr32(&rig, R_DSP, RIG_REGS + R_SCRATCHC);
	assert_runs_in_slices(&rig);
	hostile_down(&rig);
}

/* Each message that ends commands looks at all of them: a slice takes a few hundred of them. */
static void test_messages_cost(void)
{
	static const uint8_t kinds[] = { 0x06, 0x07, 0x08, 0x0c, 0x0d, 0x0e, 0x30 };
	struct rig rig;
	struct prog p;
	uint32_t left, now;

	hostile_up(&rig, &p);
	for (unsigned i = 0; i < sizeof(kinds); i++) {
		memset(rig.ram + 0x100000, kinds[i], 0x100000);
		p = prog_at(&rig, AT);
		put2(&p, S_SELECT_ATN(0), 0);
		put2(&p, S_REG_REG(R_SCNTL2, A_AND, 0x7f), 0);
		rig.ram[0x100000] = 0xc0;
		put2(&p, S_MOVE(PHASE_MSG_OUT, 0x80000), 0x100000);
		put2(&p, S_INT, 1);
		wr32(&rig, R_DSP, AT);
		left = 0x80000;
		for (unsigned pass = 0; pass < 50; pass++) {
			rig_pass(&rig, 1);
			now = rig.state->begun ? rig.state->move_left : left;
			g_assert_cmpuint(left - now, <=,
					 2 * (LSI_SLICE_BYTES / LSI_MESSAGE_COST + 64));
			left = now;
		}
		g_assert_cmphex(rd8(&rig, R_ISTAT1) & ISTAT1_SRUN, ==, ISTAT1_SRUN);
		assert_recovers(&rig);
	}
	hostile_down(&rig);
}

/* A window that comes when nearly all of a slice is used up is moved in two. */
static void test_window_at_the_end_of_a_slice(void)
{
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	memcpy(rig.ram + MEM, "\x80", 1);
	memcpy(rig.ram + MEM + 32, (uint8_t[10]){ 0x28, [8] = 128 }, 10);
	put2(&p, S_SELECT_ATN(0), 0);
	put2(&p, S_MOVE(PHASE_MSG_OUT, 1), MEM);
	put2(&p, S_MOVE(PHASE_COMMAND, 10), MEM + 32);
	put2(&p, S_NOT(S_JUMP) | S_WHEN(PHASE_DATA_IN), AT);
	put3(&p, S_COPY(LSI_SLICE_BYTES - LSI_CHUNK), 0x100000, 0x200000);
	put2(&p, S_MOVE(PHASE_DATA_IN, 65536), 0x400000);
	put2(&p, S_INT, 1);
	prog_run(&p);
	g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SIR);
	g_assert_cmpmem(rig.ram + 0x400000, 65536, rig.disk[0].data, 65536);
	hostile_down(&rig);
}

/* Instructions that end with a fault are no way to do more of them. */
static void test_guest_errors_are_counted_once_a_start(void)
{
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	put2(&p, S_COPY(0), 0);
	for (unsigned i = 0; i < 100; i++) {
		wr32(&rig, R_DSP, AT);
		rig_pass(&rig, 5);
		g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_IID);
	}
	g_assert_cmpuint(rig.guest_errors, ==, 100);
	hostile_down(&rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	hostile_add("/lsi/hostile/self-modifying", test_self_modifying);
	hostile_add("/lsi/hostile/giant-moves", test_giant_moves);
	hostile_add("/lsi/hostile/register-accesses-cost", test_register_accesses_cost);
	hostile_add("/lsi/hostile/messages-cost", test_messages_cost);
	hostile_add("/lsi/hostile/window-at-slice-end", test_window_at_the_end_of_a_slice);
	hostile_add("/lsi/hostile/guest-errors", test_guest_errors_are_counted_once_a_start);
	return g_test_run();
}
