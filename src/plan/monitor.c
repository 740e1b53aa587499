/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QEMU's options of a QMP monitor: -qmp, -qmp-pretty, -mon and -chardev, on UNIX sockets. */
#include <string.h>

#include "plan/remoteopts.h"

static const struct opt_syntax chardev_syntax = { "backend", OPT_DIALECT_QEMUOPTS, false };
static const struct opt_syntax mon_syntax = { "chardev", OPT_DIALECT_QEMUOPTS, false };

/* A -chardev, which a -mon may use. */
struct chardev {
	char *id;
	struct plan_peer peer;
	bool used;
};

void chardev_destroy(void *opaque)
{
	struct chardev *chardev = opaque;

	g_free(chardev->id);
	g_free(chardev->peer.name);
	g_free(chardev->peer.where);
	g_free(chardev);
}

static bool known_keys(const struct opt_set *set, const char *const *known, GError **error)
{
	for (size_t i = 0; i < set->count; i++)
		if (!g_strv_contains(known, set->opt[i].key))
			return opt_bad(set, error, "Invalid parameter '%.100s'", set->opt[i].key);
	return true;
}

/* A server that waits for its first client would keep the VM waiting, too. */
static bool read_server(const struct opt_set *set, struct plan_peer *peer, GError **error)
{
	bool nowait = false, wait;

	if (!opt_get_bool(set, "server", &peer->server, error) ||
	    !opt_get_bool(set, "nowait", &nowait, error))
		return false;
	wait = peer->server && !nowait;
	if (!opt_get_bool(set, "wait", &wait, error))
		return false;
	if (wait)
		return opt_bad(set, error, "mpqemu-remote does not wait for a monitor's client: "
			       "say wait=off");
	return true;
}

static bool read_path(const struct opt_set *set, const char *path, struct plan_peer *peer,
		      GError **error)
{
	bool abstract = false;

	if (!opt_get_bool(set, "abstract", &abstract, error))
		return false;
	if (!*path)
		return opt_bad(set, error, "the path of a UNIX socket is empty");
	peer->kind = PLAN_PEER_PATH;
	peer->name = abstract ? g_strconcat("@", path, NULL) : g_strdup(path);
	return true;
}

/* "fd=N": it listens or is connected, as it is found. */
static bool read_fd(const struct opt_set *set, struct plan_peer *peer, GError **error)
{
	uint64_t fd = 0;

	if (!opt_get_uint(set, "fd", 31, &fd, error))
		return false;
	if (fd < 3)
		return opt_bad(set, error, "Parameter 'fd' expects a number, 3 or more");
	peer->kind = PLAN_PEER_FD;
	peer->server = true;	/* one that listens stays what it is */
	peer->fd = fd;
	return true;
}

bool remote_option_chardev(void *opaque, const struct option_use *use, GError **error)
{
	static const char *const known[] = { "backend", "id", "path", "fd", "server", "wait",
					     "nowait", "abstract", "tight", NULL };
	struct remote_parse *p = opaque;
	auto_opt_set set = opt_set_parse_use(use, &chardev_syntax, error);
	const char *id, *path;
	struct chardev *chardev;

	if (!set || !opt_get_id(set, &id, error))
		return false;
	path = opt_get(set, "path");
	if (g_strcmp0(opt_get(set, "backend"), "socket"))
		return opt_fail(set, error, MPQ_ERROR_REFUSED, "not supported by mpqemu-remote: "
				"it has monitors on UNIX sockets only (-chardev socket,path=...)");
	if (!id)
		return opt_bad(set, error, "Parameter 'id' is missing");
	if (!known_keys(set, known, error))
		return false;
	if (!path == !opt_get(set, "fd"))
		return opt_bad(set, error, "a monitor's socket has path= or fd=");
	chardev = g_new0(struct chardev, 1);
	chardev->id = g_strdup(id);
	chardev->peer.fd = -1;
	chardev->peer.where = g_strdup(set->where);
	g_ptr_array_add(p->chardevs, chardev);
	return read_server(set, &chardev->peer, error) &&
	       (path ? read_path(set, path, &chardev->peer, error) :
		read_fd(set, &chardev->peer, error));
}

static struct plan_monitor *add_monitor(struct remote_parse *p, const char *where, GError **error)
{
	struct remote_plan *plan = p->plan;

	if (plan->monitor_count == PLAN_MAX_MONITORS) {
		mpq_fail(error, MPQ_ERROR_REFUSED, "%s: mpqemu-remote has %d monitors at the most",
			 where, PLAN_MAX_MONITORS);
		return NULL;
	}
	if (!plan->monitor)
		plan->monitor = g_new0(struct plan_monitor, PLAN_MAX_MONITORS);
	plan->monitor[plan->monitor_count].peer.fd = -1;
	return &plan->monitor[plan->monitor_count++];
}

/* -qmp unix:PATH,server=on,wait=off; and -qmp-pretty. */
bool remote_option_qmp(void *opaque, const struct option_use *use, GError **error)
{
	static const char *const known[] = { "backend", "server", "wait", "nowait", NULL };
	struct remote_parse *p = opaque;
	auto_opt_set set = opt_set_parse_use(use, &chardev_syntax, error);
	const char *place = set ? opt_get(set, "backend") : NULL;
	struct plan_monitor *monitor;

	if (!set)
		return false;
	if (!place || !g_str_has_prefix(place, "unix:"))
		return opt_fail(set, error, MPQ_ERROR_REFUSED, "not supported by mpqemu-remote: it "
				"has monitors on UNIX sockets only (unix:PATH,server=on,wait=off)");
	monitor = add_monitor(p, set->where, error);
	if (!monitor)
		return false;
	monitor->pretty = use->def->data;
	monitor->peer.where = g_strdup(set->where);
	return known_keys(set, known, error) && read_server(set, &monitor->peer, error) &&
	       read_path(set, place + strlen("unix:"), &monitor->peer, error);
}

/* -mon [chardev=]ID,mode=control[,pretty=on]: ID may come later on the command line. */
bool remote_option_mon(void *opaque, const struct option_use *use, GError **error)
{
	static const char *const known[] = { "chardev", "mode", "pretty", "id", NULL };
	struct remote_parse *p = opaque;
	auto_opt_set set = opt_set_parse_use(use, &mon_syntax, error);
	struct plan_monitor *monitor;

	if (!set || !known_keys(set, known, error))
		return false;
	if (!opt_get(set, "chardev"))
		return opt_bad(set, error, "Parameter 'chardev' is missing");
	if (g_strcmp0(opt_get(set, "mode"), "control"))
		return opt_fail(set, error, MPQ_ERROR_REFUSED, "not supported by mpqemu-remote: "
				"its monitors speak QMP only (mode=control)");
	monitor = add_monitor(p, set->where, error);
	if (!monitor)
		return false;
	monitor->chardev = g_strdup(opt_get(set, "chardev"));
	monitor->peer.where = g_strdup(set->where);
	return opt_get_bool(set, "pretty", &monitor->pretty, error);
}

static struct chardev *chardev_find(const struct remote_parse *p, const char *id)
{
	for (guint i = 0; i < p->chardevs->len; i++) {
		struct chardev *chardev = p->chardevs->pdata[i];

		if (!strcmp(chardev->id, id))
			return chardev;
	}
	return NULL;
}

/* Each -mon gets its -chardev, of which one -mon alone is. */
static bool connect_monitor(struct remote_parse *p, struct plan_monitor *monitor, GError **error)
{
	struct chardev *chardev = chardev_find(p, monitor->chardev);

	if (!chardev)
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: chardev \"%.100s\" not found",
				monitor->peer.where, monitor->chardev);
	if (chardev->used)
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: Device '%.100s' is in use",
				monitor->peer.where, monitor->chardev);
	chardev->used = true;
	g_free(monitor->peer.where);
	monitor->peer = chardev->peer;
	chardev->peer.name = chardev->peer.where = NULL;
	return true;
}

bool monitors_resolve(struct remote_parse *p, GError **error)
{
	for (guint i = 0; i < p->chardevs->len; i++) {
		const struct chardev *chardev = p->chardevs->pdata[i];

		if (chardev_find(p, chardev->id) != chardev)
			return mpq_fail(error, MPQ_ERROR_USAGE, "%s: Duplicate ID '%.100s' for "
					"chardev", chardev->peer.where, chardev->id);
	}
	for (unsigned i = 0; i < p->plan->monitor_count; i++)
		if (p->plan->monitor[i].chardev &&
		    !connect_monitor(p, &p->plan->monitor[i], error))
			return false;
	for (guint i = 0; i < p->chardevs->len; i++) {
		const struct chardev *chardev = p->chardevs->pdata[i];

		if (!chardev->used)
			g_ptr_array_add(p->plan->warnings, g_strconcat(chardev->peer.where,
					": no -mon uses it", NULL));
	}
	return true;
}

void plan_monitors_finish(struct remote_plan *plan)
{
	for (unsigned i = 0; i < plan->monitor_count; i++) {
		g_free(plan->monitor[i].chardev);
		g_free(plan->monitor[i].peer.name);
		g_free(plan->monitor[i].peer.where);
	}
	g_free(plan->monitor);
}
