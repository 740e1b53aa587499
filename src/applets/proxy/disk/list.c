/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <jansson.h>

#include "applets/proxy/disk/disk.h"

/* disk list: the units of every target. */

#define OWN_TARGET 7		/* the initiator's id */

/* @why: what it answered instead of what it is; or NULL. */
static void print_unit(const struct scsi_lu *lu, const char *why)
{
	char type[16];

	if (lu->type == SCSI_NO_UNIT) {
		printf("%u:%u: %s\n", lu->target, lu->lun, why);
		return;
	}
	printf("%u:%u %s: \"%s\" \"%s\" \"%s\"", lu->target, lu->lun,
	       scsi_type_name(lu->type, type, sizeof(type)), lu->vendor, lu->product,
	       lu->revision);
	if (lu->serial[0])
		printf(", serial \"%s\"", lu->serial);
	if (why)
		printf(", %s", why);
	else if (lu->block_size)
		printf(", %" PRIu64 " bytes, %u a block", lu->blocks * lu->block_size,
		       lu->block_size);
	else if (lu->type == SCSI_DISK || lu->type == SCSI_CDROM)
		printf(", no medium");
	printf("%s%s%s\n", lu->removable ? ", removable" : "", lu->read_only ? ", read-only" : "",
	       lu->can_unmap || lu->can_write_same ? ", unmap" : "");
}

static json_t *json_known(const struct scsi_lu *lu)
{
	char type[16];
	json_t *o = json_pack("{s:i, s:i, s:s, s:s, s:s, s:s, s:b, s:b, s:b}",
			      "target", lu->target, "lun", lu->lun,
			      "type", scsi_type_name(lu->type, type, sizeof(type)),
			      "vendor", lu->vendor, "product", lu->product,
			      "revision", lu->revision, "removable", lu->removable,
			      "read-only", lu->read_only,
			      "unmap", lu->can_unmap || lu->can_write_same);

	if (lu->serial[0])
		json_object_set_new(o, "serial", json_string(lu->serial));
	if (lu->block_size) {
		json_object_set_new(o, "block-size", json_integer(lu->block_size));
		json_object_set_new(o, "blocks", json_integer(lu->blocks));
		json_object_set_new(o, "bytes", json_integer(lu->blocks * lu->block_size));
	}
	return o;
}

static json_t *json_unit(const struct scsi_lu *lu, const char *why)
{
	json_t *o = lu->type == SCSI_NO_UNIT ?
		    json_pack("{s:i, s:i}", "target", lu->target, "lun", lu->lun) : json_known(lu);

	if (why)
		json_object_set_new(o, "error", json_string(why));
	return o;
}

static bool unit_failed(struct disk *disk, unsigned target, unsigned lun, GError **error)
{
	return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %u:%u: %s", session_name(disk->session),
			target, lun, disk->host.why);
}

static bool list_target(struct disk *disk, unsigned target, json_t *units, GError **error)
{
	uint8_t luns[SCSI_LUNS] = { 0 };
	unsigned count = 1;
	int ret = scsi_report_luns(&disk->host, target, luns, &count);

	/*
	 * A target of SCSI-2 may not know the command: it has LUN 0.  One that fails
	 * in another way is asked for that too, and gives a line.
	 */
	if (ret == -ENODEV)
		return true;
	if (ret && disk->host.broken)
		return unit_failed(disk, target, 0, error);
	for (unsigned i = 0; i < count; i++) {
		struct scsi_lu lu = { .target = target, .lun = luns[i], .type = SCSI_NO_UNIT };
		const char *why;

		ret = scsi_probe(&disk->host, target, luns[i], &lu);
		if (ret == -ENXIO)
			continue;
		if (ret && disk->host.broken)
			return unit_failed(disk, target, luns[i], error);
		why = ret ? disk->host.why : NULL;
		if (units)
			json_array_append_new(units, json_unit(&lu, why));
		else
			print_unit(&lu, why);
	}
	return true;
}

static bool list_all(struct disk *disk, json_t *units, GError **error)
{
	for (unsigned target = 0; target < SCSI_TARGETS; target++)
		if (target != OWN_TARGET && !list_target(disk, target, units, error))
			return false;
	return true;
}

bool disk_list(const struct disk_args *args, struct session *session, GError **error)
{
	json_t *units = args->json ? json_array() : NULL;
	struct disk disk;
	bool ok = disk_open(&disk, session, 0, error) && list_all(&disk, units, error);

	if (ok && units) {
		json_dumpf(units, stdout, JSON_INDENT(2));
		printf("\n");
	}
	json_decref(units);
	disk_close(&disk);
	return ok;
}
