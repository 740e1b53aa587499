/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The message table against mpqemu-protocol(7), row by row, and who closes a message's fds. */

#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

#include <glib.h>

#include "base/fd.h"
#include "proto/mpqemu.h"
#include "../util.h"

static void test_rules(void)
{
	static const struct {
		int32_t cmd;
		const char *name;	/* NULL: no such command */
		enum mpq_sender sender;
		unsigned size_min, size_max, fd_min, fd_max;
		bool reply;
	} rows[] = {
		{ -1, NULL }, { INT32_MIN, NULL }, { INT32_MAX, NULL }, { 8, NULL }, { 256, NULL },
		{ 0x10000, NULL },
		{ 0, "SYNC_SYSMEM", MPQ_FROM_PROXY, 192, 192, 1, 8, false },
		{ 1, "RET", MPQ_FROM_REMOTE, 0, 8, 0, 0, false },
		{ 2, "PCI_CFGWRITE", MPQ_FROM_PROXY, 12, 12, 0, 0, true },
		{ 3, "PCI_CFGREAD", MPQ_FROM_PROXY, 12, 12, 0, 0, true },
		{ 4, "BAR_WRITE", MPQ_FROM_PROXY, 24, 24, 0, 0, true },
		{ 5, "BAR_READ", MPQ_FROM_PROXY, 24, 24, 0, 0, true },
		{ 6, "SET_IRQFD", MPQ_FROM_PROXY, 0, 0, 2, 2, false },
		{ 7, "DEVICE_RESET", MPQ_FROM_PROXY, 0, 0, 0, 0, true },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		const struct mpq_rule *rule = mpq_rule(rows[i].cmd);

		g_test_message("command %d", rows[i].cmd);
		g_assert_cmpint(!!rule, ==, !!rows[i].name);
		if (!rule)
			continue;
		g_assert_cmpstr(rule->name, ==, rows[i].name);
		g_assert_cmpint(rule->sender, ==, rows[i].sender);
		g_assert_cmpuint(rule->size_min, ==, rows[i].size_min);
		g_assert_cmpuint(rule->size_max, ==, rows[i].size_max);
		g_assert_cmpuint(rule->fd_min, ==, rows[i].fd_min);
		g_assert_cmpuint(rule->fd_max, ==, rows[i].fd_max);
		g_assert_cmpint(rule->reply, ==, rows[i].reply);
	}
}

/* Where each field stands on the wire, as QEMU's compiler laid it out. */
static void test_layout(void)
{
	g_assert_cmpuint(offsetof(struct mpq_header, size), ==, 8);
	g_assert_cmpuint(offsetof(struct mpq_sync_sysmem, size), ==, 64);
	g_assert_cmpuint(offsetof(struct mpq_sync_sysmem, offset), ==, 128);
	g_assert_cmpuint(offsetof(struct mpq_cfg, val), ==, 4);
	g_assert_cmpuint(offsetof(struct mpq_cfg, len), ==, 8);
	g_assert_cmpuint(offsetof(struct mpq_bar, val), ==, 8);
	g_assert_cmpuint(offsetof(struct mpq_bar, size), ==, 16);
	g_assert_cmpuint(offsetof(struct mpq_bar, memory), ==, 20);
}

static void test_close(void)
{
	unsigned before = open_fds();
	struct mpq_msg msg = { .fd_count = 3 };
	int kept;

	for (unsigned i = 0; i < 3; i++)
		msg.fd[i] = must(open("/dev/null", O_RDONLY | O_CLOEXEC));
	kept = fd_steal(&msg.fd[1]);
	mpq_msg_close(&msg);
	g_assert_cmpuint(msg.fd_count, ==, 0);
	g_assert_cmpuint(open_fds(), ==, before + 1);
	mpq_msg_close(&msg);
	must(close(kept));
	g_assert_cmpuint(open_fds(), ==, before);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/mpqemu/rules", test_rules);
	g_test_add_func("/mpqemu/layout", test_layout);
	g_test_add_func("/mpqemu/close", test_close);
	return g_test_run();
}
