/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sandbox/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Values that stand for what only the process knows. */
enum symbol {
	SYM_NONE, SYM_PEER, SYM_IMAGE, SYM_CONTROL, SYM_RECEIVED, SYM_ARENA, SYM_PATH, SYM_TEXT,
	SYM_FD_MESSAGE,
};

struct attempt {
	const char *name;
	int nr;
	uint64_t arg[FILTER_MAX_ARGS];
	uint8_t symbol[FILTER_MAX_ARGS];	/* enum symbol: in place of arg[i] */
	bool killed;				/* by the kernel at once: another table of calls */
	bool foreign;				/* by the 32-bit entry */
	unsigned unless;			/* of enum filter_feature: then a row allows it */
};

#define CALL(name) SCMP_SYS(name)
#define RWX (PROT_READ | PROT_WRITE | PROT_EXEC)

/* One row an attack; the words say what a person would call it. */
static const struct attempt attempts[] = {
	{ "open a file", CALL(openat), { AT_FDCWD, 0, O_RDONLY }, { 0, SYM_PATH } },
	{ "open a file, old call", CALL(open), { 0, O_RDONLY }, { SYM_PATH } },
	{ "open a file, openat2", CALL(openat2), { AT_FDCWD, 0, 0, 24 },
	  { 0, SYM_PATH, SYM_TEXT } },
	{ "make a TCP socket", CALL(socket), { AF_INET, SOCK_STREAM, 0 }, { 0 } },
	{ "make a UNIX socket", CALL(socket), { AF_UNIX, SOCK_STREAM, 0 }, { 0 } },
	{ "make a socket pair", CALL(socketpair), { AF_UNIX, SOCK_STREAM, 0 }, { [3] = SYM_TEXT } },
	{ "connect", CALL(connect), { 0, 0, 16 }, { SYM_PEER, SYM_TEXT } },
	{ "bind", CALL(bind), { 0, 0, 16 }, { SYM_PEER, SYM_TEXT } },
	{ "accept", CALL(accept4), { 0 }, { SYM_PEER } },
	{ "run a program", CALL(execve), { 0 }, { SYM_PATH } },
	{ "run a program by its fd", CALL(execveat), { 0, 0, 0, 0, AT_EMPTY_PATH },
	  { SYM_IMAGE, SYM_TEXT } },
	{ "fork", CALL(fork), { 0 }, { 0 } },
	{ "vfork", CALL(vfork), { 0 }, { 0 } },
	{ "clone", CALL(clone), { SIGCHLD }, { 0 } },
	{ "clone3", CALL(clone3), { 0, 64 }, { SYM_TEXT } },
	{ "new user namespace", CALL(unshare), { CLONE_NEWUSER }, { 0 } },
	{ "ptrace another process", CALL(ptrace), { PTRACE_ATTACH, 1 }, { 0 } },
	{ "read another process's memory", CALL(process_vm_readv), { 1, 0, 1, 0, 1 },
	  { 0, SYM_TEXT, 0, SYM_TEXT } },
	{ "write another process's memory", CALL(process_vm_writev), { 1, 0, 1, 0, 1 },
	  { 0, SYM_TEXT, 0, SYM_TEXT } },
	{ "take an fd of another process", CALL(pidfd_getfd), { 0, 0 }, { 0 } },
	{ "open a pidfd", CALL(pidfd_open), { 1, 0 }, { 0 } },
	{ "kill another process", CALL(kill), { 1, SIGKILL }, { 0 } },
	{ "signal a thread", CALL(tgkill), { 1, 1, SIGTERM }, { 0 } },
	{ "make memory executable", CALL(mprotect), { 0, 4096, RWX }, { SYM_ARENA } },
	{ "map executable memory", CALL(mmap),
	  { 0, 4096, RWX, MAP_PRIVATE | MAP_ANONYMOUS, UINT64_MAX, 0 }, { 0 } },
	{ "map executable memory in the arena", CALL(mmap),
	  { 0, 4096, RWX, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, UINT64_MAX, 0 },
	  { SYM_ARENA } },
	{ "map an image", CALL(mmap),
	  { 0, 4096, PROT_READ, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, 0, 0 },
	  { SYM_ARENA, [4] = SYM_IMAGE } },
	{ "map memory outside the arena", CALL(mmap),
	  { 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, UINT64_MAX, 0 }, { 0 },
	  .unless = FILTER_SETUP },
	{ "map over the stack", CALL(mmap),
	  { 0, 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, UINT64_MAX, 0 },
	  { SYM_TEXT } },
	{ "unmap", CALL(munmap), { 0, 4096 }, { SYM_ARENA }, .unless = FILTER_SETUP },
	{ "move a mapping", CALL(mremap), { 0, 4096, 8192, MREMAP_MAYMOVE }, { SYM_ARENA } },
	{ "advise memory", CALL(madvise), { 0, 4096, MADV_DONTNEED }, { SYM_ARENA } },
	{ "grow the heap", CALL(brk), { 0 }, { 0 }, .unless = FILTER_SETUP },
	{ "make an io_uring", CALL(io_uring_setup), { 8 }, { 0, SYM_TEXT } },
	{ "enter an io_uring", CALL(io_uring_enter), { 0, 1, 0 }, { SYM_RECEIVED } },
	{ "watch page faults", CALL(userfaultfd), { O_CLOEXEC }, { 0 } },
	{ "load a BPF program", CALL(bpf), { 5, 0, 48 }, { 0, SYM_TEXT } },
	{ "open a performance counter", CALL(perf_event_open), { 0, 0, UINT64_MAX, UINT64_MAX, 0 },
	  { SYM_TEXT } },
	{ "send an fd to the peer", CALL(sendmsg), { 0, 0, MSG_DONTWAIT },
	  { SYM_PEER, SYM_FD_MESSAGE } },
	{ "send an fd to the keeper", CALL(sendmsg), { 0, 0, MSG_DONTWAIT },
	  { SYM_CONTROL, SYM_FD_MESSAGE } },
	{ "send fds, several messages", CALL(sendmmsg), { 0, 0, 1, 0 },
	  { SYM_PEER, SYM_FD_MESSAGE } },
	{ "write to stdout", CALL(write), { STDOUT_FILENO, 0, 1 }, { 0, SYM_TEXT } },
	{ "write to an image by write", CALL(write), { 0, 0, 8 }, { SYM_IMAGE, SYM_TEXT } },
	{ "write to a peer by write", CALL(write), { 0, 0, 8 }, { SYM_PEER, SYM_TEXT } },
	{ "write several buffers", CALL(writev), { 0, 0, 1 }, { SYM_IMAGE, SYM_TEXT } },
	{ "copy an fd", CALL(dup), { 0 }, { SYM_IMAGE } },
	{ "copy an fd over another", CALL(dup2), { 0, STDOUT_FILENO }, { SYM_IMAGE } },
	{ "copy an fd, dup3", CALL(dup3), { 0, 190, O_CLOEXEC }, { SYM_IMAGE } },
	{ "copy an fd, fcntl", CALL(fcntl), { 0, F_DUPFD, 0 }, { SYM_IMAGE } },
	{ "change an fd's flags", CALL(fcntl), { 0, F_SETFL, O_NONBLOCK }, { SYM_RECEIVED } },
	{ "close an image", CALL(close), { 0 }, { SYM_IMAGE } },
	{ "close the keeper's channel", CALL(close), { 0 }, { SYM_CONTROL } },
	{ "close all", CALL(close_range), { 0, UINT32_MAX, 0 }, { 0 } },
	{ "copy an image to the peer", CALL(sendfile), { 0, 0, 0, 4096 }, { SYM_PEER, SYM_IMAGE } },
	{ "splice", CALL(splice), { 0, 0, 0, 0, 4096, 0 }, { SYM_IMAGE, 0, SYM_PEER } },
	{ "truncate an image", CALL(ftruncate), { 0, 0 }, { SYM_IMAGE } },
	{ "lose an image's lock", CALL(flock), { 0, 8 }, { SYM_IMAGE } },
	{ "make an anonymous file", CALL(memfd_create), { 0, 0 }, { SYM_TEXT } },
	{ "make a pipe", CALL(pipe2), { 0, 0 }, { SYM_TEXT } },
	{ "make an eventfd", CALL(eventfd2), { 0, 0 }, { 0 } },
	{ "stat a path", CALL(newfstatat), { AT_FDCWD, 0, 0, 0 }, { 0, SYM_PATH, SYM_TEXT } },
	{ "mount", CALL(mount), { 0, 0, 0, 0, 0 }, { SYM_TEXT, SYM_PATH, SYM_TEXT } },
	{ "change the root", CALL(chroot), { 0 }, { SYM_PATH } },
	{ "change the process", CALL(prctl), { PR_SET_DUMPABLE, 1 }, { 0 } },
	{ "another filter", CALL(seccomp), { 1, 0, 0 }, { 0 }, .unless = FILTER_SETUP },
	{ "unblock or block signals", CALL(rt_sigprocmask), { SIG_BLOCK, 0, 0, 8 },
	  { 0, SYM_TEXT } },
	{ "handle a signal", CALL(rt_sigaction), { SIGSYS, 0, 0, 8 }, { 0 },
	  .unless = FILTER_SETUP },
	{ "change limits", CALL(prlimit64), { 0, 7, 0, 0 }, { 0, 0, SYM_TEXT },
	  .unless = FILTER_SETUP },
	{ "become root", CALL(setuid), { 0 }, { 0 } },
	{ "set the clock", CALL(clock_settime), { 0 }, { 0, SYM_TEXT } },
	{ "use a key ring", CALL(keyctl), { 0, 0 }, { 0 } },
	{ "no such call", 9999, { 0 }, { 0 } },
#ifdef __x86_64__
	{ "the x32 entry", 0x40000000 | 39, { 0 }, { 0 }, true },
	{ "the 32-bit entry", 20, { 0 }, { 0 }, true, true },
#endif
};

#define ATTEMPTS (sizeof(attempts) / sizeof(attempts[0]))

/* ---- What the symbols stand for ---- */

static const char text[] = "probe";
static const char path[] = "/etc/passwd";

static uint64_t symbol_value(const struct filter_env *env, enum symbol symbol)
{
	switch (symbol) {
	case SYM_PEER:
		return env->set[FILTER_PEER].base;
	case SYM_IMAGE:
		return env->set[FILTER_IMAGE].base;
	case SYM_CONTROL:
		return env->set[FILTER_CONTROL].base;
	case SYM_RECEIVED:
		return env->set[FILTER_RECEIVED].base;
	case SYM_ARENA:
		return env->set[FILTER_ARENA].base;
	case SYM_PATH:
		return (uintptr_t)path;
	case SYM_TEXT:
		return (uintptr_t)text;
	case SYM_FD_MESSAGE:	/* made by probe_make() */
	case SYM_NONE:
		break;
	}
	return 0;
}

static void from_attempt(const struct attempt *a, const struct filter_env *env,
			 struct probe *ret_probe)
{
	*ret_probe = (struct probe){
		.kind = PROBE_HOSTILE, .name = a->name, .nr = a->nr,
		.killed = a->killed, .foreign = a->foreign,
	};
	for (unsigned i = 0; i < FILTER_MAX_ARGS; i++) {
		ret_probe->arg[i] = a->symbol[i] ? symbol_value(env, a->symbol[i]) : a->arg[i];
		ret_probe->fd_message |= a->symbol[i] == SYM_FD_MESSAGE;
	}
}

/* ---- Rows ---- */

/* A value inside the limit. */
static uint64_t inside(const struct filter_arg *arg, const struct filter_env *env)
{
	if (arg->op == FILTER_IN)
		return env->set[arg->value].base;
	return arg->op == FILTER_EQ ? arg->value : 0;
}

#define OUTSIDE_COUNT 6

/* Values that are outside, as far as no other row of the call allows them. */
static uint64_t outside(const struct filter_arg *arg, const struct filter_env *env, unsigned i)
{
	const struct filter_set *set = &env->set[arg->value % FILTER_SET_COUNT];
	uint64_t base = arg->op == FILTER_IN ? set->base : arg->op == FILTER_LENGTH ?
			env->arena_size : arg->value;
	uint64_t span = arg->op == FILTER_IN ? ~set->mask + 1 : 1;
	const uint64_t value[OUTSIDE_COUNT] = {
		base - 1,			/* just below */
		base + span,			/* just above */
		base | 1ULL << 32,		/* in the half that the call may not look at */
		base | 1ULL << 63,
		arg->op == FILTER_EQ ? ~arg->value : UINT64_MAX,
		arg->op == FILTER_BITS ? arg->value << 1 : base ^ (span << 1),
	};

	return value[i];
}

static void from_rule(const struct filter_rule *rule, const struct filter_env *env,
		      struct probe *ret_probe)
{
	*ret_probe = (struct probe){
		.kind = PROBE_ALLOWED, .name = rule->call, .rule = rule, .nr = rule->nr,
	};
	for (unsigned i = 0; i < FILTER_MAX_ARGS && rule->arg[i].op; i++)
		ret_probe->arg[rule->arg[i].index] = inside(&rule->arg[i], env);
}

/* These do not return, or not here: every run shows that they are allowed. */
static bool returns(const struct filter_rule *rule)
{
	return rule->nr != CALL(exit_group) && rule->nr != CALL(rt_sigreturn);
}

/*
 * Counts *index down through the row's probes: its own form, then the values outside each limit
 * that are refused.  True when it is one of these.
 */
static bool from_row(const struct filter_table *table, const struct filter_env *env,
		     const struct filter_rule *rule, unsigned *index, struct probe *ret_probe)
{
	struct probe form;

	from_rule(rule, env, &form);
	if (returns(rule) && !(*index)--) {
		*ret_probe = form;
		return true;
	}
	for (unsigned i = 0; i < FILTER_MAX_ARGS && rule->arg[i].op; i++) {
		const struct filter_arg *arg = &rule->arg[i];

		for (unsigned k = 0; k < OUTSIDE_COUNT; k++) {
			struct probe p = form;

			p.arg[arg->index] = outside(arg, env, k);
			if (filter_allows(table, env, p.nr, p.arg) || (*index)--)
				continue;
			p.kind = PROBE_CHANGED;
			p.changed = arg;
			*ret_probe = p;
			return true;
		}
	}
	return false;
}

bool probe_get(const struct filter_table *table, const struct filter_env *env, unsigned index,
	       struct probe *ret_probe)
{
	for (size_t i = 0; i < table->count; i++)
		if (filter_rule_active(&table->rule[i], env) &&
		    from_row(table, env, &table->rule[i], &index, ret_probe))
			return true;
	for (size_t i = 0; i < ATTEMPTS; i++) {
		if ((attempts[i].unless & env->features) || index--)
			continue;
		from_attempt(&attempts[i], env, ret_probe);
		return true;
	}
	return false;
}

bool probe_as_expected(const struct probe *probe, int status, const char *said, int trapped)
{
	char line[64];

	if (probe->kind == PROBE_ALLOWED)
		return WIFEXITED(status) && WEXITSTATUS(status) == PROBE_RETURNED;
	if (probe->killed)
		return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
	snprintf(line, sizeof(line), ": forbidden system call %d\n", probe->nr);
	return WIFEXITED(status) && WEXITSTATUS(status) == trapped && strstr(said, line);
}

/* ---- The call ---- */

#ifdef __x86_64__
static long foreign_call(int nr)
{
	long ret;

	__asm__ volatile("int $0x80" : "=a"(ret) : "a"((long)nr) : "memory", "r8", "r9", "r10",
			 "r11");
	return ret;
}
#else
static long foreign_call(int nr)
{
	return -ENOSYS;
}
#endif

long probe_make(const struct probe *probe)
{
	/* A message that carries the fd of stdin. */
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr head;
	} control = {
		.head = {
			.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
		},
	};
	struct iovec iov = { .iov_base = &control, .iov_len = 1 };
	struct mmsghdr message = {
		.msg_hdr = {
			.msg_iov = &iov, .msg_iovlen = 1,
			.msg_control = &control, .msg_controllen = sizeof(control),
		},
	};
	long ret;

	if (probe->foreign)
		return foreign_call(probe->nr);
	ret = syscall(probe->nr, probe->arg[0],
		      probe->fd_message ? (uintptr_t)&message : probe->arg[1], probe->arg[2],
		      probe->arg[3], probe->arg[4], probe->arg[5]);
	return ret < 0 ? -errno : ret;
}
