/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mem/arena.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "base/num.h"
#include "mem/guestmem.h"

/* Room for old tables and new ones side by side; halved where the system has not so much. */
#define ARENA_MAX (1ULL << 40)
#define ARENA_MIN (1ULL << 34)

/* What all tables hold, and once more what one of them is about to hold. */
#define PLACES ((GUESTMEM_MAX_TABLES + 1) * GUESTMEM_MAX_REGIONS)

#define START_ALIGN (2ULL << 20)	/* bytes: no transparent huge page is lost by it */

#define OVERLAY (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED)

struct place {
	uint64_t at, size;	/* into the arena; size 0: free */
	unsigned users;
	bool shared;		/* dev, ino and offset say of what, and others may use it too */
	bool readonly;
	dev_t dev;
	ino_t ino;
	uint64_t offset;
	/* Set by a signal handler in the thread that looks at it. */
	atomic_bool poisoned;
};

struct guestmem_arena {
	uint8_t *base;
	uint64_t size;
	uint64_t start;		/* where the search for room begins, into the arena */
	unsigned tables;
	struct place place[PLACES];
};

/* Reserves @size bytes at a multiple of @size and as many behind them; NULL if there are none. */
static uint8_t *reserve(uint64_t size)
{
	uint8_t *raw = mmap(NULL, 3 * size, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *base;

	if (raw == MAP_FAILED)
		return NULL;
	base = (uint8_t *)align_up((uintptr_t)raw, size);
	if (base > raw)
		munmap(raw, base - raw);
	if (raw + size > base)
		munmap(base + 2 * size, raw + size - base);
	return base;
}

/*
 * The arena's own address has few choices, and guest RAM is what an attacker fills: where in the
 * arena it stands shall not be guessed.  Without random bytes the addresses are as good as the
 * kernel's.
 */
static uint64_t random_start(uint64_t size)
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		return 0;
	return align_down(random % (size / 4), START_ALIGN);
}

struct guestmem_arena *guestmem_arena_create(void)
{
	struct guestmem_arena *arena = calloc(1, sizeof(*arena));

	if (!arena)
		return NULL;
	for (uint64_t size = ARENA_MAX; size >= ARENA_MIN && !arena->base; size /= 2) {
		arena->base = reserve(size);
		arena->size = size;
	}
	if (!arena->base) {
		free(arena);
		errno = ENOMEM;
		return NULL;
	}
	arena->start = random_start(arena->size);
	return arena;
}

void guestmem_arena_destroy(struct guestmem_arena *arena)
{
	if (!arena)
		return;
	munmap(arena->base, 2 * arena->size);
	free(arena);
}

void guestmem_arena_range(const struct guestmem_arena *arena, uint64_t *ret_base,
			  uint64_t *ret_size)
{
	*ret_base = (uintptr_t)arena->base;
	*ret_size = arena->size;
}

int guestmem_arena_join(struct guestmem_arena *arena)
{
	if (arena->tables == GUESTMEM_MAX_TABLES)
		return -EUSERS;
	arena->tables++;
	return 0;
}

void guestmem_arena_leave(struct guestmem_arena *arena)
{
	arena->tables--;
}

/* The end of the first place that overlaps [at, at + size), or 0. */
static uint64_t overlap_end(const struct guestmem_arena *arena, uint64_t at, uint64_t size)
{
	for (unsigned i = 0; i < PLACES; i++)
		if (ranges_overlap(arena->place[i].at, arena->place[i].size, at, size))
			return arena->place[i].at + arena->place[i].size;
	return 0;
}

/* First fit from @at on; -E2BIG if there is none. */
static int find_room_from(const struct guestmem_arena *arena, uint64_t at, uint64_t size,
			  uint64_t page, uint64_t *ret_at)
{
	uint64_t end;

	while (range_fits(at, size, arena->size)) {
		end = overlap_end(arena, at, size);
		if (!end) {
			*ret_at = at;
			return 0;
		}
		at = align_up(end, page);
	}
	return -E2BIG;
}

static int find_room(const struct guestmem_arena *arena, uint64_t size, uint64_t page,
		     uint64_t *ret_at)
{
	/* A large region in the middle would leave no room for another. */
	uint64_t start = size <= arena->size / 16 ? align_up(arena->start, page) : 0;
	int ret = find_room_from(arena, start, size, page, ret_at);

	return ret ? find_room_from(arena, 0, size, page, ret_at) : 0;
}

static struct place *free_place(struct guestmem_arena *arena)
{
	for (unsigned i = 0; i < PLACES; i++)
		if (!arena->place[i].size)
			return &arena->place[i];
	return NULL;
}

/*
 * Takes memory away and leaves the range reserved.  Should the kernel refuse (it has no memory for
 * its own tables), the old mapping stays: unreachable, since no table names it, and replaced by the
 * next region that gets its place.
 */
static void overlay(struct guestmem_arena *arena, uint64_t at, uint64_t size)
{
	mmap(arena->base + at, size, PROT_NONE, OVERLAY, -1, 0);
}

/*
 * A mapping that fails late (a file sealed against writing) has taken the reservation away on
 * kernels before 6.12: it is put back, or a later mmap by anybody could get into the arena.
 */
static int map_place(struct guestmem_arena *arena, uint64_t size, uint64_t page, int fd,
		     uint64_t offset, int prot)
{
	struct place *place = free_place(arena);
	uint64_t at;
	int ret;

	if (!place)
		return -E2BIG;
	ret = find_room(arena, size, page, &at);
	if (ret)
		return ret;
	if (mmap(arena->base + at, size, prot,
		 MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd, offset) == MAP_FAILED) {
		ret = -errno;
		overlay(arena, at, size);
		return ret;
	}
	place->at = at;
	place->size = size;
	place->users = 1;
	place->shared = false;
	place->readonly = !(prot & PROT_WRITE);
	atomic_store(&place->poisoned, false);
	return place - arena->place;
}

int guestmem_arena_map(struct guestmem_arena *arena, uint64_t size, uint64_t page, int fd,
		       uint64_t offset)
{
	return map_place(arena, size, page, fd, offset, PROT_READ | PROT_WRITE);
}

/* One that holds this part of the file, whose memory is there. */
static struct place *find_shared(struct guestmem_arena *arena, const struct guestmem_file *file,
				 uint64_t offset, uint64_t size)
{
	for (unsigned i = 0; i < PLACES; i++) {
		struct place *p = &arena->place[i];

		if (p->size && p->shared && !atomic_load(&p->poisoned) && p->dev == file->dev &&
		    p->ino == file->ino && (file->readonly || !p->readonly) &&
		    offset >= p->offset && range_fits(offset - p->offset, size, p->size))
			return p;
	}
	return NULL;
}

/* The whole file, or just that part of it. */
static int map_window(struct guestmem_arena *arena, const struct guestmem_file *file,
		      uint64_t *offset, uint64_t size, int prot)
{
	uint64_t start = align_down(*offset, file->page);
	uint64_t end = align_up(*offset + size, file->page);
	uint64_t whole = align_up(file->size, file->page);
	int ret = -E2BIG;

	*offset = 0;
	if (whole >= end && whole <= arena->size / 16)
		ret = map_place(arena, whole, file->page, file->fd, 0, prot);
	if (ret != -E2BIG)
		return ret;
	*offset = start;
	return map_place(arena, end - start, file->page, file->fd, start, prot);
}

int guestmem_arena_share(struct guestmem_arena *arena, const struct guestmem_file *file,
			 uint64_t offset, uint64_t size, uint64_t *ret_at)
{
	struct place *p = find_shared(arena, file, offset, size);
	uint64_t start = offset;
	int ret;

	if (p) {
		p->users++;
		*ret_at = offset - p->offset;
		return p - arena->place;
	}
	ret = map_window(arena, file, &start, size, PROT_READ | PROT_WRITE);
	if (file->readonly && (ret == -EACCES || ret == -EPERM)) {
		start = offset;
		ret = map_window(arena, file, &start, size, PROT_READ);
	}
	if (ret < 0)
		return ret;
	p = &arena->place[ret];
	p->shared = true;
	p->dev = file->dev;
	p->ino = file->ino;
	p->offset = start;
	*ret_at = offset - start;
	return ret;
}

void guestmem_arena_unmap(struct guestmem_arena *arena, int place)
{
	struct place *p = &arena->place[place];

	if (--p->users)
		return;
	overlay(arena, p->at, p->size);
	p->size = 0;
}

uint8_t *guestmem_arena_at(const struct guestmem_arena *arena, int place)
{
	return arena->base + arena->place[place].at;
}

bool guestmem_arena_poisoned(const struct guestmem_arena *arena, int place)
{
	/* An access before this in the program is one before it in the machine. */
	atomic_signal_fence(memory_order_seq_cst);
	return atomic_load(&arena->place[place].poisoned);
}

bool guestmem_arena_repair(struct guestmem_arena *arena, const void *addr)
{
	uint64_t off = (uintptr_t)addr - (uintptr_t)arena->base;

	for (unsigned i = 0; i < PLACES; i++) {
		struct place *p = &arena->place[i];

		if (!ranges_overlap(p->at, p->size, off, 1))
			continue;
		if (mmap(arena->base + p->at, p->size, PROT_READ | PROT_WRITE, OVERLAY, -1, 0) ==
		    MAP_FAILED)
			return false;
		atomic_store(&p->poisoned, true);
		return true;
	}
	return false;
}
