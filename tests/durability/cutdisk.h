/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TEST_DURABILITY_CUTDISK_H
#define TEST_DURABILITY_CUTDISK_H

/*
 * A disk with a volatile write cache whose power can be cut, behind a block device that exists
 * already: its requests come here.
 *
 * Requests are carried out when the test says so, in any order.  What was written stays in the
 * cache until a flush that was submitted after its end has ended; a FUA write is stable when it
 * ends.  A cut leaves, in each physical sector by itself, any subset of what is in the cache and of
 * what is under way, in the order in which it was written.  Nothing is torn inside a physical
 * sector.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct block;
struct cutdisk;
struct raw_sys;

/* A stack that is wrong, for testing the test. */
enum cut_defect {
	CUT_SOUND,
	CUT_FLUSH_EARLY,	/* a flush ends and nothing was made stable */
	CUT_FUA_DROPPED,
	CUT_TORN,		/* torn inside a sector of 512 bytes */
	CUT_LATE,		/* writes end before they are carried out */
};

/*
 * Takes over the idle @block, of which the first @size bytes are used; they begin as @content,
 * which is copied.  @sector: bytes of a physical sector.
 */
struct cutdisk *cut_attach(struct block *block, const void *content, uint64_t size,
			   uint32_t sector, enum cut_defect defect);
/*
 * The same below a raw block device: requests go through rawio_run(), and cut_sys is what the host
 * does for it (config->sys).  An fdatasync makes all stable that was written before.
 */
struct cut_host {
	bool raw;
	bool no_dsync, no_fallocate;	/* the host cannot */
	bool short_writes;
};
void cut_set_host(struct cutdisk *d, const struct cut_host *host);
extern const struct raw_sys cut_sys;

/* Gives the block device back; it must be idle. */
void cut_detach(struct cutdisk *d);

/* How many requests wait to be carried out. */
unsigned cut_waiting(const struct cutdisk *d);
/* Carries out one of them, of the @oldest or of any.  Returns false when there was none. */
bool cut_step(struct cutdisk *d, GRand *rand, unsigned oldest);

/* What a cut now leaves; as many bytes as are used. */
void cut_power(const struct cutdisk *d, GRand *rand, uint8_t *ret_disk);
/* What a read finds. */
const uint8_t *cut_data(const struct cutdisk *d);

#endif
