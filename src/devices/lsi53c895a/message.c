/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/num.h"
#include "devices/lsi53c895a/lsi.h"

/*
 * MESSAGE OUT as a target takes it (SCSI-2 clause 6.6, SPI-3 clause 16).  Bytes are collected in a
 * bounded buffer until a message is whole.  A message that ends commands does so when it is whole,
 * and the bus goes free at the end of the phase: more messages after it are heard and find nothing.
 */

enum {
	MSG_EXTENDED = 0x01, MSG_INITIATOR_ERROR = 0x05, MSG_ABORT = 0x06, MSG_REJECT = 0x07,
	MSG_NOP = 0x08, MSG_PARITY_ERROR = 0x09, MSG_BUS_DEVICE_RESET = 0x0c, MSG_ABORT_TAG = 0x0d,
	MSG_CLEAR_QUEUE = 0x0e, MSG_SIMPLE = 0x20, MSG_HEAD = 0x21, MSG_ORDERED = 0x22,
	MSG_IDENTIFY = 0x80,
};
enum { EXT_SDTR = 1, EXT_WDTR = 3, EXT_PPR = 4 };

#define SYNC_MIN_PERIOD 10	/* Fast-40: the chip's fastest */
#define SYNC_MAX_OFFSET 31

static void reject(struct lsi *l)
{
	static const uint8_t msg = MSG_REJECT;

	bus_say(l, &msg, 1);
}

/* ---- messages that end commands ---- */

static void end_of_commands(struct lsi *l)
{
	struct lsi_bus *bus = &l->s->bus;

	bus_sweep(l);
	bus->msg_in_len = bus->msg_in_pos = 0;
	bus->after = AFTER_ABORT;
}

static void msg_abort(struct lsi *l)
{
	struct lsi_bus *bus = &l->s->bus;

	/* without IDENTIFY there is no nexus to abort, and no reselection in which one is open */
	if (bus->identified)
		scsi_abort_task_set(l->scsi, bus->target, bus->lun, *lsi_reg(l, R_SCID) & 0xf);
	end_of_commands(l);
}

static void msg_abort_tag(struct lsi *l)
{
	struct lsi_bus *bus = &l->s->bus;
	int req = -1;

	if (bus->has_req)
		req = bus->req;
	else if (bus->identified)
		req = scsi_find(l->scsi, bus->target, bus->lun, *lsi_reg(l, R_SCID) & 0xf,
				bus->attr == SCSI_TASK_UNTAGGED ? -1 : bus->tag);
	if (req >= 0)
		scsi_abort(l->scsi, req);
	end_of_commands(l);
}

static void msg_clear_queue(struct lsi *l)
{
	if (l->s->bus.identified)
		scsi_clear_task_set(l->scsi, l->s->bus.target, l->s->bus.lun);
	end_of_commands(l);
}

static void msg_device_reset(struct lsi *l)
{
	scsi_target_reset(l->scsi, l->s->bus.target);
	end_of_commands(l);
}

/* ---- the others ---- */

static void msg_nothing(struct lsi *l)
{
}

/* MESSAGE REJECT of our DISCONNECT: the target stays (SCSI-2 6.6.7). */
static void msg_reject(struct lsi *l)
{
	struct lsi_bus *bus = &l->s->bus;

	if (bus->after == AFTER_DISCONNECT) {
		bus->after = AFTER_NOTHING;
		bus->may_disconnect = 0;
	}
}

static void msg_tag(struct lsi *l)
{
	struct lsi_bus *bus = &l->s->bus;

	if (bus->has_req) {
		reject(l);
		return;
	}
	bus->attr = bus->msg_out[0] == MSG_HEAD ? SCSI_TASK_HEAD :
		    bus->msg_out[0] == MSG_ORDERED ? SCSI_TASK_ORDERED : SCSI_TASK_SIMPLE;
	bus->tag = bus->msg_out[1];
}

/*
 * Negotiations are answered as a narrow synchronous target would.  8 bits wide: so the chip never
 * has a byte left over in SWIDE.
 */
static void msg_extended(struct lsi *l)
{
	const uint8_t *m = l->s->bus.msg_out;
	uint8_t period = m[3] < SYNC_MIN_PERIOD ? SYNC_MIN_PERIOD : m[3];

	if (m[1] == 3 && m[2] == EXT_SDTR) {
		uint8_t sdtr[] = { MSG_EXTENDED, 3, EXT_SDTR, period,
				   min_u64(m[4], SYNC_MAX_OFFSET) };

		bus_say(l, sdtr, sizeof(sdtr));
	} else if (m[1] == 2 && m[2] == EXT_WDTR) {
		static const uint8_t wdtr[] = { MSG_EXTENDED, 2, EXT_WDTR, 0 };

		bus_say(l, wdtr, sizeof(wdtr));
	} else if (m[1] == 6 && m[2] == EXT_PPR) {
		uint8_t ppr[] = { MSG_EXTENDED, 6, EXT_PPR, period, 0,
				  min_u64(m[5], SYNC_MAX_OFFSET), 0, 0 };

		bus_say(l, ppr, sizeof(ppr));
	} else {
		reject(l);
	}
}

static void msg_identify(struct lsi *l)
{
	struct lsi_bus *bus = &l->s->bus;
	uint8_t byte = bus->msg_out[0];

	bus->may_disconnect = !!(byte & 0x40);
	/* the unit cannot change while a command of it is connected */
	if (bus->has_req)
		return;
	bus->identified = 1;
	bus->lun = byte & 0x3f;
	bus->attr = SCSI_TASK_UNTAGGED;
}

static const struct {
	uint8_t first, last;
	void (*fn)(struct lsi *l);
} messages[] = {
	{ MSG_EXTENDED, MSG_EXTENDED, msg_extended },
	{ MSG_INITIATOR_ERROR, MSG_INITIATOR_ERROR, msg_nothing },
	{ MSG_ABORT, MSG_ABORT, msg_abort },
	{ MSG_REJECT, MSG_REJECT, msg_reject },
	{ MSG_NOP, MSG_NOP, msg_nothing },
	{ MSG_PARITY_ERROR, MSG_PARITY_ERROR, msg_nothing },
	{ MSG_BUS_DEVICE_RESET, MSG_BUS_DEVICE_RESET, msg_device_reset },
	{ MSG_ABORT_TAG, MSG_ABORT_TAG, msg_abort_tag },
	{ MSG_CLEAR_QUEUE, MSG_CLEAR_QUEUE, msg_clear_queue },
	{ MSG_SIMPLE, MSG_ORDERED, msg_tag },
	{ MSG_IDENTIFY, 0xff, msg_identify },
};

static void message(struct lsi *l)
{
	uint8_t code = l->s->bus.msg_out[0];

	l->bytes -= LSI_MESSAGE_COST;
	for (unsigned i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		if (code < messages[i].first || code > messages[i].last)
			continue;
		messages[i].fn(l);
		return;
	}
	reject(l);
}

/* Bytes of the message that has begun, as far as its first bytes tell; 0: not yet known. */
static unsigned message_len(const uint8_t *msg, unsigned have)
{
	if (msg[0] == MSG_EXTENDED)
		return have < 2 ? 0 : 2 + (msg[1] ? msg[1] : 256);
	return msg[0] >= 0x20 && msg[0] <= 0x2f ? 2 : 1;
}

bool message_out_ok(const struct lsi_bus *bus)
{
	unsigned len;

	if (!bus->msg_out_len)
		return true;
	len = message_len(bus->msg_out, bus->msg_out_len);
	return bus->msg_out_len < LSI_MSG_OUT && len <= LSI_MSG_OUT &&
	       (!len || bus->msg_out_len < len);
}

void message_out_byte(struct lsi *l, uint8_t byte)
{
	struct lsi_bus *bus = &l->s->bus;
	unsigned len;

	if (bus->msg_out_skip) {
		bus->msg_out_skip--;
		return;
	}
	bus->msg_out[bus->msg_out_len++] = byte;
	len = message_len(bus->msg_out, bus->msg_out_len);
	if (len > LSI_MSG_OUT) {
		reject(l);
		bus->msg_out_skip = len - bus->msg_out_len;
		bus->msg_out_len = 0;
	} else if (len && bus->msg_out_len >= len) {
		message(l);
		bus->msg_out_len = 0;
	}
}

void message_out_end(struct lsi *l)
{
	struct lsi_bus *bus = &l->s->bus;

	/* cut short */
	if (bus->msg_out_len)
		reject(l);
	bus->msg_out_len = 0;
	bus->msg_out_skip = 0;
	bus->atn = 0;
	if (bus->after == AFTER_ABORT)
		bus->msg_in_len = bus->msg_in_pos = 0;
	bus_poll(l);
}
