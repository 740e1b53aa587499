/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef METRICS_HIST_H
#define METRICS_HIST_H

/*
 * Histograms whose buckets grow with the value, so that a few of them hold microseconds and minutes
 * alike.  A value is known to one bucket: to 2^-bits of itself, or to one unit of 2^shift where it
 * is small.  Nothing here allocates, and adding is a few instructions.
 */

#include <stdbool.h>
#include <stdint.h>

/* 2^5 buckets an octave up to 2^64: a value is known to 3.2 %. */
#define HIST_FINE ((struct hist_shape){ .shift = 0, .bits = 5, .count = 1920 })
#define HIST_MAX_BUCKETS 1920

struct hist_shape {
	uint8_t shift;		/* values are looked at in units of 2^shift */
	uint8_t bits;		/* an octave has 2^bits buckets */
	uint16_t count;		/* of buckets; the last one also has all that is larger */
};

struct hist {
	struct hist_shape shape;
	uint64_t count;		/* of values */
	uint64_t sum;		/* of values; stays at UINT64_MAX when it comes there */
	uint64_t min, max;	/* UINT64_MAX and 0 while there is no value */
	uint64_t bucket[HIST_MAX_BUCKETS];
};

/* The bucket of @value. */
static inline unsigned hist_index(const struct hist_shape *shape, uint64_t value)
{
	uint64_t v = value >> shape->shift;
	unsigned index = v, octave;

	if (v >> shape->bits) {
		octave = 63 - __builtin_clzll(v) - shape->bits;
		index = (octave << shape->bits) + (v >> octave);
	}
	return index < shape->count ? index : shape->count - 1u;
}

/* The smallest and the largest value of a bucket; the last one has no end: UINT64_MAX. */
uint64_t hist_low(const struct hist_shape *shape, unsigned index);
uint64_t hist_high(const struct hist_shape *shape, unsigned index);

/* Empty.  @shape->count is at most HIST_MAX_BUCKETS, and at least 1. */
void hist_init(struct hist *h, const struct hist_shape *shape);
void hist_add(struct hist *h, uint64_t value);
/* @from has the same shape. */
void hist_merge(struct hist *h, const struct hist *from);

/*
 * The value that @percent (0 to 100) of the values do not exceed: the upper end of its bucket, or
 * the largest value if that is smaller.  So it is never too small, and too large by one bucket at
 * the most.  0 if there are no values.
 */
uint64_t hist_percentile(const struct hist *h, double percent);
/* 0 if there are no values. */
double hist_mean(const struct hist *h);

struct text;
/*
 * One JSON object: count, sum, min, max, mean, p50, p90, p95, p99, p99.9, and buckets, a list of
 * [smallest value, largest value, count] of those that have any.
 */
void hist_json(const struct hist *h, struct text *out);
/*
 * The lines of Prometheus's text for the histogram @name, with the label op="@op" unless that is
 * NULL.  @seconds: the values are ns, and each octave has a bound; else each value that there is.
 */
void hist_text(const struct hist *h, const char *name, const char *op, bool seconds,
	       struct text *out);

#endif
