/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/num.h"
#include "hostile.h"

/*
 * The engine's pace: a script without an end gets a slice each LSI_PACE once its credit is used up,
 * and neither I/O nor a guest that looks at the chip waits for that.
 */

#define PATCHED (MEM + 0x200)	/* words that a script may copy to where it likes */

/* Each lays out a script at AT that never ends and starts nothing that a disk has to do. */

static void jump_to_itself(struct prog *p)
{
	put2(p, S_JUMP, AT);
}

static void empty_opcodes(struct prog *p)
{
	memset(p->rig->ram + AT, 0, RIG_RAM - AT);
}

static void mutual_calls(struct prog *p)
{
	put2(p, S_CALL, AT + 8);
	put2(p, S_CALL, AT);
}

static void calls_and_returns(struct prog *p)
{
	put2(p, S_CALL, AT + 16);
	put2(p, S_JUMP, AT);
	put2(p, S_RETURN, 0);
}

static void interrupts_on_the_fly(struct prog *p)
{
	put2(p, S_INTFLY, 0);
	put2(p, S_JUMP, AT);
}

/* The line goes up and down a hundred times a slice: what leaves the process is its end's level. */
static void interrupt_storm(struct prog *p)
{
	put2(p, S_INTFLY, 0);
	put2(p, S_REG_REG(R_ISTAT0, A_LOAD, ISTAT0_INTF), 0);
	put2(p, S_JUMP, AT);
}

static void over_itself(struct prog *p)
{
	put3(p, S_COPY(20), PATCHED, AT);
	put2(p, S_JUMP, AT);
	memcpy(p->rig->ram + PATCHED, p->rig->ram + AT, 20);
}

static void writes_dsp(struct prog *p)
{
	put_le32(p->rig->ram + PATCHED, AT);
	put3(p, S_COPY(4), PATCHED, RIG_REGS + R_DSP);
}

static void start_bit(struct prog *p)
{
	put2(p, S_REG_REG(R_DCNTL, A_LOAD, DCNTL_STD | DCNTL_COM), 0);
	put2(p, S_JUMP, AT);
}

static void writes_scratcha(struct prog *p)
{
	put3(p, S_COPY(4), RIG_REGS + R_SCRATCHB, RIG_REGS + R_SCRATCHA);
	put2(p, S_JUMP, AT);
}

static void signals_itself(struct prog *p)
{
	put2(p, S_REG_REG(R_ISTAT0, A_LOAD, ISTAT0_SIGP), 0);
	put2(p, S_WAIT_RESEL, AT + 16);
	put2(p, S_REG_SFBR(R_CTEST2, A_OR, 0), 0);
	put2(p, S_JUMP, AT);
}

static void giant_moves(struct prog *p)
{
	put3(p, S_COPY(0xffffff - 3 * AT), 2 * AT, 2 * AT);
	put3(p, S_COPY(0xffffff - 3 * AT), 2 * AT, 2 * AT);
	put2(p, S_JUMP, AT);
}

static void from_script_ram(struct prog *p)
{
	*p = prog_at(p->rig, RIG_SRAM + LSI_RAM_SIZE - 8);
	put2(p, S_JUMP, RIG_SRAM + LSI_RAM_SIZE - 8);
}

static void from_registers(struct prog *p)
{
	p->start = RIG_REGS + R_SCRATCHC;
	wr32(p->rig, R_SCRATCHC, S_JUMP);
	wr32(p->rig, R_SCRATCHC + 4, p->start);
}

static void rearms_timers(struct prog *p)
{
	put2(p, S_REG_REG(R_STIME1, A_LOAD, 0x01), 0);
	put2(p, S_REG_REG(R_STIME0, A_LOAD, 0x10), 0);
	put2(p, S_JUMP, AT);
}

/* An INQUIRY without an end, all of it by table entries. */
static void inquiries_by_table(struct prog *p)
{
	static const uint32_t table[][2] = {
		{ 1, MEM }, { 6, MEM + 8 }, { 36, MEM + 0x100 }, { 1, MEM + 0x140 },
		{ 1, MEM + 0x141 }, { 0, 0 },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
		put_le32(p->rig->ram + PATCHED + 8 * i, table[i][0]);
		put_le32(p->rig->ram + PATCHED + 8 * i + 4, table[i][1]);
	}
	wr32(p->rig, R_DSA, PATCHED);
	put2(p, S_SELECT_ATN(0) | 0x02000000, 40);
	put2(p, S_MOVE(PHASE_MSG_OUT, 0) | S_TABLE, 0);
	put2(p, S_MOVE(PHASE_COMMAND, 0) | S_TABLE, 8);
	put2(p, S_MOVE(PHASE_DATA_IN, 0) | S_TABLE, 16);
	put2(p, S_MOVE(PHASE_STATUS, 0) | S_TABLE, 24);
	put2(p, S_MOVE(PHASE_MSG_IN, 0) | S_TABLE, 32);
	put2(p, S_WAIT_DISC, 0);
	put2(p, S_JUMP, AT);
}

static void messages(struct prog *p)
{
	memset(p->rig->ram + MEM + 1, 0x07, 63);
	put2(p, S_SELECT_ATN(0), 0);
	put2(p, S_SET(S_ATN), 0);
	put2(p, S_MOVE(PHASE_MSG_OUT, 64), MEM);
	put2(p, S_JUMP, AT + 8);
}

static void (*const endless[])(struct prog *p) = {
	jump_to_itself, empty_opcodes, mutual_calls, calls_and_returns, interrupts_on_the_fly,
	interrupt_storm, over_itself, writes_dsp, start_bit, writes_scratcha, signals_itself,
	giant_moves, from_script_ram, from_registers, rearms_timers, inquiries_by_table, messages,
};

/* Passes in which nothing happens any more although the script runs: it has no credit. */
static void assert_waits(struct rig *rig)
{
	unsigned slices;

	for (unsigned i = 0; rig->state->credit; i++) {
		g_assert_cmpuint(i, <, 3000);
		rig_pass(rig, 1);
	}
	slices = rig->l->slices;
	rig_pass(rig, 20);
	g_assert_cmpuint(rig->l->slices, ==, slices);
	g_assert_cmpint(rig->state->run, ==, RUN_ACTIVE);
}

/* For @ms milliseconds: one slice in each. */
static void assert_paced(struct rig *rig, unsigned ms)
{
	for (unsigned i = 0; i < ms; i++) {
		unsigned slices = rig->l->slices;

		rig_advance(rig, LSI_PACE - 1);
		g_assert_cmpuint(rig->l->slices, ==, slices);
		rig_advance(rig, 1);
		rig_pass(rig, 3);
		g_assert_cmpuint(rig->l->slices, ==, slices + 1);
		g_assert_cmpint(rig->state->run, ==, RUN_ACTIVE);
	}
}

static void test_endless(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(endless); i++) {
		struct rig rig;
		struct prog p;

		hostile_up(&rig, &p);
		endless[i](&p);
		wr32(&rig, R_DSP, p.start);
		/* the rest of it is test_full_credit's */
		rig.state->credit = 4096;
		assert_waits(&rig);
		assert_paced(&rig, 50);
		g_assert_cmphex(rd8(&rig, R_ISTAT1) & ISTAT1_SRUN, ==, ISTAT1_SRUN);
		hostile_down(&rig);
	}
}

/* How much there is in a full bucket, and that an access gives its part of it and not more. */
static void test_full_credit(void)
{
	struct rig rig;
	struct prog p;
	unsigned slices;

	hostile_up(&rig, &p);
	jump_to_itself(&p);
	wr32(&rig, R_DSP, AT);
	g_assert_cmpuint(rig.state->credit, ==, LSI_CREDIT_MAX);
	slices = rig.l->slices;
	assert_waits(&rig);
	g_assert_cmpuint(rig.l->slices - slices, ==, LSI_CREDIT_MAX / LSI_SLICE_INSNS);
	for (unsigned i = 0; i < 3; i++) {
		slices = rig.l->slices;
		rd8(&rig, R_ISTAT0);
		g_assert_cmpuint(rig.state->credit, ==, LSI_CREDIT_ACCESS);
		g_assert_cmpint(rig.state->pace_deadline, ==, 0);
		/* at once, without a wait for the deadline */
		rig_pass(&rig, 1);
		g_assert_cmpuint(rig.l->slices, ==, slices + 1);
		assert_waits(&rig);
		g_assert_cmpuint(rig.l->slices - slices, ==, LSI_CREDIT_ACCESS / LSI_SLICE_INSNS);
	}
	for (unsigned i = 0; i < 20; i++)
		rd8(&rig, R_SCNTL0);
	g_assert_cmpuint(rig.state->credit, ==, LSI_CREDIT_MAX);
	hostile_down(&rig);
}

/* 65be64e2bf: the script that polls memory sees the change within LSI_PACE, however long it was. */
static void test_spin_sees_memory(void)
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
	assert_waits(&rig);
	assert_paced(&rig, 1000);
	put_le32(rig.ram + MEM + 0x100, 1);
	rig_advance(&rig, LSI_PACE);
	g_assert_cmpint(rig.state->run, ==, RUN_STOPPED);
	g_assert_cmpint(rig.state->pace_deadline, ==, 0);
	g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SIR);
	hostile_down(&rig);
}

/* A script that reads blocks for ever, without anybody who looks. */
static void endless_reads(struct prog *p)
{
	uint32_t again, data;

	memcpy(p->rig->ram + MEM, "\x80", 1);
	memcpy(p->rig->ram + MEM + 16, "\x28\0\0\0\0\0\0\0\1\0", 10);
	put2(p, S_SELECT_ATN(0), 0);
	put2(p, S_MOVE(PHASE_MSG_OUT, 1), MEM);
	put2(p, S_MOVE(PHASE_COMMAND, 10), MEM + 16);
	data = put2(p, S_MOVE(PHASE_DATA_IN, 512), MEM + 0x400);
	again = put2(p, S_JUMP | S_WHEN(PHASE_DATA_IN), data);
	g_assert_cmphex(again, ==, data + 8);
	put2(p, S_MOVE(PHASE_STATUS, 1), MEM + 0x140);
	put2(p, S_MOVE(PHASE_MSG_IN, 1), MEM + 0x141);
	put2(p, S_WAIT_DISC, 0);
	put2(p, S_JUMP, AT);
}

/* A command that the disk got further gives credit, but only so many since the last access. */
static void reads_without_anybody(bool now)
{
	struct rig rig;
	struct prog p;
	unsigned waited = 0;

	hostile_up(&rig, &p);
	endless_reads(&p);
	rig.disk[0].now = now;
	wr32(&rig, R_DSP, AT);
	rig.state->credit = 0;
	rig.state->io_left = 300;
	for (unsigned i = 0; i < 5000 && !waited; i++) {
		uint32_t left = rig.state->io_left;

		rig_pass(&rig, 1);
		if (left)
			g_assert_cmpint(rig.state->pace_deadline, ==, 0);
		waited = rig.state->pace_deadline != 0;
	}
	g_assert_cmpuint(rig.state->io_left, ==, 0);
	g_assert_cmpuint(waited, ==, 1);
	/* it goes on at its pace, and at full speed when the guest has looked */
	rig_advance(&rig, LSI_PACE);
	rd8(&rig, R_ISTAT0);
	g_assert_cmpuint(rig.state->io_left, ==, LSI_IO_MAX);
	g_assert_cmpint(rig.state->pace_deadline, ==, 0);
	hostile_down(&rig);
}

static void test_reads_without_anybody(void)
{
	reads_without_anybody(false);
	reads_without_anybody(true);
}

/* A long transfer of one command has no use for credit, and waits for nothing but the disk. */
static void test_long_transfer(void)
{
	struct cmd c = cmd_rw(0, -1, false, 0, 1000);
	uint32_t left;
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	c.no_disconnect = true;
	wr32(&rig, R_DSP, cmd_build(&rig, 1, &c, NULL));
	left = rig.state->io_left;
	for (unsigned i = 0; i < 200; i++) {
		rig.state->credit = 0;
		rig_pass(&rig, 1);
		/* one slice may have used what a window gave */
		if (rig.state->pace_deadline)
			rig_advance(&rig, LSI_PACE);
	}
	g_assert_cmpmem(rig.ram + CMD_DATA(1), 512000, rig.disk[0].data, 512000);
	g_assert_cmpuint(left - rig.state->io_left, >=, 512000 / 65536);
	g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SIR);
	hostile_down(&rig);
}

/* A timer's interrupt stops a script that waits for its pace: no slice comes any more. */
static void test_stopped_while_waiting(void)
{
	struct rig rig;
	struct prog p;
	unsigned slices;

	hostile_up(&rig, &p);
	wr16(&rig, R_SIEN0, SIST_GEN);
	wr8(&rig, R_STIME1, 0x0c);	/* 256 ms */
	jump_to_itself(&p);
	wr32(&rig, R_DSP, AT);
	assert_waits(&rig);
	assert_paced(&rig, 255);
	slices = rig.l->slices;
	rig_advance(&rig, LSI_PACE);
	g_assert_cmpint(rig.state->run, ==, RUN_STOPPED);
	g_assert_cmpint(rig.state->pace_deadline, ==, 0);
	slices = rig.l->slices;
	rig_advance(&rig, 10 * LSI_PACE);
	g_assert_cmpuint(rig.l->slices, ==, slices);
	g_assert_cmphex(take_irq(&rig).sist, ==, SIST_GEN);
	hostile_down(&rig);
}

/* The VM stood still: a timer has as long to go as it had, and a script goes on where it was. */
static void test_stood_still(void)
{
	struct rig rig;
	struct prog p;
	unsigned slices;

	hostile_up(&rig, &p);
	wr16(&rig, R_SIEN0, SIST_GEN);
	wr8(&rig, R_STIME1, 0x0c);	/* 256 ms */
	jump_to_itself(&p);
	wr32(&rig, R_DSP, AT);
	assert_waits(&rig);
	rig_advance(&rig, 200 * LOOP_MS);
	slices = rig.l->slices;
	loop_hold(rig.dev.host.loop, true);
	for (unsigned i = 0; i < 10; i++)
		rig_advance(&rig, 1000 * LOOP_MS);
	g_assert_cmpuint(rig.l->slices, ==, slices);
	g_assert_cmphex(rd8(&rig, R_ISTAT0) & ISTAT0_SIP, ==, 0);
	rig.dev.cls->stood_still(&rig.dev, 10000 * LOOP_MS);
	loop_hold(rig.dev.host.loop, false);
	rig_advance(&rig, 55 * LOOP_MS);
	g_assert_cmpuint(rig.l->slices, >, slices);
	g_assert_cmphex(rd8(&rig, R_ISTAT0) & ISTAT0_SIP, ==, 0);
	rig_advance(&rig, LOOP_MS);
	g_assert_cmphex(take_irq(&rig).sist, ==, SIST_GEN);
	/* a deadline of another process's */
	rig.state->gen_deadline = INT64_MAX - 1;
	rig.dev.cls->stood_still(&rig.dev, LOOP_MS);
	g_assert_cmpint(rig.state->gen_deadline, ==, INT64_MAX);
	hostile_down(&rig);
}

/* Without credit to another process: the credit goes along, and a deadline that cannot be not. */
static void test_taken_over(void)
{
	static const int64_t deadlines[] = { 0, 1, INT64_MAX };
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	jump_to_itself(&p);
	for (unsigned i = 0; i < G_N_ELEMENTS(deadlines); i++) {
		struct lsi_state *copy;

		wr32(&rig, R_DSP, AT);
		rig.state->credit = 1;
		assert_waits(&rig);
		copy = g_memdup2(rig.state, sizeof(*copy));
		if (deadlines[i])
			copy->pace_deadline = deadlines[i];
		g_assert_cmpint(rig_adopt(&rig, copy), ==, 0);
		g_free(copy);
		g_assert_cmpuint(rig.state->credit, ==, 0);
		g_assert_cmpint(rig.state->pace_deadline, >, 0);
		g_assert_cmpint(rig.state->pace_deadline, <=, loop_now() + LSI_PACE);
		rig_advance(&rig, LSI_PACE);
		g_assert_cmpuint(rig.l->slices, ==, 1);
		assert_paced(&rig, 5);
		assert_recovers(&rig);
		rig_ready(&rig);
		p = prog_at(&rig, AT);
		jump_to_itself(&p);
	}
	hostile_down(&rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	hostile_add("/lsi/pace/endless", test_endless);
	hostile_add("/lsi/pace/full-credit", test_full_credit);
	hostile_add("/lsi/pace/spin-sees-memory", test_spin_sees_memory);
	hostile_add("/lsi/pace/reads-without-anybody", test_reads_without_anybody);
	hostile_add("/lsi/pace/long-transfer", test_long_transfer);
	hostile_add("/lsi/pace/stopped-while-waiting", test_stopped_while_waiting);
	hostile_add("/lsi/pace/taken-over", test_taken_over);
	hostile_add("/lsi/pace/stood-still", test_stood_still);
	return g_test_run();
}
