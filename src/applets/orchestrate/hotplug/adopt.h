/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_HOTPLUG_ADOPT_H
#define APPLETS_ORCHESTRATE_HOTPLUG_ADOPT_H

/*
 * A remote that its parent hands to the keeper of the VM that gets it (run/adopted.h): "adopt" with
 * its channel, then "adopt-fd" with the file of its counters and with its log.  Before QEMU has the
 * device: what the keeper does not take, the VM does not get.
 */

#include "applets/orchestrate/hotplug/remote.h"

struct hotplug_link;
struct hotplug_adopt;

/* @link: to a VM's control socket; @log: the end of a pipe from which it is read, taken over. */
struct hotplug_adopt *hotplug_adopt_create(struct hotplug_link *link,
					   struct hotplug_remote *remote, const char *id, int log,
					   int limit_ms, hotplug_done_fn *done, void *opaque);
/* As hotplug_look_destroy(). */
void hotplug_adopt_destroy(struct hotplug_adopt *adopt);
void hotplug_adopt_start(struct hotplug_adopt *adopt);

#endif
