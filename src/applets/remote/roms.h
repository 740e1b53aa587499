/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_ROMS_H
#define APPLETS_REMOTE_ROMS_H

/* The option ROMs of the devices: romfile=. */

#include "plan/remote.h"

/*
 * Reads the file of every device that has one into a memfd, sealed against any change, of the size
 * that its BAR has: the next power of two, zeroes behind what the file holds.  ret_fd[i] is the
 * caller's, -1 for a device without one; slot and size are written into the plan's spec.  False
 * with @error set; every fd that was made is closed then.
 */
bool roms_open(const struct remote_plan *plan, int ret_fd[SPEC_MAX_DEVICES], GError **error);

#endif
