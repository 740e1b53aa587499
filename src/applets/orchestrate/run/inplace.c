/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/run/inplace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib-unix.h>

#include "applets/orchestrate/run/priv.h"
#include "applets/orchestrate/run/relay.h"
#include "base/fd.h"
#include "base/inherited.h"
#include "base/log.h"

struct inplace {
	int go;			/* keeper: where the byte goes; process: where it comes from */
	int alive;		/* keeper: the end that is closed with QEMU's */
	int life;		/* process: what QEMU inherits */
	guint watch_process, watch_alive;
	struct qmp_relay *relay;
};

bool inplace_prepare(struct run *run, GError **error)
{
	struct inplace *in = run->inplace = g_new(struct inplace, 1);

	*in = (struct inplace){ .go = -1, .alive = -1, .life = -1 };
	in->relay = qmp_relay_create(run, error);
	return in->relay;
}

void inplace_finish(struct run *run)
{
	struct inplace *in = run->inplace;

	if (!in)
		return;
	if (in->watch_process)
		g_source_remove(in->watch_process);
	if (in->watch_alive)
		g_source_remove(in->watch_alive);
	qmp_relay_destroy(in->relay);
	fd_close(&in->go);
	fd_close(&in->alive);
	fd_close(&in->life);
	fd_close(&run->qemu.pidfd);
	g_free(in);
	run->inplace = NULL;
}

/* ---- The process that becomes QEMU ---- */

/* A number above all that QEMU is to have. */
static int number_above(const struct child_fd *fds, unsigned count)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int top = STDERR_FILENO;

	while (dir && (entry = readdir(dir)))
		top = MAX(top, atoi(entry->d_name));
	if (dir)
		closedir(dir);
	for (unsigned i = 0; i < count; i++)
		top = MAX(top, fds[i].slot);
	return top + 1;
}

/* Never returns. */
static void __attribute__((noreturn)) become_qemu(struct run *run)
{
	const struct plan_process *process = run->plan->qemu;
	unsigned count, relays = run->plan->relays->len;
	const struct run_own none = { .log = -1, .metrics = -1, .control = -1 };
	g_autofree struct child_fd *own = run_collect_fds(run, process, &none, &count);
	g_autofree struct child_fd *fds = g_new(struct child_fd, count + relays + 1);
	struct child_setup setup = {
		.argv = plan_process_argv(process), .fds = fds, .keep_all = true,
		.drop = (const int *)process->drop->data, .drop_count = process->drop->len,
		.sigmask = &run->old_mask, .sigpipe = &run->options->sigpipe,
		.limits = &process->limits,
	};
	const char *where;
	int ret;

	memcpy(fds, own, count * sizeof(*fds));
	count += qmp_relay_qemu_fds(run->inplace->relay, fds + count);
	fds[count] = (struct child_fd){ run->inplace->life, number_above(fds, count) };
	setup.fd_count = count + 1;
	ret = child_become(&setup, &where);
	log_error("%s: cannot run it: %s%s%s", setup.argv[0], strcmp(where, "exec") ? where : "",
		  strcmp(where, "exec") ? ": " : "", log_errname(ret));
	_exit(1);
}

/* Never returns.  What went wrong before QEMU starts the keeper has logged. */
static void __attribute__((noreturn)) wait_for_keeper(struct run *run)
{
	char byte;

	if (fd_read_all(run->inplace->go, &byte, 1))
		_exit(1);
	become_qemu(run);
}

/* ---- The keeper ---- */

/* What shows in ps(1): the command line is not QEMU's. */
static void set_title(char **argv, pid_t pid)
{
	size_t room;
	char **last = argv;

	while (last[1])
		last++;
	room = *last + strlen(*last) - *argv;
	memset(*argv, 0, room);
	snprintf(*argv, room, "mpqemu-keeper of %d", (int)pid);
	prctl(PR_SET_NAME, "mpqemu-keeper");
}

static bool is_kept(const struct run *run, int fd)
{
	for (unsigned i = 0; i < run->remote_count; i++) {
		const GArray *keep = run->remotes[i].process->keep;

		for (unsigned k = 0; k < keep->len; k++)
			if (g_array_index(keep, int, k) == fd)
				return true;
	}
	return false;
}

/* What the process inherited is QEMU's: others may wait for the end of it. */
static void close_inherited(const struct run *run)
{
	g_autoptr(GArray) fds = fd_inherited();

	for (unsigned i = 0; i < fds->len; i++)
		if (!is_kept(run, g_array_index(fds, int, i)))
			close(g_array_index(fds, int, i));
}

static int take_stdio(void)
{
	autofd null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0)
		return -errno;
	return dup2(STDERR_FILENO, STDOUT_FILENO) < 0 ? -errno : 0;
}

static void qemu_gone(struct run *run)
{
	run->qemu.pid = 0;
	fd_close(&run->qemu.pidfd);
	qmp_relay_close(run->inplace->relay);
	run_end(run);
}

static gboolean alive_ended(int fd, GIOCondition condition, void *opaque)
{
	struct run *run = opaque;

	run->inplace->watch_alive = 0;
	log_info("%s has ended (exit status unknown: it is not our child)", run_vmm_name(run));
	qemu_gone(run);
	return G_SOURCE_REMOVE;
}

/* With -pidfile QEMU says which process it has gone to. */
static pid_t daemon_pid(const struct run *run)
{
	char **argv = plan_process_argv(run->plan->qemu);
	g_autofree char *text = NULL;
	guint64 pid = 0;

	for (; argv[0] && argv[1]; argv++)
		if ((!strcmp(argv[0], "-pidfile") || !strcmp(argv[0], "--pidfile")) &&
		    g_file_get_contents(argv[1], &text, NULL, NULL))
			break;
	if (text)
		g_ascii_string_to_unsigned(g_strchomp(text), 10, 2, INT_MAX, &pid, NULL);
	return pid;
}

/* The process that was started has ended: before QEMU was in it, with QEMU, or by -daemonize. */
static gboolean process_ended(int fd, GIOCondition condition, void *opaque)
{
	struct run *run = opaque;
	struct pollfd alive = { .fd = run->inplace->alive };

	run->inplace->watch_process = 0;
	fd_close(&run->qemu.pidfd);
	run->qemu.pid = 0;
	if (run->phase == PHASE_START) {
		log_warning("%s was given up before the remotes had answered", run_vmm_name(run));
		run_abort(run, RUN_STATUS_FAILED);
		return G_SOURCE_REMOVE;
	}
	if (poll(&alive, 1, 0) != 0 || run->phase != PHASE_RUN)
		return G_SOURCE_REMOVE;
	run->qemu.pid = daemon_pid(run);
	run->qemu.pidfd = run->qemu.pid > 0 ? pidfd_open(run->qemu.pid, 0) : -1;
	if (run->qemu.pidfd < 0)
		run->qemu.pid = 0;
	return G_SOURCE_REMOVE;
}

static bool be_keeper(struct run *run)
{
	struct inplace *in = run->inplace;
	int ret;

	setsid();
	set_title(run->options->title, run->qemu.pid);
	ret = take_stdio();
	if (ret) {
		log_error("stdin and stdout of the keeper: %s", log_errname(ret));
		_exit(1);
	}
	qmp_relay_take_over(in->relay);
	close_inherited(run);
	in->watch_process = g_unix_fd_add(run->qemu.pidfd, G_IO_IN, process_ended, run);
	/* Until QEMU runs, a line is what its caller shows when it does not. */
	log_set_level(LOG_LEVEL_WARNING);
	return true;
}

void inplace_start_qemu(struct run *run)
{
	struct inplace *in = run->inplace;

	log_set_level(LOG_LEVEL_INFO);
	for (unsigned i = 0; i < run->remote_count; i++)
		log_info("%s is served by process %d, whose keeper is process %d",
			 run->remotes[i].process->serves, run->remotes[i].child.pid, getpid());
	qmp_relay_start(in->relay);
	if (fd_write_all(in->go, "", 1)) {
		run_abort(run, RUN_STATUS_FAILED);
		return;
	}
	fd_close(&in->go);
	run_qemu_started(run);
	in->watch_alive = g_unix_fd_add(in->alive, G_IO_HUP, alive_ended, run);
}

/* ---- The split ---- */

static int make_pipes(struct run *run, int go[2], int life[2])
{
	if (pipe2(go, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(life, O_CLOEXEC) < 0) {
		close(go[0]);
		close(go[1]);
		return -errno;
	}
	run->qemu.pid = getpid();
	run->qemu.pidfd = pidfd_open(getpid(), 0);
	return run->qemu.pidfd < 0 ? -errno : 0;
}

static void take_ends(struct inplace *in, int go[2], int life[2], bool keeper)
{
	in->go = go[keeper];
	close(go[!keeper]);
	if (keeper)
		in->alive = life[0];
	else
		in->life = life[1];
	close(life[keeper]);
}

bool inplace_split(struct run *run)
{
	int go[2], life[2], status;
	int ret = make_pipes(run, go, life);
	pid_t pid = ret ? -1 : fork();

	if (pid < 0) {
		log_error("cannot start the keeper: %s", log_errname(ret ? ret : errno));
		return false;
	}
	/* The first one only stands between: QEMU is to have no child that it does not know. */
	if (pid == 0) {
		pid = fork();
		if (pid)
			_exit(pid < 0);
		take_ends(run->inplace, go, life, true);
		return be_keeper(run);
	}
	take_ends(run->inplace, go, life, false);
	sigprocmask(SIG_SETMASK, &run->old_mask, NULL);
	if (waitpid(pid, &status, 0) < 0 || status) {
		log_error("cannot start the keeper: fork failed");
		_exit(1);
	}
	wait_for_keeper(run);
}
