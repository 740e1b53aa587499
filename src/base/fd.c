/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

void fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

int fd_set_cloexec(int fd, bool on)
{
	return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) < 0 ? -errno : 0;
}

bool fd_is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

int fd_stat(int fd, struct stat *ret_st)
{
	struct stat st;

	if (syscall(SYS_fstat, fd, &st) < 0)
		return -errno;
	*ret_st = st;
	return 0;
}

bool fd_is_event(int fd)
{
	struct stat st;

	return fd_stat(fd, &st) == 0 && !(st.st_mode & S_IFMT);
}

int fd_close_from(int first)
{
	long max;

	if (close_range(first, ~0U, 0) == 0)
		return 0;
	if (errno != ENOSYS)
		return -errno;
	max = sysconf(_SC_OPEN_MAX);
	for (int fd = first; fd < max; fd++)
		close(fd);
	return 0;
}

int fd_move(int *fd, int slot)
{
	if (*fd == slot)
		return fd_set_cloexec(slot, true);
	if (dup3(*fd, slot, O_CLOEXEC) < 0)
		return -errno;
	fd_close(fd);
	*fd = slot;
	return 0;
}

int fd_write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= n;
	}
	return 0;
}

int fd_read_all(int fd, void *buf, size_t len)
{
	char *p = buf;

	while (len) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENODATA;
		p += n;
		len -= n;
	}
	return 0;
}
