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

#define LOW 0x900000u		/* where the guest lays its BARs over memory */

/* The script RAM, or the registers, in the middle of memory: LOW to LOW + size. */
static void lay_bar(struct rig *rig, unsigned bar)
{
	pci_config_write(&rig->dev, PCI_BASE_ADDRESS_0 + 4 * bar, LOW, 4);
}

static void fill(uint8_t *p, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = i * 7 + i / 256 + seed;
}

/* GitLab 3677: a memory move from RAM over the script RAM into RAM again, and back. */
static void test_memory_move_over_borders(void)
{
	const unsigned len = LSI_RAM_SIZE + 0x2000, before = 0x1000 - 4;
	g_autofree uint8_t *data = g_malloc(len);
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	fill(rig.ram + 0x200000, len, 1);
	memcpy(data, rig.ram + 0x200000, len);
	memset(rig.ram + LOW - 0x2000, 0, len + 0x4000);
	lay_bar(&rig, LSI_BAR_RAM);
	put3(&p, S_COPY(len), 0x200000, LOW - before);
	put3(&p, S_COPY(len), LOW - before, 0x300000);
	put2(&p, S_INT, 1);
	prog_run(&p);
	g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SIR);
	g_assert_cmpmem(rig.ram + LOW - before, before, data, before);
	g_assert_cmpmem(rig.state->ram, LSI_RAM_SIZE, data + before, LSI_RAM_SIZE);
	g_assert_cmpmem(rig.ram + LOW + LSI_RAM_SIZE, len - before - LSI_RAM_SIZE,
			data + before + LSI_RAM_SIZE, len - before - LSI_RAM_SIZE);
	/* the memory that the BAR hides is as it was */
	for (unsigned i = 0; i < LSI_RAM_SIZE; i++)
		g_assert_cmphex(rig.ram[LOW + i], ==, 0);
	g_assert_cmpmem(rig.ram + 0x300000, len, data, len);
	rig_place(&rig);
	hostile_down(&rig);
}

/* The same by block moves in both directions, each step of the way. */
static void test_block_move_over_borders(void)
{
	struct cmd c;
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	lay_bar(&rig, LSI_BAR_RAM);
	for (unsigned before = 0; before <= 1024; before += 128) {
		c = cmd_rw(0, -1, false, 40, 20);
		c.data_addr = before ? LOW - before : LOW + LSI_RAM_SIZE - 512;
		g_assert_cmpint(cmd_run(&rig, 1, &c), ==, INT_DONE);
		g_assert_cmphex(cmd_status(&rig, 1), ==, SCSI_GOOD);
		g_assert_cmpmem(rig.ram + LOW - before, before, rig.disk[0].data + 40 * 512,
				before);
		if (before)
			g_assert_cmpmem(rig.state->ram, LSI_RAM_SIZE,
					rig.disk[0].data + 40 * 512 + before, LSI_RAM_SIZE);
		c = cmd_rw(1, -1, true, 40, 20);
		c.data_addr = before ? LOW - before : LOW + LSI_RAM_SIZE - 512;
		g_assert_cmpint(cmd_run(&rig, 1, &c), ==, INT_DONE);
		g_assert_cmpmem(rig.disk[1].data + 40 * 512, 20 * 512,
				rig.disk[0].data + 40 * 512, 20 * 512);
	}
	rig_place(&rig);
	hostile_down(&rig);
}

/*
 * The last bytes of a window go into the script RAM: with them the window is over, and its buffer
 * has the next one's bytes already when they are written.
 */
static void test_window_ends_in_own_ram(void)
{
	const uint8_t *disk;
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	disk = rig.disk[0].data;
	memcpy(rig.ram + MEM, "\x80", 1);
	memcpy(rig.ram + MEM + 32, (uint8_t[10]){ 0x28, [7] = 1 }, 10);
	put2(&p, S_SELECT_ATN(0), 0);
	put2(&p, S_MOVE(PHASE_MSG_OUT, 1), MEM);
	put2(&p, S_MOVE(PHASE_COMMAND, 10), MEM + 32);
	put2(&p, S_MOVE(PHASE_DATA_IN, 65536 - 4096), 0x400000);
	put2(&p, S_MOVE(PHASE_DATA_IN, 4096), RIG_SRAM);
	put2(&p, S_MOVE(PHASE_DATA_IN, 65536 - 2048), 0x410000);
	put2(&p, S_MOVE(PHASE_DATA_IN, 2048), RIG_SRAM + 4096);
	put2(&p, S_INT, 1);
	prog_run(&p);
	g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SIR);
	g_assert_cmpmem(rig.state->ram, 4096, disk + 65536 - 4096, 4096);
	g_assert_cmpmem(rig.state->ram + 4096, 2048, disk + 131072 - 2048, 2048);
	hostile_down(&rig);
}

/* Messages, command block and status across the border of the registers, and a table there. */
static void test_small_phases_over_borders(void)
{
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	for (unsigned off = 0; off < 16; off++) {
		lay_bar(&rig, LSI_BAR_RAM);
		memset(rig.state->ram, 0, 64);
		memset(rig.ram + LOW - 16 + off, 0xc0, 16 - off);
		p = prog_at(&rig, AT);
		put2(&p, S_SELECT_ATN(0), 0);
		/* IDENTIFY out of both, NOPs (0) are COMMAND COMPLETE there: rejected */
		put2(&p, S_MOVE(PHASE_MSG_OUT, 24), LOW - 16 + off);
		put2(&p, S_MOVE(PHASE_MSG_IN, 16), LOW - 8);
		put2(&p, S_INT, 1);
		prog_run(&p);
		take_irq(&rig);
		assert_recovers(&rig);
		/* a table's entry across the border: a bus fault, though memory lies behind */
		put_le32(rig.ram + LOW - 16 + off, 6);
		put_le32(rig.ram + LOW - 12 + off, MEM + 8);
		wr32(&rig, R_DSA, LOW - 16 + off);
		p = prog_at(&rig, AT);
		put2(&p, S_SELECT_ATN(0), 0);
		put2(&p, S_MOVE(PHASE_MSG_OUT, 1), MEM);
		put2(&p, S_MOVE(PHASE_COMMAND, 6) | S_TABLE, 0);
		put2(&p, S_INT, 1);
		prog_run(&p);
		g_assert_cmphex(take_irq(&rig).dstat, ==, off > 8 ? DSTAT_BF : DSTAT_SIR);
		assert_recovers(&rig);
		/* a command block that begins in memory and ends in the script RAM */
		memset(rig.ram + LOW - 16, 0, 16);
		memset(rig.state->ram, 0, 64);
		*(off >= 6 ? rig.ram + LOW - 6 : rig.ram + LOW - off - 1) = 0x12;
		if (off < 4)
			rig.state->ram[3 - off] = 36;
		else
			rig.ram[(off >= 6 ? LOW - 6 : LOW - off - 1) + 4] = 36;
		p = prog_at(&rig, AT);
		put2(&p, S_SELECT_ATN(0), 0);
		put2(&p, S_MOVE(PHASE_MSG_OUT, 1), MEM);
		put2(&p, S_MOVE(PHASE_COMMAND, 6), off >= 6 ? LOW - 6 : LOW - off - 1);
		put2(&p, S_MOVE(PHASE_DATA_IN, 36), LOW - off);
		put2(&p, S_MOVE(PHASE_STATUS, 1), LOW - 1);
		put2(&p, S_INT, 1);
		prog_run(&p);
		g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SIR);
		g_assert_cmphex(rig.ram[LOW - 1], ==, SCSI_GOOD);
		rig_place(&rig);
		assert_recovers(&rig);
	}
	hostile_down(&rig);
}

/* Everything that a block move can be told to use, pointed at the registers and the I/O BAR. */
static void test_block_move_forms_into_registers(void)
{
	static const uint32_t forms[] = { 0, S_TABLE, S_INDIRECT, S_TABLE | S_INDIRECT };
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	for (unsigned i = 0; i < 4 * 8 * 64; i++) {
		uint32_t at = RIG_REGS + (i & 63) * 16, form = forms[i / 64 % 4];
		unsigned phase = i / 256;

		rig.disk[0].hold = i & 1;
		put_le32(rig.state->ram, (form & S_TABLE ? 64 : at));
		put_le32(rig.state->ram + 4, at);
		wr32(&rig, R_DSA, i & 2 ? RIG_SRAM : at);
		p = prog_at(&rig, i & 4 ? AT : RIG_SRAM + 0x100);
		put2(&p, S_SELECT_ATN(0), 0);
		if (phase != PHASE_MSG_OUT)
			put2(&p, S_MOVE(PHASE_MSG_OUT, 1), MEM);
		if (phase < 2)
			put2(&p, S_MOVE(PHASE_COMMAND, 6), MEM + 8);
		put2(&p, S_MOVE(phase, 64) | form, form & S_TABLE ? 0 : RIG_SRAM + 4);
		put2(&p, S_JUMP, p.start);
		wr32(&rig, R_DSP, p.start);
		rig_pass(&rig, 5);
		release_disk(&rig, 0);
		assert_recovers(&rig);
	}
	hostile_down(&rig);
}

/* The BAR moves under a memory move, into its way and out of it. */
static void test_bar_moves_under_a_move(void)
{
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	for (unsigned i = 0; i < 40; i++) {
		p = prog_at(&rig, AT);
		put3(&p, S_COPY(0x300000), 0x500000, 0x800000 + (i & 3));
		put3(&p, S_COPY(0x300000), 0x800000, 0x500000);
		put2(&p, S_JUMP, AT);
		memset(rig.ram + 0x500000, i * 17, 0x300000);
		wr32(&rig, R_DSP, AT);
		for (unsigned k = 0; k < 12; k++) {
			rig_pass(&rig, 1);
			pci_config_write(&rig.dev, PCI_BASE_ADDRESS_0 + 4 * (1 + k % 2),
					 0x800000 + (k * 0x41000), 4);
			if (k == i / 4)
				pci_config_write(&rig.dev, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
		}
		rig_place(&rig);
		assert_recovers(&rig);
	}
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
	hostile_add("/lsi/hostile/gitlab-3677-memory-move", test_memory_move_over_borders);
	hostile_add("/lsi/hostile/gitlab-3677-block-move", test_block_move_over_borders);
	hostile_add("/lsi/hostile/gitlab-3677-window-end", test_window_ends_in_own_ram);
	hostile_add("/lsi/hostile/gitlab-3677-small-phases", test_small_phases_over_borders);
	hostile_add("/lsi/hostile/gitlab-3677-all-forms", test_block_move_forms_into_registers);
	hostile_add("/lsi/hostile/gitlab-3677-bar-moves", test_bar_moves_under_a_move);
	return g_test_run();
}
