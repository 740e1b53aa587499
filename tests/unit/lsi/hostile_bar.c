/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/num.h"
#include "hostile.h"

/*
 * Scripts that address the chip itself: its registers and its script RAM, as source and as target.
 */

/* CVE-2023-0330: a memory move onto the registers that start the engine. */
static void test_move_onto_registers(void)
{
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	/* DSP, again and again: each start is queued, and the script goes on where DSP points */
	put_le32(rig.ram + MEM + 0x100, AT);
	put3(&p, S_COPY(4), MEM + 0x100, RIG_REGS + R_DSP);
	put2(&p, S_INT, 1);
	wr32(&rig, R_DSP, AT);
	assert_runs_in_slices(&rig);
	assert_recovers(&rig);
	/* the start bit, and the whole register file at once, also from itself */
	p = prog_at(&rig, AT);
	rig.ram[MEM + 0x100] = DCNTL_STD | DCNTL_COM;
	put3(&p, S_COPY(1), MEM + 0x100, RIG_REGS + R_DCNTL - 3);
	put3(&p, S_COPY(4), MEM + 0x100, RIG_REGS + R_DCNTL - 3);
	put3(&p, S_COPY(256), RIG_REGS, RIG_REGS);
	put2(&p, S_INT, 1);
	wr32(&rig, R_DSP, AT);
	rig_pass(&rig, 50);
	assert_recovers(&rig);
	for (unsigned fill = 0; fill < 256; fill += 17) {
		memset(rig.ram + MEM + 0x1000, fill, 0x400);
		p = prog_at(&rig, AT);
		put3(&p, S_COPY(0x400), MEM + 0x1000, RIG_REGS);
		put2(&p, S_JUMP, AT);
		wr32(&rig, R_DSP, AT);
		rig_pass(&rig, 50);
		rd8(&rig, R_ISTAT0);
		assert_recovers(&rig);
	}
	hostile_down(&rig);
}

/* GitLab 3677: data of a command moved into the chip's own registers, and out of them. */
static void test_block_move_into_bar(void)
{
	struct cmd c;
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	for (unsigned off = 0; off < 256; off += 4) {
		/* every register gets bytes of a sector; some reset bus or chip under the move */
		memset(rig.disk[0].data, off ^ 0x4a, 2048);
		rig.disk[0].data[R_SCNTL1] = off & 4 ? SCNTL1_RST : 0;
		rig.disk[0].data[R_ISTAT0] = off & 8 ? ISTAT0_SRST : ISTAT0_ABRT;
		for (unsigned write = 0; write < 2; write++) {
			c = cmd_rw(0, -1, write, 0, 2);
			c.data_addr = RIG_REGS + off;
			cmd_start(&rig, 1, &c);
			rig_pass(&rig, 20);
			assert_recovers(&rig);
			g_assert_cmpuint(scsi_active(rig.l->scsi), ==, 0);
		}
	}
	/* into the script RAM it is a plain move; over its end it is a bus fault */
	c = cmd_rw(0, -1, false, 8, 2);
	c.data_addr = RIG_SRAM + 0x400;
	rig_ready(&rig);
	g_assert_cmpint(cmd_run(&rig, 1, &c), ==, INT_DONE);
	g_assert_cmpmem(rig.state->ram + 0x400, 1024, rig.disk[0].data + 8 * 512, 1024);
	c = cmd_rw(0, -1, false, 32, 16);
	c.data_addr = RIG_SRAM;
	g_assert_cmpint(cmd_run(&rig, 1, &c), ==, INT_DONE);
	g_assert_cmpmem(rig.state->ram, 8192, rig.disk[0].data + 32 * 512, 8192);
	c = cmd_rw(0, -1, false, 8, 2);
	c.data_addr = RIG_SRAM + LSI_RAM_SIZE - 512;
	g_assert_cmpint(cmd_run(&rig, 1, &c), ==, -1);
	g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_BF);
	g_assert_cmphex(rd32(&rig, R_DBC) & 0xffffff, ==, 512);
	hostile_down(&rig);
}

/* GitLab 4088: random words as scripts, random register writes, and a bus that is alive. */
static void test_random_scripts(void)
{
	static const uint8_t types[] = { 0x00, 0x10, 0x20, 0x40, 0x48, 0x50, 0x58, 0x60, 0x68,
					 0x70, 0x78, 0x80, 0x88, 0x98, 0xc0, 0xe0, 0xe1, 0xf1 };
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	for (unsigned round = 0; round < 1500; round++) {
		struct cmd c = cmd_rw(0, round & 31, round & 32, 10, 3);

		rig.disk[0].hold = round & 64;
		cmd_start(&rig, 1, &c);
		for (uint32_t at = AT; at < AT + 0x400; at += 4) {
			uint32_t word = g_test_rand_int();

			if (!(at & 4))
				word = (word & 0x07ffffff & (word >> 3 | 0xff0000ff)) |
				       (uint32_t)types[word % sizeof(types)] << 24;
			else if (word & 1)
				word = (word & 2 ? RIG_REGS : RIG_SRAM) + (word >> 8 & 0xfc);
			else
				word = AT + (word >> 8 & 0x3fc);
			put_le32(rig.ram + at, word);
			put_le32(rig.state->ram + (at & 0x3fc), word);
		}
		wr32(&rig, R_DSP, round & 1 ? AT : RIG_SRAM);
		for (unsigned i = 0; i < 6; i++) {
			rig_pass(&rig, 1);
			wr8(&rig, g_test_rand_int_range(0, 256), g_test_rand_int());
			rd32(&rig, g_test_rand_int_range(0, 64) * 4);
		}
		rig.disk[0].hold = false;
		while (rig.disk[0].count)
			rig_end(&rig, 0, 0);
		rig_pass(&rig, 4);
		rig_place(&rig);
		assert_recovers(&rig);
	}
	hostile_down(&rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	hostile_add("/lsi/hostile/CVE-2023-0330", test_move_onto_registers);
	hostile_add("/lsi/hostile/gitlab-3677", test_block_move_into_bar);
	hostile_add("/lsi/hostile/gitlab-4088", test_random_scripts);
	return g_test_run();
}
