/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TEST_SCSI_HOSTILE_H
#define TEST_SCSI_HOSTILE_H

/* What the tests of hostile guests share. */

#include "rig.h"

/* A reset of the bus and an INQUIRY work; then rig_down(). */
void hostile_down(struct rig *rig);
/* A test that must end with hostile_down(). */
void hostile_add(const char *path, void (*fn)(void));

#endif
