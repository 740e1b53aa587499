/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/proclimits.h"

#include <linux/mempolicy.h>
#include <string.h>

#include <glib.h>

/* A number at *text, which moves behind it. */
static bool take_number(const char **text, unsigned *ret)
{
	unsigned value = 0;

	if (!g_ascii_isdigit(**text))
		return false;
	for (; g_ascii_isdigit(**text); (*text)++) {
		value = value * 10 + (**text - '0');
		if (value >= CPU_SETSIZE)
			return false;
	}
	*ret = value;
	return true;
}

bool plan_cpus_parse(const char *text, cpu_set_t *ret)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (;; text++) {
		unsigned first, last;

		if (!take_number(&text, &first))
			return false;
		last = first;
		if (*text == '-' && (text++, !take_number(&text, &last)))
			return false;
		if (last < first)
			return false;
		for (unsigned cpu = first; cpu <= last; cpu++)
			CPU_SET(cpu, &set);
		if (*text == '\0')
			break;
		if (*text != ',')
			return false;
	}
	*ret = set;
	return true;
}

bool plan_numa_parse(const char *text, struct plan_numa *ret)
{
	static const struct {
		const char *start;
		int mode;
	} policies[] = {
		{ "bind:", MPOL_BIND },
		{ "preferred:", MPOL_PREFERRED },
		{ "interleave:", MPOL_INTERLEAVE },
	};
	struct plan_numa numa = { .mode = MPOL_BIND };

	if (!strcmp(text, "default")) {
		*ret = (struct plan_numa){ .mode = MPOL_DEFAULT };
		return true;
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(policies); i++) {
		if (!g_str_has_prefix(text, policies[i].start))
			continue;
		numa.mode = policies[i].mode;
		text += strlen(policies[i].start);
		break;
	}
	if (!plan_cpus_parse(text, &numa.nodes) ||
	    (numa.mode == MPOL_PREFERRED && CPU_COUNT(&numa.nodes) > 1))
		return false;
	*ret = numa;
	return true;
}

void plan_limits_copy(struct plan_limits *limits, const struct plan_limits *from)
{
	plan_limits_clear(limits);
	*limits = *from;
	limits->cpus = g_strdup(from->cpus);
	limits->numa = g_strdup(from->numa);
}

void plan_limits_clear(struct plan_limits *limits)
{
	g_clear_pointer(&limits->cpus, g_free);
	g_clear_pointer(&limits->numa, g_free);
}

bool plan_limits_any(const struct plan_limits *limits)
{
	return limits->cpus || limits->numa || limits->has_oom_score;
}
