/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/proxy/bench/svg.h"

#include <math.h>
#include <string.h>

#define FONT 11
#define GRID "#dddddd"
#define INK "#333333"
#define MARKS 5.0			/* of a linear axis, about */
#define MAX_MARKS 32

struct svg *svg_create(double width, double height)
{
	struct svg *svg = g_new(struct svg, 1);

	*svg = (struct svg){ .text = g_string_new(NULL), .width = width, .height = height };
	svg_rect(svg, 0, 0, width, height, "#ffffff");
	return svg;
}

void svg_destroy(struct svg *svg)
{
	if (!svg)
		return;
	g_string_free(svg->text, true);
	g_free(svg);
}

char *svg_finish(const struct svg *svg)
{
	return g_strdup_printf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
			       "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" "
			       "height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" "
			       "font-family=\"sans-serif\" font-size=\"%d\">\n%s</svg>\n",
			       svg->width, svg->height, svg->width, svg->height, FONT,
			       svg->text->str);
}

void svg_line(struct svg *svg, double x1, double y1, double x2, double y2, const char *colour)
{
	g_string_append_printf(svg->text, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" "
			       "stroke=\"%s\"/>\n", x1, y1, x2, y2, colour);
}

void svg_rect(struct svg *svg, double x, double y, double w, double h, const char *fill)
{
	g_string_append_printf(svg->text, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
			       "height=\"%.1f\" fill=\"%s\"/>\n", x, y, w, h, fill);
}

/* XML 1.0, sections 2.2 and 2.4: no control characters, and three characters have names. */
static char *escape(const char *text)
{
	g_autofree char *valid = g_utf8_make_valid(text, -1);

	for (char *c = valid; *c; c++)
		if (g_ascii_iscntrl(*c))
			*c = '?';
	return g_markup_escape_text(valid, -1);
}

static void put_text(struct svg *svg, double x, double y, const char *how, const char *text)
{
	g_autofree char *safe = escape(text);

	g_string_append_printf(svg->text, "<text x=\"%.1f\" y=\"%.1f\" fill=\"%s\" %s>%s</text>\n",
			       x, y, INK, how, safe);
}

void svg_text(struct svg *svg, double x, double y, const char *anchor, const char *text)
{
	g_autofree char *how = g_strdup_printf("text-anchor=\"%s\"", anchor);

	put_text(svg, x, y, how, text);
}

void svg_text_upwards(struct svg *svg, double x, double y, const char *text)
{
	g_autofree char *how = g_strdup_printf("text-anchor=\"middle\" "
					       "transform=\"rotate(-90 %.1f %.1f)\"", x, y);

	put_text(svg, x, y, how, text);
}

/* ---- charts ---- */

/* Where on the axis, 0 to 1. */
static double place(const struct svg_axis *axis, double v)
{
	double part;

	if (axis->log)
		part = log(fmax(v, axis->min) / axis->min) / log(axis->max / axis->min);
	else
		part = (v - axis->min) / (axis->max - axis->min);
	return isfinite(part) ? CLAMP(part, 0, 1) : 0;
}

static double chart_x(const struct svg_chart *c, double v)
{
	return c->left + place(&c->x, v) * c->width;
}

static double chart_y(const struct svg_chart *c, double v)
{
	return c->top + (1 - place(&c->y, v)) * c->height;
}

static void mark(struct svg *svg, const struct svg_chart *c, bool upright, double at,
		 const char *text)
{
	double x = chart_x(c, at), y = chart_y(c, at);

	if (upright) {
		svg_line(svg, c->left, y, c->left + c->width, y, GRID);
		svg_text(svg, c->left - 5, y + FONT / 3.0, "end", text);
	} else {
		svg_line(svg, x, c->top, x, c->top + c->height, GRID);
		svg_text(svg, x, c->top + c->height + FONT + 3, "middle", text);
	}
}

static void mark_number(struct svg *svg, const struct svg_chart *c, bool upright, double at)
{
	g_autofree char *text = at >= 1e6 ? g_strdup_printf("%gM", at / 1e6) :
				at >= 1e4 ? g_strdup_printf("%gk", at / 1e3) :
				g_strdup_printf("%g", at);

	mark(svg, c, upright, at, text);
}

/* 1, 2 or 5 times a power of ten. */
static double round_step(double step)
{
	double power = pow(10, floor(log10(step)));
	double lead = step / power;

	return power * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10);
}

static void mark_axis(struct svg *svg, const struct svg_chart *c, bool upright)
{
	const struct svg_axis *axis = upright ? &c->y : &c->x;
	double step;

	if (axis->marks) {
		for (unsigned i = 0; axis->marks[i].text; i++)
			if (axis->marks[i].at <= axis->max)
				mark(svg, c, upright, axis->marks[i].at, axis->marks[i].text);
		return;
	}
	if (axis->log) {
		double at = pow(10, ceil(log10(axis->min) - 1e-9));

		for (unsigned i = 0; i < MAX_MARKS && at <= axis->max; i++, at *= 10)
			mark_number(svg, c, upright, at);
		return;
	}
	step = round_step((axis->max - axis->min) / MARKS);
	for (unsigned i = 0; i < MAX_MARKS; i++) {
		double at = (ceil(axis->min / step - 1e-9) + i) * step;

		if (at <= axis->max + step * 1e-6)
			mark_number(svg, c, upright, at);
	}
}

void svg_chart_draw(struct svg *svg, const struct svg_chart *c)
{
	double right = c->left + c->width, bottom = c->top + c->height;

	mark_axis(svg, c, false);
	mark_axis(svg, c, true);
	svg_line(svg, c->left, bottom, right, bottom, INK);
	svg_line(svg, c->left, c->top, c->left, bottom, INK);
	svg_text(svg, c->left + c->width / 2, bottom + 2 * FONT + 8, "middle", c->x.label);
	svg_text_upwards(svg, c->left - 44, c->top + c->height / 2, c->y.label);
}

void svg_chart_line(struct svg *svg, const struct svg_chart *c, const struct svg_point *points,
		    unsigned count, const char *colour)
{
	if (!count)
		return;
	g_string_append(svg->text, "<polyline points=\"");
	for (unsigned i = 0; i < count; i++)
		g_string_append_printf(svg->text, "%s%.1f,%.1f", i ? " " : "",
				       chart_x(c, points[i].x), chart_y(c, points[i].y));
	g_string_append_printf(svg->text, "\" fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\"/>\n",
			       colour);
}
