/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "rig.h"

/*
 * Scripts, tables and data in memory that the VMM does not share.  Each flow is a script that is
 * run on shared memory first; then again with each of its bus cycles held, and the end has to be
 * the same, or the one that an error, a reset or another process brings.
 */

#define AT 0x10000u
#define MEM 0x20000u
#define BOX 0x10000u		/* what a flow may touch of memory, */
#define BOX_SIZE 0x30000u
#define HIGH_SIZE 0x4000u	/* of that above 4 GiB, */
#define SECTORS 64u		/* and of disk 0 */

struct flow {
	const char *name;
	void (*lay_out)(struct rig *rig, struct prog *p);
	bool slow_disk;
	bool commands;		/* of SCSI: another process does not have them */
	unsigned dstat, sist;
	unsigned requests;	/* at least: no test is to be content with less */
};

struct snapshot {
	uint8_t regs[256], sram[LSI_RAM_SIZE];
	uint8_t box[BOX_SIZE], high[HIGH_SIZE], disk[SECTORS * 512];
	struct lsi_bus bus;
	uint8_t run, carry, line, pin;
	struct irq irq;
	unsigned guest_errors;
};

/* ---- the flows ---- */

/* Each instruction that moves, and registers whose reading clears them on the way. */
static void copies(struct rig *rig, struct prog *p)
{
	struct prog sub = prog_at(rig, AT + 0x800);

	rig->state->regs[R_SIST1] = SIST_GEN >> 8;	/* masked: it only shows */
	wr32(rig, R_DSA, MEM);
	put2(&sub, S_REG_REG(R_SCRATCHC, A_ADD, 1), 0);
	put2(&sub, S_RETURN, 0);
	put2(p, S_LOAD(R_SCRATCHB, 4), MEM);
	put2(p, S_STORE(R_SCRATCHB, 4), MEM + 0x40);
	put2(p, S_REG_REG(R_ISTAT0, A_LOAD, ISTAT0_SIGP), 0);
	put2(p, S_STORE(R_CTEST2, 1), MEM + 0x52);
	put2(p, S_STORE(R_CTEST2, 1) | S_DSA_REL, 0x56);
	put3(p, S_COPY(20), RIG_REGS + R_SIEN0, MEM + 0x60);
	put3(p, S_COPY(9000), MEM + 0x1001, MEM + 0x5001);
	put3(p, S_COPY(64), MEM + 0x1000, RIG_SRAM + 0x100);
	put3(p, S_COPY(64), RIG_SRAM + 0x100, MEM + 0x80);
	put3(p, S_COPY(4), MEM, RIG_REGS + R_SCRATCHA);
	put1(p, 0);
	put2(p, S_LOAD(R_TEMP, 4) | S_DSA_REL, 8);
	put2(p, S_CALL, sub.start);
	put3(p, S_JUMP | 0x00400000, (uint32_t)RIG_HIGH, RIG_HIGH >> 32);
	put_le32(rig->high, S_INT);
	put_le32(rig->high + 4, 0x77);
}

static void put_entry(struct rig *rig, uint32_t at, uint32_t count, uint32_t addr)
{
	put_le32(rig->ram + at, count);
	put_le32(rig->ram + at + 4, addr);
}

/* An INQUIRY by table entries and pointers. */
static void tables(struct rig *rig, struct prog *p)
{
	put_entry(rig, MEM + 0x200, 1, MEM + 0x300);
	put_entry(rig, MEM + 0x208, 36, MEM + 0x321);
	put_entry(rig, MEM + 0x210, 0x75001f00, 0);
	put_le32(rig->ram + MEM + 0x218, MEM + 0x308);
	wr32(rig, R_DSA, MEM + 0x200);
	rig->ram[MEM + 0x300] = 0x80;
	memcpy(rig->ram + MEM + 0x308, "\x12\0\0\0\x24\0", 6);
	put2(p, S_SELECT_ATN(0) | 0x02000000 | 0x10, 0);
	put2(p, S_MOVE(PHASE_MSG_OUT, 0) | S_TABLE, 0);
	put2(p, S_MOVE(PHASE_COMMAND, 6) | S_INDIRECT, MEM + 0x218);
	put2(p, S_MOVE(PHASE_DATA_IN, 0) | S_TABLE, 8);
	put2(p, S_MOVE(PHASE_STATUS, 1), MEM + 0x380);
	put2(p, S_MOVE(PHASE_MSG_IN, 1), MEM + 0x381);
	put2(p, S_CLEAR(S_ACK), 0);
	put2(p, S_WAIT_DISC, 0);
	put2(p, S_INT, 1);
}

/* A command of @sectors blocks at @lba up to its data, with the privilege to disconnect or not. */
static void put_command(struct prog *p, uint8_t identify, bool write, uint8_t lba, uint8_t sectors)
{
	uint32_t at = MEM + 0x400 + 0x20u * lba;

	p->rig->ram[at] = identify;
	memcpy(p->rig->ram + at + 4, (uint8_t[10]){ write ? 0x2a : 0x28, [5] = lba, [8] = sectors },
	       10);
	put2(p, S_SELECT_ATN(0), 0);
	put2(p, S_MOVE(PHASE_MSG_OUT, 1), at);
	put2(p, S_MOVE(PHASE_COMMAND, 10), at + 4);
}

static void put_end(struct prog *p, uint32_t at)
{
	put2(p, S_MOVE(PHASE_STATUS, 1), at);
	put2(p, S_MOVE(PHASE_MSG_IN, 1), at + 1);
	put2(p, S_CLEAR(S_ACK), 0);
	put2(p, S_WAIT_DISC, 0);
}

static void write_read(struct rig *rig, struct prog *p)
{
	put_command(p, 0x80, true, 2, 17);
	put2(p, S_MOVE(PHASE_DATA_OUT, 8704), MEM + 0x1001);
	put_end(p, MEM + 0x780);
	put_command(p, 0x80, false, 1, 20);
	put2(p, S_CHMOV(PHASE_DATA_IN, 5000), MEM + 0x8001);
	put2(p, S_CHMOV(PHASE_DATA_IN, 5240), MEM + 0xa001);
	put_end(p, MEM + 0x790);
	put2(p, S_INT, 1);
}

static void reselection(struct rig *rig, struct prog *p)
{
	put_command(p, 0xc0, false, 3, 2);
	put2(p, S_MOVE(PHASE_MSG_IN, 2), MEM + 0x700);
	put2(p, S_CLEAR(S_ACK), 0);
	put2(p, S_WAIT_DISC, 0);
	put2(p, S_WAIT_RESEL, AT);
	put2(p, S_MOVE(PHASE_MSG_IN, 1), MEM + 0x704);
	put2(p, S_CLEAR(S_ACK), 0);
	put2(p, S_MOVE(PHASE_DATA_IN, 1024), MEM + 0x1000);
	put_end(p, MEM + 0x780);
	put2(p, S_INTFLY, 0);
	put2(p, S_INT, 1);
}

static void messages(struct rig *rig, struct prog *p)
{
	memcpy(rig->ram + MEM + 0x300, "\xc0\x20\x05\1\3\1\x0c\x0f", 8);
	put2(p, S_SELECT_ATN(0), 0);
	put2(p, S_MOVE(PHASE_MSG_OUT, 8), MEM + 0x300);
	put2(p, S_MOVE(PHASE_MSG_IN, 2), MEM + 0x310);
	put2(p, S_CLEAR(S_ACK), 0);
	put2(p, S_MOVE(PHASE_MSG_IN, 3), MEM + 0x313);
	put2(p, S_CLEAR(S_ACK), 0);
	put2(p, S_INT, 1);
}

/* A zero word is skipped on its own, also at the end of memory; and behind that there is nobody. */
static void last_word(struct rig *rig, struct prog *p)
{
	put_le32(rig->ram + RIG_RAM - 4, 0);
	put2(p, S_JUMP, RIG_RAM - 4);
}

static void mismatch(struct rig *rig, struct prog *p)
{
	put_command(p, 0x80, false, 0, 1);
	put2(p, S_MOVE(PHASE_DATA_IN, 9000), MEM + 0x1003);
	put2(p, S_INT, 1);
}

static const struct flow flows[] = {
	{ "copies", copies, .dstat = DSTAT_SIR, .requests = 30 },
	{ "tables", tables, .commands = true, .dstat = DSTAT_SIR, .requests = 18 },
	{ "write-read", write_read, .commands = true, .dstat = DSTAT_SIR, .requests = 24 },
	{ "reselection", reselection, true, true, .dstat = DSTAT_SIR, .requests = 20 },
	{ "messages", messages, .dstat = DSTAT_SIR, .requests = 10 },
	{ "last-word", last_word, .dstat = DSTAT_BF, .requests = 2 },
	{ "mismatch", mismatch, .commands = true, .sist = SIST_MA, .requests = 7 },
};

/* ---- running them ---- */

static void fill(struct rig *rig)
{
	memset(rig->ram + BOX, 0, BOX_SIZE);
	memset(rig->high, 0, HIGH_SIZE);
	for (unsigned i = 0; i < 0x4000; i++)
		rig->ram[MEM + 0x1000 + i] = i * 5 + (i >> 8);
	put_le32(rig->ram + MEM, 0x44332211);
	put_le32(rig->ram + MEM + 8, 0x88776655);
	for (unsigned i = 0; i < SECTORS * 512; i++)
		rig->disk[0].data[i] = i * 3 + i / 512;
}

/* The chip as after power-on, memory and disk as every run finds them, and the flow's script. */
static struct prog flow_lay_out(struct rig *rig, const struct flow *flow)
{
	struct prog p = prog_at(rig, AT);

	rig->remote.hold = false;
	rig->remote.stop_at = 0;
	wr8(rig, R_ISTAT0, ISTAT0_SRST);
	wr8(rig, R_ISTAT0, 0);
	memset(rig->state->ram, 0, LSI_RAM_SIZE);
	wr8(rig, R_SCID, SCID_RRE | 7);
	wr8(rig, R_DCNTL, DCNTL_COM);
	wr16(rig, R_SIEN0, 0x0486);
	wr8(rig, R_DIEN, 0x7d);
	rig->guest_errors = 0;
	fill(rig);
	rig->disk[0].hold = flow->slow_disk;
	flow->lay_out(rig, &p);
	return p;
}

/* As far as it goes: to its end, or to the request that is held. */
static void flow_go_on(struct rig *rig)
{
	rig_settle(rig);
	while (rig->disk[0].count && rig->state->run == RUN_WAIT_RESELECT) {
		rig_end(rig, 0, 0);
		rig_settle(rig);
	}
}

static void flow_end(struct rig *rig, const struct flow *flow, struct snapshot *ret)
{
	flow_go_on(rig);
	ret->pin = rig->pin;
	memcpy(ret->regs, rig->state->regs, sizeof(ret->regs));
	memcpy(ret->sram, rig->state->ram, sizeof(ret->sram));
	memcpy(ret->box, rig->ram + BOX, BOX_SIZE);
	memcpy(ret->high, rig->high, HIGH_SIZE);
	memcpy(ret->disk, rig->disk[0].data, sizeof(ret->disk));
	ret->bus = rig->state->bus;
	ret->run = rig->state->run;
	ret->carry = rig->state->carry;
	ret->line = rig->state->pci.line;
	ret->guest_errors = rig->guest_errors;
	ret->irq = take_irq(rig);
	g_assert_cmphex(ret->irq.dstat, ==, flow->dstat);
	g_assert_cmphex(ret->irq.sist, ==, flow->sist);
	g_assert_cmpuint(ret->run, ==, RUN_STOPPED);
}

static void assert_same(const struct snapshot *a, const struct snapshot *b)
{
	g_assert_cmpmem(a->regs, 256, b->regs, 256);
	g_assert_true(!memcmp(a->sram, b->sram, sizeof(a->sram)));
	g_assert_true(!memcmp(a->box, b->box, sizeof(a->box)));
	g_assert_true(!memcmp(a->high, b->high, sizeof(a->high)));
	g_assert_true(!memcmp(a->disk, b->disk, sizeof(a->disk)));
	g_assert_cmpmem(&a->bus, sizeof(a->bus), &b->bus, sizeof(b->bus));
	g_assert_cmpuint(a->carry, ==, b->carry);
	g_assert_cmpuint(a->line, ==, b->line);
	g_assert_cmpuint(a->pin, ==, b->pin);
	g_assert_cmpuint(a->guest_errors, ==, b->guest_errors);
}

/* On memory that is shared. */
static struct snapshot *flow_shared(const struct flow *flow)
{
	struct snapshot *ret = g_new0(struct snapshot, 1);
	struct rig rig;
	struct prog p;

	rig_set_remote(-1);
	rig_up(&rig, &lsi53c895a_class);
	p = flow_lay_out(&rig, flow);
	prog_run(&p);
	flow_end(&rig, flow, ret);
	rig_down(&rig);
	return ret;
}

static void remote_up(struct rig *rig, unsigned delay)
{
	rig_set_remote(delay);
	rig_up(rig, &lsi53c895a_class);
	g_assert_true(rig->remote.on);
}

/* Runs @flow up to its @k-th request, counted from 1; false: it has fewer, and has ended. */
static bool flow_hold(struct rig *rig, const struct flow *flow, unsigned k)
{
	struct prog p = flow_lay_out(rig, flow);

	rig->remote.stop_at = rig->remote.asked + k;
	prog_run(&p);
	flow_go_on(rig);
	if (!rig->remote.hold)
		return false;
	g_assert_true(rig->remote.pending);
	g_assert_cmpint(rig->state->run, ==, RUN_WAIT_DMA);
	return true;
}

/* ---- the tests ---- */

static void test_same_as_shared(const void *data)
{
	static const unsigned delays[] = { 0, 1, 5 };
	const struct flow *flow = data;
	struct snapshot *want = flow_shared(flow), *got = g_new0(struct snapshot, 1);

	for (unsigned i = 0; i < G_N_ELEMENTS(delays); i++) {
		unsigned asked, slices;
		struct rig rig;
		struct prog p;

		remote_up(&rig, delays[i]);
		p = flow_lay_out(&rig, flow);
		asked = rig.remote.asked;
		slices = rig.l->slices;
		prog_run(&p);
		flow_end(&rig, flow, got);
		assert_same(got, want);
		asked = rig.remote.asked - asked;
		g_assert_cmpuint(asked, >=, flow->requests);
		/* a slice a request, and those that the disk and the budget make */
		g_assert_cmpuint(rig.l->slices - slices, <=, asked + 16);
		rig_down(&rig);
	}
	g_free(got);
	g_free(want);
}

/* While an answer is waited for, registers answer, nothing runs, and no end is to be seen. */
static void assert_parked(struct rig *rig)
{
	unsigned slices = rig->l->slices, asked = rig->remote.asked;

	for (unsigned i = 0; i < 3; i++) {
		g_assert_cmphex(rd8(rig, R_ISTAT1) & ISTAT1_SRUN, ==, ISTAT1_SRUN);
		g_assert_cmphex(rd8(rig, R_ISTAT0) & (ISTAT0_SIP | ISTAT0_DIP), ==, 0);
		g_assert_cmphex(rd8(rig, R_SCID), ==, SCID_RRE | 7);
		rig_pass(rig, 2);
	}
	rig_advance(rig, 10 * LSI_PACE);
	g_assert_cmpuint(rig->l->slices, ==, slices);
	g_assert_cmpuint(rig->remote.asked, ==, asked);
	g_assert_cmpint(rig->state->run, ==, RUN_WAIT_DMA);
}

/* Every request in turn is answered late. */
static void test_each_held(const void *data)
{
	const struct flow *flow = data;
	struct snapshot *want = flow_shared(flow), *got = g_new0(struct snapshot, 1);
	struct rig rig;
	unsigned k;

	remote_up(&rig, 0);
	for (k = 1; flow_hold(&rig, flow, k); k++) {
		assert_parked(&rig);
		rig.remote.hold = false;
		rig_answer(&rig, 0);
		flow_end(&rig, flow, got);
		assert_same(got, want);
	}
	g_assert_cmpuint(k, >, flow->requests);
	rig_down(&rig);
	g_free(got);
	g_free(want);
}

/* A first word of zero may be the last one there is: a fetch is tried with 4 bytes then. */
static bool is_fetch(struct rig *rig)
{
	const struct rig_remote *r = &rig->remote;

	return !r->write && r->len == 8 &&
	       ((r->gpa >= AT && r->gpa < AT + 0x1000) || r->gpa == RIG_HIGH);
}

/* Every request in turn fails: a bus fault, with nothing more done, and the chip lives. */
static void test_each_fails(const void *data)
{
	const struct flow *flow = data;
	struct rig rig;
	unsigned k;

	remote_up(&rig, 0);
	for (k = 1; flow_hold(&rig, flow, k); k++) {
		bool fetch = is_fetch(&rig);
		bool skipped = fetch && rig.remote.gpa < RIG_RAM &&
			       !get_le32(rig.ram + rig.remote.gpa);
		unsigned asked = rig.remote.asked;

		rig.remote.hold = false;
		rig_answer(&rig, -EIO);
		flow_go_on(&rig);
		if (skipped) {
			g_assert_cmphex(take_irq(&rig).dstat, ==, flow->dstat);
			continue;
		}
		g_assert_cmpuint(rig.remote.asked, ==, asked + fetch);
		g_assert_cmpuint(rig.guest_errors, ==, 1);
		g_assert_true(rig.pin);
		g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_BF);
		rig.disk[0].hold = false;
		while (rig.disk[0].count)
			rig_end(&rig, 0, 0);
		assert_recovers(&rig);
	}
	g_assert_cmpuint(k, >, flow->requests);
	rig_down(&rig);
}

/* ---- the ways to end it, each at once ---- */

static void by_abort(struct rig *rig)
{
	wr8(rig, R_ISTAT0, ISTAT0_ABRT);
	wr8(rig, R_ISTAT0, 0);
	g_assert_cmphex(take_irq(rig).dstat, ==, DSTAT_ABRT);
}

static void by_soft_reset(struct rig *rig)
{
	wr8(rig, R_ISTAT0, ISTAT0_SRST);
	g_assert_cmphex(rd8(rig, R_ISTAT0) & (ISTAT0_SIP | ISTAT0_DIP), ==, 0);
}

static void by_bus_reset(struct rig *rig)
{
	wr8(rig, R_SCNTL1, SCNTL1_RST);
	wr8(rig, R_SCNTL1, 0);
	g_assert_cmphex(take_irq(rig).sist & SIST_RST, ==, SIST_RST);
}

static void by_reset(struct rig *rig)
{
	pci_dev_reset(&rig->dev);
	rig_place(rig);
}

static void by_timer(struct rig *rig)
{
	wr16(rig, R_SIEN0, SIST_GEN);
	wr8(rig, R_STIME1, 1);
	rig_advance(rig, LOOP_MS);
	g_assert_cmphex(take_irq(rig).sist, ==, SIST_GEN);
}

static void (*const ways[])(struct rig *rig) = {
	by_abort, by_soft_reset, by_bus_reset, by_reset, by_timer,
};

static void test_each_ended(const void *data)
{
	const struct flow *flow = data;
	struct rig rig;
	unsigned k = 1;

	for (unsigned w = 0; w < G_N_ELEMENTS(ways); w++) {
		remote_up(&rig, 0);
		for (k = 1; flow_hold(&rig, flow, k); k++) {
			unsigned slices = rig.l->slices;

			ways[w](&rig);
			g_assert_cmphex(rd8(&rig, R_ISTAT1) & ISTAT1_SRUN, ==, 0);
			/* the answer comes for nobody */
			rig_answer(&rig, 0);
			rig_pass(&rig, 3);
			g_assert_cmpint(rig.state->run, ==, RUN_STOPPED);
			g_assert_cmpuint(rig.l->slices - slices, <=, 1);
			rig.remote.hold = rig.disk[0].hold = false;
			while (rig.disk[0].count)
				rig_end(&rig, 0, 0);
			assert_recovers(&rig);
			rig_ready(&rig);
		}
		g_assert_cmpuint(k, >, flow->requests);
		rig_down(&rig);
	}
}

/* A script that is started while another is parked asks for its own words, wherever they lie. */
static void test_started_anew(void)
{
	struct rig rig;
	struct prog p;

	remote_up(&rig, 0);
	p = prog_at(&rig, AT);
	put2(&p, S_INT, 1);
	for (unsigned same = 0; same < 2; same++) {
		struct prog q = prog_at(&rig, same ? AT : MEM);
		unsigned asked = rig.remote.asked;

		rig.remote.hold = true;
		wr32(&rig, R_DSP, AT);
		rig_settle(&rig);
		g_assert_cmpuint(rig.remote.asked, ==, asked + 1);
		put2(&q, S_INT, 2 + same);
		wr32(&rig, R_DSP, q.start);
		rig.remote.hold = false;
		rig_settle(&rig);
		g_assert_cmpuint(rig.remote.asked, ==, asked + 2);
		g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SIR);
		g_assert_cmphex(rd32(&rig, R_DSPS), ==, 2 + same);
	}
	rig_down(&rig);
}

/*
 * An instruction that stops the engine itself: it reads SBCL, and a target goes that has no right
 * to.  Its bus cycle is made, and nothing waits for it.
 */
static void test_stops_itself(void)
{
	static const struct { bool copy; uint32_t insn[3]; } rows[] = {
		{ false, { S_STORE(R_SBCL, 1), MEM + 3 } },
		{ true, { S_COPY(64), RIG_REGS + R_SFBR, MEM } },
	};
	struct rig rig;

	remote_up(&rig, 0);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct prog p = prog_at(&rig, AT);

		put2(&p, S_SELECT_ATN(0), 0);
		put2(&p, S_CLEAR(S_ATN), 0);
		put2(&p, S_INT, 1);
		prog_run(&p);
		g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SIR);
		rig.state->bus.after = AFTER_ABORT;
		p = prog_at(&rig, AT);
		if (rows[i].copy)
			put3(&p, rows[i].insn[0], rows[i].insn[1], rows[i].insn[2]);
		else
			put2(&p, rows[i].insn[0], rows[i].insn[1]);
		prog_run(&p);
		g_assert_cmpint(rig.state->run, ==, RUN_STOPPED);
		g_assert_cmphex(take_irq(&rig).sist, ==, SIST_UDC);
		assert_recovers(&rig);
	}
	rig_down(&rig);
}

/* Bus mastering goes off while an answer is waited for: the answer is not taken. */
static void test_mastering_off(void)
{
	struct rig rig;
	unsigned k;

	remote_up(&rig, 0);
	for (k = 1; flow_hold(&rig, &flows[0], k); k++) {
		pci_config_write(&rig.dev, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
		rig.remote.hold = false;
		rig_answer(&rig, 0);
		rig_settle(&rig);
		g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_BF);
		rig_place(&rig);
	}
	g_assert_cmpuint(k, >, flows[0].requests);
	rig_down(&rig);
}

/*
 * Data comes when nearly all of a slice is used up, by a script and moves inside of the chip: the
 * piece is as long as it is in the next slice, so it is asked for once.  SFBR has the first byte
 * when the piece has moved, not before.
 */
static void test_piece_at_the_end_of_a_slice(void)
{
	struct rig rig;
	struct prog p;
	unsigned asked;

	remote_up(&rig, 0);
	fill(&rig);
	p = prog_at(&rig, RIG_SRAM);
	put_command(&p, 0x80, false, 1, 1);
	put2(&p, S_NOT(S_INT) | S_WHEN(PHASE_DATA_IN), 2);
	put2(&p, S_REG_REG(R_SFBR, A_LOAD, 0x5a), 0);
	for (unsigned i = 0; i < LSI_SLICE_BYTES / 4096 - 1; i++)
		put3(&p, S_COPY(4096), RIG_SRAM + 0x1000, RIG_SRAM + 0x1000);
	put3(&p, S_COPY(4000), RIG_SRAM + 0x1000, RIG_SRAM + 0x1000);
	put2(&p, S_MOVE(PHASE_DATA_IN, 512), MEM + 0x1000);
	put2(&p, S_INT, 1);
	asked = rig.remote.asked;
	rig.remote.stop_at = asked + 3;
	prog_run(&p);
	g_assert_true(rig.remote.write);
	g_assert_cmpuint(rig.remote.len, ==, 512);
	g_assert_cmphex(rd8(&rig, R_SFBR), ==, 0x5a);
	rig.remote.hold = false;
	rig_settle(&rig);
	g_assert_cmpuint(rig.remote.asked, ==, asked + 3);
	g_assert_cmphex(rd8(&rig, R_SFBR), ==, rig.disk[0].data[512]);
	g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SIR);
	g_assert_cmphex(rd32(&rig, R_DSPS), ==, 1);
	rig_down(&rig);
}

/* Another process goes on from the state alone, whatever its predecessor had asked for. */
static void test_each_taken_over(const void *data)
{
	const struct flow *flow = data;
	struct snapshot *want = flow_shared(flow), *got = g_new0(struct snapshot, 1);
	struct rig rig;
	unsigned k;

	remote_up(&rig, 0);
	for (k = 1; flow_hold(&rig, flow, k); k++) {
		struct lsi_state *copy = g_memdup2(rig.state, sizeof(*copy));

		g_assert_cmpint(rig_adopt(&rig, copy), ==, 0);
		g_free(copy);
		rig.remote.hold = false;
		flow_end(&rig, flow, got);
		assert_same(got, want);
		assert_recovers(&rig);
		rig_ready(&rig);
	}
	g_assert_cmpuint(k, >, flow->requests);
	rig_down(&rig);
	g_free(got);
	g_free(want);
}

/* A script without an end, and a VMM that answers at once: LSI_PACE holds without credit. */
static void test_pace(void)
{
	unsigned asked, passes = 0;
	struct rig rig;
	struct prog p;

	remote_up(&rig, 0);
	p = prog_at(&rig, AT);
	put3(&p, S_COPY(4), MEM, MEM + 4);
	put2(&p, S_JUMP, AT);
	wr32(&rig, R_DSP, AT);
	asked = rig.remote.asked;
	for (; rig.state->credit; passes++)
		rig_pass(&rig, 1);
	/* what it costs is more than a message each: the bucket is empty the sooner */
	g_assert_cmpuint(passes, >=, 10000);
	g_assert_cmpuint(rig.remote.asked - asked, <=, LSI_CREDIT_MAX / LSI_REMOTE_COST + 1);
	rig_pass(&rig, 3);
	for (unsigned ms = 0; ms < 200; ms++) {
		asked = rig.remote.asked;
		rig_pass(&rig, 10);
		rig_advance(&rig, LSI_PACE);
		rig_pass(&rig, 10);
		g_assert_cmpuint(rig.remote.asked - asked, ==, 1);
	}
	/* a look of the guest's gives its part */
	asked = rig.remote.asked;
	rd8(&rig, R_ISTAT0);
	rig_pass(&rig, 10);
	g_assert_cmpuint(rig.remote.asked - asked, >=, 8);
	assert_recovers(&rig);
	rig_down(&rig);
}

static void add(const char *what, const struct flow *flow, GTestDataFunc fn)
{
	g_autofree char *path = g_strdup_printf("/lsi/dma/%s/%s", what, flow->name);

	g_test_add_data_func(path, flow, fn);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(flows); i++) {
		add("same-as-shared", &flows[i], test_same_as_shared);
		add("each-held", &flows[i], test_each_held);
		add("each-fails", &flows[i], test_each_fails);
		add("each-ended", &flows[i], test_each_ended);
		if (!flows[i].commands)
			add("each-taken-over", &flows[i], test_each_taken_over);
	}
	g_test_add_func("/lsi/dma/started-anew", test_started_anew);
	g_test_add_func("/lsi/dma/stops-itself", test_stops_itself);
	g_test_add_func("/lsi/dma/mastering-off", test_mastering_off);
	g_test_add_func("/lsi/dma/slice-end", test_piece_at_the_end_of_a_slice);
	g_test_add_func("/lsi/dma/pace", test_pace);
	return g_test_run();
}
