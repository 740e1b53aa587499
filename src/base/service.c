/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

static void __attribute__((noreturn)) wait_for_release(int fd, pid_t pid)
{
	uint8_t byte;
	int status;

	if (read(fd, &byte, 1) == 1)
		_exit(0);
	if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status))
		_exit(WEXITSTATUS(status));
	_exit(1);
}

int service_fork(int *ret_parent)
{
	autofd null = -1, in = -1, out = -1;
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	in = ends[0];
	out = ends[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid > 0) {
		fd_close(&out);
		wait_for_release(in, pid);
	}
	setsid();
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		return -errno;
	*ret_parent = fd_steal(&out);
	return 0;
}

int service_release(int *parent, bool keep_stderr)
{
	autofd null = -1;
	uint8_t byte = 0;
	int ret;

	if (*parent < 0)
		return 0;
	null = keep_stderr ? -1 : open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0)
		dup2(null, STDERR_FILENO);
	ret = fd_write_all(*parent, &byte, 1);
	fd_close(parent);
	return ret;
}

int service_pidfile(const char *path, GError **error)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	autofd fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		mpq_fail(error, MPQ_ERROR_SYSTEM, "-pidfile %s: cannot create PID file: Cannot "
			 "open pid file: %s", path, log_errname(errno));
	else if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
		mpq_fail(error, MPQ_ERROR_SYSTEM, "-pidfile %s: cannot create PID file: Cannot "
			 "lock pid file: %s", path, log_errname(errno));
	else
		return fd_steal(&fd);
	return -1;
}

int service_write_pid(int fd)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%d\n", getpid());

	return ftruncate(fd, 0) < 0 ? -errno : fd_write_all(fd, text, len);
}
