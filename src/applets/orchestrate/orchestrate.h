/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_ORCHESTRATE_H
#define APPLETS_ORCHESTRATE_ORCHESTRATE_H

/*
 * One run of mpqemu-orchestrate: what the command line, or a VM's file, asks for.  Both fill this,
 * and go the same way from there.
 */

#include <stdbool.h>

#include <glib.h>

#include "applets/completion.h"
#include "applets/orchestrate/run/run.h"
#include "base/error.h"
#include "plan/rewrite/rewrite.h"
#include "plan/vm/vm.h"

#define NAME "mpqemu-orchestrate"

struct orchestrate {
	/* options */
	char **remote, **local;		/* each may hold "ID,ID" */
	char **remote_commands;		/* shell text */
	char *remote_program;
	char *on_remote_exit;
	char *on_error, *on_crash, *watchdog, *events, *sandbox, *numa;	/* of the remotes */
	char *protocol_word;
	enum rewrite_protocol protocol;
	char **device, **drive, **blockdev, **object, **add_fd;	/* of Cloud Hypervisor */
	int start_timeout, shutdown_timeout;
	char *name, *control, *metrics, *pidfile, *log_file;
	gboolean daemonize, log_json;
	gboolean dry_run, version;
	char *help;			/* the text, when --help asks for it */
	/* what follows from them and the rest of the command line */
	GPtrArray *remotes;		/* char **: argv of each explicit remote */
	char **qemu;
	struct run_options run;
	int status;			/* exit status that goes with the error, or 0 */
	int log_fd, pid_fd;		/* owned, or -1 */
	bool pid_written;
	struct vm *vm;			/* the file that all this comes from, or NULL */
};

/* GLib's table, which the caller frees; what the options set is @self's and @help. */
GOptionEntry *options_new(struct orchestrate *self, gboolean *help);

/* Which of "a|b|c" is it?  -1: none. */
int options_word(const char *word, const char *list);

/* Is it not given (NULL), or one of the list? */
bool options_check_word(const char *option, const char *word, const char *list, GError **error);

/* Takes the options of a verb out of *words, which begins with a name; it is replaced. */
bool options_parse_verb(const char *verb, const GOptionEntry *entries, char ***words,
			GError **error);

/* Tells of each option of the verb (NULL: ours) for completion. */
void options_complete(const char *verb, const GOptionEntry *entries, completion_fn *row,
		      void *opaque);

/* A table of a verb's options for a screen of 80 columns; the caller frees. */
char *options_table(const GOptionEntry *entries);

/* Help of the context's options, in ASCII; the caller frees. */
char *options_help(GOptionContext *context);

/* Takes the options out of @argv, which has our name first.  --help leaves its text. */
bool options_parse(struct orchestrate *self, char ***argv, GError **error);

/*
 * Sets up this process and @self; lines of the log start with @prog.  False, after logging why: it
 * cannot be.
 */
bool orchestrate_init(struct orchestrate *self, const char *prog);
void orchestrate_finish(struct orchestrate *self);

/* Checks what the options say, and keeps what follows from it. */
bool orchestrate_check(struct orchestrate *self, GError **error);

/* Plans, checks the plan, and runs it or, with dry_run, prints it. */
bool orchestrate_run(struct orchestrate *self, GError **error);

/* start and check: takes all from the file. */
bool orchestrate_read_vm(struct orchestrate *self, const char *path, GError **error);

/* import: the file that says the same, on stdout. */
bool orchestrate_import(struct orchestrate *self, GError **error);

#endif
