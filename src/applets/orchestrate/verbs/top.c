/* SPDX-License-Identifier: GPL-2.0-or-later */

/* top: what a VM's remotes do, as differences of their counters from one look to the next. */

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>

#include "applets/orchestrate/verbs/proc.h"
#include "applets/orchestrate/verbs/vmlink.h"
#include "applets/orchestrate/verbs/show.h"
#include "applets/orchestrate/verbs/verb.h"
#include "base/clock.h"

#define BOLD "\033[1m"
#define RED "\033[31m"
#define PLAIN "\033[m"

/* One look at a VM.  The JSON is owned. */
struct look {
	json_t *status, *remotes, *metrics;
	int64_t time;			/* ns of clock_ns() */
	GHashTable *use;		/* id -> struct proc_use * */
};

struct top {
	struct vmlink *link;
	const struct verb_args *args;
	bool colour, clear;
	struct look now, before;
};

static void look_clear(struct look *look)
{
	json_decref(look->status);
	json_decref(look->remotes);
	json_decref(look->metrics);
	g_clear_pointer(&look->use, g_hash_table_unref);
	*look = (struct look){ 0 };
}

static bool look_take(struct vmlink *link, struct look *look, GError **error)
{
	look->metrics = vmlink_report(link, &look->status, &look->remotes, error) ?
			vmlink_call(link, "query-metrics", NULL, -1, error) : NULL;
	look->time = clock_ns();
	look->use = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	for (size_t i = 0; i < json_array_size(look->remotes); i++) {
		const json_t *remote = json_array_get(look->remotes, i);
		struct proc_use use = proc_use(show_number(remote, "pid"));

		g_hash_table_insert(look->use, g_strdup(show_text(remote, "id")),
				    g_memdup2(&use, sizeof(use)));
	}
	return look->metrics;
}

/* The counters of one remote, or NULL. */
static const json_t *counters_of(const struct look *look, const char *id)
{
	for (size_t i = 0; i < json_array_size(look->metrics); i++) {
		const json_t *remote = json_array_get(look->metrics, i);

		if (!strcmp(show_text(remote, "id"), id))
			return json_object_get(remote, "metrics");
	}
	return NULL;
}

/* A counter, or the sum of all of its family. */
static double sum_of(const json_t *counters, const char *name, const char *label)
{
	const json_t *family = json_object_get(counters, name), *value;
	const char *key;
	double sum = 0;

	if (json_is_number(family))
		return json_number_value(family);
	if (label)
		return show_number(family, label);
	json_object_foreach((json_t *)(uintptr_t)family, key, value)
		sum += json_number_value(value);
	return sum;
}

/* How many of the histogram's values are in the bucket that begins at @low. */
static double bucket_count(const json_t *hist, json_int_t low)
{
	const json_t *buckets = json_object_get(hist, "buckets");

	for (size_t i = 0; i < json_array_size(buckets); i++) {
		const json_t *bucket = json_array_get(buckets, i);

		if (json_integer_value(json_array_get(bucket, 0)) == low)
			return json_number_value(json_array_get(bucket, 2));
	}
	return 0;
}

/* The latency in ns that @share of the reads (or writes) since the last look did not exceed. */
static double latency(const json_t *now, const json_t *before, const char *op, double share)
{
	const json_t *hist = json_object_get(json_object_get(now, "io_ns"), op);
	const json_t *old = json_object_get(json_object_get(before, "io_ns"), op);
	const json_t *buckets = json_object_get(hist, "buckets");
	double wanted = (show_number(hist, "count") - show_number(old, "count")) * share;
	double seen = 0;

	for (size_t i = 0; wanted > 0 && i < json_array_size(buckets); i++) {
		const json_t *bucket = json_array_get(buckets, i);

		seen += json_number_value(json_array_get(bucket, 2)) -
			bucket_count(old, json_integer_value(json_array_get(bucket, 0)));
		if (seen >= wanted)
			return json_number_value(json_array_get(bucket, 1));
	}
	return 0;
}

/* The larger of reads' and writes'. */
static double worse(const json_t *now, const json_t *before, double share)
{
	double reads = latency(now, before, "read", share);
	double writes = latency(now, before, "write", share);

	return reads > writes ? reads : writes;
}

/* "-", "120us", "3.4ms", "2.0s" */
static char *show_latency(double ns, char *text, size_t size)
{
	if (ns <= 0)
		snprintf(text, size, "-");
	else if (ns < 999500)
		snprintf(text, size, "%.0fus", ns / 1000 < 1 ? 1 : ns / 1000);
	else if (ns < 999500000)
		snprintf(text, size, ns < 9950000 ? "%.1fms" : "%.0fms", ns / 1e6);
	else
		snprintf(text, size, "%.1fs", ns / 1e9);
	return text;
}

static double errors_of(const json_t *counters)
{
	return sum_of(counters, "io_errors", NULL) + sum_of(counters, "peer_errors", NULL) +
	       sum_of(counters, "guest_errors", NULL);
}

static void print_rates(const struct top *top, const char *id, double seconds)
{
	static const struct {
		const char *name, *label;
	} rates[] = {
		{ "messages", NULL }, { "io_ended", "read" }, { "io_ended", "write" },
		{ "io_bytes", "read" }, { "io_bytes", "write" },
	};
	const json_t *now = counters_of(&top->now, id), *before = counters_of(&top->before, id);
	char text[16];

	for (unsigned i = 0; i < G_N_ELEMENTS(rates); i++) {
		double n = sum_of(now, rates[i].name, rates[i].label) -
			   sum_of(before, rates[i].name, rates[i].label);

		printf(" %6s", now ? show_count(n > 0 ? n / seconds : 0, text, sizeof(text)) : "-");
	}
	printf(" %6s", show_latency(worse(now, before, 0.5), text, sizeof(text)));
	printf(" %6s", show_latency(worse(now, before, 0.99), text, sizeof(text)));
}

static void print_remote(const struct top *top, const json_t *remote, double seconds)
{
	const char *id = show_text(remote, "id");
	const struct proc_use *now = g_hash_table_lookup(top->now.use, id);
	const struct proc_use *before = g_hash_table_lookup(top->before.use, id);
	double cpu = now && before ? (now->cpu - before->cpu) / seconds * 100 : 0;
	double errors = errors_of(counters_of(&top->now, id));
	bool bad = top->colour && (errors > 0 || !json_object_get(remote, "pid"));
	char text[16];

	printf("%s%-12.12s %-8s", bad ? RED : "", id, show_text(remote, "state"));
	print_rates(top, id, seconds);
	printf(" %5.1f %6s %6.0f %s%s\n", cpu > 0 ? cpu : 0,
	       show_count(now ? now->memory : 0, text, sizeof(text)), errors,
	       now ? now->sandbox : "-", bad ? PLAIN : "");
}

static void print_table(const struct top *top)
{
	double seconds = (top->now.time - top->before.time) / 1e9;
	const json_t *qemu = json_object_get(top->now.status, "qemu");
	char uptime[32];

	if (top->clear)
		printf("\033[H\033[J");
	printf("%s: %s, QEMU %s, up %s\n", show_text(top->now.status, "name"),
	       show_text(top->now.status, "phase"), show_text(qemu, "status"),
	       show_time(show_number(top->now.status, "uptime"), uptime, sizeof(uptime)));
	printf("%s%-12s %-8s %6s %6s %6s %6s %6s %6s %6s %5s %6s %6s %s%s\n",
	       top->colour ? BOLD : "", "REMOTE", "STATE", "MSG/s", "RD/s", "WR/s", "RDB/s",
	       "WRB/s", "P50", "P99", "CPU%", "MEM", "ERRORS", "SANDBOX",
	       top->colour ? PLAIN : "");
	for (size_t i = 0; i < json_array_size(top->now.remotes); i++)
		print_remote(top, json_array_get(top->now.remotes, i), seconds);
	fflush(stdout);
}

/* The first look has nothing to be a difference to, but a start. */
static bool run_top(struct top *top, GError **error)
{
	const struct verb_args *args = top->args;
	int shown = 0;

	if (!look_take(top->link, &top->before, error))
		return false;
	while (vmlink_wait(top->link, args->interval * 1000)) {
		if (!look_take(top->link, &top->now, error))
			return false;
		if (shown && !top->clear)
			putchar('\n');
		print_table(top);
		look_clear(&top->before);
		top->before = top->now;
		top->now = (struct look){ 0 };
		if (++shown >= args->count)
			return true;
	}
	printf("the VM has ended\n");
	return true;
}

bool verb_top(struct verb_args *args, GError **error)
{
	auto_vmlink link = vmlink_open(args->words[0], error);
	bool terminal = isatty(STDOUT_FILENO);
	struct top top = {
		.link = link, .args = args, .colour = terminal && !g_getenv("NO_COLOR"),
		.clear = terminal && !args->batch,
	};
	bool ok = link && run_top(&top, error);

	look_clear(&top.now);
	look_clear(&top.before);
	return ok;
}
