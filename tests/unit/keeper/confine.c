/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a keeper that was taken over could still reach, each try in a child that is confined. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib.h>

#include "applets/remote/confine.h"
#include "applets/remote/device.h"
#include "control/channel.h"
#include "sandbox/filter.h"
#include "sandbox/landlock.h"
#include "../util.h"

static const struct launch_spec spec = { .sandbox = SANDBOX_STRICT };

/* With one file to remove at the end, or NULL. */
static int confine(const struct launch_spec *with, unsigned features, int monitor,
		   const char *file)
{
	const char *const removes[] = { file, NULL };
	struct confine_duties duties = {
		.spec = with, .features = features, .monitor = monitor, .control = -1,
		.removes = file ? removes : NULL,
	};

	return confine_keeper(&duties);
}

/* A child does not assert: the filter forbids what that would call. */
static void check(bool ok)
{
	if (!ok)
		_exit(99);
}

/* Runs @body in a child and returns its exit status. */
static int in_child(void (*body)(void *opaque), void *opaque)
{
	pid_t pid = must(fork());
	int status;

	if (pid == 0) {
		body(opaque);
		_exit(0);
	}
	must(waitpid(pid, &status, 0));
	g_assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static bool wrapped(void)
{
	if (getenv("MPQ_WRAPPER"))
		g_test_skip("valgrind makes calls of its own, and knows no pidfds");
	return getenv("MPQ_WRAPPER");
}

static bool no_filter(void)
{
	if (filter_impossible())
		g_test_skip(filter_impossible());
	return filter_impossible() || wrapped();
}

/* A process that only waits. */
static pid_t sleeper(void)
{
	pid_t pid = must(fork());

	while (pid == 0)
		pause();
	return pid;
}

/* ---- Signals ---- */

struct signals {
	pid_t child, other;
	bool pidfd_of_other;	/* try it */
	unsigned features;
};

/* The child's end by its pidfd, or, outside the numbers, another's, which is the own end. */
static void body_signals(void *opaque)
{
	const struct signals *s = opaque;
	int fd = confine_pidfd(s->child), low = pidfd_open(s->other, 0);

	check(fd >= CONFINE_PIDFD && fd < CONFINE_PIDFD + CONFINE_PIDFDS);
	check(fcntl(fd, F_GETFD) == FD_CLOEXEC && low >= 0 && low < CONFINE_PIDFD);
	check(confine(&spec, s->features, -1, NULL) == 0);
	if (s->pidfd_of_other)
		pidfd_send_signal(low, SIGKILL, NULL, 0);
	check(pidfd_send_signal(fd, SIGKILL, NULL, 0) == 0);
}

static void test_signals(void)
{
	struct signals s = { .child = sleeper(), .other = sleeper() };

	if (no_filter())
		goto end;
	for (s.features = 0; s.features <= FILTER_DAEMON; s.features += FILTER_DAEMON) {
		s.pidfd_of_other = true;
		g_assert_cmpint(in_child(body_signals, &s), ==, DEVICE_EXIT_FORBIDDEN);
		g_assert_cmpint(waitpid(s.other, NULL, WNOHANG), ==, 0);
	}
	s.features = s.pidfd_of_other = 0;
	g_assert_cmpint(waitpid(s.child, NULL, WNOHANG), ==, 0);
	g_assert_cmpint(in_child(body_signals, &s), ==, 0);
	must(waitpid(s.child, NULL, 0));
	s.child = 0;
end:
	if (s.child)
		kill(s.child, SIGKILL);
	kill(s.other, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
}

/* A pidfd's number that has become free gets nothing else: a process's folder would do as one. */
static void body_refill(void *opaque)
{
	int fd = confine_pidfd(getpid()), last = -1, n;

	check(fd >= CONFINE_PIDFD && confine(&spec, FILTER_DAEMON, -1, NULL) == 0);
	check(close(fd) == 0);
	while ((n = open("/proc/self/comm", O_RDONLY | O_CLOEXEC)) >= 0)
		last = n;
	check(errno == EMFILE && last == CONFINE_PIDFD - 1);
}

static void test_refill(void)
{
	if (wrapped())
		return;
	g_assert_cmpint(in_child(body_refill, NULL), ==, 0);
}

/* Too many of them, or a limit below their numbers. */
static void body_no_room(void *opaque)
{
	struct rlimit limit = { CONFINE_PIDFD, 1024 };
	int fd;

	check(setrlimit(RLIMIT_NOFILE, &limit) == 0 && confine_pidfd(getpid()) == -EMFILE);
	limit.rlim_cur = 1024;
	check(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	for (unsigned i = 0; i < CONFINE_PIDFDS; i++) {
		fd = confine_pidfd(getpid());
		check(fd == (int)(CONFINE_PIDFD + i));
	}
	check(confine_pidfd(getpid()) == -EMFILE);
}

static void test_no_room(void)
{
	if (wrapped())
		return;
	g_assert_cmpint(in_child(body_no_room, NULL), ==, 0);
}

/* ---- Clients ---- */

static int listener(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

	g_strlcpy(addr.sun_path, path, sizeof(addr.sun_path));
	must(bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
	must(listen(fd, 1));
	return fd;
}

struct clients {
	int listener, control[2];
	bool elsewhere;			/* accept at another number, too */
};

/* A client is accepted, and handed over on the channel. */
static void body_clients(void *opaque)
{
	static const struct launch_spec listens = {
		.sandbox = SANDBOX_STRICT, .device_count = 1, .device[0].listens = 1,
	};
	const struct clients *c = opaque;
	struct confine_duties duties = { .spec = &listens, .monitor = -1,
					 .control = c->control[0] };
	int fd = dup(c->listener), low = c->listener, client;

	check(confine_listener(&fd) == 0 && fd == CONFINE_LISTENER);
	check(fcntl(fd, F_GETFD) == FD_CLOEXEC && confine_keeper(&duties) == 0);
	client = accept4(c->elsewhere ? low : fd, NULL, NULL, SOCK_CLOEXEC);
	check(client >= 0 && ctl_send_fd(c->control[0], CTL_PEER, 0, client) == 0);
	check(close(client) == 0);
	/* nothing new can stand there */
	check(close(fd) == 0 && open("/proc/self/comm", O_RDONLY | O_CLOEXEC) < CONFINE_LISTENER);
}

static void test_clients(void)
{
	g_autofree char *folder = g_dir_make_tmp("keeper-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(folder, "socket", NULL);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int peer = must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)), fd;
	struct clients c = { .listener = listener(path) };
	struct ctl_msg msg;

	g_strlcpy(addr.sun_path, path, sizeof(addr.sun_path));
	must(connect(peer, (struct sockaddr *)&addr, sizeof(addr)));
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, c.control));
	if (!no_filter()) {
		c.elsewhere = true;
		g_assert_cmpint(in_child(body_clients, &c), ==, DEVICE_EXIT_FORBIDDEN);
		c.elsewhere = false;
		g_assert_cmpint(in_child(body_clients, &c), ==, 0);
		g_assert_cmpint(ctl_recv_fd(c.control[1], CTL_FROM_KEEPER, &msg, &fd), ==, 0);
		close(fd);
	}
	close(c.control[0]);
	close(c.control[1]);
	close(c.listener);
	close(peer);
	must(unlink(path));
	must(rmdir(folder));
}

/* As many as devices, and no more; a limit below their numbers. */
static void body_listener_no_room(void *opaque)
{
	struct rlimit limit = { CONFINE_LISTENER, 1024 };
	int fd = dup(STDERR_FILENO), was = fd;

	check(setrlimit(RLIMIT_NOFILE, &limit) == 0 && confine_listener(&fd) == -EMFILE);
	check(fd == was);
	limit.rlim_cur = 1024;
	check(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	for (unsigned i = 0; i < CONFINE_LISTENERS; i++) {
		fd = dup(STDERR_FILENO);
		check(confine_listener(&fd) == 0 && fd == (int)(CONFINE_LISTENER + i));
	}
	fd = was;
	check(confine_listener(&fd) == -EMFILE && fd == was && fcntl(was, F_GETFD) >= 0);
}

static void test_listener_no_room(void)
{
	if (wrapped())
		return;
	g_assert_cmpint(in_child(body_listener_no_room, NULL), ==, 0);
}

/* ---- Files ---- */

struct files {
	const char *pidfile, *beside, *other;	/* a file beside it, one of another folder */
	const char *socket;			/* a listener's path */
};

static bool denied(int ret)
{
	return ret < 0 && errno == EACCES;
}

static int open_read(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* What a keeper may: the name of who sent a signal, the monitor, the pid file. */
static void check_duties(const struct files *f, int monitor)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	g_strlcpy(addr.sun_path, f->socket, sizeof(addr.sun_path));
	check(open_read("/proc/1/comm") >= 0 && open_read("/proc/self/comm") >= 0);
	check(connect(monitor, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	check(unlink(f->pidfile) == 0);
}

static void body_files(void *opaque)
{
	const struct files *f = opaque;
	int monitor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	check(monitor >= 0);
	check(confine(&spec, FILTER_PIDFILE, monitor, f->pidfile) == 0);
	check(denied(open_read("/etc/passwd")) && denied(open_read(f->beside)));
	check(denied(open_read(f->pidfile)) && denied(open_read(f->other)));
	check(denied(open_read("/proc")) && denied(open_read("/")));
	/* Of other processes there are names, and not what they hold. */
	check(denied(open_read("/proc/1/environ")) && denied(open_read("/proc/1/mem")));
	check(denied(unlink(f->other)));
	check_duties(f, monitor);
}

static void body_no_pidfile(void *opaque)
{
	const struct files *f = opaque;

	check(confine(&spec, FILTER_PIDFILE, -1, NULL) == 0);
	check(denied(unlink(f->pidfile)) && denied(open_read("/etc/passwd")));
}

/* Sockets' paths, in folders of their own: looked at and removed. */
static void body_socket_paths(void *opaque)
{
	const struct files *f = opaque;
	const char *const removes[] = { f->beside, f->socket, NULL };
	struct confine_duties duties = {
		.spec = &spec, .features = FILTER_SOCKET_PATH, .monitor = -1, .control = -1,
		.removes = removes,
	};
	struct stat st;

	check(confine_keeper(&duties) == 0 && lstat(f->socket, &st) == 0);
	check(S_ISSOCK(st.st_mode) && unlink(f->socket) == 0 && unlink(f->beside) == 0);
	check(lstat(f->socket, &st) < 0 && denied(open_read(f->other)));
}

/* Level off: nothing is given up. */
static void body_off(void *opaque)
{
	static const struct launch_spec off = { .sandbox = SANDBOX_OFF };

	check(confine(&off, FILTER_PIDFILE, -1, NULL) == 0);
	check(open_read("/etc/passwd") >= 0 && pidfd_open(getpid(), 0) >= 0);
}

static void make_file(const char *path)
{
	g_assert_true(g_file_set_contents(path, "x", 1, NULL));
}

static void test_files(void)
{
	g_autofree char *folder = g_dir_make_tmp("keeper-XXXXXX", NULL);
	g_autofree char *sub = g_build_filename(folder, "run", NULL);
	g_autofree char *pidfile = g_build_filename(sub, "pid", NULL);
	g_autofree char *beside = g_build_filename(sub, "beside", NULL);
	g_autofree char *other = g_build_filename(folder, "other", NULL);
	g_autofree char *path = g_build_filename(folder, "qmp", NULL);
	struct files f = { pidfile, beside, other, path };
	int fd;

	if (wrapped()) {
		must(rmdir(folder));
		return;
	}
	must(mkdir(sub, 0700));
	fd = listener(path);
	make_file(pidfile);
	make_file(beside);
	make_file(other);
	g_assert_cmpint(in_child(body_off, NULL), ==, 0);
	if (sandbox_landlock_abi() && !filter_impossible()) {
		g_assert_cmpint(in_child(body_no_pidfile, &f), ==, 0);
		g_assert_cmpint(in_child(body_files, &f), ==, 0);
		g_assert_cmpint(access(pidfile, F_OK), ==, -1);
		g_assert_cmpint(in_child(body_socket_paths, &f), ==, 0);
	} else {
		must(unlink(pidfile));
		must(unlink(path));
		must(unlink(beside));
		g_test_skip("no Landlock here, or built with a sanitizer");
	}
	close(fd);
	must(unlink(other));
	must(rmdir(sub));
	must(rmdir(folder));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/keeper/confine/signals", test_signals);
	g_test_add_func("/keeper/confine/refill", test_refill);
	g_test_add_func("/keeper/confine/no-room", test_no_room);
	g_test_add_func("/keeper/confine/clients", test_clients);
	g_test_add_func("/keeper/confine/listener-no-room", test_listener_no_room);
	g_test_add_func("/keeper/confine/files", test_files);
	return g_test_run();
}
