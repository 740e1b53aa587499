/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "plan/topo-priv.h"

/* ---- x-remote-object ---- */

static bool check_object_keys(const struct opt_set *set, GError **error)
{
	static const char *const known[] = { "qom-type", "id", "devid", "fd", "path", NULL };

	for (size_t i = 0; i < set->count; i++) {
		const char *key = set->opt[i].key;

		if (!g_strv_contains(known, key))
			return opt_bad(set, error,
				       set->json ? "Parameter '%.200s' is unexpected" :
			       "Invalid parameter '%.200s'",
				       key);
	}
	return true;
}

static bool parse_fd(const struct opt_set *set, const char *text, struct plan_peer *peer,
		     GError **error)
{
	if (!g_ascii_isdigit(*text) && *text && *text != '-') {
		peer->kind = PLAN_PEER_LISTEN;
		peer->name = g_strdup(text);
		return true;
	}
	if (!*text || text[strspn(text, "0123456789")] || strlen(text) > 9)
		return opt_bad(set, error, "Invalid file descriptor number '%.100s'", text);
	peer->kind = PLAN_PEER_FD;
	peer->fd = atoi(text);
	return true;
}

static bool find_device(const struct topo *t, const struct opt_set *set, const char *devid,
			unsigned *ret_device, GError **error)
{
	for (unsigned i = 0; i < t->spec->device_count; i++) {
		if (!strcmp(t->spec->device[i].id, devid)) {
			*ret_device = i;
			return true;
		}
	}
	for (unsigned i = 0; i < t->spec->disk_count; i++)
		if (!strcmp(t->spec->disk[i].unit.id, devid))
			return opt_bad(set, error, "%.100s is not a PCI device", devid);
	return opt_bad(set, error, "Device '%.100s' not found", devid);
}

/* One socket cannot be the end of two channels, and one device has one. */
static bool check_peer(const struct topo *t, const struct opt_set *set, unsigned device,
		       const struct plan_peer *peer, GError **error)
{
	const struct plan_peer *old = &t->plan->peer[device];

	if (old->kind != PLAN_PEER_NONE)
		return opt_bad(set, error, "device '%s' already has the x-remote-object '%s'",
			       t->spec->device[device].id, old->id);
	for (unsigned i = 0; i < t->spec->device_count; i++) {
		const struct plan_peer *other = &t->plan->peer[i];

		if (peer->kind == other->kind && peer->fd == other->fd &&
		    !g_strcmp0(peer->name, other->name))
			return opt_bad(set, error, "'%s' is already in use by object '%s'",
				       opt_get(set, peer->kind == PLAN_PEER_PATH ? "path" : "fd"),
				       other->id);
	}
	return true;
}

static bool read_peer(const struct topo *t, const struct opt_set *set, struct plan_peer *peer,
		      unsigned *ret_device, GError **error)
{
	const char *fd = NULL, *path = NULL, *devid = NULL;

	if (!opt_get_string(set, "fd", &fd, error) ||
	    !opt_get_string(set, "path", &path, error) ||
	    !opt_get_string(set, "devid", &devid, error))
		return false;
	if (fd && path)
		return opt_bad(set, error,
			       "Parameters 'fd' and 'path' cannot be used at the same time");
	if (!fd && !path)
		return opt_bad(set, error, "Parameter 'fd' is missing");
	if (!devid)
		return opt_bad(set, error, "Parameter 'devid' is missing");
	if (!check_object_keys(set, error))
		return false;
	if (path && !*path)
		return opt_bad(set, error, "Parameter 'path' is empty");
	if (path) {
		peer->kind = PLAN_PEER_PATH;
		peer->name = g_strdup(path);
	} else if (!parse_fd(set, fd, peer, error)) {
		return false;
	}
	return find_device(t, set, devid, ret_device, error) &&
	       check_peer(t, set, *ret_device, peer, error);
}

static void peer_clear(struct plan_peer *peer)
{
	g_free(peer->name);
	g_free(peer->id);
	g_free(peer->where);
	*peer = (struct plan_peer){ .fd = -1 };
}

static bool add_peer(struct topo *t, const struct opt_set *set, const char *id, GError **error)
{
	struct plan_peer peer = { .fd = -1 };
	unsigned device = 0;

	if (!read_peer(t, set, &peer, &device, error)) {
		peer_clear(&peer);
		return false;
	}
	peer.id = g_strdup(id);
	peer.where = g_strdup(set->where);
	t->plan->peer[device] = peer;
	return true;
}

/* ---- Objects ---- */

static bool check_object_id(const struct topo *t, const struct opt_set *set, const char *id,
			    GError **error)
{
	if (!id)
		return opt_bad(set, error, "Parameter 'id' is missing");
	for (guint i = 0; i < t->in->objects->len && t->in->objects->pdata[i] != set; i++)
		if (!g_strcmp0(opt_get(t->in->objects->pdata[i], "id"), id))
			return opt_bad(set, error, "Duplicate ID '%.100s' for object", id);
	return true;
}

bool topo_add_object(struct topo *t, const struct opt_set *set, GError **error)
{
	/* those that a block graph may name: a storage daemon gets them as they are */
	static const char *const passed[] = { "secret", "secret_keyring", "throttle-group",
					      "tls-creds-anon", "tls-creds-psk", "tls-creds-x509",
					      "iothread", NULL };
	const char *type = NULL, *id = NULL;

	if (!opt_get_string(set, "qom-type", &type, error))
		return false;
	if (!type)
		return opt_bad(set, error, "Parameter 'qom-type' is missing");
	if (!opt_get_id(set, &id, error))
		return false;
	if (strcmp(type, "x-remote-object") && !g_strv_contains(passed, type))
		return opt_bad(set, error, "Parameter 'qom-type' does not accept value '%.100s'",
			       type);
	if (!check_object_id(t, set, id, error))
		return false;
	if (!strcmp(type, "x-remote-object"))
		return add_peer(t, set, id, error);
	g_ptr_array_add(t->plan->object, opt_set_copy(set));
	return true;
}
