/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/verbs/vmlink.h"

#include <stdint.h>
#include <string.h>

#include <glib.h>

#include "applets/orchestrate/control/place.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "qmp/client.h"

struct vmlink {
	char *vm;
	struct qmp_client *client;
	vmlink_event_fn *event;
	void *opaque;
	bool dead;
	char *why;		/* of the end */
	bool done;		/* the call's answer is there */
	json_t *value;		/* of the call; NULL: @desc */
	char *desc;
};

static void on_event(void *opaque, const char *name, const json_t *event)
{
	struct vmlink *link = opaque;

	if (link->event)
		link->event(link->opaque, name, json_object_get(event, "data"));
}

static void on_failed(void *opaque, const char *why, bool closed)
{
	struct vmlink *link = opaque;

	link->dead = true;
	link->why = g_strdup(closed ? "the VM's keeper has ended" : why);
}

static void on_done(void *opaque, const json_t *value, const struct qmp_failure *failure)
{
	struct vmlink *link = opaque;

	link->done = true;
	link->value = value ? json_deep_copy(value) : NULL;
	link->desc = failure ? g_strdup(failure->desc) : NULL;
}

struct vmlink *vmlink_open(const char *vm, GError **error)
{
	static const struct qmp_client_ops ops = { .event = on_event, .failed = on_failed };
	g_autofree char *path = place_socket(vm, false, error);
	int fd = path ? place_connect(path, error) : -1;
	struct vmlink *link;

	if (fd < 0)
		return NULL;
	link = g_new0(struct vmlink, 1);
	link->vm = g_strdup(vm);
	link->client = qmp_client_create(fd, &qmp_client_bounds, VMLINK_LIMIT_MS, &ops,
					    link);
	return link;
}

void vmlink_close(struct vmlink *link)
{
	if (!link)
		return;
	qmp_client_destroy(link->client);
	json_decref(link->value);
	g_free(link->desc);
	g_free(link->why);
	g_free(link->vm);
	g_free(link);
}

void vmlink_cleanup(struct vmlink **link)
{
	vmlink_close(*link);
}

void vmlink_json_cleanup(json_t **json)
{
	json_decref(*json);
}

void vmlink_listen(struct vmlink *link, vmlink_event_fn *fn, void *opaque)
{
	link->event = fn;
	link->opaque = opaque;
}

/* One wait, at most so long. */
static void step(struct vmlink *link, int limit_ms)
{
	struct pollfd p;
	int wait_ms = qmp_client_poll(link->client, &p);

	if (limit_ms >= 0 && (wait_ms < 0 || limit_ms < wait_ms))
		wait_ms = limit_ms;
	poll(&p, 1, wait_ms);
	qmp_client_polled(link->client, &p);
}

bool vmlink_wait(struct vmlink *link, int limit_ms)
{
	int64_t end = clock_ms() + limit_ms;
	int left = limit_ms;

	while (!link->dead && (limit_ms < 0 || left >= 0)) {
		step(link, left);
		if (limit_ms >= 0)
			left = end - clock_ms();
		if (!left)
			break;
	}
	return !link->dead;
}

json_t *vmlink_call(struct vmlink *link, const char *command, json_t *args, int passed,
		     GError **error)
{
	int ret;

	link->done = false;
	g_clear_pointer(&link->value, json_decref);
	g_clear_pointer(&link->desc, g_free);
	ret = qmp_client_execute(link->client, command, args, passed, VMLINK_LIMIT_MS, on_done,
				 link);
	while (!ret && !link->done && !link->dead)
		step(link, -1);
	if (link->value)
		return g_steal_pointer(&link->value);
	mpq_fail(error, MPQ_ERROR_REFUSED, "%s: %s: %s", link->vm, command,
		 link->desc ?: link->why ?: log_errname(ret));
	return NULL;
}

bool vmlink_report(struct vmlink *link, json_t **ret_status, json_t **ret_remotes, GError **error)
{
	*ret_status = link ? vmlink_call(link, "query-status", NULL, -1, error) : NULL;
	*ret_remotes = *ret_status ? vmlink_call(link, "query-remotes", NULL, -1, error) : NULL;
	return *ret_remotes;
}
