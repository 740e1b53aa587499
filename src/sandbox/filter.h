/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SANDBOX_FILTER_H
#define SANDBOX_FILTER_H

/*
 * System-call filters as tables.  One row allows one call, and says what its arguments must be and
 * which feature needs it; everything that no row allows is forbidden.  The same rows make the
 * seccomp program, the report for people, and the proof: from each limited argument follow values
 * that must be refused.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILTER_MAX_ARGS 6

/* What an argument is compared with: sets of values that only the process itself knows. */
enum filter_set_id {
	FILTER_LOG,		/* fd of the log */
	FILTER_CONTROL,		/* fd of the control channel */
	FILTER_PEER,		/* fds of the peers */
	FILTER_IMAGE,		/* fds of images, which are never closed */
	FILTER_NBD_SOCKET,	/* libnbd's fds; their numbers are never used again */
	FILTER_RECEIVED,	/* numbers that fds from peers get */
	FILTER_EPOLL,		/* fd of the event loop */
	FILTER_POOL,		/* eventfd of the block pool */
	FILTER_ARENA,		/* addresses where guest memory may be mapped */
	FILTER_CHILD,		/* pidfds of the keeper's children */
	FILTER_MONITOR,		/* fd of the VM's monitor */
	FILTER_LISTENER,	/* sockets where the keeper accepts clients */
	FILTER_MANAGE,		/* fd of the monitor's channel, the keeper's end */
	FILTER_JOURNAL,		/* fds of the journals, whose offset is a mark */
	FILTER_SELF,		/* pid of a storage daemon, as it knows it */
	FILTER_SET_COUNT,
};

/* The values with (value & mask) == base. */
struct filter_set {
	uint64_t mask, base;
};

/* What this process is given: rows that need other features are left out. */
enum filter_feature {
	FILTER_ALWAYS = 0,
	FILTER_RAW = 1,		/* a raw image */
	FILTER_DEVICE = 2,	/* a raw image on a block device */
	FILTER_NBD = 4,		/* a disk behind NBD: libnbd, which allocates for each command */
	FILTER_DAEMON = 8,	/* keeper: storage daemons to end */
	FILTER_PIDFILE = 16,	/* keeper: a pid file to remove */
	FILTER_QMP = 32,	/* keeper: the VM's monitor, to connect to by its path */
	FILTER_OFFLINE = 64,	/* storage daemon: its graph is all files, */
	FILTER_UNIX = 128,	/* it has a server on a UNIX socket, */
	FILTER_INET = 256,	/* on the network, */
	FILTER_VSOCK = 512,	/* or beyond the virtual machine that this is, */
	FILTER_UNIX_TOO = 1024,	/* besides one on a UNIX socket */
	FILTER_SETUP = 2048,	/* device: it is not done with its set-up */
	FILTER_LISTEN = 4096,	/* clients come one after the other: accepted here, served there */
	FILTER_SOCKET_PATH = 8192,	/* keeper: sockets' paths to remove */
	FILTER_MONITOR_CLIENTS = 16384,	/* keeper: clients of its own monitor */
	FILTER_MANAGED = 32768,	/* device: disks and media come and go */
	FILTER_RECOVER = 65536,	/* device processes have successors */
};

struct filter_env {
	struct filter_set set[FILTER_SET_COUNT];
	uint64_t arena_size;		/* bytes that a mapping may have at most */
	unsigned features;		/* of enum filter_feature */
};

enum filter_op {
	FILTER_ANY,		/* no comparison: the end of a row's list */
	FILTER_EQ,		/* equal to value */
	FILTER_NOT,		/* anything but value */
	FILTER_LOW,		/* the low 32 bits are value: all that the kernel sees of an int */
	FILTER_BITS,		/* no bit outside value */
	FILTER_IN,		/* inside set number value */
	FILTER_LENGTH,		/* at most arena_size */
};

struct filter_arg {
	uint8_t index;		/* of the argument, from 0 */
	uint8_t op;		/* enum filter_op */
	const char *name;	/* as in the call's manual page */
	uint64_t value;
};

struct filter_rule {
	int nr;
	const char *call;
	unsigned needs;		/* of enum filter_feature; 0: always there */
	struct filter_arg arg[FILTER_MAX_ARGS];
	const char *why;	/* the feature that needs it */
};

struct filter_table {
	const struct filter_rule *rule;
	size_t count;
};

/* What a device process may call, and what is left to its keeper once that one serves. */
extern const struct filter_table filter_device, filter_keeper;

/* What a storage daemon may call, and, beyond what is not allowed, at what it dies. */
extern const struct filter_table filter_storage, filter_storage_fatal;

/* Does this process have what the row is for? */
bool filter_rule_active(const struct filter_rule *rule, const struct filter_env *env);

/* Would the filter let this call through? */
bool filter_allows(const struct filter_table *table, const struct filter_env *env, int nr,
		   const uint64_t arg[FILTER_MAX_ARGS]);

/* How many calls are allowed by name, and how many of them with limited arguments only. */
unsigned filter_names(const struct filter_table *table, const struct filter_env *env,
		      unsigned *ret_limited);

struct sock_filter;

/* A filter as the kernel takes it; x_init is filter_compile(). */
struct filter_program {
	struct sock_filter *code;	/* owned */
	unsigned short count;
};

/*
 * Makes the filter.  A forbidden call raises SIGSYS (see trap.h), one of another architecture's
 * table kills the process at once.  Returns 0 or -errno.
 */
int filter_compile(const struct filter_table *table, const struct filter_env *env,
		   struct filter_program *ret_program);
/* NULL-safe, and may be called twice. */
void filter_program_finish(struct filter_program *program);

/*
 * Loads the filter for all threads of the process, and needs nothing but that call; needs
 * no_new_privs.  Returns 0 or -errno.
 */
int filter_install(const struct filter_program *program);

/* Both at once. */
int filter_load(const struct filter_table *table, const struct filter_env *env);

/* What the rows of a table stand for in a filter that filter_write() makes. */
enum filter_meaning {
	FILTER_ROWS_ALLOWED,	/* calls that are allowed; all others are answered ENOSYS */
	FILTER_ROWS_KILL,	/* calls that kill the process; all others are allowed */
};

/*
 * Writes the filter to @fd as struct sock_filter, for a process that loads it by itself
 * (preload.h).  A call of another architecture's table kills in both.  Returns 0 or -errno.
 */
int filter_write(const struct filter_table *table, const struct filter_env *env,
		 enum filter_meaning meaning, int fd);

/* Can this build load a filter?  NULL, or why not: sanitizers make calls of their own. */
const char *filter_impossible(void);

/* "openat" of its number; "?" if unknown.  The caller frees (free). */
char *filter_call_name(int nr);

#endif
