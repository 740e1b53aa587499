/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TEST_LSI_HOSTILE_H
#define TEST_LSI_HOSTILE_H

/* What the tests of hostile guests share.  After each of them the chip must still work. */

#include "rig.h"

#define AT 0x10000u	/* where a test's script lies, */
#define MEM 0x20000u	/* and its data: IDENTIFY (c0), and at + 8 an INQUIRY of 36 bytes */

void hostile_up(struct rig *rig, struct prog *p);
/* A soft reset and an INQUIRY work, no slice and no pass was too long; then rig_down(). */
void hostile_down(struct rig *rig);
/* A test that must end with hostile_down(). */
void hostile_add(const char *path, void (*fn)(void));

/*
 * A script that never ends: every pass of the loop is one slice, and between two slices registers
 * answer.
 */
void assert_runs_in_slices(struct rig *rig);

/* Starts commands of one block on both targets, whose disks hold them; how many disconnected. */
unsigned start_many(struct rig *rig, unsigned count, bool write);
/* Lets all disks end what they hold; nothing of it may be seen in guest memory. */
void assert_nothing_lands(struct rig *rig);
/* Lets disk @d end what it holds and goes on. */
void release_disk(struct rig *rig, unsigned d);

#endif
