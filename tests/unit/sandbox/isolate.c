/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The stages, each in a child: what is gone after it, and that there is no way back. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "sandbox/isolate.h"
#include "sandbox/landlock.h"

#include "box.h"
#include "../util.h"

/* In a child: fails the test with the line. */
#define check(condition)                                        \
	do {                                                    \
		if (!(condition))                               \
			_exit(__LINE__ % 90 + 100);             \
	} while (0)

static void expect(void (*body)(const void *), const void *opaque)
{
	struct ending e = box_run(body, opaque);

	g_test_message("status %#x; exit 100 + line %% 90 where it failed; %s", e.status, e.said);
	g_assert_true(ended_with(&e, RETURNED));
}

static void become_nobody(void)
{
	must(setresgid(65534, 65534, 65534));
	must(setresuid(65534, 65534, 65534));
}

/* ---- Rights ---- */

static uint64_t caps(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2] = { 0 };

	must(syscall(SYS_capget, &head, d));
	return d[0].effective | d[0].permitted | d[0].inheritable |
		(uint64_t)(d[1].effective | d[1].permitted | d[1].inheritable) << 32;
}

static void check_dropped(void)
{
	check(caps() == 0);
	check(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	check(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
	check(geteuid() == 0 || (setuid(0) < 0 && setgid(0) < 0));
	check(chroot("/") < 0 && mount("x", "/proc", "tmpfs", 0, NULL) < 0);
	/* Nor does a program give any back. */
	check(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0) < 0);
}

static void body_drop_root(const void *opaque)
{
	struct sandbox_status status = { 0 };
	char why[SANDBOX_WHY];

	check(sandbox_drop(SANDBOX_SECCOMP_ONLY, &status, why) == 0);
	check(status.uid == SANDBOX_NOBODY && geteuid() == SANDBOX_NOBODY);
	check(getuid() == SANDBOX_NOBODY && getegid() == SANDBOX_NOBODY);
	check(getgroups(0, NULL) == 0);
	for (unsigned cap = 0; cap < 40; cap++)
		check(prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 0);
	check((prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) & 0x3) == 0x3);
	check_dropped();
	check(status.landlock == (sandbox_landlock_abi() > 0));
	check(!status.landlock || (open("/etc/passwd", O_RDONLY) < 0 && errno == EACCES));
}

static void body_drop_nobody(const void *opaque)
{
	struct sandbox_status status = { 0 };
	char why[SANDBOX_WHY];

	become_nobody();
	check(sandbox_drop(SANDBOX_SECCOMP_ONLY, &status, why) == 0);
	check(status.uid == SANDBOX_NOBODY);
	check_dropped();
}

/* The kernel has it, and it cannot be had (16 layers are the most): that is not passed over. */
static void body_drop_without_landlock(const void *opaque)
{
	struct sandbox_status status = { 0 };
	char why[SANDBOX_WHY];
	autofd set = sandbox_landlock_create(false, true);

	for (unsigned i = 0; i < 16; i++)
		check(sandbox_landlock_enter(set) == 0);
	check(sandbox_drop(SANDBOX_SECCOMP_ONLY, &status, why) == -E2BIG);
	check(!strncmp(why, "Landlock: ", 10));
}

static void body_drop_off(const void *opaque)
{
	struct sandbox_status status = { 0 };
	char why[SANDBOX_WHY];
	uint64_t before = caps();
	int had = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);

	check(sandbox_drop(SANDBOX_OFF, &status, why) == 0);
	check(caps() == before && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == had);
	check(status.uid == geteuid() && !status.landlock);
	check(open("/etc/passwd", O_RDONLY) >= 0);
}

static void body_drop_keeper(const void *opaque)
{
	uint64_t keep = *(const uint64_t *)opaque;
	char why[SANDBOX_WHY];

	check(sandbox_drop_keeper(keep, why) == 0);
	check(caps() == keep);
	check(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	check(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
	check(getuid() == 0);			/* its pid file is root's */
	check(prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0) == 0);
	check(chroot("/") < 0);
}

/* An ordinary user has nothing to keep, which is no mistake. */
static void body_drop_keeper_nobody(const void *opaque)
{
	char why[SANDBOX_WHY];

	become_nobody();
	check(sandbox_drop_keeper(1ULL << CAP_DAC_OVERRIDE, why) == 0);
	check_dropped();
}

static void test_drop(void)
{
	static const uint64_t keeps[] = { 0, 1ULL << CAP_DAC_OVERRIDE };

	if (box_not_root())
		return;
	expect(body_drop_root, NULL);
	expect(body_drop_nobody, NULL);
	expect(body_drop_off, NULL);
	if (sandbox_landlock_abi())
		expect(body_drop_without_landlock, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(keeps); i++)
		expect(body_drop_keeper, &keeps[i]);
	expect(body_drop_keeper_nobody, NULL);
}

/* ---- Limits ---- */

static void body_limit(const void *opaque)
{
	static const int none[] = {
		RLIMIT_CORE, RLIMIT_NPROC, RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE, RLIMIT_SIGPENDING,
		RLIMIT_RTPRIO, RLIMIT_NICE, RLIMIT_LOCKS,
	};
	const struct sandbox_limits limits = { .fds = 192, .file_size = 8192 };
	char why[SANDBOX_WHY], path[] = "/tmp/sandbox-XXXXXX";
	int fd = must(mkstemp(path));
	struct rlimit l;

	must(unlink(path));
	check(sandbox_limit(&limits, why) == 0);
	for (unsigned i = 0; i < G_N_ELEMENTS(none); i++)
		check(getrlimit(none[i], &l) == 0 && l.rlim_cur == 0 && l.rlim_max == 0);
	check(getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur == 192 && l.rlim_max == 192);
	check(pwrite(fd, "xx", 2, 8190) == 2);
	/* Beyond: an error of the call, not the end by SIGXFSZ. */
	check(pwrite(fd, "x", 1, 8192) < 0 && errno == EFBIG);
	check(ftruncate(fd, 8193) < 0 && errno == EFBIG);
}

static void body_limit_lower(const void *opaque)
{
	const struct sandbox_limits limits = { .fds = 192, .file_size = 1 << 20 };
	struct rlimit l = { 100, 100 }, f = { 4096, 4096 };
	char why[SANDBOX_WHY];

	must(setrlimit(RLIMIT_NOFILE, &l));
	must(setrlimit(RLIMIT_FSIZE, &f));
	check(sandbox_limit(&limits, why) == 0);
	check(getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur == 100 && l.rlim_max == 100);
	check(getrlimit(RLIMIT_FSIZE, &f) == 0 && f.rlim_cur == 4096 && f.rlim_max == 4096);
}

/* A soft limit below the hard one is raised to what is needed, and no further. */
static void body_limit_soft(const void *opaque)
{
	const struct sandbox_limits limits = { .fds = 192 };
	struct rlimit l = { 150, 1000 };
	char why[SANDBOX_WHY];

	must(setrlimit(RLIMIT_NOFILE, &l));
	check(sandbox_limit(&limits, why) == 0);
	check(getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur == 192 && l.rlim_max == 192);
}

static void body_limit_memory(const void *opaque)
{
	const struct sandbox_limits limits = { .fds = 192, .address_space = 1ULL << 40 };
	char why[SANDBOX_WHY];
	struct rlimit l;

	check(sandbox_limit(&limits, why) == 0);
	check(getrlimit(RLIMIT_AS, &l) == 0);
	check(filter_impossible() || l.rlim_max == 1ULL << 40);
}

static void test_limit(void)
{
	if (getenv("MPQ_WRAPPER")) {
		g_test_skip("valgrind has a RLIMIT_NOFILE of its own");
		return;
	}
	expect(body_limit_soft, NULL);
	expect(body_limit, NULL);
	expect(body_limit_lower, NULL);
	expect(body_limit_memory, NULL);
}

/* ---- Landlock ---- */

static int connect_tcp(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(1),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = must(socket(AF_INET, SOCK_STREAM, 0));

	return connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ? errno : 0;
}

static void body_landlock(const void *opaque)
{
	bool net = opaque;
	int abi = sandbox_landlock_abi(), set = sandbox_landlock_create(net, true), fd;

	check(set >= 0 && fcntl(set, F_GETFD) == FD_CLOEXEC);
	check(sandbox_landlock_allow(set, "/nonexistent/x", LANDLOCK_READ_TREE) == 0);
	check(sandbox_landlock_allow(set, "/etc/passwd", LANDLOCK_READ_TREE) == 0);
	check(sandbox_landlock_allow(set, "/usr", LANDLOCK_READ_TREE) == 0);
	check(sandbox_landlock_allow(set, "/dev/null", LANDLOCK_WRITE_FILE) == 0);
	check(sandbox_landlock_allow(-1, "/usr", LANDLOCK_READ_TREE) == -EBADF);
	check(sandbox_landlock_enter(set) == 0);
	check(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	fd = open("/etc/passwd", O_RDONLY);
	check(fd >= 0);
	check(open("/etc/group", O_RDONLY) < 0 && errno == EACCES);
	check(open("/etc/passwd", O_RDWR) < 0 && errno == EACCES);
	check(open("/usr", O_RDONLY | O_DIRECTORY) >= 0);
	check(open("/usr/x", O_WRONLY | O_CREAT, 0600) < 0 && errno == EACCES);
	check(open("/dev/null", O_WRONLY) >= 0);
	check(open("/dev/null", O_RDONLY) < 0 && errno == EACCES);
	if (abi >= 4)
		check(connect_tcp() == (net ? ECONNREFUSED : EACCES));
	if (abi >= 6)
		check(kill(getppid(), 0) < 0 && errno == EPERM);
	check(kill(getpid(), 0) == 0);
}

static void test_landlock(void)
{
	if (!sandbox_landlock_abi()) {
		g_assert_cmpint(sandbox_landlock_create(true, true), ==, -ENOSYS);
		g_test_skip("no Landlock here");
		return;
	}
	expect(body_landlock, NULL);
	expect(body_landlock, "net");
	g_assert_cmpint(sandbox_landlock_enter(-1), ==, -EBADF);
}

/* ---- Namespaces and the root ---- */

struct family {
	bool as_nobody;
	bool give_up;		/* the parent closes the pipe */
	enum sandbox_level level;
};

static void in_namespaces(enum sandbox_level level)
{
	struct sandbox_status status = { 0 };
	char why[SANDBOX_WHY] = "";

	check(getpid() == 1 && geteuid() == 0 && caps());
	check(sandbox_enter_root(level, &status, why) == 0 && status.own_root);
	check(access("/proc", F_OK) < 0 && access("/etc", F_OK) < 0);
	check(open("/x", O_WRONLY | O_CREAT, 0600) < 0 && errno == EROFS);
	check(chdir("..") == 0 && access("etc", F_OK) < 0);
	check(sandbox_drop(level, &status, why) == 0);
	check_dropped();
	/* 0: who is not root has nobody else mapped in its namespace. */
	check(status.uid == SANDBOX_NOBODY || status.uid == 0);
}

static void body_family(const void *opaque)
{
	const struct family *f = opaque;
	char why[SANDBOX_WHY];
	int go[2], status;
	pid_t pid;

	if (f->as_nobody) {
		become_nobody();
		must(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
	}
	must(pipe2(go, O_CLOEXEC));
	pid = sandbox_clone(f->level, SANDBOX_SHARE_NOTHING);
	check(pid >= 0);
	if (pid == 0) {
		int ret = sandbox_clone_wait(go);

		if (f->give_up)
			_exit(ret == -EPIPE ? 0 : 1);
		if (ret)
			_exit(2);
		if (f->level == SANDBOX_STRICT)
			in_namespaces(f->level);
		else
			check(getpid() != 1);
		_exit(0);
	}
	if (f->give_up) {
		close(go[0]);
		close(go[1]);
	} else {
		check(sandbox_clone_map(f->level, SANDBOX_SHARE_NOTHING, pid, go, why) == 0);
	}
	must(waitpid(pid, &status, 0));
	if (status)
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 98);
}

static void test_family(void)
{
	static const struct family rows[] = {
		{ false, true, SANDBOX_STRICT }, { true, true, SANDBOX_STRICT },
		{ false, true, SANDBOX_OFF }, { false, false, SANDBOX_OFF },
		{ false, false, SANDBOX_SECCOMP_ONLY },
		{ false, false, SANDBOX_STRICT }, { true, false, SANDBOX_STRICT },
	};

	if (box_not_root())
		return;
	if (getenv("MPQ_WRAPPER")) {
		g_test_skip("valgrind needs its files, and follows no clone into namespaces");
		return;
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
		expect(body_family, &rows[i]);
}

/* At a level that promises no root of its own nothing happens. */
static void test_no_root(void)
{
	static const enum sandbox_level levels[] = { SANDBOX_SECCOMP_ONLY, SANDBOX_OFF };

	for (unsigned i = 0; i < G_N_ELEMENTS(levels); i++) {
		struct sandbox_status status = { 0 };
		char why[SANDBOX_WHY];

		g_assert_cmpint(sandbox_enter_root(levels[i], &status, why), ==, 0);
		g_assert_false(status.own_root);
		g_assert_cmpint(access("/proc", F_OK), ==, 0);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/sandbox/isolate/drop", test_drop);
	g_test_add_func("/sandbox/isolate/limit", test_limit);
	g_test_add_func("/sandbox/isolate/landlock", test_landlock);
	g_test_add_func("/sandbox/isolate/family", test_family);
	g_test_add_func("/sandbox/isolate/no-root", test_no_root);
	return g_test_run();
}
