/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_VERBS_VERB_H
#define APPLETS_ORCHESTRATE_VERBS_VERB_H

/*
 * The verbs that ask running VMs: each has its options in GLib's table, which are read into one
 * struct, and what is left of its words.  What they print is for people, or JSON with --json.
 */

#include <stdbool.h>

#include <glib.h>

#include "base/error.h"

struct verb_args {
	gboolean json, follow, now, batch, all, help;
	char *source, *output, *socket;
	int lines, timeout, count;
	double interval;
	char **words;		/* VM... */
	int status;		/* the exit status, if all is well */
};

/* What a row does: args->words are as many as it says.  False with @error. */
typedef bool verb_fn(struct verb_args *args, GError **error);

struct ask_verb {
	const char *name;
	const char *words;	/* for people: "VM" */
	unsigned min, max;	/* how many of them there may be */
	const char *help;	/* one line */
	const char *options;	/* the letters of those that it has, of the table in verbs.c */
	verb_fn *run;
};

/* Up to one without a name. */
extern const struct ask_verb ask_verbs[];

/* The verb of that name, or NULL. */
const struct ask_verb *ask_find(const char *name);

/* The options of @verb in the order of the table, up to a NULL in long_name.  The caller frees. */
GOptionEntry *ask_options(const struct ask_verb *verb, struct verb_args *args);

/* Runs it with the words behind its name.  *ret_status: the exit status. */
bool ask_run(const struct ask_verb *verb, char **words, int *ret_status, GError **error);

/* list.c */
bool verb_list(struct verb_args *args, GError **error);
/* list.c */
bool verb_status(struct verb_args *args, GError **error);
/* top.c */
bool verb_top(struct verb_args *args, GError **error);
/* metrics.c */
bool verb_metrics(struct verb_args *args, GError **error);
/* stop.c */
bool verb_stop(struct verb_args *args, GError **error);
/* stop.c */
bool verb_restart(struct verb_args *args, GError **error);
/* logs.c */
bool verb_logs(struct verb_args *args, GError **error);
/* graph.c */
bool verb_graph(struct verb_args *args, GError **error);

#endif
