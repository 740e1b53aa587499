/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rig.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../util.h"

int64_t fake_ms = 1000000;

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	if (clock != CLOCK_MONOTONIC)
		return syscall(SYS_clock_gettime, clock, ret);
	ret->tv_sec = fake_ms / 1000;
	ret->tv_nsec = fake_ms % 1000 * 1000000;
	return 0;
}

void pair(int *ret_ours, int *ret_theirs)
{
	int fd[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd));
	*ret_ours = fd[0];
	*ret_theirs = fd[1];
}

bool says(int sock, const char *text)
{
	size_t len = strlen(text);

	while (len) {
		ssize_t n = send(sock, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN;
		text += n;
		len -= n;
	}
	return true;
}

const char *hears(int sock)
{
	static GString *all;
	char buf[4096];
	ssize_t n;

	if (!all)
		all = g_string_new(NULL);
	g_string_truncate(all, 0);
	while ((n = recv(sock, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		g_string_append_len(all, buf, n);
	return !all->len && (n == 0 || errno != EAGAIN) ? NULL : all->str;
}

json_t *hears_json(int sock)
{
	const char *text = hears(sock);
	json_error_t error;
	json_t *value;

	g_assert_nonnull(text);
	value = json_loads(text, 0, &error);
	if (!value)
		g_error("not one line of JSON: %s: \"%s\"", error.text, text);
	return value;
}
