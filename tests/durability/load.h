/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TEST_DURABILITY_LOAD_H
#define TEST_DURABILITY_LOAD_H

/*
 * A random load of one seed: tagged writes of every kind that overlap each other, reads, flushes,
 * the write cache switched on and off, commands ended early; a disk that carries them out in any
 * order; and then a power cut, or a quiet end.
 */

#include <stdbool.h>
#include <stdint.h>

#include "cutdisk.h"

struct load {
	uint32_t seed;
	bool cut;		/* else all that is under way ends */
	unsigned kills;		/* one step of so many ends commands early; 0: none */
	enum cut_defect defect;
	bool raw;		/* the disk is a raw image */
};

/* What went on, added up: a load that does nothing finds nothing. */
struct load_count {
	unsigned acked, durable, flushed, read, killed, refused;
};

/* Returns false with one line in @why when the disk holds in the end what it may not. */
bool load_run(const struct load *load, struct load_count *count, char *why, unsigned why_size);

#endif
