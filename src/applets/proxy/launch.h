/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_PROXY_LAUNCH_H
#define APPLETS_PROXY_LAUNCH_H

/*
 * A remote that was started for its devices: the command's own x-remote-object options say at which
 * fds it expects its sockets.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

#define REMOTE_MAX_DEVICES 8

struct remote_process {
	pid_t pid;
	unsigned count;
	struct {
		char *devid;
		int fd;		/* our end; owned */
	} device[REMOTE_MAX_DEVICES];
};

/*
 * Starts @argv (NULL at the end) with a socket at each fd that its -object x-remote-object names.
 * False with @error set: no such option, the command cannot be run.
 */
bool remote_process_start(struct remote_process *rp, char *const *argv, GError **error);

/*
 * Closes what is left of our ends, which ends a remote, and waits for it; after five seconds it is
 * killed.  Returns its exit status, 128 + N after signal N.
 */
int remote_process_finish(struct remote_process *rp);

#endif
