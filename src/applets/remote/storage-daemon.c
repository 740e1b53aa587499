/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applets/remote/confine.h"
#include "applets/remote/storage-priv.h"
#include "applets/remote/storage.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "sandbox/isolate.h"

#define LISTEN_SLOT 3
#define QMP_SLOT STORAGE_QMP_FD
#define SAID_SIZE 65536		/* bytes of its stderr that are kept: a pipe's usual size */
#define OUTPUT_MAX (1 << 20)	/* bytes of what a program that is run may print */
#define START_TIMEOUT 60000	/* ms; a guard against hanging, not a part of the protocol */
#define STOP_TIMEOUT 10000	/* ms that it gets to write back its caches */

struct storage {
	pid_t pid;				/* -1: it was waited for */
	int status;				/* and that came of it */
	int pidfd;
	/*
	 * Our end of its stderr.  A pipe, as that cannot be mapped: what is written to a file can
	 * come back as code.  Neither end blocks, and nobody reads until it has ended: what does
	 * not fit is lost.  A daemon that has its own end block stops nobody but itself.
	 */
	int said_fd;
	int qmp_fd;		/* our end of its monitor; -1: none, or taken */
};

/* What a child gets; all fds owned. */
struct birth {
	char **argv;
	const struct storage_jail *jail;
	int go[2];				/* sandbox_clone_wait()'s */
	int parent_fd;				/* pidfd of the keeper */
	int listen_fd, out_fd;			/* not owned; -1: /dev/null */
	int said_fd;
	int qmp_fd;				/* its end; -1: none */
	int filter_fd[SANDBOX_PRELOAD_COUNT];
};

/* ---- The socket ---- */

/* Listens at a path in a new directory of our own, connects, and removes both names again. */
static int make_pair_in(const char *parent, int *ret_listen, int *ret_client, int *ret_place)
{
	g_autofree char *dir = g_build_filename(parent, "mpqemu-XXXXXX", NULL);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const struct sockaddr *sa = (const struct sockaddr *)&addr;
	autofd server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	autofd client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	autofd place = -1;
	int ret = 0;

	if (server < 0 || client < 0)
		return -errno;
	if (strlen(dir) + strlen("/nbd") >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	if (!g_mkdtemp_full(dir, 0700))
		return -errno;
	g_strlcpy(addr.sun_path, dir, sizeof(addr.sun_path));
	g_strlcat(addr.sun_path, "/nbd", sizeof(addr.sun_path));
	if (bind(server, sa, sizeof(addr)) < 0 || listen(server, 1) < 0 ||
	    connect(client, sa, sizeof(addr)) < 0)
		ret = -errno;
	if (!ret)
		place = open(addr.sun_path, O_PATH | O_CLOEXEC);
	if (!ret && place < 0)
		ret = -errno;
	unlink(addr.sun_path);
	rmdir(dir);
	if (!ret) {
		*ret_place = fd_steal(&place);
		*ret_listen = fd_steal(&server);
		*ret_client = fd_steal(&client);
	}
	return ret;
}

bool storage_socket_pair(int *ret_listen, int *ret_client, int *ret_place, GError **error)
{
	const char *const parents[] = { g_getenv("XDG_RUNTIME_DIR"), "/run", "/tmp" };
	int ret = -ENOENT;

	for (size_t i = 0; ret && i < G_N_ELEMENTS(parents); i++)
		if (parents[i] && parents[i][0] == '/')
			ret = make_pair_in(parents[i], ret_listen, ret_client, ret_place);
	if (ret)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "cannot make a socket for the storage "
				"daemon: %s", log_errname(ret));
	return true;
}

/* ---- What it says ---- */

static bool make_said(struct storage *s, struct birth *b)
{
	int fd[2];

	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) < 0)
		return false;
	s->said_fd = fd[0];
	b->said_fd = fd[1];
	return true;
}

/* What is there, though another process may still have the other end. */
static char *read_said(int fd)
{
	char *text = g_malloc0(SAID_SIZE + 1);
	size_t len = 0;
	ssize_t n;

	do {
		n = read(fd, text + len, SAID_SIZE - len);
		len += n > 0 ? n : 0;
	} while (n > 0 || (n < 0 && errno == EINTR));
	text[len] = 0;
	return g_strstrip(text);
}

/*
 * "qemu-storage-daemon: --blockdev ARGUMENT: text" and perhaps a hint on the next line: the text
 * and the hint.  The option is left out: it is not one that the user wrote.
 */
static char *first_error(const char *said, char **argv)
{
	g_auto(GStrv) lines = g_strsplit(said, "\n", 3);
	const char *text = lines[0] ? lines[0] : "";
	const char *colon = strstr(text, "qemu-storage-daemon: ");

	if (colon)
		text = colon + strlen("qemu-storage-daemon: ");
	for (char **arg = argv + 1; arg[0] && arg[1]; arg += 2) {
		g_autofree char *head = g_strdup_printf("%s %s: ", arg[0], arg[1]);

		if (g_str_has_prefix(text, head))
			text += strlen(head);
	}
	if (lines[0] && lines[1] && !strstr(lines[1], ": "))
		return g_strdup_printf("%s: %s", text, lines[1]);
	return g_strdup(text);
}

/* ---- Its life ---- */

/* In the child: only what is async-signal-safe. */
static void child_fail(const struct birth *b, const char *what)
{
	static const char text[] = "cannot start the storage daemon: ";

	if (write(b->said_fd, text, sizeof(text) - 1) < 0 ||
	    write(b->said_fd, what, strlen(what)) < 0)
		_exit(126);
	_exit(127);
}

/*
 * The keeper's death is the daemon's.  The first process of a pid namespace does not notice a
 * SIGTERM before it has a handler; the module of its jail sees to that, and to SIGTERM.
 */
static void end_with_parent(const struct birth *b)
{
	struct pollfd p = { .fd = b->parent_fd, .events = POLLIN };
	int signum = b->jail->level == SANDBOX_STRICT ? SIGKILL : SIGTERM;

	if (prctl(PR_SET_PDEATHSIG, signum) < 0 || poll(&p, 1, 0) != 0)
		_exit(127);
}

/* Out of the way of the slots, whatever number it has; in place of one that is not there, null. */
static bool move_up(int *fd, int null_fd)
{
	*fd = fcntl(*fd < 0 ? null_fd : *fd, F_DUPFD, QMP_SLOT + 1);
	return *fd >= 0;
}

/* Puts the fds where the daemon and the module look for them, and closes all others. */
static void arrange_fds(struct birth *b)
{
	int null_fd = open("/dev/null", O_RDWR);
	int first_free = b->qmp_fd >= 0 ? QMP_SLOT + 1 : QMP_SLOT;
	bool ok;

	ok = move_up(&null_fd, -1) && move_up(&b->said_fd, -1) && move_up(&b->out_fd, null_fd) &&
	     move_up(&b->listen_fd, null_fd) && move_up(&b->qmp_fd, null_fd);
	for (int i = 0; i < SANDBOX_PRELOAD_COUNT; i++)
		ok = ok && move_up(&b->filter_fd[i], -1);
	if (!ok || dup2(null_fd, 0) < 0 || dup2(b->out_fd, 1) < 0 || dup2(b->said_fd, 2) < 0 ||
	    dup2(b->listen_fd, LISTEN_SLOT) < 0 || dup2(b->qmp_fd, QMP_SLOT) < 0)
		child_fail(b, "fds");
	for (int i = 0; i < SANDBOX_PRELOAD_COUNT; i++)
		if (dup2(b->filter_fd[i], SANDBOX_PRELOAD_FD + i) < 0)
			child_fail(b, "fds");
	b->said_fd = STDERR_FILENO;
	for (int i = 0; i < SANDBOX_PRELOAD_COUNT && !b->jail->module; i++)
		close(SANDBOX_PRELOAD_FD + i);
	if (fd_close_from(first_free) < 0)
		child_fail(b, "fds");
}

static void child_main(struct birth *b)
{
	char why[SANDBOX_WHY] = "";
	sigset_t none;

	if (sandbox_clone_wait(b->go))
		_exit(127);
	/* The terminal's signals are the keeper's: it ends the daemon after the guest. */
	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (storage_jail_enter(b->jail, why))
		child_fail(b, why);
	/* After the jail: a change of rights takes the signal away (prctl(2)). */
	end_with_parent(b);
	arrange_fds(b);
	execve(b->argv[0], b->argv, b->jail->env);
	child_fail(b, log_errname(errno));
}

static int wait_ended(struct storage *s, int timeout)
{
	struct pollfd p = { .fd = s->pidfd, .events = POLLIN };
	int ret;

	do
		ret = poll(&p, 1, timeout);
	while (ret < 0 && errno == EINTR);
	return ret;
}

/* Its status as waitpid() gives it. */
static int reap(struct storage *s)
{
	int status = 0;

	while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
		;
	s->pid = -1;
	return status;
}

/* "signal 9" or "exit status 1", in two parts. */
static const char *end_word(int status)
{
	return WIFSIGNALED(status) ? "signal" : "exit status";
}

static int end_number(int status)
{
	return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void storage_free(struct storage *s)
{
	fd_close(&s->pidfd);
	fd_close(&s->said_fd);
	fd_close(&s->qmp_fd);
	g_free(s);
}

/* Waits for the server's greeting.  0, or -errno: -ECHILD when it ended before. */
static int wait_greeting(const struct storage *s, int client_fd)
{
	struct pollfd p[] = {
		{ .fd = client_fd, .events = POLLIN }, { .fd = s->pidfd, .events = POLLIN },
	};
	char byte;
	int n;

	do
		n = poll(p, 2, START_TIMEOUT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n == 0)
		return -ETIMEDOUT;
	if (recv(client_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1)
		return 0;
	return -ECHILD;
}

static bool start_failed(struct storage *s, int err, char **argv, GError **error)
{
	g_autofree char *said = NULL, *text = NULL;
	int status;

	if (err != -ECHILD || wait_ended(s, STOP_TIMEOUT) <= 0)
		pidfd_send_signal(s->pidfd, SIGKILL, NULL, 0);
	status = reap(s);
	said = read_said(s->said_fd);
	text = first_error(said, argv);
	if (text[0])
		mpq_fail(error, MPQ_ERROR_REFUSED, "%s", text);
	else
		mpq_fail(error, MPQ_ERROR_SYSTEM, "the storage daemon did not start: %s %d",
			 err != -ECHILD ? log_errname(err) : end_word(status),
			 end_number(status));
	storage_free(s);
	return false;
}

static void birth_finish(struct birth *b)
{
	int *all[] = { &b->go[0], &b->go[1], &b->parent_fd, &b->said_fd, &b->qmp_fd };

	for (size_t i = 0; i < G_N_ELEMENTS(all); i++)
		fd_close(all[i]);
	for (size_t i = 0; i < SANDBOX_PRELOAD_COUNT; i++)
		fd_close(&b->filter_fd[i]);
}

static bool birth_init(struct storage *s, struct birth *b, GError **error)
{
	bool ok = pipe2(b->go, O_CLOEXEC) == 0 && make_said(s, b);

	b->parent_fd = pidfd_open(getpid(), 0);
	ok &= b->parent_fd >= 0;
	for (size_t i = 0; i < SANDBOX_PRELOAD_COUNT; i++) {
		b->filter_fd[i] = memfd_create("storage-filter", MFD_CLOEXEC);
		ok &= b->filter_fd[i] >= 0;
	}
	if (!ok)
		mpq_fail(error, MPQ_ERROR_SYSTEM, "cannot start the storage daemon: %s",
			 log_errname(errno));
	return ok;
}

static bool clone_failed(const struct storage_jail *jail, int err, GError **error)
{
	char why[SANDBOX_WHY];

	if (jail->level != SANDBOX_STRICT)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "cannot start the storage daemon: %s",
				log_errname(err));
	sandbox_clone_obstacle(err, why);
	return mpq_fail(error, MPQ_ERROR_SYSTEM, "--sandbox=strict: %s", why);
}

/* The child is there and waits: its filters name its pid, its users are mapped. */
static bool let_go(const struct storage *s, struct birth *b, GError **error)
{
	const struct storage_jail *jail = b->jail;
	pid_t inside = jail->level == SANDBOX_STRICT ? 1 : s->pid;
	char why[SANDBOX_WHY];
	int ret = jail->module ? storage_jail_filter(jail, inside, b->filter_fd) : 0;

	if (ret)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "system-call filter: %s",
				log_errname(ret));
	if (sandbox_clone_map(jail->level, jail->share, s->pid, b->go, why))
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "--sandbox=%s: %s",
				sandbox_level_name(jail->level), why);
	return true;
}

static void storage_kill(struct storage *s)
{
	if (s->pid > 0) {
		kill(s->pid, SIGKILL);
		reap(s);
	}
	storage_free(s);
}

/* Clones it, with an end of ours at its stderr.  NULL with @error. */
static struct storage *clone_daemon(struct birth *b, GError **error)
{
	struct storage *s = g_new0(struct storage, 1);
	bool ok;

	s->pid = s->pidfd = s->said_fd = s->qmp_fd = -1;
	ok = birth_init(s, b, error);
	if (ok) {
		s->pid = sandbox_clone(b->jail->level, b->jail->share);
		if (s->pid == 0)
			child_main(b);
		ok = s->pid > 0 || clone_failed(b->jail, s->pid, error);
	}
	if (ok) {
		s->pidfd = confine_pidfd(s->pid);
		ok = s->pidfd >= 0 || mpq_fail(error, MPQ_ERROR_SYSTEM, "cannot start the "
					       "storage daemon: %s", log_errname(s->pidfd));
	}
	ok = ok && let_go(s, b, error);
	birth_finish(b);
	if (ok)
		return s;
	storage_kill(s);
	return NULL;
}

static bool no_filter(const struct storage_jail *jail, GError **error)
{
	return mpq_fail(error, MPQ_ERROR_SYSTEM, "--sandbox=%s: the storage daemon runs without a "
			"system-call filter: it did not load %s", sandbox_level_name(jail->level),
			jail->module);
}

/* A program that its loader gave no module (a static one) would run without. */
static bool has_filter(const struct storage *s, const struct storage_jail *jail)
{
	return !jail->module || sandbox_is_filtered(s->pid);
}

bool storage_spawn(char **argv, const struct storage_jail *jail, int listen_fd, int client_fd,
		   bool monitored, struct storage **ret, GError **error)
{
	struct birth b = {
		.argv = argv, .jail = jail, .go = { -1, -1 }, .parent_fd = -1,
		.listen_fd = listen_fd, .out_fd = -1, .said_fd = -1, .qmp_fd = -1,
		.filter_fd = { -1, -1 },
	};
	int qmp[2] = { -1, -1 }, err;
	struct storage *s;

	if (monitored && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, qmp) < 0)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "cannot start the storage daemon: %s",
				log_errname(errno));
	b.qmp_fd = qmp[1];
	s = clone_daemon(&b, error);
	if (!s) {
		fd_close(&qmp[0]);
		return false;
	}
	s->qmp_fd = qmp[0];
	err = wait_greeting(s, client_fd);
	if (err)
		return start_failed(s, err, argv, error);
	if (!has_filter(s, jail)) {
		storage_kill(s);
		return no_filter(jail, error);
	}
	*ret = s;
	return true;
}

/* ---- A program that runs and ends ---- */

/* All that comes until the end of file: 0, or -errno. */
static int read_output(int fd, GString *out)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char chunk[4096];
	ssize_t n;

	do {
		n = poll(&p, 1, START_TIMEOUT);
		if (n == 0)
			return -ETIMEDOUT;
		if (n > 0)
			n = read(fd, chunk, sizeof(chunk));
		if (n > 0)
			g_string_append_len(out, chunk, n);
		if (out->len > OUTPUT_MAX)
			return -EFBIG;
	} while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 ? -errno : 0;
}

/* It has closed its output: waits for its end, and looks at it before it is gone from /proc. */
static bool check_end(struct storage *s, const char *program, const struct storage_jail *jail,
		      int err, GError **error)
{
	g_autofree char *said = NULL;
	bool filtered;
	int status;

	if (!err && wait_ended(s, START_TIMEOUT) <= 0)
		err = -ETIMEDOUT;
	if (err)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s", program, log_errname(err));
	said = read_said(s->said_fd);
	filtered = has_filter(s, jail);
	status = reap(s);
	if (status && said[0])
		return mpq_fail(error, MPQ_ERROR_REFUSED, "%s", g_strdelimit(said, "\n", ' '));
	if (status)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s %d", program, end_word(status),
				end_number(status));
	return filtered || no_filter(jail, error);
}

bool storage_run(char **argv, const struct storage_jail *jail, char **ret_out, GError **error)
{
	g_autoptr(GString) out = g_string_new(NULL);
	struct birth b = {
		.argv = argv, .jail = jail, .go = { -1, -1 }, .parent_fd = -1, .listen_fd = -1,
		.said_fd = -1, .qmp_fd = -1, .filter_fd = { -1, -1 },
	};
	struct storage *s;
	int fd[2], err;
	bool ok;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s", argv[0], log_errname(errno));
	b.out_fd = fd[1];
	s = clone_daemon(&b, error);
	fd_close(&fd[1]);
	err = s ? read_output(fd[0], out) : 0;
	fd_close(&fd[0]);
	if (!s)
		return false;
	ok = check_end(s, argv[0], jail, err, error);
	storage_kill(s);
	if (ok)
		*ret_out = g_strdup(out->str);
	return ok;
}

/* ---- Its end ---- */

int storage_pidfd(const struct storage *storage)
{
	return storage->pidfd;
}

int storage_take_qmp(struct storage *storage)
{
	return fd_steal(&storage->qmp_fd);
}

int storage_status(struct storage *storage)
{
	if (storage->pid > 0)
		storage->status = reap(storage);
	return storage->status;
}

void storage_stop(struct storage *storage)
{
	g_autofree char *said = NULL;
	g_auto(GStrv) lines = NULL;
	bool early;
	int status;

	if (!storage)
		return;
	early = wait_ended(storage, 0) > 0;
	pidfd_send_signal(storage->pidfd, SIGTERM, NULL, 0);
	if (wait_ended(storage, STOP_TIMEOUT) <= 0)
		pidfd_send_signal(storage->pidfd, SIGKILL, NULL, 0);
	status = storage_status(storage);
	if (early)
		log_error("storage daemon: ended by %s %d while the disk was in use",
			  end_word(status), end_number(status));
	said = read_said(storage->said_fd);
	lines = g_strsplit(said, "\n", -1);
	for (char **line = lines; *line; line++)
		if (**line)
			log_warning("%s", *line);
	storage_free(storage);
}
