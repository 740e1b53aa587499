/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/recover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applets/remote/device.h"
#include "applets/remote/keeper.h"
#include "applets/remote/spawn.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"
#include "event/loop.h"

/* ms before the successor of one that did not come to serve, by how many that were in a row. */
static const int delays[] = { 0, 100, 1000, 10000 };

#define TOKENS 1000		/* successors at once, */
#define TOKEN_TIME (20 * LOOP_MS)	/* and one in this time */
#define TELL_INTERVAL (1000 * LOOP_MS)
#define STALL_INTERVAL (50 * LOOP_MS)	/* at most: how often storage is looked at */

int recover_start(struct recover *r, const struct keeper *keeper, struct spawn *s)
{
	int ret;

	*r = (struct recover){
		.nursery.sock = -1, .tokens = TOKENS, .refilled = loop_now(),
		.told = loop_now() - TELL_INTERVAL,
	};
	vault_init(&r->vault, keeper->spec->device_count);
	ret = nursery_start(keeper, s, &r->nursery);
	if (ret)
		log_error("--on-crash: %s", log_errname(ret));
	r->on = !ret;
	return ret;
}

void recover_finish(struct recover *r)
{
	if (!r->on)
		return;
	r->on = false;
	r->due = 0;
	nursery_finish(&r->nursery);
	vault_finish(&r->vault);
}

static const char *cause_text(int wait_status, char *text, size_t size)
{
	if (WIFSIGNALED(wait_status))
		snprintf(text, size, "killed by signal %d (%s)", WTERMSIG(wait_status),
			 sigdescr_np(WTERMSIG(wait_status)));
	else if (WEXITSTATUS(wait_status) == DEVICE_EXIT_FORBIDDEN)
		snprintf(text, size, "ended by its sandbox at a forbidden system call");
	else
		snprintf(text, size, "ended with status %d", WEXITSTATUS(wait_status));
	return text;
}

static void tell(struct recover *r, pid_t pid, int wait_status)
{
	char text[128], more[64] = "";
	int64_t now = loop_now();

	if (now - r->told < TELL_INTERVAL) {
		r->untold++;
		return;
	}
	if (r->untold)
		snprintf(more, sizeof(more), " (and %u times before this)", r->untold);
	log_error("device process %d: %s; a successor goes on%s", pid,
		  cause_text(wait_status, text, sizeof(text)), more);
	r->told = now;
	r->untold = 0;
}

/* How long to wait for the sake of the host, ns. */
static int64_t take_token(struct recover *r, int64_t now)
{
	int64_t due = (now - r->refilled) / TOKEN_TIME;

	r->tokens = min_u64(TOKENS, r->tokens + due);
	r->refilled += due * TOKEN_TIME;
	if (!r->tokens)
		return TOKEN_TIME;
	r->tokens--;
	return 0;
}

bool recover_reap(struct recover *r)
{
	char text[128];
	int status;

	if (!r->on || r->lost || waitpid(r->nursery.pid, &status, WNOHANG) != r->nursery.pid)
		return false;
	r->lost = true;
	r->nursery.pid = 0;
	log_error("the process that launches device processes: %s; there will be no successor",
		  cause_text(status, text, sizeof(text)));
	return true;
}

bool recover_crashed(struct recover *r, pid_t pid, int wait_status, bool asked)
{
	int64_t now = loop_now();
	char text[128];

	if (!r->on || r->lost)
		return false;
	r->in_vain = r->serves ? 0 : r->in_vain + 1;
	if (r->serves)
		r->died = now;
	r->serves = false;
	if (r->in_vain >= sizeof(delays) / sizeof(delays[0])) {
		log_error("device process %d: %s; %u successors could not take it over: its "
			  "devices are given up", pid, cause_text(wait_status, text, sizeof(text)),
			  r->in_vain);
		return false;
	}
	if (!asked)
		tell(r, pid, wait_status);
	r->due = now + delays[r->in_vain] * LOOP_MS + take_token(r, now);
	return true;
}

int recover_wait(const struct recover *r, int wait_ms)
{
	return r->due ? loop_left_ms(r->due, wait_ms) : wait_ms;
}

bool recover_due(const struct recover *r)
{
	return r->due && loop_now() >= r->due;
}

/* The longer it has taken, the less often it is asked. */
static int wait_for_storage(struct recover *r)
{
	int64_t now = loop_now();

	if (!r->stalled)
		r->stalled = now;
	if (now - r->stalled >= TELL_INTERVAL && !r->stall_told) {
		log_warning("a successor waits: a disk's storage is not done with what the "
			    "last process asked for");
		r->stall_told = true;
	}
	r->due = now + min_u64(STALL_INTERVAL, LOOP_MS + (now - r->stalled) / 4);
	return -EBUSY;
}

int recover_launch(struct recover *r, int control, pid_t *ret_pid)
{
	autofd fresh = -1;
	int ret;

	r->due = 0;
	ret = nursery_launch(&r->nursery, ret_pid, &fresh);
	if (ret == -EBUSY)
		return wait_for_storage(r);
	if (ret)
		return ret;
	r->stalled = 0;
	r->stall_told = false;
	/* The number that the keeper's filter knows. */
	if (dup3(fresh, control, O_CLOEXEC) < 0)
		ret = -errno;
	if (!ret)
		ret = vault_give(&r->vault, control);
	if (ret) {
		log_error("cannot hand over to device process %d: %s", *ret_pid, log_errname(ret));
		nursery_kill(&r->nursery);
	}
	return 0;
}

bool recover_ready(struct recover *r, uint32_t *ret_outage)
{
	r->serves = true;
	if (!r->died)
		return false;
	*ret_outage = min_u64(UINT32_MAX, (loop_now() - r->died) / 1000);
	return true;
}
