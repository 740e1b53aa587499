/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ring of --trace: hostile memory on either side, then order, wrapping, and what is lost. */

#include <errno.h>
#include <string.h>

#include <glib.h>

#include "control/trace.h"

#define SIZE TRACE_SIZE_MIN

/* Where the shared words stand: one side cannot know who wrote them. */
enum { AT_MAGIC = 0, AT_SIZE = 8, AT_HEAD = 64, AT_TAIL = 128 };

struct rig {
	uint8_t map[TRACE_HEADER + SIZE] __attribute__((aligned(64)));
	struct trace reader, writer;
};

static struct rig *rig_new(void)
{
	struct rig *r = g_aligned_alloc0(1, sizeof(*r), 64);

	trace_begin(&r->reader, r->map, SIZE);
	g_assert_cmpint(trace_join(&r->writer, r->map, SIZE), ==, 0);
	return r;
}

static void rig_free(struct rig *r)
{
	g_aligned_free(r);
}

static void set_word(struct rig *r, unsigned at, uint64_t value)
{
	memcpy(r->map + at, &value, sizeof(value));
}

static void assert_next(struct rig *r, unsigned kind, uint64_t arg, const char *data, size_t len)
{
	struct trace_event event = { 0 };

	g_assert_cmpint(trace_next(&r->reader, &event), ==, 0);
	g_assert_cmpuint(event.kind, ==, kind);
	g_assert_cmpuint(event.device, ==, 3);
	g_assert_cmphex(event.arg, ==, arg);
	g_assert_cmpmem(r->reader.data, event.len, data, len);
}

static void assert_error(struct rig *r, int ret)
{
	struct trace_event event;

	g_assert_cmpint(trace_next(&r->reader, &event), ==, ret);
}

static void test_join(void)
{
	struct rig *r = rig_new();
	struct trace t;

	g_assert_cmpint(trace_join(&t, r->map, 2 * SIZE), ==, -EINVAL);
	set_word(r, AT_HEAD, 8);
	g_assert_cmpint(trace_join(&t, r->map, SIZE), ==, -EINVAL);
	set_word(r, AT_HEAD, 0);
	set_word(r, AT_MAGIC, 0);
	g_assert_cmpint(trace_join(&t, r->map, SIZE), ==, -EINVAL);
	rig_free(r);
}

/* A device process that was taken over writes the ring as it likes. */
static void test_hostile_writer(void)
{
	static const struct {
		uint64_t head;
		struct trace_event event;
	} rows[] = {
		{ 8, { TRACE_IRQ, 3, 0, 0 } },		/* half an event */
		{ SIZE + 8, { TRACE_IRQ, 3, 0, 0 } },	/* more than there can be */
		{ UINT64_MAX, { TRACE_IRQ, 3, 0, 0 } },
		{ 16, { 0, 3, 0, 0 } },
		{ 16, { TRACE_KIND_COUNT, 3, 0, 0 } },
		{ 16, { TRACE_DMA_READ, 3, 1, 0 } },	/* its data are not there */
		{ 64, { TRACE_DMA_READ, 3, 49, 0 } },
		{ SIZE, { TRACE_DMA_READ, 3, TRACE_DATA_MAX + 1, 0 } },
		{ SIZE, { TRACE_DMA_READ, 3, UINT32_MAX, 0 } },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct rig *r = rig_new();

		set_word(r, AT_HEAD, rows[i].head);
		memcpy(r->map + TRACE_HEADER, &rows[i].event, sizeof(rows[i].event));
		assert_error(r, -EPROTO);
		set_word(r, AT_HEAD, 16);
		assert_error(r, -EPROTO);	/* and it stays so */
		rig_free(r);
	}
}

/* What a reader writes there costs events at the worst. */
static void test_hostile_reader(void)
{
	static const uint64_t tails[] = { 1, 8, SIZE, UINT64_MAX, UINT64_MAX - SIZE - 4096 };

	for (size_t i = 0; i < G_N_ELEMENTS(tails); i++) {
		struct rig *r = rig_new();

		set_word(r, AT_TAIL, tails[i]);
		set_word(r, AT_SIZE, UINT64_MAX);
		for (unsigned n = 0; n < 40; n++)
			trace_put(&r->writer, TRACE_DMA_WRITE, 3, 0, r->map, TRACE_DATA_MAX);
		g_assert_cmpuint(trace_lost(&r->reader), >, 0);
		rig_free(r);
	}
}

static void test_lost(void)
{
	struct rig *r = rig_new();
	struct trace_event event;
	unsigned whole = 0;

	for (unsigned n = 0; n < 20; n++)
		trace_put(&r->writer, TRACE_DMA_READ, 3, n << 12, r->map, TRACE_DATA_MAX);
	/* There would be room for this one: but what follows a gap is worth nothing. */
	trace_put(&r->writer, TRACE_IRQ, 3, 0, NULL, 0);
	while (trace_next(&r->reader, &event) == 0)
		g_assert_cmphex(event.arg, ==, whole++ << 12);
	g_assert_cmpuint(whole, ==, SIZE / (TRACE_DATA_MAX + sizeof(event)));
	assert_error(r, -ENOBUFS);
	g_assert_cmpuint(trace_lost(&r->reader), ==, 21 - whole);
	rig_free(r);
}

static void test_order(void)
{
	struct rig *r = rig_new();

	assert_error(r, -EAGAIN);
	trace_put(&r->writer, TRACE_MESSAGE, 3, 4, NULL, 0);
	trace_put(&r->writer, TRACE_DMA_READ, 3, 0x1008, "abc", 3);
	trace_put(&r->writer, TRACE_IRQ, 3, 0, NULL, 0);
	assert_next(r, TRACE_MESSAGE, 4, "", 0);
	assert_next(r, TRACE_DMA_READ, 0x1008, "abc", 3);
	assert_next(r, TRACE_IRQ, 0, "", 0);
	assert_error(r, -EAGAIN);
	rig_free(r);
}

static void test_pages(void)
{
	struct rig *r = rig_new();
	g_autofree char *data = g_malloc(9000);

	for (unsigned i = 0; i < 9000; i++)
		data[i] = i % 251;
	trace_put(&r->writer, TRACE_DMA_WRITE, 3, 0x1f00, data, 9000);
	assert_next(r, TRACE_DMA_WRITE, 0x1f00, data, 0x100);
	assert_next(r, TRACE_DMA_WRITE, 0x2000, data + 0x100, 0x1000);
	assert_next(r, TRACE_DMA_WRITE, 0x3000, data + 0x1100, 0x1000);
	assert_next(r, TRACE_DMA_WRITE, 0x4000, data + 0x2100, 9000 - 0x2100);
	assert_error(r, -EAGAIN);
	rig_free(r);
}

static void test_wraps(void)
{
	struct rig *r = rig_new();
	char data[TRACE_DATA_MAX];

	for (unsigned n = 0; n < 1000; n++) {
		size_t len = 1 + n * 37 % 2000;

		memset(data, n, sizeof(data));
		trace_put(&r->writer, TRACE_DMA_READ, 3, 0, data, len);
		assert_next(r, TRACE_DMA_READ, 0, data, len);
	}
	g_assert_cmpuint(trace_lost(&r->reader), ==, 0);
	rig_free(r);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/trace/join", test_join);
	g_test_add_func("/trace/hostile-writer", test_hostile_writer);
	g_test_add_func("/trace/hostile-reader", test_hostile_reader);
	g_test_add_func("/trace/lost", test_lost);
	g_test_add_func("/trace/order", test_order);
	g_test_add_func("/trace/pages", test_pages);
	g_test_add_func("/trace/wraps", test_wraps);
	return g_test_run();
}
