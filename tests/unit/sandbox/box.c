/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "box.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "../util.h"

struct ending box_run(void (*body)(const void *opaque), const void *opaque)
{
	struct ending e = { 0 };
	size_t len = 0;
	int fds[2];
	ssize_t n;
	pid_t pid;

	must(pipe(fds));
	pid = must(fork());
	if (pid == 0) {
		must(dup2(fds[1], BOX_LOG));
		/* What a hostile body writes there is no line of this test's. */
		close(STDOUT_FILENO);
		must(open("/dev/null", O_WRONLY));
		close(fds[0]);
		close(fds[1]);
		log_init(BOX_LOG, "box");
		body(opaque);
		_exit(RETURNED);
	}
	close(fds[1]);
	while (len < sizeof(e.said) - 1 &&
	       (n = must(read(fds[0], e.said + len, sizeof(e.said) - 1 - len))) > 0)
		len += n;
	close(fds[0]);
	must(waitpid(pid, &e.status, 0));
	return e;
}

static struct filter_set one(uint64_t value)
{
	return (struct filter_set){ .mask = UINT64_MAX, .base = value };
}

struct filter_env box_env(unsigned features)
{
	return (struct filter_env){
		.set = {
			[FILTER_LOG] = one(BOX_LOG), [FILTER_CONTROL] = one(4),
			[FILTER_PEER] = { ~7ULL, 16 }, [FILTER_IMAGE] = { ~31ULL, 32 },
			[FILTER_NBD_SOCKET] = { ~63ULL, 192 },
			[FILTER_RECEIVED] = { ~63ULL, 128 }, [FILTER_EPOLL] = one(8),
			[FILTER_POOL] = one(9),
			[FILTER_ARENA] = { ~(BOX_ARENA_SIZE - 1), BOX_ARENA },
			[FILTER_CHILD] = { ~255ULL, 256 },	/* nothing stands there */
			[FILTER_LISTENER] = { ~7ULL, 384 },
			[FILTER_JOURNAL] = { ~7ULL, 24 },
			[FILTER_SELF] = one(2),
			[FILTER_MONITOR] = one(10), [FILTER_MANAGE] = one(11),
		},
		.arena_size = BOX_ARENA_SIZE, .features = features,
	};
}

void box_must(int ret)
{
	if (ret)
		_exit(99);
}

bool box_no_filter(void)
{
	const char *why = filter_impossible();

	if (!why && getenv("MPQ_WRAPPER"))
		why = "valgrind makes calls of its own";
	if (why)
		g_test_skip(why);
	return why;
}

bool box_not_root(void)
{
	if (geteuid() == 0)
		return false;
	g_test_skip("needs root");
	return true;
}
