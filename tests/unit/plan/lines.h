/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TEST_PLAN_LINES_H
#define TEST_PLAN_LINES_H

/*
 * Hostile command lines through each of the parsers: a plan or an error comes out, never both and
 * never neither, and a plan can be written out.  @argv is NULL-terminated, argv[0] a program's
 * name.  They return whether there was a plan.
 */

#include <stdbool.h>

#include <glib.h>

#include "plan/remote.h"

bool line_try_remote(char **argv);
/* @remote, @local: an id that is to move, or to stay; or NULL. */
bool line_try_move(char **argv, char *remote, char *local);
/* Remotes and QEMU, each one's words up to a "---". */
bool line_try_join(char **argv);

/* Options of mpqemu-remote, split as a shell does: as remote_plan_parse(). */
bool line_parse(const char *line, struct remote_plan *plan, GError **error);

struct line_refused {
	const char *line;
	enum mpq_error code;
	const char *error;	/* NULL: any one line */
};

void line_assert_refused(const struct line_refused *row);

#endif
