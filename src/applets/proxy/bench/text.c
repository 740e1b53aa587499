/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "applets/proxy/bench/bench.h"

/* The figures as a table, and latencies as bars. */

#define LABEL_WIDTH 26
#define VALUE_WIDTH 11
#define RATIO_WIDTH 24
#define BAR_WIDTH 30
#define BAR_LINES 16u

char *bench_op_detail(const struct bench *b, enum bench_op op)
{
	const struct bench_opts *o = &b->opts;
	g_autofree char *pinned = o->pinned ? g_strdup_printf(", CPUs %s", o->cpus) : g_strdup("");
	const struct bench_op_info *info = &bench_ops[op];

	if (!info->disk && op == BENCH_CFG_READ)
		return g_strdup_printf("4 bytes%s", pinned);
	if (!info->disk)
		return g_strdup_printf("%u bytes of BAR%u at 0x%" G_GINT64_MODIFIER "x%s",
				       b->reg_size, b->reg_bar, b->reg_off, pinned);
	if (info->reads && info->writes)
		return g_strdup_printf("%u bytes, depth %u, %u %% reads%s", o->bs, o->iodepth,
				       o->mix_reads, pinned);
	return g_strdup_printf("%u bytes, depth %u%s", o->bs, o->iodepth, pinned);
}

/* Four digits that count, or all before the point. */
static void print_value(double v)
{
	int digits = v >= 1000 ? 0 : v >= 100 ? 1 : v >= 10 ? 2 : 3;

	printf(" %*.*f", VALUE_WIDTH, digits, v);
}

static void print_ratio(const struct bench_ratio *r)
{
	g_autofree char *text = !r->known ? g_strdup("-") :
		g_strdup_printf("%.3f (%.3f..%.3f)", r->value, r->min, r->max);

	printf(" %*s", RATIO_WIDTH, text);
}

/* ---- the table ---- */

static void print_head(const struct bench *b, enum bench_op op)
{
	printf("%-*s", LABEL_WIDTH + 5, "");
	for (unsigned i = 0; i < SIDE_COUNT; i++)
		if (bench_side_runs(&b->side[i], op))
			printf(" %*s", VALUE_WIDTH, b->side[i].label);
	for (unsigned i = SIDE_B; i < SIDE_COUNT; i++) {
		g_autofree char *text = g_strdup_printf("A / %s", b->side[i].label);

		if (bench_side_runs(&b->side[i], op))
			printf(" %*s", RATIO_WIDTH, text);
	}
	printf("\n");
}

/* What the floor has no notion of, or we no means to know. */
static bool has_figure(const struct bench_side *s, enum bench_figure figure)
{
	if (s->floor && (figure == FIGURE_MESSAGES || figure == FIGURE_INTERRUPTS))
		return false;
	return s->floor || s->pid > 0 || (figure != FIGURE_CPU_REMOTE &&
		figure != FIGURE_VOL_REMOTE && figure != FIGURE_INVOL_REMOTE);
}

static void print_figure(const struct bench *b, enum bench_op op, enum bench_figure figure)
{
	const struct bench_figure_info *info = &bench_figures[figure];
	const struct bench_series *a = &b->side[SIDE_A].series[op];

	printf("%-*s %-4s", LABEL_WIDTH, info->label, info->unit);
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		const struct bench_side *s = &b->side[i];

		if (!bench_side_runs(s, op))
			continue;
		if (has_figure(s, figure))
			print_value(bench_summarise(&s->series[op], figure).value * info->scale);
		else
			printf(" %*s", VALUE_WIDTH, "-");
	}
	for (unsigned i = SIDE_B; i < SIDE_COUNT; i++) {
		const struct bench_side *s = &b->side[i];
		struct bench_ratio r;

		if (!bench_side_runs(s, op))
			continue;
		r = bench_compare(a, &s->series[op], figure);
		r.known &= has_figure(s, figure) && has_figure(&b->side[SIDE_A], figure);
		print_ratio(&r);
	}
	printf("\n");
}

/* ---- the bars ---- */

/* Which buckets a line of bars stands for; the first and the last have all beyond them. */
struct span {
	unsigned low, high, step;
};

static struct span span_of(const struct bench *b, enum bench_op op)
{
	struct span span = { .low = UINT_MAX };

	for (unsigned i = 0; i < SIDE_FLOOR; i++) {
		const struct hist *h = b->side[i].series[op].latency;
		unsigned low, high;

		if (!bench_side_runs(&b->side[i], op))
			continue;
		low = hist_index(&h->shape, hist_percentile(h, 0.5));
		high = hist_index(&h->shape, hist_percentile(h, 99.5));
		span.low = MIN(span.low, low);
		span.high = MAX(span.high, high);
	}
	span.step = (span.high - span.low) / BAR_LINES + 1;
	return span;
}

static double part(const struct hist *h, const struct span *span, unsigned from)
{
	unsigned low = from == span->low ? 0 : from;
	unsigned high = from + span->step > span->high ? h->shape.count : from + span->step;
	uint64_t sum = 0;

	for (unsigned i = low; i < high; i++)
		sum += h->bucket[i];
	return h->count ? (double)sum / h->count : 0;
}

static double largest_part(const struct bench *b, enum bench_op op, const struct span *span)
{
	double most = 0;

	for (unsigned i = 0; i < SIDE_FLOOR; i++)
		for (unsigned at = span->low; at <= span->high; at += span->step)
			if (bench_side_runs(&b->side[i], op))
				most = MAX(most, part(b->side[i].series[op].latency, span, at));
	return most;
}

static void print_line(const struct bench *b, enum bench_op op, const struct span *span,
		       unsigned at, double most)
{
	const struct hist_shape *shape = &b->side[SIDE_A].series[op].latency->shape;
	g_autoptr(GString) line = g_string_new(NULL);

	g_string_printf(line, "%12.2f", hist_low(shape, at) / 1e3);
	for (unsigned i = 0; i < SIDE_FLOOR; i++) {
		char bar[BAR_WIDTH + 1] = { 0 };
		double p;

		if (!bench_side_runs(&b->side[i], op))
			continue;
		p = part(b->side[i].series[op].latency, span, at);
		memset(bar, '#', most > 0 ? (size_t)(p / most * BAR_WIDTH + 0.5) : 0);
		g_string_append_printf(line, "  %5.1f %% %-*s", p * 100, BAR_WIDTH, bar);
	}
	printf("%s\n", g_strchomp(line->str));
}

static void print_bars(const struct bench *b, enum bench_op op)
{
	struct span span = span_of(b, op);
	double most = largest_part(b, op, &span);

	printf("\n%12s", "from us");
	for (unsigned i = 0; i < SIDE_FLOOR; i++)
		if (bench_side_runs(&b->side[i], op))
			printf("  %*s%-*s", 6, "", BAR_WIDTH + 2, b->side[i].label);
	printf("\n");
	for (unsigned at = span.low; at <= span.high; at += span.step)
		print_line(b, op, &span, at, most);
}

/* ---- all of it ---- */

static void print_side(const struct bench_side *s)
{
	if (!s->started)
		return;
	printf("%s: %s", s->label, session_name(&s->session));
	if (s->disk.known) {
		g_autofree char *name = bench_disk_name(&s->disk);

		printf(", disk %u:%u, %s, %.0f MiB", s->disk.lu.target, s->disk.lu.lun, name,
		       (double)bench_disk_size(&s->disk) / (1 << 20));
	}
	if (s->target.command) {
		g_autofree char *words = g_strjoinv(" ", (char **)(uintptr_t)s->target.command);

		printf(": %s", words);
	}
	printf("\n");
}

static void print_workload(const struct bench *b, enum bench_op op)
{
	g_autofree char *detail = bench_op_detail(b, op);
	g_autofree char *noisy = bench_noisy(b, op);

	printf("\n%s: %s, %u round%s\n", bench_ops[op].name, detail, b->opts.rounds,
	       b->opts.rounds > 1 ? "s" : "");
	print_head(b, op);
	for (unsigned i = 0; i < FIGURE_COUNT; i++)
		if (bench_ops[op].disk || !bench_figures[i].disk_only)
			print_figure(b, op, i);
	if (noisy)
		printf("NOISY: %s\n", noisy);
	print_bars(b, op);
}

void bench_text(const struct bench *b)
{
	for (unsigned i = 0; i < SIDE_COUNT; i++)
		print_side(&b->side[i]);
	if (!b->side[SIDE_A].pid)
		printf("The remote's process is not known: nothing is said of its CPU time.\n");
	for (unsigned i = 0; i < b->opts.op_count; i++)
		print_workload(b, b->opts.op[i]);
	printf("\nTimes, messages, interrupts and switches are those of one operation.  Values are "
	       "medians\nof rounds, percentiles those of all operations, ratios the median "
	       "(smallest..largest)\nof pairs of rounds.\n");
}
