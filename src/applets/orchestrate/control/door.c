/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/control/door.h"

#include <glib.h>

#include "applets/orchestrate/control/place.h"
#include "qmp/source.h"

struct door {
	struct place place;
	struct qmp_server *server;	/* owns the socket */
	GSource *source;
};

struct door *door_open(const char *path, const struct qmp_server_config *config, void *opaque,
		       GError **error)
{
	struct place place;
	int fd = place_listen(&place, path, "control socket", error);
	struct door *door;

	if (fd < 0)
		return NULL;
	door = g_new0(struct door, 1);
	door->place = place;
	door->server = qmp_server_create(config, opaque);
	qmp_server_listen(door->server, fd, false);
	door->source = qmp_server_source(door->server);
	g_source_attach(door->source, NULL);
	return door;
}

void door_close(struct door *door)
{
	if (!door)
		return;
	g_source_destroy(door->source);
	g_source_unref(door->source);
	place_remove(&door->place);
	qmp_server_destroy(door->server);
	g_free(door);
}

struct qmp_server *door_server(struct door *door)
{
	return door->server;
}
