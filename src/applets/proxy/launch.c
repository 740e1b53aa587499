/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/proxy/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/unixaddr.h"
#include "plan/opts.h"

#define END_TIMEOUT_MS 5000
#define LISTEN_STEP_MS 5	/* between two looks whether the remote listens */

/* ---- options of the command ---- */

static bool add_device(struct remote_process *rp, const char *devid, enum client_protocol protocol,
		       GError **error)
{
	if (rp->count == REMOTE_MAX_DEVICES)
		return mpq_fail(error, MPQ_ERROR_USAGE, "more than %d devices that can be reached",
				REMOTE_MAX_DEVICES);
	rp->device[rp->count++] = (struct remote_device){
		.devid = g_strdup(devid), .protocol = protocol, .fd = -1, .remote_fd = -1,
	};
	return true;
}

/* x-remote-object's fd is a string in QEMU, in JSON too; here it must be a number. */
static bool make_pair(struct remote_process *rp, const char *where,
		      const char *text, GError **error)
{
	struct remote_device *device = &rp->device[rp->count - 1];
	guint64 number;
	int pair[2];

	if (!g_ascii_string_to_unsigned(text, 10, 0, UINT16_MAX, &number, NULL))
		return mpq_fail(error, MPQ_ERROR_USAGE, "-object %s=%s is not the number of a "
				"file descriptor", where, text);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "socketpair: %s", log_errname(errno));
	device->fd = pair[0];
	device->remote_fd = pair[1];
	device->number = number;
	return true;
}

/* Who listens there would be taken for the remote. */
static bool check_path(const char *path, GError **error)
{
	struct unix_addr addr;
	int ret = unix_addr_parse(path, &addr);

	if (ret)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s", path, log_errname(ret));
	if (unix_addr_ask(&addr) == -EPROTOTYPE)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: another process listens there", path);
	return true;
}

static bool add_path(struct remote_process *rp, const char *path, GError **error)
{
	rp->device[rp->count - 1].path = g_strdup(path);
	return check_path(path, error);
}

static bool add_remote_object(struct remote_process *rp, const char *arg,
			      const struct opt_set *set, GError **error)
{
	const char *devid = opt_get(set, "devid"), *fd = opt_get(set, "fd");
	const char *path = opt_get(set, "path");
	bool server = false;

	if (!opt_get_bool(set, "server", &server, error))
		return false;
	if (!devid || !(fd || (path && server)))
		return mpq_fail(error, MPQ_ERROR_USAGE, "-object %s: expected devid=, and fd=N or "
				"path=PATH,server=on", arg);
	if (!add_device(rp, devid, CLIENT_MPQEMU, error))
		return false;
	return fd ? make_pair(rp, "x-remote-object: fd", fd, error) : add_path(rp, path, error);
}

/* "socket" is an object in JSON; on the command line both spellings are QEMU's. */
static const char *socket_key(const struct opt_set *set, const char *key)
{
	g_autofree char *full = g_strdup_printf("socket.%s", key);
	const char *value = opt_get(set, full);

	return value ? value : opt_get(set, key);
}

static bool add_vfio_user(struct remote_process *rp, const char *arg,
			  const struct opt_set *set, GError **error)
{
	const char *device = opt_get(set, "device"), *type = socket_key(set, "type");
	const char *path = socket_key(set, "path"), *str = socket_key(set, "str");
	bool is_path = !g_strcmp0(type, "unix") && path && *path;
	bool is_fd = !g_strcmp0(type, "fd") && str;

	if (!device || (!is_path && !is_fd))
		return mpq_fail(error, MPQ_ERROR_USAGE, "-object %s: expected device=, and "
				"type=unix,path=PATH or type=fd,str=N", arg);
	if (!add_device(rp, device, CLIENT_VFIO_USER, error))
		return false;
	if (is_fd)
		return make_pair(rp, "x-vfio-user-server: str", str, error);
	return add_path(rp, path, error);
}

/* The objects that a device is reached by. */
static const struct {
	const char *type;
	bool (*add)(struct remote_process *rp, const char *arg,
		    const struct opt_set *set, GError **error);
} objects[] = {
	{ "x-remote-object", add_remote_object },
	{ "x-vfio-user-server", add_vfio_user },
};

/* Sees one argument of -object. */
static bool add_object(struct remote_process *rp, const char *arg,
		       GError **error)
{
	auto_opt_set set = opt_set_parse("-object", arg, &opt_syntax_object, error);
	const char *type = set ? opt_get(set, "qom-type") : NULL;

	if (!set)
		return false;
	for (size_t i = 0; type && i < G_N_ELEMENTS(objects); i++)
		if (!strcmp(type, objects[i].type))
			return objects[i].add(rp, arg, set, error);
	return true;
}

bool remote_process_read(struct remote_process *rp, char *const *argv, GError **error)
{
	*rp = (struct remote_process){ .pid = -1 };
	for (; *argv; argv++)
		if ((!strcmp(*argv, "-object") || !strcmp(*argv, "--object")) && argv[1])
			if (!add_object(rp, *++argv, error))
				return false;
	if (rp->count)
		return true;
	return mpq_fail(error, MPQ_ERROR_USAGE, "the remote command has no -object "
			"x-remote-object,...,fd=N and no -object x-vfio-user-server,...");
}

/* ---- starting it ---- */

static bool listens(const struct remote_process *rp)
{
	for (unsigned i = 0; i < rp->count; i++)
		if (rp->device[i].path)
			return true;
	return false;
}

/*
 * No socket of ours tells a remote that listens of our end: a signal to us alone, SIGKILL too,
 * shall not leave it behind.  We may have died before this was asked for.
 */
static bool bind_to_parent(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
		return false;
	errno = ESRCH;
	return getppid() == parent;
}

/* The child: the sockets go above all numbers that are asked for, then to their places. */
static void child_exec(const struct remote_process *rp, char *const *argv, int report_fd,
		       pid_t parent)
{
	int high[REMOTE_MAX_DEVICES], above = report_fd, moved, err;

	if (listens(rp) && !bind_to_parent(parent))
		goto failed;
	for (unsigned i = 0; i < rp->count; i++)
		if ((int)rp->device[i].number > above)
			above = rp->device[i].number;
	moved = fcntl(report_fd, F_DUPFD_CLOEXEC, above + 1);
	if (moved < 0)
		goto failed;
	report_fd = moved;
	for (unsigned i = 0; i < rp->count; i++)
		if (!rp->device[i].path)
			high[i] = fcntl(rp->device[i].remote_fd, F_DUPFD_CLOEXEC, above + 1);
	for (unsigned i = 0; i < rp->count; i++)
		if (!rp->device[i].path && (high[i] < 0 || dup2(high[i], rp->device[i].number) < 0))
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
	int report[2], err = 0;
	pid_t own = getpid();
	bool ok = true;

	if (pipe2(report, O_CLOEXEC) < 0)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "pipe: %s", log_errname(errno));
	rp->pid = fork();
	if (rp->pid == 0)
		child_exec(rp, argv, report[1], own);
	close(report[1]);
	if (rp->pid < 0)
		ok = mpq_fail(error, MPQ_ERROR_SYSTEM, "fork: %s", log_errname(errno));
	else if (read(report[0], &err, sizeof(err)) == sizeof(err))
		ok = mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s", argv[0], log_errname(err));
	close(report[0]);
	/* Its end is its own alone: when it dies, ours is at an end. */
	for (unsigned i = 0; i < rp->count; i++)
		fd_close(&rp->device[i].remote_fd);
	return ok;
}

bool remote_process_attach(struct remote_process *rp, enum client_protocol protocol,
			   const char *path, int fd, GError **error)
{
	g_autofree char *devid = path ? g_strdup(path) : g_strdup_printf("fd %d", fd);
	struct stat st;
	int ret;

	*rp = (struct remote_process){ .pid = -1 };
	if (!add_device(rp, devid, protocol, error))
		return false;
	rp->device[0].path = g_strdup(path);
	if (path)
		return true;
	ret = fd_stat(fd, &st);
	if (!ret)
		ret = S_ISSOCK(st.st_mode) ? fd_set_cloexec(fd, true) : -ENOTSOCK;
	if (ret)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s", devid, log_errname(ret));
	rp->device[0].fd = fd;
	return true;
}

/* ---- connecting to it ---- */

/* One try.  0 with device->fd, or -errno. */
static int try_connect(struct remote_device *device)
{
	/* It does not wait for a server that does not accept. */
	autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct unix_addr addr;
	int ret = fd < 0 ? -errno : unix_addr_parse(device->path, &addr);

	if (!ret)
		ret = unix_addr_connect(fd, &addr);
	if (!ret && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) < 0)
		ret = -errno;
	if (!ret)
		device->fd = fd_steal(&fd);
	return ret;
}

static int status_of(const siginfo_t *info)
{
	return info->si_code == CLD_EXITED ? info->si_status : 128 + info->si_status;
}

/* Has the remote ended?  It stays for remote_process_finish(). */
static bool has_ended(const struct remote_process *rp, int *ret_status)
{
	siginfo_t info = { .si_pid = 0 };

	if (waitid(P_PID, rp->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || !info.si_pid)
		return false;
	*ret_status = status_of(&info);
	return true;
}

bool remote_process_connect(struct remote_process *rp, unsigned i, int timeout_ms, GError **error)
{
	struct remote_device *device = &rp->device[i];
	gint64 end = g_get_monotonic_time() + timeout_ms * 1000LL;
	int ret = 0, status;

	while (device->fd < 0) {
		bool early;

		ret = try_connect(device);
		early = ret == -ENOENT || ret == -ECONNREFUSED || ret == -EAGAIN;
		if (!ret)
			break;
		if (rp->pid < 0 || !early)
			return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s", device->path,
					log_errname(ret));
		if (has_ended(rp, &status))
			return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: the remote ended with status "
					"%d before it listened at %s", device->devid, status,
					device->path);
		if (g_get_monotonic_time() >= end)
			return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: the remote does not listen "
					"at %s", device->devid, device->path);
		poll(NULL, 0, LISTEN_STEP_MS);
	}
	return true;
}

/* ---- its end ---- */

int remote_process_finish(struct remote_process *rp)
{
	bool tell = listens(rp), told;
	autofd pidfd = -1;
	int status = 0;

	for (unsigned i = 0; i < rp->count; i++) {
		fd_close(&rp->device[i].fd);
		fd_close(&rp->device[i].remote_fd);
		g_clear_pointer(&rp->device[i].devid, g_free);
		g_clear_pointer(&rp->device[i].path, g_free);
	}
	rp->count = 0;
	if (rp->pid < 0)
		return 0;
	told = tell && kill(rp->pid, SIGTERM) == 0;
	pidfd = syscall(SYS_pidfd_open, rp->pid, 0);
	if (pidfd >= 0) {
		struct pollfd p = { .fd = pidfd, .events = POLLIN };

		if (poll(&p, 1, END_TIMEOUT_MS) == 0)
			kill(rp->pid, SIGKILL);
	}
	if (waitpid(rp->pid, &status, 0) < 0)
		return -1;
	rp->pid = -1;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	return told && WTERMSIG(status) == SIGTERM ? 0 : 128 + WTERMSIG(status);
}
