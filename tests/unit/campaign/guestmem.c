/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random tables, some of them bad, and random accesses, against a model that keeps the same memory
 * as plain arrays.  In every other round the regions come and go one by one, some of them not
 * shared or read only.  For two seconds; --seed=SEED (printed at the start) plays a run again.
 */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>

#include "mem/arena.h"
#include "mem/guestmem.h"
#include "mem/memfd.h"
#include "../util.h"

#define PAGE 4096u
#define FILES 3
#define FILE_PAGES 24
#define SPACE_PAGES 40		/* guest-physical pages that tables use */
#define BUF_MAX (6 * PAGE)
#define REGIONS 12		/* at a time, one by one */

/* Guest-physical page @i stands at base(i): three clusters, far apart. */
static uint64_t page_gpa(unsigned i)
{
	static const uint64_t base[] = { 0, 1ULL << 32, 0xfffffffffff00000ULL };
	static const unsigned first[] = { 0, 16, 32 };
	unsigned cluster = i < 16 ? 0 : i < 32 ? 1 : 2;

	return base[cluster] + (uint64_t)(i - first[cluster]) * PAGE;
}

struct model {
	GRand *rand;
	struct guestmem_arena *arena;
	struct guestmem *mem;
	int fd[FILES];
	uint8_t file[FILES][FILE_PAGES * PAGE];
	struct guestmem_region region[16];
	unsigned file_of[16];
	unsigned count;
	bool one_by_one;
	unsigned sets, refused, moved, faults, remotes, maps, unmaps;
};

static unsigned pick(struct model *m, unsigned end)
{
	return g_rand_int_range(m->rand, 0, end);
}

static bool one_in(struct model *m, unsigned n)
{
	return pick(m, n) == 0;
}

/* The region that has the byte at @gpa: its index, or -1. */
static int index_at(const struct model *m, uint64_t gpa)
{
	for (unsigned i = 0; i < m->count; i++)
		if (gpa >= m->region[i].gpa && gpa - m->region[i].gpa < m->region[i].size)
			return i;
	return -1;
}

/* Where the model has the byte at @gpa, of region @i that is shared. */
static uint8_t *byte_of(struct model *m, int i, uint64_t gpa)
{
	return &m->file[m->file_of[i]][m->region[i].offset + (gpa - m->region[i].gpa)];
}

/* Bends one number of a good region: it may be bad then, or still good. */
static void bend(struct model *m, struct guestmem_region *r)
{
	static const uint64_t odd[] = {
		0, 1, 511, 4095, 4097, 1ULL << 31, 1ULL << 32, 1ULL << 63, UINT64_MAX,
		UINT64_MAX - 4095, UINT64_MAX - 8191, (uint64_t)FILE_PAGES * PAGE,
	};
	uint64_t val = odd[pick(m, G_N_ELEMENTS(odd))];
	uint64_t *field[] = { &r->gpa, &r->size, &r->offset };
	unsigned which = pick(m, 3);

	if (one_in(m, 2))
		*field[which] = val;
	else
		*field[which] += val;
	if (one_in(m, 6))
		r->fd = -1;
}

static bool region_good(const struct guestmem_region *r)
{
	const uint64_t end = FILE_PAGES * PAGE;

	return r->fd >= 0 && r->size && !(r->gpa % PAGE) && !(r->size % PAGE) &&
	       !(r->offset % PAGE) && r->offset < end && r->size <= end - r->offset &&
	       r->gpa <= UINT64_MAX - r->size;
}

/* Page by page, which is slow and plain. */
static bool table_good(const struct guestmem_region *r, unsigned count)
{
	if (count > GUESTMEM_MAX_REGIONS)
		return false;
	for (unsigned i = 0; i < count; i++)
		if (!region_good(&r[i]))
			return false;
	for (unsigned i = 0; i < count; i++)
		for (unsigned k = 0; k < i; k++)
			for (uint64_t at = 0; at < r[i].size; at += PAGE)
				if (r[i].gpa + at - r[k].gpa < r[k].size)
					return false;
	return true;
}

static void step_set(struct model *m)
{
	struct guestmem_region r[16];
	unsigned file_of[16], count = pick(m, one_in(m, 20) ? 11 : 6), page = pick(m, 4);
	int ret;

	for (unsigned i = 0; i < count; i++) {
		unsigned pages = 1 + pick(m, 6), offset = pick(m, FILE_PAGES - 6);

		file_of[i] = pick(m, FILES);
		r[i] = (struct guestmem_region){
			.gpa = page_gpa(page % SPACE_PAGES), .size = pages * PAGE,
			.offset = offset * PAGE, .fd = m->fd[file_of[i]],
		};
		page += pages + (one_in(m, 3) ? pick(m, 8) : 0);
		if (one_in(m, 25))
			bend(m, &r[i]);
	}
	if (m->count && one_in(m, 4))	/* often a part stays as it is */
		r[0] = m->region[0], file_of[0] = m->file_of[0], count = MAX(count, 1);
	ret = guestmem_set(m->mem, r, count);
	g_assert_cmpint(ret == 0, ==, table_good(r, count));
	m->sets++;
	if (ret) {
		m->refused++;
		return;
	}
	memcpy(m->region, r, count * sizeof(*r));
	memcpy(m->file_of, file_of, count * sizeof(*file_of));
	m->count = count;
}

/* ---- one by one ---- */

static uint64_t last_of(const struct guestmem_region *r)
{
	return r->gpa + (r->size - 1);
}

/* What guestmem_map() has to say to a region of good numbers. */
static int map_expected(const struct model *m, const struct guestmem_region *r)
{
	for (unsigned i = 0; i < m->count; i++) {
		const struct guestmem_region *o = &m->region[i];

		if (o->gpa <= last_of(r) && r->gpa <= last_of(o))
			return -EEXIST;
	}
	return m->count == REGIONS ? -ENOSPC : 0;
}

static void step_map(struct model *m)
{
	unsigned pages = 1 + pick(m, 6), file = pick(m, FILES), count = m->count;
	struct guestmem_region r = {
		.gpa = page_gpa(pick(m, SPACE_PAGES)), .size = pages * PAGE,
		.offset = pick(m, FILE_PAGES - 6) * PAGE, .fd = m->fd[file],
		.readonly = one_in(m, 4),
	};
	int ret;

	if (one_in(m, 4))
		r.fd = -1;
	if (m->count && one_in(m, 8))	/* one that stands already */
		r = m->region[pick(m, m->count)];
	if (r.gpa + r.size < r.gpa)	/* the end of the last cluster */
		return;
	ret = guestmem_map(m->mem, &r);
	g_assert_cmpint(ret, ==, map_expected(m, &r));
	m->maps++;
	if (!ret && guestmem_count(m->mem) == count + 1) {
		m->file_of[m->count] = file;
		m->region[m->count++] = r;
	}
	g_assert_cmpuint(guestmem_count(m->mem), ==, m->count);
}

static void step_unmap(struct model *m)
{
	uint64_t gpa = page_gpa(pick(m, SPACE_PAGES)), size = (uint64_t)pick(m, 20) * PAGE, last;
	unsigned left = 0, inside = 0;
	bool partly = false;

	if (one_in(m, 10))
		size = UINT64_MAX - pick(m, 3);
	last = gpa + (size - 1) < gpa ? UINT64_MAX : gpa + (size - 1);
	for (unsigned i = 0; i < m->count; i++) {
		bool in = m->region[i].gpa >= gpa && last_of(&m->region[i]) <= last;

		inside += in;
		partly |= !in && m->region[i].gpa <= last && last_of(&m->region[i]) >= gpa;
	}
	m->unmaps++;
	if (!size || partly) {
		g_assert_cmpint(guestmem_unmap(m->mem, gpa, size), ==, -EINVAL);
		return;
	}
	g_assert_cmpint(guestmem_unmap(m->mem, gpa, size), ==, inside);
	for (unsigned i = 0; i < m->count; i++)
		if (m->region[i].gpa < gpa || m->region[i].gpa > last) {
			m->file_of[left] = m->file_of[i];
			m->region[left++] = m->region[i];
		}
	m->count = left;
}

static void step_table(struct model *m)
{
	if (!m->one_by_one)
		step_set(m);
	else if (one_in(m, 3))
		step_unmap(m);
	else
		step_map(m);
}

/* ---- accesses ---- */

static uint64_t some_gpa(struct model *m)
{
	if (m->count && !one_in(m, 4)) {	/* near a region: inside, or a little off its end */
		const struct guestmem_region *r = &m->region[pick(m, m->count)];

		return r->gpa + pick(m, r->size + 16) - pick(m, 8);
	}
	if (one_in(m, 30))
		return (uint64_t)g_rand_int(m->rand) << 32 | g_rand_int(m->rand);
	return page_gpa(pick(m, SPACE_PAGES)) + pick(m, PAGE);
}

static void step_access(struct model *m)
{
	uint64_t gpa = some_gpa(m);
	size_t len = one_in(m, 4) ? pick(m, BUF_MAX + 1) : pick(m, 64);
	static uint8_t buf[BUF_MAX], want[BUF_MAX];
	bool write = one_in(m, 2), whole = true, remote = false;
	int ret;

	for (size_t i = 0; i < len; i++) {
		int at = gpa + i >= gpa ? index_at(m, gpa + i) : -1;

		whole = whole && at >= 0 && !(write && m->region[at].readonly);
		remote |= at >= 0 && m->region[at].fd < 0;
		want[i] = whole && !remote ? *byte_of(m, at, gpa + i) : 0;
		buf[i] = g_rand_int(m->rand);
	}
	if (write) {
		ret = guestmem_write(m->mem, gpa, buf, len);
		for (size_t i = 0; i < len && whole && !remote; i++)
			*byte_of(m, index_at(m, gpa + i), gpa + i) = buf[i];
	} else {
		ret = guestmem_read(m->mem, gpa, buf, len);
		if (!ret)
			g_assert_cmpmem(buf, len, want, len);
	}
	g_assert_cmpint(ret, ==, !whole ? -EFAULT : remote ? -EREMOTE : 0);
	m->moved += whole && !remote;
	m->faults += !whole;
	m->remotes += whole && remote;
}

/* The VMM and the guest write the same memory from their side. */
static void step_file(struct model *m)
{
	unsigned file = pick(m, FILES), at = pick(m, FILE_PAGES * PAGE - 64);

	for (unsigned i = 0; i < 64; i++)
		m->file[file][at + i] = g_rand_int(m->rand);
	must(pwrite(m->fd[file], m->file[file] + at, 64, at));
}

static void check_files(struct model *m)
{
	g_autofree uint8_t *back = g_malloc(FILE_PAGES * PAGE);

	for (unsigned i = 0; i < FILES; i++) {
		must(pread(m->fd[i], back, FILE_PAGES * PAGE, 0));
		g_assert_cmpmem(back, FILE_PAGES * PAGE, m->file[i], FILE_PAGES * PAGE);
	}
}

static void round_run(struct model *m, uint32_t seed)
{
	m->rand = g_rand_new_with_seed(seed);
	m->arena = guestmem_arena_create();
	g_assert_nonnull(m->arena);
	m->one_by_one = one_in(m, 2);
	m->mem = m->one_by_one ? guestmem_create_for(m->arena, REGIONS) :
				 guestmem_create(m->arena);
	g_assert_nonnull(m->mem);
	m->count = 0;
	memset(m->file, 0, sizeof(m->file));
	for (unsigned i = 0; i < FILES; i++)
		m->fd[i] = must(memfd_make("ram", FILE_PAGES * PAGE));
	for (unsigned i = 0; i < 400; i++) {
		if (one_in(m, 8))
			step_table(m);
		else if (one_in(m, 10))
			step_file(m);
		else
			step_access(m);
	}
	check_files(m);
	for (unsigned i = 0; i < FILES; i++)
		must(close(m->fd[i]));
	guestmem_destroy(m->mem);
	guestmem_arena_destroy(m->arena);
	g_rand_free(m->rand);
}

static void test_campaign(void)
{
	struct model *m = g_new0(struct model, 1);
	gint64 end = g_get_monotonic_time() + 2 * G_USEC_PER_SEC;
	unsigned fds = open_fds(), rounds = 0;

	do
		round_run(m, g_test_rand_int());
	while (++rounds < 2000 && g_get_monotonic_time() < end);
	g_assert_cmpuint(open_fds(), ==, fds);
	g_test_message("%u rounds: %u tables (%u refused), %u maps, %u unmaps, %u transfers, "
		       "%u faults, %u of memory that is not shared", rounds, m->sets, m->refused,
		       m->maps, m->unmaps, m->moved, m->faults, m->remotes);
	/* A campaign that only ever failed, or never did, would show nothing. */
	g_assert_cmpuint(m->refused, >, 0);
	g_assert_cmpuint(m->refused, <, m->sets);
	g_assert_cmpuint(m->moved, >, 0);
	g_assert_cmpuint(m->faults, >, 0);
	g_assert_cmpuint(m->remotes, >, 0);
	g_free(m);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/campaign/guestmem", test_campaign);
	return g_test_run();
}
