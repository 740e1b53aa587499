/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The filter that the kernel runs, and filter_allows(), which the proof is made with, say the same
 * of any call.  The calls are made from one place, dry_call(); a filter below ours answers from
 * there with an error in place of the call.  So an allowed call does nothing, and a forbidden one
 * is trapped all the same: of several filters the strictest answer counts (seccomp(2)).
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "box.h"
#include "../util.h"

#define CALLS 20000
#define ALL_FEATURES UINT32_MAX
#define DRY_ERROR EXDEV

#ifdef __x86_64__
/* As syscall(2) of libc, with a name for the instruction behind. */
long dry_call(long nr, ...);
extern const char dry_return[];
__asm__(".text\n"
	".type dry_call, @function\n"
	"dry_call:\n"
	"	mov %rdi, %rax\n"
	"	mov %rsi, %rdi\n"
	"	mov %rdx, %rsi\n"
	"	mov %rcx, %rdx\n"
	"	mov %r8, %r10\n"
	"	mov %r9, %r8\n"
	"	mov 8(%rsp), %r9\n"
	"	syscall\n"
	"dry_return:\n"
	"	ret\n"
	".size dry_call, . - dry_call\n");

#define LOW(field) offsetof(struct seccomp_data, field)
#define HIGH(field) (offsetof(struct seccomp_data, field) + 4)

/* Calls from dry_call() fail, all others are allowed. */
static void load_dry(void)
{
	uint64_t at = (uintptr_t)dry_return;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, LOW(instruction_pointer)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)at, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, HIGH(instruction_pointer)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, at >> 32, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | DRY_ERROR),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = G_N_ELEMENTS(code), .filter = code };

	box_must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	box_must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

/* ---- Calls by chance, near the limits ---- */

struct call {
	int nr;
	uint64_t arg[FILTER_MAX_ARGS];
};

static uint64_t random64(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static uint64_t edge(uint64_t *state)
{
	static const uint64_t edges[] = {
		0, 1, 2, 7, 8, 15, 16, 23, 24, 63, 64, 127, 128, 191, 192, UINT32_MAX,
		1ULL << 32, 1ULL << 63, UINT64_MAX, BOX_ARENA, BOX_ARENA - 1,
		BOX_ARENA + BOX_ARENA_SIZE, BOX_ARENA_SIZE, BOX_ARENA_SIZE + 1,
	};
	uint64_t r = random64(state);

	return r & 256 ? r >> (r & 63) : edges[r % G_N_ELEMENTS(edges)];
}

static uint64_t inside(const struct filter_arg *arg, const struct filter_env *env, uint64_t r)
{
	switch (arg->op) {
	case FILTER_IN:
		return env->set[arg->value].base | (r & ~env->set[arg->value].mask);
	case FILTER_BITS:
		return r & arg->value;
	case FILTER_LENGTH:
		return r % (env->arena_size + 1);
	}
	return arg->value;
}

/* Often allowed, often wrong in one argument, by one bit or by one. */
static struct call random_call(const struct filter_table *table, const struct filter_env *env,
			       uint64_t *state)
{
	const struct filter_rule *rule = &table->rule[random64(state) % table->count];
	struct call c = { .nr = rule->nr };
	unsigned at = random64(state) % FILTER_MAX_ARGS;

	for (unsigned i = 0; i < FILTER_MAX_ARGS; i++)
		c.arg[i] = edge(state);
	for (unsigned i = 0; i < FILTER_MAX_ARGS && rule->arg[i].op; i++)
		c.arg[rule->arg[i].index] = inside(&rule->arg[i], env, random64(state));
	switch (random64(state) % 6) {
	case 0:
		c.arg[at] ^= 1ULL << random64(state) % 64;
		break;
	case 1:
		c.arg[at] += random64(state) & 1 ? 1 : -1;
		break;
	case 2:
		c.arg[at] = edge(state);
		break;
	case 3:
		c.nr = random64(state) % 480;
		break;
	}
	/* uretprobe and uprobe: no filter sees them (Linux 6.14); they are fatal but to a uprobe */
	c.nr -= c.nr == 335 || c.nr == 336 ? 10 : 0;
	return c;
}

/* ---- The kernel's answer ---- */

/* Shared with the child. */
struct agreement {
	uint64_t seed;
	unsigned allowed, forbidden, strange;
	bool differs;
	struct call call;		/* the first of which they differ */
};

struct agree {
	const struct filter_table *table;
	struct filter_env env;
	struct agreement *shared;
};

static jmp_buf back;

static void on_sigsys(int number, siginfo_t *info, void *context)
{
	_longjmp(back, 1);		/* nobody's filter has to allow a return from here */
}

static void compare(const struct agree *a, const struct call *c)
{
	struct agreement *s = a->shared;
	bool want = filter_allows(a->table, &a->env, c->nr, c->arg), trapped = true;

	if (!_setjmp(back)) {
		long ret = dry_call(c->nr, c->arg[0], c->arg[1], c->arg[2], c->arg[3], c->arg[4],
				    c->arg[5]);

		s->strange += ret != -DRY_ERROR;
		trapped = false;
	}
	s->allowed += !trapped;
	s->forbidden += trapped;
	if (want == trapped && !s->differs) {
		s->differs = true;
		s->call = *c;
	}
}

static void agree_body(const void *opaque)
{
	const struct agree *a = opaque;
	struct sigaction action = {
		.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO | SA_NODEFER,
	};
	uint64_t state = a->shared->seed;

	sigaction(SIGSYS, &action, NULL);
	load_dry();
	box_must(filter_load(a->table, &a->env));
	for (unsigned i = 0; i < CALLS; i++) {
		struct call c = random_call(a->table, &a->env, &state);

		compare(a, &c);
	}
}

static void check_agree(const struct filter_table *table, unsigned features)
{
	struct agree a = { .table = table, .env = box_env(features) };
	struct agreement *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct ending e;

	g_assert_true(s != MAP_FAILED);
	s->seed = (uint64_t)g_test_rand_int() << 32 | g_test_rand_int() | 1;
	a.shared = s;
	e = box_run(agree_body, &a);
	g_test_message("%u allowed, %u forbidden", s->allowed, s->forbidden);
	if (s->differs)
		g_error("call %d (%#lx, %#lx, %#lx, %#lx, %#lx, %#lx): kernel and filter_allows() "
			"differ", s->call.nr, s->call.arg[0], s->call.arg[1], s->call.arg[2],
			s->call.arg[3], s->call.arg[4], s->call.arg[5]);
	g_assert_cmpint(e.status, ==, RETURNED << 8);
	g_assert_cmpuint(s->allowed + s->forbidden, ==, CALLS);
	g_assert_cmpuint(s->strange, ==, 0);
	g_assert_cmpuint(s->allowed, >, CALLS / 20);
	g_assert_cmpuint(s->forbidden, >, CALLS / 20);
	munmap(s, sizeof(*s));
}

static void test_agree_device(void)
{
	static const unsigned features[] = {
		0, FILTER_RAW, FILTER_RAW | FILTER_DEVICE, FILTER_NBD,
		FILTER_NBD | FILTER_SETUP, FILTER_LISTEN, FILTER_MANAGED | FILTER_RAW,
		FILTER_RECOVER, ALL_FEATURES,
	};

	if (box_no_filter())
		return;
	for (unsigned i = 0; i < G_N_ELEMENTS(features); i++)
		check_agree(&filter_device, features[i]);
}

static void test_agree_keeper(void)
{
	if (box_no_filter())
		return;
	for (unsigned features = 0; features < 64; features += FILTER_DAEMON)
		check_agree(&filter_keeper, features);
	check_agree(&filter_keeper, FILTER_LISTEN);
	check_agree(&filter_keeper, FILTER_RECOVER);
	check_agree(&filter_keeper, FILTER_LISTEN | FILTER_SOCKET_PATH);
	check_agree(&filter_keeper, FILTER_MONITOR_CLIENTS);
}

/* Loaded as the others are: what a daemon is answered in place of SIGSYS is not compared here. */
static void test_agree_storage(void)
{
	static const unsigned features[] = {
		0, FILTER_OFFLINE, FILTER_UNIX, FILTER_INET, FILTER_VSOCK, ALL_FEATURES,
	};

	if (box_no_filter())
		return;
	for (unsigned i = 0; i < G_N_ELEMENTS(features); i++)
		check_agree(&filter_storage, features[i]);
}
#endif

/* ---- The tables themselves ---- */

/* A limit that no value is outside of, or that all are outside of, is a mistake. */
static void check_row(const struct filter_rule *rule, const struct filter_env *env)
{
	unsigned seen = 0;

	g_assert_nonnull(rule->why);
	g_assert_cmpuint(strlen(rule->why), >, 2);
	g_assert_cmpint(rule->nr, >=, 0);
	for (unsigned i = 0; i < FILTER_MAX_ARGS && rule->arg[i].op; i++) {
		const struct filter_arg *arg = &rule->arg[i];

		g_assert_nonnull(arg->name);
		g_assert_cmpuint(arg->index, <, FILTER_MAX_ARGS);
		g_assert_false(seen & 1u << arg->index);
		seen |= 1u << arg->index;
		if (arg->op == FILTER_IN) {
			g_assert_cmpuint(arg->value, <, FILTER_SET_COUNT);
			g_assert_cmphex(env->set[arg->value].base & ~env->set[arg->value].mask, ==,
					0);
			g_assert_cmphex(env->set[arg->value].mask, !=, 0);
		}
	}
}

static void test_rows(void)
{
	static const struct filter_table *const tables[] = {
		&filter_device, &filter_keeper, &filter_storage,
	};
	struct filter_env env = box_env(UINT32_MAX);

	for (unsigned t = 0; t < G_N_ELEMENTS(tables); t++)
		for (size_t i = 0; i < tables[t]->count; i++) {
			check_row(&tables[t]->rule[i], &env);
			for (size_t k = 0; k < i; k++)	/* no row stands twice */
				g_assert_false(tables[t]->rule[i].nr == tables[t]->rule[k].nr &&
					       !memcmp(tables[t]->rule[i].arg,
						       tables[t]->rule[k].arg,
						       sizeof(tables[t]->rule[i].arg)));
		}
}

/* 36 names are promised for the LSI with raw disks, 4 of them are for what is to come. */
static void test_budget(void)
{
	struct filter_env env = box_env(FILTER_RAW);
	unsigned limited, names = filter_names(&filter_device, &env, &limited);

	g_assert_cmpuint(names, <=, 32);
	g_assert_cmpuint(limited, >=, 20);
	env.features = ~FILTER_SETUP;
	g_assert_cmpuint(filter_names(&filter_device, &env, &limited), <=, 32);
	env.features = 0;
	g_assert_cmpuint(filter_names(&filter_device, &env, &limited), <, names);
}

static void test_names(void)
{
	for (size_t i = 0; i < filter_device.count; i++) {
		char *name = filter_call_name(filter_device.rule[i].nr);

		g_assert_cmpstr(name, ==, filter_device.rule[i].call);
		free(name);
	}
	char *name = filter_call_name(9999);

	g_assert_cmpstr(name, ==, "?");
	free(name);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#ifdef __x86_64__
	g_test_add_func("/sandbox/filter/agree/device", test_agree_device);
	g_test_add_func("/sandbox/filter/agree/keeper", test_agree_keeper);
	g_test_add_func("/sandbox/filter/agree/storage", test_agree_storage);
#endif
	g_test_add_func("/sandbox/filter/rows", test_rows);
	g_test_add_func("/sandbox/filter/budget", test_budget);
	g_test_add_func("/sandbox/filter/names", test_names);
	return g_test_run();
}
