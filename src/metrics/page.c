/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "metrics/page.h"

#include <errno.h>
#include <string.h>

#include "base/num.h"

static struct metrics_page unread;
struct metrics_page *metrics_now = &unread;

static const struct hist_shape latency_shape = METRICS_LATENCY_SHAPE;
static const struct hist_shape depth_shape = METRICS_DEPTH_SHAPE;

const struct hist_shape *metrics_shape(enum metrics_hist hist)
{
	return hist == METRICS_DEPTH ? &depth_shape : &latency_shape;
}

void metrics_head(struct metrics_page *page)
{
	page->magic = METRICS_MAGIC;
	page->version = METRICS_VERSION;
	page->counters = METRIC_COUNT;
	page->hists = METRICS_HISTS;
	page->buckets = METRICS_BUCKETS;
	page->size = sizeof(*page);
}

bool metrics_is_page(const void *file, size_t len, uint64_t size)
{
	struct metrics_page page;

	if (len < offsetof(struct metrics_page, counter))
		return false;
	memcpy(&page, file, offsetof(struct metrics_page, counter));
	return page.magic == METRICS_MAGIC && page.size == size;
}

void metrics_use(struct metrics_page *page)
{
	memset(page, 0, offsetof(struct metrics_page, hist));
	metrics_head(page);
	metrics_now = page;
}

int metrics_copy(const void *page, size_t size, struct metrics_page *ret)
{
	struct metrics_page copy;

	if (size < sizeof(copy))
		return -EINVAL;
	memcpy(&copy, page, sizeof(copy));
	if (copy.magic != METRICS_MAGIC || copy.version != METRICS_VERSION ||
	    copy.counters != METRIC_COUNT || copy.hists != METRICS_HISTS ||
	    copy.buckets != METRICS_BUCKETS || copy.size != sizeof(copy))
		return -EINVAL;
	memcpy(ret, &copy, sizeof(copy));
	return 0;
}

void metrics_hist(const struct metrics_page *page, enum metrics_hist hist, struct hist *ret)
{
	metrics_buckets_hist(&page->hist[hist], metrics_shape(hist), ret);
}

void metrics_buckets_hist(const struct metrics_buckets *from, const struct hist_shape *shape,
			  struct hist *ret)
{
	hist_init(ret, shape);
	ret->sum = from->sum;
	ret->max = from->max;
	for (unsigned i = 0; i < METRICS_BUCKETS; i++) {
		uint64_t n = from->bucket[i];

		ret->bucket[i] = n;
		ret->count = n > UINT64_MAX - ret->count ? UINT64_MAX : ret->count + n;
		if (n)
			ret->min = min_u64(ret->min, hist_low(shape, i));
	}
}
