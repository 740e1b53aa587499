/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_PROXY_ARGS_H
#define APPLETS_PROXY_ARGS_H

/* The command line of mpqemu-proxy. */

#include <stdbool.h>
#include <stdio.h>

#include "applets/proxy/verb.h"
#include "base/error.h"

/* All strings stay argv's.  proxy_args_finish() also after a failure, which is MPQ_ERROR_USAGE. */
bool proxy_args_parse(struct proxy_args *args, int argc, char *const *argv, GError **error);
void proxy_args_finish(struct proxy_args *args);

/* What -help prints: of a verb, or with NULL of all.  A screen of 80x24 takes either. */
void proxy_usage(FILE *out, const struct proxy_verb *verb);

#endif
