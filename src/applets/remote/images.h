/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_IMAGES_H
#define APPLETS_REMOTE_IMAGES_H

/* The keeper's side of the disks: opens and locks each image before the device process exists. */

#include "plan/remote.h"

struct images;

/*
 * Opens every image of @plan and completes its struct spec_image (kind, size, readonly, ...).
 * False with @error set; nothing stays open then.
 */
bool images_open(struct remote_plan *plan, struct images **ret_images, GError **error);

/* One fd a disk of the spec, -1 for a disk without one; the images'. */
const int *images_fds(const struct images *images);

/*
 * With --on-crash=, one a disk: the UNIX socket of its NBD server (O_PATH), to connect to again;
 * -1: it has none.  The images'.
 */
const int *images_places(const struct images *images);

/*
 * Opens what disk @disk of @plan stands on, which came later and is native, as images_open() does.
 * False with @error set; nothing stays open then.
 */
bool images_open_one(struct images *images, struct remote_plan *plan, unsigned disk,
		     GError **error);
/* Another fd (taken over; -1: none) stands for the image of a disk from now on. */
void images_put(struct images *images, unsigned disk, int fd);

/* The wait status of the storage daemon behind disk @disk, which has ended. */
int images_daemon_status(struct images *images, unsigned disk);
/* The pidfd of the storage daemon behind disk @disk, the images'; -1 for none. */
int images_daemon(const struct images *images, unsigned disk);

/* The socket of its QMP monitor, the caller's from now on; -1 for none. */
int images_take_qmp(struct images *images, unsigned disk);

/* Closes them, which drops the locks, and ends the storage daemons.  NULL-safe. */
void images_close(struct images *images);

#endif
