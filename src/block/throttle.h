/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BLOCK_THROTTLE_H
#define BLOCK_THROTTLE_H

/*
 * Limits of a disk in bytes and requests a second (QEMU's block_set_io_throttle): reads, writes,
 * zeroes and discards that come too fast wait, in order, and so does nothing else.  A tenth of a
 * second's worth may come at once.
 */

#include <stdbool.h>
#include <stdint.h>

#include "event/loop.h"

struct block;
struct block_req;

/* In the order of QEMU's arguments. */
enum block_limit { BLOCK_BPS, BLOCK_BPS_READ, BLOCK_BPS_WRITE, BLOCK_IOPS, BLOCK_IOPS_READ,
		   BLOCK_IOPS_WRITE, BLOCK_LIMITS };

#define BLOCK_LIMIT_MAX 1000000000000000ULL	/* a second; QEMU's THROTTLE_VALUE_MAX */

struct block_throttle {
	uint64_t limit[BLOCK_LIMITS];	/* a second; 0: none */
	int64_t due[BLOCK_LIMITS];	/* when what was let through has had its time, ns */
	struct block *block;
	struct block_req *first, **tail;	/* those that wait */
	struct loop_timer timer;
};

/* None is set.  It stays in place while @block has it. */
void block_throttle_init(struct block_throttle *throttle, struct block *block);
/* From now on; what waits goes by the new ones.  0, or -EINVAL: one is beyond BLOCK_LIMIT_MAX. */
int block_throttle_set(struct block_throttle *throttle, const uint64_t limit[BLOCK_LIMITS]);
/* What waits starts now, limits or not: the disk is to become idle. */
void block_throttle_drain(struct block_throttle *throttle);
/* Nothing waits any more. */
void block_throttle_finish(struct block_throttle *throttle);

/* For block.c.  Is a limit set?  Must the request wait?  It is started later then. */
bool block_throttle_on(const struct block_throttle *throttle);
bool block_throttle_holds(struct block_throttle *throttle, struct block_req *req);

#endif
