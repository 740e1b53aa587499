/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * An ordinary command line: which devices move, what each takes along, and what stands in their
 * place.  The graph behind a disk is in graph.c.
 *
 * The order of QEMU's command line decides PCI slots and bus names, so nothing changes its place:
 * a moved -device becomes an x-pci-proxy-dev or vfio-user-pci where it stood.  QEMU makes the
 * key=value devices first, in their order, and the JSON ones afterwards; "in order" below means
 * that.
 */

#include "plan/rewrite/move.h"

#include <string.h>

/* ---- What mpqemu-remote emulates ---- */

static const struct {
	const char *driver;
	const char *name;	/* differs where QEMU has an alias */
	bool scsi;		/* has a SCSI bus */
} movable[] = {
	{ "lsi53c895a", "lsi53c895a", true },
	{ "lsi", "lsi53c895a", true },
	{ "lsi53c810", "lsi53c810", true },
	{ "edu", "edu", false },
	{ "edu-pcie", "edu-pcie", false },
};

/* Devices of QEMU with a SCSI bus of their own.  Without an id they share one count of names. */
static const struct {
	const char *driver;
	bool full;		/* takes no disk of the user's */
} scsi_hosts[] = {
	{ "am53c974", false }, { "dc390", false }, { "lsi53c810", false },
	{ "lsi53c895a", false }, { "lsi", false }, { "megasas", false },
	{ "megasas-gen2", false }, { "mptsas1068", false }, { "pvscsi", false },
	{ "usb-bot", false }, { "usb-uas", false }, { "usb-storage", true },
	{ "virtio-scsi", false }, { "virtio-scsi-device", false }, { "virtio-scsi-pci", false },
	{ "virtio-scsi-pci-non-transitional", false },
	{ "virtio-scsi-pci-transitional", false },
};

static const char *const scsi_units[] = {
	"scsi-hd", "scsi-cd", "scsi-block", "scsi-generic", "scsi-disk", NULL
};

/* Types of QEMU whose properties the moved devices have too. */
static const char *const base_types[] = {
	"device", "pci-device", "scsi-device", "scsi-disk-base", NULL
};

static int movable_row(const char *driver)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(movable); i++)
		if (!strcmp(movable[i].driver, driver))
			return i;
	return -1;
}

static int host_row(const char *driver)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(scsi_hosts); i++)
		if (!strcmp(scsi_hosts[i].driver, driver))
			return i;
	return -1;
}

/* The -device options in the order in which QEMU makes them. */
static void collect_devices(struct move *move)
{
	for (int json = 0; json < 2; json++)
		for_each_qopt(opt, move->cmd)
			if (qopt_is(opt, "device") && opt->set->json == json)
				g_ptr_array_add(move->devices, opt);
}

/* ---- Who moves ---- */

static bool is_named(char **ids, const char *id)
{
	return ids && id && g_strv_contains((const char *const *)ids, id);
}

static bool check_names(struct move *move, const char *option, char **ids, GError **error)
{
	for (; ids && *ids; ids++) {
		struct qopt *opt = qcmd_find_id(move->cmd, "device", *ids);

		if (!opt)
			return mpq_fail(error, MPQ_ERROR_USAGE, "%s %s: no -device has this id",
					option,
					*ids);
		if (movable_row(qopt_type(opt)) < 0 && !move_by_qemu(move, *ids))
			return mpq_fail(error, MPQ_ERROR_REFUSED, "%s %s: mpqemu-remote does not "
					"emulate %s", option, *ids, qopt_type(opt));
	}
	return true;
}

static bool is_chosen(const struct move *move, const struct qopt *opt)
{
	const char *id = opt_get(opt->set, "id");

	if ((movable_row(qopt_type(opt)) < 0 && !move_by_qemu(move, id)) ||
	    is_named(move->choice->local, id))
		return false;
	return !move->choice->remote || is_named(move->choice->remote, id);
}

static bool check_choice(struct move *move, GError **error)
{
	if (!check_names(move, "--remote", move->choice->remote, error) ||
	    !check_names(move, "--local", move->choice->local, error))
		return false;
	for (char **id = move->choice->remote; id && *id; id++)
		if (is_named(move->choice->local, *id))
			return mpq_fail(error, MPQ_ERROR_USAGE, "--remote %s: it is also among "
					"those that stay (local)", *id);
	return true;
}

/* ---- SCSI buses ---- */

/* Gives the device its id and its bus a name that does not depend on the other devices. */
static struct move_host *add_host(struct move *move, struct qopt *opt, unsigned *unnamed)
{
	struct move_host host = { .opt = opt, .owner = QOPT_QEMU };
	const char *id = opt_get(opt->set, "id");

	host.full = scsi_hosts[host_row(qopt_type(opt))].full;
	host.bus = id ? g_strdup_printf("%s.0", id) : g_strdup_printf("scsi.%u", (*unnamed)++);
	g_array_append_val(move->hosts, host);
	return &g_array_index(move->hosts, struct move_host, move->hosts->len - 1);
}

static struct move_host *host_by_bus(struct move *move, const char *bus)
{
	for (unsigned i = 0; i < move->hosts->len; i++) {
		struct move_host *host = &g_array_index(move->hosts, struct move_host, i);

		if (!strcmp(host->bus, bus))
			return host;
	}
	return NULL;
}

/*
 * The bus that QEMU finds for a disk that names none: it looks at the newest device first.  That
 * holds along one PCI bus; *ret_sure is false when the hosts stand on different ones.
 */
static struct move_host *newest_host(struct move *move, bool *ret_sure)
{
	struct move_host *found = NULL;

	*ret_sure = true;
	for (unsigned i = move->hosts->len; i-- > 0;) {
		struct move_host *host = &g_array_index(move->hosts, struct move_host, i);

		if (host->full)
			continue;
		if (!found)
			found = host;
		else if (g_strcmp0(opt_get(host->opt->set, "bus"), opt_get(found->opt->set, "bus")))
			*ret_sure = false;
	}
	return found;
}

/* A name "scsi.N" counts the hosts without an id, of which there may be fewer now. */
static char *new_bus_name(struct move *move, const struct move_host *host)
{
	unsigned unnamed = 0;

	if (host->owner != QOPT_QEMU)
		return g_strdup_printf("%s.0", move_remote(move, host->owner)->id);
	if (opt_get(host->opt->set, "id"))
		return g_strdup(host->bus);
	for (unsigned i = 0; i < move->hosts->len; i++) {
		struct move_host *other = &g_array_index(move->hosts, struct move_host, i);

		if (other == host)
			break;
		unnamed += other->owner == QOPT_QEMU && !opt_get(other->opt->set, "id");
	}
	return g_strdup_printf("scsi.%u", unnamed);
}

/* ---- The devices that move ---- */

static bool check_rom(const struct move *move, const struct qopt *opt, GError **error)
{
	const char *rom = opt_get(opt->set, "romfile");

	if (rom && *rom && !move->vfio_user)
		return qopt_refuse(opt, error, "romfile=: QEMU's proxy shows the guest no "
				   "expansion ROM");
	return true;
}

/* QEMU's name for it, not an alias.  It stays when the option becomes the proxy. */
static const char *driver_name(const struct qopt *opt)
{
	int row = movable_row(qopt_type(opt));

	return row < 0 ? g_intern_string(qopt_type(opt)) : movable[row].name;
}

static bool add_remote(struct move *move, struct qopt *opt, GError **error)
{
	struct move_remote remote = { .opt = opt, .index = move->remotes->len };
	const char *id = opt_get(opt->set, "id");
	bool by_qemu = move_by_qemu(move, id);

	if (move->attach && !move_check_attached(move, opt, error))
		return false;
	if (remote.index >= MOVE_MAX_REMOTES)
		return qopt_refuse(opt, error, "more than %d devices cannot move",
				   MOVE_MAX_REMOTES);
	if (!check_rom(move, opt, error) ||
	    (by_qemu && (!move_check_engine(opt, id, error) ||
			 !move_take_netdev(move, opt, remote.index, error))))
		return false;
	remote.id = id ? g_strdup(id) : rewrite_new_id(move->cmd, "device", "remote");
	if (!id) {
		opt_put(opt->set, "id", remote.id);
		plan_note(move->plan, "%s got the id '%s'", qopt_where(opt), remote.id);
	}
	remote.keep = g_array_new(false, false, sizeof(int));
	remote.driver = driver_name(opt);
	remote.qemu = by_qemu || rewrite_is_qemu(move->facts->remote_prefix[0]);
	remote.what = g_string_new(remote.driver);
	remote.device = opt_set_copy(opt->set);
	remote.was_json = opt->set->json;
	opt_put(remote.device, "driver", remote.driver);
	move_remove_slot_keys(move, remote.device);
	g_array_append_val(move->remotes, remote);
	return true;
}

/* ---- What hangs on them ---- */

static bool is_scsi_unit(const struct qopt *opt)
{
	return g_strv_contains(scsi_units, qopt_type(opt));
}

/* The host whose bus this disk is on, or NULL when it is none that was seen. */
static bool find_host(struct move *move, struct qopt *opt, struct move_host **ret, GError **error)
{
	const char *bus = opt_get(opt->set, "bus");
	bool sure;

	if (bus) {
		*ret = host_by_bus(move, bus);
		return true;
	}
	*ret = newest_host(move, &sure);
	if (!sure)
		return qopt_refuse(opt, error, "it names no bus, and there are SCSI controllers on "
				   "several PCI buses; say bus=");
	return true;
}

static bool take_unit(struct move *move, struct qopt *opt, struct move_host *host, GError **error)
{
	struct move_remote *remote = move_remote(move, host->owner);
	const char *type = qopt_type(opt);
	g_autofree char *bus = NULL;
	const char *name;

	if (strcmp(type, "scsi-hd") && strcmp(type, "scsi-cd") && !remote->qemu)
		return qopt_refuse(opt, error, "mpqemu-remote has scsi-hd and scsi-cd, not %s; "
				   "--local %s leaves the controller in QEMU", type, remote->id);
	bus = g_strdup_printf("%s.0", remote->id);
	if (g_strcmp0(opt_get(opt->set, "bus"), bus)) {
		opt_put(opt->set, "bus", bus);
		opt->changed = true;
	}
	opt->owner = host->owner;
	name = opt_get(opt->set, "id") ?: opt_get(opt->set, "drive");
	g_string_append_printf(remote->what, "%s %s%s%s", remote->disks++ ? "," : ";", type,
			       name ? " " : "", name ?: "");
	return move_disk_graph(move, opt, remote, error);
}

/* A disk that stays, on a host that stays and whose bus has another name now. */
static void rename_bus(struct move *move, struct qopt *opt, struct move_host *host)
{
	g_autofree char *name = new_bus_name(move, host);

	if (!opt_get(opt->set, "bus") || !strcmp(name, opt_get(opt->set, "bus")))
		return;
	plan_note(move->plan, "%s: its bus is called %s now", qopt_where(opt), name);
	opt_put(opt->set, "bus", name);
	opt->changed = true;
}

static bool place_unit(struct move *move, struct qopt *opt, GError **error)
{
	struct move_host *host;

	if (!find_host(move, opt, &host, error))
		return false;
	if (!host)
		return true;
	if (host->owner != QOPT_QEMU)
		return take_unit(move, opt, host, error);
	rename_bus(move, opt, host);
	return true;
}

/* Something else on a moved controller's bus. */
static bool check_stranger(struct move *move, const struct qopt *opt, GError **error)
{
	const char *bus = opt_get(opt->set, "bus");
	struct move_host *host = bus ? host_by_bus(move, bus) : NULL;

	if (host && host->owner != QOPT_QEMU)
		return qopt_refuse(opt, error, "mpqemu-remote has no %s for this bus; --local %s "
				   "leaves the controller in QEMU", qopt_type(opt),
				   move_remote(move, host->owner)->id);
	return true;
}

static bool place_device(struct move *move, struct qopt *opt, unsigned *unnamed, GError **error)
{
	const char *driver = qopt_type(opt);
	bool chosen = is_chosen(move, opt);
	struct move_host *host = NULL;

	if ((move->vmm || move->attach) && movable_row(driver) < 0 && !is_scsi_unit(opt))
		return qopt_refuse(opt, error, "mpqemu-remote does not emulate it");
	if (!strcmp(driver, "x-pci-proxy-dev"))
		return qopt_refuse(opt, error, "a command line that has its proxies already needs "
				   "the remotes' command lines too: REMOTE ... --- QEMU ...");
	if (is_scsi_unit(opt))
		return place_unit(move, opt, error);
	if (host_row(driver) >= 0)
		host = add_host(move, opt, unnamed);
	if (!chosen)
		return check_stranger(move, opt, error);
	if (host)
		host->owner = move->remotes->len;
	return add_remote(move, opt, error);
}

static bool place_devices(struct move *move, GError **error)
{
	unsigned unnamed = 0;

	for (unsigned i = 0; i < move->devices->len; i++)
		if (!place_device(move, move->devices->pdata[i], &unnamed, error))
			return false;
	if (move->remotes->len)
		return true;
	return mpq_fail(error, MPQ_ERROR_NOTHING, "nothing to move: no -device %s is one that "
			"mpqemu-remote emulates (lsi53c895a, lsi53c810, edu, edu-pcie)",
			move->choice->remote || move->choice->local ? "of those chosen" : "here");
}

/* ---- -set and -global ---- */

/* "-set device.ID.KEY=VALUE" of something that moves is written into it. */
static bool apply_set(struct move *move, struct qopt *opt, GError **error)
{
	const char *eq = strchr(opt->arg, '=');
	g_autofree char *left = eq ? g_strndup(opt->arg, eq - opt->arg) : NULL;
	g_auto(GStrv) part = left ? g_strsplit(left, ".", 3) : NULL;
	struct qopt *target;

	if (!part || !part[0] || !part[1] || !part[2])
		return true;
	target = qcmd_find_id(move->cmd, part[0], part[1]);
	if (!target || target->set->json ||
	    (strcmp(part[0], "device") && strcmp(part[0], "drive")))
		return true;
	opt_put(target->set, part[2], eq + 1);
	target->changed = true;
	opt->owner = QOPT_DROPPED;
	return true;
}

static bool apply_sets(struct move *move, GError **error)
{
	for_each_qopt(opt, move->cmd)
		if (qopt_is(opt, "set") && !apply_set(move, opt, error))
			return false;
	return true;
}

/* Is it the -device of a moved controller, where the proxy will stand? */
static bool is_proxied(const struct move *move, const struct qopt *opt)
{
	for (unsigned i = 0; i < move->remotes->len; i++)
		if (move_remote(move, i)->opt == opt)
			return true;
	return false;
}

/* What a -global says. */
struct global {
	char *driver, *key, *value;
};

static void global_clear(struct global *global)
{
	g_free(global->driver);
	g_free(global->key);
	g_free(global->value);
}

/* "DRIVER.KEY=VALUE" or "driver=DRIVER,property=KEY,value=VALUE".  False: it is neither. */
static bool global_parse(const char *arg, struct global *ret)
{
	const char *dot = strchr(arg, '.');
	const char *eq = strchr(arg, '=');
	auto_opt_set set = NULL;

	if (dot && eq && dot < eq) {
		ret->driver = g_strndup(arg, dot - arg);
		ret->key = g_strndup(dot + 1, eq - dot - 1);
		ret->value = g_strdup(eq + 1);
		return true;
	}
	set = opt_set_parse("-global", arg, &opt_syntax_plain, NULL);
	if (!set || !opt_get(set, "driver") || !opt_get(set, "property") || !opt_get(set, "value"))
		return false;
	ret->driver = g_strdup(opt_get(set, "driver"));
	ret->key = g_strdup(opt_get(set, "property"));
	ret->value = g_strdup(opt_get(set, "value"));
	return true;
}

/* JSON has types, -global has not. */
static void put_global(struct opt_set *set, const struct global *global)
{
	bool on = !strcmp(global->value, "on") || !strcmp(global->value, "true");
	bool off = !strcmp(global->value, "off") || !strcmp(global->value, "false");
	bool number = g_ascii_string_to_unsigned(global->value, 10, 0, G_MAXINT64, NULL, NULL);

	if (opt_get(set, global->key))
		return;
	if (set->json && (on || off))
		opt_put_typed(set, global->key, OPT_BOOL, on ? "on" : "off");
	else if (set->json && number)
		opt_put_typed(set, global->key, OPT_NUMBER, global->value);
	else
		opt_put(set, global->key, global->value);
}

/* Writes it into the devices that have moved.  *ret_stays: some that it means are in QEMU. */
static unsigned spread_global(struct move *move, const struct global *global, bool *ret_stays)
{
	unsigned count = 0;

	*ret_stays = false;
	for (unsigned i = 0; i < move->remotes->len; i++)
		if (!strcmp(move_remote(move, i)->driver, global->driver)) {
			put_global(move_remote(move, i)->device, global);
			count++;
		}
	for (unsigned i = 0; i < move->devices->len; i++) {
		struct qopt *opt = move->devices->pdata[i];

		if (strcmp(qopt_type(opt), global->driver))
			continue;
		if (opt->owner >= 0) {
			put_global(opt->set, global);
			opt->changed = true;
			count++;
		} else if (!is_proxied(move, opt)) {
			*ret_stays = true;
		}
	}
	return count;
}

/* A bit for each; a word has as many as there may be. */
static uint64_t all_remotes(const struct move *move)
{
	unsigned count = move->remotes->len;

	return count ? UINT64_MAX >> (MOVE_MAX_REMOTES - count) : 0;
}

/*
 * A -global goes into each moved device that does not say otherwise itself, as QEMU would have
 * done; it stays for those that stay.
 */
static bool apply_globals(struct move *move, GError **error)
{
	for_each_qopt(opt, move->cmd) {
		struct global global = { NULL, NULL, NULL };
		bool stays;

		if (qopt_is(opt, "msg"))
			opt->copies = all_remotes(move);
		if (!qopt_is(opt, "global") || !global_parse(opt->arg, &global))
			continue;
		if (g_strv_contains(base_types, global.driver)) {
			global_clear(&global);
			return qopt_refuse(opt, error, "it is also meant for devices that move; "
					   "write it into their -device");
		}
		if (spread_global(move, &global, &stays) && !stays)
			opt->owner = QOPT_DROPPED;
		global_clear(&global);
	}
	return true;
}

/* ---- Writing it down ---- */

static bool has_int(const GArray *array, int value)
{
	for (unsigned i = 0; i < array->len; i++)
		if (g_array_index(array, int, i) == value)
			return true;
	return false;
}

/*
 * The remote's command line, in the order of the original: its controller stands where it stood
 * among what it takes along.
 */
static bool write_options(struct move *move, struct move_remote *remote,
			  struct plan_process *process, GError **error)
{
	struct qopt device = { .word = (char[]){ "-device" }, .set = remote->device,
			       .changed = true };

	for_each_qopt(opt, move->cmd) {
		bool mine = opt->owner == (int)remote->index ||
			    qopt_copied_to(opt, remote->index);

		if (opt == remote->opt ? !qopt_emit(&device, process->argv, error) :
					 mine && !qopt_emit(opt, process->argv, error))
			return false;
	}
	return true;
}

static bool write_remote(struct move *move, struct move_remote *remote, GError **error)
{
	static const char *const qemu_words[] = {
		"-nodefaults", "-no-user-config", "-display", "none", NULL
	};
	/* As far as x-remote bears it: it was started so with each device of engine.c. */
	static const char *const sandbox_words[] = {
		"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,"
		"resourcecontrol=deny", NULL
	};
	const char *const qemu[] = { move->cmd->prefix->pdata[0], NULL };
	bool by_qemu = move_by_qemu(move, remote->id);
	const char *const *prefix = by_qemu ? qemu : move->facts->remote_prefix;
	struct plan_process *process = plan_process_create();
	int fd = 3;

	g_ptr_array_add(move->plan->remotes, process);
	for (const char *const *word = prefix; *word; word++)
		plan_process_arg(process, *word);
	process->is_qemu = remote->qemu;
	plan_process_arg(process, "-machine");
	plan_process_arg(process, move->vfio_user ? "x-remote,vfio-user=on" : "x-remote");
	for (const char *const *word = qemu_words; process->is_qemu && *word; word++)
		plan_process_arg(process, *word);
	for (const char *const *word = sandbox_words; by_qemu && *word; word++)
		plan_process_arg(process, *word);
	g_array_append_vals(process->keep, remote->keep->data, remote->keep->len);
	while (has_int(process->keep, fd))
		fd++;
	process->serves = g_strdup_printf("%s (%s)", remote->id, remote->what->str);
	return write_options(move, remote, process, error) &&
	       move_write_server(move, process, remote, fd, error);
}

/* QEMU keeps what it inherited, but for the images that moved. */
static void keep_qemu_fds(struct move *move)
{
	for (unsigned i = 0; i < move->facts->busy_count; i++) {
		int fd = move->facts->busy_fds[i];
		bool moved = false;

		for (unsigned r = 0; r < move->remotes->len; r++)
			moved = moved || has_int(move_remote(move, r)->keep, fd);
		if (moved)
			g_array_append_val(move->plan->qemu->drop, fd);
	}
}

static bool write_qemu(struct move *move, GError **error)
{
	const struct rewrite_uses uses = {
		.mpqemu = !move->vfio_user, .vfio_user = move->vfio_user,
		.in_place = move->choice->in_place,
		.qemu_remote = rewrite_has_qemu_remote(move->choice, move->facts),
	};

	if (!rewrite_memory(move->cmd, move->plan, &uses, true, error) ||
	    !rewrite_check(move->cmd, move->plan, move->facts, &uses, error))
		return false;
	if (move->vfio_user)
		plan_note(move->plan, "the protocol is vfio-user, which QEMU %u.%u has",
			  move->facts->qemu_major, move->facts->qemu_minor);
	g_ptr_array_add(move->plan->qemu->argv, g_strdup(move->cmd->prefix->pdata[0]));
	return rewrite_emit(move->cmd, QOPT_QEMU, move->plan->qemu->argv, error);
}

bool move_check_used(const struct move *move, GError **error)
{
	for_each_qopt(opt, move->cmd)
		if (opt->owner == QOPT_QEMU && !opt->copies && !is_proxied(move, opt))
			return qopt_refuse(opt, error, "no device that moves uses it");
	return true;
}

static bool write_vmm(struct move *move, GError **error)
{
	g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);

	if (!move_check_used(move, error))
		return false;
	for (unsigned i = 0; i < move->remotes->len; i++)
		g_ptr_array_add(paths, rewrite_socket_path(move->facts, move_remote(move, i)->id,
							   NULL));
	return rewrite_cloud_argv(move->vmm, paths, move->plan, error);
}

static bool write_plan(struct move *move, GError **error)
{
	int fd = 3;

	move->plan->pair_count = move->remotes->len;
	for (unsigned i = 0; i < move->remotes->len; i++, fd++) {
		struct move_remote *remote = move_remote(move, i);

		while (rewrite_is_busy(move->facts, fd))
			fd++;
		if (!write_remote(move, remote, error) ||
		    !move_put_client(move, remote, fd, error))
			return false;
	}
	if (move->vfio_user) {
		move_warn_of_slots(move);
		move_order_clients(move);
	}
	move_add_policy(move);
	if (move->attach)
		return move_check_used(move, error);
	if (move->choice->in_place && !move_add_relays(move, error))
		return false;
	plan_process_limit(move->plan->qemu, &move->choice->qemu_limits);
	keep_qemu_fds(move);
	return move->vmm ? write_vmm(move, error) : write_qemu(move, error);
}

/* ---- The whole ---- */

static void host_clear(void *p)
{
	g_free(((struct move_host *)p)->bus);
}

static void remote_clear(void *p)
{
	struct move_remote *remote = p;

	g_free(remote->id);
	opt_set_destroy(remote->device);
	g_string_free(remote->what, true);
	g_array_unref(remote->keep);
}

static struct move move_create(struct qcmd *cmd, const struct rewrite_choice *choice,
			       const struct rewrite_facts *facts)
{
	struct move move = { .cmd = cmd, .choice = choice, .facts = facts };

	move.plan = plan_create();
	move.devices = g_ptr_array_new();
	move.hosts = g_array_new(false, false, sizeof(struct move_host));
	g_array_set_clear_func(move.hosts, host_clear);
	move.remotes = g_array_new(false, false, sizeof(struct move_remote));
	g_array_set_clear_func(move.remotes, remote_clear);
	return move;
}

static bool move_run(struct move *move, GError **error)
{
	collect_devices(move);
	if (!qcmd_check_ids(move->cmd, error))
		return false;
	if (!apply_sets(move, error) || !check_choice(move, error) || !place_devices(move, error) ||
	    !move_check_graph(move, error) || !move_drop_bootindexes(move, error))
		return false;
	return apply_globals(move, error) && move_choose_each(move, error) &&
	       move_check_policy(move, error) && write_plan(move, error);
}

/*
 * @vmm: NULL, or Cloud Hypervisor's command line, and @line has the devices alone.  @ret_device:
 * NULL, or @line is for a VM that runs.
 */
static struct plan *move_plan(char *const *line, char *const *vmm, bool vfio_user,
			      const struct rewrite_choice *choice,
			      const struct rewrite_facts *facts, struct json_t **ret_device,
			      GError **error)
{
	auto_qcmd cmd = qcmd_parse(line, error);
	struct plan *plan = NULL;
	struct move move;

	if (!cmd)
		return NULL;
	move = move_create(cmd, choice, facts);
	move.vmm = vmm;
	move.vfio_user = vfio_user;
	move.attach = ret_device;
	if (move_run(&move, error) &&
	    (!ret_device || (*ret_device = move_device_json(&move, error))))
		plan = g_steal_pointer(&move.plan);
	plan_destroy(move.plan);
	g_ptr_array_unref(move.devices);
	g_array_unref(move.hosts);
	g_array_unref(move.remotes);
	return plan;
}

struct plan *rewrite_move(char *const *qemu, const struct rewrite_choice *choice,
			  const struct rewrite_facts *facts, GError **error)
{
	bool vfio_user = false;

	if (!rewrite_pick(choice, facts, &vfio_user, error))
		return NULL;
	return move_plan(qemu, NULL, vfio_user, choice, facts, NULL, error);
}

struct plan *rewrite_attach(char *const *words, const struct rewrite_choice *choice,
			    const struct rewrite_facts *facts, struct json_t **ret_device,
			    GError **error)
{
	bool vfio_user = false;

	if (!rewrite_pick(choice, facts, &vfio_user, error))
		return NULL;
	return move_plan(words, NULL, vfio_user, choice, facts, ret_device, error);
}

struct plan *rewrite_cloud(char *const *vmm, char *const *devices,
			   const struct rewrite_choice *choice, const struct rewrite_facts *facts,
			   GError **error)
{
	if (choice->protocol == REWRITE_PROTOCOL_MPQEMU) {
		mpq_fail(error, MPQ_ERROR_REFUSED, "--protocol=mpqemu: Cloud Hypervisor speaks "
			 "vfio-user only");
		return NULL;
	}
	if (rewrite_is_qemu(facts->remote_prefix[0])) {
		mpq_fail(error, MPQ_ERROR_REFUSED, "QEMU's own x-remote gets mpqemu from here, and "
			 "Cloud Hypervisor speaks vfio-user only");
		return NULL;
	}
	return move_plan(devices, vmm, true, choice, facts, NULL, error);
}
