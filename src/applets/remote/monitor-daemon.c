/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The monitors of storage daemons, whose client the keeper is.  A daemon works on what a guest has
 * written and may have been taken over: what it says has bounds, its events are of a table and so
 * many a second, and nothing waits for it.
 */
#include <stdio.h>

#include "applets/remote/images.h"
#include "applets/remote/monitor-priv.h"
#include "base/log.h"
#include "plan/spec.h"
#include "qmp/client.h"

#define GREET_LIMIT 60000	/* ms: it greets once it has opened its images */
#define EVENT_MAX 4096		/* bytes of an event's data */
#define EVENT_BURST 512
#define EVENT_RATE 64		/* a second */

/* A list of nodes has 2 KiB for each. */
static const struct qmp_bounds bounds = { .in = 4 << 20, .out = 2 << 20 };

/* Those that clients are told of. */
static const char *const events[] = {
	"BLOCK_IMAGE_CORRUPTED", "BLOCK_JOB_CANCELLED", "BLOCK_JOB_COMPLETED", "BLOCK_JOB_ERROR",
	"BLOCK_JOB_PENDING", "BLOCK_JOB_READY", "BLOCK_WRITE_THRESHOLD", "JOB_STATUS_CHANGE", NULL
};

static void on_event(void *opaque, const char *name, const json_t *event)
{
	json_t *data = json_object_get(event, "data");
	struct monitor_daemon *d = opaque;

	if (!g_strv_contains(events, name) || !json_is_object(data) ||
	    json_dumpb(data, NULL, 0, JSON_COMPACT) > EVENT_MAX ||
	    !monitor_may_tell(&d->events, EVENT_BURST, EVENT_RATE))
		return;
	qmp_server_event(d->m->server, name, json_incref(data));
}

/* That one has ended the keeper says by itself. */
static void on_failed(void *opaque, const char *why, bool closed)
{
	const struct monitor_daemon *d = opaque;

	if (!closed)
		log_warning("%s: its storage daemon's monitor: %s; it is asked no more",
			    d->m->plan->spec->disk[d->disk].unit.id, why);
}

static const struct qmp_client_ops client_ops = { .event = on_event, .failed = on_failed };

void monitor_daemons_init(struct monitor *m)
{
	for (unsigned i = 0; i < m->plan->spec->disk_count; i++) {
		struct monitor_daemon *d = &m->daemon[i];
		int fd = images_take_qmp(m->images, i);

		*d = (struct monitor_daemon){ .m = m, .disk = i };
		if (fd < 0)
			continue;
		d->client = qmp_client_create(fd, &bounds, GREET_LIMIT, &client_ops, d);
		m->daemon_count++;
	}
}

void monitor_daemons_finish(struct monitor *m)
{
	for (unsigned i = 0; i < SPEC_MAX_DISKS; i++)
		qmp_client_destroy(m->daemon[i].client);
}

bool monitor_daemon_live(const struct monitor *m, unsigned disk)
{
	const struct monitor_daemon *d = &m->daemon[disk];

	return d->client && !qmp_client_dead(d->client) && !d->owed;
}

unsigned monitor_daemons_live(const struct monitor *m, unsigned *ret_one)
{
	unsigned count = 0;

	for (unsigned i = 0; i < SPEC_MAX_DISKS && m->daemon_count; i++)
		if (monitor_daemon_live(m, i)) {
			*ret_one = i;
			count++;
		}
	return count;
}

int monitor_daemons_poll(struct monitor *m, struct pollfd *p, unsigned *ret_count)
{
	int wait_ms = -1;

	*ret_count = m->daemon_count ? SPEC_MAX_DISKS : 0;
	for (unsigned i = 0; i < *ret_count; i++) {
		p[i] = (struct pollfd){ .fd = -1 };
		if (m->daemon[i].client)
			wait_ms = monitor_sooner(wait_ms,
						 qmp_client_poll(m->daemon[i].client, &p[i]));
	}
	return wait_ms;
}

void monitor_daemons_polled(struct monitor *m, const struct pollfd *p, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct monitor_daemon *d = &m->daemon[i];

		if (!d->client)
			continue;
		qmp_client_polled(d->client, &p[i]);
		if (!qmp_client_dead(d->client))
			continue;
		qmp_client_destroy(d->client);
		d->client = NULL;
	}
}
