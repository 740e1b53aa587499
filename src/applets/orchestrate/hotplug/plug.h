/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_HOTPLUG_PLUG_H
#define APPLETS_ORCHESTRATE_HOTPLUG_PLUG_H

/*
 * A remote's device into a running VM: getfd with the socket and device_add, or (vfio-user)
 * device_add with the socket's path.  When QEMU refuses the device, closefd takes the socket back.
 */

#include "applets/orchestrate/hotplug/look.h"

struct json_t;
struct hotplug_link;
struct hotplug_plug;

/*
 * @device: what device_add gets, taken over.  Either @fd, the proxy's end of a socketpair, which is
 * taken over, or @path, of the socket on which the remote listens.
 */
struct hotplug_plug *hotplug_plug_create(struct hotplug_link *link, struct json_t *device, int fd,
					 const char *path, int limit_ms, hotplug_done_fn *done,
					 void *opaque);
/* As hotplug_look_destroy(). */
void hotplug_plug_destroy(struct hotplug_plug *plug);
void hotplug_plug_start(struct hotplug_plug *plug);

#endif
