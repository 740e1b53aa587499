/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "event/loop.h"
#include "fuzz.h"

/* The loop's clock, for targets without a rig that has its own. */

static int64_t now = CLOCK_START;

int64_t loop_now(void)
{
	return now;
}

void clock_advance(int64_t ns)
{
	now += ns;
}

void clock_reset(void)
{
	now = CLOCK_START;
}
