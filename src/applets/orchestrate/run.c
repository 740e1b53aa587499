/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/run.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/orchestrate/child.h"
#include "applets/orchestrate/peer.h"
#include "applets/orchestrate/sockets.h"
#include "base/fd.h"
#include "base/log.h"
#include "plan/rewrite/rewrite.h"

#define SIGNALS_TOGETHER_US 100000
/* How long a remote has to end by itself, then after each SIGTERM, before the next step. */
#define END_GRACE_MS 5000
/* After the last SIGTERM: mpqemu-remote gives its storage daemon 10 s to write back. */
#define END_LAST_MS 15000
/* How often a socket that a remote makes by itself is tried. */
#define CONNECT_MS 50

enum phase { PHASE_START, PHASE_RUN, PHASE_END };
/*
 * A second SIGTERM makes mpqemu-remote kill a device process that hangs, which would be left
 * behind if the keeper were killed.
 */
enum end_step { END_WAIT, END_TERM, END_TERM_AGAIN, END_KILL };

struct run_remote {
	struct run *run;
	const struct plan_process *process;
	struct child child;
	guint watch;
	unsigned unanswered;	/* sockets on which the remote has not answered yet */
	bool told;		/* it listens, and got SIGTERM since nobody will come any more */
};

/*
 * A socketpair: what of it is still open here.  Or, with a path, a socket that listens, which is
 * its remote's end, and our own connection to it.
 */
struct run_pair {
	struct run_remote *remote;
	const char *device;
	const char *path;	/* NULL: a socketpair */
	bool listens, bound;	/* the socket is made here; its path is there */
	int remote_end;		/* kept until the remote has it: only then can QEMU see it close */
	int proxy_end;		/* kept until QEMU has it */
	ino_t proxy_inode;	/* of the proxy's end, to know it among QEMU's fds */
	struct peer peer;
	guint watch;		/* of the answer, or of the next attempt to connect */
};

struct run {
	struct plan *plan;
	char *socket_dir;	/* made here, or NULL */
	const struct run_options *options;
	GMainLoop *loop;
	struct run_remote *remotes;
	unsigned remote_count;
	struct run_pair *pairs;
	struct child qemu;
	enum phase phase;
	enum end_step end_step;
	guint timer;
	unsigned signals;	/* how many SIGINT, SIGTERM, SIGHUP have come */
	int64_t first_signal;	/* when, of g_get_monotonic_time() */
	int status;		/* of ours: enum run_status, 128 + N, or 0; counts if QEMU's is 0 */
	sigset_t old_mask;
};

static void run_end(struct run *run);

/* For people. */
static const char *vmm_name(const struct run *run)
{
	return rewrite_is_cloud(run->plan->qemu->argv->pdata[0]) ? "Cloud Hypervisor" : "QEMU";
}

/* Those of the devices, then those of QMP, which are nobody's to ask or to watch. */
static unsigned pair_total(const struct run *run)
{
	return run->plan->pair_count + run->plan->qmp_count;
}

/* The first reason counts; later ones are its consequences. */
static void set_status(struct run *run, int status)
{
	if (!run->status)
		run->status = status;
}

static char *describe_end(const struct child *child)
{
	if (child->signal)
		return g_strdup_printf("was killed by signal %d (%s)%s", child->signal,
				       sigabbrev_np(child->signal) ?: "unknown",
				       child->core ? ", core dumped" : "");
	return g_strdup_printf("ended with exit status %d", child->status);
}

static bool any_remote_runs(const struct run *run)
{
	for (unsigned i = 0; i < run->remote_count; i++)
		if (run->remotes[i].child.pid)
			return true;
	return false;
}

static void kill_remotes(struct run *run, int sig)
{
	for (unsigned i = 0; i < run->remote_count; i++)
		child_kill(&run->remotes[i].child, sig);
}

static void quit_when_done(struct run *run)
{
	if (!run->qemu.pid && !any_remote_runs(run))
		g_main_loop_quit(run->loop);
}

static void stop_timer(struct run *run)
{
	if (run->timer)
		g_source_remove(run->timer);
	run->timer = 0;
}

/* ---- END ---- */

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
	return G_SOURCE_REMOVE;
}

static void close_pair(struct run_pair *pair)
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

/* QEMU is gone or will not start: closing what we hold is what tells the remotes. */
static void run_end(struct run *run)
{
	if (run->phase == PHASE_END)
		return;
	run->phase = PHASE_END;
	stop_timer(run);
	for (unsigned i = 0; i < pair_total(run); i++)
		close_pair(&run->pairs[i]);
	if (run->end_step == END_WAIT)
		tell_listeners(run);
	run->timer = g_timeout_add(END_GRACE_MS, end_timer, run);
	quit_when_done(run);
}

/* Ends what was started before QEMU was; the remotes need not wait to notice. */
static void run_abort(struct run *run, int status)
{
	set_status(run, status);
	kill_remotes(run, SIGTERM);
	run->end_step = END_TERM;
	run_end(run);
}

/* ---- QEMU ---- */

static gboolean qemu_ended(int fd, GIOCondition condition, void *opaque)
{
	struct run *run = opaque;

	if (!child_reap(&run->qemu))
		return G_SOURCE_CONTINUE;
	if (run->qemu.status) {
		g_autofree char *end = describe_end(&run->qemu);

		log_line(run->signals ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, "%s %s",
			 vmm_name(run), end);
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
static int start_process(struct run *run, const struct plan_process *process, struct child *child)
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

static void start_qemu(struct run *run)
{
	int status;

	stop_timer(run);
	status = start_process(run, run->plan->qemu, &run->qemu);
	if (status) {
		run_abort(run, status);
		return;
	}
	run->phase = PHASE_RUN;
	for (unsigned i = 0; i < pair_total(run); i++)
		fd_close(&run->pairs[i].proxy_end);
	g_unix_fd_add(run->qemu.pidfd, G_IO_IN, qemu_ended, run);
}

/* ---- Remotes ---- */

/*
 * Has QEMU still got the socket?  A process that ends closes its files before anybody can see its
 * end, so a remote that ends because QEMU did always finds false here.
 */
static bool qemu_holds(const struct run *run, const struct run_pair *pair)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/fd", run->qemu.pid);
	g_autofree char *wanted = g_strdup_printf("socket:[%lu]", pair->proxy_inode);
	g_autoptr(GDir) dir = run->qemu.pid ? g_dir_open(path, 0, NULL) : NULL;
	const char *name;

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

		if (pair->remote != remote)
			continue;
		if (pair->path ? !remote->process->auto_shutdown || remote->child.status :
				 qemu_holds(remote->run, pair))
			return false;
	}
	return true;
}

static void close_remote(struct run_remote *remote)
{
	for (unsigned i = 0; i < pair_total(remote->run); i++)
		if (remote->run->pairs[i].remote == remote)
			close_pair(&remote->run->pairs[i]);
}

static void close_remote_ends(struct run_remote *remote)
{
	for (unsigned i = 0; i < pair_total(remote->run); i++)
		if (remote->run->pairs[i].remote == remote)
			fd_close(&remote->run->pairs[i].remote_end);
}

/* Over vfio-user? */
static bool listens(const struct run_remote *remote)
{
	for (unsigned i = 0; i < remote->run->plan->pair_count; i++)
		if (remote->run->pairs[i].remote == remote && remote->run->pairs[i].listens)
			return true;
	return false;
}

/* QEMU would read all ones from the device for ever and not say more than a line an access. */
static void remote_lost(struct run_remote *remote, const char *end)
{
	struct run *run = remote->run;

	log_error("%s: its process %s while %s was using it; the guest reads all ones from now "
		  "on%s%s%s",
		  remote->process->serves, end, vmm_name(run),
		  listens(remote) ? ", and QEMU aborts when it is reset" : "",
		  run->options->stop_on_remote_exit ? "; ending " : "",
		  run->options->stop_on_remote_exit ? vmm_name(run) : "");
	set_status(run, RUN_STATUS_REMOTE);
	if (run->options->stop_on_remote_exit)
		child_kill(&run->qemu, SIGTERM);
}

/* Was it to end: told to, by QEMU's end or by us? */
static bool end_was_due(struct run_remote *remote)
{
	const struct run *run = remote->run;

	return run->phase == PHASE_END || run->signals > 1 ||
	       (run->phase == PHASE_RUN && peer_closed_first(remote));
}

/* The remote has been reaped. */
static void remote_gone(struct run_remote *remote)
{
	struct run *run = remote->run;
	g_autofree char *end = describe_end(&remote->child);
	bool ordinary = end_was_due(remote);

	close_remote(remote);
	if (run->phase == PHASE_START) {
		log_error("%s: its process %s before %s was started",
			  remote->process->serves, end, vmm_name(run));
		run_abort(run, RUN_STATUS_REMOTE);
	} else if (!ordinary) {
		remote_lost(remote, end);
	} else if (remote->told && remote->child.signal == SIGTERM) {
		/* a program that does not mind SIGTERM */
	} else if (remote->child.status && run->end_step == END_WAIT) {
		log_error("%s: its process %s", remote->process->serves, end);
		set_status(run, RUN_STATUS_REMOTE);
	} else if (remote->child.status == 128 + SIGKILL && !run->signals) {
		set_status(run, RUN_STATUS_REMOTE);
	}
	quit_when_done(run);
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
	log_error("%s: %s does not answer: %s", pair->device, pair->remote->process->serves, why);
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
			start_qemu(run);
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
			log_error("%s: %s (process %d) has not answered for %u s",
				  run->pairs[i].device, run->pairs[i].remote->process->serves,
				  run->pairs[i].remote->child.pid, run->options->start_timeout);
	run_abort(run, RUN_STATUS_REMOTE);
	return G_SOURCE_REMOVE;
}

static bool start_remote(struct run *run, struct run_remote *remote)
{
	int status = start_process(run, remote->process, &remote->child);

	if (status) {
		run_abort(run, status);
		return false;
	}
	close_remote_ends(remote);
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

static void run_start(struct run *run)
{
	for (unsigned i = 0; i < run->remote_count; i++)
		if (!start_remote(run, &run->remotes[i]))
			return;
	if (!ask_peers(run))
		return;
	run->timer = g_timeout_add_seconds(run->options->start_timeout, start_timed_out, run);
	if (all_answered(run))
		start_qemu(run);
}

/* ---- Signals ---- */

/*
 * First: QEMU gets the signal, ends as it does, and the remotes follow.  Second: QEMU is killed and
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
			 vmm_name(run));
		run_abort(run, 128 + info->ssi_signo);
	} else if (run->signals == 1) {
		run->first_signal = g_get_monotonic_time();
		if (!has_it)
			child_kill(&run->qemu, info->ssi_signo);
	} else if (run->signals == 2) {
		log_warning("second signal: killing %s", vmm_name(run));
		run->end_step = END_TERM;
		child_kill(&run->qemu, SIGKILL);
		kill_remotes(run, SIGTERM);
	} else {
		child_kill(&run->qemu, SIGKILL);
		kill_remotes(run, SIGKILL);
	}
}

static gboolean signal_readable(int fd, GIOCondition condition, void *opaque)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) == sizeof(info))
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
	int fd = pair->listens ? sockets_listen(pair->path) : 0;

	if (fd < 0)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s", pair->path, log_errname(fd));
	pair->remote_end = pair->listens ? fd : -1;
	pair->bound = pair->listens;
	return true;
}

static bool make_pairs(struct run *run, GError **error)
{
	for (unsigned i = 0; i < pair_total(run); i++) {
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
	run->pairs = g_new0(struct run_pair, pair_total(run));
	run->loop = g_main_loop_new(NULL, false);
	run->qemu = (struct child)CHILD_INIT;
	for (unsigned i = 0; i < pair_total(run); i++)
		run->pairs[i].remote_end = run->pairs[i].proxy_end = -1;
	for (unsigned i = 0; i < run->remote_count; i++) {
		run->remotes[i].run = run;
		run->remotes[i].process = run->plan->remotes->pdata[i];
		run->remotes[i].child = (struct child)CHILD_INIT;
		bind_pairs(run, &run->remotes[i]);
	}
}

static void run_finish(struct run *run)
{
	stop_timer(run);
	for (unsigned i = 0; i < pair_total(run); i++) {
		close_pair(&run->pairs[i]);
		peer_finish(&run->pairs[i].peer);
		if (run->pairs[i].bound)
			unlink(run->pairs[i].path);
	}
	sockets_remove_dir(run->socket_dir);
	g_main_loop_unref(run->loop);
	g_free(run->remotes);
	g_free(run->pairs);
}

/* Returns the signalfd, or -1 with @error set. */
static int set_up(struct run *run, char *socket_dir, GError **error)
{
	autofd sigfd = -1;

	run_init(run);
	run->socket_dir = socket_dir;
	sigfd = take_signals(run);
	if (sigfd < 0)
		mpq_fail(error, MPQ_ERROR_SYSTEM, "signalfd: %s", log_errname(errno));
	else if (make_pairs(run, error))
		return fd_steal(&sigfd);
	return -1;
}

int run_plan(struct plan *plan, const struct run_options *options)
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
	if (sigfd < 0) {
		log_error("cannot set up the processes: %s", error->message);
		give_signals_back(&run);
		run_finish(&run);
		return RUN_STATUS_FAILED;
	}
	watch = g_unix_fd_add(sigfd, G_IO_IN, signal_readable, &run);
	run_start(&run);
	if (run.qemu.pid || any_remote_runs(&run))
		g_main_loop_run(run.loop);
	g_source_remove(watch);
	run_finish(&run);
	give_signals_back(&run);
	return run.qemu.status ? run.qemu.status : run.status;
}
