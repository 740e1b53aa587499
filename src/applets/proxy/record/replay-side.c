/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

#include "applets/proxy/record/replay-priv.h"
#include "base/log.h"

/*
 * What a device does without being asked: DMA and interrupts.  With a trace each DMA is compared
 * with the record's, in order; without, the interrupts alone are waited for.
 */

#define SEEN_MAX 65536		/* DMA of a remote that is ahead of the record */
#define SPINS 200		/* short waits before longer ones */

/* ---- the trace ---- */

static bool bad_trace(GError **error, const char *why)
{
	return mpq_fail(error, MPQ_ERROR_SYSTEM, "the trace of the remote: %s", why);
}

static bool take_event(struct replay *r, const struct trace_event *event, GError **error)
{
	struct seen *seen;

	if (event->kind == TRACE_IRQ)
		r->irqs++;
	if (event->kind == TRACE_EOI)
		r->eois++;
	if (event->kind != TRACE_DMA_READ && event->kind != TRACE_DMA_WRITE)
		return true;
	if (r->seen.length >= SEEN_MAX)
		return bad_trace(error, "far more DMA than was recorded");
	seen = g_new(struct seen, 1);
	*seen = (struct seen){
		.kind = event->kind == TRACE_DMA_READ ? REC_DMA_READ : REC_DMA_WRITE,
		.gpa = event->arg, .len = event->len,
		.sum = rec_sum(r->tracing.trace.data, event->len),
	};
	g_queue_push_tail(&r->seen, seen);
	return true;
}

static bool drain(struct replay *r, GError **error)
{
	struct trace_event event;
	int ret;

	while (!(ret = trace_next(&r->tracing.trace, &event)))
		if (!take_event(r, &event, error))
			return false;
	return ret == -EAGAIN ||
	       bad_trace(error, ret == -ENOBUFS ? "events were lost" : "nonsense");
}

/* ---- DMA ---- */

static bool same_place(const struct seen *a, const struct seen *b)
{
	return a->kind == b->kind && a->gpa == b->gpa && a->len == b->len;
}

static bool same(const struct seen *a, const struct seen *b)
{
	return same_place(a, b) && a->sum == b->sum;
}

static struct seen seen_of(const struct item *item)
{
	return (struct seen){
		.kind = item->e.kind, .gpa = item->e.dma.gpa, .len = item->e.dma.len,
		.sum = item->e.dma.sum,
	};
}

static const char *kind_name(enum rec_kind kind)
{
	return kind == REC_DMA_READ ? "read" : "write";
}

static bool dma_differs(struct replay *r, const struct item *item, const struct seen *got,
			GError **error)
{
	struct seen want = seen_of(item);

	if (!same_place(&want, got))
		return replay_differs(r, item, error, "now dma %s 0x%" PRIx64 " %u",
				      kind_name(got->kind), got->gpa, got->len);
	return replay_differs(r, item, error, "now with other data, sum 0x%016" PRIx64 " and not "
			      "0x%016" PRIx64, got->sum, want.sum);
}

/*
 * Compares the line with the first DMA of the trace.  A read that only repeats the one before it is
 * a turn of a loop that waits: it may have been made more often, or less.  *ret_took: the line has
 * been compared.
 */
static bool compare(struct replay *r, struct item *item, bool *ret_took, GError **error)
{
	struct seen *got = g_queue_pop_head(&r->seen), want = seen_of(item);
	bool ok = true;

	*ret_took = true;
	if (same(&want, got)) {
		if (want.kind == REC_DMA_READ)
			r->last_read = want;
		(*(want.kind == REC_DMA_READ ? &r->dma_reads : &r->dma_writes))++;
	} else if (same(&r->last_read, got)) {
		replay_timed(r, item, "the read before was made once more");
		*ret_took = false;
	} else if (same(&r->last_read, &want)) {
		replay_timed(r, item, "this repeated read was not made");
		g_queue_push_head(&r->seen, g_memdup2(got, sizeof(*got)));
	} else {
		ok = dma_differs(r, item, got, error);
	}
	g_free(got);
	return ok && (!*ret_took || window_done(r, item, error));
}

static struct item *next_dma(struct replay *r)
{
	struct item *item;

	r->next_dma = MAX(r->next_dma, r->head);
	for (; (item = window_at(r, r->next_dma)); r->next_dma++)
		if (!item->done && (item->e.kind == REC_DMA_READ || item->e.kind == REC_DMA_WRITE))
			break;
	return item;
}

static bool compare_dma(struct replay *r, GError **error)
{
	struct item *item;
	bool took;

	while (r->seen.length && (item = next_dma(r)))
		if (!compare(r, item, &took, error))
			return false;
	return true;
}

/* ---- interrupts ---- */

/* Without a trace: the remote's eventfd. */
static void take_irqfd(struct replay *r)
{
	uint64_t count;
	struct iovec iov = { .iov_base = &count, .iov_len = sizeof(count) };

	if (preadv2(r->irqfd, &iov, 1, -1, RWF_NOWAIT) == sizeof(count))
		r->irqs = 1;
}

static bool compare_irq(struct replay *r, GError **error)
{
	struct item *item;

	r->next_irq = MAX(r->next_irq, r->head);
	for (; r->irqs && (item = window_at(r, r->next_irq)); r->next_irq++) {
		if (item->done || item->e.kind != REC_IRQ)
			continue;
		/* Without a trace one count may be of any interrupt since the one before. */
		if (!r->tracing.on && r->next_irq != r->head)
			break;
		r->irqs--;
		r->interrupts++;
		if (!window_done(r, item, error))
			return false;
	}
	return true;
}

bool side_pump(struct replay *r, GError **error)
{
	if (!r->tracing.on)
		take_irqfd(r);
	else if (!drain(r, error))
		return false;
	return window_fill(r, error) && compare_dma(r, error) && compare_irq(r, error);
}

/* ---- waiting ---- */

bool side_pause(struct replay *r, gint64 start)
{
	struct pollfd p = { .fd = r->fd, .events = POLLIN };
	gint64 since = g_get_monotonic_time() - start;

	if (since > REPLAY_TIMEOUT_MS * 1000LL)
		return false;
	if (since < SPINS)
		sched_yield();
	else
		poll(&p, 1, p.revents & POLLIN ? 0 : 1);
	return true;
}

/* The line is one that QEMU's remote raises again only after the guest's acknowledgement. */
static void nudge(struct replay *r, const struct item *item)
{
	if (!r->tracing.on && item->e.kind == REC_IRQ)
		eventfd_write(r->resamplefd, 1);
}

/* Asked before the trace is read once more: what the remote did until its end counts. */
static bool has_gone(const struct replay *r, gint64 start)
{
	struct pollfd p = { .fd = r->fd, .events = POLLRDHUP };

	return g_get_monotonic_time() - start > SPINS && poll(&p, 1, 0) > 0 &&
	       p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

static bool gone(const struct replay *r, const struct item *item, GError **error)
{
	return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s:%u: the remote ended the session", r->path,
			item->e.line);
}

bool side_wait(struct replay *r, struct item *item, GError **error)
{
	gint64 start = g_get_monotonic_time();
	bool nudged = false;

	for (;;) {
		bool ended = has_gone(r, start);

		if (!side_pump(r, error))
			return false;
		if (item->done)
			return true;
		if (ended)
			return gone(r, item, error);
		if (!nudged && g_get_monotonic_time() - start > 1000) {
			nudge(r, item);
			nudged = true;
		}
		if (side_pause(r, start))
			continue;
		replay_differs(r, item, NULL, "it has not happened for %d s",
			       REPLAY_TIMEOUT_MS / 1000);
		return mpq_fail(error, MPQ_ERROR_REFUSED, "the remote is out of step");
	}
}

bool side_eoi(struct replay *r, struct item *item, GError **error)
{
	gint64 start = g_get_monotonic_time();
	unsigned before = r->eois;

	eventfd_write(r->resamplefd, 1);
	while (r->tracing.on && r->eois == before) {
		bool ended = has_gone(r, start);

		if (!side_pump(r, error))
			return false;
		if (ended && r->eois == before)
			return gone(r, item, error);
		if (!side_pause(r, start))
			return replay_differs(r, item, error, "the remote does not take it");
	}
	return window_done(r, item, error);
}
