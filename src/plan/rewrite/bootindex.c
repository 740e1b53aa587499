/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * bootindex= of disks that move.  Neither client has one for a disk behind it, so it is dropped;
 * where firmware would then boot from something else, the command line is refused.
 *
 * Without a bootindex SeaBIOS tries hard disks before CD-ROMs, and of one controller's disks the
 * lowest SCSI id first (seen with QEMU 7.2, whatever their order on the command line).  -boot
 * strict=on counts only where a bootindex is left: then firmware boots from nothing else.
 */

#include <string.h>

#include "plan/rewrite/move.h"

static bool is_boot_disk_option(const struct qopt *opt)
{
	static const char *const names[] = {
		"hda", "hdb", "hdc", "hdd", "cdrom", "fda", "fdb", "sd", "mtdblock", NULL
	};

	if (opt->owner == QOPT_DROPPED)
		return false;
	if (!opt->name)
		return true;
	if (g_strv_contains(names, opt->name))
		return true;
	return !strcmp(opt->name, "drive") && g_strcmp0(opt_get(opt->set, "if"), "none") &&
	       g_strcmp0(opt_get(opt->set, "if"), "pflash");
}

static bool is_cdrom(const struct qopt *opt)
{
	return !strcmp(qopt_type(opt), "scsi-cd") || !strcmp(qopt_type(opt), "ide-cd");
}

static uint64_t number_of(const struct qopt *opt, const char *key)
{
	uint64_t value = UINT64_MAX;

	opt_get_uint(opt->set, key, 31, &value, NULL);
	return value;
}

/* Does firmware come to @other later than to @disk, also when neither has a bootindex? */
static bool is_later(const struct qopt *disk, const struct qopt *other)
{
	if (opt_get(other->set, "bootindex") &&
	    (other->owner < 0 || number_of(other, "bootindex") < number_of(disk, "bootindex")))
		return false;
	if (is_cdrom(other) && !is_cdrom(disk))
		return true;
	return is_cdrom(other) == is_cdrom(disk) && other->owner == disk->owner &&
	       number_of(disk, "scsi-id") < number_of(other, "scsi-id") &&
	       opt_get(other->set, "scsi-id");
}

/* Something that firmware could boot from in place of @disk, or NULL. */
static const struct qopt *other_boot_disk(const struct move *move, const struct qopt *disk)
{
	for_each_qopt(opt, move->cmd) {
		bool device = opt != disk && opt->owner != QOPT_DROPPED && opt->name &&
			      !strcmp(opt->name, "device");

		if (device && (opt_get(opt->set, "drive") || opt_get(opt->set, "bootindex")) &&
		    !is_later(disk, opt))
			return opt;
		if (is_boot_disk_option(opt))
			return opt;
	}
	return NULL;
}

/* Where a kernel is given, firmware boots that. */
static bool check_first(const struct move *move, const struct qopt *disk, GError **error)
{
	const struct qopt *other = other_boot_disk(move, disk);

	if (!other || qcmd_last(move->cmd, "kernel"))
		return true;
	return qopt_refuse(disk, error, "bootindex=%s: %s, and firmware could boot from %s "
			   "instead; leave it out or leave the disk in QEMU",
			   opt_get(disk->set, "bootindex"), move->vfio_user ?
			   "vfio-user-pci has no bootindex for a disk behind it" :
			   "QEMU's proxy has no bootindex",
			   other->name ? qopt_where(other) : other->word);
}

/* The moved disk that firmware was to boot from first, or NULL. */
static struct qopt *first_disk(const struct move *move)
{
	struct qopt *first = NULL;

	for (unsigned i = 0; i < move->devices->len; i++) {
		struct qopt *opt = move->devices->pdata[i];

		if (opt->owner >= 0 && opt_get(opt->set, "bootindex") &&
		    (!first || number_of(opt, "bootindex") < number_of(first, "bootindex")))
			first = opt;
	}
	return first;
}

bool move_drop_bootindexes(struct move *move, GError **error)
{
	struct qopt *first = first_disk(move);

	if (first && move->attach)
		return qopt_refuse(first, error, "bootindex=: firmware has chosen what it boots "
				   "from; leave it out");
	if (first && !check_first(move, first, error))
		return false;
	for (unsigned i = 0; i < move->devices->len; i++) {
		struct qopt *opt = move->devices->pdata[i];

		if (opt->owner < 0 || !opt_get(opt->set, "bootindex"))
			continue;
		plan_note(move->plan, "%s: bootindex dropped, which firmware would not be told; "
			  "%s", qopt_where(opt), opt == first ? "nothing else could boot" :
			  "another disk comes first");
		opt_remove(opt->set, "bootindex");
		opt->changed = true;
	}
	return true;
}
