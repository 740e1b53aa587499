/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <time.h>

#include "event/loop.h"

/* In a file of its own: a test that must not depend on time links another clock. */
int64_t loop_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}
