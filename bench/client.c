/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The timed loops of bench-remote, in C so that no interpreter is in what is measured:
 *
 *   bench-client start FD -- COMMAND...   runs COMMAND with the socket as number FD and prints the
 *                                         ns from fork to its reply to a config read
 *   bench-client loop FD KIND COUNT       round trips of KIND on an inherited connection
 *   bench-client pingpong CPU KIND COUNT  the same sizes to a child on CPU that does nothing else
 *
 * loop and pingpong print the ns of one round trip, the mean of COUNT.  KIND is cfg or bar.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/mpqemu.h"

#define REPLY_SIZE (sizeof(struct mpq_header) + sizeof(uint64_t))
#define BAR_ADDR 0xfea00014u	/* ISTAT0 of the LSI where bench-remote places its BAR */

struct request {
	struct mpq_header header;
	union {
		struct mpq_cfg cfg;
		struct mpq_bar bar;
	} u;
};

struct kind {
	const char *name;
	enum mpq_cmd cmd;
	size_t payload;
};

static const struct kind kinds[] = {
	{ "cfg", MPQ_PCI_CFGREAD, sizeof(struct mpq_cfg) },
	{ "bar", MPQ_BAR_READ, sizeof(struct mpq_bar) },
};

static void fail(const char *what)
{
	fprintf(stderr, "bench-client: %s: %s\n", what, strerror(errno));
	exit(1);
}

static const struct kind *kind_find(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	errno = EINVAL;
	fail(name);
	return NULL;
}

static struct request request_make(const struct kind *kind)
{
	struct request req = { .header = { .cmd = kind->cmd, .size = kind->payload } };

	if (kind->cmd == MPQ_PCI_CFGREAD)
		req.u.cfg = (struct mpq_cfg){ .addr = 0, .len = 4 };
	else
		req.u.bar = (struct mpq_bar){ .addr = BAR_ADDR, .size = 1, .memory = 1 };
	return req;
}

static int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static void send_whole(int fd, const void *buf, size_t len)
{
	if (send(fd, buf, len, MSG_NOSIGNAL) != (ssize_t)len)
		fail("send");
}

/* Returns false at the end of the stream. */
static bool recv_whole(int fd, void *buf, size_t len)
{
	ssize_t n = recv(fd, buf, len, MSG_WAITALL);

	if (n < 0)
		fail("recv");
	return (size_t)n == len;
}

static int64_t loop(int fd, const struct kind *kind, long count)
{
	struct request req = request_make(kind);
	size_t size = sizeof(req.header) + kind->payload;
	uint8_t reply[REPLY_SIZE];
	int64_t start = now();

	for (long i = 0; i < count; i++) {
		send_whole(fd, &req, size);
		if (!recv_whole(fd, reply, sizeof(reply))) {
			errno = EPIPE;
			fail("the remote");
		}
	}
	return (now() - start) / count;
}

/* The other end of the ping-pong: reads what a request is, writes what a reply is. */
static void echo(int fd, int cpu, size_t size)
{
	uint8_t request[sizeof(struct request)], reply[REPLY_SIZE] = { 0 };
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		fail("sched_setaffinity");
	while (recv_whole(fd, request, size))
		send_whole(fd, reply, sizeof(reply));
	_exit(0);
}

static int64_t pingpong(int cpu, const struct kind *kind, long count)
{
	int pair[2];
	int64_t ns;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		fail("socketpair");
	if (fork() == 0) {
		close(pair[0]);
		echo(pair[1], cpu, sizeof(struct mpq_header) + kind->payload);
	}
	close(pair[1]);
	loop(pair[0], kind, count / 10 + 1);
	ns = loop(pair[0], kind, count);
	close(pair[0]);
	wait(NULL);
	return ns;
}

static int64_t start(int slot, char **command)
{
	int pair[2];
	int64_t begin, ns;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		fail("socketpair");
	begin = now();
	if (fork() == 0) {
		if (dup2(pair[1], slot) < 0)
			fail("dup2");
		execvp(command[0], command);
		fail(command[0]);
	}
	close(pair[1]);
	loop(pair[0], &kinds[0], 1);
	ns = now() - begin;
	close(pair[0]);
	wait(NULL);
	return ns;
}

int main(int argc, char **argv)
{
	int64_t ns;

	if (argc > 4 && !strcmp(argv[1], "start") && !strcmp(argv[3], "--")) {
		ns = start(atoi(argv[2]), argv + 4);
	} else if (argc == 5 && !strcmp(argv[1], "loop")) {
		ns = loop(atoi(argv[2]), kind_find(argv[3]), atol(argv[4]));
	} else if (argc == 5 && !strcmp(argv[1], "pingpong")) {
		ns = pingpong(atoi(argv[2]), kind_find(argv[3]), atol(argv[4]));
	} else {
		fprintf(stderr, "usage: bench-client start FD -- COMMAND... | loop FD KIND COUNT | "
			"pingpong CPU KIND COUNT\n");
		return 1;
	}
	printf("%lld\n", (long long)ns);
	return 0;
}
