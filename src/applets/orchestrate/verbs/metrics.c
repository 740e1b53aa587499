/* SPDX-License-Identifier: GPL-2.0-or-later */

/* metrics: what the remotes of some VMs, or of all, have counted. */

#include <stdio.h>

#include <glib.h>

#include "applets/orchestrate/control/place.h"
#include "applets/orchestrate/control/prom.h"
#include "applets/orchestrate/verbs/vmlink.h"
#include "applets/orchestrate/verbs/show.h"
#include "applets/orchestrate/verbs/verb.h"
#include "base/log.h"

static json_t *ask(const char *vm, GError **error)
{
	auto_vmlink link = vmlink_open(vm, error);

	return link ? vmlink_call(link, "query-metrics", NULL, -1, error) : NULL;
}

static void add_text(struct prom *prom, const char *vm, const json_t *remotes)
{
	for (size_t i = 0; i < json_array_size(remotes); i++) {
		const json_t *remote = json_array_get(remotes, i);

		prom_add_remote(prom, vm, show_text(remote, "id"), show_text(remote, "text"));
	}
}

/* The text is the same once more. */
static void add_json(json_t *all, const char *vm, const json_t *remotes)
{
	json_t *list = json_array();

	for (size_t i = 0; i < json_array_size(remotes); i++) {
		const json_t *remote = json_array_get(remotes, i);

		json_array_append_new(list, json_pack("{s:s, s:O}", "id", show_text(remote, "id"),
						      "metrics",
						      json_object_get(remote, "metrics")));
	}
	json_object_set_new(all, vm, list);
}

/* One that ends while the others are asked is no failure of theirs; one that was named is. */
static bool collect(char *const *vms, bool named, json_t *all, struct prom *prom, GError **error)
{
	for (; *vms; vms++) {
		g_autoptr(GError) why = NULL;
		auto_json remotes = ask(*vms, &why);

		if (!remotes && named) {
			g_propagate_error(error, g_steal_pointer(&why));
			return false;
		}
		if (!remotes) {
			log_warning("%s", why->message);
			continue;
		}
		add_text(prom, *vms, remotes);
		add_json(all, *vms, remotes);
	}
	return true;
}

bool verb_metrics(struct verb_args *args, GError **error)
{
	g_autofree char *dir = place_dir(false, error);
	g_auto(GStrv) names = dir ? place_names(dir) : NULL;
	struct prom *prom;
	auto_json all = json_object();
	g_autofree char *text = NULL;
	bool named = args->words[0], ok;

	if (!names)
		return false;
	prom = prom_create();
	ok = collect(named ? args->words : names, named, all, prom, error);
	text = prom_text(prom);
	prom_destroy(prom);
	if (ok && args->json)
		show_json(all);
	else if (ok)
		fputs(text, stdout);
	return ok;
}
