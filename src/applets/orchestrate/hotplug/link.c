/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/hotplug/link.h"

#include <errno.h>

#include "base/log.h"
#include "base/unixaddr.h"
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

bool hotplug_link_open(struct hotplug_link *link, const struct hotplug_target *target, int limit_ms,
		       GError **error)
{
	struct unix_addr addr;
	int fd, ret = unix_addr_parse(target->path, &addr);

	if (!ret)
		ret = qmp_client_connect(&addr, &fd);
	if (target->vm && (ret == -ENOENT || ret == -ECONNREFUSED))
		return mpq_fail(error, MPQ_ERROR_REFUSED, "%s: no VM of this name runs",
				target->vm);
	if (ret)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: cannot connect to %s: %s",
				target->path, target->vm ? "the VM's control socket" :
				"QEMU's QMP socket", connect_error(ret));
	link->target = target;
	link->greeted = false;
	link->client = qmp_client_create(fd, &qmp_client_bounds, limit_ms, &ops, link);
	link->source = qmp_client_source(link->client);
	g_source_attach(link->source, NULL);
	return true;
}

int hotplug_link_execute(struct hotplug_link *link, const char *name, json_t *args, int passed,
			 int limit_ms, qmp_done_fn *done, void *opaque)
{
	json_t *outer;

	if (!link->target->vm)
		return qmp_client_execute(link->client, name, args, passed, limit_ms, done, opaque);
	outer = json_pack("{s:s}", "execute", name);
	if (args)
		json_object_set_new(outer, "arguments", args);
	return qmp_client_execute(link->client, "qemu", outer, passed, limit_ms, done, opaque);
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
	return g_error_new(MPQ_ERROR, error->code, "%s: %s%s", link->target->path, error->message,
			   waiting && !link->target->vm ? "; " ONE_AT_A_TIME : "");
}
