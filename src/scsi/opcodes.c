/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/num.h"
#include "scsi/bus.h"

/* REPORT SUPPORTED OPERATION CODES and TASK MANAGEMENT FUNCTIONS (SPC-3 6.23, 6.24). */

#define TIMEOUTS_LEN 12		/* a command timeouts descriptor */

/* No time is promised: NOMINAL and RECOMMENDED are 0. */
static uint32_t put_timeouts(uint8_t *p)
{
	memset(p, 0, TIMEOUTS_LEN);
	put_be16(p, TIMEOUTS_LEN - 2);
	return TIMEOUTS_LEN;
}

static void report_all(struct task *t, unsigned type, bool timeouts)
{
	uint32_t len = 4;

	for (unsigned i = 0; i < cdb_table_len; i++) {
		const struct cdb_row *row = &cdb_table[i];
		uint8_t *p = t->buf + len;

		if (!(row->types & type) || len + 8 + TIMEOUTS_LEN > t->buf_size)
			continue;
		memset(p, 0, 8);
		p[0] = row->opcode;
		put_be16(&p[2], row->action < 0 ? 0 : row->action);
		p[5] = (timeouts ? 0x02 : 0) | (row->action < 0 ? 0 : 0x01);
		put_be16(&p[6], row->len);
		len += 8 + (timeouts ? put_timeouts(&p[8]) : 0);
	}
	put_be32(t->buf, len - 4);
	task_reply(t, len, get_be32(&task_cdb(t)[6]));
}

static void report_one(struct task *t, const struct cdb_row *row, bool timeouts)
{
	uint32_t len = 4;

	memset(t->buf, 0, 4 + SCSI_MAX_CDB);
	t->buf[1] = row ? 0x03 : 0x01;		/* SUPPORT: to the standard, or not */
	if (row) {
		put_be16(&t->buf[2], row->len);
		memcpy(&t->buf[4], row->usage, row->len);
		if (row->flags & CDB_DPOFUA && row->len > 6)
			t->buf[5] &= unit_dpofua(t->unit) | ~0x18;
		len += row->len;
	}
	if (row && timeouts) {
		t->buf[1] |= 0x80;		/* CTDP */
		len += put_timeouts(t->buf + len);
	}
	task_reply(t, len, get_be32(&task_cdb(t)[6]));
}

/* REPORTING OPTIONS 1: an opcode without, 2: one with service actions, 3: either. */
void cmd_report_opcodes(struct task *t)
{
	const uint8_t *cdb = task_cdb(t);
	unsigned options = cdb[2] & 7, type = unit_is_cd(t->unit) ? CDB_CD : CDB_DISK;
	uint16_t action = get_be16(&cdb[4]);
	uint8_t probe[2] = { cdb[3], action };
	const struct cdb_row *any = cdb_find_opcode(cdb[3], type), *row;
	bool timeouts = cdb[2] & 0x80, has_actions = any && any->action >= 0;

	if (!options) {
		report_all(t, type, timeouts);
		return;
	}
	if (options > 3 || (options == 1 && has_actions) || (options == 2 && any && !has_actions)) {
		task_bad_cdb(t, 2, 2);
		return;
	}
	row = action <= 0x1f ? cdb_find(probe, type) : NULL;
	if (options == 3 && !has_actions && action)
		row = NULL;
	report_one(t, options == 1 ? any : row, timeouts);
}

/* ABORT TASK, ABORT TASK SET, CLEAR TASK SET, TARGET RESET. */
void cmd_report_tmf(struct task *t)
{
	memset(t->buf, 0, 4);
	t->buf[0] = 0x80 | 0x40 | 0x10 | 0x02;
	task_reply(t, 4, get_be32(&task_cdb(t)[6]));
}
