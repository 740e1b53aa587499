/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_KEEPER_H
#define APPLETS_REMOTE_KEEPER_H

/*
 * The keeper: the process that the caller sees.  It holds what the device process must not be able
 * to lose or reach (image locks, files, the log), launches it, forwards the stop signals as an
 * orderly stop, and ends with its exit status.
 */

#include "base/notify.h"
#include "plan/spec.h"

struct monitor;
struct onerror;
struct supervised;

struct keeper {
	const char *prog;
	const struct launch_spec *spec;
	/* The fds that go to the slots which @spec names; the keeper closes its own copies of the
	 * peers, so that they see the device process's end, and keeps the images, whose locks
	 * outlive the device process. */
	const int *peer;		/* one a device; -1: not served, or later */
	int *listener;			/* one a device; -1: none; moved to the keeper's numbers */
	const int *rom;			/* one a device; -1: none */
	unsigned watchdog;		/* seconds; 0: none */
	int trace;			/* for --trace; -1: none */
	const int *image;		/* one a disk; -1: none */
	const int *place;		/* one a disk: its NBD server's socket (O_PATH), or -1 */
	const int *daemon;		/* pidfd of each disk's storage daemon; -1: none */
	int disks;			/* the same, of each disk; -1: there is no monitor */
	int metrics;			/* where the device process counts; -1: nobody reads it */
	unsigned features;		/* of enum filter_feature: what the keeper itself has */
	const char *const *removes;	/* files that the caller removes at the end, up to a NULL */
	struct onerror *onerror;	/* what happens when a request is held back */
	struct monitor *monitor;	/* NULL: none */
	struct supervised *supervised;	/* --control= */
	struct notify *notify;		/* the service manager */
	/* Called once when the device process serves its peers: pid file, parent of a daemon. */
	int (*ready)(void *opaque);
	/* The wait status of the storage daemon of that disk, which has ended. */
	int (*daemon_status)(void *opaque, unsigned disk);
	void *opaque;
};

/*
 * Launches the device process and stays until it has ended.  Returns the exit status for the
 * caller: the device process's own, or 128 + N after signal N; failures are logged.
 */
int keeper_run(const struct keeper *keeper);

#endif
