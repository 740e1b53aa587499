/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mem/guestmem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/num.h"
#include "mem/memfd.h"

#define PAGE 4096u
/* Room for the old table and the new one side by side; halved where the system has not so much. */
#define ARENA_MAX (1ULL << 40)
#define ARENA_MIN (1ULL << 34)

struct region {
	uint64_t gpa, size, offset;
	dev_t dev;
	ino_t ino;
	uint64_t at;		/* into the arena */
};

struct guestmem {
	uint8_t *arena;		/* aligned to its size: one mask pins every address inside it */
	uint64_t arena_size;
	struct region region[GUESTMEM_MAX_REGIONS];	/* sorted by gpa */
	unsigned count;
	uint64_t generation;
	guestmem_hook *hook;
	void *hook_opaque;
};

/* Reserves @size bytes at a multiple of @size; NULL if there are none. */
static uint8_t *reserve(uint64_t size)
{
	uint8_t *raw = mmap(NULL, 2 * size, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *base;

	if (raw == MAP_FAILED)
		return NULL;
	base = (uint8_t *)align_up((uintptr_t)raw, size);
	if (base > raw)
		munmap(raw, base - raw);
	munmap(base + size, raw + size - base);
	return base;
}

struct guestmem *guestmem_create(void)
{
	struct guestmem *mem = calloc(1, sizeof(*mem));

	if (!mem)
		return NULL;
	for (uint64_t size = ARENA_MAX; size >= ARENA_MIN && !mem->arena; size /= 2) {
		mem->arena = reserve(size);
		mem->arena_size = size;
	}
	if (!mem->arena) {
		free(mem);
		errno = ENOMEM;
		return NULL;
	}
	return mem;
}

void guestmem_destroy(struct guestmem *mem)
{
	if (!mem)
		return;
	munmap(mem->arena, mem->arena_size);
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
	if (fstat(in->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENODEV;
	if (!range_fits(in->offset, in->size, st.st_size))
		return -ERANGE;
	*ret_region = (struct region){
		.gpa = in->gpa, .size = in->size, .offset = in->offset,
		.dev = st.st_dev, .ino = st.st_ino,
	};
	return 0;
}

static bool region_same(const struct region *a, const struct region *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->offset == b->offset &&
	       a->size == b->size;
}

static int region_by_gpa(const void *a, const void *b)
{
	const struct region *ra = a, *rb = b;

	return ra->gpa < rb->gpa ? -1 : ra->gpa > rb->gpa;
}

/* The end of the first of @count regions that overlaps [at, at + size), or 0. */
static uint64_t overlap_end(const struct region *r, unsigned count, uint64_t at, uint64_t size)
{
	for (unsigned i = 0; i < count; i++)
		if (ranges_overlap(r[i].at, r[i].size, at, size))
			return r[i].at + r[i].size;
	return 0;
}

/* First place in the arena that neither table uses; -E2BIG if there is none. */
static int arena_place(const struct guestmem *mem, const struct region *fresh, unsigned nfresh,
		       struct region *r)
{
	uint64_t at = 0, end;

	while (range_fits(at, r->size, mem->arena_size)) {
		end = overlap_end(mem->region, mem->count, at, r->size);
		if (!end)
			end = overlap_end(fresh, nfresh, at, r->size);
		if (!end) {
			r->at = at;
			return 0;
		}
		at = end;
	}
	return -E2BIG;
}

/*
 * Takes memory away and leaves the range reserved.  Should the kernel refuse (it has no memory for
 * its own tables), the old mapping stays: unreachable, since no table names it, and replaced by the
 * next region that gets its place.
 */
static void arena_unmap(struct guestmem *mem, const struct region *r)
{
	mmap(mem->arena + r->at, r->size, PROT_NONE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

/*
 * A mapping that fails late (a file sealed against writing) has taken the reservation away on
 * kernels before 6.12: it is put back, or a later mmap by anybody could get into the arena.
 */
static int arena_map(struct guestmem *mem, const struct region *r, int fd)
{
	int ret = 0;

	if (mmap(mem->arena + r->at, r->size, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd, r->offset) == MAP_FAILED) {
		ret = -errno;
		arena_unmap(mem, r);
	}
	return ret;
}

/* An old region with the same contents that no earlier new one has taken over, or NULL. */
static const struct region *find_kept(const struct guestmem *mem, const struct region *r,
				      const bool *kept)
{
	for (unsigned i = 0; i < mem->count; i++)
		if (!kept[i] && region_same(&mem->region[i], r))
			return &mem->region[i];
	return NULL;
}

/* Places and maps fresh[i]; a region that stands already keeps its mapping. */
static int region_install(struct guestmem *mem, struct region *fresh, unsigned i, int fd,
			  bool *kept, bool *mapped)
{
	const struct region *old = find_kept(mem, &fresh[i], kept);
	int ret;

	if (old) {
		kept[old - mem->region] = true;
		fresh[i].at = old->at;
		return 0;
	}
	ret = arena_place(mem, fresh, i, &fresh[i]);
	if (ret)
		return ret;
	ret = arena_map(mem, &fresh[i], fd);
	*mapped = ret == 0;
	return ret;
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
		ret = region_install(mem, fresh, i, regions[i].fd, kept, &mapped[i]);
	if (ret) {
		for (unsigned i = 0; i < count && i < GUESTMEM_MAX_REGIONS; i++)
			if (mapped[i])
				arena_unmap(mem, &fresh[i]);
		return ret;
	}
	for (unsigned i = 0; i < mem->count; i++)
		if (!kept[i])
			arena_unmap(mem, &mem->region[i]);
	memcpy(mem->region, fresh, count * sizeof(*fresh));
	qsort(mem->region, count, sizeof(*mem->region), region_by_gpa);
	mem->count = count;
	mem->generation++;
	return 0;
}

/* The region that holds @gpa, or NULL. */
static const struct region *region_at(const struct guestmem *mem, uint64_t gpa)
{
	for (unsigned i = 0; i < mem->count; i++)
		if (gpa >= mem->region[i].gpa && gpa - mem->region[i].gpa < mem->region[i].size)
			return &mem->region[i];
	return NULL;
}

int guestmem_iov(struct guestmem *mem, uint64_t gpa, size_t len, struct iovec *iov, unsigned max)
{
	unsigned n = 0;

	while (len) {
		const struct region *r = region_at(mem, gpa);
		uint64_t off, part;

		if (!r)
			return -EFAULT;
		if (n == max)
			return -E2BIG;
		off = gpa - r->gpa;
		part = min_u64(len, r->size - off);
		iov[n].iov_base = mem->arena + r->at + off;
		iov[n++].iov_len = part;
		gpa += part;
		len -= part;
	}
	return n;
}

int guestmem_read(struct guestmem *mem, uint64_t gpa, void *buf, size_t len)
{
	struct iovec iov[GUESTMEM_MAX_REGIONS];
	int n = guestmem_iov(mem, gpa, len, iov, GUESTMEM_MAX_REGIONS);
	uint8_t *p = buf;

	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		memcpy(p, iov[i].iov_base, iov[i].iov_len);
		p += iov[i].iov_len;
	}
	if (mem->hook)
		mem->hook(mem->hook_opaque, GUESTMEM_READ, gpa, buf, len);
	return 0;
}

int guestmem_write(struct guestmem *mem, uint64_t gpa, const void *buf, size_t len)
{
	struct iovec iov[GUESTMEM_MAX_REGIONS];
	int n = guestmem_iov(mem, gpa, len, iov, GUESTMEM_MAX_REGIONS);
	const uint8_t *p = buf;

	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		memcpy(iov[i].iov_base, p, iov[i].iov_len);
		p += iov[i].iov_len;
	}
	if (mem->hook)
		mem->hook(mem->hook_opaque, GUESTMEM_WRITE, gpa, buf, len);
	return 0;
}
