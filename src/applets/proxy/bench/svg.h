/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_PROXY_SVG_H
#define APPLETS_PROXY_SVG_H

/* Pictures: a few elements of SVG 1.1, and charts of lines made of them. */

#include <stdbool.h>

#include <glib.h>

struct svg {
	GString *text;
	double width, height;		/* pixels */
};

/* White, of that size in pixels. */
struct svg *svg_create(double width, double height);
/* NULL-safe. */
void svg_destroy(struct svg *svg);
/* The whole picture as text, which is UTF-8; g_free() it. */
char *svg_finish(const struct svg *svg);

/* From one point to another; y grows downwards. */
void svg_line(struct svg *svg, double x1, double y1, double x2, double y2, const char *colour);
/* Filled; @x and @y are of its upper left corner. */
void svg_rect(struct svg *svg, double x, double y, double w, double h, const char *fill);
/* @anchor: "start", "middle", "end".  What is not printable in @text is shown as such. */
void svg_text(struct svg *svg, double x, double y, const char *anchor, const char *text);
/* Reads upwards. */
void svg_text_upwards(struct svg *svg, double x, double y, const char *text);

/* ---- charts ---- */

struct svg_axis {
	const char *label;
	double min, max;		/* max > min; with @log, min > 0 */
	bool log;
	/* Marks, instead of round numbers: until the first without text.  May be NULL. */
	const struct svg_mark { double at; const char *text; } *marks;
};

struct svg_chart {
	double left, top, width, height;	/* of the frame; axes' texts stand outside */
	struct svg_axis x, y;
};

struct svg_point { double x, y; };

/* Frame, marks, labels. */
void svg_chart_draw(struct svg *svg, const struct svg_chart *chart);
/* A line through points; what lies outside of the axes is put on the edge. */
void svg_chart_line(struct svg *svg, const struct svg_chart *chart, const struct svg_point *points,
		    unsigned count, const char *colour);

#endif
