/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SANDBOX_MOUNTS_PRIV_H
#define SANDBOX_MOUNTS_PRIV_H

/* What isolate.c and root.c share: a root in place of the file system. */

#include <stdbool.h>

#include "sandbox/level.h"

/*
 * Is there a root of its own at @level?  At SANDBOX_CONTAINER it may be that the container gives
 * no right to one: then Landlock has to do.  If so, the mount namespace is there.
 */
bool sandbox_may_mount(enum sandbox_level level);
/* Is @err, of the first mount, the container's way to say so? */
bool sandbox_mount_refused(enum sandbox_level level, int err);

/* Nothing that is mounted from now on is seen outside.  0 or -errno. */
int sandbox_private_mounts(void);

/*
 * The working directory becomes the root, read-only.  The old root ends up on top of it, and is
 * taken away.  0 or -errno.
 */
int sandbox_pivot(void);

/* Says what failed (SANDBOX_WHY bytes), and what stands in the way on this host.  Returns @err. */
int sandbox_mount_obstacle(int err, const char *what, char *why);

#endif
