/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QMP_SCHEMA_H
#define QMP_SCHEMA_H

/* query-qmp-schema, out of the tables of commands: QEMU's qapi/introspect.json. */

#include "qmp/server.h"

/* The entries for these commands and events (up to one without a name, a NULL); @list gets them. */
void qmp_schema_add(json_t *list, const struct qmp_command *commands, const char *const *events);

/* The types that every schema has. */
void qmp_schema_add_types(json_t *list);

#endif
