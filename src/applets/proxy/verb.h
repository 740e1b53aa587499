/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_PROXY_VERB_H
#define APPLETS_PROXY_VERB_H

/*
 * What mpqemu-proxy can be told to do: one row a verb.  To add one, write a file with its row and
 * put that into the table of args.c; the usage text follows from it.
 */

#include <stdbool.h>

#include "base/error.h"
#include "client/client.h"
#include "plan/opts.h"

/* Exit statuses, as in mpqemu-proxy(1). */
enum { PROXY_EXIT_OK, PROXY_EXIT_USAGE, PROXY_EXIT_REMOTE, PROXY_EXIT_DIFFERENT };

/* Which remote, and which of its devices. */
struct proxy_target {
	char *const *command;		/* what stands behind "--"; or NULL */
	const char *socket;		/* --socket; or NULL */
	int fd;				/* --fd; or -1 */
	enum client_protocol protocol;	/* of --socket or --fd */
	const char *device;		/* --device; or NULL */
	struct client_metrics *metrics;	/* what clients count in; or NULL */
};

/* The command line, while it is read and afterwards.  All strings are argv's. */
struct proxy_args {
	bool help, version;
	bool protocol_named;
	bool metrics, metrics_json;	/* --metrics */
	struct proxy_target target;
	const struct proxy_verb *verb;
	int verb_index;			/* argv's */
	void *data;			/* the verb's own */
};

struct proxy_verb {
	const char *name;
	const char *form;		/* what follows the name, for the usage text; or NULL */
	const char *help;		/* what it does, one line */
	/* Its own options, beside the common ones; handlers get struct proxy_args.  May be NULL. */
	const struct option_def *options;
	/* Makes args->data; NULL-safe.  Both may be NULL. */
	void *(*create)(const struct proxy_verb *verb);
	void (*destroy)(void *data);
	/* A word behind the verb that is no option; NULL: it takes none. */
	bool (*word)(struct proxy_args *args, const char *word, GError **error);
	/* Is the command line one that can be run?  May be NULL. */
	bool (*check)(const struct proxy_args *args, GError **error);
	/* Needs none of "-- COMMAND", --socket and --fd, and looks itself at what is there. */
	bool own_target;
	/* Does it: a PROXY_EXIT_..., which an @error that is set takes precedence of. */
	int (*run)(const struct proxy_args *args, GError **error);
};

extern const struct proxy_verb verb_info, verb_read, verb_write, verb_cfg, verb_disk, verb_bench;
extern const struct proxy_verb verb_record, verb_replay;

/* For the --json, --force and so on of verbs: a row for a value in its own word, and behind "=". */
#define PROXY_OPTION(name, handler, args, help)                                                \
	{ name, OPTION_HAS_ARG, handler, args, help, 0 },                                      \
	{ name, OPTION_HAS_ARG | OPTION_OWN, handler, NULL, NULL, 0 }
#define PROXY_OPTIONS_END { NULL, 0, NULL, NULL, NULL, 0 }

#endif
