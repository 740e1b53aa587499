/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/inspect/look.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "applets/orchestrate/inspect/inspect.h"

static const char *const roles[] = {
	[SUBJECT_DEVICE] = "device process",
	[SUBJECT_STORAGE] = "storage daemon",
	[SUBJECT_OTHER] = "process",
};

const char *subject_role_name(const struct subject *s)
{
	return roles[s->role];
}

static const char *verdict_of(const struct finding *f)
{
	if (f->badness == FINDING_UNSEEN)
		return "?";
	if (f->badness == FINDING_ASIDE)
		return "-";
	return !f->badness ? "ok" : f->badness < FINDING_WORST ? "less" : "BAD";
}

/* What a row adds to the score, so that the worst come first; what was not seen behind these. */
static int rank(const struct inspect_row *row, const struct finding *f)
{
	if (f->badness == FINDING_UNSEEN)
		return 1;
	return f->badness > 0 ? (int)row->weight * f->badness + 1 : 0;
}

static int by_rank(const void *a, const void *b, void *opaque)
{
	const struct finding *findings = opaque;
	const unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
	int difference = rank(&inspect_rows[y], &findings[y]) -
			 rank(&inspect_rows[x], &findings[x]);

	return difference ? difference : (int)x - (int)y;
}

/* The indices of all rows, worst first; g_array_unref(). */
static GArray *sorted(const struct inspected *it)
{
	GArray *order = g_array_new(false, false, sizeof(unsigned));

	for (unsigned i = 0; inspect_rows[i].name; i++)
		g_array_append_val(order, i);
	g_array_sort_with_data(order, by_rank, it->findings);
	return order;
}

static char *head(const struct inspected *it)
{
	const struct subject *s = it->subject;
	GString *text = g_string_new(NULL);

	g_string_append_printf(text, "%s %d", subject_role_name(s), (int)s->pid);
	if (s->keeper)
		g_string_append_printf(text, " of keeper %d", (int)s->keeper);
	return g_string_free(text, false);
}

/* Names of the required rows that are @badness, as "seccomp, root"; NULL: there are none. */
static char *required_with(const struct inspected *it, int badness)
{
	GString *text = g_string_new(NULL);

	for (unsigned i = 0; inspect_rows[i].name; i++)
		if (row_required(&inspect_rows[i], it->subject) &&
		    it->findings[i].badness == badness)
			g_string_append_printf(text, "%s%s", text->len ? ", " : "",
					       inspect_rows[i].name);
	return g_string_free(text, !text->len);
}

/* ---- Text ---- */

static void print_row(const struct inspected *it, unsigned i)
{
	const struct inspect_row *row = &inspect_rows[i];
	const struct finding *f = &it->findings[i];

	printf("%-4s %-16s %s\n", verdict_of(f), row->name, f->said->str);
	for (unsigned k = 0; k < f->details->len; k++)
		printf("%-21s  %s\n", "", (char *)f->details->pdata[k]);
	if (f->badness > 0)
		printf("%-21s expected: %s; %s\n", "", row->expected, row->means);
}

static void print_end(const struct inspected *it)
{
	g_autofree char *missing = required_with(it, FINDING_WORST);
	g_autofree char *unseen = required_with(it, FINDING_UNSEEN);

	if (isnan(it->score))
		printf("score: none, nothing of it could be seen\n");
	else
		printf("score: %.1f of 10 (0 is best)%s\n", it->score,
		       unseen ? ", of what could be seen" : "");
	if (missing)
		printf("missing: %s\n", missing);
	if (unseen)
		printf("not seen, and so not proved: %s; root sees more\n", unseen);
	if (!missing && !unseen)
		printf("all required layers are there\n");
}

void print_text(const struct inspected *all, unsigned count)
{
	for (unsigned k = 0; k < count; k++) {
		g_autoptr(GArray) order = sorted(&all[k]);
		g_autofree char *title = head(&all[k]);

		printf("%s%s: %s\n", k ? "\n" : "", title, all[k].subject->program);
		for (unsigned i = 0; i < order->len; i++)
			print_row(&all[k], g_array_index(order, unsigned, i));
		print_end(&all[k]);
	}
}

/* ---- JSON ---- */

static json_t *row_json(const struct inspected *it, unsigned i)
{
	const struct inspect_row *row = &inspect_rows[i];
	const struct finding *f = &it->findings[i];
	json_t *details = json_array();

	for (unsigned k = 0; k < f->details->len; k++)
		json_array_append_new(details, json_string(f->details->pdata[k]));
	return json_pack("{s:s, s:s, s:o, s:s, s:s, s:s, s:i, s:b, s:o}", "name", row->name,
			 "verdict", verdict_of(f), "badness", f->badness < 0 ? json_null() :
			 json_integer(f->badness), "found", f->said->str, "expected",
			 row->expected, "means", row->means, "weight", (int)row->weight,
			 "required", row_required(row, it->subject), "details", details);
}

static json_t *one_json(const struct inspected *it)
{
	static const char *const words[] = {
		[SUBJECT_DEVICE] = "device", [SUBJECT_STORAGE] = "storage",
		[SUBJECT_OTHER] = "other",
	};
	g_autoptr(GArray) order = sorted(it);
	json_t *rows = json_array();

	for (unsigned i = 0; i < order->len; i++)
		json_array_append_new(rows, row_json(it, g_array_index(order, unsigned, i)));
	return json_pack("{s:i, s:o, s:s, s:s, s:o, s:b, s:b, s:o}", "pid",
			 (int)it->subject->pid, "keeper", it->subject->keeper ?
			 json_integer(it->subject->keeper) : json_null(), "role",
			 words[it->subject->role], "program", it->subject->program, "score",
			 isnan(it->score) ? json_null() : json_real(round(it->score * 10) / 10),
			 "missing", it->missing, "unseen", it->unseen, "rows", rows);
}

void print_json(const struct inspected *all, unsigned count)
{
	json_t *list = json_array(), *root = json_pack("{s:o}", "processes", list);

	for (unsigned k = 0; k < count; k++)
		json_array_append_new(list, one_json(&all[k]));
	json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(4));
	fputc('\n', stdout);
	json_decref(root);
}
