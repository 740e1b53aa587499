/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The floor that bench-start holds mpqemu-remote's start against: an empty process with the same
 * isolation stages, by the same code (src/sandbox), and nothing else.  A keeper clones a child into
 * namespaces and maps its user; the child is executed anew, gives up its file system and rights,
 * limits itself, loads the device process's filter, and answers each message with zeroes.
 *
 *   bench-empty FD        serves the socket FD
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/launch.h"
#include "sandbox/filter.h"
#include "sandbox/isolate.h"
#include "sandbox/landlock.h"
#include "sandbox/trap.h"

#define REPLY_SIZE 24	/* of a RET with a value: proto/mpqemu.h */
#define READY 3		/* the child's end of the pipe to its keeper */
#define STATUS 5

static struct filter_set one(uint64_t value)
{
	return (struct filter_set){ .mask = UINT64_MAX, .base = value };
}

static void must(int ret, const char *what)
{
	if (ret >= 0)
		return;
	fprintf(stderr, "bench-empty: %s: %s\n", what, strerror(-ret));
	_exit(1);
}

/* As confine_early() and confine_late() of the remote. */
static void shut_in(void)
{
	struct filter_env env = { .set = {
		[FILTER_LOG] = one(2), [FILTER_CONTROL] = one(LAUNCH_SLOT_CONTROL),
		[FILTER_PEER] = one(LAUNCH_SLOT_PEER), [FILTER_EPOLL] = one(LAUNCH_SLOT_EPOLL),
	}, .features = FILTER_RAW };
	struct sandbox_limits limits = { .fds = LAUNCH_SLOT_COUNT };
	struct sandbox_status status = { 0 };
	struct filter_program program;
	char why[SANDBOX_WHY];

	must(sandbox_enter_root(SANDBOX_STRICT, &status, why), "root");
	must(sandbox_drop(SANDBOX_STRICT, &status, why), "rights");
	must(filter_compile(&filter_device, &env, &program), "filter");
	must(sandbox_limit(&limits, why), "limits");
	must(sandbox_trap_install(STATUS), "trap");
	if (write(READY, "", 1) != 1)
		must(-EPIPE, "keeper");
	must(filter_install(&program), "filter");
}

static int serve(void)
{
	char request[256], reply[REPLY_SIZE] = { 0 };

	shut_in();
	/* Only what the filter has a row for. */
	for (;;) {
		ssize_t n = recv(LAUNCH_SLOT_PEER, request, sizeof(request), MSG_DONTWAIT);

		if (n == 0)
			_exit(0);
		if (n > 0)
			n = send(LAUNCH_SLOT_PEER, reply, sizeof(reply),
				 MSG_DONTWAIT | MSG_NOSIGNAL);
	}
}

static void child(const char *self, int peer, int ready, int go[2])
{
	char text[] = "bench-empty", mark[] = "serve", *argv[] = { text, mark, NULL };
	char *env[] = { NULL };

	must(sandbox_clone_wait(go), "keeper");
	setsid();
	if (dup2(peer, LAUNCH_SLOT_PEER) < 0 || dup2(ready, READY) < 0)
		must(-errno, "dup2");
	execve(self, argv, env);
	must(-errno, "execve");
}

/* As confine_keeper(). */
static void shut_keeper_in(void)
{
	struct filter_env env = { .set = { [FILTER_CONTROL] = one(LAUNCH_SLOT_CONTROL) } };
	int ruleset = sandbox_landlock_create(false, false);
	char why[SANDBOX_WHY];

	must(sandbox_drop_keeper(0, why), "keeper: rights");
	if (ruleset >= 0)
		must(sandbox_landlock_enter(ruleset), "keeper: Landlock");
	must(sandbox_trap_install(STATUS), "keeper: trap");
	must(filter_load(&filter_keeper, &env), "keeper: filter");
}

int main(int argc, char **argv)
{
	int go[2], ready[2], status;
	char why[SANDBOX_WHY], byte;
	pid_t pid;

	if (argc == 2 && !strcmp(argv[1], "serve"))
		return serve();
	if (argc != 2 || filter_impossible() || pipe2(go, O_CLOEXEC) < 0 ||
	    pipe2(ready, O_CLOEXEC) < 0) {
		fprintf(stderr, "usage: bench-empty FD, in a build without a sanitizer\n");
		return 1;
	}
	pid = sandbox_clone(SANDBOX_STRICT, SANDBOX_SHARE_NOTHING);
	must(pid, "clone");
	if (!pid)
		child("/proc/self/exe", atoi(argv[1]), ready[1], go);
	must(sandbox_clone_map(SANDBOX_STRICT, SANDBOX_SHARE_NOTHING, pid, go, why), "user map");
	close(atoi(argv[1]));
	close(ready[1]);
	if (read(ready[0], &byte, 1) == 1)
		shut_keeper_in();
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
