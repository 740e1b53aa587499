/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "metrics/page.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>
#include <jansson.h>

#include "metrics/text.h"

static struct metrics_page *fresh(void)
{
	struct metrics_page *page = g_malloc(METRICS_SIZE);

	memset(page, 0, METRICS_SIZE);
	metrics_use(page);
	return page;
}

/* A reader takes no page of another layout, and none that is too short. */
static void test_refused(void)
{
	g_autofree struct metrics_page *page = fresh();
	struct metrics_page copy;
	static const struct {
		size_t at;
		const char *what;
	} rows[] = {
		{ offsetof(struct metrics_page, magic), "magic" },
		{ offsetof(struct metrics_page, version), "version" },
		{ offsetof(struct metrics_page, counters), "counters" },
		{ offsetof(struct metrics_page, hists), "hists" },
		{ offsetof(struct metrics_page, buckets), "buckets" },
		{ offsetof(struct metrics_page, size), "size" },
	};

	g_assert_cmpint(metrics_copy(page, 0, &copy), ==, -EINVAL);
	g_assert_cmpint(metrics_copy(page, METRICS_SIZE - 1, &copy), ==, -EINVAL);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_test_message("%s", rows[i].what);
		((uint8_t *)page)[rows[i].at] ^= 0x80;
		memset(&copy, 0x5a, sizeof(copy));
		g_assert_cmpint(metrics_copy(page, METRICS_SIZE, &copy), ==, -EINVAL);
		g_assert_cmphex(copy.magic, ==, 0x5a5a5a5a);
		((uint8_t *)page)[rows[i].at] ^= 0x80;
	}
	g_assert_cmpint(metrics_copy(page, METRICS_SIZE, &copy), ==, 0);
}

typedef void print_fn(const struct metrics_page *page, struct text *out);

static char *print(const struct metrics_page *page, print_fn *fn)
{
	char *buf = g_malloc(METRICS_TEXT_MAX);
	struct text text;

	text_init(&text, buf, METRICS_TEXT_MAX);
	fn(page, &text);
	g_assert_false(text.cut);
	return buf;
}

/* Any number in any place: it is printed, and fits. */
static void test_hostile(void)
{
	static const uint8_t bytes[] = { 0xff, 0x80, 0x7f, 0x01 };
	g_autofree struct metrics_page *page = fresh();

	for (unsigned i = 0; i < G_N_ELEMENTS(bytes); i++) {
		struct metrics_page copy;

		memset(page->counter, bytes[i], sizeof(page->counter));
		memset(page->hist, bytes[i], sizeof(page->hist));
		g_assert_cmpint(metrics_copy(page, METRICS_SIZE, &copy), ==, 0);
		g_autofree char *text = print(&copy, metrics_print_text);
		g_autofree char *json = print(&copy, metrics_print_json);

		g_assert_true(g_str_has_suffix(text, "\n"));
		g_assert_true(g_str_has_suffix(json, "}\n"));
	}
}

static void count_some(void)
{
	metrics_count(METRIC_CONFIG_READS);
	metrics_add(METRIC_DMA_READ_BYTES, 512);
	metrics_io_started(0, 1);
	metrics_io_started(0, 2);
	metrics_io_ended(0, 1000, 0, 4096);
	metrics_io_ended(0, 2000000000, -EIO, 4096);
	metrics_io_started(2, 1);
	metrics_io_ended(2, UINT64_MAX, 0, 0);
	/* None that there is. */
	metrics_io_started(METRICS_IO_OPS, 1);
	metrics_io_ended(METRICS_IO_OPS, 1, 0, 1);
}

static void test_counts(void)
{
	g_autofree struct metrics_page *page = fresh();
	struct hist h;

	count_some();
	g_assert_cmpuint(page->counter[METRIC_IO_STARTED], ==, 2);
	g_assert_cmpuint(page->counter[METRIC_IO_ENDED], ==, 2);
	g_assert_cmpuint(page->counter[METRIC_IO_ERRORS], ==, 1);
	g_assert_cmpuint(page->counter[METRIC_IO_BYTES], ==, 4096);
	metrics_hist(page, METRICS_LATENCY, &h);
	g_assert_cmpuint(h.count, ==, 2);
	g_assert_cmpuint(h.sum, ==, 2000001000);
	g_assert_cmpuint(hist_percentile(&h, 50), >=, 1000);
	g_assert_cmpuint(hist_percentile(&h, 50), <=, 1250);
	metrics_hist(page, METRICS_LATENCY + 2, &h);
	g_assert_cmpuint(h.bucket[METRICS_BUCKETS - 1], ==, 1);
	metrics_hist(page, METRICS_DEPTH, &h);
	g_assert_cmpuint(h.max, ==, 2);
	/* What comes next is counted elsewhere. */
	g_autofree struct metrics_page *other = fresh();
	count_some();
	g_assert_cmpuint(page->counter[METRIC_IO_STARTED], ==, 2);
	g_assert_cmpuint(other->counter[METRIC_CONFIG_READS], ==, 1);
}

static void has(const char *text, const char *line)
{
	g_autofree char *whole = g_strdup_printf("\n%s\n", line);

	if (!strstr(text, whole))
		g_error("no line '%s' in:\n%s", line, text);
}

static void test_text(void)
{
	g_autofree struct metrics_page *page = fresh();
	g_autofree char *text = NULL;

	count_some();
	text = print(page, metrics_print_text);
	has(text, "# TYPE mpqemu_messages_total counter");
	has(text, "mpqemu_messages_total{kind=\"config_read\"} 1");
	has(text, "mpqemu_sessions_total 0");
	has(text, "mpqemu_dma_bytes_total{direction=\"read\"} 512");
	has(text, "mpqemu_io_errors_total{op=\"read\"} 1");
	has(text, "mpqemu_io_depth_bucket{le=\"1\"} 2");
	has(text, "mpqemu_io_depth_bucket{le=\"+Inf\"} 3");
	has(text, "mpqemu_io_seconds_bucket{op=\"read\",le=\"0.000001023\"} 1");
	has(text, "mpqemu_io_seconds_bucket{op=\"read\",le=\"+Inf\"} 2");
	has(text, "mpqemu_io_seconds_sum{op=\"read\"} 2.000001000");
	has(text, "mpqemu_io_seconds_count{op=\"read\"} 2");
	has(text, "mpqemu_io_seconds_bucket{op=\"flush\",le=\"+Inf\"} 1");
	g_assert_null(strstr(text, "op=\"write\",le"));
}

static void test_json(void)
{
	g_autofree struct metrics_page *page = fresh();
	g_autofree char *text = NULL;
	json_t *root, *read;

	count_some();
	page->hist[METRICS_LATENCY + 2] = (struct metrics_buckets){ 0 };
	text = print(page, metrics_print_json);
	root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	g_assert_nonnull(root);
	read = json_object_get(json_object_get(root, "io_ns"), "read");
	g_assert_cmpint(json_integer_value(json_object_get(read, "count")), ==, 2);
	g_assert_cmpint(json_integer_value(json_object_get(json_object_get(root, "messages"),
							   "config_read")), ==, 1);
	g_assert_cmpint(json_integer_value(json_object_get(root, "sessions")), ==, 0);
	json_decref(root);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/page/refused", test_refused);
	g_test_add_func("/page/hostile", test_hostile);
	g_test_add_func("/page/counts", test_counts);
	g_test_add_func("/page/text", test_text);
	g_test_add_func("/page/json", test_json);
	return g_test_run();
}
