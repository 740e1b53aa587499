/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "metrics/hist.h"

#include <string.h>

#include "base/num.h"
#include "metrics/text.h"

/* Where bucket @index begins, in units; UINT64_MAX where no value of 64 bits does. */
static uint64_t low_units(const struct hist_shape *shape, unsigned index)
{
	unsigned octave = index >> shape->bits;
	uint64_t part = index & ((1u << shape->bits) - 1);

	if (octave <= 1)
		return index;
	octave--;
	part |= 1ULL << shape->bits;
	return part > UINT64_MAX >> octave || octave > 63 ? UINT64_MAX : part << octave;
}

uint64_t hist_low(const struct hist_shape *shape, unsigned index)
{
	uint64_t units = low_units(shape, index);

	return units > UINT64_MAX >> shape->shift ? UINT64_MAX : units << shape->shift;
}

uint64_t hist_high(const struct hist_shape *shape, unsigned index)
{
	uint64_t next = index + 1u < shape->count ? hist_low(shape, index + 1) : UINT64_MAX;

	return next == UINT64_MAX ? next : next - 1;
}

void hist_init(struct hist *h, const struct hist_shape *shape)
{
	h->shape = *shape;
	h->count = h->sum = h->max = 0;
	h->min = UINT64_MAX;
	memset(h->bucket, 0, sizeof(h->bucket[0]) * shape->count);
}

static uint64_t add_up(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

void hist_add(struct hist *h, uint64_t value)
{
	h->bucket[hist_index(&h->shape, value)]++;
	h->count++;
	h->sum = add_up(h->sum, value);
	h->min = min_u64(h->min, value);
	h->max = max_u64(h->max, value);
}

void hist_merge(struct hist *h, const struct hist *from)
{
	for (unsigned i = 0; i < h->shape.count; i++)
		h->bucket[i] = add_up(h->bucket[i], from->bucket[i]);
	h->count = add_up(h->count, from->count);
	h->sum = add_up(h->sum, from->sum);
	h->min = min_u64(h->min, from->min);
	h->max = max_u64(h->max, from->max);
}

/* How many values make up @percent of them, rounded up; at least one. */
static uint64_t rank(const struct hist *h, double percent)
{
	double want = h->count * (percent / 100);
	uint64_t n;

	if (want >= h->count)
		return h->count;
	n = want > 1 ? want : 1;
	return n < want ? n + 1 : n;
}

uint64_t hist_percentile(const struct hist *h, double percent)
{
	uint64_t left = rank(h, percent);
	unsigned i = 0;

	if (!h->count)
		return 0;
	for (; i + 1u < h->shape.count && h->bucket[i] < left; i++)
		left -= h->bucket[i];
	return min_u64(h->max, hist_high(&h->shape, i));
}

double hist_mean(const struct hist *h)
{
	return h->count ? (double)h->sum / h->count : 0;
}

/* A bound or a sum: seconds with nine digits, or a plain number. */
static void text_value(uint64_t value, bool seconds, struct text *out)
{
	if (seconds)
		text_add(out, "%llu.%09llu", (unsigned long long)(value / 1000000000),
			 (unsigned long long)(value % 1000000000));
	else
		text_add(out, "%llu", (unsigned long long)value);
}

void hist_text(const struct hist *h, const char *name, const char *op, bool seconds,
	       struct text *out)
{
	const char *start = op ? "op=\"" : "", *end = op ? "\"," : "";
	const char *open = op ? "{op=\"" : "", *close = op ? "\"}" : "";
	unsigned step = seconds ? 1u << h->shape.bits : 1;
	uint64_t up_to = 0;

	op = op ?: "";
	for (unsigned i = 0; i + 1u < h->shape.count; i++) {
		up_to += h->bucket[i];
		if ((i + 1) % step || (!seconds && !h->bucket[i]))
			continue;
		text_add(out, "%s_bucket{%s%s%sle=\"", name, start, op, end);
		text_value(hist_high(&h->shape, i), seconds, out);
		text_add(out, "\"} %llu\n", (unsigned long long)up_to);
	}
	text_add(out, "%s_bucket{%s%s%sle=\"+Inf\"} %llu\n", name, start, op, end,
		 (unsigned long long)h->count);
	text_add(out, "%s_sum%s%s%s ", name, open, op, close);
	text_value(h->sum, seconds, out);
	text_add(out, "\n%s_count%s%s%s %llu\n", name, open, op, close,
		 (unsigned long long)h->count);
}

void hist_json(const struct hist *h, struct text *out)
{
	static const char *const percents[] = { "50", "90", "95", "99", "99.9" };
	static const double values[] = { 50, 90, 95, 99, 99.9 };
	const char *comma = "";

	text_add(out, "{\"count\": %llu, \"sum\": %llu, \"min\": %llu, \"max\": %llu, "
		 "\"mean\": %.1f", (unsigned long long)h->count, (unsigned long long)h->sum,
		 (unsigned long long)(h->count ? h->min : 0), (unsigned long long)h->max,
		 hist_mean(h));
	for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		text_add(out, ", \"p%s\": %llu", percents[i],
			 (unsigned long long)hist_percentile(h, values[i]));
	text_add(out, ", \"buckets\": [");
	for (unsigned i = 0; i < h->shape.count; i++) {
		if (!h->bucket[i])
			continue;
		text_add(out, "%s[%llu, %llu, %llu]", comma,
			 (unsigned long long)hist_low(&h->shape, i),
			 (unsigned long long)hist_high(&h->shape, i),
			 (unsigned long long)h->bucket[i]);
		comma = ", ";
	}
	text_add(out, "]}");
}
