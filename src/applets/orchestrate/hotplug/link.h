/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_HOTPLUG_LINK_H
#define APPLETS_ORCHESTRATE_HOTPLUG_LINK_H

/*
 * A connection to the QMP socket of any QEMU, in GLib's main loop, for as long as one verb needs
 * it: QEMU serves one client at a time there.  Or to the control socket of a VM of ours, whose
 * keeper passes commands on to QEMU ("qemu"), and its events back.
 */

#include <stdbool.h>

#include <glib.h>

#include "base/error.h"

#include "qmp/client.h"

/* Where a VM's QEMU is reached. */
struct hotplug_target {
	char *path;	/* of the socket; "@NAME": an abstract address */
	char *vm;	/* it is the control socket of the VM of this name; NULL: QEMU's own */
};

struct hotplug_link {
	const struct hotplug_target *target;
	struct qmp_client *client;	/* NULL: not open */
	GSource *source;
	bool greeted;
	/* Each may be NULL: what comes unasked, and the connection's end. */
	void (*event)(void *opaque, const char *name, const struct json_t *event);
	void (*lost)(void *opaque, const char *why);
	void *opaque;
};

/* Connects; @target stays in place; who is there has @limit_ms to greet. */
bool hotplug_link_open(struct hotplug_link *link, const struct hotplug_target *target, int limit_ms,
		       GError **error);
/* qmp_client_execute(), of QEMU. */
int hotplug_link_execute(struct hotplug_link *link, const char *name, json_t *args, int passed,
			 int limit_ms, qmp_done_fn *done, void *opaque);
/* May be called twice; callbacks of what is open do not come any more. */
void hotplug_link_close(struct hotplug_link *link);

/* @error, which came over it, as a line for people, with the socket's path if it is to blame. */
GError *hotplug_link_error(const struct hotplug_link *link, const GError *error);

#endif
