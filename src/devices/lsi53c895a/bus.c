/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/num.h"
#include "devices/lsi53c895a/lsi.h"

/* The SCSI bus, and the target at its other end (SCSI-2 clause 5). */

enum {
	MSG_SAVE_POINTERS = 0x02, MSG_DISCONNECT = 0x04, MSG_SIMPLE_TAG = 0x20, MSG_IDENTIFY = 0x80,
};

void bus_say(struct lsi *l, const uint8_t *bytes, unsigned count)
{
	struct lsi_bus *bus = &l->s->bus;

	if (bus->msg_in_pos) {
		memmove(bus->msg_in, bus->msg_in + bus->msg_in_pos,
			bus->msg_in_len - bus->msg_in_pos);
		bus->msg_in_len -= bus->msg_in_pos;
		bus->msg_in_pos = 0;
	}
	/* what does not fit is not said: an initiator that piles up rejects has heard enough */
	if (count <= (unsigned)LSI_MSG_IN - bus->msg_in_len) {
		memcpy(bus->msg_in + bus->msg_in_len, bytes, count);
		bus->msg_in_len += count;
	}
}

static void say1(struct lsi *l, uint8_t byte)
{
	bus_say(l, &byte, 1);
}

/* Is the command at this index still the one that the chip's side knows? */
static bool nexus_alive(struct lsi *l, unsigned req)
{
	return l->s->nexus[req].used &&
	       l->s->nexus[req].generation == scsi_generation(l->scsi, req) &&
	       scsi_phase(l->scsi, req) != SCSI_PHASE_FREE;
}

/* ---- connecting ---- */

void bus_connect(struct lsi *l, unsigned target)
{
	memset(&l->s->bus, 0, sizeof(l->s->bus));
	l->s->bus.connected = 1;
	l->s->bus.target = target;
	*lsi_reg(l, R_SCNTL2) |= SCNTL2_SDU;
	lsi_timer_hth(l);
}

void bus_free(struct lsi *l, bool expected)
{
	memset(&l->s->bus, 0, sizeof(l->s->bus));
	lsi_timer_hth(l);
	if (!expected && *lsi_reg(l, R_SCNTL2) & SCNTL2_SDU)
		lsi_irq_scsi(l, SIST_UDC);
	lsi_wake(l, RUN_WAIT_DISCONNECT);
}

/* The target has sent DISCONNECT: its command goes on without the bus. */
static void bus_disconnect(struct lsi *l)
{
	struct lsi_bus *bus = &l->s->bus;

	if (bus->has_req) {
		struct lsi_nexus *n = &l->s->nexus[bus->req];

		n->disconnected = 1;
		n->ready = scsi_phase(l->scsi, bus->req) != SCSI_PHASE_WAIT;
		n->order = l->s->ready_order++;
	}
	bus_free(l, true);
}

/* ---- what the target does next ---- */

/* Everything has been said: what was to come of it. */
static enum lsi_look poll_after(struct lsi *l)
{
	if (l->s->bus.after == AFTER_DISCONNECT)
		bus_disconnect(l);
	else
		bus_free(l, l->s->bus.after == AFTER_COMPLETE);
	return LOOK_FREE;
}

static enum lsi_look ask(struct lsi *l, enum lsi_phase phase)
{
	l->s->bus.phase = phase;
	return LOOK_REQ;
}

static enum lsi_look poll_command(struct lsi *l)
{
	static const uint8_t goodbye[] = { MSG_SAVE_POINTERS, MSG_DISCONNECT };
	struct lsi_bus *bus = &l->s->bus;

	switch (nexus_alive(l, bus->req) ? scsi_phase(l->scsi, bus->req) : SCSI_PHASE_FREE) {
	case SCSI_PHASE_DATA_IN:
		return ask(l, PHASE_DATA_IN);
	case SCSI_PHASE_DATA_OUT:
		return ask(l, PHASE_DATA_OUT);
	case SCSI_PHASE_STATUS:
		return ask(l, PHASE_STATUS);
	case SCSI_PHASE_WAIT:
		if (!bus->may_disconnect)
			return LOOK_BUSY;
		bus_say(l, goodbye, sizeof(goodbye));
		bus->after = AFTER_DISCONNECT;
		return ask(l, PHASE_MSG_IN);
	default:
		bus_free(l, false);
		return LOOK_FREE;
	}
}

enum lsi_look bus_poll(struct lsi *l)
{
	struct lsi_bus *bus = &l->s->bus;

	if (!bus->connected)
		return LOOK_FREE;
	if (bus->selecting || bus->ack)
		return LOOK_BUSY;
	if (bus->atn)
		return ask(l, PHASE_MSG_OUT);
	if (bus->msg_in_pos < bus->msg_in_len)
		return ask(l, PHASE_MSG_IN);
	if (bus->after)
		return poll_after(l);
	if (bus->own_status)
		return ask(l, PHASE_STATUS);
	if (!bus->has_req)
		return ask(l, PHASE_COMMAND);
	return poll_command(l);
}

void bus_ack(struct lsi *l)
{
	if (!l->s->bus.ack)
		return;
	l->s->bus.ack = 0;
	lsi_timer_hth(l);
	bus_poll(l);
}

/*
 * A selection that nobody answers ends here, at once: the 250 ms or so that a real chip waits would
 * only be lost.
 */
enum lsi_look bus_look(struct lsi *l)
{
	enum lsi_look look;

	if (l->s->bus.selecting) {
		memset(&l->s->bus, 0, sizeof(l->s->bus));
		lsi_timer_hth(l);
		lsi_irq_scsi(l, SIST_STO);
		return LOOK_FREE;
	}
	bus_ack(l);
	look = bus_poll(l);
	if (look == LOOK_FREE && l->s->run == RUN_ACTIVE)
		lsi_irq_scsi(l, SIST_UDC);
	return look;
}

/* ---- commands ---- */

void bus_command(struct lsi *l)
{
	struct lsi_bus *bus = &l->s->bus;
	struct scsi_command cmd = {
		.target = bus->target, .lun = bus->lun, .attr = bus->attr, .tag = bus->tag,
		.initiator = *lsi_reg(l, R_SCID) & 0xf, .cdb_len = bus->cdb_len,
	};
	struct lsi_nexus *n;
	int req;

	/* without IDENTIFY the command block names the unit (SCSI-2 7.2.2) */
	if (!bus->identified)
		cmd.lun = bus->lun = bus->cdb[1] >> 5;
	memcpy(cmd.cdb, bus->cdb, bus->cdb_len);
	req = scsi_command(l->scsi, &cmd);
	if (req < 0) {
		bus->own_status = 1;
		bus->status = SCSI_TASK_SET_FULL;
		return;
	}
	bus_sweep(l);
	if ((unsigned)req >= l->nexus_end)
		l->nexus_end = req + 1;
	n = &l->s->nexus[req];
	*n = (struct lsi_nexus){
		.generation = scsi_generation(l->scsi, req), .used = 1,
		.tagged = cmd.attr != SCSI_TASK_UNTAGGED,
		.target = cmd.target, .lun = cmd.lun, .tag = cmd.tag,
	};
	bus->has_req = 1;
	bus->req = req;
}

void bus_sweep(struct lsi *l)
{
	struct lsi_bus *bus = &l->s->bus;

	for (unsigned i = 0; i < l->nexus_end; i++)
		if (l->s->nexus[i].used && !nexus_alive(l, i))
			memset(&l->s->nexus[i], 0, sizeof(l->s->nexus[i]));
	while (l->nexus_end && !l->s->nexus[l->nexus_end - 1].used)
		l->nexus_end--;
	if (bus->has_req && !l->s->nexus[bus->req].used)
		bus->has_req = 0;
}

void bus_abort_all(struct lsi *l)
{
	for (unsigned i = 0; i < SCSI_MAX_REQS; i++)
		if (nexus_alive(l, i))
			scsi_abort(l->scsi, i);
	memset(l->s->nexus, 0, sizeof(l->s->nexus));
	memset(&l->s->bus, 0, sizeof(l->s->bus));
	lsi_timer_hth(l);
}

void bus_reset(struct lsi *l, bool power_on)
{
	scsi_bus_reset(l->scsi, power_on);
	memset(l->s->nexus, 0, sizeof(l->s->nexus));
	memset(&l->s->bus, 0, sizeof(l->s->bus));
	lsi_timer_hth(l);
}

/* ---- reselection ---- */

/* The command that has wished longest to reselect, or -1. */
static int next_ready(struct lsi *l)
{
	int best = -1;

	for (unsigned i = 0; i < l->nexus_end; i++) {
		const struct lsi_nexus *n = &l->s->nexus[i];

		if (!n->used || !n->ready || !n->disconnected || !nexus_alive(l, i))
			continue;
		if (best < 0 || (int32_t)(n->order - l->s->nexus[best].order) < 0)
			best = i;
	}
	return best;
}

bool bus_reselect(struct lsi *l)
{
	struct lsi_bus *bus = &l->s->bus;
	int req = bus->connected ? -1 : next_ready(l);
	struct lsi_nexus *n;

	if (req < 0)
		return false;
	n = &l->s->nexus[req];
	n->ready = n->disconnected = 0;
	bus_connect(l, n->target);
	bus->identified = bus->may_disconnect = bus->has_req = 1;
	bus->lun = n->lun;
	bus->tag = n->tag;
	bus->attr = n->tagged ? SCSI_TASK_SIMPLE : SCSI_TASK_UNTAGGED;
	bus->req = req;
	say1(l, MSG_IDENTIFY | n->lun);
	if (n->tagged) {
		say1(l, MSG_SIMPLE_TAG);
		say1(l, n->tag);
	}
	*lsi_reg(l, R_SSID) = 0x80 | n->target;
	/* manual, DCNTL.COM: as the 53C700 family did */
	if (!(*lsi_reg(l, R_DCNTL) & DCNTL_COM))
		*lsi_reg(l, R_SFBR) = 1 << (n->target & 7);
	bus_poll(l);
	return true;
}

/*
 * A chip whose script does not run answers a reselection only when the driver has asked to be told:
 * else the target waits until the script comes to its Wait Reselect.
 */
void bus_reselect_idle(struct lsi *l)
{
	if (l->s->run != RUN_STOPPED || !(*lsi_reg(l, R_SCID) & SCID_RRE) ||
	    !(*lsi_reg(l, R_SIEN0) & SIST_RSL) ||
	    *lsi_reg(l, R_ISTAT0) & (ISTAT0_SIP | ISTAT0_DIP))
		return;
	if (bus_reselect(l))
		lsi_irq_scsi(l, SIST_RSL);
}

/* A command has left WAIT: the target, connected or not, wants the initiator. */
static void command_ready(void *opaque, unsigned req)
{
	struct lsi *l = opaque;
	struct lsi_nexus *n = &l->s->nexus[req];

	if (!nexus_alive(l, req))
		return;
	pace_io(l);
	if (n->disconnected && !n->ready) {
		n->ready = 1;
		n->order = l->s->ready_order++;
		lsi_wake(l, RUN_WAIT_RESELECT);
		bus_reselect_idle(l);
	} else if (l->s->bus.has_req && l->s->bus.req == req) {
		lsi_wake(l, RUN_WAIT_TARGET);
	}
}

const struct scsi_bus_ops lsi_scsi_ops = { .ready = command_ready, .direct = true };
