/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mem/guestmem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/num.h"
#include "mem/arena.h"
#include "mem/memfd.h"

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
	int place;		/* in the arena */
	bool told;		/* guestmem_lost() has said that it is gone */
};

struct guestmem {
	struct guestmem_arena *arena;
	struct region region[GUESTMEM_MAX_REGIONS];	/* sorted by gpa */
	unsigned count;
	uint64_t generation;
	struct region *lost;	/* to be told by guestmem_lost() */
	guestmem_hook *hook;
	void *hook_opaque;
};

struct guestmem *guestmem_create(struct guestmem_arena *arena)
{
	struct guestmem *mem = calloc(1, sizeof(*mem));
	int ret;

	if (!mem)
		return NULL;
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
	for (unsigned i = 0; i < mem->count; i++)
		guestmem_arena_unmap(mem->arena, mem->region[i].place);
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

/*
 * Is the announced region one that could be mapped?  Fills @ret_region but for its place.  The file
 * is sealed before its size is looked at: what has been checked stays true.
 */
static int region_check(const struct guestmem_region *in, struct region *ret_region)
{
	struct stat st;
	int ret;

	if (!in->size || !is_aligned(in->gpa | in->size | in->offset, PAGE) ||
	    in->gpa + in->size < in->gpa)
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
	};
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
		return 0;
	}
	start = align_down(fresh->offset, fresh->page);
	end = align_up(fresh->offset + fresh->size, fresh->page);
	place = guestmem_arena_map(mem->arena, end - start, fresh->page, fd, start);
	if (place < 0)
		return place;
	fresh->place = place;
	*ret_mapped = true;
	return 0;
}

static int regions_check(const struct guestmem_region *regions, unsigned count,
			 struct region *fresh)
{
	if (count > GUESTMEM_MAX_REGIONS)
		return -E2BIG;
	for (unsigned i = 0; i < count; i++) {
		int ret = region_check(&regions[i], &fresh[i]);

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
	struct region fresh[GUESTMEM_MAX_REGIONS];
	bool kept[GUESTMEM_MAX_REGIONS] = { false }, mapped[GUESTMEM_MAX_REGIONS] = { false };
	int ret = regions_check(regions, count, fresh);

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
	mem->lost = NULL;
	mem->generation++;
	return 0;
}

bool guestmem_lost(struct guestmem *mem, uint64_t *ret_gpa)
{
	if (!mem->lost)
		return false;
	*ret_gpa = mem->lost->gpa;
	mem->lost = NULL;
	return true;
}

static uint8_t *region_host(struct guestmem *mem, const struct region *r)
{
	return guestmem_arena_at(mem->arena, r->place) + (r->offset & (r->page - 1));
}

/* Is the memory still there?  After an access: was it there all the time? */
static bool region_there(struct guestmem *mem, struct region *r)
{
	if (!guestmem_arena_poisoned(mem->arena, r->place))
		return true;
	if (!r->told)
		mem->lost = r;
	r->told = true;
	return false;
}

/* The region that holds @gpa, or NULL. */
static struct region *region_at(struct guestmem *mem, uint64_t gpa)
{
	for (unsigned i = 0; i < mem->count; i++)
		if (gpa >= mem->region[i].gpa && gpa - mem->region[i].gpa < mem->region[i].size)
			return &mem->region[i];
	return NULL;
}

/* A part of a range, in one region. */
struct segment {
	struct region *region;
	uint8_t *host;
	size_t len;
};

/* Number of segments, or -EFAULT, or -E2BIG. */
static int translate(struct guestmem *mem, uint64_t gpa, size_t len, struct segment *seg,
		     unsigned max)
{
	unsigned n = 0;

	while (len) {
		struct region *r = region_at(mem, gpa);
		uint64_t off, part;

		if (!r || !region_there(mem, r))
			return -EFAULT;
		if (n == max)
			return -E2BIG;
		off = gpa - r->gpa;
		part = min_u64(len, r->size - off);
		seg[n++] = (struct segment){
			.region = r, .host = region_host(mem, r) + off, .len = part,
		};
		gpa += part;
		len -= part;
	}
	return n;
}

int guestmem_iov(struct guestmem *mem, uint64_t gpa, size_t len, struct iovec *iov, unsigned max)
{
	struct segment seg[GUESTMEM_MAX_REGIONS];
	int n = translate(mem, gpa, len, seg, max < GUESTMEM_MAX_REGIONS ? max :
			  GUESTMEM_MAX_REGIONS);

	for (int i = 0; i < n; i++)
		iov[i] = (struct iovec){ .iov_base = seg[i].host, .iov_len = seg[i].len };
	return n;
}

int guestmem_read(struct guestmem *mem, uint64_t gpa, void *buf, size_t len)
{
	struct segment seg[GUESTMEM_MAX_REGIONS];
	int n = translate(mem, gpa, len, seg, GUESTMEM_MAX_REGIONS);
	uint8_t *p = buf;

	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		memcpy(p, seg[i].host, seg[i].len);
		if (!region_there(mem, seg[i].region))
			return -EFAULT;
		p += seg[i].len;
	}
	if (mem->hook)
		mem->hook(mem->hook_opaque, GUESTMEM_READ, gpa, buf, len);
	return 0;
}

int guestmem_write(struct guestmem *mem, uint64_t gpa, const void *buf, size_t len)
{
	struct segment seg[GUESTMEM_MAX_REGIONS];
	int n = translate(mem, gpa, len, seg, GUESTMEM_MAX_REGIONS);
	const uint8_t *p = buf;

	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		memcpy(seg[i].host, p, seg[i].len);
		if (!region_there(mem, seg[i].region))
			return -EFAULT;
		p += seg[i].len;
	}
	if (mem->hook)
		mem->hook(mem->hook_opaque, GUESTMEM_WRITE, gpa, buf, len);
	return 0;
}
