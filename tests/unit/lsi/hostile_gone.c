/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/num.h"
#include "hostile.h"

/*
 * CVE-2024-6519: a request was used after it was gone; how is not public.  So here is the class: a
 * command is brought to each step of its life, something ends it (or should have nothing to do with
 * it), the script goes on as if nothing had been, and the disk ends what it still had.
 */

#define DATA 0x400000u
#define DATA_LEN (256 * 512)	/* more than a buffer has: two windows */
#define TAG 0x2a

struct stage {
	const char *name;
	bool write, hold, may_disconnect;
	unsigned steps;		/* instructions of life[] below, then an interrupt */
	bool ready;		/* the disk ends its request after them, */
	bool reselected;	/* and the target comes back */
};

static const struct stage stages[] = {
	{ "selected", .steps = 1 },
	{ "identified", .steps = 2 },
	{ "half-a-cdb", .steps = 3 },
	{ "in-the-disk", .hold = true, .steps = 4 },
	{ "before-disconnect", .hold = true, .may_disconnect = true, .steps = 4 },
	{ "disconnected", .hold = true, .may_disconnect = true, .steps = 8 },
	{ "ready-to-reselect", .hold = true, .may_disconnect = true, .steps = 8, .ready = true },
	{ "reselected", .hold = true, .may_disconnect = true, .steps = 8, .ready = true,
	  .reselected = true },
	{ "data-in-half-a-window", .steps = 5 },
	{ "data-in-between-windows", .steps = 6 },
	{ "data-out-half-a-window", .write = true, .steps = 5 },
	{ "data-out-in-the-disk", .write = true, .hold = true, .steps = 6 },
	{ "before-status", .steps = 7 },
	{ "after-status", .steps = 8 },
	{ "complete", .steps = 9 },
};

/* The life of a command, an instruction a step; how it goes on after COMMAND is the stage's. */
static void put_life(struct prog *p, const struct stage *st, unsigned step)
{
	unsigned phase = st->write ? PHASE_DATA_OUT : PHASE_DATA_IN;

	static const struct { uint32_t insn, addr; } goodbye[] = {
		{ S_REG_REG(R_SCNTL2, A_AND, 0x7f), 0 }, { S_MOVE(PHASE_MSG_IN, 2), MEM + 0x100 },
		{ S_CLEAR(S_ACK), 0 }, { S_WAIT_DISC, 0 }, { S_NOP, 0 },
	};
	const struct { uint32_t insn, addr; } life[] = {
		{ S_SELECT_ATN(0), AT }, { S_MOVE(PHASE_MSG_OUT, 3), MEM + 0x40 },
		{ S_MOVE(PHASE_COMMAND, 5), MEM + 0x48 }, { S_MOVE(PHASE_COMMAND, 5), MEM + 0x4d },
		{ S_MOVE(phase, 0x4000), DATA }, { S_MOVE(phase, 0xc000), DATA + 0x4000 },
		{ S_MOVE(phase, 0x10000), DATA + 0x10000 },
		{ S_MOVE(PHASE_STATUS, 1), MEM + 0x110 }, { S_MOVE(PHASE_MSG_IN, 1), MEM + 0x111 },
	};

	if (st->may_disconnect && step >= 4)
		put2(p, goodbye[step - 4].insn, goodbye[step - 4].addr);
	else
		put2(p, life[step].insn, life[step].addr);
}

/* Where the script goes on when it has reached the stage. */
static uint32_t reach(struct rig *rig, const struct stage *st)
{
	struct prog p = prog_at(rig, AT);
	uint8_t *m = rig->ram + MEM;
	uint32_t go_on;

	memcpy(m + 0x40, (uint8_t[]){ st->may_disconnect ? 0xc0 : 0x80, 0x20, TAG }, 3);
	memcpy(m + 0x48, (uint8_t[10]){ st->write ? 0x2a : 0x28, [5] = 8, [7] = 1 }, 10);
	rig->disk[0].hold = st->hold;
	for (unsigned step = 0; step < st->steps; step++)
		put_life(&p, st, step);
	put2(&p, S_INT, 1);
	go_on = p.at;
	for (unsigned step = st->steps; step < 9; step++)
		put_life(&p, st, step);
	put2(&p, S_JUMP, go_on);
	prog_run(&p);
	g_assert_cmphex(take_irq(rig).dstat, ==, DSTAT_SIR);
	if (st->ready) {
		g_assert_cmpuint(rig->disk[0].count, ==, 1);
		rig_end(rig, 0, 0);
		rig_settle(rig);
	}
	if (st->reselected) {
		p = prog_at(rig, AT + 0x400);
		put2(&p, S_WAIT_RESEL, AT);
		put2(&p, S_INT, 1);
		prog_run(&p);
		g_assert_cmphex(take_irq(rig).dstat, ==, DSTAT_SIR);
	}
	return go_on;
}

/* ---- what happens to it ---- */

/* A message to the target: to the nexus that is connected, or by a selection. */
static void say(struct rig *rig, const char *message, unsigned len)
{
	struct prog p = prog_at(rig, AT + 0x500);
	bool connected = rig->state->bus.connected;

	memcpy(rig->ram + MEM + 0x60, message, len);
	if (connected)
		put2(&p, S_SET(S_ATN), 0);
	else
		put2(&p, S_SELECT_ATN(0), AT);
	put2(&p, S_REG_REG(R_SCNTL2, A_AND, 0x7f), 0);
	put2(&p, S_MOVE(PHASE_MSG_OUT, connected ? len - 3 : len), MEM + 0x60 + 3 * connected);
	put2(&p, S_INT, 1);
	wr32(rig, R_DSP, p.start);
	rig_pass(rig, 10);
}

static void soft_reset(struct rig *rig)
{
	wr8(rig, R_ISTAT0, ISTAT0_SRST);
}

static void bus_reset_bit(struct rig *rig)
{
	wr8(rig, R_SCNTL1, SCNTL1_RST);
	wr8(rig, R_SCNTL1, 0);
}

static void pci_reset(struct rig *rig)
{
	pci_dev_reset(&rig->dev);
	rig_place(rig);
}

static void abort_bit(struct rig *rig)
{
	wr8(rig, R_ISTAT0, ISTAT0_ABRT);
}

static void msg_abort(struct rig *rig)
{
	say(rig, "\xc0\x20\x2a\x06", 4);
}

static void msg_abort_tag(struct rig *rig)
{
	say(rig, "\xc0\x20\x2a\x0d", 4);
}

static void msg_clear_queue(struct rig *rig)
{
	say(rig, "\xc0\x20\x2a\x0e", 4);
}

static void msg_device_reset(struct rig *rig)
{
	say(rig, "\xc0\x20\x2a\x0c", 4);
}

static void msg_all_twice(struct rig *rig)
{
	say(rig, "\xc0\x20\x2a\x0d\x06\x0c\x0e\x0d\x06\x0c\x0e", 11);
}

static void another_identify(struct rig *rig)
{
	say(rig, "\xc1\x20\x2b\xc1\x21\x2b\x07\x80", 8);
}

/* Nobody answers: STO, with a command that waits elsewhere. */
static void selection_timeout(struct rig *rig)
{
	struct prog p = prog_at(rig, AT + 0x500);

	put2(&p, S_SELECT_ATN(5), AT);
	put2(&p, S_MOVE(PHASE_MSG_OUT, 1), MEM);
	wr32(rig, R_DSP, p.start);
	rig_pass(rig, 10);
}

/* The same nexus and tag once more (SAM-3 5.9.3): both end. */
static void overlap(struct rig *rig)
{
	struct prog p = prog_at(rig, AT + 0x500);

	put2(&p, S_SELECT_ATN(0), AT);
	put2(&p, S_MOVE(PHASE_MSG_OUT, 3), MEM + 0x40);
	put2(&p, S_MOVE(PHASE_COMMAND, 10), MEM + 0x48);
	put2(&p, S_MOVE(PHASE_STATUS, 1), MEM + 0x110);
	wr32(rig, R_DSP, p.start);
	rig_pass(rig, 10);
}

static void no_bus_master(struct rig *rig)
{
	pci_config_write(&rig->dev, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY, 2);
	rig_pass(rig, 10);
}

/* The targets forget it, and another command has its place before the chip looks. */
static void slot_reused(struct rig *rig)
{
	struct scsi_command cmd = { .target = 1, .initiator = 7, .cdb_len = 6, .cdb = { 0x12 } };

	cmd.cdb[4] = 1;
	scsi_target_reset(rig->l->scsi, 0);
	for (unsigned i = 0; i < 4; i++) {
		cmd.attr = SCSI_TASK_SIMPLE;
		cmd.tag = i;
		cmd.cdb[0] = i & 1 ? 0x12 : 0x08;
		scsi_command(rig->l->scsi, &cmd);
	}
}

static const struct ending {
	void (*fn)(struct rig *rig);
	bool all_gone;		/* nothing may reach memory any more, */
	bool bus_free;		/* and nobody is on the bus */
} endings[] = {
	{ soft_reset, true, true }, { bus_reset_bit, true, true }, { pci_reset, true, true },
	{ abort_bit },
	{ msg_abort, true }, { msg_abort_tag, true }, { msg_clear_queue, true },
	{ msg_device_reset, true }, { msg_all_twice, true }, { another_identify },
	{ selection_timeout }, { overlap }, { no_bus_master }, { slot_reused, true },
};

/* A script that was not told goes on, then waits for who comes back and takes what it offers. */
static void go_on(struct rig *rig, uint32_t at)
{
	struct prog p = prog_at(rig, AT + 0x600);

	take_irq(rig);
	take_irq(rig);
	wr32(rig, R_DSP, at);
	rig_pass(rig, 10);
	put2(&p, S_WAIT_RESEL, AT + 0x600);
	put2(&p, S_MOVE(PHASE_MSG_IN, 3), MEM + 0x100);
	put2(&p, S_CLEAR(S_ACK), 0);
	put2(&p, S_MOVE(PHASE_DATA_IN, 0x4000), DATA);
	take_irq(rig);
	wr32(rig, R_DSP, p.start);
	rig_pass(rig, 10);
}

static void run_one(struct rig *rig, const struct stage *st, const struct ending *end, bool late)
{
	static uint8_t copy[DATA_LEN];
	uint32_t at = reach(rig, st);

	end->fn(rig);
	if (end->bus_free)
		g_assert_cmphex(rd8(rig, R_ISTAT0) & ISTAT0_CON, ==, 0);
	memset(rig->ram + DATA, 0xee, DATA_LEN);
	memset(copy, 0xee, DATA_LEN);
	if (!late)
		release_disk(rig, 0);
	go_on(rig, at);
	if (late)
		release_disk(rig, 0);
	rig_pass(rig, 10);
	if (end->all_gone)
		g_assert_true(!memcmp(rig->ram + DATA, copy, DATA_LEN));
	rig_place(rig);
	assert_recovers(rig);
	/* those that the chip knows nothing of */
	for (unsigned i = 0; end->fn == slot_reused && i < SCSI_MAX_REQS; i++)
		scsi_abort(rig->l->scsi, i);
	rig_ready(rig);
	g_assert_cmpuint(scsi_active(rig->l->scsi), ==, 0);
}

static void run_stage(const struct stage *st)
{
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	for (unsigned i = 0; i < G_N_ELEMENTS(endings) * 2; i++)
		run_one(&rig, st, &endings[i / 2], i & 1);
	hostile_down(&rig);
}

#define STAGE(n) static void stage_##n(void) { run_stage(&stages[n]); }
STAGE(0) STAGE(1) STAGE(2) STAGE(3) STAGE(4) STAGE(5) STAGE(6) STAGE(7) STAGE(8) STAGE(9)
STAGE(10) STAGE(11) STAGE(12) STAGE(13) STAGE(14)

int main(int argc, char **argv)
{
	static void (*const fns[])(void) = {
		stage_0, stage_1, stage_2, stage_3, stage_4, stage_5, stage_6, stage_7, stage_8,
		stage_9, stage_10, stage_11, stage_12, stage_13, stage_14,
	};

	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(fns); i++) {
		g_autofree char *path = g_strconcat("/lsi/hostile/CVE-2024-6519/", stages[i].name,
						    NULL);

		hostile_add(path, fns[i]);
	}
	return g_test_run();
}
