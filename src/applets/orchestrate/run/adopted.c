/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/run/adopted.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/orchestrate/run/logs.h"
#include "applets/orchestrate/run/priv.h"
#include "applets/orchestrate/run/supervise.h"
#include "base/fd.h"
#include "base/log.h"
#include "control/supervise.h"

#define STATUS_UNKNOWN (-1)

static void adopted_free(struct run_remote *remote)
{
	supervise_end(remote);
	fd_close(&remote->metrics);
	plan_process_destroy(remote->held.process);
	g_free(remote->crash);
	g_free(remote->storage_end);
	g_free(remote->end);
	g_free(remote);
}

static void forget(struct run_remote *remote)
{
	g_ptr_array_remove(remote->run->adopted, remote);
	adopted_free(remote);
}

static struct run_remote *find(const struct run *run, const char *id)
{
	for (unsigned i = 0; i < run->adopted->len; i++)
		if (!strcmp(run_remote_id(run->adopted->pdata[i]), id))
			return run->adopted->pdata[i];
	return NULL;
}

/* One that QEMU has no more may come back by attach. */
static bool is_of_the_start(const struct run *run, const char *id)
{
	for (unsigned i = 0; i < run->plan->pair_count; i++)
		if (!run->pairs[i].released && !strcmp(run->pairs[i].device, id))
			return true;
	return false;
}

static struct plan_process *make_process(const struct run *run, const struct adopted_facts *facts)
{
	struct plan_process *process = plan_process_create();

	plan_process_arg(process, facts->program);
	plan_process_slot(process, -1, 0, facts->id);
	process->serves = g_strdup(facts->serves);
	return process;
}

bool adopted_add(struct run *run, const struct adopted_facts *facts, int control, GError **error)
{
	autofd channel = control;
	struct run_remote *remote = find(run, facts->id);

	if (sup_check(channel))
		return mpq_fail(error, MPQ_ERROR_USAGE, "no channel came with it");
	if (is_of_the_start(run, facts->id) || (remote && remote->held.pid))
		return mpq_fail(error, MPQ_ERROR_REFUSED, "Duplicate device ID '%s'", facts->id);
	if (remote)
		forget(remote);
	remote = g_new0(struct run_remote, 1);
	remote->run = run;
	remote->held = (struct run_held){
		.process = make_process(run, facts), .pid = facts->pid, .holder = facts->holder,
		.socket = facts->socket, .status = STATUS_UNKNOWN,
	};
	remote->process = remote->held.process;
	remote->child = (struct child)CHILD_INIT;
	remote->metrics = -1;
	remote->started = g_get_monotonic_time();
	g_ptr_array_add(run->adopted, remote);
	supervise_adopt(remote, fd_steal(&channel));
	log_info("%s is served by process %d, which was attached by process %d",
		 remote->process->serves, facts->pid, facts->holder);
	/* The VM may stand still. */
	supervise_follow(run);
	return true;
}

/* Only a memfd is read without ever waiting for somebody. */
static bool is_memfd(int fd)
{
	return fcntl(fd, F_GET_SEALS) >= 0;
}

static bool is_pipe(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

bool adopted_give(struct run *run, const char *id, const char *name, int fd, GError **error)
{
	struct run_remote *remote = find(run, id);
	autofd given = fd;

	if (!remote || !remote->held.pid)
		return mpq_fail(error, MPQ_ERROR_USAGE, "Device '%s' not found", id);
	if (!strcmp(name, "metrics") && is_memfd(given)) {
		fd_close(&remote->metrics);
		remote->metrics = fd_steal(&given);
	} else if (!strcmp(name, "log") && is_pipe(given)) {
		logs_read(run->options->logs, fd_steal(&given), id);
	} else {
		return mpq_fail(error, MPQ_ERROR_USAGE, "what came with it is no '%s'", name);
	}
	return true;
}

/* ---- Its end ---- */

void adopted_hear(struct run_remote *remote, const struct sup_msg *msg)
{
	if (msg->type == SUP_GONE)
		remote->held.status = msg->value & 0xff;
	else if (msg->type == SUP_CLIENT_GONE)
		remote->held.left = true;
}

/* As a shell reports it; the caller frees. */
static char *describe_end(const struct run_remote *remote)
{
	const int status = remote->held.status;
	const struct child child = {
		.status = status, .signal = status > 128 ? status - 128 : 0,
	};

	if (status == STATUS_UNKNOWN)
		return g_strdup_printf("ended with process %d, which held it (exit status unknown)",
				       remote->held.holder);
	return child_describe_end(&child);
}

/* QEMU's end of the socket is closed, or all ends. */
static bool end_was_due(const struct run_remote *remote)
{
	const struct run *run = remote->run;

	return remote->held.left || run->phase == PHASE_END || run->signals > 1 ||
	       (remote->held.socket && !run_qemu_holds(run, remote->held.socket));
}

void adopted_gone(struct run_remote *remote)
{
	struct run *run = remote->run;
	g_autofree char *end = describe_end(remote);
	bool due = end_was_due(remote);

	remote->held.pid = 0;
	remote->end = g_strdup(end);
	run_remote_exited(remote, due);
	if (!due) {
		/* Shown for as long as QEMU has the device. */
		run_remote_lost(remote, end);
		return;
	}
	log_info("%s: the VM has it no more", remote->process->serves);
	forget(remote);
	run_quit_when_done(run);
}

void adopted_deleted(struct run *run, const char *id)
{
	struct run_remote *remote = find(run, id);

	if (!remote)
		return;
	remote->held.left = true;
	if (!remote->held.pid)
		forget(remote);
}

/* ---- The end of all ---- */

bool adopted_any(const struct run *run)
{
	for (unsigned i = 0; i < run->adopted->len; i++)
		if (((const struct run_remote *)run->adopted->pdata[i])->held.pid)
			return true;
	return false;
}

void adopted_leave(struct run *run)
{
	while (run->adopted->len) {
		struct run_remote *remote = run->adopted->pdata[0];

		if (remote->held.pid)
			log_warning("%s: process %d has not ended; it is left to process %d",
				    remote->process->serves, remote->held.pid,
				    remote->held.holder);
		forget(remote);
	}
	run_quit_when_done(run);
}

void adopted_finish(struct run *run)
{
	while (run->adopted->len)
		forget(run->adopted->pdata[0]);
	g_ptr_array_unref(run->adopted);
}
