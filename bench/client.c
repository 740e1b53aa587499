/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What bench-remote times of a start, in C so that no interpreter is in it:
 *
 *   bench-client start FD -- COMMAND...   runs COMMAND with the socket as number FD and prints the
 *                                         ns from fork to its reply to a config read
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "proto/mpqemu.h"

#define REPLY_SIZE (sizeof(struct mpq_header) + sizeof(uint64_t))

struct request {
	struct mpq_header header;
	struct mpq_cfg cfg;
} __attribute__((packed));

static void fail(const char *what)
{
	fprintf(stderr, "bench-client: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* One config read. */
static void ask(int fd)
{
	const struct request req = {
		.header = { .cmd = MPQ_PCI_CFGREAD, .size = sizeof(req.cfg) }, .cfg = { .len = 4 },
	};
	uint8_t reply[REPLY_SIZE];

	if (send(fd, &req, sizeof(req), MSG_NOSIGNAL) != sizeof(req))
		fail("send");
	errno = EPIPE;
	if (recv(fd, reply, sizeof(reply), MSG_WAITALL) != sizeof(reply))
		fail("the remote");
}

static int64_t start(int slot, char **command)
{
	int pair[2];
	int64_t begin, ns;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		fail("socketpair");
	begin = clock_ns();
	if (fork() == 0) {
		if (dup2(pair[1], slot) < 0)
			fail("dup2");
		execvp(command[0], command);
		fail(command[0]);
	}
	close(pair[1]);
	ask(pair[0]);
	ns = clock_ns() - begin;
	close(pair[0]);
	wait(NULL);
	return ns;
}

int main(int argc, char **argv)
{
	int64_t ns;

	if (argc < 5 || strcmp(argv[1], "start") || strcmp(argv[3], "--")) {
		fprintf(stderr, "usage: bench-client start FD -- COMMAND...\n");
		return 1;
	}
	ns = start(atoi(argv[2]), argv + 4);
	printf("%lld\n", (long long)ns);
	return 0;
}
