/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SANDBOX_ISOLATE_H
#define SANDBOX_ISOLATE_H

/*
 * The stages in which a process gives up what it has.  A device process goes through all of them:
 *
 *   keeper:  sandbox_clone()        a child in namespaces of its own, which waits;
 *            sandbox_clone_map()    its users are mapped, it goes on
 *   child:   sandbox_clone_wait()   has all rights inside its namespaces
 *   device:  sandbox_enter_root()   no file system: an empty read-only root
 *            sandbox_drop()         no capability, not root, no_new_privs, Landlock, not dumpable
 *            sandbox_limit()        resource limits
 *            filter_load()          system calls (filter.h)
 *
 * Each stage returns 0 or -errno with what failed in @why (SANDBOX_WHY bytes), and checks what it
 * did: a process goes on only when it is as the level promises.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sandbox/level.h"

#define SANDBOX_WHY 256

/* The user and group that a device process of root becomes: nobody's. */
#define SANDBOX_NOBODY 65534

/* What a child in namespaces shares with its parent all the same. */
enum sandbox_share {
	SANDBOX_SHARE_NOTHING = 0,
	SANDBOX_SHARE_NET = 1,		/* the network */
	SANDBOX_SHARE_USERS = 2,	/* root's: all users, under their own numbers */
	SANDBOX_SHARE_PARENT = 4,	/* it is its caller's sibling: our parent waits for it */
};

/*
 * fork(), at SANDBOX_STRICT into new user, mount, pid, network, IPC, UTS and cgroup namespaces.
 * The child must do nothing but what is async-signal-safe, first of it sandbox_clone_wait().
 * @go: a pipe, O_CLOEXEC, through which the child is told to go on.  @share: bits of enum
 * sandbox_share, the same for both.  Returns as fork(), or -errno.
 */
pid_t sandbox_clone(enum sandbox_level level, unsigned share);

/* What to say of a sandbox_clone() that failed with @err at SANDBOX_STRICT. */
void sandbox_clone_obstacle(int err, char *why);

/* Parent: maps the child's users (root and nobody, or the caller's own), and lets it go on. */
int sandbox_clone_map(enum sandbox_level level, unsigned share, pid_t child, int go[2], char *why);
/* Child: waits for it.  -EPIPE: the parent has given up. */
int sandbox_clone_wait(int go[2]);

/*
 * Could this process, without its capabilities, make and remove files in @folder?  A kernel that
 * cannot tell (before Linux 5.8) says no.
 */
bool sandbox_may_write(const char *folder);

/* What was reached; for the line that says so. */
struct sandbox_status {
	bool own_root;		/* an empty one */
	bool landlock;
	unsigned uid;
	unsigned names, limited;	/* system calls; 0: no filter */
};

/*
 * An empty, read-only root in place of the file system.  At SANDBOX_CONTAINER it may be that the
 * container gives no right to do so: then Landlock has to do (sandbox_drop() fails without it).
 */
int sandbox_enter_root(enum sandbox_level level, struct sandbox_status *status, char *why);

/* Before any other thread is there: Landlock is a thread's. */
int sandbox_drop(enum sandbox_level level, struct sandbox_status *status, char *why);

/* Is the capability of that number in effect? */
bool sandbox_has_cap(unsigned cap);

/*
 * For a program of others that is executed next: the capabilities of @keep (bits; those that are
 * not there are left out), which nothing can add to, and no_new_privs.
 */
int sandbox_drop_program(uint64_t keep, char *why);

/* What a device process of that size needs. */
struct sandbox_limits {
	unsigned fds;			/* numbers */
	uint64_t file_size;		/* bytes that a file may grow to: the largest image */
	uint64_t address_space;		/* bytes; 0: as it is */
};

/* Lowers the limits to @limits, and to nothing what a device process has no use for. */
int sandbox_limit(const struct sandbox_limits *limits, char *why);

/*
 * For the keeper: no capability but those of @keep (bits) that it has, no_new_privs, not dumpable.
 */
int sandbox_drop_keeper(uint64_t keep, char *why);

#endif
