/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The keeper's channel against a device process that has been taken over. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib.h>

#include "base/fd.h"
#include "control/channel.h"
#include "proto/conn.h"
#include "../util.h"

struct pair {
	int keeper, device;
	unsigned fds;
};

static void pair_make(struct pair *p)
{
	int s[2];

	p->fds = open_fds();
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s));
	p->keeper = s[0];
	p->device = s[1];
}

static void pair_finish(struct pair *p)
{
	fd_close(&p->keeper);
	fd_close(&p->device);
	g_assert_cmpuint(open_fds(), ==, p->fds);
}

static const struct ctl_msg untouched = { 0x55aa, 0xaa55 };

static void assert_recv(int fd, enum ctl_sender sender, int ret)
{
	struct ctl_msg msg = untouched;

	g_assert_cmpint(ctl_recv(fd, sender, &msg), ==, ret);
	if (ret)
		g_assert_cmpmem(&msg, sizeof(msg), &untouched, sizeof(untouched));
}

/* Packets of every length but the right one, each followed by a good one that is still taken. */
static void test_wrong_length(void)
{
	uint8_t packet[256] = { CTL_READY };
	struct pair p;

	pair_make(&p);
	for (unsigned len = 1; len <= sizeof(packet); len++) {
		if (len == sizeof(struct ctl_msg))
			continue;
		g_assert_cmpint(send(p.device, packet, len, 0), ==, len);
		g_assert_cmpint(ctl_send(p.device, CTL_READY, len), ==, 0);
		assert_recv(p.keeper, CTL_FROM_DEVICE, -EPROTO);
		assert_recv(p.keeper, CTL_FROM_DEVICE, 0);
	}
	assert_recv(p.keeper, CTL_FROM_DEVICE, -EAGAIN);
	pair_finish(&p);
}

static void test_types(void)
{
	static const struct {
		uint32_t type;
		int from_device, from_keeper;
	} rows[] = {
		{ CTL_TYPE_COUNT, -EPROTO, -EPROTO },
		{ 0x80000000, -EPROTO, -EPROTO },
		{ UINT32_MAX, -EPROTO, -EPROTO },
		{ CTL_READY, 0, -EPROTO },
		{ CTL_STOP, -EPROTO, 0 },
		{ CTL_HELD, 0, -EPROTO },
		{ CTL_RETRY, -EPROTO, 0 },
		{ CTL_RETRY_LATER, -EPROTO, 0 },
		{ CTL_PEER, -EPROTO, 0 },
		{ CTL_PEER_GONE, 0, -EPROTO },
		{ CTL_PAUSE, -EPROTO, 0 },
		{ CTL_RESUME, -EPROTO, 0 },
		{ CTL_PAUSED, 0, -EPROTO },
		{ CTL_KEEP, 0, -EPROTO },
		{ CTL_KEPT, -EPROTO, 0 },
		{ CTL_KEPT_ALL, -EPROTO, 0 },
		{ CTL_PING, -EPROTO, 0 }, { CTL_PONG, 0, -EPROTO },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct ctl_msg msg;
		struct pair p;

		g_test_message("row %u", i);
		pair_make(&p);
		g_assert_cmpint(ctl_send(p.device, rows[i].type, 0xdeadbeef), ==, 0);
		assert_recv(p.keeper, CTL_FROM_DEVICE, rows[i].from_device);
		g_assert_cmpint(ctl_send(p.keeper, rows[i].type, 0xdeadbeef), ==, 0);
		assert_recv(p.device, CTL_FROM_KEEPER, rows[i].from_keeper);
		g_assert_cmpint(ctl_send(p.device, rows[i].type, 0xdeadbeef), ==, 0);
		if (!ctl_recv(p.keeper, CTL_FROM_DEVICE, &msg)) {
			g_assert_cmpuint(msg.type, ==, rows[i].type);
			g_assert_cmphex(msg.arg, ==, 0xdeadbeef);
		}
		pair_finish(&p);
	}
}

/* A packet of @type with @count fds. */
static void send_with_fds(int sock, enum ctl_type type, size_t len, unsigned count)
{
	union {
		char bytes[CMSG_SPACE(16 * sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct ctl_msg msg = { .type = type, .arg = 7 };
	struct iovec iov = { .iov_base = &msg, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c = &control.align;
	int fd = STDERR_FILENO;

	if (count) {
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(count * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(count * sizeof(fd));
	}
	for (unsigned i = 0; i < count; i++)
		memcpy(CMSG_DATA(c) + i * sizeof(fd), &fd, sizeof(fd));
	must(sendmsg(sock, &mh, 0));
}

/* fds that come with a packet stay outside. */
static void test_fds(void)
{
	struct pair p;

	pair_make(&p);
	send_with_fds(p.device, CTL_READY, sizeof(struct ctl_msg), 1);
	assert_recv(p.keeper, CTL_FROM_DEVICE, 0);
	g_assert_cmpuint(open_fds(), ==, p.fds + 2);
	pair_finish(&p);
}

/* Who may get a fd gets it with the one message that takes one, and no other. */
static void test_recv_fd(void)
{
	static const struct {
		enum ctl_type type;
		size_t len;
		unsigned fds;
		int ret;
	} rows[] = {
		{ CTL_PEER, 8, 0, -EBADMSG }, { CTL_PEER, 8, 2, -EBADMSG },
		{ CTL_PEER, 8, 16, -EBADMSG }, { CTL_STOP, 8, 1, -EBADMSG },
		{ CTL_RETRY, 8, 2, -EBADMSG }, { CTL_PEER, 7, 1, -EPROTO },
		{ CTL_PEER_GONE, 8, 1, -EPROTO }, { CTL_TYPE_COUNT, 8, 1, -EPROTO },
		{ CTL_STOP, 8, 0, 0 }, { CTL_RETRY_LATER, 8, 0, 0 },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct ctl_msg msg = untouched;
		struct pair p;
		int fd = -77;

		g_test_message("row %u", i);
		pair_make(&p);
		send_with_fds(p.keeper, rows[i].type, rows[i].len, rows[i].fds);
		g_assert_cmpint(ctl_recv_fd(p.device, CTL_FROM_KEEPER, &msg, &fd), ==,
				rows[i].ret);
		g_assert_cmpint(fd, ==, rows[i].ret ? -77 : -1);
		g_assert_cmpuint(msg.type, ==, rows[i].ret ? untouched.type : rows[i].type);
		g_assert_cmpuint(open_fds(), ==, p.fds + 2);
		/* and the next one is taken all the same */
		g_assert_cmpint(ctl_send(p.keeper, CTL_STOP, 0), ==, 0);
		g_assert_cmpint(ctl_recv_fd(p.device, CTL_FROM_KEEPER, &msg, &fd), ==, 0);
		g_assert_cmpint(ctl_recv_fd(p.device, CTL_FROM_KEEPER, &msg, &fd), ==, -EAGAIN);
		pair_finish(&p);
	}
}

static void test_pass_fd(void)
{
	struct stat sent, got;
	struct ctl_msg msg;
	struct pair p;
	int end[2], fd = -1;

	pair_make(&p);
	must(pipe(end));
	must(fstat(end[0], &sent));
	g_assert_cmpint(ctl_send_fd(p.keeper, CTL_PEER, 5, end[0]), ==, 0);
	close(end[0]);
	close(end[1]);
	g_assert_cmpint(ctl_recv_fd(p.device, CTL_FROM_KEEPER, &msg, &fd), ==, 0);
	g_assert_cmpuint(msg.type, ==, CTL_PEER);
	g_assert_cmpuint(msg.arg, ==, 5);
	must(fstat(fd, &got));
	g_assert_cmpuint(got.st_ino, ==, sent.st_ino);
	g_assert_cmpint(fcntl(fd, F_GETFD), ==, FD_CLOEXEC);
	close(fd);
	g_assert_cmpint(ctl_send_fd(p.keeper, CTL_PEER, 5, -1), ==, -EBADF);
	fd_close(&p.keeper);
	g_assert_cmpint(ctl_recv_fd(p.device, CTL_FROM_KEEPER, &msg, &fd), ==, -ENODATA);
	g_assert_cmpint(ctl_send_fd(p.device, CTL_PEER, 5, STDERR_FILENO), ==, -EPIPE);
	pair_finish(&p);
}

/* No number is left for what arrives. */
/* Those that bring fds have to, and no others do; what is refused is closed. */
static void test_recv_fds(void)
{
	static const struct {
		uint32_t type;
		unsigned count;
		int ret;
	} rows[] = {
		{ CTL_KEEP, 0, -EBADMSG }, { CTL_KEEP, 1, 0 }, { CTL_KEEP, CTL_KEEP_FDS, 0 },
		{ CTL_KEEP, CTL_KEEP_FDS + 1, -EBADMSG }, { CTL_READY, 1, -EBADMSG },
		{ CTL_READY, 0, 0 }, { CTL_KEPT, 1, -EPROTO }, { CTL_TYPE_COUNT, 3, -EPROTO },
	};
	const int fds[CTL_KEEP_FDS + 1] = { 0 };

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct conn_fds got;
		struct ctl_msg msg;
		struct pair p;

		g_test_message("row %u", i);
		pair_make(&p);
		g_assert_cmpint(ctl_send_fds(p.device, rows[i].type, 7, fds, rows[i].count), ==, 0);
		g_assert_cmpint(ctl_recv_fds(p.keeper, CTL_FROM_DEVICE, &msg, &got), ==,
				rows[i].ret);
		if (!rows[i].ret) {
			g_assert_cmpuint(got.count, ==, rows[i].count);
			conn_fds_close(&got);
		}
		g_assert_cmpint(ctl_recv_fds(p.keeper, CTL_FROM_DEVICE, &msg, &got), ==, -EAGAIN);
		fd_close(&p.device);
		g_assert_cmpint(ctl_recv_fds(p.keeper, CTL_FROM_DEVICE, &msg, &got), ==, -ENODATA);
		pair_finish(&p);
	}
}

static void test_keep_arg(void)
{
	struct ctl_keep keep;

	for (unsigned device = 0; device < 256; device++)
		for (unsigned kind = 0; kind < 256; kind++) {
			uint32_t arg = device | kind << 8 | 0x1234u << 16;
			bool good = device < 8 && kind < CTL_KEEP_KINDS;

			g_assert_true(ctl_keep_unpack(arg, 8, &keep) == good);
			if (good)
				g_assert_cmphex(ctl_keep_pack(&keep), ==, arg);
		}
}

static void test_recv_fd_no_room(void)
{
	struct rlimit was, limit;
	struct ctl_msg msg;
	struct pair p;
	int fd = -1;

	if (getenv("MPQ_WRAPPER")) {
		g_test_skip("valgrind keeps RLIMIT_NOFILE to itself");
		return;
	}
	pair_make(&p);
	must(getrlimit(RLIMIT_NOFILE, &was));
	g_assert_cmpint(ctl_send_fd(p.keeper, CTL_PEER, 0, STDERR_FILENO), ==, 0);
	limit = (struct rlimit){ 3, was.rlim_max };
	must(setrlimit(RLIMIT_NOFILE, &limit));
	g_assert_cmpint(ctl_recv_fd(p.device, CTL_FROM_KEEPER, &msg, &fd), ==, -EBADMSG);
	must(setrlimit(RLIMIT_NOFILE, &was));
	g_assert_cmpint(ctl_recv_fd(p.device, CTL_FROM_KEEPER, &msg, &fd), ==, -EAGAIN);
	pair_finish(&p);
}

/* What a request held back is, in 32 bits; any other bits are nobody's. */
static void test_held(void)
{
	static const struct ctl_held good[] = {
		{ 0, false, 1 }, { 2, true, ENOSPC }, { 1, false, 4095 },
	};
	const uint32_t first = ctl_held_pack(&good[0]);
	struct ctl_held held = { 77, true, 77 };

	for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
		struct ctl_held back = { 0 };

		g_assert_true(ctl_held_unpack(ctl_held_pack(&good[i]), 3, &back));
		g_assert_cmpuint(back.disk, ==, good[i].disk);
		g_assert_true(back.write == good[i].write);
		g_assert_cmpint(back.err, ==, good[i].err);
	}
	g_assert_false(ctl_held_unpack(ctl_held_pack(&good[1]), 2, &held));
	g_assert_false(ctl_held_unpack(first, 0, &held));
	g_assert_false(ctl_held_unpack(0, 3, &held));
	g_assert_false(ctl_held_unpack(UINT32_MAX, 256, &held));
	for (unsigned bit = 9; bit < 16; bit++)
		g_assert_false(ctl_held_unpack(first | 1u << bit, 3, &held));
	for (unsigned bit = 28; bit < 32; bit++)
		g_assert_false(ctl_held_unpack(first | 1u << bit, 3, &held));
	g_assert_cmpuint(held.disk, ==, 77);
}

/* A channel that nobody reads neither waits nor loses what it has taken. */
static void test_full(void)
{
	unsigned sent = 0;
	struct ctl_msg msg;
	struct pair p;
	int ret;

	pair_make(&p);
	do
		ret = ctl_send(p.device, CTL_HELD, sent);
	while (!ret && ++sent < 1000000);
	g_assert_cmpint(ret, ==, -EAGAIN);
	for (unsigned i = 0; i < sent; i++) {
		g_assert_cmpint(ctl_recv(p.keeper, CTL_FROM_DEVICE, &msg), ==, 0);
		g_assert_cmpuint(msg.arg, ==, i);
	}
	assert_recv(p.keeper, CTL_FROM_DEVICE, -EAGAIN);
	pair_finish(&p);
}

static void test_end(void)
{
	struct pair p;

	pair_make(&p);
	assert_recv(p.keeper, CTL_FROM_DEVICE, -EAGAIN);
	g_assert_cmpint(ctl_send(p.device, CTL_READY, 0), ==, 0);
	g_assert_cmpint(ctl_send(p.keeper, CTL_STOP, 0), ==, 0);
	fd_close(&p.device);	/* with a message unread */
	assert_recv(p.keeper, CTL_FROM_DEVICE, 0);
	assert_recv(p.keeper, CTL_FROM_DEVICE, -ENODATA);
	assert_recv(p.keeper, CTL_FROM_DEVICE, -ENODATA);
	g_assert_cmpint(ctl_send(p.keeper, CTL_STOP, 0), ==, -EPIPE);
	assert_recv(-1, CTL_FROM_DEVICE, -EBADF);
	g_assert_cmpint(ctl_send(-1, CTL_STOP, 0), ==, -EBADF);
	pair_finish(&p);
}

/* A packet without a byte is not the end of the channel. */
static void test_empty_packet(void)
{
	struct pair p;

	pair_make(&p);
	must(send(p.device, "", 0, 0));
	g_assert_cmpint(ctl_send(p.device, CTL_READY, 0), ==, 0);
	assert_recv(p.keeper, CTL_FROM_DEVICE, -EPROTO);
	assert_recv(p.keeper, CTL_FROM_DEVICE, 0);
	pair_finish(&p);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/channel/wrong-length", test_wrong_length);
	g_test_add_func("/channel/empty-packet", test_empty_packet);
	g_test_add_func("/channel/types", test_types);
	g_test_add_func("/channel/fds", test_fds);
	g_test_add_func("/channel/recv-fd", test_recv_fd);
	g_test_add_func("/channel/recv-fds", test_recv_fds);
	g_test_add_func("/channel/keep-arg", test_keep_arg);
	g_test_add_func("/channel/pass-fd", test_pass_fd);
	g_test_add_func("/channel/recv-fd-no-room", test_recv_fd_no_room);
	g_test_add_func("/channel/held", test_held);
	g_test_add_func("/channel/full", test_full);
	g_test_add_func("/channel/end", test_end);
	return g_test_run();
}
