/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applets/proxy/disk.h"
#include "base/fd.h"
#include "base/log.h"

/*
 * disk export: nbdkit serves the unit, by a plugin of ours that takes over the connection to the
 * remote (disk-plugin.c).  What is left here is to start it, to say when it serves, and to end it.
 */

#ifdef DISK_PLUGIN

#include "base/module.h"

#define CONNECT_TIMEOUT_MS 10000
#define END_TIMEOUT_MS 5000
#define START_PAUSE_MS 20	/* as in session.c */

struct server {
	const struct disk_args *args;
	pid_t pid;
	int ready, signals;		/* owned; -1: the pipe from nbdkit, a signalfd */
	sigset_t old_mask;
};

/* The plugin of the build tree goes before the installed one. */
static const char *const places[] = {
	DISK_PLUGIN, "src/applets/proxy/" DISK_PLUGIN, DISK_PLUGIN_DIR "/" DISK_PLUGIN,
};

/* ---- starting it ---- */

static GPtrArray *make_command(const struct disk_args *args, const struct session *session,
			       const char *plugin, int sock, int ready)
{
	const struct remote_device *device = &session->remote.device[session->index];
	bool pause = device->protocol == CLIENT_MPQEMU && session->target->command;
	GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);

	g_ptr_array_add(argv, g_strdup("nbdkit"));
	g_ptr_array_add(argv, g_strdup("--foreground"));
	g_ptr_array_add(argv, g_strdup("--exit-with-parent"));
	g_ptr_array_add(argv, g_strdup("--unix"));
	g_ptr_array_add(argv, g_strdup(args->listen));
	if (args->read_only)
		g_ptr_array_add(argv, g_strdup("--readonly"));
	g_ptr_array_add(argv, g_strdup(plugin));
	g_ptr_array_add(argv, g_strdup_printf("socket-fd=%d", sock));
	g_ptr_array_add(argv, g_strdup_printf("ready-fd=%d", ready));
	g_ptr_array_add(argv, g_strdup_printf("protocol=%s",
					      client_protocol_name(device->protocol)));
	g_ptr_array_add(argv, g_strdup_printf("pause=%d", pause ? START_PAUSE_MS : 0));
	g_ptr_array_add(argv, g_strdup_printf("target=%u", args->target));
	g_ptr_array_add(argv, g_strdup_printf("lun=%u", args->lun));
	g_ptr_array_add(argv, g_strdup_printf("device=%s", device->devid));
	g_ptr_array_add(argv, NULL);
	return argv;
}

/* In the child: with these two fds, and without our mask of signals. */
static _Noreturn void child_exec(const struct server *s, char *const *argv, int sock, int ready)
{
	if (!fd_set_cloexec(sock, false) && !fd_set_cloexec(ready, false)) {
		sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
		execvp(argv[0], argv);
	}
	log_error("%s: %s", argv[0], log_errname(errno));
	_exit(127);
}

static bool start(struct server *s, struct session *session, const char *plugin, GError **error)
{
	autofd sock = fd_steal(&session->remote.device[session->index].fd);
	g_autoptr(GPtrArray) argv = NULL;
	int pair[2];
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigprocmask(SIG_BLOCK, &mask, &s->old_mask);
	s->signals = signalfd(-1, &mask, SFD_CLOEXEC);
	if (s->signals < 0 || pipe2(pair, O_CLOEXEC) < 0)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "pipe: %s", log_errname(errno));
	s->ready = pair[0];
	argv = make_command(s->args, session, plugin, sock, pair[1]);
	s->pid = fork();
	if (!s->pid)
		child_exec(s, (char *const *)argv->pdata, sock, pair[1]);
	close(pair[1]);
	if (s->pid < 0)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "fork: %s", log_errname(errno));
	return true;
}

/* ---- while it runs ---- */

/*
 * Waits for the pipe to nbdkit, or for a signal to us.  The plugin writes a byte when it serves;
 * the pipe's end is nbdkit's.  True: there is something at the pipe.
 */
static bool wait_for(const struct server *s)
{
	struct pollfd p[] = {
		{ .fd = s->ready, .events = POLLIN }, { .fd = s->signals, .events = POLLIN },
	};

	while (poll(p, 2, -1) < 0 && errno == EINTR)
		;
	return p[0].revents && !p[1].revents;
}

static bool signalled(const struct server *s)
{
	struct pollfd p = { .fd = s->signals, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/* Does the pipe end within @ms? */
static bool ends(const struct server *s, int ms)
{
	struct pollfd p = { .fd = s->ready, .events = POLLIN };
	char byte;

	while (poll(&p, 1, ms) > 0)
		if (read(s->ready, &byte, 1) <= 0)
			return true;
	return false;
}

/* nbdkit's exit status, 128 + N after signal N; it is told to end when we were. */
static int end(struct server *s)
{
	int status = 0;

	if (!ends(s, 0))
		kill(s->pid, SIGTERM);
	if (!ends(s, END_TIMEOUT_MS))
		kill(s->pid, SIGKILL);
	if (waitpid(s->pid, &status, 0) < 0)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool serve(struct server *s, GError **error)
{
	bool serving = false, told;
	char byte;
	int status;

	if (wait_for(s) && read(s->ready, &byte, 1) == 1) {
		g_autofree char *whole = g_canonicalize_filename(s->args->listen, NULL);
		g_autofree char *path = g_uri_escape_string(whole, "/", false);

		serving = true;
		printf("nbd+unix:///?socket=%s\n", path);
		fflush(stdout);
		wait_for(s);
	}
	told = signalled(s);
	status = end(s);
	unlink(s->args->listen);
	if (told || (serving && !status))
		return true;
	return mpq_fail(error, MPQ_ERROR_SYSTEM, "nbdkit ended with status %d%s", status,
			serving ? "" : " before it served");
}

bool disk_export(const struct disk_args *args, struct session *session, GError **error)
{
	struct server s = { .args = args, .pid = -1, .ready = -1, .signals = -1 };
	char plugin[PATH_MAX + 64];
	struct stat st;
	bool ok;

	/* what is there at the end is ours to remove */
	if (!lstat(args->listen, &st))
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: it exists", args->listen);
	module_find(places, G_N_ELEMENTS(places), plugin, sizeof(plugin));
	session->index = session_device(session);
	ok = remote_process_connect(&session->remote, session->index, CONNECT_TIMEOUT_MS, error) &&
	     start(&s, session, plugin, error) && serve(&s, error);
	fd_close(&s.ready);
	fd_close(&s.signals);
	return ok;
}

#else

bool disk_export(const struct disk_args *args, struct session *session, GError **error)
{
	return mpq_fail(error, MPQ_ERROR_SYSTEM, "disk export: this mpqemu was built without "
			"nbdkit-plugin-dev");
}

#endif
