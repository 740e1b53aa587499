/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_HOTPLUG_HOTPLUG_H
#define APPLETS_ORCHESTRATE_HOTPLUG_HOTPLUG_H

/* The verbs attach, detach and migrate, of any QEMU whose QMP socket is given. */

#include <signal.h>
#include <stdbool.h>

#include "applets/completion.h"
#include "applets/orchestrate/hotplug/link.h"
#include "plan/rewrite/rewrite.h"

/* What the command line of such a verb says. */
struct hotplug_args {
	char *qmp;		/* --qmp: the socket of any QEMU */
	struct hotplug_target target;	/* that, or a VM's control socket; its texts are owned */
	char *protocol_word, *on_error, *sandbox, *events;	/* of the remote */
	char *remote_program;
	char *log;		/* where the background writes, or NULL */
	int timeout;		/* s, for QEMU and the remote */
	int guest_timeout;	/* s, for the guest to let go */
	gboolean foreground;
	enum rewrite_protocol protocol;
	char **words;		/* behind the options; attach: "attach", then QEMU's */
	struct sigaction sigpipe;	/* what SIGPIPE does in children */
};

/* Is it one of them? */
bool hotplug_is_verb(const char *word);

/* @argv: the verb, and what stands behind it.  Returns the exit status. */
int hotplug_main(int argc, char **argv, const struct sigaction *sigpipe);

/* The verbs and their options. */
void hotplug_complete(completion_fn *row, void *opaque);

/* attach.c; in the caller's process it does not return but with --foreground.  The exit status. */
int hotplug_attach(const struct hotplug_args *args);
/* detach.c: the exit status. */
int hotplug_detach(const struct hotplug_args *args);
/* migrate.c: the exit status. */
int hotplug_migrate(const struct hotplug_args *args);

#endif
