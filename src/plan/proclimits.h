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
	bool has_oom_score;
	int oom_score;		/* oom_score_adj */
};

/*
 * "0-3,6" as a set (cpuset(7), "List format").  False: it is none, or names a CPU of CPU_SETSIZE or
 * more.
 */
bool plan_cpus_parse(const char *text, cpu_set_t *ret);

#endif
