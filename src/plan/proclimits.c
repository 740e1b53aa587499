/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/proclimits.h"

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
