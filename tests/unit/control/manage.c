/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The monitor's channel, of which either end may have been taken over. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib.h>

#include "../sock.h"
#include "../util.h"
#include "base/fd.h"
#include "control/manage.h"

struct pair {
	int ours, theirs;
	unsigned fds;
};

static void pair_make(struct pair *p)
{
	int s[2];

	p->fds = open_fds();
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s));
	p->ours = s[0];
	p->theirs = s[1];
}

static void pair_finish(struct pair *p)
{
	fd_close(&p->ours);
	fd_close(&p->theirs);
	g_assert_cmpuint(open_fds(), ==, p->fds);
}

static const struct manage_msg good = { .type = MANAGE_RESIZE, .serial = 7, .disk = 3 };

static void assert_recv(int fd, enum manage_sender sender, int want)
{
	struct manage_msg msg;
	int passed = -1;

	g_assert_cmpint(manage_recv(fd, sender, &msg, &passed), ==, want);
	g_assert_cmpint(passed, ==, -1);
}

/* Every length but the right one; what follows is still taken. */
static void test_lengths(void)
{
	uint8_t packet[sizeof(good) + 64] = { 0 };
	struct pair p;

	memcpy(packet, &good, sizeof(good));
	pair_make(&p);
	for (size_t len = 0; len <= sizeof(packet); len += len < 32 ? 1 : 13) {
		if (len == sizeof(good))
			continue;
		must(send(p.theirs, packet, len, 0));
		assert_recv(p.ours, MANAGE_FROM_KEEPER, -EPROTO);
		g_assert_cmpint(manage_send(p.theirs, &good, -1), ==, 0);
		assert_recv(p.ours, MANAGE_FROM_KEEPER, 0);
	}
	pair_finish(&p);
}

/* Each type from each sender, and those that are none. */
static void test_senders(void)
{
	struct pair p;

	pair_make(&p);
	for (uint32_t type = 0; type < MANAGE_TYPE_COUNT + 3; type++) {
		struct manage_msg msg = { .type = type };
		bool device = type <= MANAGE_FAILED;
		bool known = type < MANAGE_TYPE_COUNT;

		manage_send(p.theirs, &msg, -1);
		assert_recv(p.ours, MANAGE_FROM_DEVICE, known && device ? 0 : -EPROTO);
		manage_send(p.theirs, &msg, -1);
		assert_recv(p.ours, MANAGE_FROM_KEEPER, known && !device ? 0 : -EPROTO);
	}
	pair_finish(&p);
}

static void test_disks(void)
{
	static const uint32_t disks[] = { 0, 63, 64, 255, UINT32_MAX };
	struct pair p;

	pair_make(&p);
	for (unsigned i = 0; i < G_N_ELEMENTS(disks); i++) {
		struct manage_msg msg = good;

		msg.disk = disks[i];
		manage_send(p.theirs, &msg, -1);
		assert_recv(p.ours, MANAGE_FROM_KEEPER, disks[i] < 64 ? 0 : -EPROTO);
	}
	pair_finish(&p);
}

/* A body where the row has none: any byte of it. */
static void test_bodies(void)
{
	static const unsigned at[] = { 0, 1, MANAGE_BODY / 2, MANAGE_BODY - 1 };
	struct pair p;

	pair_make(&p);
	for (unsigned i = 0; i < G_N_ELEMENTS(at); i++)
		for (uint32_t type = 0; type < MANAGE_TYPE_COUNT; type++) {
			struct manage_msg msg = { .type = type };
			bool has = type == MANAGE_LOAD || type == MANAGE_ATTACH ||
				   type == MANAGE_THROTTLE;
			bool device = type <= MANAGE_FAILED;

			msg.body[at[i]] = 1;
			manage_send(p.theirs, &msg, -1);
			assert_recv(p.ours, device ? MANAGE_FROM_DEVICE : MANAGE_FROM_KEEPER,
				    has ? 0 : -EPROTO);
		}
	pair_finish(&p);
}

/* fds where none belongs, and too many where one does: none stays open. */
static void test_fds(void)
{
	int fds[20] = { 0 };
	struct pair p;

	pair_make(&p);
	for (uint32_t type = 0; type < MANAGE_TYPE_COUNT; type++)
		for (unsigned count = 1; count < G_N_ELEMENTS(fds); count += 6) {
			struct manage_msg msg = { .type = type };
			bool device = type <= MANAGE_FAILED;
			bool may = (type == MANAGE_LOAD || type == MANAGE_ATTACH) && count == 1;
			unsigned before = open_fds();
			int passed = -1, ret;

			must(sock_send(p.theirs, &msg, sizeof(msg), fds, count, 0));
			ret = manage_recv(p.ours, device ? MANAGE_FROM_DEVICE : MANAGE_FROM_KEEPER,
					  &msg, &passed);
			g_assert_cmpint(ret, ==, may ? 0 : -EPROTO);
			g_assert_cmpint(passed >= 0, ==, may);
			g_assert_true(!may || fcntl(passed, F_GETFD) == FD_CLOEXEC);
			fd_close(&passed);
			g_assert_cmpuint(open_fds(), ==, before);
		}
	pair_finish(&p);
}

/* Nobody reads: it is never waited for.  The other end goes: what it has said comes first. */
static void test_full_and_gone(void)
{
	struct pair p;
	unsigned sent = 0;

	pair_make(&p);
	assert_recv(p.ours, MANAGE_FROM_KEEPER, -EAGAIN);
	while (!manage_send(p.theirs, &good, -1))
		g_assert_cmpuint(++sent, <, 100000);
	g_assert_cmpint(manage_send(p.theirs, &good, -1), ==, -EAGAIN);
	fd_close(&p.theirs);
	for (; sent; sent--)
		assert_recv(p.ours, MANAGE_FROM_KEEPER, 0);
	assert_recv(p.ours, MANAGE_FROM_KEEPER, -ENODATA);
	g_assert_cmpint(manage_send(p.ours, &good, -1), ==, -EPIPE);
	pair_finish(&p);
}

static void test_values(void)
{
	static const uint64_t values[] = { 0, 1, UINT32_MAX, 1ULL << 32, UINT64_MAX };
	struct manage_msg msg;

	for (unsigned i = 0; i < G_N_ELEMENTS(values); i++) {
		manage_set_value(&msg, values[i]);
		g_assert_cmpuint(manage_value(&msg), ==, values[i]);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/manage/hostile/lengths", test_lengths);
	g_test_add_func("/manage/hostile/senders", test_senders);
	g_test_add_func("/manage/hostile/disks", test_disks);
	g_test_add_func("/manage/hostile/bodies", test_bodies);
	g_test_add_func("/manage/hostile/fds", test_fds);
	g_test_add_func("/manage/hostile/full-and-gone", test_full_and_gone);
	g_test_add_func("/manage/values", test_values);
	return g_test_run();
}
