/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_COMPLETION_H
#define APPLETS_COMPLETION_H

#include <stdbool.h>

/* One word of an applet's command line; all strings are the caller's. */
struct completion_row {
	const char *verb;	/* the option is this verb's; NULL: it always is one */
	const char *word;	/* an option without its dashes, or a verb */
	/* A verb; "-NAME ARG" as QEMU has it (and "--NAME ARG"); "--NAME=ARG"; "--NAME ARG" too. */
	enum { COMPLETION_VERB, COMPLETION_QEMU, COMPLETION_OWN, COMPLETION_BOTH } kind;
	const char *args;	/* NULL: takes none; "a|b|c": one of these; else for people */
	const char *help;	/* one line; may be NULL */
};

typedef void completion_fn(void *opaque, const struct completion_row *row);

/* Each applet calls @row for what its tables have, in the order of its help. */
void orchestrate_complete(completion_fn *row, void *opaque);
void proxy_complete(completion_fn *row, void *opaque);
void remote_complete(completion_fn *row, void *opaque);

#endif
