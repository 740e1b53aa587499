/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_HOTPLUG_MIGRATE_H
#define APPLETS_ORCHESTRATE_HOTPLUG_MIGRATE_H

/* Between the files of migrate: the devices that are moved, and QEMU's own migration. */

#include <stdbool.h>

#include <glib.h>

#include "applets/orchestrate/hotplug/link.h"

/* How a device was attached, as its holder says. */
struct migrate_device {
	char *id;
	char *cwd;		/* what relative paths start from */
	char **options;		/* "--sandbox=..." */
	char **words;		/* "-device", ... */
	bool detached;
};

/* Asks the holder of @id of the VM at @target.  NULL: there is none. */
struct migrate_device *migrate_device_find(const struct hotplug_target *target, const char *id,
					   int limit_ms);
/* NULL-safe. */
void migrate_device_destroy(struct migrate_device *device);

/* Does it name fds that it inherited? */
bool migrate_device_has_fds(const struct migrate_device *device);

/* What stands behind attach --qmp=...; g_strfreev(). */
char **migrate_device_words(const struct migrate_device *device);

/* The shell's command that attaches it elsewhere; the caller frees. */
char *migrate_device_line(const struct migrate_device *device);

enum migrate_end {
	MIGRATE_COMPLETED,
	MIGRATE_STAYS,		/* failed or cancelled, as was logged */
	MIGRATE_UNKNOWN,	/* QEMU is not to be asked any more */
};

/*
 * QEMU's "migrate" to its end, with a line each tenth of the way; a signal at @signal_fd cancels
 * it, and is *ret_signal then.
 */
enum migrate_end migrate_run(const struct hotplug_target *target, const char *uri, int limit_ms,
			     int signal_fd, int *ret_signal);

#endif
