/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_CONFINE_H
#define APPLETS_REMOTE_CONFINE_H

/*
 * The stages of src/sandbox, as mpqemu-remote's two processes go through them.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "plan/spec.h"
#include "sandbox/filter.h"
#include "sandbox/isolate.h"

struct confine {
	const struct launch_spec *spec;
	struct sandbox_status status;
	int statm;		/* our size in /proc, opened while there is a /proc; owned */
	struct filter_env env;
	struct filter_program last;	/* made before the first of two filters; owned */
	bool again;			/* a predecessor has told the level */
	bool trimmed;			/* what the set-up has used is given back */
};

/*
 * Device process: what comes before its threads and devices are made: no file system, no rights.
 * Returns 0, or -errno after logging what failed and what helps.
 */
int confine_early(struct confine *c, const struct launch_spec *spec);

/*
 * Device process, once threads, arena and files are there: when a disk is behind NBD, the filter of
 * the set-up, for whoever takes over libnbd in a handshake.  Returns as above.
 */
int confine_handshake(struct confine *c, uint64_t arena_base, uint64_t arena_size);

/*
 * Device process: what comes after, the last stage: limits, then the filter.  The arena is where
 * guest memory may be mapped.  Logs the level that was reached.  Returns as above.
 */
int confine_late(struct confine *c, uint64_t arena_base, uint64_t arena_size);

/* What the filter of a device process of that plan knows of it, but for the arena. */
void confine_env(const struct launch_spec *spec, uint64_t arena_base, uint64_t arena_size,
		 struct filter_env *ret_env);

/*
 * The keeper's pidfds and the sockets where clients come stand at these numbers, of which one
 * masked comparison each tells.  When the keeper is confined it can get no new fd there
 * (RLIMIT_NOFILE), so that what it may signal are the children that it has.
 */
#define CONFINE_PIDFD 256
#define CONFINE_PIDFDS 128
#define CONFINE_LISTENER 384
#define CONFINE_LISTENERS 8
#define CONFINE_FDS (CONFINE_LISTENER + CONFINE_LISTENERS)	/* a limit that is enough */

/* A pidfd of a child, at one of them; the caller owns it.  Or -errno. */
int confine_pidfd(pid_t child);

/* Moves the socket to one of them (CLOEXEC).  Returns 0, or -errno: then *fd stays where it is. */
int confine_listener(int *fd);

/* What a confined keeper is still there for. */
struct confine_duties {
	const struct launch_spec *spec;
	unsigned features;		/* of enum filter_feature: those that it has */
	int monitor;			/* the socket that it may still connect, or -1 */
	int control;			/* the channel that it may send fds on */
	bool has_monitor;		/* of its own, whose clients name images, */
	int manage;			/* and which sends them on this channel */
	const char *const *removes;	/* files that it removes at the end, to a NULL; or NULL */
};

/* What the filter of a keeper knows of it. */
void confine_keeper_env(const struct confine_duties *duties, struct filter_env *ret_env);

/*
 * Keeper, once its device process serves: gives up what it does not need.  Returns as above.
 */
int confine_keeper(const struct confine_duties *duties);

#endif
