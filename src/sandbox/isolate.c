/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sandbox/isolate.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "sandbox/filter.h"
#include "sandbox/landlock.h"
#include "sandbox/mounts-priv.h"

#define NAMESPACES (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | \
		    CLONE_NEWUTS | CLONE_NEWCGROUP)

static int fail(char *why, const char *what, int err)
{
	snprintf(why, SANDBOX_WHY, "%s: %s", what, log_errname(err));
	return err;
}

/* ---- The child in its namespaces ---- */

pid_t sandbox_clone(enum sandbox_level level, unsigned share)
{
	unsigned long flags = level == SANDBOX_STRICT ? NAMESPACES : 0;
	long pid;

	if (share & SANDBOX_SHARE_NET)
		flags &= ~CLONE_NEWNET;
	if (share & SANDBOX_SHARE_PARENT)
		flags |= CLONE_PARENT;
	/* Not fork(): the namespaces have to be there when the child's first instruction runs. */
	pid = syscall(SYS_clone, SIGCHLD | flags, 0, 0, 0, 0);

	return pid < 0 ? -errno : pid;
}

void sandbox_clone_obstacle(int err, char *why)
{
	char text[SANDBOX_WHY / 2];

	sandbox_userns_obstacle("/proc/sys", err, text, sizeof(text));
	snprintf(why, SANDBOX_WHY, "no user namespace: %s; or run with another --sandbox", text);
}

static int write_file(pid_t pid, const char *name, const char *text)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	autofd fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* Root keeps its own number until it has given up everything else, and becomes nobody then. */
static int map_root(pid_t pid)
{
	char map[64];
	int ret;

	snprintf(map, sizeof(map), "0 0 1\n%d %d 1\n", SANDBOX_NOBODY, SANDBOX_NOBODY);
	ret = write_file(pid, "uid_map", map);
	return ret ? ret : write_file(pid, "gid_map", map);
}

/* Each user and group that this process knows, under its own number. */
static int map_same(pid_t pid, const char *name)
{
	char own[64], text[4096], map[4096];
	unsigned long inside, count;
	size_t len = 0;
	int used;

	snprintf(own, sizeof(own), "/proc/self/%s", name);
	autofd fd = open(own, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	/* user_namespaces(7): number inside, number outside, how many */
	for (const char *at = text; len < sizeof(map) &&
	     sscanf(at, "%lu %*u %lu%n", &inside, &count, &used) == 2; at += used)
		len += snprintf(map + len, sizeof(map) - len, "%lu %lu %lu\n", inside, inside,
				count);
	return len && len < sizeof(map) ? write_file(pid, name, map) : -E2BIG;
}

static int map_all(pid_t pid)
{
	int ret = map_same(pid, "uid_map");

	return ret ? ret : map_same(pid, "gid_map");
}

/* Who is not root may map nothing but itself: as root of the namespace, until it gives that up. */
static int map_own(pid_t pid)
{
	char map[64];
	int ret = write_file(pid, "setgroups", "deny");

	snprintf(map, sizeof(map), "0 %u 1\n", geteuid());
	if (!ret)
		ret = write_file(pid, "uid_map", map);
	snprintf(map, sizeof(map), "0 %u 1\n", getegid());
	return ret ? ret : write_file(pid, "gid_map", map);
}

#define USER_MAP "user map of the child"
/* Linux 5.12 on, user_namespaces(7): for who hands on uid 0, of a container's too. */
#define NEEDS_SETFCAP USER_MAP " (root needs CAP_SETFCAP for it: add it, or run as another user, " \
	"or with another --sandbox)"

int sandbox_clone_map(enum sandbox_level level, unsigned share, pid_t child, int go[2], char *why)
{
	int ret = 0;

	if (level == SANDBOX_STRICT) {
		ret = geteuid() ? -EPERM :
		      share & SANDBOX_SHARE_USERS ? map_all(child) : map_root(child);
		if (ret == -EPERM)
			ret = map_own(child);
		if (ret)
			return fail(why, geteuid() == 0 && ret == -EPERM ? NEEDS_SETFCAP :
				    USER_MAP, ret);
	}
	if (write(go[1], "", 1) != 1)
		return fail(why, "child", -errno);
	return 0;
}

int sandbox_clone_wait(int go[2])
{
	char byte;
	ssize_t n;

	close(go[1]);
	do
		n = read(go[0], &byte, 1);
	while (n < 0 && errno == EINTR);
	close(go[0]);
	return n == 1 ? 0 : -EPIPE;
}

/* ---- No file system ---- */

/* Any folder that is there takes the new root for a moment. */
static const char *const mount_points[] = { "/proc", "/tmp", "/dev", "/usr" };

static int mount_empty(void)
{
	int ret = -ENOENT;

	for (size_t i = 0; i < sizeof(mount_points) / sizeof(mount_points[0]); i++) {
		if (mount("mpqemu", mount_points[i], "tmpfs", MS_NODEV | MS_NOEXEC | MS_NOSUID,
			  "nr_inodes=2,size=4k,mode=0555") == 0)
			return chdir(mount_points[i]) < 0 ? -errno : 0;
		ret = -errno;
	}
	return ret;
}

int sandbox_pivot(void)
{
	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 ||
	    chdir("/") < 0)
		return -errno;
	if (mount("none", "/", "none", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NODEV | MS_NOEXEC |
		  MS_NOSUID, NULL) < 0)
		return -errno;
	return 0;
}

bool sandbox_may_mount(enum sandbox_level level)
{
	if (level == SANDBOX_CONTAINER)
		return unshare(CLONE_NEWNS) == 0;
	return level == SANDBOX_STRICT;
}

bool sandbox_mount_refused(enum sandbox_level level, int err)
{
	return level == SANDBOX_CONTAINER && (err == -EPERM || err == -EACCES);
}

int sandbox_private_mounts(void)
{
	return mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0 ? -errno : 0;
}

int sandbox_mount_obstacle(int err, const char *what, char *why)
{
	char text[SANDBOX_WHY / 2];

	sandbox_userns_obstacle("/proc/sys", err == -EPERM || err == -EACCES ? 0 : err, text,
				sizeof(text));
	snprintf(why, SANDBOX_WHY, "%s: %s (%s)", what, log_errname(err), text);
	return err;
}

static bool is_empty(void)
{
	return access("/proc", F_OK) < 0 && access("/usr", F_OK) < 0 && access("/dev", F_OK) < 0;
}

int sandbox_enter_root(enum sandbox_level level, struct sandbox_status *status, char *why)
{
	int ret = 0;

	if (!sandbox_may_mount(level))
		return 0;
	ret = sandbox_private_mounts();
	if (!ret)
		ret = mount_empty();
	if (sandbox_mount_refused(level, ret))
		return 0;
	if (ret)
		return sandbox_mount_obstacle(ret, "empty root", why);
	ret = sandbox_pivot();
	if (ret)
		return fail(why, "empty root", ret);
	if (!is_empty())
		return fail(why, "empty root: it is not", -EEXIST);
	status->own_root = true;
	return 0;
}

/* ---- No rights ---- */

/* The sets of capabilities(7), a bit a capability. */
struct caps {
	uint64_t effective, permitted, inheritable;
};

static int get_caps(struct caps *ret)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };	/* valgrind 3.19 knows of the first only */

	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	*ret = (struct caps){
		.effective = data[0].effective | (uint64_t)data[1].effective << 32,
		.permitted = data[0].permitted | (uint64_t)data[1].permitted << 32,
		.inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32,
	};
	return 0;
}

static int set_caps(const struct caps *caps)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ .effective = caps->effective, .permitted = caps->permitted,
		  .inheritable = caps->inheritable },
		{ .effective = caps->effective >> 32, .permitted = caps->permitted >> 32,
		  .inheritable = caps->inheritable >> 32 },
	};

	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

/* Has these, and no other; @inheritable by what is executed. */
static int set_caps_to(uint64_t caps, uint64_t inheritable)
{
	return set_caps(&(struct caps){ caps, caps, inheritable });
}

/* Those of @caps that this process has. */
static uint64_t held(uint64_t caps)
{
	struct caps own = { 0 };

	return get_caps(&own) ? 0 : own.effective & caps;
}

bool sandbox_has_cap(unsigned cap)
{
	return held(1ULL << cap);
}

bool sandbox_may_write(const char *folder)
{
	struct caps own, none;
	bool may;

	if (get_caps(&own))
		return false;
	none = own;
	none.effective = 0;
	if (set_caps(&none))
		return false;
	/* Not libc's, which guesses where the kernel does not know the flag. */
	may = syscall(SYS_faccessat2, AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0;
	return !set_caps(&own) && may;
}

/* No way back: not by a set-user-ID program, not by being root, not by ambient capabilities. */
#define SECUREBITS (SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | \
		    SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED | \
		    SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

/* Needs CAP_SETPCAP; a process without it has nothing to lose here: no_new_privs holds. */
static int drop_bounding(uint64_t keep)
{
	if (!sandbox_has_cap(CAP_SETPCAP))
		return 0;
	for (unsigned cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return -errno;
	return prctl(PR_SET_SECUREBITS, SECUREBITS, 0, 0, 0) < 0 ? -errno : 0;
}

static int drop_ambient(void)
{
	return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ? -errno : 0;
}

/* Root becomes nobody, where it may; in a namespace of one user there is nobody else. */
static int drop_root(void)
{
	if (geteuid() != 0 || !sandbox_has_cap(CAP_SETUID) || !sandbox_has_cap(CAP_SETGID))
		return 0;
	if (setgroups(0, NULL) < 0 && errno != EPERM)
		return -errno;
	if (setresgid(SANDBOX_NOBODY, SANDBOX_NOBODY, SANDBOX_NOBODY) < 0)
		return errno == EINVAL ? 0 : -errno;
	if (setresuid(SANDBOX_NOBODY, SANDBOX_NOBODY, SANDBOX_NOBODY) < 0)
		return errno == EINVAL ? 0 : -errno;
	return 0;
}

static bool caps_are(uint64_t caps)
{
	struct caps own = { 0 };

	return !get_caps(&own) && !(own.permitted & ~caps) && !own.inheritable;
}

static int finish_drop(uint64_t caps, char *why)
{
	int ret = set_caps_to(caps, 0);

	if (ret)
		return fail(why, "capabilities", ret);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail(why, "no_new_privs", -errno);
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return fail(why, "dumpable", -errno);
	if (!caps_are(caps) || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 ||
	    prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return fail(why, "rights are left", -EPERM);
	return 0;
}

static int deny_all(void)
{
	autofd ruleset = sandbox_landlock_create(false, true);

	return ruleset < 0 ? ruleset : sandbox_landlock_enter(ruleset);
}

/* Not in this kernel, not enabled, or forbidden by a container: all else is a fault. */
static bool is_absent(int err)
{
	return err == -ENOSYS || err == -EOPNOTSUPP || err == -EPERM;
}

int sandbox_drop(enum sandbox_level level, struct sandbox_status *status, char *why)
{
	int ret;

	status->uid = geteuid();
	if (level == SANDBOX_OFF)
		return 0;
	ret = drop_ambient();
	if (!ret)
		ret = drop_bounding(0);
	if (ret)
		return fail(why, "capability bounding set", ret);
	ret = drop_root();
	if (ret)
		return fail(why, "user and group", ret);
	ret = deny_all();
	status->landlock = ret == 0;
	if (ret && !is_absent(ret))
		return fail(why, "Landlock", ret);
	if (ret && level == SANDBOX_CONTAINER && !status->own_root)
		return fail(why, "neither an empty root nor Landlock can be had: run the container "
			    "with CAP_SYS_ADMIN, or on a kernel with Landlock", ret);
	status->uid = geteuid();
	return finish_drop(0, why);
}

int sandbox_drop_keeper(uint64_t keep, char *why)
{
	int ret = drop_ambient();

	if (!ret)
		ret = drop_bounding(0);
	/* Nobody keeps what he has not got: an ordinary user has none. */
	return ret ? fail(why, "capability bounding set", ret) : finish_drop(held(keep), why);
}

/*
 * Being root means nothing any more (SECBIT_NOROOT), so that what outlasts the execve() are the
 * ambient capabilities (capabilities(7)).
 */
static int keep_ambient(uint64_t keep)
{
	int ret = set_caps_to(keep | 1ULL << CAP_SETPCAP, keep);

	for (unsigned cap = 0; keep >> cap && !ret; cap++)
		if (keep >> cap & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			ret = -errno;
	if (!ret)
		ret = drop_bounding(keep);
	return ret ? ret : set_caps_to(keep, keep);
}

int sandbox_drop_program(uint64_t keep, char *why)
{
	int ret = drop_ambient();

	/* Who may not change the sets that execve() looks at has nothing to keep. */
	if (!ret)
		ret = sandbox_has_cap(CAP_SETPCAP) ? keep_ambient(held(keep)) : set_caps_to(0, 0);
	if (ret)
		return fail(why, "capabilities", ret);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail(why, "no_new_privs", -errno);
	return 0;
}

/* ---- Limits ---- */

static const struct limit {
	int resource;
	const char *name;
} none_of[] = {
	{ RLIMIT_CORE, "RLIMIT_CORE" }, { RLIMIT_NPROC, "RLIMIT_NPROC" },
	{ RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK" }, { RLIMIT_MSGQUEUE, "RLIMIT_MSGQUEUE" },
	{ RLIMIT_SIGPENDING, "RLIMIT_SIGPENDING" }, { RLIMIT_RTPRIO, "RLIMIT_RTPRIO" },
	{ RLIMIT_NICE, "RLIMIT_NICE" }, { RLIMIT_LOCKS, "RLIMIT_LOCKS" },
};

/* A limit that is lower already stays. */
static int set_limit(int resource, const char *name, uint64_t value, char *why)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) < 0)
		return fail(why, name, -errno);
	if (limit.rlim_max > value)
		limit.rlim_max = value;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(resource, &limit) < 0 ? fail(why, name, -errno) : 0;
}

int sandbox_limit(const struct sandbox_limits *limits, char *why)
{
	int ret = set_limit(RLIMIT_NOFILE, "RLIMIT_NOFILE", limits->fds, why);

	for (size_t i = 0; i < sizeof(none_of) / sizeof(none_of[0]) && !ret; i++)
		ret = set_limit(none_of[i].resource, none_of[i].name, 0, why);
	if (!ret)
		ret = set_limit(RLIMIT_FSIZE, "RLIMIT_FSIZE", limits->file_size, why);
	if (!ret && limits->address_space && !filter_impossible())
		ret = set_limit(RLIMIT_AS, "RLIMIT_AS", limits->address_space, why);
	/* A write beyond the limit is an error of the request, not the end. */
	if (!ret && signal(SIGXFSZ, SIG_IGN) == SIG_ERR)
		ret = fail(why, "SIGXFSZ", -errno);
	return ret;
}
