/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A forbidden call: reported with its number, and the end, in whatever state the process is. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "sandbox/trap.h"

#include "box.h"
#include "../util.h"

static void load(void)
{
	struct filter_env env = box_env(0);

	box_must(sandbox_trap_install(TRAPPED));
	box_must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	box_must(filter_load(&filter_device, &env));
}

static void body_forbidden(const void *opaque)
{
	load();
	syscall(SYS_getppid);
}

static void body_unblocked(const void *opaque)
{
	sigset_t all;

	/* Whoever started us may have blocked it. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	signal(SIGSYS, SIG_IGN);
	load();
	syscall(SYS_getppid);
}

static void test_reported(void)
{
	static void (*const bodies[])(const void *) = { body_forbidden, body_unblocked };
	g_autofree char *line = g_strdup_printf("box: forbidden system call %d\n", SYS_getppid);

	if (box_no_filter())
		return;
	for (unsigned i = 0; i < G_N_ELEMENTS(bodies); i++) {
		struct ending e = box_run(bodies[i], NULL);

		g_assert_true(ended_with(&e, TRAPPED));
		g_assert_cmpstr(e.said, ==, line);
	}
}

static void body_masked(const void *opaque)
{
	sigset_t all;

	box_must(sandbox_trap_install(TRAPPED));
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	struct filter_env env = box_env(0);
	box_must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	box_must(filter_load(&filter_device, &env));
	syscall(SYS_getppid);
}

static void body_no_handler(const void *opaque)
{
	struct filter_env env = box_env(0);

	box_must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	box_must(filter_load(&filter_device, &env));
	syscall(SYS_getppid);
}

/* The handler writes to an fd that is not the filter's: a forbidden call of its own. */
static void body_second(const void *opaque)
{
	must(dup2(BOX_LOG, BOX_LOG + 1));
	log_init(BOX_LOG + 1, "box");
	load();
	syscall(SYS_getppid);
}

/* Another table of calls: x32's, where a number may mean something else. */
static void body_foreign(const void *opaque)
{
	load();
	syscall(0x40000000 | SYS_getppid);
}

static void test_killed(void)
{
	static void (*const bodies[])(const void *) = {
		body_masked, body_no_handler, body_second, body_foreign,
	};

	if (box_no_filter())
		return;
	for (unsigned i = 0; i < G_N_ELEMENTS(bodies); i++) {
		struct ending e = box_run(bodies[i], NULL);

		g_test_message("body %u: %#x", i, e.status);
		g_assert_true(WIFSIGNALED(e.status));
		g_assert_cmpint(WTERMSIG(e.status), ==, SIGSYS);
		g_assert_cmpstr(e.said, ==, "");
	}
}

/* A log that takes nothing more: the line is lost, the process ends all the same. */
static void body_full(const void *opaque)
{
	int fds[2];
	char page[4096] = { 0 };

	must(pipe2(fds, O_NONBLOCK));
	while (write(fds[1], page, sizeof(page)) > 0)
		;
	fcntl(fds[1], F_SETFL, 0);
	must(dup2(fds[1], BOX_LOG));
	load();
	syscall(SYS_getppid);
}

static void test_full_log(void)
{
	struct ending e;

	if (box_no_filter())
		return;
	e = box_run(body_full, NULL);
	g_assert_true(ended_with(&e, TRAPPED));
}

static atomic_bool running, loaded;

static void *other_thread(void *opaque)
{
	running = true;		/* what libc does for a new thread is done */
	while (!loaded)
		;
	syscall(SYS_getppid);
	return NULL;
}

/* A thread that was there before the filter, and had no say: the whole process ends. */
static void body_thread(const void *opaque)
{
	pthread_t thread;

	must(-pthread_create(&thread, NULL, other_thread, NULL));
	while (!running)
		;
	load();
	loaded = true;
	while (true)
		;
}

static void test_threads(void)
{
	struct ending e;

	if (box_no_filter())
		return;
	e = box_run(body_thread, NULL);
	g_test_message("%#x: %s", e.status, e.said);
	g_assert_true(ended_with(&e, TRAPPED));
	g_assert_nonnull(strstr(e.said, "forbidden system call"));
}

static void body_no_new_privs(const void *opaque)
{
	struct filter_env env = box_env(0);

	/* Without no_new_privs, and without CAP_SYS_ADMIN, the kernel takes no filter. */
	must(setresuid(65534, 65534, 65534));
	if (filter_load(&filter_device, &env) == 0)
		_exit(1);
}

static void test_needs_no_new_privs(void)
{
	struct ending e;

	if (box_no_filter() || box_not_root())
		return;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1) {
		g_test_skip("no_new_privs is set here: the caller has set it");
		return;
	}
	e = box_run(body_no_new_privs, NULL);
	g_assert_true(ended_with(&e, RETURNED));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/sandbox/trap/killed", test_killed);
	g_test_add_func("/sandbox/trap/reported", test_reported);
	g_test_add_func("/sandbox/trap/full-log", test_full_log);
	g_test_add_func("/sandbox/trap/threads", test_threads);
	g_test_add_func("/sandbox/trap/no-new-privs", test_needs_no_new_privs);
	return g_test_run();
}
