/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guest RAM that comes and goes part by part, some of it not shared: as vfio-user has it. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib.h>

#include "base/fd.h"
#include "mem/arena.h"
#include "mem/guestmem.h"
#include "../util.h"

#define PAGE 4096ULL
#define PAGES 64
#define TABLE 600		/* regions of the table */
#define END (UINT64_MAX - PAGE + 1)	/* the last page that can be named */

struct world {
	struct guestmem_arena *arena;
	struct guestmem *mem;
	int file, other, socket, readonly;
	uint8_t *bytes;		/* of file */
};

static int make_memfd(void)
{
	int fd = must(memfd_create("ram", MFD_CLOEXEC | MFD_ALLOW_SEALING));

	must(ftruncate(fd, PAGES * PAGE));
	return fd;
}

static void world_init(struct world *w)
{
	g_autofree char *path = NULL;
	int pair[2];

	*w = (struct world){ .arena = guestmem_arena_create() };
	w->mem = guestmem_create_for(w->arena, TABLE);
	w->file = make_memfd();
	w->other = make_memfd();
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	w->socket = pair[0];
	close(pair[1]);
	path = g_strdup_printf("/proc/self/fd/%d", w->other);
	w->readonly = must(open(path, O_RDONLY | O_CLOEXEC));
	w->bytes = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, w->file, 0);
	for (unsigned i = 0; i < PAGES; i++)
		memset(w->bytes + i * PAGE, 'a' + i % 26, PAGE);
}

static void world_finish(struct world *w)
{
	guestmem_destroy(w->mem);
	guestmem_arena_destroy(w->arena);
	munmap(w->bytes, PAGES * PAGE);
	close(w->file);
	close(w->other);
	close(w->socket);
	close(w->readonly);
}

static int map(struct world *w, uint64_t gpa, uint64_t size, uint64_t offset, int fd, bool readonly)
{
	const struct guestmem_region r = {
		.gpa = gpa, .size = size, .offset = offset, .fd = fd, .readonly = readonly,
	};

	return guestmem_map(w->mem, &r);
}

/* How many mappings of the memfds this process has, but for the test's own. */
static unsigned mappings(void)
{
	g_autofree char *text = NULL;
	unsigned n = 0;

	g_assert_true(g_file_get_contents("/proc/self/maps", &text, NULL, NULL));
	for (const char *at = text; (at = strstr(at, "/memfd:ram")); at++)
		n++;
	return n - 1;
}

static void test_refused(void)
{
	struct world w;

	world_init(&w);
	const struct {
		uint64_t gpa, size, offset;
		int fd, ret;
	} rows[] = {
		{ 0, 0, 0, w.file, -EINVAL },
		{ 0, 0, 0, -1, -EINVAL },
		{ 0, PAGE + 1, 0, w.file, -EINVAL },
		{ 0, PAGE + 1, 0, -1, -EINVAL },
		{ 1, PAGE, 0, w.file, -EINVAL },
		{ 1, PAGE, 0, -1, -EINVAL },
		{ 0, PAGE, 1, w.file, -EINVAL },
		{ END, 2 * PAGE, 0, w.file, -EINVAL },
		{ END, 2 * PAGE, 0, -1, -EINVAL },
		{ 0, END, 0, w.file, -ERANGE },
		{ 0, PAGE, PAGES * PAGE, w.file, -ERANGE },
		{ 0, PAGE, END, w.file, -ERANGE },
		{ 0, 2 * PAGE, (PAGES - 1) * PAGE, w.file, -ERANGE },
		{ 0, PAGE, 0, w.socket, -ENODEV },
		{ 0, PAGE, 0, 9999, -EBADF },
		{ 0, PAGE, 0, w.readonly, -EACCES },
		/* in the way of what stands at 16 pages, two of them */
		{ 16 * PAGE, PAGE, 0, w.file, -EEXIST },
		{ 17 * PAGE, PAGE, 0, w.file, -EEXIST },
		{ 15 * PAGE, 2 * PAGE, 0, -1, -EEXIST },
		{ 15 * PAGE, 9 * PAGE, 0, -1, -EEXIST },
		{ 16 * PAGE, 2 * PAGE, PAGE, w.file, -EEXIST },
		{ 16 * PAGE, 2 * PAGE, 0, w.other, -EEXIST },
		{ 16 * PAGE, 2 * PAGE, 0, -1, -EEXIST },
		{ 16 * PAGE, 2 * PAGE, 0, w.file, -EEXIST },
	};

	g_assert_cmpint(map(&w, 16 * PAGE, 2 * PAGE, 0, w.file, false), ==, 0);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		uint64_t generation = guestmem_generation(w.mem);
		int ret = map(&w, rows[i].gpa, rows[i].size, rows[i].offset, rows[i].fd, false);

		g_test_message("row %u: %d", i, ret);
		g_assert_cmpint(ret, ==, rows[i].ret);
		g_assert_cmpint(guestmem_generation(w.mem), ==, generation);
	}
	g_assert_cmpint(map(&w, 16 * PAGE, 2 * PAGE, 0, w.file, true), ==, -EEXIST);
	g_assert_cmpint(guestmem_count(w.mem), ==, 1);
	world_finish(&w);
}

/* Every second page, as a vIOMMU has them: they cost one mapping, and the last one ends it. */
static void test_many(void)
{
	struct world w;
	char byte;

	world_init(&w);
	for (unsigned i = 0; i < TABLE; i++)
		g_assert_cmpint(map(&w, 2 * i * PAGE, PAGE, i % PAGES * PAGE, w.file, false), ==,
				0);
	g_assert_cmpint(map(&w, 1ULL << 40, PAGE, 0, w.file, false), ==, -ENOSPC);
	g_assert_cmpint(mappings(), ==, 1);
	for (unsigned i = 0; i < TABLE; i++) {
		g_assert_cmpint(guestmem_read(w.mem, 2 * i * PAGE + 77, &byte, 1), ==, 0);
		g_assert_cmpint(byte, ==, 'a' + i % PAGES % 26);
		g_assert_cmpint(guestmem_read(w.mem, (2 * i + 1) * PAGE, &byte, 1), ==, -EFAULT);
	}
	g_assert_cmpint(guestmem_unmap(w.mem, 2 * PAGE, (2 * TABLE - 2) * PAGE), ==, TABLE - 1);
	g_assert_cmpint(mappings(), ==, 1);
	g_assert_cmpint(guestmem_read(w.mem, 0, &byte, 1), ==, 0);
	g_assert_cmpint(guestmem_unmap(w.mem, 0, PAGE), ==, 1);
	g_assert_cmpint(mappings(), ==, 0);
	world_finish(&w);
}

static void test_unmap(void)
{
	static const struct {
		uint64_t gpa, size;
		int ret;
	} rows[] = {
		{ 0, 0, -EINVAL },
		{ 10 * PAGE, PAGE, -EINVAL },		/* a part of one */
		{ 11 * PAGE, 2 * PAGE, -EINVAL },
		{ 5 * PAGE, 6 * PAGE, -EINVAL },
		{ 12 * PAGE - 1, UINT64_MAX, -EINVAL },
		{ 0, 10 * PAGE, 0 },
		{ 12 * PAGE, 8 * PAGE, 0 },
		{ END, PAGE, 0 },
		{ END, UINT64_MAX, 0 },			/* beyond the end: up to it */
		{ 10 * PAGE, 2 * PAGE, 1 },
		{ PAGE, UINT64_MAX, 2 },
	};
	struct world w;

	world_init(&w);
	g_assert_cmpint(map(&w, 10 * PAGE, 2 * PAGE, 0, w.file, false), ==, 0);
	g_assert_cmpint(map(&w, 20 * PAGE, PAGE, 0, -1, false), ==, 0);
	g_assert_cmpint(map(&w, 21 * PAGE, PAGE, 0, w.other, false), ==, 0);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_test_message("row %u", i);
		g_assert_cmpint(guestmem_unmap(w.mem, rows[i].gpa, rows[i].size), ==, rows[i].ret);
	}
	g_assert_cmpint(guestmem_count(w.mem), ==, 0);
	g_assert_cmpint(mappings(), ==, 0);
	world_finish(&w);
}

/* Mapped, not shared, mapped, read-only: pages 0 to 3; another mapped one at 5. */
static void map_kinds(struct world *w)
{
	g_assert_cmpint(map(w, 0, PAGE, 3 * PAGE, w->file, false), ==, 0);
	g_assert_cmpint(map(w, PAGE, PAGE, 0, -1, false), ==, 0);
	g_assert_cmpint(map(w, 2 * PAGE, PAGE, PAGE, w->file, false), ==, 0);
	g_assert_cmpint(map(w, 3 * PAGE, PAGE, 2 * PAGE, w->file, true), ==, 0);
	g_assert_cmpint(map(w, 5 * PAGE, PAGE, 0, w->file, false), ==, 0);
}

static void test_kinds(void)
{
	static const struct {
		uint64_t gpa;
		size_t len;
		int read, write;
		size_t clip;
	} rows[] = {
		{ 0, PAGE, 0, 0, PAGE },
		{ PAGE, 1, -EREMOTE, -EREMOTE, 1 },
		{ PAGE - 1, 2, -EREMOTE, -EREMOTE, 1 },
		{ 0, 3 * PAGE, -EREMOTE, -EREMOTE, PAGE },
		{ PAGE + 8, 2 * PAGE, -EREMOTE, -EFAULT, PAGE },
		{ PAGE, 2 * PAGE, -EREMOTE, -EREMOTE, GUESTMEM_REMOTE_MAX },
		{ 2 * PAGE, 2 * PAGE, 0, -EFAULT, 2 * PAGE },
		{ 3 * PAGE, 1, 0, -EFAULT, 1 },
		{ 3 * PAGE, PAGE + 1, -EFAULT, -EFAULT, PAGE + 1 },
		{ PAGE, 4 * PAGE, -EFAULT, -EFAULT, GUESTMEM_REMOTE_MAX },
		{ 4 * PAGE, 1, -EFAULT, -EFAULT, 1 },
		{ 6 * PAGE - 1, 2, -EFAULT, -EFAULT, 2 },
		{ UINT64_MAX, 2, -EFAULT, -EFAULT, 2 },
		{ UINT64_MAX, 0, 0, 0, 0 },
	};
	g_autofree uint8_t *buf = g_malloc0(8 * PAGE);
	struct world w;

	world_init(&w);
	map_kinds(&w);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		uint64_t gpa = rows[i].gpa;

		g_test_message("row %u", i);
		g_assert_cmpint(guestmem_read(w.mem, gpa, buf, rows[i].len), ==, rows[i].read);
		g_assert_cmpint(guestmem_clip(w.mem, gpa, rows[i].len), ==, rows[i].clip);
		memset(buf, 'Z', rows[i].len);
		g_assert_cmpint(guestmem_write(w.mem, gpa, buf, rows[i].len), ==, rows[i].write);
	}
	/* page 0 was written whole, and page 1 of the file never */
	g_assert_cmpint(w.bytes[3 * PAGE], ==, 'Z');
	g_assert_cmpint(w.bytes[4 * PAGE - 1], ==, 'Z');
	g_assert_cmpint(w.bytes[PAGE], ==, 'b');
	g_assert_cmpint(w.bytes[2 * PAGE], ==, 'c');
	world_finish(&w);
}

/* A buffer over many regions, in an order of their own. */
static void test_across(void)
{
	g_autofree uint8_t *buf = g_malloc(PAGES * PAGE);
	struct world w;

	world_init(&w);
	for (unsigned i = 0; i < PAGES; i++)
		g_assert_cmpint(map(&w, (PAGES - 1 - i) * PAGE, PAGE, i * PAGE, w.file, false), ==,
				0);
	g_assert_cmpint(guestmem_read(w.mem, 100, buf, PAGES * PAGE - 100), ==, 0);
	for (unsigned i = 1; i < PAGES; i++)
		g_assert_cmpint(buf[i * PAGE - 100], ==, 'a' + (PAGES - 1 - i) % 26);
	g_assert_cmpint(guestmem_write(w.mem, PAGE - 1, "xy", 2), ==, 0);
	g_assert_cmpint(w.bytes[PAGES * PAGE - 1], ==, 'x');
	g_assert_cmpint(w.bytes[(PAGES - 2) * PAGE], ==, 'y');
	world_finish(&w);
}

/* What the device may only read can be a file that it could not write; one that it may, not. */
static void test_readonly_file(void)
{
	struct world w;
	char byte = 'x';

	world_init(&w);
	g_assert_cmpint(map(&w, 0, PAGE, 0, w.readonly, true), ==, 0);
	g_assert_cmpint(guestmem_read(w.mem, 0, &byte, 1), ==, 0);
	g_assert_cmpint(byte, ==, 0);
	g_assert_cmpint(guestmem_write(w.mem, 0, "x", 1), ==, -EFAULT);
	g_assert_cmpint(map(&w, PAGE, PAGE, 0, w.readonly, false), ==, -EACCES);
	/* Whoever may write gets a mapping of his own. */
	g_assert_cmpint(map(&w, PAGE, PAGE, 0, w.other, false), ==, 0);
	g_assert_cmpint(guestmem_write(w.mem, PAGE, "x", 1), ==, 0);
	g_assert_cmpint(guestmem_read(w.mem, 0, &byte, 1), ==, 0);
	g_assert_cmpint(byte, ==, 'x');
	world_finish(&w);
}

static void test_writeonly(void)
{
	struct world w;
	const struct guestmem_region r[] = {
		{ .gpa = 0, .size = PAGE, .fd = -1, .writeonly = true },
		{ .gpa = PAGE, .size = PAGE, .writeonly = true },
	};
	char byte;

	world_init(&w);
	g_assert_cmpint(guestmem_map(w.mem, &r[0]), ==, 0);
	struct guestmem_region shared = r[1];

	shared.fd = w.file;
	g_assert_cmpint(guestmem_map(w.mem, &shared), ==, 0);
	g_assert_cmpint(guestmem_read(w.mem, 0, &byte, 1), ==, -EFAULT);
	g_assert_cmpint(guestmem_read(w.mem, PAGE, &byte, 1), ==, -EFAULT);
	g_assert_cmpint(guestmem_write(w.mem, 0, "x", 1), ==, -EREMOTE);
	g_assert_cmpint(guestmem_write(w.mem, PAGE, "x", 1), ==, 0);
	world_finish(&w);
}

/* Two devices of a VM share the mapping; who comes after a loss gets a new one. */
static void test_two_tables(void)
{
	struct guestmem *second;
	struct world w;

	world_init(&w);
	second = guestmem_create_for(w.arena, 9);
	const struct guestmem_region r = { .gpa = PAGE, .size = PAGE, .fd = w.file };

	g_assert_cmpint(guestmem_map(second, &r), ==, 0);
	g_assert_cmpint(map(&w, 0, 2 * PAGE, 0, w.file, false), ==, 0);
	g_assert_cmpint(mappings(), ==, 1);
	g_assert_cmpint(guestmem_set(w.mem, &r, 1), ==, -EINVAL);
	guestmem_clear(w.mem);
	g_assert_cmpint(guestmem_write(second, PAGE, "!", 1), ==, 0);
	g_assert_cmpint(w.bytes[0], ==, '!');
	guestmem_destroy(second);
	g_assert_cmpint(mappings(), ==, 0);
	world_finish(&w);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/maps/refused", test_refused);
	g_test_add_func("/maps/unmap", test_unmap);
	g_test_add_func("/maps/kinds", test_kinds);
	g_test_add_func("/maps/many", test_many);
	g_test_add_func("/maps/across", test_across);
	g_test_add_func("/maps/readonly-file", test_readonly_file);
	g_test_add_func("/maps/writeonly", test_writeonly);
	g_test_add_func("/maps/two-tables", test_two_tables);
	return g_test_run();
}
