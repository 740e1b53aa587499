/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sandbox/filter.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define INSTRUMENTED "built with a sanitizer"
#elif defined(MPQ_COVERAGE)
#define INSTRUMENTED "built for coverage"
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || \
	__has_feature(thread_sanitizer)
#define INSTRUMENTED "built with a sanitizer"
#endif
#endif

const char *filter_impossible(void)
{
#ifdef INSTRUMENTED
	return INSTRUMENTED;
#else
	return NULL;
#endif
}

bool filter_rule_active(const struct filter_rule *rule, const struct filter_env *env)
{
	return !rule->needs || (rule->needs & env->features);
}

static bool arg_allows(const struct filter_arg *arg, const struct filter_env *env, uint64_t value)
{
	const struct filter_set *set = &env->set[arg->value % FILTER_SET_COUNT];

	switch (arg->op) {
	case FILTER_EQ:
		return value == arg->value;
	case FILTER_NOT:
		return value != arg->value;
	case FILTER_LOW:
		return (uint32_t)value == arg->value;
	case FILTER_BITS:
		return !(value & ~arg->value);
	case FILTER_IN:
		return (value & set->mask) == set->base;
	case FILTER_LENGTH:
		return value <= env->arena_size;
	}
	return true;
}

static bool rule_allows(const struct filter_rule *rule, const struct filter_env *env,
			const uint64_t arg[FILTER_MAX_ARGS])
{
	for (unsigned i = 0; i < FILTER_MAX_ARGS && rule->arg[i].op; i++)
		if (!arg_allows(&rule->arg[i], env, arg[rule->arg[i].index]))
			return false;
	return true;
}

bool filter_allows(const struct filter_table *table, const struct filter_env *env, int nr,
		   const uint64_t arg[FILTER_MAX_ARGS])
{
	for (size_t i = 0; i < table->count; i++)
		if (table->rule[i].nr == nr && filter_rule_active(&table->rule[i], env) &&
		    rule_allows(&table->rule[i], env, arg))
			return true;
	return false;
}

/* Is the rule the first active one of its call? */
static bool is_first(const struct filter_table *table, const struct filter_env *env, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (table->rule[i].nr == table->rule[at].nr &&
		    filter_rule_active(&table->rule[i], env))
			return false;
	return true;
}

static bool is_limited(const struct filter_table *table, const struct filter_env *env, int nr)
{
	for (size_t i = 0; i < table->count; i++)
		if (table->rule[i].nr == nr && filter_rule_active(&table->rule[i], env) &&
		    !table->rule[i].arg[0].op)
			return false;
	return true;
}

unsigned filter_names(const struct filter_table *table, const struct filter_env *env,
		      unsigned *ret_limited)
{
	unsigned names = 0;

	*ret_limited = 0;
	for (size_t i = 0; i < table->count; i++) {
		if (!filter_rule_active(&table->rule[i], env) || !is_first(table, env, i))
			continue;
		names++;
		*ret_limited += is_limited(table, env, table->rule[i].nr);
	}
	return names;
}

static struct scmp_arg_cmp compare(const struct filter_arg *arg, const struct filter_env *env)
{
	const struct filter_set *set = &env->set[arg->value % FILTER_SET_COUNT];

	switch (arg->op) {
	case FILTER_NOT:
		return SCMP_CMP64(arg->index, SCMP_CMP_NE, arg->value);
	case FILTER_LOW:
		return SCMP_CMP64(arg->index, SCMP_CMP_MASKED_EQ, UINT32_MAX, arg->value);
	case FILTER_BITS:
		return SCMP_CMP64(arg->index, SCMP_CMP_MASKED_EQ, ~arg->value, 0);
	case FILTER_IN:
		if (set->mask == UINT64_MAX)
			return SCMP_CMP64(arg->index, SCMP_CMP_EQ, set->base);
		return SCMP_CMP64(arg->index, SCMP_CMP_MASKED_EQ, set->mask, set->base);
	case FILTER_LENGTH:
		return SCMP_CMP64(arg->index, SCMP_CMP_LE, env->arena_size);
	}
	return SCMP_CMP64(arg->index, SCMP_CMP_EQ, arg->value);
}

static int add_rule(scmp_filter_ctx ctx, uint32_t action, const struct filter_rule *rule,
		    const struct filter_env *env)
{
	struct scmp_arg_cmp cmp[FILTER_MAX_ARGS];
	unsigned n = 0;

	while (n < FILTER_MAX_ARGS && rule->arg[n].op) {
		cmp[n] = compare(&rule->arg[n], env);
		n++;
	}
	return seccomp_rule_add_exact_array(ctx, action, rule->nr, n, cmp);
}

static int add_rules(scmp_filter_ctx ctx, uint32_t action, const struct filter_table *table,
		     const struct filter_env *env)
{
	int ret = 0;

	for (size_t i = 0; i < table->count && !ret; i++) {
		/* libseccomp numbers a call that this architecture does not have below zero. */
		if (!filter_rule_active(&table->rule[i], env) || table->rule[i].nr < 0)
			continue;
		ret = add_rule(ctx, action, &table->rule[i], env);
		/* The rows stand in the order of how often they are used. */
		if (!ret && is_first(table, env, i))
			ret = seccomp_syscall_priority(ctx, table->rule[i].nr,
						       i < 254 ? 254 - i : 0);
	}
	return ret;
}

/* The filter whose rows are answered @action, and all else @rest. */
static int make(const struct filter_table *table, const struct filter_env *env, uint32_t action,
		uint32_t rest, scmp_filter_ctx *ret_ctx)
{
	scmp_filter_ctx ctx = seccomp_init(rest);
	int ret;

	if (!ctx)
		return -ENOMEM;
	ret = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (!ret)
		ret = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (!ret)
		ret = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0);
	if (!ret)
		ret = seccomp_attr_set(ctx, SCMP_FLTATR_API_SYSRAWRC, 1);
	if (!ret)
		ret = add_rules(ctx, action, table, env);
	if (!ret)
		*ret_ctx = ctx;
	else
		seccomp_release(ctx);
	return ret;
}

/* What seccomp_export_bpf() has written to @fd. */
static int read_program(int fd, struct filter_program *ret_program)
{
	struct filter_program program;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size / sizeof(*program.code) > BPF_MAXINSNS)
		return -E2BIG;
	program.count = st.st_size / sizeof(*program.code);
	program.code = malloc(st.st_size);
	if (!program.code)
		return -ENOMEM;
	if (pread(fd, program.code, st.st_size, 0) != st.st_size) {
		filter_program_finish(&program);
		return -EIO;
	}
	*ret_program = program;
	return 0;
}

int filter_compile(const struct filter_table *table, const struct filter_env *env,
		   struct filter_program *ret_program)
{
	autofd fd = memfd_create("mpqemu-filter", MFD_CLOEXEC);
	scmp_filter_ctx ctx;
	int ret;

	if (fd < 0)
		return -errno;
	ret = make(table, env, SCMP_ACT_ALLOW, SCMP_ACT_TRAP, &ctx);
	if (ret)
		return ret;
	ret = seccomp_export_bpf(ctx, fd);
	seccomp_release(ctx);
	return ret ? ret : read_program(fd, ret_program);
}

void filter_program_finish(struct filter_program *program)
{
	free(program->code);
	*program = (struct filter_program){ 0 };
}

int filter_install(const struct filter_program *program)
{
	struct sock_fprog prog = { .len = program->count, .filter = program->code };
	long ret;

	if (filter_impossible())
		return -ENOTSUP;
	ret = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog);
	/* A thread that has a filter which this one does not stand on: its id. */
	return ret > 0 ? -ESRCH : ret < 0 ? -errno : 0;
}

int filter_load(const struct filter_table *table, const struct filter_env *env)
{
	struct filter_program program;
	int ret;

	if (filter_impossible())
		return -ENOTSUP;
	ret = filter_compile(table, env, &program);
	if (ret)
		return ret;
	ret = filter_install(&program);
	filter_program_finish(&program);
	return ret;
}

int filter_write(const struct filter_table *table, const struct filter_env *env,
		 enum filter_meaning meaning, int fd)
{
	bool allowed = meaning == FILTER_ROWS_ALLOWED;
	scmp_filter_ctx ctx;
	int ret = make(table, env, allowed ? SCMP_ACT_ALLOW : SCMP_ACT_KILL_PROCESS,
		       allowed ? SCMP_ACT_ERRNO(ENOSYS) : SCMP_ACT_ALLOW, &ctx);

	if (ret)
		return ret;
	ret = seccomp_export_bpf(ctx, fd);
	seccomp_release(ctx);
	return ret;
}

char *filter_call_name(int nr)
{
	char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);

	return name ? name : strdup("?");
}
