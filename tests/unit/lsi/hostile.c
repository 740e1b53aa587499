/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "rig.h"

/*
 * What guests did to other models of this chip, one test each (named after the report, written from
 * its description), and what a guest could do to ours.  After each the chip must still work.
 */

#define AT 0x10000u
#define MEM 0x20000u

static void up(struct rig *rig, struct prog *p)
{
	rig_up(rig, &lsi53c895a_class);
	*p = prog_at(rig, AT);
	memcpy(rig->ram + MEM, "\xc0", 1);
	memcpy(rig->ram + MEM + 8, "\x12\0\0\0\x24\0", 6);
}

static void down(struct rig *rig)
{
	assert_recovers(rig);
	g_assert_cmpuint(rig->l->max_slice_insns, <=, LSI_SLICE_INSNS);
	/* a piece that moves more than was left of the budget is at most one chunk too long */
	g_assert_cmpuint(rig->l->max_slice_bytes, <=, LSI_SLICE_BYTES + LSI_CHUNK);
	rig_down(rig);
}

/*
 * A script that never ends: every pass of the loop is one slice, and between two slices registers
 * answer.
 */
static void assert_runs_in_slices(struct rig *rig)
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

/* CVE-2018-18849: the message-in buffer has an end, however much there is to reject. */
static void test_message_in_overflow(void)
{
	struct rig rig;
	struct prog p;
	uint32_t loop;

	up(&rig, &p);
	memset(rig.ram + MEM + 1, 0x03, 5000);
	put2(&p, S_SELECT_ATN(0), 0);
	put2(&p, S_MOVE(PHASE_MSG_OUT, 5001), MEM);
	loop = put2(&p, S_MOVE(PHASE_MSG_IN, 1), MEM + 0x2000);
	put2(&p, S_REG_REG(R_SCRATCHB, A_ADD, 1), 0);
	put2(&p, S_CLEAR(S_ACK), 0);
	put2(&p, S_JUMP | S_WHEN(PHASE_MSG_IN), loop);
	put2(&p, S_INT, 1);
	wr32(&rig, R_SCRATCHB, 0);
	prog_run(&p);
	g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SIR);
	g_assert_cmpuint(rd8(&rig, R_SCRATCHB), ==, LSI_MSG_IN);
	assert_recovers(&rig);
	/* a message that says it is 255 bytes long, and all lengths of one that is cut short */
	for (unsigned len = 1; len < 300; len++) {
		memcpy(rig.ram + MEM + 1, "\x01\xff\x01", 3);
		p = prog_at(&rig, AT);
		put2(&p, S_SELECT_ATN(0), 0);
		put2(&p, S_MOVE(PHASE_MSG_OUT, len), MEM);
		put2(&p, S_INT, 1);
		prog_run(&p);
		g_assert_cmpuint(rig.state->bus.msg_out_len, ==, 0);
		g_assert_cmpuint(rig.state->bus.msg_in_len, <=, LSI_MSG_IN);
		assert_recovers(&rig);
	}
	/* more bytes are asked for than the target has to say: the phase is over, not the buffer */
	p = prog_at(&rig, AT);
	memcpy(rig.ram + MEM + 1, "\x03", 1);
	put2(&p, S_SELECT_ATN(0), 0);
	put2(&p, S_MOVE(PHASE_MSG_OUT, 2), MEM);
	put2(&p, S_MOVE(PHASE_MSG_IN, 0xffffff), MEM + 0x2000);
	prog_run(&p);
	g_assert_cmphex(take_irq(&rig).sist, ==, SIST_MA);
	g_assert_cmphex(rd32(&rig, R_DBC) & 0xffffff, ==, 0xfffffe);
	down(&rig);
}

/* The same by way of a state that another process wrote: each length and index out of its range. */
static void test_forged_state(void)
{
	const struct lsi_state *s;
	static const struct { size_t off, size; uint64_t val; } rows[] = {
#define ROW(field, v) { offsetof(struct lsi_state, field), sizeof(s->field), v }
		ROW(bus.msg_in_len, LSI_MSG_IN + 1), ROW(bus.msg_in_pos, 1),
		ROW(bus.msg_out_len, LSI_MSG_OUT), ROW(bus.cdb_len, SCSI_MAX_CDB + 1),
		ROW(bus.req, SCSI_MAX_REQS), ROW(bus.target, SCSI_MAX_TARGETS),
		ROW(bus.phase, 8), ROW(bus.after, 4), ROW(bus.attr, 4), ROW(run, 5), ROW(carry, 2),
		ROW(move_left, 0x1000000), ROW(move_len, 0x1000000), ROW(gen_deadline, 1ULL << 63),
		ROW(hth_deadline, 1ULL << 63), ROW(nexus[287].target, 16),
#undef ROW
	};
	struct lsi_state *forged = g_new0(struct lsi_state, 1);
	struct pci_dev dev;
	struct rig rig;
	struct prog p;

	up(&rig, &p);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		*forged = *rig.state;
		memcpy((uint8_t *)forged + rows[i].off, &rows[i].val, rows[i].size);
		g_assert_cmpint(pci_dev_init(&dev, &lsi53c895a_class, &forged->pci, &rig.dev.host,
					     "lsi1", &rig.setup), ==, -EINVAL);
	}
	g_free(forged);
	down(&rig);
}

/* CVE-2019-12068: empty opcodes for ever, and a jump to itself. */
static void test_endless_scripts(void)
{
	struct rig rig;
	struct prog p;

	up(&rig, &p);
	memset(rig.state->ram, 0, LSI_RAM_SIZE);
	memset(rig.ram + 0x200000, 0, 0x800000);
	wr32(&rig, R_DSP, 0x200000);
	assert_runs_in_slices(&rig);
	assert_recovers(&rig);
	put2(&p, S_JUMP, AT);
	wr32(&rig, R_DSP, AT);
	assert_runs_in_slices(&rig);
	assert_recovers(&rig);
	/* calls without a return, and interrupts on the fly without an end */
	p = prog_at(&rig, AT);
	put2(&p, S_CALL, AT);
	wr32(&rig, R_DSP, AT);
	assert_runs_in_slices(&rig);
	assert_recovers(&rig);
	p = prog_at(&rig, AT);
	put2(&p, S_INTFLY, 0);
	put2(&p, S_JUMP, AT);
	wr32(&rig, R_DSP, AT);
	assert_runs_in_slices(&rig);
	/* a script of empty opcodes that runs off the end of memory has met its bus fault */
	assert_recovers(&rig);
	wr32(&rig, R_DSP, RIG_RAM - 64);
	memset(rig.ram + RIG_RAM - 64, 0, 64);
	rig_settle(&rig);
	g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_BF);
	g_assert_cmphex(rd32(&rig, R_DSP), ==, RIG_RAM);
	down(&rig);
}

/* GitLab 84, 305, 552: data phases with no command behind them. */
static void test_data_without_request(void)
{
	static const unsigned phases[] = { 0, 1, 2, 3, 4, 5, 6, 7 };
	struct rig rig;
	struct prog p;

	up(&rig, &p);
	for (unsigned i = 0; i < G_N_ELEMENTS(phases); i++) {
		p = prog_at(&rig, AT);
		put2(&p, S_MOVE(phases[i], 64), MEM + 0x100);
		prog_run(&p);
		g_assert_cmphex(take_irq(&rig).sist, ==, SIST_UDC);
		/* selected, but without a command */
		p = prog_at(&rig, AT);
		put2(&p, S_SELECT_ATN(0), 0);
		put2(&p, S_MOVE(PHASE_MSG_OUT, 1), MEM);
		put2(&p, S_MOVE(phases[i], 6), MEM + 8);
		put2(&p, S_INT, 0);
		prog_run(&p);
		take_irq(&rig);
		assert_recovers(&rig);
	}
	/* the command ends under the feet of its data phase */
	p = prog_at(&rig, AT);
	put2(&p, S_SELECT_ATN(0), 0);
	put2(&p, S_MOVE(PHASE_MSG_OUT, 1), MEM);
	put2(&p, S_MOVE(PHASE_COMMAND, 6), MEM + 8);
	put2(&p, S_MOVE(PHASE_DATA_IN, 8), MEM + 0x100);
	put2(&p, S_INT, 2);
	prog_run(&p);
	g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SIR);
	wr8(&rig, R_SCNTL1, SCNTL1_RST);
	wr8(&rig, R_SCNTL1, 0);
	take_irq(&rig);
	p = prog_at(&rig, AT);
	put2(&p, S_MOVE(PHASE_DATA_IN, 28), MEM + 0x100);
	prog_run(&p);
	g_assert_cmphex(take_irq(&rig).sist, ==, SIST_UDC);
	down(&rig);
}

/* CVE-2022-0216: two messages of one MESSAGE OUT that both cancel the same request. */
static void test_two_cancels(void)
{
	static const uint8_t kills[] = { 0x06, 0x0c, 0x0d, 0x0e };
	struct rig rig;
	struct prog p;

	up(&rig, &p);
	for (unsigned i = 0; i < 64; i++) {
		struct cmd c = cmd_rw(0, 1, false, 3, 1);
		uint8_t *m = rig.ram + MEM;

		rig_ready(&rig);
		rig.disk[0].hold = true;
		g_assert_cmpint(cmd_start(&rig, 1, &c), ==, INT_DISCONNECTED);
		if (i & 1) {
			rig_end(&rig, 0, 0);
			rig_settle(&rig);
		}
		memcpy(m, "\xc0\x20\x01", 3);
		m[3] = kills[i / 2 % 4];
		m[4] = kills[i / 8 % 4];
		m[5] = kills[i % 4];
		p = prog_at(&rig, AT);
		if (i & 32) {
			/* the same from inside the command's own reselection */
			put2(&p, S_WAIT_RESEL, AT);
			put2(&p, S_MOVE(PHASE_MSG_IN, 1), MEM + 64);
			put2(&p, S_SET(S_ATN), 0);
			put2(&p, S_CLEAR(S_ACK), 0);
			if (!(i & 1))
				rig_end(&rig, 0, 0);
		} else {
			put2(&p, S_SELECT_ATN(0), 0);
		}
		put2(&p, S_REG_REG(R_SCNTL2, A_AND, 0x7f), 0);
		put2(&p, S_MOVE(PHASE_MSG_OUT, i & 32 ? 3 : 6), i & 32 ? MEM + 3 : MEM);
		put2(&p, S_WAIT_DISC, 0);
		put2(&p, S_INT, 3);
		prog_run(&p);
		g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SIR);
		g_assert_cmpuint(scsi_active(rig.l->scsi), ==, 0);
		rig.disk[0].hold = false;
		while (rig.disk[0].count)
			rig_end(&rig, 0, 0);
		rig_settle(&rig);
		assert_recovers(&rig);
	}
	down(&rig);
}

/* CVE-2023-0330: a memory move onto the registers that start the engine. */
static void test_move_onto_registers(void)
{
	struct rig rig;
	struct prog p;

	up(&rig, &p);
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
	down(&rig);
}

/* CVE-2024-6519: nothing finds a request that is gone, whichever way it went. */
static void test_request_after_its_end(void)
{
	struct rig rig;
	struct prog p;

	up(&rig, &p);
	for (unsigned i = 0; i < 40; i++) {
		struct cmd c = cmd_rw(0, 4, i & 1, 30, 2);
		uint32_t dispatch;

		rig.disk[0].hold = true;
		cmd_build(&rig, 1, &c, &dispatch);
		if (cmd_start(&rig, 1, &c) == INT_DISCONNECTED && i & 2) {
			rig_end(&rig, 0, 0);
			rig_settle(&rig);
		}
		if (i & 4)
			wr8(&rig, R_SCNTL1, SCNTL1_RST);
		if (i & 8)
			wr8(&rig, R_ISTAT0, ISTAT0_SRST);
		if (i & 16)
			scsi_target_reset(rig.l->scsi, 0);
		wr8(&rig, R_SCNTL1, 0);
		take_irq(&rig);
		take_irq(&rig);
		rig_pass(&rig, 4);
		/* the script goes on as if nothing had been, then waits for the lost target */
		wr32(&rig, R_DSP, dispatch);
		rig_pass(&rig, 20);
		p = prog_at(&rig, AT);
		put2(&p, S_WAIT_RESEL, AT);
		put2(&p, S_MOVE(PHASE_MSG_IN, 3), MEM + 0x100);
		put2(&p, S_MOVE(i & 1 ? PHASE_DATA_OUT : PHASE_DATA_IN, 1024), MEM + 0x200);
		wr32(&rig, R_DSP, AT);
		rig_pass(&rig, 20);
		rig.disk[0].hold = false;
		while (rig.disk[0].count)
			rig_end(&rig, 0, 0);
		rig_pass(&rig, 20);
		assert_recovers(&rig);
	}
	down(&rig);
}

/* GitLab 3677: data of a command moved into the chip's own registers, and out of them. */
static void test_block_move_into_bar(void)
{
	struct cmd c;
	struct rig rig;
	struct prog p;

	up(&rig, &p);
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
	down(&rig);
}

/* GitLab 4088: random words as scripts, random register writes, and a bus that is alive. */
static void test_random_scripts(void)
{
	static const uint8_t types[] = { 0x00, 0x10, 0x20, 0x40, 0x48, 0x50, 0x58, 0x60, 0x68,
					 0x70, 0x78, 0x80, 0x88, 0x98, 0xc0, 0xe0, 0xe1, 0xf1 };
	struct rig rig;
	struct prog p;

	up(&rig, &p);
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
	down(&rig);
}

/* 65be64e2bf: a script that waits for a word in memory is no error, however long it takes. */
static void test_spin_on_memory(void)
{
	struct rig rig;
	struct prog p;

	up(&rig, &p);
	put3(&p, S_COPY(4), MEM + 0x100, RIG_REGS + R_SCRATCHB);
	put2(&p, S_REG_SFBR(R_SCRATCHB, A_OR, 0), 0);
	put2(&p, S_JUMP | S_DATA(0), AT);
	put2(&p, S_INT, 0x5e);
	put_le32(rig.ram + MEM + 0x100, 0);
	wr32(&rig, R_DSP, AT);
	assert_runs_in_slices(&rig);
	put_le32(rig.ram + MEM + 0x100, 1);
	rig_settle(&rig);
	g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SIR);
	g_assert_cmphex(rd32(&rig, R_DSPS), ==, 0x5e);
	down(&rig);
}

/* 3903edaf85: a phase mismatch stops the script, and nothing but the driver starts it again. */
static void test_mismatch_stops(void)
{
	struct rig rig;
	struct prog p;
	uint32_t dsp;

	up(&rig, &p);
	put2(&p, S_SELECT_ATN(0), 0);
	put2(&p, S_MOVE(PHASE_MSG_OUT, 1), MEM);
	put2(&p, S_MOVE(PHASE_COMMAND, 6), MEM + 8);
	put2(&p, S_MOVE(PHASE_DATA_IN, 200), MEM + 0x100);
	put2(&p, S_REG_REG(R_SCRATCHB, A_LOAD, 0xee), 0);
	put2(&p, S_INT, 1);
	wr8(&rig, R_SCRATCHB, 0);
	prog_run(&p);
	dsp = rd32(&rig, R_DSP);
	g_assert_cmphex(dsp, ==, AT + 32);
	g_assert_cmphex(take_irq(&rig).sist, ==, SIST_MA);
	rig_settle(&rig);
	g_assert_cmphex(rd32(&rig, R_DSP), ==, dsp);
	g_assert_cmphex(rd8(&rig, R_SCRATCHB), ==, 0);
	g_assert_cmphex(rd8(&rig, R_ISTAT1) & ISTAT1_SRUN, ==, 0);
	down(&rig);
}

/* d139fe9ad8, bfd6e7ae6a: what Linux does: registers written by a script that runs from the RAM. */
static void test_own_registers_from_own_ram(void)
{
	struct rig rig;
	struct prog p;

	up(&rig, &p);
	p = prog_at(&rig, RIG_SRAM);
	put_le32(rig.ram + MEM + 0x100, 0x12345678);
	put3(&p, S_COPY(4), MEM + 0x100, RIG_REGS + R_SCRATCHA);
	put2(&p, S_STORE(R_SCRATCHA, 4), RIG_SRAM + 0x200);
	put3(&p, S_COPY(4), RIG_SRAM + 0x200, RIG_REGS + R_DSA);
	put3(&p, S_COPY(4), RIG_REGS + R_DSA, RIG_SRAM + p.at + 12 + 8 + 4 - RIG_SRAM);
	put2(&p, S_NOP, 0);
	put2(&p, S_INT, 0xdead);		/* its word is written by the move before */
	prog_run(&p);
	g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SIR);
	g_assert_cmphex(rd32(&rig, R_DSPS), ==, 0x12345678);
	g_assert_cmphex(rd32(&rig, R_SCRATCHA), ==, 0x12345678);
	down(&rig);
}

/* A script that writes over itself: what was fetched counts, once. */
static void test_self_modifying(void)
{
	struct rig rig;
	struct prog p;

	up(&rig, &p);
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
	down(&rig);
}

/* 16 MiB in one instruction, from and to memory, a disk, and the registers. */
static void test_giant_moves(void)
{
	struct cmd c = cmd_rw(0, -1, false, 0, 2);
	unsigned slices;
	struct rig rig;
	struct prog p;

	up(&rig, &p);
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
	down(&rig);
}

/* The reset comes while a memory move is half done: not a byte is moved after it. */
static void test_reset_in_mid_instruction(void)
{
	struct rig rig;
	struct prog p;
	uint8_t *copy = g_malloc(RIG_RAM);

	for (unsigned how = 0; how < 3; how++) {
		up(&rig, &p);
		for (unsigned i = 0; i < 0x700000; i += 4)
			put_le32(rig.ram + 0x100000 + i, i * 2654435761u);
		put3(&p, S_COPY(0x700000), 0x100000, 0x800000);
		put2(&p, S_JUMP, AT);
		wr32(&rig, R_DSP, AT);
		rig_pass(&rig, 3);
		g_assert_cmpint(rig.state->live, ==, 1);
		if (how == 0)
			wr8(&rig, R_ISTAT0, ISTAT0_SRST);
		else if (how == 1)
			wr8(&rig, R_ISTAT0, ISTAT0_ABRT);
		else
			pci_dev_reset(&rig.dev);
		memcpy(copy, rig.ram, RIG_RAM);
		rig_pass(&rig, 50);
		g_assert_true(!memcmp(copy, rig.ram, RIG_RAM));
		rig_place(&rig);
		down(&rig);
	}
	g_free(copy);
}

/* ---- many commands ---- */

static unsigned start_many(struct rig *rig, unsigned count, bool write)
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

/* Held requests end after their commands: guest memory must not see it. */
static void assert_nothing_lands(struct rig *rig)
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

/* All ways to end 64 commands that are stuck in a slow disk, and 256 of them. */
static void test_end_stuck_commands(void)
{
	enum { ABORT, DEVICE_MSG_RESET, BUS_RESET, SOFT_RESET, PCI_RESET, WAYS };
	struct rig rig;
	struct prog p;

	for (unsigned i = 0; i < 2 * WAYS; i++) {
		unsigned count = i < WAYS ? 64 : 256;

		up(&rig, &p);
		rig.disk[0].hold = rig.disk[1].hold = true;
		g_assert_cmpuint(start_many(&rig, count, false), ==, count);
		g_assert_cmpuint(scsi_active(rig.l->scsi), ==, count);
		for (unsigned t = 0; t < 2 && i % WAYS <= DEVICE_MSG_RESET; t++) {
			memcpy(rig.ram + MEM, i % WAYS ? "\xc0\x0c" : "\xc0\x06", 2);
			p = prog_at(&rig, AT);
			put2(&p, S_SELECT_ATN(t), 0);
			put2(&p, S_REG_REG(R_SCNTL2, A_AND, 0x7f), 0);
			put2(&p, S_MOVE(PHASE_MSG_OUT, 2), MEM);
			put2(&p, S_WAIT_DISC, 0);
			put2(&p, S_INT, 1);
			prog_run(&p);
			g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SIR);
		}
		if (i % WAYS == BUS_RESET) {
			wr8(&rig, R_SCNTL1, SCNTL1_RST);
			wr8(&rig, R_SCNTL1, 0);
			g_assert_cmphex(take_irq(&rig).sist, ==, SIST_RST);
		}
		if (i % WAYS == SOFT_RESET)
			wr8(&rig, R_ISTAT0, ISTAT0_SRST);
		if (i % WAYS == PCI_RESET)
			pci_dev_reset(&rig.dev);
		assert_nothing_lands(&rig);
		rig_place(&rig);
		down(&rig);
	}
}

/* More commands than there is room for: TASK SET FULL, and all that were taken still end. */
static void test_too_many_commands(void)
{
	struct cmd c = cmd_rw(0, 1, false, 9, 1);
	unsigned started = 0, ended = 0;
	struct rig rig;
	struct prog p;
	int tag, what;

	up(&rig, &p);
	rig.disk[0].hold = rig.disk[1].hold = true;
	for (unsigned k = 0; k < 400; k++) {
		c = cmd_rw(k & 1, k / 2, false, 9, 1);
		what = cmd_start(&rig, 1, &c);
		if (what == INT_DISCONNECTED) {
			started++;
			continue;
		}
		g_assert_cmpint(what, ==, INT_DONE);
		g_assert_cmphex(cmd_status(&rig, 1), ==, SCSI_TASK_SET_FULL);
	}
	g_assert_cmpuint(started, >=, 256);
	for (unsigned d = 0; d < 2; d++) {
		rig.disk[d].hold = false;
		while (rig.disk[d].count)
			rig_end(&rig, d, 0);
	}
	while (scsi_active(rig.l->scsi)) {
		g_assert_cmpint(cmd_reselect(&rig, &tag), ==, INT_RESELECTED);
		c = cmd_rw(0, tag, false, 9, 1);
		what = cmd_resume(&rig, 1, &c);
		if (what == INT_DONE)
			ended++;
		else
			g_assert_cmpint(what, ==, INT_DISCONNECTED);
	}
	g_assert_cmpuint(ended, ==, started);
	down(&rig);
}

/*
 * A write is stuck in the disk when its command is ended; a second write of the same sector is
 * acknowledged afterwards: that one is on the disk in the end.
 */
static void test_newest_write_wins(void)
{
	struct cmd old = cmd_rw(0, 1, true, 50, 1), new = cmd_rw(0, 2, true, 50, 1);
	struct rig rig;
	struct prog p;
	int what, tag;

	for (unsigned how = 0; how < 3; how++) {
		up(&rig, &p);
		rig.disk[0].hold = true;
		memset(rig.ram + CMD_DATA(1), 0xaa, 512);
		memset(rig.ram + CMD_DATA(2), 0x55, 512);
		g_assert_cmpint(cmd_start(&rig, 1, &old), ==, INT_DISCONNECTED);
		rig_settle(&rig);
		g_assert_cmpuint(rig.disk[0].count, ==, 1);
		if (how == 0) {
			wr8(&rig, R_ISTAT0, ISTAT0_SRST);
		} else if (how == 1) {
			wr8(&rig, R_SCNTL1, SCNTL1_RST);
			wr8(&rig, R_SCNTL1, 0);
		} else {
			pci_dev_reset(&rig.dev);
			rig_place(&rig);
		}
		take_irq(&rig);
		wr8(&rig, R_DCNTL, DCNTL_COM);
		rig.disk[0].hold = false;
		if (how)
			assert_alive(&rig);
		for (unsigned i = 0; how && i < 2; i++) {
			struct cmd sense = run_inquiry(0);

			sense.cdb[0] = 0x03;
			sense.cdb[4] = sense.data_len = 18;
			g_assert_cmphex(cmd_do(&rig, &sense), ==, SCSI_GOOD);
		}
		what = cmd_start(&rig, 2, &new);
		while (what != INT_DONE) {
			g_assert_cmpint(what, ==, INT_DISCONNECTED);
			if (rig.disk[0].count)
				rig_end(&rig, 0, 0);
			rig_settle(&rig);
			g_assert_cmpint(cmd_reselect(&rig, &tag), ==, INT_RESELECTED);
			g_assert_cmpint(tag, ==, 2);
			what = cmd_resume(&rig, 2, &new);
		}
		g_assert_cmphex(cmd_status(&rig, 2), ==, SCSI_GOOD);
		while (rig.disk[0].count)
			rig_end(&rig, 0, 0);
		rig_settle(&rig);
		for (unsigned i = 0; i < 512; i++)
			g_assert_cmphex(rig.disk[0].data[50 * 512 + i], ==, 0x55);
		down(&rig);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/lsi/hostile/CVE-2018-18849", test_message_in_overflow);
	g_test_add_func("/lsi/hostile/CVE-2018-18849-state", test_forged_state);
	g_test_add_func("/lsi/hostile/CVE-2019-12068", test_endless_scripts);
	g_test_add_func("/lsi/hostile/gitlab-84-305-552", test_data_without_request);
	g_test_add_func("/lsi/hostile/CVE-2022-0216", test_two_cancels);
	g_test_add_func("/lsi/hostile/CVE-2023-0330", test_move_onto_registers);
	g_test_add_func("/lsi/hostile/CVE-2024-6519", test_request_after_its_end);
	g_test_add_func("/lsi/hostile/gitlab-3677", test_block_move_into_bar);
	g_test_add_func("/lsi/hostile/gitlab-4088", test_random_scripts);
	g_test_add_func("/lsi/hostile/65be64e2bf", test_spin_on_memory);
	g_test_add_func("/lsi/hostile/3903edaf85", test_mismatch_stops);
	g_test_add_func("/lsi/hostile/d139fe9ad8-bfd6e7ae6a", test_own_registers_from_own_ram);
	g_test_add_func("/lsi/hostile/self-modifying", test_self_modifying);
	g_test_add_func("/lsi/hostile/giant-moves", test_giant_moves);
	g_test_add_func("/lsi/hostile/reset-in-mid-instruction", test_reset_in_mid_instruction);
	g_test_add_func("/lsi/hostile/end-stuck-commands", test_end_stuck_commands);
	g_test_add_func("/lsi/hostile/too-many-commands", test_too_many_commands);
	g_test_add_func("/lsi/hostile/newest-write-wins", test_newest_write_wins);
	return g_test_run();
}
