/* SPDX-License-Identifier: GPL-2.0-or-later */

/* detach: asks QEMU, which asks the guest; the remote ends when QEMU closes its socket. */

#include "applets/orchestrate/hotplug/hotplug.h"
#include "applets/orchestrate/hotplug/link.h"
#include "applets/orchestrate/hotplug/unplug.h"
#include "applets/orchestrate/run/run.h"
#include "base/log.h"
#include "plan/opts.h"

struct detach {
	const char *id;
	struct hotplug_link link;
	struct hotplug_unplug *unplug;
	GMainLoop *loop;
	bool ended;
	int status;
};

static void unplugged(void *opaque, const GError *error)
{
	struct detach *self = opaque;
	g_autoptr(GError) why = error ? hotplug_link_error(&self->link, error) : NULL;

	if (error)
		log_error("%s: %s", self->id, why->message);
	else
		log_info("%s: the VM has it no more", self->id);
	self->status = error ? RUN_STATUS_FAILED : 0;
	self->ended = true;
	g_main_loop_quit(self->loop);
}

static void on_event(void *opaque, const char *name, const struct json_t *event)
{
	hotplug_unplug_event(((struct detach *)opaque)->unplug, name, event);
}

static void on_lost(void *opaque, const char *why)
{
	hotplug_unplug_lost(((struct detach *)opaque)->unplug, why);
}

static void run(struct detach *self, const struct hotplug_args *args)
{
	g_autoptr(GError) error = NULL;
	int limit_ms = args->timeout * 1000;

	if (!hotplug_link_open(&self->link, args->qmp, limit_ms, &error)) {
		log_error("%s", error->message);
		self->status = RUN_STATUS_FAILED;
		return;
	}
	self->unplug = hotplug_unplug_create(self->link.client, self->id, limit_ms,
					     args->guest_timeout * 1000, unplugged, self);
	hotplug_unplug_start(self->unplug);
	if (!self->ended)
		g_main_loop_run(self->loop);
	hotplug_link_close(&self->link);
	hotplug_unplug_destroy(self->unplug);
}

int hotplug_detach(const struct hotplug_args *args)
{
	struct detach self = {
		.id = args->words[0],
		.link = { .event = on_event, .lost = on_lost, .opaque = &self },
	};

	if (!opt_id_wellformed(self.id)) {
		log_error("%s: it is no id of a device", self.id);
		return RUN_STATUS_FAILED;
	}
	self.loop = g_main_loop_new(NULL, false);
	run(&self, args);
	g_main_loop_unref(self.loop);
	return self.status;
}
