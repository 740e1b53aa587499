/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_RUN_INPLACE_H
#define APPLETS_ORCHESTRATE_RUN_INPLACE_H

/*
 * A run whose QEMU takes over the process that was started: its pid, its fds, its limits.
 *
 *   the process ---fork, twice---> keeper: a session of its own, child of init (or a subreaper)
 *        | waits                     | starts the remotes, asks them
 *        | <------- one byte --------'
 *        | exec                      | relays the monitor, watches, ends the remotes
 *       QEMU                         '
 *
 * The keeper is no parent of QEMU's: it knows its end by a pipe that QEMU inherits, which is also
 * held by the process that -daemonize leaves behind, and its exit status never.
 */

#include <stdbool.h>

#include "base/error.h"

struct run;

/* Before inplace_split(): the sockets of the relays.  False with @error. */
bool inplace_prepare(struct run *run, GError **error);

/*
 * Forks the keeper.  Returns true in it.  The caller's process becomes QEMU once the keeper says
 * so, or ends with status 1 after a line on stderr.  False: there was no fork, and why is logged.
 */
bool inplace_split(struct run *run);

/* In the keeper: all remotes have answered. */
void inplace_start_qemu(struct run *run);
/* NULL-safe; closes and removes what inplace_prepare() made. */
void inplace_finish(struct run *run);

#endif
