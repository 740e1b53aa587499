/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/verbs/show.h"

#include <stdio.h>
#include <stdlib.h>

const char *show_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "-";
}

double show_number(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

char *show_time(double seconds, char *text, size_t size)
{
	unsigned long s = seconds > 0 ? seconds : 0;
	unsigned long days = s / 86400;

	if (days)
		snprintf(text, size, "%lu d %02lu:%02lu:%02lu", days, s / 3600 % 24, s / 60 % 60,
			 s % 60);
	else
		snprintf(text, size, "%02lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
	return text;
}

char *show_count(double n, char *text, size_t size)
{
	static const char units[] = " KMGTPE";
	unsigned unit = 0;

	while (n >= 999.5 && units[unit + 1]) {
		n /= 1000;
		unit++;
	}
	if (!unit)
		snprintf(text, size, "%.0f", n);
	else
		snprintf(text, size, n < 9.95 ? "%.1f%c" : "%.0f%c", n, units[unit]);
	return text;
}

void show_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
	putchar('\n');
}

char *show_clean(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c; c++)
		if (*c < ' ' || *c == 0x7f || (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0))
			*c = '?';
	return text;
}
