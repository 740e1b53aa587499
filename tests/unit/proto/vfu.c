/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vfio-user's codec against a client that sends what it likes, in the pieces that it likes. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib.h>

#include "base/fd.h"
#include "proto/vfu.h"
#include "../sock.h"
#include "../util.h"

#define HEADER sizeof(struct vfu_header)
#define ANY 4200	/* bytes of payload that no rule forbids, if it has no greatest */

struct link {
	int peer;		/* the test's end */
	struct vfu_conn conn;	/* the one under test */
	unsigned fds;		/* open before the link was made */
};

static void link_make(struct link *l)
{
	int s[2];

	l->fds = open_fds();
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s));
	l->peer = s[0];
	g_assert_cmpint(vfu_conn_create(&l->conn, vfu_message_size(4096)), ==, 0);
	vfu_conn_init(&l->conn, s[1]);
}

/* Nothing that was received may be open any more. */
static void link_finish(struct link *l)
{
	fd_close(&l->peer);
	fd_close(&l->conn.conn.fd);
	vfu_conn_finish(&l->conn);
	g_assert_cmpuint(open_fds(), ==, l->fds);
}

static void peer_send(struct link *l, const void *bytes, size_t len, unsigned fd_count)
{
	int fds[SOCK_MAX_FDS];

	for (unsigned i = 0; i < fd_count; i++)
		fds[i] = STDERR_FILENO;
	g_assert_cmpint(sock_send(l->peer, bytes, len, fds, fd_count, 0), ==, len);
}

/* A command of @size bytes of payload; how long it is. */
static size_t make_command(uint8_t *out, unsigned cmd, uint32_t size)
{
	struct vfu_header h = { .id = 0xbeef, .cmd = cmd, .size = HEADER + size };

	memcpy(out, &h, HEADER);
	for (uint32_t i = 0; i < size; i++)
		out[HEADER + i] = i * 7 + cmd;
	return HEADER + size;
}

static int peek(struct link *l)
{
	struct vfu_msg msg;

	return vfu_peek(&l->conn, &msg);
}

static unsigned unread(const struct link *l)
{
	int n = 0;

	must(ioctl(l->conn.conn.fd, FIONREAD, &n));
	return n;
}

/* The next message is @cmd with @size bytes, and @fds that are open, CLOEXEC and closed here. */
static void assert_command(struct link *l, unsigned cmd, uint32_t size, unsigned fds)
{
	g_autofree uint8_t *want = g_malloc(HEADER + size);
	struct vfu_msg msg;

	make_command(want, cmd, size);
	g_assert_cmpint(vfu_peek(&l->conn, &msg), ==, 0);
	g_assert_cmpuint(msg.fds.count, ==, 0);
	g_assert_cmpint(vfu_consume(&l->conn, &msg), ==, 0);
	g_assert_cmpuint(msg.h.id, ==, 0xbeef);
	g_assert_cmpuint(msg.h.cmd, ==, cmd);
	g_assert_cmpuint((uintptr_t)msg.payload % 8, ==, 0);
	g_assert_cmpmem(msg.payload, msg.size, want + HEADER, size);
	g_assert_cmpuint(msg.fds.count + msg.fds.surplus, ==, fds);
	for (unsigned i = 0; i < msg.fds.count; i++)
		g_assert_cmpint(must(fcntl(msg.fds.fd[i], F_GETFD)), ==, FD_CLOEXEC);
	conn_fds_close(&msg.fds);
}

/* Framing */

static void test_bad_size(void)
{
	const uint32_t limit = vfu_message_size(4096);
	const uint32_t sizes[] = {
		0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, limit + 1, limit + 16,
		1u << 20, 0x80000000, UINT32_MAX - 15, UINT32_MAX,
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
		struct vfu_header h = { .cmd = VFU_RESET, .size = sizes[i] };
		uint8_t more[64] = { 0 };
		struct link l;

		g_test_message("size %u", sizes[i]);
		link_make(&l);
		/* The header alone says so, before and after there is more; nothing is taken. */
		peer_send(&l, &h, HEADER, 0);
		g_assert_cmpint(peek(&l), ==, -EPROTO);
		g_assert_nonnull(strstr(l.conn.conn.why, "bytes, expected 16 to "));
		peer_send(&l, more, sizeof(more), 3);
		g_assert_cmpint(peek(&l), ==, -EPROTO);
		g_assert_cmpuint(unread(&l), ==, HEADER + sizeof(more));
		link_finish(&l);
	}
}

static void test_longest(void)
{
	const uint32_t limit = vfu_message_size(4096);
	g_autofree uint8_t *bytes = g_malloc(limit);
	struct link l;

	link_make(&l);
	make_command(bytes, VFU_REGION_WRITE, limit - HEADER);
	peer_send(&l, bytes, limit - 1, 0);
	g_assert_cmpint(peek(&l), ==, -EINPROGRESS);
	peer_send(&l, bytes + limit - 1, 1, 0);
	assert_command(&l, VFU_REGION_WRITE, limit - HEADER, 0);
	g_assert_cmpint(peek(&l), ==, -EAGAIN);
	link_finish(&l);
}

/* Cut anywhere, with fds on the first piece, on the second, on both. */
static void test_split(void)
{
	uint8_t bytes[HEADER + 300];
	const size_t len = make_command(bytes, VFU_SET_IRQS, 300);
	struct link l;

	link_make(&l);
	for (unsigned fds = 0; fds < 4; fds++) {
		for (size_t cut = 1; cut < len; cut++) {
			peer_send(&l, bytes, cut, fds & 1 ? 2 : 0);
			g_assert_cmpint(peek(&l), ==, -EINPROGRESS);
			g_assert_cmpuint(unread(&l), ==, cut);
			peer_send(&l, bytes + cut, len - cut, fds & 2 ? 3 : 0);
			assert_command(&l, VFU_SET_IRQS, 300,
				       (fds & 1 ? 2 : 0) + (fds & 2 ? 3 : 0));
			g_assert_cmpint(peek(&l), ==, -EAGAIN);
		}
	}
	link_finish(&l);
}

static void test_trickle(void)
{
	uint8_t bytes[HEADER + 64];
	const size_t len = make_command(bytes, VFU_REGION_WRITE, 64);
	struct link l;

	link_make(&l);
	for (size_t i = 0; i + 1 < len; i++) {
		peer_send(&l, bytes + i, 1, 0);
		g_assert_cmpint(peek(&l), ==, -EINPROGRESS);
	}
	peer_send(&l, bytes + len - 1, 1, 1);
	assert_command(&l, VFU_REGION_WRITE, 64, 1);
	link_finish(&l);
}

/* A pipeline, as QEMU sends its first maps: each message has its own fds and no other's. */
static void test_pipeline(void)
{
	uint8_t bytes[HEADER + 32];
	size_t len = make_command(bytes, VFU_DMA_MAP, 32);
	struct link l;

	link_make(&l);
	for (unsigned i = 0; i < 8; i++)
		peer_send(&l, bytes, len, i % 3);
	for (unsigned i = 0; i < 8; i++)
		assert_command(&l, VFU_DMA_MAP, 32, i % 3);
	g_assert_cmpint(peek(&l), ==, -EAGAIN);
	link_finish(&l);
}

static void test_end(void)
{
	uint8_t bytes[HEADER + 8];
	const size_t len = make_command(bytes, VFU_REGION_WRITE, 8);

	for (size_t cut = 0; cut <= len; cut++) {
		struct link l;

		link_make(&l);
		if (cut)
			peer_send(&l, bytes, cut, 1);
		fd_close(&l.peer);
		if (cut == len)
			assert_command(&l, VFU_REGION_WRITE, 8, 1);
		g_assert_cmpint(peek(&l), ==, cut && cut < len ? -EPIPE : -ENODATA);
		link_finish(&l);
	}
}

/* Fds up to what a message may have, and beyond.  For 17 there is room, and so for 18. */
static void test_fd_counts(void)
{
	static const unsigned counts[] = { 1, 2, 15, 16, 17, 18, 19, 40, 64 };
	uint8_t bytes[HEADER + 20];
	const size_t len = make_command(bytes, VFU_SET_IRQS, 20);

	for (unsigned i = 0; i < G_N_ELEMENTS(counts); i++) {
		unsigned kept = MIN(counts[i], CONN_MAX_FDS);
		struct vfu_msg msg;
		struct link l;

		g_test_message("%u fds", counts[i]);
		link_make(&l);
		peer_send(&l, bytes, len, counts[i]);
		g_assert_cmpint(vfu_peek(&l.conn, &msg), ==, 0);
		g_assert_cmpint(vfu_consume(&l.conn, &msg), ==, 0);
		g_assert_cmpuint(msg.fds.count, ==, kept);
		g_assert_cmpuint(msg.fds.surplus, ==, MIN(counts[i], 18) - kept);
		g_assert_true(msg.fds.lost == (counts[i] > 18));
		g_assert_cmpuint(open_fds(), ==, l.fds + 2 + kept);
		g_assert_cmpint(vfu_check(&msg), ==, counts[i] > 18 ? EMFILE :
				counts[i] > 16 ? EINVAL : 0);
		conn_fds_close(&msg.fds);
		link_finish(&l);
	}
}

/* Rules */

/* Every command that there is: the least and the greatest payload, and the fds. */
static const struct {
	unsigned cmd;
	uint32_t min, max;	/* max ANY: up to a whole message */
	unsigned fds;
} commands[] = {
	{ VFU_VERSION, 4, 4100, 0 }, { VFU_DMA_MAP, 32, 32, 1 }, { VFU_DMA_UNMAP, 24, 24, 1 },
	{ VFU_GET_INFO, 16, 4096, 0 }, { VFU_GET_REGION_INFO, 32, 4096, 0 },
	{ VFU_GET_IRQ_INFO, 16, 4096, 0 }, { VFU_SET_IRQS, 20, 4116, 16 },
	{ VFU_REGION_READ, 16, 16, 0 }, { VFU_REGION_WRITE, 16, ANY, 0 }, { VFU_RESET, 0, 0, 0 },
	{ VFU_WRITE_MULTI, 8, ANY, 0 },
};

static int check(unsigned cmd, uint32_t size, uint32_t flags, unsigned fds, unsigned surplus,
		 bool lost)
{
	struct vfu_msg msg = {
		.h = { .cmd = cmd, .size = HEADER + size, .flags = flags }, .size = size,
		.fds = { .count = fds, .surplus = surplus, .lost = lost },
	};

	return vfu_check(&msg);
}

static void test_rules(void)
{
	unsigned served = 0;

	for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
		unsigned cmd = commands[i].cmd, fds = commands[i].fds;
		uint32_t min = commands[i].min, max = commands[i].max;

		g_test_message("%s", vfu_rule(cmd)->name);
		g_assert_true(vfu_rule(cmd)->served);
		g_assert_cmpint(check(cmd, min, 0, 0, 0, false), ==, 0);
		g_assert_cmpint(check(cmd, max, VFU_NO_REPLY, fds, 0, false), ==, 0);
		if (min)
			g_assert_cmpint(check(cmd, min - 1, 0, 0, 0, false), ==, EINVAL);
		if (min)
			g_assert_cmpint(check(cmd, 0, 0, 0, 0, false), ==, EINVAL);
		if (max != ANY)
			g_assert_cmpint(check(cmd, max + 1, 0, 0, 0, false), ==, EINVAL);
		g_assert_cmpint(check(cmd, min, 0, fds + 1, 0, false), ==, EINVAL);
		g_assert_cmpint(check(cmd, min, 0, fds, 1, false), ==, EINVAL);
		g_assert_cmpint(check(cmd, min, 0, 0, 0, true), ==, EMFILE);
		for (unsigned bit = 0; bit < 32; bit++)
			g_assert_cmpint(check(cmd, min, 1u << bit, 0, 0, false), ==,
					1u << bit == VFU_NO_REPLY ? 0 : EINVAL);
	}
	for (unsigned cmd = 0; cmd < VFU_CMD_COUNT; cmd++)
		served += vfu_rule(cmd) && vfu_rule(cmd)->served;
	g_assert_cmpuint(served, ==, G_N_ELEMENTS(commands));
}

static void test_not_served(void)
{
	static const unsigned known[] = {
		VFU_GET_REGION_IO_FDS, VFU_DMA_READ, VFU_DMA_WRITE, VFU_DIRTY_PAGES,
		VFU_DEVICE_FEATURE, VFU_MIG_DATA_READ, VFU_MIG_DATA_WRITE,
	};
	static const unsigned unknown[] = { 0, VFU_CMD_COUNT, 255, 0x100 | VFU_RESET, 0xffff };

	for (unsigned i = 0; i < G_N_ELEMENTS(known); i++) {
		g_assert_false(vfu_rule(known[i])->served);
		g_assert_cmpint(check(known[i], 0, 0, 0, 0, false), ==, ENOTSUP);
		g_assert_cmpint(check(known[i], 100, VFU_NO_REPLY, 3, 0, false), ==, ENOTSUP);
		g_assert_cmpint(check(known[i], 0, 2, 0, 0, false), ==, EINVAL);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(unknown); i++) {
		g_assert_null(vfu_rule(unknown[i]));
		g_assert_cmpint(check(unknown[i], 0, 0, 0, 0, false), ==, EINVAL);
		g_assert_cmpint(check(unknown[i], 16, 0, 1, 0, true), ==, EINVAL);
	}
}

/* Replies */

/* Header and payload come with one write each: a datagram socket shows the borders. */
static void test_one_write(void)
{
	const struct vfu_header to = { .id = 7, .cmd = VFU_REGION_READ, .size = 32, .flags = 0 };
	const uint32_t limit = vfu_message_size(4096) - HEADER;
	g_autofree uint8_t *payload = g_malloc0(limit + 1), *got = g_malloc(HEADER + limit);
	const uint32_t sizes[] = { 0, 1, 16, 20, 4112, limit };
	struct vfu_conn conn;
	struct vfu_header h;
	int s[2];

	must(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, s));
	g_assert_cmpint(vfu_conn_create(&conn, vfu_message_size(4096)), ==, 0);
	vfu_conn_init(&conn, s[1]);
	memset(payload, 0x5a, limit);
	for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
		g_assert_cmpint(vfu_reply(&conn, &to, payload, sizes[i]), ==, 0);
		g_assert_cmpint(recv(s[0], got, HEADER + limit, 0), ==, HEADER + sizes[i]);
		memcpy(&h, got, HEADER);
		g_assert_cmpuint(h.id, ==, 7);
		g_assert_cmpuint(h.cmd, ==, VFU_REGION_READ);
		g_assert_cmpuint(h.size, ==, HEADER + sizes[i]);
		g_assert_cmpuint(h.flags, ==, VFU_REPLY);
		g_assert_cmpuint(h.error, ==, 0);
		g_assert_cmpmem(got + HEADER, sizes[i], payload, sizes[i]);
	}
	g_assert_cmpint(vfu_reply(&conn, &to, payload, limit + 1), ==, -EMSGSIZE);
	g_assert_cmpint(vfu_reply_error(&conn, &to, ENOTSUP), ==, 0);
	g_assert_cmpint(recv(s[0], got, HEADER + limit, 0), ==, HEADER);
	memcpy(&h, got, HEADER);
	g_assert_cmpuint(h.flags, ==, VFU_REPLY | VFU_ERROR);
	g_assert_cmpuint(h.error, ==, ENOTSUP);
	g_assert_cmpuint(h.size, ==, HEADER);
	vfu_conn_finish(&conn);
	must(close(s[0]));
	must(close(s[1]));
}

static void test_command(void)
{
	const uint64_t payload[2] = { 0x1000, 512 };
	struct vfu_header h;
	struct link l;

	link_make(&l);
	g_assert_cmpint(vfu_command(&l.conn, 0xffff, VFU_DMA_READ, payload, 16), ==, 0);
	g_assert_cmpint(recv(l.peer, &h, HEADER, 0), ==, HEADER);
	g_assert_cmpuint(h.id, ==, 0xffff);
	g_assert_cmpuint(h.cmd, ==, VFU_DMA_READ);
	g_assert_cmpuint(h.size, ==, HEADER + 16);
	g_assert_cmpuint(h.flags, ==, 0);
	link_finish(&l);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vfu/bad-size", test_bad_size);
	g_test_add_func("/vfu/longest", test_longest);
	g_test_add_func("/vfu/split", test_split);
	g_test_add_func("/vfu/trickle", test_trickle);
	g_test_add_func("/vfu/pipeline", test_pipeline);
	g_test_add_func("/vfu/end", test_end);
	g_test_add_func("/vfu/fd-counts", test_fd_counts);
	g_test_add_func("/vfu/rules", test_rules);
	g_test_add_func("/vfu/not-served", test_not_served);
	g_test_add_func("/vfu/one-write", test_one_write);
	g_test_add_func("/vfu/command", test_command);
	return g_test_run();
}
