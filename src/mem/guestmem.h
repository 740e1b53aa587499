/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MEM_GUESTMEM_H
#define MEM_GUESTMEM_H

/*
 * Guest RAM: a table of regions, each a part of a memfd mapped MAP_SHARED into the process's arena
 * (arena.h), or memory that the VMM has told of and does not share: the VMM itself has to be asked
 * for what is in it.  Everything that touches guest memory goes through here, by guest-physical
 * address and length; no host pointer outlives the call that made it.
 *
 * An access that is not wholly inside the table, in address order and without a gap, fails and
 * transfers nothing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define GUESTMEM_MAX_REGIONS 8	/* of a table that is replaced as a whole */
#define GUESTMEM_REMOTE_MAX 4096	/* bytes of unshared memory that are accessed at once */

struct guestmem;
struct guestmem_arena;

/* One region as the VMM announces it; @fd stays the caller's and may be closed after the call. */
struct guestmem_region {
	uint64_t gpa;
	uint64_t size;
	uint64_t offset;	/* into the file, bytes */
	int fd;			/* guestmem_map(): -1 is memory that is not shared */
	/* guestmem_map() only: what the device may not do. */
	bool readonly, writeonly;
};

enum guestmem_dir {
	GUESTMEM_READ,		/* the device reads guest RAM */
	GUESTMEM_WRITE,
};

/* Called after each transfer with what was moved; for tracing and recording. */
typedef void guestmem_hook(void *opaque, enum guestmem_dir dir, uint64_t gpa, const void *data,
			   size_t len);

/* An empty table in @arena, which outlives it.  Returns NULL with errno set. */
struct guestmem *guestmem_create(struct guestmem_arena *arena);
/*
 * The same, for @max regions that come and go one by one; more than GUESTMEM_MAX_REGIONS, which
 * guestmem_set() then refuses (-EINVAL).
 */
struct guestmem *guestmem_create_for(struct guestmem_arena *arena, unsigned max);
void guestmem_destroy(struct guestmem *mem);

/*
 * Replaces the whole table.  Regions that stay the same (file, offset, size) keep their mapping.
 * All or nothing: on failure the old table stands.  Returns 0, or -errno: -EINVAL for overlap,
 * wrap, zero or unaligned sizes; -ERANGE for a part outside the file; -E2BIG for too many regions
 * or bytes; -EBADF, -EACCES, -EPERM, -ENODEV for an fd that cannot be mapped shared and writable.
 */
int guestmem_set(struct guestmem *mem, const struct guestmem_region *regions, unsigned count);

/*
 * Adds a region.  Returns 0 or -errno: as guestmem_set(), but -EEXIST for an overlap, and -ENOSPC
 * when the table is full.  A file behind what is only read need not be writable.
 */
int guestmem_map(struct guestmem *mem, const struct guestmem_region *region);

/*
 * Takes away all regions in [gpa, gpa + size), which ends at 2^64 if it would go beyond.  Returns
 * how many those were; -EINVAL when a region is partly in it: nothing is taken away then.
 */
int guestmem_unmap(struct guestmem *mem, uint64_t gpa, uint64_t size);
/* All of them. */
void guestmem_clear(struct guestmem *mem);

/* Counts up with each change of the table. */
uint64_t guestmem_generation(const struct guestmem *mem);

/* Number of regions now, and a copy of region @i without its fd (-1). */
unsigned guestmem_count(const struct guestmem *mem);
struct guestmem_region guestmem_get(const struct guestmem *mem, unsigned i);

/*
 * 0, or -EFAULT when a byte of the range is not RAM: nothing is moved then.  Also -EFAULT when RAM
 * goes away during the access (sigbus.h): a part may have been moved.  -EREMOTE when all of it is
 * there, but a part is not shared: nothing is moved.
 */
int guestmem_read(struct guestmem *mem, uint64_t gpa, void *buf, size_t len);
int guestmem_write(struct guestmem *mem, uint64_t gpa, const void *buf, size_t len);

/*
 * @len, or less: as many bytes from @gpa on as one access may take, which is GUESTMEM_REMOTE_MAX
 * where it would be -EREMOTE, and does not run from shared memory into such.
 */
size_t guestmem_clip(const struct guestmem *mem, uint64_t gpa, size_t len);

/*
 * How many of the @len bytes from @gpa on are in memory that is shared, or in such that is not, as
 * the first one is (*ret_shared); 0: it is in none.
 */
size_t guestmem_part(const struct guestmem *mem, uint64_t gpa, size_t len, bool *ret_shared);

/*
 * Has an access found that a region's memory is gone, since the last call?  Once a region, with its
 * address; guestmem_set() with memory that is there brings it back.
 */
bool guestmem_lost(struct guestmem *mem, uint64_t *ret_gpa);

/*
 * The range as host segments, for one system call made before the caller returns to the loop.
 * Returns the number of segments (at most @max), -EFAULT or -EREMOTE as for a write, or -E2BIG when
 * @max is too few.
 */
int guestmem_iov(struct guestmem *mem, uint64_t gpa, size_t len, struct iovec *iov, unsigned max);

/*
 * Tells the hook of a transfer that went through guestmem_iov() and has been made: what it moved is
 * looked at in the mapped memory.  Each such transfer has to be told, in the direction of the
 * device's view, before the caller returns to the loop.  Costs nothing without a hook.
 */
void guestmem_moved(struct guestmem *mem, enum guestmem_dir dir, uint64_t gpa, size_t len);

/* @hook NULL: none.  It may be called with parts of a transfer, one after the other. */
void guestmem_set_hook(struct guestmem *mem, guestmem_hook *hook, void *opaque);

#endif
