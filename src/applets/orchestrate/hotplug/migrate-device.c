/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/hotplug/migrate.h"

#include <jansson.h>

#include "applets/orchestrate/hotplug/holder.h"
#include "applets/orchestrate/hotplug/link.h"
#include "qmp/client.h"

struct query {
	GMainLoop *loop;
	struct migrate_device *device;
	bool done;
};

/* The strings of the array; g_strfreev(). */
static char **take_strings(const json_t *array)
{
	g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
	const json_t *entry;
	size_t i;

	json_array_foreach(array, i, entry)
		g_strv_builder_add(builder, json_string_value(entry) ?: "");
	return g_strv_builder_end(builder);
}

static void answered(void *opaque, const json_t *value, const struct qmp_failure *failure)
{
	struct query *query = opaque;
	const char *cwd = json_string_value(json_object_get(value, "cwd"));

	if (cwd && json_is_true(json_object_get(value, "attached")) &&
	    json_is_array(json_object_get(value, "words"))) {
		query->device = g_new0(struct migrate_device, 1);
		query->device->cwd = g_strdup(cwd);
		query->device->options = take_strings(json_object_get(value, "options"));
		query->device->words = take_strings(json_object_get(value, "words"));
	}
	query->done = true;
	g_main_loop_quit(query->loop);
}

struct migrate_device *migrate_device_find(const struct hotplug_target *target, const char *id,
					   int limit_ms)
{
	g_autofree char *path = holder_path(target->path, id, false, NULL);
	const struct hotplug_target holder = { .path = path };
	struct query query = { .loop = g_main_loop_new(NULL, false) };
	struct hotplug_link link = { 0 };

	if (path && hotplug_link_open(&link, &holder, limit_ms, NULL) &&
	    !qmp_client_execute(link.client, "query-attached", NULL, -1, limit_ms, answered,
				&query) && !query.done)
		g_main_loop_run(query.loop);
	hotplug_link_close(&link);
	g_main_loop_unref(query.loop);
	if (query.device)
		query.device->id = g_strdup(id);
	return query.device;
}

void migrate_device_destroy(struct migrate_device *device)
{
	if (!device)
		return;
	g_free(device->id);
	g_free(device->cwd);
	g_strfreev(device->options);
	g_strfreev(device->words);
	g_free(device);
}

bool migrate_device_has_fds(const struct migrate_device *device)
{
	for (char **option = device->options; *option; option++)
		if (g_str_has_prefix(*option, "--events=fd="))
			return true;
	for (char **word = device->words; *word; word++)
		if (!g_strcmp0(*word, "-add-fd") || !g_strcmp0(*word, "--add-fd"))
			return true;
	return false;
}

char **migrate_device_words(const struct migrate_device *device)
{
	g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

	for (char **option = device->options; *option; option++)
		g_strv_builder_add(builder, *option);
	g_strv_builder_add(builder, "--");
	for (char **word = device->words; *word; word++)
		g_strv_builder_add(builder, *word);
	return g_strv_builder_end(builder);
}

char *migrate_device_line(const struct migrate_device *device)
{
	g_auto(GStrv) words = migrate_device_words(device);
	g_autofree char *cwd = g_shell_quote(device->cwd);
	GString *line = g_string_new(NULL);

	g_string_printf(line, "cd %s && mpqemu-orchestrate attach --qmp=PATH", cwd);
	for (char **word = words; *word; word++) {
		g_autofree char *quoted = g_shell_quote(*word);

		g_string_append_printf(line, " %s", quoted);
	}
	return g_string_free(line, false);
}
