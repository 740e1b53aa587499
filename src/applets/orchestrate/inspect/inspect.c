/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/inspect/inspect.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "applets/orchestrate/inspect/look.h"
#include "applets/orchestrate/verbs/vmlink.h"
#include "base/error.h"
#include "base/log.h"

/* A keeper has one child of each kind. */
#define SUBJECTS_MAX 8

/* ---- Which processes ---- */

struct subjects {
	struct subject list[SUBJECTS_MAX];
	unsigned count;
};

static void subjects_finish(struct subjects *all)
{
	for (unsigned i = 0; i < all->count; i++)
		subject_finish(&all->list[i]);
}

/* The children of a keeper that are shut in.  What has ended since is none. */
static void add_children(struct subjects *all, const struct subject *keeper)
{
	g_autoptr(GArray) pids = subject_children(keeper);

	for (unsigned i = 0; i < pids->len && all->count < SUBJECTS_MAX; i++) {
		struct subject child;

		if (subject_init(&child, g_array_index(pids, pid_t, i)))
			continue;
		child.keeper = keeper->pid;
		if (child.role == SUBJECT_OTHER)
			subject_finish(&child);
		else
			all->list[all->count++] = child;
	}
}

static bool has_device(const struct subjects *all)
{
	for (unsigned i = 0; i < all->count; i++)
		if (all->list[i].role == SUBJECT_DEVICE)
			return true;
	return false;
}

/* What is meant by @pid; 0 or -errno. */
static int subjects_find(struct subjects *all, pid_t pid)
{
	struct subject first;
	int ret = subject_init(&first, pid);

	all->count = 0;
	if (ret)
		return ret;
	if (first.role == SUBJECT_OTHER)
		add_children(all, &first);
	if (has_device(all)) {
		subject_finish(&first);
		return 0;
	}
	/* A storage daemon alone is a child of anybody's. */
	subjects_finish(all);
	if (first.role != SUBJECT_OTHER)
		first.keeper = subject_parent(&first);
	all->list[0] = first;
	all->count = 1;
	return 0;
}

/* ---- One of them ---- */

/* The average badness of what was seen, each row by its weight. */
static double score_of(const struct finding *findings)
{
	double sum = 0, weights = 0;

	for (unsigned i = 0; inspect_rows[i].name; i++) {
		if (findings[i].badness < 0)
			continue;
		sum += (double)inspect_rows[i].weight * findings[i].badness;
		weights += inspect_rows[i].weight;
	}
	return weights > 0 ? sum / weights : NAN;
}

static void inspect_one(const struct subject *s, unsigned rows, struct inspected *it)
{
	*it = (struct inspected){ .subject = s, .findings = g_new0(struct finding, rows) };
	for (unsigned i = 0; i < rows; i++) {
		struct finding *f = &it->findings[i];

		f->said = g_string_new(NULL);
		f->details = g_ptr_array_new_with_free_func(g_free);
		inspect_rows[i].look(s, &inspect_rows[i], f);
		if (!row_required(&inspect_rows[i], s))
			continue;
		it->missing |= f->badness == FINDING_WORST;
		it->unseen |= f->badness == FINDING_UNSEEN;
	}
	it->score = score_of(it->findings);
}

static void inspected_finish(struct inspected *it, unsigned rows)
{
	for (unsigned i = 0; i < rows; i++) {
		g_string_free(it->findings[i].said, true);
		g_ptr_array_unref(it->findings[i].details);
	}
	g_free(it->findings);
}

static unsigned count_rows(void)
{
	unsigned rows = 0;

	while (inspect_rows[rows].name)
		rows++;
	return rows;
}

/* Did it live until all was looked at?  What a process that is gone shows is nothing. */
static bool still_there(const struct subjects *all)
{
	for (unsigned i = 0; i < all->count; i++) {
		g_autofree char *status = subject_read(&all->list[i], "status");
		g_autofree char *state = status ? status_field(status, "State") : NULL;

		if (!state || strchr("ZX", state[0]))
			return false;
	}
	return true;
}

bool inspect_pid(pid_t pid, bool json, int *ret_status, GError **error)
{
	const unsigned rows = count_rows();
	struct inspected found[SUBJECTS_MAX];
	struct subjects all;
	int ret = subjects_find(&all, pid);
	bool there, bad = false;

	if (ret)
		return mpq_fail(error, MPQ_ERROR_USAGE, "%d: there is no such process: %s",
				(int)pid, log_errname(ret));
	for (unsigned i = 0; i < all.count; i++) {
		inspect_one(&all.list[i], rows, &found[i]);
		bad |= found[i].missing || found[i].unseen;
	}
	there = still_there(&all);
	if (there)
		(json ? print_json : print_text)(found, all.count);
	for (unsigned i = 0; i < all.count; i++)
		inspected_finish(&found[i], rows);
	subjects_finish(&all);
	if (!there)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%d: it has ended", (int)pid);
	if (fflush(stdout) || ferror(stdout))
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "stdout: %s", log_errname(errno));
	*ret_status = bad ? INSPECT_MISSING : INSPECT_OK;
	return true;
}

/* ---- The verb ---- */

struct choice {
	const char *target;
	bool security, json, help;
};

static const struct word {
	const char *name, *help;
	size_t flag;		/* a bool of struct choice */
} options[] = {
	{ "security", "how far the process is shut in", offsetof(struct choice, security) },
	{ "json", "as one JSON object", offsetof(struct choice, json) },
	{ "help", "print this", offsetof(struct choice, help) },
};

void inspect_complete(completion_fn *row, void *opaque)
{
	for (size_t i = 0; i < G_N_ELEMENTS(options); i++)
		row(opaque, &(struct completion_row){
			.verb = "inspect", .word = options[i].name, .help = options[i].help,
			.kind = COMPLETION_OWN,
		});
}

static bool set_option(struct choice *c, const char *name)
{
	for (size_t i = 0; i < G_N_ELEMENTS(options); i++)
		if (!strcmp(options[i].name, name)) {
			*(bool *)((char *)c + options[i].flag) = true;
			return true;
		}
	return false;
}

static bool read_words(struct choice *c, char *const *words, GError **error)
{
	for (; *words; words++) {
		if (!strncmp(*words, "--", 2) && set_option(c, *words + 2))
			continue;
		if (!strcmp(*words, "-h"))
			c->help = true;
		else if (**words == '-')
			return mpq_fail(error, MPQ_ERROR_USAGE, "inspect: %.100s: expected "
					"--security or --json", *words);
		else if (c->target)
			return mpq_fail(error, MPQ_ERROR_USAGE, "inspect: it takes one PID, and "
					"%.100s is a second", *words);
		else
			c->target = *words;
	}
	return true;
}

static void print_usage(void)
{
	printf("usage: mpqemu-orchestrate inspect PID|VM:DEVICE --security [--json]\n\n"
	       "How far the device process of a mpqemu-remote, and its storage daemon, are\n"
	       "shut in; PID is one of them, their keeper, or any other process.\n\n");
	for (size_t i = 0; i < G_N_ELEMENTS(options); i++)
		printf("  --%-12s %s\n", options[i].name, options[i].help);
	printf("\nExit status: 0 all required layers are there; 1 one is missing, or not to be\n"
	       "seen; 125 no such process, or a wrong argument.\n");
}

static bool serves(const json_t *remote, const char *device)
{
	const json_t *devices = json_object_get(remote, "devices");

	for (size_t i = 0; i < json_array_size(devices); i++)
		if (!strcmp(json_string_value(json_array_get(devices, i)), device))
			return true;
	return false;
}

/* The remote that serves DEVICE of a VM that runs.  0 with @error. */
static guint64 ask_vm(const char *vm, const char *device, GError **error)
{
	auto_vmlink link = vmlink_open(vm, error);
	auto_json remotes = link ? vmlink_call(link, "query-remotes", NULL, -1, error) : NULL;
	json_int_t pid;

	if (!remotes)
		return 0;
	for (size_t i = 0; i < json_array_size(remotes); i++) {
		const json_t *remote = json_array_get(remotes, i);

		pid = json_integer_value(json_object_get(remote, "pid"));
		if (serves(remote, device) && pid > 0)
			return pid;
	}
	mpq_fail(error, MPQ_ERROR_REFUSED, "inspect: %s: no remote of it serves '%s'", vm, device);
	return 0;
}

/* "PID" or "VM:DEVICE".  0 with @error. */
static guint64 find_target(const char *target, GError **error)
{
	const char *colon = target ? strrchr(target, ':') : NULL;
	g_autofree char *vm = colon ? g_strndup(target, colon - target) : NULL;
	guint64 pid;

	if (colon && colon[1])
		return ask_vm(vm, colon + 1, error);
	if (target && g_ascii_string_to_unsigned(target, 10, 1, G_MAXINT, &pid, NULL))
		return pid;
	mpq_fail(error, MPQ_ERROR_USAGE, "inspect: %.100s: expected the number of a process, or "
		 "VM:DEVICE", target ? target : "no PID");
	return 0;
}

bool inspect_run(char *const *words, int *ret_status, GError **error)
{
	struct choice c = { 0 };
	guint64 pid;

	if (!read_words(&c, words, error))
		return false;
	if (c.help) {
		print_usage();
		return true;
	}
	if (c.target && !c.security)
		return mpq_fail(error, MPQ_ERROR_USAGE, "inspect: expected --security: what to "
				"look at");
	pid = find_target(c.target, error);
	return pid && inspect_pid(pid, c.json, ret_status, error);
}
