/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Which protocol a plan speaks, and what of it stands in the two command lines: x-remote-object and
 * x-pci-proxy-dev for mpqemu, x-vfio-user-server and vfio-user-pci for vfio-user.
 */

#include <string.h>

#include "plan/rewrite/move.h"

/* QEMU has vfio-user-pci from this version on. */
#define VFIO_USER_MAJOR 10
#define VFIO_USER_MINOR 1
#define VFIO_USER_SINCE "10.1"

/* Properties of the PCI slot: they stay in QEMU.  All others go with the device. */
static const struct {
	const char *key;
	enum opt_type type;	/* in JSON */
	bool vfio_user;		/* vfio-user-pci alone has it */
} slot_keys[] = {
	{ "bus", OPT_STRING, false },
	{ "addr", OPT_STRING, false },
	{ "multifunction", OPT_BOOL, false },
	{ "acpi-index", OPT_NUMBER, false },
	{ "failover_pair_id", OPT_STRING, false },
	{ "bootindex", OPT_NUMBER, true },
};

/* ---- The choice ---- */

static bool lacks_vfio_user(const struct rewrite_facts *facts, const char *what, GError **error)
{
	bool old = facts->qemu_major < VFIO_USER_MAJOR ||
		   (facts->qemu_major == VFIO_USER_MAJOR && facts->qemu_minor < VFIO_USER_MINOR);

	if (old)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "%s: this is QEMU %u.%u, and "
				"vfio-user-pci is in QEMU " VFIO_USER_SINCE " or later", what,
				facts->qemu_major, facts->qemu_minor);
	return mpq_fail(error, MPQ_ERROR_REFUSED, "%s: this QEMU (%u.%u) was built without "
			"vfio-user-pci", what, facts->qemu_major, facts->qemu_minor);
}

static bool lacks_proxy(const struct rewrite_facts *facts, const char *what, GError **error)
{
	return mpq_fail(error, MPQ_ERROR_REFUSED, "%s: this QEMU (%u.%u) has no x-pci-proxy-dev: "
			"it was built without multi-process support", what, facts->qemu_major,
			facts->qemu_minor);
}

static bool pick_auto(const struct rewrite_facts *facts, bool qemu_remote, bool *ret,
		      GError **error)
{
	if (qemu_remote && !facts->has_proxy)
		return lacks_proxy(facts, "QEMU's own x-remote", error);
	if (!facts->has_vfio_user && !facts->has_proxy)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "this QEMU (%u.%u) has neither "
				"vfio-user-pci (" VFIO_USER_SINCE " or later) nor x-pci-proxy-dev "
				"(multi-process support): no device can leave it",
				facts->qemu_major, facts->qemu_minor);
	*ret = facts->has_vfio_user && !qemu_remote;
	return true;
}

bool rewrite_pick(const struct rewrite_choice *choice, const struct rewrite_facts *facts,
		  bool *ret_vfio_user, GError **error)
{
	bool qemu_remote = rewrite_has_qemu_remote(choice, facts);
	enum rewrite_protocol wanted = choice->protocol;

	if (wanted == REWRITE_PROTOCOL_AUTO)
		return pick_auto(facts, qemu_remote, ret_vfio_user, error);
	*ret_vfio_user = wanted == REWRITE_PROTOCOL_VFIO_USER;
	if (!*ret_vfio_user)
		return facts->has_proxy || lacks_proxy(facts, "--protocol=mpqemu", error);
	if (qemu_remote)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "--protocol=vfio-user: it is "
				"mpqemu-remote's; QEMU's own x-remote gets mpqemu from here");
	return facts->has_vfio_user || lacks_vfio_user(facts, "--protocol=vfio-user", error);
}

bool rewrite_can(const struct rewrite_facts *facts, bool vfio_user, const char *what,
		 GError **error)
{
	if (vfio_user)
		return facts->has_vfio_user || lacks_vfio_user(facts, what, error);
	return facts->has_proxy || lacks_proxy(facts, what, error);
}

/* ---- QEMU's side ---- */

static int slot_row(const char *key, bool vfio_user)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(slot_keys); i++)
		if (!strcmp(slot_keys[i].key, key) && (vfio_user || !slot_keys[i].vfio_user))
			return i;
	return -1;
}

void move_remove_slot_keys(const struct move *move, struct opt_set *set)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(slot_keys); i++)
		if (move->vfio_user || !slot_keys[i].vfio_user)
			opt_remove(set, slot_keys[i].key);
}

/* A key that the client does not take, or NULL. */
static const char *device_key(const struct opt_set *set, bool vfio_user)
{
	for (size_t i = 0; i < set->count; i++) {
		const char *key = set->opt[i].key;

		if (strcmp(key, "id") && strcmp(key, "driver") && slot_row(key, vfio_user) < 0)
			return key;
	}
	return NULL;
}

static void keep_slot_keys(struct opt_set *set, bool vfio_user)
{
	for (const char *key; (key = device_key(set, vfio_user));) {
		g_autofree char *copy = g_strdup(key);

		opt_remove(set, copy);
	}
}

/* A key=value text as the JSON of its type. */
static bool put_json(struct opt_set *to, const struct opt_set *from, unsigned row, GError **error)
{
	const char *key = slot_keys[row].key;
	g_autofree char *number = NULL;
	bool on = false;
	int64_t value = 0;

	switch (slot_keys[row].type) {
	case OPT_BOOL:
		if (!opt_get_bool(from, key, &on, error))
			return false;
		opt_put_typed(to, key, OPT_BOOL, on ? "on" : "off");
		return true;
	case OPT_NUMBER:
		if (!opt_get_int(from, key, 64, &value, error))
			return false;
		number = g_strdup_printf("%" G_GINT64_FORMAT, value);
		opt_put_typed(to, key, OPT_NUMBER, number);
		return true;
	default:
		opt_put(to, key, opt_get(from, key));
		return true;
	}
}

/* The same properties in JSON: the only form in which a -device takes a socket. */
static struct opt_set *as_json(const struct opt_set *from, GError **error)
{
	auto_opt_set to = opt_set_create(from->where);

	to->json = true;
	opt_put(to, "driver", opt_get(from, "driver"));
	opt_put(to, "id", opt_get(from, "id"));
	for (unsigned i = 0; i < G_N_ELEMENTS(slot_keys); i++)
		if (opt_find(from, slot_keys[i].key) && !put_json(to, from, i, error))
			return NULL;
	return g_steal_pointer(&to);
}

static bool put_vfio_user_pci(struct move *move, struct move_remote *remote, GError **error)
{
	struct qopt *opt = remote->opt;
	g_autofree char *path = rewrite_socket_path(move->facts, remote->id, error);
	struct opt_set *json;

	if (!path)
		return false;
	if (!opt->set->json) {
		json = as_json(opt->set, error);
		if (!json)
			return false;
		opt_set_destroy(opt->set);
		opt->set = json;
	}
	opt_put(opt->set, "socket.type", "unix");
	opt_put(opt->set, "socket.path", path);
	opt->changed = true;
	return true;
}

bool move_put_client(struct move *move, struct move_remote *remote, int fd, GError **error)
{
	struct opt_set *set = remote->opt->set;
	g_autofree char *number = g_strdup_printf("%d", fd);

	keep_slot_keys(set, move->vfio_user);
	opt_put(set, "driver", move->vfio_user ? "vfio-user-pci" : "x-pci-proxy-dev");
	if (move->vfio_user)
		return put_vfio_user_pci(move, remote, error);
	opt_put(set, "fd", number);
	remote->opt->changed = true;
	plan_process_slot(move->plan->qemu, fd, remote->index, remote->id);
	return true;
}

/* ---- For a VM that runs ---- */

bool move_check_attached(const struct move *move, const struct qopt *opt, GError **error)
{
	if (move->remotes->len)
		return qopt_refuse(opt, error, "attach takes one controller with its disks, and "
				   "'%s' stands before it", move_remote(move, 0)->id);
	if (!opt_get(opt->set, "id"))
		return qopt_refuse(opt, error, "it needs an id=, by which detach finds it");
	return true;
}

/* How the client reaches the remote is known when that runs. */
static void remove_connection(struct opt_set *set)
{
	opt_remove(set, "fd");
	opt_remove(set, "socket.type");
	opt_remove(set, "socket.path");
}

struct json_t *move_device_json(const struct move *move, GError **error)
{
	auto_opt_set set = opt_set_copy(move_remote(move, 0)->opt->set);
	auto_opt_set json = NULL;

	remove_connection(set);
	if (set->json)
		return opt_set_to_json(set, error);
	json = as_json(set, error);
	return json ? opt_set_to_json(json, error) : NULL;
}

/* ---- Slots that would move ---- */

/* Devices that are on no PCI bus, by how their drivers' names start. */
static const char *const other_buses[] = {
	"scsi-", "ide-", "isa-", "hda-", "usb-tablet", "usb-kbd", "usb-mouse", "usb-storage",
	"usb-hub", "virtserialport", "virtconsole", "pc-dimm", "nvdimm", "floppy", "ps2-",
	"x-pci-proxy-dev", "vfio-user-pci", NULL
};

static bool takes_next_slot(const struct qopt *opt)
{
	if (!qopt_is(opt, "device") || opt->set->json || opt_get(opt->set, "addr"))
		return false;
	for (const char *const *prefix = other_buses; *prefix; prefix++)
		if (g_str_has_prefix(qopt_type(opt), *prefix))
			return false;
	return true;
}

/*
 * QEMU makes the devices that are written in JSON after all others.  One that was key=value has
 * lost its turn, and what stood behind it comes one slot earlier.
 */
void move_warn_of_slots(struct move *move)
{
	const struct move_remote *first = NULL;

	for_each_qopt(opt, move->cmd) {
		for (unsigned i = 0; !first && i < move->remotes->len; i++) {
			const struct move_remote *remote = move_remote(move, i);

			if (remote->opt == opt && !remote->was_json)
				first = remote;
		}
		if (!first || first->opt == opt || !takes_next_slot(opt))
			continue;
		plan_warn(move->plan, "QEMU makes vfio-user-pci after the devices that are written "
			  "key=value, so '%s' and those behind it (%s) may get other PCI slots; "
			  "addr= keeps them", first->id, qopt_where(opt));
		return;
	}
}

/* Was it written in JSON on the original command line? */
static bool was_json(const struct move *move, const struct qopt *opt)
{
	for (unsigned i = 0; i < move->remotes->len; i++)
		if (move_remote(move, i)->opt == opt)
			return move_remote(move, i)->was_json;
	return opt->set->json;
}

/* Where the first -device stands that was JSON before; the end: there is none. */
static unsigned first_json(const struct move *move)
{
	unsigned i;

	for (i = 0; i < move->cmd->opts->len; i++) {
		const struct qopt *opt = move->cmd->opts->pdata[i];

		if (qopt_is(opt, "device") && was_json(move, opt))
			break;
	}
	return i;
}

/* QEMU made those that were key=value first, and does so now if they stand first. */
void move_order_clients(struct move *move)
{
	GPtrArray *opts = move->cmd->opts;

	for (unsigned i = 0; i < move->remotes->len; i++) {
		const struct move_remote *remote = move_remote(move, i);
		unsigned from, to = first_json(move);

		if (remote->was_json || !g_ptr_array_find(opts, remote->opt, &from) || from < to)
			continue;
		g_ptr_array_insert(opts, to, g_ptr_array_steal_index(opts, from));
	}
}

/* ---- The remote's side ---- */

static bool emit_object(struct plan_process *process, struct opt_set *set, GError **error)
{
	struct qopt object = { .word = (char[]){ "-object" }, .set = set, .changed = true };

	set->opt[0].implied = true;
	return qopt_emit(&object, process->argv, error);
}

bool move_write_server(struct move *move, struct plan_process *process,
		       const struct move_remote *remote, int fd, GError **error)
{
	auto_opt_set set = opt_set_create("-object");
	g_autofree char *id = g_strdup_printf("peer-%s", remote->id);
	g_autofree char *number = g_strdup_printf("%d", fd);
	g_autofree char *path = NULL;

	if (!move->vfio_user) {
		opt_put(set, "qom-type", "x-remote-object");
		opt_put(set, "id", id);
		opt_put(set, "devid", remote->id);
		opt_put(set, "fd", number);
		plan_process_slot(process, fd, remote->index, remote->id);
		return emit_object(process, set, error);
	}
	path = rewrite_socket_path(move->facts, remote->id, error);
	if (!path)
		return false;
	opt_put(set, "qom-type", "x-vfio-user-server");
	opt_put(set, "id", id);
	opt_put(set, "type", "fd");
	opt_put(set, "str", number);
	opt_put(set, "device", remote->id);
	plan_process_listen(process, fd, remote->index, remote->id, path);
	return emit_object(process, set, error);
}

char *rewrite_socket_path(const struct rewrite_facts *facts, const char *id, GError **error)
{
	char *path = g_strdup_printf("%s/%s" REWRITE_SOCKET_SUFFIX, facts->socket_dir, id);

	if (strlen(path) <= REWRITE_SOCKET_MAX)
		return path;
	mpq_fail(error, MPQ_ERROR_REFUSED, "%s: the path of a socket has %d bytes at the most; "
		 "take a shorter id", path, REWRITE_SOCKET_MAX);
	g_free(path);
	return NULL;
}
