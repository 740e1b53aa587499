/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Whose a command is, by what it names.  A node or device that moved has one remote; a command
 * about it goes there.
 *
 * A medium is changed by libvirt (and others) in five steps, of which the remote has two commands:
 *
 *   blockdev-open-tray ID        eject ID
 *   blockdev-remove-medium ID    eject ID, which may be empty by now
 *   blockdev-add NODE            QEMU's, which opens nothing for writing as long as none uses it
 *   blockdev-insert-medium NODE  blockdev-change-medium ID, with the file that NODE stands for
 *   blockdev-close-tray ID       (done)
 *
 * A disk is added to a controller that moved in two steps, of which the remote has both:
 *
 *   blockdev-add NODE            QEMU's, as above
 *   device_add NODE              blockdev-add NODE, and device_add, of the remote
 *   blockdev-del NODE            of both
 */

#include <string.h>

#include "applets/orchestrate/run/relay-priv.h"

#define PERIPHERAL "/machine/peripheral"

/* Keys whose value names a node or a device. */
static const char *const name_keys[] = {
	"id", "device", "node-name", "node", "name", "drive", "target", "base", "base-node", "top",
	"top-node", "overlay", "snapshot-node-name", "replaces", "backing", "file", "data-file",
	"parent", "child", "block-job", NULL
};

enum how {
	HOW_MERGE,
	HOW_PERIPHERAL,		/* a QOM path */
	HOW_NAMED,		/* whose it is the names say */
	HOW_ADD,		/* blockdev-add: noted */
	HOW_DEVICE_ADD,		/* its bus counts too */
	HOW_JOB,		/* its remote may have it, but what comes of it is not merged */
	HOW_OPEN_TRAY, HOW_EJECT, HOW_INSERT, HOW_NOTHING, HOW_DEL,
};

static const struct {
	const char *command;
	enum how how;
} commands[] = {
	{ "query-block", HOW_MERGE }, { "query-blockstats", HOW_MERGE },
	{ "query-named-block-nodes", HOW_MERGE },
	{ "qom-list", HOW_PERIPHERAL }, { "qom-get", HOW_PERIPHERAL },
	{ "qom-set", HOW_PERIPHERAL },
	{ "blockdev-add", HOW_ADD }, { "device_add", HOW_DEVICE_ADD },
	{ "blockdev-open-tray", HOW_OPEN_TRAY }, { "blockdev-remove-medium", HOW_EJECT },
	{ "blockdev-insert-medium", HOW_INSERT }, { "blockdev-close-tray", HOW_NOTHING },
	{ "blockdev-del", HOW_DEL },
	{ "block_resize", HOW_NAMED }, { "eject", HOW_NAMED },
	{ "blockdev-change-medium", HOW_NAMED }, { "device_del", HOW_NAMED },
	{ "block_set_io_throttle", HOW_NAMED }, { "blockdev-reopen", HOW_JOB },
	{ "block-latency-histogram-set", HOW_NAMED }, { "block-set-write-threshold", HOW_JOB },
	{ "blockdev-snapshot", HOW_JOB }, { "blockdev-snapshot-sync", HOW_JOB },
	{ "blockdev-snapshot-internal-sync", HOW_JOB },
	{ "blockdev-snapshot-delete-internal-sync", HOW_JOB },
	{ "blockdev-mirror", HOW_JOB }, { "drive-mirror", HOW_JOB },
	{ "blockdev-backup", HOW_JOB }, { "drive-backup", HOW_JOB },
	{ "block-commit", HOW_JOB }, { "block-stream", HOW_JOB },
	{ "change-backing-file", HOW_JOB }, { "transaction", HOW_JOB },
	{ "block-dirty-bitmap-add", HOW_JOB }, { "block-dirty-bitmap-remove", HOW_JOB },
	{ "block-dirty-bitmap-clear", HOW_JOB }, { "block-dirty-bitmap-enable", HOW_JOB },
	{ "block-dirty-bitmap-disable", HOW_JOB }, { "block-dirty-bitmap-merge", HOW_JOB },
	{ "x-blockdev-change", HOW_NAMED }, { "x-blockdev-set-iothread", HOW_NAMED },
	{ "block-export-add", HOW_NAMED }, { "nbd-server-add", HOW_NAMED },
};

static struct plan_moved *find_moved(const struct qmp_relay *relay, const char *name)
{
	const GArray *moved = relay->run->plan->moved;

	for (unsigned i = 0; name && i < moved->len; i++)
		if (!strcmp(g_array_index(moved, struct plan_moved, i).name, name))
			return &g_array_index(moved, struct plan_moved, i);
	return NULL;
}

/* What the names say: *@first is what moved; false: there are some of different processes. */
static bool find_named(const struct qmp_relay *relay, const char *key, const json_t *value,
		       const struct plan_moved **first)
{
	const struct plan_moved *moved = NULL;
	const char *inner;
	json_t *item;
	size_t i;

	if (json_is_string(value) && key && g_strv_contains(name_keys, key))
		moved = find_moved(relay, json_string_value(value));
	if (moved && *first && (*first)->remote != moved->remote)
		return false;
	*first = *first ?: moved;
	json_object_foreach((json_t *)(uintptr_t)value, inner, item)
		if (!find_named(relay, inner, item, first))
			return false;
	json_array_foreach(value, i, item)
		if (!find_named(relay, key, item, first))
			return false;
	return true;
}

static const char *text_of(const json_t *args, const char *key)
{
	return json_string_value(json_object_get(args, key));
}

static struct route refuse(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static struct route refuse(const char *fmt, ...)
{
	struct route route = { .kind = ROUTE_REFUSED };
	va_list ap;

	va_start(ap, fmt);
	route.why = g_strdup_vprintf(fmt, ap);
	va_end(ap);
	return route;
}

static struct route to_remote(unsigned remote, const char *name, json_t *args)
{
	return (struct route){ .kind = ROUTE_REMOTE, .remote = remote, .name = name, .args = args };
}

static const char *serves(const struct qmp_relay *relay, unsigned remote)
{
	return ((struct plan_process *)relay->run->plan->remotes->pdata[remote])->serves;
}

/* A path, or a name that QOM completes. */
static struct route route_qom(struct qmp_relay *relay, const char *command, const json_t *args)
{
	const char *path = text_of(args, "path");
	const char *name = path && g_str_has_prefix(path, PERIPHERAL "/") ?
			   path + strlen(PERIPHERAL "/") : path;
	g_autofree char *first = name ? g_strndup(name, strcspn(name, "/")) : NULL;
	const struct plan_moved *moved = find_moved(relay, first);

	if (!g_strcmp0(path, PERIPHERAL) && !strcmp(command, "qom-list"))
		return (struct route){ .kind = ROUTE_MERGE };
	if (!moved || !moved->driver)
		return (struct route){ .kind = ROUTE_QEMU };
	return refuse("%s: '%s' is in the process of %s, not in QEMU", command, moved->name,
		      serves(relay, moved->remote));
}

/* ---- Media ---- */

static struct relay_node *find_node(const struct qmp_relay *relay, const char *name)
{
	for (unsigned i = 0; name && i < relay->nodes->len; i++) {
		struct relay_node *node = relay->nodes->pdata[i];

		if (!strcmp(node->name, name))
			return node;
	}
	return NULL;
}

/* The file under a node that a client added: *ret_format is its format, "raw" without one. */
static const char *file_of(const struct qmp_relay *relay, const char *name, const char **ret_format)
{
	const struct relay_node *node = find_node(relay, name);
	const json_t *args = node ? node->args : NULL;
	json_t *file = json_object_get(args, "file");

	*ret_format = text_of(args, "driver");
	if (json_is_string(file)) {
		node = find_node(relay, json_string_value(file));
		args = node ? node->args : NULL;
	} else if (file) {
		args = file;
	} else {
		*ret_format = "raw";
	}
	return !g_strcmp0(text_of(args, "driver"), "file") ? text_of(args, "filename") : NULL;
}

static struct route route_insert(struct qmp_relay *relay, const struct plan_moved *moved,
				 const json_t *args)
{
	const char *format, *node = text_of(args, "node-name");
	const char *file = file_of(relay, node, &format);

	if (!file)
		return refuse("blockdev-insert-medium: '%s' is in the process of %s, and '%s' is "
			      "no node over a file that was added by this monitor",
			      moved->name, serves(relay, moved->remote), node ?: "");
	return to_remote(moved->remote, "blockdev-change-medium",
			 json_pack("{s:s, s:s, s:s}", "id", text_of(args, "id") ?: "", "filename",
				   file, "format", format ?: "raw"));
}

static struct route route_eject(const struct plan_moved *moved, const json_t *args, bool open)
{
	json_t *force = json_object_get(args, "force");
	json_t *eject = json_pack("{s:s}", "id", text_of(args, "id") ?: "");

	if (!open)
		json_object_set_new(eject, "force", json_true());
	else if (force)
		json_object_set(eject, "force", force);
	return to_remote(moved->remote, "eject", eject);
}

/* ---- The whole ---- */

static struct route route_named(struct qmp_relay *relay, enum how how, const char *command,
				const json_t *args)
{
	const struct plan_moved *moved = NULL;
	bool one = find_named(relay, NULL, args, &moved);
	struct route route;

	if (one && !moved)
		return (struct route){ .kind = ROUTE_QEMU };
	if (!one || how == HOW_ADD)
		return refuse("%s: '%s', which it names, is in the process of %s, and the rest is "
			      "not", command, moved->name, serves(relay, moved->remote));
	if (how == HOW_JOB)
		return refuse("%s: '%s' is in the process of %s, whose jobs QEMU's monitor does "
			      "not tell of", command, moved->name, serves(relay, moved->remote));
	if (how == HOW_OPEN_TRAY || how == HOW_EJECT)
		return route_eject(moved, args, how == HOW_OPEN_TRAY);
	if (how == HOW_INSERT)
		return route_insert(relay, moved, args);
	if (how == HOW_NOTHING || (how == HOW_DEL && moved->gone))
		return (struct route){ .kind = ROUTE_DONE };
	/* One that QEMU has as well: route_done() tells the remote. */
	if (how == HOW_DEL && find_node(relay, text_of(args, "node-name")))
		return (struct route){ .kind = ROUTE_QEMU };
	if (((struct plan_process *)relay->run->plan->remotes->pdata[moved->remote])->monitor < 0)
		return refuse("%s: '%s' is in the process of %s, which has no monitor", command,
			      moved->name, serves(relay, moved->remote));
	route = to_remote(moved->remote, command, args ? json_deep_copy(args) : NULL);
	route.gone_is_well = how == HOW_DEL;
	return route;
}

/* The remote that has the bus "ID.0" of a controller that moved, or -1. */
static int remote_of_bus(const struct qmp_relay *relay, const char *bus)
{
	const struct plan *plan = relay->run->plan;

	for (unsigned i = 0; bus && i < plan->qemu->slots->len; i++) {
		const struct plan_slot *slot =
			&g_array_index(plan->qemu->slots, struct plan_slot, i);
		g_autofree char *name = g_strdup_printf("%s.0", slot->device);

		if (slot->pair < plan->pair_count && !strcmp(name, bus))
			return relay->run->pairs[slot->pair].remote - relay->run->remotes;
	}
	return -1;
}

/* The node @name and what is below it, the lowest first; each is the remote's from now on. */
static void add_nodes(struct qmp_relay *relay, const char *name, int remote, json_t *list)
{
	struct relay_node *node = find_node(relay, name);

	if (!node || node->remote >= 0 || json_array_size(list) > 16)
		return;
	node->remote = remote;
	add_nodes(relay, text_of(node->args, "file"), remote, list);
	json_array_append(list, node->args);
}

static struct route route_device_add(struct qmp_relay *relay, const json_t *args)
{
	int remote = remote_of_bus(relay, text_of(args, "bus"));
	struct route route;

	if (remote < 0)
		return route_named(relay, HOW_ADD, "device_add", args);
	route = to_remote(remote, "device_add", json_deep_copy(args));
	route.nodes = json_array();
	add_nodes(relay, text_of(args, "drive"), remote, route.nodes);
	return route;
}

struct route route_find(struct qmp_relay *relay, const char *command, const json_t *args)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
		if (strcmp(commands[i].command, command))
			continue;
		if (commands[i].how == HOW_MERGE)
			return (struct route){ .kind = ROUTE_MERGE };
		if (commands[i].how == HOW_PERIPHERAL)
			return route_qom(relay, command, args);
		if (commands[i].how == HOW_DEVICE_ADD)
			return route_device_add(relay, args);
		return route_named(relay, commands[i].how, command, args);
	}
	return (struct route){ .kind = ROUTE_QEMU };
}

void route_clear(struct route *route)
{
	json_decref(route->args);
	json_decref(route->nodes);
	g_free(route->why);
	*route = (struct route){ 0 };
}

static void add_moved(struct qmp_relay *relay, const char *name, const char *driver, int remote)
{
	struct plan_moved moved = { .remote = remote, .driver = g_strdup(driver) };

	moved.name = g_strdup(name);
	if (name)
		g_array_append_val(relay->run->plan->moved, moved);
	else
		g_free(moved.driver);
}

static void forget_moved(struct qmp_relay *relay, const char *name, bool device)
{
	GArray *moved = relay->run->plan->moved;

	for (unsigned i = moved->len; name && i-- > 0;) {
		const struct plan_moved *one = &g_array_index(moved, struct plan_moved, i);

		if (!strcmp(one->name, name) && !one->driver == !device)
			g_array_remove_index(moved, i);
	}
}

void route_forget(struct qmp_relay *relay, const char *device)
{
	forget_moved(relay, device, true);
}

static void forgotten(void *opaque, const json_t *value, const struct qmp_failure *failure)
{
}

/* QEMU's is deleted; if a remote has one, it is there no longer than QEMU's. */
static void forget_node(struct qmp_relay *relay, const char *name)
{
	struct relay_node *node = find_node(relay, name);

	if (node && node->remote >= 0 && relay->remotes[node->remote].client)
		qmp_client_execute(relay->remotes[node->remote].client, "blockdev-del",
				   json_pack("{s:s}", "node-name", name), -1, 0, forgotten, NULL);
	if (node)
		g_ptr_array_remove(relay->nodes, node);
	forget_moved(relay, name, false);
}

static void note_node(struct qmp_relay *relay, const char *name, const json_t *args)
{
	struct relay_node *node = g_new0(struct relay_node, 1);

	node->name = g_strdup(name);
	node->args = json_deep_copy(args);
	node->remote = -1;
	g_ptr_array_add(relay->nodes, node);
}

/* The disk, and the nodes that it stands on, are the remote's by their names. */
static void note_device(struct qmp_relay *relay, const json_t *args, int remote)
{
	const struct relay_node *node = find_node(relay, text_of(args, "drive"));

	add_moved(relay, text_of(args, "id"), text_of(args, "driver"), remote);
	for (unsigned i = 0; node && i < 16; i++) {
		add_moved(relay, node->name, NULL, remote);
		node = find_node(relay, text_of(node->args, "file"));
	}
}

/* Whatever the remote still has of the medium that was in @device: for clients it is gone. */
static void lose_medium(struct qmp_relay *relay, const char *device)
{
	const GArray *all = relay->run->plan->moved;
	struct plan_moved *moved = find_moved(relay, device);

	for (unsigned i = 0; moved && i < all->len; i++) {
		moved = find_moved(relay, moved->under);
		if (moved && !moved->driver)
			moved->gone = true;
	}
}

void route_done(struct qmp_relay *relay, const char *command, const json_t *args, int remote)
{
	const char *name = text_of(args, "node-name");

	if (!strcmp(command, "device_add") && remote >= 0)
		note_device(relay, args, remote);
	if (!strcmp(command, "blockdev-remove-medium") && remote >= 0)
		lose_medium(relay, text_of(args, "id"));
	if (!name || (strcmp(command, "blockdev-add") && strcmp(command, "blockdev-del")))
		return;
	forget_node(relay, name);
	if (!strcmp(command, "blockdev-add"))
		note_node(relay, name, args);
}
