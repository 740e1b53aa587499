/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QMP_CHECK_H
#define QMP_CHECK_H

/* What a server's client sends, held against QMP and the command's table. */

#include "qmp/server.h"

/* "string" and its like, as QEMU's errors and its schema name them. */
const char *qmp_type_name(enum qmp_type type);

/* Is @text a command, as QMP has them?  NULL, or what is wrong, which the caller frees. */
char *qmp_check_text(const json_t *text);

/* Are these arguments of the command?  As above.  @args: an object, or NULL. */
char *qmp_check_args(const struct qmp_command *command, const json_t *args);

#endif
