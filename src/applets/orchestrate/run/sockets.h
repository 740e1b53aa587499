/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_RUN_SOCKETS_H
#define APPLETS_ORCHESTRATE_RUN_SOCKETS_H

/*
 * The sockets with a path over which a VMM finds its remotes (vfio-user).  QEMU's and Cloud
 * Hypervisor's clients take a path alone, no fd: so it is in a directory that nobody else may
 * enter, and whoever listens got the socket from here.
 */

#include "base/error.h"
#include "plan/procs.h"

/*
 * Where such a directory is made: the path that ends in PLAN_SOCKET_DIR, in XDG_RUNTIME_DIR,
 * /run/user/UID, TMPDIR or /tmp, the first that is there and can be written.  The caller frees.
 */
char *sockets_dir(void);

/*
 * Makes the plan's directory, if it has one, and writes its name into the plan.  *ret_made is its
 * path, or NULL; sockets_remove_dir() removes it and frees the path.
 */
bool sockets_make_dir(struct plan *plan, char **ret_made, GError **error);
void sockets_remove_dir(char *made);

/* How many clients may wait for a remote: one at a time is served, and no more than one waits. */
#define SOCKETS_BACKLOG 4

/* A socket that listens on @path, for its owner alone (0600).  The fd, or -errno. */
int sockets_listen(const char *path, int backlog);

/* A connection to it.  The fd, or -errno. */
int sockets_connect(const char *path);

#endif
