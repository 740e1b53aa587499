/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which rows of a table of rules do calls need?
 *
 *   sandbox-rules device BASE SIZE   guest memory lies in SIZE bytes from address BASE on
 *   sandbox-rules setup BASE SIZE    the same, before it has shaken hands with NBD servers
 *   sandbox-rules keeper FD FD2      its control channel is FD, its monitor's FD2
 *
 * Reads calls, "NAME ARGUMENT..." a line, and writes for each row "COUNT<tab>CALL<tab>LIMITS<tab>
 * WHY", COUNT being how many of the calls it allows, and for each call that no row allows
 * "forbidden<tab>" and the call.
 */
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "applets/remote/confine.h"
#include "plan/spec.h"
#include "sandbox/filter.h"

#define MAX_ROWS 128

static void env_fill(bool keeper, char **args, struct filter_env *env)
{
	static const struct launch_spec no_disks = { .manage = 1 };
	uint64_t base = strtoull(args[0], NULL, 0), size = strtoull(args[1], NULL, 0);
	struct confine_duties duties = { .spec = &no_disks, .monitor = -1, .control = base,
					 .has_monitor = true, .manage = size };

	if (keeper)
		confine_keeper_env(&duties, env);
	else
		confine_env(&no_disks, base, size, env);
	env->features = ~FILTER_SETUP;
}

/* Counts the rows that allow the call; true when there is one. */
static bool count_call(const struct filter_table *table, const struct filter_env *env, char *line,
		       unsigned *counts)
{
	uint64_t arg[FILTER_MAX_ARGS] = { 0 };
	char *save, *name = strtok_r(line, " \n", &save), *word;
	int nr = name ? seccomp_syscall_resolve_name(name) : -1;
	bool allowed = false;

	for (unsigned i = 0; i < FILTER_MAX_ARGS && (word = strtok_r(NULL, " \n", &save)); i++)
		arg[i] = strtoull(word, NULL, 0);
	for (size_t i = 0; i < table->count && i < MAX_ROWS; i++) {
		const struct filter_table row = { &table->rule[i], 1 };

		if (filter_allows(&row, env, nr, arg)) {
			counts[i]++;
			allowed = true;
		}
	}
	return allowed;
}

static void print_row(const struct filter_rule *rule, unsigned count)
{
	printf("%u\t%s\t", count, rule->call);
	for (unsigned i = 0; i < FILTER_MAX_ARGS && rule->arg[i].op; i++)
		printf("%s%s:%u:%#" PRIx64, i ? "," : "", rule->arg[i].name, rule->arg[i].op,
		       rule->arg[i].value);
	printf("\t%s\n", rule->why);
}

int main(int argc, char **argv)
{
	const struct filter_table *table = &filter_device;
	unsigned counts[MAX_ROWS] = { 0 };
	char line[512], copy[512];
	struct filter_env env;

	if (argc != 4 || (strcmp(argv[1], "device") && strcmp(argv[1], "setup") &&
			 strcmp(argv[1], "keeper")))
		return 2;
	if (!strcmp(argv[1], "keeper"))
		table = &filter_keeper;
	env_fill(table == &filter_keeper, argv + 2, &env);
	if (!strcmp(argv[1], "setup"))
		env.features |= FILTER_SETUP;
	while (fgets(line, sizeof(line), stdin)) {
		strcpy(copy, line);
		if (!count_call(table, &env, copy, counts))
			printf("forbidden\t%s", line);
	}
	for (size_t i = 0; i < table->count && i < MAX_ROWS; i++)
		if (filter_rule_active(&table->rule[i], &env))
			print_row(&table->rule[i], counts[i]);
	return table->count > MAX_ROWS;
}
