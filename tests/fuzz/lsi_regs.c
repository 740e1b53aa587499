/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The chip's registers, with guest memory that changes, time that passes and disks that fail. */

#include "lsi.h"

static struct rig rig;

void fuzz_setup(void)
{
	lsi_setup(&rig);
}

void fuzz_one(struct input *in)
{
	lsi_ops(&rig, in);
	lsi_reset(&rig);
}
