/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SANDBOX_PRELOAD_H
#define SANDBOX_PRELOAD_H

/*
 * A program of others gets a system-call filter that does not even let it execute: the module
 * mpqemu-preload.so, which stands in LD_PRELOAD, loads it when the program's libraries are there
 * and nothing of its own has run yet.  The filters are files of struct sock_filter (filter_write())
 * at these fds, which the module closes.  It also ends with its parent, in order: SIGTERM comes
 * when that dies, and has an effect on the first process of a pid namespace too.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The first of the fds; those at which the program dies go first. */
#define SANDBOX_PRELOAD_FD 4
#define SANDBOX_PRELOAD_COUNT 2

/* Where another module than the installed one is, for tests: a path. */
#define SANDBOX_PRELOAD_ENV "MPQEMU_PRELOAD_MODULE"

/* The module of the build tree goes before the installed one.  0, or -ENOENT: there is none. */
int sandbox_preload_find(char *path, size_t size);

/*
 * Has @pid, our child, the module's filters beside those that we have and it inherited (a
 * container's, a service manager's), as /proc says?  False also when that cannot be told.
 */
bool sandbox_is_filtered(pid_t pid);
/* The same, of the two files of /proc. */
bool sandbox_status_filtered(const char *own, const char *its);

#endif
