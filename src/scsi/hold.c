/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scsi/bus.h"

/*
 * Requests that werror= and rerror= hold back after an error of the host: reported once, tried
 * again when the operator says so, or by a timer whose waits grow.
 */

#define HOLD_SECOND (1000 * LOOP_MS)

/* The waits of the back-off, in seconds; the last one stays. */
static const uint8_t waits[] = { 1, 2, 4, 8, 16, 32, 60 };

static void hold_arm(struct unit *unit)
{
	struct scsi_unit_state *u = unit->state;
	unsigned last = sizeof(waits) - 1;

	if (u->retry_at)
		return;
	if (u->retry_step > last)
		u->retry_step = last;
	u->retry_at = loop_now() + waits[u->retry_step] * HOLD_SECOND;
	u->retry_step += u->retry_step < last;
	loop_timer_set(unit->bus->loop, &unit->retry, u->retry_at);
}

/* Whatever the unit holds goes to the disk again.  Returns false when it holds nothing. */
static bool hold_release(struct unit *unit)
{
	bool any = false;

	unit->state->held = 0;
	unit->state->retry_at = 0;
	loop_timer_cancel(unit->bus->loop, &unit->retry);
	for (struct task *t = unit->bus->first; t; t = t->next) {
		if (t->unit != unit || t->s->phase != SCSI_PHASE_WAIT ||
		    t->s->wait != TASK_WAIT_HELD)
			continue;
		task_enter_wait(t, TASK_WAIT_SUBMIT);
		any = true;
	}
	return any;
}

static void hold_expired(void *opaque)
{
	struct unit *unit = opaque;

	if (hold_release(unit))
		bus_kick(unit->bus);
	else
		unit->state->retry_step = 0;
}

void hold_init(struct unit *unit)
{
	unit->retry = (struct loop_timer){ .fn = hold_expired, .opaque = unit };
}

void hold_reset(struct unit *unit)
{
	loop_timer_cancel(unit->bus->loop, &unit->retry);
	unit->state->held = 0;
	unit->state->retry_step = 0;
	unit->state->retry_at = 0;
}

/* Only a retry makes a report due again: a guest that aborts and repeats cannot flood the log. */
void task_hold(struct task *t, bool write, int err)
{
	const struct scsi_bus_setup *setup = t->bus->setup;
	struct unit *unit = t->unit;
	uint8_t direction = write ? SCSI_HOLD_WRITE : SCSI_HOLD_READ;
	bool known = unit->state->held & direction;

	task_enter_wait(t, TASK_WAIT_HELD);
	t->s->was_held = 1;
	unit->state->held |= direction;
	if (!(unit->config->waits & direction))
		hold_arm(unit);
	if (!known && setup->report)
		setup->report(setup->opaque, unit->config->id, write, err);
}

void task_unhold(struct task *t)
{
	if (!t->s->was_held)
		return;
	t->s->was_held = 0;
	t->unit->state->retry_step = 0;
}

void scsi_retry_held(struct scsi_bus *bus)
{
	for (unsigned i = 0; i < bus->unit_count; i++) {
		hold_release(&bus->unit[i]);
		bus->unit[i].state->retry_step = 0;
	}
	bus_kick(bus);
}

void scsi_retry_later(struct scsi_bus *bus)
{
	for (unsigned i = 0; i < bus->unit_count; i++)
		if (bus->unit[i].state->held)
			hold_arm(&bus->unit[i]);
}
