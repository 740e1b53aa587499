/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/num.h"
#include "hostile.h"

/*
 * What guests did to other models of this chip, one test each, named after the report and written
 * from its description.
 */

/* CVE-2018-18849: the message-in buffer has an end, however much there is to reject. */
static void test_message_in_overflow(void)
{
	struct rig rig;
	struct prog p;
	uint32_t loop;

	hostile_up(&rig, &p);
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
		/* what lies behind the buffer */
		for (unsigned i = 0; i < SCSI_MAX_CDB; i++)
			g_assert_cmphex(rig.state->bus.cdb[i], ==, 0);
		g_assert_cmpuint(rig.state->nexus[0].generation, ==, 0);
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
	hostile_down(&rig);
}

/* CVE-2019-12068: empty opcodes for ever, and a jump to itself. */
static void test_endless_scripts(void)
{
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
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
	hostile_down(&rig);
}

/* GitLab 84, 305, 552: data phases with no command behind them. */
static void test_data_without_request(void)
{
	static const unsigned phases[] = { 0, 1, 2, 3, 4, 5, 6, 7 };
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	for (unsigned i = 0; i < G_N_ELEMENTS(phases); i++) {
		p = prog_at(&rig, AT);
		put2(&p, S_MOVE(phases[i], 64), MEM + 0x100);
		prog_run(&p);
		g_assert_cmphex(take_irq(&rig).sist, ==, SIST_UDC);
		g_assert_cmpint(rig.state->run, ==, RUN_STOPPED);
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
	hostile_down(&rig);
}

/* CVE-2022-0216: two messages of one MESSAGE OUT that both cancel the same request. */
static void test_two_cancels(void)
{
	static const uint8_t kills[] = { 0x06, 0x0c, 0x0d, 0x0e };
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
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
	hostile_down(&rig);
}

/* A cancel that finds nothing of its own leaves what is another's. */
static void test_cancel_of_others(void)
{
	static const char *const messages[] = { "\xc0\x20\x07\x0d", "\xc0\x20\x07\x06",
						"\xc0\x20\x07\x0e", "\xc0\x20\x07\x0c",
						"\xc1\x20\x09\x0d", "\xc1\x20\x09\x06" };
	struct cmd others = cmd_rw(1, 9, false, 3, 1);
	struct rig rig;
	struct prog p;
	int tag;

	hostile_up(&rig, &p);
	for (unsigned i = 0; i < G_N_ELEMENTS(messages); i++) {
		rig_ready(&rig);
		rig.disk[1].hold = true;
		g_assert_cmpint(cmd_start(&rig, 1, &others), ==, INT_DISCONNECTED);
		memcpy(rig.ram + MEM, messages[i], 4);
		p = prog_at(&rig, AT);
		put2(&p, S_SELECT_ATN(0), 0);
		put2(&p, S_REG_REG(R_SCNTL2, A_AND, 0x7f), 0);
		put2(&p, S_MOVE(PHASE_MSG_OUT, 4), MEM);
		put2(&p, S_WAIT_DISC, 0);
		put2(&p, S_INT, 3);
		prog_run(&p);
		g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SIR);
		g_assert_cmpuint(scsi_active(rig.l->scsi), ==, 1);
		release_disk(&rig, 1);
		g_assert_cmpint(cmd_reselect(&rig, &tag), ==, INT_RESELECTED);
		g_assert_cmpint(tag, ==, 9);
		g_assert_cmpint(cmd_resume(&rig, 1, &others), ==, INT_DONE);
		g_assert_cmphex(cmd_status(&rig, 1), ==, SCSI_GOOD);
	}
	hostile_down(&rig);
}

/* 65be64e2bf: a script that waits for a word in memory is no error, however long it takes. */
static void test_spin_on_memory(void)
{
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
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
	hostile_down(&rig);
}

/* 3903edaf85: a phase mismatch stops the script, and nothing but the driver starts it again. */
static void test_mismatch_stops(void)
{
	struct rig rig;
	struct prog p;
	uint32_t dsp;

	hostile_up(&rig, &p);
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
	hostile_down(&rig);
}

/* ABORT is heard, but a bus fault keeps its phase from ending: the target waits to go away. */
static void abort_without_end(struct rig *rig, struct prog *p)
{
	uint8_t *messages = rig->ram + RIG_RAM - 64;

	memset(messages, 0x08, 64);
	memcpy(messages, "\xc0\x06", 2);
	*p = prog_at(rig, AT);
	put2(p, S_SELECT_ATN(0), 0);
	put2(p, S_MOVE(PHASE_MSG_OUT, 0x100), RIG_RAM - 64);
	prog_run(p);
	g_assert_cmphex(take_irq(rig).dstat, ==, DSTAT_BF);
	g_assert_cmpint(rig->state->bus.after, ==, AFTER_ABORT);
	*p = prog_at(rig, AT);
}

/*
 * The same where the interrupt comes from inside an instruction: the bus goes free in a Wait
 * Reselect, a Select or a Wait Disconnect, none of which may go on then.
 */
static void test_stop_inside_instruction(void)
{
	static const uint32_t insns[] = { S_WAIT_RESEL, S_SELECT(1), S_WAIT_DISC, S_CLEAR(S_ACK),
					  S_MOVE(PHASE_DATA_IN, 4), S_JUMP | S_WHEN(0) };
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	for (unsigned i = 0; i < G_N_ELEMENTS(insns); i++) {
		abort_without_end(&rig, &p);
		put2(&p, S_SET(S_ACK), 0);
		put2(&p, S_CLEAR(S_ATN), 0);
		put2(&p, insns[i], AT + 64);
		put2(&p, S_INT, 1);
		prog_run(&p);
		g_assert_cmphex(take_irq(&rig).sist, ==, SIST_UDC);
		g_assert_cmpint(rig.state->run, ==, RUN_STOPPED);
		g_assert_cmphex(rd8(&rig, R_ISTAT1) & ISTAT1_SRUN, ==, 0);
		g_assert_cmpint(rig.state->bus.connected, ==, 0);
		rig_pass(&rig, 5);
		g_assert_cmphex(take_irq(&rig).dstat, ==, 0);
		assert_recovers(&rig);
	}
	hostile_down(&rig);
}

/* A fetch that reads SBCL finds the bus free: UDC, and what was fetched is not executed. */
static void test_stop_inside_fetch(void)
{
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	abort_without_end(&rig, &p);
	put2(&p, S_CLEAR(S_ATN), 0);
	put2(&p, S_JUMP, RIG_REGS + R_SFBR);
	prog_run(&p);
	g_assert_cmphex(take_irq(&rig).sist, ==, SIST_UDC);
	g_assert_cmpint(rig.state->run, ==, RUN_STOPPED);
	g_assert_cmpint(rig.state->live, ==, 0);
	g_assert_cmphex(rd32(&rig, R_DSP), ==, RIG_REGS + R_SFBR);
	assert_recovers(&rig);
	/* SBCL is in the third word of a Memory Move that begins with SCNTL0 */
	wr8(&rig, R_SCNTL3, S_COPY(0) >> 24);
	abort_without_end(&rig, &p);
	put2(&p, S_CLEAR(S_ATN), 0);
	put2(&p, S_JUMP, RIG_REGS);
	prog_run(&p);
	g_assert_cmphex(take_irq(&rig).sist, ==, SIST_UDC);
	g_assert_cmpint(rig.state->live, ==, 0);
	g_assert_cmphex(rd32(&rig, R_DSP), ==, RIG_REGS);
	hostile_down(&rig);
}

/* d139fe9ad8, bfd6e7ae6a: what Linux does: registers written by a script that runs from the RAM. */
static void test_own_registers_from_own_ram(void)
{
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
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
	hostile_down(&rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	hostile_add("/lsi/hostile/CVE-2018-18849", test_message_in_overflow);
	hostile_add("/lsi/hostile/CVE-2019-12068", test_endless_scripts);
	hostile_add("/lsi/hostile/gitlab-84-305-552", test_data_without_request);
	hostile_add("/lsi/hostile/CVE-2022-0216", test_two_cancels);
	hostile_add("/lsi/hostile/CVE-2022-0216-others", test_cancel_of_others);
	hostile_add("/lsi/hostile/65be64e2bf", test_spin_on_memory);
	hostile_add("/lsi/hostile/3903edaf85", test_mismatch_stops);
	hostile_add("/lsi/hostile/3903edaf85-inside-instruction", test_stop_inside_instruction);
	hostile_add("/lsi/hostile/3903edaf85-inside-fetch", test_stop_inside_fetch);
	hostile_add("/lsi/hostile/d139fe9ad8-bfd6e7ae6a", test_own_registers_from_own_ram);
	return g_test_run();
}
