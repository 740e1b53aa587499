/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "applets/proxy/bench/bench.h"

#define RESAMPLES 2000
#define SAMPLE_SEED 1		/* the same rounds give the same interval */

const struct bench_figure_info bench_figures[FIGURE_COUNT] = {
	[FIGURE_IOPS] = { "iops", "operations a second", "/s", 1, -1, false },
	[FIGURE_MBPS] = { "bytes_per_second", "throughput", "MB/s", 1e-6, -1, true },
	[FIGURE_MEAN] = { "latency_ns_mean", "latency, mean", "us", 1e-3, -1, false },
	[FIGURE_P50] = { "latency_ns_p50", "latency, 50 %", "us", 1e-3, 50, false },
	[FIGURE_P90] = { "latency_ns_p90", "latency, 90 %", "us", 1e-3, 90, false },
	[FIGURE_P99] = { "latency_ns_p99", "latency, 99 %", "us", 1e-3, 99, false },
	[FIGURE_P999] = { "latency_ns_p99.9", "latency, 99.9 %", "us", 1e-3, 99.9, false },
	[FIGURE_MAX] = { "latency_ns_max", "latency, largest", "us", 1e-3, 100, false },
	[FIGURE_CPU_REMOTE] = { "remote_cpu_ns", "CPU time of the remote", "us", 1e-3, -1, false },
	[FIGURE_CPU_OWN] = { "own_cpu_ns", "CPU time of ours", "us", 1e-3, -1, false },
	[FIGURE_MESSAGES] = { "messages", "messages", "", 1, -1, false },
	[FIGURE_INTERRUPTS] = { "interrupts", "interrupts", "", 1, -1, true },
	[FIGURE_VOL_REMOTE] = {
		"remote_voluntary_switches", "voluntary switches, remote", "", 1, -1, false,
	},
	[FIGURE_INVOL_REMOTE] = {
		"remote_involuntary_switches", "involuntary, remote", "", 1, -1, false,
	},
	[FIGURE_VOL_OWN] = {
		"own_voluntary_switches", "voluntary switches, ours", "", 1, -1, false,
	},
	[FIGURE_INVOL_OWN] = {
		"own_involuntary_switches", "involuntary, ours", "", 1, -1, false,
	},
};

/* ---- numbers ---- */

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median_sorted(const double *v, unsigned n)
{
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

double bench_median(const double *values, unsigned count)
{
	g_autofree double *v = g_memdup2(values, count * sizeof(*v));

	if (!count)
		return 0;
	qsort(v, count, sizeof(*v), compare_doubles);
	return median_sorted(v, count);
}

double bench_cv(const double *values, unsigned count)
{
	double sum = 0, squares = 0, mean;

	for (unsigned i = 0; i < count; i++)
		sum += values[i];
	mean = count ? sum / count : 0;
	for (unsigned i = 0; i < count; i++)
		squares += (values[i] - mean) * (values[i] - mean);
	return count > 1 && mean > 0 ? sqrt(squares / (count - 1)) / mean : 0;
}

static void range(const double *values, unsigned count, double *ret_min, double *ret_max)
{
	*ret_min = *ret_max = count ? values[0] : 0;
	for (unsigned i = 1; i < count; i++) {
		*ret_min = MIN(*ret_min, values[i]);
		*ret_max = MAX(*ret_max, values[i]);
	}
}

/* ---- one side ---- */

struct bench_summary bench_summarise(const struct bench_series *s, enum bench_figure figure)
{
	const GArray *rounds = s->round[figure];
	const double *v = (const double *)(const void *)rounds->data;
	double percentile = bench_figures[figure].percentile;
	struct bench_summary sum = { .cv = bench_cv(v, rounds->len) };

	range(v, rounds->len, &sum.min, &sum.max);
	sum.value = percentile < 0 ? bench_median(v, rounds->len) :
				     hist_percentile(s->latency, percentile);
	return sum;
}

/* ---- two ---- */

/* Medians of as many pairs, drawn with replacement: where the middle 95 % of them lie. */
static void bootstrap(const double *ratios, unsigned count, double *ret_low, double *ret_high)
{
	g_autofree double *drawn = g_new(double, count), *medians = g_new(double, RESAMPLES);
	g_autoptr(GRand) rand = g_rand_new_with_seed(SAMPLE_SEED);

	for (unsigned i = 0; i < RESAMPLES; i++) {
		for (unsigned j = 0; j < count; j++)
			drawn[j] = ratios[g_rand_int_range(rand, 0, count)];
		medians[i] = bench_median(drawn, count);
	}
	qsort(medians, RESAMPLES, sizeof(*medians), compare_doubles);
	*ret_low = medians[RESAMPLES * 25 / 1000];
	*ret_high = medians[RESAMPLES * 975 / 1000 - 1];
}

struct bench_ratio bench_compare(const struct bench_series *a, const struct bench_series *b,
				 enum bench_figure figure)
{
	const GArray *above = a->round[figure], *below = b->round[figure];
	unsigned count = MIN(above->len, below->len);
	g_autofree double *ratios = g_new(double, count + 1);
	struct bench_ratio r = { .known = count > 0 };

	for (unsigned i = 0; i < count && r.known; i++) {
		double under = g_array_index(below, double, i);

		r.known = under > 0;
		ratios[i] = r.known ? g_array_index(above, double, i) / under : 0;
	}
	if (!r.known)
		return r;
	r.value = bench_median(ratios, count);
	range(ratios, count, &r.min, &r.max);
	bootstrap(ratios, count, &r.low, &r.high);
	return r;
}

/* ---- noise ---- */

char *bench_noisy(const struct bench *b, enum bench_op op)
{
	g_autoptr(GString) why = g_string_new(NULL);

	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		const struct bench_side *s = &b->side[i];
		double cv;

		if (!bench_side_runs(s, op))
			continue;
		cv = bench_summarise(&s->series[op], FIGURE_IOPS).cv;
		if (cv > BENCH_NOISY_CV)
			g_string_append_printf(why, "%srounds of %s differ by %.0f %%",
					       why->len ? ", " : "", s->label, cv * 100);
	}
	if (b->noise[op].steal > BENCH_NOISY_STEAL)
		g_string_append_printf(why, "%sthe host took %.0f %% of the time",
				       why->len ? ", " : "", b->noise[op].steal * 100);
	if (b->noise[op].others > BENCH_NOISY_OTHERS)
		g_string_append_printf(why, "%sother processes took %.0f %% of the time",
				       why->len ? ", " : "", b->noise[op].others * 100);
	return why->len ? g_string_free(g_steal_pointer(&why), false) : NULL;
}
