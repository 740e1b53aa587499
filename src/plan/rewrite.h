/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PLAN_REWRITE_H
#define PLAN_REWRITE_H

/*
 * From a QEMU command line to a plan of processes.  Pure functions: all that they need to know of
 * the machine and of the QEMU at hand is in struct rewrite_facts; nothing is opened or started.
 *
 * Two ways:
 *   rewrite_move()   an ordinary command line; the devices that mpqemu-remote emulates move out
 *   rewrite_join()   command lines as the multi-process document of QEMU has them, remotes and
 *                    QEMU; only fd numbers, and what that document forgets, change
 */

#include <stdbool.h>

#include "base/error.h"
#include "plan/procs.h"

enum rewrite_accel {
	REWRITE_ACCEL_TCG,	/* also qtest: no vCPU of KVM's, no interrupts from a remote */
	REWRITE_ACCEL_KVM,
	REWRITE_ACCEL_OTHER,
};

struct rewrite_facts {
	unsigned qemu_major, qemu_minor;	/* of the QEMU that is to run */
	const char *kvm_error;			/* why /dev/kvm cannot be used, or NULL */
	const char *const *remote_prefix;	/* how mpqemu-remote is called, NULL-terminated */
	const int *busy_fds;			/* inherited open fds above 2, ascending */
	unsigned busy_count;
};

struct rewrite_choice {
	char **remote;		/* ids, NULL-terminated, or NULL: every device that can move */
	char **local;		/* ids that stay, or NULL */
	const char *on_error;	/* --on-error= of the remotes, or NULL */
	const char *sandbox;	/* --sandbox= of the remotes, or NULL */
	const char *events;	/* --events= of the remotes, or NULL */
};

/*
 * @qemu: QEMU and its arguments, NULL-terminated.  Returns the plan (plan_destroy()), or NULL with
 * @error: MPQ_ERROR_USAGE when the command line cannot be read, MPQ_ERROR_REFUSED when it would not
 * work or be silently wrong.
 */
struct plan *rewrite_move(char *const *qemu, const struct rewrite_choice *choice,
			  const struct rewrite_facts *facts, GError **error);

/* @remotes: one argv (char **, NULL-terminated) a remote. */
struct plan *rewrite_join(const GPtrArray *remotes, char *const *qemu,
			  const struct rewrite_facts *facts, GError **error);

/*
 * Is it a command line that only asks QEMU something (-version, -device help)?  False with @error
 * set when it cannot be read.
 */
bool rewrite_is_question(char *const *qemu, GError **error);

/* Is @prog QEMU itself, by its name?  As a remote it serves one device, with less RAM regions. */
bool rewrite_is_qemu(const char *prog);

#endif
