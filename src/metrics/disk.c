/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "metrics/disk.h"

void metrics_disk_ended(struct metrics_disk *disk, unsigned op, uint64_t ns, int ret,
			uint64_t bytes)
{
	struct metrics_op *o = &disk->op[op];

	if (op >= METRICS_IO_OPS)
		return;
	o->ended++;
	if (ret < 0)
		o->errors++;
	else
		o->bytes += bytes;
	metrics_buckets_add(&o->latency, metrics_shape(METRICS_LATENCY), ns);
}
