/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The channel between a remote and who runs it: what either may send, and nothing else. */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib.h>

#include "base/fd.h"
#include "control/channel.h"
#include "control/supervise.h"
#include "../util.h"

struct pair {
	int supervisor, remote;
};

static struct pair pair_make(int type)
{
	int s[2];

	must(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, s));
	return (struct pair){ s[0], s[1] };
}

static void pair_finish(struct pair *p)
{
	fd_close(&p->supervisor);
	fd_close(&p->remote);
}

static const struct sup_msg untouched = { 1, 2, 3, 4 };

static void assert_recv(int fd, enum sup_sender sender, int ret)
{
	struct sup_msg msg = untouched;

	g_assert_cmpint(sup_recv(fd, sender, &msg), ==, ret);
	if (ret)
		g_assert_cmpmem(&msg, sizeof(msg), &untouched, sizeof(untouched));
}

/* Each followed by a good one, which is still taken. */
static void test_wrong_length(void)
{
	const struct sup_msg good = { .type = SUP_PAUSE, .id = 1 };
	struct pair p = pair_make(SOCK_SEQPACKET);
	uint8_t packet[64] = { SUP_PAUSE };

	for (unsigned len = 0; len <= sizeof(packet); len++) {
		if (len == sizeof(good))
			continue;
		g_assert_cmpint(send(p.supervisor, packet, len, 0), ==, len);
		g_assert_cmpint(sup_send(p.supervisor, &good), ==, 0);
		assert_recv(p.remote, SUP_FROM_SUPERVISOR, -EPROTO);
		assert_recv(p.remote, SUP_FROM_SUPERVISOR, 0);
	}
	assert_recv(p.remote, SUP_FROM_SUPERVISOR, -EAGAIN);
	pair_finish(&p);
}

/* A type that is there is for one side alone; one that is not, for none. */
static void test_types(void)
{
	struct pair p = pair_make(SOCK_SEQPACKET);

	for (uint32_t type = 0; type < SUP_TYPE_COUNT + 3; type++) {
		const struct sup_rule *rule = sup_rule(type);
		const struct sup_msg msg = { .type = type };

		g_assert_true((rule != NULL) == (type < SUP_TYPE_COUNT));
		for (unsigned sender = 0; sender < 2; sender++) {
			g_assert_cmpint(sup_send(p.supervisor, &msg), ==, 0);
			assert_recv(p.remote, sender,
				    rule && rule->sender == sender ? 0 : -EPROTO);
		}
	}
	g_assert_null(sup_rule(UINT32_MAX));
	pair_finish(&p);
}

static void test_end(void)
{
	const struct sup_msg msg = { .type = SUP_GONE };
	struct pair p = pair_make(SOCK_SEQPACKET);

	/* unread at the other side's close: what came before its end is still read */
	g_assert_cmpint(sup_send(p.remote, &msg), ==, 0);
	g_assert_cmpint(sup_send(p.supervisor, &(struct sup_msg){ .type = SUP_PAUSE }), ==, 0);
	fd_close(&p.remote);
	assert_recv(p.supervisor, SUP_FROM_REMOTE, 0);
	assert_recv(p.supervisor, SUP_FROM_REMOTE, -ENODATA);
	g_assert_cmpint(sup_send(p.supervisor, &msg), ==, -EPIPE);
	pair_finish(&p);
}

static void test_full(void)
{
	const struct sup_msg msg = { .type = SUP_RESUMED };
	struct pair p = pair_make(SOCK_SEQPACKET);
	int ret = 0;

	for (unsigned i = 0; i < 100000 && !ret; i++)
		ret = sup_send(p.remote, &msg);
	g_assert_cmpint(ret, ==, -EAGAIN);
	pair_finish(&p);
}

static void test_check(void)
{
	struct pair p = pair_make(SOCK_STREAM);

	g_assert_cmpint(sup_check(p.remote), ==, -EPROTOTYPE);
	pair_finish(&p);
	p = pair_make(SOCK_SEQPACKET);
	g_assert_cmpint(sup_check(p.remote), ==, 0);
	pair_finish(&p);
	g_assert_cmpint(sup_check(-1), ==, -EBADF);
}

static void test_causes(void)
{
	static const struct {
		struct sup_msg msg;
		const char *text;
	} rows[] = {
		{ { SUP_CRASHED, 0, SUP_CAUSE_SIGNAL, 9 }, "signal 9 (Killed)" },
		{ { SUP_CRASHED, 0, SUP_CAUSE_SIGNAL, 4000000000 }, "signal 4000000000 (unknown)" },
		{ { SUP_CRASHED, 0, SUP_CAUSE_EXIT, 70 }, "exit status 70" },
		{ { SUP_CRASHED, 0, SUP_CAUSE_FORBIDDEN, 0 }, "a forbidden system call" },
		{ { SUP_CRASHED, 0, 77, 1 }, "cause 77 (1)" },
	};
	char text[64], small[4];

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
		g_assert_cmpstr(sup_cause_text(&rows[i].msg, text, sizeof(text)), ==, rows[i].text);
	g_assert_cmpstr(sup_cause_text(&rows[0].msg, small, sizeof(small)), ==, "sig");
}

/* The device process's answer: all 32 bits mean something, and come back as they were. */
static void test_paused_arg(void)
{
	static const uint32_t args[] = { 0, 1, 0xfff, 0x1000, 0xfffff000, UINT32_MAX, 0x12345678 };

	for (unsigned i = 0; i < G_N_ELEMENTS(args); i++) {
		struct ctl_paused paused = ctl_paused_unpack(args[i]);

		g_assert_cmpuint(ctl_paused_pack(&paused), ==, args[i]);
		g_assert_cmpuint(paused.number, <, CTL_PAUSE_NUMBERS);
	}
	g_assert_cmpuint(ctl_paused_pack(&(struct ctl_paused){ CTL_PAUSE_NUMBERS, 5 }), ==, 5);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/supervise/wrong-length", test_wrong_length);
	g_test_add_func("/supervise/types", test_types);
	g_test_add_func("/supervise/end", test_end);
	g_test_add_func("/supervise/full", test_full);
	g_test_add_func("/supervise/check", test_check);
	g_test_add_func("/supervise/causes", test_causes);
	g_test_add_func("/supervise/paused-arg", test_paused_arg);
	return g_test_run();
}
