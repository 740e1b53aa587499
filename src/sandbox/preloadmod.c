/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mpqemu-preload.so: runs in a program of others, so it needs no library but libc, and says what
 * fails on stderr before it ends the program.  See preload.h.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/preload.h"

#define EXIT_FAILED 127

static void refuse(const char *what)
{
	const char *name = strerrorname_np(errno);

	if (write(STDERR_FILENO, what, strlen(what)) < 0 ||
	    write(STDERR_FILENO, ": ", 2) < 0 || write(STDERR_FILENO, name, strlen(name)) < 0)
		_exit(EXIT_FAILED);
	_exit(EXIT_FAILED);
}

/* Until the program has a handler of its own. */
static void on_sigterm(int number)
{
	_exit(128 + number);
}

/*
 * The parent may die at any time.  Until here that meant SIGKILL, as the first process of a pid
 * namespace takes no notice of a signal without a handler (pid_namespaces(7)).
 */
static void end_with_parent(void)
{
	struct sigaction action = { .sa_handler = on_sigterm };

	if (sigaction(SIGTERM, &action, NULL) < 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
		refuse("sandbox: end with the parent");
}

/* All threads: a library may have started some. */
static void load(int fd)
{
	struct sock_filter *code = malloc(BPF_MAXINSNS * sizeof(*code));
	ssize_t size = code ? pread(fd, code, BPF_MAXINSNS * sizeof(*code), 0) : -1;
	struct sock_fprog prog = { .len = size < 0 ? 0 : size / sizeof(*code), .filter = code };

	if (size <= 0 || size % sizeof(*code) ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog) != 0)
		refuse("sandbox: system-call filter");
	free(code);
	close(fd);
}

static __attribute__((constructor)) void enter(void)
{
	unsetenv("LD_PRELOAD");
	end_with_parent();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		refuse("sandbox: rights");
	for (int i = 0; i < SANDBOX_PRELOAD_COUNT; i++)
		load(SANDBOX_PRELOAD_FD + i);
}
