/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/hotplug/unplug.h"

#include <string.h>

#include <jansson.h>

#include "applets/orchestrate/hotplug/link.h"
#include "base/log.h"
#include "qmp/client.h"

struct hotplug_unplug {
	struct hotplug_link *link;
	char *id;
	int limit_ms, guest_ms;
	hotplug_done_fn *done;
	void *opaque;
	guint timer;		/* of the guest */
	bool open;		/* a command is: what comes with it decides */
	bool deleted;		/* DEVICE_DELETED has come, perhaps before the answer */
	bool refused;		/* by the guest */
};

struct hotplug_unplug *hotplug_unplug_create(struct hotplug_link *link, const char *id,
					     int limit_ms, int guest_ms, hotplug_done_fn *done,
					     void *opaque)
{
	struct hotplug_unplug *unplug = g_new0(struct hotplug_unplug, 1);

	unplug->link = link;
	unplug->id = g_strdup(id);
	unplug->limit_ms = limit_ms;
	unplug->guest_ms = guest_ms;
	unplug->done = done;
	unplug->opaque = opaque;
	return unplug;
}

static void stop_timer(struct hotplug_unplug *unplug)
{
	if (unplug->timer)
		g_source_remove(unplug->timer);
	unplug->timer = 0;
}

void hotplug_unplug_destroy(struct hotplug_unplug *unplug)
{
	if (!unplug)
		return;
	stop_timer(unplug);
	g_free(unplug->id);
	g_free(unplug);
}

/* @fmt: NULL: it went well. */
static void finish(struct hotplug_unplug *unplug, enum mpq_error code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void finish(struct hotplug_unplug *unplug, enum mpq_error code, const char *fmt, ...)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *text = NULL;
	va_list ap;

	stop_timer(unplug);
	unplug->open = false;
	if (fmt) {
		va_start(ap, fmt);
		text = g_strdup_vprintf(fmt, ap);
		va_end(ap);
		mpq_fail(&error, code, "%s", text);
	}
	unplug->done(unplug->opaque, error);
}

static void send(struct hotplug_unplug *unplug, const char *command, json_t *args,
		 qmp_done_fn *done)
{
	int ret;

	unplug->open = true;
	ret = hotplug_link_execute(unplug->link, command, args, -1, unplug->limit_ms, done,
				 unplug);
	if (ret)
		finish(unplug, MPQ_ERROR_SYSTEM, "%s: %s", command, log_errname(ret));
}

static gboolean timed_out(void *opaque)
{
	struct hotplug_unplug *unplug = opaque;

	unplug->timer = 0;
	finish(unplug, MPQ_ERROR_REFUSED, "the guest has not let go of it for %g s; it stays, and "
	       "goes as soon as the guest does", unplug->guest_ms / 1000.0);
	return G_SOURCE_REMOVE;
}

/* Ends it, if it is at an end. */
static bool settle(struct hotplug_unplug *unplug)
{
	if (unplug->open || (!unplug->deleted && !unplug->refused))
		return false;
	if (unplug->deleted)
		finish(unplug, 0, NULL);
	else
		finish(unplug, MPQ_ERROR_REFUSED, "the guest refuses to let go of it: it uses it; "
		       "it stays as it is");
	return true;
}

static void on_asked(void *opaque, const json_t *value, const struct qmp_failure *failure)
{
	struct hotplug_unplug *unplug = opaque;
	bool pending = failure && strstr(failure->desc, "already in the process of unplug");

	unplug->open = false;
	if (failure && failure->class && !pending) {
		finish(unplug, MPQ_ERROR_REFUSED, "QEMU refuses (device_del): %s", failure->desc);
		return;
	}
	if (failure && !failure->class) {
		finish(unplug, MPQ_ERROR_SYSTEM, "%s", failure->desc);
		return;
	}
	if (!settle(unplug))
		unplug->timer = g_timeout_add(unplug->guest_ms, timed_out, unplug);
}

static void on_type(void *opaque, const json_t *value, const struct qmp_failure *failure)
{
	struct hotplug_unplug *unplug = opaque;
	const char *type = json_string_value(value) ?: "";

	unplug->open = false;
	if (failure && failure->class)
		finish(unplug, MPQ_ERROR_REFUSED, "the VM has no device of this id");
	else if (failure)
		finish(unplug, MPQ_ERROR_SYSTEM, "%s", failure->desc);
	else if (!hotplug_is_client(type))
		finish(unplug, MPQ_ERROR_REFUSED, "it is a %s of QEMU's, and no remote device",
		       type);
	else
		send(unplug, "device_del", json_pack("{s:s}", "id", unplug->id), on_asked);
}

void hotplug_unplug_start(struct hotplug_unplug *unplug)
{
	g_autofree char *path = g_strconcat("/machine/peripheral/", unplug->id, NULL);

	send(unplug, "qom-get", json_pack("{s:s, s:s}", "path", path, "property", "type"),
	     on_type);
}

void hotplug_unplug_event(struct hotplug_unplug *unplug, const char *name, const json_t *event)
{
	const json_t *data = json_object_get(event, "data");
	const char *device = json_string_value(json_object_get(data, "device"));

	if (!unplug || g_strcmp0(device, unplug->id))
		return;
	if (!strcmp(name, "DEVICE_DELETED"))
		unplug->deleted = true;
	else if (!strcmp(name, "DEVICE_UNPLUG_GUEST_ERROR"))
		unplug->refused = true;
	else
		return;
	settle(unplug);
}

void hotplug_unplug_lost(struct hotplug_unplug *unplug, const char *why)
{
	/* A command that is open fails by itself. */
	if (unplug && unplug->timer)
		finish(unplug, MPQ_ERROR_SYSTEM, "%s", why);
}
