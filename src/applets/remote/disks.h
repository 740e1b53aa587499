/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_DISKS_H
#define APPLETS_REMOTE_DISKS_H

/* The disks of a device process: backends on their fd slots, and the SCSI buses made of them. */

#include <stdbool.h>
#include <stdint.h>

struct block;
struct ctl_held;
struct disks;
struct launch_spec;
struct loop;
struct metrics_disk;
struct scsi_unit_config;
struct scsi_unit_setup;
struct spec_disk;
struct spec_image;

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

/* Who hears of what happens to a disk, by index; see struct scsi_bus_setup. */
struct disks_listener {
	void (*tray)(void *opaque, unsigned disk, bool open, bool locked);
	void (*failed)(void *opaque, unsigned disk, bool write, int err, bool ignored);
};

/*
 * For a monitor (spec.manage), by index, < SPEC_MAX_DISKS.  The spec of a disk is NULL when there
 * is none; the block device when there is no medium.  @listener stays in place.
 */
void disks_listen(struct disks *d, const struct disks_listener *listener, void *opaque);
const struct spec_disk *disks_spec(const struct disks *d, unsigned disk);
struct block *disks_block(const struct disks *d, unsigned disk);
/* The config that its bus has; and the setup of one that was added. */
const struct scsi_unit_config *disks_config(const struct disks *d, unsigned disk);
struct scsi_unit_setup *disks_unit(struct disks *d, unsigned disk);

/*
 * A raw image, measured by the keeper, becomes the medium of a disk that has none; @fd stays the
 * caller's.  0; -EINVAL: not such an image; or -errno.
 */
int disks_open_medium(struct disks *d, unsigned disk, const struct spec_image *image, int fd);
/* Nothing uses it any more. */
void disks_close_medium(struct disks *d, unsigned disk);

/* Limits of its medium (block/throttle.h); -ENODEV: there is none. */
int disks_throttle(struct disks *d, unsigned disk, const uint64_t *limit);

/* A disk without a medium, which is on no bus yet.  0, or -EBUSY: its place or id is taken. */
int disks_add(struct disks *d, unsigned disk, const struct spec_disk *spec);
/* Its place is free again; it is on no bus and has no medium. */
void disks_remove(struct disks *d, unsigned disk);

/*
 * Waits until nothing is in flight, flushes each disk, then calls @done once with 0 or -errno, also
 * while the loop is held.  A drain that is under way becomes this one: only the last @done is
 * called.
 */
void disks_drain(struct disks *disks, void (*done)(void *opaque, int ret), void *opaque);
/*
 * The disks, a bit each, of which a flush has failed for good; and makes it so, where a predecessor
 * of this process has seen that.
 */
uint64_t disks_poisoned(const struct disks *disks);
void disks_poison(struct disks *disks, uint64_t which);
/* Its @done is not called any more; what has begun of it ends. */
void disks_drain_cancel(struct disks *disks);

#endif
