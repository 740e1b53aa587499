/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MEM_ARENA_H
#define MEM_ARENA_H

/*
 * One range of addresses a process, in which all guest RAM is mapped, of all its devices.
 *
 *     | the arena: places, the rest PROT_NONE | gap: PROT_NONE, never mapped |
 *     ^ base, a multiple of size              ^ base + size                  ^ base + 2 * size
 *
 * A system call filter pins it with one masked compare of the address and a limit of the length:
 * what starts inside and is no longer than the arena never leaves the reservation.
 *
 * After guestmem_arena_create() nothing but mmap is called, in these forms only, all of them
 * MAP_FIXED | MAP_NORESERVE inside the arena:
 *
 *     PROT_READ | PROT_WRITE, MAP_SHARED, of a file        guest RAM comes
 *     PROT_READ, MAP_SHARED, of a file                     the same, where no more can be had
 *     PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, fd -1        it goes, the range stays reserved
 *     PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, fd -1        it is gone: see sigbus.h
 *
 * All devices of a process belong to one VM: they share the range without shares of their own.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Tables (struct guestmem) that one arena has room for. */
#define GUESTMEM_MAX_TABLES 16

struct guestmem_arena;

/*
 * Reserves the range: 1 TiB, or less (not below 16 GiB) where there is not so much.  Returns NULL
 * with errno set.
 */
struct guestmem_arena *guestmem_arena_create(void);
/* After the last of its tables.  NULL is none. */
void guestmem_arena_destroy(struct guestmem_arena *arena);

/* For the filter: the first address, a multiple of the size, which is a power of two. */
void guestmem_arena_range(const struct guestmem_arena *arena, uint64_t *ret_base,
			  uint64_t *ret_size);

/* For the tables in guestmem.c. */

/* Counts a table in, or out.  Returns 0 or -EUSERS: there are GUESTMEM_MAX_TABLES. */
int guestmem_arena_join(struct guestmem_arena *arena);
void guestmem_arena_leave(struct guestmem_arena *arena);

/*
 * Maps @size bytes at @offset of @fd, both whole pages of @page bytes, at a place that nothing else
 * uses and that is a multiple of @page as well.  Returns the place's number; -E2BIG when there is
 * none; or mmap's -errno.
 */
int guestmem_arena_map(struct guestmem_arena *arena, uint64_t size, uint64_t page, int fd,
		       uint64_t offset);

/* Of which file: its inode, its size, and the size of its pages, in bytes. */
struct guestmem_file {
	int fd;
	dev_t dev;
	ino_t ino;
	uint64_t size, page;
	bool readonly;		/* if it cannot be mapped for writing, for reading is enough */
};

/*
 * The same for who takes many small parts of one file: they share one place, of the whole file
 * where the arena has room for that.  (So the first fd that a VM hands over for a file decides what
 * may be done with it: a later one that is open for less gets no less.)  Sets *ret_at to where in
 * the place @offset is.
 */
int guestmem_arena_share(struct guestmem_arena *arena, const struct guestmem_file *file,
			 uint64_t offset, uint64_t size, uint64_t *ret_at);

/* The place's user has no use for it; after the last one it is free. */
void guestmem_arena_unmap(struct guestmem_arena *arena, int place);

/* Where a place begins. */
uint8_t *guestmem_arena_at(const struct guestmem_arena *arena, int place);

/* Has its memory been replaced, since the file has none there any more? */
bool guestmem_arena_poisoned(const struct guestmem_arena *arena, int place);

/*
 * For a signal handler: the memory at @addr is not there.  Puts zeroes of nobody's over the whole
 * place and poisons it.  Returns false when @addr is in no place, or the kernel refuses.
 */
bool guestmem_arena_repair(struct guestmem_arena *arena, const void *addr);

#endif
