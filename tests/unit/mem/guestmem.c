/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guest RAM: what no peer may announce, what an access may reach, and that changes are diffs. */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <glib.h>

#include "base/fd.h"
#include "base/num.h"
#include "mem/arena.h"
#include "mem/guestmem.h"
#include "mem/memfd.h"
#include "../util.h"

#define PAGE 4096ULL
#define FILE_PAGES 16
#define ARENA_AT_LEAST (1ULL << 34)

/* The kinds of file that a row may name. */
enum kind {
	MEM,		/* memfd of FILE_PAGES */
	MEM2,		/* another one */
	SHORT,		/* memfd of one page */
	EMPTY,		/* memfd of no page */
	PLAIN,		/* a file on a disk, as memory-backend-file */
	READ_ONLY,	/* MEM, opened for reading */
	WRITE_ONLY,
	WRITE_SEALED,	/* cannot be mapped shared and writable */
	PATH,		/* O_PATH */
	DIRECTORY,
	NULL_DEVICE,
	ZERO_DEVICE,
	EVENT,
	PIPE,
	SOCKET,
	CLOSED,
	KINDS,
};

static int files[KINDS];

/* As in a process of the product: one, for all tables. */
static struct guestmem_arena *arena;

/* A peer that cuts its file short just before this process seals it. */
static int shrink_before_sealing = -1;

/* Stands before libc's. */
int fcntl(int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	if (cmd == F_ADD_SEALS && shrink_before_sealing >= 0 && fd == shrink_before_sealing)
		must(ftruncate(fd, PAGE));
	return syscall(SYS_fcntl, fd, cmd, arg);
}

static int reopen(int fd, int flags)
{
	g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);

	return must(open(path, flags | O_CLOEXEC));
}

static int make_memfd(uint64_t pages)
{
	int fd = must(memfd_create("ram", MFD_CLOEXEC | MFD_ALLOW_SEALING));

	must(ftruncate(fd, pages * PAGE));
	return fd;
}

static void files_open(void)
{
	g_autofree char *path = NULL;
	int p[2], s[2];

	files[MEM] = make_memfd(FILE_PAGES);
	files[MEM2] = make_memfd(FILE_PAGES);
	files[SHORT] = make_memfd(1);
	files[EMPTY] = make_memfd(0);
	files[PLAIN] = must(g_file_open_tmp(NULL, &path, NULL));
	must(unlink(path));
	must(ftruncate(files[PLAIN], FILE_PAGES * PAGE));
	files[READ_ONLY] = reopen(files[MEM], O_RDONLY);
	files[WRITE_ONLY] = reopen(files[MEM2], O_WRONLY);
	files[WRITE_SEALED] = make_memfd(FILE_PAGES);
	must(fcntl(files[WRITE_SEALED], F_ADD_SEALS, F_SEAL_WRITE));
	files[PATH] = reopen(files[MEM], O_PATH);
	files[DIRECTORY] = must(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	files[NULL_DEVICE] = must(open("/dev/null", O_RDWR | O_CLOEXEC));
	files[ZERO_DEVICE] = must(open("/dev/zero", O_RDWR | O_CLOEXEC));
	files[EVENT] = must(eventfd(0, EFD_CLOEXEC));
	must(pipe2(p, O_CLOEXEC));
	files[PIPE] = p[0];
	must(close(p[1]));
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s));
	files[SOCKET] = s[0];
	must(close(s[1]));
	files[CLOSED] = -1;
}

static void files_close(void)
{
	for (unsigned i = 0; i < KINDS; i++)
		fd_close(&files[i]);
}

/* A region of a row, in pages but for the low bits that some rows add. */
struct row_region {
	uint64_t gpa, size, offset;
	enum kind kind;
};

static int set(struct guestmem *mem, const struct row_region *rows, unsigned count)
{
	struct guestmem_region r[16];

	for (unsigned i = 0; i < count; i++)
		r[i] = (struct guestmem_region){
			.gpa = rows[i].gpa, .size = rows[i].size, .offset = rows[i].offset,
			.fd = files[rows[i].kind],
		};
	return guestmem_set(mem, r, count);
}

#define SET(mem, ...)                                                          \
	set(mem, (const struct row_region[]){ __VA_ARGS__ },                   \
	    sizeof((struct row_region[]){ __VA_ARGS__ }) / sizeof(struct row_region))

static struct guestmem *make_mem(void)
{
	struct guestmem *mem = guestmem_create(arena);

	g_assert_nonnull(mem);
	return mem;
}

static void *host_at(struct guestmem *mem, uint64_t gpa)
{
	struct iovec iov;

	g_assert_cmpint(guestmem_iov(mem, gpa, 1, &iov, 1), ==, 1);
	return iov.iov_base;
}

/* How many bytes from @at on belong to some mapping, without a hole. */
static uint64_t mapped_from(const void *at)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long start, end, reach = (uintptr_t)at;
	char line[512];

	g_assert_nonnull(maps);
	while (fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx", &start, &end) == 2 && start <= reach && reach < end)
			reach = end;
	fclose(maps);
	return reach - (uintptr_t)at;
}

/* What a peer may not announce */

#define N 0xfffffffffffff000ULL	/* the last page of the address space */

static const struct {
	const char *name;
	int ret;
	unsigned count;
	struct row_region region[9];
} refused[] = {
	{ "no size", -EINVAL, 1, { { 0, 0, 0, MEM } } },
	{ "wraps", -EINVAL, 1, { { N, 2 * PAGE, 0, MEM } } },
	{ "ends at 2^64", -EINVAL, 1, { { N, PAGE, 0, MEM } } },
	{ "size wraps all around", -EINVAL, 1, { { PAGE, N, 0, MEM } } },
	{ "gpa inside a page", -EINVAL, 1, { { 1, PAGE, 0, MEM } } },
	{ "gpa at half a page", -EINVAL, 1, { { 0x800, PAGE, 0, MEM } } },
	{ "size inside a page", -EINVAL, 1, { { 0, PAGE + 1, 0, MEM } } },
	{ "less than a page", -EINVAL, 1, { { 0, 4095, 0, MEM } } },
	{ "offset inside a page", -EINVAL, 1, { { 0, PAGE, 512, MEM } } },
	{ "offset of -1", -EINVAL, 1, { { 0, PAGE, UINT64_MAX, MEM } } },
	{ "offset of -4096", -ERANGE, 1, { { 0, PAGE, N, MEM } } },
	{ "offset of INT64_MIN", -ERANGE, 1, { { 0, PAGE, 1ULL << 63, MEM } } },
	{ "a page too long", -ERANGE, 1, { { 0, 17 * PAGE, 0, MEM } } },
	{ "a page too far", -ERANGE, 1, { { 0, 16 * PAGE, PAGE, MEM } } },
	{ "behind the end", -ERANGE, 1, { { 0, PAGE, 16 * PAGE, MEM } } },
	{ "all there could be", -ERANGE, 1, { { 0, N, 0, MEM } } },
	{ "a file of one page", -ERANGE, 1, { { 0, 2 * PAGE, 0, SHORT } } },
	{ "an empty file", -ERANGE, 1, { { 0, PAGE, 0, EMPTY } } },
	{ "the same twice", -EINVAL, 2, { { 0, PAGE, 0, MEM }, { 0, PAGE, 0, MEM2 } } },
	{ "one inside the other", -EINVAL, 2,
	  { { 0, 8 * PAGE, 0, MEM }, { 4 * PAGE, PAGE, 0, MEM2 } } },
	{ "the other inside the one", -EINVAL, 2,
	  { { 4 * PAGE, PAGE, 0, MEM2 }, { 0, 8 * PAGE, 0, MEM } } },
	{ "overlap by a page", -EINVAL, 2,
	  { { 0, 4 * PAGE, 0, MEM }, { 3 * PAGE, 4 * PAGE, 0, MEM2 } } },
	{ "overlap of the last with the first", -EINVAL, 3,
	  { { 0, 4 * PAGE, 0, MEM }, { 8 * PAGE, PAGE, 0, MEM }, { PAGE, PAGE, 0, MEM } } },
	{ "nine regions", -E2BIG, 9,
	  { { 0, PAGE, 0, MEM }, { 1 * PAGE, PAGE, 0, MEM }, { 2 * PAGE, PAGE, 0, MEM },
	    { 3 * PAGE, PAGE, 0, MEM }, { 4 * PAGE, PAGE, 0, MEM }, { 5 * PAGE, PAGE, 0, MEM },
	    { 6 * PAGE, PAGE, 0, MEM }, { 7 * PAGE, PAGE, 0, MEM }, { 8 * PAGE, PAGE, 0, MEM } } },
	{ "closed", -EBADF, 1, { { 0, PAGE, 0, CLOSED } } },
	{ "path only", -EBADF, 1, { { 0, PAGE, 0, PATH } } },
	{ "read only", -EACCES, 1, { { 0, PAGE, 0, READ_ONLY } } },
	{ "write only", -EACCES, 1, { { 0, PAGE, 0, WRITE_ONLY } } },
	{ "write sealed", -EPERM, 1, { { 0, PAGE, 0, WRITE_SEALED } } },
	{ "the last of three is write sealed", -EPERM, 3,
	  { { 0, PAGE, PAGE, MEM }, { 16 * PAGE, PAGE, 0, MEM2 },
	    { 32 * PAGE, PAGE, 0, WRITE_SEALED } } },
	{ "directory", -ENODEV, 1, { { 0, PAGE, 0, DIRECTORY } } },
	{ "/dev/null", -ENODEV, 1, { { 0, PAGE, 0, NULL_DEVICE } } },
	{ "/dev/zero", -ENODEV, 1, { { 0, PAGE, 0, ZERO_DEVICE } } },
	{ "eventfd", -ENODEV, 1, { { 0, PAGE, 0, EVENT } } },
	{ "pipe", -ENODEV, 1, { { 0, PAGE, 0, PIPE } } },
	{ "socket", -ENODEV, 1, { { 0, PAGE, 0, SOCKET } } },
	{ "the last of three is bad", -EACCES, 3,
	  { { 0, PAGE, PAGE, MEM }, { 16 * PAGE, PAGE, 0, MEM2 },
	    { 32 * PAGE, PAGE, 0, READ_ONLY } } },
	{ "the last of three is no file", -ENODEV, 3,
	  { { 0, PAGE, PAGE, MEM }, { 16 * PAGE, PAGE, 0, MEM2 }, { 32 * PAGE, PAGE, 0, PIPE } } },
};

/* Each row against a table that stands: it stands afterwards, as if nobody had asked. */
static void test_refused(void)
{
	struct guestmem *mem = make_mem();
	void *host;
	unsigned fds;

	g_assert_cmpint(SET(mem, { 0x10000, 4 * PAGE, 4 * PAGE, PLAIN }), ==, 0);
	g_assert_cmpint(guestmem_write(mem, 0x10ffe, "mark", 4), ==, 0);
	host = host_at(mem, 0x10000);
	fds = open_fds();
	for (unsigned i = 0; i < G_N_ELEMENTS(refused); i++) {
		uint64_t generation = guestmem_generation(mem);
		char buf[4];

		g_test_message("%s", refused[i].name);
		g_assert_cmpint(set(mem, refused[i].region, refused[i].count), ==, refused[i].ret);
		g_assert_cmpuint(guestmem_generation(mem), ==, generation);
		g_assert_cmpuint(guestmem_count(mem), ==, 1);
		g_assert_cmpuint(guestmem_get(mem, 0).gpa, ==, 0x10000);
		g_assert_cmpint(guestmem_read(mem, 0x10ffe, buf, 4), ==, 0);
		g_assert_cmpmem(buf, 4, "mark", 4);
		g_assert_cmpint(guestmem_read(mem, 0, buf, 4), ==, -EFAULT);
		g_assert_true(host_at(mem, 0x10000) == host);
		g_assert_cmpuint(open_fds(), ==, fds);
		g_assert_cmpuint(mapped_from(host), >=, ARENA_AT_LEAST);
	}
	guestmem_destroy(mem);
}

/*
 * What has been checked stays true: RAM that goes away under its mapping would be a SIGBUS.  So the
 * file is sealed first, and what could be done before that is seen.
 */
static void test_shrink_behind_our_back(void)
{
	struct guestmem *mem = make_mem();
	autofd fd = make_memfd(4);
	struct guestmem_region r = { .fd = fd, .size = 4 * PAGE };
	char byte = 1;

	shrink_before_sealing = fd;
	g_assert_cmpint(guestmem_set(mem, &r, 1), ==, -ERANGE);
	shrink_before_sealing = -1;
	g_assert_cmpint(ftruncate(fd, 0), ==, -1);
	r.size = PAGE;
	g_assert_cmpint(guestmem_set(mem, &r, 1), ==, 0);
	g_assert_cmpint(guestmem_write(mem, PAGE - 1, &byte, 1), ==, 0);
	guestmem_destroy(mem);
}

/* Sparse files of any size cost nothing, but the reserved range has an end. */
static void test_too_many_bytes(void)
{
	struct guestmem *mem = make_mem();
	autofd huge = make_memfd(1);
	struct guestmem_region r = { .fd = huge, .size = 1ULL << 42 };

	must(ftruncate(huge, 1LL << 42));
	g_assert_cmpint(guestmem_set(mem, &r, 1), ==, -E2BIG);
	g_assert_cmpuint(guestmem_count(mem), ==, 0);
	guestmem_destroy(mem);
}

/* Accesses */

/* 0..4 pages of MEM, then 4..6 of MEM2 without a gap, then a gap of a page, then MEM2 again. */
static struct guestmem *make_layout(void)
{
	struct guestmem *mem = make_mem();

	g_assert_cmpint(SET(mem, { 7 * PAGE, PAGE, 4 * PAGE, MEM2 },
			    { 4 * PAGE, 2 * PAGE, 0, MEM2 }, { 0, 4 * PAGE, 2 * PAGE, MEM }),
			==, 0);
	return mem;
}

static void test_access_limits(void)
{
	static const struct {
		uint64_t gpa, len;
		int ret;	/* of guestmem_iov: segments */
	} rows[] = {
		{ 8 * PAGE, 1, -EFAULT },		/* behind the end */
		{ 8 * PAGE - 1, 2, -EFAULT },
		{ 6 * PAGE, 1, -EFAULT },		/* in the gap */
		{ 6 * PAGE - 1, 2, -EFAULT },		/* into the gap */
		{ 6 * PAGE + 4095, 2, -EFAULT },	/* out of it */
		{ 5 * PAGE, 3 * PAGE, -EFAULT },	/* over it */
		{ 0, 8 * PAGE, -EFAULT },
		{ UINT64_MAX, 1, -EFAULT },
		{ UINT64_MAX, 2, -EFAULT },		/* wraps to where RAM is */
		{ UINT64_MAX - 4095, 2 * PAGE, -EFAULT },
		{ 0, SIZE_MAX, -EFAULT },
		{ 1, SIZE_MAX, -EFAULT },
		{ PAGE, N, -EFAULT },
		{ UINT64_MAX, 0, 0 },			/* nothing is anywhere */
		{ 0, 0, 0 },
		{ 0, 1, 1 },
		{ 4 * PAGE - 1, 1, 1 },
		{ 4 * PAGE - 1, 2, 2 },			/* over the seam */
		{ 0, 6 * PAGE, 2 },
		{ 6 * PAGE - 1, 1, 1 },
		{ 7 * PAGE, PAGE, 1 },
		{ 8 * PAGE - 1, 1, 1 },
	};
	struct guestmem *mem = make_layout();
	struct iovec iov[GUESTMEM_MAX_REGIONS];

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		int ret = guestmem_iov(mem, rows[i].gpa, rows[i].len, iov, GUESTMEM_MAX_REGIONS);
		uint64_t sum = 0;

		g_test_message("row %u", i);
		g_assert_cmpint(ret, ==, rows[i].ret);
		for (int k = 0; k < ret; k++)
			sum += iov[k].iov_len;
		if (ret >= 0)
			g_assert_cmpuint(sum, ==, rows[i].len);
	}
	guestmem_destroy(mem);
}

/* A transfer that fails moves nothing: not to RAM, not to the caller's buffer. */
static void test_access_all_or_nothing(void)
{
	struct guestmem *mem = make_layout();
	char buf[4] = "keep", back[2];

	g_assert_cmpint(guestmem_write(mem, 6 * PAGE - 2, "ok", 2), ==, 0);
	g_assert_cmpint(guestmem_write(mem, 6 * PAGE - 2, "no!!", 4), ==, -EFAULT);
	g_assert_cmpint(guestmem_read(mem, 6 * PAGE - 2, back, 2), ==, 0);
	g_assert_cmpmem(back, 2, "ok", 2);
	g_assert_cmpint(guestmem_read(mem, 6 * PAGE - 2, buf, 4), ==, -EFAULT);
	g_assert_cmpmem(buf, 4, "keep", 4);
	guestmem_destroy(mem);
}

/* Bytes land at the right place of the right file, also over a seam. */
static void test_access_places(void)
{
	struct guestmem *mem = make_layout();
	char a[4], b[4], back[8];

	g_assert_cmpint(guestmem_write(mem, 4 * PAGE - 4, "ABCDEFGH", 8), ==, 0);
	g_assert_cmpint(guestmem_read(mem, 4 * PAGE - 4, back, 8), ==, 0);
	g_assert_cmpmem(back, 8, "ABCDEFGH", 8);
	must(pread(files[MEM], a, 4, 6 * PAGE - 4));	/* offset 2 pages + gpa */
	must(pread(files[MEM2], b, 4, 0));
	g_assert_cmpmem(a, 4, "ABCD", 4);
	g_assert_cmpmem(b, 4, "EFGH", 4);
	must(pwrite(files[MEM2], "disk", 4, 4 * PAGE));
	g_assert_cmpint(guestmem_read(mem, 7 * PAGE, back, 4), ==, 0);
	g_assert_cmpmem(back, 4, "disk", 4);
	guestmem_destroy(mem);
}

/* Eight regions in a row are one range; with room for seven segments it is said. */
static void test_eight_segments(void)
{
	struct guestmem *mem = make_mem();
	struct guestmem_region r[GUESTMEM_MAX_REGIONS];
	struct iovec iov[GUESTMEM_MAX_REGIONS];
	g_autofree uint8_t *data = g_malloc(8 * PAGE), *back = g_malloc0(8 * PAGE);

	/* Every second page, so that no two are neighbours in the file; in falling order. */
	for (unsigned i = 0; i < 8; i++)
		r[i] = (struct guestmem_region){
			.gpa = (7 - i) * PAGE, .size = PAGE, .offset = 2 * i * PAGE,
			.fd = files[MEM],
		};
	g_assert_cmpint(guestmem_set(mem, r, 8), ==, 0);
	g_assert_cmpint(guestmem_iov(mem, 0, 8 * PAGE, iov, 7), ==, -E2BIG);
	g_assert_cmpint(guestmem_iov(mem, 0, 1, iov, 0), ==, -E2BIG);
	g_assert_cmpint(guestmem_iov(mem, 0, 8 * PAGE, iov, 8), ==, 8);
	for (unsigned i = 0; i < 8 * PAGE; i++)
		data[i] = i ^ i >> 8;
	g_assert_cmpint(guestmem_write(mem, 0, data, 8 * PAGE), ==, 0);
	g_assert_cmpint(guestmem_read(mem, 0, back, 8 * PAGE), ==, 0);
	g_assert_cmpmem(back, 8 * PAGE, data, 8 * PAGE);
	for (unsigned i = 0; i < 8; i++)
		g_assert_cmpuint(guestmem_get(mem, i).gpa, ==, i * PAGE);
	guestmem_destroy(mem);
}

/* The same part of one file at two guest addresses is the same memory. */
static void test_alias(void)
{
	struct guestmem *mem = make_mem();
	char back[5];

	g_assert_cmpint(SET(mem, { 0, 2 * PAGE, 0, MEM }, { 1ULL << 40, 2 * PAGE, 0, MEM },
			    { 1ULL << 41, PAGE, PAGE, MEM }), ==, 0);
	g_assert_cmpint(guestmem_write(mem, (1ULL << 40) + PAGE, "alias", 5), ==, 0);
	g_assert_cmpint(guestmem_read(mem, PAGE, back, 5), ==, 0);
	g_assert_cmpmem(back, 5, "alias", 5);
	g_assert_cmpint(guestmem_read(mem, 1ULL << 41, back, 5), ==, 0);
	g_assert_cmpmem(back, 5, "alias", 5);
	guestmem_destroy(mem);
}

/* A region that ends with the last byte that a table may hold. */
static void test_top(void)
{
	struct guestmem *mem = make_mem();
	uint8_t byte = 0x5a;

	g_assert_cmpint(SET(mem, { N - PAGE, PAGE, 0, MEM }), ==, 0);
	g_assert_cmpint(guestmem_write(mem, N - 1, &byte, 1), ==, 0);
	g_assert_cmpint(guestmem_write(mem, N - 1, &byte, 2), ==, -EFAULT);
	g_assert_cmpint(guestmem_write(mem, N - 1, &byte, SIZE_MAX), ==, -EFAULT);
	guestmem_destroy(mem);
}

struct hooked {
	unsigned calls;
	enum guestmem_dir dir;
	uint64_t gpa;
	size_t len;
	char data[16];
};

static void on_transfer(void *opaque, enum guestmem_dir dir, uint64_t gpa, const void *data,
			size_t len)
{
	struct hooked *h = opaque;

	h->calls++;
	h->dir = dir;
	h->gpa = gpa;
	h->len = len;
	memcpy(h->data, data, len);
}

static void test_hook(void)
{
	struct guestmem *mem = make_layout();
	struct hooked h = { 0 };
	char buf[6];

	guestmem_set_hook(mem, on_transfer, &h);
	g_assert_cmpint(guestmem_write(mem, 6 * PAGE, "no", 2), ==, -EFAULT);
	g_assert_cmpint(guestmem_read(mem, 6 * PAGE, buf, 2), ==, -EFAULT);
	g_assert_cmpuint(h.calls, ==, 0);
	g_assert_cmpint(guestmem_write(mem, 4 * PAGE - 3, "hooked", 6), ==, 0);
	g_assert_cmpuint(h.calls, ==, 1);	/* once, though over a seam */
	g_assert_cmpint(h.dir, ==, GUESTMEM_WRITE);
	g_assert_cmpuint(h.gpa, ==, 4 * PAGE - 3);
	g_assert_cmpmem(h.data, h.len, "hooked", 6);
	g_assert_cmpint(guestmem_read(mem, 4 * PAGE - 2, buf, 4), ==, 0);
	g_assert_cmpuint(h.calls, ==, 2);
	g_assert_cmpint(h.dir, ==, GUESTMEM_READ);
	g_assert_cmpuint(h.gpa, ==, 4 * PAGE - 2);
	g_assert_cmpmem(h.data, h.len, "ooke", 4);
	guestmem_set_hook(mem, NULL, NULL);
	g_assert_cmpint(guestmem_write(mem, 0, "x", 1), ==, 0);
	g_assert_cmpuint(h.calls, ==, 2);
	guestmem_destroy(mem);
}

/* What went by another way than a copy is told as it stands in memory. */
static void test_moved(void)
{
	struct guestmem *mem = make_layout();
	struct hooked h = { 0 };
	struct iovec iov[2];

	guestmem_moved(mem, GUESTMEM_WRITE, 4 * PAGE - 3, 6);	/* nobody listens */
	guestmem_set_hook(mem, on_transfer, &h);
	guestmem_moved(mem, GUESTMEM_WRITE, 6 * PAGE, 2);	/* no RAM */
	guestmem_moved(mem, GUESTMEM_READ, 4 * PAGE, SIZE_MAX);
	guestmem_moved(mem, GUESTMEM_WRITE, 4 * PAGE, 0);
	g_assert_cmpuint(h.calls, ==, 0);
	g_assert_cmpint(guestmem_iov(mem, 4 * PAGE - 3, 6, iov, 2), ==, 2);
	memcpy(iov[0].iov_base, "abc", 3);
	memcpy(iov[1].iov_base, "def", 3);
	guestmem_moved(mem, GUESTMEM_WRITE, 4 * PAGE - 3, 6);
	g_assert_cmpuint(h.calls, ==, 2);	/* each part by itself */
	g_assert_cmpint(h.dir, ==, GUESTMEM_WRITE);
	g_assert_cmpuint(h.gpa, ==, 4 * PAGE);
	g_assert_cmpmem(h.data, h.len, "def", 3);
	guestmem_moved(mem, GUESTMEM_READ, 4 * PAGE - 3, 2);
	g_assert_cmpint(h.dir, ==, GUESTMEM_READ);
	g_assert_cmpmem(h.data, h.len, "ab", 2);
	guestmem_destroy(mem);
}

/* Changes */

static void test_empty_table(void)
{
	struct guestmem *mem = make_mem();
	uint64_t generation = guestmem_generation(mem);
	char byte;

	g_assert_cmpuint(guestmem_count(mem), ==, 0);
	g_assert_cmpint(guestmem_read(mem, 0, &byte, 1), ==, -EFAULT);
	g_assert_cmpint(SET(mem, { 0, PAGE, 0, MEM }), ==, 0);
	g_assert_cmpint(guestmem_set(mem, NULL, 0), ==, 0);
	g_assert_cmpuint(guestmem_count(mem), ==, 0);
	g_assert_cmpint(guestmem_read(mem, 0, &byte, 1), ==, -EFAULT);
	g_assert_cmpuint(guestmem_generation(mem), ==, generation + 2);
	guestmem_destroy(mem);
	guestmem_destroy(NULL);
}

/* What firmware does some twenty times: a region comes, moves, goes; the others are not touched. */
static void test_diff_keeps_mappings(void)
{
	struct guestmem *mem = make_mem();
	void *low, *high;
	struct guestmem_region get;

	g_assert_cmpint(SET(mem, { 0, 2 * PAGE, 0, MEM }, { 1ULL << 32, 4 * PAGE, 4 * PAGE, MEM }),
			==, 0);
	low = host_at(mem, 0);
	high = host_at(mem, 1ULL << 32);
	g_assert_cmpint(SET(mem, { 0x10000, PAGE, 0, MEM2 }, { 0, 2 * PAGE, 0, MEM },
			    { 1ULL << 33, 4 * PAGE, 4 * PAGE, MEM }), ==, 0);
	g_assert_true(host_at(mem, 0) == low);
	g_assert_true(host_at(mem, 1ULL << 33) == high);	/* moved, not mapped anew */
	g_assert_cmpint(SET(mem, { 1ULL << 32, 4 * PAGE, 4 * PAGE, MEM }), ==, 0);
	g_assert_true(host_at(mem, 1ULL << 32) == high);
	get = guestmem_get(mem, 0);
	g_assert_cmpuint(get.gpa, ==, 1ULL << 32);
	g_assert_cmpuint(get.size, ==, 4 * PAGE);
	g_assert_cmpuint(get.offset, ==, 4 * PAGE);
	g_assert_cmpint(get.fd, ==, -1);
	guestmem_destroy(mem);
}

/* The same place in the table, but another file: what is read is the new one's. */
static void test_diff_other_file(void)
{
	struct guestmem *mem = make_mem();
	char buf[3];

	must(pwrite(files[MEM], "one", 3, 0));
	must(pwrite(files[MEM2], "two", 3, 0));
	g_assert_cmpint(SET(mem, { 0, PAGE, 0, MEM }), ==, 0);
	g_assert_cmpint(SET(mem, { 0, PAGE, 0, MEM2 }), ==, 0);
	g_assert_cmpint(guestmem_read(mem, 0, buf, 3), ==, 0);
	g_assert_cmpmem(buf, 3, "two", 3);
	guestmem_destroy(mem);
}

/* Memory is not given back before the new table stands, and is gone afterwards. */
static void test_removed_is_unmapped(void)
{
	struct guestmem *mem = make_mem();
	unsigned char resident;
	void *host;

	g_assert_cmpint(SET(mem, { 0, PAGE, 0, MEM }, { PAGE, PAGE, 8 * PAGE, MEM }), ==, 0);
	host = host_at(mem, PAGE);
	g_assert_cmpint(guestmem_write(mem, PAGE, "x", 1), ==, 0);
	must(mincore(host, PAGE, &resident));
	g_assert_cmpint(resident & 1, ==, 1);
	g_assert_cmpint(SET(mem, { 0, PAGE, 0, MEM }), ==, 0);
	must(mincore(host, PAGE, &resident));	/* still reserved */
	g_assert_cmpint(resident & 1, ==, 0);
	guestmem_destroy(mem);
}

static unsigned count_maps(void)
{
	g_autofree char *text = NULL;
	unsigned lines = 0;

	g_assert_true(g_file_get_contents("/proc/self/maps", &text, NULL, NULL));
	for (const char *p = text; *p; p++)
		lines += *p == '\n';
	return lines;
}

/* One of several tables of different shapes; every fifth is refused. */
static int change(struct guestmem *mem, unsigned i)
{
	switch (i % 5) {
	case 0:
		return SET(mem, { 0, 2 * PAGE, 0, MEM }, { 4 * PAGE, 8 * PAGE, 4 * PAGE, MEM });
	case 1:
		return SET(mem, { 0, 8 * PAGE, 0, MEM2 }, { 8 * PAGE, PAGE, 0, MEM },
			   { 9 * PAGE, PAGE, 0, MEM }, { 10 * PAGE, PAGE, 0, PLAIN });
	case 2:
		return SET(mem, { 0, 8 * PAGE, 0, MEM2 });
	case 3:
		return SET(mem, { 0, PAGE, 0, PLAIN }, { PAGE, PAGE, 0, READ_ONLY }) ==
		       -EACCES ? 0 : -1;
	default:
		return SET(mem, { 0, PAGE, 0, SHORT }, { PAGE, 15 * PAGE, PAGE, MEM });
	}
}

static void test_many_changes(void)
{
	struct guestmem *mem = make_mem();
	unsigned fds, maps;
	void *host;

	for (unsigned i = 0; i <= 5; i++)
		g_assert_cmpint(change(mem, i), ==, 0);
	host = (void *)align_down((uintptr_t)host_at(mem, 0), ARENA_AT_LEAST);
	fds = open_fds();
	maps = count_maps();
	for (unsigned i = 1; i <= 10000; i++)
		g_assert_cmpint(change(mem, i), ==, 0);
	g_assert_cmpuint(open_fds(), ==, fds);
	g_assert_cmpuint(count_maps(), <=, maps + 8);
	g_assert_cmpuint(mapped_from(host), >=, ARENA_AT_LEAST);
	guestmem_destroy(mem);
}

int main(int argc, char **argv)
{
	int status;

	g_test_init(&argc, &argv, NULL);
	files_open();
	arena = guestmem_arena_create();
	g_assert_nonnull(arena);
	g_test_add_func("/guestmem/refused", test_refused);
	g_test_add_func("/guestmem/shrink-behind-our-back", test_shrink_behind_our_back);
	g_test_add_func("/guestmem/too-many-bytes", test_too_many_bytes);
	g_test_add_func("/guestmem/access-limits", test_access_limits);
	g_test_add_func("/guestmem/access-all-or-nothing", test_access_all_or_nothing);
	g_test_add_func("/guestmem/access-places", test_access_places);
	g_test_add_func("/guestmem/eight-segments", test_eight_segments);
	g_test_add_func("/guestmem/alias", test_alias);
	g_test_add_func("/guestmem/top", test_top);
	g_test_add_func("/guestmem/hook", test_hook);
	g_test_add_func("/guestmem/moved", test_moved);
	g_test_add_func("/guestmem/empty-table", test_empty_table);
	g_test_add_func("/guestmem/diff-keeps-mappings", test_diff_keeps_mappings);
	g_test_add_func("/guestmem/diff-other-file", test_diff_other_file);
	g_test_add_func("/guestmem/removed-is-unmapped", test_removed_is_unmapped);
	g_test_add_func("/guestmem/many-changes", test_many_changes);
	status = g_test_run();
	guestmem_arena_destroy(arena);
	files_close();
	return status;
}
