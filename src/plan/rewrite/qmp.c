/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A QMP monitor of QEMU's for each remote that may have to stop the VM (--on-error=stop, or werror=
 * and rerror= of the disks that moved), over a socketpair of its own, and one for whoever watches
 * the VM: the user's monitors are left alone.
 */

#include <string.h>

#include "plan/rewrite/move.h"

/* "-chardev socket,id=mpqemu-qmp-DEVICE": rewrite_join() finds it by this name. */
#define CHARDEV_PREFIX "mpqemu-qmp-"
/* That of rewrite_watch(), after which no device can be called. */
#define CHARDEV_OWN "mpqemu-qmp"

char *rewrite_qmp_chardev(const char *device)
{
	return g_strconcat(CHARDEV_PREFIX, device, NULL);
}

/* Does it ask for the VM to be stopped?  QEMU's "auto" does for a full disk, but is not asked. */
static bool asks_for_stop(const struct qopt *opt)
{
	static const char *const keys[] = { "werror", "rerror" };

	for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
		const char *value = opt->set ? opt_get(opt->set, keys[i]) : NULL;

		if (value && (!strcmp(value, "stop") || !strcmp(value, "enospc")))
			return true;
	}
	return false;
}

static bool needs_qmp(const struct move *move, const struct move_remote *remote)
{
	if (!remote->disks || remote->qemu)
		return false;
	if (!g_strcmp0(remote->own.on_error, "stop"))
		return true;
	for_each_qopt(opt, move->cmd)
		if (opt->owner == (int)remote->index && asks_for_stop(opt))
			return true;
	return false;
}

/* ---- The default monitor ---- */

static bool has_any(const struct qcmd *cmd, const char *const *names)
{
	for (; *names; names++)
		if (qcmd_last(cmd, *names))
			return true;
	return false;
}

static bool has_serial(const struct qcmd *cmd)
{
	for_each_qopt(opt, cmd)
		if (qopt_is(opt, "device") && !strcmp(qopt_type(opt), "isa-serial"))
			return true;
	return qcmd_last(cmd, "serial");
}

/* An option with one word for an argument. */
static void add_word(struct qcmd *cmd, const char *name, const char *word)
{
	struct qopt *opt = qcmd_insert(cmd, cmd->opts->len, name, NULL);

	opt->changed = false;
	opt->arg = g_strdup(word);
}

/* A -mon takes QEMU's default monitor away; this is how QEMU itself makes it. */
static void keep_default_monitor(struct qcmd *cmd)
{
	static const char *const monitors[] = {
		"monitor", "mon", "qmp", "qmp-pretty", "nodefaults", NULL
	};

	if (has_any(cmd, monitors))
		return;
	if (!qcmd_last(cmd, "nographic"))
		add_word(cmd, "monitor", "vc:80Cx24C");
	else if (has_serial(cmd))
		add_word(cmd, "monitor", "stdio");
	else
		add_word(cmd, "serial", "mon:stdio");
}

/* ---- Ours ---- */

static void add_monitor(struct qcmd *cmd, const char *id, int fd)
{
	struct opt_set *chardev = opt_set_create("-chardev"), *mon = opt_set_create("-mon");
	g_autofree char *number = g_strdup_printf("%d", fd);

	opt_put(chardev, "backend", "socket");
	chardev->opt[0].implied = true;
	opt_put(chardev, "id", id);
	opt_put(chardev, "fd", number);
	qcmd_insert(cmd, cmd->opts->len, "chardev", chardev);
	opt_put(mon, "chardev", id);
	opt_put(mon, "mode", "control");
	qcmd_insert(cmd, cmd->opts->len, "mon", mon);
}

/* The next free number of that process. */
static int free_fd(const struct plan_process *process)
{
	int fd = 3;

	for (unsigned i = 0; i < process->slots->len; i++)
		fd = MAX(fd, g_array_index(process->slots, struct plan_slot, i).fd + 1);
	for (unsigned i = 0; i < process->keep->len; i++)
		fd = MAX(fd, g_array_index(process->keep, int, i) + 1);
	return fd;
}

static bool is_relayed(const struct plan *plan, int fd)
{
	for (unsigned i = 0; i < plan->relays->len; i++)
		if (g_array_index(plan->relays, struct plan_relay, i).fd == fd)
			return true;
	return false;
}

static int free_qemu_fd(const struct plan *plan, const struct rewrite_facts *facts)
{
	int fd = free_fd(plan->qemu);

	while (rewrite_is_busy(facts, fd) || is_relayed(plan, fd))
		fd++;
	return fd;
}

int move_free_fd(const struct move *move, const struct plan_process *process)
{
	return process == move->plan->qemu ? free_qemu_fd(move->plan, move->facts) :
					     free_fd(process);
}

static void connect_remote(struct move *move, const struct move_remote *remote)
{
	struct plan *plan = move->plan;
	struct plan_process *process = plan->remotes->pdata[remote->index];
	unsigned pair = plan->pair_count + plan->qmp_count++;
	int qemu_fd = move_free_fd(move, plan->qemu), remote_fd = move_free_fd(move, process);
	g_autofree char *option = g_strdup_printf("--qmp=fd=%d", remote_fd);
	g_autofree char *id = rewrite_qmp_chardev(remote->id);

	plan_process_arg(process, option);
	plan_process_slot(process, remote_fd, pair, remote->id);
	plan_process_slot(plan->qemu, qemu_fd, pair, remote->id);
	add_monitor(move->cmd, id, qemu_fd);
}

static bool watch_qemu(struct plan *plan, const struct rewrite_facts *facts, GError **error)
{
	struct plan_process *qemu = plan->qemu;
	g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
	auto_qcmd cmd = qcmd_parse(plan_process_argv(qemu), error);
	int fd = free_qemu_fd(plan, facts);

	if (!cmd)
		return false;
	keep_default_monitor(cmd);
	add_monitor(cmd, CHARDEV_OWN, fd);
	g_ptr_array_add(argv, g_strdup(cmd->prefix->pdata[0]));
	if (!rewrite_emit(cmd, QOPT_QEMU, argv, error))
		return false;
	g_ptr_array_set_size(qemu->argv, 0);
	g_ptr_array_extend_and_steal(qemu->argv, g_steal_pointer(&argv));
	plan->monitor = plan->pair_count + plan->qmp_count++;
	plan_process_slot(qemu, fd, plan->monitor, "the VM");
	return true;
}

/* Has it an option of that name already, in either form? */
static bool has_option(char *const *argv, const char *name)
{
	size_t len = strlen(name);

	for (argv++; *argv; argv++) {
		const char *word = *argv + strspn(*argv, "-");

		if (word != *argv && !strncmp(word, name, len) && (!word[len] || word[len] == '='))
			return true;
	}
	return false;
}

/* Gives it "--NAME=fd=N", unless it has its own.  Returns N, or 0. */
static int add_fd_option(struct plan_process *process, const char *name)
{
	char **argv = plan_process_remote(process);
	int fd = MAX(free_fd(process), MAX(process->metrics_fd, process->control_fd) + 1);
	g_autofree char *option = g_strdup_printf("--%s=fd=%d", name, fd);

	if (!argv || has_option(argv, name))
		return 0;
	plan_process_arg(process, option);
	return fd;
}

bool rewrite_watch(struct plan *plan, const struct rewrite_facts *facts, GError **error)
{
	for (unsigned i = 0; i < plan->remotes->len; i++) {
		struct plan_process *process = plan->remotes->pdata[i];

		process->metrics_fd = add_fd_option(process, "metrics");
		process->control_fd = add_fd_option(process, "control");
	}
	return rewrite_is_cloud(plan->qemu->argv->pdata[0]) || watch_qemu(plan, facts, error);
}

/* "--events=fd=N" is an inherited fd, which the remote gets and QEMU does not. */
static bool keep_events(struct move *move, struct move_remote *remote, GError **error)
{
	const char *events = remote->own.events;
	guint64 fd = 0;
	int number;

	if (!events || !g_str_has_prefix(events, "fd="))
		return true;
	if (!g_ascii_string_to_unsigned(events + 3, 10, 3, INT_MAX, &fd, NULL) ||
	    !rewrite_is_busy(move->facts, fd))
		return mpq_fail(error, MPQ_ERROR_USAGE, "--events=%s: no such fd is open", events);
	number = fd;
	g_array_append_val(remote->keep, number);
	return true;
}

/* Cloud Hypervisor has no QMP, over which a remote would stop the VM. */
static bool check_stops(struct move *move, GError **error)
{
	const char *why = move->attach ? "a monitor of its own, which QEMU makes at its start" :
					 "QMP; Cloud Hypervisor has none";

	for (unsigned i = 0; (move->vmm || move->attach) && i < move->remotes->len; i++)
		if (needs_qmp(move, move_remote(move, i)))
			return mpq_fail(error, MPQ_ERROR_REFUSED, "%s: an error of its disk is to "
					"stop the VM (--on-error, werror=, rerror=), which is "
					"done over %s", move_remote(move, i)->id, why);
	return true;
}

/* The remote of the device @id, or NULL. */
static struct move_remote *find_remote(const struct move *move, const char *id)
{
	for (unsigned i = 0; i < move->remotes->len; i++)
		if (!strcmp(move_remote(move, i)->id, id))
			return move_remote(move, i);
	return NULL;
}

static void choose(struct move_remote *remote, const struct rewrite_remote *own)
{
	remote->own.on_error = own->on_error ?: remote->own.on_error;
	remote->own.on_crash = own->on_crash ?: remote->own.on_crash;
	remote->own.watchdog = own->watchdog ?: remote->own.watchdog;
	remote->own.sandbox = own->sandbox ?: remote->own.sandbox;
	remote->own.events = own->events ?: remote->own.events;
	if (own->limits.cpus)
		remote->own.limits.cpus = own->limits.cpus;
	if (own->limits.numa)
		remote->own.limits.numa = own->limits.numa;
	if (own->limits.has_oom_score) {
		remote->own.limits.has_oom_score = true;
		remote->own.limits.oom_score = own->limits.oom_score;
	}
}

bool move_choose_each(struct move *move, GError **error)
{
	const struct rewrite_choice *choice = move->choice;

	for (unsigned i = 0; i < move->remotes->len; i++) {
		struct move_remote *remote = move_remote(move, i);

		remote->own = (struct rewrite_remote){ .limits = choice->limits };
		/* What is said for all is not meant for one that is another program. */
		if (move_by_qemu(move, remote->id))
			continue;
		remote->own.on_error = choice->on_error;
		remote->own.on_crash = choice->on_crash;
		remote->own.watchdog = choice->watchdog;
		remote->own.sandbox = choice->sandbox;
		remote->own.events = choice->events;
	}
	for (unsigned i = 0; i < choice->each_count; i++) {
		struct move_remote *remote = find_remote(move, choice->each[i].device);

		if (!remote)
			return mpq_fail(error, MPQ_ERROR_REFUSED, "[remote %s]: no device of this "
					"id moves", choice->each[i].device);
		choose(remote, &choice->each[i]);
	}
	return true;
}

/* What only mpqemu-remote has was said of QEMU's own. */
static bool check_no_policy(const struct move *move, const struct move_remote *remote,
			    GError **error)
{
	const struct {
		const char *name, *value;
	} rows[] = {
		{ "on-error", remote->own.on_error }, { "on-crash", remote->own.on_crash },
		{ "watchdog", remote->own.watchdog }, { "events", remote->own.events },
		{ "sandbox", remote->own.sandbox },
	};
	const char *why = "--on-error, --on-crash, --watchdog, --events and --sandbox are "
			  "mpqemu-remote's; QEMU's own x-remote has none of them";

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		if (rows[i].value && move_by_qemu(move, remote->id))
			return mpq_fail(error, MPQ_ERROR_REFUSED, "[remote %s]: %s=%s: "
					"on-error=, on-crash=, watchdog=, events= and sandbox= "
					"are mpqemu-remote's (engine=builtin); engine=qemu has "
					"none of them", remote->id, rows[i].name, rows[i].value);
		if (rows[i].value)
			return mpq_fail(error, MPQ_ERROR_REFUSED, "--%s=%s: %s", rows[i].name,
					rows[i].value, why);
	}
	return true;
}

bool move_check_policy(struct move *move, GError **error)
{
	for (unsigned i = 0; i < move->remotes->len; i++) {
		const struct move_remote *remote = move_remote(move, i);

		if (remote->qemu && !check_no_policy(move, remote, error))
			return false;
	}
	if (!check_stops(move, error))
		return false;
	for (unsigned i = 0; i < move->remotes->len; i++)
		if (!keep_events(move, move_remote(move, i), error))
			return false;
	return true;
}

/* "--NAME=VALUE", if there is a value. */
static void add_own(struct plan_process *process, const char *name, const char *value)
{
	g_autofree char *option = value ? g_strdup_printf("--%s=%s", name, value) : NULL;

	if (option)
		plan_process_arg(process, option);
}

void move_add_policy(struct move *move)
{
	bool first = true;

	for (unsigned i = 0; i < move->remotes->len; i++) {
		struct move_remote *remote = move_remote(move, i);
		struct plan_process *process = move->plan->remotes->pdata[i];

		add_own(process, "on-error", remote->own.on_error);
		add_own(process, "on-crash", remote->own.on_crash);
		add_own(process, "watchdog", remote->own.watchdog);
		add_own(process, "events", remote->own.events);
		add_own(process, "sandbox", remote->own.sandbox);
		plan_process_limit(process, &remote->own.limits);
		if (!needs_qmp(move, remote))
			continue;
		if (first)
			keep_default_monitor(move->cmd);
		first = false;
		connect_remote(move, remote);
	}
}
