/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_STORAGE_H
#define APPLETS_REMOTE_STORAGE_H

/*
 * Disks that the device process cannot serve by itself (plan_image.native is false): each gets a
 * connected NBD socket.  What is NBD already is connected to; everything else is the work of a
 * qemu-storage-daemon of the disk's own, which gets the moved block graph, with the whole backing
 * chain named, in a sandbox of plan->sandbox: it sees those files and libraries only, has a network
 * only if the graph goes over one, and can execute nothing.
 */

#include <stdbool.h>

#include <glib.h>

#include "plan/remote.h"

struct storage;

/*
 * Opens what @image stands on and fills in @spec (kind, readonly, export_name, probed_raw; slot
 * is left to the caller).  The format of an image->probe image below NBD is found out here.
 * *ret_fd: the caller's; *ret_place: the same, the server's UNIX socket for further connections
 * (O_PATH), or -1: it has none; *ret_storage: the daemon, or NULL where none was needed.
 *
 * The daemon ends with the thread that calls this, so daemonize first.  It leaves no file behind.
 * Waits until the daemon serves the disk.  Errors are one line, @image's option in front.
 */
bool storage_open(const struct remote_plan *plan, struct plan_image *image, struct spec_image *spec,
		  int *ret_fd, int *ret_place, struct storage **ret_storage, GError **error);

/*
 * The command that storage_open() would run for @image, for --dry-run: g_strfreev().  NULL with
 * @error NULL: no daemon is needed.
 */
char **storage_command(const struct remote_plan *plan, struct plan_image *image, GError **error);

/*
 * Ends the daemon in order, once nobody uses its socket any more, and logs what it said.
 * NULL-safe.
 */
void storage_stop(struct storage *storage);

/*
 * The socket of the daemon's own QMP monitor, which the caller owns from now on; -1: it has none
 * (the plan has no monitor), or it was taken.
 */
int storage_take_qmp(struct storage *storage);

/* The wait status of a daemon that has ended. */
int storage_status(struct storage *storage);
/* A pidfd of the daemon, readable when it has ended; the storage's. */
int storage_pidfd(const struct storage *storage);

#endif
