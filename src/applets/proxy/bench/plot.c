/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/proxy/bench/bench.h"
#include "applets/proxy/bench/svg.h"
#include "base/fd.h"
#include "base/log.h"

/* A row of three charts for each workload: shares, percentiles, and operations over time. */

#define CHART_WIDTH 300.0
#define CHART_HEIGHT 180.0
#define MARGIN_LEFT 70.0
#define ROW_HEIGHT 280.0
#define HEAD_HEIGHT 56.0
#define MAX_POINTS 300u
#define COMMAND_CHARS 170

static const char *const colours[SIDE_COUNT] = { "#1f5fa8", "#c8402a", "#888888" };

struct points {
	struct svg_point p[HIST_MAX_BUCKETS];
	unsigned count;
};

static void add_point(struct points *points, double x, double y)
{
	if (points->count < G_N_ELEMENTS(points->p))
		points->p[points->count++] = (struct svg_point){ x, y };
}

static struct svg_chart chart_at(unsigned column, unsigned row)
{
	return (struct svg_chart){
		.left = MARGIN_LEFT + column * (CHART_WIDTH + MARGIN_LEFT),
		.top = HEAD_HEIGHT + row * ROW_HEIGHT + 30,
		.width = CHART_WIDTH, .height = CHART_HEIGHT,
	};
}

/* From the smallest value to nearly the largest, in us, of all sides: at least an octave. */
static struct svg_axis latency_axis(const struct bench *b, enum bench_op op)
{
	struct svg_axis axis = { .label = "latency, us", .min = INFINITY, .max = 0, .log = true };

	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		const struct hist *h = b->side[i].series[op].latency;

		if (!bench_side_runs(&b->side[i], op) || !h->count)
			continue;
		axis.min = fmin(axis.min, fmax(h->min, 1) / 1e3);
		axis.max = fmax(axis.max, hist_percentile(h, 99.95) / 1e3);
	}
	axis.min = isfinite(axis.min) ? axis.min / 1.2 : 1;
	axis.max = fmax(axis.max * 1.2, axis.min * 2);
	return axis;
}

/* ---- shares ---- */

/* Of buckets of an eighth of an octave, up to @most us. */
static void share_points(const struct hist *h, double most, struct points *points)
{
	enum { STEP = 4 };

	points->count = 0;
	for (unsigned i = 0; i + STEP <= h->shape.count; i += STEP) {
		uint64_t sum = 0, low = hist_low(&h->shape, i), high;

		for (unsigned j = 0; j < STEP; j++)
			sum += h->bucket[i + j];
		high = hist_high(&h->shape, i + STEP - 1);
		if (high < h->min || low > h->max || (low + high) / 2e3 > most)
			continue;
		add_point(points, (low + high) / 2e3, 100.0 * sum / h->count);
	}
}

static void draw_shares(const struct bench *b, enum bench_op op, unsigned row, struct svg *svg)
{
	struct svg_chart chart = chart_at(0, row);
	g_autofree struct points *points = g_new(struct points, 1);

	chart.x = latency_axis(b, op);
	chart.y = (struct svg_axis){ .label = "% of operations", .min = 0, .max = 1 };
	for (unsigned draw = 0; draw < 2; draw++) {
		if (draw)
			svg_chart_draw(svg, &chart);
		for (unsigned i = 0; i < SIDE_COUNT; i++) {
			if (!b->side[i].series[op].latency->count)
				continue;
			share_points(b->side[i].series[op].latency, chart.x.max, points);
			if (draw)
				svg_chart_line(svg, &chart, points->p, points->count, colours[i]);
			for (unsigned j = 0; j < points->count; j++)
				chart.y.max = fmax(chart.y.max, points->p[j].y * !draw);
		}
	}
}

/* ---- percentiles ---- */

/* The axis is how many nines: -log10 of the part that is slower. */
static void draw_percentiles(const struct bench *b, enum bench_op op, unsigned row,
			     struct svg *svg)
{
	static const struct svg_mark marks[] = {
		{ 0, "0" }, { 0.30103, "50" }, { 1, "90" }, { 2, "99" }, { 3, "99.9" },
		{ 4, "99.99" }, { 0, NULL },
	};
	struct svg_chart chart = chart_at(1, row);
	g_autofree struct points *points = g_new(struct points, 1);

	chart.x = (struct svg_axis){ .label = "percentile", .min = 0, .max = 4, .marks = marks };
	chart.y = latency_axis(b, op);
	svg_chart_draw(svg, &chart);
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		const struct hist *h = b->side[i].series[op].latency;

		points->count = 0;
		for (double x = 0; x <= 4 && h->count; x += 0.05)
			add_point(points, x, hist_percentile(h, 100 * (1 - pow(10, -x))) / 1e3);
		svg_chart_line(svg, &chart, points->p, points->count, colours[i]);
	}
}

/* ---- over time ---- */

/* The last tick is not a whole one. */
static void time_points(const GArray *ticks, struct points *points)
{
	unsigned whole = ticks->len ? ticks->len - 1 : 0;
	unsigned step = whole / MAX_POINTS + 1;

	points->count = 0;
	for (unsigned i = 0; i + step <= whole; i += step) {
		double sum = 0;

		for (unsigned j = 0; j < step; j++)
			sum += g_array_index(ticks, uint32_t, i + j);
		add_point(points, (i + step / 2.0) * BENCH_TICK_NS / 1e9,
			  sum * 1e9 / BENCH_TICK_NS / step);
	}
}

static void draw_times(const struct bench *b, enum bench_op op, unsigned row, struct svg *svg)
{
	struct svg_chart chart = chart_at(2, row);
	g_autofree struct points *points = g_new(struct points, 1);

	chart.x = (struct svg_axis){ .label = "measured time, s", .max = 1e-3 };
	chart.y = (struct svg_axis){ .label = "operations a second", .max = 1 };
	for (unsigned draw = 0; draw < 2; draw++) {
		if (draw)
			svg_chart_draw(svg, &chart);
		for (unsigned i = 0; i < SIDE_COUNT; i++) {
			time_points(b->side[i].series[op].ticks, points);
			if (draw)
				svg_chart_line(svg, &chart, points->p, points->count, colours[i]);
			for (unsigned j = 0; j < points->count && !draw; j++) {
				chart.x.max = fmax(chart.x.max, points->p[j].x);
				chart.y.max = fmax(chart.y.max, points->p[j].y * 1.05);
			}
		}
	}
}

/* ---- the file ---- */

static bool plot_failed(const struct bench *b, int err, GError **error)
{
	return mpq_fail(error, MPQ_ERROR_SYSTEM, "--plot %s: %s", b->opts.plot, log_errname(err));
}

/* Nothing that stands there changes yet; a FIFO that nobody reads is an error, not a wait. */
bool bench_plot_open(struct bench *b, GError **error)
{
	int flags = O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

	if (!b->opts.plot)
		return true;
	b->plot_fd = open(b->opts.plot, flags | O_CREAT | O_EXCL, 0666);
	b->plot_made = b->plot_fd >= 0;
	/* O_EXCL follows no link, not even one to nowhere. */
	if (b->plot_fd < 0 && errno == EEXIST)
		b->plot_fd = open(b->opts.plot, flags | O_CREAT, 0666);
	if (b->plot_fd < 0 || fcntl(b->plot_fd, F_SETFL, 0) < 0)
		return plot_failed(b, errno, error);
	return true;
}

void bench_plot_close(struct bench *b, bool drawn)
{
	if (b->plot_made && !drawn)
		unlink(b->opts.plot);
	fd_close(&b->plot_fd);
}

/* In place: who reads through a link, or holds the file open, sees the new picture. */
static int plot_write(int fd, const char *text)
{
	struct stat st;

	if (fd_stat(fd, &st) == 0 && S_ISREG(st.st_mode) && ftruncate(fd, 0) < 0)
		return -errno;
	return fd_write_all(fd, text, strlen(text));
}

/* ---- all of it ---- */

/* Does any workload have this side? */
static bool is_drawn(const struct bench *b, const struct bench_side *s)
{
	for (unsigned i = 0; i < b->opts.op_count; i++)
		if (bench_side_runs(s, b->opts.op[i]))
			return true;
	return false;
}

static void draw_head(const struct bench *b, struct svg *svg)
{
	double y = 16;

	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		const struct bench_side *s = &b->side[i];
		g_autofree char *words = s->target.command ?
			g_strjoinv(" ", (char **)(uintptr_t)s->target.command) :
			g_strdup(s->floor ? "bytes sent back by a process" : "");
		g_autofree char *text = g_strdup_printf("%s: %.*s", s->label, COMMAND_CHARS, words);

		if (!is_drawn(b, s))
			continue;
		svg_line(svg, 10, y - 4, 30, y - 4, colours[i]);
		svg_text(svg, 36, y, "start", text);
		y += 15;
	}
}

static void draw_workload(const struct bench *b, enum bench_op op, unsigned row, struct svg *svg)
{
	g_autofree char *detail = bench_op_detail(b, op), *noisy = bench_noisy(b, op);
	g_autofree char *text = g_strdup_printf("%s: %s%s%s", bench_ops[op].name, detail,
						noisy ? "; noisy: " : "", noisy ? noisy : "");

	svg_text(svg, 10, HEAD_HEIGHT + row * ROW_HEIGHT + 18, "start", text);
	draw_shares(b, op, row, svg);
	draw_percentiles(b, op, row, svg);
	draw_times(b, op, row, svg);
}

bool bench_plot(const struct bench *b, GError **error)
{
	struct svg *svg = svg_create(3 * (CHART_WIDTH + MARGIN_LEFT) + 20,
				     HEAD_HEIGHT + b->opts.op_count * ROW_HEIGHT);
	g_autofree char *text = NULL;
	int ret;

	draw_head(b, svg);
	for (unsigned i = 0; i < b->opts.op_count; i++)
		draw_workload(b, b->opts.op[i], i, svg);
	text = svg_finish(svg);
	svg_destroy(svg);
	ret = plot_write(b->plot_fd, text);
	return !ret || plot_failed(b, ret, error);
}
