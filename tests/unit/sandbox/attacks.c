/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Attacks, each in a child under the filter: on the keeper's table by a list of its own, on the
 * device's by the probes of --sandbox-report.  And the test of the test: with a table of one row
 * too many, the judge must name what that row lets through, and nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/probe.h"
#include "sandbox/trap.h"

#include "box.h"
#include "../util.h"

struct try {
	const struct filter_table *table;
	struct filter_env env;
	const struct probe *probe;
};

static void body_probe(const void *opaque)
{
	const struct try *t = opaque;

	box_must(sandbox_trap_install(TRAPPED));
	box_must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	box_must(filter_load(t->table, &t->env));
	probe_make(t->probe);
	_exit(PROBE_RETURNED);
}

static bool as_expected(struct try *t, const struct probe *probe)
{
	struct ending e;

	t->probe = probe;
	e = box_run(body_probe, t);
	return probe_as_expected(probe, e.status, e.said, TRAPPED);
}

/* ---- The device's table ---- */

static void test_device(void)
{
	static const unsigned features[] = { FILTER_RAW, FILTER_NBD, FILTER_NBD | FILTER_SETUP,
					     FILTER_LISTEN, FILTER_RECOVER };
	unsigned count[PROBE_HOSTILE + 1] = { 0 };

	if (box_no_filter())
		return;
	for (unsigned i = 0; i < G_N_ELEMENTS(features); i++) {
		struct try t = { .table = &filter_device, .env = box_env(features[i]) };
		struct probe p;

		for (unsigned k = 0; probe_get(&filter_device, &t.env, k, &p); k++) {
			g_test_message("%s, argument %s", p.name,
				       p.changed ? p.changed->name : "-");
			g_assert_true(as_expected(&t, &p));
			count[p.kind]++;
		}
	}
	g_assert_cmpuint(count[PROBE_ALLOWED], >, 40);
	g_assert_cmpuint(count[PROBE_CHANGED], >, 400);
	g_assert_cmpuint(count[PROBE_HOSTILE], >, 100);
}

/* ---- A row too many ---- */

#define ROW(call) SYS_##call, #call
#define ANYTHING { { 0 } }, "a mistake"

static const struct mistake {
	struct filter_rule row;
	const char *caught;		/* an attack that gets through */
} mistakes[] = {
	{ { ROW(openat), 0, ANYTHING }, "open a file" },
	{ { ROW(socket), 0, ANYTHING }, "make a TCP socket" },
	{ { ROW(sendmsg), 0, ANYTHING }, "send an fd to the peer" },
	{ { ROW(mprotect), 0, ANYTHING }, "make memory executable" },
	{ { ROW(mmap), 0, ANYTHING }, "map executable memory" },
	{ { ROW(write), 0, ANYTHING }, "write to stdout" },
	{ { ROW(pwrite64), 0, ANYTHING }, "pwrite64" },
	{ { ROW(getpid), 0, ANYTHING }, NULL },		/* nothing that anybody tries */
	/* A limit that is too wide by one number. */
	{ { ROW(pread64), FILTER_RAW, { { 0, FILTER_EQ, "fd", 31 } }, "a mistake" }, "pread64" },
	{ { ROW(lseek), FILTER_RAW, { { 2, FILTER_EQ, "whence", SEEK_DATA } }, "a mistake" },
	  "lseek" },
};

static GArray *with_row(const struct filter_table *table, const struct filter_rule *row)
{
	GArray *rows = g_array_new(false, false, sizeof(*row));

	g_array_append_vals(rows, table->rule, table->count);
	g_array_append_vals(rows, row, 1);
	return rows;
}

static void check_mistake(const struct mistake *m)
{
	GArray *rows = with_row(&filter_device, &m->row);
	const struct filter_table wrong = { &g_array_index(rows, struct filter_rule, 0),
					    rows->len };
	struct try t = { .table = &wrong, .env = box_env(FILTER_RAW) };
	unsigned caught = 0;
	struct probe p;

	for (unsigned k = 0; probe_get(&filter_device, &t.env, k, &p); k++) {
		if (p.kind != PROBE_HOSTILE && p.nr != m->row.nr)
			continue;
		if (as_expected(&t, &p))
			continue;
		g_test_message("%s: caught by: %s", m->row.call, p.name);
		g_assert_cmpint(p.nr, ==, m->row.nr);
		g_assert_true(filter_allows(&wrong, &t.env, p.nr, p.arg));
		caught += m->caught && !strcmp(p.name, m->caught);
	}
	g_assert_cmpint(caught > 0, ==, m->caught != NULL);
	g_array_free(rows, true);
}

static void test_mistakes(void)
{
	if (box_no_filter())
		return;
	for (unsigned i = 0; i < G_N_ELEMENTS(mistakes); i++)
		check_mistake(&mistakes[i]);
}

/* An allowed call that the filter kills is a mistake as well. */
static void test_row_missing(void)
{
	const struct filter_table wrong = { filter_device.rule + 1, filter_device.count - 1 };
	struct try t = { .table = &wrong, .env = box_env(FILTER_RAW) };
	struct probe p;

	if (box_no_filter())
		return;
	g_assert_true(probe_get(&filter_device, &t.env, 0, &p));
	g_assert_cmpint(p.kind, ==, PROBE_ALLOWED);
	g_assert_false(as_expected(&t, &p));
}

/* ---- The keeper's table ---- */

#define EXEC (PROT_READ | PROT_WRITE | PROT_EXEC)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define AT(path) (uintptr_t)(path)

#define SEND (MSG_DONTWAIT | MSG_NOSIGNAL)

static const struct attack {
	const char *name;
	int nr;
	uint64_t arg[FILTER_MAX_ARGS];
	unsigned features;
} attacks[] = {
	{ "execve", SYS_execve, { AT("/bin/true") } },
	{ "execveat", SYS_execveat, { AT_FDCWD, AT("/bin/true") } },
	{ "fork", SYS_fork },
	{ "vfork", SYS_vfork },
	{ "clone", SYS_clone, { SIGCHLD } },
	{ "clone3", SYS_clone3, { 0, sizeof(struct clone_args) } },
	{ "new namespaces", SYS_unshare, { CLONE_NEWUSER } },
	{ "another's namespace", SYS_setns, { 3, 0 } },
	{ "TCP socket", SYS_socket, { AF_INET, SOCK_STREAM } },
	{ "UNIX socket", SYS_socket, { AF_UNIX, SOCK_STREAM } },
	{ "connect", SYS_connect, { 3, 0, 16 } },
	{ "bind", SYS_bind, { 3, 0, 16 } },
	{ "listen", SYS_listen, { 3, 1 } },
	{ "accept", SYS_accept4, { 3 } },
	{ "send to an address", SYS_sendto, { 3, 0, 0, 0, AT("x"), 16 } },
	{ "send an fd", SYS_sendmsg, { 3, 0, 0 } },
	{ "take an fd", SYS_recvmsg, { 3, 0, 0 } },
	{ "ptrace", SYS_ptrace, { PTRACE_ATTACH, 1 } },
	{ "write another's memory", SYS_process_vm_writev, { 1 } },
	{ "read another's memory", SYS_process_vm_readv, { 1 } },
	{ "another's fd", SYS_pidfd_getfd, { 3, 0 } },
	{ "open for writing", SYS_openat, { AT_FDCWD, AT("/x"), O_WRONLY | O_CLOEXEC } },
	{ "open for both", SYS_openat, { AT_FDCWD, AT("/x"), O_RDWR | O_CLOEXEC } },
	{ "create", SYS_openat, { AT_FDCWD, AT("/x"), O_RDONLY | O_CREAT | O_CLOEXEC } },
	{ "truncate by open", SYS_openat, { AT_FDCWD, AT("/x"), O_RDONLY | O_TRUNC | O_CLOEXEC } },
	{ "open, old call", SYS_open, { AT("/x"), O_RDONLY | O_CLOEXEC } },
	{ "openat2", SYS_openat2, { AT_FDCWD, AT("/x") } },
	{ "mprotect to run", SYS_mprotect, { 0, 4096, PROT_READ | PROT_EXEC } },
	{ "mmap to run", SYS_mmap, { 0, 4096, EXEC, ANON, UINT64_MAX } },
	{ "mmap to run, read only", SYS_mmap, { 0, 4096, PROT_EXEC, ANON, UINT64_MAX } },
	{ "pkey_mprotect", SYS_pkey_mprotect, { 0, 4096, EXEC, 0 } },
	{ "io_uring", SYS_io_uring_setup, { 8 } },
	{ "BPF", SYS_bpf, { 5 } },
	{ "mount", SYS_mount, { AT("x"), AT("/x") } },
	{ "new root", SYS_chroot, { AT("/x") } },
	{ "kill by pid", SYS_kill, { INT32_MAX, SIGKILL } },
	{ "kill by pid, with daemons", SYS_kill, { INT32_MAX, SIGKILL }, FILTER_DAEMON },
	{ "kill a thread", SYS_tgkill, { INT32_MAX, INT32_MAX, SIGKILL }, FILTER_DAEMON },
	{ "kill by a pidfd of its own", SYS_pidfd_send_signal, { 255, SIGKILL }, FILTER_DAEMON },
	{ "kill by a pidfd behind", SYS_pidfd_send_signal, { 512, SIGKILL }, FILTER_DAEMON },
	{ "kill by a folder", SYS_pidfd_send_signal, { 3, SIGTERM }, FILTER_DAEMON },
	{ "kill by a number that is cut", SYS_pidfd_send_signal, { 1ULL << 32 | 3, SIGKILL } },
	{ "kill the child, another signal", SYS_pidfd_send_signal, { 256, SIGSTOP } },
	{ "kill the child's group", SYS_pidfd_send_signal, { 256, SIGKILL, 0, 4 } },
	{ "kill with a lie", SYS_pidfd_send_signal, { 256, SIGKILL, AT("x") } },
	{ "end a daemon that is not there", SYS_pidfd_send_signal, { 256, SIGTERM } },
	{ "a pidfd of another", SYS_pidfd_open, { 1, 0 }, FILTER_DAEMON },
	{ "copy an fd to a number", SYS_dup3, { 3, 256, 0 }, FILTER_DAEMON },
	{ "copy an fd by fcntl", SYS_fcntl, { 3, F_DUPFD, 256 }, FILTER_DAEMON },
	{ "raise a limit", SYS_prlimit64, { 0, 7, 0, 0 }, FILTER_DAEMON },
	{ "remove a file", SYS_unlink, { AT("/nonexistent/x") } },
	{ "remove a file by unlinkat", SYS_unlinkat, { AT_FDCWD, AT("/nonexistent/x") },
	  FILTER_PIDFILE },
	{ "remove a folder", SYS_rmdir, { AT("/nonexistent/x") }, FILTER_PIDFILE },
	{ "rename", SYS_rename, { AT("/nonexistent/x"), AT("/nonexistent/y") }, FILTER_PIDFILE },
	{ "link", SYS_symlink, { AT("x"), AT("/nonexistent/y") }, FILTER_PIDFILE },
	{ "accept, address too", SYS_accept4, { 384, AT("x"), 0, SOCK_CLOEXEC }, FILTER_LISTEN },
	{ "accept elsewhere", SYS_accept4, { 3, 0, 0, SOCK_CLOEXEC }, FILTER_LISTEN },
	{ "accept behind", SYS_accept4, { 392, 0, 0, SOCK_CLOEXEC }, FILTER_LISTEN },
	{ "accept with other flags", SYS_accept4, { 384, 0, 0, SOCK_NONBLOCK }, FILTER_LISTEN },
	{ "listen, though clients come", SYS_listen, { 384, 1 }, FILTER_LISTEN },
	{ "send an fd to a client", SYS_sendmsg, { 384, 0, SEND }, FILTER_LISTEN },
	{ "send an fd with other flags", SYS_sendmsg, { 4, 0, 0 }, FILTER_LISTEN },
	{ "take an fd, though clients come", SYS_recvmsg, { 4, 0, 0 }, FILTER_LISTEN },
	{ "stat what a link names", SYS_newfstatat, { AT_FDCWD, AT("/x") }, FILTER_SOCKET_PATH },
	{ "stat an fd", SYS_newfstatat, { 3, AT(""), AT("x"), AT_EMPTY_PATH },
	  FILTER_SOCKET_PATH },
	{ "truncate", SYS_truncate, { AT("/nonexistent/x"), 0 } },
	{ "chmod", SYS_chmod, { AT("/nonexistent/x"), 0777 } },
	{ "set a key", SYS_keyctl, { 0 } },
	{ "dumpable again", SYS_prctl, { PR_SET_DUMPABLE, 1 } },
	{ "capabilities", SYS_capset, { 0, 0 } },
	{ "become root", SYS_setresuid, { 0, 0, 0 } },
	{ "another filter", SYS_seccomp, { 1, 0, 0 } },
	{ "a handler", SYS_rt_sigaction, { SIGSYS, 0, 0, 8 } },
	{ "a terminal's input", SYS_ioctl, { 0, 0x5412 } },	/* TIOCSTI */
	{ "copy an fd", SYS_dup2, { 0, 1 } },
	{ "load a module", SYS_finit_module, { 3, AT(""), 0 } },
};

static void test_keeper(void)
{
	if (box_no_filter())
		return;
	for (unsigned i = 0; i < G_N_ELEMENTS(attacks); i++) {
		const struct attack *a = &attacks[i];
		struct probe p = { .kind = PROBE_HOSTILE, .name = a->name, .nr = a->nr };
		struct try t = { .table = &filter_keeper, .env = box_env(a->features) };

		memcpy(p.arg, a->arg, sizeof(p.arg));
		g_test_message("%s", a->name);
		g_assert_true(as_expected(&t, &p));
	}
}

/* Each row's own form comes back, and each value outside its limits does not. */
static void test_keeper_rows(void)
{
	struct try t = { .table = &filter_keeper, .env = box_env(UINT32_MAX) };
	unsigned tried = 0;
	struct probe p;

	if (box_no_filter())
		return;
	for (unsigned k = 0; probe_get(&filter_keeper, &t.env, k, &p); k++) {
		/* Calls without a limit would wait, or do what we do not want. */
		if (p.kind != PROBE_CHANGED)
			continue;
		g_test_message("%s, argument %s", p.name, p.changed->name);
		g_assert_true(as_expected(&t, &p));
		tried++;
	}
	g_assert_cmpuint(tried, >, 20);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/sandbox/attacks/mistakes", test_mistakes);
	g_test_add_func("/sandbox/attacks/row-missing", test_row_missing);
	g_test_add_func("/sandbox/attacks/keeper", test_keeper);
	g_test_add_func("/sandbox/attacks/keeper-rows", test_keeper_rows);
	g_test_add_func("/sandbox/attacks/device", test_device);
	return g_test_run();
}
