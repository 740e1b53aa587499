/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BLOCK_FAULT_H
#define BLOCK_FAULT_H

/*
 * A disk in memory that fails as it is told, for tests: errors, writes that were done in part,
 * delays, requests that hang, and a volatile write cache that loses what was not flushed when the
 * power goes.
 */

#include <stdint.h>

struct block;
struct loop;

#define FAULT_MAX_RULES 32
#define FAULT_SECTOR 512	/* bytes that survive a power cut together */
#define FAULT_HANG -1		/* delay: until fault_release() */

/* The first rule that matches a request and is not used up applies to it. */
struct fault_rule {
	unsigned ops;		/* 1 << enum block_op, or-ed; 0: all */
	uint64_t lo, hi;	/* only requests that touch [lo, hi), bytes; hi == 0: all */
	unsigned skip;		/* lets so many pass by before it applies */
	unsigned count;		/* applies to so many; 0: for ever */
	int64_t delay;		/* ns from start to end, or FAULT_HANG */
	int error;		/* -errno that it ends with; 0: none */
	uint64_t done;		/* bytes that a failing write or zero changes nevertheless */
};

/* A disk of zeroes, @size bytes, a multiple of FAULT_SECTOR.  NULL with errno set. */
struct block *fault_create(struct loop *loop, uint64_t size);

/* Appends a rule.  Returns 0, or -ENOSPC. */
int fault_add_rule(struct block *block, const struct fault_rule *rule);
/* Takes all rules away; what hangs goes on hanging. */
void fault_clear_rules(struct block *block);

/* Ends what hangs.  From outside the loop's callbacks.  Returns how many requests that were. */
unsigned fault_release(struct block *block);

/*
 * The power goes and comes back: of each sector that was written since it was last flushed, the
 * old or the new content remains, as @seed has it.  No request may be at work.  The failed-flush
 * latch is off again, as after a reopening.
 */
void fault_power_cut(struct block *block, uint32_t seed);

/* What a read would find now; the disk's. */
const uint8_t *fault_data(const struct block *block);

#endif
