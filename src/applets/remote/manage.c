/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/manage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "applets/remote/disks.h"
#include "applets/remote/speccheck.h"
#include "base/fd.h"
#include "base/log.h"
#include "block/block.h"
#include "block/throttle.h"
#include "control/launch.h"
#include "control/manage.h"
#include "event/loop.h"
#include "plan/spec.h"
#include "scsi/scsi.h"

/* How often it looks whether what a request waits for has ended. */
#define LOOK_AGAIN (2 * LOOP_MS)

#define TELL_BURST 32
#define TELL_INTERVAL (125 * LOOP_MS)

/* A request that waits for others to end; one a disk. */
struct waiting {
	uint32_t serial;
	uint32_t type;			/* enum manage_type; MANAGE_REPLY: none */
	bool force;
};

struct manage {
	struct loop *loop;
	struct disks *disks;
	struct scsi_bus *(*find_bus)(void *opaque, unsigned device);
	void *opaque;
	struct loop_timer timer;
	struct waiting waiting[SPEC_MAX_DISKS];
	bool stopped;
	int64_t told;			/* when tokens were last given */
	int64_t tokens;			/* failures that may be told now */
};

/* What a request is about. */
struct target {
	const struct manage_msg *msg;
	const struct spec_disk *spec;	/* NULL: there is no such disk */
	struct scsi_bus *bus;		/* its controller's, or NULL */
	int fd;				/* that came along, or -1 */
};

static void say(const struct manage_msg *msg)
{
	int ret = manage_send(LAUNCH_SLOT_MANAGE, msg, -1);

	if (ret)
		log_warning("monitor's channel: %s", log_errname(ret));
}

static void reply(uint32_t serial, unsigned disk, int ret)
{
	struct manage_msg msg = { .type = MANAGE_REPLY, .serial = serial, .disk = disk };

	manage_set_value(&msg, -ret);
	say(&msg);
}

static void on_tray(void *opaque, unsigned disk, bool open, bool locked)
{
	struct manage_msg msg = { .type = MANAGE_TRAY, .disk = disk };

	manage_set_value(&msg, (open ? MANAGE_TRAY_OPEN : 0) | (locked ? MANAGE_TRAY_LOCKED : 0));
	say(&msg);
}

/* A disk that fails does so often: the keeper hears of some. */
static bool may_tell(struct manage *m)
{
	int64_t now = loop_now(), due = (now - m->told) / TELL_INTERVAL;

	if (due > 0) {
		m->tokens = due < TELL_BURST - m->tokens ? m->tokens + due : TELL_BURST;
		m->told = now;
	}
	return m->tokens && m->tokens--;
}

static void on_failed(void *opaque, unsigned disk, bool write, int err, bool ignored)
{
	struct manage_msg msg = { .type = MANAGE_FAILED, .disk = disk };

	if (!may_tell(opaque))
		return;
	manage_set_value(&msg, (err & MANAGE_FAILED_ERRNO) | (write ? MANAGE_FAILED_WRITE : 0) |
			 (ignored ? MANAGE_FAILED_IGNORED : 0));
	say(&msg);
}

static const struct disks_listener listener = { on_tray, on_failed };

/* ---- Requests: 0, -errno, or -EINPROGRESS: it waits and is looked at again ---- */

/* One that becomes shorter has to be quiet before the file may. */
static int resize(struct manage *m, const struct target *t)
{
	struct block *block = disks_block(m->disks, t->msg->disk);
	uint64_t old = block ? block->size : 0;
	int ret = block ? block_resize(block, manage_value(t->msg)) : -ENODEV;

	if (ret)
		return ret;
	if (block->size != old)
		scsi_unit_resized(t->bus, t->spec->unit.target, t->spec->unit.lun);
	return block->size < old && !block_idle(block) ? -EINPROGRESS : 0;
}

static int eject_now(struct manage *m, const struct target *t, bool force)
{
	unsigned disk = t->msg->disk;
	struct block *block = disks_block(m->disks, disk);
	int ret;

	if (block && !block->ops->resizable)
		return -ENOTSUP;	/* a server's, which stays to the end */
	ret = scsi_unit_eject(t->bus, t->spec->unit.target, t->spec->unit.lun, force);
	if (!ret && block && !block_idle(block))
		ret = -EINPROGRESS;
	if (!ret && block)
		disks_close_medium(m->disks, disk);
	return ret;
}

static int eject(struct manage *m, const struct target *t)
{
	return eject_now(m, t, manage_value(t->msg) == MANAGE_FORCE);
}

static int load(struct manage *m, const struct target *t)
{
	struct spec_image image;
	int ret = 0;

	memcpy(&image, t->msg->body, sizeof(image));
	if (t->spec->unit.type != SCSI_UNIT_CDROM)
		return -ENOTSUP;
	/* What cannot be loaded is not opened. */
	if (image.kind != SPEC_IMAGE_NONE && !image.readonly)
		return -EINVAL;
	if (image.kind != SPEC_IMAGE_NONE)
		ret = disks_open_medium(m->disks, t->msg->disk, &image, t->fd);
	if (ret)
		return ret;
	ret = scsi_unit_load(t->bus, t->spec->unit.target, t->spec->unit.lun,
			     disks_block(m->disks, t->msg->disk));
	if (ret && image.kind != SPEC_IMAGE_NONE)
		disks_close_medium(m->disks, t->msg->disk);
	return ret;
}

static int attach_to(struct manage *m, struct scsi_bus *bus, unsigned disk,
		     const struct spec_disk *spec, int fd)
{
	struct scsi_unit_setup *unit = disks_unit(m->disks, disk);
	int ret = 0;

	if (spec->image.kind != SPEC_IMAGE_NONE)
		ret = disks_open_medium(m->disks, disk, &spec->image, fd);
	if (ret)
		return ret;
	unit->block = disks_block(m->disks, disk);
	ret = scsi_unit_attach(bus, unit);
	if (ret && unit->block)
		disks_close_medium(m->disks, disk);
	return ret;
}

static int attach(struct manage *m, const struct target *t)
{
	struct spec_disk spec;
	struct scsi_bus *bus;
	int ret;

	memcpy(&spec, t->msg->body, sizeof(spec));
	if (!spec_disk_ok(&spec, SPEC_MAX_DEVICES))
		return -EINVAL;
	bus = m->find_bus(m->opaque, spec.device);
	if (!bus)
		return -ENODEV;
	ret = disks_add(m->disks, t->msg->disk, &spec);
	if (ret)
		return ret;
	ret = attach_to(m, bus, t->msg->disk, &spec, t->fd);
	if (ret)
		disks_remove(m->disks, t->msg->disk);
	return ret;
}

static int finish_detach(struct manage *m, const struct target *t)
{
	struct block *block = disks_block(m->disks, t->msg->disk);

	if (!scsi_unit_left(t->bus, disks_config(m->disks, t->msg->disk)) ||
	    (block && !block_idle(block)))
		return -EINPROGRESS;
	if (block && block->ops->resizable)
		disks_close_medium(m->disks, t->msg->disk);
	disks_remove(m->disks, t->msg->disk);
	return 0;
}

static int detach(struct manage *m, const struct target *t)
{
	int ret = scsi_unit_detach(t->bus, t->spec->unit.target, t->spec->unit.lun);

	return ret ? ret : finish_detach(m, t);
}

static int throttle(struct manage *m, const struct target *t)
{
	uint64_t limit[BLOCK_LIMITS];

	memcpy(limit, t->msg->body, sizeof(limit));
	return disks_throttle(m->disks, t->msg->disk, limit);
}

static int (*const requests[MANAGE_TYPE_COUNT])(struct manage *m, const struct target *t) = {
	[MANAGE_RESIZE] = resize,
	[MANAGE_EJECT] = eject,
	[MANAGE_LOAD] = load,
	[MANAGE_ATTACH] = attach,
	[MANAGE_DETACH] = detach,
	[MANAGE_THROTTLE] = throttle,
};

/* ---- Those that wait ---- */

static int look_again(struct manage *m, const struct target *t, const struct waiting *w)
{
	struct block *block = disks_block(m->disks, t->msg->disk);

	if (w->type == MANAGE_RESIZE)
		return block && !block_idle(block) ? -EINPROGRESS : 0;
	return w->type == MANAGE_EJECT ? eject_now(m, t, w->force) : finish_detach(m, t);
}

static struct target target_of(struct manage *m, const struct manage_msg *msg, int fd)
{
	struct target t = { .msg = msg, .spec = disks_spec(m->disks, msg->disk), .fd = fd };

	if (t.spec)
		t.bus = m->find_bus(m->opaque, t.spec->device);
	return t;
}

static void on_timer(void *opaque)
{
	struct manage *m = opaque;
	bool again = false;

	for (unsigned i = 0; i < SPEC_MAX_DISKS; i++) {
		struct manage_msg msg = { .disk = i };
		struct target t = target_of(m, &msg, -1);
		int ret;

		if (!m->waiting[i].type)
			continue;
		ret = look_again(m, &t, &m->waiting[i]);
		if (ret == -EINPROGRESS) {
			again = true;
			continue;
		}
		m->waiting[i].type = MANAGE_REPLY;
		reply(m->waiting[i].serial, i, ret);
	}
	if (again)
		loop_timer_set(m->loop, &m->timer, loop_now() + LOOK_AGAIN);
}

static void wait_for(struct manage *m, const struct manage_msg *msg)
{
	m->waiting[msg->disk] = (struct waiting){
		.serial = msg->serial, .type = msg->type,
		.force = manage_value(msg) == MANAGE_FORCE,
	};
	loop_timer_set(m->loop, &m->timer, loop_now() + LOOK_AGAIN);
}

static int carry_out(struct manage *m, const struct target *t)
{
	bool adds = t->msg->type == MANAGE_ATTACH;

	if (m->waiting[t->msg->disk].type)
		return -EBUSY;
	if (adds == !!t->spec || (!adds && !t->bus))
		return adds ? -EBUSY : -ENODEV;
	return requests[t->msg->type](m, t);
}

static void on_request(void *opaque, uint32_t events)
{
	struct manage *m = opaque;
	struct manage_msg msg;
	struct target t;
	autofd fd = -1;
	int ret = manage_recv(LAUNCH_SLOT_MANAGE, MANAGE_FROM_KEEPER, &msg, &fd);

	if (ret == -EAGAIN)
		return;
	/* The keeper's end is heard of on the other channel. */
	if (ret) {
		manage_stop(m);
		return;
	}
	t = target_of(m, &msg, fd);
	ret = carry_out(m, &t);
	if (ret == -EINPROGRESS)
		wait_for(m, &msg);
	else
		reply(msg.serial, msg.disk, ret);
}

int manage_create(struct loop *loop, struct disks *disks,
		  struct scsi_bus *(*find_bus)(void *opaque, unsigned device), void *opaque,
		  struct manage **ret)
{
	struct manage *m = calloc(1, sizeof(*m));
	int err;

	_Static_assert(sizeof(struct spec_disk) <= MANAGE_BODY, "a disk fits into a message");
	if (!m)
		return -ENOMEM;
	*m = (struct manage){
		.loop = loop, .disks = disks, .find_bus = find_bus, .opaque = opaque,
		.timer = { .fn = on_timer, .opaque = m, .unheld = true },
		.told = loop_now(), .tokens = TELL_BURST,
	};
	err = loop_fd_add(loop, LAUNCH_SLOT_MANAGE, EPOLLIN, on_request, m);
	if (err) {
		free(m);
		return err;
	}
	disks_listen(disks, &listener, m);
	*ret = m;
	return 0;
}

void manage_stop(struct manage *m)
{
	if (!m || m->stopped)
		return;
	m->stopped = true;
	loop_fd_del(m->loop, LAUNCH_SLOT_MANAGE);
	loop_timer_cancel(m->loop, &m->timer);
}

void manage_destroy(struct manage *m)
{
	manage_stop(m);
	free(m);
}
