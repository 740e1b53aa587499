/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SANDBOX_TRAP_H
#define SANDBOX_TRAP_H

/*
 * SIGSYS, which the filter raises for a forbidden call: the handler writes one line with the call's
 * number to the log and ends the process with @exit_status.  While it runs SIGSYS is blocked, so a
 * forbidden call of its own, or one in a thread that has SIGSYS blocked, kills.  Returns 0 or
 * -errno.
 */
int sandbox_trap_install(int exit_status);

#endif
