/* SPDX-License-Identifier: GPL-2.0-or-later */

/* How a run ends: in order, then with signals. */

#include <signal.h>

#include "applets/orchestrate/run/adopted.h"
#include "applets/orchestrate/run/priv.h"
#include "base/fd.h"
#include "base/log.h"

/* How long a remote has to end by itself, then after each SIGTERM, before the next step. */
#define END_GRACE_MS 5000
/* After the last SIGTERM: mpqemu-remote gives its storage daemon 10 s to write back. */
#define END_LAST_MS 15000
/* How often QEMU gets its signal once more. */
#define SIGNAL_AGAIN_MS 1000
/* How long QEMU has after SIGTERM: it writes its disks back. */
#define QEMU_TERM_MS 10000

static gboolean end_timer(void *opaque)
{
	struct run *run = opaque;
	bool last = run->end_step == END_TERM_AGAIN;

	run->end_step++;
	for (unsigned i = 0; i < run->remote_count; i++) {
		struct run_remote *remote = &run->remotes[i];

		/* One that got its first SIGTERM when this began is as far as the others. */
		if (!remote->child.pid || (remote->told && run->end_step == END_TERM))
			continue;
		log_warning("%s: process %d has not ended; sending %s", remote->process->serves,
			    remote->child.pid, last ? "SIGKILL" : "SIGTERM");
		child_kill(&remote->child, last ? SIGKILL : SIGTERM);
	}
	if (run->end_step == END_TERM)
		return G_SOURCE_CONTINUE;
	run->timer = last ? 0 : g_timeout_add(END_LAST_MS, end_timer, run);
	if (last)
		adopted_leave(run);
	return G_SOURCE_REMOVE;
}

void run_close_pair(struct run_pair *pair)
{
	if (pair->watch)
		g_source_remove(pair->watch);
	pair->watch = 0;
	fd_close(&pair->proxy_end);
	fd_close(&pair->remote_end);
}

/* Is it one that would wait for its next client for ever? */
static bool waits_for_clients(const struct run_remote *remote)
{
	const struct run *run = remote->run;

	for (unsigned i = 0; i < run->plan->pair_count; i++)
		if (run->pairs[i].remote == remote && run->pairs[i].path)
			return !remote->process->auto_shutdown;
	return false;
}

static void tell_listeners(struct run *run)
{
	for (unsigned i = 0; i < run->remote_count; i++) {
		struct run_remote *remote = &run->remotes[i];

		if (!remote->child.pid || !waits_for_clients(remote))
			continue;
		child_kill(&remote->child, SIGTERM);
		remote->told = true;
	}
}

/* ---- QEMU's signal ---- */

/*
 * QEMU 7.2 that is told to end while a QMP command is in flight, of anybody's, may sleep in its
 * clean-up for ever; each further signal wakes it up (docs/upstream-bugs.md, 28).
 */
static gboolean signal_again(void *opaque)
{
	struct run *run = opaque;

	child_kill(&run->qemu, run->again_signal);
	return G_SOURCE_CONTINUE;
}

static void stop_again_timer(struct run *run)
{
	if (run->again_timer)
		g_source_remove(run->again_timer);
	run->again_timer = 0;
}

void run_signal_qemu(struct run *run, int sig)
{
	child_kill(&run->qemu, sig);
	stop_again_timer(run);
	run->again_signal = sig;
	run->again_timer = g_timeout_add(SIGNAL_AGAIN_MS, signal_again, run);
}

/* ---- Shutdown ---- */

static void stop_shutdown_timer(struct run *run)
{
	if (run->shutdown_timer)
		g_source_remove(run->shutdown_timer);
	run->shutdown_timer = 0;
}

static gboolean shutdown_timed_out(void *opaque);

static void shutdown_term(struct run *run)
{
	run->shutdown_step = SHUTDOWN_TERM;
	run_signal_qemu(run, SIGTERM);
	run->shutdown_timer = g_timeout_add(QEMU_TERM_MS, shutdown_timed_out, run);
}

static gboolean shutdown_timed_out(void *opaque)
{
	struct run *run = opaque;

	run->shutdown_timer = 0;
	if (run->shutdown_step == SHUTDOWN_POWERDOWN) {
		log_warning("the guest has not shut down in time; sending SIGTERM to %s",
			    run_vmm_name(run));
		shutdown_term(run);
	} else {
		run->shutdown_step = SHUTDOWN_KILL;
		log_warning("%s has not ended %d s after SIGTERM; sending SIGKILL",
			    run_vmm_name(run), QEMU_TERM_MS / 1000);
		child_kill(&run->qemu, SIGKILL);
	}
	return G_SOURCE_REMOVE;
}

static void on_powerdown(void *opaque, const json_t *value, const struct qmp_failure *failure)
{
	struct run *run = opaque;

	if (!failure || run->shutdown_step != SHUTDOWN_POWERDOWN)
		return;
	log_warning("the guest cannot be asked to shut down: %s; sending SIGTERM to %s",
		    failure->desc, run_vmm_name(run));
	stop_shutdown_timer(run);
	shutdown_term(run);
}

void run_shutdown(struct run *run, unsigned seconds)
{
	bool ask = seconds && vmm_answers(run->vmm);

	if (run->phase != PHASE_RUN || run->shutdown_step >= SHUTDOWN_TERM)
		return;
	stop_shutdown_timer(run);
	if (seconds && !ask)
		log_warning("the guest cannot be asked to shut down: %s has no monitor that "
			    "answers; sending SIGTERM to it", run_vmm_name(run));
	if (!ask || vmm_execute(run->vmm, "system_powerdown", NULL, -1, on_powerdown, run)) {
		shutdown_term(run);
		return;
	}
	run->shutdown_step = SHUTDOWN_POWERDOWN;
	run->shutdown_timer = g_timeout_add_seconds(seconds, shutdown_timed_out, run);
}

/* ---- The end ---- */

void run_end(struct run *run)
{
	if (run->phase == PHASE_END)
		return;
	run->phase = PHASE_END;
	run_stop_timer(run);
	if (run->ready_timer)
		g_source_remove(run->ready_timer);
	run->ready_timer = 0;
	stop_shutdown_timer(run);
	stop_again_timer(run);
	notify_say(&run->notify, "STOPPING=1\nSTATUS=%s: ending", run->options->name);
	for (unsigned i = 0; i < run_pair_total(run); i++)
		run_close_pair(&run->pairs[i]);
	if (run->end_step == END_WAIT)
		tell_listeners(run);
	run->timer = g_timeout_add(END_GRACE_MS, end_timer, run);
	run_quit_when_done(run);
}

/* Ends what was started before QEMU was; the remotes need not wait to notice. */
void run_abort(struct run *run, int status)
{
	run_set_status(run, status);
	run_kill_remotes(run, SIGTERM);
	run->end_step = END_TERM;
	run_end(run);
}
