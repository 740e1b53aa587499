/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mem/guestmem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/num.h"
#include "mem/arena.h"
#include "mem/memfd.h"
#include "metrics/page.h"

#define PAGE 4096u
#define HUGE_PAGE_MAX (1u << 30)

/*
 * A file of huge pages maps in whole ones only, and regions need not be (the ranges below 1 MiB):
 * the pages around the region are mapped, and what is not the region's is not used.
 */
struct region {
	uint64_t gpa, size, offset;
	uint64_t page;		/* bytes, of the file */
	dev_t dev;
	ino_t ino;
	int place;		/* in the arena; NOT_SHARED */
	uint64_t at;		/* where it begins in the place */
	bool readonly, writeonly;
	bool told;		/* guestmem_lost() has said that it is gone */
};

#define NOT_SHARED (-1)

struct guestmem {
	struct guestmem_arena *arena;
	unsigned count, max;
	uint64_t generation;
	bool lost;		/* to be told by guestmem_lost() */
	uint64_t lost_gpa;
	guestmem_hook *hook;
	void *hook_opaque;
	unsigned recent;	/* the region of the last access, or any number */
	struct region region[];	/* sorted by gpa */
};

struct guestmem *guestmem_create(struct guestmem_arena *arena)
{
	return guestmem_create_for(arena, GUESTMEM_MAX_REGIONS);
}

struct guestmem *guestmem_create_for(struct guestmem_arena *arena, unsigned max)
{
	struct guestmem *mem = calloc(1, sizeof(*mem) + max * sizeof(mem->region[0]));
	int ret;

	if (!mem)
		return NULL;
	mem->max = max;
	ret = guestmem_arena_join(arena);
	if (ret) {
		free(mem);
		errno = -ret;
		return NULL;
	}
	mem->arena = arena;
	return mem;
}

void guestmem_destroy(struct guestmem *mem)
{
	if (!mem)
		return;
	guestmem_clear(mem);
	guestmem_arena_leave(mem->arena);
	free(mem);
}

uint64_t guestmem_generation(const struct guestmem *mem)
{
	return mem->generation;
}

unsigned guestmem_count(const struct guestmem *mem)
{
	return mem->count;
}

struct guestmem_region guestmem_get(const struct guestmem *mem, unsigned i)
{
	const struct region *r = &mem->region[i];

	return (struct guestmem_region){
		.gpa = r->gpa, .size = r->size, .offset = r->offset, .fd = -1,
		.readonly = r->readonly, .writeonly = r->writeonly,
	};
}

void guestmem_set_hook(struct guestmem *mem, guestmem_hook *hook, void *opaque)
{
	mem->hook = hook;
	mem->hook_opaque = opaque;
}

/* hugetlbfs says the size of its pages so; what others say there does no harm. */
static uint64_t page_size(const struct stat *st)
{
	uint64_t size = st->st_blksize;

	return is_power_of_2(size) && size > PAGE && size <= HUGE_PAGE_MAX ? size : PAGE;
}

static bool region_numbers_ok(const struct guestmem_region *in)
{
	return in->size && is_aligned(in->gpa | in->size | in->offset, PAGE) &&
	       in->gpa + in->size >= in->gpa;
}

/*
 * Is the announced region one that could be mapped?  Fills @ret_region but for its place.  The file
 * is sealed before its size is looked at: what has been checked stays true.
 */
static int region_check(const struct guestmem_region *in, struct region *ret_region,
			struct stat *ret_stat)
{
	struct stat st;
	int ret;

	if (!region_numbers_ok(in))
		return -EINVAL;
	ret = memfd_seal_size(in->fd);
	/* A file that cannot be sealed (memory-backend-file) is taken as it is. */
	if (ret && ret != -EPERM)
		return ret;
	ret = fd_stat(in->fd, &st);
	if (ret)
		return ret;
	if (!S_ISREG(st.st_mode))
		return -ENODEV;
	if (!range_fits(in->offset, in->size, st.st_size))
		return -ERANGE;
	*ret_region = (struct region){
		.gpa = in->gpa, .size = in->size, .offset = in->offset,
		.page = page_size(&st), .dev = st.st_dev, .ino = st.st_ino,
		.readonly = in->readonly, .writeonly = in->writeonly,
	};
	*ret_stat = st;
	return 0;
}

static bool region_same(const struct region *a, const struct region *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->offset == b->offset &&
	       a->size == b->size;
}

/* Puts @r into its place among @count sorted ones.  (qsort() may allocate.) */
static void insert_by_gpa(struct region *sorted, unsigned count, const struct region *r)
{
	while (count && sorted[count - 1].gpa > r->gpa) {
		sorted[count] = sorted[count - 1];
		count--;
	}
	sorted[count] = *r;
}

/*
 * An old region with the same contents that no earlier new one has taken over, or NULL.  One that
 * was lost is mapped anew.
 */
static const struct region *find_kept(const struct guestmem *mem, const struct region *r,
				      const bool *kept)
{
	for (unsigned i = 0; i < mem->count; i++)
		if (!kept[i] && region_same(&mem->region[i], r) &&
		    !guestmem_arena_poisoned(mem->arena, mem->region[i].place))
			return &mem->region[i];
	return NULL;
}

/* Maps @fresh; a region that stands already keeps its mapping. */
static int region_install(struct guestmem *mem, struct region *fresh, int fd, bool *kept,
			  bool *ret_mapped)
{
	const struct region *old = find_kept(mem, fresh, kept);
	uint64_t start, end;
	int place;

	if (old) {
		kept[old - mem->region] = true;
		fresh->place = old->place;
		fresh->at = old->at;
		return 0;
	}
	start = align_down(fresh->offset, fresh->page);
	end = align_up(fresh->offset + fresh->size, fresh->page);
	place = guestmem_arena_map(mem->arena, end - start, fresh->page, fd, start);
	if (place < 0)
		return place;
	fresh->place = place;
	fresh->at = fresh->offset - start;
	*ret_mapped = true;
	return 0;
}

static int regions_check(const struct guestmem_region *regions, unsigned count,
			 struct region *fresh)
{
	if (count > GUESTMEM_MAX_REGIONS)
		return -E2BIG;
	for (unsigned i = 0; i < count; i++) {
		struct stat st;
		int ret = region_check(&regions[i], &fresh[i], &st);

		if (ret)
			return ret;
		for (unsigned k = 0; k < i; k++)
			if (ranges_overlap(fresh[i].gpa, fresh[i].size, fresh[k].gpa,
					   fresh[k].size))
				return -EINVAL;
	}
	return 0;
}

int guestmem_set(struct guestmem *mem, const struct guestmem_region *regions, unsigned count)
{
	struct region fresh[GUESTMEM_MAX_REGIONS] = { 0 };
	bool kept[GUESTMEM_MAX_REGIONS] = { false }, mapped[GUESTMEM_MAX_REGIONS] = { false };
	int ret = mem->max > GUESTMEM_MAX_REGIONS ? -EINVAL :
		  regions_check(regions, count, fresh);

	for (unsigned i = 0; i < count && !ret; i++)
		ret = region_install(mem, &fresh[i], regions[i].fd, kept, &mapped[i]);
	if (ret) {
		for (unsigned i = 0; i < count && i < GUESTMEM_MAX_REGIONS; i++)
			if (mapped[i])
				guestmem_arena_unmap(mem->arena, fresh[i].place);
		return ret;
	}
	for (unsigned i = 0; i < mem->count; i++)
		if (!kept[i])
			guestmem_arena_unmap(mem->arena, mem->region[i].place);
	for (unsigned i = 0; i < count; i++)
		insert_by_gpa(mem->region, i, &fresh[i]);
	mem->count = count;
	mem->lost = false;
	mem->generation++;
	return 0;
}

/* ---- One by one ---- */

/* The first region that ends behind @gpa: its index, or mem->count. */
static unsigned first_behind(const struct guestmem *mem, uint64_t gpa)
{
	unsigned low = 0, high = mem->count;

	while (low < high) {
		unsigned mid = low + (high - low) / 2;

		if (mem->region[mid].gpa + (mem->region[mid].size - 1) < gpa)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int place_shared(struct guestmem *mem, struct region *fresh, int fd, const struct stat *st)
{
	const struct guestmem_file file = {
		.fd = fd, .dev = st->st_dev, .ino = st->st_ino, .size = st->st_size,
		.page = fresh->page, .readonly = fresh->readonly,
	};
	int place = guestmem_arena_share(mem->arena, &file, fresh->offset, fresh->size, &fresh->at);

	fresh->place = place;
	return place < 0 ? place : 0;
}

static int region_prepare(const struct guestmem_region *in, struct region *ret_region,
			  struct stat *ret_stat)
{
	if (in->fd >= 0)
		return region_check(in, ret_region, ret_stat);
	if (!region_numbers_ok(in))
		return -EINVAL;
	*ret_region = (struct region){
		.gpa = in->gpa, .size = in->size, .offset = in->offset, .page = PAGE,
		.place = NOT_SHARED, .readonly = in->readonly, .writeonly = in->writeonly,
	};
	return 0;
}

int guestmem_map(struct guestmem *mem, const struct guestmem_region *region)
{
	struct region fresh;
	struct stat st;
	int ret = region_prepare(region, &fresh, &st);
	unsigned at;

	if (ret)
		return ret;
	at = first_behind(mem, fresh.gpa);
	if (at < mem->count && mem->region[at].gpa <= fresh.gpa + (fresh.size - 1))
		return -EEXIST;
	if (mem->count == mem->max)
		return -ENOSPC;
	if (region->fd >= 0)
		ret = place_shared(mem, &fresh, region->fd, &st);
	if (ret)
		return ret;
	insert_by_gpa(mem->region, mem->count++, &fresh);
	mem->generation++;
	return 0;
}

static void regions_drop(struct guestmem *mem, unsigned from, unsigned end)
{
	for (unsigned i = from; i < end; i++)
		if (mem->region[i].place != NOT_SHARED)
			guestmem_arena_unmap(mem->arena, mem->region[i].place);
	memmove(&mem->region[from], &mem->region[end],
		(mem->count - end) * sizeof(mem->region[0]));
	mem->count -= end - from;
	mem->generation++;
}

int guestmem_unmap(struct guestmem *mem, uint64_t gpa, uint64_t size)
{
	uint64_t last = gpa + (size - 1);
	unsigned from = first_behind(mem, gpa), end = from;

	if (!size)
		return -EINVAL;
	if (last < gpa)
		last = UINT64_MAX;
	while (end < mem->count && mem->region[end].gpa <= last) {
		const struct region *r = &mem->region[end++];

		if (r->gpa < gpa || r->gpa + (r->size - 1) > last)
			return -EINVAL;
	}
	if (end > from)
		regions_drop(mem, from, end);
	return end - from;
}

void guestmem_clear(struct guestmem *mem)
{
	regions_drop(mem, 0, mem->count);
	mem->lost = false;
}

bool guestmem_lost(struct guestmem *mem, uint64_t *ret_gpa)
{
	if (!mem->lost)
		return false;
	*ret_gpa = mem->lost_gpa;
	mem->lost = false;
	return true;
}

/* ---- Accesses ---- */

static uint8_t *region_host(struct guestmem *mem, const struct region *r)
{
	return guestmem_arena_at(mem->arena, r->place) + r->at;
}

/* Is the memory still there?  After an access: was it there all the time? */
static bool region_there(struct guestmem *mem, struct region *r)
{
	if (!guestmem_arena_poisoned(mem->arena, r->place))
		return true;
	if (!r->told) {
		mem->lost = true;
		mem->lost_gpa = r->gpa;
	}
	r->told = true;
	return false;
}

/* How many bytes of [gpa, gpa + len) region @at has, which holds @gpa or is behind it: then 0. */
static size_t part_of(const struct guestmem *mem, unsigned at, uint64_t gpa, size_t len)
{
	const struct region *r = &mem->region[at];

	if (at == mem->count || gpa < r->gpa)
		return 0;
	return min_u64(len, r->size - (gpa - r->gpa));
}

/*
 * May all of the range be accessed?  Regions that follow one another are one.  *ret_first is the
 * index of the first.
 */
static int range_check(struct guestmem *mem, uint64_t gpa, size_t len, bool write,
		       unsigned *ret_first)
{
	unsigned at = first_behind(mem, gpa);
	bool remote = false;

	*ret_first = at;
	while (len) {
		size_t part = part_of(mem, at, gpa, len);

		if (!part || (write ? mem->region[at].readonly : mem->region[at].writeonly))
			return -EFAULT;
		if (mem->region[at].place == NOT_SHARED)
			remote = true;
		else if (!region_there(mem, &mem->region[at]))
			return -EFAULT;
		gpa += part;
		len -= part;
		at++;
	}
	return remote ? -EREMOTE : 0;
}

/* The host's address of a range that lies in the region of the last access; NULL: it does not. */
static uint8_t *recent_host(struct guestmem *mem, uint64_t gpa, size_t len, struct region **ret_r)
{
	struct region *r = &mem->region[mem->recent];

	if (mem->recent >= mem->count || gpa < r->gpa || !range_fits(gpa - r->gpa, len, r->size) ||
	    r->place == NOT_SHARED || r->readonly || r->writeonly || !region_there(mem, r))
		return NULL;
	*ret_r = r;
	return region_host(mem, r) + (gpa - r->gpa);
}

static int read_parts(struct guestmem *mem, uint64_t gpa, uint8_t *buf, size_t len)
{
	unsigned at;
	int ret = range_check(mem, gpa, len, false, &at);

	if (ret)
		return ret;
	mem->recent = at;
	for (; len; at++) {
		struct region *r = &mem->region[at];
		size_t part = part_of(mem, at, gpa, len);

		memcpy(buf, region_host(mem, r) + (gpa - r->gpa), part);
		if (!region_there(mem, r))
			return -EFAULT;
		buf += part;
		gpa += part;
		len -= part;
	}
	return 0;
}

static int write_parts(struct guestmem *mem, uint64_t gpa, const uint8_t *buf, size_t len)
{
	unsigned at;
	int ret = range_check(mem, gpa, len, true, &at);

	if (ret)
		return ret;
	mem->recent = at;
	for (; len; at++) {
		struct region *r = &mem->region[at];
		size_t part = part_of(mem, at, gpa, len);

		memcpy(region_host(mem, r) + (gpa - r->gpa), buf, part);
		if (!region_there(mem, r))
			return -EFAULT;
		buf += part;
		gpa += part;
		len -= part;
	}
	return 0;
}

int guestmem_read(struct guestmem *mem, uint64_t gpa, void *buf, size_t len)
{
	struct region *r;
	const uint8_t *host = recent_host(mem, gpa, len, &r);
	int ret;

	if (host) {
		memcpy(buf, host, len);
		ret = region_there(mem, r) ? 0 : -EFAULT;
	} else {
		ret = read_parts(mem, gpa, buf, len);
	}
	if (ret)
		return ret;
	if (mem->hook)
		mem->hook(mem->hook_opaque, GUESTMEM_READ, gpa, buf, len);
	metrics_count(METRIC_DMA_READS);
	metrics_add(METRIC_DMA_READ_BYTES, len);
	return 0;
}

int guestmem_write(struct guestmem *mem, uint64_t gpa, const void *buf, size_t len)
{
	struct region *r;
	uint8_t *host = recent_host(mem, gpa, len, &r);
	int ret;

	if (host) {
		memcpy(host, buf, len);
		ret = region_there(mem, r) ? 0 : -EFAULT;
	} else {
		ret = write_parts(mem, gpa, buf, len);
	}
	if (ret)
		return ret;
	if (mem->hook)
		mem->hook(mem->hook_opaque, GUESTMEM_WRITE, gpa, buf, len);
	metrics_count(METRIC_DMA_WRITES);
	metrics_add(METRIC_DMA_WRITE_BYTES, len);
	return 0;
}

int guestmem_iov(struct guestmem *mem, uint64_t gpa, size_t len, struct iovec *iov, unsigned max)
{
	unsigned at, n = 0;
	int ret = range_check(mem, gpa, len, true, &at);

	if (ret)
		return ret;
	for (; len; at++) {
		struct region *r = &mem->region[at];
		size_t part = part_of(mem, at, gpa, len);

		if (n == max)
			return -E2BIG;
		iov[n++] = (struct iovec){
			.iov_base = region_host(mem, r) + (gpa - r->gpa), .iov_len = part,
		};
		gpa += part;
		len -= part;
	}
	return n;
}

void guestmem_moved(struct guestmem *mem, enum guestmem_dir dir, uint64_t gpa, size_t len)
{
	unsigned at;

	metrics_count(dir == GUESTMEM_WRITE ? METRIC_DMA_WRITES : METRIC_DMA_READS);
	metrics_add(dir == GUESTMEM_WRITE ? METRIC_DMA_WRITE_BYTES : METRIC_DMA_READ_BYTES, len);
	if (!mem->hook || range_check(mem, gpa, len, dir == GUESTMEM_WRITE, &at))
		return;
	for (; len; at++) {
		struct region *r = &mem->region[at];
		size_t part = part_of(mem, at, gpa, len);

		mem->hook(mem->hook_opaque, dir, gpa, region_host(mem, r) + (gpa - r->gpa), part);
		gpa += part;
		len -= part;
	}
}

size_t guestmem_part(const struct guestmem *mem, uint64_t gpa, size_t len, bool *ret_shared)
{
	unsigned at = first_behind(mem, gpa);
	size_t done = part_of(mem, at, gpa, len), part = done;
	bool shared;

	if (!done)
		return 0;
	shared = mem->region[at].place != NOT_SHARED;
	while (part && done < len) {
		part = part_of(mem, ++at, gpa + done, len - done);
		if (part && (mem->region[at].place != NOT_SHARED) != shared)
			break;
		done += part;
	}
	*ret_shared = shared;
	return done;
}

size_t guestmem_clip(const struct guestmem *mem, uint64_t gpa, size_t len)
{
	bool shared;
	size_t part = guestmem_part(mem, gpa, len, &shared), after = part;

	if (!part)
		return len;	/* nothing is there: the access fails as a whole */
	if (!shared)
		return min_u64(len, GUESTMEM_REMOTE_MAX);
	/* What follows is not shared, or not there: then it fails as a whole, too. */
	if (part < len)
		after = guestmem_part(mem, gpa + part, len - part, &shared);
	return after ? part : len;
}
