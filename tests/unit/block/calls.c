/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "calls.h"

#include <glib.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Allocates nothing: the heap may be in any state. */
static void on_forbidden(int sig, siginfo_t *info, void *context)
{
	static const char digits[] = "0123456789";
	int n = info->si_syscall;
	char text[] = "# forbidden system call 000\n";

	text[24] = digits[n / 100 % 10];
	text[25] = digits[n / 10 % 10];
	text[26] = digits[n % 10];
	if (write(STDOUT_FILENO, text, sizeof(text) - 1) < 0)
		_exit(1);
	_exit(CALLS_FORBIDDEN);
}

static void allow(scmp_filter_ctx ctx, const char *name)
{
	int number = seccomp_syscall_resolve_name(name);

	g_assert_cmpint(number, !=, __NR_SCMP_ERROR);
	g_assert_cmpint(seccomp_rule_add(ctx, SCMP_ACT_ALLOW, number, 0), ==, 0);
}

static void load_filter(const struct calls_allowed *allowed)
{
	struct sigaction action = { .sa_sigaction = on_forbidden, .sa_flags = SA_SIGINFO };
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_TRAP);

	g_assert_nonnull(ctx);
	g_assert_cmpint(sigaction(SIGSYS, &action, NULL), ==, 0);
	g_assert_cmpint(seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1), ==, 0);
	for (unsigned i = 0; i < CALLS_MAX && allowed->name[i]; i++)
		allow(ctx, allowed->name[i]);
	allow(ctx, "futex");
	allow(ctx, "exit_group");
	allow(ctx, "write");	/* the report */
	g_assert_cmpint(seccomp_load(ctx), ==, 0);
}

int calls_run(const struct calls_allowed *allowed, void (*prepare)(void *opaque),
	      void (*run)(void *opaque), void *opaque)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	g_assert_cmpint(pid, >=, 0);
	if (pid == 0) {
		prepare(opaque);
		load_filter(allowed);
		run(opaque);
		_exit(0);
	}
	g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

const char *calls_unusable(void)
{
#if defined(__SANITIZE_ADDRESS__)
	return "a sanitizer makes calls of its own";
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
	return "a sanitizer makes calls of its own";
#endif
#endif
	if (g_getenv("MPQ_WRAPPER"))
		return "valgrind makes calls of its own";
	return NULL;
}
