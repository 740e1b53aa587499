/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The SCSI target without an adapter; see port.h. */
#include "port.h"

#include <string.h>

#include "scsi/rig.h"

const unsigned port_seeds = 3000, port_late_seeds = 10000;
const bool port_takes_block = true, port_is_wide = true;

struct slot {
	int req;		/* -1: free */
	uint8_t *data;
	size_t moved;
};

struct port {
	struct rig rig;
	struct slot slot[PORT_SLOTS];
	struct block *made;
};

struct port *port_up(port_make_block *make, void *opaque, struct block **ret_block)
{
	struct port *p = g_new0(struct port, 1);

	rig_init(&p->rig, 1);
	if (make)
		p->made = p->rig.units[0].block = make(p->rig.loop, opaque);
	rig_start(&p->rig);
	rig_fails(&p->rig, "00 00 00 00 00 00", NULL, 0, 0x062900);
	for (unsigned i = 0; i < PORT_SLOTS; i++)
		p->slot[i].req = -1;
	*ret_block = p->rig.units[0].block;
	return p;
}

void port_down(struct port *p)
{
	block_close(p->made);
	rig_down(&p->rig);
	g_free(p);
}

void port_start(struct port *p, unsigned slot, const struct port_cmd *c)
{
	struct scsi_command cmd = {
		.initiator = 7, .attr = SCSI_TASK_SIMPLE, .tag = slot, .cdb_len = c->cdb_len,
	};
	struct slot *s = &p->slot[slot];

	g_assert_cmpint(s->req, ==, -1);
	memcpy(cmd.cdb, c->cdb, sizeof(cmd.cdb));
	s->data = c->data;
	s->moved = 0;
	s->req = rig_command(&p->rig, &cmd);
	g_assert_cmpint(s->req, >=, 0);
}

static bool moves(enum scsi_phase phase)
{
	return phase == SCSI_PHASE_DATA_OUT || phase == SCSI_PHASE_DATA_IN;
}

static void move_data(struct port *p, struct slot *s)
{
	while (s->req >= 0 && moves(scsi_phase(p->rig.bus, s->req))) {
		bool in = scsi_phase(p->rig.bus, s->req) == SCSI_PHASE_DATA_IN;
		size_t len;
		uint8_t *window = scsi_window(p->rig.bus, s->req, &len);

		memcpy(in ? s->data + s->moved : window, in ? window : s->data + s->moved, len);
		s->moved += len;
		scsi_advance(p->rig.bus, s->req, len);
	}
}

void port_run(struct port *p)
{
	for (unsigned pass = 0; pass < 3; pass++) {
		for (unsigned i = 0; i < PORT_SLOTS; i++)
			move_data(p, &p->slot[i]);
		loop_step(p->rig.loop, 0);
	}
}

bool port_ended(struct port *p, unsigned slot, uint8_t *ret_status)
{
	struct slot *s = &p->slot[slot];

	if (scsi_phase(p->rig.bus, s->req) != SCSI_PHASE_STATUS)
		return false;
	*ret_status = scsi_status(p->rig.bus, s->req);
	scsi_release(p->rig.bus, s->req);
	s->req = -1;
	return true;
}

void port_kill(struct port *p, unsigned slot, enum port_kill how)
{
	struct scsi_bus *bus = p->rig.bus;

	if (how == PORT_ABORT_TAG) {
		scsi_abort(bus, p->slot[slot].req);
		p->slot[slot].req = -1;
		return;
	}
	if (how == PORT_ABORT)
		scsi_abort_task_set(bus, 0, 0, 7);
	else if (how == PORT_CLEAR_QUEUE)
		scsi_clear_task_set(bus, 0, 0);
	else if (how == PORT_BUS_DEVICE_RESET)
		scsi_target_reset(bus, 0);
	else
		scsi_bus_reset(bus, how != PORT_BUS_RESET);
	g_assert_cmpuint(scsi_active(bus), ==, 0);
	for (unsigned i = 0; i < PORT_SLOTS; i++)
		p->slot[i].req = -1;
}

bool port_cache_on(const struct port *p)
{
	return p->rig.state->unit[0].write_cache;
}
