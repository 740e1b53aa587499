/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the monitor's commands change of disks that are there: sizes and media. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "applets/remote/images.h"
#include "applets/remote/monitor-priv.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"
#include "block/raw.h"
#include "control/launch.h"
#include "plan/spec.h"

#define GENERIC "GenericError"

/* ms: requests of the guest that are under way come first; a taken-over process answers nothing. */
#define ANSWER_LIMIT 30000

/* ---- Requests to the device process ---- */

struct monitor_request *monitor_request_new(struct monitor *m, struct qmp_call *call, unsigned disk)
{
	struct monitor_request *r = m->request;

	/* A client has one command at a time, and a disk goes once: there is a place. */
	while (r->open)
		r++;
	*r = (struct monitor_request){ .open = true, .call = call, .disk = disk,
				       .image.fd = -1 };
	return r;
}

void monitor_request_end(struct monitor_request *r)
{
	fd_close(&r->image.fd);
	g_free(r->filename);
	*r = (struct monitor_request){ .image.fd = -1 };
}

void monitor_ask(struct monitor *m, struct monitor_request *r, enum manage_type type,
		 uint64_t value, const void *body, size_t len, int fd)
{
	struct manage_msg msg = { .type = type, .serial = ++m->serial, .disk = r->disk };
	int ret;

	r->serial = msg.serial;
	r->deadline = clock_ms() + ANSWER_LIMIT;
	manage_set_value(&msg, value);
	if (body)
		memcpy(msg.body, body, len);
	ret = m->manage < 0 ? -ENOTCONN : manage_send(m->manage, &msg, fd);
	if (ret)
		r->done(m, r, ret);
}

/* The end of a command that failed. */
void monitor_request_fail(struct monitor_request *r, const char *name, int ret)
{
	if (ret == -ETIMEDOUT)
		qmp_refuse(r->call, GENERIC, "Device '%s': the device process has not answered for "
			   "%d s", name, ANSWER_LIMIT / 1000);
	else
		qmp_refuse(r->call, GENERIC, "Device '%s': %s", name, log_errname(ret));
	monitor_request_end(r);
}

static void finish(struct monitor_request *r)
{
	qmp_reply(r->call, NULL);
	monitor_request_end(r);
}

/* The device process may say anything: of what was not asked nothing comes. */
static void on_reply(struct monitor *m, const struct manage_msg *msg)
{
	uint64_t err = manage_value(msg);

	for (unsigned i = 0; i < MONITOR_REQUESTS; i++) {
		struct monitor_request *r = &m->request[i];

		if (!r->open || r->serial != msg->serial || r->disk != msg->disk)
			continue;
		r->done(m, r, -(int)min_u64(err, 4095));
		return;
	}
}

static void on_tray(struct monitor *m, const struct manage_msg *msg)
{
	unsigned was = m->tray[msg->disk], is = manage_value(msg) & (MANAGE_TRAY_OPEN |
								     MANAGE_TRAY_LOCKED);

	if (!monitor_has_disk(m, msg->disk))
		return;
	m->tray[msg->disk] = is;
	if (!((was ^ is) & MANAGE_TRAY_OPEN))
		return;
	qmp_server_event(m->server, "DEVICE_TRAY_MOVED", json_pack("{s:s, s:b, s:s}", "device",
			 monitor_device_name(m, msg->disk), "tray-open", is & MANAGE_TRAY_OPEN,
			 "id", m->plan->spec->disk[msg->disk].unit.id));
}

static void on_failed(struct monitor *m, const struct manage_msg *msg)
{
	uint64_t value = manage_value(msg);

	monitor_io_error(m, msg->disk, value & MANAGE_FAILED_WRITE, value & MANAGE_FAILED_ERRNO,
			 value & MANAGE_FAILED_IGNORED ? "ignore" : "report");
}

/* What a device process may send. */
static void (*const handlers[MANAGE_TYPE_COUNT])(struct monitor *m,
						 const struct manage_msg *msg) = {
	[MANAGE_REPLY] = on_reply,
	[MANAGE_TRAY] = on_tray,
	[MANAGE_FAILED] = on_failed,
};

void monitor_manage_polled(struct monitor *m, short revents)
{
	struct manage_msg msg;
	int ret = 0, fd;

	/* A bound: one that sends without end does not keep the keeper from all else. */
	for (unsigned i = 0; revents && m->manage >= 0 && i < 16 && !ret; i++) {
		ret = manage_recv(m->manage, MANAGE_FROM_DEVICE, &msg, &fd);
		if (!ret)
			handlers[msg.type](m, &msg);
	}
	if (ret && ret != -EAGAIN) {
		if (ret != -ENODATA)
			log_warning("monitor's channel: %s; disks cannot be changed any more",
				    log_errname(ret));
		m->manage = -1;
	}
	for (unsigned i = 0; i < MONITOR_REQUESTS; i++) {
		struct monitor_request *r = &m->request[i];

		if (r->open && (m->manage < 0 || clock_ms() >= r->deadline))
			r->done(m, r, m->manage < 0 ? -ENOTCONN : -ETIMEDOUT);
	}
}

int monitor_manage_wait(const struct monitor *m)
{
	int64_t first = INT64_MAX, left;

	for (unsigned i = 0; i < MONITOR_REQUESTS; i++)
		if (m->request[i].open)
			first = MIN(first, m->request[i].deadline);
	left = first - clock_ms();
	return first == INT64_MAX ? -1 : left > 0 ? left : 0;
}

/* ---- block_resize ---- */

static int find_by_device(const struct monitor *m, const char *device)
{
	for (unsigned i = 0; i < m->plan->spec->disk_count; i++)
		if (monitor_has_disk(m, i) && *device &&
		    !strcmp(monitor_device_name(m, i), device))
			return i;
	return -1;
}

static int find_by_node(const struct monitor *m, const char *node)
{
	for (unsigned i = 0; i < m->plan->spec->disk_count; i++)
		if (monitor_has_disk(m, i) && monitor_has_medium(m, i) &&
		    !g_strcmp0(m->plan->image[i].node, node))
			return i;
	return -1;
}

/* NULL: it can; or why not. */
static const char *resize_obstacle(const struct spec_image *image)
{
	static const char *const obstacles[] = {
		[SPEC_IMAGE_NONE] = "there is no medium",
		[SPEC_IMAGE_RAW] = NULL,
		[SPEC_IMAGE_NBD] = "a server's disk (every format but raw) cannot be resized while "
				   "it is used",
		[SPEC_IMAGE_NULL] = "Image format driver does not support resize",
	};

	return image->kind == SPEC_IMAGE_RAW && image->readonly ? "Image is read-only" :
	       obstacles[image->kind];
}

/* A file takes the new size; a block device has to be large enough by itself.  0 or -errno. */
static int set_file_size(const struct monitor *m, unsigned disk, uint64_t size)
{
	int fd = images_fds(m->images)[disk];
	uint64_t has;

	if (!m->plan->spec->disk[disk].image.is_device)
		return ftruncate(fd, size) < 0 ? -errno : 0;
	if (ioctl(fd, BLKGETSIZE64, &has) < 0)
		return -errno;
	return size <= has ? 0 : -ENOSPC;
}

static void resize_failed(struct monitor *m, struct monitor_request *r, int ret)
{
	qmp_refuse(r->call, GENERIC, "Failed to resize the file: %s", log_errname(ret));
	monitor_request_end(r);
}

/* What becomes shorter is cut now: nothing is under way any more. */
static void resized(struct monitor *m, struct monitor_request *r, int ret)
{
	struct spec_image *image = &m->plan->spec->disk[r->disk].image;

	if (ret == -EINVAL) {
		qmp_refuse(r->call, GENERIC, "Parameter 'size' expects a multiple of the image's "
			   "alignment");
		monitor_request_end(r);
		return;
	}
	if (ret) {
		monitor_request_fail(r, m->plan->spec->disk[r->disk].unit.id, ret);
		return;
	}
	if (r->size < image->size)
		ret = set_file_size(m, r->disk, r->size);
	image->size = r->size;
	if (ret)
		resize_failed(m, r, ret);
	else
		finish(r);
}

void monitor_block_resize(void *opaque, struct qmp_call *call, const json_t *args)
{
	const char *device = json_string_value(json_object_get(args, "device"));
	const char *node = json_string_value(json_object_get(args, "node-name"));
	json_int_t size = json_integer_value(json_object_get(args, "size"));
	struct monitor *m = opaque;
	struct monitor_request *r;
	int disk = device && node ? -1 : device ? find_by_device(m, device) :
		   node ? find_by_node(m, node) : -1;
	const char *obstacle;
	int ret = 0;

	if (disk < 0) {
		qmp_refuse(call, GENERIC, "Cannot find device='%s' nor node-name='%s'",
			   device ?: "", node ?: "");
		return;
	}
	obstacle = resize_obstacle(&m->plan->spec->disk[disk].image);
	if (obstacle || size <= 0 || size > INT64_MAX - 4096) {
		qmp_refuse(call, GENERIC, "%s", obstacle ?: "Parameter 'size' expects a >0 size");
		return;
	}
	r = monitor_request_new(m, call, disk);
	r->size = align_up(size, IMAGE_SECTOR);
	r->done = resized;
	if (r->size > m->plan->spec->disk[disk].image.size)
		ret = set_file_size(m, disk, r->size);
	if (ret)
		resize_failed(m, r, ret);
	else
		monitor_ask(m, r, MANAGE_RESIZE, r->size, NULL, 0, -1);
}

/* ---- Media ---- */

/* The disk or drive that "device" or "id" names; -1: the call was refused. */
static int find_disk(const struct monitor *m, struct qmp_call *call, const json_t *args)
{
	const char *device = json_string_value(json_object_get(args, "device"));
	const char *id = json_string_value(json_object_get(args, "id"));
	int disk = device ? find_by_device(m, device) : -1;

	if (!device == !id) {
		qmp_refuse(call, GENERIC, "Need exactly one of 'device' and 'id'");
		return -1;
	}
	for (unsigned i = 0; id && i < m->plan->spec->disk_count; i++)
		if (monitor_has_disk(m, i) && !strcmp(m->plan->spec->disk[i].unit.id, id))
			disk = i;
	if (disk < 0)
		qmp_refuse(call, "DeviceNotFound", "Device '%s' not found", device ?: id);
	return disk;
}

/* The same, of what has a tray. */
static int find_drive(const struct monitor *m, struct qmp_call *call, const json_t *args)
{
	int disk = find_disk(m, call, args);

	if (disk < 0 || m->plan->spec->disk[disk].unit.removable)
		return disk;
	qmp_refuse(call, GENERIC, "Device '%s' is not removable",
		   json_string_value(json_object_get(args, "device")) ?:
		   json_string_value(json_object_get(args, "id")));
	return -1;
}

/* The medium is gone: the keeper lets go of it as well. */
static void forget_medium(struct monitor *m, unsigned disk)
{
	struct spec_image *image = &m->plan->spec->disk[disk].image;

	images_put(m->images, disk, -1);
	memset(m->limit[disk], 0, sizeof(m->limit[disk]));
	*image = (struct spec_image){ .kind = SPEC_IMAGE_NONE, .slot = -1 };
}

/* Returns false after refusing the call. */
static bool ejected(struct monitor *m, struct monitor_request *r, int ret)
{
	const char *id = m->plan->spec->disk[r->disk].unit.id;

	if (ret == -EBUSY)
		qmp_refuse(r->call, GENERIC, "Device '%s' is locked and force was not specified, "
			   "wait for tray to open and try again", id);
	else if (ret == -ENOTSUP)
		qmp_refuse(r->call, GENERIC, "Device '%s': a server's medium (every format but "
			   "raw) stays to the end", id);
	if (ret == -EBUSY || ret == -ENOTSUP)
		monitor_request_end(r);
	else if (ret)
		monitor_request_fail(r, id, ret);
	else
		forget_medium(m, r->disk);
	return !ret;
}

static void eject_done(struct monitor *m, struct monitor_request *r, int ret)
{
	if (ejected(m, r, ret))
		finish(r);
}

static void ask_eject(struct monitor *m, struct monitor_request *r, const json_t *args)
{
	bool force = json_is_true(json_object_get(args, "force"));

	monitor_ask(m, r, MANAGE_EJECT, force ? MANAGE_FORCE : 0, NULL, 0, -1);
}

void monitor_eject(void *opaque, struct qmp_call *call, const json_t *args)
{
	struct monitor *m = opaque;
	int disk = find_drive(m, call, args);
	struct monitor_request *r;

	if (disk < 0)
		return;
	r = monitor_request_new(m, call, disk);
	r->done = eject_done;
	ask_eject(m, r, args);
}

int monitor_measure(int fd, struct spec_image *image)
{
	struct block_raw_config config = {
		.fd = fd, .size = image->size, .readonly = image->readonly,
		.direct = image->direct, .discard = image->discard,
	};
	struct raw_facts facts;
	int ret = raw_measure(&config, &facts);

	if (ret)
		return ret;
	image->measured = 1;
	image->is_device = facts.is_device;
	image->align = facts.align;
	image->mem_align = facts.mem_align;
	image->dev_sector = facts.dev_sector;
	image->promised_zero = facts.promised_zero;
	return 0;
}

/* The image of a request as a device process is told of it.  0 or -errno. */
static int describe(const struct monitor_request *r, struct spec_image *ret)
{
	*ret = (struct spec_image){
		.kind = SPEC_IMAGE_RAW, .readonly = r->image.readonly, .direct = r->image.direct,
		.slot = LAUNCH_SLOT_IMAGE + r->disk, .size = r->image.size,
	};
	return monitor_measure(r->image.fd, ret);
}

static void load_done(struct monitor *m, struct monitor_request *r, int ret)
{
	struct spec_disk *disk = &m->plan->spec->disk[r->disk];
	struct plan_image *image = &m->plan->image[r->disk];

	if (ret) {
		monitor_request_fail(r, disk->unit.id, ret);
		return;
	}
	describe(r, &disk->image);
	images_put(m->images, r->disk, fd_steal(&r->image.fd));
	g_free(image->filename);
	image->filename = g_steal_pointer(&r->filename);
	g_free(image->driver);
	image->driver = g_strdup("raw");
	g_free(image->protocol);
	image->protocol = g_strdup(disk->image.is_device ? "host_device" : "file");
	finish(r);
}

static void change_ejected(struct monitor *m, struct monitor_request *r, int ret)
{
	struct spec_image image;

	if (!ejected(m, r, ret))
		return;
	ret = describe(r, &image);
	r->done = load_done;
	if (ret)
		load_done(m, r, ret);
	else
		monitor_ask(m, r, MANAGE_LOAD, 0, &image, sizeof(image), r->image.fd);
}

/* False with the call refused. */
static bool open_medium(struct qmp_call *call, const json_t *args, struct image *ret)
{
	const char *format = json_string_value(json_object_get(args, "format"));
	struct image_options options = {
		.path = json_string_value(json_object_get(args, "filename")), .format = format,
		.readonly = true,
	};
	g_autoptr(GError) error = NULL;

	if (format && strcmp(format, "raw")) {
		qmp_refuse(call, GENERIC, "Format '%s': a new medium can be raw only", format);
		return false;
	}
	if (!image_open(&options, ret, &error)) {
		qmp_refuse(call, GENERIC, "%s", error->message);
		return false;
	}
	if (!strcmp(ret->format, "raw")) {
		ret->format = "raw";
		return true;
	}
	qmp_refuse(call, GENERIC, "'%s' is %s: a new medium can be raw only", options.path,
		   ret->format);
	fd_close(&ret->fd);
	return false;
}

/* As QEMU: what cannot be opened leaves the old one where it is. */
void monitor_change_medium(void *opaque, struct qmp_call *call, const json_t *args)
{
	struct monitor *m = opaque;
	int disk = find_drive(m, call, args);
	struct monitor_request *r;
	struct image image;

	if (disk < 0 || !open_medium(call, args, &image))
		return;
	r = monitor_request_new(m, call, disk);
	r->image = image;
	r->filename = g_strdup(json_string_value(json_object_get(args, "filename")));
	r->done = change_ejected;
	ask_eject(m, r, args);
}

/* ---- block_set_io_throttle ---- */

const char *const monitor_limits[BLOCK_LIMITS] = {
	[BLOCK_BPS] = "bps", [BLOCK_BPS_READ] = "bps_rd", [BLOCK_BPS_WRITE] = "bps_wr",
	[BLOCK_IOPS] = "iops", [BLOCK_IOPS_READ] = "iops_rd", [BLOCK_IOPS_WRITE] = "iops_wr",
};

/* False with the call refused, in QEMU's words. */
static bool read_limits(struct qmp_call *call, const json_t *args, uint64_t limit[BLOCK_LIMITS])
{
	for (unsigned i = 0; i < BLOCK_LIMITS; i++) {
		json_int_t value = json_integer_value(json_object_get(args, monitor_limits[i]));

		if (value < 0 || (uint64_t)value > BLOCK_LIMIT_MAX) {
			qmp_refuse(call, GENERIC, "bps/iops/max values must be within [0, %llu]",
				   BLOCK_LIMIT_MAX);
			return false;
		}
		limit[i] = value;
	}
	if ((limit[BLOCK_BPS] && (limit[BLOCK_BPS_READ] || limit[BLOCK_BPS_WRITE])) ||
	    (limit[BLOCK_IOPS] && (limit[BLOCK_IOPS_READ] || limit[BLOCK_IOPS_WRITE]))) {
		qmp_refuse(call, GENERIC, "bps/iops/max total values and read/write values cannot "
			   "be used at the same time");
		return false;
	}
	return true;
}

static void throttled(struct monitor *m, struct monitor_request *r, int ret)
{
	if (ret) {
		monitor_request_fail(r, m->plan->spec->disk[r->disk].unit.id, ret);
		return;
	}
	memcpy(m->limit[r->disk], r->limit, sizeof(r->limit));
	finish(r);
}

void monitor_set_throttle(void *opaque, struct qmp_call *call, const json_t *args)
{
	struct monitor *m = opaque;
	int disk = find_disk(m, call, args);
	uint64_t limit[BLOCK_LIMITS];
	struct monitor_request *r;

	if (disk < 0 || !read_limits(call, args, limit))
		return;
	if (!monitor_has_medium(m, disk)) {
		qmp_refuse(call, GENERIC, "Device '%s' has no medium",
			   m->plan->spec->disk[disk].unit.id);
		return;
	}
	r = monitor_request_new(m, call, disk);
	r->done = throttled;
	memcpy(r->limit, limit, sizeof(limit));
	monitor_ask(m, r, MANAGE_THROTTLE, 0, limit, sizeof(limit), -1);
}
