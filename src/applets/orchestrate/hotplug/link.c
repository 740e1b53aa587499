/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/hotplug/link.h"

#include <errno.h>

#include "base/log.h"
#include "base/unixaddr.h"
#include "qmp/client.h"
#include "qmp/source.h"

#define ONE_AT_A_TIME "QEMU serves one client at a time there: another one may have it"

static void on_ready(void *opaque, const json_t *greeting)
{
	((struct hotplug_link *)opaque)->greeted = true;
}

static void on_event(void *opaque, const char *name, const json_t *event)
{
	struct hotplug_link *link = opaque;

	if (link->event)
		link->event(link->opaque, name, event);
}

static void on_failed(void *opaque, const char *why, bool closed)
{
	struct hotplug_link *link = opaque;

	if (link->lost)
		link->lost(link->opaque, why);
}

static const struct qmp_client_ops ops = {
	.ready = on_ready, .event = on_event, .failed = on_failed,
};

static const char *connect_error(int ret)
{
	switch (ret) {
	case -EAGAIN:
		return "too many wait for it; " ONE_AT_A_TIME;
	case -ECONNREFUSED:
		return "nobody listens there";
	case -EPROTOTYPE:
		return "it is no stream socket";
	default:
		return log_errname(ret);
	}
}

bool hotplug_link_open(struct hotplug_link *link, const char *path, int limit_ms, GError **error)
{
	struct unix_addr addr;
	int fd, ret = unix_addr_parse(path, &addr);

	if (!ret)
		ret = qmp_client_connect(&addr, &fd);
	if (ret)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: cannot connect to QEMU's QMP socket: "
				"%s", path, connect_error(ret));
	link->path = path;
	link->greeted = false;
	link->client = qmp_client_create(fd, &qmp_client_bounds, limit_ms, &ops, link);
	link->source = qmp_client_source(link->client);
	g_source_attach(link->source, NULL);
	return true;
}

void hotplug_link_close(struct hotplug_link *link)
{
	if (!link->client)
		return;
	g_source_destroy(link->source);
	g_source_unref(link->source);
	qmp_client_destroy(link->client);
	link->client = NULL;
}

GError *hotplug_link_error(const struct hotplug_link *link, const GError *error)
{
	bool waiting = !link->greeted && strstr(error->message, "has not answered");

	if (error->code != MPQ_ERROR_SYSTEM)
		return g_error_copy(error);
	return g_error_new(MPQ_ERROR, error->code, "%s: %s%s", link->path, error->message,
			   waiting ? "; " ONE_AT_A_TIME : "");
}
