/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scsi/bus.h"

#include <errno.h>
#include <string.h>

/* What the operator changes while the bus works: sizes, media, units that come and go. */

void unit_tell_tray(const struct unit *unit)
{
	const struct scsi_bus_setup *setup = unit->bus->setup;

	if (setup->watch)
		setup->watch->tray(setup->opaque, unit->config->id, unit->state->tray_open,
				   unit->state->tray_locked);
}

int scsi_unit_resized(struct scsi_bus *bus, unsigned target, unsigned lun)
{
	struct unit *unit = bus_unit(bus, target, lun);

	if (!unit)
		return -ENODEV;
	/* SBC-3 4.7: a disc is another one instead (MMC-6 has no such attention). */
	if (!unit_is_cd(unit))
		unit_attention(unit, UA_CAPACITY_CHANGED);
	return 0;
}

/* Tasks that have begun with the medium go on with it to their end. */
static bool is_busy(const struct unit *unit)
{
	return unit->tasks || unit->ios;
}

int scsi_unit_eject(struct scsi_bus *bus, unsigned target, unsigned lun, bool force)
{
	struct unit *unit = bus_unit(bus, target, lun);

	if (!unit)
		return -ENODEV;
	if (!unit->config->removable)
		return -ENOTSUP;
	if (!unit->state->tray_open) {
		if (unit->state->tray_locked && !force)
			return -EBUSY;
		unit->state->tray_open = 1;
		unit->state->tray_locked = 0;
		unit_tell_tray(unit);
	}
	if (is_busy(unit))
		return -EINPROGRESS;
	unit->block = NULL;
	return 0;
}

int scsi_unit_load(struct scsi_bus *bus, unsigned target, unsigned lun, struct block *block)
{
	struct unit *unit = bus_unit(bus, target, lun);

	if (!unit)
		return -ENODEV;
	if (!unit->state->tray_open || unit->block)
		return -EBUSY;
	if (block && block->align > unit->config->logical_block_size)
		return -EINVAL;
	unit->block = block;
	unit->state->tray_open = 0;
	unit->state->stopped = 0;
	unit->state->medium_event = block != NULL;
	/* MMC-6, UNIT ATTENTION: NOT READY TO READY CHANGE, MEDIUM MAY HAVE CHANGED */
	if (block)
		unit_attention(unit, UA_MEDIUM_CHANGED);
	unit_tell_tray(unit);
	return 0;
}

/* SPC-3 5.9: the other logical units of the target tell of it. */
static void luns_changed(struct scsi_bus *bus, const struct unit *except)
{
	for (unsigned i = 0; i < bus->unit_count; i++) {
		struct unit *unit = &bus->unit[i];

		if (unit != except && !unit->gone &&
		    unit->config->target == except->config->target)
			unit_attention(unit, UA_LUNS_CHANGED);
	}
}

/* A place that no unit has, or has any more; NULL: all are taken. */
static struct unit *free_unit(struct scsi_bus *bus)
{
	for (unsigned i = 0; i < bus->unit_count; i++)
		if (bus->unit[i].gone && !is_busy(&bus->unit[i]))
			return &bus->unit[i];
	return bus->unit_count < SCSI_MAX_UNITS ? &bus->unit[bus->unit_count] : NULL;
}

int scsi_unit_attach(struct scsi_bus *bus, const struct scsi_unit_setup *setup)
{
	struct unit *unit = free_unit(bus);
	int ret;

	if (!unit)
		return -ENOSPC;
	unit->state = &bus->state->unit[unit - bus->unit];
	memset(unit->state, 0, sizeof(*unit->state));
	ret = bus_set_unit(bus, unit, setup);
	if (!ret)
		luns_changed(bus, unit);
	return ret;
}

int scsi_unit_detach(struct scsi_bus *bus, unsigned target, unsigned lun)
{
	struct unit *unit = bus_unit(bus, target, lun);

	if (!unit)
		return -ENODEV;
	bus->map[target][lun] = 0;
	unit->gone = true;
	luns_changed(bus, unit);
	/* What an error held back is not held back again. */
	scsi_retry_held(bus);
	return 0;
}

bool scsi_unit_left(const struct scsi_bus *bus, const struct scsi_unit_config *config)
{
	for (unsigned i = 0; i < bus->unit_count; i++)
		if (bus->unit[i].config == config)
			return bus->unit[i].gone && !is_busy(&bus->unit[i]);
	return true;
}
