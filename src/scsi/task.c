/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "scsi/bus.h"

/* The life of one task, and the order of tasks in a task set (SAM-3 7 and 8). */

void task_enter_wait(struct task *t, enum task_wait wait)
{
	t->s->phase = SCSI_PHASE_WAIT;
	t->s->wait = wait;
}

/* Leaves WAIT.  The adapter hears of it later, unless it is inside a call about this very task. */
static void task_set_phase(struct task *t, enum scsi_phase phase)
{
	if (t->s->phase == SCSI_PHASE_WAIT && t->bus->sync != t)
		t->s->notify = 1;
	t->s->phase = phase;
}

void task_notify(struct task *t)
{
	if (!t->s->notify)
		return;
	t->s->notify = 0;
	t->bus->ops->ready(t->bus->opaque, t - t->bus->task);
}

/*
 * Parallel SCSI delivers no sense with the status: it is fetched by REQUEST SENSE, and until then
 * a second CHECK CONDITION to the same initiator would overwrite it (contingent allegiance, SCSI-2
 * 7.6).  So the second one waits.
 */
static bool task_may_check(const struct task *t)
{
	const struct unit *unit = t->unit;

	return !unit ||
	       (!unit->checks && unit->state->sense_valid != (0x80 | t->s->initiator));
}

static void task_finish(struct task *t)
{
	if (t->s->status == SCSI_CHECK_CONDITION) {
		if (!task_may_check(t)) {
			task_enter_wait(t, TASK_WAIT_SENSE);
			return;
		}
		if (t->unit)
			t->unit->checks++;
	}
	task_set_phase(t, SCSI_PHASE_STATUS);
}

void task_status(struct task *t, uint8_t status)
{
	t->s->status = status;
	task_put_buffer(t);
	if (t->unit && t->unit->alone == t) {
		t->unit->alone = NULL;
		bus_kick(t->bus);
	}
	task_finish(t);
}

void task_good(struct task *t)
{
	task_status(t, SCSI_GOOD);
}

void task_check_sense(struct task *t, struct scsi_sense sense)
{
	t->s->sense = sense;
	task_status(t, SCSI_CHECK_CONDITION);
}

void task_check(struct task *t, uint32_t code)
{
	task_check_sense(t, sense_make(code));
}

void task_bad_cdb(struct task *t, unsigned byte, int bit)
{
	task_check_sense(t, sense_field(SENSE_INVALID_FIELD, byte, bit));
}

void task_bad_param(struct task *t, unsigned byte, int bit)
{
	task_check_sense(t, sense_field(SENSE_INVALID_PARAM, byte, bit));
}

static void task_moved(struct task *t)
{
	if (t->row->moved)
		t->row->moved(t);
	else
		task_good(t);
}

void task_data_in(struct task *t, uint32_t len)
{
	t->s->win_base = t->s->win_off = 0;
	t->s->win_len = len;
	if (len)
		task_set_phase(t, SCSI_PHASE_DATA_IN);
	else
		task_moved(t);
}

void task_reply(struct task *t, uint32_t len, uint32_t alloc)
{
	task_data_in(t, len < alloc ? len : alloc);
}

void task_data_out(struct task *t, uint32_t base, uint32_t len)
{
	t->s->win_base = base;
	t->s->win_off = 0;
	t->s->win_len = len;
	task_set_phase(t, SCSI_PHASE_DATA_OUT);
}

/* ---- its turn ---- */

/* SAM-3 8.5: may it run beside what is in the task set already?  @older: what arrived before. */
static bool task_enabled(const struct task *t, bool older, bool older_ordered)
{
	if (t->row->flags & CDB_HEAD || t->s->attr == SCSI_TASK_HEAD || !t->unit)
		return true;
	if (t->unit->heads)
		return false;
	return t->s->attr == SCSI_TASK_ORDERED ? !older : !older_ordered;
}

/* Another initiator's RESERVE(6) stands in the way (SPC-2 5.5.1). */
static bool task_conflicts(const struct task *t)
{
	uint8_t owner = t->unit->state->reserved;

	return owner && owner != (0x80 | t->s->initiator) && !(t->row->flags & CDB_RESERVED_OK);
}

/* 0, or why the medium cannot be used. */
static uint32_t task_medium_fault(const struct task *t)
{
	const struct unit *unit = t->unit;
	unsigned flags = t->row->flags;

	if (!(flags & CDB_MEDIUM))
		return 0;
	if (unit->state->tray_open)
		return SENSE_NO_MEDIUM_TRAY_OPEN;
	if (!unit->block)
		return SENSE_NO_MEDIUM;
	if (unit->state->stopped)
		return SENSE_NEED_START;
	if (!(flags & CDB_WRITE))
		return 0;
	if (unit->config->readonly || unit->block->readonly)
		return SENSE_WRITE_PROTECTED;
	return unit->state->swp ? SENSE_SW_WRITE_PROTECTED : 0;
}

/* A pending unit attention is reported once, in place of the command (SAM-3 5.9.7). */
static bool task_take_attention(struct task *t)
{
	struct scsi_unit_state *u = t->unit->state;
	uint16_t ua;

	if (!u->ua_count || t->row->flags & CDB_UA_OK)
		return false;
	ua = u->ua[0];
	memmove(&u->ua[0], &u->ua[1], sizeof(u->ua) - sizeof(u->ua[0]));
	u->ua_count--;
	task_check(t, SENSE(KEY_ATTENTION, ua >> 8, ua & 0xff));
	return true;
}

/* MODE SELECT may change the unit's block length under a command: it keeps its own. */
static void task_begin(struct task *t)
{
	t->s->block_size = t->unit ? t->unit->state->block_size : 0;
	t->row->start(t);
}

void task_start(struct task *t)
{
	uint8_t control = task_cdb(t)[t->row->len - 1];
	uint32_t fault;

	if (!t->unit && !(t->row->flags & CDB_NO_LUN_OK)) {
		task_check(t, SENSE_NO_LUN);
		return;
	}
	if (t->unit && task_take_attention(t))
		return;
	if (t->unit && task_conflicts(t)) {
		task_status(t, SCSI_RESERVATION_CONFLICT);
		return;
	}
	/* CONTROL: neither NACA nor LINK (SAM-3 5.2). */
	if (control & 0x05) {
		task_bad_cdb(t, t->row->len - 1, control & 0x04 ? 2 : 0);
		return;
	}
	fault = t->unit ? task_medium_fault(t) : 0;
	if (fault) {
		task_check(t, fault);
		return;
	}
	if (!task_get_buffer(t)) {
		task_enter_wait(t, TASK_WAIT_BUFFER);
		return;
	}
	task_begin(t);
}

static void task_retry(struct task *t, bool older, bool older_ordered)
{
	switch (t->s->wait) {
	case TASK_WAIT_TURN:
		if (task_enabled(t, older, older_ordered))
			task_start(t);
		break;
	case TASK_WAIT_BUFFER:
		if (task_get_buffer(t))
			task_begin(t);
		break;
	case TASK_WAIT_FAIL:
		io_end_failed(t, EIO);
		break;
	case TASK_WAIT_SUBMIT:
		io_submit(t);
		break;
	case TASK_WAIT_SENSE:
		task_finish(t);
		break;
	default:
		break;
	}
}

/*
 * One pass over the tasks in order of arrival; only then the news, because ready() may call
 * anything of this bus.
 */
void bus_run(void *opaque)
{
	struct scsi_bus *bus = opaque;

	for (unsigned i = 0; i < bus->unit_count; i++)
		bus->unit[i].seen = bus->unit[i].seen_ordered = false;
	for (struct task *t = bus->first; t; t = t->next) {
		if (t->s->phase == SCSI_PHASE_WAIT)
			task_retry(t, t->unit && t->unit->seen,
				   t->unit && t->unit->seen_ordered);
		if (!t->unit)
			continue;
		t->unit->seen = true;
		t->unit->seen_ordered |= t->s->attr == SCSI_TASK_ORDERED;
	}
	for (unsigned i = 0; i < bus->slots_end; i++)
		task_notify(&bus->task[i]);
}

/* ---- the table ---- */

static struct task *task_find_slot(struct scsi_bus *bus)
{
	for (unsigned i = 0; i < SCSI_MAX_REQS; i++)
		if (bus->task[i].s->phase == SCSI_PHASE_FREE)
			return &bus->task[i];
	return NULL;
}

static void task_link(struct task *t)
{
	struct scsi_bus *bus = t->bus;

	t->next = NULL;
	t->prev = bus->last;
	if (bus->last)
		bus->last->next = t;
	else
		bus->first = t;
	bus->last = t;
	bus->active++;
	if (t - bus->task >= (ptrdiff_t)bus->slots_end)
		bus->slots_end = t - bus->task + 1;
}

static void task_unlink(struct task *t)
{
	struct scsi_bus *bus = t->bus;

	if (t->prev)
		t->prev->next = t->next;
	else
		bus->first = t->next;
	if (t->next)
		t->next->prev = t->prev;
	else
		bus->last = t->prev;
	bus->active--;
}

static void unit_count(struct unit *unit, const struct task *t, int n)
{
	if (!unit)
		return;
	unit->tasks += n;
	unit->ordered += t->s->attr == SCSI_TASK_ORDERED ? n : 0;
	unit->heads += t->s->attr == SCSI_TASK_HEAD ? n : 0;
}

struct task *task_new(struct scsi_bus *bus, const struct scsi_command *cmd)
{
	struct task *t = task_find_slot(bus);
	struct scsi_req_state *s;

	if (!t)
		return NULL;
	s = t->s;
	*s = (struct scsi_req_state){
		.phase = SCSI_PHASE_WAIT, .wait = TASK_WAIT_TURN,
		.target = cmd->target, .lun = cmd->lun, .initiator = cmd->initiator,
		.attr = cmd->attr, .tag = cmd->tag, .cdb_len = cmd->cdb_len,
		.generation = ++bus->state->next_generation,
		.order = bus->state->next_order++,
	};
	memcpy(s->cdb, cmd->cdb, sizeof(s->cdb));
	t->unit = bus_unit(bus, cmd->target, cmd->lun);
	t->row = NULL;
	task_link(t);
	unit_count(t->unit, t, 1);
	return t;
}

void task_free(struct task *t)
{
	struct scsi_bus *bus = t->bus;
	struct unit *unit = t->unit;

	if (unit && t->s->phase == SCSI_PHASE_STATUS && t->s->status == SCSI_CHECK_CONDITION)
		unit->checks--;
	if (unit && unit->alone == t)
		unit->alone = NULL;
	io_orphan(t);
	task_put_buffer(t);
	unit_count(unit, t, -1);
	task_unlink(t);
	memset(t->s, 0, sizeof(*t->s));
	while (bus->slots_end && bus->task[bus->slots_end - 1].s->phase == SCSI_PHASE_FREE)
		bus->slots_end--;
	bus_kick(bus);
}
