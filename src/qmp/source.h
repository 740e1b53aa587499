/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QMP_SOURCE_H
#define QMP_SOURCE_H

/* Servers and clients in GLib's main loop. */

#include <glib.h>

struct qmp_client;
struct qmp_server;

/*
 * A source that waits for what the client (the server) waits for, and does what comes.  The caller
 * attaches it, and destroys it before the client (the server); both may happen in a callback of it.
 */
GSource *qmp_client_source(struct qmp_client *client);
GSource *qmp_server_source(struct qmp_server *server);

#endif
