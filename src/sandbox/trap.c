/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sandbox/trap.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#include "base/log.h"

#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1	/* si_code; not in every libc's header */
#endif

/* What the handler ends with: a handler can be told nothing by its caller. */
static int trap_exit_status;

static void on_sigsys(int number, siginfo_t *info, void *context)
{
	/* Sent by somebody: it says nothing of what this process did. */
	if (info->si_code != SYS_SECCOMP)
		return;
	log_signal("forbidden system call ", info->si_syscall, 10);
	_exit(trap_exit_status);
}

int sandbox_trap_install(int exit_status)
{
	struct sigaction action = { .sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO };
	sigset_t set;

	trap_exit_status = exit_status;
	sigfillset(&action.sa_mask);
	sigemptyset(&set);
	sigaddset(&set, SIGSYS);
	if (sigaction(SIGSYS, &action, NULL) < 0 || sigprocmask(SIG_UNBLOCK, &set, NULL) < 0)
		return -errno;
	return 0;
}
