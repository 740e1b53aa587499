/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/procs.h"

#include <string.h>

static void slot_clear(void *p)
{
	struct plan_slot *slot = p;

	g_free(slot->device);
	g_free(slot->path);
}

struct plan_process *plan_process_create(void)
{
	struct plan_process *process = g_new0(struct plan_process, 1);

	process->argv = g_ptr_array_new_null_terminated(8, g_free, true);
	process->slots = g_array_new(false, false, sizeof(struct plan_slot));
	g_array_set_clear_func(process->slots, slot_clear);
	process->keep = g_array_new(false, false, sizeof(int));
	process->drop = g_array_new(false, false, sizeof(int));
	process->monitor = -1;
	return process;
}

void plan_process_destroy(struct plan_process *process)
{
	if (!process)
		return;
	g_ptr_array_unref(process->argv);
	g_array_unref(process->slots);
	g_array_unref(process->keep);
	g_array_unref(process->drop);
	g_free(process->serves);
	plan_limits_clear(&process->limits);
	g_free(process);
}

static void process_free(void *p)
{
	plan_process_destroy(p);
}

char **plan_process_remote(const struct plan_process *process)
{
	char **argv = plan_process_argv(process);
	g_autofree char *name = g_path_get_basename(argv[0]);

	if (!strcmp(name, "mpqemu-remote"))
		return argv;
	if (!strcmp(name, "mpqemu") && argv[1] &&
	    (!strcmp(argv[1], "remote") || !strcmp(argv[1], "mpqemu-remote")))
		return argv + 1;
	return NULL;
}

static void moved_clear(void *p)
{
	struct plan_moved *moved = p;

	g_free(moved->name);
	g_free(moved->driver);
	g_free(moved->under);
}

static void relay_clear(void *p)
{
	g_free(((struct plan_relay *)p)->path);
}

struct plan *plan_create(void)
{
	struct plan *plan = g_new0(struct plan, 1);

	plan->remotes = g_ptr_array_new_with_free_func(process_free);
	plan->qemu = plan_process_create();
	plan->moved = g_array_new(false, false, sizeof(struct plan_moved));
	g_array_set_clear_func(plan->moved, moved_clear);
	plan->relays = g_array_new(false, false, sizeof(struct plan_relay));
	g_array_set_clear_func(plan->relays, relay_clear);
	plan->notes = g_ptr_array_new_with_free_func(g_free);
	plan->warnings = g_ptr_array_new_with_free_func(g_free);
	plan->monitor = -1;
	return plan;
}

void plan_destroy(struct plan *plan)
{
	if (!plan)
		return;
	g_ptr_array_unref(plan->remotes);
	plan_process_destroy(plan->qemu);
	g_array_unref(plan->moved);
	g_array_unref(plan->relays);
	g_ptr_array_unref(plan->notes);
	g_ptr_array_unref(plan->warnings);
	g_free(plan);
}

void plan_cleanup(struct plan **plan)
{
	plan_destroy(*plan);
}

void plan_process_arg(struct plan_process *process, const char *arg)
{
	g_ptr_array_add(process->argv, g_strdup(arg));
}

void plan_process_slot(struct plan_process *process, int fd, unsigned pair, const char *id)
{
	struct plan_slot slot = { .fd = fd, .pair = pair, .device = g_strdup(id) };

	g_array_append_val(process->slots, slot);
}

void plan_process_listen(struct plan_process *process, int fd, unsigned pair, const char *id,
			 const char *path)
{
	struct plan_slot slot = {
		.fd = fd, .pair = pair, .device = g_strdup(id), .path = g_strdup(path),
	};

	g_array_append_val(process->slots, slot);
}

void plan_process_limit(struct plan_process *process, const struct plan_limits *limits)
{
	plan_limits_copy(&process->limits, limits);
}

void plan_note(struct plan *plan, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	g_ptr_array_add(plan->notes, g_strdup_vprintf(fmt, ap));
	va_end(ap);
}

void plan_warn(struct plan *plan, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	g_ptr_array_add(plan->warnings, g_strdup_vprintf(fmt, ap));
	va_end(ap);
}

/* ---- Where the sockets are ---- */

/* The first of them counts: a plan has one such directory. */
char *plan_socket_dir(const struct plan *plan)
{
	for (unsigned i = 0; i < plan->remotes->len; i++) {
		const struct plan_process *process = plan->remotes->pdata[i];

		for (unsigned k = 0; k < process->slots->len; k++) {
			const char *path = g_array_index(process->slots, struct plan_slot, k).path;
			const char *name = path ? strstr(path, "/" PLAN_SOCKET_DIR "/") : NULL;

			if (name)
				return g_strndup(path, name + strlen("/" PLAN_SOCKET_DIR) - path);
		}
	}
	return NULL;
}

/* @text with @made in the place of each @dir; takes over @text. */
static char *replaced(char *text, const char *dir, const char *made)
{
	GString *out = text ? g_string_new(text) : NULL;

	if (!out)
		return NULL;
	g_free(text);
	g_string_replace(out, dir, made, 0);
	return g_string_free(out, false);
}

static void place_process(struct plan_process *process, const char *dir, const char *made)
{
	for (unsigned i = 0; i < process->argv->len; i++)
		process->argv->pdata[i] = replaced(process->argv->pdata[i], dir, made);
	for (unsigned i = 0; i < process->slots->len; i++) {
		struct plan_slot *slot = &g_array_index(process->slots, struct plan_slot, i);

		slot->path = replaced(slot->path, dir, made);
	}
}

void plan_place_sockets(struct plan *plan, const char *dir, const char *made)
{
	for (unsigned i = 0; i < plan->remotes->len; i++)
		place_process(plan->remotes->pdata[i], dir, made);
	place_process(plan->qemu, dir, made);
}

/* ---- As text ---- */

/* Characters that mean nothing to a shell anywhere in a word. */
static bool is_plain(const char *word)
{
	const char *safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			   "-_=,.:/+@%^";

	return *word && strspn(word, safe) == strlen(word);
}

static void add_word(GString *out, const char *word)
{
	g_autofree char *quoted = is_plain(word) ? g_strdup(word) : g_shell_quote(word);

	g_string_append(out, quoted);
}

/* A value stands on the line of its option: whatever follows "-x" and is no option itself. */
static bool joins_line(const char *prev, const char *arg)
{
	return prev[0] == '-' && arg[0] != '-';
}

static void add_command(GString *out, const struct plan_process *process)
{
	char **argv = plan_process_argv(process);

	g_string_append_c(out, '\t');
	add_word(out, argv[0]);
	for (int i = 1; argv[i]; i++) {
		bool joined = joins_line(argv[i - 1], argv[i]) && i > 1;

		g_string_append(out, joined ? " " : " \\\n\t\t");
		add_word(out, argv[i]);
	}
}

static void add_listener(GString *out, const struct plan_slot *slot, const char *name)
{
	g_string_append_printf(out, "#   %s: ", name);
	if (slot->fd < 0)
		g_string_append(out, "it");
	else
		g_string_append_printf(out, "fd %d", slot->fd);
	g_string_append_printf(out, " listens on %s (%s)\n", slot->path, slot->device);
}

static bool has_limits(const struct plan *plan)
{
	bool has = plan_limits_any(&plan->qemu->limits);

	for (unsigned i = 0; i < plan->remotes->len; i++) {
		const struct plan_process *process = plan->remotes->pdata[i];

		has = has || plan_limits_any(&process->limits);
	}
	return has;
}

static void add_limits(GString *out, const struct plan_limits *limits, const char *name)
{
	if (limits->cpus)
		g_string_append_printf(out, "#   %s: runs on the CPUs %s\n", name, limits->cpus);
	if (limits->numa)
		g_string_append_printf(out, "#   %s: its memory is on the NUMA nodes %s\n", name,
				       limits->numa);
	if (limits->has_oom_score)
		g_string_append_printf(out, "#   %s: oom_score_adj is %d\n", name,
				       limits->oom_score);
}

static void add_slots(GString *out, const struct plan *plan, const struct plan_process *process,
		      const char *name)
{
	bool is_vmm = process == plan->qemu;

	for (unsigned i = 0; i < process->slots->len; i++) {
		const struct plan_slot *slot = &g_array_index(process->slots, struct plan_slot, i);
		bool qmp = slot->pair >= plan->pair_count;
		const char *end = is_vmm ? (qmp ? "monitor's" : "proxy's") : "remote's";

		if (slot->path) {
			add_listener(out, slot, name);
			continue;
		}
		g_string_append_printf(out, "#   %s: fd %d is the %s end of socketpair %u (%s%s)\n",
				       name, slot->fd, end, slot->pair, qmp ? "QMP of " : "",
				       slot->device);
	}
	for (unsigned i = 0; i < process->drop->len; i++)
		g_string_append_printf(out, "#   %s: fd %d is closed\n", name,
				       g_array_index(process->drop, int, i));
	for (unsigned i = 0; i < process->keep->len; i++)
		g_string_append_printf(out, "#   %s: fd %d is inherited\n", name,
				       g_array_index(process->keep, int, i));
	add_limits(out, &process->limits, name);
}

static void add_lines(GString *out, const GPtrArray *lines, const char *prefix)
{
	for (unsigned i = 0; i < lines->len; i++)
		g_string_append_printf(out, "# %s%s\n", prefix, (char *)lines->pdata[i]);
}

char *plan_to_shell(const struct plan *plan, const char *self)
{
	GString *out = g_string_new(NULL);

	add_lines(out, plan->warnings, "warning: ");
	add_lines(out, plan->notes, "");
	g_string_append(out, "# fd slots:\n");
	for (unsigned i = 0; i < plan->remotes->len; i++) {
		g_autofree char *name = g_strdup_printf("remote %u", i);

		add_slots(out, plan, plan->remotes->pdata[i], name);
	}
	add_slots(out, plan, plan->qemu, "QEMU");
	g_string_append(out, "# the commands, as one that runs (--- stands between the "
			"processes):\n");
	if (has_limits(plan))
		g_string_append(out, "# (CPUs, NUMA nodes and oom_score_adj are not in it)\n");
	g_string_append(out, "# (what each run adds is not in it: a QMP monitor of QEMU's, and "
			"--control\n# and --metrics of mpqemu-remote)\n");
	add_word(out, self);
	g_string_append(out, " -- \\\n");
	for (unsigned i = 0; i < plan->remotes->len; i++) {
		add_command(out, plan->remotes->pdata[i]);
		g_string_append(out, " \\\n--- \\\n");
	}
	add_command(out, plan->qemu);
	g_string_append_c(out, '\n');
	return g_string_free(out, false);
}
