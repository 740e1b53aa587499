/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/verbs/verb.h"

#include <stdio.h>
#include <string.h>

#include "applets/orchestrate/orchestrate.h"

const struct ask_verb ask_verbs[] = {
	{ "list", "", 0, 0, "the VMs that run, a line each", "j", verb_list },
	{ "status", "VM", 1, 1, "a VM, its QEMU and its remotes", "j", verb_status },
	{ "top", "VM", 1, 1, "what its remotes do, live", "dbn", verb_top },
	{ "metrics", "[VM...]", 0, 1000, "the remotes' counters as Prometheus's text", "j",
	  verb_metrics },
	{ "logs", "VM", 1, 1, "what its processes have said", "jfsL", verb_logs },
	{ "graph", "VM", 1, 1, "its processes and what joins them, for Graphviz", "", verb_graph },
	{ "restart", "VM DEVICE", 2, 2, "another device process for a device", "", verb_restart },
	{ "stop", "VM", 1, 1, "shuts the guest down and waits for the end", "tN", verb_stop },
	{ NULL }
};

const struct ask_verb *ask_find(const char *name)
{
	for (const struct ask_verb *verb = ask_verbs; verb->name; verb++)
		if (!strcmp(verb->name, name))
			return verb;
	return NULL;
}

GOptionEntry *ask_options(const struct ask_verb *verb, struct verb_args *args)
{
	/* The letter is the verb's for the option; only some are the user's too. */
	const struct {
		char letter;
		GOptionEntry entry;
	} table[] = {
		{ 'j', { "json", 0, 0, G_OPTION_ARG_NONE, &args->json, "print JSON", NULL } },
		{ 'd', { "interval", 'd', 0, G_OPTION_ARG_DOUBLE, &args->interval,
			 "how often (default 1)", "SECONDS" } },
		{ 'b', { "batch", 'b', 0, G_OPTION_ARG_NONE, &args->batch,
			 "no terminal: one table after the other", NULL } },
		{ 'n', { "count", 'n', 0, G_OPTION_ARG_INT, &args->count,
			 "how many times (default: until it is ended)", "N" } },
		{ 'f', { "follow", 'f', 0, G_OPTION_ARG_NONE, &args->follow,
			 "go on with what comes", NULL } },
		{ 's', { "source", 0, 0, G_OPTION_ARG_STRING, &args->source,
			 "of this remote, or of mpqemu-orchestrate or qemu", "ID" } },
		{ 'L', { "lines", 'n', 0, G_OPTION_ARG_INT, &args->lines,
			 "the last of them (default 100)", "N" } },
		{ 't', { "timeout", 't', 0, G_OPTION_ARG_INT, &args->timeout,
			 "how long the guest has (default 60)", "SECONDS" } },
		{ 'N', { "now", 0, 0, G_OPTION_ARG_NONE, &args->now,
			 "do not ask the guest: end QEMU", NULL } },
	};
	GOptionEntry *entries = g_new0(GOptionEntry, G_N_ELEMENTS(table) + 2);
	unsigned count = 0;

	for (unsigned i = 0; i < G_N_ELEMENTS(table); i++)
		if (strchr(verb->options, table[i].letter))
			entries[count++] = table[i].entry;
	entries[count] = (GOptionEntry){ "help", 'h', 0, G_OPTION_ARG_NONE, &args->help,
					 "print this", NULL };
	return entries;
}

static void print_help(const GOptionEntry *entries, const struct ask_verb *verb)
{
	g_autofree char *table = options_table(entries);

	printf("usage: " NAME " %s [OPTION...] %s\n\n%c%s.\n\n%s", verb->name, verb->words,
	       g_ascii_toupper(verb->help[0]), verb->help + 1, table);
}

static bool parse(const struct ask_verb *verb, char ***words, struct verb_args *args,
		  GError **error)
{
	g_autofree GOptionEntry *entries = ask_options(verb, args);

	if (!options_parse_verb(verb->name, entries, words, error))
		return false;
	if (args->help)
		print_help(entries, verb);
	return true;
}

static bool check_words(const struct ask_verb *verb, const struct verb_args *args, GError **error)
{
	unsigned count = g_strv_length(args->words);

	if (count < verb->min)
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: it takes %s", verb->name, verb->words);
	if (count > verb->max)
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: %s: it takes %s", verb->name,
				args->words[verb->max], *verb->words ? verb->words : "no words");
	if (args->timeout < 0)
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: --timeout: it takes seconds, 0 or "
				"more", verb->name);
	if (args->lines < 0)
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: -n: it takes a number, 0 or more",
				verb->name);
	if (args->count < 1)
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: -n: it takes a number, 1 or more",
				verb->name);
	if (!(args->interval >= 0.1 && args->interval <= 3600))
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: --interval: it takes 0.1 to 3600 "
				"seconds", verb->name);
	return true;
}

bool ask_run(const struct ask_verb *verb, char **words, int *ret_status, GError **error)
{
	struct verb_args args = { .lines = 100, .timeout = 60, .interval = 1,
				  .count = G_MAXINT };
	g_auto(GStrv) left = g_new0(char *, g_strv_length(words) + 2);
	bool ok;

	left[0] = g_strdup(NAME);
	for (unsigned i = 0; words[i]; i++)
		left[i + 1] = g_strdup(words[i]);
	ok = parse(verb, &left, &args, error);
	if (ok && !args.help) {
		args.words = left + 1;
		ok = check_words(verb, &args, error) && verb->run(&args, error);
	}
	*ret_status = args.status;
	g_free(args.source);
	return ok;
}
