/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The VMM's process, and what all processes of a run are started with. */

#include <errno.h>
#include <string.h>

#include <glib-unix.h>

#include "applets/orchestrate/run/priv.h"
#include "base/fd.h"
#include "base/log.h"

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

/*
 * The process's ends of its socketpairs, as child_start() wants them.  @proxy: which end.  The
 * caller frees.
 */
static struct child_fd *collect_fds(struct run *run, const struct plan_process *process, bool proxy,
				    unsigned *ret_count)
{
	struct child_fd *fds = g_new0(struct child_fd, process->slots->len + 1);
	unsigned count = 0;

	for (unsigned i = 0; i < process->slots->len; i++) {
		const struct plan_slot *slot = &g_array_index(process->slots, struct plan_slot, i);
		const struct run_pair *pair = &run->pairs[slot->pair];

		if (slot->fd < 0)
			continue;
		fds[count].fd = proxy ? pair->proxy_end : pair->remote_end;
		fds[count++].slot = slot->fd;
	}
	*ret_count = count;
	return fds;
}

/* Starts one process of the plan.  Returns 0 or the exit status, after logging why. */
int run_start_process(struct run *run, const struct plan_process *process, struct child *child)
{
	bool is_vmm = process == run->plan->qemu;
	unsigned fd_count;
	g_autofree struct child_fd *fds = collect_fds(run, process, is_vmm, &fd_count);
	struct child_setup setup = {
		.argv = plan_process_argv(process),
		.fds = fds,
		.fd_count = fd_count,
		.keep_all = is_vmm,
		.keep = (const int *)process->keep->data,
		.keep_count = process->keep->len,
		.drop = (const int *)process->drop->data,
		.drop_count = process->drop->len,
		.stdio = is_vmm ? CHILD_STDIO_OURS : CHILD_STDIO_SERVICE,
		.sigmask = &run->old_mask,
		.sigpipe = &run->options->sigpipe,
		.limits = &process->limits,
	};
	const char *where;
	int ret = child_start(child, &setup, &where);

	return ret ? report_start(process, ret, where) : 0;
}

void run_start_qemu(struct run *run)
{
	int status;

	run_stop_timer(run);
	status = run_start_process(run, run->plan->qemu, &run->qemu);
	if (status) {
		run_abort(run, status);
		return;
	}
	run->phase = PHASE_RUN;
	for (unsigned i = 0; i < run_pair_total(run); i++)
		fd_close(&run->pairs[i].proxy_end);
	g_unix_fd_add(run->qemu.pidfd, G_IO_IN, qemu_ended, run);
}
