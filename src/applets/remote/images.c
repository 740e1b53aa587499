/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/images.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "block/image.h"
#include "control/launch.h"

/* Threads that may wait for raw images at the same time; each may hold one slow request. */
#define POOL_THREADS 4

struct images {
	int fd[SPEC_MAX_DISKS];
};

/* A file or block device that the device process will read and write by itself. */
static bool open_file(struct plan_image *in, struct spec_image *spec, int *ret_fd, GError **error)
{
	struct image_options options = {
		.path = in->filename, .format = in->probe ? NULL : in->driver,
		.direct = in->direct, .readonly = in->readonly, .auto_readonly = in->auto_readonly,
		.share_rw = in->share_rw, .resizable = true, .no_lock = !in->locking,
	};
	struct image image;
	GError *why = NULL;

	if (!image_open(&options, &image, &why)) {
		g_propagate_prefixed_error(error, why, "%s: ", in->where);
		return false;
	}
	if (image.probed) {
		plan_image_set_format(in, image.format);
		if (!strcmp(image.format, "raw") && !image.readonly) {
			g_autofree char *warning = image_probe_warning(in->filename);

			log_warning("%s", warning);
		}
	}
	spec->kind = SPEC_IMAGE_RAW;
	spec->size = image.size;
	spec->readonly = image.readonly;
	spec->probed_raw = image.probed && !image.readonly;
	*ret_fd = image.fd;
	return true;
}

static void null_image(const struct plan_image *in, struct spec_image *spec)
{
	spec->kind = SPEC_IMAGE_NULL;
	spec->size = in->null_size;
	spec->latency_us = (in->null_latency_ns + 999) / 1000;
	spec->read_zeroes = in->null_read_zeroes;
}

/* Opens what disk @i stands on. */
static bool open_image(struct remote_plan *plan, unsigned i, int *ret_fd, GError **error)
{
	struct plan_image *in = &plan->image[i];
	struct spec_disk *disk = &plan->spec->disk[i];

	disk->image.direct = in->direct;
	disk->image.no_flush = in->no_flush;
	disk->image.discard = in->discard;
	disk->image.detect_zeroes = in->detect_zeroes;
	if (!in->driver) {
		disk->image.kind = SPEC_IMAGE_NONE;
		return true;
	}
	if (in->protocol && !strcmp(in->protocol, "null-co")) {
		null_image(in, &disk->image);
		return true;
	}
	if (in->filename && !open_file(in, &disk->image, ret_fd, error))
		return false;
	if (!in->native)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "%s: format '%s' needs a storage daemon",
				in->where, in->driver);
	disk->unit.readonly |= disk->image.readonly;
	return true;
}

bool images_open(struct remote_plan *plan, struct images **ret_images, GError **error)
{
	struct images *images = g_new0(struct images, 1);
	bool ok = true;

	memset(images->fd, -1, sizeof(images->fd));
	for (unsigned i = 0; i < plan->spec->disk_count && ok; i++) {
		ok = open_image(plan, i, &images->fd[i], error);
		if (plan->spec->disk[i].image.kind == SPEC_IMAGE_RAW)
			plan->spec->threads = POOL_THREADS;
		plan->spec->disk[i].image.slot = -1;
		if (images->fd[i] >= 0)
			plan->spec->disk[i].image.slot = LAUNCH_SLOT_IMAGE + i;
	}
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

void images_close(struct images *images)
{
	if (!images)
		return;
	for (unsigned i = 0; i < SPEC_MAX_DISKS; i++)
		fd_close(&images->fd[i]);
	g_free(images);
}
