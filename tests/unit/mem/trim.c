/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mem/trim.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/pages.h"
#include "sandbox/filter.h"
#include "../util.h"

#define PIECES 256u
#define PIECE 8192u	/* small enough for the heap, large enough for whole pages */

static const char constants[64 << 10] = { [0] = 1, [12345] = 7, [(64 << 10) - 1] = 9 };

/* Pages of the page-aligned range that are there. */
static unsigned resident(const void *from, size_t pages)
{
	unsigned char there[64];
	unsigned count = 0;

	g_assert_cmpuint(pages, <=, sizeof(there));
	must(mincore((void *)(uintptr_t)from, pages * 4096, there));
	for (size_t i = 0; i < pages; i++)
		count += there[i] & 1;
	return count;
}

static const char *own_heap(void)
{
	return filter_impossible() || g_getenv("MPQ_WRAPPER") ?
		"valgrind or a sanitizer has a heap of its own" : NULL;
}

static void fill(char *piece[PIECES])
{
	for (unsigned i = 0; i < PIECES; i++) {
		piece[i] = malloc(PIECE);
		g_assert_nonnull(piece[i]);
		memset(piece[i], i, PIECE);
	}
}

/* What is in use stays as it is, wherever it stands. */
static void test_keeps(void)
{
	char *piece[PIECES];

	fill(piece);
	for (unsigned i = 0; i < PIECES; i += 2)
		free(piece[i]);
	mem_trim();
	for (unsigned i = 1; i < PIECES; i += 2) {
		for (unsigned at = 0; at < PIECE; at++)
			if (piece[i][at] != (char)i)
				g_error("piece %u is lost at %u", i, at);
		free(piece[i]);
	}
	for (size_t i = 0; i < sizeof(constants); i++)
		if (constants[i] != (i == 0 ? 1 : i == 12345 ? 7 : i == (64 << 10) - 1 ? 9 : 0))
			g_error("a constant is lost at %zu", i);
}

/* The free heap's pages go; the heap does not get shorter. */
static void test_frees(void)
{
	char *piece[PIECES], *page;
	void *end;

	if (own_heap()) {
		g_test_skip(own_heap());
		return;
	}
	fill(piece);
	end = sbrk(0);
	page = (char *)(((uintptr_t)piece[PIECES / 2] + 4095) & ~4095ul);
	for (unsigned i = 0; i < PIECES; i++)
		free(piece[i]);
	mem_trim();
	g_assert_true(sbrk(0) == end);
	g_assert_cmpuint(resident(page, 16), ==, 0);
}

static void test_nothing(void)
{
	mem_trim();
	mem_trim();
}

static void test_pages(void)
{
	const size_t size = 40 * 4096 + 1;
	uint8_t *pages = pages_alloc(size);

	g_assert_nonnull(pages);
	g_assert_cmpuint(resident(pages, 40), ==, 0);
	for (size_t i = 0; i < size; i++)
		g_assert_cmpuint(pages[i], ==, 0);
	pages_free(pages, size);
	pages_free(NULL, size);
	g_assert_null(pages_alloc(SIZE_MAX / 2));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	/* As a device process has it. */
	mallopt(M_TRIM_THRESHOLD, -1);
	mallopt(M_MMAP_MAX, 0);
	g_test_add_func("/trim/nothing", test_nothing);
	g_test_add_func("/trim/keeps", test_keeps);
	g_test_add_func("/trim/frees", test_frees);
	g_test_add_func("/pages/zero", test_pages);
	return g_test_run();
}
