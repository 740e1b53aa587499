/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_PROXY_INFO_H
#define APPLETS_PROXY_INFO_H

/* The forms that the verb info prints its facts in. */

#include <jansson.h>

#include "applets/proxy/info/facts.h"
#include "applets/proxy/session.h"

/* For people. */
void info_text(const struct session *session, const struct facts *facts);

/*
 * One device as a JSON object, which the caller owns (jansson).  The keys are in mpqemu-proxy(1).
 */
json_t *info_json(const struct session *session, const struct facts *facts);

/* Config space as "lspci -x" prints it and "lspci -F" reads it, of function @slot:00.0. */
int info_lspci(struct session *session, const struct facts *facts, unsigned slot);

#endif
