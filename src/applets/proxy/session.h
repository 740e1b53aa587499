/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_PROXY_SESSION_H
#define APPLETS_PROXY_SESSION_H

/*
 * A verb's way to a device: a remote, started or found, and a client of one of its devices at a
 * time.
 *
 *     session_start() -> session_open(i) -> calls on session->client -> session_close() -> ...
 *                     -> session_finish()
 */

#include <stdbool.h>
#include <stdint.h>

#include "applets/proxy/launch.h"
#include "applets/proxy/verb.h"
#include "base/error.h"
#include "client/client.h"

struct session {
	struct remote_process remote;
	const struct proxy_target *target;
	struct client client;
	bool open;			/* client is one of device @index */
	unsigned index;
};

/*
 * Starts the target's command, or finds the remote that runs.  With @one it must be clear which
 * device is meant.  A wrong command line starts nothing.  session_finish() in any case.
 */
bool session_start(struct session *session, const struct proxy_target *target, bool one,
		   GError **error);

/* Is device @i one that is meant? */
bool session_wants(const struct session *session, unsigned i);
/* The one that is meant; of several the first. */
unsigned session_device(const struct session *session);

/* Connects to device @i alone: it is what session_name() names, and its fd is the socket. */
bool session_connect(struct session *session, unsigned i, GError **error);
/* ms that it wants after its first answer (REMOTE_START_PAUSE_MS), or 0. */
int session_start_pause(const struct session *session);

/* Connects to device @i, with @ram_size bytes of guest RAM (a multiple of 4096). */
bool session_open(struct session *session, unsigned i, uint64_t ram_size, GError **error);
void session_close(struct session *session);

/* The name of the open device, for what is printed. */
const char *session_name(const struct session *session);
/* Sets @error to what -errno @ret of a call on the client means: "NAME: text".  Returns false. */
bool session_failed(struct session *session, int ret, GError **error);

/*
 * Ends the remote.  False with @error, which must not be set yet, when it ended with another status
 * than 0; @error NULL: nobody wants to know.
 */
bool session_finish(struct session *session, GError **error);

#endif
