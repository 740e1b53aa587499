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

/* SPC-2 7.21, 7.22: whole unit, for the initiator itself; task_start() has seen to conflicts. */
void cmd_reserve(struct task *t)
{
	if (task_cdb(t)[1] & 0x11) {		/* 3RDPTY, EXTENT */
		task_bad_cdb(t, 1, task_cdb(t)[1] & 0x10 ? 4 : 0);
		return;
	}
	t->unit->state->reserved = 0x80 | t->s->initiator;
	task_good(t);
}

/* SPC-2 7.16, 7.17: who holds nothing releases nothing, and that is no error. */
void cmd_release(struct task *t)
{
	if (task_cdb(t)[1] & 0x11) {
		task_bad_cdb(t, 1, task_cdb(t)[1] & 0x10 ? 4 : 0);
		return;
	}
	if (t->unit->state->reserved == (0x80 | t->s->initiator))
		t->unit->state->reserved = 0;
	task_good(t);
}

/* SPC-3 6.13 */
void cmd_prevent_allow(struct task *t)
{
	bool lock = task_cdb(t)[4] & 1;

	if (lock != !!t->unit->state->tray_locked) {
		t->unit->state->tray_locked = lock;
		unit_tell_tray(t->unit);
	}
	task_good(t);
}

/* SPC-3 6.28: the default self-test finds nothing; there are no diagnostic pages. */
void cmd_send_diagnostic(struct task *t)
{
	const uint8_t *cdb = task_cdb(t);

	if (cdb[1] & 0xe0)			/* SELF-TEST CODE */
		task_bad_cdb(t, 1, 7);
	else if (get_be16(&cdb[3]))
		task_bad_cdb(t, 3, -1);
	else
		task_good(t);
}

/*
 * Opens or closes the tray.  Returns false after ending the task.  What comes back is the same
 * disc, so there is no unit attention, but the event of GET EVENT STATUS NOTIFICATION.
 */
static bool tray_move(struct task *t, bool open)
{
	struct scsi_unit_state *u = t->unit->state;

	if (open == !!u->tray_open)
		return true;
	if (open && u->tray_locked) {
		task_check(t, t->unit->block ? SENSE_REMOVAL_PREVENTED :
			   SENSE_REMOVAL_PREVENTED_NO_MEDIUM);
		return false;
	}
	u->tray_open = open;
	u->medium_event = !open && t->unit->block;
	unit_tell_tray(t->unit);
	return true;
}

/*
 * SBC-3 5.25, MMC-6 START STOP UNIT.  Stopping a disk writes its cache first, unless NO_FLUSH.
 * Power conditions are accepted and change nothing, as in QEMU.
 */
void cmd_start_stop(struct task *t)
{
	uint8_t byte4 = task_cdb(t)[4];
	bool start = byte4 & 1, loej = byte4 & 2, no_flush = byte4 & 4;
	bool had_medium = unit_has_medium(t->unit);

	if (byte4 >> 4) {
		task_good(t);
		return;
	}
	if (loej && t->unit->config->removable && !tray_move(t, !start))
		return;
	/* A CD drive spins up by itself; a disk waits for START (SBC-3 5.25). */
	t->unit->state->stopped = !start && !loej && !unit_is_cd(t->unit);
	if (!start && !no_flush && had_medium && !unit_is_cd(t->unit))
		task_io(t, BLOCK_FLUSH, 0, 0, 0, 0);
	else
		task_good(t);
}
