/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/hotplug/plug.h"

#include <jansson.h>

#include "applets/orchestrate/hotplug/link.h"
#include "base/fd.h"
#include "base/log.h"
#include "qmp/client.h"

struct hotplug_plug {
	struct hotplug_link *link;
	json_t *device;			/* owned */
	int fd;				/* owned; -1: a path, or QEMU has it */
	char *name;			/* of the fd in QEMU's monitor */
	int limit_ms;
	hotplug_done_fn *done;
	void *opaque;
	GError *error;			/* of device_add, while closefd is under way */
};

struct hotplug_plug *hotplug_plug_create(struct hotplug_link *link, json_t *device, int fd,
					 const char *path, int limit_ms, hotplug_done_fn *done,
					 void *opaque)
{
	struct hotplug_plug *plug = g_new0(struct hotplug_plug, 1);
	const char *id = json_string_value(json_object_get(device, "id"));

	plug->link = link;
	plug->device = device;
	plug->fd = fd;
	/* A name may not begin with a digit; that of a device does not, either. */
	plug->name = g_strconcat("mpqemu-", id, NULL);
	plug->limit_ms = limit_ms;
	plug->done = done;
	plug->opaque = opaque;
	if (path)
		json_object_set_new(device, "socket", json_pack("{s:s, s:s}", "type", "unix",
								"path", path));
	else
		json_object_set_new(device, "fd", json_string(plug->name));
	return plug;
}

void hotplug_plug_destroy(struct hotplug_plug *plug)
{
	if (!plug)
		return;
	json_decref(plug->device);
	fd_close(&plug->fd);
	g_free(plug->name);
	g_clear_error(&plug->error);
	g_free(plug);
}

/* What @command says, or the connection. */
static GError *make_error(const char *command, const struct qmp_failure *failure)
{
	GError *error = NULL;

	if (failure->class)
		mpq_fail(&error, MPQ_ERROR_REFUSED, "QEMU refuses it (%s): %s", command,
			 failure->desc);
	else
		mpq_fail(&error, MPQ_ERROR_SYSTEM, "%s", failure->desc);
	return error;
}

/* To the end, with plug->error. */
static void finish(struct hotplug_plug *plug)
{
	plug->done(plug->opaque, plug->error);
}

static void send(struct hotplug_plug *plug, const char *command, json_t *args, int passed,
		 qmp_done_fn *done)
{
	int ret = hotplug_link_execute(plug->link, command, args, passed, plug->limit_ms, done,
				     plug);

	if (!ret)
		return;
	if (!plug->error)
		mpq_fail(&plug->error, MPQ_ERROR_SYSTEM, "%s: %s", command, log_errname(ret));
	finish(plug);
}

/* Whether it was still there or not. */
static void closed(void *opaque, const json_t *value, const struct qmp_failure *failure)
{
	finish(opaque);
}

static void added(void *opaque, const json_t *value, const struct qmp_failure *failure)
{
	struct hotplug_plug *plug = opaque;

	if (failure)
		plug->error = make_error("device_add", failure);
	/* device_add takes the fd away where it comes as far as that. */
	if (failure && failure->class && json_object_get(plug->device, "fd"))
		send(plug, "closefd", json_pack("{s:s}", "fdname", plug->name), -1, closed);
	else
		finish(plug);
}

static void add_device(struct hotplug_plug *plug)
{
	send(plug, "device_add", json_incref(plug->device), -1, added);
}

static void got_fd(void *opaque, const json_t *value, const struct qmp_failure *failure)
{
	struct hotplug_plug *plug = opaque;

	if (!failure) {
		add_device(plug);
		return;
	}
	plug->error = make_error("getfd", failure);
	finish(plug);
}

void hotplug_plug_start(struct hotplug_plug *plug)
{
	if (plug->fd < 0)
		add_device(plug);
	else
		send(plug, "getfd", json_pack("{s:s}", "fdname", plug->name),
		     fd_steal(&plug->fd), got_fd);
}
