/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SANDBOX_ROOT_H
#define SANDBOX_ROOT_H

/*
 * A root in which nothing is but what a program of others needs: an empty read-only file system
 * with bind mounts.  In place of sandbox_enter_root() (isolate.h).
 */

#include <stdbool.h>
#include <stddef.h>

#include "sandbox/isolate.h"

enum sandbox_bind_flags {
	SANDBOX_BIND_WRITE = 1,
	SANDBOX_BIND_RUN = 2,		/* programs and libraries */
};

/*
 * A file or a tree that is at the same path in the new root, whatever symbolic links were on the
 * way; read-only without SANDBOX_BIND_WRITE (a device of a read-only bind can be written all the
 * same: Landlock prevents that).  A path where nothing is stays so.
 */
struct sandbox_bind {
	char *path;		/* absolute, or relative to @cwd */
	unsigned flags;		/* of enum sandbox_bind_flags */
};

/*
 * Enters the new root.  @cwd, absolute and the working directory until now, is so afterwards; what
 * comes later in @bind stands above what comes before.  At levels without a root of their own, and
 * in a container that does not allow it, *ret_own_root is false and nothing happened.
 * Async-signal-safe.  Returns 0, or -errno with what failed in @why (SANDBOX_WHY bytes).
 */
int sandbox_enter_binds(enum sandbox_level level, const struct sandbox_bind *bind, size_t count,
			const char *cwd, bool *ret_own_root, char *why);

#endif
