/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>

#include "applets/proxy/record/replay-priv.h"
#include "base/log.h"

/* The messages of a replay, and what is answered. */

#define RETRY_US 2000000	/* how long a read is made again that gave something else */
#define TURNS_MAX 2048		/* reads that a look for a poll loop goes over */

/* ---- one message ---- */

static bool lost(struct replay *r, int ret, const struct item *item, GError **error)
{
	g_autofree char *text = rec_describe(&item->e);

	return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s:%u: %s: the remote %s", r->path, item->e.line,
			text, ret == -ENODATA || ret == -EPIPE || ret == -ECONNRESET ?
			"ended the session" : ret == -EPROTO ? r->conn.conn.why : log_errname(ret));
}

static int send_map(struct replay *r, const struct item *item)
{
	struct mpq_sync_sysmem sync = { 0 };
	int fd[MPQ_MAX_REGIONS];

	for (unsigned i = 0; i < item->e.regions; i++) {
		sync.gpa[i] = item->e.region[i].gpa;
		sync.size[i] = item->e.region[i].size;
		sync.offset[i] = item->e.region[i].offset;
		fd[i] = r->ram[item->e.region[i].file];
	}
	return mpq_send_fds(&r->conn, MPQ_SYNC_SYSMEM, &sync, sizeof(sync), fd, item->e.regions);
}

static int send_item(struct replay *r, const struct item *item)
{
	int irq[2] = { r->irqfd, r->resamplefd };

	r->messages++;
	switch (item->e.cmd) {
	case MPQ_SYNC_SYSMEM:
		return send_map(r, item);
	case MPQ_SET_IRQFD:
		return mpq_send_fds(&r->conn, MPQ_SET_IRQFD, NULL, 0, irq, 2);
	case MPQ_PCI_CFGREAD:
	case MPQ_PCI_CFGWRITE:
		return mpq_send(&r->conn, item->e.cmd, &item->e.cfg, sizeof(item->e.cfg));
	case MPQ_BAR_READ:
	case MPQ_BAR_WRITE:
		return mpq_send(&r->conn, item->e.cmd, &item->e.bar, sizeof(item->e.bar));
	default:
		return mpq_send(&r->conn, item->e.cmd, NULL, 0);
	}
}

static bool get_reply(struct replay *r, const struct item *item, struct mpq_msg *msg,
		      GError **error)
{
	gint64 start = g_get_monotonic_time();
	int ret;

	while ((ret = mpq_peek(&r->conn, msg)) == -EAGAIN || ret == -EINPROGRESS)
		if (!side_pump(r, error))
			return false;
		else if (!side_pause(r, start))
			return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s:%u: no reply for %d s",
					r->path, item->e.line, REPLAY_TIMEOUT_MS / 1000);
	if (!ret)
		ret = mpq_consume(&r->conn, msg);
	if (ret)
		return lost(r, ret, item, error);
	if (!r->started && !r->tracing.on)
		poll(NULL, 0, REMOTE_START_PAUSE_MS);
	r->started = true;
	return true;
}

/* Sends it and takes the reply. */
static bool ask(struct replay *r, const struct item *item, struct mpq_msg *msg, GError **error)
{
	int ret = send_item(r, item);

	return ret ? lost(r, ret, item, error) : get_reply(r, item, msg, error);
}

static bool agrees(const struct item *reply, const struct mpq_msg *msg)
{
	return reply->e.has_value == (msg->size != 0) &&
	       (!msg->size || reply->e.value == msg->u.ret);
}

static bool reply_differs(struct replay *r, const struct item *item, const struct item *reply,
			  const struct mpq_msg *msg, GError **error)
{
	g_autofree char *text = rec_describe(&item->e);

	if (!msg->size)
		return replay_differs(r, reply, error, "now without a value, to %s", text);
	return replay_differs(r, reply, error, "now 0x%" PRIx64 ", to %s", msg->u.ret, text);
}

/* ---- which lines belong to it ---- */

/* The next message or reply from line @n on; *ret_n is its place. */
static struct item *next_talk(const struct replay *r, uint64_t n, uint64_t *ret_n)
{
	struct item *item;

	for (; (item = window_at(r, n)); n++)
		if (item->e.kind == REC_MESSAGE || item->e.kind == REC_REPLY ||
		    item->e.kind == REC_END)
			break;
	*ret_n = n;
	return item;
}

static bool has_reply(const struct item *item)
{
	return mpq_rule(item->e.cmd)->reply;
}

/* The reply of the message at @n. */
static struct item *reply_of(const struct replay *r, uint64_t n, uint64_t *ret_n)
{
	struct item *reply = next_talk(r, n + 1, ret_n);

	return reply && reply->e.kind == REC_REPLY ? reply : NULL;
}

static bool is_read(const struct item *item)
{
	return item->e.kind == REC_MESSAGE &&
	       (item->e.cmd == MPQ_BAR_READ || item->e.cmd == MPQ_PCI_CFGREAD);
}

static bool same_read(const struct item *a, const struct item *b)
{
	return a->e.cmd == b->e.cmd && !memcmp(&a->e.bar, &b->e.bar, sizeof(a->e.bar)) &&
	       !memcmp(&a->e.cfg, &b->e.cfg, sizeof(a->e.cfg));
}

static bool same_reply(const struct item *a, const struct item *b)
{
	return a->e.has_value == b->e.has_value && a->e.value == b->e.value;
}

/* ---- poll loops ---- */

/*
 * The same reads over and over, @period of them a turn: the guest waits for a reply that is not as
 * in the turn before.  How often it asks depends on time; that reply ends it.
 */
struct loop {
	struct item *read[TURNS_MAX], *reply[TURNS_MAX];
	uint64_t at[TURNS_MAX];			/* of the reply, in the window */
	unsigned count;				/* reads in a row that are known */
	unsigned period;			/* 0: no loop */
	unsigned last;				/* the read whose reply ends it; 0: not known */
	bool cut;				/* what comes behind these reads is not known */
	bool endless;				/* nor is the end of the loop, for that reason */
};

static void collect_reads(const struct replay *r, struct loop *l)
{
	uint64_t n = r->head, at;
	struct item *item;

	while (l->count < TURNS_MAX && (item = next_talk(r, n, &at)) && is_read(item)) {
		struct item *reply = reply_of(r, at, &l->at[l->count]);

		if (!reply)
			break;
		l->read[l->count] = item;
		l->reply[l->count] = reply;
		n = l->at[l->count++] + 1;
	}
	l->cut = l->count == TURNS_MAX || !next_talk(r, n, &at);
}

static bool has_period(const struct loop *l, unsigned period)
{
	if (l->count < 2 * period)
		return false;
	for (unsigned i = 0; i < period; i++)
		if (!same_read(l->read[i], l->read[i + period]))
			return false;
	return true;
}

static void find_loop(const struct replay *r, struct loop *l)
{
	*l = (struct loop){ 0 };
	collect_reads(r, l);
	for (unsigned p = 1; p <= REPLAY_PERIOD_MAX && !l->period; p++)
		if (has_period(l, p))
			l->period = p;
	for (unsigned i = l->period; l->period && i < l->count; i++) {
		if (!same_read(l->read[i], l->read[i - l->period]))
			return;
		if (same_reply(l->reply[i], l->reply[i - l->period]))
			continue;
		l->last = i;
		return;
	}
	l->endless = l->period && l->cut;
}

/* What stands between the messages of the loop has to happen, too. */
static bool pass_until(struct replay *r, uint64_t end, GError **error)
{
	while (r->head <= end) {
		struct item *item = window_at(r, r->head);
		bool ok = true;

		if (item->e.kind == REC_EOI)
			ok = side_eoi(r, item, error);
		else if (item->e.kind != REC_MESSAGE && item->e.kind != REC_REPLY &&
			 r->tracing.on && !item->done)
			ok = side_wait(r, item, error);
		else if (!item->done)
			ok = window_done(r, item, error);
		if (!ok)
			return false;
		window_drop(r);
	}
	return true;
}

/* Reads until what ended the loop comes again. */
static bool talk_loop(struct replay *r, struct loop *l, GError **error)
{
	const struct item *end = l->reply[l->last];
	uint64_t end_at = l->at[l->last];
	gint64 start = g_get_monotonic_time();

	for (unsigned turn = 0;; turn++) {
		unsigned i = turn % l->period;
		struct mpq_msg msg;

		if (!ask(r, l->read[i], &msg, error))
			return false;
		if (i == l->last % l->period && agrees(end, &msg)) {
			if (turn != l->last)
				replay_timed(r, end, "came after %u reads, as recorded after %u",
					     turn + 1, l->last + 1);
			return window_settle(r, error) && pass_until(r, end_at, error);
		}
		if (!agrees(l->reply[i], &msg) || !side_pause(r, start))
			return reply_differs(r, l->read[i], end, &msg, error) &&
			       pass_until(r, end_at, error);
		if (!side_pump(r, error))
			return false;
	}
}

/* ---- what comes next ---- */

/* A read that gave something else is made again for a while: what it waits for may be late. */
static bool ask_again(struct replay *r, const struct item *item, const struct item *reply,
		      struct mpq_msg *msg, GError **error)
{
	gint64 start = g_get_monotonic_time();
	unsigned times = 1;

	while (!agrees(reply, msg) && g_get_monotonic_time() - start < RETRY_US) {
		side_pause(r, start);
		if (!side_pump(r, error) || !ask(r, item, msg, error))
			return false;
		times++;
	}
	if (agrees(reply, msg))
		replay_timed(r, reply, "came after %u reads, as recorded after 1", times);
	return true;
}

static bool talk_one(struct replay *r, struct item *item, GError **error)
{
	uint64_t at;
	struct item *reply = reply_of(r, r->head, &at);
	struct mpq_msg msg;

	if (!reply)
		return rec_wrong(&r->file, item->e.line, error, "expected a RET before the next "
				 "message, and within %d lines", REPLAY_WINDOW);
	/* A read may tell that the device has come this far; a write takes it for granted. */
	if (!is_read(item) && !(window_settle(r, error) && window_surround(r, error)))
		return false;
	if (!ask(r, item, &msg, error))
		return false;
	if (!agrees(reply, &msg) && item->e.cmd == MPQ_BAR_READ &&
	    !ask_again(r, item, reply, &msg, error))
		return false;
	if (!agrees(reply, &msg) && !reply_differs(r, item, reply, &msg, error))
		return false;
	reply->done = true;
	return window_settle(r, error) && window_done(r, item, error);
}

/*
 * A loop so long that its end is not known yet: its turns were all alike, and how many there were
 * is of no matter.  All but two are left out.
 */
static bool skip_turns(struct replay *r, const struct loop *l, GError **error)
{
	unsigned skipped = l->count / l->period > 2 ? (l->count / l->period - 2) * l->period : 0;

	return skipped ? pass_until(r, l->at[skipped - 1], error) :
			 talk_one(r, window_at(r, r->head), error);
}

static bool talk_silent(struct replay *r, struct item *item, GError **error)
{
	int ret;

	if (!window_settle(r, error))
		return false;
	if (item->e.cmd == MPQ_SYNC_SYSMEM && !ram_map(r, item, error))
		return false;
	ret = send_item(r, item);
	return ret ? lost(r, ret, item, error) : window_done(r, item, error);
}

bool talk_message(struct replay *r, GError **error)
{
	struct item *item = window_at(r, r->head);
	g_autofree struct loop *l = NULL;

	if (!has_reply(item))
		return talk_silent(r, item, error);
	if (!is_read(item))
		return talk_one(r, item, error);
	l = g_new(struct loop, 1);
	find_loop(r, l);
	if (l->endless)
		return skip_turns(r, l, error);
	return l->last ? talk_loop(r, l, error) : talk_one(r, item, error);
}
