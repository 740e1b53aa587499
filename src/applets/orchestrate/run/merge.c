/* SPDX-License-Identifier: GPL-2.0-or-later */

/* A list that QEMU has one part of, and the remotes the others. */

#include <string.h>

#include "applets/orchestrate/run/relay-priv.h"
#include "base/log.h"

/* How long a remote has to say its part; then it is left out. */
#define PART_MS 10000

struct merge {
	json_t *reply;			/* with the list in "return" */
	unsigned open;			/* parts that are awaited */
	void (*done)(void *opaque, json_t *reply);
	void *opaque;
};

static void part_done(struct merge *merge)
{
	if (--merge->open)
		return;
	merge->done(merge->opaque, merge->reply);
	g_free(merge);
}

static void part_comes(void *opaque, const json_t *value, const struct qmp_failure *failure)
{
	struct merge *merge = opaque;
	json_t *list = json_object_get(merge->reply, "return");
	size_t i;
	json_t *item;

	if (failure)
		log_warning("a remote's part of a list is left out: %s", failure->desc);
	json_array_foreach((json_t *)(uintptr_t)value, i, item)
		json_array_append(list, item);
	part_done(merge);
}

/* /machine/peripheral has the devices that moved, for those who look for theirs there. */
static void add_devices(const struct plan *plan, json_t *list)
{
	for (unsigned i = 0; i < plan->moved->len; i++) {
		const struct plan_moved *moved = &g_array_index(plan->moved, struct plan_moved, i);
		g_autofree char *type = g_strdup_printf("child<%s>", moved->driver ?: "");

		if (moved->driver)
			json_array_append_new(list, json_pack("{s:s, s:s}", "name", moved->name,
							      "type", type));
	}
}

void merge_start(struct qmp_relay *relay, const char *command, const json_t *args,
		 const json_t *reply, void (*done)(void *opaque, json_t *reply), void *opaque)
{
	struct merge *merge = g_new0(struct merge, 1);
	json_t *list;

	merge->reply = json_deep_copy(reply);
	merge->done = done;
	merge->opaque = opaque;
	merge->open = 1;
	list = json_object_get(merge->reply, "return");
	if (json_is_array(list) && !strcmp(command, "qom-list")) {
		add_devices(relay->run->plan, list);
	} else if (json_is_array(list)) {
		for (unsigned i = 0; i < relay->run->plan->remotes->len; i++) {
			struct qmp_client *client = relay->remotes[i].client;

			if (!client || qmp_client_execute(client, command,
					args ? json_deep_copy(args) : NULL, -1, PART_MS,
					part_comes, merge))
				continue;
			merge->open++;
		}
	}
	part_done(merge);
}
