/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BASE_SERVICE_H
#define BASE_SERVICE_H

/* A process that goes on in the background, and the file that has its pid: QEMU's two options. */

#include "base/error.h"

/*
 * -daemonize: the caller's process waits until service_release() is called in the other one, then
 * exits with 0; or, if that ends before, exits with its status.  Returns 0 in the other one, which
 * has a session of its own, /dev/null as stdin and stdout, the caller's stderr until it is
 * released, and *ret_parent to be released by; or -errno.
 */
int service_fork(int *ret_parent);
/*
 * Ours works: stderr becomes /dev/null, if it is not to be kept.  *parent -1: nobody waits.
 * Returns 0 or -errno.
 */
int service_release(int *parent, bool keep_stderr);

/*
 * -pidfile: opens and locks it, so that one process at a time has it.  -1 with @error, in QEMU's
 * words.  service_write_pid() is for when all else is well; the file is the caller's to remove.
 */
int service_pidfile(const char *path, GError **error);
/* Returns 0 or -errno. */
int service_write_pid(int fd);

#endif
