/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_RUN_CHILD_H
#define APPLETS_ORCHESTRATE_RUN_CHILD_H

/*
 * One child process of the orchestrator: fork, fds in place, exec, and how it ended.
 *
 * A child is a pid and a pidfd; it is reaped exactly once, by child_reap().  Until then its pid
 * cannot be reused, and signals go through the pidfd.
 */

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "plan/proclimits.h"

/* An fd of ours that the child gets under the number @slot. */
struct child_fd {
	int fd;
	int slot;
};

enum child_stdio {
	CHILD_STDIO_OURS,	/* stdin, stdout, stderr, terminal and process group as ours */
	CHILD_STDIO_SERVICE,	/* stdin /dev/null, stdout on stderr, a process group of its own */
};

struct child_setup {
	char **argv;
	const struct child_fd *fds;
	unsigned fd_count;
	/* Inherited fds that stay open: all of them, or just these. */
	bool keep_all;
	const int *keep;
	unsigned keep_count;
	const int *drop;	/* not these, after all */
	unsigned drop_count;
	enum child_stdio stdio;
	int stderr_fd;		/* its stderr; 0 or -1: as ours */
	const sigset_t *sigmask;	/* the signal mask that it starts with */
	const struct sigaction *sigpipe;	/* what SIGPIPE does in it */
	int cgroup;		/* cgroup.procs of its control group; 0: as ours */
	const struct plan_limits *limits;	/* what it is held to, or NULL */
};

struct child {
	pid_t pid;	/* 0: not running (never started, or reaped) */
	int pidfd;
	int status;	/* after child_reap(): as a shell reports it, 128 + N for signal N */
	int signal;	/* after child_reap(): what killed it, or 0 */
	bool core;
};

#define CHILD_INIT { .pidfd = -1 }

/*
 * Starts @setup->argv[0], looked for in PATH as a shell does.  The child gets SIGTERM when the
 * calling thread dies.  Returns when the new program runs: 0, or -errno, and in *ret_where
 * (static text) which step failed; then no child is left.
 */
int child_start(struct child *child, const struct child_setup *setup, const char **ret_where);

/*
 * Runs the program in this process, which keeps its parent and its stdin, stdout and stderr.
 * Returns only when that fails: -errno, and in *ret_where (static text) which step did ("exec").
 * The fds are not as they were then.
 */
int child_become(const struct child_setup *setup, const char **ret_where);

/* Has it ended?  Never blocks; when it has, reaps it, closes the pidfd and sets status. */
bool child_reap(struct child *child);

/* Waits up to @timeout_ms for the end (-1: for ever) and reaps.  Returns false on time-out. */
bool child_wait(struct child *child, int timeout_ms);

/*
 * Would a child be held to these limits?  0, or -errno and in *ret_which (static text) the limit;
 * -ENXIO: a CPU or node is not there, or not for us; -ENOSYS: the kernel has no NUMA.
 */
int child_try_limits(const struct plan_limits *limits, const char **ret_which);

/* Sends a signal; nothing when the child is not running. */
void child_kill(struct child *child, int sig);

/* "ended with exit status 1": how, for people, after child_reap().  The caller frees. */
char *child_describe_end(const struct child *child);

#endif
