/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "metrics/hist.h"

#include <string.h>

#include <glib.h>

#include "metrics/text.h"

static const struct hist_shape shapes[] = {
	{ 0, 0, 1 }, { 0, 0, 65 }, { 0, 0, 10 }, { 63, 5, 40 }, { 63, 0, 3 }, { 0, 10, 1920 },
	{ 8, 2, 112 }, { 0, 2, 40 }, { 0, 5, 1920 }, { 60, 2, 20 },
};

/* Each bucket begins where the one before ends, and its two ends are in it. */
static void test_bounds(void)
{
	for (unsigned s = 0; s < G_N_ELEMENTS(shapes); s++) {
		const struct hist_shape *shape = &shapes[s];

		g_test_message("row %u", s);
		g_assert_cmpuint(hist_low(shape, 0), ==, 0);
		g_assert_cmpuint(hist_high(shape, shape->count - 1), ==, UINT64_MAX);
		for (unsigned i = 0; i < shape->count; i++) {
			uint64_t low = hist_low(shape, i), high = hist_high(shape, i);

			if (low == UINT64_MAX)	/* beyond the last octave */
				continue;
			g_assert_cmpuint(high, >=, low);
			g_assert_cmpuint(hist_index(shape, low), ==, i);
			g_assert_cmpuint(hist_index(shape, high), ==, i);
			if (high < UINT64_MAX)
				g_assert_cmpuint(hist_low(shape, i + 1), ==, high + 1);
		}
	}
}

static void test_extremes(void)
{
	for (unsigned s = 0; s < G_N_ELEMENTS(shapes); s++) {
		const struct hist_shape *shape = &shapes[s];

		g_assert_cmpuint(hist_index(shape, 0), ==, 0);
		g_assert_cmpuint(hist_index(shape, UINT64_MAX), <, shape->count);
		g_assert_cmpuint(hist_index(shape, 1ULL << 63), <, shape->count);
	}
	g_assert_cmpuint(hist_index(&HIST_FINE, UINT64_MAX), ==, HIST_MAX_BUCKETS - 1);
}

/* No bucket of the fine shape is wider than a 32nd of where it begins. */
static void test_error(void)
{
	for (unsigned i = 32; i < HIST_MAX_BUCKETS; i++) {
		uint64_t low = hist_low(&HIST_FINE, i), high = hist_high(&HIST_FINE, i);

		g_assert_cmpuint(high - low, <=, low / 32);
	}
}

static struct hist *make(const struct hist_shape *shape)
{
	struct hist *h = g_new(struct hist, 1);

	memset(h, 0xa5, sizeof(*h));	/* it shall not depend on what was there */
	hist_init(h, shape);
	return h;
}

static void test_empty(void)
{
	g_autofree struct hist *h = make(&HIST_FINE);
	char buf[512];
	struct text text;

	g_assert_cmpuint(hist_percentile(h, 50), ==, 0);
	g_assert_cmpfloat(hist_mean(h), ==, 0);
	text_init(&text, buf, sizeof(buf));
	hist_json(h, &text);
	g_assert_cmpstr(buf, ==, "{\"count\": 0, \"sum\": 0, \"min\": 0, \"max\": 0, "
			"\"mean\": 0.0, \"p50\": 0, \"p90\": 0, \"p95\": 0, \"p99\": 0, "
			"\"p99.9\": 0, \"buckets\": []}");
}

static void test_overflow(void)
{
	g_autofree struct hist *h = make(&(struct hist_shape){ 0, 2, 40 });

	hist_add(h, UINT64_MAX);
	hist_add(h, UINT64_MAX);
	hist_add(h, 1ULL << 40);
	g_assert_cmpuint(h->sum, ==, UINT64_MAX);
	g_assert_cmpuint(h->bucket[39], ==, 3);
	g_assert_cmpuint(hist_percentile(h, 100), ==, UINT64_MAX);
	g_assert_cmpuint(h->min, ==, 1ULL << 40);
}

/* A count that lies, as another process's may, gives a wrong number and nothing worse. */
static void test_lying_count(void)
{
	g_autofree struct hist *h = make(&HIST_FINE);

	hist_add(h, 5);
	h->count = UINT64_MAX;
	g_assert_cmpuint(hist_percentile(h, 50), ==, 5);
	g_assert_cmpuint(hist_percentile(h, 100), ==, 5);
	h->count = 0;
	g_assert_cmpuint(hist_percentile(h, 50), ==, 0);
}

static void test_percentiles(void)
{
	static const struct {
		double percent;
		uint64_t value;
	} rows[] = {
		{ -1, 1 }, { 0, 1 }, { 0.1, 1 }, { 0.11, 2 }, { 50, 500 }, { 99, 990 },
		{ 99.9, 999 }, { 100, 1000 }, { 1000, 1000 },
	};
	g_autofree struct hist *h = make(&HIST_FINE);

	for (uint64_t v = 1000; v; v--)
		hist_add(h, v);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		uint64_t got = hist_percentile(h, rows[i].percent);

		g_test_message("row %u: %" G_GUINT64_FORMAT, i, got);
		g_assert_cmpuint(got, >=, rows[i].value);
		g_assert_cmpuint(got, <=, rows[i].value + rows[i].value / 32);
	}
	g_assert_cmpfloat(hist_mean(h), ==, 500.5);
}

static void test_merge(void)
{
	g_autofree struct hist *a = make(&HIST_FINE), *b = make(&HIST_FINE);

	hist_merge(a, b);
	g_assert_cmpuint(a->count, ==, 0);
	g_assert_cmpuint(a->min, ==, UINT64_MAX);
	hist_add(a, 7);
	hist_add(b, 3);
	hist_add(b, 1000);
	hist_merge(a, b);
	g_assert_cmpuint(a->count, ==, 3);
	g_assert_cmpuint(a->sum, ==, 1010);
	g_assert_cmpuint(a->min, ==, 3);
	g_assert_cmpuint(a->max, ==, 1000);
	g_assert_cmpuint(hist_percentile(a, 50), ==, 7);
}

static void test_json(void)
{
	g_autofree struct hist *h = make(&HIST_FINE);
	char buf[512];
	struct text text;

	hist_add(h, 3);
	hist_add(h, 3);
	hist_add(h, 100);
	text_init(&text, buf, sizeof(buf));
	hist_json(h, &text);
	g_assert_false(text.cut);
	g_assert_cmpstr(buf, ==, "{\"count\": 3, \"sum\": 106, \"min\": 3, \"max\": 100, "
			"\"mean\": 35.3, \"p50\": 3, \"p90\": 100, \"p95\": 100, \"p99\": 100, "
			"\"p99.9\": 100, \"buckets\": [[3, 3, 2], [100, 101, 1]]}");
}

/* What has no room is left out as a whole, and so is all that follows. */
static void test_text(void)
{
	char buf[8];
	struct text text;

	memset(buf, 'x', sizeof(buf));
	text_init(&text, buf, 6);
	text_add(&text, "%s", "abc");
	text_add(&text, "%d", 123);
	g_assert_true(text.cut);
	text_add(&text, "d");
	g_assert_cmpstr(buf, ==, "abc");
	g_assert_cmpuint(text.len, ==, 3);
	g_assert_cmpint(buf[6], ==, 'x');
	text_init(&text, buf, 6);
	text_add(&text, "abcde");
	g_assert_false(text.cut);
	text_add(&text, "f");
	g_assert_true(text.cut);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/hist/bounds", test_bounds);
	g_test_add_func("/hist/extremes", test_extremes);
	g_test_add_func("/hist/error", test_error);
	g_test_add_func("/hist/empty", test_empty);
	g_test_add_func("/hist/overflow", test_overflow);
	g_test_add_func("/hist/lying-count", test_lying_count);
	g_test_add_func("/hist/percentiles", test_percentiles);
	g_test_add_func("/hist/merge", test_merge);
	g_test_add_func("/hist/json", test_json);
	g_test_add_func("/text/cut", test_text);
	return g_test_run();
}
