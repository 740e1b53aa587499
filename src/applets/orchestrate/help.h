/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_HELP_H
#define APPLETS_ORCHESTRATE_HELP_H

#include <stdbool.h>

/*
 * VERB --help on stdout, which a screen of 80x24 takes.  False: the verb (or NULL, none) has no
 * page of its own.
 */
bool help_print(const char *verb);

#endif
