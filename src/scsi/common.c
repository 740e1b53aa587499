/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/num.h"
#include "scsi/bus.h"

/* Commands that every device type has, the parameter data of which is short. */

/* SPC-3 6.33: task_start() has looked at the medium already. */
void cmd_test_unit_ready(struct task *t)
{
	task_good(t);
}

/*
 * SPC-3 6.27.  task->s->sense came along from the last CHECK CONDITION; without one, a pending
 * unit attention is reported and cleared here.
 */
void cmd_request_sense(struct task *t)
{
	struct scsi_sense sense = t->s->sense;
	const uint8_t *cdb = task_cdb(t);
	struct scsi_unit_state *u;

	if (!t->unit) {
		sense = sense_make(SENSE_NO_LUN);
	} else if (!sense.key && t->unit->state->ua_count) {
		u = t->unit->state;
		sense = sense_make(SENSE(KEY_ATTENTION, u->ua[0] >> 8, u->ua[0] & 0xff));
		memmove(&u->ua[0], &u->ua[1], sizeof(u->ua) - sizeof(u->ua[0]));
		u->ua_count--;
	}
	task_reply(t, sense_build(&sense, cdb[1] & 1, t->buf), cdb[4]);
}

/* SPC-3 6.21.  LUN 0 is reported even if it is not there: it answers INQUIRY. */
void cmd_report_luns(struct task *t)
{
	const uint8_t *cdb = task_cdb(t);
	uint32_t alloc = cdb_list_len(cdb), len = 8;

	if (cdb[2] > 2) {
		task_bad_cdb(t, 2, 7);
		return;
	}
	if (alloc < 16) {
		task_bad_cdb(t, 6, -1);
		return;
	}
	memset(t->buf, 0, 8 + 8 * SCSI_MAX_LUNS);
	/* SELECT REPORT 01h: well known logical units, of which there are none. */
	for (unsigned lun = 0; cdb[2] != 1 && lun < SCSI_MAX_LUNS; lun++) {
		if (lun && !t->bus->map[t->s->target][lun])
			continue;
		t->buf[len + 1] = lun;
		len += 8;
	}
	put_be32(t->buf, len - 8);
	task_reply(t, len, alloc);
}
