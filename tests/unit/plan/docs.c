/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * docs/options.md is made from the tables of options and properties: this test says when it is not
 * what they say.  "test-plan-docs --write FILE" makes it anew.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "plan/props.h"
#include "plan/remoteopts.h"

typedef bool (*handler)(void *opaque, const struct option_use *use, GError **error);

/* A cell of a table: "|" would end it. */
static void add_cell(GString *out, const char *text)
{
	g_string_append(out, " ");
	for (; text && *text; text++) {
		if (*text == '|')
			g_string_append_c(out, '\\');
		g_string_append_c(out, *text);
	}
	g_string_append(out, " |");
}

static void add_working(GString *out)
{
	g_string_append(out, "## Work\n\n| option | argument | |\n|---|---|---|\n");
	for (const struct option_def *def = remote_options; def->name; def++) {
		g_autofree char *name = g_strconcat("-", def->name, NULL);

		if (def->flags & (OPTION_HIDDEN | OPTION_OWN))
			continue;
		g_string_append(out, "|");
		add_cell(out, name);
		add_cell(out, def->args);
		add_cell(out, def->help);
		g_string_append(out, "\n");
	}
	g_string_append(out, "\n-h is -help, -M is -machine.\n");
}

/* Options that QEMU has not. */
static void add_own(GString *out)
{
	g_string_append(out, "\n## Its own: two dashes, the value after \"=\"\n\n"
			"| option | |\n|---|---|\n");
	for (const struct option_def *def = remote_options; def->name; def++) {
		g_autofree char *usage = option_usage(def);

		if (def->flags & OPTION_HIDDEN || !(def->flags & OPTION_OWN))
			continue;
		g_string_append(out, "|");
		add_cell(out, usage);
		add_cell(out, def->help);
		g_string_append(out, "\n");
	}
}

/* The names of the options with one handler, in one paragraph of at most 100 columns. */
static void add_names(GString *out, const char *title, handler handle)
{
	size_t column = 0;

	g_string_append_printf(out, "\n## %s\n\n", title);
	for (const struct option_def *def = remote_options; def->name; def++) {
		size_t len = strlen(def->name) + 3;

		if (def->handle != handle)
			continue;
		if (column && column + len > 100) {
			g_string_append(out, "\n");
			column = 0;
		}
		g_string_append_printf(out, "%s-%s", column ? ", " : "", def->name);
		column += len;
	}
	g_string_append(out, "\n");
}

static void add_refused(GString *out)
{
	g_string_append(out, "\n## Refused, by name\n\n| option | why |\n|---|---|\n");
	for (const struct option_def *def = remote_options; def->name; def++) {
		g_autofree char *name = g_strconcat("-", def->name, NULL);

		if (def->handle != remote_option_refuse)
			continue;
		g_string_append(out, "|");
		add_cell(out, name);
		add_cell(out, def->help ? def->help : "no use here");
		g_string_append(out, "\n");
	}
}

static const char *effect(const struct prop *prop)
{
	if (prop->fixed)
		return "only the default";
	return prop->id == PROP_ACCEPTED ? "accepted, no effect" : "works";
}

static void add_driver(GString *out, const struct driver *driver)
{
	g_string_append_printf(out, "\n## %s%s%s\n\n| property | default | here |\n|---|---|---|\n",
			       driver->name, driver->alias ? ", also " : "",
			       driver->alias ? driver->alias : "");
	for (const struct prop *prop = driver->props; prop->name; prop++) {
		g_string_append(out, "|");
		add_cell(out, prop->name);
		add_cell(out, prop->deflt);
		add_cell(out, effect(prop));
		g_string_append(out, "\n");
	}
}

static char *make_page(void)
{
	GString *out = g_string_new("# The command line of mpqemu-remote\n\n"
				    "Made from the tables of src/plan by `test-plan-docs --write "
				    "docs/options.md`; the test of that name\nfails when this page "
				    "is not what they say. Types and help texts of the properties: "
				    "`-device DRIVER,help`.\n\n");

	add_working(out);
	add_own(out);
	add_names(out, "Accepted: they ask for what is so anyway", remote_option_ignore);
	add_names(out, "Accepted with the argument none", remote_option_none);
	add_refused(out);
	g_string_append(out, "\n# Properties of the devices\n");
	for (const struct driver *driver = drivers; driver->name; driver++)
		add_driver(out, driver);
	return g_string_free(out, FALSE);
}

static void test_page(void)
{
	g_autofree char *path = g_build_filename(g_getenv("MPQEMU_SOURCE"), "docs", "options.md",
						 NULL);
	g_autofree char *text = NULL, *want = make_page();

	g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
	if (strcmp(text, want))
		g_test_message("run: test-plan-docs --write docs/options.md");
	g_assert_cmpstr(text, ==, want);
}

/* Rows that could not be told apart, or that never work, in the tables themselves. */
static void test_tables(void)
{
	for (const struct option_def *def = remote_options; def->name; def++) {
		g_assert_true(*def->name && def->handle);
		g_assert_true((def->flags & OPTION_OWN ? option_find_own : option_find)
			      (remote_options, def->name) == def);
		g_assert_true((def->flags & OPTION_HIDDEN) || def->help);
		g_assert_true(!def->args || (def->flags & OPTION_HAS_ARG));
	}
	for (const struct driver *driver = drivers; driver->name; driver++) {
		g_assert_true(driver_find(driver->name) == driver);
		for (const struct prop *prop = driver->props; prop[0].name && prop[1].name; prop++)
			g_assert_cmpstr(prop[0].name, <, prop[1].name);
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--write")) {
		g_autofree char *page = make_page();

		return g_file_set_contents(argv[2], page, -1, NULL) ? EXIT_SUCCESS : EXIT_FAILURE;
	}
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/docs/page", test_page);
	g_test_add_func("/docs/tables", test_tables);
	return g_test_run();
}
