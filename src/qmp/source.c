/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qmp/source.h"

#include "qmp/client.h"
#include "qmp/server.h"

struct source {
	GSource base;
	struct qmp_client *client;	/* or */
	struct qmp_server *server;
	struct pollfd wanted[QMP_SERVER_POLL];	/* of the last poll */
	unsigned count;
	gint64 due;		/* us of g_source_get_time(); -1: never */
	struct { int fd; short events; void *tag; } watched[QMP_SERVER_POLL];
};

/* What GLib watches is what is wanted; most often it is already. */
static void watch(struct source *source, unsigned i, const struct pollfd *wanted)
{
	int fd = wanted ? wanted->fd : -1;
	short events = wanted ? wanted->events : 0;

	if (source->watched[i].tag && source->watched[i].fd == fd) {
		if (source->watched[i].events != events)
			g_source_modify_unix_fd(&source->base, source->watched[i].tag, events);
		source->watched[i].events = events;
		return;
	}
	if (source->watched[i].tag)
		g_source_remove_unix_fd(&source->base, source->watched[i].tag);
	source->watched[i].tag = fd < 0 ? NULL : g_source_add_unix_fd(&source->base, fd, events);
	source->watched[i].fd = fd;
	source->watched[i].events = events;
}

static gboolean prepare(GSource *base, int *ret_wait_ms)
{
	struct source *source = (struct source *)base;
	int wait_ms;

	source->count = 1;
	if (source->client)
		wait_ms = qmp_client_poll(source->client, source->wanted);
	else
		wait_ms = qmp_server_poll(source->server, source->wanted, &source->count);
	for (unsigned i = 0; i < QMP_SERVER_POLL; i++)
		watch(source, i, i < source->count ? &source->wanted[i] : NULL);
	source->due = wait_ms < 0 ? -1 : g_source_get_time(base) + wait_ms * INT64_C(1000);
	*ret_wait_ms = wait_ms;
	return wait_ms == 0;
}

/*
 * Not before it is time: GLib takes the fds of a source away while it is dispatched, and each
 * change of fds ends the next poll at once.  So a source that is dispatched after each poll never
 * sleeps.
 */
static gboolean check(GSource *base)
{
	struct source *source = (struct source *)base;
	bool due = source->due >= 0 && g_source_get_time(base) >= source->due;

	for (unsigned i = 0; i < source->count; i++) {
		void *tag = source->watched[i].tag;

		source->wanted[i].revents = tag ? g_source_query_unix_fd(base, tag) : 0;
		due |= source->wanted[i].revents != 0;
	}
	return due;
}

static gboolean dispatch(GSource *base, GSourceFunc callback, void *opaque)
{
	struct source *source = (struct source *)base;

	if (source->client)
		qmp_client_polled(source->client, source->wanted);
	else
		qmp_server_polled(source->server, source->wanted, source->count);
	return G_SOURCE_CONTINUE;
}

static const GSourceFuncs funcs = { .prepare = prepare, .check = check, .dispatch = dispatch };

static struct source *source_new(void)
{
	return (struct source *)g_source_new((GSourceFuncs *)(uintptr_t)&funcs,
					      sizeof(struct source));
}

GSource *qmp_client_source(struct qmp_client *client)
{
	struct source *source = source_new();

	source->client = client;
	return &source->base;
}

GSource *qmp_server_source(struct qmp_server *server)
{
	struct source *source = source_new();

	source->server = server;
	return &source->base;
}
