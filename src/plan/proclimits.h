/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PLAN_PROCLIMITS_H
#define PLAN_PROCLIMITS_H

/* What a process of the plan is held to, which it and all that it starts inherit. */

#include <sched.h>
#include <stdbool.h>

/* proc(5), oom_score_adj. */
#define PLAN_OOM_SCORE_MIN (-1000)
#define PLAN_OOM_SCORE_MAX 1000

struct plan_limits {
	char *cpus;		/* "0-3,6": on which it may run; NULL: as we may */
	char *numa;		/* "[POLICY:]NODES", "default": its memory; NULL: as ours */
	bool has_oom_score;
	int oom_score;		/* oom_score_adj */
};

/*
 * What a VM's processes together are held to: texts for the files of a control group (version 2) of
 * these names, the owner's; NULL: no limit.
 */
struct plan_group_limits {
	char *memory_max, *cpu_max, *pids_max, *io_max;
};

/*
 * "0-3,6" as a set (cpuset(7), "List format").  False: it is none, or names a CPU of CPU_SETSIZE or
 * more.
 */
bool plan_cpus_parse(const char *text, cpu_set_t *ret);

/* "bind:0-3,6": a memory policy, as set_mempolicy(2) takes it. */
#define PLAN_NUMA_FORM "[bind:|preferred:|interleave:]NODES|default"
/* For an error's line: "it takes " this. */
#define PLAN_NUMA_WANTS PLAN_NUMA_FORM ", nodes as 0-3,6 and one for preferred"
struct plan_numa {
	int mode;		/* MPOL_* */
	cpu_set_t nodes;	/* bit N: node N; empty with MPOL_DEFAULT */
};

/* False: it is none, or "preferred" of several nodes. */
bool plan_numa_parse(const char *text, struct plan_numa *ret);

/* Of another process: texts are copied; what @limits had is freed. */
void plan_limits_copy(struct plan_limits *limits, const struct plan_limits *from);
/* Frees the texts. */
void plan_limits_clear(struct plan_limits *limits);
/* Is it held to anything? */
bool plan_limits_any(const struct plan_limits *limits);

#endif
