/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BLOCK_RAWIO_H
#define BLOCK_RAWIO_H

/*
 * The part of the raw backend that waits: runs on pool threads, several at a time.  What they share
 * is either constant or one of the "unsupported" flags below, which only ever go from 0 to 1.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/block.h"
#include "block/raw.h"

struct rawio {
	int fd;
	const struct raw_sys *sys;
	uint64_t size;			/* bytes */
	uint32_t align;			/* of offset and length of a transfer, bytes; 1: any */
	uint32_t mem_align;		/* of its memory */
	uint32_t dev_sector;		/* block device: of discards and zeroing; else 1 */
	bool is_device;
	bool direct;
	bool no_flush;
	bool discard;
	bool promised_zero;		/* discarded ranges were said to read as zeroes */
	uint8_t detect_zeroes;
	bool probed_raw;
	atomic_bool no_dsync, no_punch, no_zero_range;	/* the host has said that it cannot */
};

struct raw_block {
	struct block block;
	struct pool *pool;
	struct rawio io;
	bool no_read_now;		/* O_DIRECT, where it waits for the disk; or unsupported */
	bool borrowed;			/* its memory and fd are the caller's */
	unsigned misses;		/* of read_now, in a row */
	unsigned skip;			/* so many reads do not try it */
};

/* A pool_job's run(): carries out the block_req that holds @job.  Returns 0 or -errno. */
int rawio_run(struct pool_job *job);

/*
 * Moves all @len bytes at @off, whatever their alignment.  @scratch: POOL_SCRATCH_SIZE bytes.
 * Returns 0, -ENODATA when the image ends before @off + @len, or -errno.
 */
int rawio_read(struct rawio *raw, uint64_t off, uint64_t len, void *buf, void *scratch);
/* @flags: RWF_DSYNC or 0. */
int rawio_write(struct rawio *raw, uint64_t off, uint64_t len, const void *buf, int flags,
		void *scratch);

/* The system's own calls. */
extern const struct raw_sys raw_sys_libc;

#endif
