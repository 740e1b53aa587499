/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/verbs/proc.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 4	/* of children: whoever forks for ever is not followed for ever */

static char *proc_file(int pid, const char *name)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/%s", pid, name);
	char *text = NULL;

	return g_file_get_contents(path, &text, NULL, NULL) ? text : g_strdup("");
}

char *proc_line(int pid, const char *name)
{
	char *text = proc_file(pid, name);

	text[strcspn(text, "\n")] = '\0';
	return text;
}

GArray *proc_children(int pid)
{
	g_autofree char *name = g_strdup_printf("task/%d/children", pid);
	g_autofree char *text = proc_line(pid, name);
	g_auto(GStrv) words = g_strsplit(text, " ", -1);
	GArray *pids = g_array_new(false, false, sizeof(int));

	for (char **word = words; *word; word++) {
		int child = atoi(*word);

		if (child > 0)
			g_array_append_val(pids, child);
	}
	return pids;
}

/* proc(5): utime and stime are fields 14 and 15, the third stands behind the last ")". */
static double cpu_seconds(int pid)
{
	g_autofree char *text = proc_line(pid, "stat");
	const char *end = strrchr(text, ')');
	unsigned long user = 0, system = 0;

	if (!end || sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
			   &system) != 2)
		return 0;
	return (double)(user + system) / sysconf(_SC_CLK_TCK);
}

/* The number behind "KEY:", in KiB there. */
static uint64_t kib_of(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? strtoull(at + strlen(key), NULL, 10) << 10 : 0;
}

static uint64_t memory(int pid)
{
	g_autofree char *rollup = proc_file(pid, "smaps_rollup");
	g_autofree char *status = NULL;
	uint64_t pss = kib_of(rollup, "\nPss:");

	if (pss)
		return pss;
	status = proc_file(pid, "status");
	return kib_of(status, "\nVmRSS:");
}

static bool same_root(int pid)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/ns/mnt", pid);
	struct stat own, other;

	return stat("/proc/self/ns/mnt", &own) == 0 && stat(path, &other) == 0 &&
	       own.st_ino == other.st_ino;
}

/* docs/sandbox.md: each level has a filter; the strict one alone a root of its own. */
static const char *sandbox_of(int pid)
{
	g_autofree char *status = proc_file(pid, "status");
	const char *seccomp = strstr(status, "\nSeccomp:");

	if (!seccomp)
		return "-";
	if (atoi(seccomp + strlen("\nSeccomp:")) != 2)
		return "off";
	return same_root(pid) ? "filter" : "strict";
}

static void add_use(int pid, unsigned depth, struct proc_use *use)
{
	g_autoptr(GArray) children = proc_children(pid);

	use->cpu += cpu_seconds(pid);
	use->memory += memory(pid);
	if (depth == 1 && !strcmp(use->sandbox, "-"))
		use->sandbox = sandbox_of(pid);
	for (unsigned i = 0; depth < DEPTH_MAX && i < children->len; i++)
		add_use(g_array_index(children, int, i), depth + 1, use);
}

struct proc_use proc_use(int pid)
{
	struct proc_use use = { .sandbox = "-" };

	if (pid > 0)
		add_use(pid, 0, &use);
	return use;
}
