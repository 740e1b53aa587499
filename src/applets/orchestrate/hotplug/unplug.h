/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_HOTPLUG_UNPLUG_H
#define APPLETS_ORCHESTRATE_HOTPLUG_UNPLUG_H

/*
 * A device out of a running VM: device_del, which asks the guest, and then DEVICE_DELETED, when the
 * guest has let go of it.
 *
 *   CHECK --is it a remote's--> ASKED --answered--> WAIT --DEVICE_DELETED--> done
 *                                                     |--DEVICE_UNPLUG_GUEST_ERROR, time--> error
 */

#include "applets/orchestrate/hotplug/look.h"

struct json_t;
struct hotplug_link;
struct hotplug_unplug;

/* @guest_ms: how long the guest has; @limit_ms: QEMU, for each answer. */
struct hotplug_unplug *hotplug_unplug_create(struct hotplug_link *link, const char *id,
					     int limit_ms, int guest_ms, hotplug_done_fn *done,
					     void *opaque);
/* As hotplug_look_destroy(). */
void hotplug_unplug_destroy(struct hotplug_unplug *unplug);
void hotplug_unplug_start(struct hotplug_unplug *unplug);

/* Each event that comes over the client is told here; NULL-safe. */
void hotplug_unplug_event(struct hotplug_unplug *unplug, const char *name,
			  const struct json_t *event);

/* The connection has ended, which says @why; NULL-safe. */
void hotplug_unplug_lost(struct hotplug_unplug *unplug, const char *why);

#endif
