/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef METRICS_PAGE_H
#define METRICS_PAGE_H

/*
 * What a device process counts: plain numbers in memory that its keeper maps as well
 * (LAUNCH_SLOT_METRICS), so that counting is an addition and reading disturbs nobody.
 *
 * One thread writes, the loop's, and nothing that it does depends on what stands there.  A reader
 * takes a copy and trusts no number in it; two that belong together may be an event apart.
 *
 * The layout is native byte order, for a reader on the same host, with the version to tell it by.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metrics/hist.h"

#define METRICS_MAGIC 0x4d51504du	/* "MPQM" */
#define METRICS_VERSION 1

/* The operations of block/block.h, in its order. */
#define METRICS_IO_OPS 6

enum metric {
	/* messages of a client, of either protocol, by what they ask for */
	METRIC_CONFIG_READS, METRIC_CONFIG_WRITES, METRIC_BAR_READS, METRIC_BAR_WRITES,
	METRIC_MEMORY_MAPS, METRIC_IRQ_SETUPS, METRIC_RESETS, METRIC_OTHER_MESSAGES,

	METRIC_SESSIONS,		/* clients that came */
	METRIC_PEER_ERRORS,		/* mistakes of a client */
	METRIC_GUEST_ERRORS,		/* mistakes of a driver that the device knows of */
	METRIC_DMA_READS, METRIC_DMA_WRITES,	/* accesses to guest memory */
	METRIC_DMA_READ_BYTES, METRIC_DMA_WRITE_BYTES,
	METRIC_INTX, METRIC_IRQ_MESSAGES,	/* the line went up; MSI and MSI-X */
	METRIC_SCRIPTS_INSTRUCTIONS, METRIC_SCRIPTS_SLICES,

	METRIC_IO_STARTED,		/* METRICS_IO_OPS of each: + enum block_op */
	METRIC_IO_ENDED = METRIC_IO_STARTED + METRICS_IO_OPS,	/* well or not */
	METRIC_IO_ERRORS = METRIC_IO_ENDED + METRICS_IO_OPS,
	METRIC_IO_BYTES = METRIC_IO_ERRORS + METRICS_IO_OPS,	/* of those that ended well */
	METRIC_COUNT = METRIC_IO_BYTES + METRICS_IO_OPS,
};

enum metrics_hist {
	METRICS_DEPTH,			/* requests under way on a disk, with the one that comes */
	METRICS_LATENCY,		/* ns from start to end; + enum block_op */
	METRICS_HISTS = METRICS_LATENCY + METRICS_IO_OPS,
};

/*
 * Latency: four buckets an octave, so that a value is known to 25 %, from 256 ns to 137 s.  Depth:
 * each number up to 32, then to 6 %, which is beyond what a bus has (scsi/bus.h).
 */
#define METRICS_LATENCY_SHAPE { .shift = 8, .bits = 2, .count = METRICS_BUCKETS }
#define METRICS_DEPTH_SHAPE { .shift = 0, .bits = 4, .count = METRICS_BUCKETS }
#define METRICS_BUCKETS 112

struct metrics_buckets {
	uint64_t sum;
	uint64_t max;
	uint64_t bucket[METRICS_BUCKETS];
};

struct metrics_page {
	uint32_t magic;
	uint16_t version;
	uint16_t counters, hists, buckets;	/* how many of each */
	uint32_t size;				/* of all this, bytes */
	uint64_t counter[METRIC_COUNT];
	struct metrics_buckets hist[METRICS_HISTS];
};

/* The process's own, as its log is; memory that nobody reads until metrics_use(). */
extern struct metrics_page *metrics_now;

/* Counts in @page from now on: METRICS_SIZE bytes, which are cleared. */
void metrics_use(struct metrics_page *page);
#define METRICS_SIZE sizeof(struct metrics_page)

/* Magic, version and sizes of a page of this version; the numbers stay as they are. */
void metrics_head(struct metrics_page *page);

/* Is a file of @size bytes, which begins with the @len bytes at @file, a page of any version? */
bool metrics_is_page(const void *file, size_t len, uint64_t size);

/* The shape of the histogram's buckets. */
const struct hist_shape *metrics_shape(enum metrics_hist hist);

static inline void metrics_add(enum metric metric, uint64_t n)
{
	metrics_now->counter[metric] += n;
}

static inline void metrics_count(enum metric metric)
{
	metrics_add(metric, 1);
}

static inline void metrics_buckets_add(struct metrics_buckets *h, const struct hist_shape *shape,
				       uint64_t value)
{
	h->bucket[hist_index(shape, value)]++;
	h->sum += value;
	if (value > h->max)
		h->max = value;
}

static inline void metrics_sample(enum metrics_hist hist, const struct hist_shape *shape,
				  uint64_t value)
{
	metrics_buckets_add(&metrics_now->hist[hist], shape, value);
}

/* A request of @op (enum block_op) has started: @depth are under way on its disk. */
static inline void metrics_io_started(unsigned op, unsigned depth)
{
	static const struct hist_shape shape = METRICS_DEPTH_SHAPE;

	if (op >= METRICS_IO_OPS)
		return;
	metrics_count(METRIC_IO_STARTED + op);
	metrics_sample(METRICS_DEPTH, &shape, depth);
}

/* It has ended after @ns: 0, or -errno. */
static inline void metrics_io_ended(unsigned op, uint64_t ns, int ret, uint64_t bytes)
{
	static const struct hist_shape shape = METRICS_LATENCY_SHAPE;

	if (op >= METRICS_IO_OPS)
		return;
	metrics_count(METRIC_IO_ENDED + op);
	if (ret < 0)
		metrics_count(METRIC_IO_ERRORS + op);
	else
		metrics_add(METRIC_IO_BYTES + op, bytes);
	metrics_sample(METRICS_LATENCY + op, &shape, ns);
}

/*
 * A copy of the @size bytes at @page, which another process may be writing: whatever is in the
 * numbers.  Returns 0, or -EINVAL if it is no page of this version.
 */
int metrics_copy(const void *page, size_t size, struct metrics_page *ret);

/* One histogram of a page in the form that hist.h works on. */
void metrics_hist(const struct metrics_page *page, enum metrics_hist hist, struct hist *ret);
/* The same of buckets that stand elsewhere. */
void metrics_buckets_hist(const struct metrics_buckets *from, const struct hist_shape *shape,
			  struct hist *ret);

struct text;
/*
 * The page for people and programs: Prometheus's text format, in which each line of a number stands
 * for itself, or one JSON object.  Numbers and histograms that are 0 are left out of the first.
 * Needs METRICS_TEXT_MAX bytes at most.
 */
void metrics_print_text(const struct metrics_page *page, struct text *out);
void metrics_print_json(const struct metrics_page *page, struct text *out);
#define METRICS_TEXT_MAX (64u << 10)

#endif
