/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_PROXY_LAUNCH_H
#define APPLETS_PROXY_LAUNCH_H

/*
 * A remote for the sake of its devices: started by a command whose own -object options say at which
 * fds it expects its sockets and where it listens, or one that runs already.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "client/client.h"

#define REMOTE_MAX_DEVICES 8

/*
 * QEMU's own remote goes on answering before its power-on reset for as long as it finds the next
 * message at once, and what was written till then is lost (docs/upstream-bugs.md, row 20).  A
 * pause of this many ms after the first answer, and it is reset before it hears of us again.
 */
#define REMOTE_START_PAUSE_MS 20

struct remote_device {
	char *devid;
	enum client_protocol protocol;
	int fd;			/* our end; owned; -1: not connected */
	int remote_fd;		/* its end, until it has been started; owned; -1 */
	unsigned number;	/* where the command expects that */
	char *path;		/* where the remote listens; or NULL */
};

struct remote_process {
	pid_t pid;		/* -1: not ours */
	unsigned count;
	struct remote_device device[REMOTE_MAX_DEVICES];
};

/*
 * The devices that the command @argv (NULL at the end) says, each with a socket or a path.  False
 * with @error set: there is none, or another server is where the remote is going to listen.
 * remote_process_finish() in any case.
 */
bool remote_process_read(struct remote_process *rp, char *const *argv, GError **error);

/*
 * Starts that command, with a socket at each fd that it names.  One that listens gets SIGTERM when
 * the calling thread ends, whatever ends it.
 */
bool remote_process_start(struct remote_process *rp, char *const *argv, GError **error);

/* A remote that runs already: one device, at @path or, when that is NULL, behind @fd. */
bool remote_process_attach(struct remote_process *rp, enum client_protocol protocol,
			   const char *path, int fd, GError **error);

/*
 * Makes device[i].fd a connected socket: waits for a process of ours to listen, @timeout_ms at the
 * most.  Its end ends the wait.
 */
bool remote_process_connect(struct remote_process *rp, unsigned i, int timeout_ms, GError **error);

/*
 * Closes what is left of our ends, which ends a remote; one that listens is told to end.  Waits for
 * it; after five seconds it is killed.  Returns its exit status, 128 + N after signal N; 0 for one
 * that is not ours, or that ended by the signal that it was sent.
 */
int remote_process_finish(struct remote_process *rp);

#endif
