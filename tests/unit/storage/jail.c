/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A storage daemon that was taken over: a program of ours (inmate.c) in its place, at each level of
 * the sandbox, tries one thing a run.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applets/remote/storage-priv.h"
#include "applets/remote/storage.h"
#include "base/fd.h"
#include "cell.h"
#include "sandbox/landlock.h"

#define NOBODY 65534
#define FORBIDDEN "the storage daemon did not start: signal 31"

/* ---- Files ---- */

/* The name by which an absolute path goes on below @folder; "" when it is elsewhere. */
static char *name_below(const char *folder, const char *path)
{
	size_t len = strlen(folder);

	if (strncmp(path, folder, len) || path[len] != '/')
		return g_strdup("");
	return g_strndup(path + len + 1, strcspn(path + len + 1, "/"));
}

/* "list FOLDER" and the names there that lead to our folder, the program, and the module. */
static char *list_words(const char *folder, const char *shown, const char *others)
{
	g_autofree char *a = name_below(folder, dir), *b = name_below(folder, inmate);
	g_autofree char *c = name_below(folder, g_getenv(SANDBOX_PRELOAD_ENV));

	return g_strdup_printf("list %s %s %s %s %s", shown, others, a, b, c);
}

/* Nothing is there but libraries, the program, and the image files, with or without Landlock. */
static void test_files_strict(void)
{
	g_autofree char *parent = g_path_get_dirname(dir), *beside = list_words(parent, "..", "");
	g_autofree char *tops = list_words("", "/", "dev etc lib lib64 usr");
	struct cell cell;

	cell_init(&cell, SANDBOX_STRICT, FILTER_OFFLINE);
	cell.no_landlock = true;
	expect(&cell, tops, "no other");
	expect(&cell, "list . image base sock", "no other");
	expect(&cell, beside, "no other");
	expect(&cell, "list /dev null urandom", "no other");
	expect(&cell, "list /usr lib lib64 local", "no other");
	expect(&cell, "list /etc ld.so.cache gnutls crypto-policies ssl localtime", "no other");
	expect(&cell, "open read /etc/passwd", "ENOENT");
	expect(&cell, "open read /proc/self/status", "ENOENT");
	expect(&cell, "open read other", "ENOENT");
	expect(&cell, "open create new", "EROFS");
	expect(&cell, "open create /usr/lib/new", "EROFS");
	expect(&cell, "open read base", "done");
	expect(&cell, "open write base", "EROFS");
	expect(&cell, "open write image", "done");
	cell.no_landlock = false;
	expect(&cell, "open read /etc/passwd", "ENOENT");
	expect(&cell, "open read other", "ENOENT");
	expect(&cell, "open write image", "done");
	cell_finish(&cell);
}

/* Landlock keeps everything else away where there is no root of its own. */
static void test_files_landlock(void)
{
	static const char *const refused[] = {
		"open read /etc/passwd", "open read other", "open create new", "open write base",
		"list / nothing", "list . nothing", "open read /proc/1/environ",
	};
	struct cell cell;

	if (!sandbox_landlock_abi()) {
		g_test_skip("no Landlock in this kernel");
		return;
	}
	cell_init(&cell, SANDBOX_SECCOMP_ONLY, FILTER_OFFLINE);
	for (size_t i = 0; i < G_N_ELEMENTS(refused); i++)
		expect(&cell, refused[i], "EACCES");
	expect(&cell, "open read base", "done");
	expect(&cell, "open write image", "done");
	cell_finish(&cell);
}

/* In a container: a root of its own where mounting is allowed, Landlock where it is not. */
static void test_files_container(void)
{
	struct cell cell;

	if (!is_root() && !sandbox_landlock_abi()) {
		g_test_skip("no Landlock in this kernel");
		return;
	}
	cell_init(&cell, SANDBOX_CONTAINER, FILTER_OFFLINE);
	expect(&cell, "open read /etc/passwd", is_root() ? "ENOENT" : "EACCES");
	expect(&cell, "open write image", "done");
	expect(&cell, "open write base", is_root() ? "EROFS" : "EACCES");
	cell_finish(&cell);
}

/* A file that may be there, and for which no rule can be made, is not left out in silence. */
static void test_files_no_rule(void)
{
	struct storage_file loop = { (char *)(uintptr_t)"loop", true };
	g_autoptr(GError) error = NULL;
	struct storage_graph graph = {
		.files = g_ptr_array_new(), .features = FILTER_OFFLINE,
	};
	struct storage_jail jail;

	if (!sandbox_landlock_abi()) {
		g_test_skip("no Landlock in this kernel");
		return;
	}
	g_assert_cmpint(symlink("loop", "loop"), ==, 0);
	g_ptr_array_add(graph.files, &loop);
	g_assert_false(storage_jail_make(SANDBOX_STRICT, &graph, NULL, NULL, inmate, &jail,
					 &error));
	g_assert_nonnull(strstr(error->message, "cannot allow the storage daemon to use 'loop'"));
	g_ptr_array_unref(graph.files);
}

/* A block device: there, and read-only where the image is; no mount can see to that. */
static void test_device(void)
{
	const char *const make[] = { "losetup", "-f", "--show", "disk", NULL };
	const char *remove[] = { "losetup", "-d", NULL, NULL };
	struct storage_file file = { NULL, true };
	g_autofree char *rd = NULL, *wr = NULL;
	autofd keep = -1;
	struct cell cell;

	g_assert_true(g_file_set_contents("disk", "x", 1, NULL));
	g_assert_cmpint(truncate("disk", 1 << 20), ==, 0);
	if (!g_spawn_sync(NULL, (char **)(uintptr_t)make, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL,
			  &file.path, NULL, NULL, NULL) || file.path[0] != '/') {
		g_test_skip("needs root, and a host that lets it make a loop device");
		g_free(file.path);
		return;
	}
	/* gone with our last use of it, however the test ends */
	remove[2] = g_strstrip(file.path);
	keep = open(file.path, O_RDONLY | O_CLOEXEC);
	g_assert_true(g_spawn_sync(NULL, (char **)(uintptr_t)remove, NULL, G_SPAWN_SEARCH_PATH,
				   NULL, NULL, NULL, NULL, NULL, NULL));
	rd = g_strdup_printf("open read %s", file.path);
	wr = g_strdup_printf("open write %s", file.path);
	cell_init(&cell, SANDBOX_STRICT, FILTER_OFFLINE);
	expect(&cell, rd, "ENOENT");
	g_ptr_array_add(cell.files, &file);
	expect(&cell, wr, "done");
	file.writable = false;
	expect(&cell, rd, "done");
	if (sandbox_landlock_abi())
		expect(&cell, wr, "EACCES");
	cell_finish(&cell);
	g_free(file.path);
}

/* ---- Networks ---- */

static int listen_tcp(int *ret_port)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	g_assert_cmpint(bind(fd, (struct sockaddr *)&addr, len), ==, 0);
	g_assert_cmpint(listen(fd, 8), ==, 0);
	g_assert_cmpint(getsockname(fd, (struct sockaddr *)&addr, &len), ==, 0);
	*ret_port = ntohs(addr.sin_port);
	return fd;
}

static int listen_unix(const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	socklen_t len = offsetof(struct sockaddr_un, sun_path) + strlen(name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(addr.sun_path, name, strlen(name));
	if (name[0] == '@')
		addr.sun_path[0] = 0;
	else
		len++;
	g_assert_cmpint(bind(fd, (struct sockaddr *)&addr, len), ==, 0);
	g_assert_cmpint(listen(fd, 8), ==, 0);
	return fd;
}

/* With a graph of files there is no socket at all, whatever the level is. */
static void test_offline(void)
{
	static const enum sandbox_level levels[] = {
		SANDBOX_STRICT, SANDBOX_CONTAINER, SANDBOX_SECCOMP_ONLY,
	};

	for (size_t i = 0; i < G_N_ELEMENTS(levels); i++) {
		struct cell cell;

		cell_init(&cell, levels[i], FILTER_OFFLINE);
		expect(&cell, "tcp 1", FORBIDDEN);
		expect(&cell, "unix sock", FORBIDDEN);
		cell_finish(&cell);
	}
}

/* What comes along with the host's network: its names, and nothing of its other sockets. */
static void test_network_sockets(const char *abstract)
{
	/* a pair of datagram sockets can send to others */
	static const struct { int type; const char *what; } pairs[] = {
		{ SOCK_DGRAM, "ENOSYS" }, { SOCK_DGRAM | SOCK_CLOEXEC, "ENOSYS" },
		{ SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, "EFAULT" },
	};
	g_autofree char *dgram = g_strdup_printf("call %d %d %d 0", SYS_socket, AF_UNIX,
						 SOCK_DGRAM);
	static const int domains[] = { AF_UNIX, AF_NETLINK, AF_PACKET, AF_ALG, AF_VSOCK };
	struct cell cell;

	for (unsigned level = SANDBOX_STRICT; level < SANDBOX_OFF; level++) {
		cell_init(&cell, level, FILTER_INET);
		expect(&cell, abstract, "ENOSYS");
		for (size_t i = 0; i < G_N_ELEMENTS(domains); i++) {
			g_autofree char *words = g_strdup_printf("call %d %d %d %d", SYS_socket,
								 domains[i], SOCK_RAW,
								 NETLINK_NETFILTER);
			expect(&cell, words, "ENOSYS");
		}
		for (size_t i = 0; i < G_N_ELEMENTS(pairs); i++) {
			g_autofree char *words = g_strdup_printf("call %d %d %d 0", SYS_socketpair,
								 AF_UNIX, pairs[i].type);
			expect(&cell, words, pairs[i].what);
		}
		cell.features |= FILTER_UNIX_TOO;
		expect(&cell, "unix sock", "done");
		expect(&cell, dgram, "ENOSYS");
		cell_finish(&cell);
	}
	cell_init(&cell, SANDBOX_STRICT, FILTER_VSOCK);
	expect(&cell, abstract, "ENOSYS");
	cell_finish(&cell);
}

static void test_networks(void)
{
	g_autofree char *name = g_strdup_printf("@mpqemu-test-%d", getpid());
	g_autofree char *abstract = g_strdup_printf("unix %s", name), *tcp = NULL;
	autofd sock_fd = listen_unix("sock2"), abstract_fd = listen_unix(name), tcp_fd = -1;
	struct cell cell;
	int port;

	g_assert_cmpint(sock_fd, >=, 0);
	g_assert_cmpint(abstract_fd, >=, 0);
	tcp_fd = listen_tcp(&port);
	tcp = g_strdup_printf("tcp %d", port);
	g_assert_cmpint(g_rename("sock2", "sock"), ==, 0);

	/* a server on a UNIX socket: that one */
	cell_init(&cell, SANDBOX_STRICT, FILTER_UNIX);
	expect(&cell, "unix sock", "done");
	expect(&cell, "unix run/nothing", "ENOENT");
	expect(&cell, abstract, "ECONNREFUSED");
	expect(&cell, tcp, FORBIDDEN);
	cell_finish(&cell);
	/* a server on the network */
	cell_init(&cell, SANDBOX_STRICT, FILTER_INET);
	expect(&cell, tcp, "done");
	expect(&cell, "resolve localhost", "done");
	cell_finish(&cell);
	test_network_sockets(abstract);
	if (sandbox_landlock_abi() < 6)
		return;
	cell_init(&cell, SANDBOX_SECCOMP_ONLY, FILTER_UNIX);
	expect(&cell, abstract, "EPERM");
	expect(&cell, tcp, FORBIDDEN);
	cell_finish(&cell);
}

/* ---- System calls ---- */

/* Each row at which a daemon dies. */
static void test_fatal(void)
{
	struct filter_env env = { .features = FILTER_OFFLINE };
	struct cell cell;

	cell_init(&cell, SANDBOX_STRICT, FILTER_OFFLINE);
	for (size_t i = 0; i < filter_storage_fatal.count; i++) {
		const struct filter_rule *rule = &filter_storage_fatal.rule[i];
		/* an int with bits that the kernel does not see */
		uint64_t value = rule->arg[0].value | 1ULL << 32;
		g_autofree char *words = g_strdup_printf("call %d 17 %#lx 17 17", rule->nr,
							 rule->arg[0].op == FILTER_LOW ? value :
							 17);

		if (rule->nr < 0 || !filter_rule_active(rule, &env))
			continue;
		expect(&cell, words, FORBIDDEN);
	}
	cell_finish(&cell);
}

static bool names(const struct filter_table *table, int nr)
{
	for (size_t i = 0; i < table->count; i++)
		if (table->rule[i].nr == nr)
			return true;
	return false;
}

/* Instructions of the kernel's own probes on x86-64: no filter sees them, and they kill. */
#define URETPROBE 335
#define UPROBE 336

/* All that neither table names is as in a kernel without it. */
static void test_missing(void)
{
	g_autoptr(GString) words = g_string_new("missing");
	struct cell cell;

	for (int nr = 0; nr < 512; nr++)
		if (!names(&filter_storage, nr) && !names(&filter_storage_fatal, nr) &&
		    nr != URETPROBE && nr != UPROBE)
			g_string_append_printf(words, " %d", nr);
	cell_init(&cell, SANDBOX_STRICT, FILTER_OFFLINE);
	expect(&cell, words->str, "no other");
	cell_finish(&cell);
}

/* Where a table looks at arguments. */
static void test_arguments(void)
{
	const struct {
		int nr;
		uint64_t arg[4];
		const char *what;
	} rows[] = {
		{ SYS_clone, { SIGCHLD }, FORBIDDEN },
		{ SYS_clone, { CLONE_VM | CLONE_VFORK | SIGCHLD }, FORBIDDEN },
		{ SYS_clone, { CLONE_NEWUSER | SIGCHLD }, FORBIDDEN },
		{ SYS_clone, { CLONE_THREAD | CLONE_NEWNET }, "ENOSYS" },
		{ SYS_clone3, { 0 }, "ENOSYS" },
		{ SYS_fcntl, { 3, F_SETOWN, 1 }, "ENOSYS" },
		{ SYS_fcntl, { 3, F_SETOWN | 1L << 32, 1 }, "ENOSYS" },
		{ SYS_fcntl, { 3, F_SETOWN_EX, 0 }, "ENOSYS" },
		{ SYS_fcntl, { 3, F_SETSIG, SIGKILL }, "ENOSYS" },
		{ SYS_fcntl, { 3, F_SETLEASE, F_RDLCK }, "ENOSYS" },
		{ SYS_fcntl, { 3, F_NOTIFY, 0 }, "ENOSYS" },
		{ SYS_fcntl, { 3, F_SETFL, O_ASYNC }, "ENOSYS" },
		{ SYS_fcntl, { 3, F_SETFL, O_NONBLOCK }, "done" },
		{ SYS_ioctl, { 3, FIOASYNC, 0 }, FORBIDDEN },
		{ SYS_ioctl, { 3, FIONBIO | 1L << 32, 0 }, "EFAULT" },
		{ SYS_tgkill, { 2, 2, 0 }, "ENOSYS" },
		{ SYS_kill, { 1, 0 }, "ENOSYS" },
		{ SYS_tkill, { 1, 0 }, "ENOSYS" },
		{ SYS_prctl, { PR_SET_DUMPABLE, 1 }, "ENOSYS" },
		{ SYS_prctl, { PR_SET_PDEATHSIG, 0 }, "ENOSYS" },
		{ SYS_prlimit64, { 2, 7, 0, 0 }, "ENOSYS" },
		{ SYS_mmap, { 0, 4096, 7, 0x22 }, "ENOSYS" },
		{ SYS_io_uring_setup, { 1, 0 }, "ENOSYS" },
		{ SYS_memfd_create, { 0, 0 }, "ENOSYS" },
		{ SYS_seccomp, { 1, 0, 0 }, "ENOSYS" },
	};
	struct cell cell;

	cell_init(&cell, SANDBOX_STRICT, FILTER_OFFLINE);
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *words = g_strdup_printf("call %d %#lx %#lx %#lx %#lx 0 0",
							 rows[i].nr, rows[i].arg[0],
							 rows[i].arg[1], rows[i].arg[2],
							 rows[i].arg[3]);
		expect(&cell, words, rows[i].what);
	}
	expect(&cell, "code", "ENOSYS");
	expect(&cell, "thread", "done");
	expect(&cell, "self", "done");
	expect(&cell, "foreign", FORBIDDEN);
	cell_finish(&cell);
}

/* Nothing that it can write to can come back as code. */
static void test_data_as_code(void)
{
	struct cell cell;

	for (unsigned level = SANDBOX_STRICT; level < SANDBOX_OFF; level++) {
		cell_init(&cell, level, FILTER_OFFLINE);
		expect(&cell, "map", "none");
		/* images: where there is a mount of their own */
		if (level == SANDBOX_STRICT || (level == SANDBOX_CONTAINER && is_root()))
			expect(&cell, "map image", "EPERM");
		cell_finish(&cell);
	}
}

/* Who says more than is kept is not held up. */
static void test_talkative(void)
{
	g_autoptr(GError) error = NULL;
	struct storage *s = NULL;
	struct cell cell;

	cell_init(&cell, SANDBOX_STRICT, FILTER_OFFLINE);
	g_assert_true(start(&cell, "talk", true, &s, &error));
	storage_stop(s);
	cell_finish(&cell);
}

/* ---- Rights ---- */

static void test_rights(void)
{
	struct cell cell;

	g_setenv("INMATE_SECRET", "x", true);
	for (unsigned level = SANDBOX_STRICT; level < SANDBOX_OFF; level++) {
		cell_init(&cell, level, FILTER_OFFLINE);
		/* CAP_DAC_OVERRIDE is number 1: root's images of other users */
		expect(&cell, "rights", is_root() ? "2 0" : "0 0");
		if (level == SANDBOX_STRICT)
			expect(&cell, "status", "pid 1, preload (null), secret (null), "
			       "fds 0 1 2 3");
		cell_finish(&cell);
	}
	g_unsetenv("INMATE_SECRET");
}

static void test_limits(void)
{
	g_autofree char *local = NULL, *network = NULL;
	struct rlimit fds;
	struct cell cell;

	g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &fds), ==, 0);
	local = g_strdup_printf("0 %lu", MIN(fds.rlim_max, 4096));
	network = g_strdup_printf("0 %lu", fds.rlim_max);
	for (unsigned level = SANDBOX_STRICT; level < SANDBOX_OFF; level++) {
		cell_init(&cell, level, FILTER_OFFLINE);
		expect(&cell, "limits", local);
		cell.features = FILTER_INET;
		expect(&cell, "limits", network);
		cell_finish(&cell);
	}
}

/* ---- Life and death ---- */

/* A program that does not load the module serves nobody. */
static void test_no_filter(void)
{
	g_autoptr(GError) error = NULL;
	struct storage *s = NULL;
	struct cell cell;

	cell_init(&cell, SANDBOX_STRICT, FILTER_OFFLINE);
	g_assert_true(start(&cell, "greet", true, &s, &error));
	storage_stop(s);
	g_assert_false(start(&cell, "greet", false, &s, &error));
	g_assert_nonnull(strstr(error->message, "runs without a system-call filter"));
	g_assert_cmpint(waitpid(-1, NULL, WNOHANG), ==, -1);
	cell_finish(&cell);
}

/* A filter of those who started us, which a daemon inherits, is none of its own. */
static void test_outer_filter(void)
{
	static struct sock_filter code[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
	static const struct sock_fprog program = { .len = 1, .filter = code };
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		g_autoptr(GError) error = NULL;
		struct storage *s = NULL;
		struct cell cell;

		g_assert_cmpint(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), ==, 0);
		g_assert_cmpint(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), ==, 0);
		cell_init(&cell, SANDBOX_STRICT, FILTER_OFFLINE);
		g_assert_false(start(&cell, "greet", false, &s, &error));
		g_assert_nonnull(strstr(error->message, "runs without a system-call filter"));
		g_clear_error(&error);
		g_assert_true(start(&cell, "greet", true, &s, &error));
		storage_stop(s);
		_exit(0);
	}
	g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
	g_assert_cmpint(status, ==, 0);
}

/* What /proc says of it and of us. */
static void test_status(void)
{
	static const struct {
		const char *own, *its;
		bool filtered;
	} rows[] = {
		{ "x\nSeccomp:\t0\nSeccomp_filters:\t0\n", "x\nSeccomp:\t2\nSeccomp_filters:\t2\n",
		  true },
		{ "x\nSeccomp:\t0\nSeccomp_filters:\t0\n", "x\nSeccomp:\t2\nSeccomp_filters:\t1\n",
		  false },
		{ "x\nSeccomp:\t2\nSeccomp_filters:\t1\n", "x\nSeccomp:\t2\nSeccomp_filters:\t2\n",
		  false },
		{ "x\nSeccomp:\t2\nSeccomp_filters:\t1\n", "x\nSeccomp:\t2\nSeccomp_filters:\t3\n",
		  true },
		{ "x\nSeccomp:\t0\nSeccomp_filters:\t0\n", "x\nSeccomp:\t0\nSeccomp_filters:\t2\n",
		  false },
		/* before Linux 5.10 */
		{ "x\nSeccomp:\t0\n", "x\nSeccomp:\t2\n", true },
		{ "x\nSeccomp:\t2\n", "x\nSeccomp:\t2\n", false },
		/* without seccomp, or nothing to read */
		{ "x\n", "x\n", false },
		{ "", "x\nSeccomp:\t2\n", false },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		g_assert_cmpint(sandbox_status_filtered(rows[i].own, rows[i].its), ==,
				rows[i].filtered);
}

/* The keeper dies: so does what has no handler of its own, though it is the first of its pids. */
static void test_keeper_killed(void)
{
	int ready[2], status;
	char byte;
	pid_t pid;

	g_assert_cmpint(prctl(PR_SET_CHILD_SUBREAPER, 1), ==, 0);
	g_assert_cmpint(pipe(ready), ==, 0);
	pid = fork();
	if (pid == 0) {
		g_autoptr(GError) error = NULL;
		struct storage *s = NULL;
		struct cell cell;

		cell_init(&cell, SANDBOX_STRICT, FILTER_OFFLINE);
		if (!start(&cell, "greet", true, &s, &error) || write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	g_assert_cmpint(fd_read_all(ready[0], &byte, 1), ==, 0);
	kill(pid, SIGKILL);
	g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
	/* the orphan is ours now; the guard against hanging is the test's time-out */
	g_assert_cmpint(waitpid(-1, &status, 0), >, 0);
	g_assert_true(WIFEXITED(status));
	g_assert_cmpint(WEXITSTATUS(status), ==, 128 + SIGTERM);
	g_assert_cmpint(prctl(PR_SET_CHILD_SUBREAPER, 0), ==, 0);
	close(ready[0]);
	close(ready[1]);
}

/* ---- All of them ---- */

static void test_impossible(void)
{
	g_test_skip("no user namespaces, no pidfd_open (valgrind 3.19), or the build cannot be "
		    "read by this user");
}

/* Can this user have what the tests are about? */
static bool possible(void)
{
	autofd fd = syscall(SYS_pidfd_open, getpid(), 0);
	int status = 0;
	pid_t pid;

	if (fd < 0 || access(inmate, X_OK) < 0 || access(g_getenv(SANDBOX_PRELOAD_ENV), R_OK) < 0)
		return false;
	pid = fork();
	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0);
	waitpid(pid, &status, 0);
	return status == 0;
}

static void become_nobody(void)
{
	if (!is_root())
		return;
	g_assert_cmpint(setgroups(0, NULL), ==, 0);
	g_assert_cmpint(setresgid(NOBODY, NOBODY, NOBODY), ==, 0);
	g_assert_cmpint(setresuid(NOBODY, NOBODY, NOBODY), ==, 0);
	/* As after an execve(): the files of our children in /proc are ours. */
	g_assert_cmpint(prctl(PR_SET_DUMPABLE, 1), ==, 0);
}

static void add_tests(bool nobody)
{
	g_test_add_func("/jail/files/strict", test_files_strict);
	g_test_add_func("/jail/files/landlock", test_files_landlock);
	g_test_add_func("/jail/files/container", test_files_container);
	g_test_add_func("/jail/files/no-rule", test_files_no_rule);
	if (!nobody)
		g_test_add_func("/jail/device", test_device);
	g_test_add_func("/jail/offline", test_offline);
	g_test_add_func("/jail/networks", test_networks);
	g_test_add_func("/jail/calls/fatal", test_fatal);
	g_test_add_func("/jail/calls/missing", test_missing);
	g_test_add_func("/jail/calls/arguments", test_arguments);
	g_test_add_func("/jail/calls/data-as-code", test_data_as_code);
	g_test_add_func("/jail/talkative", test_talkative);
	g_test_add_func("/jail/rights", test_rights);
	g_test_add_func("/jail/limits", test_limits);
	g_test_add_func("/jail/no-filter", test_no_filter);
	g_test_add_func("/jail/no-filter/outer", test_outer_filter);
	g_test_add_func("/jail/no-filter/status", test_status);
	g_test_add_func("/jail/keeper-killed", test_keeper_killed);
	add_path_tests();
}

int main(int argc, char **argv)
{
	g_autofree char *run = NULL, *remove = NULL;
	bool nobody;
	int ret;

	g_test_init(&argc, &argv, NULL);
	nobody = argc > 1 && !strcmp(argv[1], "nobody");
	if (nobody)
		become_nobody();
	inmate = g_strdup(g_getenv("MPQEMU_INMATE"));
	dir = g_dir_make_tmp("test-jail-XXXXXX", NULL);
	g_assert_cmpint(chdir(dir), ==, 0);
	run = g_build_filename(dir, "run", NULL);
	g_assert_cmpint(g_mkdir(run, 0700), ==, 0);
	g_setenv("XDG_RUNTIME_DIR", run, true);
	g_assert_true(g_file_set_contents("image", "x", 1, NULL) &&
		      g_file_set_contents("base", "x", 1, NULL) &&
		      g_file_set_contents("sock", "", 0, NULL) &&
		      g_file_set_contents("other", "x", 1, NULL));
	if (possible())
		add_tests(nobody);
	else
		g_test_add_func("/jail/impossible", test_impossible);
	ret = g_test_run();
	g_assert_cmpint(chdir("/"), ==, 0);
	remove = g_strdup_printf("rm -rf %s", dir);
	g_assert_true(g_spawn_command_line_sync(remove, NULL, NULL, NULL, NULL));
	g_free(dir);
	g_free(inmate);
	return ret;
}
