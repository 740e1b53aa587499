/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/images.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/remote/storage.h"
#include "base/fd.h"
#include "base/log.h"
#include "block/image.h"
#include "control/launch.h"
#include "mem/memfd.h"

/* Threads that may wait for raw images at the same time; each may hold one slow request. */
#define POOL_THREADS 4

#define SAMPLE_SIZE (1u << 20)	/* bytes */

struct images {
	int fd[SPEC_MAX_DISKS];
	int place[SPEC_MAX_DISKS];
	struct storage *storage[SPEC_MAX_DISKS];	/* NULL: none was needed */
};

/* A CD-ROM never writes, and lets nobody change the size of its medium: as in QEMU. */
static bool is_cdrom(const struct spec_disk *disk)
{
	return disk->unit.type == SCSI_UNIT_CDROM;
}

/*
 * A file or block device that the device process may read and write by itself.  Where the format
 * was not given and is another one, in->native is false afterwards, and nothing is kept.
 */
static bool open_file(const struct remote_plan *plan, struct plan_image *in, struct spec_disk *disk,
		      int *ret_fd, GError **error)
{
	struct spec_image *spec = &disk->image;
	struct image_options options = {
		.path = in->filename, .format = in->probe ? NULL : in->driver,
		.direct = in->direct, .readonly = in->readonly || is_cdrom(disk),
		/* A disk that cannot be written is not started as a read-only one. */
		.auto_readonly = in->auto_readonly && is_cdrom(disk), .share_rw = in->share_rw,
		.resizable = !is_cdrom(disk), .no_lock = !in->locking,
	};
	struct image image;
	GError *why = NULL;

	if (in->fdset >= 0) {
		options.use_fd = true;
		options.fd = remote_plan_fdset(plan, in->fdset, !options.readonly);
	}
	if (!image_open(&options, &image, &why)) {
		g_propagate_prefixed_error(error, why, "%s: ", in->where);
		return false;
	}
	if (image.is_device && !strcmp(in->protocol, "file"))
		plan_image_set_protocol(in, "host_device");
	if (image.probed) {
		plan_image_set_format(in, image.format);
		if (!strcmp(image.format, "raw") && !image.readonly) {
			g_autofree char *warning = image_probe_warning(in->filename);

			log_warning("%s", warning);
		}
	}
	if (!in->native) {
		close(image.fd);
		return true;
	}
	spec->kind = SPEC_IMAGE_RAW;
	spec->size = image.size;
	spec->direct = image.direct;
	spec->readonly = image.readonly;
	spec->probed_raw = image.probed && !image.readonly;
	spec->is_device = image.is_device;
	*ret_fd = image.fd;
	return true;
}

/* QEMU looks what a -drive's file is, whatever its format: block devices have their own driver. */
static void find_protocol(struct plan_image *in)
{
	struct stat st;

	if (in->filename && !in->native && !g_strcmp0(in->protocol, "file") &&
	    g_str_has_prefix(in->where, "-drive") && stat(in->filename, &st) == 0 &&
	    S_ISBLK(st.st_mode))
		plan_image_set_protocol(in, "host_device");
}

static void null_image(const struct plan_image *in, struct spec_image *spec)
{
	spec->kind = SPEC_IMAGE_NULL;
	spec->size = in->null_size;
	spec->latency_us = (in->null_latency_ns + 999) / 1000;
	spec->read_zeroes = in->null_read_zeroes;
}

/* What a report on the sandbox calls its disk. */
static bool sample_image(struct spec_image *spec, int *ret_fd, GError **error)
{
	int fd = memfd_make("mpqemu-sample", SAMPLE_SIZE);

	if (fd < 0)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "--sandbox-report: %s", log_errname(fd));
	spec->kind = SPEC_IMAGE_RAW;
	spec->size = SAMPLE_SIZE;
	*ret_fd = fd;
	return true;
}

/* Behind NBD. */
static bool open_storage(struct images *images, struct remote_plan *plan, unsigned i,
			 GError **error)
{
	bool ok = storage_open(plan, &plan->image[i], &plan->spec->disk[i].image, &images->fd[i],
			       &images->place[i], &images->storage[i], error);

	if (plan->on_crash == SPEC_ON_CRASH_FAIL)
		fd_close(&images->place[i]);
	return ok;
}

/* Opens what disk @i stands on. */
static bool open_image(struct images *images, struct remote_plan *plan, unsigned i, GError **error)
{
	struct plan_image *in = &plan->image[i];
	struct spec_disk *disk = &plan->spec->disk[i];

	disk->image.direct = in->direct;
	disk->image.no_flush = in->no_flush;
	disk->image.discard = in->discard;
	disk->image.detect_zeroes = in->detect_zeroes;
	if (plan->sample)
		return sample_image(&disk->image, &images->fd[i], error);
	if (!in->driver) {
		disk->image.kind = SPEC_IMAGE_NONE;
		return true;
	}
	if (in->native && !strcmp(in->protocol, "null-co")) {
		null_image(in, &disk->image);
		return true;
	}
	in->readonly |= is_cdrom(disk);
	if (in->filename && (in->native || in->probe) &&
	    !open_file(plan, in, disk, &images->fd[i], error))
		return false;
	find_protocol(in);
	if (!in->native && !open_storage(images, plan, i, error))
		return false;
	disk->unit.readonly |= disk->image.readonly;
	return true;
}

bool images_open(struct remote_plan *plan, struct images **ret_images, GError **error)
{
	struct images *images = g_new0(struct images, 1);
	bool ok = true;

	memset(images->fd, -1, sizeof(images->fd));
	memset(images->place, -1, sizeof(images->place));
	for (unsigned i = 0; i < plan->spec->disk_count && ok; i++) {
		ok = open_image(images, plan, i, error);
		if (plan->spec->disk[i].image.kind == SPEC_IMAGE_RAW)
			plan->spec->threads = POOL_THREADS;
		plan->spec->disk[i].image.slot = -1;
		if (images->fd[i] >= 0)
			plan->spec->disk[i].image.slot = LAUNCH_SLOT_IMAGE + i;
	}
	if (plan->monitor_count)	/* media may come later */
		plan->spec->threads = POOL_THREADS;
	if (!ok) {
		images_close(images);
		return false;
	}
	*ret_images = images;
	return true;
}

const int *images_fds(const struct images *images)
{
	return images->fd;
}

const int *images_places(const struct images *images)
{
	return images->place;
}

bool images_open_one(struct images *images, struct remote_plan *plan, unsigned disk,
		     GError **error)
{
	struct spec_image *image = &plan->spec->disk[disk].image;
	bool ok = open_image(images, plan, disk, error);

	image->slot = ok && images->fd[disk] >= 0 ? LAUNCH_SLOT_IMAGE + (int)disk : -1;
	return ok;
}

void images_put(struct images *images, unsigned disk, int fd)
{
	fd_close(&images->fd[disk]);
	images->fd[disk] = fd;
}

int images_daemon(const struct images *images, unsigned disk)
{
	return images->storage[disk] ? storage_pidfd(images->storage[disk]) : -1;
}

int images_daemon_status(struct images *images, unsigned disk)
{
	return storage_status(images->storage[disk]);
}

int images_take_qmp(struct images *images, unsigned disk)
{
	return images->storage[disk] ? storage_take_qmp(images->storage[disk]) : -1;
}

void images_close(struct images *images)
{
	if (!images)
		return;
	for (unsigned i = 0; i < SPEC_MAX_DISKS; i++) {
		fd_close(&images->fd[i]);
		fd_close(&images->place[i]);
		storage_stop(images->storage[i]);
	}
	g_free(images);
}
