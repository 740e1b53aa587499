/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What bench makes of its rounds. */

#include <math.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>

#include "applets/proxy/bench/bench.h"

struct world {
	struct bench *bench;
};

static void setup(struct world *w, const void *data)
{
	w->bench = verb_bench.create(&verb_bench);
}

static void teardown(struct world *w, const void *data)
{
	verb_bench.destroy(w->bench);
}

static struct bench_series *series(struct world *w, unsigned side)
{
	return &w->bench->side[side].series[BENCH_CFG_READ];
}

static void add(struct world *w, unsigned side, double value)
{
	g_array_append_val(series(w, side)->round[FIGURE_IOPS], value);
}

static const struct { double v[6]; unsigned count; double median, cv; } rows[] = {
	{ { 0 }, 0, 0, 0 },
	{ { 7 }, 1, 7, 0 },
	{ { 3, 1 }, 2, 2, 0.70711 },
	{ { 9, 1, 5 }, 3, 5, 0.8 },
	{ { 4, 4, 4, 4 }, 4, 4, 0 },
	{ { 1e9, 1, 1, 1, 1 }, 5, 1, 2.23607 },
	{ { 0, 0, 0 }, 3, 0, 0 },
};

static void test_numbers(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_assert_cmpfloat(bench_median(rows[i].v, rows[i].count), ==, rows[i].median);
		g_assert_cmpfloat_with_epsilon(bench_cv(rows[i].v, rows[i].count), rows[i].cv,
					       1e-4);
	}
}

static void test_ratio(struct world *w, const void *data)
{
	static const double a[] = { 10, 20, 30, 40, 50 }, b[] = { 5, 10, 10, 20, 50 };
	struct bench_ratio r;

	for (unsigned i = 0; i < 5; i++) {
		add(w, SIDE_A, a[i]);
		add(w, SIDE_B, b[i]);
	}
	r = bench_compare(series(w, SIDE_A), series(w, SIDE_B), FIGURE_IOPS);
	g_assert_true(r.known);
	g_assert_cmpfloat(r.value, ==, 2);
	g_assert_cmpfloat(r.min, ==, 1);
	g_assert_cmpfloat(r.max, ==, 3);
	g_assert_cmpfloat(r.low, >=, r.min);
	g_assert_cmpfloat(r.low, <=, r.value);
	g_assert_cmpfloat(r.high, >=, r.value);
	g_assert_cmpfloat(r.high, <=, r.max);
}

/* No rounds, and one in which the other side had nothing of it. */
static void test_ratio_unknown(struct world *w, const void *data)
{
	g_assert_false(bench_compare(series(w, SIDE_A), series(w, SIDE_B), FIGURE_IOPS).known);
	add(w, SIDE_A, 1);
	g_assert_false(bench_compare(series(w, SIDE_A), series(w, SIDE_B), FIGURE_IOPS).known);
	add(w, SIDE_B, 0);
	g_assert_false(bench_compare(series(w, SIDE_A), series(w, SIDE_B), FIGURE_IOPS).known);
}

/* Rounds that are the same leave no doubt. */
static void test_ratio_certain(struct world *w, const void *data)
{
	struct bench_ratio r;

	for (unsigned i = 0; i < 10; i++) {
		add(w, SIDE_A, 3);
		add(w, SIDE_B, 2);
	}
	r = bench_compare(series(w, SIDE_A), series(w, SIDE_B), FIGURE_IOPS);
	g_assert_cmpfloat(r.low, ==, 1.5);
	g_assert_cmpfloat(r.high, ==, 1.5);
}

/* Percentiles are those of all operations, not medians of rounds. */
static void test_percentile(struct world *w, const void *data)
{
	struct bench_series *s = series(w, SIDE_A);
	double wrong = 12345;

	for (unsigned i = 1; i <= 100; i++)
		hist_add(s->latency, i * 1000);
	for (unsigned i = 0; i < FIGURE_COUNT; i++)
		g_array_append_val(s->round[i], wrong);
	g_assert_cmpfloat(bench_summarise(s, FIGURE_MAX).value, ==, 100000);
	g_assert_cmpfloat_with_epsilon(bench_summarise(s, FIGURE_P50).value, 50000, 2000);
	g_assert_cmpfloat(bench_summarise(s, FIGURE_IOPS).value, ==, wrong);
}

static void test_noise(struct world *w, const void *data)
{
	g_autofree char *why = NULL;

	w->bench->side[SIDE_A].started = true;
	for (unsigned i = 0; i < 4; i++)
		add(w, SIDE_A, 100 + i % 2);
	g_assert_null(bench_noisy(w->bench, BENCH_CFG_READ));
	w->bench->noise[BENCH_CFG_READ] = (struct bench_noise){ .steal = 0.02, .others = 0.5 };
	add(w, SIDE_A, 50);
	why = bench_noisy(w->bench, BENCH_CFG_READ);
	g_assert_cmpstr(why, ==, "rounds of A differ by 25 %, the host took 2 % of the time, other "
			"processes took 50 % of the time");
}

static void test_load(void)
{
	struct bench_load from = { 1000, 500, 10 }, to = { 1200, 600, 20 };
	double tick = 1e9 / sysconf(_SC_CLK_TCK);
	struct bench_noise n = bench_load_noise(&from, &to, 40 * tick);

	g_assert_cmpfloat_with_epsilon(n.steal, 0.05, 1e-9);
	g_assert_cmpfloat_with_epsilon(n.others, 0.3, 1e-9);
	n = bench_load_noise(&from, &to, 200 * tick);
	g_assert_cmpfloat(n.others, ==, 0);
	n = bench_load_noise(&from, &from, 0);
	g_assert_cmpfloat(n.steal, ==, 0);
	g_assert_cmpfloat(n.others, ==, 0);
}

/* Operations, the time that each took, and when they ended. */
static void test_meter(struct world *w, const void *data)
{
	struct bench_series *s = series(w, SIDE_A);
	struct bench_meter m = {
		.latency = s->latency, .ticks = s->ticks, .begin = 1000, .count = 3,
		.tick_from = BENCH_TICK_NS,
	};

	g_assert_false(bench_meter_over(&m, UINT64_MAX, 2));
	g_assert_true(bench_meter_over(&m, 0, 3));
	bench_meter_add(&m, 1000, 1500);
	bench_meter_add(&m, 1500, 1000 + 2 * BENCH_TICK_NS);
	g_assert_cmpuint(m.done, ==, 2);
	g_assert_cmpuint(m.last, ==, 1000 + 2 * BENCH_TICK_NS);
	g_assert_cmpuint(s->latency->min, ==, 500);
	g_assert_cmpuint(s->ticks->len, ==, 4);
	g_assert_cmpuint(g_array_index(s->ticks, uint32_t, 0), ==, 0);
	g_assert_cmpuint(g_array_index(s->ticks, uint32_t, 1), ==, 1);
	g_assert_cmpuint(g_array_index(s->ticks, uint32_t, 2), ==, 0);
	g_assert_cmpuint(g_array_index(s->ticks, uint32_t, 3), ==, 1);
	m.end = 5000;
	g_assert_true(bench_meter_over(&m, 5000, 0));
	g_assert_false(bench_meter_over(&m, 4999, 0));
}

/* Of ourselves both ways to ask know the same; of nobody nothing. */
static void test_cost(void)
{
	struct bench_cost before, after;

	bench_cost_remote(0, &before);
	g_assert_cmpuint(before.cpu_ns + before.voluntary + before.involuntary, ==, 0);
	bench_cost_remote(getpid(), &before);
	for (volatile unsigned i = 0; i < 10000000; i++)
		continue;
	sched_yield();
	bench_cost_remote(getpid(), &after);
	g_assert_cmpuint(after.cpu_ns, >, before.cpu_ns);
	bench_cost_own(&before);
	g_assert_cmpuint(before.cpu_ns, >, 0);
}

/* A figure's key and label are its own. */
static void test_figures(void)
{
	for (unsigned i = 0; i < FIGURE_COUNT; i++) {
		g_assert_nonnull(bench_figures[i].label);
		for (unsigned j = 0; j < i; j++) {
			g_assert_cmpstr(bench_figures[i].key, !=, bench_figures[j].key);
			g_assert_cmpstr(bench_figures[i].label, !=, bench_figures[j].label);
		}
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/bench/stat/numbers", test_numbers);
	g_test_add_func("/bench/stat/load", test_load);
	g_test_add_func("/bench/stat/cost", test_cost);
	g_test_add_func("/bench/stat/figures", test_figures);
#define ADD(name, fn) g_test_add("/bench/stat/" name, struct world, NULL, setup, fn, teardown)
	ADD("ratio", test_ratio);
	ADD("ratio/unknown", test_ratio_unknown);
	ADD("ratio/certain", test_ratio_certain);
	ADD("percentile", test_percentile);
	ADD("noise", test_noise);
	ADD("meter", test_meter);
	return g_test_run();
}
