/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/lsi53c895a/lsi.h"

/*
 * A state that somebody else wrote is input (CVE-2018-18849 came in by migration): every index and
 * length in it is checked before the model uses any of it.
 */

static bool bus_ok(const struct lsi_bus *bus)
{
	return bus->target < SCSI_MAX_TARGETS && bus->phase <= PHASE_MSG_IN &&
	       bus->after <= AFTER_ABORT && bus->msg_in_len <= LSI_MSG_IN &&
	       bus->msg_in_pos <= bus->msg_in_len && bus->msg_out_len < LSI_MSG_OUT &&
	       bus->cdb_len <= SCSI_MAX_CDB && bus->req < SCSI_MAX_REQS &&
	       bus->attr <= SCSI_TASK_HEAD;
}

static bool engine_ok(const struct lsi_state *s)
{
	return s->run <= RUN_WAIT_DISCONNECT && s->carry <= 1 && s->move_left <= 0xffffff &&
	       s->move_len <= 0xffffff && s->gen_deadline >= 0 && s->hth_deadline >= 0;
}

bool lsi_state_ok(const struct lsi_state *s)
{
	for (unsigned i = 0; i < SCSI_MAX_REQS; i++)
		if (s->nexus[i].target >= SCSI_MAX_TARGETS)
			return false;
	return bus_ok(&s->bus) && engine_ok(s);
}
