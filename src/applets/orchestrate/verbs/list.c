/* SPDX-License-Identifier: GPL-2.0-or-later */

/* list and status: which VMs run, and what one of them is. */

#include <stdio.h>

#include <glib.h>

#include "applets/orchestrate/control/place.h"
#include "applets/orchestrate/hotplug/holder.h"
#include "applets/orchestrate/verbs/vmlink.h"
#include "applets/orchestrate/verbs/show.h"
#include "applets/orchestrate/verbs/verb.h"

/*
 * The answer to query-status, or an object that says why there is none.  NULL: nobody has the
 * socket; it was left behind.
 */
static json_t *ask_status(const char *name)
{
	g_autoptr(GError) error = NULL;
	auto_vmlink link = vmlink_open(name, &error);
	json_t *status = link ? vmlink_call(link, "query-status", NULL, -1, &error) : NULL;

	if (!link && error->code == MPQ_ERROR_REFUSED)
		return NULL;
	if (!status)
		status = json_pack("{s:s, s:s, s:s}", "name", name, "phase", "unreachable",
				   "reason", error->message);
	return status;
}

static void print_line(const json_t *status)
{
	const json_t *qemu = json_object_get(status, "qemu");
	char uptime[32];

	printf("%-24s %-13s %-10s %8.0f %7.0f %15s  %s\n", show_text(status, "name"),
	       show_text(status, "phase"), show_text(qemu, "status"), show_number(status, "pid"),
	       show_number(status, "remotes"),
	       show_time(show_number(status, "uptime"), uptime, sizeof(uptime)),
	       show_text(qemu, "version"));
}

static void add_status(json_t *list, const char *name)
{
	json_t *status = ask_status(name);

	if (status)
		json_array_append_new(list, status);
}

bool verb_list(struct verb_args *args, GError **error)
{
	g_autofree char *dir = place_dir(false, error);
	g_auto(GStrv) names = dir ? place_names(dir) : NULL;
	auto_json list = json_array();

	if (!names)
		return false;
	holder_sweep();
	for (char **name = names; *name; name++)
		add_status(list, *name);
	if (args->json) {
		show_json(list);
		return true;
	}
	if (json_array_size(list))
		printf("%-24s %-13s %-10s %8s %7s %15s  %s\n", "NAME", "PHASE", "QEMU", "PID",
		       "REMOTES", "UPTIME", "VERSION");
	for (size_t i = 0; i < json_array_size(list); i++)
		print_line(json_array_get(list, i));
	return true;
}

static void print_remote(const json_t *remote)
{
	char uptime[32];

	printf("  %-12s %-8s", show_text(remote, "id"), show_text(remote, "state"));
	if (json_object_get(remote, "pid"))
		printf(" pid %.0f, %s", show_number(remote, "pid"),
		       show_time(show_number(remote, "uptime"), uptime, sizeof(uptime)));
	else if (json_object_get(remote, "reason"))
		printf(" %s", show_text(remote, "reason"));
	if (json_object_get(remote, "pid") && json_object_get(remote, "holder"))
		printf(", attached by pid %.0f", show_number(remote, "holder"));
	if (json_object_get(remote, "cause"))
		printf(", its device process ended by %s", show_text(remote, "cause"));
	if (json_object_get(remote, "storage"))
		printf(", a storage daemon ended by %s", show_text(remote, "storage"));
	printf("\n  %-12s %s\n", "", show_text(remote, "serves"));
}

static void print_status(const json_t *status, const json_t *remotes)
{
	const json_t *qemu = json_object_get(status, "qemu");
	char uptime[32];

	printf("%s: %s, %s\n", show_text(status, "name"), show_text(status, "phase"),
	       show_time(show_number(status, "uptime"), uptime, sizeof(uptime)));
	printf("  %-12s pid %.0f\n", "keeper", show_number(status, "pid"));
	printf("  %-12s %-8s pid %.0f\n  %-12s %s %s\n", "QEMU", show_text(qemu, "status"),
	       show_number(qemu, "pid"), "", show_text(qemu, "program"),
	       show_text(qemu, "version"));
	for (size_t i = 0; i < json_array_size(remotes); i++)
		print_remote(json_array_get(remotes, i));
}

bool verb_status(struct verb_args *args, GError **error)
{
	auto_vmlink link = vmlink_open(args->words[0], error);
	auto_json status = NULL;
	auto_json remotes = NULL;

	if (!vmlink_report(link, &status, &remotes, error))
		return false;
	if (args->json) {
		json_object_set(status, "remotes", remotes);
		show_json(status);
	} else {
		print_status(status, remotes);
	}
	return true;
}
