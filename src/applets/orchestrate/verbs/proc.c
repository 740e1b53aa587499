/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/verbs/proc.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/orchestrate/inspect/look.h"

#define DEPTH_MAX 4	/* of children: whoever forks for ever is not followed for ever */

/* The text of a file of the process's; "" if it cannot be read.  The caller frees. */
static char *read_file(const struct subject *s, const char *name)
{
	return subject_read(s, name) ?: g_strdup("");
}

char *proc_text(int pid, const char *name)
{
	struct subject s;
	char *text;

	if (subject_init(&s, pid))
		return g_strdup("");
	text = read_file(&s, name);
	subject_finish(&s);
	return text;
}

char *proc_line(int pid, const char *name)
{
	char *text = proc_text(pid, name);

	text[strcspn(text, "\n")] = '\0';
	return text;
}

const char *proc_role(int pid)
{
	const char *name = NULL;
	struct subject s;

	if (subject_init(&s, pid))
		return NULL;
	if (s.role != SUBJECT_OTHER)
		name = subject_role_name(&s);
	subject_finish(&s);
	return name;
}

GArray *proc_children(int pid)
{
	struct subject s;
	GArray *pids;

	if (subject_init(&s, pid))
		return g_array_new(false, false, sizeof(pid_t));
	pids = subject_children(&s);
	subject_finish(&s);
	return pids;
}

/* proc(5): utime and stime are fields 14 and 15, the third stands behind the last ")". */
static double cpu_seconds(const struct subject *s)
{
	g_autofree char *text = read_file(s, "stat");
	const char *end = strrchr(text, ')');
	unsigned long user = 0, system = 0;

	if (!end || sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
			   &system) != 2)
		return 0;
	return (double)(user + system) / sysconf(_SC_CLK_TCK);
}

/* The number behind "FIELD:", in KiB there. */
static uint64_t kib_of(const struct subject *s, const char *name, const char *field)
{
	g_autofree char *text = read_file(s, name);
	g_autofree char *number = status_field(text, field);

	return number ? strtoull(number, NULL, 10) << 10 : 0;
}

static uint64_t memory(const struct subject *s)
{
	return kib_of(s, "smaps_rollup", "Pss") ?: kib_of(s, "status", "VmRSS");
}

static bool same_root(const struct subject *s)
{
	struct stat own, other;

	return stat("/proc/self/ns/mnt", &own) == 0 && fstatat(s->dir, "ns/mnt", &other, 0) == 0 &&
	       own.st_ino == other.st_ino;
}

/* docs/sandbox.md: each level has a filter; the strict one alone a root of its own. */
static const char *sandbox_of(const struct subject *s)
{
	g_autofree char *status = read_file(s, "status");
	g_autofree char *seccomp = status_field(status, "Seccomp");

	if (!seccomp)
		return "-";
	if (strcmp(seccomp, "2"))
		return "off";
	return same_root(s) ? "filter" : "strict";
}

static void add_use(int pid, unsigned depth, struct proc_use *use)
{
	g_autoptr(GArray) children = NULL;
	struct subject s;

	if (subject_init(&s, pid))
		return;
	children = subject_children(&s);
	use->cpu += cpu_seconds(&s);
	use->memory += memory(&s);
	if (s.role == SUBJECT_DEVICE)
		use->sandbox = sandbox_of(&s);
	subject_finish(&s);
	for (unsigned i = 0; depth < DEPTH_MAX && i < children->len; i++)
		add_use(g_array_index(children, pid_t, i), depth + 1, use);
}

struct proc_use proc_use(int pid)
{
	struct proc_use use = { .sandbox = "-" };

	if (pid > 0)
		add_use(pid, 0, &use);
	return use;
}
