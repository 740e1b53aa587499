/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PLAN_REWRITE_PRIV_H
#define PLAN_REWRITE_PRIV_H

/* Between the files of the rewriting. */

#include "plan/rewrite-cmd.h"
#include "plan/rewrite.h"

/*
 * Guest RAM becomes shared memfds where @convert, and is only checked where not; a missing
 * -machine memory-backend= is added either way.
 */
bool rewrite_memory(struct qcmd *cmd, struct plan *plan, bool convert, GError **error);

/*
 * Refuses what cannot work with these devices; adds warnings to the plan.  The command line is the
 * one that QEMU will get.  @qemu_remote: QEMU's own x-remote is among the remotes.
 */
bool rewrite_check(const struct qcmd *cmd, struct plan *plan, const struct rewrite_facts *facts,
		   bool qemu_remote, GError **error);

/* Is @fd an inherited, open one? */
bool rewrite_is_busy(const struct rewrite_facts *facts, int fd);

/* Writes the options that belong to @owner (and its copies) to @argv. */
bool rewrite_emit(const struct qcmd *cmd, int owner, GPtrArray *argv, GError **error);

/* The id of the -chardev of QEMU's over which the remote that serves @device can stop the VM. */
char *rewrite_qmp_chardev(const char *device);

/* An id that no option of that name has: "mem", "mem1", ...  The caller frees. */
char *rewrite_new_id(const struct qcmd *cmd, const char *name, const char *stem);

#endif
