/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_TWINS_H
#define APPLETS_ORCHESTRATE_TWINS_H

/*
 * One image that two disks of a VM stand on, by whatever paths.  The locks of the image would
 * refuse it too, but as if another program had it, and not where it stays in QEMU or has a format.
 */

#include <stdbool.h>

#include <glib.h>

#include "plan/remote.h"

struct twins {
	GArray *images;		/* struct twin */
};

/* None yet; twins_finish() frees what is added. */
void twins_init(struct twins *twins);
/* Frees all that was added. */
void twins_finish(struct twins *twins);

/*
 * Adds the files of QEMU's own disks, whose command line @argv is.  False with @error: it cannot be
 * read.
 */
bool twins_add_qemu(struct twins *twins, char *const *argv, GError **error);

/*
 * Adds an image of a remote's.  Refused where an earlier disk has the same file and one of the two
 * may not be beside the other; the error names both.
 */
bool twins_add(struct twins *twins, const struct remote_plan *plan, const struct plan_image *image,
	       GError **error);

#endif
