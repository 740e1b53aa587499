/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * detach:
 *
 *   UNPLUG device_del, and what the guest says --> RELEASE the remote, over its holder's socket,
 *   whose end is seen there: then the images are free
 *
 * Of a device that a VM of ours was started with, it is the keeper that ends the remote, and says
 * so.  Without a holder (another user's, or a remote that something else started) UNPLUG is all.
 */

#include <string.h>

#include <jansson.h>

#include "applets/orchestrate/hotplug/holder.h"
#include "applets/orchestrate/hotplug/hotplug.h"
#include "applets/orchestrate/hotplug/link.h"
#include "applets/orchestrate/hotplug/unplug.h"
#include "applets/orchestrate/run/run.h"
#include "base/log.h"
#include "plan/opts.h"
#include "qmp/client.h"

/* A remote's last word: its storage daemon may have to write back. */
#define RELEASE_LIMIT_S 40

struct detach {
	const struct hotplug_args *args;
	const char *id;
	struct hotplug_link link;
	struct hotplug_unplug *unplug;
	struct hotplug_target holder_at;
	struct hotplug_link holder;
	guint timer;
	GMainLoop *loop;
	bool releasing, ended;
	bool waiting;		/* for the keeper, which ends the remote */
	int status;
};

static void end(struct detach *self, int status)
{
	self->status = status;
	self->ended = true;
	g_main_loop_quit(self->loop);
}

static void fail(struct detach *self, const char *why)
{
	log_error("%s: %s", self->id, why);
	end(self, RUN_STATUS_FAILED);
}

/* ---- RELEASE ---- */

static void remote_ended(struct detach *self)
{
	log_info("%s: the VM has it no more, and its remote has ended", self->id);
	end(self, 0);
}

/* Over mpqemu that may be before QEMU says that the device is gone. */
static void holder_lost(void *opaque, const char *why)
{
	struct detach *self = opaque;

	if (self->releasing && !self->ended)
		remote_ended(self);
}

static gboolean release_timed_out(void *opaque)
{
	struct detach *self = opaque;

	self->timer = 0;
	fail(self, "the VM has it no more, but its remote does not end");
	return G_SOURCE_REMOVE;
}

/* The connection's end is what counts. */
static void released(void *opaque, const json_t *value, const struct qmp_failure *failure)
{
}

/*
 * It is connected to before the device goes: afterwards it may be gone by itself, with nobody there
 * to say so.
 */
static void find_holder(struct detach *self)
{
	holder_sweep();
	self->holder_at.path = holder_path(self->args->target.path, self->id, false, NULL);
	if (!self->holder_at.path)
		return;
	self->holder.lost = holder_lost;
	self->holder.opaque = self;
	hotplug_link_open(&self->holder, &self->holder_at, self->args->timeout * 1000, NULL);
}

static void nobody_knows(struct detach *self)
{
	log_info("%s: the VM has it no more; its remote is not known here", self->id);
	end(self, 0);
}

/* Is there a remote left that serves nothing? */
static bool one_is_idle(const json_t *remotes)
{
	const json_t *remote;
	size_t i;

	json_array_foreach(remotes, i, remote)
		if (json_object_get(remote, "pid") &&
		    !json_array_size(json_object_get(remote, "devices")))
			return true;
	return false;
}

static void on_remotes(void *opaque, const json_t *value, const struct qmp_failure *failure)
{
	struct detach *self = opaque;

	self->waiting = !failure && one_is_idle(value);
	if (failure)
		fail(self, failure->desc);
	else if (!self->waiting)
		remote_ended(self);
}

static void ask_keeper(struct detach *self)
{
	int ret = qmp_client_execute(self->link.client, "query-remotes", NULL, -1,
				     self->args->timeout * 1000, on_remotes, self);

	if (ret)
		fail(self, log_errname(ret));
}

static void on_released(void *opaque, const json_t *value, const struct qmp_failure *failure)
{
	struct detach *self = opaque;

	if (!failure)
		ask_keeper(self);
	else if (!g_strcmp0(failure->class, "DeviceNotFound"))
		nobody_knows(self);
	else
		fail(self, failure->desc);
}

static void release_by_keeper(struct detach *self)
{
	int ret;

	self->timer = g_timeout_add_seconds(RELEASE_LIMIT_S, release_timed_out, self);
	ret = qmp_client_execute(self->link.client, "release",
				 json_pack("{s:s}", "device", self->id), -1,
				 self->args->timeout * 1000, on_released, self);
	if (ret)
		fail(self, log_errname(ret));
}

static void release(struct detach *self)
{
	if (!self->holder.client && self->args->target.vm) {
		release_by_keeper(self);
		return;
	}
	if (!self->holder.client) {
		nobody_knows(self);
		return;
	}
	self->releasing = true;
	/* It cannot be asked: it is gone already. */
	if (qmp_client_execute(self->holder.client, "release", NULL, -1, 0, released, self)) {
		remote_ended(self);
		return;
	}
	self->timer = g_timeout_add_seconds(RELEASE_LIMIT_S, release_timed_out, self);
}

/* ---- UNPLUG ---- */

static void unplugged(void *opaque, const GError *error)
{
	struct detach *self = opaque;
	g_autoptr(GError) why = error ? hotplug_link_error(&self->link, error) : NULL;

	if (error)
		fail(self, why->message);
	else
		release(self);
}

static void on_event(void *opaque, const char *name, const struct json_t *event)
{
	struct detach *self = opaque;

	hotplug_unplug_event(self->unplug, name, event);
	if (self->waiting && !strcmp(name, "MPQEMU_REMOTE_EXITED"))
		ask_keeper(self);
}

static void on_lost(void *opaque, const char *why)
{
	struct detach *self = opaque;

	hotplug_unplug_lost(self->unplug, why);
	if (self->waiting)
		fail(self, why);
}

static bool start(struct detach *self, GError **error)
{
	int limit_ms = self->args->timeout * 1000;

	if (!hotplug_link_open(&self->link, &self->args->target, limit_ms, error))
		return false;
	find_holder(self);
	self->unplug = hotplug_unplug_create(&self->link, self->id, limit_ms,
					     self->args->guest_timeout * 1000, unplugged, self);
	hotplug_unplug_start(self->unplug);
	return true;
}

int hotplug_detach(const struct hotplug_args *args)
{
	struct detach self = { .args = args, .id = args->words[0] };
	g_autoptr(GError) error = NULL;

	self.link = (struct hotplug_link){ .event = on_event, .lost = on_lost, .opaque = &self };
	if (!opt_id_wellformed(self.id)) {
		log_error("%s: it is no id of a device", self.id);
		return RUN_STATUS_FAILED;
	}
	self.loop = g_main_loop_new(NULL, false);
	if (!start(&self, &error)) {
		log_error("%s", error->message);
		self.status = RUN_STATUS_FAILED;
	} else if (!self.ended) {
		g_main_loop_run(self.loop);
	}
	if (self.timer)
		g_source_remove(self.timer);
	hotplug_link_close(&self.link);
	hotplug_link_close(&self.holder);
	hotplug_unplug_destroy(self.unplug);
	g_free(self.holder_at.path);
	g_main_loop_unref(self.loop);
	return self.status;
}
