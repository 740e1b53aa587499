/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/proxy/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "plan/opts.h"

#define END_TIMEOUT_MS 5000

/* One socket on its way to the child. */
struct passed {
	int fd;			/* the remote's end; owned */
	uint64_t number;	/* where the command expects it */
};

/* x-remote-object's fd is a string in QEMU, in JSON too; here it must be a number. */
static bool read_number(const struct opt_set *set, uint64_t *ret, GError **error)
{
	const char *text = NULL;

	if (!opt_get_string(set, "fd", &text, error))
		return false;
	if (!g_ascii_string_to_unsigned(text, 10, 0, UINT16_MAX, ret, NULL))
		return mpq_fail(error, MPQ_ERROR_USAGE, "-object x-remote-object: fd=%s is not the "
				"number of a file descriptor", text);
	return true;
}

/* Sees one argument of -object: if it is an x-remote-object with an fd, makes its socket pair. */
static bool add_object(struct remote_process *rp, struct passed *passed, const char *arg,
		       GError **error)
{
	auto_opt_set set = opt_set_parse("-object", arg, &opt_syntax_object, error);
	const char *type = set ? opt_get(set, "qom-type") : NULL;
	int pair[2];

	if (!set)
		return false;
	if (!type || strcmp(type, "x-remote-object"))
		return true;
	if (rp->count == REMOTE_MAX_DEVICES)
		return mpq_fail(error, MPQ_ERROR_USAGE, "more than %d x-remote-objects",
				REMOTE_MAX_DEVICES);
	if (!opt_get(set, "fd") || !opt_get(set, "devid"))
		return mpq_fail(error, MPQ_ERROR_USAGE, "-object %s: expected devid= and fd=", arg);
	if (!read_number(set, &passed[rp->count].number, error))
		return false;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "socketpair: %s", log_errname(errno));
	passed[rp->count].fd = pair[1];
	rp->device[rp->count].fd = pair[0];
	rp->device[rp->count].devid = g_strdup(opt_get(set, "devid"));
	rp->count++;
	return true;
}

static bool find_objects(struct remote_process *rp, struct passed *passed, char *const *argv,
			 GError **error)
{
	for (; *argv; argv++)
		if ((!strcmp(*argv, "-object") || !strcmp(*argv, "--object")) && argv[1])
			if (!add_object(rp, passed, *++argv, error))
				return false;
	if (rp->count)
		return true;
	return mpq_fail(error, MPQ_ERROR_USAGE,
			"the remote command has no -object x-remote-object,...,fd=N");
}

/* The child: the sockets go above all numbers that are asked for, then to their places. */
static void child_exec(const struct remote_process *rp, const struct passed *passed,
		       char *const *argv, int report_fd)
{
	int high[REMOTE_MAX_DEVICES], above = report_fd, moved, err;

	for (unsigned i = 0; i < rp->count; i++)
		if ((int)passed[i].number > above)
			above = passed[i].number;
	moved = fcntl(report_fd, F_DUPFD_CLOEXEC, above + 1);
	if (moved < 0)
		goto failed;
	report_fd = moved;
	for (unsigned i = 0; i < rp->count; i++)
		high[i] = fcntl(passed[i].fd, F_DUPFD_CLOEXEC, above + 1);
	for (unsigned i = 0; i < rp->count; i++)
		if (high[i] < 0 || dup2(high[i], passed[i].number) < 0)
			goto failed;
	execvp(argv[0], argv);
failed:
	err = errno;
	if (write(report_fd, &err, sizeof(err)) < 0)
		_exit(126);
	_exit(err == ENOENT ? 127 : 126);
}

bool remote_process_start(struct remote_process *rp, char *const *argv, GError **error)
{
	struct passed passed[REMOTE_MAX_DEVICES];
	int report[2], err = 0;
	bool ok;

	*rp = (struct remote_process){ .pid = -1 };
	ok = find_objects(rp, passed, argv, error);
	if (ok && pipe2(report, O_CLOEXEC) < 0)
		ok = mpq_fail(error, MPQ_ERROR_SYSTEM, "pipe: %s", log_errname(errno));
	if (ok) {
		rp->pid = fork();
		if (rp->pid == 0)
			child_exec(rp, passed, argv, report[1]);
		close(report[1]);
		if (rp->pid < 0)
			ok = mpq_fail(error, MPQ_ERROR_SYSTEM, "fork: %s", log_errname(errno));
		else if (read(report[0], &err, sizeof(err)) == sizeof(err))
			ok = mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s", argv[0], log_errname(err));
		close(report[0]);
	}
	for (unsigned i = 0; i < rp->count; i++)
		fd_close(&passed[i].fd);
	return ok;
}

int remote_process_finish(struct remote_process *rp)
{
	autofd pidfd = -1;
	int status = 0;

	for (unsigned i = 0; i < rp->count; i++) {
		fd_close(&rp->device[i].fd);
		g_clear_pointer(&rp->device[i].devid, g_free);
	}
	rp->count = 0;
	if (rp->pid < 0)
		return 0;
	pidfd = syscall(SYS_pidfd_open, rp->pid, 0);
	if (pidfd >= 0) {
		struct pollfd p = { .fd = pidfd, .events = POLLIN };

		if (poll(&p, 1, END_TIMEOUT_MS) == 0)
			kill(rp->pid, SIGKILL);
	}
	if (waitpid(rp->pid, &status, 0) < 0)
		return -1;
	rp->pid = -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
