/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_CONTROL_SERVER_H
#define APPLETS_ORCHESTRATE_CONTROL_SERVER_H

/*
 * The control socket of a running VM: JSON lines as QMP has them, with commands of our own
 * (commands.h).  The verbs of mpqemu-orchestrate are its clients; so can be socat, or a script.
 */

#include <stdbool.h>

#include <jansson.h>

#include "base/error.h"

struct control;
struct run;

/*
 * Listens at the run's options->control; *ret is NULL if that is.  False with @error: somebody has
 * the socket, or it cannot be made.
 */
bool control_create(struct run *run, struct control **ret, GError **error);
/* Removes the socket.  NULL-safe. */
void control_destroy(struct control *control);

/* An event for each client; @data (an object, or NULL) is taken over.  NULL-safe. */
void control_event(struct control *control, const char *name, json_t *data);

#endif
