/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A marked connection: what the socket remembers of its reader, when that one is gone. */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib.h>

#include "base/fd.h"
#include "proto/mpqemu.h"
#include "../sock.h"
#include "../util.h"

#define HEADER sizeof(struct mpq_header)

struct link {
	int peer;
	struct mpq_conn conn;
	unsigned fds;
};

static void link_make(struct link *l)
{
	int s[2];

	l->fds = open_fds();
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s));
	l->peer = s[0];
	mpq_conn_init(&l->conn, s[1], MPQ_FROM_PROXY);
	conn_mark(&l->conn.conn);
}

static void link_finish(struct link *l)
{
	fd_close(&l->peer);
	fd_close(&l->conn.conn.fd);
	g_assert_cmpuint(open_fds(), ==, l->fds);
}

/* The reader is gone, and another one has its socket. */
static void succeed(struct link *l)
{
	mpq_conn_init(&l->conn, l->conn.conn.fd, MPQ_FROM_PROXY);
	conn_mark(&l->conn.conn);
}

static size_t make(uint8_t *out, int32_t cmd)
{
	struct mpq_header h = { .cmd = cmd, .size = mpq_rule(cmd)->size_max };

	memcpy(out, &h, HEADER);
	memset(out + HEADER, cmd, h.size);
	return HEADER + h.size;
}

static void send_it(struct link *l, int32_t cmd, unsigned fd_count, size_t cut)
{
	int fds[MPQ_MAX_FDS] = { 2, 2, 2, 2, 2, 2, 2, 2 };
	uint8_t bytes[HEADER + MPQ_MAX_PAYLOAD];
	size_t len = make(bytes, cmd);

	cut = cut && cut < len ? cut : len;
	g_assert_cmpint(sock_send(l->peer, bytes, cut, fds, fd_count, 0), ==, cut);
	if (cut < len)
		g_assert_cmpint(send(l->peer, bytes + cut, len - cut, 0), ==, len - cut);
}

static const struct {
	int32_t cmd;
	unsigned fds;
} rows[] = {
	{ MPQ_BAR_READ, 0 }, { MPQ_PCI_CFGREAD, 0 }, { MPQ_DEVICE_RESET, 0 },
	{ MPQ_SYNC_SYSMEM, 8 }, { MPQ_SYNC_SYSMEM, 1 }, { MPQ_SET_IRQFD, 2 },
};

/* Looked at, and lost with the reader before it was taken; then taken: at every place of a cut. */
static void check(unsigned row, unsigned next, size_t cut)
{
	struct mpq_msg msg;
	struct link l;
	size_t len;

	g_test_message("row %u, next %u, cut %zu", row, next, cut);
	link_make(&l);
	send_it(&l, rows[row].cmd, rows[row].fds, cut);
	send_it(&l, rows[next].cmd, rows[next].fds, 0);
	for (unsigned i = 0; i < 3; i++) {
		g_assert_cmpint(mpq_peek(&l.conn, &msg), ==, 0);
		g_assert_cmpint(msg.cmd, ==, rows[row].cmd);
		len = HEADER + msg.size;
		g_assert_cmpint(conn_marked(l.conn.conn.fd), ==, len);
		g_assert_cmpint(mpq_peek_fds(&l.conn, &msg), ==, 0);
		g_assert_cmpuint(msg.fd_count, ==, rows[row].fds);
		g_assert_cmpint(conn_marked(l.conn.conn.fd), ==, len);
		mpq_msg_close(&msg);
		if (i < 2)
			succeed(&l);
	}
	g_assert_cmpint(mpq_drop(&l.conn, &msg), ==, 0);
	g_assert_cmpint(conn_marked(l.conn.conn.fd), ==, 0);
	g_assert_cmpint(mpq_peek(&l.conn, &msg), ==, 0);
	g_assert_cmpint(msg.cmd, ==, rows[next].cmd);
	link_finish(&l);
}

static void test_every_cut(void)
{
	for (unsigned row = 0; row < G_N_ELEMENTS(rows); row++)
		for (unsigned next = 0; next < G_N_ELEMENTS(rows); next++)
			for (size_t cut = 0; cut < HEADER + 30; cut++)
				check(row, next, cut);
}

/* The reader is gone in the middle of taking: the mark says how much is left. */
static void test_half_taken(void)
{
	char byte[64];
	struct mpq_msg msg;
	struct link l;

	for (size_t taken = 0; taken < 40; taken++) {
		link_make(&l);
		send_it(&l, MPQ_BAR_READ, 0, 0);
		send_it(&l, MPQ_PCI_CFGREAD, 0, 0);
		g_assert_cmpint(mpq_peek(&l.conn, &msg), ==, 0);
		if (taken)
			g_assert_cmpint(recv(l.conn.conn.fd, byte, taken, 0), ==, taken);
		g_assert_cmpint(conn_marked(l.conn.conn.fd), ==, 40 - taken);
		g_assert_cmpint(conn_drop(l.conn.conn.fd, 40 - taken), ==, 0);
		succeed(&l);
		g_assert_cmpint(mpq_peek(&l.conn, &msg), ==, 0);
		g_assert_cmpint(msg.cmd, ==, MPQ_PCI_CFGREAD);
		link_finish(&l);
	}
}

/* Byte by byte: each look goes on where the last one ended. */
static void test_trickle(void)
{
	uint8_t bytes[HEADER + MPQ_MAX_PAYLOAD];
	struct mpq_msg msg;
	struct link l;
	size_t len;

	link_make(&l);
	g_assert_cmpint(mpq_peek(&l.conn, &msg), ==, -EAGAIN);
	len = make(bytes, MPQ_BAR_WRITE);
	for (size_t i = 0; i < len; i++) {
		g_assert_cmpint(send(l.peer, bytes + i, 1, 0), ==, 1);
		g_assert_cmpint(mpq_peek(&l.conn, &msg), ==, i < len - 1 ? -EINPROGRESS : 0);
	}
	g_assert_cmpint(mpq_drop(&l.conn, &msg), ==, 0);
	g_assert_cmpint(mpq_peek(&l.conn, &msg), ==, -EAGAIN);
	g_assert_cmpint(send(l.peer, bytes, 5, 0), ==, 5);
	fd_close(&l.peer);
	g_assert_cmpint(mpq_peek(&l.conn, &msg), ==, -EPIPE);
	link_finish(&l);
}

static void test_end(void)
{
	struct mpq_msg msg;
	struct link l;

	link_make(&l);
	fd_close(&l.peer);
	g_assert_cmpint(mpq_peek(&l.conn, &msg), ==, -ENODATA);
	g_assert_cmpint(conn_drop(l.conn.conn.fd, 1), ==, -EPIPE);
	link_finish(&l);
	g_assert_cmpint(conn_marked(-1), ==, -EBADF);
}

/* Fds where none belong, or not as many: seen before, or when the message is taken; all closed. */
static void test_wrong_fds(void)
{
	static const struct {
		int32_t cmd;
		unsigned fds;
		int peek, drop;
	} wrong[] = {
		{ MPQ_BAR_READ, 1, 0, -EPROTO }, { MPQ_DEVICE_RESET, 8, 0, -EPROTO },
		{ MPQ_SET_IRQFD, 1, -EPROTO, 0 }, { MPQ_SET_IRQFD, 3, -EPROTO, 0 },
		{ MPQ_SYNC_SYSMEM, 0, -EPROTO, 0 },
	};


	for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
		struct mpq_msg msg;
		struct link l;

		link_make(&l);
		send_it(&l, wrong[i].cmd, wrong[i].fds, 0);
		g_assert_cmpint(mpq_peek(&l.conn, &msg), ==, 0);
		g_assert_cmpint(mpq_peek_fds(&l.conn, &msg), ==, wrong[i].peek);
		if (!wrong[i].peek)
			g_assert_cmpint(mpq_drop(&l.conn, &msg), ==, wrong[i].drop);
		link_finish(&l);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/marked/wrong-fds", test_wrong_fds);
	g_test_add_func("/marked/every-cut", test_every_cut);
	g_test_add_func("/marked/half-taken", test_half_taken);
	g_test_add_func("/marked/trickle", test_trickle);
	g_test_add_func("/marked/end", test_end);
	return g_test_run();
}
