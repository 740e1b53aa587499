/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "plan/topo/priv.h"

bool topo_check_keys(const struct opt_set *set, const char *const *known, GError **error)
{
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

/* ---- The peer of a device ---- */

bool topo_parse_fd(const struct opt_set *set, const char *text, struct plan_peer *peer,
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

enum topo_found topo_find_device(const struct topo *t, const char *id, unsigned *ret_device)
{
	for (unsigned i = 0; i < t->spec->device_count; i++) {
		if (!strcmp(t->spec->device[i].id, id)) {
			*ret_device = i;
			return TOPO_PCI_DEVICE;
		}
	}
	for (unsigned i = 0; i < t->spec->disk_count; i++)
		if (!strcmp(t->spec->disk[i].unit.id, id))
			return TOPO_NOT_PCI;
	return TOPO_NOT_FOUND;
}

/* ---- x-remote-object ---- */

static bool read_address(const struct opt_set *set, const char *fd, const char *path,
			 struct plan_peer *peer, GError **error)
{
	if (!opt_get_bool(set, "server", &peer->server, error))
		return false;
	if (!path)
		return topo_parse_fd(set, fd, peer, error);
	if (!*path)
		return opt_bad(set, error, "Parameter 'path' is empty");
	peer->kind = PLAN_PEER_PATH;
	peer->name = g_strdup(path);
	return true;
}

static bool read_remote_object(const struct topo *t, const struct opt_set *set,
			       struct plan_peer *peer, unsigned *ret_device, GError **error)
{
	static const char *const known[] = { "qom-type", "id", "devid", "fd", "path", "server",
					     NULL };
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
	if (!topo_check_keys(set, known, error) || !read_address(set, fd, path, peer, error))
		return false;
	switch (topo_find_device(t, devid, ret_device)) {
	case TOPO_NOT_FOUND:
		return opt_bad(set, error, "Device '%.100s' not found", devid);
	case TOPO_NOT_PCI:
		return opt_bad(set, error, "%.100s is not a PCI device", devid);
	case TOPO_PCI_DEVICE:
		break;
	}
	return true;
}

/* ---- All of them ---- */

/* The object of each protocol, and who says how it reaches its peer. */
static const struct {
	const char *type;
	bool (*read)(const struct topo *t, const struct opt_set *set, struct plan_peer *peer,
		     unsigned *ret_device, GError **error);
} objects[SPEC_PROTOCOL_COUNT] = {
	[SPEC_PROTOCOL_MPQEMU] = { "x-remote-object", read_remote_object },
	[SPEC_PROTOCOL_VFIO_USER] = { "x-vfio-user-server", topo_read_vfio_user },
};

/* One socket cannot be the end of two channels, and one device has one. */
static bool check_peer(const struct topo *t, const struct opt_set *set, unsigned device,
		       const struct plan_peer *peer, GError **error)
{
	const struct plan_peer *old = &t->plan->peer[device];

	if (old->kind != PLAN_PEER_NONE)
		return opt_bad(set, error, "device '%s' already has the %s '%s'",
			       t->spec->device[device].id,
			       objects[t->spec->device[device].protocol].type, old->id);
	for (unsigned i = 0; i < t->spec->device_count; i++) {
		const struct plan_peer *other = &t->plan->peer[i];
		g_autofree char *number = g_strdup_printf("%d", peer->fd);

		if (peer->kind == other->kind && peer->fd == other->fd &&
		    !g_strcmp0(peer->name, other->name))
			return opt_bad(set, error, "'%s' is already in use by object '%s'",
				       peer->name ? peer->name : number, other->id);
	}
	return true;
}

static void peer_clear(struct plan_peer *peer)
{
	g_free(peer->name);
	g_free(peer->id);
	g_free(peer->where);
	*peer = (struct plan_peer){ .fd = -1 };
}

static bool add_peer(struct topo *t, const struct opt_set *set, const char *id, uint8_t protocol,
		     GError **error)
{
	struct plan_peer peer = { .fd = -1 };
	unsigned device = 0;

	if (!objects[protocol].read(t, set, &peer, &device, error) ||
	    !check_peer(t, set, device, &peer, error)) {
		peer_clear(&peer);
		return false;
	}
	peer.id = g_strdup(id);
	peer.where = g_strdup(set->where);
	t->plan->peer[device] = peer;
	t->spec->device[device].protocol = protocol;
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

/* SPEC_PROTOCOL_COUNT: of none. */
static uint8_t object_protocol(const char *type)
{
	uint8_t i = 0;

	while (i < SPEC_PROTOCOL_COUNT && strcmp(type, objects[i].type))
		i++;
	return i;
}

bool topo_add_object(struct topo *t, const struct opt_set *set, GError **error)
{
	/* those that a block graph may name: a storage daemon gets them as they are */
	static const char *const passed[] = { "secret", "secret_keyring", "throttle-group",
					      "tls-creds-anon", "tls-creds-psk", "tls-creds-x509",
					      "iothread", NULL };
	const char *type = NULL, *id = NULL;
	uint8_t protocol;

	if (!opt_get_string(set, "qom-type", &type, error))
		return false;
	if (!type)
		return opt_bad(set, error, "Parameter 'qom-type' is missing");
	if (!opt_get_id(set, &id, error))
		return false;
	protocol = object_protocol(type);
	if (protocol == SPEC_PROTOCOL_COUNT && !g_strv_contains(passed, type))
		return opt_bad(set, error, "Parameter 'qom-type' does not accept value '%.100s'",
			       type);
	if (!check_object_id(t, set, id, error))
		return false;
	if (protocol != SPEC_PROTOCOL_COUNT)
		return add_peer(t, set, id, protocol, error);
	g_ptr_array_add(t->plan->object, opt_set_copy(set));
	return true;
}
