/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "rig.h"

/* Commands as a driver runs them: one script a command, and one that waits for reselection. */

#define OFF_MSGOUT 0x800
#define OFF_CDB 0x840
#define OFF_STATUS 0x880
#define OFF_MSGIN 0x890

static void put_message_out(struct rig *rig, unsigned k, const struct cmd *c, unsigned *ret_len)
{
	uint8_t *m = rig->ram + CMD_BASE(k) + OFF_MSGOUT;
	unsigned n = 0;

	m[n++] = 0x80 | (c->no_disconnect ? 0 : 0x40) | c->lun;
	if (c->tag >= 0) {
		m[n++] = c->tag_msg ? c->tag_msg : 0x20;
		m[n++] = c->tag;
	}
	memcpy(m + n, c->extra, c->extra_len);
	*ret_len = n + c->extra_len;
}

/* The way off the bus: no disconnect is unexpected now, negate ACK, wait, tell the host. */
static void put_goodbye(struct prog *p, unsigned why)
{
	put2(p, S_REG_REG(R_SCNTL2, A_AND, 0x7f), 0);
	put2(p, S_CLEAR(S_ACK | S_ATN), 0);
	put2(p, S_WAIT_DISC, 0);
	put2(p, S_INT, why);
}

uint32_t cmd_build(struct rig *rig, unsigned k, const struct cmd *c, uint32_t *ret_dispatch)
{
	uint32_t base = CMD_BASE(k), msg_in, data_out, data_in, status, done, disc, dispatch;
	uint64_t data = c->data_addr ? c->data_addr : CMD_DATA(k);
	struct prog p = prog_at(rig, base);
	unsigned msg_len;

	put_message_out(rig, k, c, &msg_len);
	memcpy(rig->ram + base + OFF_CDB, c->cdb, 16);
	rig->ram[base + OFF_STATUS] = 0xff;
	put2(&p, S_SELECT_ATN(c->target), RESEL_BASE);
	put2(&p, S_MOVE(PHASE_MSG_OUT, msg_len), base + OFF_MSGOUT);
	dispatch = put2(&p, S_JUMP | S_WHEN(PHASE_MSG_IN), 0);
	data_out = put2(&p, S_JUMP | S_IF(PHASE_DATA_OUT), 0);
	data_in = put2(&p, S_JUMP | S_IF(PHASE_DATA_IN), 0);
	status = put2(&p, S_JUMP | S_IF(PHASE_STATUS), 0);
	put2(&p, S_NOT(S_INT) | S_IF(PHASE_COMMAND), INT_PHASE);
	put2(&p, S_MOVE(PHASE_COMMAND, c->cdb_len), base + OFF_CDB);
	put2(&p, S_JUMP, dispatch);
	msg_in = dispatch;
	patch(&p, data_out, p.at);
	put2(&p, S_CHMOV(PHASE_DATA_OUT, c->data_len), data);
	put2(&p, S_JUMP, dispatch);
	patch(&p, data_in, p.at);
	put2(&p, S_CHMOV(PHASE_DATA_IN, c->data_len), data);
	put2(&p, S_JUMP, dispatch);
	patch(&p, status, p.at);
	put2(&p, S_MOVE(PHASE_STATUS, 1), base + OFF_STATUS);
	put2(&p, S_JUMP, dispatch);
	patch(&p, msg_in, p.at);
	put2(&p, S_MOVE(PHASE_MSG_IN, 1), base + OFF_MSGIN);
	done = put2(&p, S_JUMP | S_DATA(0x00), 0);
	disc = put2(&p, S_JUMP | S_DATA(0x04), 0);
	put2(&p, S_NOT(S_INT) | S_DATA(0x02), INT_MESSAGE);
	put2(&p, S_CLEAR(S_ACK), 0);
	put2(&p, S_JUMP, dispatch);
	patch(&p, done, p.at);
	put_goodbye(&p, INT_DONE);
	patch(&p, disc, p.at);
	put_goodbye(&p, INT_DISCONNECTED);
	g_assert_cmpuint(p.at, <=, base + OFF_MSGOUT);
	if (ret_dispatch)
		*ret_dispatch = dispatch;
	return base;
}

/* What a script interrupt said; -1 when there was none, or another one. */
static int sir(struct rig *rig)
{
	rig_settle(rig);
	/* a look that does not clear another interrupt */
	if (!(rd8(rig, R_ISTAT0) & ISTAT0_DIP) || !(rig->state->regs[R_DSTAT] & DSTAT_SIR))
		return -1;
	rd8(rig, R_DSTAT);
	return rd32(rig, R_DSPS);
}

int cmd_start(struct rig *rig, unsigned k, const struct cmd *c)
{
	wr32(rig, R_DSP, cmd_build(rig, k, c, NULL));
	return sir(rig);
}

int cmd_resume(struct rig *rig, unsigned k, const struct cmd *c)
{
	uint32_t dispatch;

	cmd_build(rig, k, c, &dispatch);
	wr32(rig, R_DSP, dispatch);
	return sir(rig);
}

/* The script takes IDENTIFY, and a tag if the target goes on with one; both lie at RESEL_BASE. */
uint32_t cmd_reselect_build(struct rig *rig)
{
	struct prog p = prog_at(rig, RESEL_BASE);
	uint32_t untagged;

	memset(rig->ram + RESEL_BASE + 0x100, 0, 16);
	put2(&p, S_WAIT_RESEL, 0);
	put2(&p, S_MOVE(PHASE_MSG_IN, 1), RESEL_BASE + 0x100);
	put2(&p, S_CLEAR(S_ACK), 0);
	untagged = put2(&p, S_NOT(S_JUMP) | S_WHEN(PHASE_MSG_IN), 0);
	put2(&p, S_MOVE(PHASE_MSG_IN, 2), RESEL_BASE + 0x104);
	put2(&p, S_CLEAR(S_ACK), 0);
	patch(&p, untagged, p.at);
	put2(&p, S_INT, INT_RESELECTED);
	return p.start;
}

int cmd_reselect(struct rig *rig, int *ret_tag)
{
	uint8_t *msg = rig->ram + RESEL_BASE + 0x100;
	int ret;

	wr32(rig, R_DSP, cmd_reselect_build(rig));
	ret = sir(rig);
	if (ret < 0)
		return ret;
	g_assert_cmphex(msg[0] & 0x80, ==, 0x80);
	*ret_tag = msg[4] == 0x20 ? msg[5] : -1;
	return ret;
}

uint8_t cmd_status(struct rig *rig, unsigned k)
{
	return rig->ram[CMD_BASE(k) + OFF_STATUS];
}

int cmd_run(struct rig *rig, unsigned k, const struct cmd *c)
{
	int what = cmd_start(rig, k, c), tag;

	while (what == INT_DISCONNECTED) {
		what = cmd_reselect(rig, &tag);
		g_assert_cmpint(what, ==, INT_RESELECTED);
		g_assert_cmpint(tag, ==, c->tag);
		what = cmd_resume(rig, k, c);
	}
	return what;
}

uint8_t cmd_do(struct rig *rig, const struct cmd *c)
{
	return cmd_run(rig, 0, c) == INT_DONE ? cmd_status(rig, 0) : 0xff;
}

struct cmd run_inquiry(unsigned target)
{
	return (struct cmd){
		.target = target, .tag = -1, .cdb = { 0x12, 0, 0, 0, 36 }, .cdb_len = 6,
		.data_len = 36,
	};
}

struct cmd cmd_rw(unsigned target, int tag, bool write, uint32_t lba, unsigned sectors)
{
	return (struct cmd){
		.target = target, .tag = tag, .cdb_len = 10, .data_len = sectors * 512,
		.cdb = { write ? 0x2a : 0x28, 0, lba >> 24, lba >> 16, lba >> 8, lba, 0,
			 sectors >> 8, sectors },
	};
}

void assert_alive(struct rig *rig)
{
	struct cmd c = run_inquiry(0);

	memset(rig->ram + CMD_DATA(0), 0, 36);
	g_assert_cmphex(cmd_do(rig, &c), ==, SCSI_GOOD);
	g_assert_cmpmem(rig->ram + CMD_DATA(0) + 8, 12, "TEST    DISK", 12);
}

void assert_recovers(struct rig *rig)
{
	wr8(rig, R_ISTAT0, ISTAT0_SRST);
	wr8(rig, R_ISTAT0, 0);
	wr8(rig, R_SCID, SCID_RRE | 7);
	wr8(rig, R_DCNTL, DCNTL_COM);
	g_assert_cmphex(rd8(rig, R_ISTAT0), ==, 0);
	assert_alive(rig);
}
