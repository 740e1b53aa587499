/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/hotplug/remote.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib-unix.h>

#include "applets/orchestrate/run/run.h"
#include "applets/orchestrate/run/sockets.h"
#include "base/fd.h"
#include "base/log.h"
#include "control/supervise.h"
#include "plan/procs.h"

/* How long it has to end after each word, before the next; its storage daemon writes back. */
static const struct {
	int signal;
	unsigned wait_ms;
} end_steps[] = {
	{ SIGTERM, 5000 }, { SIGTERM, 15000 }, { SIGKILL, 0 },
};

static void stop_source(guint *id)
{
	if (*id)
		g_source_remove(*id);
	*id = 0;
}

/* ---- The keeper of its VM ---- */

/* What it says before the keeper has its end waits there. */
static void tell_keeper(struct hotplug_remote *remote, const struct sup_msg *msg)
{
	int ret = remote->keeper < 0 ? 0 : sup_send(remote->keeper, msg);

	/* One that is gone is seen by its end. */
	if (ret && ret != -EPIPE && ret != -ECONNRESET)
		log_warning("%s: what it says does not reach the VM's keeper: %s",
			    remote->process->serves, log_errname(ret));
}

static gboolean keeper_readable(int fd, GIOCondition condition, void *opaque)
{
	struct hotplug_remote *remote = opaque;
	struct sup_msg msg, refused = { .type = SUP_REFUSED };
	int ret = sup_recv(fd, SUP_FROM_SUPERVISOR, &msg);

	if (ret == -EAGAIN)
		return G_SOURCE_CONTINUE;
	if (ret) {
		remote->keeper_watch = 0;
		fd_close(&remote->keeper);
		return G_SOURCE_REMOVE;
	}
	ret = remote->control < 0 ? -ENOTSUP : sup_send(remote->control, &msg);
	if (!ret)
		return G_SOURCE_CONTINUE;
	refused.id = msg.id;
	refused.value = -ret;
	tell_keeper(remote, &refused);
	return G_SOURCE_CONTINUE;
}

static int make_keeper(struct hotplug_remote *remote)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	remote->keeper = ends[0];
	remote->keeper_end = ends[1];
	remote->keeper_watch = g_unix_fd_add(ends[0], G_IO_IN | G_IO_HUP, keeper_readable, remote);
	return 0;
}

int hotplug_remote_take_keeper(struct hotplug_remote *remote)
{
	return fd_steal(&remote->keeper_end);
}

void hotplug_remote_unused(struct hotplug_remote *remote)
{
	tell_keeper(remote, &(struct sup_msg){ .type = SUP_CLIENT_GONE });
}

/* The last that the keeper hears: how it ended, by who has reaped it. */
static void leave_keeper(struct hotplug_remote *remote)
{
	const struct sup_msg gone = { .type = SUP_GONE, .value = remote->child.status };
	struct sup_msg msg;

	while (remote->control >= 0 && !sup_recv(remote->control, SUP_FROM_REMOTE, &msg))
		tell_keeper(remote, &msg);
	tell_keeper(remote, &gone);
	stop_source(&remote->keeper_watch);
	fd_close(&remote->keeper);
}

/* ---- Its end ---- */

/* It has been reaped. */
static void child_gone(struct hotplug_remote *remote)
{
	stop_source(&remote->child_watch);
	stop_source(&remote->peer_watch);
	stop_source(&remote->control_watch);
	stop_source(&remote->timer);
	leave_keeper(remote);
	remote->ops->ended(remote->opaque);
}

static gboolean child_ended(int fd, GIOCondition condition, void *opaque)
{
	struct hotplug_remote *remote = opaque;

	if (!child_reap(&remote->child))
		return G_SOURCE_CONTINUE;
	remote->child_watch = 0;
	child_gone(remote);
	return G_SOURCE_REMOVE;
}

static gboolean end_further(void *opaque)
{
	struct hotplug_remote *remote = opaque;
	unsigned step = remote->end_step++;

	remote->timer = 0;
	if (step)
		log_warning("%s: process %d has not ended; sending %s", remote->process->serves,
			    remote->child.pid,
			    end_steps[step].signal == SIGKILL ? "SIGKILL" : "SIGTERM");
	child_kill(&remote->child, end_steps[step].signal);
	if (end_steps[step].wait_ms)
		remote->timer = g_timeout_add(end_steps[step].wait_ms, end_further, remote);
	return G_SOURCE_REMOVE;
}

void hotplug_remote_end(struct hotplug_remote *remote)
{
	stop_source(&remote->peer_watch);
	fd_close(&remote->proxy_end);
	if (!remote->child.pid || remote->end_step)
		return;
	stop_source(&remote->timer);
	end_further(remote);
}

void hotplug_remote_finish(struct hotplug_remote *remote)
{
	if (!remote->process)
		return;
	stop_source(&remote->child_watch);
	stop_source(&remote->peer_watch);
	stop_source(&remote->control_watch);
	stop_source(&remote->keeper_watch);
	stop_source(&remote->timer);
	peer_finish(&remote->peer);
	fd_close(&remote->proxy_end);
	fd_close(&remote->control);
	fd_close(&remote->keeper);
	fd_close(&remote->keeper_end);
	fd_close(&remote->metrics);
	if (remote->bound)
		unlink(remote->path);
	sockets_remove_dir(remote->socket_dir);
	*remote = (struct hotplug_remote)HOTPLUG_REMOTE_INIT;
}

/* It has been reaped, or is reaped in a moment. */
static bool reap_soon(struct hotplug_remote *remote)
{
	if (!child_wait(&remote->child, 1000))
		return false;
	child_gone(remote);
	return true;
}

/* ---- Its answers ---- */

/* Closed by a remote that ends: its exit status says more, and comes at once. */
static bool is_closed(int ret)
{
	return ret == -ENODATA || ret == -EPIPE || ret == -ECONNRESET;
}

static void ready(struct hotplug_remote *remote, const GError *error)
{
	remote->ready = true;
	stop_source(&remote->timer);
	remote->ops->ready(remote->opaque, error);
}

static void failed(struct hotplug_remote *remote, int ret)
{
	g_autoptr(GError) error = NULL;
	const char *why = ret == -EPROTO ? peer_why(&remote->peer) : log_errname(ret);

	if (ret == -ENODEV)
		why = "there is no device behind the socket";
	else if (ret == -ETIMEDOUT)
		why = "its time is over";
	else if (is_closed(ret))
		why = "it closed the socket";
	mpq_fail(&error, MPQ_ERROR_SYSTEM, "%s does not answer: %s", remote->process->serves, why);
	ready(remote, error);
}

static void give_up(struct hotplug_remote *remote, int ret)
{
	if (!is_closed(ret) || !reap_soon(remote))
		failed(remote, ret);
}

static gboolean peer_readable(int fd, GIOCondition condition, void *opaque)
{
	struct hotplug_remote *remote = opaque;
	int ret = peer_answer(&remote->peer);

	if (ret == -EAGAIN)
		return G_SOURCE_CONTINUE;
	if (!ret && !remote->peer.resetting) {
		ret = peer_reset(&remote->peer);
		if (!ret)
			return G_SOURCE_CONTINUE;
	}
	remote->peer_watch = 0;
	if (ret) {
		give_up(remote, ret);
		return G_SOURCE_REMOVE;
	}
	/* QEMU makes a connection of its own. */
	if (remote->path)
		fd_close(&remote->proxy_end);
	if (!remote->path || remote->control < 0)
		ready(remote, NULL);
	return G_SOURCE_REMOVE;
}

/* A client of one that listens has left: ours, or QEMU. */
static void client_gone(struct hotplug_remote *remote)
{
	if (remote->ready)
		hotplug_remote_end(remote);
	else if (!remote->end_step)
		ready(remote, NULL);
}

/* Its keeper speaks.  A channel that is of no use any more is one that says nothing. */
static gboolean control_readable(int fd, GIOCondition condition, void *opaque)
{
	struct hotplug_remote *remote = opaque;
	struct sup_msg msg;
	int ret = sup_recv(fd, SUP_FROM_REMOTE, &msg);

	if (ret == -EAGAIN)
		return G_SOURCE_CONTINUE;
	if (ret) {
		remote->control_watch = 0;
		return G_SOURCE_REMOVE;
	}
	/* Our own client is nothing to the keeper. */
	if (msg.type != SUP_CLIENT_GONE || remote->ready)
		tell_keeper(remote, &msg);
	if (msg.type == SUP_CLIENT_GONE && remote->path)
		client_gone(remote);
	return G_SOURCE_CONTINUE;
}

static gboolean timed_out(void *opaque)
{
	struct hotplug_remote *remote = opaque;

	remote->timer = 0;
	stop_source(&remote->peer_watch);
	failed(remote, -ETIMEDOUT);
	return G_SOURCE_REMOVE;
}

/* ---- Its start ---- */

static int make_ends(struct hotplug_remote *remote, int *ret_remote_end)
{
	struct stat st;
	int ends[2];

	if (remote->path) {
		*ret_remote_end = sockets_listen(remote->path, SOCKETS_BACKLOG);
		remote->bound = *ret_remote_end >= 0;
		return remote->bound ? 0 : *ret_remote_end;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	remote->proxy_end = ends[0];
	*ret_remote_end = ends[1];
	if (fstat(ends[0], &st) < 0)
		return -errno;
	remote->proxy_inode = st.st_ino;
	return 0;
}

/* Does it run mpqemu-remote, which has --control=? */
static bool is_ours(const struct plan_process *process)
{
	g_autofree char *name = g_path_get_basename(process->argv->pdata[0]);

	return !strcmp(name, "mpqemu-remote") || !strcmp(name, "mpqemu");
}

/* The first of the numbers that its other fds leave free. */
static int free_slot(const struct plan_process *process)
{
	int slot = g_array_index(process->slots, struct plan_slot, 0).fd + 1;

	for (unsigned i = 0; i < process->keep->len; i++)
		slot = MAX(slot, g_array_index(process->keep, int, i) + 1);
	return slot;
}

/* Of one that listens or has a keeper: gives it --control=, whose end *ret_fd is. */
static int take_control(struct hotplug_remote *remote, struct plan_process *process, int slot,
			bool keeper, int *ret_fd)
{
	g_autofree char *option = g_strdup_printf("--control=fd=%d", slot);
	int ends[2];

	if ((!remote->path && !keeper) || !is_ours(process))
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	remote->control = ends[0];
	*ret_fd = ends[1];
	plan_process_arg(process, option);
	remote->control_watch = g_unix_fd_add(ends[0], G_IO_IN, control_readable, remote);
	return 0;
}

/* What only a keeper reads: gives it --metrics=. */
static int take_metrics(struct hotplug_remote *remote, struct plan_process *process, int slot)
{
	g_autofree char *option = g_strdup_printf("--metrics=fd=%d", slot);

	if (!is_ours(process))
		return 0;
	remote->metrics = memfd_create("mpqemu-metrics", MFD_CLOEXEC);
	if (remote->metrics < 0)
		return -errno;
	plan_process_arg(process, option);
	return 0;
}

/* All that runs it and counts what it does. */
static int take_channels(struct hotplug_remote *remote, struct plan_process *process, int slot,
			 bool keeper, int *ret_control)
{
	int ret = take_control(remote, process, slot, keeper, ret_control);

	if (!ret && keeper)
		ret = make_keeper(remote);
	if (!ret && keeper)
		ret = take_metrics(remote, process, slot + 1);
	return ret;
}

static bool start_process(struct hotplug_remote *remote, struct plan *plan, int remote_end,
			  const struct hotplug_remote_setup *own, int *ret_status, GError **error)
{
	const struct plan_process *process = remote->process;
	const struct plan_slot *slot = &g_array_index(process->slots, struct plan_slot, 0);
	const int free_at = free_slot(process);
	autofd control = -1;
	int ret = take_channels(remote, plan->remotes->pdata[0], free_at, own->keeper, &control);
	const struct child_fd fds[] = {
		{ remote_end, slot->fd }, { control, free_at }, { remote->metrics, free_at + 1 },
	};
	const struct child_setup setup = {
		.argv = plan_process_argv(process), .fds = fds,
		.fd_count = 1 + (control >= 0) + (remote->metrics >= 0),
		.keep = (const int *)process->keep->data, .keep_count = process->keep->len,
		.stderr_fd = own->log_fd, .stdio = CHILD_STDIO_SERVICE,
		.sigmask = own->sigmask, .sigpipe = own->sigpipe, .limits = &process->limits,
	};
	const char *where = "--control";

	if (!ret)
		ret = child_start(&remote->child, &setup, &where);
	if (!ret)
		return true;
	*ret_status = strcmp(where, "exec") ? RUN_STATUS_FAILED :
		      ret == -ENOENT || ret == -ENOTDIR ? RUN_STATUS_NOT_FOUND :
							  RUN_STATUS_NO_EXEC;
	return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: cannot start it: %s: %s", setup.argv[0],
			where, log_errname(ret));
}

static void ask(struct hotplug_remote *remote)
{
	int ret = 0;

	if (remote->path) {
		remote->proxy_end = sockets_connect(remote->path);
		ret = remote->proxy_end < 0 ? remote->proxy_end : 0;
	}
	if (!ret)
		ret = peer_ask(&remote->peer, remote->proxy_end, remote->path);
	if (!ret)
		remote->peer_watch = g_unix_fd_add(remote->proxy_end, G_IO_IN, peer_readable,
						   remote);
	else
		give_up(remote, ret);
}

bool hotplug_remote_start(struct hotplug_remote *remote, struct plan *plan,
			  const struct hotplug_remote_setup *setup,
			  const struct hotplug_remote_ops *ops, void *opaque, int *ret_status,
			  GError **error)
{
	autofd remote_end = -1;
	int ret;

	*remote = (struct hotplug_remote)HOTPLUG_REMOTE_INIT;
	remote->process = plan->remotes->pdata[0];
	remote->ops = ops;
	remote->opaque = opaque;
	*ret_status = RUN_STATUS_FAILED;
	if (!sockets_make_dir(plan, &remote->socket_dir, error))
		return false;
	remote->path = g_array_index(remote->process->slots, struct plan_slot, 0).path;
	ret = make_ends(remote, &remote_end);
	if (ret)
		mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s", remote->path ?: "socketpair",
			 log_errname(ret));
	if (ret || !start_process(remote, plan, remote_end, setup, ret_status, error)) {
		hotplug_remote_finish(remote);
		return false;
	}
	remote->child_watch = g_unix_fd_add(remote->child.pidfd, G_IO_IN, child_ended, remote);
	remote->timer = g_timeout_add_seconds(setup->timeout_s, timed_out, remote);
	ask(remote);
	return true;
}

int hotplug_remote_take_end(struct hotplug_remote *remote)
{
	return remote->path ? -1 : fd_steal(&remote->proxy_end);
}
