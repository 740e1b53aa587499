/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sandbox/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

/* The kernel's own structure, as of ABI 6; older headers have its first member only. */
struct ruleset_attr {
	uint64_t fs, net, scoped;
};

#define FS_RIGHTS_ABI1 13	/* bits 0 to 12 */
#define NET_ALL 3ULL		/* bind and connect TCP, ABI 4 */
#define SCOPED_ALL 3ULL		/* abstract sockets and signals, ABI 6 */

/* ABI 2 added REFER, 3 TRUNCATE, 5 IOCTL_DEV. */
static uint64_t fs_rights(int abi)
{
	unsigned bits = FS_RIGHTS_ABI1 + (abi >= 2) + (abi >= 3) + (abi >= 5);

	return (1ULL << bits) - 1;
}

int sandbox_landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return abi > 0 ? abi : 0;
}

/* How much of the structure the kernel of that ABI takes. */
static size_t attr_size(int abi)
{
	if (abi >= 6)
		return 3 * sizeof(uint64_t);
	return (abi >= 4 ? 2 : 1) * sizeof(uint64_t);
}

int sandbox_landlock_create(bool net, bool scoped)
{
	int abi = sandbox_landlock_abi(), fd;
	struct ruleset_attr attr = {
		.fs = fs_rights(abi), .net = net ? 0 : NET_ALL,
		.scoped = scoped ? SCOPED_ALL : 0,
	};

	if (!abi)
		return -ENOSYS;
	fd = syscall(SYS_landlock_create_ruleset, &attr, attr_size(abi), 0);
	if (fd < 0)
		return -errno;
	fd_set_cloexec(fd, true);
	return fd;
}

int sandbox_landlock_allow(int ruleset, const char *path, uint64_t access)
{
	autofd fd = open(path, O_PATH | O_CLOEXEC);
	struct landlock_path_beneath_attr rule = {
		.allowed_access = access & fs_rights(sandbox_landlock_abi()), .parent_fd = fd,
	};
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	/* Rights of a directory make no sense on a file. */
	if (!S_ISDIR(st.st_mode))
		rule.allowed_access &= ~LANDLOCK_ACCESS_FS_READ_DIR;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return -errno;
	return 0;
}

int sandbox_landlock_enter(int ruleset)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return -errno;
	return 0;
}
