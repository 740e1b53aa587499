/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guest RAM of huge pages: memory-backend-memfd,hugetlb=on and its like. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <glib.h>

#include "base/fd.h"
#include "base/num.h"
#include "mem/arena.h"
#include "mem/guestmem.h"
#include "mem/sigbus.h"
#include "../util.h"

#define PAGE 4096ULL
#ifndef MFD_HUGE_2MB	/* in linux/memfd.h, which clashes with libc's headers */
#define MFD_HUGE_2MB (21U << 26)
#endif
#define HUGE (2ULL << 20)
#define POOL 4			/* huge pages that a test may count on */
#define POOL_FILE "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
#define FREE_FILE "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"

static struct guestmem_arena *arena;
static int pool_lock = -1;	/* one such program at a time on a machine */

static long number_in(const char *path)
{
	g_autofree char *text = NULL;

	return g_file_get_contents(path, &text, NULL, NULL) ? atol(text) : -1;
}

static bool pool_set(long pages)
{
	FILE *file = fopen(POOL_FILE, "we");
	bool good = file && fprintf(file, "%ld\n", pages) > 0;

	return file && fclose(file) == 0 && good;
}

/* What the pool had before is given back. */
static void pool_end(long before)
{
	g_assert_true(pool_set(before));
	fd_close(&pool_lock);
}

/* Makes POOL huge pages free.  Returns what pool_end() is to be given, or -1 after a skip. */
static long pool_begin(void)
{
	long before, free_before;

	if (geteuid() != 0) {
		g_test_skip("huge pages: needs root");
		return -1;
	}
	pool_lock = open(POOL_FILE, O_RDONLY | O_CLOEXEC);
	if (pool_lock >= 0)
		must(flock(pool_lock, LOCK_EX));
	before = number_in(POOL_FILE);
	free_before = number_in(FREE_FILE);
	if (before < 0 || free_before < 0 || !pool_set(before - free_before + POOL) ||
	    number_in(FREE_FILE) != POOL) {
		if (before >= 0)
			pool_end(before);
		g_test_skip("huge pages: there are none to be had");
		return -1;
	}
	return before;
}

static int huge_memfd(unsigned pages)
{
	int fd = must(memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB |
				   MFD_ALLOW_SEALING));

	must(ftruncate(fd, pages * HUGE));
	return fd;
}

static struct guestmem *table(void)
{
	struct guestmem *mem = guestmem_create(arena);

	g_assert_nonnull(mem);
	return mem;
}

/* What a PC's firmware makes of RAM: parts that are no whole huge pages, beside a big one. */
static void test_windows(void)
{
	long before = pool_begin();
	struct guestmem_region r[] = {
		{ .gpa = 0, .size = 0xa0000, .offset = 0 },
		{ .gpa = 0xc0000, .size = 0x10000, .offset = 0xc0000 },
		{ .gpa = 0x100000, .size = 3 * HUGE - 0x100000, .offset = 0x100000 },
		{ .gpa = 1ULL << 32, .size = 2 * PAGE, .offset = HUGE - PAGE },
		{ .gpa = 1ULL << 33, .size = HUGE, .offset = HUGE },
	};
	struct guestmem *mem;
	uint8_t *host;
	int fd;

	if (before < 0)
		return;
	fd = huge_memfd(3);
	host = mmap(NULL, 3 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	g_assert_true(host != MAP_FAILED);
	mem = table();
	for (unsigned i = 0; i < G_N_ELEMENTS(r); i++)
		r[i].fd = fd;
	for (unsigned count = 1; count <= G_N_ELEMENTS(r); count++) {
		g_assert_cmpint(guestmem_set(mem, r, count), ==, 0);
		for (unsigned i = 0; i < count; i++) {
			uint64_t last = r[i].size - 4;
			char buf[4];

			memcpy(host + r[i].offset, "head", 4);
			g_assert_cmpint(guestmem_read(mem, r[i].gpa, buf, 4), ==, 0);
			g_assert_cmpmem(buf, 4, "head", 4);
			g_assert_cmpint(guestmem_write(mem, r[i].gpa + last, "tail", 4), ==, 0);
			g_assert_cmpmem(host + r[i].offset + last, 4, "tail", 4);
		}
	}
	/* Nothing beside a region is RAM, though it is mapped. */
	g_assert_cmpint(guestmem_write(mem, 0xa0000, "x", 1), ==, -EFAULT);
	g_assert_cmpint(guestmem_write(mem, (1ULL << 32) - 1, "x", 1), ==, -EFAULT);
	g_assert_cmpint(guestmem_write(mem, (1ULL << 32) + 2 * PAGE, "x", 1), ==, -EFAULT);
	g_assert_cmpint(ftruncate(fd, 0), ==, -1);	/* sealed */
	guestmem_destroy(mem);
	must(munmap(host, 3 * HUGE));
	must(close(fd));
	g_assert_cmpint(number_in(FREE_FILE), ==, POOL);
	pool_end(before);
}

/* Huge and small pages come and go beside each other; nothing is lost. */
static void test_mixed(void)
{
	long before = pool_begin();
	struct guestmem_region r[2] = { { .size = 3 * PAGE }, { .gpa = HUGE } };
	autofd small = must(memfd_create("small", MFD_CLOEXEC));
	struct guestmem *mem;
	int fd;

	if (before < 0)
		return;
	must(ftruncate(small, 64 * PAGE));
	fd = huge_memfd(POOL);
	mem = table();
	for (unsigned i = 0; i < 300; i++) {
		char buf[4];

		r[0].fd = small;
		r[0].offset = i % 7 * PAGE;
		r[1].fd = fd;
		r[1].offset = i % 512 * PAGE;
		r[1].size = (i % 5 + 1) * HUGE / 2;
		g_assert_cmpint(guestmem_set(mem, r, 2), ==, 0);
		g_assert_cmpint(guestmem_write(mem, HUGE + r[1].size - 4, "huge", 4), ==, 0);
		g_assert_cmpint(guestmem_write(mem, 3 * PAGE - 4, "tiny", 4), ==, 0);
		g_assert_cmpint(guestmem_read(mem, HUGE + r[1].size - 4, buf, 4), ==, 0);
		g_assert_cmpmem(buf, 4, "huge", 4);
	}
	guestmem_destroy(mem);
	must(close(fd));
	g_assert_cmpint(number_in(FREE_FILE), ==, POOL);
	pool_end(before);
}

/* No page is left when one is touched first: a fault, and well again when there are some. */
static void test_none_left(void)
{
	long before = g_getenv("MPQ_WRAPPER") ? -1 : pool_begin();
	struct guestmem_region r = { .gpa = 0x1000, .size = 2 * HUGE - 0x1000, .offset = 0x1000 };
	struct guestmem *mem;
	uint64_t gpa;
	int fd, rest;

	if (g_getenv("MPQ_WRAPPER"))
		g_test_skip("valgrind cannot go on after a fault within a copy");
	if (before < 0)
		return;
	fd = huge_memfd(2);
	rest = huge_memfd(POOL - 1);
	must(fallocate(rest, 0, 0, (POOL - 1) * HUGE));
	mem = table();
	r.fd = fd;
	g_assert_cmpint(guestmem_set(mem, &r, 1), ==, 0);
	g_assert_cmpint(guestmem_write(mem, 0x1000, "last", 4), ==, 0);
	g_assert_cmpint(guestmem_write(mem, HUGE, "none", 4), ==, -EFAULT);
	g_assert_true(guestmem_lost(mem, &gpa));
	g_assert_cmpuint(gpa, ==, 0x1000);
	g_assert_cmpint(guestmem_write(mem, 0x1000, "last", 4), ==, -EFAULT);
	must(close(rest));
	g_assert_cmpint(guestmem_set(mem, &r, 1), ==, 0);
	g_assert_cmpint(guestmem_write(mem, HUGE, "more", 4), ==, 0);
	guestmem_destroy(mem);
	must(close(fd));
	g_assert_cmpint(number_in(FREE_FILE), ==, POOL);
	pool_end(before);
}

int main(int argc, char **argv)
{
	int status;

	g_test_init(&argc, &argv, NULL);
	arena = guestmem_arena_create();
	g_assert_nonnull(arena);
	g_assert_cmpint(sigbus_guard(arena), ==, 0);
	g_test_add_func("/hugetlb/windows", test_windows);
	g_test_add_func("/hugetlb/mixed", test_mixed);
	g_test_add_func("/hugetlb/none-left", test_none_left);
	status = g_test_run();
	guestmem_arena_destroy(arena);
	return status;
}
