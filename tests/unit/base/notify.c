/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a service manager hears: addresses that are none, signs of life, and that nothing waits. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib.h>

#include "base/fd.h"
#include "base/notify.h"
#include "base/unixaddr.h"
#include "../util.h"

#define MS 1000000LL	/* ns */

/* A manager's socket, abstract and nobody else's. */
static int manager(char name[64])
{
	struct unix_addr addr;
	int fd = must(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));

	snprintf(name, 64, "@mpqemu-test-notify-%d", getpid());
	must(unix_addr_parse(name, &addr));
	must(bind(fd, (const struct sockaddr *)&addr.sun, addr.len));
	return fd;
}

static void set_env(const char *socket, const char *usec, const char *pid)
{
	const char *const rows[][2] = {
		{ "NOTIFY_SOCKET", socket }, { "WATCHDOG_USEC", usec }, { "WATCHDOG_PID", pid },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		if (rows[i][1])
			g_setenv(rows[i][0], rows[i][1], true);
		else
			g_unsetenv(rows[i][0]);
	}
}

static void check_gone(void)
{
	g_assert_null(g_getenv("NOTIFY_SOCKET"));
	g_assert_null(g_getenv("WATCHDOG_USEC"));
	g_assert_null(g_getenv("WATCHDOG_PID"));
}

/* The next datagram is @want; NULL: there is none. */
static void check_heard(int fd, const char *want)
{
	char got[1024] = "";
	ssize_t n = recv(fd, got, sizeof(got) - 1, 0);

	if (want)
		g_assert_cmpstr(got, ==, want);
	else
		g_assert_cmpint(n, ==, -1);
}

static void test_bad_address(void)
{
	g_autofree char *long_name = g_strnfill(200, 'a');
	static const struct {
		const char *name;
		int ret;
	} rows[] = {
		{ NULL, 0 }, { "", 0 }, { "/", -EAFNOSUPPORT }, { "@", -EAFNOSUPPORT },
		{ "relative", -EAFNOSUPPORT }, { "vsock:2:1", -EAFNOSUPPORT },
		{ "/nonexistent/socket", -ENOENT }, { "/dev/null", -ECONNREFUSED },
		{ "@mpqemu-nobody-is-there", -ECONNREFUSED },
	};
	struct notify n;

	long_name[0] = '/';
	for (size_t i = 0; i <= G_N_ELEMENTS(rows); i++) {
		bool last = i == G_N_ELEMENTS(rows);

		set_env(last ? long_name : rows[i].name, "1000", NULL);
		g_assert_cmpint(notify_init(&n), ==, last ? -ENAMETOOLONG : rows[i].ret);
		g_assert_cmpint(n.fd, ==, -1);
		g_assert_cmpint(n.interval, ==, 0);
		check_gone();
		notify_say(&n, "READY=1");
		g_assert_cmpint(notify_alive(&n, 1, -1), ==, -1);
		notify_finish(&n);
	}
}

static void test_watchdog_env(void)
{
	g_autofree char *self = g_strdup_printf("%d", getpid());
	const struct {
		const char *usec, *pid;
		int64_t interval;
	} rows[] = {
		{ NULL, NULL, 0 }, { "", NULL, 0 }, { "0", NULL, 0 }, { "-5", NULL, 0 },
		{ "5s", NULL, 0 }, { " 5", NULL, 0 }, { "99999999999999999999", NULL, 0 },
		{ "9223372036854775807", NULL, 0 }, { "2000", "1", 0 }, { "2000", "", 0 },
		{ "2000", "junk", 0 }, { NULL, self, 0 }, { "2000", NULL, 1 * MS },
		{ "2000", self, 1 * MS }, { "1", NULL, 500 },
	};
	char name[64];
	autofd fd = manager(name);
	struct notify n;

	g_assert_cmpint(fd, >=, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		set_env(name, rows[i].usec, rows[i].pid);
		g_assert_cmpint(notify_init(&n), ==, 0);
		g_assert_cmpint(n.interval, ==, rows[i].interval);
		g_assert_cmpint(fcntl(n.fd, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
		check_gone();
		notify_finish(&n);
		g_assert_cmpint(n.fd, ==, -1);
	}
}

static void test_alive(void)
{
	char name[64];
	autofd fd = manager(name);
	struct notify n;

	set_env(name, "2000000", NULL);		/* one a second */
	g_assert_cmpint(notify_init(&n), ==, 0);
	g_assert_cmpint(notify_alive(&n, 5000 * MS, -1), ==, 1000);
	check_heard(fd, "WATCHDOG=1");
	g_assert_cmpint(notify_alive(&n, 5400 * MS, -1), ==, 600);
	g_assert_cmpint(notify_alive(&n, 5400 * MS, 7), ==, 7);
	g_assert_cmpint(notify_alive(&n, 5400 * MS, 0), ==, 0);
	g_assert_cmpint(notify_alive(&n, 6000 * MS - 1, 5000), ==, 1);	/* never too early */
	check_heard(fd, NULL);
	g_assert_cmpint(notify_alive(&n, 6000 * MS, 5000), ==, 1000);
	check_heard(fd, "WATCHDOG=1");
	g_assert_cmpint(notify_alive(&n, 99000 * MS, -1), ==, 1000);	/* late: once, not often */
	check_heard(fd, "WATCHDOG=1");
	check_heard(fd, NULL);
	n.interval = INT64_MAX / 2;
	n.due = INT64_MAX - 1;
	g_assert_cmpint(notify_alive(&n, 0, -1), ==, INT_MAX);
	notify_finish(&n);
}

static void test_say(void)
{
	g_autofree char *text = g_strnfill(300, 'x');
	g_autofree char *cut = g_strnfill(255, 'x');
	char name[64];
	autofd fd = manager(name);
	struct notify n;

	set_env(name, NULL, NULL);
	g_assert_cmpint(notify_init(&n), ==, 0);
	notify_say(&n, "READY=1\nSTATUS=%u", 3u);
	check_heard(fd, "READY=1\nSTATUS=3");
	notify_say(&n, "%s", text);
	check_heard(fd, cut);
	/* A manager that does not read is not waited for; one that went away is no signal. */
	for (int i = 0; i < 10000; i++)
		notify_say(&n, "STATUS=%d", i);
	check_heard(fd, "STATUS=0");
	fd_close(&fd);
	notify_say(&n, "STOPPING=1");
	notify_finish(&n);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/notify/bad-address", test_bad_address);
	g_test_add_func("/notify/watchdog-env", test_watchdog_env);
	g_test_add_func("/notify/alive", test_alive);
	g_test_add_func("/notify/say", test_say);
	return g_test_run();
}
