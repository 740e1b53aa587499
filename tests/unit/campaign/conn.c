/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random messages, some of them bad, in random pieces with random fds; what the connection says is
 * compared with what was sent.  For two seconds; --seed=SEED (printed at the start) plays a run
 * again.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib.h>

#include "proto/mpqemu.h"
#include "../util.h"

#define HEADER sizeof(struct mpq_header)
#define STREAM_MAX 20

struct message {
	size_t start, len;		/* in the stream */
	unsigned fds;
	bool bad_header, bad_fds;
};

struct stream {
	uint8_t bytes[STREAM_MAX * (HEADER + 256)];
	struct message message[STREAM_MAX];
	unsigned count;
	size_t len;
};

struct totals {
	unsigned messages, parts, bad, cut;
};

static void put_message(GRand *rand, struct stream *s)
{
	struct message *msg = &s->message[s->count++];
	int32_t cmd = g_rand_int_range(rand, 0, MPQ_CMD_COUNT - 1);
	const struct mpq_rule *rule;
	struct mpq_header h;

	cmd += cmd >= MPQ_RET;		/* RET is the other side's */
	rule = mpq_rule(cmd);
	*msg = (struct message){ .start = s->len };
	msg->fds = g_rand_int_range(rand, rule->fd_min, rule->fd_max + 1);
	h = (struct mpq_header){ .cmd = cmd, .pad = g_rand_int(rand), .size = rule->size_max };
	if (g_rand_int_range(rand, 0, 12) == 0) {
		msg->fds = g_rand_int_range(rand, 0, 16);
		msg->bad_fds = msg->fds < rule->fd_min || msg->fds > rule->fd_max;
	}
	if (g_rand_int_range(rand, 0, 25) == 0) {
		((uint8_t *)&h)[g_rand_int_range(rand, 0, HEADER)] ^=
			1u << g_rand_int_range(rand, 0, 8);
		rule = mpq_rule(h.cmd);
		msg->bad_header = !rule || rule->sender != MPQ_FROM_PROXY ||
				  h.size != rule->size_max;
		if (rule && !msg->bad_header)	/* another good one: only its fds may be wrong */
			msg->bad_fds = msg->fds < rule->fd_min || msg->fds > rule->fd_max;
	}
	msg->len = HEADER + (msg->bad_header ? 0 : h.size);
	memcpy(s->bytes + s->len, &h, HEADER);
	for (size_t i = HEADER; i < msg->len; i++)
		s->bytes[s->len + i] = g_rand_int(rand);
	s->len += msg->len;
}

static void send_piece(int fd, const uint8_t *bytes, size_t len, unsigned fds)
{
	union {
		char bytes[CMSG_SPACE(16 * sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	int list[16];

	for (unsigned i = 0; i < fds; i++)
		list[i] = STDERR_FILENO;
	if (fds) {
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(fds * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(fds * sizeof(int));
		memcpy(CMSG_DATA(&control.align), list, fds * sizeof(int));
	}
	g_assert_cmpint(sendmsg(fd, &mh, 0), ==, len);
}

/* Receives the message that must be whole now.  Returns false when it ends the connection. */
static bool take_message(struct mpq_conn *conn, const struct stream *s, const struct message *want)
{
	unsigned before = open_fds();
	struct mpq_msg msg;
	int left, ret = mpq_peek(conn, &msg), unread;

	if (want->bad_header) {
		g_assert_cmpint(ret, ==, -EPROTO);
		return false;
	}
	g_assert_cmpint(ret, ==, 0);
	must(ioctl(conn->conn.fd, FIONREAD, &unread));
	ret = mpq_consume(conn, &msg);
	must(ioctl(conn->conn.fd, FIONREAD, &left));
	g_assert_cmpuint(unread - left, ==, want->len);
	if (want->bad_fds) {
		g_assert_cmpint(ret, ==, -EPROTO);
		g_assert_cmpuint(open_fds(), ==, before);
		return false;
	}
	g_assert_cmpint(ret, ==, 0);
	g_assert_cmpuint(msg.fd_count, ==, want->fds);
	g_assert_cmpuint(open_fds(), ==, before + want->fds);
	g_assert_cmpmem(msg.u.bytes, msg.size, s->bytes + want->start + HEADER,
			want->len - HEADER);
	mpq_msg_close(&msg);
	return true;
}

/*
 * The next piece: ends anywhere, but never goes over the first byte of a message with fds, which
 * begins a piece of its own.
 */
static size_t piece_len(GRand *rand, const struct stream *s, size_t at)
{
	size_t len = g_rand_int_range(rand, 1, g_rand_boolean(rand) ? 24 : 600);

	len = MIN(len, s->len - at);
	for (unsigned i = 0; i < s->count; i++)
		if (s->message[i].fds && s->message[i].start > at)
			len = MIN(len, s->message[i].start - at);
	return len;
}

/* Sends the whole stream, or up to the message that ends the connection; reads in between. */
static void play(GRand *rand, const struct stream *s, int peer, struct mpq_conn *conn,
		 struct totals *t)
{
	unsigned sending = 0, next = 0;
	struct mpq_msg msg;

	for (size_t at = 0; at < s->len;) {
		size_t len = piece_len(rand, s, at);

		while (sending < s->count && s->message[sending].start < at)
			sending++;
		send_piece(peer, s->bytes + at, len, sending < s->count &&
			   s->message[sending].start == at ? s->message[sending].fds : 0);
		at += len;
		t->parts++;
		if (g_rand_int_range(rand, 0, 4) == 0)
			continue;	/* let some more come in first */
		while (next < s->count && s->message[next].start + s->message[next].len <= at) {
			if (!take_message(conn, s, &s->message[next++])) {
				t->bad++;
				return;
			}
			t->messages++;
		}
		if (next < s->count && s->message[next].start + HEADER > at)
			g_assert_cmpint(mpq_peek(conn, &msg), ==,
					s->message[next].start < at ? -EINPROGRESS : -EAGAIN);
	}
	while (next < s->count)
		if (!take_message(conn, s, &s->message[next++])) {
			t->bad++;
			return;
		}
	g_assert_cmpint(mpq_peek(conn, &msg), ==, -EAGAIN);
}

static void round_run(uint32_t seed, struct totals *t)
{
	g_autofree struct stream *s = g_new0(struct stream, 1);
	GRand *rand = g_rand_new_with_seed(seed);
	unsigned count = g_rand_int_range(rand, 1, STREAM_MAX + 1);
	struct mpq_conn conn;
	struct mpq_msg msg;
	int pair[2];

	for (unsigned i = 0; i < count; i++)
		put_message(rand, s);
	if (g_rand_int_range(rand, 0, 4) == 0) {	/* the peer dies in its last message */
		const struct message *last = &s->message[s->count - 1];

		s->len = last->start + g_rand_int_range(rand, 1, HEADER);
		s->count--;
		t->cut++;
	}
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	mpq_conn_init(&conn, pair[1], MPQ_FROM_PROXY);
	if (s->count == count) {
		play(rand, s, pair[0], &conn, t);
	} else {
		send_piece(pair[0], s->bytes + s->message[s->count].start,
			   s->len - s->message[s->count].start, s->message[s->count].fds);
		g_assert_cmpint(mpq_peek(&conn, &msg), ==, -EINPROGRESS);
		must(close(pair[0]));
		pair[0] = -1;
		g_assert_cmpint(mpq_peek(&conn, &msg), ==, -EPIPE);
	}
	if (pair[0] >= 0)
		must(close(pair[0]));
	must(close(pair[1]));
	g_rand_free(rand);
}

static void test_campaign(void)
{
	gint64 end = g_get_monotonic_time() + 2 * G_USEC_PER_SEC;
	unsigned fds = open_fds(), rounds = 0;
	struct totals t = { 0 };

	do
		round_run(g_test_rand_int(), &t);
	while (++rounds < 20000 && g_get_monotonic_time() < end);
	g_assert_cmpuint(open_fds(), ==, fds);
	g_test_message("%u rounds: %u messages in %u pieces, %u bad, %u cut", rounds, t.messages,
		       t.parts, t.bad, t.cut);
	g_assert_cmpuint(t.messages, >, 0);
	g_assert_cmpuint(t.bad, >, 0);
	g_assert_cmpuint(t.cut, >, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/campaign/conn", test_campaign);
	return g_test_run();
}
