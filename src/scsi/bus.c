/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scsi/bus.h"

#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "scsi/disk.h"
#include "base/pages.h"

#define PARAMS_SIZE ((size_t)SCSI_MAX_REQS * SCSI_PARAM_SIZE)

/* The bus as its host adapter sees it: set-up, the intake of commands, windows, task management. */

struct unit *bus_unit(struct scsi_bus *bus, unsigned target, unsigned lun)
{
	unsigned index;

	if (target >= SCSI_MAX_TARGETS || lun >= SCSI_MAX_LUNS)
		return NULL;
	index = bus->map[target][lun];
	return index ? &bus->unit[index - 1] : NULL;
}

bool scsi_target_present(const struct scsi_bus *bus, unsigned target)
{
	if (target >= SCSI_MAX_TARGETS)
		return false;
	for (unsigned lun = 0; lun < SCSI_MAX_LUNS; lun++)
		if (bus->map[target][lun])
			return true;
	return false;
}

/* Most of the time nobody waits but for the disk, and a pass of the loop would be for nothing. */
void bus_kick(struct scsi_bus *bus)
{
	for (const struct task *t = bus->first; t; t = t->next) {
		if (t->s->phase != SCSI_PHASE_WAIT || t->s->wait == TASK_WAIT_IO ||
		    t->s->wait == TASK_WAIT_HELD)
			continue;
		loop_work_queue(bus->loop, &bus->work);
		return;
	}
}

static void bus_buffer_ready(struct buffers_waiter *waiter)
{
	struct scsi_bus *bus = (void *)((char *)waiter - offsetof(struct scsi_bus, waiter));

	bus_run(bus);
}

/* ---- set-up ---- */

/* Block lengths that the rest of the code can divide by and fit into a buffer. */
static bool unit_config_ok(const struct scsi_bus_setup *setup, const struct scsi_unit_setup *u)
{
	const struct scsi_unit_config *c = &u->config;
	uint32_t bs = c->logical_block_size;

	return c->target < SCSI_MAX_TARGETS && c->lun < SCSI_MAX_LUNS && is_power_of_2(bs) &&
	       bs >= 512 && bs <= 32768 && bs <= buffers_size(setup->buffers) / 4 &&
	       c->physical_block_size >= bs && is_power_of_2(c->physical_block_size) &&
	       (!u->block || u->block->align <= bs);
}

int bus_set_unit(struct scsi_bus *bus, struct unit *unit, const struct scsi_unit_setup *setup)
{
	const struct scsi_unit_config *c = &setup->config;
	unsigned index = unit - bus->unit;

	if (!unit_config_ok(bus->setup, setup) || bus->map[c->target][c->lun])
		return -EINVAL;
	unit->bus = bus;
	unit->config = c;
	unit->block = setup->block;
	unit->state = &bus->state->unit[index];
	unit->gone = false;
	unit->alone = NULL;
	unit->ordered = unit->heads = unit->checks = 0;
	bus->map[c->target][c->lun] = index + 1;
	bus->unit_count += index == bus->unit_count;
	hold_init(unit);
	unit_reset(unit, UA_POWER_ON, true);
	return 0;
}

/*
 * Commands that stand in @state were another process's: their buffers and block requests are not
 * here, so they are gone.
 */
static void bus_init_tasks(struct scsi_bus *bus)
{
	memset(bus->state->req, 0, sizeof(bus->state->req));
	for (unsigned i = 0; i < SCSI_MAX_REQS; i++) {
		bus->task[i].bus = bus;
		bus->task[i].s = &bus->state->req[i];
		bus->task[i].param = bus->params + i * SCSI_PARAM_SIZE;
	}
}

static void bus_free(struct scsi_bus *bus)
{
	pages_free(bus->params, PARAMS_SIZE);
	pages_free(bus, sizeof(*bus));
}

struct scsi_bus *scsi_bus_create(const struct scsi_bus_setup *setup, struct scsi_bus_state *state,
				 const struct scsi_bus_ops *ops, void *opaque, struct loop *loop)
{
	struct scsi_bus *bus = pages_alloc(sizeof(*bus));
	int ret = 0;

	if (!bus)
		return NULL;
	bus->state = state;
	bus->setup = setup;
	bus->ops = ops;
	bus->opaque = opaque;
	bus->loop = loop;
	bus->work = (struct loop_work){ .fn = bus_run, .opaque = bus };
	bus->waiter.ready = bus_buffer_ready;
	bus->params = pages_alloc(PARAMS_SIZE);
	if (!bus->params)
		ret = -ENOMEM;
	if (setup->count > SCSI_MAX_UNITS)
		ret = -EINVAL;
	for (unsigned i = 0; !ret && i < setup->count; i++)
		ret = bus_set_unit(bus, &bus->unit[bus->unit_count], &setup->units[i]);
	if (ret) {
		bus_free(bus);
		errno = -ret;
		return NULL;
	}
	bus_init_tasks(bus);
	return bus;
}

void scsi_bus_destroy(struct scsi_bus *bus)
{
	if (!bus)
		return;
	while (bus->first)
		task_free(bus->first);
	for (unsigned i = 0; i < bus->unit_count; i++)
		loop_timer_cancel(bus->loop, &bus->unit[i].retry);
	loop_work_cancel(bus->loop, &bus->work);
	buffers_cancel(bus->setup->buffers, &bus->waiter);
	bus_free(bus);
}

/* ---- intake ---- */

/* SPC-3 4.3.3: the operation code's group; 3 is variable length, 6 and 7 are the vendor's. */
unsigned scsi_cdb_len(uint8_t opcode)
{
	static const uint8_t group_len[8] = { 6, 10, 10, 0, 16, 12, 0, 0 };

	return group_len[opcode >> 5];
}

/* Another task of this nexus with the same tag (SAM-3 5.9.3)? */
static bool task_overlaps(const struct task *t)
{
	const struct scsi_req_state *s = t->s, *o;

	for (const struct task *other = t->bus->first; other != t; other = other->next) {
		o = other->s;
		if (o->target == s->target && o->lun == s->lun && o->initiator == s->initiator &&
		    !o->attr == !s->attr && (!s->attr || o->tag == s->tag))
			return true;
	}
	return false;
}

/* What an index stands for when the CDB has no row: all refusals end the same way. */
static const struct cdb_row no_row = { .len = 6, .action = -1, .flags = CDB_HEAD };

/*
 * The sense of an earlier command is gone with the initiator's next one, REQUEST SENSE excepted,
 * which takes it along (SPC-3 6.27, SCSI-2 7.6).
 */
static void task_take_sense(struct task *t)
{
	struct scsi_unit_state *u = t->unit->state;

	if (u->sense_valid != (0x80 | t->s->initiator))
		return;
	if (t->s->cdb[0] == 0x03)
		t->s->sense = u->sense;
	u->sense_valid = 0;
	bus_kick(t->bus);
}

/* Finds the row; ends the task when there is no sense in it.  Returns false then. */
static bool task_parse(struct task *t)
{
	const uint8_t *cdb = task_cdb(t);
	unsigned type = t->unit && unit_is_cd(t->unit) ? CDB_CD : CDB_DISK;
	unsigned len = scsi_cdb_len(cdb[0]);
	const struct cdb_row *row = len ? cdb_find(cdb, type) : NULL;

	if (row && t->s->cdb_len >= row->len) {
		t->row = row;
		return true;
	}
	t->row = &no_row;
	if (!t->unit)
		task_check(t, SENSE_NO_LUN);
	else if (row)
		task_bad_cdb(t, t->s->cdb_len, -1);
	else if (len && cdb_find_opcode(cdb[0], type))
		task_bad_cdb(t, 1, 4);
	else
		task_check(t, SENSE_INVALID_OPCODE);
	return false;
}

static void task_intake(struct task *t)
{
	struct unit *unit = t->unit;
	unsigned older, older_ordered;

	if (unit)
		task_take_sense(t);
	if (!task_parse(t))
		return;
	if (t->bus->active > SCSI_MAX_REQS - SCSI_RESERVED_REQS && !(t->row->flags & CDB_HEAD)) {
		task_status(t, SCSI_TASK_SET_FULL);
		return;
	}
	older = unit ? unit->tasks - 1 : 0;
	older_ordered = unit ? unit->ordered - (t->s->attr == SCSI_TASK_ORDERED) : 0;
	if (t->s->attr == SCSI_TASK_HEAD || t->row->flags & CDB_HEAD || !unit ||
	    (!unit->heads && !(t->s->attr == SCSI_TASK_ORDERED ? older : older_ordered)))
		task_start(t);
}

int scsi_command(struct scsi_bus *bus, const struct scsi_command *cmd)
{
	struct scsi_command copy = *cmd;
	struct task *t;

	if (!scsi_target_present(bus, cmd->target))
		return -ENODEV;
	if (copy.cdb_len > SCSI_MAX_CDB)
		copy.cdb_len = SCSI_MAX_CDB;
	memset(copy.cdb + copy.cdb_len, 0, SCSI_MAX_CDB - copy.cdb_len);
	t = task_new(bus, &copy);
	if (!t)
		return -ENOSPC;
	bus->sync = t;
	if (task_overlaps(t)) {
		for (struct task *next, *o = bus->first; o != t; o = next) {
			next = o->next;
			if (o->unit == t->unit && o->s->target == t->s->target &&
			    o->s->lun == t->s->lun && o->s->initiator == t->s->initiator)
				task_free(o);
		}
		t->row = &no_row;
		task_check(t, SENSE_OVERLAPPED);
	} else {
		task_intake(t);
	}
	bus->sync = NULL;
	return t - bus->task;
}

/* ---- phases ---- */

enum scsi_phase scsi_phase(const struct scsi_bus *bus, unsigned req)
{
	return bus->state->req[req].phase;
}

uint32_t scsi_generation(const struct scsi_bus *bus, unsigned req)
{
	return bus->state->req[req].generation;
}

void *scsi_window(struct scsi_bus *bus, unsigned req, size_t *ret_len)
{
	struct scsi_req_state *s = &bus->state->req[req];

	*ret_len = s->direct ? 0 : s->win_len - s->win_off;
	return bus->task[req].buf + s->win_base + s->win_off;
}

void scsi_advance(struct scsi_bus *bus, unsigned req, size_t len)
{
	struct task *t = &bus->task[req];
	struct scsi_req_state *s = t->s;

	if ((s->phase != SCSI_PHASE_DATA_IN && s->phase != SCSI_PHASE_DATA_OUT) || s->direct)
		return;
	s->win_off += len < s->win_len - s->win_off ? len : s->win_len - s->win_off;
	if (s->win_off < s->win_len)
		return;
	bus->sync = t;
	if (t->row->moved)
		t->row->moved(t);
	else
		task_good(t);
	bus->sync = NULL;
}

size_t scsi_direct(const struct scsi_bus *bus, unsigned req)
{
	const struct scsi_req_state *s = &bus->state->req[req];

	return s->direct && s->phase == SCSI_PHASE_DATA_IN ? s->win_len - s->win_off : 0;
}

size_t scsi_read_direct(struct scsi_bus *bus, unsigned req, const struct iovec *iov, int count,
			size_t len)
{
	struct task *t = &bus->task[req];
	struct scsi_req_state *s = t->s;
	size_t n = 0;

	if (!scsi_direct(bus, req))
		return 0;
	bus->sync = t;
	if (count > 0)
		n = disk_read_direct(t, iov, count, min_u64(len, s->win_len - s->win_off));
	if (!n)
		disk_direct_end(t);
	else if (s->win_off == s->win_len)
		t->row->moved(t);
	bus->sync = NULL;
	return n;
}

uint64_t scsi_read_now(struct scsi_bus *bus, unsigned *ret_count)
{
	uint64_t bytes = bus->now_bytes;

	*ret_count = bus->now_count;
	bus->now_bytes = bus->now_count = 0;
	return bytes;
}

uint8_t scsi_status(const struct scsi_bus *bus, unsigned req)
{
	return bus->state->req[req].status;
}

void scsi_release(struct scsi_bus *bus, unsigned req)
{
	struct task *t = &bus->task[req];
	struct scsi_req_state *s = t->s;

	if (s->phase == SCSI_PHASE_FREE)
		return;
	if (s->phase == SCSI_PHASE_STATUS && s->status == SCSI_CHECK_CONDITION && t->unit) {
		t->unit->state->sense = s->sense;
		t->unit->state->sense_valid = 0x80 | s->initiator;
	}
	task_free(t);
}

unsigned scsi_active(const struct scsi_bus *bus)
{
	return bus->active;
}

/* ---- task management (SAM-3 7) ---- */

void scsi_abort(struct scsi_bus *bus, unsigned req)
{
	if (bus->state->req[req].phase != SCSI_PHASE_FREE)
		task_free(&bus->task[req]);
}

int scsi_find(const struct scsi_bus *bus, unsigned target, unsigned lun, unsigned initiator,
	      int tag)
{
	for (const struct task *t = bus->first; t; t = t->next) {
		const struct scsi_req_state *s = t->s;

		if (s->target == target && s->lun == lun && s->initiator == initiator &&
		    (tag < 0 ? !s->attr : s->attr && s->tag == tag))
			return t - bus->task;
	}
	return -ENOENT;
}

/* -1 for @lun or @initiator: any. */
static void bus_free_tasks(struct scsi_bus *bus, int target, int lun, int initiator)
{
	for (struct task *next, *t = bus->first; t; t = next) {
		next = t->next;
		if ((target < 0 || t->s->target == target) && (lun < 0 || t->s->lun == lun) &&
		    (initiator < 0 || t->s->initiator == initiator))
			task_free(t);
	}
}

void scsi_abort_task_set(struct scsi_bus *bus, unsigned target, unsigned lun, unsigned initiator)
{
	struct unit *unit = bus_unit(bus, target, lun);

	bus_free_tasks(bus, target, lun, initiator);
	if (unit && unit->state->sense_valid == (0x80 | initiator))
		unit->state->sense_valid = 0;
	bus_kick(bus);
}

void scsi_clear_task_set(struct scsi_bus *bus, unsigned target, unsigned lun)
{
	struct unit *unit = bus_unit(bus, target, lun);

	bus_free_tasks(bus, target, lun, -1);
	if (unit)
		unit->state->sense_valid = 0;
	bus_kick(bus);
}

void scsi_target_reset(struct scsi_bus *bus, unsigned target)
{
	bus_free_tasks(bus, target, -1, -1);
	for (unsigned i = 0; i < bus->unit_count; i++)
		if (bus->unit[i].config->target == target)
			unit_reset(&bus->unit[i], UA_TARGET_RESET, false);
}

void scsi_bus_reset(struct scsi_bus *bus, bool power_on)
{
	bus_free_tasks(bus, -1, -1, -1);
	for (unsigned i = 0; i < bus->unit_count; i++)
		unit_reset(&bus->unit[i], power_on ? UA_POWER_ON : UA_BUS_RESET, power_on);
}
