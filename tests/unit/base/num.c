/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Range helpers at the limits of their types, and byte order in memory. */

#include <glib.h>

#include "base/num.h"

#define TOP UINT64_MAX

static void test_range_fits(void)
{
	static const struct {
		uint64_t off, len, size;
		bool fits;
	} rows[] = {
		{ 1, TOP, 16, false },		/* off + len wraps to 0 */
		{ TOP, 1, 16, false },		/* the same, from the other side */
		{ TOP, TOP, TOP, false },
		{ 17, 0, 16, false },		/* empty, but behind the end */
		{ 0, 17, 16, false },
		{ 16, 1, 16, false },
		{ 15, 2, 16, false },
		{ 1, TOP, TOP, false },
		{ 0, 1, 0, false },
		{ 0, 0, 0, true },
		{ 16, 0, 16, true },
		{ 15, 1, 16, true },
		{ 0, 16, 16, true },
		{ 0, TOP, TOP, true },
		{ TOP - 1, 1, TOP, true },
		{ TOP, 0, TOP, true },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_test_message("row %u", i);
		g_assert_cmpint(range_fits(rows[i].off, rows[i].len, rows[i].size), ==,
				rows[i].fits);
	}
}

static void test_ranges_overlap(void)
{
	static const struct {
		uint64_t a, alen, b, blen;
		bool overlap;
	} rows[] = {
		{ 0, 0, 0, 0, false },		/* empty ranges share nothing */
		{ 5, 0, 0, 10, false },
		{ 0, 10, 5, 0, false },
		{ 0, 10, 10, 10, false },	/* they touch */
		{ TOP - 1, 1, TOP, 1, false },
		{ 0, 1, TOP, 1, false },
		{ 0, 11, 10, 10, true },
		{ 5, 1, 0, 10, true },
		{ 5, 5, 5, 5, true },
		{ 0, TOP, TOP - 1, 1, true },
		{ TOP - 4, 4, TOP - 1, 1, true },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_test_message("row %u", i);
		g_assert_cmpint(ranges_overlap(rows[i].a, rows[i].alen, rows[i].b, rows[i].blen),
				==, rows[i].overlap);
		g_assert_cmpint(ranges_overlap(rows[i].b, rows[i].blen, rows[i].a, rows[i].alen),
				==, rows[i].overlap);
	}
}

static void test_powers(void)
{
	static const struct {
		uint64_t x;
		bool is;
	} rows[] = {
		{ 0, false }, { 3, false }, { 6, false }, { TOP, false },
		{ (1ULL << 63) + 1, false },
		{ 1, true }, { 2, true }, { 4096, true }, { 1ULL << 32, true },
		{ 1ULL << 63, true },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
		g_assert_cmpint(is_power_of_2(rows[i].x), ==, rows[i].is);
}

static void test_align(void)
{
	static const struct {
		uint64_t x, align, down, up;
	} rows[] = {
		{ TOP - 4095, 4096, TOP - 4095, TOP - 4095 },
		{ TOP - 4096, 4096, TOP - 8191, TOP - 4095 },
		{ 1ULL << 63, 1ULL << 63, 1ULL << 63, 1ULL << 63 },
		{ 1, 1ULL << 63, 0, 1ULL << 63 },
		{ TOP - 1, 1, TOP - 1, TOP - 1 },
		{ 0, 4096, 0, 0 },
		{ 1, 4096, 0, 4096 },
		{ 4095, 4096, 0, 4096 },
		{ 4096, 4096, 4096, 4096 },
		{ 4097, 4096, 4096, 8192 },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_assert_cmpuint(align_down(rows[i].x, rows[i].align), ==, rows[i].down);
		g_assert_cmpuint(align_up(rows[i].x, rows[i].align), ==, rows[i].up);
		g_assert_cmpint(is_aligned(rows[i].x, rows[i].align), ==,
				rows[i].x == rows[i].down);
	}
}

static void test_min_max(void)
{
	g_assert_cmpuint(min_u64(TOP, 0), ==, 0);
	g_assert_cmpuint(min_u64(3, 3), ==, 3);
	g_assert_cmpuint(max_u64(0, TOP), ==, TOP);
	g_assert_cmpuint(max_u64(1ULL << 32, 5), ==, 1ULL << 32);
}

/* Bytes with the top bit set show a widening that goes through a signed int. */
static void test_byte_order(void)
{
	static const uint8_t in[] = { 0x00, 0xf1, 0x82, 0x93, 0xa4, 0xb5, 0xc6, 0xd7, 0xe8, 0x00 };
	const uint8_t *p = in + 1;	/* not aligned */

	g_assert_cmphex(get_le16(p), ==, 0x82f1);
	g_assert_cmphex(get_be16(p), ==, 0xf182);
	g_assert_cmphex(get_le24(p), ==, 0x9382f1);
	g_assert_cmphex(get_be24(p), ==, 0xf18293);
	g_assert_cmphex(get_le32(p), ==, 0xa49382f1);
	g_assert_cmphex(get_be32(p), ==, 0xf18293a4);
	g_assert_cmphex(get_le64(p), ==, 0xe8d7c6b5a49382f1);
	g_assert_cmphex(get_be64(p), ==, 0xf18293a4b5c6d7e8);
}

static void test_byte_order_put(void)
{
	static const uint8_t want[] = {
		0x02, 0x01, 0x81, 0x82, 0xf3, 0xf2, 0xf1, 0xf0, 0xf0, 0xf1, 0xf2, 0xf3,
		0x99, 0x98, 0x97,
	};
	uint8_t out[sizeof(want) + 1] = { [sizeof(want)] = 0x55 };

	put_le16(out, 0x0102);
	put_be16(out + 2, 0x8182);
	put_le32(out + 4, 0xf0f1f2f3);
	put_be32(out + 8, 0xf0f1f2f3);
	put_be24(out + 12, 0xff999897);	/* the fourth byte is not written */
	g_assert_cmpmem(out, sizeof(want), want, sizeof(want));
	g_assert_cmphex(out[sizeof(want)], ==, 0x55);
	put_le64(out, 0xe8d7c6b5a49382f1);
	g_assert_cmphex(get_le64(out), ==, 0xe8d7c6b5a49382f1);
	put_be64(out + 1, 0xe8d7c6b5a49382f1);
	g_assert_cmphex(get_be64(out + 1), ==, 0xe8d7c6b5a49382f1);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/num/range-fits", test_range_fits);
	g_test_add_func("/num/ranges-overlap", test_ranges_overlap);
	g_test_add_func("/num/power-of-2", test_powers);
	g_test_add_func("/num/align", test_align);
	g_test_add_func("/num/min-max", test_min_max);
	g_test_add_func("/num/byte-order-get", test_byte_order);
	g_test_add_func("/num/byte-order-put", test_byte_order_put);
	return g_test_run();
}
