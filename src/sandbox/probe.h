/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SANDBOX_PROBE_H
#define SANDBOX_PROBE_H

/*
 * Hostile bodies: what a device process that was taken over might try.  A probe is one system call
 * with its arguments, made by a device process after its last stage, under the filter that it
 * loaded.  The list is made from the table of rules, for each row a call that must work and, for
 * each of its limited arguments, calls that must not; and from a list of calls that no row allows.
 */

#include <stdbool.h>
#include <stdint.h>

#include "sandbox/filter.h"

enum probe_kind {
	PROBE_ALLOWED,		/* a row's own form: the call returns */
	PROBE_CHANGED,		/* one argument outside the row's limit: the process ends */
	PROBE_HOSTILE,		/* a call that nothing allows: the process ends */
};

struct probe {
	enum probe_kind kind;
	const char *name;		/* what is tried; the call's name for those from rows */
	const struct filter_arg *changed;	/* PROBE_CHANGED: the argument */
	const struct filter_rule *rule;		/* of PROBE_ALLOWED and PROBE_CHANGED */
	int nr;
	bool killed;			/* not trapped: the kernel kills at once */
	bool foreign;			/* the 32-bit entry (int 0x80) */
	bool fd_message;		/* argument 1 is a message that carries an fd */
	uint64_t arg[FILTER_MAX_ARGS];
};

/*
 * How a probe is asked for and answered: its number comes PROBE_FIRST higher, PROBE_NOTHING is a
 * process that reaches the last stage and ends, and PROBE_RETURNED the exit status of one whose
 * call came back.
 */
#define PROBE_NOTHING 1
#define PROBE_FIRST 2
#define PROBE_EMPTY_SERVER UINT32_MAX	/* no probe: see empty.h of the remote */
#define PROBE_RETURNED 42

/* Probe number @index of @table as @env has it; false when there is none. */
bool probe_get(const struct filter_table *table, const struct filter_env *env, unsigned index,
	       struct probe *ret_probe);

/*
 * Did the process that made the probe end as it should?  @status as waitpid() gives it, @said what
 * it logged, @trapped the exit status that sandbox_trap_install() was given.
 */
bool probe_as_expected(const struct probe *probe, int status, const char *said, int trapped);

/* Makes the call.  Returns, if it does, what the call returned (-errno included). */
long probe_make(const struct probe *probe);

#endif
