/* SPDX-License-Identifier: GPL-2.0-or-later */

/* bootindex= of disks that move, which neither protocol's client has. */

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

/* Something else than @disk that firmware could boot from, or NULL. */
static const struct qopt *other_boot_disk(const struct move *move, const struct qopt *disk)
{
	for_each_qopt(opt, move->cmd) {
		bool device = opt != disk && opt->owner != QOPT_DROPPED && opt->name &&
			      !strcmp(opt->name, "device");

		if (device && (opt_get(opt->set, "drive") || opt_get(opt->set, "bootindex")))
			return opt;
		if (is_boot_disk_option(opt))
			return opt;
	}
	return NULL;
}

/*
 * Neither client has a bootindex for a disk.  Where the disk is the only one, firmware finds it
 * without; where a kernel is given, firmware boots that.
 */
static bool drop_bootindex(struct move *move, struct qopt *disk, GError **error)
{
	const struct qopt *other = other_boot_disk(move, disk);
	struct qopt *boot = NULL;
	const char *strict = qcmd_get(move->cmd, "boot", "strict", &boot);
	const char *why = move->vfio_user ? "vfio-user-pci has no bootindex for a disk behind it" :
					    "QEMU's proxy has no bootindex";

	if (move->attach)
		return qopt_refuse(disk, error, "bootindex=: firmware has chosen what it boots "
				   "from; leave it out");
	if (!qcmd_last(move->cmd, "kernel")) {
		if (other)
			return qopt_refuse(disk, error, "bootindex=%s: %s, and firmware could "
					   "boot from %s instead; leave it out or leave the disk "
					   "in QEMU", opt_get(disk->set, "bootindex"), why,
					   other->name ? qopt_where(other) : other->word);
		if (strict && strcmp(strict, "off") && strcmp(strict, "no"))
			return qopt_refuse(disk, error, "bootindex=%s: %s, and with -boot "
					   "strict=%s firmware boots from nothing else",
					   opt_get(disk->set, "bootindex"), why, strict);
	}
	plan_note(move->plan, "%s: bootindex dropped, which firmware would not be told; nothing "
		  "else could boot", qopt_where(disk));
	opt_remove(disk->set, "bootindex");
	disk->changed = true;
	return true;
}

bool move_drop_bootindexes(struct move *move, GError **error)
{
	for (unsigned i = 0; i < move->devices->len; i++) {
		struct qopt *opt = move->devices->pdata[i];

		if (opt->owner >= 0 && opt_get(opt->set, "bootindex") &&
		    !drop_bootindex(move, opt, error))
			return false;
	}
	return true;
}
