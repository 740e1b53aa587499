/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

/*
 * What the fuzz targets share: an input that is taken apart from its front, a clock that only the
 * input moves, and memory that goes back to what it was before the next input.
 *
 * A finding is anything that ends the process: an assertion of the product or of a target, a
 * sanitizer's report, a leak.  What may take long is bounded by counted steps, never by time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

/* ---- the two functions of a target ---- */

struct input;

/* Once, before the first input. */
void fuzz_setup(void);
/* One input; leaves everything as fuzz_setup() has left it. */
void fuzz_one(struct input *in);

/* ---- the input: an exhausted one gives zeroes ---- */

struct input {
	const uint8_t *at;
	size_t left;
};

uint8_t in_u8(struct input *in);
uint16_t in_u16(struct input *in);
uint32_t in_u32(struct input *in);
uint64_t in_u64(struct input *in);
/* Fills @buf with the next @len bytes, and with zeroes where they end. */
void in_fill(struct input *in, void *buf, size_t len);
/* At most @max bytes as they lie in the input; how many. */
size_t in_take(struct input *in, size_t max, const uint8_t **ret_bytes);

/* ---- the clock of the loop, in ns (clock.c): it stands but for this ---- */

#define CLOCK_START 1000000000000LL
void clock_advance(int64_t ns);
void clock_reset(void);

/* ---- back to the beginning ---- */

/* @size bytes at @mem are put back by fuzz_restore() as they are now. */
void fuzz_snapshot(void *mem, size_t size);
/*
 * A copy of @size bytes for large memory of which an input changes little: what was written is
 * thrown away page by page by fuzz_restore().
 */
uint8_t *fuzz_scratch(const void *data, size_t size);
/* All that is registered. */
void fuzz_restore(void);

#endif
