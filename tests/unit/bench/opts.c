/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of bench. */

#include <string.h>

#include <glib.h>

#include "applets/proxy/args.h"
#include "applets/proxy/bench/bench.h"

#define MAX_WORDS 24

/* "mpqemu-proxy bench WORDS -- remote" */
static bool parse(struct proxy_args *args, const char *words, GError **error)
{
	g_autofree char *line = g_strdup_printf("mpqemu-proxy bench %s -- remote", words);
	static char *argv[MAX_WORDS + 1];
	int argc = 0;

	for (char *at = line; at && argc < MAX_WORDS; argc++) {
		char *end = strchr(at, ' ');

		if (end)
			*end++ = '\0';
		argv[argc] = at;
		at = end;
	}
	argv[argc] = NULL;
	/* The options' strings are argv's; none is looked at after this. */
	return proxy_args_parse(args, argc, argv, error);
}

static const struct { const char *words, *why; } bad[] = {
	{ "--count 10", "no workload" },
	{ "seqread", "seqread: expected one of cfgread" },
	{ "READ", "READ: expected one of" },
	{ "randread randread", "randread: named twice" },
	{ "randread --rw randread", "named twice" },
	{ "--rw none", "none: expected one of" },
	{ "write", "say --allow-write" },
	{ "randread randwrite", "randwrite: it destroys" },
	{ "rw", "say --allow-write" },
	{ "randrw", "say --allow-write" },
	{ "read --bs 0", "--bs 0: expected a number of bytes" },
	{ "read --bs 511", "a multiple of 512" },
	{ "read --bs 9m", "at the most" },
	{ "read --bs -4k", "number of bytes" },
	{ "read --bs 4kk", "number of bytes" },
	{ "read --bs k", "number of bytes" },
	{ "read --bs 4.5k", "number of bytes" },
	{ "read --bs 0x200", "number of bytes" },
	{ "read --bs 16777216t", "number of bytes" },
	{ "read --bs 18446744073709551616", "number of bytes" },
	{ "read --bs=", "number of bytes" },
	{ "read --size 2k", "--size is smaller than --bs" },
	{ "read --iodepth 0", "--iodepth 0: expected a number from 1 to 64" },
	{ "read --iodepth 65", "from 1 to 64" },
	{ "read --iodepth many", "from 1 to 64" },
	{ "read --rounds 0", "from 1 to 1000" },
	{ "read --rounds 1001", "from 1 to 1000" },
	{ "read --count 0", "--count 0: expected" },
	{ "read --count 9", "--count is smaller than --rounds" },
	{ "read --count 9223372036854775808", "--count" },
	{ "read --runtime 0", "expected seconds" },
	{ "read --runtime -1", "expected seconds" },
	{ "read --runtime nan", "expected seconds" },
	{ "read --runtime inf", "expected seconds" },
	{ "read --runtime 1e9", "expected seconds" },
	{ "read --runtime 5s", "expected seconds" },
	{ "read --ramp_time -0.1", "expected seconds" },
	{ "read --rwmixread 101", "from 0 to 100" },
	{ "read --randseed -1", "--randseed" },
	{ "read --lun 16", "expected TARGET[:LUN]" },
	{ "read --lun 0:8", "expected TARGET[:LUN]" },
	{ "read --lun 0:", "expected TARGET[:LUN]" },
	{ "read --lun :0", "expected TARGET[:LUN]" },
	{ "read --lun 0:0:0", "expected TARGET[:LUN]" },
	{ "read --cpus=", "expected CPUs" },
	{ "read --cpus 0,", "expected CPUs" },
	{ "read --cpus ,0", "expected CPUs" },
	{ "read --cpus 1-0", "expected CPUs" },
	{ "read --cpus 0-", "expected CPUs" },
	{ "read --cpus 1024", "expected CPUs" },
	{ "read --cpus all", "expected CPUs" },
	{ "barread --register 6:0", "6:0" },
	{ "barread --register 0:0=1", "0:0=1" },
	{ "barread --register 0", "--register 0" },
	{ "read --plot", "requires an argument" },
	{ "read --jsonx", "invalid option" },
	{ "read --socket x", "expected one of" },
};

static void test_bad(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;
		struct proxy_args args;

		g_test_message("%s", bad[i].words);
		g_assert_false(parse(&args, bad[i].words, &error));
		g_assert_error(error, MPQ_ERROR, MPQ_ERROR_USAGE);
		g_test_message("%s", error->message);
		g_assert_nonnull(strstr(error->message, bad[i].why));
		proxy_args_finish(&args);
	}
}

static void test_defaults(void)
{
	struct proxy_args args;
	const struct bench *b;

	g_assert_true(parse(&args, "randread", NULL));
	b = args.data;
	g_assert_cmpuint(b->opts.op_count, ==, 1);
	g_assert_cmpint(b->opts.op[0], ==, BENCH_RANDREAD);
	g_assert_cmpuint(b->opts.bs, ==, 4096);
	g_assert_cmpuint(b->opts.iodepth, ==, 1);
	g_assert_cmpuint(b->opts.rounds, ==, 10);
	g_assert_cmpint(b->opts.target, ==, -1);
	g_assert_false(b->opts.pinned || b->opts.json || b->opts.allow_write || b->opts.vs ||
		       b->opts.plot);
	proxy_args_finish(&args);
}

static void test_good(void)
{
	struct proxy_args args;
	const struct bench *b;

	g_assert_true(parse(&args, "cfgread --rw write --allow-write --bs=64K --iodepth 16 "
			    "--size 1g --lun 3:2 --count 100 --register 1:0x34:1", NULL));
	b = args.data;
	g_assert_cmpuint(b->opts.op_count, ==, 2);
	g_assert_cmpint(b->opts.op[0], ==, BENCH_CFG_READ);
	g_assert_cmpint(b->opts.op[1], ==, BENCH_WRITE);
	g_assert_cmpuint(b->opts.bs, ==, 65536);
	g_assert_cmpuint(b->opts.iodepth, ==, 16);
	g_assert_cmpuint(b->opts.size, ==, 1 << 30);
	g_assert_cmpint(b->opts.target, ==, 3);
	g_assert_cmpint(b->opts.lun, ==, 2);
	g_assert_cmpuint(b->opts.count, ==, 100);
	g_assert_true(b->opts.reg_named);
	g_assert_cmpuint(b->opts.reg_bar, ==, 1);
	g_assert_cmphex(b->opts.reg_off, ==, 0x34);
	g_assert_cmpuint(b->opts.reg_size, ==, 1);
	proxy_args_finish(&args);
}

/* Ours and the remote's. */
static const struct { const char *words; uint64_t own, remote; } cpus[] = {
	{ "0", 1, 1 }, { "3", 8, 8 }, { "0,1", 1, 2 }, { "1,0", 2, 1 }, { "0,2-3", 1, 12 },
	{ "2-4", 4, 24 }, { "0,0", 1, 1 },
};

static void test_cpus(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(cpus); i++) {
		g_autofree char *words = g_strdup_printf("cfgread --cpus %s", cpus[i].words);
		struct proxy_args args;
		const struct bench *b;

		g_test_message("%s", words);
		g_assert_true(parse(&args, words, NULL));
		b = args.data;
		g_assert_true(b->opts.pinned);
		for (unsigned cpu = 0; cpu < 64; cpu++) {
			g_assert_cmpint(!!CPU_ISSET(cpu, &b->opts.cpu_own), ==,
					cpus[i].own >> cpu & 1);
			g_assert_cmpint(!!CPU_ISSET(cpu, &b->opts.cpu_remote), ==,
					cpus[i].remote >> cpu & 1);
		}
		proxy_args_finish(&args);
	}
}

/* Each row of the table is found by its name and has one of its own. */
static void test_names(void)
{
	for (unsigned i = 0; i < BENCH_OP_COUNT; i++) {
		enum bench_op op;

		g_assert_true(bench_op_find(bench_ops[i].name, &op));
		g_assert_cmpint(op, ==, i);
		g_assert_cmpint(bench_ops[i].disk, ==, bench_ops[i].reads || bench_ops[i].writes);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/bench/opts/bad", test_bad);
	g_test_add_func("/bench/opts/defaults", test_defaults);
	g_test_add_func("/bench/opts/good", test_good);
	g_test_add_func("/bench/opts/cpus", test_cpus);
	g_test_add_func("/bench/opts/names", test_names);
	return g_test_run();
}
