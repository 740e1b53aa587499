/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_PRECHECK_H
#define APPLETS_ORCHESTRATE_PRECHECK_H

/* What the remotes would find wrong with their command lines and images, before they start. */

#include <stdbool.h>

#include "base/error.h"
#include "plan/procs.h"

/*
 * Reads the command line of each mpqemu-remote as that program will, and opens its images as it
 * will: missing, too short, locked by somebody else, or the same one twice.  Everything is closed
 * again.  Remotes that are another program (QEMU, a wrapper) are left to themselves: each is alive
 * or has failed before QEMU starts.  With @note_daemons the plan gets a note for each storage
 * daemon that a remote will start, with the files that it may open.
 */
bool precheck_remotes(struct plan *plan, bool note_daemons, GError **error);

/* Can each process be held to its limits?  A child that does nothing else tries. */
bool precheck_limits(const struct plan *plan, GError **error);

#endif
