/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_VERBS_PROC_H
#define APPLETS_ORCHESTRATE_VERBS_PROC_H

/* What /proc says of a process and its children: a remote's keeper, device process and daemons. */

#include <stdint.h>

#include <glib.h>

struct proc_use {
	double cpu;		/* seconds, user and system */
	uint64_t memory;	/* bytes: proportional set size, or resident where that is closed */
	const char *sandbox;	/* "strict", "filter" (a lower level), "off", or "-" */
};

/* Of @pid and all below it; zeros where nothing can be read. */
struct proc_use proc_use(int pid);

/* The pids of its children, as pid_t; g_array_unref() it. */
GArray *proc_children(int pid);

/* What it is to a remote, as inspect says it ("device process"), static; NULL: nothing special. */
const char *proc_role(int pid);

/* The first line of /proc/PID/NAME; "" if it cannot be read.  The caller frees. */
char *proc_line(int pid, const char *name);
/* All of it. */
char *proc_text(int pid, const char *name);

#endif
