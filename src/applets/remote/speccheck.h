/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_SPECCHECK_H
#define APPLETS_REMOTE_SPECCHECK_H

#include <stdbool.h>

struct launch_spec;

/*
 * Is it a spec of this version, with every count, index, slot, number of an enum and string inside
 * its bounds?  The keeper is trusted; this finds a keeper and a device process that differ.
 */
bool spec_ok(const struct launch_spec *spec);

struct spec_disk;
/* Could a disk of that spec be one of a device process with so many devices? */
bool spec_disk_ok(const struct spec_disk *disk, unsigned device_count);

#endif
