/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TEST_QMP_RIG_H
#define TEST_QMP_RIG_H

/* The other end of a QMP socket, which says and hears bytes, and a clock of the test's own. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

extern int64_t fake_ms;		/* what CLOCK_MONOTONIC says */

/* A stream pair: *ret_theirs is for the code under test. */
void pair(int *ret_ours, int *ret_theirs);

/* Says all of it, or as much as the socket takes; false when the other end is closed. */
bool says(int sock, const char *text);

/* All that is in the socket now; NULL at its end.  Valid until the next call. */
const char *hears(int sock);

/* The same, as one JSON object, which has to be one line; the caller owns it. */
json_t *hears_json(int sock);

#endif
