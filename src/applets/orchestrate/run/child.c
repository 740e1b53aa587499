/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/run/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/mempolicy.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib.h>

#include "base/fd.h"

/* What a child that cannot start tells its parent before it exits. */
struct failure {
	int step;
	int err;
};

enum step {
	STEP_CGROUP, STEP_FDS, STEP_STDIO, STEP_PARENT, STEP_CPUS, STEP_NUMA, STEP_OOM_SCORE,
	STEP_EXEC,
};

static const char *const step_name[] = {
	[STEP_CGROUP] = "control group",
	[STEP_FDS] = "fds",
	[STEP_STDIO] = "stdin and stdout",
	[STEP_PARENT] = "parent-death signal",
	[STEP_CPUS] = "cpus",
	[STEP_NUMA] = "numa",
	[STEP_OOM_SCORE] = "oom-score",
	[STEP_EXEC] = "exec",
};

/* Above every slot and every fd that is to be kept: where sources wait while slots are filled. */
static int parking(const struct child_setup *setup)
{
	int top = STDERR_FILENO;

	for (unsigned i = 0; i < setup->fd_count; i++)
		if (setup->fds[i].slot > top)
			top = setup->fds[i].slot;
	for (unsigned i = 0; i < setup->keep_count; i++)
		if (setup->keep[i] > top)
			top = setup->keep[i];
	return top + 1;
}

static bool is_slot(const struct child_setup *setup, int fd)
{
	for (unsigned i = 0; i < setup->fd_count; i++)
		if (setup->fds[i].slot == fd)
			return true;
	return false;
}

/*
 * In the child: moves each source above all slots first, so that filling one slot never overwrites
 * the source of another, then fills the slots.  Everything else of ours is CLOEXEC already; fds
 * that we inherited are marked so too, unless they are to be kept.
 */
static int place_fds(const struct child_setup *setup, int *report)
{
	int floor = parking(setup);
	int moved = *report < 0 ? -1 : fcntl(*report, F_DUPFD_CLOEXEC, floor);
	g_autofree int *parked = g_new(int, setup->fd_count);

	if (*report >= 0 && moved < 0)
		return -errno;
	*report = moved;
	for (unsigned i = 0; i < setup->fd_count; i++) {
		parked[i] = fcntl(setup->fds[i].fd, F_DUPFD_CLOEXEC, floor);
		if (parked[i] < 0)
			return -errno;
	}
	if (!setup->keep_all && close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		return -errno;
	for (unsigned i = 0; i < setup->drop_count; i++)
		if (fd_set_cloexec(setup->drop[i], true) < 0)
			return -EBADF;
	for (unsigned i = 0; i < setup->fd_count; i++)
		if (dup2(parked[i], setup->fds[i].slot) < 0)
			return -errno;
	for (unsigned i = 0; i < setup->keep_count; i++)
		if (!is_slot(setup, setup->keep[i]) && fd_set_cloexec(setup->keep[i], false) < 0)
			return -EBADF;
	return 0;
}

static int place_stdio(const struct child_setup *setup)
{
	autofd null = -1;

	if (setup->stderr_fd > 0 && dup2(setup->stderr_fd, STDERR_FILENO) < 0)
		return -errno;
	if (setup->stdio == CHILD_STDIO_OURS)
		return 0;
	/* Ctrl-C must reach QEMU first and a remote never, or the guest sees its disk vanish. */
	if (setpgid(0, 0) < 0)
		return -errno;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0)
		return -errno;
	/* QEMU's stdout may be a serial line or a qtest channel: nothing else writes there. */
	if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0 && dup2(null, STDOUT_FILENO) < 0)
		return -errno;
	if (null == STDIN_FILENO)
		fd_steal(&null);
	return 0;
}

/* The parent may have died before the signal was asked for; then nobody waits for us. */
static int bind_to_parent(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
		return -errno;
	return getppid() == parent ? 0 : -ESRCH;
}

static void reset_signals(const struct child_setup *setup)
{
	if (setup->sigpipe)
		sigaction(SIGPIPE, setup->sigpipe, NULL);
	if (setup->sigmask)
		sigprocmask(SIG_SETMASK, setup->sigmask, NULL);
}

/* The kernel leaves CPUs out that are not there; then this is not what was asked for. */
static int limit_cpus(const char *text)
{
	cpu_set_t wanted, got;

	if (!text)
		return 0;
	if (!plan_cpus_parse(text, &wanted))
		return -EINVAL;
	if (sched_setaffinity(0, sizeof(wanted), &wanted) < 0)
		return errno == EINVAL ? -ENXIO : -errno;
	if (sched_getaffinity(0, sizeof(got), &got) < 0)
		return -errno;
	return CPU_EQUAL(&wanted, &got) ? 0 : -ENXIO;
}

/* As with CPUs, the kernel leaves nodes out that are not there. */
static int limit_numa(const char *text)
{
	struct plan_numa numa;
	cpu_set_t allowed, both;

	if (!text)
		return 0;
	if (!plan_numa_parse(text, &numa))
		return -EINVAL;
	CPU_ZERO(&allowed);
	if (syscall(SYS_get_mempolicy, NULL, &allowed, CPU_SETSIZE, NULL, MPOL_F_MEMS_ALLOWED) < 0)
		return -errno;
	CPU_AND(&both, &numa.nodes, &allowed);
	if (!CPU_EQUAL(&both, &numa.nodes))
		return -ENXIO;
	/* Of the number of bits the kernel takes one off: set_mempolicy(2), BUGS. */
	if (syscall(SYS_set_mempolicy, numa.mode, numa.mode == MPOL_DEFAULT ? NULL : &numa.nodes,
		    CPU_SETSIZE + 1) < 0)
		return -errno;
	return 0;
}

static int limit_oom_score(int score)
{
	autofd fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", score);

	return fd < 0 ? -errno : fd_write_all(fd, text, len);
}

static int place_limits(const struct plan_limits *limits, int *ret_step)
{
	int ret;

	*ret_step = STEP_CPUS;
	ret = limit_cpus(limits->cpus);
	if (ret)
		return ret;
	*ret_step = STEP_NUMA;
	ret = limit_numa(limits->numa);
	if (ret)
		return ret;
	*ret_step = STEP_OOM_SCORE;
	return limits->has_oom_score ? limit_oom_score(limits->oom_score) : 0;
}

static int run_child(const struct child_setup *setup, pid_t parent, int *report, int *ret_step)
{
	int ret;

	*ret_step = STEP_PARENT;
	ret = bind_to_parent(parent);
	if (ret)
		return ret;
	*ret_step = STEP_CGROUP;
	if (setup->cgroup && write(setup->cgroup, "0", 1) < 0)
		return -errno;
	*ret_step = STEP_STDIO;
	ret = place_stdio(setup);
	if (ret)
		return ret;
	ret = setup->limits ? place_limits(setup->limits, ret_step) : 0;
	if (ret)
		return ret;
	*ret_step = STEP_FDS;
	ret = place_fds(setup, report);
	if (ret)
		return ret;
	*ret_step = STEP_EXEC;
	reset_signals(setup);
	execvp(setup->argv[0], setup->argv);
	return -errno;
}

int child_become(const struct child_setup *setup, const char **ret_where)
{
	int step, report = -1;
	int ret = setup->limits ? place_limits(setup->limits, &step) : 0;

	*ret_where = ret ? step_name[step] : step_name[STEP_FDS];
	if (ret)
		return ret;
	ret = place_fds(setup, &report);
	if (ret)
		return ret;
	*ret_where = step_name[STEP_EXEC];
	reset_signals(setup);
	execvp(setup->argv[0], setup->argv);
	return -errno;
}

static void __attribute__((noreturn)) child_main(const struct child_setup *setup, pid_t parent,
						 int report)
{
	struct failure failure = { 0 };

	failure.err = run_child(setup, parent, &report, &failure.step);
	fd_write_all(report, &failure, sizeof(failure));
	_exit(127);
}

/* Waits until the child has called exec (the pipe closes) or says why it cannot. */
static int await_exec(struct child *child, int report, const char **ret_where)
{
	struct failure failure;
	int ret = fd_read_all(report, &failure, sizeof(failure));

	if (ret == -ENODATA)
		return 0;
	child_kill(child, SIGKILL);
	child_wait(child, -1);
	/* How that one ended is not how the program did: there was none. */
	*child = (struct child)CHILD_INIT;
	*ret_where = ret ? "start report" : step_name[failure.step];
	return ret ? ret : failure.err;
}

int child_start(struct child *child, const struct child_setup *setup, const char **ret_where)
{
	pid_t parent = getpid();
	int ends[2];
	int ret;

	*child = (struct child)CHILD_INIT;
	*ret_where = "pipe";
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	*ret_where = "fork";
	child->pid = fork();
	if (child->pid == 0)
		child_main(setup, parent, ends[1]);
	ret = -errno;
	fd_close(&ends[1]);
	if (child->pid < 0) {
		child->pid = 0;
		fd_close(&ends[0]);
		return ret;
	}
	child->pidfd = pidfd_open(child->pid, 0);
	if (child->pidfd < 0) {
		ret = -errno;
		*ret_where = "pidfd_open";
		kill(child->pid, SIGKILL);
		waitpid(child->pid, NULL, 0);
		child->pid = 0;
	} else {
		ret = await_exec(child, ends[0], ret_where);
	}
	fd_close(&ends[0]);
	return ret;
}

static void __attribute__((noreturn)) try_main(const struct plan_limits *limits, int report)
{
	struct failure failure = { 0 };

	failure.err = place_limits(limits, &failure.step);
	fd_write_all(report, &failure, sizeof(failure));
	_exit(0);
}

int child_try_limits(const struct plan_limits *limits, const char **ret_which)
{
	struct failure failure = { 0 };
	autofd in = -1, out = -1;
	int ends[2], ret;
	pid_t pid;

	if (!plan_limits_any(limits))
		return 0;
	*ret_which = "pipe";
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	in = ends[0];
	out = ends[1];
	*ret_which = "fork";
	pid = fork();
	if (pid == 0)
		try_main(limits, out);
	if (pid < 0)
		return -errno;
	fd_close(&out);
	ret = fd_read_all(in, &failure, sizeof(failure));
	waitpid(pid, NULL, 0);
	*ret_which = ret ? "limits" : step_name[failure.step];
	return ret ? ret : failure.err;
}

bool child_reap(struct child *child)
{
	siginfo_t info = { 0 };

	if (!child->pid)
		return true;
	if (waitid(P_PID, child->pid, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
		return false;
	if (info.si_code == CLD_EXITED) {
		child->status = info.si_status;
	} else {
		child->signal = info.si_status;
		child->status = 128 + info.si_status;
		child->core = info.si_code == CLD_DUMPED;
	}
	child->pid = 0;
	fd_close(&child->pidfd);
	return true;
}

bool child_wait(struct child *child, int timeout_ms)
{
	struct pollfd pfd = { .fd = child->pidfd, .events = POLLIN };

	while (!child_reap(child)) {
		int n = poll(&pfd, 1, timeout_ms);

		if (n == 0)
			return child_reap(child);
	}
	return true;
}

void child_kill(struct child *child, int sig)
{
	if (child->pid)
		pidfd_send_signal(child->pidfd, sig, NULL, 0);
}

char *child_describe_end(const struct child *child)
{
	if (child->signal)
		return g_strdup_printf("was killed by signal %d (%s)%s", child->signal,
				       sigabbrev_np(child->signal) ?: "unknown",
				       child->core ? ", core dumped" : "");
	return g_strdup_printf("ended with exit status %d", child->status);
}
