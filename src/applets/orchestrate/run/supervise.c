/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/run/supervise.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <glib-unix.h>

#include "applets/orchestrate/run/priv.h"
#include "base/fd.h"
#include "base/log.h"
#include "control/supervise.h"

/*
 * QEMU's words for a VM whose vCPUs stand still, and which may go on.  One that has not begun
 * ("prelaunch") has nothing to stop, and one that has ended ("shutdown") nothing to wait for.
 */
static bool stands_still(const char *status)
{
	static const char *const words[] = {
		"paused", "io-error", "watchdog", "guest-panicked", "internal-error", "debug",
		"save-vm", "finish-migrate", "postmigrate", "colo", NULL
	};

	return g_strv_contains(words, status);
}

static void tell(struct run_remote *remote, enum sup_type type)
{
	const struct sup_msg msg = { .type = type, .id = ++remote->asked };
	int ret = sup_send(remote->control, &msg);

	/* One that is gone is seen by its end. */
	if (ret && ret != -EPIPE)
		log_warning("%s: cannot be asked to %s: %s", remote->process->serves,
			    type == SUP_PAUSE ? "pause" : "resume", log_errname(ret));
}

static void set_pause(struct run_remote *remote, enum run_pause pause)
{
	if (remote->pause == pause)
		return;
	remote->pause = pause;
	run_event(remote->run, "MPQEMU_REMOTE_STATE",
		  json_pack("{s:s, s:s}", "remote", run_remote_id(remote), "state",
			    supervise_state(remote)));
}

static void on_paused(struct run_remote *remote, const struct sup_msg *msg)
{
	/* One that was resumed since then says so itself. */
	if (msg->id != remote->asked)
		return;
	if (msg->value)
		log_warning("%s: its disks could not be flushed for the pause: %s",
			    remote->process->serves, log_errname(msg->value));
	set_pause(remote, RUN_PAUSED);
}

static void on_refused(struct run_remote *remote, const struct sup_msg *msg)
{
	if (msg->id != remote->asked || msg->value == ECANCELED)
		return;
	log_warning("%s: does not stand still with the VM: %s", remote->process->serves,
		    log_errname(msg->value));
	set_pause(remote, RUN_GOES);
}

static void on_crashed(struct run_remote *remote, const struct sup_msg *msg)
{
	char cause[80];

	sup_cause_text(msg, cause, sizeof(cause));
	run_event(remote->run, "MPQEMU_REMOTE_CRASHED",
		  json_pack("{s:s, s:s}", "remote", run_remote_id(remote), "cause", cause));
	g_free(remote->crash);
	remote->crash = g_strdup(cause);
}

static void hear(struct run_remote *remote, const struct sup_msg *msg)
{
	switch (msg->type) {
	case SUP_PAUSED:
		on_paused(remote, msg);
		break;
	case SUP_REFUSED:
		on_refused(remote, msg);
		break;
	case SUP_READY:
		remote->device_pid = msg->arg;
		break;
	case SUP_CRASHED:
		on_crashed(remote, msg);
		break;
	default:
		break;
	}
}

static gboolean readable(int fd, GIOCondition condition, void *opaque)
{
	struct run_remote *remote = opaque;
	struct sup_msg msg;
	int ret;

	while (!(ret = sup_recv(remote->control, SUP_FROM_REMOTE, &msg)))
		hear(remote, &msg);
	if (ret == -EAGAIN)
		return G_SOURCE_CONTINUE;
	if (ret != -ENODATA)
		log_warning("%s: its control channel: %s; the VM's pause does not reach it",
			    remote->process->serves, log_errname(ret));
	remote->control_watch = 0;
	fd_close(&remote->control);
	return G_SOURCE_REMOVE;
}

int supervise_begin(struct run_remote *remote)
{
	int ends[2];

	if (!remote->process->control_fd)
		return -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
		log_warning("%s: the VM's pause does not reach it: socketpair: %s",
			    remote->process->serves, log_errname(errno));
		return -1;
	}
	remote->control = ends[0];
	remote->control_watch = g_unix_fd_add(ends[0], G_IO_IN | G_IO_HUP, readable, remote);
	return ends[1];
}

void supervise_end(struct run_remote *remote)
{
	/* What it said last may be why it has ended. */
	if (remote->control >= 0 && readable(remote->control, G_IO_IN, remote) &&
	    remote->control_watch)
		g_source_remove(remote->control_watch);
	remote->control_watch = 0;
	fd_close(&remote->control);
}

void supervise_follow(struct run *run)
{
	bool still = stands_still(vmm_status(run->vmm));

	for (unsigned i = 0; i < run->remote_count; i++) {
		struct run_remote *remote = &run->remotes[i];

		if (remote->control < 0 || still == (remote->pause != RUN_GOES))
			continue;
		tell(remote, still ? SUP_PAUSE : SUP_RESUME);
		set_pause(remote, still ? RUN_PAUSING : RUN_GOES);
	}
}

const char *supervise_state(const struct run_remote *remote)
{
	static const char *const names[] = {
		[RUN_GOES] = "running", [RUN_PAUSING] = "pausing", [RUN_PAUSED] = "paused",
	};

	return names[remote->pause];
}
