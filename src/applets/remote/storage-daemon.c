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

#include "applets/remote/storage-priv.h"
#include "applets/remote/storage.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"

#define LISTEN_SLOT 3
#define SAID_SIZE 16384		/* bytes of the daemon's stderr that are kept */
#define START_TIMEOUT 60000	/* ms; a guard against hanging, not a part of the protocol */
#define STOP_TIMEOUT 10000	/* ms that it gets to write back its caches */

struct storage {
	pid_t pid;
	int pidfd;
	/*
	 * Its stderr: a memfd of fixed size, which never blocks it, never grows, and needs nobody
	 * who reads.
	 */
	int said_fd;
};

/* ---- The socket ---- */

/* Listens at a path in a new directory of our own, connects, and removes both names again. */
static int make_pair_in(const char *parent, int *ret_listen, int *ret_client)
{
	g_autofree char *dir = g_build_filename(parent, "mpqemu-XXXXXX", NULL);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const struct sockaddr *sa = (const struct sockaddr *)&addr;
	autofd server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	autofd client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
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
	unlink(addr.sun_path);
	rmdir(dir);
	if (!ret) {
		*ret_listen = fd_steal(&server);
		*ret_client = fd_steal(&client);
	}
	return ret;
}

bool storage_socket_pair(int *ret_listen, int *ret_client, GError **error)
{
	const char *const parents[] = { g_getenv("XDG_RUNTIME_DIR"), "/run", "/tmp" };
	int ret = -ENOENT;

	for (size_t i = 0; ret && i < G_N_ELEMENTS(parents); i++)
		if (parents[i] && parents[i][0] == '/')
			ret = make_pair_in(parents[i], ret_listen, ret_client);
	if (ret)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "cannot make a socket for the storage "
				"daemon: %s", log_errname(ret));
	return true;
}

/* ---- What it says ---- */

static int make_said_fd(void)
{
	int fd = memfd_create("storage-stderr", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && (ftruncate(fd, SAID_SIZE) < 0 ||
			fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) < 0))
		fd_close(&fd);
	return fd;
}

static char *read_said(int fd)
{
	char *text = g_malloc0(SAID_SIZE + 1);

	if (pread(fd, text, SAID_SIZE, 0) < 0)
		text[0] = 0;
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

/* Between fork and exec: only what is async-signal-safe. */
static void child_main(char **argv, const struct storage_jail *jail, int listen_fd, int said_fd,
		       pid_t parent)
{
	static const char text[] = "cannot start the storage daemon";
	sigset_t none;
	int null_fd = open("/dev/null", O_RDWR);

	/* The terminal's signals are the keeper's: it ends the daemon after the guest. */
	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)
		_exit(127);
	/* out of the way of the slots, whatever numbers they have */
	said_fd = fcntl(said_fd, F_DUPFD, LISTEN_SLOT + 1);
	listen_fd = fcntl(listen_fd, F_DUPFD, LISTEN_SLOT + 1);
	if (null_fd < 0 || said_fd < 0 || listen_fd < 0 || storage_jail_enter(jail) < 0 ||
	    dup2(null_fd, 0) < 0 || dup2(null_fd, 1) < 0 || dup2(said_fd, 2) < 0 ||
	    dup2(listen_fd, LISTEN_SLOT) < 0 || fd_close_from(LISTEN_SLOT + 1) < 0)
		_exit(127);
	execv(argv[0], argv);
	if (write(2, text, sizeof(text) - 1) < 0)
		_exit(126);
	_exit(127);
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

static void storage_free(struct storage *s)
{
	fd_close(&s->pidfd);
	fd_close(&s->said_fd);
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
		kill(s->pid, SIGKILL);
	status = reap(s);
	said = read_said(s->said_fd);
	text = first_error(said, argv);
	if (text[0])
		mpq_fail(error, MPQ_ERROR_REFUSED, "%s", text);
	else
		mpq_fail(error, MPQ_ERROR_SYSTEM, "the storage daemon did not start: %s %d",
			 err != -ECHILD ? log_errname(err) : WIFSIGNALED(status) ? "signal" :
			 "exit status", WIFSIGNALED(status) ? WTERMSIG(status) :
			 WEXITSTATUS(status));
	storage_free(s);
	return false;
}

bool storage_spawn(char **argv, const struct storage_jail *jail, int listen_fd, int client_fd,
		   struct storage **ret, GError **error)
{
	struct storage *s = g_new0(struct storage, 1);
	pid_t self = getpid();
	int err;

	s->pidfd = -1;
	s->said_fd = make_said_fd();
	s->pid = s->said_fd < 0 ? -1 : fork();
	if (s->pid == 0)
		child_main(argv, jail, listen_fd, s->said_fd, self);
	if (s->pid > 0)
		s->pidfd = pidfd_open(s->pid, 0);
	if (s->pidfd < 0) {
		mpq_fail(error, MPQ_ERROR_SYSTEM, "cannot start the storage daemon: %s",
			 log_errname(errno));
		if (s->pid > 0) {
			kill(s->pid, SIGKILL);
			reap(s);
		}
		storage_free(s);
		return false;
	}
	err = wait_greeting(s, client_fd);
	if (err)
		return start_failed(s, err, argv, error);
	*ret = s;
	return true;
}

int storage_pidfd(const struct storage *storage)
{
	return storage->pidfd;
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
	kill(storage->pid, SIGTERM);
	if (wait_ended(storage, STOP_TIMEOUT) <= 0)
		kill(storage->pid, SIGKILL);
	status = reap(storage);
	if (early)
		log_error("storage daemon: ended by %s %d while the disk was in use",
			  WIFSIGNALED(status) ? "signal" : "exit status",
			  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	said = read_said(storage->said_fd);
	lines = g_strsplit(said, "\n", -1);
	for (char **line = lines; *line; line++)
		if (**line)
			log_warning("%s", *line);
	storage_free(storage);
}
