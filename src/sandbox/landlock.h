/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SANDBOX_LANDLOCK_H
#define SANDBOX_LANDLOCK_H

/*
 * Landlock (Linux 5.13 on, landlock(7)): what a process may still open, connect and signal.  A
 * kernel without it, or a container that forbids it, is no error here: callers say so.
 */

#include <stdbool.h>
#include <stdint.h>

/* Rights below a path.  Those that the kernel does not know yet are left out. */
#define LANDLOCK_READ_FILE	(1ULL << 2)
#define LANDLOCK_READ_TREE	(LANDLOCK_READ_FILE | 1ULL << 3)
#define LANDLOCK_RUN_TREE	(LANDLOCK_READ_TREE | 1ULL << 0)
#define LANDLOCK_WRITE_FILE	(1ULL << 1 | 1ULL << 14)	/* and truncate */
#define LANDLOCK_REMOVE_FILE	(1ULL << 5)
#define LANDLOCK_USE_DEVICE	(1ULL << 15)			/* ioctl */

/* The version of the kernel's interface, or 0. */
int sandbox_landlock_abi(void);

/*
 * A set of rules that denies every access of the file system, TCP, abstract sockets and signals to
 * processes outside, as far as the kernel knows them.  @net: TCP stays allowed.  @scoped: false:
 * so do abstract sockets and signals.  Returns an fd (CLOEXEC), which the caller owns, or -errno.
 */
int sandbox_landlock_create(bool net, bool scoped);

/* Allows @access below @path.  A path that is not there needs no rule.  Returns 0 or -errno. */
int sandbox_landlock_allow(int ruleset, const char *path, uint64_t access);

/* Enters it, with no_new_privs: this thread, and what it starts from now on.  0 or -errno. */
int sandbox_landlock_enter(int ruleset);

#endif
