/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_DISKS_H
#define APPLETS_REMOTE_DISKS_H

/* The disks of a device process: backends on their fd slots, and the SCSI buses made of them. */

struct ctl_held;
struct disks;
struct launch_spec;
struct loop;
struct metrics_disk;

/*
 * Loads what the disks of @spec need while there is still a file system to load it from.  Returns 0
 * or -errno, after logging what failed.
 */
int disks_preload(const struct launch_spec *spec);

/*
 * Opens the backend of every disk in @spec (which stays in place) but those behind NBD.  @held is
 * called when a disk holds a request back after an error.  Returns 0 or -errno, after logging what
 * failed.  @stats: where each of them counts, or NULL.
 */
int disks_create(struct loop *loop, const struct launch_spec *spec, struct metrics_disk *stats,
		 void (*held)(void *opaque, const struct ctl_held *held), void *opaque,
		 struct disks **ret_disks);
void disks_destroy(struct disks *disks);

/*
 * Opens the disks behind NBD, which takes what their servers say; then all are there for
 * disks_bus_setup().  Makes no thread and no file.  Returns as above; disks_destroy() is still due
 * after a failure.
 */
int disks_connect(struct disks *disks);

/* The struct scsi_bus_setup of controller @device, for pci_dev_init(). */
void *disks_bus_setup(struct disks *disks, unsigned device);

/* Waits until nothing is in flight, flushes each disk, then calls @done once with 0 or -errno. */
void disks_drain(struct disks *disks, void (*done)(void *opaque, int ret), void *opaque);

#endif
