/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TEST_PLAN_LINES_H
#define TEST_PLAN_LINES_H

/*
 * Hostile command lines through each of the parsers: a plan or an error comes out, never both and
 * never neither, and a plan can be written out.  @argv is NULL-terminated, argv[0] a program's
 * name.  They return whether there was a plan.
 */

#include <stdbool.h>

bool line_try_remote(char **argv);
/* @remote, @local: an id that is to move, or to stay; or NULL. */
bool line_try_move(char **argv, char *remote, char *local);
/* Remotes and QEMU, each one's words up to a "---". */
bool line_try_join(char **argv);

#endif
