/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/control/door.h"

#include <sys/stat.h>
#include <unistd.h>

#include <glib.h>

#include "applets/orchestrate/control/place.h"
#include "qmp/source.h"

struct door {
	char *path;
	struct stat made;		/* the socket that is there because of us */
	struct qmp_server *server;	/* owns the socket */
	GSource *source;
};

struct door *door_open(const char *path, const struct qmp_server_config *config, void *opaque,
		       GError **error)
{
	int fd = place_listen(path, error);
	struct door *door;

	if (fd < 0)
		return NULL;
	door = g_new0(struct door, 1);
	door->path = g_strdup(path);
	lstat(path, &door->made);
	door->server = qmp_server_create(config, opaque);
	qmp_server_listen(door->server, fd, false);
	door->source = qmp_server_source(door->server);
	g_source_attach(door->source, NULL);
	return door;
}

static void remove_path(const struct door *door)
{
	struct stat st;

	if (lstat(door->path, &st) == 0 && st.st_dev == door->made.st_dev &&
	    st.st_ino == door->made.st_ino)
		unlink(door->path);
}

void door_close(struct door *door)
{
	if (!door)
		return;
	g_source_destroy(door->source);
	g_source_unref(door->source);
	remove_path(door);
	qmp_server_destroy(door->server);
	g_free(door->path);
	g_free(door);
}

struct qmp_server *door_server(struct door *door)
{
	return door->server;
}
