/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What clients may have a storage daemon do: what would break its isolation, or what is counted on
 * here, it does not get.
 */
#include <string.h>

#include "applets/remote/monitor-priv.h"

#define GENERIC "GenericError"

/*
 * Drivers of nodes that come at run time: a local file, formats, filters.  A daemon may make no
 * socket, and is killed when it tries.  Not vmdk: its extents are names in the file.
 */
static const char *const drivers[] = {
	"bochs", "cloop", "compress", "copy-before-write", "copy-on-read", "dmg", "file",
	"host_device", "luks", "null-aio", "null-co", "parallels", "preallocate", "qcow", "qcow2",
	"qed", "raw", "throttle", "vdi", "vhdx", "vpc", NULL
};
/* Those that follow a name in the image, if they are told of no backing file. */
static const char *const with_backing[] = { "qcow", "qcow2", "qed", NULL };

static char *check_driver(const char *driver, const json_t *options, bool opens)
{
	if (!g_strv_contains(drivers, driver))
		return g_strdup_printf("a node of driver '%s' cannot come while the storage daemon "
				       "runs, which is shut in", driver);
	if (!g_strcmp0(json_string_value(json_object_get(options, "aio")), "io_uring"))
		return g_strdup("aio=io_uring goes round the storage daemon's sandbox");
	if (opens && g_strv_contains(with_backing, driver) && !json_object_get(options, "backing"))
		return g_strdup_printf("driver '%s': name its backing file's node, or null: what "
				       "an image's header names is not followed", driver);
	return NULL;
}

/* The options of a node and of those nested in them. */
static char *check_options(const json_t *options, bool opens)
{
	const char *driver = json_string_value(json_object_get(options, "driver")), *key;
	char *wrong = driver ? check_driver(driver, options, opens) : NULL;
	const json_t *member;

	json_object_foreach((json_t *)(uintptr_t)options, key, member)
		if (!wrong && json_is_object(member))
			wrong = check_options(member, opens);
	return wrong;
}

char *monitor_add_obstacle(const json_t *args)
{
	return check_options(args, true);
}

char *monitor_reopen_obstacle(const json_t *args)
{
	const json_t *options;
	char *wrong = NULL;
	size_t i;

	json_array_foreach(json_object_get(args, "options"), i, options)
		if (!wrong)
			wrong = check_options(options, false);
	return wrong;
}

char *monitor_create_obstacle(const json_t *args)
{
	const json_t *options = json_object_get(args, "options");
	const char *driver = json_string_value(json_object_get(options, "driver"));

	if (driver && json_is_string(json_object_get(options, "file")))
		return check_driver(driver, options, false);
	return g_strdup("a storage daemon makes no files: an empty one has to be there, as a node "
			"(file=)");
}

char *monitor_transaction_obstacle(const json_t *args)
{
	static const char *const types[] = {
		"abort", "block-dirty-bitmap-add", "block-dirty-bitmap-clear",
		"block-dirty-bitmap-disable", "block-dirty-bitmap-enable",
		"block-dirty-bitmap-merge", "block-dirty-bitmap-remove", "blockdev-backup",
		"blockdev-snapshot", "blockdev-snapshot-internal-sync", NULL
	};
	const json_t *action;
	size_t i;

	json_array_foreach(json_object_get(args, "actions"), i, action) {
		const char *type = json_string_value(json_object_get(action, "type"));

		if (type && !g_strv_contains(types, type))
			return g_strdup_printf("a transaction cannot have '%s' here", type);
	}
	return NULL;
}

char *monitor_object_obstacle(const json_t *args)
{
	if (g_strcmp0(json_string_value(json_object_get(args, "qom-type")), "throttle-group"))
		return g_strdup("only a throttle-group can come while the storage daemon runs, "
				"which is shut in; others are given at the start (-object)");
	return NULL;
}

char *monitor_qom_obstacle(const json_t *args)
{
	if (g_strcmp0(json_string_value(json_object_get(args, "property")), "limits"))
		return g_strdup("only 'limits' of a throttle-group can be set");
	return NULL;
}

void monitor_relay_refused(void *opaque, struct qmp_call *call, const json_t *args)
{
	static const struct {
		const char *prefix, *why;
	} reasons[] = {
		{ "block-export-", "what a storage daemon exports is its disk, for the device "
		  "process alone" },
		{ "nbd-server-", "a storage daemon's server has one client, the device process" },
		{ "chardev-", "a storage daemon has one character device, the keeper's" },
		{ "drive-", "a storage daemon makes no images by itself: add the target by "
		  "blockdev-add, then use blockdev-backup or blockdev-mirror" },
		{ "blockdev-snapshot-sync", "a storage daemon makes no images by itself: add the "
		  "overlay by blockdev-add, then use blockdev-snapshot" },
	};
	const char *name = qmp_call_name(call);
	size_t i = 0;

	while (!g_str_has_prefix(name, reasons[i].prefix))	/* each has its reason */
		i++;
	qmp_refuse(call, GENERIC, "%s: %s", name, reasons[i].why);
}
