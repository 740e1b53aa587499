/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/disks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/num.h"
#include "block/block.h"
#include "block/buffers.h"
#include "block/nbd.h"
#include "block/null.h"
#include "block/pool.h"
#include "block/raw.h"
#include "block/throttle.h"
#include "control/channel.h"
#include "control/launch.h"
#include "event/loop.h"
#include "metrics/disk.h"
#include "plan/spec.h"
#include "scsi/scsi.h"

/*
 * The data buffers of the process: as many transfers as these move at a time, each in windows of
 * this size; more wait for a buffer.  Only what is used costs memory.
 */
#define BUFFER_COUNT 64
#define BUFFER_SIZE (128u << 10)

/* How often the end looks whether the disks are quiet. */
#define DRAIN_INTERVAL (2 * LOOP_MS)

#define WHY_SIZE 256	/* bytes of an error line */

struct disk {
	struct disks *disks;
	struct block *block;
	struct block_req flush;
	struct block_extra extra;
	struct block_throttle throttle;
};

/* Room for what the set-up does not know yet: nothing is allocated after it. */
struct hot {
	struct spec_disk disk[SPEC_MAX_DISKS];
	struct scsi_unit_setup unit[SPEC_MAX_DISKS];
	_Alignas(max_align_t) uint8_t room[SPEC_MAX_DISKS][RAW_ROOM];
};

struct disks {
	const struct launch_spec *spec;
	struct loop *loop;
	struct metrics_disk *stats;	/* SPEC_MAX_DISKS of them; NULL: nobody asks */
	struct pool *pool;
	struct buffers *buffers;
	struct disk disk[SPEC_MAX_DISKS];
	struct scsi_unit_setup unit[SPEC_MAX_DISKS];
	const struct spec_disk *sd[SPEC_MAX_DISKS];	/* NULL: none, or none any more */
	unsigned count;			/* none is behind these */
	struct hot *hot;		/* what comes later, with a monitor; or NULL */
	const struct disks_listener *listener;	/* NULL: nobody */
	void *listener_opaque;
	struct scsi_bus_setup bus[SPEC_MAX_DEVICES];
	void (*held)(void *opaque, const struct ctl_held *held);
	void *held_opaque;
	/* a drain; see disks_drain() */
	struct loop_timer drain;
	void (*drained)(void *opaque, int ret);	/* NULL: nobody waits for it */
	void *drained_opaque;
	unsigned flushing;
	bool flush_again;		/* asked for since these flushes began */
	int flush_error;
};

static int open_raw(struct disks *d, const struct spec_image *image, struct block **ret_block,
		    char *why)
{
	const struct raw_facts facts = {
		.align = image->align, .mem_align = image->mem_align,
		.dev_sector = image->dev_sector, .is_device = image->is_device,
		.promised_zero = image->promised_zero,
	};
	struct block_raw_config config = {
		.facts = image->measured ? &facts : NULL,
		.room = d->hot ? d->hot->room[image->slot - LAUNCH_SLOT_IMAGE] : NULL,
		.fd = image->slot, .size = image->size, .readonly = image->readonly,
		.direct = image->direct, .no_flush = image->no_flush, .discard = image->discard,
		.detect_zeroes = image->detect_zeroes, .probed_raw = image->probed_raw,
	};

	return raw_create(d->loop, d->pool, &config, ret_block);
}

static int open_null(struct disks *d, const struct spec_image *image, struct block **ret_block,
		     char *why)
{
	*ret_block = null_create(d->loop, image->size, image->latency_us * 1000LL);
	return *ret_block ? 0 : -errno;
}

static int open_nbd(struct disks *d, const struct spec_image *image, struct block **ret_block,
		    char *why)
{
	const struct block_nbd_config config = {
		.fd = image->slot, .copy_fd = image->slot - LAUNCH_SLOT_IMAGE + LAUNCH_SLOT_NBD,
		.export_name = image->export_name, .readonly = image->readonly,
		.no_flush = image->no_flush, .discard = image->discard,
		.probed_raw = image->probed_raw,
	};

	/* A hostile body in place of the devices (sandbox/probe.h): no server is there for it. */
	if (d->spec->probe)
		return open_null(d, image, ret_block, why);
	return nbd_block_create(d->loop, &config, ret_block, why, WHY_SIZE);
}

static int open_none(struct disks *d, const struct spec_image *image, struct block **ret_block,
		     char *why)
{
	*ret_block = NULL;
	return 0;
}

/* They return 0 or -errno, and may put words of their own into @why. */
static int (*const openers[])(struct disks *, const struct spec_image *, struct block **,
			      char *why) = {
	[SPEC_IMAGE_NONE] = open_none,
	[SPEC_IMAGE_RAW] = open_raw,
	[SPEC_IMAGE_NBD] = open_nbd,
	[SPEC_IMAGE_NULL] = open_null,
};

/* Its counters, and its size, which the keeper does not know of what a server has. */
static void count_in(struct disks *d, unsigned i)
{
	struct block *block = d->disk[i].block;

	if (!d->stats || !block)
		return;
	d->stats[i].size = block->size;
	block_throttle_init(&d->disk[i].throttle, block);
	d->disk[i].extra = (struct block_extra){
		.stats = &d->stats[i], .throttle = &d->disk[i].throttle,
	};
	block->extra = &d->disk[i].extra;
}

static int open_disk(struct disks *d, unsigned i)
{
	const struct spec_disk *sd = &d->spec->disk[i];
	char why[WHY_SIZE] = "";
	int ret = -ENOTSUP;

	if (sd->image.kind < sizeof(openers) / sizeof(openers[0]) && openers[sd->image.kind])
		ret = openers[sd->image.kind](d, &sd->image, &d->disk[i].block, why);
	if (ret)
		log_error("%s: %s", sd->unit.id, why[0] ? why : log_errname(ret));
	d->disk[i].disks = d;
	count_in(d, i);
	return ret;
}

/* One that was detached, when the process was made anew, has left a place without an id. */
static bool is_there(const struct spec_disk *disk)
{
	return disk->unit.id[0];
}

static int find_disk(const struct disks *d, const char *unit_id)
{
	for (unsigned i = 0; i < d->count; i++)
		if (d->sd[i] && !strcmp(d->sd[i]->unit.id, unit_id))
			return i;
	return -1;
}

/* A unit says that it holds a request back (werror=, rerror=). */
static void on_report(void *opaque, const char *unit_id, bool write, int err)
{
	struct disks *d = opaque;

	int disk = find_disk(d, unit_id);

	if (disk >= 0)
		d->held(d->held_opaque, &(struct ctl_held){ disk, write, err });
}

static void on_tray(void *opaque, const char *unit_id, bool open, bool locked)
{
	struct disks *d = opaque;
	int disk = find_disk(d, unit_id);

	if (disk >= 0 && d->listener)
		d->listener->tray(d->listener_opaque, disk, open, locked);
}

static void on_failed(void *opaque, const char *unit_id, bool write, int err, bool ignored)
{
	struct disks *d = opaque;
	int disk = find_disk(d, unit_id);

	if (disk >= 0 && d->listener)
		d->listener->failed(d->listener_opaque, disk, write, err, ignored);
}

static const struct scsi_watch watch = { on_tray, on_failed };

/* The units stand in the spec's order; each bus takes its own, one after the other. */
static void make_buses(struct disks *d)
{
	unsigned n = 0;

	for (unsigned dev = 0; dev < d->spec->device_count; dev++) {
		struct scsi_bus_setup *bus = &d->bus[dev];

		*bus = (struct scsi_bus_setup){
			.units = &d->unit[n], .buffers = d->buffers,
			.report = on_report, .watch = &watch, .opaque = d,
		};
		for (unsigned i = 0; i < d->spec->disk_count; i++) {
			if (d->spec->disk[i].device != dev || !is_there(&d->spec->disk[i]))
				continue;
			d->unit[n++] = (struct scsi_unit_setup){
				.config = d->spec->disk[i].unit, .block = d->disk[i].block,
			};
			bus->count++;
		}
	}
}

static int make_pool(struct disks *d)
{
	if (!d->spec->disk_count && !d->spec->manage)
		return 0;
	d->buffers = buffers_create(d->loop, BUFFER_COUNT, BUFFER_SIZE);
	if (!d->buffers)
		return -errno;
	if (!d->spec->threads)
		return 0;
	d->pool = pool_create(d->loop, d->spec->threads, LAUNCH_SLOT_POOL);
	return d->pool ? 0 : -errno;
}

int disks_preload(const struct launch_spec *spec)
{
	char why[WHY_SIZE];

	for (unsigned i = 0; i < spec->disk_count; i++) {
		int ret = spec->disk[i].image.kind == SPEC_IMAGE_NBD ?
			nbd_preload(NULL, why, sizeof(why)) : 0;

		if (ret) {
			log_error("%s: %s", spec->disk[i].unit.id, why);
			return ret;
		}
	}
	return 0;
}

static int open_disks(struct disks *d, bool nbd)
{
	int ret = 0;

	for (unsigned i = 0; i < d->spec->disk_count && !ret; i++)
		if ((d->spec->disk[i].image.kind == SPEC_IMAGE_NBD) == nbd)
			ret = open_disk(d, i);
	return ret;
}

static void on_drain(void *opaque);

int disks_create(struct loop *loop, const struct launch_spec *spec, struct metrics_disk *stats,
		 void (*held)(void *opaque, const struct ctl_held *held), void *opaque,
		 struct disks **ret_disks)
{
	struct disks *d = calloc(1, sizeof(*d));
	int ret;

	if (!d)
		return -ENOMEM;
	d->spec = spec;
	d->loop = loop;
	d->stats = stats;
	d->count = spec->disk_count;
	for (unsigned i = 0; i < d->count; i++)
		d->sd[i] = is_there(&spec->disk[i]) ? &spec->disk[i] : NULL;
	if (spec->manage) {
		d->hot = aligned_alloc(_Alignof(struct hot), sizeof(*d->hot));
		if (!d->hot) {
			free(d);
			return -ENOMEM;
		}
	}
	d->held = held;
	d->held_opaque = opaque;
	d->drain = (struct loop_timer){ .fn = on_drain, .opaque = d, .unheld = true };
	ret = make_pool(d);
	if (ret)
		log_error("block pool: %s", log_errname(ret));
	if (!ret)
		ret = open_disks(d, false);
	if (ret) {
		disks_destroy(d);
		return ret;
	}
	*ret_disks = d;
	return 0;
}

int disks_connect(struct disks *d)
{
	int ret = open_disks(d, true);

	if (!ret)
		make_buses(d);
	return ret;
}

void disks_destroy(struct disks *d)
{
	if (!d)
		return;
	loop_timer_cancel(d->loop, &d->drain);
	for (unsigned i = 0; i < d->count; i++) {
		block_throttle_finish(&d->disk[i].throttle);
		block_close(d->disk[i].block);
	}
	free(d->hot);
	pool_destroy(d->pool);
	buffers_destroy(d->buffers);
	free(d);
}

void *disks_bus_setup(struct disks *d, unsigned device)
{
	return &d->bus[device];
}

/* ---- What comes and goes later ---- */

void disks_listen(struct disks *d, const struct disks_listener *listener, void *opaque)
{
	d->listener = listener;
	d->listener_opaque = opaque;
}

const struct spec_disk *disks_spec(const struct disks *d, unsigned disk)
{
	return disk < d->count ? d->sd[disk] : NULL;
}

struct block *disks_block(const struct disks *d, unsigned disk)
{
	return disk < d->count ? d->disk[disk].block : NULL;
}

struct scsi_unit_setup *disks_unit(struct disks *d, unsigned disk)
{
	return &d->hot->unit[disk];
}

/* The fd takes the number of the disk's image, which is the one that the filter knows. */
int disks_open_medium(struct disks *d, unsigned disk, const struct spec_image *image, int fd)
{
	struct spec_image in = *image;
	char why[WHY_SIZE];
	int ret;

	if (d->disk[disk].block || in.kind != SPEC_IMAGE_RAW || !in.measured || !d->pool || fd < 0)
		return -EINVAL;
	in.slot = LAUNCH_SLOT_IMAGE + disk;
	if (dup3(fd, in.slot, O_CLOEXEC) < 0)
		return -errno;
	ret = open_raw(d, &in, &d->disk[disk].block, why);
	d->disk[disk].disks = d;
	if (ret)
		disks_close_medium(d, disk);
	else
		count_in(d, disk);
	return ret;
}

void disks_close_medium(struct disks *d, unsigned disk)
{
	block_throttle_finish(&d->disk[disk].throttle);
	block_close(d->disk[disk].block);
	d->disk[disk].block = NULL;
	if (d->stats)
		d->stats[disk].size = 0;
	/* /dev/null */
	dup3(LAUNCH_SLOT_STDIN, LAUNCH_SLOT_IMAGE + disk, O_CLOEXEC);
}

int disks_throttle(struct disks *d, unsigned disk, const uint64_t *limit)
{
	struct block_throttle *throttle = &d->disk[disk].throttle;

	return throttle->block ? block_throttle_set(throttle, limit) : -ENODEV;
}

int disks_add(struct disks *d, unsigned disk, const struct spec_disk *spec)
{
	if (d->sd[disk] || d->disk[disk].block || find_disk(d, spec->unit.id) >= 0)
		return -EBUSY;
	d->hot->disk[disk] = *spec;
	d->hot->unit[disk] = (struct scsi_unit_setup){ .config = spec->unit };
	d->sd[disk] = &d->hot->disk[disk];
	d->count = max_u64(d->count, disk + 1);
	if (d->stats)
		d->stats[disk] = (struct metrics_disk){ 0 };
	return 0;
}

void disks_remove(struct disks *d, unsigned disk)
{
	d->sd[disk] = NULL;
}

const struct scsi_unit_config *disks_config(const struct disks *d, unsigned disk)
{
	unsigned n = 0;

	if (d->sd[disk] == &d->hot->disk[disk])
		return &d->hot->unit[disk].config;
	/* make_buses(): one bus after the other */
	for (unsigned dev = 0; dev < d->spec->device_count; dev++)
		for (unsigned i = 0; i < d->spec->disk_count; i++) {
			if (d->spec->disk[i].device != dev || !is_there(&d->spec->disk[i]))
				continue;
			if (i == disk)
				return &d->unit[n].config;
			n++;
		}
	return NULL;
}

/* ---- The end ---- */

/* What was written since the flushes began is for the next ones. */
static void flushed(struct disks *d)
{
	void (*drained)(void *opaque, int ret) = d->drained;

	if (!drained)
		return;
	if (d->flush_again) {
		d->flush_again = false;
		loop_timer_set(d->loop, &d->drain, loop_now());
		return;
	}
	d->drained = NULL;
	drained(d->drained_opaque, d->flush_error);
}

static void on_flushed(struct block_req *req, int ret)
{
	struct disks *d = req->opaque;

	if (ret && !d->flush_error)
		d->flush_error = ret;
	if (--d->flushing == 0)
		flushed(d);
}

static bool all_idle(const struct disks *d)
{
	for (unsigned i = 0; i < d->count; i++)
		if (d->disk[i].block && !block_idle(d->disk[i].block))
			return false;
	return true;
}

static void flush_all(struct disks *d)
{
	d->flush_error = 0;
	d->flushing = 1;	/* ours: the loop below may not end it early */
	for (unsigned i = 0; i < d->count; i++) {
		struct disk *disk = &d->disk[i];

		if (!disk->block || disk->block->readonly)
			continue;
		disk->flush = (struct block_req){
			.op = BLOCK_FLUSH, .done = on_flushed, .opaque = d,
		};
		d->flushing++;
		block_submit(disk->block, &disk->flush);
	}
	if (--d->flushing == 0)
		flushed(d);
}

static void on_drain(void *opaque)
{
	struct disks *d = opaque;

	for (unsigned i = 0; i < d->count; i++)
		if (d->disk[i].throttle.block)
			block_throttle_drain(&d->disk[i].throttle);
	if (all_idle(d))
		flush_all(d);
	else
		loop_timer_set(d->loop, &d->drain, loop_now() + DRAIN_INTERVAL);
}

void disks_drain(struct disks *d, void (*done)(void *opaque, int ret), void *opaque)
{
	d->drained = done;
	d->drained_opaque = opaque;
	d->flush_again = d->flushing;
	if (!d->flushing)
		loop_timer_set(d->loop, &d->drain, loop_now());
}

void disks_drain_cancel(struct disks *d)
{
	loop_timer_cancel(d->loop, &d->drain);
	d->drained = NULL;
	d->flush_again = false;
}

uint64_t disks_poisoned(const struct disks *d)
{
	uint64_t which = 0;

	for (unsigned i = 0; i < d->spec->disk_count; i++)
		if (d->disk[i].block && block_flush_error(d->disk[i].block))
			which |= 1ULL << i;
	return which;
}

void disks_poison(struct disks *d, uint64_t which)
{
	for (unsigned i = 0; i < d->spec->disk_count; i++)
		if (d->disk[i].block && which >> i & 1)
			block_latch_flush_error(d->disk[i].block, -EIO);
}
