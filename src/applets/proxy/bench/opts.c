/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "applets/proxy/info/access.h"
#include "applets/proxy/bench/bench.h"
#include "initiator/initiator.h"
#include "plan/proclimits.h"

/* The options of bench; their names are those that fio's users know. */

#define MAX_BS (8u << 20)
#define MAX_ROUNDS 1000u
#define MAX_SECONDS 86400.0

const struct bench_op_info bench_ops[BENCH_OP_COUNT] = {
	[BENCH_CFG_READ] = { .name = "cfgread" },
	[BENCH_BAR_READ] = { .name = "barread" },
	[BENCH_BAR_WRITE] = { .name = "barwrite" },
	[BENCH_READ] = { .name = "read", .disk = true, .reads = true },
	[BENCH_WRITE] = { .name = "write", .disk = true, .writes = true },
	[BENCH_RW] = { .name = "rw", .disk = true, .reads = true, .writes = true },
	[BENCH_RANDREAD] = { .name = "randread", .disk = true, .random = true, .reads = true },
	[BENCH_RANDWRITE] = { .name = "randwrite", .disk = true, .random = true, .writes = true },
	[BENCH_RANDRW] = {
		.name = "randrw", .disk = true, .random = true, .reads = true, .writes = true,
	},
};

bool bench_op_find(const char *name, enum bench_op *ret_op)
{
	for (unsigned i = 0; i < BENCH_OP_COUNT; i++) {
		if (!strcmp(bench_ops[i].name, name)) {
			*ret_op = i;
			return true;
		}
	}
	return false;
}

void bench_opts_init(struct bench_opts *o)
{
	*o = (struct bench_opts){
		.bs = 4096, .iodepth = 1, .mix_reads = 50, .seed = 1, .runtime = 5, .ramp = 0.2,
		.rounds = 10, .target = -1, .lun = -1,
	};
}

bool bench_opts_word(struct bench_opts *o, const char *word, GError **error)
{
	enum bench_op op;

	if (!bench_op_find(word, &op)) {
		g_autoptr(GString) names = g_string_new(NULL);

		for (unsigned i = 0; i < BENCH_OP_COUNT; i++)
			g_string_append_printf(names, "%s%s", i ? ", " : "", bench_ops[i].name);
		return mpq_fail(error, MPQ_ERROR_USAGE, "bench %.100s: expected one of %s", word,
				names->str);
	}
	for (unsigned i = 0; i < o->op_count; i++)
		if (o->op[i] == op)
			return mpq_fail(error, MPQ_ERROR_USAGE, "bench %s: named twice", word);
	o->op[o->op_count++] = op;
	return true;
}

/* ---- values ---- */

static struct bench_opts *opts_of(void *opaque)
{
	struct proxy_args *args = opaque;

	return args->data;
}

static bool number(const struct option_use *use, uint64_t min, uint64_t max, uint64_t *ret,
		   GError **error)
{
	guint64 n;

	if (!g_ascii_string_to_unsigned(use->arg, 10, min, max, &n, NULL))
		return option_fail(use, error, MPQ_ERROR_USAGE,
				   "expected a number from %" G_GUINT64_FORMAT " to %"
				   G_GUINT64_FORMAT, min, max);
	*ret = n;
	return true;
}

/* Bytes: 4096, 4k, 1G. */
static bool bytes(const struct option_use *use, uint64_t *ret, GError **error)
{
	static const char units[] = "kmgt";
	const char *text = use->arg;
	size_t len = strlen(text);
	const char *unit = len ? strchr(units, g_ascii_tolower(text[len - 1])) : NULL;
	unsigned shift = unit && *unit ? 10 * (unit - units + 1) : 0;
	g_autofree char *digits = g_strndup(text, len - (shift != 0));
	guint64 n;

	if (!g_ascii_string_to_unsigned(digits, 10, 1, (uint64_t)INT64_MAX >> shift, &n, NULL))
		return option_fail(use, error, MPQ_ERROR_USAGE,
				   "expected a number of bytes, such as 4096, 4k or 1G");
	*ret = n << shift;
	return true;
}

static bool seconds(const struct option_use *use, double min, double *ret, GError **error)
{
	char *end;
	double s = g_ascii_strtod(use->arg, &end);

	if (end == use->arg || *end || !g_ascii_isdigit(use->arg[0]) || s < min || s > MAX_SECONDS)
		return option_fail(use, error, MPQ_ERROR_USAGE,
				   "expected seconds, %g to %g", min, MAX_SECONDS);
	*ret = s;
	return true;
}

/* ---- options ---- */

static bool set_rw(void *opaque, const struct option_use *use, GError **error)
{
	return bench_opts_word(opts_of(opaque), use->arg, error);
}

static bool set_bs(void *opaque, const struct option_use *use, GError **error)
{
	uint64_t n = 0;

	if (!bytes(use, &n, error))
		return false;
	if (n % 512 || n > MAX_BS)
		return option_fail(use, error, MPQ_ERROR_USAGE,
				   "expected a multiple of 512, %u at the most", MAX_BS);
	opts_of(opaque)->bs = n;
	return true;
}

static bool set_iodepth(void *opaque, const struct option_use *use, GError **error)
{
	uint64_t n = 0;

	if (!number(use, 1, INITIATOR_MAX_DEPTH, &n, error))
		return false;
	opts_of(opaque)->iodepth = n;
	return true;
}

static bool set_size(void *opaque, const struct option_use *use, GError **error)
{
	return bytes(use, &opts_of(opaque)->size, error);
}

static bool set_mix(void *opaque, const struct option_use *use, GError **error)
{
	uint64_t n = 0;

	if (!number(use, 0, 100, &n, error))
		return false;
	opts_of(opaque)->mix_reads = n;
	return true;
}

static bool set_seed(void *opaque, const struct option_use *use, GError **error)
{
	return number(use, 0, UINT64_MAX, &opts_of(opaque)->seed, error);
}

static bool set_runtime(void *opaque, const struct option_use *use, GError **error)
{
	return seconds(use, 0.001, &opts_of(opaque)->runtime, error);
}

static bool set_ramp(void *opaque, const struct option_use *use, GError **error)
{
	return seconds(use, 0, &opts_of(opaque)->ramp, error);
}

static bool set_count(void *opaque, const struct option_use *use, GError **error)
{
	return number(use, 1, INT64_MAX, &opts_of(opaque)->count, error);
}

static bool set_rounds(void *opaque, const struct option_use *use, GError **error)
{
	uint64_t n = 0;

	if (!number(use, 1, MAX_ROUNDS, &n, error))
		return false;
	opts_of(opaque)->rounds = n;
	return true;
}

/* TARGET[:LUN] */
static bool set_lun(void *opaque, const struct option_use *use, GError **error)
{
	struct bench_opts *o = opts_of(opaque);
	g_auto(GStrv) part = g_strsplit(use->arg, ":", 2);
	guint64 target, lun = 0;

	if (!part[0] || !g_ascii_string_to_unsigned(part[0], 10, 0, 15, &target, NULL) ||
	    (part[1] && !g_ascii_string_to_unsigned(part[1], 10, 0, 7, &lun, NULL)))
		return option_fail(use, error, MPQ_ERROR_USAGE,
				   "expected TARGET[:LUN], 0 to 15 and 0 to 7");
	o->target = target;
	o->lun = lun;
	return true;
}

static bool set_register(void *opaque, const struct option_use *use, GError **error)
{
	struct bench_opts *o = opts_of(opaque);
	struct access a;

	if (!access_parse(ACCESS_READ, use->arg, &a, error)) {
		g_prefix_error(error, "%s ", use->word);
		return false;
	}
	o->reg_named = true;
	o->reg_bar = a.bar;
	o->reg_off = a.off;
	o->reg_size = a.size;
	return true;
}

static bool set_cpus(void *opaque, const struct option_use *use, GError **error)
{
	struct bench_opts *o = opts_of(opaque);
	cpu_set_t all;
	int first;

	if (!plan_cpus_parse(use->arg, &all))
		return option_fail(use, error, MPQ_ERROR_USAGE,
				   "expected CPUs, such as 0 or 0,1 or 0,2-3");
	/* The one that is named first is ours. */
	first = atoi(use->arg);
	CPU_ZERO(&o->cpu_own);
	CPU_SET(first, &o->cpu_own);
	if (CPU_COUNT(&all) > 1)
		CPU_CLR(first, &all);
	o->cpu_remote = all;
	o->cpus = use->arg;
	o->pinned = true;
	return true;
}

static bool set_vs(void *opaque, const struct option_use *use, GError **error)
{
	opts_of(opaque)->vs = use->arg;
	return true;
}

static bool set_allow_write(void *opaque, const struct option_use *use, GError **error)
{
	opts_of(opaque)->allow_write = true;
	return true;
}

static bool set_json(void *opaque, const struct option_use *use, GError **error)
{
	opts_of(opaque)->json = true;
	return true;
}

static bool set_plot(void *opaque, const struct option_use *use, GError **error)
{
	opts_of(opaque)->plot = use->arg;
	return true;
}

const struct option_def bench_options[] = {
	PROXY_OPTION("vs", set_vs, "'COMMAND'", "another remote, in turn with the first"),
	PROXY_OPTION("rw", set_rw, "WORKLOAD", "the same as the word; may be repeated"),
	PROXY_OPTION("bs", set_bs, "BYTES", "of an I/O; default: 4k"),
	PROXY_OPTION("iodepth", set_iodepth, "N", "I/Os in flight; default: 1"),
	PROXY_OPTION("size", set_size, "BYTES", "of the disk that are used; default: all"),
	PROXY_OPTION("rwmixread", set_mix, "PERCENT", "of rw and randrw; default: 50"),
	PROXY_OPTION("randseed", set_seed, "N", "default: 1"),
	PROXY_OPTION("runtime", set_runtime, "SECONDS", "of a workload on a remote; default: 5"),
	PROXY_OPTION("ramp_time", set_ramp, "SECONDS", "before that, not counted; default: 0.2"),
	PROXY_OPTION("count", set_count, "N", "operations, instead of a time"),
	PROXY_OPTION("rounds", set_rounds, "N", "that they are cut into; default: 10"),
	PROXY_OPTION("lun", set_lun, "TARGET[:LUN]", "the disk; default: the first"),
	PROXY_OPTION("register", set_register, "BAR:OFFSET[:SIZE]", "of barread and barwrite"),
	PROXY_OPTION("cpus", set_cpus, "LIST", "we run on the first, the remote on the others"),
	PROXY_OPTION("plot", set_plot, "FILE.svg", "draw latencies and IOPS over time"),
	{ "allow-write", 0, set_allow_write, NULL, "write workloads may destroy the disk", 0 },
	{ "json", 0, set_json, NULL, "print JSON", 0 },
	PROXY_OPTIONS_END,
};

/* ---- all of them ---- */

static bool check_op(const struct bench_opts *o, enum bench_op op, GError **error)
{
	const struct bench_op_info *info = &bench_ops[op];

	if (info->writes && !o->allow_write)
		return mpq_fail(error, MPQ_ERROR_USAGE, "bench %s: it destroys what is on the "
				"disk: say --allow-write when that may be", info->name);
	return true;
}

bool bench_opts_check(const struct bench_opts *o, GError **error)
{
	for (unsigned i = 0; i < o->op_count; i++)
		if (!check_op(o, o->op[i], error))
			return false;
	if (!o->op_count)
		return mpq_fail(error, MPQ_ERROR_USAGE, "bench: no workload: expected cfgread, "
				"randread and so on");
	if (o->size && o->size < o->bs)
		return mpq_fail(error, MPQ_ERROR_USAGE, "--size is smaller than --bs");
	if (o->count && o->count < o->rounds)
		return mpq_fail(error, MPQ_ERROR_USAGE, "--count is smaller than --rounds");
	return true;
}
