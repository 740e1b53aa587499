/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mem/sigbus.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

#include "base/log.h"
#include "mem/arena.h"

/* A signal handler gets no argument of ours.  Set before the handler is installed. */
static struct guestmem_arena *guarded;

/*
 * Memory that is not there, found by an access.  Not one of those: an access that is not aligned,
 * bad memory that nobody has touched yet.
 */
static bool missing_memory(const siginfo_t *si)
{
	return si->si_code == BUS_ADRERR || si->si_code == BUS_OBJERR ||
	       si->si_code == BUS_MCEERR_AR;
}

/* Async-signal-safe; mmap is no more than its system call. */
static void on_sigbus(int sig, siginfo_t *si, void *context)
{
	int saved = errno;

	if (si->si_code <= 0)	/* sent by somebody: no access of ours failed */
		return;
	if (!missing_memory(si) || !guestmem_arena_repair(guarded, si->si_addr)) {
		log_signal("SIGBUS outside guest memory, at ", (uintptr_t)si->si_addr, 16);
		_exit(SIGBUS_EXIT);
	}
	errno = saved;
}

int sigbus_guard(struct guestmem_arena *arena)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };
	sigset_t set;

	guarded = arena;
	sigfillset(&action.sa_mask);
	if (sigaction(SIGBUS, &action, NULL) < 0)
		return -errno;
	sigemptyset(&set);
	sigaddset(&set, SIGBUS);
	return -pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}
