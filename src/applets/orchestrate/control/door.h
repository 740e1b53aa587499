/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_CONTROL_DOOR_H
#define APPLETS_ORCHESTRATE_CONTROL_DOOR_H

/* A QMP server of ours behind a socket with a path, in GLib's main loop. */

#include "base/error.h"
#include "qmp/server.h"

struct door;

/*
 * Listens at @path (place_listen()) and serves; @config stays in place.  NULL with @error.
 */
struct door *door_open(const char *path, const struct qmp_server_config *config, void *opaque,
		       GError **error);
/*
 * Removes the path, unless somebody else's socket is there by now, and only then lets the clients
 * go.  NULL-safe.
 */
void door_close(struct door *door);

/* For events; valid until door_close(). */
struct qmp_server *door_server(struct door *door);

#endif
