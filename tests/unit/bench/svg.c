/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pictures are well-formed XML, whatever is put into them. */

#include <math.h>
#include <string.h>

#include <glib.h>

#include "applets/proxy/bench/svg.h"

/* Elements seen, and how they nest. */
struct seen {
	unsigned elements, depth;
	GString *text;
};

static void on_start(GMarkupParseContext *context, const char *name, const char **names,
		     const char **values, void *opaque, GError **error)
{
	struct seen *seen = opaque;

	g_assert_cmpint(seen->depth == 0, ==, !strcmp(name, "svg"));
	for (unsigned i = 0; names[i]; i++) {
		g_assert_null(strstr(values[i], "nan"));
		g_assert_null(strstr(values[i], "inf"));
	}
	seen->elements++;
	seen->depth++;
}

static void on_end(GMarkupParseContext *context, const char *name, void *opaque, GError **error)
{
	struct seen *seen = opaque;

	seen->depth--;
}

static void on_text(GMarkupParseContext *context, const char *text, gsize len, void *opaque,
		    GError **error)
{
	struct seen *seen = opaque;

	g_string_append_len(seen->text, text, len);
}

/* Parses the picture and destroys it; how many elements it had. */
static unsigned parse(struct svg *svg, GString *text)
{
	static const GMarkupParser parser = {
		.start_element = on_start, .end_element = on_end, .text = on_text,
	};
	struct seen seen = { .text = text };
	GMarkupParseContext *context = g_markup_parse_context_new(&parser, 0, &seen, NULL);
	g_autofree char *xml = svg_finish(svg);
	g_autoptr(GError) error = NULL;

	g_markup_parse_context_parse(context, xml, -1, &error);
	g_assert_no_error(error);
	g_markup_parse_context_end_parse(context, &error);
	g_assert_no_error(error);
	g_markup_parse_context_free(context);
	svg_destroy(svg);
	return seen.elements;
}

static const struct { const char *text, *shown; } texts[] = {
	{ "", "" }, { "a<b>&\"'c", "a<b>&\"'c" }, { "</text></svg>", "</text></svg>" },
	{ "]]>", "]]>" }, { "\x01\x1f\x7f\n\t", "?????" }, { "caf\xc3\xa9", "caf\xc3\xa9" },
	{ "\xff\xc3", "\xef\xbf\xbd\xef\xbf\xbd" }, { "&amp;", "&amp;" },
};

static void test_text(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
		g_autoptr(GString) seen = g_string_new(NULL);
		struct svg *svg = svg_create(10, 10);

		svg_text(svg, 1, 2, "start", texts[i].text);
		svg_text_upwards(svg, 1, 2, "");
		g_assert_cmpuint(parse(svg, seen), ==, 4);
		g_strdelimit(seen->str, "\n", ' ');
		g_strstrip(seen->str);
		g_assert_cmpstr(seen->str, ==, texts[i].shown);
	}
}

static const struct svg_axis axes[] = {
	{ .label = "x", .min = 0, .max = 1 },
	{ .label = "x", .min = 0, .max = 1e-9 },
	{ .label = "x", .min = 0, .max = 1e15 },
	{ .label = "x", .min = -5, .max = 5 },
	{ .label = "x", .min = 1e-3, .max = 1e12, .log = true },
	{ .label = "x", .min = 3, .max = 3.1, .log = true },
};

/* Points of all kinds, on axes of all kinds: none leaves the frame, and marks have a bound. */
static void test_chart(void)
{
	static const struct svg_point points[] = {
		{ 0, 0 }, { -1e300, 1e300 }, { NAN, 1 }, { 1, NAN }, { INFINITY, -INFINITY },
		{ 0.5, 0.5 },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(axes); i++) {
		for (unsigned j = 0; j < G_N_ELEMENTS(axes); j++) {
			struct svg_chart chart = { 10, 10, 80, 80, axes[i], axes[j] };
			g_autoptr(GString) text = g_string_new(NULL);
			struct svg *svg = svg_create(100, 100);

			svg_chart_draw(svg, &chart);
			svg_chart_line(svg, &chart, points, G_N_ELEMENTS(points), "#000000");
			svg_chart_line(svg, &chart, points, 0, "#000000");
			g_assert_cmpuint(parse(svg, text), <=, 2 + 2 * 2 * 33 + 4 + 1);
		}
	}
}

static void test_place(void)
{
	static const struct svg_point points[] = { { 0, 0 }, { 1, 100 }, { 2, 1000 } };
	struct svg_chart chart = {
		10, 20, 100, 200, { .label = "x", .max = 2 },
		{ .label = "y", .min = 10, .max = 1000, .log = true },
	};
	struct svg *svg = svg_create(200, 300);
	g_autofree char *xml = NULL;

	svg_chart_line(svg, &chart, points, G_N_ELEMENTS(points), "#000000");
	xml = svg_finish(svg);
	g_assert_nonnull(strstr(xml, "points=\"10.0,220.0 60.0,120.0 110.0,20.0\""));
	svg_destroy(svg);
}

static void test_null(void)
{
	svg_destroy(NULL);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/bench/svg/text", test_text);
	g_test_add_func("/bench/svg/chart", test_chart);
	g_test_add_func("/bench/svg/place", test_place);
	g_test_add_func("/bench/svg/null", test_null);
	return g_test_run();
}
