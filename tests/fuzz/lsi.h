/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_FUZZ_LSI_H
#define TESTS_FUZZ_LSI_H

/*
 * The chip of tests/unit/lsi/rig.h as fuzz targets use it: made once, and put back after each
 * input by copying its structs.  The operations on it are a small language (lsi_ops.c), which two
 * targets read.
 */

#include "../unit/lsi/rig.h"
#include "fuzz.h"

/* Makes the chip, with a driver's first registers set and all unit attentions taken. */
void lsi_setup(struct rig *rig);
/* For lsi_clear(): what an input writes to the disks is to go. */
void lsi_disks(struct rig *rig);
/* The guest's memory map as it was. */
void lsi_map_all(struct rig *rig);
/* RST#, and the end of all requests of the disks: nothing may be left then. */
void lsi_quiet(struct rig *rig);
/* After an input: a soft reset and an INQUIRY work.  Ends with lsi_quiet(). */
void lsi_check(struct rig *rig);
/* Empty guest memory, and fuzz_restore(). */
void lsi_clear(struct rig *rig);
/* lsi_check() and lsi_clear(). */
void lsi_reset(struct rig *rig);

/* As the guest's buses have it; nothing when no BAR is there. */
void lsi_write(struct rig *rig, uint32_t reg, unsigned size, uint32_t val);
uint32_t lsi_read(struct rig *rig, uint32_t reg, unsigned size);
/*
 * What an input may still use: passes of the loop, and instructions of the engine, of which one is
 * worth LSI_BUDGET_BYTES moved.
 */
#define LSI_BUDGET_BYTES 64
struct lsi_budget {
	unsigned passes, insns;
};
#define LSI_BUDGET { .passes = 200, .insns = 800 }
/* At most @passes passes of the loop; a slice of the engine must stay within its own budget. */
void lsi_pump(struct rig *rig, struct lsi_budget *left, unsigned passes);

/* Operations until the input ends, or until there were enough. */
void lsi_ops(struct rig *rig, struct input *in);

#endif
