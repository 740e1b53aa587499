/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_HOTPLUG_LINK_H
#define APPLETS_ORCHESTRATE_HOTPLUG_LINK_H

/*
 * A connection to the QMP socket of any QEMU, in GLib's main loop, for as long as one verb needs
 * it: QEMU serves one client at a time there.
 */

#include <stdbool.h>

#include <glib.h>

#include "base/error.h"

struct json_t;
struct qmp_client;

struct hotplug_link {
	const char *path;
	struct qmp_client *client;	/* NULL: not open */
	GSource *source;
	bool greeted;
	/* Each may be NULL: what comes unasked, and the connection's end. */
	void (*event)(void *opaque, const char *name, const struct json_t *event);
	void (*lost)(void *opaque, const char *why);
	void *opaque;
};

/*
 * Connects to @path, which stays in place ("@NAME": an abstract address); QEMU has @limit_ms to
 * greet.  What is asked over link->client meanwhile waits for that.
 */
bool hotplug_link_open(struct hotplug_link *link, const char *path, int limit_ms, GError **error);
/* May be called twice; callbacks of what is open do not come any more. */
void hotplug_link_close(struct hotplug_link *link);

/* @error, which came over it, as a line for people, with the socket's path if it is to blame. */
GError *hotplug_link_error(const struct hotplug_link *link, const GError *error);

#endif
