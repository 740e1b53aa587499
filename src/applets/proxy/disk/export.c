/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applets/proxy/disk/disk.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/unixaddr.h"

/*
 * disk export: nbdkit serves the unit, by a plugin of ours that takes over the connection to the
 * remote (disk-plugin.c).  What is left here is to start it, to say when it serves, and to end it.
 */

#ifdef DISK_PLUGIN

#include "base/module.h"

#define END_TIMEOUT_MS 5000
#define USELESS_TIMEOUT_MS 200	/* when it can do nothing any more; it waits for its clients */

struct server {
	const struct disk_args *args;
	char *path;			/* of the socket; owned */
	pid_t pid;
	/* owned; -1: pipes from the plugin and from nbdkit's stderr, a signalfd */
	int ready, log, signals;
	sigset_t old_mask;
	GString *line;			/* of log, not whole yet; owned */
	bool serving, told;		/* told to end, by a signal */
	bool error;			/* why is a line that nbdkit called an error */
	char *why;			/* it ended, or will; owned */
};

/* The plugin of the build tree goes before the installed one. */
static const char *const places[] = {
	DISK_PLUGIN, "src/applets/proxy/" DISK_PLUGIN, DISK_PLUGIN_DIR "/" DISK_PLUGIN,
};

/* ---- starting it ---- */

static GPtrArray *make_command(const struct server *s, const struct session *session,
			       const char *plugin, int sock, int ready)
{
	const struct remote_device *device = &session->remote.device[session->index];
	GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);

	g_ptr_array_add(argv, g_strdup("nbdkit"));
	g_ptr_array_add(argv, g_strdup("--foreground"));
	g_ptr_array_add(argv, g_strdup("--exit-with-parent"));
	g_ptr_array_add(argv, g_strdup("--unix"));
	g_ptr_array_add(argv, g_strdup(s->path));
	if (s->args->read_only)
		g_ptr_array_add(argv, g_strdup("--readonly"));
	g_ptr_array_add(argv, g_strdup(plugin));
	g_ptr_array_add(argv, g_strdup_printf("socket-fd=%d", sock));
	g_ptr_array_add(argv, g_strdup_printf("ready-fd=%d", ready));
	g_ptr_array_add(argv, g_strdup_printf("protocol=%s",
					      client_protocol_name(device->protocol)));
	g_ptr_array_add(argv, g_strdup_printf("pause=%d", session_start_pause(session)));
	g_ptr_array_add(argv, g_strdup_printf("target=%u", s->args->target));
	g_ptr_array_add(argv, g_strdup_printf("lun=%u", s->args->lun));
	g_ptr_array_add(argv, g_strdup_printf("device=%s", device->devid));
	g_ptr_array_add(argv, NULL);
	return argv;
}

/* In the child: with these two fds, and without our mask of signals. */
static _Noreturn void child_exec(const struct server *s, char *const *argv, int sock, int ready,
				 int log)
{
	if (dup2(log, STDERR_FILENO) >= 0 && !fd_set_cloexec(sock, false) &&
	    !fd_set_cloexec(ready, false)) {
		sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
		execvp(argv[0], argv);
	}
	dprintf(ready, "%s: %s", argv[0], log_errname(errno));
	_exit(127);
}

static bool fork_server(struct server *s, struct session *session, const char *plugin,
			int ready, int log, GError **error)
{
	autofd sock = fd_steal(&session->remote.device[session->index].fd);
	g_autoptr(GPtrArray) argv = make_command(s, session, plugin, sock, ready);

	s->pid = fork();
	if (!s->pid)
		child_exec(s, (char *const *)argv->pdata, sock, ready, log);
	if (s->pid < 0)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "fork: %s", log_errname(errno));
	return true;
}

/* A pipe whose end of ours does not wait.  0 or -errno. */
static int make_pipe(int *ret_ours, int *ret_theirs)
{
	int pair[2];

	if (pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	*ret_ours = pair[0];
	*ret_theirs = pair[1];
	return fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static bool start(struct server *s, struct session *session, const char *plugin, GError **error)
{
	autofd ready = -1, log = -1;
	sigset_t mask;
	int ret;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigprocmask(SIG_BLOCK, &mask, &s->old_mask);
	s->signals = signalfd(-1, &mask, SFD_CLOEXEC);
	ret = s->signals < 0 ? -errno : make_pipe(&s->ready, &ready);
	if (!ret)
		ret = make_pipe(&s->log, &log);
	if (ret)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "pipe: %s", log_errname(ret));
	return fork_server(s, session, plugin, ready, log, error);
}

/* ---- what nbdkit writes ---- */

static void set_why(struct server *s, const char *text)
{
	g_free(s->why);
	s->why = g_strdup(text);
}

/*
 * A line of nbdkit's: "nbdkit: [PLUGIN[N]: ]error: TEXT", or of perror().  Before it serves the
 * first of either kind is why it ends, and what follows is of that; later it is said once why.
 */
static void take_line(struct server *s, const char *line)
{
	const char *error = strstr(line, "error: ");

	if (!s->serving && error && !s->error) {
		s->error = true;
		set_why(s, error + 7);
	} else if (!s->serving && !s->why) {
		set_why(s, line + (g_str_has_prefix(line, "nbdkit: ") ? 8 : 0));
	} else if (s->serving && !s->why) {
		log_error("%s", error ? error + 7 : line);
	}
}

static void take_log(struct server *s)
{
	char buf[1024], *end;
	ssize_t n = -1;

	while (s->log >= 0 && (n = read(s->log, buf, sizeof(buf))) > 0) {
		g_string_append_len(s->line, buf, n);
		while ((end = strchr(s->line->str, '\n'))) {
			*end = 0;
			take_line(s, s->line->str);
			g_string_erase(s->line, 0, end - s->line->str + 1);
		}
	}
	if (!n)
		fd_close(&s->log);
}

/* It serves.  False: nobody can be told where. */
static bool announce(struct server *s)
{
	g_autofree char *path = g_uri_escape_string(s->path, "/", false);

	s->serving = true;
	g_clear_pointer(&s->why, g_free);
	errno = 0;
	if (printf("nbd+unix:///?socket=%s\n", path) >= 0 && !fflush(stdout))
		return true;
	s->why = g_strdup_printf("standard output: %s", log_errname(errno));
	return false;
}

/*
 * The plugin writes a zero byte when it serves, and a text when it cannot, or no longer.  False:
 * that is the end; the pipe's end is nbdkit's.
 */
static bool take_ready(struct server *s)
{
	char buf[512], *text = buf;
	ssize_t n = read(s->ready, buf, sizeof(buf) - 1);

	if (n <= 0)
		return n < 0 && (errno == EINTR || errno == EAGAIN);
	buf[n] = 0;
	if (!buf[0]) {
		if (!announce(s))
			return false;
		text++;
	}
	if (text == buf + n)
		return true;
	set_why(s, text);
	return false;
}

/* ---- while it runs ---- */

/* Until nbdkit ends, the plugin says why it is of no more use, or a signal tells us to end. */
static void wait_for_end(struct server *s)
{
	struct pollfd p[] = {
		{ .fd = s->ready, .events = POLLIN }, { .fd = s->signals, .events = POLLIN },
		{ .fd = s->log, .events = POLLIN },
	};

	do {
		while (poll(p, 3, -1) < 0 && errno == EINTR)
			;
		s->told = p[1].revents;
		/* the plugin's word first: what nbdkit logs because of it is not to be printed */
		if (s->told || !take_ready(s))
			return;
		take_log(s);
		p[2].fd = s->log;
	} while (true);
}

/* Does the pipe end within @ms? */
static bool ends(const struct server *s, int ms)
{
	struct pollfd p = { .fd = s->ready, .events = POLLIN };
	char byte;

	while (poll(&p, 1, ms) > 0)
		if (!read(s->ready, &byte, 1))
			return true;
	return false;
}

/* nbdkit's exit status, 128 + N after signal N; it is told to end when we were. */
static int end(struct server *s)
{
	int status = 0;

	if (!ends(s, 0))
		kill(s->pid, SIGTERM);
	if (!ends(s, s->told ? END_TIMEOUT_MS : USELESS_TIMEOUT_MS))
		kill(s->pid, SIGKILL);
	if (waitpid(s->pid, &status, 0) < 0)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Removes a socket that nobody listens on.  0: there is nothing at @path. */
static int clear_path(const char *path)
{
	struct unix_addr addr;
	struct stat st;
	int ret = unix_addr_parse(path, &addr);

	if (ret)
		return ret;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	ret = unix_addr_ask(&addr);
	if (ret != -ECONNREFUSED)
		return ret == -EPROTOTYPE ? -EADDRINUSE : ret;
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

static bool check_path(const struct server *s, GError **error)
{
	int ret = clear_path(s->path);

	if (!ret)
		return true;
	return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s", s->args->listen,
			ret == -EEXIST ? "it exists" :
			ret == -EADDRINUSE ? "another process listens there" : log_errname(ret));
}

static bool serve(struct server *s, GError **error)
{
	int status;

	wait_for_end(s);
	status = end(s);
	take_log(s);
	clear_path(s->path);
	if (s->told)
		return true;
	if (s->why)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s", s->why);
	return mpq_fail(error, MPQ_ERROR_SYSTEM, "nbdkit ended with status %d%s", status,
			s->serving ? "" : " before it served");
}

bool disk_export(const struct disk_args *args, struct session *session, GError **error)
{
	struct server s = { .args = args, .pid = -1, .ready = -1, .log = -1, .signals = -1 };
	char plugin[PATH_MAX + 64];
	bool ok;

	s.path = g_canonicalize_filename(args->listen, NULL);
	s.line = g_string_new(NULL);
	module_find(places, G_N_ELEMENTS(places), plugin, sizeof(plugin));
	ok = check_path(&s, error) &&
	     session_connect(session, session_device(session), error) &&
	     start(&s, session, plugin, error) && serve(&s, error);
	fd_close(&s.ready);
	fd_close(&s.log);
	fd_close(&s.signals);
	g_string_free(s.line, true);
	g_free(s.path);
	g_free(s.why);
	return ok;
}

#else

bool disk_export(const struct disk_args *args, struct session *session, GError **error)
{
	return mpq_fail(error, MPQ_ERROR_SYSTEM, "disk export: this mpqemu was built without "
			"nbdkit-plugin-dev");
}

#endif
