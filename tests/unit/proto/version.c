/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The JSON text of vfio-user's VERSION: what is read out of hostile ones, and what we write. */

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib.h>
#include <jansson.h>

#include "proto/vfu.h"
#include "../util.h"

#define TEXT_MAX VFU_VERSION_TEXT_MAX
#define DEFAULTS { .max_fds = 8, .max_maps = 65535, .max_data = 1 << 20 }

static void assert_limits(const struct vfu_limits *a, const struct vfu_limits *b)
{
	g_assert_cmpuint(a->max_fds, ==, b->max_fds);
	g_assert_cmpuint(a->max_maps, ==, b->max_maps);
	g_assert_cmpuint(a->max_data, ==, b->max_data);
	g_assert_true(a->write_multiple == b->write_multiple);
}

/* Parses a copy that ends where its memory does, so that a byte too far is seen. */
static int parse(const void *text, size_t len, struct vfu_limits *ret)
{
	g_autofree void *copy = g_memdup2(text, len);

	return vfu_version_parse(copy, len, ret);
}

/* Texts that are understood */

#define CAPS(text) "{\"capabilities\":{" text "}}"

static const struct {
	const char *text;
	struct vfu_limits want;
} good[] = {
	{ "{}", DEFAULTS }, { " \t\n{ } \r", DEFAULTS }, { CAPS(""), DEFAULTS },
	{ "{\"other\":[1,2.5,null,{}]}", DEFAULTS },
	{ CAPS("\"twin_socket\":{\"a\":1}"), DEFAULTS },
	{ CAPS("\"max_msg_fds\":0"), { 0, 65535, 1 << 20, false } },
	{ CAPS("\"max_msg_fds\":1"), { 1, 65535, 1 << 20, false } },
	{ CAPS("\"max_msg_fds\":4294967295"), { UINT32_MAX, 65535, 1 << 20, false } },
	{ CAPS("\"max_dma_maps\":0"), { 8, 0, 1 << 20, false } },
	{ CAPS("\"max_data_xfer_size\":1"), { 8, 65535, 1, false } },
	{ CAPS("\"max_data_xfer_size\":9223372036854775807"), { 8, 65535, INT64_MAX, false } },
	{ CAPS("\"write_multiple\":true"), { 8, 65535, 1 << 20, true } },
	{ CAPS("\"write_multiple\":false"), { 8, 65535, 1 << 20, false } },
	{ CAPS("\"pgsizes\":65536"), DEFAULTS },
	/* of two the later one */
	{ CAPS("\"max_msg_fds\":3,\"max_msg_fds\":5"), { 5, 65535, 1 << 20, false } },
	{ "{\"capabilities\":7,\"capabilities\":{\"max_msg_fds\":4}}",
	  { 4, 65535, 1 << 20, false } },
	/* QEMU 11.1.3, byte by byte */
	{ "{\"capabilities\": {\"pgsizes\": 4096, \"max_msg_fds\": 16, \"max_dma_maps\": 65535, "
	  "\"max_data_xfer_size\": 1048576, \"migration\": {\"max_bitmap_size\": 268435456, "
	  "\"pgsize\": 4096}, \"write_multiple\": true}}", { 16, 65535, 1 << 20, true } },
	/* Cloud Hypervisor */
	{ CAPS("\"max_msg_fds\":1,\"max_data_xfer_size\":1048576,\"migration\":{\"pgsize\":4096}"),
	  { 1, 65535, 1 << 20, false } },
};

static void test_good(void)
{
	const struct vfu_limits defaults = DEFAULTS;
	struct vfu_limits got = { 1, 2, 3, true };

	g_assert_cmpint(vfu_version_parse(NULL, 0, &got), ==, 0);
	assert_limits(&got, &defaults);
	for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
		g_test_message("%s", good[i].text);
		g_assert_cmpint(parse(good[i].text, strlen(good[i].text) + 1, &got), ==, 0);
		assert_limits(&got, &good[i].want);
	}
}

/* Texts that are none */

#define BAD(text) { text, sizeof(text) }

static const struct {
	const char *text;
	size_t len;	/* its NUL included */
} bad[] = {
	BAD(""), BAD(" "), BAD("{"), BAD("}"), BAD("{}}"), BAD("{}{}"), BAD("[]"), BAD("null"),
	BAD("7"), BAD("\"x\""), BAD("nonsense"), BAD("{'a':1}"), BAD("{\"a\":1,}"), BAD("{a:1}"),
	BAD("{\"a\":01}"), BAD("{\"a\":+1}"), BAD("{\"a\":.5}"), BAD("{\"a\":NaN}"),
	BAD("{\"a\":1e999}"), BAD("{\"a\":\"\\u0000\"}"), BAD("{\"a\":\"\\ud800\"}"),
	BAD("{\"\\u0000\":1}"), BAD("{\"a\":\"\xff\"}"), BAD("{\"a\":\"\xc0\x80\"}"),
	BAD("{\"a\":\"\n\"}"), BAD("\xef\xbb\xbf{}"),
	/* the right length, with no NUL, or one in the middle, or two */
	{ "{}", 2 }, { "{}x", 3 }, { "{}\0{}", 6 }, { "{}\0", 4 }, { "\0{}", 4 }, { "\0", 2 },
	BAD("{\"capabilities\":null}"), BAD("{\"capabilities\":[]}"), BAD("{\"capabilities\":1}"),
	BAD("{\"capabilities\":\"\"}"), BAD("{\"capabilities\":{},\"capabilities\":1}"),
	BAD(CAPS("\"max_msg_fds\":-1")), BAD(CAPS("\"max_msg_fds\":4294967296")),
	BAD(CAPS("\"max_msg_fds\":1.0")), BAD(CAPS("\"max_msg_fds\":1e1")),
	BAD(CAPS("\"max_msg_fds\":\"8\"")), BAD(CAPS("\"max_msg_fds\":null")),
	BAD(CAPS("\"max_msg_fds\":true")), BAD(CAPS("\"max_msg_fds\":[8]")),
	BAD(CAPS("\"max_msg_fds\":{}")), BAD(CAPS("\"max_msg_fds\":18446744073709551616")),
	BAD(CAPS("\"max_msg_fds\":5,\"max_msg_fds\":-5")),
	BAD(CAPS("\"max_dma_maps\":-1")), BAD(CAPS("\"max_dma_maps\":4294967296")),
	BAD(CAPS("\"max_dma_maps\":0.5")), BAD(CAPS("\"max_data_xfer_size\":0")),
	BAD(CAPS("\"max_data_xfer_size\":-4096")), BAD(CAPS("\"max_data_xfer_size\":4096.0")),
	BAD(CAPS("\"max_data_xfer_size\":9223372036854775808")),
	BAD(CAPS("\"max_data_xfer_size\":-9223372036854775808")),
	BAD(CAPS("\"max_data_xfer_size\":\"4096\"")), BAD(CAPS("\"pgsizes\":0")),
	BAD(CAPS("\"pgsizes\":-1")), BAD(CAPS("\"pgsizes\":[4096]")),
	BAD(CAPS("\"write_multiple\":1")), BAD(CAPS("\"write_multiple\":null")),
	BAD(CAPS("\"write_multiple\":\"true\"")),
};

static void test_bad(void)
{
	const struct vfu_limits before = { 1, 2, 3, true };

	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		struct vfu_limits got = before;

		g_test_message("row %u", i);
		g_assert_cmpint(parse(bad[i].text, bad[i].len, &got), ==, -EINVAL);
		assert_limits(&got, &before);
	}
}

/* Each beginning of a good text is bad but the empty one, with a NUL and without. */
static void test_cut(void)
{
	const char *text = good[G_N_ELEMENTS(good) - 2].text;
	struct vfu_limits got = DEFAULTS;

	for (size_t cut = 0; cut < strlen(text); cut++) {
		g_autofree char *part = g_strndup(text, cut);

		g_assert_cmpint(parse(part, cut + 1, &got), ==, -EINVAL);
		if (cut)
			g_assert_cmpint(parse(part, cut, &got), ==, -EINVAL);
	}
}

/* The longest that is looked at, and a byte more. */
static void test_length(void)
{
	const struct vfu_limits defaults = DEFAULTS;
	char text[TEXT_MAX + 1];
	struct vfu_limits got;

	for (size_t len = TEXT_MAX - 1; len <= sizeof(text); len++) {
		memset(text, ' ', sizeof(text));
		memcpy(text, "{}", 2);
		text[len - 1] = 0;
		got = (struct vfu_limits){ 0 };
		g_assert_cmpint(parse(text, len, &got), ==, len <= TEXT_MAX ? 0 : -EINVAL);
		if (len <= TEXT_MAX)
			assert_limits(&got, &defaults);
	}
}

/* Our own text */

static void text_of_size(const struct vfu_limits *limits, size_t size)
{
	g_autofree char *buf = g_malloc(size + 16);
	struct vfu_limits got;
	size_t len;

	memset(buf, 0x5a, size + 16);
	len = vfu_version_text(limits, buf, size);
	g_assert_cmpuint(len, <=, size);
	for (size_t i = size; i < size + 16; i++)
		g_assert_cmphex(buf[i], ==, 0x5a);
	g_assert_cmpint(parse(buf, len, &got), ==, 0);
	if (len)
		g_assert_cmpuint(got.max_data, ==, limits->max_data);
	else
		g_assert_cmpuint(size, <, 64);
	if (size >= 214)	/* what QEMU gives */
		assert_limits(&got, limits);
}

static void test_text(void)
{
	const struct vfu_limits limits[] = {
		{ 16, 8192, 4096, true }, { 0, 0, 1, false },
		{ UINT32_MAX, UINT32_MAX, INT64_MAX, false },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(limits); i++)
		for (size_t size = 0; size <= 300; size++) {
			g_test_message("row %u, %zu bytes", i, size);
			text_of_size(&limits[i], size);
		}
}

/* The heap that a text takes */

/* Writes @what until @end bytes are left; how long the text is then. */
static size_t repeat(char *text, size_t len, const char *what, size_t end)
{
	size_t n = strlen(what);

	while (n && len + n <= end) {
		memcpy(text + len, what, n);
		len += n;
	}
	return len;
}

/* A text of what jansson makes most of: @open so often, then @fill as long as there is room. */
static void make_worst(char *text, const char *open, unsigned depth, const char *fill)
{
	size_t len = 0;

	memset(text, 0, TEXT_MAX);
	for (unsigned i = 0; i < depth; i++)
		len = repeat(text, len, open, MIN(len + strlen(open), TEXT_MAX - 1));
	repeat(text, len, fill, TEXT_MAX - 1);
	for (size_t i = strlen(text); i < TEXT_MAX - 1; i++)
		text[i] = ' ';
}

static const struct {
	const char *open;
	unsigned depth;
	const char *fill;
} worst[] = {
	{ "[", 1, "{}," }, { "[", 1, "[]," }, { "[", 1, "0," }, { "[", 1, "\"\"," },
	{ "[", 1, "0.5," }, { "[", 2047, "{}," }, { "[", 2047, "[]," }, { "[", 2048, "0," },
	{ "[", 4095, "" }, { "{\"\":", 1023, "" }, { "{\"\":[", 900, "{}," },
	{ "[", 1800, "{\"\":{}}," }, { "[", 1000, "{\"\":[]}," }, { "[", 1500, "{}," },
	{ "{\"capabilities\":[", 1, "{}," }, { "{\"capabilities\":[", 1, "{\"\":0}," },
	{ "[\"", 1, "\\u0001" }, { "[\"", 1, "\xc3\xa9" }, { "[", 1, "{\"a\":1,\"b\":2,\"c\":3}," },
	{ "{", 1, "\"a\":{},\"b\":{}," }, { "", 0, "{\"\":[" }, { "[", 1, "1e-300," },
	{ "[", 1, "123456789012345678," },
};

static size_t heap_now, heap_peak;

static void *count_malloc(size_t size)
{
	void *p = malloc(size);

	heap_now += malloc_usable_size(p) + sizeof(size_t);
	heap_peak = MAX(heap_peak, heap_now);
	return p;
}

static void count_free(void *p)
{
	if (p)
		heap_now -= malloc_usable_size(p) + sizeof(size_t);
	free(p);
}

/* A text with different keys: each is an entry of a table that grows. */
static void make_keys(char *text)
{
	size_t len = 0;
	unsigned i = 0;

	memset(text, 0, TEXT_MAX);
	text[len++] = '{';
	while (len + 16 < TEXT_MAX)
		len += g_snprintf(text + len, 16, "%s\"%x\":{}", i ? "," : "", i), i++;
	text[len] = '}';
}

/* Random sequences of what texts are made of: some shape that no row has. */
static void make_random(GRand *rand, char *text)
{
	static const char *const part[] = {
		"[", "[", "[", "{\"\":", "{\"k\":", "{},", "{},", "[],", "0,", "\"\",", "]", "},",
	};
	size_t len = 0;

	memset(text, 0, TEXT_MAX);
	while (len + 8 < TEXT_MAX) {
		unsigned which = g_rand_int_range(rand, 0, G_N_ELEMENTS(part));
		unsigned times = 1 + g_rand_int_range(rand, 0, 400);

		while (times-- && len + 8 < TEXT_MAX)
			len = repeat(text, len, part[which], len + strlen(part[which]));
	}
}

static void for_each_worst(void (*fn)(const char *text, size_t len))
{
	GRand *rand = g_rand_new_with_seed(1);
	char text[TEXT_MAX];

	for (unsigned i = 0; i < G_N_ELEMENTS(worst); i++) {
		make_worst(text, worst[i].open, worst[i].depth, worst[i].fill);
		fn(text, sizeof(text));
	}
	make_keys(text);
	fn(text, strlen(text) + 1);
	for (unsigned i = 0; i < 300; i++) {
		make_random(rand, text);
		fn(text, strlen(text) + 1);
	}
	g_rand_free(rand);
}

static void measure(const char *text, size_t len)
{
	size_t before = heap_peak;
	struct vfu_limits got;

	vfu_version_parse(text, len, &got);
	g_assert_cmpuint(heap_now, ==, 0);
	if (heap_peak > before)
		g_test_message("%.12s...: %zu bytes", text, heap_peak);
}

/* Twice what the worst takes is set aside: there are holes between what is in use, too. */
static void test_heap(void)
{
	json_set_alloc_funcs(count_malloc, count_free);
	heap_peak = heap_now = 0;
	for_each_worst(measure);
	json_set_alloc_funcs(malloc, free);
	g_assert_cmpuint(heap_peak, >, 100000);	/* they are bad enough */
	g_assert_cmpuint(heap_peak, <=, VFU_VERSION_HEAP / 2);
}

static void parse_only(const char *text, size_t len)
{
	struct vfu_limits got;

	vfu_version_parse(text, len, &got);
}

/* Tools that have a heap of their own. */
static bool tool_runs(void)
{
#if defined(__SANITIZE_ADDRESS__)
	return true;
#endif
	return g_getenv("MPQ_WRAPPER") != NULL;
}

/* In a child: the heap as the device process has it.  Returns whether brk() was needed. */
static bool heap_grows(void)
{
	void *before;

	mallopt(M_TRIM_THRESHOLD, -1);
	mallopt(M_MMAP_MAX, 0);
	if (vfu_version_prepare())
		_exit(1);
	before = sbrk(0);
	for (unsigned i = 0; i < 5; i++)
		for_each_worst(parse_only);
	return sbrk(0) != before;
}

static void test_no_brk(void)
{
	pid_t pid;
	int status;

	if (tool_runs()) {
		g_test_skip("valgrind or a sanitizer has a heap of its own");
		return;
	}
	pid = must(fork());
	if (!pid)
		_exit(heap_grows() ? 2 : 0);
	must(waitpid(pid, &status, 0));
	g_assert_cmpint(status, ==, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vfu-version/text", test_text);
	g_test_add_func("/vfu-version/good", test_good);
	g_test_add_func("/vfu-version/bad", test_bad);
	g_test_add_func("/vfu-version/cut", test_cut);
	g_test_add_func("/vfu-version/length", test_length);
	g_test_add_func("/vfu-version/heap", test_heap);
	g_test_add_func("/vfu-version/no-brk", test_no_brk);
	return g_test_run();
}
