/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "applets/proxy/bench/bench.h"

/*
 * What processes use, out of /proc: schedstat has CPU time in ns, where stat has ticks of 10 ms.
 * See proc(5) and, for schedstat, sched-stats in the kernel's documentation.
 */

#define MAX_DEPTH 8		/* a remote is a keeper and its children */

typedef void (*thread_fn)(pid_t tid, const char *folder, void *opaque);

static void each_thread(pid_t pid, unsigned depth, thread_fn fn, void *opaque);

/* Those that thread @folder has started. */
static void each_child(const char *folder, unsigned depth, thread_fn fn, void *opaque)
{
	g_autofree char *path = g_strdup_printf("%s/children", folder), *text = NULL;
	char *at;

	if (!depth || !g_file_get_contents(path, &text, NULL, NULL))
		return;
	for (at = text; *at;) {
		pid_t pid = g_ascii_strtoull(at, &at, 10);

		if (pid <= 0)
			break;
		each_thread(pid, depth - 1, fn, opaque);
		while (g_ascii_isspace(*at))
			at++;
	}
}

/* A process may end meanwhile: what it used is lost then. */
static void each_thread(pid_t pid, unsigned depth, thread_fn fn, void *opaque)
{
	g_autofree char *tasks = g_strdup_printf("/proc/%d/task", pid);
	g_autoptr(GDir) dir = g_dir_open(tasks, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *folder = g_strdup_printf("%s/%s", tasks, name);

		fn(g_ascii_strtoull(name, NULL, 10), folder, opaque);
		each_child(folder, depth, fn, opaque);
	}
}

static uint64_t field(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? g_ascii_strtoull(at + strlen(key), NULL, 10) : 0;
}

static void add_cost(pid_t tid, const char *folder, void *opaque)
{
	g_autofree char *sched = g_strdup_printf("%s/schedstat", folder), *times = NULL;
	g_autofree char *status = g_strdup_printf("%s/status", folder), *text = NULL;
	struct bench_cost *cost = opaque;

	if (g_file_get_contents(sched, &times, NULL, NULL))
		cost->cpu_ns += g_ascii_strtoull(times, NULL, 10);
	if (!g_file_get_contents(status, &text, NULL, NULL))
		return;
	cost->voluntary += field(text, "\nvoluntary_ctxt_switches:");
	cost->involuntary += field(text, "\nnonvoluntary_ctxt_switches:");
}

void bench_cost_remote(pid_t pid, struct bench_cost *ret)
{
	*ret = (struct bench_cost){ 0 };
	if (pid > 0)
		each_thread(pid, MAX_DEPTH, add_cost, ret);
}

void bench_cost_own(struct bench_cost *ret)
{
	struct timespec ts;
	struct rusage use;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	getrusage(RUSAGE_SELF, &use);
	*ret = (struct bench_cost){
		.cpu_ns = ts.tv_sec * 1000000000ULL + ts.tv_nsec,
		.voluntary = use.ru_nvcsw, .involuntary = use.ru_nivcsw,
	};
}

/* ---- pinning ---- */

struct pin {
	const cpu_set_t *set;
	int ret;
};

static void pin_thread(pid_t tid, const char *folder, void *opaque)
{
	struct pin *pin = opaque;

	/* One that has ended needs no place. */
	if (sched_setaffinity(tid, sizeof(*pin->set), pin->set) < 0 && errno != ESRCH)
		pin->ret = -errno;
}

int bench_pin(pid_t pid, const cpu_set_t *set)
{
	struct pin pin = { .set = set };

	each_thread(pid, MAX_DEPTH, pin_thread, &pin);
	return pin.ret;
}

/* The kernel leaves out what is not there or not allowed: asked for all, it says which it has. */
static void find_cpus(cpu_set_t *ret)
{
	cpu_set_t was, all;

	CPU_ZERO(ret);
	memset(&all, 0xff, sizeof(all));
	if (sched_getaffinity(0, sizeof(was), &was) < 0)
		return;
	sched_setaffinity(0, sizeof(all), &all);
	sched_getaffinity(0, sizeof(*ret), ret);
	sched_setaffinity(0, sizeof(was), &was);
}

/* "0-1,4"; g_free() it. */
static char *name_cpus(const cpu_set_t *set)
{
	GString *text = g_string_new(NULL);

	for (unsigned i = 0, end; i < CPU_SETSIZE; i = end + 1) {
		for (end = i; end < CPU_SETSIZE && CPU_ISSET(end, set); end++)
			;
		if (end == i)
			continue;
		g_string_append_printf(text, "%s%u", text->len ? "," : "", i);
		if (end > i + 1)
			g_string_append_printf(text, "-%u", end - 1);
	}
	return g_string_free(text, false);
}

bool bench_check_cpus(const struct bench_opts *o, GError **error)
{
	g_autofree char *names = NULL;
	cpu_set_t there, wanted, both;

	CPU_OR(&wanted, &o->cpu_own, &o->cpu_remote);
	find_cpus(&there);
	CPU_AND(&both, &wanted, &there);
	if (!o->pinned || CPU_EQUAL(&both, &wanted) || !CPU_COUNT(&there))
		return true;
	names = name_cpus(&there);
	return mpq_fail(error, MPQ_ERROR_USAGE, "--cpus %s: the CPUs that can be used are %s",
			o->cpus, names);
}

/* ---- the machine ---- */

/* The first line of /proc/stat: user nice system idle iowait irq softirq steal. */
void bench_load_get(struct bench_load *ret)
{
	enum { IDLE = 3, IOWAIT = 4, STEAL = 7, FIELDS = 8 };
	g_autofree char *text = NULL;
	const char *at;

	*ret = (struct bench_load){ 0 };
	if (!g_file_get_contents("/proc/stat", &text, NULL, NULL) ||
	    !g_str_has_prefix(text, "cpu "))
		return;
	at = text + 4;
	for (unsigned i = 0; i < FIELDS; i++) {
		char *end;
		uint64_t ticks = g_ascii_strtoull(at, &end, 10);

		at = end;
		ret->total += ticks;
		if (i == STEAL)
			ret->steal += ticks;
		else if (i != IDLE && i != IOWAIT)
			ret->busy += ticks;
	}
}

struct bench_noise bench_load_noise(const struct bench_load *from, const struct bench_load *to,
				    uint64_t ours_ns)
{
	double total = to->total - from->total;
	double ours = ours_ns / 1e9 * sysconf(_SC_CLK_TCK);
	double others = to->busy - from->busy - ours;

	if (total <= 0)
		return (struct bench_noise){ 0 };
	return (struct bench_noise){
		.steal = (to->steal - from->steal) / total,
		.others = others > 0 ? others / total : 0,
	};
}
