/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_HOTPLUG_LOOK_H
#define APPLETS_ORCHESTRATE_HOTPLUG_LOOK_H

/* Asks a QEMU over QMP for what vm.h has, one question after the other. */

#include "applets/orchestrate/hotplug/vm.h"

struct hotplug_link;
struct hotplug_look;

/* Once, at the end of what was begun; @error (borrowed): why it has failed, or NULL. */
typedef void hotplug_done_fn(void *opaque, const GError *error);

/* To ask over @client; each answer has @limit_ms to come. */
struct hotplug_look *hotplug_look_create(struct hotplug_link *link, int limit_ms,
					 hotplug_done_fn *done, void *opaque);
/* In or after @done, before the start, or when the client is no more.  NULL-safe. */
void hotplug_look_destroy(struct hotplug_look *look);

/* Begins; once.  @done may be called before this returns. */
void hotplug_look_start(struct hotplug_look *look);

/* What it has found out; its own. */
const struct hotplug_vm *hotplug_look_vm(const struct hotplug_look *look);

#endif
