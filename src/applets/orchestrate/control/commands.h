/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_CONTROL_COMMANDS_H
#define APPLETS_ORCHESTRATE_CONTROL_COMMANDS_H

#include "qmp/server.h"

/* What a VM's control socket takes; the opaque of each is its struct run. */
extern const struct qmp_command control_commands[];
/* The events that come over it, beside QEMU's own. */
extern const char *const control_events[];

#endif
