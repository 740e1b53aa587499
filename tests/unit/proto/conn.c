/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One end of the protocol against a peer that writes what it likes, in the pieces that it likes. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib.h>

#include "base/fd.h"
#include "proto/mpqemu.h"
#include "../sock.h"
#include "../util.h"

#define HEADER sizeof(struct mpq_header)
#define MESSAGE_MAX (HEADER + MPQ_MAX_PAYLOAD)

struct link {
	int peer;			/* the test's end */
	struct mpq_conn conn;		/* the one under test */
	unsigned fds;			/* open before the link was made */
};

static void link_make(struct link *l, enum mpq_sender peer)
{
	int s[2];

	l->fds = open_fds();
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s));
	l->peer = s[0];
	mpq_conn_init(&l->conn, s[1], peer);
}

/* Closes both ends; nothing that was received may be open any more. */
static void link_finish(struct link *l)
{
	fd_close(&l->peer);
	fd_close(&l->conn.conn.fd);
	g_assert_cmpuint(open_fds(), ==, l->fds);
}

/* Sends @fd @fd_count times with the bytes; sendmsg()'s value. */
static ssize_t peer_try(struct link *l, const void *bytes, size_t len, int fd, unsigned fd_count)
{
	int fds[SOCK_MAX_FDS];

	for (unsigned i = 0; i < fd_count; i++)
		fds[i] = fd;
	return sock_send(l->peer, bytes, len, fds, fd_count, 0);
}

static void peer_send(struct link *l, const void *bytes, size_t len, unsigned fd_count)
{
	g_assert_cmpint(peer_try(l, bytes, len, STDERR_FILENO, fd_count), ==, len);
}

static size_t make_message(uint8_t *out, int32_t cmd, uint64_t size, size_t bytes)
{
	struct mpq_header h = { .cmd = cmd, .size = size };

	memcpy(out, &h, HEADER);
	for (size_t i = 0; i < bytes; i++)
		out[HEADER + i] = i * 3 + cmd;
	return HEADER + bytes;
}

static void peer_message(struct link *l, int32_t cmd, size_t size, unsigned fd_count)
{
	uint8_t buf[MESSAGE_MAX];

	peer_send(l, buf, make_message(buf, cmd, size, size), fd_count);
}

static unsigned unread(const struct link *l)
{
	int n = 0;

	must(ioctl(l->conn.conn.fd, FIONREAD, &n));
	return n;
}

/* Peeks and consumes one message that must be good. */
static void assert_message(struct link *l, int32_t cmd, size_t size, unsigned fd_count)
{
	uint8_t want[MESSAGE_MAX];
	struct mpq_msg msg;

	make_message(want, cmd, size, size);
	g_assert_cmpint(mpq_peek(&l->conn, &msg), ==, 0);
	g_assert_cmpuint(msg.fd_count, ==, 0);
	g_assert_cmpint(mpq_consume(&l->conn, &msg), ==, 0);
	g_assert_cmpint(msg.cmd, ==, cmd);
	g_assert_cmpuint(msg.size, ==, size);
	g_assert_cmpmem(msg.u.bytes, msg.size, want + HEADER, size);
	g_assert_cmpuint(msg.fd_count, ==, fd_count);
	for (unsigned i = 0; i < msg.fd_count; i++)
		g_assert_cmpint(must(fcntl(msg.fd[i], F_GETFD)) & FD_CLOEXEC, ==, FD_CLOEXEC);
	mpq_msg_close(&msg);
}

static int peek(struct link *l)
{
	struct mpq_msg msg;

	return mpq_peek(&l->conn, &msg);
}

/* What is no message */

static void test_bad_header(void)
{
	static const struct {
		int32_t cmd;
		uint64_t size;
		const char *why;
	} rows[] = {
		{ -1, 0, "unknown command 0xffffffff" },
		{ INT32_MIN, 0, "unknown command 0x80000000" },
		{ 8, 0, "unknown command 0x8" },
		{ INT32_MAX, 8, "unknown command 0x7fffffff" },
		{ MPQ_RET, 8, "RET comes from the wrong side" },
		{ MPQ_SYNC_SYSMEM, 191, "SYNC_SYSMEM with 191 bytes of payload, expected 192" },
		{ MPQ_SYNC_SYSMEM, 193, "SYNC_SYSMEM with 193 bytes of payload, expected 192" },
		{ MPQ_SYNC_SYSMEM, 0, "SYNC_SYSMEM with 0 bytes of payload, expected 192" },
		{ MPQ_PCI_CFGREAD, UINT64_MAX,
		  "PCI_CFGREAD with 18446744073709551615 bytes of payload, expected 12" },
		{ MPQ_PCI_CFGREAD, UINT64_MAX - 15,	/* header + size is 0 */
		  "PCI_CFGREAD with 18446744073709551600 bytes of payload, expected 12" },
		{ MPQ_PCI_CFGREAD, 1ULL << 32 | 12,	/* the low half is right */
		  "PCI_CFGREAD with 4294967308 bytes of payload, expected 12" },
		{ MPQ_PCI_CFGWRITE, 11, "PCI_CFGWRITE with 11 bytes of payload, expected 12" },
		{ MPQ_PCI_CFGWRITE, 13, "PCI_CFGWRITE with 13 bytes of payload, expected 12" },
		{ MPQ_BAR_READ, 16, "BAR_READ with 16 bytes of payload, expected 24" },
		{ MPQ_BAR_WRITE, 25, "BAR_WRITE with 25 bytes of payload, expected 24" },
		{ MPQ_SET_IRQFD, 8, "SET_IRQFD with 8 bytes of payload, expected 0" },
		{ MPQ_DEVICE_RESET, 1, "DEVICE_RESET with 1 bytes of payload, expected 0" },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		uint8_t buf[MESSAGE_MAX] = { 0 };
		struct link l;

		g_test_message("row %u", i);
		link_make(&l, MPQ_FROM_PROXY);
		make_message(buf, rows[i].cmd, rows[i].size, 0);
		/* It is known by its header alone, with and without bytes behind it. */
		peer_send(&l, buf, HEADER, 0);
		g_assert_cmpint(peek(&l), ==, -EPROTO);
		g_assert_cmpstr(l.conn.conn.why, ==, rows[i].why);
		peer_send(&l, buf, sizeof(buf), 2);
		g_assert_cmpint(peek(&l), ==, -EPROTO);
		g_assert_cmpuint(unread(&l), ==, HEADER + sizeof(buf));
		link_finish(&l);
	}
}

/* The proxy's side takes RET and nothing else, of 0 or 8 bytes. */
static void test_proxy_side(void)
{
	static const struct {
		int32_t cmd;
		uint64_t size;
		int ret;
	} rows[] = {
		{ MPQ_SYNC_SYSMEM, 192, -EPROTO }, { MPQ_PCI_CFGREAD, 12, -EPROTO },
		{ MPQ_SET_IRQFD, 0, -EPROTO }, { MPQ_DEVICE_RESET, 0, -EPROTO },
		{ MPQ_RET, 1, -EPROTO }, { MPQ_RET, 4, -EPROTO }, { MPQ_RET, 7, -EPROTO },
		{ MPQ_RET, 9, -EPROTO }, { MPQ_RET, 0, 0 }, { MPQ_RET, 8, 0 },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct link l;

		link_make(&l, MPQ_FROM_REMOTE);
		peer_message(&l, rows[i].cmd, rows[i].size, 0);
		g_test_message("row %u", i);
		g_assert_cmpint(peek(&l), ==, rows[i].ret);
		if (!rows[i].ret)
			assert_message(&l, rows[i].cmd, rows[i].size, 0);
		link_finish(&l);
	}
}

/* The number of fds, from what a message takes to what no message may have. */
static void test_fd_counts(void)
{
	static const struct {
		int32_t cmd;
		size_t size;
		unsigned min, max;
	} rows[] = {
		{ MPQ_SYNC_SYSMEM, 192, 1, 8 }, { MPQ_SET_IRQFD, 0, 2, 2 },
		{ MPQ_PCI_CFGREAD, 12, 0, 0 }, { MPQ_PCI_CFGWRITE, 12, 0, 0 },
		{ MPQ_BAR_READ, 24, 0, 0 }, { MPQ_BAR_WRITE, 24, 0, 0 },
		{ MPQ_DEVICE_RESET, 0, 0, 0 },
	};
	static const unsigned counts[] = { 0, 1, 2, 3, 7, 8, 9, 10, 11, 12, 40, 64 };

	for (unsigned i = 0; i < G_N_ELEMENTS(rows) * G_N_ELEMENTS(counts); i++) {
		unsigned row = i / G_N_ELEMENTS(counts);
		unsigned count = counts[i % G_N_ELEMENTS(counts)];
		struct mpq_msg msg;
		struct link l;

		g_test_message("row %u, %u fds", row, count);
		link_make(&l, MPQ_FROM_PROXY);
		peer_message(&l, rows[row].cmd, rows[row].size, count);
		if (count >= rows[row].min && count <= rows[row].max) {
			assert_message(&l, rows[row].cmd, rows[row].size, count);
		} else {
			g_assert_cmpint(mpq_peek(&l.conn, &msg), ==, 0);
			g_assert_cmpint(mpq_consume(&l.conn, &msg), ==, -EPROTO);
			g_assert_nonnull(strstr(l.conn.conn.why, "file descriptors"));
			g_assert_cmpuint(msg.fd_count, ==, 0);
			g_assert_cmpuint(open_fds(), ==, l.fds + 2);
		}
		link_finish(&l);
	}
}

/* Does the kernel count so? valgrind keeps the limit to itself. */
static bool limit_holds(unsigned long limit)
{
	FILE *limits = fopen("/proc/self/limits", "re");
	unsigned long soft = 0;
	char line[128];

	while (limits && fgets(line, sizeof(line), limits))
		if (sscanf(line, "Max open files %lu", &soft) == 1)
			break;
	if (limits)
		fclose(limits);
	return soft == limit;
}

/* In a child: with room for one more fd, eight do not arrive whole, and none stays open. */
static void test_no_room_for_fds(void)
{
	pid_t pid = must(fork());
	int status;

	if (!pid) {
		struct rlimit limit;
		struct mpq_msg msg;
		struct link l;
		int next;

		link_make(&l, MPQ_FROM_PROXY);
		peer_message(&l, MPQ_SYNC_SYSMEM, 192, 8);
		next = dup(l.peer);
		close(next);
		getrlimit(RLIMIT_NOFILE, &limit);
		limit.rlim_cur = next + 1;
		if (setrlimit(RLIMIT_NOFILE, &limit) || mpq_peek(&l.conn, &msg))
			_exit(1);
		if (!limit_holds(next + 1))
			_exit(77);
		if (mpq_consume(&l.conn, &msg) != -EPROTO || msg.fd_count || fd_is_open(next))
			_exit(2);
		_exit(strstr(l.conn.conn.why, "more file descriptors than fit") ? 0 : 3);
	}
	must(waitpid(pid, &status, 0));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		g_test_skip("RLIMIT_NOFILE does not reach the kernel");
		return;
	}
	g_assert_cmpint(status, ==, 0);
}

/* The end */

static void test_end_between(void)
{
	struct link l;

	link_make(&l, MPQ_FROM_PROXY);
	g_assert_cmpint(peek(&l), ==, -EAGAIN);
	peer_message(&l, MPQ_DEVICE_RESET, 0, 0);
	fd_close(&l.peer);
	assert_message(&l, MPQ_DEVICE_RESET, 0, 0);	/* what came before is still served */
	g_assert_cmpint(peek(&l), ==, -ENODATA);
	g_assert_cmpint(peek(&l), ==, -ENODATA);
	link_finish(&l);
}

/* The peer goes away with our reply unread (ECONNRESET). */
static void test_end_unread(void)
{
	uint64_t val = 1;
	struct link l;

	link_make(&l, MPQ_FROM_PROXY);
	g_assert_cmpint(mpq_send(&l.conn, MPQ_RET, &val, 8), ==, 0);
	fd_close(&l.peer);
	g_assert_cmpint(peek(&l), ==, -ENODATA);
	g_assert_cmpint(mpq_send(&l.conn, MPQ_RET, &val, 8), ==, -EPIPE);
	link_finish(&l);
}

static void test_half_close(void)
{
	struct link l;

	link_make(&l, MPQ_FROM_PROXY);
	peer_message(&l, MPQ_DEVICE_RESET, 0, 0);
	must(shutdown(l.peer, SHUT_WR));
	assert_message(&l, MPQ_DEVICE_RESET, 0, 0);
	g_assert_cmpint(mpq_send(&l.conn, MPQ_RET, NULL, 0), ==, 0);	/* it still listens */
	g_assert_cmpint(peek(&l), ==, -ENODATA);
	link_finish(&l);
}

static void test_end_inside(void)
{
	uint8_t buf[MESSAGE_MAX];
	size_t len = make_message(buf, MPQ_BAR_READ, 24, 24);

	for (size_t cut = 1; cut < len; cut++)
		for (unsigned fds = 0; fds < 2; fds++) {
			struct link l;

			link_make(&l, MPQ_FROM_PROXY);
			peer_send(&l, buf, cut, fds);
			g_assert_cmpint(peek(&l), ==, -EINPROGRESS);
			fd_close(&l.peer);
			g_assert_cmpint(peek(&l), ==, -EPIPE);
			link_finish(&l);
		}
}

/*
 * Both ends see the end.  What was queued is dropped, and the fds in it, whatever the messages look
 * like: a pipe whose last writer was in there ends.
 */
static void test_hang_up(void)
{
	static const size_t sizes[] = { 1, HEADER, MESSAGE_MAX, 60000 };
	g_autofree char *junk = g_malloc0(60000);

	for (unsigned i = 0; i < G_N_ELEMENTS(sizes) * 2; i++) {
		struct pollfd hup = { .events = POLLIN | POLLRDHUP };
		struct mpq_msg msg;
		struct link l;
		int p[2];
		char byte;

		link_make(&l, MPQ_FROM_PROXY);
		must(pipe2(p, O_CLOEXEC | O_NONBLOCK));
		must(peer_try(&l, junk, sizes[i / 2], p[1], i % 2 ? 8 : 1));
		must(peer_try(&l, junk, sizes[i / 2], -1, 0));
		must(peer_try(&l, junk, 1, p[1], 1));
		must(close(p[1]));
		g_assert_cmpint(read(p[0], &byte, 1), ==, -1);
		g_assert_cmpint(conn_hang_up(&l.conn.conn), ==, 0);
		g_assert_cmpint(read(p[0], &byte, 1), ==, 0);
		g_assert_cmpint(send(l.peer, "x", 1, MSG_NOSIGNAL), ==, -1);
		g_assert_cmpint(errno, ==, EPIPE);
		g_assert_cmpint(recv(l.peer, &byte, 1, MSG_DONTWAIT), ==, 0);
		hup.fd = l.peer;
		g_assert_cmpint(must(poll(&hup, 1, 0)), ==, 1);
		g_assert_cmpint(hup.revents & POLLHUP, ==, POLLHUP);
		g_assert_cmpint(mpq_peek(&l.conn, &msg), ==, -ENODATA);
		g_assert_true(fd_is_open(l.conn.conn.fd));
		g_assert_cmpint(conn_hang_up(&l.conn.conn), ==, 0);
		must(close(p[0]));
		link_finish(&l);
	}
}

/* As full as a socket gets, with an fd on each byte; and the peer is gone already. */
static void test_hang_up_full(void)
{
	unsigned sent = 0;
	struct link l;
	int p[2];
	char byte;

	link_make(&l, MPQ_FROM_PROXY);
	must(pipe2(p, O_CLOEXEC | O_NONBLOCK));
	must(fcntl(l.peer, F_SETFL, O_NONBLOCK));
	while (peer_try(&l, "x", 1, p[1], 1) == 1)
		sent++;
	g_assert_true(errno == EAGAIN || errno == ETOOMANYREFS);
	g_assert_cmpuint(sent, >, 100);
	must(close(p[1]));
	fd_close(&l.peer);
	g_assert_cmpint(conn_hang_up(&l.conn.conn), ==, 0);
	g_assert_cmpint(read(p[0], &byte, 1), ==, 0);
	g_assert_cmpint(conn_hang_up(&l.conn.conn), ==, 0);
	must(close(p[0]));
	link_finish(&l);
}

static void test_not_a_socket(void)
{
	int p[2];
	struct mpq_conn conn;
	struct mpq_msg msg;

	must(pipe2(p, O_CLOEXEC));
	mpq_conn_init(&conn, p[0], MPQ_FROM_PROXY);
	g_assert_cmpint(mpq_peek(&conn, &msg), ==, -ENOTSOCK);
	g_assert_cmpint(mpq_send(&conn, MPQ_RET, NULL, 0), ==, -ENOTSOCK);
	must(close(p[0]));
	must(close(p[1]));
}

/* Pieces */

static const struct {
	int32_t cmd;
	size_t size;
	unsigned fds;
} messages[] = {
	{ MPQ_SYNC_SYSMEM, 192, 1 }, { MPQ_SYNC_SYSMEM, 192, 8 }, { MPQ_PCI_CFGWRITE, 12, 0 },
	{ MPQ_PCI_CFGREAD, 12, 0 }, { MPQ_BAR_WRITE, 24, 0 }, { MPQ_BAR_READ, 24, 0 },
	{ MPQ_SET_IRQFD, 0, 2 }, { MPQ_DEVICE_RESET, 0, 0 },
};

/* Each message split at each byte, its fds on the first part or on the last one. */
static void test_split(void)
{
	for (unsigned i = 0; i < 2 * G_N_ELEMENTS(messages); i++) {
		unsigned m = i / 2, late = i % 2;
		uint8_t buf[MESSAGE_MAX];
		size_t len = make_message(buf, messages[m].cmd, messages[m].size, messages[m].size);

		for (size_t cut = 1; cut < len; cut++) {
			struct link l;

			link_make(&l, MPQ_FROM_PROXY);
			peer_send(&l, buf, cut, late ? 0 : messages[m].fds);
			g_assert_cmpint(peek(&l), ==, -EINPROGRESS);
			g_assert_cmpint(peek(&l), ==, -EINPROGRESS);
			g_assert_cmpuint(unread(&l), ==, cut);	/* nothing is taken */
			peer_send(&l, buf + cut, len - cut, late ? messages[m].fds : 0);
			assert_message(&l, messages[m].cmd, messages[m].size, messages[m].fds);
			g_assert_cmpint(peek(&l), ==, -EAGAIN);
			link_finish(&l);
		}
	}
}

/* Byte by byte, with an fd on each of the first ones. */
static void test_trickle(void)
{
	for (unsigned m = 0; m < G_N_ELEMENTS(messages); m++) {
		uint8_t buf[MESSAGE_MAX];
		size_t len = make_message(buf, messages[m].cmd, messages[m].size, messages[m].size);
		struct link l;

		link_make(&l, MPQ_FROM_PROXY);
		for (size_t i = 0; i < len; i++) {
			g_assert_cmpint(peek(&l), ==, i ? -EINPROGRESS : -EAGAIN);
			peer_send(&l, buf + i, 1, i < messages[m].fds);
		}
		assert_message(&l, messages[m].cmd, messages[m].size, messages[m].fds);
		link_finish(&l);
	}
}

/* Every pair of messages in one write, the first one's fds with it: only the first is taken. */
static void test_two_in_one(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(messages) * G_N_ELEMENTS(messages); i++) {
		unsigned a = i / G_N_ELEMENTS(messages), b = i % G_N_ELEMENTS(messages);
		uint8_t buf[2 * MESSAGE_MAX];
		size_t len = make_message(buf, messages[a].cmd, messages[a].size, messages[a].size);
		size_t both = len + make_message(buf + len, messages[b].cmd, messages[b].size,
						 messages[b].size);
		struct link l;

		if (messages[b].fds)	/* one write carries fds for its first byte only */
			continue;
		link_make(&l, MPQ_FROM_PROXY);
		peer_send(&l, buf, both, messages[a].fds);
		assert_message(&l, messages[a].cmd, messages[a].size, messages[a].fds);
		g_assert_cmpuint(unread(&l), ==, both - len);
		assert_message(&l, messages[b].cmd, messages[b].size, 0);
		g_assert_cmpint(peek(&l), ==, -EAGAIN);
		link_finish(&l);
	}
}

/* Messages with fds back to back, in writes of their own: each gets its own fds. */
static void test_neighbours(void)
{
	struct link l;

	link_make(&l, MPQ_FROM_PROXY);
	peer_message(&l, MPQ_DEVICE_RESET, 0, 0);
	peer_message(&l, MPQ_SET_IRQFD, 0, 2);
	peer_message(&l, MPQ_SYNC_SYSMEM, 192, 5);
	peer_message(&l, MPQ_PCI_CFGREAD, 12, 0);
	assert_message(&l, MPQ_DEVICE_RESET, 0, 0);
	g_assert_cmpuint(unread(&l), ==, 3 * HEADER + 192 + 12);
	assert_message(&l, MPQ_SET_IRQFD, 0, 2);
	assert_message(&l, MPQ_SYNC_SYSMEM, 192, 5);
	assert_message(&l, MPQ_PCI_CFGREAD, 12, 0);
	link_finish(&l);
}

/* A whole message, then a part of one, then the rest. */
static void test_whole_and_part(void)
{
	uint8_t buf[2 * MESSAGE_MAX];
	size_t first = make_message(buf, MPQ_BAR_READ, 24, 24);
	size_t len = first + make_message(buf + first, MPQ_BAR_WRITE, 24, 24);

	for (size_t cut = first + 1; cut < len; cut++) {
		struct link l;

		link_make(&l, MPQ_FROM_PROXY);
		peer_send(&l, buf, cut, 0);
		assert_message(&l, MPQ_BAR_READ, 24, 0);
		g_assert_cmpuint(unread(&l), ==, cut - first);
		g_assert_cmpint(peek(&l), ==, -EINPROGRESS);
		peer_send(&l, buf + cut, len - cut, 0);
		assert_message(&l, MPQ_BAR_WRITE, 24, 0);
		link_finish(&l);
	}
}

/* A process that died inside mpq_peek() leaves its peek offset on the socket to its successor. */
static void test_peek_offset(void)
{
	struct link l;
	int off = 5;

	link_make(&l, MPQ_FROM_PROXY);
	must(setsockopt(l.conn.conn.fd, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off)));
	mpq_conn_init(&l.conn, l.conn.conn.fd, MPQ_FROM_PROXY);
	peer_message(&l, MPQ_BAR_READ, 24, 0);
	assert_message(&l, MPQ_BAR_READ, 24, 0);
	link_finish(&l);
}

/* Sending */

static void test_send_limits(void)
{
	uint8_t big[MPQ_MAX_PAYLOAD + 1] = { 0 };
	int fds[MPQ_MAX_FDS + 1] = { 0 };
	struct link l;

	link_make(&l, MPQ_FROM_REMOTE);
	g_assert_cmpint(mpq_send(&l.conn, MPQ_RET, big, sizeof(big)), ==, -EMSGSIZE);
	g_assert_cmpint(mpq_send(&l.conn, MPQ_RET, big, SIZE_MAX), ==, -EMSGSIZE);
	g_assert_cmpint(mpq_send_fds(&l.conn, MPQ_SET_IRQFD, big, sizeof(big), NULL, 0), ==,
			-EMSGSIZE);
	g_assert_cmpint(mpq_send_fds(&l.conn, MPQ_SET_IRQFD, NULL, 0, fds, MPQ_MAX_FDS + 1), ==,
			-EMSGSIZE);
	fds[0] = -1;
	g_assert_cmpint(mpq_send_fds(&l.conn, MPQ_SET_IRQFD, NULL, 0, fds, 1), ==, -EBADF);
	g_assert_cmpint(mpq_send_fds(&l.conn, MPQ_DEVICE_RESET, NULL, 0, NULL, 0), ==, 0);
	link_finish(&l);
}

/* What one end sends the other one gets, with fds. */
static void test_send_fds(void)
{
	for (unsigned m = 0; m < G_N_ELEMENTS(messages); m++) {
		uint8_t buf[MESSAGE_MAX];
		int fds[MPQ_MAX_FDS];
		struct mpq_conn proxy;
		struct link l;

		link_make(&l, MPQ_FROM_PROXY);
		mpq_conn_init(&proxy, l.peer, MPQ_FROM_REMOTE);
		make_message(buf, messages[m].cmd, messages[m].size, messages[m].size);
		for (unsigned i = 0; i < MPQ_MAX_FDS; i++)
			fds[i] = STDERR_FILENO;
		g_assert_cmpint(mpq_send_fds(&proxy, messages[m].cmd, buf + HEADER,
					      messages[m].size, fds, messages[m].fds), ==, 0);
		assert_message(&l, messages[m].cmd, messages[m].size, messages[m].fds);
		link_finish(&l);
	}
}

static void read_reply(struct link *l, uint64_t want)
{
	struct {
		struct mpq_header h;
		uint64_t val;
	} reply;

	g_assert_cmpint(fd_read_all(l->peer, &reply, sizeof(reply)), ==, 0);
	g_assert_cmpint(reply.h.cmd, ==, MPQ_RET);
	g_assert_cmpuint(reply.h.pad, ==, 0);
	g_assert_cmpuint(reply.h.size, ==, 8);
	g_assert_cmpuint(reply.val, ==, want);
}

/* A peer that does not read: what does not fit stays, is asked for once, and comes out whole. */
static void test_full_socket(void)
{
	int flags, ret;
	uint64_t sent = 0;
	struct link l;

	link_make(&l, MPQ_FROM_PROXY);
	flags = must(fcntl(l.conn.conn.fd, F_GETFL));
	do
		ret = mpq_send(&l.conn, MPQ_RET, &sent, sizeof(sent));
	while (++sent < 1000000 && !ret);
	g_assert_cmpint(ret, ==, -EAGAIN);
	g_assert_cmpint(mpq_send(&l.conn, MPQ_RET, &sent, sizeof(sent)), ==, -EBUSY);
	g_assert_cmpint(mpq_send_fds(&l.conn, MPQ_RET, &sent, sizeof(sent), NULL, 0), ==, -EBUSY);
	g_assert_cmpint(conn_flush(&l.conn.conn), ==, -EAGAIN);
	for (uint64_t i = 0; i + 1 < sent; i++)
		read_reply(&l, i);
	g_assert_cmpint(conn_flush(&l.conn.conn), ==, 0);
	g_assert_cmpint(conn_flush(&l.conn.conn), ==, 0);
	read_reply(&l, sent - 1);
	g_assert_cmpint(mpq_send(&l.conn, MPQ_RET, &sent, sizeof(sent)), ==, 0);
	read_reply(&l, sent);
	/* The socket's own flags are as they were: they belong to every holder of it. */
	g_assert_cmpint(must(fcntl(l.conn.conn.fd, F_GETFL)), ==, flags);
	link_finish(&l);
}

/* mpq_send_fds() waits for room, also on a socket that somebody made non-blocking. */
static void test_send_fds_waits(void)
{
	int fd = STDERR_FILENO, status;
	uint64_t sent = 0;
	struct link l;
	pid_t reader;

	link_make(&l, MPQ_FROM_PROXY);
	must(fcntl(l.conn.conn.fd, F_SETFL, O_NONBLOCK));
	while (send(l.conn.conn.fd, &sent, sizeof(sent), MSG_DONTWAIT) == sizeof(sent))
		sent++;
	reader = must(fork());
	if (!reader) {
		uint64_t val;

		usleep(20000);
		for (uint64_t i = 0; i < sent; i++)
			if (fd_read_all(l.peer, &val, sizeof(val)) || val != i)
				_exit(1);
		_exit(0);
	}
	g_assert_cmpint(mpq_send_fds(&l.conn, MPQ_SET_IRQFD, NULL, 0, &fd, 1), ==, 0);
	must(waitpid(reader, &status, 0));
	g_assert_cmpint(status, ==, 0);
	g_assert_cmpint(must(recv(l.peer, &sent, sizeof(sent), MSG_DONTWAIT)), ==, 8);
	link_finish(&l);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/conn/bad-header", test_bad_header);
	g_test_add_func("/conn/fd-counts", test_fd_counts);
	g_test_add_func("/conn/no-room-for-fds", test_no_room_for_fds);
	g_test_add_func("/conn/proxy-side", test_proxy_side);
	g_test_add_func("/conn/end-inside", test_end_inside);
	g_test_add_func("/conn/end-between", test_end_between);
	g_test_add_func("/conn/end-unread", test_end_unread);
	g_test_add_func("/conn/half-close", test_half_close);
	g_test_add_func("/conn/hang-up", test_hang_up);
	g_test_add_func("/conn/hang-up-full", test_hang_up_full);
	g_test_add_func("/conn/not-a-socket", test_not_a_socket);
	g_test_add_func("/conn/peek-offset", test_peek_offset);
	g_test_add_func("/conn/send-fds-waits", test_send_fds_waits);
	g_test_add_func("/conn/split", test_split);
	g_test_add_func("/conn/trickle", test_trickle);
	g_test_add_func("/conn/two-in-one", test_two_in_one);
	g_test_add_func("/conn/neighbours", test_neighbours);
	g_test_add_func("/conn/whole-and-part", test_whole_and_part);
	g_test_add_func("/conn/send-limits", test_send_limits);
	g_test_add_func("/conn/send-fds", test_send_fds);
	g_test_add_func("/conn/full-socket", test_full_socket);
	return g_test_run();
}
