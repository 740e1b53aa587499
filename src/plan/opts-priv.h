/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PLAN_OPTS_PRIV_H
#define PLAN_OPTS_PRIV_H

/* Between the files of the option parser. */

#include "plan/opts.h"

/* Appends; takes over @key and @value. */
struct opt *opt_append(struct opt_set *set, char *key, char *value, enum opt_type type);

/* Fills @set from the JSON object in @text. */
bool opt_json_parse(struct opt_set *set, const char *text, GError **error);

#endif
