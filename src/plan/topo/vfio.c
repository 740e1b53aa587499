/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -object x-vfio-user-server.  Its property "socket" is a SocketAddress: in JSON an object, on the
 * command line "socket.type=unix,socket.path=P", and in QEMU's own examples "type=unix,path=P".
 */
#include <string.h>

#include "plan/topo/priv.h"

enum { SOCKET_TYPE, SOCKET_PATH, SOCKET_STR, SOCKET_KEYS };

/* Each key in both spellings. */
static const char *const keys[SOCKET_KEYS][2] = {
	[SOCKET_TYPE] = { "type", "socket.type" },
	[SOCKET_PATH] = { "path", "socket.path" },
	[SOCKET_STR] = { "str", "socket.str" },
};

/* The one that is there is known by its name in messages; of none, by the short one. */
struct socket_key {
	const char *name, *value;
};

static bool read_key(const struct opt_set *set, const char *const spelling[2],
		     struct socket_key *ret, GError **error)
{
	struct socket_key key = { spelling[0], NULL };

	if (opt_find(set, spelling[0]) && opt_find(set, spelling[1]))
		return opt_bad(set, error,
			       "Parameters '%s' and '%s' cannot be used at the same time",
			       spelling[0], spelling[1]);
	if (opt_find(set, spelling[1]))
		key.name = spelling[1];
	if (!opt_get_string(set, key.name, &key.value, error))
		return false;
	*ret = key;
	return true;
}

/* @want belongs to this type of socket, @other to another one. */
static bool check_keys(const struct opt_set *set, const struct socket_key *want,
		       const struct socket_key *other, GError **error)
{
	if (other->value)
		return opt_bad(set, error, "Parameter '%s' is unexpected", other->name);
	if (!want->value)
		return opt_bad(set, error, "Parameter '%s' is missing", want->name);
	if (!*want->value)
		return opt_bad(set, error, "Parameter '%s' is empty", want->name);
	return true;
}

static bool read_socket(const struct opt_set *set, struct plan_peer *peer, GError **error)
{
	static const char *const others[] = { "inet", "vsock", NULL };
	struct socket_key key[SOCKET_KEYS];
	const char *type;

	for (unsigned i = 0; i < SOCKET_KEYS; i++)
		if (!read_key(set, keys[i], &key[i], error))
			return false;
	type = key[SOCKET_TYPE].value;
	if (!type)
		return opt_bad(set, error, "Parameter '%s' is missing", key[SOCKET_TYPE].name);
	peer->server = true;
	if (!strcmp(type, "fd"))
		return check_keys(set, &key[SOCKET_STR], &key[SOCKET_PATH], error) &&
		       topo_parse_fd(set, key[SOCKET_STR].value, peer, error);
	if (g_strv_contains(others, type))
		return opt_bad(set, error, "vfu: Unsupported socket type - %s", type);
	if (strcmp(type, "unix"))
		return opt_bad(set, error, "Parameter '%s' does not accept value '%.100s'",
			       key[SOCKET_TYPE].name, type);
	if (!check_keys(set, &key[SOCKET_PATH], &key[SOCKET_STR], error))
		return false;
	peer->kind = PLAN_PEER_PATH;
	peer->name = g_strdup(key[SOCKET_PATH].value);
	return true;
}

bool topo_read_vfio_user(const struct topo *t, const struct opt_set *set, struct plan_peer *peer,
			 unsigned *ret_device, GError **error)
{
	static const char *const known[] = { "qom-type", "id", "device", "type", "path", "str",
					     "socket.type", "socket.path", "socket.str", NULL };
	const char *device = NULL;

	if (!t->plan->vfio_user)
		return opt_bad(set, error, "vfu: x-vfio-user-server only compatible with x-remote "
			       "machine with vfio-user=on");
	if (!read_socket(set, peer, error) || !topo_check_keys(set, known, error) ||
	    !opt_get_string(set, "device", &device, error))
		return false;
	if (!device)
		return opt_bad(set, error, "Parameter 'device' is missing");
	switch (topo_find_device(t, device, ret_device)) {
	case TOPO_NOT_FOUND:
		return opt_bad(set, error, "vfu: Device %.100s not found", device);
	case TOPO_NOT_PCI:
		return opt_bad(set, error, "vfu: %.100s not a PCI device", device);
	case TOPO_PCI_DEVICE:
		break;
	}
	return true;
}
