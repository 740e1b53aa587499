/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/run/vmm.h"

#include <errno.h>
#include <string.h>

#include <glib.h>

#include "qmp/source.h"

/* A QEMU that boots a large VM greets late: it is in no hurry. */
#define GREET_MS 60000
#define ANSWER_MS 30000
/* How often a status is asked for whose end no event tells. */
#define AGAIN_MS 500

struct vmm {
	const struct vmm_ops *ops;
	void *opaque;
	struct qmp_client *client;	/* NULL: it has failed */
	GSource *source;
	char *status, *version;
	guint again;		/* until the status is asked for once more */
};

static void set_status(struct vmm *vmm, const char *status)
{
	if (!strcmp(vmm->status, status))
		return;
	g_free(vmm->status);
	vmm->status = g_strdup(status);
	vmm->ops->changed(vmm->opaque);
}

static gboolean ask_again(void *opaque);

static void on_status(void *opaque, const json_t *value, const struct qmp_failure *failure)
{
	const char *status = json_string_value(json_object_get(value, "status"));
	struct vmm *vmm = opaque;

	if (!status)
		return;
	set_status(vmm, status);
	/* MIGRATION comes only where somebody has set the capability "events". */
	if (!strcmp(status, "finish-migrate") && !vmm->again)
		vmm->again = g_timeout_add(AGAIN_MS, ask_again, vmm);
}

static void ask_status(struct vmm *vmm)
{
	vmm_execute(vmm, "query-status", NULL, -1, on_status, vmm);
}

static gboolean ask_again(void *opaque)
{
	struct vmm *vmm = opaque;

	vmm->again = 0;
	if (vmm_answers(vmm))
		ask_status(vmm);
	return G_SOURCE_REMOVE;
}

static void on_ready(void *opaque, const json_t *greeting)
{
	const json_t *version = json_object_get(json_object_get(greeting, "version"), "qemu");
	struct vmm *vmm = opaque;

	g_free(vmm->version);
	vmm->version = g_strdup_printf("%d.%d.%d",
		(int)json_integer_value(json_object_get(version, "major")),
		(int)json_integer_value(json_object_get(version, "minor")),
		(int)json_integer_value(json_object_get(version, "micro")));
	ask_status(vmm);
}

/* What an event says of the status; NULL: it has to be asked. */
static const struct {
	const char *event, *status;
} events[] = {
	{ "RESUME", "running" },
	{ "SHUTDOWN", "shutdown" },
	{ "STOP", NULL },
	{ "SUSPEND", "suspended" },
	{ "WAKEUP", "running" },
	{ "GUEST_PANICKED", NULL },
	{ "MIGRATION", NULL },
};

static void on_event(void *opaque, const char *name, const json_t *event)
{
	struct vmm *vmm = opaque;

	for (unsigned i = 0; i < G_N_ELEMENTS(events); i++) {
		if (strcmp(events[i].event, name))
			continue;
		if (events[i].status)
			set_status(vmm, events[i].status);
		else
			ask_status(vmm);
	}
	vmm->ops->event(vmm->opaque, name, event);
}

static void drop_client(struct vmm *vmm)
{
	if (vmm->source) {
		g_source_destroy(vmm->source);
		g_source_unref(vmm->source);
	}
	vmm->source = NULL;
	qmp_client_destroy(vmm->client);
	vmm->client = NULL;
}

static void on_failed(void *opaque, const char *why, bool closed)
{
	struct vmm *vmm = opaque;

	set_status(vmm, "unknown");
	vmm->ops->failed(vmm->opaque, why, closed);
}

struct vmm *vmm_create(int fd, const struct vmm_ops *ops, void *opaque)
{
	static const struct qmp_client_ops client_ops = {
		.ready = on_ready, .event = on_event, .failed = on_failed,
	};
	struct vmm *vmm = g_new0(struct vmm, 1);

	vmm->ops = ops;
	vmm->opaque = opaque;
	vmm->status = g_strdup("unknown");
	vmm->client = qmp_client_create(fd, &qmp_client_bounds, GREET_MS, &client_ops, vmm);
	vmm->source = qmp_client_source(vmm->client);
	g_source_attach(vmm->source, NULL);
	return vmm;
}

void vmm_destroy(struct vmm *vmm)
{
	if (!vmm)
		return;
	if (vmm->again)
		g_source_remove(vmm->again);
	drop_client(vmm);
	g_free(vmm->status);
	g_free(vmm->version);
	g_free(vmm);
}

const char *vmm_status(const struct vmm *vmm)
{
	return vmm ? vmm->status : "unknown";
}

bool vmm_runs(const struct vmm *vmm)
{
	return !strcmp(vmm_status(vmm), "running");
}

const char *vmm_version(const struct vmm *vmm)
{
	return vmm ? vmm->version : NULL;
}

bool vmm_answers(const struct vmm *vmm)
{
	return vmm && !qmp_client_dead(vmm->client);
}

int vmm_execute(struct vmm *vmm, const char *name, json_t *args, int passed, qmp_done_fn *done,
		void *opaque)
{
	return qmp_client_execute(vmm->client, name, args, passed, ANSWER_MS, done, opaque);
}
