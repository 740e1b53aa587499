/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/run/supervise.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <glib-unix.h>

#include "applets/orchestrate/run/adopted.h"
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

	remote->pause_id = msg.id;
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
	if (msg->id != remote->pause_id)
		return;
	if (msg->value)
		log_warning("%s: its disks could not be flushed for the pause: %s",
			    remote->process->serves, log_errname(msg->value));
	set_pause(remote, RUN_PAUSED);
}

static void restart_done(struct run_remote *remote, const char *why)
{
	struct run_restart restart = remote->restart;

	remote->restart = (struct run_restart){ 0 };
	if (restart.done)
		restart.done(restart.opaque, why);
}

static void on_restarted(struct run_remote *remote, const struct sup_msg *msg)
{
	remote->restarts++;
	remote->device_pid = msg->arg;
	log_info("%s: another device process (%u) serves it; %u.%03u ms without one",
		 remote->process->serves, msg->arg, msg->value / 1000, msg->value % 1000);
	run_event(remote->run, "MPQEMU_REMOTE_RESTARTED",
		  json_pack("{s:s, s:i, s:i}", "remote", run_remote_id(remote), "pid",
			    (int)msg->arg, "outage-us", (int)msg->value));
	if (msg->id && msg->id == remote->restart.id)
		restart_done(remote, NULL);
}

static void on_refused(struct run_remote *remote, const struct sup_msg *msg)
{
	if (remote->restart.id && msg->id == remote->restart.id) {
		restart_done(remote, msg->value == ENOTSUP ? "it has no --on-crash=reset, "
			     "or can have no successor any more" : msg->value == ECHILD ?
			     "it can have no successor any more" : log_errname(msg->value));
		return;
	}
	if (msg->id != remote->pause_id || msg->value == ECANCELED)
		return;
	log_warning("%s: does not stand still with the VM: %s", remote->process->serves,
		    log_errname(msg->value));
	set_pause(remote, RUN_GOES);
}

/* A process of the remote has ended: *cause is why, from now on. */
static void told_end(struct run_remote *remote, const struct sup_msg *msg, const char *event,
		     char **cause)
{
	char text[80];

	sup_cause_text(msg, text, sizeof(text));
	run_event(remote->run, event,
		  json_pack("{s:s, s:s}", "remote", run_remote_id(remote), "cause", text));
	g_free(*cause);
	*cause = g_strdup(text);
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
	case SUP_RESTARTED:
		on_restarted(remote, msg);
		break;
	case SUP_CRASHED:
		told_end(remote, msg, "MPQEMU_REMOTE_CRASHED", &remote->crash);
		break;
	case SUP_STORAGE_GONE:
		told_end(remote, msg, "MPQEMU_REMOTE_STORAGE_GONE", &remote->storage_end);
		run_storage_lost(remote);
		break;
	default:
		if (remote->held.process)
			adopted_hear(remote, msg);
		break;
	}
}

/* What there is.  Returns what sup_recv() says then. */
static int hear_all(struct run_remote *remote)
{
	struct sup_msg msg;
	int ret;

	while (!(ret = sup_recv(remote->control, SUP_FROM_REMOTE, &msg)))
		hear(remote, &msg);
	return ret;
}

static gboolean readable(int fd, GIOCondition condition, void *opaque)
{
	struct run_remote *remote = opaque;
	int ret = hear_all(remote);

	if (ret == -EAGAIN)
		return G_SOURCE_CONTINUE;
	if (ret != -ENODATA)
		log_warning("%s: its control channel: %s; the VM's pause does not reach it",
			    remote->process->serves, log_errname(ret));
	remote->control_watch = 0;
	fd_close(&remote->control);
	restart_done(remote, "it has ended");
	if (remote->held.process)
		adopted_gone(remote);
	return G_SOURCE_REMOVE;
}

void supervise_adopt(struct run_remote *remote, int control)
{
	remote->control = control;
	remote->control_watch = g_unix_fd_add(control, G_IO_IN | G_IO_HUP, readable, remote);
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
	supervise_adopt(remote, ends[0]);
	return ends[1];
}

void supervise_end(struct run_remote *remote)
{
	if (remote->control_watch)
		g_source_remove(remote->control_watch);
	remote->control_watch = 0;
	/* What it said last may be why it has ended. */
	if (remote->control >= 0)
		hear_all(remote);
	fd_close(&remote->control);
	restart_done(remote, "it has ended");
}

int supervise_restart(struct run_remote *remote, void (*done)(void *opaque, const char *why),
		      void *opaque)
{
	const struct sup_msg msg = { .type = SUP_RESTART, .id = remote->asked + 1 };
	int ret;

	if (remote->control < 0)
		return -ENOTSUP;
	if (remote->restart.done)
		return -EBUSY;
	ret = sup_send(remote->control, &msg);
	if (ret)
		return ret;
	remote->restart = (struct run_restart){ ++remote->asked, done, opaque };
	return 0;
}

void supervise_follow(struct run *run)
{
	bool still = stands_still(vmm_status(run->vmm));

	for (unsigned i = 0; i < run_remote_total(run); i++) {
		struct run_remote *remote = run_remote_at(run, i);

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

	if (remote->storage_end && remote->pause == RUN_GOES)
		return "degraded";
	return names[remote->pause];
}
