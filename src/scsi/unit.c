/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "scsi/bus.h"

/* What a logical unit remembers, and what resets do to it (SAM-3 6.3). */

/*
 * One reset code is enough: POWER ON covers all others, and a later reset replaces an earlier one
 * of its kind; it also makes older news pointless.
 */
static void attention_reset(struct scsi_unit_state *u, uint16_t ua)
{
	if (u->ua_count && u->ua[0] == UA_POWER_ON)
		return;
	u->ua[0] = ua;
	u->ua_count = 1;
}

void unit_attention(struct unit *unit, uint16_t ua)
{
	struct scsi_unit_state *u = unit->state;
	unsigned max = sizeof(u->ua) / sizeof(u->ua[0]);

	if (ua >> 8 == 0x29) {
		attention_reset(u, ua);
		return;
	}
	for (unsigned i = 0; i < u->ua_count; i++)
		if (u->ua[i] == ua)
			return;
	if (u->ua_count < max)
		u->ua[u->ua_count++] = ua;
}

/*
 * Logical unit reset: reservations and removal prevention end, mode parameters go back to their
 * defaults (nothing is saved).  A tray that is open stays open but for a power cycle, which also
 * starts a stopped unit.
 */
void unit_reset(struct unit *unit, uint16_t ua, bool power_on)
{
	struct scsi_unit_state *u = unit->state;
	bool open = u->tray_open, locked = u->tray_locked;

	if (power_on) {
		uint8_t poisoned = u->poisoned;

		hold_reset(unit);
		memset(u, 0, sizeof(*u));
		u->poisoned = poisoned;
	}
	u->sense_valid = 0;
	u->reserved = 0;
	u->tray_locked = 0;
	u->swp = 0;
	u->write_cache = unit->config->write_cache;
	u->block_size = unit->config->logical_block_size;
	unit_attention(unit, ua);
	if (open != u->tray_open || locked)
		unit_tell_tray(unit);
}
