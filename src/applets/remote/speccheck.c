/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/speccheck.h"

#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "control/launch.h"
#include "control/trace.h"
#include "plan/spec.h"
#include "sandbox/level.h"

#define MAX_THREADS 64

static bool text_ok(const char *text, size_t size)
{
	return memchr(text, 0, size);
}

/* -1: none. */
static bool slot_ok(int32_t slot, int first, int end)
{
	return slot == -1 || (slot >= first && slot < end);
}

/* A ROM has a slot, and a size that a BAR can have. */
static bool rom_ok(const struct spec_device *d)
{
	if (d->rom_slot == -1 || !d->rom_size)
		return d->rom_slot == -1 && !d->rom_size;
	return slot_ok(d->rom_slot, LAUNCH_SLOT_ROM, LAUNCH_SLOT_ROM + LAUNCH_ROMS) &&
	       d->rom_size >= SPEC_ROM_MIN && d->rom_size <= SPEC_ROM_MAX &&
	       !(d->rom_size & (d->rom_size - 1));
}

/* Who listens has a slot for those who come. */
static bool device_ok(const struct spec_device *d)
{
	return text_ok(d->driver, sizeof(d->driver)) && text_ok(d->id, sizeof(d->id)) &&
	       slot_ok(d->peer_slot, LAUNCH_SLOT_PEER, LAUNCH_SLOT_PEER + LAUNCH_PEERS) &&
	       d->protocol < SPEC_PROTOCOL_COUNT && d->listens <= (d->peer_slot >= 0) && rom_ok(d);
}

/* A file or a socket stands in its slot; the others have none. */
static bool image_ok(const struct spec_image *i)
{
	bool has_fd = i->kind == SPEC_IMAGE_RAW || i->kind == SPEC_IMAGE_NBD;

	return i->kind <= SPEC_IMAGE_NULL && has_fd == (i->slot >= 0) && i->detect_zeroes <= 2 &&
	       slot_ok(i->slot, LAUNCH_SLOT_IMAGE, LAUNCH_SLOT_IMAGE + LAUNCH_IMAGES) &&
	       text_ok(i->export_name, sizeof(i->export_name));
}

/* The numbers of it are src/scsi's to check. */
static bool unit_ok(const struct scsi_unit_config *u)
{
	return u->type <= SCSI_UNIT_CDROM && u->werror <= SCSI_ON_ERROR_ENOSPC &&
	       u->rerror <= SCSI_ON_ERROR_ENOSPC && text_ok(u->vendor, sizeof(u->vendor)) &&
	       text_ok(u->product, sizeof(u->product)) &&
	       text_ok(u->version, sizeof(u->version)) && text_ok(u->serial, sizeof(u->serial)) &&
	       text_ok(u->device_id, sizeof(u->device_id)) && text_ok(u->id, sizeof(u->id));
}

static bool trace_ok(uint32_t size)
{
	return !size || (is_power_of_2(size) && size >= TRACE_SIZE_MIN && size <= TRACE_SIZE_MAX);
}

/*
 * Who has successors is of the one protocol that knows them, and has its peers and disks from the
 * start.
 */
static bool crash_ok(const struct launch_spec *spec)
{
	bool fails = spec->on_crash == SPEC_ON_CRASH_FAIL;

	for (unsigned i = 0; i < spec->device_count && i < SPEC_MAX_DEVICES; i++)
		if (!fails && (spec->device[i].protocol != SPEC_PROTOCOL_MPQEMU ||
			       spec->device[i].listens))
			return false;
	return spec->on_crash <= SPEC_ON_CRASH_RESET && (fails || !spec->manage);
}

static bool process_ok(const struct launch_spec *spec)
{
	return spec->threads <= MAX_THREADS && spec->sandbox <= SANDBOX_OFF &&
	       spec->log_level <= LOG_LEVEL_DEBUG && spec->auto_shutdown <= 1 &&
	       spec->manage <= 1 && crash_ok(spec) &&
	       trace_ok(spec->trace_size) &&
	       text_ok(spec->log_prog, sizeof(spec->log_prog)) &&
	       text_ok(spec->comm, sizeof(spec->comm));
}

bool spec_disk_ok(const struct spec_disk *disk, unsigned device_count)
{
	return disk->device < device_count && image_ok(&disk->image) && unit_ok(&disk->unit);
}

bool spec_ok(const struct launch_spec *spec)
{
	if (spec->magic != SPEC_MAGIC || spec->version != SPEC_VERSION ||
	    spec->size != sizeof(*spec) || spec->device_count > SPEC_MAX_DEVICES ||
	    spec->disk_count > SPEC_MAX_DISKS || !process_ok(spec))
		return false;
	for (unsigned i = 0; i < spec->device_count; i++)
		if (!device_ok(&spec->device[i]))
			return false;
	for (unsigned i = 0; i < spec->disk_count; i++)
		if (!spec_disk_ok(&spec->disk[i], spec->device_count))
			return false;
	return true;
}
