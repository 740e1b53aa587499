/* SPDX-License-Identifier: GPL-2.0-or-later */

/* logs: what a VM's processes have said, and say. */

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <glib.h>

#include "applets/orchestrate/verbs/vmlink.h"
#include "applets/orchestrate/verbs/show.h"
#include "applets/orchestrate/verbs/verb.h"

/* "warning: "; what a process has written itself has it in its text. */
static char *level_of(const json_t *line)
{
	const char *level = show_text(line, "level");
	g_autofree char *mark = g_strconcat(level, ": ", NULL);

	return g_strdup(!strcmp(level, "info") || strstr(show_text(line, "message"), mark) ? "" :
											     mark);
}

static void print_line(const struct verb_args *args, const json_t *line)
{
	g_autofree char *message = g_strdup(show_text(line, "message"));
	g_autofree char *level = level_of(line);
	double when = show_number(line, "time");
	time_t seconds = when;
	struct tm tm;
	char date[32];

	if (args->json) {
		char *text = json_dumps(line, JSON_COMPACT);

		puts(text);
		free(text);
		return;
	}
	localtime_r(&seconds, &tm);
	strftime(date, sizeof(date), "%F %T", &tm);
	printf("%s.%03d %s: %s%s\n", date, (int)((when - seconds) * 1000),
	       show_text(line, "source"), level, show_clean(message));
}

static void on_event(void *opaque, const char *name, const json_t *data)
{
	const struct verb_args *args = opaque;

	if (strcmp(name, "MPQEMU_LOG") ||
	    (args->source && strcmp(args->source, show_text(data, "source"))))
		return;
	print_line(args, data);
	fflush(stdout);
}

bool verb_logs(struct verb_args *args, GError **error)
{
	auto_vmlink link = vmlink_open(args->words[0], error);
	auto_json wanted = json_pack("{s:i}", "count", args->lines);
	auto_json lines = NULL;

	if (args->source)
		json_object_set_new(wanted, "source", json_string(args->source));
	lines = link ? vmlink_call(link, "query-logs", json_incref(wanted), -1, error) :
			  NULL;
	if (!lines)
		return false;
	for (size_t i = 0; i < json_array_size(lines); i++)
		print_line(args, json_array_get(lines, i));
	fflush(stdout);
	if (args->follow) {
		vmlink_listen(link, on_event, args);
		vmlink_wait(link, -1);
	}
	return true;
}
