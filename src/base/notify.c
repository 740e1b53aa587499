/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/notify.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/unixaddr.h"

#define NS_PER_US 1000LL
#define NS_PER_MS 1000000LL
#define MESSAGE_MAX 256

/* Returns an fd or -errno. */
static int connect_to(const char *name)
{
	struct unix_addr addr;
	autofd fd = -1;
	int ret;

	if ((name[0] != '/' && name[0] != '@') || !name[1])
		return -EAFNOSUPPORT;
	ret = unix_addr_parse(name, &addr);
	if (ret)
		return ret;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	ret = unix_addr_connect(fd, &addr);
	return ret ? ret : fd_steal(&fd);
}

/* A positive decimal number, or 0. */
static int64_t number(const char *text)
{
	char *end;
	long long value;

	if (!text || text[0] < '0' || text[0] > '9')
		return 0;
	errno = 0;
	value = strtoll(text, &end, 10);
	return *end || errno ? 0 : value;
}

/* sd_watchdog_enabled(3): twice as often as it is asked for; WATCHDOG_PID may name another. */
static int64_t watchdog_interval(void)
{
	const char *pid = getenv("WATCHDOG_PID");
	int64_t us = number(getenv("WATCHDOG_USEC"));

	if ((pid && number(pid) != getpid()) || us > INT64_MAX / NS_PER_US)
		return 0;
	return us * NS_PER_US / 2;
}

int notify_init(struct notify *n)
{
	static const char *const names[] = { "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID" };
	const char *name = getenv("NOTIFY_SOCKET");
	int fd = name && *name ? connect_to(name) : -1;

	*n = (struct notify){ .fd = fd < 0 ? -1 : fd };
	if (fd >= 0)
		n->interval = watchdog_interval();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unsetenv(names[i]);
	return name && *name && fd < 0 ? fd : 0;
}

void notify_finish(struct notify *n)
{
	fd_close(&n->fd);
}

void notify_say(const struct notify *n, const char *fmt, ...)
{
	char text[MESSAGE_MAX];
	va_list ap;

	if (n->fd < 0)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	send(n->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
}

int notify_alive(struct notify *n, int64_t now, int wait_ms)
{
	int64_t left;

	if (!n->interval)
		return wait_ms;
	if (now >= n->due) {
		notify_say(n, "WATCHDOG=1");
		n->due = now + n->interval;
	}
	left = n->due - now;
	left = left / NS_PER_MS + (left % NS_PER_MS != 0);
	if (left > INT_MAX)
		left = INT_MAX;
	return wait_ms < 0 || left < wait_ms ? (int)left : wait_ms;
}
