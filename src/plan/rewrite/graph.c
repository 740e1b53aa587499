/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The graph behind a disk: the -drive or -blockdev that it names, the nodes below, and the objects
 * that those name (secrets, throttle groups, TLS credentials).  Nodes and throttle groups are in
 * one process; secrets and credentials, which nobody changes, are copied to all who name them.
 */

#include <string.h>

#include "plan/rewrite/move.h"

/* Keys (or their last parts) whose value is the name of another node. */
static const char *const node_keys[] = {
	"file", "backing", "data-file", "image", "raw", "test", "log", "target", "base", "top",
	"root",
	NULL
};

/* Keys whose value is the id of an object. */
static const char *const object_keys[] = {
	"key-secret", "password-secret", "proxy-password-secret", "cookie-secret", "tls-creds",
	"throttle-group", "keyid", "passwordid", "secret", NULL
};

/* Objects that are data, the same for whoever has a copy. */
static const char *const copied_objects[] = {
	"secret", "secret_keyring", "tls-creds-x509", "tls-creds-psk", "tls-creds-anon", NULL
};

static const char *last_part(const char *key)
{
	const char *dot = strrchr(key, '.');

	return dot ? dot + 1 : key;
}

/* "children.0" of a quorum: the number's parent says what it is. */
static bool is_node_key(const struct qopt *opt, const char *key)
{
	/* In a -drive, file= is a file's name. */
	if (!strcmp(key, "file") && !strcmp(opt->name, "drive"))
		return false;
	return g_str_has_prefix(key, "children.") || g_strv_contains(node_keys, last_part(key));
}

static bool is_object_key(const char *key)
{
	return g_strv_contains(object_keys, last_part(key));
}

static bool take_refs(struct move *move, struct qopt *opt, struct move_remote *remote,
		      GError **error);

/* Is it a node or a -drive, by its name? */
static struct qopt *find_node(const struct move *move, const char *name)
{
	struct qopt *opt = qcmd_find_id(move->cmd, "blockdev", name);

	return opt ? opt : qcmd_find_id(move->cmd, "drive", name);
}

static bool take(struct move *move, struct qopt *opt, struct move_remote *remote, GError **error)
{
	if (opt->owner == (int)remote->index)
		return true;
	if (opt->owner >= 0)
		return qopt_refuse(opt, error, "'%s' and '%s' both use it, and they are in "
				   "different processes",
				   move_remote(move, opt->owner)->id, remote->id);
	opt->owner = remote->index;
	return take_refs(move, opt, remote, error);
}

static bool take_object(struct move *move, const char *id, struct move_remote *remote,
			GError **error)
{
	struct qopt *object = qcmd_find_id(move->cmd, "object", id);

	if (!object)
		return true;
	if (!g_strv_contains(copied_objects, qopt_type(object)))
		return take(move, object, remote, error);
	if (qopt_copied_to(object, remote->index))
		return true;
	object->copies |= UINT64_C(1) << remote->index;
	return take_refs(move, object, remote, error);
}

static bool take_refs(struct move *move, struct qopt *opt, struct move_remote *remote,
		      GError **error)
{
	for (size_t i = 0; i < opt->set->count; i++) {
		const struct opt *entry = &opt->set->opt[i];
		struct qopt *node = NULL;

		if (is_node_key(opt, entry->key))
			node = find_node(move, entry->value);
		if (node && node != opt && !take(move, node, remote, error))
			return false;
		if (is_object_key(entry->key) && !take_object(move, entry->value, remote, error))
			return false;
	}
	return true;
}

/* ---- Images in inherited fds: /dev/fdset/N and -add-fd ---- */

static bool take_fdset(struct move *move, const char *path, struct move_remote *remote,
		       GError **error)
{
	const char *set = path + strlen("/dev/fdset/");

	for_each_qopt(opt, move->cmd) {
		const char *number = opt->name && !strcmp(opt->name, "add-fd") ?
				     opt_get(opt->set, "set") : NULL;
		uint64_t fd = 0;
		int kept;

		if (!number || strcmp(number, set) || opt->owner == (int)remote->index)
			continue;
		if (!take(move, opt, remote, error) ||
		    !opt_get_uint(opt->set, "fd", 31, &fd, error))
			return false;
		kept = fd;
		if (!rewrite_is_busy(move->facts, kept))
			return qopt_refuse(opt, error, "fd %d is not open", kept);
		g_array_append_val(remote->keep, kept);
	}
	return true;
}

static bool take_fdsets(struct move *move, struct move_remote *remote, GError **error)
{
	for_each_qopt(opt, move->cmd) {
		if (opt->owner != (int)remote->index || !opt->set)
			continue;
		for (size_t i = 0; i < opt->set->count; i++)
			if (g_str_has_prefix(opt->set->opt[i].value, "/dev/fdset/") &&
			    !take_fdset(move, opt->set->opt[i].value, remote, error))
				return false;
	}
	return true;
}

/* ---- The disk itself ---- */

static bool check_drive(const struct qopt *disk, const struct qopt *drive, GError **error)
{
	if (strcmp(drive->name, "drive") || !g_strcmp0(opt_get(drive->set, "if"), "none"))
		return true;
	return qopt_refuse(drive, error, "without if=none QEMU gives the drive to a controller of "
			   "the machine, and %s cannot use it", qopt_where(disk));
}

bool move_disk_graph(struct move *move, struct qopt *disk, struct move_remote *remote,
		     GError **error)
{
	const char *name = opt_get(disk->set, "drive");
	struct qopt *node = name ? find_node(move, name) : NULL;

	if (!name)
		return true;
	if (!node)
		return qopt_refuse(disk, error, "no -drive or -blockdev is called '%s'", name);
	return check_drive(disk, node, error) && take(move, node, remote, error) &&
	       take_fdsets(move, remote, error);
}

/* ---- What stays ---- */

static const char *name_of(const struct qopt *opt)
{
	const char *name = opt_get(opt->set, "node-name");

	return name ? name : opt_get(opt->set, "id");
}

/* @opt has moved, and @id is its name: nothing that stays may need it. */
static bool check_moved(struct move *move, const struct qopt *moved, const char *id, GError **error)
{
	for_each_qopt(opt, move->cmd) {
		const char *own = opt->set ? name_of(opt) : NULL;
		bool needs = opt->owner == QOPT_QEMU && opt->name && qopt_mentions(opt, id) &&
			     g_strcmp0(own, id);

		if (needs && (!strcmp(opt->name, "device") || !strcmp(opt->name, "blockdev") ||
			      !strcmp(opt->name, "drive") || !strcmp(opt->name, "object")))
			return qopt_refuse(opt, error, "it stays in QEMU, and '%s', which it uses, "
					   "moves with '%s'", id,
					   move_remote(move, moved->owner)->id);
	}
	return true;
}

static bool stays_used(const struct move *move, const char *id)
{
	for_each_qopt(opt, move->cmd)
		if (opt->owner == QOPT_QEMU && qopt_mentions(opt, id) &&
		    !(opt->set && !g_strcmp0(opt_get(opt->set, "id"), id)))
			return true;
	return false;
}

/* -drive throttling.group=G makes a group of all drives that say G. */
static bool check_drive_groups(struct move *move, GError **error)
{
	g_autoptr(GHashTable) owners =
		g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

	for_each_qopt(opt, move->cmd) {
		const char *group = opt->name && !strcmp(opt->name, "drive") ?
				    opt_get(opt->set, "throttling.group") : NULL;
		void *owner;

		if (!group)
			continue;
		if (!g_hash_table_lookup_extended(owners, group, NULL, &owner))
			g_hash_table_insert(owners, g_strdup(group), GINT_TO_POINTER(opt->owner));
		else if (GPOINTER_TO_INT(owner) != opt->owner)
			return qopt_refuse(opt, error, "throttling.group=%s is used by a drive of "
					   "another process: the limits would count twice", group);
	}
	return true;
}

bool move_check_graph(struct move *move, GError **error)
{
	for_each_qopt(opt, move->cmd) {
		const char *id = opt->set ? name_of(opt) : NULL;

		if (!id || !opt->name || !strcmp(opt->name, "device"))
			continue;
		if (opt->owner >= 0 && !check_moved(move, opt, id, error))
			return false;
		/* A secret that only moved disks use leaves QEMU. */
		if (opt->copies && opt->owner == QOPT_QEMU && !stays_used(move, id))
			opt->owner = QOPT_DROPPED;
	}
	return check_drive_groups(move, error);
}
