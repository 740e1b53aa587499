/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_MANAGE_H
#define APPLETS_REMOTE_MANAGE_H

/*
 * The device process's side of a monitor: takes the keeper's requests (control/manage.h) and
 * changes disks and buses.  Makes nothing new: all tables are there from the set-up.
 */

struct disks;
struct loop;
struct manage;
struct scsi_bus;

/* @find_bus: the SCSI bus of a device, or NULL.  Returns 0 or -errno. */
int manage_create(struct loop *loop, struct disks *disks,
		  struct scsi_bus *(*find_bus)(void *opaque, unsigned device), void *opaque,
		  struct manage **ret);
/* The process ends: no request is taken any more.  NULL-safe, as the next one. */
void manage_stop(struct manage *m);
void manage_destroy(struct manage *m);

#endif
