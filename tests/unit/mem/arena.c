/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The range of addresses that all guest RAM of a process is mapped in: what a system call filter
 * relies on.  Every mmap and munmap of the code under test is seen (linked with --wrap).
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <glib.h>

#include "base/fd.h"
#include "base/num.h"
#include "mem/arena.h"
#include "mem/guestmem.h"
#include "mem/memfd.h"
#include "../util.h"

#define PAGE 4096ULL

/* The one that is watched, and what has been seen. */
static struct {
	uint64_t base, size;	/* 0: not watching */
	unsigned mapped, overlaid, repaired, other;
} seen;

void *__real_mmap64(void *addr, size_t len, int prot, int flags, int fd, off_t off);
void *__wrap_mmap64(void *addr, size_t len, int prot, int flags, int fd, off_t off);
int __real_munmap(void *addr, size_t len);
int __wrap_munmap(void *addr, size_t len);

#define SHARED_FORM (MAP_SHARED | MAP_FIXED | MAP_NORESERVE)
#define ANON_FORM (MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE)

/* The filter's own test: one masked compare, and a limit. */
static bool filter_passes(uint64_t addr, uint64_t len)
{
	return (addr & ~(seen.size - 1)) == seen.base && len <= seen.size;
}

void *__wrap_mmap64(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	if (!filter_passes((uintptr_t)addr, len))
		seen.other++;
	else if (prot == (PROT_READ | PROT_WRITE) && flags == SHARED_FORM && fd >= 0)
		seen.mapped++;
	else if (prot == PROT_NONE && flags == ANON_FORM && fd == -1 && off == 0)
		seen.overlaid++;
	else if (prot == (PROT_READ | PROT_WRITE) && flags == ANON_FORM && fd == -1 && off == 0)
		seen.repaired++;
	else
		seen.other++;
	return __real_mmap64(addr, len, prot, flags, fd, off);
}

int __wrap_munmap(void *addr, size_t len)
{
	seen.other++;
	return __real_munmap(addr, len);
}

static void watch(const struct guestmem_arena *arena)
{
	memset(&seen, 0, sizeof(seen));
	guestmem_arena_range(arena, &seen.base, &seen.size);
}

static struct guestmem *table(struct guestmem_arena *arena)
{
	struct guestmem *mem = guestmem_create(arena);

	g_assert_nonnull(mem);
	return mem;
}

static int set_one(struct guestmem *mem, int fd, uint64_t size, uint64_t offset)
{
	struct guestmem_region r = { .size = size, .offset = offset, .fd = fd };

	return guestmem_set(mem, &r, 1);
}

static uint64_t host_at(struct guestmem *mem, uint64_t gpa)
{
	struct iovec iov;

	g_assert_cmpint(guestmem_iov(mem, gpa, 1, &iov, 1), ==, 1);
	return (uintptr_t)iov.iov_base;
}

/* Does every byte of [at, at + size) belong to a mapping, with @perms ("---p") if not NULL? */
static bool all_mapped(uint64_t at, uint64_t size, const char *perms)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long start, end;
	uint64_t reach = at;
	char line[512], p[8];

	g_assert_nonnull(maps);
	while (fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx %7s", &start, &end, p) == 3 && start <= reach &&
		    reach < end && (!perms || g_str_equal(p, perms)))
			reach = end;
	fclose(maps);
	return reach >= at + size;
}

static void test_range(void)
{
	struct guestmem_arena *arena = guestmem_arena_create();
	uint64_t base, size;

	g_assert_nonnull(arena);
	guestmem_arena_range(arena, &base, &size);
	g_assert_true(is_power_of_2(size));
	g_assert_cmpuint(size, >=, 1ULL << 34);
	g_assert_cmpuint(size, <=, 1ULL << 40);
	g_assert_cmpuint(base, >, 0);
	g_assert_true(is_aligned(base, size));
	/* The gap behind it too. */
	g_assert_true(all_mapped(base, 2 * size, "---p"));
	guestmem_arena_destroy(arena);
	g_assert_false(all_mapped(base, 1, "---p"));
	guestmem_arena_destroy(NULL);
}

/* Changes of every kind, good and refused, by two tables: no call but those of the filter. */
static void test_calls(void)
{
	struct guestmem_arena *arena = guestmem_arena_create();
	struct guestmem *a = table(arena), *b = table(arena);
	autofd fd = must(memfd_make("ram", 64 * PAGE));
	autofd sealed = must(memfd_make_sealed("sealed", "text", 4));
	struct guestmem_region bad[2] = {
		{ .size = PAGE, .fd = fd }, { .gpa = PAGE, .size = PAGE, .fd = sealed },
	};

	watch(arena);
	for (unsigned i = 1; i < 40; i++) {
		g_assert_cmpint(set_one(a, fd, i * PAGE, 0), ==, 0);
		g_assert_cmpint(set_one(b, fd, PAGE, i * PAGE), ==, 0);
		g_assert_cmpint(guestmem_set(b, bad, 2), ==, -ERANGE);
		g_assert_cmpint(guestmem_write(a, 0, "data", 4), ==, 0);
	}
	guestmem_destroy(a);
	guestmem_destroy(b);
	g_assert_cmpuint(seen.mapped, ==, 78);
	g_assert_cmpuint(seen.overlaid, ==, 78);
	g_assert_cmpuint(seen.other, ==, 0);
	g_assert_true(all_mapped(seen.base, 2 * seen.size, "---p"));
	guestmem_arena_destroy(arena);
	g_assert_cmpuint(seen.other, ==, 1);	/* the counting works */
}

/* A mapping that the kernel refuses leaves no hole, in which others' memory could come to lie. */
static void test_refused_leaves_no_hole(void)
{
	struct guestmem_arena *arena = guestmem_arena_create();
	g_autofree char *text = g_malloc0(PAGE);
	autofd sealed = must(memfd_make_sealed("sealed", text, PAGE));
	struct guestmem *mem = table(arena);

	watch(arena);
	g_assert_cmpint(set_one(mem, sealed, PAGE, 0), ==, -EPERM);
	g_assert_cmpuint(seen.mapped, ==, 1);
	g_assert_cmpuint(seen.overlaid, ==, 1);
	g_assert_true(all_mapped(seen.base, 2 * seen.size, "---p"));
	guestmem_destroy(mem);
	guestmem_arena_destroy(arena);
}

/* What the handler of SIGBUS calls: the place of the address, no other, and nothing beside one. */
static void test_repair(void)
{
	struct guestmem_arena *arena = guestmem_arena_create();
	autofd fd = must(memfd_make("ram", 64 * PAGE));
	struct guestmem *a = table(arena), *b = table(arena);
	struct iovec iov;
	char *base;
	char buf[4];

	watch(arena);
	g_assert_cmpint(set_one(a, fd, 4 * PAGE, 0), ==, 0);
	g_assert_cmpint(set_one(b, fd, 4 * PAGE, 0), ==, 0);
	g_assert_cmpint(guestmem_iov(a, 0, 4, &iov, 1), ==, 1);
	base = iov.iov_base;
	g_assert_false(guestmem_arena_repair(arena, NULL));
	g_assert_false(guestmem_arena_repair(arena, base - 1));
	g_assert_false(guestmem_arena_repair(arena, base + 8 * PAGE));
	g_assert_false(guestmem_arena_repair(arena, (char *)(uintptr_t)seen.base + seen.size));
	g_assert_cmpuint(seen.repaired, ==, 0);
	g_assert_true(guestmem_arena_repair(arena, base + 4 * PAGE));
	g_assert_true(guestmem_arena_repair(arena, base + 8 * PAGE - 1));
	g_assert_cmpuint(seen.repaired, ==, 2);
	g_assert_cmpint(guestmem_read(a, 0, buf, 4), ==, 0);
	g_assert_cmpint(guestmem_read(b, 0, buf, 4), ==, -EFAULT);
	g_assert_cmpint(set_one(b, fd, 4 * PAGE, 0), ==, 0);
	g_assert_cmpint(guestmem_write(b, 0, "back", 4), ==, 0);
	g_assert_cmpint(guestmem_read(a, 0, buf, 4), ==, 0);
	g_assert_cmpmem(buf, 4, "back", 4);
	guestmem_destroy(a);
	guestmem_destroy(b);
	g_assert_cmpuint(seen.other, ==, 0);
	guestmem_arena_destroy(arena);
}

/* Guest RAM is what an attacker fills: where it stands differs from process to process. */
static void test_random(void)
{
	autofd fd = must(memfd_make("ram", 4 * PAGE));
	uint64_t base, size, offset[8];
	unsigned same = 0;

	for (unsigned i = 0; i < G_N_ELEMENTS(offset); i++) {
		struct guestmem_arena *arena = guestmem_arena_create();
		struct guestmem *mem = table(arena);
		struct iovec iov;

		guestmem_arena_range(arena, &base, &size);
		g_assert_cmpint(set_one(mem, fd, 4 * PAGE, 0), ==, 0);
		g_assert_cmpint(guestmem_iov(mem, 0, 4, &iov, 1), ==, 1);
		offset[i] = (uintptr_t)iov.iov_base - base;
		g_assert_cmpuint(offset[i] % (2 << 20), ==, 0);
		for (unsigned k = 0; k < i; k++)
			same += offset[k] == offset[i];
		guestmem_destroy(mem);
		guestmem_arena_destroy(arena);
	}
	/* of 2^18 places: two that are the same are luck, all are a mistake */
	g_assert_cmpuint(same, <, 3);
}

/* All tables of a process lie beside each other, whatever comes and goes. */
static void test_tables_beside(void)
{
	struct guestmem_arena *arena = guestmem_arena_create();
	autofd fd = must(memfd_make("ram", 64 * PAGE));
	struct guestmem *mem[GUESTMEM_MAX_TABLES];
	uint64_t base, size;
	unsigned got;

	guestmem_arena_range(arena, &base, &size);
	for (unsigned i = 0; i < GUESTMEM_MAX_TABLES; i++)
		mem[i] = table(arena);
	g_assert_null(guestmem_create(arena));
	g_assert_cmpint(errno, ==, EUSERS);
	for (unsigned round = 1; round < 4; round++) {
		for (unsigned i = 0; i < GUESTMEM_MAX_TABLES; i++) {
			unsigned val = round * 100 + i;

			g_assert_cmpint(set_one(mem[i], fd, round * PAGE, i * PAGE), ==, 0);
			g_assert_true(range_fits(host_at(mem[i], 0) - base, round * PAGE, size));
			g_assert_cmpint(guestmem_write(mem[i], 0, &val, sizeof(val)), ==, 0);
		}
		for (unsigned i = 0; i < GUESTMEM_MAX_TABLES; i++) {
			g_assert_cmpint(guestmem_read(mem[i], 0, &got, sizeof(got)), ==, 0);
			g_assert_cmpuint(got, ==, round * 100 + i);
		}
	}
	for (unsigned i = 0; i < GUESTMEM_MAX_TABLES; i++)
		guestmem_destroy(mem[i]);
	mem[0] = table(arena);
	guestmem_destroy(mem[0]);
	guestmem_arena_destroy(arena);
}

/* As many regions as all tables together may have, and one table changes all of its own. */
static void test_all_places(void)
{
	struct guestmem_arena *arena = guestmem_arena_create();
	autofd fd = must(memfd_make("ram", 64 * PAGE));
	struct guestmem_region r[GUESTMEM_MAX_REGIONS];
	struct guestmem *mem[GUESTMEM_MAX_TABLES];

	for (unsigned i = 0; i < GUESTMEM_MAX_TABLES * 2; i++) {
		unsigned at = i % GUESTMEM_MAX_TABLES;

		if (i < GUESTMEM_MAX_TABLES)
			mem[i] = table(arena);
		for (unsigned k = 0; k < GUESTMEM_MAX_REGIONS; k++)
			r[k] = (struct guestmem_region){
				.gpa = k * PAGE, .size = PAGE, .fd = fd, .offset = (i + k) * PAGE,
			};
		g_assert_cmpint(guestmem_set(mem[at], r, GUESTMEM_MAX_REGIONS), ==, 0);
	}
	for (unsigned i = 0; i < GUESTMEM_MAX_TABLES; i++)
		guestmem_destroy(mem[i]);
	guestmem_arena_destroy(arena);
}

/* What one table holds another cannot have; what it gives back it can. */
static void test_shared_room(void)
{
	struct guestmem_arena *arena = guestmem_arena_create();
	struct guestmem *a = table(arena), *b = table(arena);
	autofd fd = must(memfd_make("ram", 1ULL << 40));
	uint64_t base, size;

	guestmem_arena_range(arena, &base, &size);
	g_assert_cmpint(set_one(a, fd, size / 2, 0), ==, 0);
	g_assert_cmpint(set_one(b, fd, size / 2 + PAGE, 0), ==, -E2BIG);
	g_assert_cmpint(set_one(b, fd, size / 2, 0), ==, 0);
	g_assert_cmpint(set_one(b, fd, PAGE, 0), ==, -E2BIG);	/* the old table stands by it */
	g_assert_cmpuint(host_at(b, 0), ==, base + size / 2);
	guestmem_destroy(a);
	g_assert_cmpint(set_one(b, fd, PAGE, 0), ==, 0);
	g_assert_cmpint(set_one(b, fd, size / 2, 0), ==, 0);
	guestmem_destroy(b);
	guestmem_arena_destroy(arena);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/arena/range", test_range);
	g_test_add_func("/arena/random", test_random);
	g_test_add_func("/arena/calls", test_calls);
	g_test_add_func("/arena/refused-leaves-no-hole", test_refused_leaves_no_hole);
	g_test_add_func("/arena/repair", test_repair);
	g_test_add_func("/arena/tables-beside", test_tables_beside);
	g_test_add_func("/arena/all-places", test_all_places);
	g_test_add_func("/arena/shared-room", test_shared_room);
	return g_test_run();
}
