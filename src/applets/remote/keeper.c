/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applets/remote/confine.h"
#include "applets/remote/device.h"
#include "applets/remote/listeners.h"
#include "applets/remote/monitor.h"
#include "applets/remote/onerror.h"
#include "applets/remote/recover.h"
#include "applets/remote/spawn.h"
#include "applets/remote/supervised.h"
#include "applets/remote/watchdog.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"
#include "control/channel.h"
#include "event/loop.h"

/* One run of a device process. */
struct launch {
	struct spawn spawn;
	int pidfd;			/* owned; or -errno */
	int signal_fd;			/* owned */
	char log[4096];			/* its last line, while that has no end */
	size_t log_len;
	uint64_t log_room;		/* bytes that may be copied now */
	int64_t log_time;		/* of the last look, ns of loop_now() */
	unsigned stop_signals;
	int64_t first_signal;		/* of loop_now() */
	int64_t stop_limit;		/* of loop_now(): it has to have ended; 0: none */
	bool killed;			/* and a line said so */
	bool ended;			/* the device process; it may have a successor */
	bool over;			/* and has none */
	bool abandoned;			/* nobody can kill it: it is left to see our end */
	int wait_status;
	struct recover recover;
	struct watchdog watchdog;
	bool ready;
	bool failed;			/* ready() said no */
	struct listeners listeners;
};

/* The signals that the keeper takes from its signalfd. */
static void keeper_signals(sigset_t *set)
{
	static const int wanted[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGUSR1 };

	sigemptyset(set);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		sigaddset(set, wanted[i]);
}

/* Before the device process is there: none of its signals may be missed. */
static int take_signals(struct launch *l)
{
	sigset_t set;

	keeper_signals(&set);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	l->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	return l->signal_fd < 0 ? -errno : 0;
}

/*
 * A device process that was taken over shall not fill its host's disk: so many bytes at once, and
 * so many a second.  What is too much is read and thrown away: its log never stops it.
 */
#define LOG_BURST (256 << 10)
#define LOG_RATE (16 << 10)

static bool log_allows(struct launch *l, unsigned bytes)
{
	int64_t now = loop_now();

	l->log_room = min_u64(LOG_BURST, l->log_room + (now - l->log_time) / LOOP_MS * LOG_RATE /
			      1000);
	l->log_time = now;
	if (bytes > l->log_room)
		return false;
	l->log_room -= bytes;
	return true;
}

/* The first @len bytes of what is there. */
static void pass_log(struct launch *l, size_t len)
{
	if (!len)
		return;
	if (log_allows(l, len))
		log_copy(l->log, len);
	else
		log_drop(l->log, len);
	l->log_len -= len;
	memmove(l->log, l->log + len, l->log_len);
}

/*
 * Copies what the device process logs: whole lines, for a pipe may cut them.  One without an end
 * is passed on when it fills the buffer, or at the pipe's end.  Returns false at the end.
 */
static bool copy_log(struct launch *l)
{
	ssize_t n = read(l->spawn.log[0], l->log + l->log_len, sizeof(l->log) - l->log_len);
	const char *end;

	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0) {
		pass_log(l, l->log_len);
		return false;
	}
	l->log_len += n;
	end = memrchr(l->log, '\n', l->log_len);
	if (end)
		pass_log(l, end + 1 - l->log);
	else if (l->log_len == sizeof(l->log))
		pass_log(l, l->log_len);
	return true;
}

static void reap(struct launch *l)
{
	int status;

	if (waitpid(l->spawn.pid, &status, WNOHANG) != l->spawn.pid)
		return;
	l->ended = true;
	l->wait_status = status;
}

static void kill_device(struct launch *l)
{
	if (l->ended)
		return;
	if (l->recover.lost) {
		l->abandoned = true;
		l->wait_status = SIGKILL;
	} else if (l->recover.on) {
		nursery_kill(&l->recover.nursery);
	} else if (l->pidfd < 0) {
		kill(l->spawn.pid, SIGKILL);
	} else {
		pidfd_send_signal(l->pidfd, SIGKILL, NULL, 0);
	}
}

/* In order, but not for ever: one that was taken over may not listen. */
static void tell_to_stop(struct launch *l)
{
	if (ctl_send(l->spawn.control[0], CTL_STOP, 0))
		kill_device(l);
	else if (!l->stop_limit)
		l->stop_limit = loop_now() + DEVICE_STOP_LIMIT * 1000 * LOOP_MS;
}

static void check_stop_limit(struct launch *l)
{
	if (!l->stop_limit || l->ended || loop_now() < l->stop_limit)
		return;
	log_error("device process %d: has not ended %d s after it was told to; it is killed",
		  l->spawn.pid, DEVICE_STOP_LIMIT);
	l->stop_limit = 0;
	l->killed = true;
	kill_device(l);
}

/* ms until then, or @wait_ms if that is sooner; -1 is never. */
static int until_stop_limit(const struct launch *l, int wait_ms)
{
	return l->stop_limit && !l->ended ? loop_left_ms(l->stop_limit, wait_ms) : wait_ms;
}

#define SIGNALS_TOGETHER (100 * LOOP_MS)

static void stop_device(const struct keeper *k, struct launch *l, const struct signalfd_siginfo *si)
{
	char path[64], name[64] = "unknown";
	autofd comm = -1;

	snprintf(path, sizeof(path), "/proc/%u/comm", si->ssi_pid);
	comm = open(path, O_RDONLY | O_CLOEXEC);
	if (comm >= 0) {
		ssize_t n = read(comm, name, sizeof(name) - 1);

		name[n > 0 ? n - 1 : 0] = '\0';
	}
	/* timeout(1) signals its child, and then the group that both are in: that is one wish. */
	if (l->stop_signals == 1 && loop_now() < l->first_signal + SIGNALS_TOGETHER)
		return;
	if (l->stop_signals++) {
		log_info("terminating at once on a second signal %u", si->ssi_signo);
		l->killed = true;
		kill_device(l);
		return;
	}
	l->first_signal = loop_now();
	monitor_shutdown(k->monitor, "host-signal", false);
	log_info("terminating on signal %u from pid %u (%s)", si->ssi_signo, si->ssi_pid, name);
	notify_say(k->notify, "STOPPING=1\nSTATUS=stopping on signal %u", si->ssi_signo);
	tell_to_stop(l);
}

static void reap_all(const struct keeper *k, struct launch *l)
{
	if (recover_reap(&l->recover))
		supervised_barren(k->supervised);
	reap(l);
}

static void on_signal(const struct keeper *k, struct launch *l)
{
	struct signalfd_siginfo si;

	if (read(l->signal_fd, &si, sizeof(si)) != sizeof(si))
		return;
	if (si.ssi_signo == SIGCHLD)
		reap_all(k, l);
	else if (si.ssi_signo == SIGUSR1)
		ctl_send(l->spawn.control[0], CTL_RETRY, 0);
	else
		stop_device(k, l, &si);
}

/* The keeper has done its own: from here on it waits, and needs little for that. */
static int on_ready(const struct keeper *k, struct launch *l)
{
	struct confine_duties duties = {
		.spec = k->spec, .features = k->features,
		.monitor = onerror_unconnected(k->onerror), .control = l->spawn.control[0],
		.has_monitor = k->monitor, .manage = l->spawn.manage[0], .removes = k->removes,
	};
	int ret;

	uint32_t outage;

	watchdog_begin(&l->watchdog, true);
	if (recover_ready(&l->recover, &outage)) {
		supervised_restarted(k->supervised, l->spawn.pid, outage);
		return 0;
	}
	if (l->ready)
		return -EPROTO;
	l->ready = true;
	ret = k->ready ? k->ready(k->opaque) : 0;
	if (!ret)
		ret = confine_keeper(&duties);
	if (ret)
		return ret;
	monitor_ready(k->monitor, l->spawn.manage[0]);
	notify_say(k->notify, "READY=1\nSTATUS=serving %u device%s",
		   k->spec->device_count, k->spec->device_count == 1 ? "" : "s");
	supervised_ready(k->supervised, l->spawn.pid, l->spawn.control[0]);
	return 0;
}

static void tell_held(const struct keeper *k, const struct launch *l, uint32_t arg)
{
	monitor_held(k->monitor, arg);
	onerror_held(k->onerror, arg, l->spawn.control[0]);
}

/* The next message of the device process.  0, or what ctl_recv() says. */
static int hear(const struct keeper *k, struct launch *l)
{
	struct conn_fds fds = { 0 };
	struct ctl_msg msg;
	int ret = l->recover.on ?
		  ctl_recv_fds(l->spawn.control[0], CTL_FROM_DEVICE, &msg, &fds) :
		  ctl_recv(l->spawn.control[0], CTL_FROM_DEVICE, &msg);

	if (ret)
		return ret;
	if (msg.type == CTL_KEEP)
		vault_keep(&l->recover.vault, msg.arg, &fds);
	if (msg.type == CTL_HELD)
		tell_held(k, l, msg.arg);
	if (msg.type == CTL_PAUSED)
		supervised_paused(k->supervised, msg.arg);
	if (msg.type == CTL_PONG)
		watchdog_pong(&l->watchdog, msg.arg);
	if (msg.type == CTL_PEER_GONE && listeners_gone(&l->listeners, msg.arg))
		supervised_client_gone(k->supervised, msg.arg);
	if (msg.type == CTL_READY && on_ready(k, l)) {
		l->failed = true;
		tell_to_stop(l);
	}
	return 0;
}

/* After the channel was read: an answer may have come in the same moment. */
static void check_watchdog(struct launch *l)
{
	if (!watchdog_bites(&l->watchdog, l->spawn.control[0]) || l->ended || l->stop_signals)
		return;
	log_error("device process %d: does not answer; it is killed", l->spawn.pid);
	kill_device(l);
}

/* Returns false when the channel is of no more use. */
static bool on_control(const struct keeper *k, struct launch *l)
{
	int ret = hear(k, l);

	return !ret || ret == -EAGAIN;
}

/*
 * What the keeper waits for: its own three, QMP, each device's clients, each disk's daemon; and
 * behind them its monitor's.
 */
enum {
	WATCH_SIGNAL, WATCH_LOG, WATCH_CONTROL, WATCH_QMP, WATCH_SUPERVISOR, WATCH_CLIENT,
	WATCH_DAEMON = WATCH_CLIENT + SPEC_MAX_DEVICES,
};

/* A daemon ends after the device process; one that ends before takes its disk along. */
static void on_daemon(const struct keeper *k, const struct launch *l, unsigned disk)
{
	if (l->ended || l->stop_signals)
		return;
	log_error("%s: its storage daemon has ended; its requests fail from now on",
		  k->spec->disk[disk].unit.id);
	supervised_storage_gone(k->supervised, k->daemon_status(k->opaque, disk));
}

/* Is the device process there for clients, still? */
static bool may_accept(const struct launch *l)
{
	return l->ready && !l->failed && !l->stop_signals && !l->ended;
}

/* It was not told to, and has not come to its own end either. */
static bool has_crashed(const struct launch *l)
{
	int status = WIFEXITED(l->wait_status) ? WEXITSTATUS(l->wait_status) : -1;

	return !l->failed && !l->killed &&
	       (status < 0 || status == DEVICE_EXIT_FORBIDDEN || status == DEVICE_EXIT_BROKEN);
}

/*
 * A successor of one that has crashed, or that could not even start; one that saw its peers leave
 * has ended in order.
 */
static bool may_succeed(const struct launch *l)
{
	bool stillborn = !l->recover.serves && WIFEXITED(l->wait_status) &&
			 WEXITSTATUS(l->wait_status) == DEVICE_EXIT_START;

	return l->recover.on && l->ready && !l->failed && !l->killed && !l->stop_signals &&
	       (has_crashed(l) || stillborn);
}

/* It is the end of all; what else holds the log's other end goes, too. */
static void have_no_successor(struct launch *l)
{
	l->over = true;
	recover_finish(&l->recover);
	watchdog_finish(&l->watchdog);
}

/* The device process has ended: for good, or a successor is to come. */
static void on_end(const struct keeper *k, struct launch *l)
{
	bool asked;

	if (l->recover.due && !l->stop_signals)
		return;
	if (!l->recover.due) {
		/* What it has still said and handed over counts. */
		while (l->recover.on && hear(k, l) == 0)
			;
		asked = k->supervised->restarting;
		if (has_crashed(l))
			supervised_crashed(k->supervised, l->wait_status);
		if (may_succeed(l) &&
		    recover_crashed(&l->recover, l->spawn.pid, l->wait_status, asked))
			return;
	}
	have_no_successor(l);
}

static void launch_successor(const struct keeper *k, struct launch *l, struct pollfd *control)
{
	int ret = recover_launch(&l->recover, l->spawn.control[0], &l->spawn.pid);

	if (ret == -EBUSY)
		return;
	if (ret) {
		have_no_successor(l);
		return;
	}
	l->ended = false;
	watchdog_begin(&l->watchdog, false);
	control->fd = l->spawn.control[0];
	supervised_adopting(k->supervised);
	/* It may have ended before its number was known: then nobody has looked for it. */
	reap(l);
}

/* Until the last device process has ended and its last line is copied. */
static void watch(const struct keeper *k, struct launch *l)
{
	struct pollfd p[WATCH_DAEMON + SPEC_MAX_DISKS + MONITOR_POLL] = {
		[WATCH_SIGNAL] = { .fd = l->signal_fd, .events = POLLIN },
		[WATCH_LOG] = { .fd = l->spawn.log[0], .events = POLLIN },
		[WATCH_CONTROL] = { .fd = l->spawn.control[0], .events = POLLIN },
	};

	unsigned count = WATCH_DAEMON + k->spec->disk_count, more;

	for (unsigned i = WATCH_CLIENT; i < WATCH_DAEMON; i++)
		p[i].fd = -1;
	for (unsigned i = 0; i < k->spec->disk_count; i++)
		p[WATCH_DAEMON + i] = (struct pollfd){ .fd = k->daemon[i], .events = POLLIN };
	while ((!l->over || p[WATCH_LOG].fd >= 0) && !l->abandoned) {
		int wait_ms = until_stop_limit(l, onerror_poll(k->onerror, &p[WATCH_QMP]));

		wait_ms = recover_wait(&l->recover, wait_ms);
		wait_ms = watchdog_wait(&l->watchdog, wait_ms);
		wait_ms = notify_alive(k->notify, loop_now(), wait_ms);
		wait_ms = monitor_poll(k->monitor, wait_ms, &p[count], &more);
		listeners_poll(&l->listeners, may_accept(l), &p[WATCH_CLIENT]);
		supervised_poll(k->supervised, &p[WATCH_SUPERVISOR]);
		if (poll(p, count + more, wait_ms) < 0 && errno != EINTR) {
			log_error("poll: %s", log_errname(errno));
			kill_device(l);
			waitpid(l->spawn.pid, &l->wait_status, 0);
			return;
		}
		if (p[WATCH_SIGNAL].revents)
			on_signal(k, l);
		if (p[WATCH_LOG].revents && !copy_log(l))
			p[WATCH_LOG].fd = -1;
		if (p[WATCH_CONTROL].revents && !on_control(k, l))
			p[WATCH_CONTROL].fd = -1;
		if (may_accept(l))
			listeners_polled(&l->listeners, &p[WATCH_CLIENT], l->spawn.control[0]);
		onerror_polled(k->onerror, &p[WATCH_QMP], l->spawn.control[0]);
		if (monitor_polled(k->monitor, &p[count], more))
			tell_to_stop(l);
		if (supervised_polled(k->supervised, &p[WATCH_SUPERVISOR]))
			kill_device(l);
		monitor_set_running(k->monitor, k->supervised->state == SUPERVISED_RUNS);
		check_stop_limit(l);
		check_watchdog(l);
		if (l->ended && !l->over)
			on_end(k, l);
		if (recover_due(&l->recover))
			launch_successor(k, l, &p[WATCH_CONTROL]);
		for (unsigned i = WATCH_DAEMON; i < count; i++)
			if (p[i].revents) {
				on_daemon(k, l, i - WATCH_DAEMON);
				p[i].fd = -1;
			}
	}
}

static int exit_status(const struct launch *l)
{
	if (l->failed)
		return DEVICE_EXIT_START;
	if (WIFEXITED(l->wait_status) && WEXITSTATUS(l->wait_status) == DEVICE_EXIT_FORBIDDEN)
		log_error("device process %d: ended by its sandbox at a forbidden system call; "
			  "it may have been taken over", l->spawn.pid);
	if (WIFEXITED(l->wait_status))
		return WEXITSTATUS(l->wait_status);
	if (!(l->killed && WTERMSIG(l->wait_status) == SIGKILL))
		log_error("device process %d: killed by signal %d (%s)", l->spawn.pid,
			  WTERMSIG(l->wait_status), sigdescr_np(WTERMSIG(l->wait_status)));
	return 128 + WTERMSIG(l->wait_status);
}

/* The numbers that the filter knows. */
static int take_numbers(const struct keeper *keeper, struct launch *l)
{
	int ret = 0;

	l->pidfd = confine_pidfd(l->spawn.pid);
	if (l->pidfd < 0)
		return l->pidfd;
	for (unsigned i = 0; i < keeper->spec->device_count && !ret; i++)
		if (keeper->listener[i] >= 0)
			ret = confine_listener(&keeper->listener[i]);
	return ret;
}

/* By a process that can do it again. */
static int launch_first(const struct keeper *keeper, struct launch *l)
{
	int ret = spawn_prepare(keeper, &l->spawn);

	/* Replies leave by sendfile(2), which has no flag for it. */
	for (unsigned i = 0; i < keeper->spec->device_count && !ret; i++)
		if (keeper->peer[i] >= 0 && fcntl(keeper->peer[i], F_SETFL, O_RDWR | O_NONBLOCK))
			ret = -errno;
	if (!ret)
		ret = recover_start(&l->recover, keeper, &l->spawn);
	fd_close(&l->spawn.exe_fd);
	fd_close(&l->spawn.log[1]);
	return ret ? ret : nursery_launch(&l->recover.nursery, &l->spawn.pid, &l->spawn.control[0]);
}

/* The device process and, where there is a sandbox, a pidfd of it. */
static int launch(const struct keeper *keeper, struct launch *l)
{
	int ret;

	if (keeper->spec->on_crash != SPEC_ON_CRASH_FAIL)
		return launch_first(keeper, l);
	ret = spawn_device(keeper, &l->spawn);
	if (ret)
		return ret;
	/* With a filter the keeper can kill by pidfds only; valgrind knows none. */
	if (keeper->spec->sandbox == SANDBOX_OFF)
		return 0;
	ret = take_numbers(keeper, l);
	if (!ret)
		return 0;
	log_error("cannot watch the device process (ulimit -n %d is enough): %s", CONFINE_FDS,
		  log_errname(ret));
	kill(l->spawn.pid, SIGKILL);
	waitpid(l->spawn.pid, NULL, 0);
	return ret;
}

static void launch_finish(struct launch *l)
{
	recover_finish(&l->recover);
	watchdog_finish(&l->watchdog);
	spawn_finish(&l->spawn);
	fd_close(&l->pidfd);
	fd_close(&l->signal_fd);
}

int keeper_run(const struct keeper *keeper)
{
	struct launch l = {
		.pidfd = -1, .signal_fd = -1, .log_room = LOG_BURST, .log_time = loop_now(),
		.listeners = { .spec = keeper->spec, .fd = keeper->listener },
	};
	int ret = take_signals(&l);

	if (ret)
		log_error("signals: %s", log_errname(ret));
	else
		ret = launch(keeper, &l);
	if (ret) {
		launch_finish(&l);
		return DEVICE_EXIT_START;
	}
	watchdog_start(&l.watchdog, keeper);
	watch(keeper, &l);
	monitor_shutdown(keeper->monitor, l.wait_status ? "host-error" : "guest-shutdown",
			 !l.wait_status);
	launch_finish(&l);
	ret = exit_status(&l);
	supervised_gone(keeper->supervised, ret);
	return ret;
}
