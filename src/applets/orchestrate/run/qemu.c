/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The VMM's process, and what all processes of a run are started with. */

#include <errno.h>
#include <string.h>

#include <glib-unix.h>

#include "applets/orchestrate/run/adopted.h"
#include "applets/orchestrate/run/inplace.h"
#include "applets/orchestrate/run/cgroup.h"
#include "applets/orchestrate/run/priv.h"
#include "applets/orchestrate/run/supervise.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/service.h"

/* A QEMU whose monitor says nothing has started by then, as far as can be told. */
#define READY_MS 5000

static gboolean qemu_ended(int fd, GIOCondition condition, void *opaque)
{
	struct run *run = opaque;

	if (!child_reap(&run->qemu))
		return G_SOURCE_CONTINUE;
	if (run->qemu.status) {
		g_autofree char *end = child_describe_end(&run->qemu);

		log_line(run->signals ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, "%s %s",
			 run_vmm_name(run), end);
	}
	run_end(run);
	return G_SOURCE_REMOVE;
}

static int exec_status(int ret)
{
	if (ret == -ENOENT || ret == -ENOTDIR)
		return RUN_STATUS_NOT_FOUND;
	return RUN_STATUS_NO_EXEC;
}

/* Logs why @process could not be started and returns the exit status that says so. */
static int report_start(const struct plan_process *process, int ret, const char *where)
{
	const char *prog = process->argv->pdata[0];

	if (!strcmp(where, "exec")) {
		log_error("%s: cannot run it: %s", prog, log_errname(ret));
		return exec_status(ret);
	}
	log_error("%s: cannot start it: %s: %s", prog, where, log_errname(ret));
	return RUN_STATUS_FAILED;
}

static void add_fd(struct child_fd *fds, unsigned *count, int fd, int slot)
{
	if (fd >= 0 && slot > 0)
		fds[(*count)++] = (struct child_fd){ .fd = fd, .slot = slot };
}

struct child_fd *run_collect_fds(struct run *run, const struct plan_process *process,
				 const struct run_own *own, unsigned *ret_count)
{
	struct child_fd *fds = g_new0(struct child_fd, process->slots->len + 2);
	bool is_vmm = process == run->plan->qemu;
	unsigned count = 0;

	for (unsigned i = 0; i < process->slots->len; i++) {
		const struct plan_slot *slot = &g_array_index(process->slots, struct plan_slot, i);
		const struct run_pair *pair = &run->pairs[slot->pair];

		add_fd(fds, &count, is_vmm ? pair->proxy_end : pair->remote_end, slot->fd);
	}
	add_fd(fds, &count, own->metrics, process->metrics_fd);
	add_fd(fds, &count, own->control, process->control_fd);
	*ret_count = count;
	return fds;
}

/* Starts one process of the plan.  Returns 0 or the exit status, after logging why. */
int run_start_process(struct run *run, const struct plan_process *process, struct child *child,
		      const struct run_own *own)
{
	bool is_vmm = process == run->plan->qemu;
	unsigned fd_count;
	g_autofree struct child_fd *fds = run_collect_fds(run, process, own, &fd_count);
	struct child_setup setup = {
		.argv = plan_process_argv(process),
		.fds = fds,
		.fd_count = fd_count,
		.keep_all = is_vmm,
		.keep = (const int *)process->keep->data,
		.keep_count = process->keep->len,
		.drop = (const int *)process->drop->data,
		.drop_count = process->drop->len,
		.stderr_fd = own->log,
		.cgroup = cgroup_procs(run->cgroup),
		.stdio = is_vmm ? CHILD_STDIO_OURS : CHILD_STDIO_SERVICE,
		.sigmask = &run->old_mask,
		.sigpipe = &run->options->sigpipe,
		.limits = &process->limits,
	};
	const char *where;
	int ret = child_start(child, &setup, &where);

	return ret ? report_start(process, ret, where) : 0;
}

/* ---- Its monitor ---- */

static void tell_ready(struct run *run);

static void on_changed(void *opaque)
{
	struct run *run = opaque;

	tell_ready(run);
	log_debug("the VM's status is %s", vmm_status(run->vmm));
	notify_say(&run->notify, "STATUS=%s: %s, %u remotes", run->options->name,
		   vmm_status(run->vmm), run->remote_count);
	run_event(run, "MPQEMU_STATUS", json_pack("{s:s}", "status", vmm_status(run->vmm)));
	supervise_follow(run);
}

static void on_event(void *opaque, const char *name, const json_t *event)
{
	json_t *data = json_object_get(event, "data");
	const char *device = json_string_value(json_object_get(data, "device"));

	if (device && !strcmp(name, "DEVICE_DELETED"))
		adopted_deleted(opaque, device);
	run_event(opaque, name, data ? json_incref(data) : NULL);
}

/* Its end closes the monitor too, and is seen by itself. */
static void on_failed(void *opaque, const char *why, bool closed)
{
	if (!closed)
		tell_ready(opaque);
	if (!closed)
		log_warning("QEMU's monitor: %s; the VM's status is not known from now on, and "
			    "its guest cannot be asked to shut down", why);
}

static void watch_vmm(struct run *run)
{
	static const struct vmm_ops ops = {
		.changed = on_changed, .event = on_event, .failed = on_failed,
	};

	if (run->plan->monitor >= 0)
		run->vmm = vmm_create(fd_steal(&run->pairs[run->plan->monitor].remote_end), &ops,
				      run);
}

static void on_paused(void *opaque, const json_t *value, const struct qmp_failure *failure)
{
	if (failure)
		log_error("the VM cannot be stopped: %s", failure->desc);
}

void run_pause(struct run *run)
{
	int ret = vmm_answers(run->vmm) ?
		  vmm_execute(run->vmm, "stop", NULL, -1, on_paused, run) : -ENOTCONN;

	if (ret)
		log_error("the VM cannot be stopped: its monitor: %s", log_errname(ret));
}

/* ---- Its start ---- */

/*
 * Who started us in the background, and the service manager, have waited for this: QEMU has read
 * its command line and answers, or has not died for a while.
 */
static void tell_ready(struct run *run)
{
	if (run->ready)
		return;
	run->ready = true;
	if (service_release(&run->options->ready_fd, run->options->keep_stderr))
		log_warning("--daemonize: the caller is gone");
	notify_say(&run->notify, "READY=1\nSTATUS=%s: %u remotes", run->options->name,
		   run->remote_count);
}

static gboolean ready_timed_out(void *opaque)
{
	struct run *run = opaque;

	run->ready_timer = 0;
	tell_ready(run);
	return G_SOURCE_REMOVE;
}

void run_qemu_started(struct run *run)
{
	run->phase = PHASE_RUN;
	run->started = g_get_monotonic_time();
	for (unsigned i = 0; i < run_pair_total(run); i++)
		fd_close(&run->pairs[i].proxy_end);
	watch_vmm(run);
	if (run->vmm)
		run->ready_timer = g_timeout_add(READY_MS, ready_timed_out, run);
	else
		tell_ready(run);
}

void run_start_qemu(struct run *run)
{
	autofd log = run->options->log_qemu ? run_log_pipe(run, "qemu") : -1;
	const struct run_own own = { .log = log, .metrics = -1, .control = -1 };
	int status;

	run_stop_timer(run);
	if (run->inplace) {
		inplace_start_qemu(run);
		return;
	}
	status = run_start_process(run, run->plan->qemu, &run->qemu, &own);
	if (status) {
		run_abort(run, status);
		return;
	}
	g_unix_fd_add(run->qemu.pidfd, G_IO_IN, qemu_ended, run);
	run_qemu_started(run);
}
