/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The vault against a device process that lets it keep whatever it likes. */

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib.h>

#include "applets/remote/vault.h"
#include "base/fd.h"
#include "../util.h"

struct rig {
	unsigned fds;
	int keeper, device;
	struct vault vault;
};

static void rig_up(struct rig *r, unsigned devices)
{
	int s[2];

	r->fds = open_fds();
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s));
	r->keeper = s[0];
	r->device = s[1];
	vault_init(&r->vault, devices);
}

static void rig_down(struct rig *r)
{
	vault_finish(&r->vault);
	fd_close(&r->keeper);
	fd_close(&r->device);
	g_assert_cmpuint(open_fds(), ==, r->fds);
}

static void keep(struct rig *r, uint8_t device, uint8_t kind, uint16_t epoch, unsigned count)
{
	const struct ctl_keep what = { device, kind, epoch };
	const int fds[CTL_KEEP_FDS] = { 2, 2, 2, 2, 2, 2, 2, 2 };
	struct conn_fds got;
	struct ctl_msg msg;

	g_assert_cmpint(ctl_send_fds(r->device, CTL_KEEP, ctl_keep_pack(&what), fds, count), ==, 0);
	g_assert_cmpint(ctl_recv_fds(r->keeper, CTL_FROM_DEVICE, &msg, &got), ==, 0);
	vault_keep(&r->vault, msg.arg, &got);
	g_assert_cmpuint(got.count, ==, 0);
}

/* What a successor gets: "device.kind.epoch*count " each. */
static char *given(struct rig *r)
{
	GString *text = g_string_new("");
	struct conn_fds got;
	struct ctl_keep what;
	struct ctl_msg msg;

	g_assert_cmpint(vault_give(&r->vault, r->keeper), ==, 0);
	for (;;) {
		g_assert_cmpint(ctl_recv_fds(r->device, CTL_FROM_KEEPER, &msg, &got), ==, 0);
		if (msg.type == CTL_KEPT_ALL)
			break;
		g_assert_true(ctl_keep_unpack(msg.arg, r->vault.devices, &what));
		g_string_append_printf(text, "%u.%u.%u*%u ", what.device, what.kind, what.epoch,
				       got.count);
		conn_fds_close(&got);
	}
	return g_string_free(text, FALSE);
}

static void assert_given(struct rig *r, const char *want)
{
	g_autofree char *got = given(r);

	g_assert_cmpstr(got, ==, want);
}

/* The last two of each kind, in whatever numbers; the same number again replaces. */
static void test_two(void)
{
	struct rig r;

	rig_up(&r, 2);
	assert_given(&r, "");
	keep(&r, 0, CTL_KEEP_MEMORY, 1, 3);
	assert_given(&r, "0.0.1*3 ");
	keep(&r, 0, CTL_KEEP_MEMORY, 2, 8);
	keep(&r, 0, CTL_KEEP_MEMORY, 2, 5);	/* a successor took that message again */
	assert_given(&r, "0.0.2*5 0.0.1*3 ");
	keep(&r, 0, CTL_KEEP_MEMORY, 3, 1);
	keep(&r, 1, CTL_KEEP_IRQ, 65535, 2);
	keep(&r, 1, CTL_KEEP_IRQ, 1, 2);
	assert_given(&r, "0.0.2*5 0.0.3*1 1.1.1*2 1.1.65535*2 ");
	assert_given(&r, "0.0.2*5 0.0.3*1 1.1.1*2 1.1.65535*2 ");
	rig_down(&r);
}

static void test_hostile(void)
{
	struct rig r;

	rig_up(&r, 2);
	keep(&r, 2, CTL_KEEP_MEMORY, 1, 1);
	keep(&r, 255, CTL_KEEP_MEMORY, 1, 1);
	keep(&r, 0, CTL_KEEP_KINDS, 1, 1);
	keep(&r, 0, 255, 1, 1);
	assert_given(&r, "");
	for (unsigned i = 0; i < 1000; i++)
		keep(&r, i % 2, i / 2 % 2, i * 7919, 1 + i % 8);
	g_assert_cmpuint(open_fds(), <=, r.fds + 2 + 2 * 2 * 2 * CTL_KEEP_FDS);
	rig_down(&r);
}

/* A successor that is dead already, or that reads nothing. */
static void test_nobody(void)
{
	struct rig r;
	int ret = 0;

	rig_up(&r, 1);
	keep(&r, 0, CTL_KEEP_MEMORY, 1, 8);
	for (unsigned i = 0; i < 10000 && !ret; i++)
		ret = vault_give(&r.vault, r.keeper);
	g_assert_true(ret == -EAGAIN || ret == -ETOOMANYREFS);
	fd_close(&r.device);
	g_assert_cmpint(vault_give(&r.vault, r.keeper), <, 0);
	rig_down(&r);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vault/hostile", test_hostile);
	g_test_add_func("/vault/nobody", test_nobody);
	g_test_add_func("/vault/two", test_two);
	return g_test_run();
}
