/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/control/prom.h"

#include <stdbool.h>
#include <string.h>

/* Prometheus's "exposition formats", text format 0.0.4. */
#define HELP "# HELP "

struct family {
	GString *head, *samples;
};

struct prom {
	GPtrArray *order;	/* struct family *, owned */
	GHashTable *by_name;	/* of these */
};

static void family_free(void *p)
{
	struct family *family = p;

	g_string_free(family->head, true);
	g_string_free(family->samples, true);
	g_free(family);
}

struct prom *prom_create(void)
{
	struct prom *prom = g_new0(struct prom, 1);

	prom->order = g_ptr_array_new_with_free_func(family_free);
	prom->by_name = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	return prom;
}

void prom_destroy(struct prom *prom)
{
	g_ptr_array_unref(prom->order);
	g_hash_table_unref(prom->by_name);
	g_free(prom);
}

/* The family that the line "# HELP NAME ..." begins. */
static struct family *begin_family(struct prom *prom, const char *line)
{
	const char *start = line + strlen(HELP);
	char *name = g_strndup(start, strcspn(start, " "));
	struct family *family = g_hash_table_lookup(prom->by_name, name);

	if (family) {
		g_free(name);
		return family;
	}
	family = g_new0(struct family, 1);
	family->head = g_string_new(NULL);
	family->samples = g_string_new(NULL);
	g_ptr_array_add(prom->order, family);
	g_hash_table_insert(prom->by_name, name, family);
	return family;
}

static void add_sample(struct family *family, const char *line, const char *labels)
{
	size_t name = strcspn(line, "{ ");

	g_string_append_len(family->samples, line, name);
	g_string_append_printf(family->samples, "{%s%s%s\n", labels, line[name] == '{' ? "," : "}",
			       line + name + (line[name] == '{'));
}

static void add_text(struct prom *prom, const char *text, const char *labels)
{
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	struct family *family = NULL;
	bool is_new = false;

	for (char **line = lines; *line; line++) {
		if (g_str_has_prefix(*line, HELP)) {
			family = begin_family(prom, *line);
			is_new = !family->head->len;
		}
		if (!family || !**line)
			continue;
		if (**line != '#')
			add_sample(family, *line, labels);
		else if (is_new)
			g_string_append_printf(family->head, "%s\n", *line);
	}
}

/* @value as it may stand between the quotes of a label; the caller frees. */
static char *escape(const char *value)
{
	GString *out = g_string_new(NULL);

	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			g_string_append_c(out, '\\');
		if (*value == '\n')
			g_string_append(out, "\\n");
		else
			g_string_append_c(out, *value);
	}
	return g_string_free(out, false);
}

void prom_add_remote(struct prom *prom, const char *vm, const char *id, const char *text)
{
	g_autofree char *name = escape(vm), *remote = escape(id);
	g_autofree char *labels = g_strdup_printf("vm=\"%s\",remote=\"%s\"", name, remote);

	add_text(prom, text, labels);
}

char *prom_text(const struct prom *prom)
{
	GString *out = g_string_new(NULL);

	for (unsigned i = 0; i < prom->order->len; i++) {
		const struct family *family = prom->order->pdata[i];

		g_string_append(out, family->head->str);
		g_string_append(out, family->samples->str);
	}
	return g_string_free(out, false);
}
