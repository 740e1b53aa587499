/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "control/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/fd.h"

/*
 * All fds go above the slots first: a source may stand where another's slot is.
 */
static int lift(const struct launch_fd *fds, unsigned count, int *lifted)
{
	for (unsigned i = 0; i < count; i++) {
		lifted[i] = fcntl(fds[i].fd, F_DUPFD_CLOEXEC, LAUNCH_SLOT_COUNT);
		if (lifted[i] < 0)
			return -errno;
	}
	return 0;
}

/* The only one that may stand above the slots for a moment. */
static int keep_exe(int exe)
{
	if (exe < 0)
		return fd_close_from(LAUNCH_SLOT_FREE);
	if (dup3(exe, LAUNCH_SLOT_FREE, O_CLOEXEC) < 0)
		return -errno;
	return fd_close_from(LAUNCH_SLOT_FREE + 1);
}

int launch_arrange(const struct launch_fd *fds, unsigned count, int exe)
{
	int lifted[LAUNCH_SLOT_COUNT], null_fd;
	bool used[LAUNCH_SLOT_COUNT] = { false };
	int ret;

	if (count > LAUNCH_SLOT_COUNT)
		return -E2BIG;
	ret = lift(fds, count, lifted);
	if (ret)
		return ret;
	if (exe >= 0) {
		exe = fcntl(exe, F_DUPFD_CLOEXEC, LAUNCH_SLOT_COUNT);
		if (exe < 0)
			return -errno;
	}
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd < 0)
		return -errno;
	for (unsigned i = 0; i < count; i++) {
		if (fds[i].slot < 0 || fds[i].slot >= LAUNCH_SLOT_FREE || used[fds[i].slot])
			return -EINVAL;
		used[fds[i].slot] = true;
	}
	/* A number below the slots may be a source no longer: everything was lifted. */
	null_fd = fcntl(null_fd, F_DUPFD_CLOEXEC, LAUNCH_SLOT_COUNT);
	if (null_fd < 0)
		return -errno;
	for (unsigned i = 0; i < count; i++)
		if (dup2(lifted[i], fds[i].slot) < 0)
			return -errno;
	for (int slot = 0; slot < LAUNCH_SLOT_FREE; slot++)
		if (!used[slot] && dup2(null_fd, slot) < 0)
			return -errno;
	return keep_exe(exe);
}
