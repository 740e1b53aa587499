/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/run/run.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/orchestrate/control/scrape.h"
#include "applets/orchestrate/control/server.h"
#include "applets/orchestrate/run/adopted.h"
#include "applets/orchestrate/run/cgroup.h"
#include "applets/orchestrate/run/logs.h"
#include "applets/orchestrate/run/inplace.h"
#include "applets/orchestrate/run/priv.h"
#include "applets/orchestrate/run/sockets.h"
#include "applets/orchestrate/run/supervise.h"
#include "base/fd.h"
#include "base/log.h"
#include "plan/rewrite/rewrite.h"

#define SIGNALS_TOGETHER_US 100000

/* For people. */
const char *run_vmm_name(const struct run *run)
{
	return rewrite_is_cloud(run->plan->qemu->argv->pdata[0]) ? "Cloud Hypervisor" : "QEMU";
}

/* Those of the devices, then those of QMP, which are nobody's to ask or to watch. */
unsigned run_pair_total(const struct run *run)
{
	return run->plan->pair_count + run->plan->qmp_count;
}

/* The first reason counts; later ones are its consequences. */
void run_set_status(struct run *run, int status)
{
	if (!run->status)
		run->status = status;
}

int run_log_pipe(struct run *run, const char *source)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0) {
		log_warning("%s: its log is not kept: pipe: %s", source, log_errname(errno));
		return -1;
	}
	logs_read(run->options->logs, ends[0], source);
	return ends[1];
}

void run_event(struct run *run, const char *name, json_t *data)
{
	control_event(run->control, name, data);
}

bool run_any_remote(const struct run *run)
{
	for (unsigned i = 0; i < run->remote_count; i++)
		if (run->remotes[i].child.pid)
			return true;
	return adopted_any(run);
}

void run_kill_remotes(struct run *run, int sig)
{
	for (unsigned i = 0; i < run->remote_count; i++)
		child_kill(&run->remotes[i].child, sig);
}

void run_quit_when_done(struct run *run)
{
	/* Its pid may be unknown after -daemonize. */
	if (run->inplace && run->phase == PHASE_RUN)
		return;
	if ((run->inplace || !run->qemu.pid) && !run_any_remote(run))
		g_main_loop_quit(run->loop);
}

void run_stop_timer(struct run *run)
{
	if (run->timer)
		g_source_remove(run->timer);
	run->timer = 0;
}

/* ---- Signals ---- */

/*
 * First: QEMU gets the signal (or, with a time limit for that, the guest is asked to shut down),
 * ends as it does, and the remotes follow.  Second: QEMU is killed and
 * the remotes are told to end.  Third: everything is killed.
 */
static void handle_signal(struct run *run, const struct signalfd_siginfo *info)
{
	/* A key at the terminal reached QEMU too: it is in our process group. */
	bool has_it = info->ssi_code == SI_KERNEL && info->ssi_signo == SIGINT;

	/* timeout(1) signals its child, and then the group that both are in: that is one wish. */
	if (run->signals == 1 && g_get_monotonic_time() - run->first_signal < SIGNALS_TOGETHER_US)
		return;
	run->signals++;
	if (run->phase == PHASE_START) {
		log_info("ended by signal %u before %s was started", info->ssi_signo,
			 run_vmm_name(run));
		run_abort(run, 128 + info->ssi_signo);
	} else if (run->signals == 1) {
		run->first_signal = g_get_monotonic_time();
		if (run->options->shutdown_timeout && info->ssi_signo == SIGTERM)
			run_shutdown(run, run->options->shutdown_timeout);
		else if (!has_it)
			run_signal_qemu(run, info->ssi_signo);
	} else if (run->signals == 2) {
		log_warning("second signal: killing %s", run_vmm_name(run));
		run->end_step = END_TERM;
		child_kill(&run->qemu, SIGKILL);
		run_kill_remotes(run, SIGTERM);
	} else {
		child_kill(&run->qemu, SIGKILL);
		run_kill_remotes(run, SIGKILL);
		adopted_leave(run);
	}
}

static gboolean signal_readable(int fd, GIOCondition condition, void *opaque)
{
	struct signalfd_siginfo info;

	/* In place, what QEMU's caller wants it says to QEMU; the keeper ends with QEMU. */
	if (read(fd, &info, sizeof(info)) == sizeof(info) && !((struct run *)opaque)->inplace)
		handle_signal(opaque, &info);
	return G_SOURCE_CONTINUE;
}

/* Returns the signalfd, or -1 with errno set. */
static int take_signals(struct run *run)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, &run->old_mask);
	return signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void give_signals_back(const struct run *run)
{
	sigprocmask(SIG_SETMASK, &run->old_mask, NULL);
}

/* ---- The whole ---- */

static int make_pair(struct run_pair *pair)
{
	struct stat st;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	pair->proxy_end = ends[0];
	pair->remote_end = ends[1];
	if (fstat(ends[0], &st) < 0)
		return -errno;
	pair->proxy_inode = st.st_ino;
	return 0;
}

static bool make_listener(struct run_pair *pair, GError **error)
{
	int fd = pair->listens ? sockets_listen(pair->path, SOCKETS_BACKLOG) : 0;

	if (fd < 0)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s", pair->path, log_errname(fd));
	pair->remote_end = pair->listens ? fd : -1;
	pair->bound = pair->listens;
	return true;
}

static bool make_pairs(struct run *run, GError **error)
{
	for (unsigned i = 0; i < run_pair_total(run); i++) {
		struct run_pair *pair = &run->pairs[i];
		int ret;

		if (pair->path) {
			if (!make_listener(pair, error))
				return false;
			continue;
		}
		ret = make_pair(pair);
		if (ret)
			return mpq_fail(error, MPQ_ERROR_SYSTEM, "socketpair: %s",
					log_errname(ret));
	}
	return true;
}

static void bind_pairs(struct run *run, struct run_remote *remote)
{
	for (unsigned i = 0; i < remote->process->slots->len; i++) {
		const struct plan_slot *slot =
			&g_array_index(remote->process->slots, struct plan_slot, i);

		run->pairs[slot->pair].remote = remote;
		run->pairs[slot->pair].device = slot->device;
		run->pairs[slot->pair].path = slot->path;
		run->pairs[slot->pair].listens = slot->path && slot->fd >= 0;
	}
}

static void run_init(struct run *run)
{
	run->remote_count = run->plan->remotes->len;
	run->remotes = g_new0(struct run_remote, run->remote_count);
	run->pairs = g_new0(struct run_pair, run_pair_total(run));
	run->loop = g_main_loop_new(NULL, false);
	run->qemu = (struct child)CHILD_INIT;
	run->adopted = g_ptr_array_new();
	for (unsigned i = 0; i < run_pair_total(run); i++)
		run->pairs[i].remote_end = run->pairs[i].proxy_end = -1;
	for (unsigned i = 0; i < run->remote_count; i++) {
		run->remotes[i].run = run;
		run->remotes[i].process = run->plan->remotes->pdata[i];
		run->remotes[i].child = (struct child)CHILD_INIT;
		run->remotes[i].metrics = -1;
		run->remotes[i].control = -1;
		bind_pairs(run, &run->remotes[i]);
	}
}

static void run_finish(struct run *run)
{
	run_stop_timer(run);
	if (run->ready_timer)
		g_source_remove(run->ready_timer);
	if (run->watchdog)
		g_source_remove(run->watchdog);
	control_destroy(run->control);
	scrape_destroy(run->scrape);
	vmm_destroy(run->vmm);
	notify_finish(&run->notify);
	cgroup_destroy(run->cgroup);
	logs_drain(run->options->logs);
	adopted_finish(run);
	for (unsigned i = 0; i < run->remote_count; i++) {
		supervise_end(&run->remotes[i]);
		g_free(run->remotes[i].crash);
		g_free(run->remotes[i].storage_end);
		g_free(run->remotes[i].end);
		fd_close(&run->remotes[i].metrics);
	}
	for (unsigned i = 0; i < run_pair_total(run); i++) {
		run_close_pair(&run->pairs[i]);
		peer_finish(&run->pairs[i].peer);
		if (run->pairs[i].bound)
			unlink(run->pairs[i].path);
	}
	sockets_remove_dir(run->socket_dir);
	inplace_finish(run);
	g_main_loop_unref(run->loop);
	g_free(run->remotes);
	g_free(run->pairs);
}

static gboolean alive(void *opaque)
{
	struct run *run = opaque;

	notify_say(&run->notify, "WATCHDOG=1");
	return G_SOURCE_CONTINUE;
}

/* The service manager, if there is one. */
static void set_up_notify(struct run *run)
{
	int ret = notify_init(&run->notify);

	if (ret)
		log_warning("NOTIFY_SOCKET: %s: the service manager is told nothing",
			    log_errname(ret));
	if (run->notify.interval)
		run->watchdog = g_timeout_add(run->notify.interval / 1000000, alive, run);
}

/* In place the VM has another manager: without the socket it runs too. */
static bool set_up_control(struct run *run, GError **error)
{
	g_autoptr(GError) why = NULL;

	if (control_create(run, &run->control, &why))
		return true;
	if (!run->options->in_place) {
		g_propagate_error(error, g_steal_pointer(&why));
		return false;
	}
	log_warning("there is no control socket, and no verb finds this VM: %s", why->message);
	return true;
}

/* Returns the signalfd, or -1 with @error set. */
static int set_up(struct run *run, char *socket_dir, GError **error)
{
	autofd sigfd = -1;

	run_init(run);
	run->socket_dir = socket_dir;
	set_up_notify(run);
	sigfd = take_signals(run);
	if (sigfd < 0)
		mpq_fail(error, MPQ_ERROR_SYSTEM, "signalfd: %s", log_errname(errno));
	else if (make_pairs(run, error) && set_up_control(run, error) &&
		 scrape_create(run, &run->scrape, error) &&
		 (!run->options->group || cgroup_create(run->options->group, run->options->name,
							&run->cgroup, error)) &&
		 (!run->options->in_place || inplace_prepare(run, error)))
		return fd_steal(&sigfd);
	return -1;
}

int run_plan(struct plan *plan, struct run_options *options)
{
	struct run run = { .plan = plan, .options = options };
	g_autoptr(GError) error = NULL;
	autofd sigfd = -1;
	char *socket_dir;
	guint watch;

	if (!sockets_make_dir(plan, &socket_dir, &error)) {
		log_error("%s", error->message);
		return RUN_STATUS_FAILED;
	}
	sigfd = set_up(&run, socket_dir, &error);
	if (sigfd < 0 || (run.inplace && !inplace_split(&run))) {
		if (error)
			log_error("%s", error->message);
		give_signals_back(&run);
		run_finish(&run);
		return RUN_STATUS_FAILED;
	}
	watch = g_unix_fd_add(sigfd, G_IO_IN, signal_readable, &run);
	run_start_remotes(&run);
	if (run.qemu.pid || run_any_remote(&run))
		g_main_loop_run(run.loop);
	g_source_remove(watch);
	run_finish(&run);
	give_signals_back(&run);
	return run.qemu.status ? run.qemu.status : run.status;
}
