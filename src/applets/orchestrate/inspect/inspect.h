/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_INSPECT_INSPECT_H
#define APPLETS_ORCHESTRATE_INSPECT_INSPECT_H

/*
 * mpqemu-orchestrate inspect PID --security: how far a process is shut in, as the kernel tells it
 * to others in /proc.  No word of it is the process's own.
 */

#include <stdbool.h>
#include <sys/types.h>

#include <glib.h>

#include "applets/completion.h"

/* The exit status: all is there that has to be; a part is missing, or cannot be seen. */
#define INSPECT_OK 0
#define INSPECT_MISSING 1

/*
 * Looks at the process @pid and prints a page on stdout, or with @json one object.  Of a keeper the
 * device process and the storage daemon are looked at, which are its children.  *ret_status: one of
 * the above.  False with @error when there is no such process, or nobody takes what is printed.
 */
bool inspect_pid(pid_t pid, bool json, int *ret_status, GError **error);

/* The verb: @words is what stands behind it.  *ret_status as above; 0 after --help. */
bool inspect_run(char *const *words, int *ret_status, GError **error);

/* Calls @row for the verb's options. */
void inspect_complete(completion_fn *row, void *opaque);

#endif
