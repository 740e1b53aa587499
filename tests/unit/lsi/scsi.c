/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/num.h"
#include "rig.h"

/* The bus: selection, messages, phases, reselection, and block moves with their addresses. */

#define AT 0x10000u
#define MEM 0x20000u

static void up(struct rig *rig, struct prog *p)
{
	rig_up(rig, &lsi53c895a_class);
	*p = prog_at(rig, AT);
}

static void run_to(struct prog *p, unsigned dstat, unsigned sist)
{
	struct irq irq;

	prog_run(p);
	irq = take_irq(p->rig);
	g_assert_cmphex(irq.dstat, ==, dstat);
	g_assert_cmphex(irq.sist, ==, sist);
}

/* ---- selection ---- */

/* The script runs on until it needs the bus: Linux knows the time-out by where DSP stands. */
static void test_selection_timeout(void)
{
	struct rig rig;
	struct prog p;
	uint32_t stop;

	up(&rig, &p);
	put2(&p, S_SELECT_ATN(5), AT + 0x800);
	put2(&p, S_REG_REG(R_SCRATCHB, A_LOAD, 9), 0);
	put2(&p, S_JUMPR | S_MASK(0, 0), 0);
	stop = put2(&p, S_NOT(S_INT) | S_WHEN(PHASE_MSG_OUT), 1);
	put2(&p, S_INT, 2);
	run_to(&p, 0, SIST_STO);
	g_assert_cmphex(rd32(&rig, R_DSP), ==, stop + 8);
	g_assert_cmphex(rd8(&rig, R_SCRATCHB), ==, 9);
	g_assert_cmphex(rd8(&rig, R_ISTAT0) & ISTAT0_CON, ==, 0);
	/* its own id answers no better, and the next selection works */
	p.at = AT;
	put2(&p, S_SELECT_ATN(7), AT + 0x800);
	put2(&p, S_WAIT_DISC, 0);
	run_to(&p, 0, SIST_STO);
	assert_alive(&rig);
	rig_down(&rig);
}

/* Without ATN there are no messages: COMMAND comes first, and the CDB names the unit. */
static void test_select_without_atn(void)
{
	struct rig rig;
	struct prog p;

	up(&rig, &p);
	rig.units[2].config.product[0] = '2';
	memcpy(rig.ram + MEM, (const uint8_t[]){ 0x12, 1 << 5, 0, 0, 36, 0 }, 6);
	put2(&p, S_SELECT(0), 0);
	put2(&p, S_NOT(S_INT) | S_WHEN(PHASE_COMMAND), 1);
	put2(&p, S_MOVE(PHASE_COMMAND, 6), MEM);
	put2(&p, S_MOVE(PHASE_DATA_IN, 36), MEM + 64);
	put2(&p, S_MOVE(PHASE_STATUS, 1), MEM + 32);
	put2(&p, S_MOVE(PHASE_MSG_IN, 1), MEM + 33);
	put2(&p, S_CLEAR(S_ACK), 0);
	put2(&p, S_WAIT_DISC, 0);
	put2(&p, S_INT, 7);
	run_to(&p, DSTAT_SIR, 0);
	g_assert_cmpmem(rig.ram + MEM + 64 + 8, 12, "TEST    2ISK", 12);
	g_assert_cmphex(rig.ram[MEM + 32], ==, 0);
	g_assert_cmphex(rig.ram[MEM + 33], ==, 0);
	rig_down(&rig);
}

/* Table indirect selection brings the target's timing along. */
static void test_select_table(void)
{
	struct rig rig;
	struct prog p;

	up(&rig, &p);
	memcpy(rig.ram + MEM + 0x10, (const uint8_t[]){ 0, 0x1f, 1, 0x75 }, 4);
	wr32(&rig, R_DSA, MEM);
	put2(&p, 0x43000010, 0);
	put2(&p, S_INT | S_WHEN(PHASE_MSG_OUT), 3);
	run_to(&p, DSTAT_SIR, 0);
	g_assert_cmphex(rd8(&rig, R_SDID), ==, 1);
	g_assert_cmphex(rd8(&rig, R_SXFER), ==, 0x1f);
	g_assert_cmphex(rd8(&rig, R_SCNTL3), ==, 0x75);
	g_assert_cmphex(rd8(&rig, R_SCNTL2) & SCNTL2_SDU, ==, SCNTL2_SDU);
	g_assert_cmphex(rd8(&rig, R_SCNTL1) & SCNTL1_CON, ==, SCNTL1_CON);
	g_assert_cmphex(rd8(&rig, R_SBCL), ==, BUS_REQ | BUS_BSY | BUS_ATN | PHASE_MSG_OUT);
	g_assert_cmphex(rd8(&rig, R_SOCL), ==, BUS_ATN);
	assert_recovers(&rig);
	rig_down(&rig);
}

/* ---- messages ---- */

/* Sends IDENTIFY and @len bytes, then takes what the target says; returns its length. */
static unsigned talk(struct rig *rig, const uint8_t *msg, unsigned len, uint8_t *reply)
{
	struct prog p = prog_at(rig, AT);
	unsigned count;
	uint32_t loop;

	rig->ram[MEM] = 0xc0;
	memcpy(rig->ram + MEM + 1, msg, len);
	put2(&p, S_SELECT_ATN(0), 0);
	put2(&p, S_MOVE(PHASE_MSG_OUT, 1 + len), MEM);
	loop = put2(&p, S_NOT(S_JUMP) | S_WHEN(PHASE_MSG_IN), 0);
	put2(&p, S_MOVE(PHASE_MSG_IN, 1), MEM + 0x1000);
	put2(&p, S_CLEAR(S_ACK), 0);
	put2(&p, S_INT, 0x10);
	patch(&p, loop, p.at);
	put2(&p, S_INT, 0x11);
	wr32(rig, R_DSP, AT);
	for (count = 0;; count++) {
		rig_settle(rig);
		g_assert_cmphex(take_irq(rig).dstat, ==, DSTAT_SIR);
		if (rd32(rig, R_DSPS) == 0x11)
			break;
		reply[count] = rig->ram[MEM + 0x1000];
		g_assert_cmphex(rd8(rig, R_SIDL), ==, reply[count]);
		wr32(rig, R_DSP, loop);
	}
	g_assert_cmphex(rd8(rig, R_SSTAT1) & 7, ==, PHASE_COMMAND);
	assert_recovers(rig);
	return count;
}

static void test_negotiation(void)
{
	static const struct {
		uint8_t out[12];
		unsigned len;
		uint8_t in[10];
		unsigned in_len;
	} rows[] = {
		{ { 1, 3, 1, 12, 15 }, 5, { 1, 3, 1, 12, 15 }, 5 },		/* SDTR */
		{ { 1, 3, 1, 9, 62 }, 5, { 1, 3, 1, 10, 31 }, 5 },
		{ { 1, 3, 1, 50, 0 }, 5, { 1, 3, 1, 50, 0 }, 5 },
		{ { 1, 2, 3, 1 }, 4, { 1, 2, 3, 0 }, 4 },			/* WDTR */
		/* PPR */
		{ { 1, 6, 4, 9, 0, 62, 1, 2 }, 8, { 1, 6, 4, 10, 0, 31, 0, 0 }, 8 },
		{ { 0x20, 5, 1, 2, 3, 1 }, 6, { 1, 2, 3, 0 }, 4 },	/* after a tag */
		{ { 8 }, 1, { 0 }, 0 },					/* NOP */
		{ { 1, 2, 1, 12 }, 4, { 7 }, 1 },			/* SDTR, too short */
		{ { 1, 5, 0, 0, 0, 0, 1 }, 7, { 7 }, 1 },		/* MODIFY POINTERS */
		{ { 0x23, 0 }, 2, { 7 }, 1 },
		{ { 0x11 }, 1, { 7 }, 1 }, { { 0x03 }, 1, { 7 }, 1 },
		{ { 1, 3, 1, 12 }, 4, { 7 }, 1 },			/* cut short */
		{ { 1 }, 1, { 7 }, 1 }, { { 0x20 }, 1, { 7 }, 1 },
	};
	struct rig rig;
	struct prog p;
	uint8_t reply[64];

	up(&rig, &p);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		unsigned len = talk(&rig, rows[i].out, rows[i].len, reply);

		g_assert_cmpmem(reply, len, rows[i].in, rows[i].in_len);
	}
	rig_down(&rig);
}

/* An initiator that rejects DISCONNECT keeps the target; ATN is heard before anything else. */
static void test_attention(void)
{
	struct cmd c = cmd_rw(0, 3, false, 1, 1);
	struct rig rig;
	struct prog p;
	uint32_t dispatch;

	up(&rig, &p);
	rig.disk[0].hold = true;
	cmd_build(&rig, 1, &c, &dispatch);
	/* the first message of the target is answered by REJECT, and so is the second */
	rig.ram[MEM] = 0x07;
	put2(&p, S_SELECT_ATN(0), 0);
	put2(&p, S_MOVE(PHASE_MSG_OUT, 3), CMD_BASE(1) + 0x800);
	put2(&p, S_MOVE(PHASE_COMMAND, 10), CMD_BASE(1) + 0x840);
	put2(&p, S_MOVE(PHASE_MSG_IN, 1), MEM + 1);
	put2(&p, S_CLEAR(S_ACK), 0);
	put2(&p, S_MOVE(PHASE_MSG_IN, 1), MEM + 2);
	put2(&p, S_SET(S_ATN), 0);
	put2(&p, S_CLEAR(S_ACK), 0);
	put2(&p, S_NOT(S_INT) | S_WHEN(PHASE_MSG_OUT), 1);
	put2(&p, S_MOVE(PHASE_MSG_OUT, 1), MEM);
	put2(&p, S_JUMP, dispatch);
	prog_run(&p);
	g_assert_cmpmem(rig.ram + MEM + 1, 2, "\x02\x04", 2);
	g_assert_cmpint(rig.state->run, ==, RUN_WAIT_TARGET);
	g_assert_cmphex(rd8(&rig, R_ISTAT0), ==, ISTAT0_CON);
	rig_end(&rig, 0, 0);
	rig_settle(&rig);
	g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SIR);
	g_assert_cmphex(rd32(&rig, R_DSPS), ==, INT_DONE);
	g_assert_cmpmem(rig.ram + CMD_DATA(1), 512, rig.disk[0].data + 512, 512);
	rig_down(&rig);
}

/* The three queue tag messages reach the command's task attribute. */
static void test_tags(void)
{
	static const struct { uint8_t msg, attr; } rows[] = {
		{ 0x20, SCSI_TASK_SIMPLE }, { 0x21, SCSI_TASK_HEAD }, { 0x22, SCSI_TASK_ORDERED },
	};
	struct rig rig;
	struct prog p;
	int req, tag;

	up(&rig, &p);
	rig.disk[0].hold = true;
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct cmd c = cmd_rw(0, 0xa0 + i, false, 9, 1);

		c.tag_msg = rows[i].msg;
		g_assert_cmpint(cmd_start(&rig, 1, &c), ==, INT_DISCONNECTED);
		req = scsi_find(rig.l->scsi, 0, 0, 7, 0xa0 + i);
		g_assert_cmpint(req, >=, 0);
		g_assert_cmpuint(rig.state->scsi.req[req].attr, ==, rows[i].attr);
		rig_end(&rig, 0, 0);
		rig_settle(&rig);
		g_assert_cmpint(cmd_reselect(&rig, &tag), ==, INT_RESELECTED);
		g_assert_cmpint(tag, ==, 0xa0 + i);
		g_assert_cmpint(cmd_resume(&rig, 1, &c), ==, INT_DONE);
	}
	rig_down(&rig);
}

/* ---- disconnecting ---- */

static void test_wait_reselect_and_signal(void)
{
	struct cmd c = cmd_rw(1, -1, false, 7, 1);
	struct rig rig;
	struct prog p;
	int tag;

	up(&rig, &p);
	rig.disk[1].hold = true;
	put2(&p, S_WAIT_RESEL, AT + 0x100);
	put2(&p, S_INT, 1);
	p.at = AT + 0x100;
	put2(&p, S_REG_SFBR(R_CTEST2, A_OR, 0), 0);
	put2(&p, S_INT, 2);
	/* a signal wakes it, one that stands already does not let it sleep */
	prog_run(&p);
	g_assert_cmpint(rig.state->run, ==, RUN_WAIT_RESELECT);
	wr8(&rig, R_ISTAT0, ISTAT0_SIGP);
	rig_settle(&rig);
	g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SIR);
	g_assert_cmphex(rd32(&rig, R_DSPS), ==, 2);
	g_assert_cmphex(rd8(&rig, R_ISTAT0), ==, 0);
	wr8(&rig, R_ISTAT0, ISTAT0_SIGP);
	run_to(&p, DSTAT_SIR, 0);
	g_assert_cmphex(rd32(&rig, R_DSPS), ==, 2);
	/* a target that wants the bus comes before the signal, which stays */
	g_assert_cmpint(cmd_start(&rig, 1, &c), ==, INT_DISCONNECTED);
	rig_end(&rig, 1, 0);
	rig_settle(&rig);
	wr8(&rig, R_ISTAT0, ISTAT0_SIGP);
	g_assert_cmpint(cmd_reselect(&rig, &tag), ==, INT_RESELECTED);
	g_assert_cmpint(tag, ==, -1);
	g_assert_cmphex(rd8(&rig, R_SSID), ==, 0x81);
	g_assert_cmphex(rd8(&rig, R_ISTAT0), ==, ISTAT0_SIGP | ISTAT0_CON);
	g_assert_cmpint(cmd_resume(&rig, 1, &c), ==, INT_DONE);
	rig_down(&rig);
}

/* RSL: a chip without a running script tells the host of a reselection, if it is to. */
static void test_reselect_interrupt(void)
{
	struct cmd c = cmd_rw(0, 9, false, 7, 1);
	struct rig rig;
	struct prog p;
	int tag;

	up(&rig, &p);
	rig.disk[0].hold = true;
	g_assert_cmpint(cmd_start(&rig, 1, &c), ==, INT_DISCONNECTED);
	rig_end(&rig, 0, 0);
	rig_settle(&rig);
	g_assert_cmphex(rd8(&rig, R_ISTAT0), ==, 0);
	wr16(&rig, R_SIEN0, SIST_RSL);
	g_assert_cmphex(rd8(&rig, R_ISTAT0), ==, ISTAT0_SIP | ISTAT0_CON);
	g_assert_cmphex(take_irq(&rig).sist, ==, SIST_RSL);
	g_assert_cmphex(rd16(&rig, R_SBDL), ==, 0x80);
	/* connected, a selection goes to its alternate address instead */
	put2(&p, S_SELECT_ATN(1), AT + 0x100);
	put2(&p, S_INT, 1);
	p.at = AT + 0x100;
	put2(&p, S_INT, 2);
	run_to(&p, DSTAT_SIR, 0);
	g_assert_cmphex(rd32(&rig, R_DSPS), ==, 2);
	g_assert_cmpint(cmd_reselect(&rig, &tag), ==, INT_RESELECTED);
	g_assert_cmpint(tag, ==, 9);
	g_assert_cmpint(cmd_resume(&rig, 1, &c), ==, INT_DONE);
	rig_down(&rig);
}

/* Without DCNTL.COM a reselection leaves the target's bit in SFBR, as the 53C700 family does. */
static void test_reselect_without_com(void)
{
	struct cmd c = cmd_rw(1, 9, false, 5, 2);
	struct rig rig;
	struct prog p;

	up(&rig, &p);
	rig.disk[1].hold = true;
	g_assert_cmpint(cmd_start(&rig, 1, &c), ==, INT_DISCONNECTED);
	rig_end(&rig, 1, 0);
	rig_settle(&rig);
	wr8(&rig, R_DCNTL, 0);
	put2(&p, S_WAIT_RESEL, AT);
	put2(&p, S_INT, 1);
	run_to(&p, DSTAT_SIR, 0);
	g_assert_cmphex(rd8(&rig, R_SFBR), ==, 1 << 1);
	/* the byte on the bus, before ACK# and while it stands */
	g_assert_cmphex(rd8(&rig, R_SBDL), ==, 0x80);
	p = prog_at(&rig, AT);
	put2(&p, S_MOVE(PHASE_MSG_IN, 1), MEM + 0x100);
	put2(&p, S_INT, 1);
	run_to(&p, DSTAT_SIR, 0);
	g_assert_cmphex(rd8(&rig, R_SBDL), ==, 0x80);
	rig.disk[1].hold = false;
	assert_recovers(&rig);
	rig_down(&rig);
}

/* Without the privilege the target holds the bus and the script waits; HTH tells if it is long. */
static void test_no_disconnect_privilege(void)
{
	struct cmd c = cmd_rw(0, -1, false, 5, 2);
	struct rig rig;
	struct prog p;

	up(&rig, &p);
	c.no_disconnect = true;
	rig.disk[0].hold = true;
	g_assert_cmpint(cmd_start(&rig, 1, &c), ==, -1);
	g_assert_cmpint(rig.state->run, ==, RUN_WAIT_TARGET);
	g_assert_cmphex(rd8(&rig, R_SBCL) & BUS_REQ, ==, 0);
	rig_end(&rig, 0, 0);
	rig_settle(&rig);
	g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SIR);
	g_assert_cmpmem(rig.ram + CMD_DATA(1), 1024, rig.disk[0].data + 5 * 512, 1024);
	wr16(&rig, R_SIEN0, SIST_HTH);
	wr8(&rig, R_STIME0, 0x10);	/* 125 us between handshakes */
	g_assert_cmpint(cmd_start(&rig, 1, &c), ==, -1);
	rig_advance(&rig, LOOP_MS / 8 - 1);
	g_assert_cmphex(rd8(&rig, R_ISTAT0) & ISTAT0_SIP, ==, 0);
	rig_advance(&rig, 1);
	g_assert_cmphex(take_irq(&rig).sist, ==, SIST_HTH);
	g_assert_cmphex(rd8(&rig, R_ISTAT1) & ISTAT1_SRUN, ==, 0);
	rig.disk[0].hold = false;
	assert_recovers(&rig);
	rig_down(&rig);
}

/* A read that the disk has at hand ends in the slice that began it; another one does not. */
static void test_read_at_once(void)
{
	struct cmd c = cmd_rw(0, 3, false, 5, 8), all = cmd_rw(0, 3, false, 1, 600);
	struct rig rig;
	struct prog p;

	up(&rig, &p);
	rig.disk[0].now = rig.disk[0].hold = true;
	rig.l->slices = rig.l->max_slice_bytes = 0;
	g_assert_cmpint(cmd_start(&rig, 1, &c), ==, INT_DONE);
	g_assert_true(rig.remote.on || rig.l->slices == 1);
	g_assert_cmphex(cmd_status(&rig, 1), ==, SCSI_GOOD);
	g_assert_cmpmem(rig.ram + CMD_DATA(1), 4096, rig.disk[0].data + 5 * 512, 4096);
	g_assert_true(rig.remote.on || rig.l->max_slice_bytes >= 2 * 4096);	/* both copies */
	g_assert_cmpint(cmd_start(&rig, 1, &all), ==, INT_DONE);
	g_assert_cmpmem(rig.ram + CMD_DATA(1), 600 * 512, rig.disk[0].data + 512, 600 * 512);
	rig.disk[0].now = false;
	g_assert_cmpint(cmd_start(&rig, 1, &c), ==, INT_DISCONNECTED);
	rig.disk[0].hold = false;
	rig_end(&rig, 0, 0);
	assert_recovers(&rig);
	rig_down(&rig);
}

/* Bus free without a right to it: UDC when the script has not said that it expects it. */
static void test_unexpected_disconnect(void)
{
	struct rig rig;
	struct prog p;

	up(&rig, &p);
	memcpy(rig.ram + MEM, "\xc0\x06", 2);
	put2(&p, S_SELECT_ATN(0), 0);
	put2(&p, S_MOVE(PHASE_MSG_OUT, 2), MEM);
	put2(&p, S_INT, 1);
	prog_run(&p);
	g_assert_cmphex(take_irq(&rig).sist, ==, SIST_UDC);
	g_assert_cmphex(rd8(&rig, R_ISTAT0) & ISTAT0_CON, ==, 0);
	take_irq(&rig);
	p.at = AT;
	put2(&p, S_SELECT_ATN(0), 0);
	put2(&p, S_REG_REG(R_SCNTL2, A_AND, 0x7f), 0);
	put2(&p, S_MOVE(PHASE_MSG_OUT, 2), MEM);
	put2(&p, S_CLEAR(S_ACK | S_ATN), 0);
	put2(&p, S_WAIT_DISC, 0);
	put2(&p, S_INT, 1);
	run_to(&p, DSTAT_SIR, 0);
	rig_down(&rig);
}

/* ---- ending commands ---- */

/* Selects 0:0, names @tag when it has one, and sends @msg, as Linux's abort script does. */
static void send_kill(struct rig *rig, int tag, uint8_t msg)
{
	struct prog p = prog_at(rig, AT);
	unsigned n = 0;

	rig->ram[MEM + n++] = 0xc0;
	if (tag >= 0) {
		rig->ram[MEM + n++] = 0x20;
		rig->ram[MEM + n++] = tag;
	}
	rig->ram[MEM + n++] = msg;
	put2(&p, S_SELECT_ATN(0), 0);
	put2(&p, S_REG_REG(R_SCNTL2, A_AND, 0x7f), 0);
	put2(&p, S_MOVE(PHASE_MSG_OUT, n), MEM);
	put2(&p, S_CLEAR(S_ACK | S_ATN), 0);
	put2(&p, S_WAIT_DISC, 0);
	put2(&p, S_INT, 1);
	run_to(&p, DSTAT_SIR, 0);
}

static void test_kill_messages(void)
{
	static const struct { uint8_t msg; int tag; unsigned left; bool attention; } rows[] = {
		{ 0x0d, 2, 3, false },	/* ABORT TAG: that one */
		{ 0x0d, 9, 4, false },	/* no such one */
		{ 0x06, -1, 1, false },	/* ABORT: all of this initiator at 0:0 */
		{ 0x0e, -1, 1, false },	/* CLEAR QUEUE */
		{ 0x0c, -1, 0, true },	/* BUS DEVICE RESET: both units */
	};
	struct rig rig;
	struct prog p;

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct cmd c;

		up(&rig, &p);
		rig.disk[0].hold = rig.disk[2].hold = true;
		for (unsigned k = 1; k <= 4; k++) {
			c = cmd_rw(0, k, false, 8 * k, 1);
			c.lun = k == 4;
			g_assert_cmpint(cmd_start(&rig, k, &c), ==, INT_DISCONNECTED);
		}
		send_kill(&rig, rows[i].tag, rows[i].msg);
		g_assert_cmpuint(scsi_active(rig.l->scsi), ==, rows[i].left);
		rig.disk[0].hold = rig.disk[2].hold = false;
		while (rig.disk[0].count)
			rig_end(&rig, 0, 0);
		rig_end(&rig, 2, 0);
		rig_settle(&rig);
		for (unsigned k = 0; k < rows[i].left; k++) {
			int tag;

			g_assert_cmpint(cmd_reselect(&rig, &tag), ==, INT_RESELECTED);
			c = cmd_rw(0, tag, false, 8 * tag, 1);
			g_assert_cmpint(cmd_resume(&rig, tag, &c), ==, INT_DONE);
			g_assert_cmphex(cmd_status(&rig, tag), ==, SCSI_GOOD);
		}
		g_assert_cmpuint(scsi_active(rig.l->scsi), ==, 0);
		c = (struct cmd){ .target = 0, .tag = -1, .cdb_len = 6 };
		g_assert_cmphex(cmd_do(&rig, &c), ==,
				rows[i].attention ? SCSI_CHECK_CONDITION : SCSI_GOOD);
		rig_down(&rig);
	}
}

/* A target that has just reselected is told to drop its command: Linux's way out of confusion. */
static void test_kill_on_reselection(void)
{
	struct cmd c = cmd_rw(0, 5, false, 40, 1);
	struct rig rig;
	struct prog p;

	up(&rig, &p);
	rig.disk[0].hold = true;
	g_assert_cmpint(cmd_start(&rig, 1, &c), ==, INT_DISCONNECTED);
	rig_end(&rig, 0, 0);
	rig.ram[MEM] = 0x06;
	put2(&p, S_WAIT_RESEL, 0);
	put2(&p, S_MOVE(PHASE_MSG_IN, 1), MEM + 4);
	put2(&p, S_SET(S_ATN), 0);
	put2(&p, S_CLEAR(S_ACK), 0);
	put2(&p, S_REG_REG(R_SCNTL2, A_AND, 0x7f), 0);
	put2(&p, S_MOVE(PHASE_MSG_OUT, 1), MEM);
	put2(&p, S_CLEAR(S_ACK | S_ATN), 0);
	put2(&p, S_WAIT_DISC, 0);
	put2(&p, S_INT, 6);
	run_to(&p, DSTAT_SIR, 0);
	g_assert_cmpuint(scsi_active(rig.l->scsi), ==, 0);
	rig.disk[0].hold = false;
	assert_alive(&rig);
	rig_down(&rig);
}

/* ---- block moves ---- */

static const uint8_t inquiry_cdb[6] = { 0x12, 0, 0, 0, 36, 0 };

/* A script up to the data phase of an INQUIRY, which the caller's instructions then move. */
static struct prog to_data(struct rig *rig)
{
	struct prog p = prog_at(rig, AT);

	rig->ram[MEM] = 0x80;
	memcpy(rig->ram + MEM + 8, inquiry_cdb, 6);
	put2(&p, S_SELECT_ATN(0), 0);
	put2(&p, S_MOVE(PHASE_MSG_OUT, 1), MEM);
	put2(&p, S_MOVE(PHASE_COMMAND, 6), MEM + 8);
	return p;
}

static void put_table(struct rig *rig, unsigned off, uint32_t count, uint32_t addr)
{
	put_le32(rig->ram + MEM + 0x200 + off, count);
	put_le32(rig->ram + MEM + 0x204 + off, addr);
	wr32(rig, R_DSA, MEM + 0x200);
}

struct address {
	uint8_t ccntl1, upper;	/* of the table entry */
	unsigned sel;		/* the register with the upper half, or 0 */
	uint32_t form;
};

/* Moves the inquiry data of @p's script to RIG_HIGH + @off, as @a says. */
static void move_to(struct rig *rig, const struct address *a, unsigned off)
{
	uint32_t low = (uint32_t)RIG_HIGH + off, second = low;
	struct prog p = to_data(rig);

	if (a->form == S_TABLE) {
		put_table(rig, 0, 36 | (uint32_t)a->upper << 24, low);
		second = 0;
	} else if (a->form == S_INDIRECT) {
		put_le32(rig->ram + MEM + 0x100, low);
		second = MEM + 0x100;
	}
	put2(&p, S_CHMOV(PHASE_DATA_IN, a->form == S_TABLE ? 0 : 36) | a->form, second);
	if (a->ccntl1 & CCNTL1_EN64DBMV && !a->form)
		put1(&p, RIG_HIGH >> 32);
	put2(&p, S_INT, 4);
	/* MSG OUT and COMMAND are moved step by step before the upper half counts */
	wr8(rig, R_DMODE, DMODE_MAN);
	wr32(rig, R_DSP, AT);
	wr8(rig, R_DMODE, 0);
	for (unsigned at = 0; at < 24; at += 8) {
		wr8(rig, R_DCNTL, DCNTL_COM | DCNTL_SSM | DCNTL_STD);
		rig_settle(rig);
		g_assert_cmphex(take_irq(rig).dstat, ==, DSTAT_SSI);
	}
	wr8(rig, R_CCNTL1, a->ccntl1);
	if (a->sel)
		wr32(rig, a->sel, RIG_HIGH >> 32);
	wr8(rig, R_DCNTL, DCNTL_COM | DCNTL_STD);
	rig_settle(rig);
}

/* Every way to name an address of 64 bits. */
static void test_addresses(void)
{
	static const struct address rows[] = {
		{ 0, 0, R_SBMS, 0 }, { 0, 0, R_SBMS, S_INDIRECT }, { 0, 0, R_SBMS, S_TABLE },
		{ CCNTL1_EN64DBMV, 0, 0, 0 }, { CCNTL1_EN64DBMV, 0, R_SBMS, S_INDIRECT },
		{ CCNTL1_EN64TIBMV | CCNTL1_64TIMOD, RIG_HIGH >> 32, 0, S_TABLE },
		{ CCNTL1_EN64TIBMV, 0x00, R_SCRATCHC, S_TABLE },
		{ CCNTL1_EN64TIBMV, 0x01, 0x64, S_TABLE },
		{ CCNTL1_EN64TIBMV, 0x0f, 0x9c, S_TABLE },
		{ CCNTL1_EN64TIBMV, 0x10, R_MMRS, S_TABLE },
		{ CCNTL1_EN64TIBMV, 0x11, R_MMWS, S_TABLE },
		{ CCNTL1_EN64TIBMV, 0x14, R_SBMS, S_TABLE },
		{ CCNTL1_EN64TIBMV, 0x15, R_DBMS, S_TABLE },
	};
	struct rig rig;
	struct prog p;

	up(&rig, &p);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		move_to(&rig, &rows[i], 0x100 * i);
		g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SIR);
		g_assert_cmpmem(rig.high + 0x100 * i + 8, 8, "TEST    ", 8);
		g_assert_cmphex(rd32(&rig, R_DNAD64), ==, RIG_HIGH >> 32);
		g_assert_cmphex(rd32(&rig, R_DNAD), ==, (uint32_t)RIG_HIGH + 0x100 * i + 36);
		if (rows[i].ccntl1 == CCNTL1_EN64DBMV && !rows[i].form)
			g_assert_cmphex(rd32(&rig, R_DBMS), ==, RIG_HIGH >> 32);
		assert_recovers(&rig);
	}
	/* a selector that does not exist */
	p = to_data(&rig);
	put_table(&rig, 0, 36 | 0x16000000, 0);
	put2(&p, S_CHMOV(PHASE_DATA_IN, 0) | S_TABLE, 0);
	wr8(&rig, R_CCNTL1, CCNTL1_EN64TIBMV);
	run_to(&p, DSTAT_IID, 0);
	assert_recovers(&rig);
	rig_down(&rig);
}

/* The registers that a driver reads to go on after a phase mismatch. */
static void assert_mismatch_state(struct rig *rig, uint32_t insn, uint32_t addr)
{
	g_assert_cmphex(rd32(rig, R_DBC) & 0xffffff, ==, 64);
	g_assert_cmphex(rd32(rig, R_RBC), ==, 0x01000040);
	g_assert_cmphex(rd32(rig, R_UA), ==, addr + 36);
	g_assert_cmphex(rd32(rig, R_IA), ==, insn);
	g_assert_cmphex(rd32(rig, R_ESA), ==, MEM + 0x208);
	g_assert_cmphex(rd32(rig, R_SBC), ==, 36);
	g_assert_cmphex(rd8(rig, R_DFIFO), ==, 64);
}

static void test_phase_mismatch(void)
{
	static const struct { uint8_t ccntl0; bool jump; unsigned which; } rows[] = {
		{ 0, false, 0 }, { CCNTL0_ENPMJ, true, 0x100 },
		{ CCNTL0_ENPMJ | CCNTL0_PMJCTL, true, 0x200 }, { CCNTL0_PMJCTL, false, 0 },
		{ CCNTL0_ENNDJ, false, 0 },
	};
	struct rig rig;
	struct prog p;
	uint32_t insn;

	up(&rig, &p);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct irq irq;

		p = to_data(&rig);
		put_table(&rig, 8, 100 | 0x01000000, (uint32_t)RIG_HIGH);
		insn = put2(&p, S_CHMOV(PHASE_DATA_IN, 0) | S_TABLE, 8);
		put2(&p, S_INT, 1);
		p.at = AT + 0x100;
		put2(&p, S_INT, 0x100);
		p.at = AT + 0x200;
		put2(&p, S_INT, 0x200);
		wr8(&rig, R_CCNTL0, rows[i].ccntl0);
		wr8(&rig, R_CCNTL1, CCNTL1_EN64TIBMV | CCNTL1_64TIMOD);
		wr32(&rig, R_PMJAD1, AT + 0x100);
		wr32(&rig, R_PMJAD2, AT + 0x200);
		prog_run(&p);
		irq = take_irq(&rig);
		g_assert_cmphex(irq.dstat, ==, rows[i].jump ? DSTAT_SIR : 0);
		g_assert_cmphex(irq.sist, ==, rows[i].jump ? 0 : SIST_MA);
		if (rows[i].jump)
			g_assert_cmphex(rd32(&rig, R_DSPS), ==, rows[i].which);
		else
			g_assert_cmphex(rd32(&rig, R_DSP), ==, insn + 8);
		if (!rows[i].jump) {
			g_assert_cmphex(rd8(&rig, R_DCMD), ==, 0x11);
			g_assert_cmphex(rd32(&rig, R_DBC) & 0xffffff, ==, 64);
			assert_mismatch_state(&rig, insn, (uint32_t)RIG_HIGH);
		} else {
			g_assert_cmphex(rd32(&rig, R_RBC), ==, 0x01000040);
			g_assert_cmphex(rd32(&rig, R_UA), ==, (uint32_t)RIG_HIGH + 36);
			g_assert_cmphex(rd32(&rig, R_IA), ==, insn);
		}
		g_assert_cmphex(rd8(&rig, R_SBCL) & 7, ==, PHASE_STATUS);
		wr8(&rig, R_CCNTL1, 0);
		assert_recovers(&rig);
	}
	rig_down(&rig);
}

/* Other phases jump only when ENNDJ says so, by the direction of the instruction's phase. */
static void test_phase_mismatch_no_data(void)
{
	static const struct { uint8_t ccntl0; unsigned phase; unsigned which; } rows[] = {
		{ CCNTL0_ENPMJ, PHASE_STATUS, 0 },
		{ CCNTL0_ENPMJ | CCNTL0_ENNDJ, PHASE_STATUS, 0x100 },
		{ CCNTL0_ENPMJ | CCNTL0_ENNDJ | CCNTL0_PMJCTL, PHASE_STATUS, 0x200 },
		{ CCNTL0_ENPMJ | CCNTL0_ENNDJ | CCNTL0_PMJCTL, PHASE_MSG_OUT, 0x100 },
		{ CCNTL0_ENPMJ, 5, 0 }, { CCNTL0_ENPMJ, PHASE_DATA_OUT, 0x100 },
	};
	struct rig rig;
	struct prog p;

	up(&rig, &p);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		p = to_data(&rig);
		put2(&p, S_MOVE(rows[i].phase, 4), MEM + 0x400);
		p.at = AT + 0x100;
		put2(&p, S_INT, 0x100);
		p.at = AT + 0x200;
		put2(&p, S_INT, 0x200);
		wr32(&rig, R_PMJAD1, AT + 0x100);
		wr32(&rig, R_PMJAD2, AT + 0x200);
		wr8(&rig, R_CCNTL0, rows[i].ccntl0);
		if (rows[i].phase == 5)
			wr8(&rig, R_CCNTL0, rows[i].ccntl0 & ~CCNTL0_ENPMJ);
		run_to(&p, rows[i].which ? DSTAT_SIR : 0, rows[i].which ? 0 : SIST_MA);
		if (rows[i].which)
			g_assert_cmphex(rd32(&rig, R_DSPS), ==, rows[i].which);
		assert_recovers(&rig);
	}
	rig_down(&rig);
}

/*
 * A long read from a slow disk: the target leaves in the middle of a move whenever it has to wait,
 * and the driver goes on from DNAD and DBC after each reselection.
 */
static void test_disconnect_in_data(void)
{
	struct cmd c = cmd_rw(0, 1, false, 0, 400);
	unsigned disconnects = 0;
	struct rig rig;
	struct prog p;
	int what, tag;

	up(&rig, &p);
	rig.disk[0].hold = true;
	c.data_addr = 0x800000;
	what = cmd_start(&rig, 1, &c);
	while (what != INT_DONE) {
		struct irq irq = take_irq(&rig);

		if (what < 0 && irq.sist == SIST_MA) {
			c.data_addr = rd32(&rig, R_DNAD);
			c.data_len = rd32(&rig, R_DBC) & 0xffffff;
			what = cmd_resume(&rig, 1, &c);
			continue;
		}
		g_assert_cmpint(what, ==, INT_DISCONNECTED);
		disconnects++;
		rig_end(&rig, 0, 0);
		rig_settle(&rig);
		g_assert_cmpint(cmd_reselect(&rig, &tag), ==, INT_RESELECTED);
		what = cmd_resume(&rig, 1, &c);
	}
	g_assert_cmpuint(disconnects, >=, 2);
	g_assert_cmphex(cmd_status(&rig, 1), ==, SCSI_GOOD);
	g_assert_cmpmem(rig.ram + 0x800000, 400 * 512, rig.disk[0].data, 400 * 512);
	rig_down(&rig);
}

/* The command block comes in two moves; the reserved phases never fit. */
static void test_command_in_pieces(void)
{
	struct rig rig;
	struct prog p;

	up(&rig, &p);
	rig.ram[MEM] = 0x80;
	memcpy(rig.ram + MEM + 8, inquiry_cdb, 6);
	put2(&p, S_SELECT_ATN(0), 0);
	put2(&p, S_MOVE(PHASE_MSG_OUT, 1), MEM);
	put2(&p, S_MOVE(PHASE_COMMAND, 2), MEM + 8);
	put2(&p, S_NOT(S_INT) | S_WHEN(PHASE_COMMAND), 1);
	put2(&p, S_MOVE(PHASE_COMMAND, 4), MEM + 10);
	put2(&p, S_INT | S_WHEN(PHASE_DATA_IN), 2);
	run_to(&p, DSTAT_SIR, 0);
	g_assert_cmphex(rd32(&rig, R_DSPS), ==, 2);
	p = prog_at(&rig, AT + 0x1000);
	put2(&p, S_MOVE(4, 1), MEM);
	run_to(&p, 0, SIST_MA);
	assert_recovers(&rig);
	rig_down(&rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/lsi/scsi/selection-timeout", test_selection_timeout);
	g_test_add_func("/lsi/scsi/select-without-atn", test_select_without_atn);
	g_test_add_func("/lsi/scsi/select-table", test_select_table);
	g_test_add_func("/lsi/scsi/negotiation", test_negotiation);
	g_test_add_func("/lsi/scsi/attention", test_attention);
	g_test_add_func("/lsi/scsi/tags", test_tags);
	g_test_add_func("/lsi/scsi/wait-reselect-and-signal", test_wait_reselect_and_signal);
	g_test_add_func("/lsi/scsi/reselect-interrupt", test_reselect_interrupt);
	g_test_add_func("/lsi/scsi/reselect-without-com", test_reselect_without_com);
	g_test_add_func("/lsi/scsi/no-disconnect-privilege", test_no_disconnect_privilege);
	g_test_add_func("/lsi/scsi/read-at-once", test_read_at_once);
	g_test_add_func("/lsi/scsi/unexpected-disconnect", test_unexpected_disconnect);
	g_test_add_func("/lsi/scsi/kill-messages", test_kill_messages);
	g_test_add_func("/lsi/scsi/kill-on-reselection", test_kill_on_reselection);
	g_test_add_func("/lsi/scsi/addresses", test_addresses);
	g_test_add_func("/lsi/scsi/phase-mismatch", test_phase_mismatch);
	g_test_add_func("/lsi/scsi/phase-mismatch-no-data", test_phase_mismatch_no_data);
	g_test_add_func("/lsi/scsi/disconnect-in-data", test_disconnect_in_data);
	g_test_add_func("/lsi/scsi/command-in-pieces", test_command_in_pieces);
	return g_test_run();
}
