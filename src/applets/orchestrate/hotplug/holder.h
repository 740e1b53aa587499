/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_HOTPLUG_HOLDER_H
#define APPLETS_ORCHESTRATE_HOTPLUG_HOLDER_H

/*
 * The socket of a process that holds an attached remote: JSON lines as QMP has them.  The directory
 * of the control sockets has one of its own for them, and a name comes from QEMU's QMP socket and
 * the device's id, so that detach finds it.
 *
 *   query-attached    "id", "qmp", "cwd", "options", "words": how it was attached; "attached": is
 *                     it; "pid": of the remote
 *   release           the VM has the device no more: the remote ends, then its holder, and
 *                     with it the connection
 */

#include <stdbool.h>

#include "base/error.h"

struct json_t;
struct holder;

struct holder_ops {
	struct json_t *(*report)(void *opaque);
	void (*release)(void *opaque);
};

/* The path of the socket for device @id of the QEMU behind @qmp; the caller frees.  NULL: error. */
char *holder_path(const char *qmp, const char *id, bool make, GError **error);

/* Removes the sockets of those that were killed. */
void holder_sweep(void);

/* Listens there.  NULL with @error: somebody does already, or it cannot be. */
struct holder *holder_create(const char *qmp, const char *id, const struct holder_ops *ops,
			     void *opaque, GError **error);
/* Removes the socket.  NULL-safe. */
void holder_destroy(struct holder *holder);

#endif
