/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/lsi53c895a/lsi.h"

/*
 * A state that somebody else wrote is input (CVE-2018-18849 came in by migration): every index and
 * length in it is checked before the model uses any of it.
 */

/* A command block is whole, and has become a command or its end, or bytes of it are missing. */
static bool cdb_ok(const struct lsi_bus *bus)
{
	return bus->cdb_len <= SCSI_MAX_CDB &&
	       (!bus->cdb_len || bus->has_req || bus->own_status || bus->after ||
		bus->cdb_len < scsi_cdb_len(bus->cdb[0]));
}

static bool bus_ok(const struct lsi_bus *bus)
{
	return bus->target < SCSI_MAX_TARGETS && bus->phase <= PHASE_MSG_IN &&
	       bus->after <= AFTER_ABORT && bus->msg_in_len <= LSI_MSG_IN &&
	       bus->msg_in_pos <= bus->msg_in_len && message_out_ok(bus) && cdb_ok(bus) &&
	       bus->req < SCSI_MAX_REQS && bus->attr <= SCSI_TASK_HEAD;
}

/* An instruction that has begun has something left, and a block move no more than its count. */
static bool move_ok(const struct lsi_state *s)
{
	bool block_move = s->insn[0] >> 30 == 0;

	if (s->move_left > 0xffffff || s->move_len > 0xffffff)
		return false;
	return !s->begun ||
	       (s->live && s->move_left && (!block_move || s->move_left <= s->move_len));
}

static bool engine_ok(const struct lsi_state *s)
{
	return s->run <= RUN_WAIT_DMA && s->carry <= 1 && !(s->pend & ~PEND_ALL) &&
	       move_ok(s) && s->gen_deadline >= 0 && s->hth_deadline >= 0 &&
	       s->pace_deadline >= 0 && s->credit <= LSI_CREDIT_MAX && s->io_left <= LSI_IO_MAX;
}

bool lsi_state_ok(const struct lsi_state *s)
{
	for (unsigned i = 0; i < SCSI_MAX_REQS; i++)
		if (s->nexus[i].target >= SCSI_MAX_TARGETS)
			return false;
	return bus_ok(&s->bus) && engine_ok(s);
}
