/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef METRICS_DISK_H
#define METRICS_DISK_H

/*
 * What one disk of a device process has done, for a monitor: in shared memory, beside the page of
 * the whole process (page.h).  Only what is used is backed by memory.
 */

#include <stdint.h>

#include "metrics/page.h"

/* One kind of requests, all that have ended. */
struct metrics_op {
	uint64_t ended;			/* well or not */
	uint64_t errors;
	uint64_t bytes;			/* of those that ended well */
	struct metrics_buckets latency;	/* ns from start to end */
};

struct metrics_disk {
	uint64_t size;			/* bytes that its medium has; 0: none */
	uint64_t highest;		/* the end of what was written furthest behind, bytes */
	struct metrics_op op[METRICS_IO_OPS];	/* by enum block_op */
};

#define METRICS_DISKS_SIZE(count) ((uint64_t)(count) * sizeof(struct metrics_disk))

/* A request of @op (enum block_op) has ended after @ns: 0, or -errno. */
void metrics_disk_ended(struct metrics_disk *disk, unsigned op, uint64_t ns, int ret,
			uint64_t bytes);

#endif
