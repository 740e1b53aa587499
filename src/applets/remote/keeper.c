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
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applets/remote/device.h"
#include "base/fd.h"
#include "base/log.h"
#include "control/channel.h"
#include "control/launch.h"
#include "mem/memfd.h"
#include "pci/pci.h"

#define METRICS_SIZE 4096

/* What is made for one launch; all fds owned. */
struct launch {
	int spec_fd, state_fd, metrics_fd;
	int control[2];			/* keeper's end, device's end */
	int log[2];			/* read by the keeper, written by the device */
	int signal_fd;
	pid_t pid;
	unsigned stop_signals;
	bool ended;
	int wait_status;
	bool failed;			/* ready() said no */
};

static void launch_close(struct launch *l)
{
	int *all[] = { &l->spec_fd, &l->state_fd, &l->metrics_fd, &l->control[0], &l->control[1],
		       &l->log[0], &l->log[1], &l->signal_fd };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		fd_close(all[i]);
}

/* The signals that the keeper takes from its signalfd. */
static void keeper_signals(sigset_t *set)
{
	static const int wanted[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGUSR1 };

	sigemptyset(set);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		sigaddset(set, wanted[i]);
}

static int launch_make(const struct keeper *k, struct launch *l)
{
	sigset_t set;

	l->spec_fd = memfd_make_sealed("mpqemu-spec", k->spec, sizeof(*k->spec));
	if (l->spec_fd < 0)
		return l->spec_fd;
	l->state_fd = memfd_make("mpqemu-state", (uint64_t)k->spec->device_count * PCI_STATE_MAX);
	if (l->state_fd < 0)
		return l->state_fd;
	l->metrics_fd = memfd_make("mpqemu-metrics", METRICS_SIZE);
	if (l->metrics_fd < 0)
		return l->metrics_fd;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, l->control) < 0 ||
	    pipe2(l->log, O_CLOEXEC) < 0 || fcntl(l->log[1], F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	keeper_signals(&set);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	l->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	return l->signal_fd < 0 ? -errno : 0;
}

/* The child: puts everything into its slot and becomes the device process. */
static void child_main(const struct keeper *k, const struct launch *l)
{
	struct launch_fd fds[LAUNCH_SLOT_COUNT];
	unsigned n = 0;
	sigset_t none;
	int ret;

	fds[n++] = (struct launch_fd){ l->log[1], LAUNCH_SLOT_STDERR };
	fds[n++] = (struct launch_fd){ l->log[1], LAUNCH_SLOT_LOG };
	fds[n++] = (struct launch_fd){ l->control[1], LAUNCH_SLOT_CONTROL };
	fds[n++] = (struct launch_fd){ l->spec_fd, LAUNCH_SLOT_SPEC };
	fds[n++] = (struct launch_fd){ l->state_fd, LAUNCH_SLOT_STATE };
	fds[n++] = (struct launch_fd){ l->metrics_fd, LAUNCH_SLOT_METRICS };
	for (unsigned i = 0; i < k->spec->device_count; i++)
		if (k->spec->device[i].peer_slot >= 0)
			fds[n++] = (struct launch_fd){ k->peer[i], k->spec->device[i].peer_slot };
	for (unsigned i = 0; i < k->spec->disk_count; i++)
		if (k->spec->disk[i].image.slot >= 0)
			fds[n++] = (struct launch_fd){ k->image[i], k->spec->disk[i].image.slot };
	/* A session of its own: the terminal's signals go to the keeper, which ends it in order. */
	setsid();
	ret = launch_arrange(fds, n);
	if (ret) {
		log_error("cannot give the device process its fds (ulimit -n %d is enough): %s",
			  LAUNCH_SLOT_COUNT * 2, log_errname(ret));
		_exit(DEVICE_EXIT_START);
	}
	log_init(LAUNCH_SLOT_LOG, k->prog);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	exit(device_main());
}

/* Copies what the device process logs; it is a line a write.  Returns false at the end. */
static bool copy_log(int fd)
{
	char buf[4096];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0)
		return false;
	log_copy(buf, n);
	return true;
}

static void reap(struct launch *l)
{
	int status;

	if (waitpid(l->pid, &status, WNOHANG) != l->pid)
		return;
	l->ended = true;
	l->wait_status = status;
}

static void stop_device(struct launch *l, const struct signalfd_siginfo *si)
{
	char path[64], name[64] = "unknown";
	autofd comm = -1;

	snprintf(path, sizeof(path), "/proc/%u/comm", si->ssi_pid);
	comm = open(path, O_RDONLY | O_CLOEXEC);
	if (comm >= 0) {
		ssize_t n = read(comm, name, sizeof(name) - 1);

		name[n > 0 ? n - 1 : 0] = '\0';
	}
	if (l->stop_signals++) {
		log_info("terminating at once on a second signal %u", si->ssi_signo);
		kill(l->pid, SIGKILL);
		return;
	}
	log_info("terminating on signal %u from pid %u (%s)", si->ssi_signo, si->ssi_pid, name);
	if (ctl_send(l->control[0], CTL_STOP, 0))
		kill(l->pid, SIGKILL);
}

static void on_signal(struct launch *l)
{
	struct signalfd_siginfo si;

	if (read(l->signal_fd, &si, sizeof(si)) != sizeof(si))
		return;
	if (si.ssi_signo == SIGCHLD)
		reap(l);
	else if (si.ssi_signo == SIGUSR1)
		ctl_send(l->control[0], CTL_RETRY, 0);
	else
		stop_device(l, &si);
}

static void on_held(const struct keeper *k, unsigned disk)
{
	if (disk < k->spec->disk_count)
		log_warning("%s: a request is held back after an error; SIGUSR1 to pid %d tries "
			    "again", k->spec->disk[disk].unit.id, getpid());
}

/* Returns false when the channel is of no more use. */
static bool on_control(const struct keeper *k, struct launch *l)
{
	struct ctl_msg msg;
	int ret = ctl_recv(l->control[0], CTL_FROM_DEVICE, &msg);

	if (ret == -EAGAIN)
		return true;
	if (ret)
		return false;
	if (msg.type == CTL_HELD)
		on_held(k, msg.arg);
	if (msg.type == CTL_READY && k->ready && k->ready(k->opaque)) {
		l->failed = true;
		ctl_send(l->control[0], CTL_STOP, 0);
	}
	return true;
}

/* What the keeper waits for: its own three, then the storage daemon of each disk. */
enum { WATCH_SIGNAL, WATCH_LOG, WATCH_CONTROL, WATCH_DAEMON };

/* A daemon ends after the device process; one that ends before takes its disk along. */
static void on_daemon(const struct keeper *k, const struct launch *l, unsigned disk)
{
	if (!l->ended && !l->stop_signals)
		log_error("%s: its storage daemon has ended; its requests fail from now on",
			  k->spec->disk[disk].unit.id);
}

/* Until the device process has ended and its last line is copied. */
static void watch(const struct keeper *k, struct launch *l)
{
	struct pollfd p[WATCH_DAEMON + SPEC_MAX_DISKS] = {
		[WATCH_SIGNAL] = { .fd = l->signal_fd, .events = POLLIN },
		[WATCH_LOG] = { .fd = l->log[0], .events = POLLIN },
		[WATCH_CONTROL] = { .fd = l->control[0], .events = POLLIN },
	};

	unsigned count = WATCH_DAEMON + k->spec->disk_count;

	for (unsigned i = 0; i < k->spec->disk_count; i++)
		p[WATCH_DAEMON + i] = (struct pollfd){ .fd = k->daemon[i], .events = POLLIN };
	while (!l->ended || p[WATCH_LOG].fd >= 0) {
		if (poll(p, count, -1) < 0 && errno != EINTR) {
			log_error("poll: %s", log_errname(errno));
			kill(l->pid, SIGKILL);
			waitpid(l->pid, &l->wait_status, 0);
			return;
		}
		if (p[WATCH_SIGNAL].revents)
			on_signal(l);
		if (p[WATCH_LOG].revents && !copy_log(p[WATCH_LOG].fd))
			p[WATCH_LOG].fd = -1;
		if (p[WATCH_CONTROL].revents && !on_control(k, l))
			p[WATCH_CONTROL].fd = -1;
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
	if (WIFEXITED(l->wait_status))
		return WEXITSTATUS(l->wait_status);
	if (!(l->stop_signals > 1 && WTERMSIG(l->wait_status) == SIGKILL))
		log_error("device process %d: killed by signal %d (%s)", l->pid,
			  WTERMSIG(l->wait_status), sigdescr_np(WTERMSIG(l->wait_status)));
	return 128 + WTERMSIG(l->wait_status);
}

int keeper_run(const struct keeper *keeper)
{
	struct launch l = {
		.spec_fd = -1, .state_fd = -1, .metrics_fd = -1, .control = { -1, -1 },
		.log = { -1, -1 }, .signal_fd = -1,
	};
	int ret = launch_make(keeper, &l);

	if (!ret) {
		l.pid = fork();
		if (l.pid < 0)
			ret = -errno;
	}
	if (ret) {
		log_error("cannot launch the device process: %s", log_errname(ret));
		launch_close(&l);
		return DEVICE_EXIT_START;
	}
	if (l.pid == 0)
		child_main(keeper, &l);
	fd_close(&l.control[1]);
	fd_close(&l.log[1]);
	for (unsigned i = 0; i < keeper->spec->device_count; i++)
		if (keeper->peer[i] >= 0)
			close(keeper->peer[i]);
	watch(keeper, &l);
	launch_close(&l);
	return exit_status(&l);
}
