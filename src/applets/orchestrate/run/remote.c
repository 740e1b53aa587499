/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The remotes: started, asked, watched. */

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include <glib-unix.h>

#include "applets/orchestrate/run/logs.h"
#include "applets/orchestrate/run/priv.h"
#include "applets/orchestrate/run/sockets.h"
#include "applets/orchestrate/run/supervise.h"
#include "base/fd.h"
#include "base/log.h"

/* How often a socket that a remote makes by itself is tried. */
#define CONNECT_MS 50

const char *run_remote_id(const struct run_remote *remote)
{
	return g_array_index(remote->process->slots, struct plan_slot, 0).device;
}

pid_t run_remote_pid(const struct run_remote *remote)
{
	return remote->held.process ? remote->held.pid : remote->child.pid;
}

unsigned run_remote_total(const struct run *run)
{
	return run->remote_count + run->adopted->len;
}

struct run_remote *run_remote_at(const struct run *run, unsigned i)
{
	return i < run->remote_count ? &run->remotes[i] :
				       run->adopted->pdata[i - run->remote_count];
}

/*
 * Has QEMU still got the socket?  A process that ends closes its files before anybody can see its
 * end, so a remote that ends because QEMU did always finds false here.
 */
bool run_qemu_holds(const struct run *run, ino_t socket)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/fd", run->qemu.pid);
	g_autofree char *wanted = g_strdup_printf("socket:[%lu]", socket);
	g_autoptr(GDir) dir = run->qemu.pid ? g_dir_open(path, 0, NULL) : NULL;
	const char *name;

	/* After -daemonize without -pidfile: it may have. */
	if (!run->qemu.pid && run->inplace)
		return true;
	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *link = g_build_filename(path, name, NULL);
		g_autofree char *target = g_file_read_link(link, NULL);

		if (!g_strcmp0(target, wanted))
			return true;
	}
	return false;
}

/*
 * Did QEMU close all of the remote's sockets?  Then the remote's end is the ordinary one.  One that
 * listens ends for that reason if it was to, and says so by its status.
 */
static bool peer_closed_first(struct run_remote *remote)
{
	for (unsigned i = 0; i < remote->run->plan->pair_count; i++) {
		struct run_pair *pair = &remote->run->pairs[i];

		if (pair->remote != remote || pair->released)
			continue;
		if (pair->path ? !remote->process->auto_shutdown || remote->child.status :
				 run_qemu_holds(remote->run, pair->proxy_inode))
			return false;
	}
	return true;
}

static void close_remote(struct run_remote *remote)
{
	for (unsigned i = 0; i < run_pair_total(remote->run); i++)
		if (remote->run->pairs[i].remote == remote)
			run_close_pair(&remote->run->pairs[i]);
}

static void close_remote_ends(struct run_remote *remote)
{
	for (unsigned i = 0; i < run_pair_total(remote->run); i++)
		if (remote->run->pairs[i].remote == remote)
			fd_close(&remote->run->pairs[i].remote_end);
}

/* Over vfio-user? */
static bool listens(const struct run_remote *remote)
{
	if (remote->held.process)
		return !remote->held.socket;
	for (unsigned i = 0; i < remote->run->plan->pair_count; i++)
		if (remote->run->pairs[i].remote == remote && remote->run->pairs[i].listens)
			return true;
	return false;
}

/* Has the VM none of its devices any more? */
static bool is_released(const struct run_remote *remote)
{
	const struct run *run = remote->run;

	for (unsigned i = 0; i < run->plan->pair_count; i++)
		if (run->pairs[i].remote == remote && !run->pairs[i].released)
			return false;
	return true;
}

/* Over mpqemu it sees its sockets close; one that listens would wait for the next client. */
static void released(struct run_remote *remote)
{
	log_info("%s: the VM has it no more", remote->process->serves);
	if (!listens(remote) || !remote->child.pid)
		return;
	child_kill(&remote->child, SIGTERM);
	remote->told = true;
}

bool run_release(struct run *run, const char *id)
{
	for (unsigned i = 0; i < run->plan->pair_count; i++) {
		struct run_pair *pair = &run->pairs[i];

		if (!pair->remote || strcmp(pair->device, id))
			continue;
		pair->released = true;
		if (is_released(pair->remote))
			released(pair->remote);
		return true;
	}
	return false;
}

static void follow_policy(struct run *run)
{
	switch (run->options->on_remote_exit) {
	case PLAN_REMOTE_EXIT_REPORT:
		break;
	case PLAN_REMOTE_EXIT_PAUSE:
		run_pause(run);
		break;
	case PLAN_REMOTE_EXIT_STOP:
		run_signal_qemu(run, SIGTERM);
		break;
	}
}

/* For the end of a line.  The caller frees. */
static char *what_follows(const struct run *run)
{
	switch (run->options->on_remote_exit) {
	case PLAN_REMOTE_EXIT_PAUSE:
		return g_strdup("; stopping the VM");
	case PLAN_REMOTE_EXIT_STOP:
		return g_strconcat("; ending ", run_vmm_name(run), NULL);
	case PLAN_REMOTE_EXIT_REPORT:
		break;
	}
	return g_strdup("");
}

/* QEMU would read all ones from the device for ever and not say more than a line an access. */
void run_remote_lost(struct run_remote *remote, const char *end)
{
	struct run *run = remote->run;
	g_autofree char *follows = what_follows(run);

	log_error("%s: its process %s while %s was using it; the guest reads all ones from now "
		  "on%s%s", remote->process->serves, end, run_vmm_name(run),
		  listens(remote) ? ", and QEMU aborts when it is reset" : "", follows);
	run_set_status(run, RUN_STATUS_REMOTE);
	follow_policy(run);
}

void run_storage_lost(struct run_remote *remote)
{
	struct run *run = remote->run;
	g_autofree char *follows = what_follows(run);

	log_error("%s: a storage daemon of it has ended (%s); requests of that disk fail from now "
		  "on%s", remote->process->serves, remote->storage_end, follows);
	run_set_status(run, RUN_STATUS_REMOTE);
	follow_policy(run);
}

/* Was it to end: told to, by QEMU's end or by us? */
static bool end_was_due(struct run_remote *remote)
{
	const struct run *run = remote->run;

	return run->phase == PHASE_END || run->signals > 1 ||
	       (run->phase == PHASE_RUN && peer_closed_first(remote));
}

void run_remote_exited(struct run_remote *remote, bool due)
{
	run_event(remote->run, "MPQEMU_REMOTE_EXITED",
		  json_pack("{s:s, s:s, s:b, s:s*}", "remote", run_remote_id(remote), "reason",
			    remote->end, "expected", due, "cause", remote->crash));
}

/* The remote has been reaped. */
static void remote_gone(struct run_remote *remote)
{
	struct run *run = remote->run;
	g_autofree char *end = child_describe_end(&remote->child);
	bool ordinary = end_was_due(remote);

	close_remote(remote);
	supervise_end(remote);
	logs_drain(run->options->logs);
	g_free(remote->end);
	remote->end = g_strdup(end);
	run_remote_exited(remote, ordinary);
	if (run->phase == PHASE_START) {
		log_error("%s: its process %s before %s was started",
			  remote->process->serves, end, run_vmm_name(run));
		run_abort(run, RUN_STATUS_REMOTE);
	} else if (!ordinary) {
		run_remote_lost(remote, end);
	} else if (remote->told && remote->child.signal == SIGTERM) {
		/* a program that does not mind SIGTERM */
	} else if (remote->child.status && run->end_step == END_WAIT) {
		log_error("%s: its process %s", remote->process->serves, end);
		run_set_status(run, RUN_STATUS_REMOTE);
	} else if (remote->child.status == 128 + SIGKILL && !run->signals) {
		run_set_status(run, RUN_STATUS_REMOTE);
	}
	run_quit_when_done(run);
}

static gboolean remote_ended(int fd, GIOCondition condition, void *opaque)
{
	struct run_remote *remote = opaque;

	if (!child_reap(&remote->child))
		return G_SOURCE_CONTINUE;
	remote->watch = 0;
	remote_gone(remote);
	return G_SOURCE_REMOVE;
}

/* It closed its socket.  If it has ended too, its exit status says more. */
static bool reap_soon(struct run_remote *remote)
{
	if (!child_wait(&remote->child, 1000))
		return false;
	g_source_remove(remote->watch);
	remote->watch = 0;
	remote_gone(remote);
	return true;
}

static bool is_closed(int ret)
{
	return ret == -ENODATA || ret == -EPIPE || ret == -ECONNRESET;
}

static void peer_failed(struct run_pair *pair, int ret)
{
	const char *why = ret == -EPROTO ? peer_why(&pair->peer) : log_errname(ret);

	if (ret == -ENODEV)
		why = "there is no device behind the socket";
	else if (is_closed(ret))
		why = "it closed the socket";
	log_error("%s does not answer for '%s': %s", pair->remote->process->serves, pair->device,
		  why);
	run_abort(pair->remote->run, RUN_STATUS_REMOTE);
}

static bool all_answered(const struct run *run)
{
	for (unsigned i = 0; i < run->remote_count; i++)
		if (run->remotes[i].unanswered)
			return false;
	return true;
}

static gboolean peer_readable(int fd, GIOCondition condition, void *opaque)
{
	struct run_pair *pair = opaque;
	struct run *run = pair->remote->run;
	int ret = peer_answer(&pair->peer);

	if (ret == -EAGAIN)
		return G_SOURCE_CONTINUE;
	pair->watch = 0;
	if (ret == 0) {
		pair->remote->unanswered--;
		/* The VMM makes a connection of its own. */
		if (pair->path)
			fd_close(&pair->proxy_end);
		if (all_answered(run))
			run_start_qemu(run);
		return G_SOURCE_REMOVE;
	}
	if (!is_closed(ret) || !reap_soon(pair->remote))
		peer_failed(pair, ret);
	return G_SOURCE_REMOVE;
}

static gboolean start_timed_out(void *opaque)
{
	struct run *run = opaque;

	run->timer = 0;
	for (unsigned i = 0; i < run->plan->pair_count; i++)
		if (run->pairs[i].watch)
			log_error("%s, process %d, has not answered for '%s' within %u s",
				  run->pairs[i].remote->process->serves,
				  run->pairs[i].remote->child.pid, run->pairs[i].device,
				  run->options->start_timeout);
	run_abort(run, RUN_STATUS_REMOTE);
	return G_SOURCE_REMOVE;
}

/* Where it counts; we read it. */
static void make_metrics(struct run_remote *remote)
{
	if (!remote->process->metrics_fd)
		return;
	remote->metrics = memfd_create("mpqemu-metrics", MFD_CLOEXEC);
	if (remote->metrics < 0)
		log_warning("%s: its counters are not read: memfd: %s", remote->process->serves,
			    log_errname(errno));
}

static bool start_remote(struct run *run, struct run_remote *remote)
{
	autofd log = run_log_pipe(run, run_remote_id(remote));
	autofd control = supervise_begin(remote);
	struct run_own own = { .log = log, .control = control };
	int status;

	make_metrics(remote);
	own.metrics = remote->metrics;
	status = run_start_process(run, remote->process, &remote->child, &own);
	if (status) {
		run_abort(run, status);
		return false;
	}
	close_remote_ends(remote);
	remote->started = g_get_monotonic_time();
	remote->watch = g_unix_fd_add(remote->child.pidfd, G_IO_IN, remote_ended, remote);
	log_info("%s is served by process %d: %s", remote->process->serves, remote->child.pid,
		 (char *)remote->process->argv->pdata[0]);
	return true;
}

static bool ask_peer(struct run_pair *pair)
{
	int ret = peer_ask(&pair->peer, pair->proxy_end, pair->path);

	if (ret) {
		if (!is_closed(ret) || !reap_soon(pair->remote))
			peer_failed(pair, ret);
		return false;
	}
	pair->watch = g_unix_fd_add(pair->proxy_end, G_IO_IN, peer_readable, pair);
	return true;
}

static bool is_not_there_yet(int ret)
{
	return ret == -ENOENT || ret == -ECONNREFUSED;
}

static gboolean try_again(void *opaque);

/* Connects as the VMM will.  A remote that makes its socket by itself takes its time. */
static bool connect_peer(struct run_pair *pair)
{
	int fd = sockets_connect(pair->path);

	if (fd >= 0) {
		pair->proxy_end = fd;
		return ask_peer(pair);
	}
	if (!pair->listens && is_not_there_yet(fd)) {
		pair->watch = g_timeout_add(CONNECT_MS, try_again, pair);
		return true;
	}
	if (!is_not_there_yet(fd) || !reap_soon(pair->remote))
		peer_failed(pair, fd);
	return false;
}

static gboolean try_again(void *opaque)
{
	struct run_pair *pair = opaque;

	pair->watch = 0;
	connect_peer(pair);
	return G_SOURCE_REMOVE;
}

static bool ask_peers(struct run *run)
{
	for (unsigned i = 0; i < run->plan->pair_count; i++) {
		struct run_pair *pair = &run->pairs[i];

		/* One that ends after its first client must not take us for that. */
		if (pair->path && pair->remote->process->auto_shutdown)
			continue;
		pair->remote->unanswered++;
		if (!(pair->path ? connect_peer(pair) : ask_peer(pair)))
			return false;
	}
	return true;
}

void run_start_remotes(struct run *run)
{
	for (unsigned i = 0; i < run->remote_count; i++)
		if (!start_remote(run, &run->remotes[i]))
			return;
	if (!ask_peers(run))
		return;
	run->timer = g_timeout_add_seconds(run->options->start_timeout, start_timed_out, run);
	if (all_answered(run))
		run_start_qemu(run);
}
