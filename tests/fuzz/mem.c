/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory alone: two tables in one arena, one that is replaced as a whole and one of which
 * regions come and go one by one; regions of any kind of file at any place, or of memory that is
 * not shared, accesses of any range, and files that are cut short meanwhile.  What is read and
 * written is compared with the files.
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
#define MAX_REGIONS 12	/* of the table of which they come and go */

struct table {
	struct guestmem *mem;
	struct guestmem_region region[MAX_REGIONS];		/* as they were set, with fds */
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

/* ---- one by one ---- */

static bool overlap(const struct guestmem_region *a, const struct guestmem_region *b)
{
	return a->gpa <= b->gpa + (b->size - 1) && b->gpa <= a->gpa + (a->size - 1);
}

static void op_map(struct table *t)
{
	uint64_t generation = guestmem_generation(t->mem);
	uint8_t how = in_u8(w.in);
	struct guestmem_region r;
	bool other = false;
	int ret;

	read_region(&r);
	r.readonly = how & 1;
	r.fd = how & 2 ? -1 : r.fd;
	ret = guestmem_map(t->mem, &r);
	for (unsigned i = 0; i < t->count; i++)
		other |= r.size && overlap(&t->region[i], &r);
	g_assert_false(!ret && other);
	g_assert_cmpuint(guestmem_generation(t->mem), ==, generation + !ret);
	if (!ret)
		t->region[t->count++] = r;
	g_assert_cmpuint(guestmem_count(t->mem), ==, t->count);
	for (unsigned i = 1; i < t->count; i++)
		g_assert_cmpuint(guestmem_get(t->mem, i - 1).gpa, <, guestmem_get(t->mem, i).gpa);
}

static void op_unmap(struct table *t)
{
	uint8_t how = in_u8(w.in);
	uint64_t gpa = how & 0x80 ? in_u64(w.in) : (uint64_t)(how & 0x7f) * PAGE;
	uint64_t size = how & 1 ? in_u64(w.in) : (uint64_t)in_u8(w.in) * PAGE;
	uint64_t last = gpa + (size - 1) < gpa ? UINT64_MAX : gpa + (size - 1);
	unsigned left = 0, inside = 0;
	bool partly = false;
	int ret = guestmem_unmap(t->mem, gpa, size);

	for (unsigned i = 0; i < t->count; i++) {
		const struct guestmem_region *r = &t->region[i];
		uint64_t end = r->gpa + (r->size - 1);

		if (r->gpa >= gpa && end <= last)
			inside++;
		else if (r->gpa <= last && end >= gpa)
			partly = true;
	}
	g_assert_cmpint(ret, ==, !size || partly ? -EINVAL : (int)inside);
	for (unsigned i = 0; ret > 0 && i < t->count; i++)
		if (t->region[i].gpa < gpa || t->region[i].gpa > last)
			t->region[left++] = t->region[i];
	t->count = ret > 0 ? left : t->count;
	g_assert_cmpuint(guestmem_count(t->mem), ==, t->count);
}

/* ---- accesses ---- */

static const struct guestmem_region *region_at(const struct table *t, uint64_t gpa)
{
	for (unsigned i = 0; i < t->count; i++)
		if (gpa - t->region[i].gpa < t->region[i].size)
			return &t->region[i];
	return NULL;
}

/*
 * The same range by way of the files.  Returns false when a part of it is not RAM.  A part that is
 * not shared sets *ret_remote; one that only may be read *ret_readonly.
 */
static bool file_read(const struct table *t, uint64_t gpa, uint8_t *buf, size_t len,
		      bool *ret_remote, bool *ret_readonly)
{
	bool there = true;

	*ret_remote = *ret_readonly = false;
	while (len) {
		const struct guestmem_region *r = region_at(t, gpa);
		uint64_t off;
		size_t part;

		if (!r)
			return false;
		off = gpa - r->gpa;
		part = MIN(len, r->size - off);
		*ret_remote |= r->fd < 0;
		*ret_readonly |= r->readonly;
		if (r->fd >= 0 && pread(r->fd, buf, part, r->offset + off) != (ssize_t)part)
			there = false;	/* cut short */
		gpa += part;
		buf += part;
		len -= part;
	}
	return there;
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
	bool remote, readonly;
	size_t len;
	uint64_t gpa = read_gpa(t, &len), moved = t->moved;
	bool there = file_read(t, gpa, want, len, &remote, &readonly);
	int ret = guestmem_read(t->mem, gpa, buf, len);

	if (ret == -EREMOTE)
		g_assert_true(remote);
	else if (!there)	/* what came back after it had gone stays lost until set anew */
		g_assert_cmpint(ret, ==, len ? -EFAULT : 0);
	if (ret)
		return;
	g_assert_cmpint(memcmp(buf, want, len), ==, 0);
	g_assert_cmpuint(t->moved, ==, moved + len);
}

static void op_write(struct table *t)
{
	static uint8_t buf[MAX_LEN], want[MAX_LEN];
	bool remote, readonly;
	size_t len;
	uint64_t gpa = read_gpa(t, &len);

	memset(buf, in_u8(w.in), len);
	if (guestmem_write(t->mem, gpa, buf, len))
		return;
	g_assert_true(file_read(t, gpa, want, len, &remote, &readonly));
	g_assert_false(remote || readonly);
	g_assert_cmpint(memcmp(buf, want, len), ==, 0);
}

/* A long access in parts: each is shared or not, and one of what is not shared is short. */
static void op_clip(struct table *t)
{
	static uint8_t buf[MAX_LEN];
	size_t len, part;
	uint64_t gpa = read_gpa(t, &len);

	part = guestmem_clip(t->mem, gpa, len);
	g_assert_cmpuint(part, <=, len);
	g_assert_true(part || !len);
	if (guestmem_read(t->mem, gpa, buf, len) == 0)
		g_assert_cmpuint(part, ==, len);
	if (guestmem_read(t->mem, gpa, buf, part) == -EREMOTE)
		g_assert_cmpuint(part, <=, GUESTMEM_REMOTE_MAX);
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

	/* what is told of may have been taken away since */
	while (guestmem_lost(t->mem, &gpa))
		g_assert_true(t == &w.table[1] || region_at(t, gpa));
}

void fuzz_one(struct input *in)
{
	static void (*const ops[TABLES][8])(struct table *) = {
		{ op_set, op_read, op_write, op_iov, op_truncate, op_lost, op_read, op_write },
		{ op_map, op_read, op_write, op_iov, op_truncate, op_lost, op_unmap, op_clip },
	};

	w.in = in;
	for (unsigned i = 0; i < TABLES; i++) {
		w.table[i] = (struct table){
			.mem = guestmem_create_for(w.arena, i ? MAX_REGIONS : GUESTMEM_MAX_REGIONS),
		};
		g_assert_nonnull(w.table[i].mem);
		guestmem_set_hook(w.table[i].mem, on_moved, &w.table[i]);
	}
	for (unsigned i = 0; i < MAX_OPS && in->left; i++) {
		uint8_t op = in_u8(in);

		ops[op >> 7][op & 7](&w.table[op >> 7]);
	}
	for (unsigned i = 0; i < TABLES; i++)
		guestmem_destroy(w.table[i].mem);
	fds_restore(w.fd);
}
