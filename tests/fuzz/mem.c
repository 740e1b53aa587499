/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory alone: two tables in one arena, regions of any kind of file at any place, accesses
 * of any range, and files that are cut short meanwhile.  What is read and written is compared with
 * the files.
 */

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../unit/util.h"
#include "fds.h"
#include "fuzz.h"
#include "mem/arena.h"
#include "mem/guestmem.h"
#include "mem/memfd.h"
#include "mem/sigbus.h"

#define MAX_OPS 100
#define TABLES 2
#define MAX_LEN 20000u

struct table {
	struct guestmem *mem;
	struct guestmem_region region[GUESTMEM_MAX_REGIONS];	/* as they were set, with fds */
	unsigned count;
	uint64_t moved;						/* bytes, by its hook */
};

static struct {
	int fd[KINDS];
	struct guestmem_arena *arena;
	struct table table[TABLES];
	struct input *in;
} w;

static void on_moved(void *opaque, enum guestmem_dir dir, uint64_t gpa, const void *data,
		     size_t len)
{
	((struct table *)opaque)->moved += len;
}

void fuzz_setup(void)
{
	uint64_t base, size;

	fds_make(w.fd);
	guestmem_arena_destroy(guestmem_arena_create());
	w.arena = guestmem_arena_create();
	g_assert_nonnull(w.arena);
	guestmem_arena_range(w.arena, &base, &size);
	g_assert_cmpuint(base % size, ==, 0);
	g_assert_cmpint(sigbus_guard(w.arena), ==, 0);
}

/* ---- tables ---- */

static void read_region(struct guestmem_region *r)
{
	uint8_t how = in_u8(w.in), where = in_u8(w.in);

	*r = (struct guestmem_region){
		.gpa = (uint64_t)(where & 0x7f) * PAGE, .size = (uint64_t)(1 + (how & 7)) * PAGE,
		.offset = (uint64_t)(how >> 3 & 3) * PAGE,
		.fd = w.fd[how & 0x20 ? in_u8(w.in) % KINDS : RAM],
	};
	if (where & 0x80)
		r->gpa <<= 32;
	if (how & 0x40)
		r->gpa = in_u64(w.in);
	if (how & 0x80) {
		r->size = in_u64(w.in);
		r->offset = in_u64(w.in);
	}
}

static void op_set(struct table *t)
{
	struct guestmem_region r[GUESTMEM_MAX_REGIONS + 2];
	uint64_t generation = guestmem_generation(t->mem);
	unsigned count = in_u8(w.in) % (G_N_ELEMENTS(r) + 1);

	for (unsigned i = 0; i < count; i++)
		read_region(&r[i]);
	if (guestmem_set(t->mem, r, count)) {
		g_assert_cmpuint(guestmem_generation(t->mem), ==, generation);
		g_assert_cmpuint(guestmem_count(t->mem), ==, t->count);
		return;
	}
	g_assert_cmpuint(guestmem_generation(t->mem), ==, generation + 1);
	g_assert_cmpuint(guestmem_count(t->mem), ==, count);
	memcpy(t->region, r, count * sizeof(*r));
	t->count = count;
	for (unsigned i = 1; i < count; i++)
		g_assert_cmpuint(guestmem_get(t->mem, i - 1).gpa, <, guestmem_get(t->mem, i).gpa);
}

/* ---- accesses ---- */

static const struct guestmem_region *region_at(const struct table *t, uint64_t gpa)
{
	for (unsigned i = 0; i < t->count; i++)
		if (gpa - t->region[i].gpa < t->region[i].size)
			return &t->region[i];
	return NULL;
}

/* The same range by way of the files.  Returns false when a part of it is not RAM. */
static bool file_read(const struct table *t, uint64_t gpa, uint8_t *buf, size_t len)
{
	while (len) {
		const struct guestmem_region *r = region_at(t, gpa);
		uint64_t off;
		size_t part;

		if (!r)
			return false;
		off = gpa - r->gpa;
		part = MIN(len, r->size - off);
		if (pread(r->fd, buf, part, r->offset + off) != (ssize_t)part)
			return false;	/* cut short */
		gpa += part;
		buf += part;
		len -= part;
	}
	return true;
}

static uint64_t read_gpa(const struct table *t, size_t *ret_len)
{
	uint8_t how = in_u8(w.in);
	uint64_t gpa = in_u16(w.in);

	*ret_len = how & 0x40 ? in_u16(w.in) % MAX_LEN : how & 0x3f;
	if (how & 0x80)
		return gpa << 4;
	return t->count ? t->region[gpa % t->count].gpa + gpa / 8 : in_u64(w.in);
}

static void op_read(struct table *t)
{
	static uint8_t buf[MAX_LEN], want[MAX_LEN];
	size_t len;
	uint64_t gpa = read_gpa(t, &len), moved = t->moved;
	bool there = file_read(t, gpa, want, len);
	int ret = guestmem_read(t->mem, gpa, buf, len);

	/* Memory that came back after it had gone stays lost until it is set anew. */
	if (!there)
		g_assert_cmpint(ret, ==, len ? -EFAULT : 0);
	if (ret)
		return;
	g_assert_cmpint(memcmp(buf, want, len), ==, 0);
	g_assert_cmpuint(t->moved, ==, moved + len);
}

static void op_write(struct table *t)
{
	static uint8_t buf[MAX_LEN], want[MAX_LEN];
	size_t len;
	uint64_t gpa = read_gpa(t, &len);

	memset(buf, in_u8(w.in), len);
	if (guestmem_write(t->mem, gpa, buf, len))
		return;
	g_assert_true(file_read(t, gpa, want, len));
	g_assert_cmpint(memcmp(buf, want, len), ==, 0);
}

static void op_iov(struct table *t)
{
	struct iovec iov[GUESTMEM_MAX_REGIONS];
	uint8_t max = in_u8(w.in) % (G_N_ELEMENTS(iov) + 1);
	size_t len, sum = 0;
	uint64_t gpa = read_gpa(t, &len);
	int n = guestmem_iov(t->mem, gpa, len, iov, max);

	if (n < 0)
		return;
	g_assert_cmpint(n, <=, max);
	for (int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	g_assert_cmpuint(sum, ==, len);
}

static void op_truncate(struct table *t)
{
	fds_truncate(w.fd, in_u8(w.in) % (FRAGILE_PAGES + 1));
}

static void op_lost(struct table *t)
{
	uint64_t gpa;

	while (guestmem_lost(t->mem, &gpa))
		g_assert_nonnull(region_at(t, gpa));
}

void fuzz_one(struct input *in)
{
	static void (*const ops[])(struct table *) = {
		op_set, op_read, op_write, op_iov, op_truncate, op_lost, op_read, op_write,
	};

	w.in = in;
	for (unsigned i = 0; i < TABLES; i++) {
		w.table[i] = (struct table){ .mem = guestmem_create(w.arena) };
		g_assert_nonnull(w.table[i].mem);
		guestmem_set_hook(w.table[i].mem, on_moved, &w.table[i]);
	}
	for (unsigned i = 0; i < MAX_OPS && in->left; i++) {
		uint8_t op = in_u8(in);

		ops[op & 7](&w.table[op >> 7]);
	}
	for (unsigned i = 0; i < TABLES; i++)
		guestmem_destroy(w.table[i].mem);
	fds_restore(w.fd);
}
