/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * QEMU's QMP monitors, where its clients have to find the disks that moved: they come to us, and
 * QEMU listens on another socket.  Each remote gets a monitor of its own, of which we are the
 * client.  Only monitors on UNIX sockets that listen can be had so.
 */

#include <string.h>

#include "plan/rewrite/move.h"

/* Of the remotes' command lines. */
#define MONITOR_ID "mpqemu-monitor"
/* Of QEMU's, for a -qmp. */
#define QMP_ID "mpqemu-relay"

static const struct opt_syntax chardev_syntax = { "backend", OPT_DIALECT_QEMUOPTS, false };
static const struct opt_syntax mon_syntax = { "chardev", OPT_DIALECT_QEMUOPTS, false };

/* ---- What moved ---- */

static const char *moved_name(const struct qopt *opt)
{
	if (!strcmp(opt->name, "blockdev"))
		return opt_get(opt->set, "node-name");
	if (!strcmp(opt->name, "drive") || !strcmp(opt->name, "device"))
		return opt_get(opt->set, "id");
	return NULL;
}

static void note_moved(struct move *move)
{
	for_each_qopt(opt, move->cmd) {
		const char *name = opt->owner >= 0 && opt->set ? moved_name(opt) : NULL;
		struct plan_moved moved = { .remote = opt->owner };

		if (!name)
			continue;
		moved.name = g_strdup(name);
		if (!strcmp(opt->name, "device"))
			moved.driver = g_strdup(qopt_type(opt));
		moved.under = g_strdup(opt_get(opt->set, moved.driver ? "drive" : "file"));
		g_array_append_val(move->plan->moved, moved);
	}
}

static void add_remote_monitor(struct move *move, struct plan_process *process, const char *id)
{
	struct plan *plan = move->plan;
	int fd = move_free_fd(move, process);
	g_autofree char *chardev = g_strdup_printf("socket,id=" MONITOR_ID ",fd=%d", fd);

	process->monitor = plan->pair_count + plan->qmp_count++;
	plan_process_arg(process, "-chardev");
	plan_process_arg(process, chardev);
	plan_process_arg(process, "-mon");
	plan_process_arg(process, "chardev=" MONITOR_ID ",mode=control");
	plan_process_slot(process, fd, process->monitor, id);
}

/* ---- QEMU's monitors ---- */

static bool is_on(const struct opt_set *set, const char *key)
{
	bool on = false;

	return opt_get_bool(set, key, &on, NULL) && on;
}

/* One that listens on a UNIX socket, by a path in the file system or a fd? */
static bool can_relay(const struct opt_set *chardev)
{
	return !g_strcmp0(opt_get(chardev, "backend"), "socket") && is_on(chardev, "server") &&
	       !is_on(chardev, "abstract") &&
	       (opt_get(chardev, "path") || opt_get(chardev, "fd"));
}

/* Not by us: then its clients do not find what has moved, and QEMU tells them so. */
static void leave(struct move *move, const struct qopt *opt)
{
	plan_warn(move->plan, "%s %s: disks that moved are not seen there, since it is no UNIX "
		  "socket that listens", opt->word, opt->arg);
}

/* Notes it, and gives @chardev a fd in place of its path. */
static bool take_socket(struct move *move, const struct qopt *opt, struct opt_set *chardev,
			GError **error)
{
	struct plan_relay relay = { .path = g_strdup(opt_get(chardev, "path")) };
	g_autofree char *number = NULL;
	uint64_t fd = 0;

	if (!relay.path) {
		if (!opt_get_uint(chardev, "fd", 31, &fd, error))
			return false;
		if (!rewrite_is_busy(move->facts, fd))
			return qopt_refuse(opt, error, "fd %d is not open", (int)fd);
		relay.fd = fd;
		g_array_append_val(move->plan->relays, relay);
		return true;
	}
	relay.fd = move_free_fd(move, move->plan->qemu);
	number = g_strdup_printf("%d", relay.fd);
	opt_remove(chardev, "path");
	opt_put(chardev, "fd", number);
	g_array_append_val(move->plan->relays, relay);
	return true;
}

static const struct plan_relay *last_relay(const struct move *move)
{
	return &g_array_index(move->plan->relays, struct plan_relay, move->plan->relays->len - 1);
}

static struct qopt *find_chardev(const struct move *move, const char *id,
				 struct opt_set **ret_set)
{
	for_each_qopt(opt, move->cmd) {
		auto_opt_set set = qopt_is(opt, "chardev") && opt->arg ?
				   opt_set_parse(opt->word, opt->arg, &chardev_syntax, NULL) : NULL;

		if (!set || g_strcmp0(opt_get(set, "id"), id))
			continue;
		*ret_set = g_steal_pointer(&set);
		return opt;
	}
	return NULL;
}

/* -mon [chardev=]ID,mode=control */
static bool relay_mon(struct move *move, const struct qopt *mon, GError **error)
{
	auto_opt_set set = opt_set_parse(mon->word, mon->arg, &mon_syntax, NULL);
	auto_opt_set chardev = NULL;
	struct qopt *opt;

	if (!set || g_strcmp0(opt_get(set, "mode"), "control"))
		return true;
	opt = find_chardev(move, opt_get(set, "chardev"), &chardev);
	/* What is wrong there QEMU says better; one of ours (mpqemu-qmp-...) is nobody else's. */
	if (!opt || g_str_has_prefix(opt_get(set, "chardev"), "mpqemu-qmp-"))
		return true;
	if (!can_relay(chardev)) {
		leave(move, opt);
		return true;
	}
	if (!take_socket(move, opt, chardev, error))
		return false;
	/* With a fd it stands as it did. */
	if (last_relay(move)->path) {
		opt->changed = true;
		opt->set = g_steal_pointer(&chardev);
	}
	return true;
}

/* -qmp unix:PATH,server=on,wait=off becomes a -chardev and a -mon. */
static bool relay_qmp(struct move *move, struct qopt *qmp, GError **error)
{
	const char *path = g_str_has_prefix(qmp->arg, "unix:") ? qmp->arg + 5 : "";
	auto_opt_set chardev = opt_set_parse(qmp->word, path, &chardev_syntax, NULL);
	struct opt_set *mon;
	g_autofree char *id = NULL, *where = NULL;

	if (!chardev || !opt_get(chardev, "backend")) {
		leave(move, qmp);
		return true;
	}
	where = g_strdup(opt_get(chardev, "backend"));
	id = g_strdup_printf(QMP_ID "%u", move->plan->relays->len);
	opt_put(chardev, "backend", "socket");
	opt_put(chardev, "id", id);
	opt_put(chardev, "path", where);
	if (!can_relay(chardev)) {
		leave(move, qmp);
		return true;
	}
	if (!take_socket(move, qmp, chardev, error))
		return false;
	mon = opt_set_create("-mon");
	opt_put(mon, "chardev", id);
	opt_put(mon, "mode", "control");
	if (qopt_is(qmp, "qmp-pretty"))
		opt_put(mon, "pretty", "on");
	qmp->owner = QOPT_DROPPED;
	qcmd_insert(move->cmd, move->cmd->opts->len, "chardev", g_steal_pointer(&chardev));
	qcmd_insert(move->cmd, move->cmd->opts->len, "mon", mon);
	return true;
}

bool move_add_relays(struct move *move, GError **error)
{
	const unsigned count = move->cmd->opts->len;

	for (unsigned i = 0; i < count; i++) {
		struct qopt *opt = move->cmd->opts->pdata[i];

		if (qopt_is(opt, "mon") && opt->arg && !relay_mon(move, opt, error))
			return false;
		if ((qopt_is(opt, "qmp") || qopt_is(opt, "qmp-pretty")) && opt->arg &&
		    !relay_qmp(move, opt, error))
			return false;
	}
	if (!move->plan->relays->len)
		return true;
	note_moved(move);
	for (unsigned i = 0; i < move->remotes->len; i++)
		if (!move_remote(move, i)->qemu)
			add_remote_monitor(move, move->plan->remotes->pdata[i],
					   move_remote(move, i)->id);
	return true;
}
