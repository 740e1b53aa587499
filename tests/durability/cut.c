/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Power cuts, and commands that were ended early and are carried out late; see load.h.
 *
 *   MPQ_DURABILITY_SEEDS=N    seeds a test (else what port.h says)
 *   MPQ_DURABILITY_SEED=N     that one only: what a failure prints
 */
#include <glib.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "load.h"
#include "port.h"

#define BITE_SEEDS 400		/* a defect must show in so many */

static unsigned number(const char *name, unsigned otherwise)
{
	const char *text = g_getenv(name);

	return text ? strtoul(text, NULL, 0) : otherwise;
}

static void run_seeds(struct load load, unsigned otherwise)
{
	unsigned first = number("MPQ_DURABILITY_SEED", 0);
	unsigned count = g_getenv("MPQ_DURABILITY_SEED") ? 1 :
		number("MPQ_DURABILITY_SEEDS", otherwise);
	struct load_count sum = { 0 };
	char why[200];

	for (load.seed = first; load.seed < first + count; load.seed++)
		if (!load_run(&load, &sum, why, sizeof(why)))
			g_error("%s; again with MPQ_DURABILITY_SEED=%u", why, load.seed);
	g_test_message("%u seeds: %u acknowledged (%u writes durable by themselves), %u flushes, "
		       "%u reads, %u ended early, %u refused", count, sum.acked, sum.durable,
		       sum.flushed, sum.read, sum.killed, sum.refused);
	if (count > 1) {
		g_assert_cmpuint(sum.durable, >, count);
		g_assert_cmpuint(sum.flushed, >, count / 2);
		g_assert_cmpuint(sum.read, >, count / 2);
		g_assert_true(!load.kills || sum.killed > count);
	}
}

/* Whatever the moment of the cut: what was said to be on the medium is there, or newer. */
static void test_power_cut(void)
{
	run_seeds((struct load){ .cut = true }, port_seeds);
}

/* The same with commands that are ended early meanwhile. */
static void test_power_cut_kills(void)
{
	run_seeds((struct load){ .cut = true, .kills = 12 }, port_seeds);
}

/* What an ended command still does on the host lands before what was acknowledged later. */
static void test_late_writes(void)
{
	run_seeds((struct load){ .kills = 8 }, port_late_seeds);
}

/* The same down to the calls that a raw image makes, of every kind of host. */
static void test_raw(void)
{
	run_seeds((struct load){ .raw = true, .cut = true }, port_seeds);
	run_seeds((struct load){ .raw = true, .cut = true, .kills = 12 }, port_seeds);
	run_seeds((struct load){ .raw = true, .kills = 8 }, port_seeds);
}

/* A test of the test: how often does this defect show? */
static unsigned bites(struct load load)
{
	struct load_count sum = { 0 };
	unsigned found = 0;
	char why[200];

	for (load.seed = 0; load.seed < MIN(BITE_SEEDS, port_seeds); load.seed++)
		found += !load_run(&load, &sum, why, sizeof(why));
	g_test_message("%u of %u seeds, the last one: %s", found, MIN(BITE_SEEDS, port_seeds),
		       found ? why : "-");
	return found;
}

static void test_raw_bites(void)
{
	struct load load = { .raw = true, .cut = true };

	g_assert_cmpuint(bites(load), ==, 0);
	load.defect = CUT_FLUSH_EARLY;
	g_assert_cmpuint(bites(load), >, 5);
	load.defect = CUT_FUA_DROPPED;
	g_assert_cmpuint(bites(load), >, 5);
}

static void test_bites(void)
{
	g_assert_cmpuint(bites((struct load){ .cut = true }), ==, 0);
	g_assert_cmpuint(bites((struct load){ .cut = true, .defect = CUT_FLUSH_EARLY }), >, 5);
	g_assert_cmpuint(bites((struct load){ .cut = true, .defect = CUT_FUA_DROPPED }), >, 5);
	g_assert_cmpuint(bites((struct load){ .cut = true, .defect = CUT_TORN }), >, 5);
	g_assert_cmpuint(bites((struct load){ .kills = 8 }), ==, 0);
	g_assert_cmpuint(bites((struct load){ .kills = 8, .defect = CUT_LATE }), >, 5);
}

int main(int argc, char **argv)
{
	/* Memory is kept from seed to seed: fresh pages cost more than the loads. */
	mallopt(M_MMAP_THRESHOLD, 16 << 20);
	mallopt(M_TRIM_THRESHOLD, 64 << 20);
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/durability/power-cut", test_power_cut);
	g_test_add_func("/durability/power-cut-kills", test_power_cut_kills);
	g_test_add_func("/durability/late-writes", test_late_writes);
	g_test_add_func("/durability/bites", test_bites);
	if (port_takes_block) {
		g_test_add_func("/durability/raw", test_raw);
		g_test_add_func("/durability/raw-bites", test_raw_bites);
	}
	return g_test_run();
}
