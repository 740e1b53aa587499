/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the monitor's commands add and take away: nodes of block graphs, disks and CD drives. */
#include <errno.h>
#include <string.h>

#include "applets/remote/images.h"
#include "applets/remote/monitor-priv.h"
#include "base/fd.h"
#include "base/log.h"
#include "block/image.h"
#include "plan/opts.h"
#include "plan/spec.h"

#define GENERIC "GenericError"

/* ---- Nodes ---- */

static void node_free(void *opaque)
{
	struct monitor_node *node = opaque;

	g_free(node->name);
	g_free(node->text);
	g_free(node);
}

static struct monitor_node *find_node(const struct monitor *m, const char *name, guint *ret_index)
{
	for (guint i = 0; i < m->nodes->len; i++) {
		struct monitor_node *node = m->nodes->pdata[i];

		if (strcmp(node->name, name))
			continue;
		if (ret_index)
			*ret_index = i;
		return node;
	}
	return NULL;
}

struct monitor_node *monitor_find_node(const struct monitor *m, const char *name)
{
	return find_node(m, name, NULL);
}

struct monitor_node *monitor_add_node(struct monitor *m, const char *name, char *text)
{
	struct monitor_node *node = g_new0(struct monitor_node, 1);

	node->name = g_strdup(name);
	node->text = text;
	node->daemon = -1;
	g_ptr_array_add(m->nodes, node);
	return node;
}

void monitor_remove_node(struct monitor *m, const char *name)
{
	guint index;

	if (find_node(m, name, &index))
		g_ptr_array_remove_index(m->nodes, index);
}

/* A graph stands in order: each node after those that it uses. */
static bool add_graph(struct monitor *m, unsigned disk, GError **error)
{
	const struct plan_image *image = &m->plan->image[disk];
	int daemon = images_daemon(m->images, disk) >= 0 ? (int)disk : -1;

	for (guint i = 0; image->is_node && image->graph && i < image->graph->len; i++) {
		const struct opt_set *set = image->graph->pdata[i];
		const char *name = opt_get(set, "node-name");
		char *text;

		if (find_node(m, name, NULL))
			continue;
		text = opt_set_to_json_text(set, error);
		if (!text)
			return false;
		monitor_add_node(m, name, text)->daemon = daemon;
	}
	return true;
}

bool monitor_nodes_init(struct monitor *m, GError **error)
{
	bool ok = true;

	m->nodes = g_ptr_array_new_with_free_func(node_free);
	for (unsigned i = 0; i < m->plan->spec->disk_count && ok; i++)
		ok = add_graph(m, i, error);
	return ok;
}

void monitor_nodes_finish(struct monitor *m)
{
	if (m->nodes)
		g_ptr_array_unref(m->nodes);
}

/* Has the node of that text @name somewhere in it, but for its own name? */
static bool mentions(const json_t *value, const char *name)
{
	const json_t *member;
	const char *key;
	size_t i;

	if (json_is_string(value))
		return !strcmp(json_string_value(value), name);
	json_object_foreach((json_t *)(uintptr_t)value, key, member)
		if (strcmp(key, "node-name") && mentions(member, name))
			return true;
	json_array_foreach(value, i, member)
		if (mentions(member, name))
			return true;
	return false;
}

static bool graph_has(const struct plan_image *image, const char *name)
{
	for (guint i = 0; image->graph && i < image->graph->len; i++)
		if (!g_strcmp0(opt_get(image->graph->pdata[i], "node-name"), name))
			return true;
	return false;
}

/* By a disk that is there, or is going. */
static bool used_by_disk(const struct monitor *m, const char *name)
{
	for (unsigned i = 0; i < m->plan->spec->disk_count; i++)
		if (graph_has(&m->plan->image[i], name))
			return true;
	return false;
}

static bool node_in_use(const struct monitor *m, const char *name)
{
	for (guint i = 0; i < m->nodes->len; i++) {
		const struct monitor_node *node = m->nodes->pdata[i];
		json_t *value = json_loads(node->text, 0, NULL);
		bool found = mentions(value, name);

		json_decref(value);
		if (found)
			return true;
	}
	return used_by_disk(m, name);
}

/* NULL: a disk can have it while the process runs; or why not. */
static const char *node_obstacle(const struct plan_image *image)
{
	if (image->native && image->filename)
		return NULL;
	return "only raw images, on files and block devices, can be added while the process runs";
}

/* As QEMU, which opens it now: for its user, a disk, it is opened again. */
static bool try_open(const struct monitor *m, const struct plan_image *image, GError **error)
{
	struct image_options options = {
		.path = image->filename, .format = "raw", .readonly = image->readonly,
		.auto_readonly = true, .direct = image->direct, .no_lock = true,
	};
	struct image found;

	if (image->fdset >= 0) {
		options.use_fd = true;
		options.fd = remote_plan_fdset(m->plan, image->fdset, !image->readonly);
	}
	if (!image_open(&options, &found, error))
		return false;
	fd_close(&found.fd);
	return true;
}

static bool check_node(const struct monitor *m, const struct plan_image *image, GError **error)
{
	const char *obstacle = node_obstacle(image);

	if (obstacle)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "%s", obstacle);
	return try_open(m, image, error);
}

void monitor_blockdev_add(void *opaque, struct qmp_call *call, const json_t *args)
{
	const char *name = json_string_value(json_object_get(args, "node-name"));
	g_autoptr(GError) error = NULL;
	struct monitor *m = opaque;
	struct remote_plan *plan;
	char *text = NULL;
	unsigned daemon;
	bool daemons, parsed;

	if (!name || find_node(m, name, NULL) || m->nodes->len == MONITOR_MAX_NODES) {
		if (!name)
			qmp_refuse(call, GENERIC, "'node-name' must be specified for the root "
				   "node");
		else if (find_node(m, name, NULL))
			qmp_refuse(call, GENERIC, "Duplicate nodes with node-name='%s'", name);
		else
			qmp_refuse(call, GENERIC, "there are %d nodes already", MONITOR_MAX_NODES);
		return;
	}
	if (monitor_relay_wants(m, args)) {
		monitor_relay(m, call, args);
		return;
	}
	plan = g_new0(struct remote_plan, 1);
	parsed = monitor_parse_node(m, name, args, plan, &text, &error);
	daemons = monitor_daemons_live(m, &daemon);
	if (parsed && check_node(m, &plan->image[0], &error)) {
		monitor_add_node(m, name, g_steal_pointer(&text));
		qmp_reply(call, NULL);
	} else if (daemons) {
		/* what no disk can stand on a job may work with: other formats, an empty file */
		monitor_relay(m, call, args);
	} else {
		qmp_refuse(call, GENERIC, "%s", error->message);
	}
	g_free(text);
	remote_plan_finish(plan);
	g_free(plan);
}

void monitor_blockdev_del(void *opaque, struct qmp_call *call, const json_t *args)
{
	const char *name = json_string_value(json_object_get(args, "node-name"));
	struct monitor *m = opaque;
	unsigned daemon;
	guint index;
	const struct monitor_node *node = find_node(m, name, &index);

	if (monitor_daemons_live(m, &daemon) && (!node || node->daemon >= 0)) {
		monitor_relay(m, call, args);
	} else if (!node) {
		qmp_refuse(call, GENERIC, "Failed to find node with node-name='%s'", name);
	} else if (node_in_use(m, name)) {
		qmp_refuse(call, GENERIC, "Node %s is in use", name);
	} else {
		g_ptr_array_remove_index(m->nodes, index);
		qmp_reply(call, NULL);
	}
}

/* ---- Disks that come ---- */

static bool is_pending(const struct monitor *m, unsigned disk)
{
	for (unsigned i = 0; i < MONITOR_REQUESTS; i++)
		if (m->request[i].open && m->request[i].disk == disk)
			return true;
	return false;
}

/* An index that no disk has; what a storage daemon serves keeps its own to the end.  -1: none. */
static int free_index(const struct monitor *m)
{
	for (unsigned i = 0; i < SPEC_MAX_DISKS; i++)
		if (!monitor_has_disk(m, i) && !is_pending(m, i) &&
		    images_daemon(m->images, i) < 0 &&
		    m->plan->spec->disk[i].image.kind != SPEC_IMAGE_NBD)
			return i;
	return -1;
}

/* What stood at that index is forgotten. */
static void clear_index(struct monitor *m, unsigned disk)
{
	images_put(m->images, disk, -1);
	plan_image_clear(&m->plan->image[disk]);
	memset(&m->plan->spec->disk[disk], 0, sizeof(m->plan->spec->disk[disk]));
	m->plan->spec->disk[disk].image.slot = -1;
	m->tray[disk] = 0;
	memset(m->limit[disk], 0, sizeof(m->limit[disk]));
}

static void attached(struct monitor *m, struct monitor_request *r, int ret)
{
	unsigned disk = r->disk;

	if (ret) {
		monitor_request_fail(r, m->plan->spec->disk[disk].unit.id, ret);
		clear_index(m, disk);
		return;
	}
	m->gone[disk] = false;
	qmp_reply(r->call, NULL);
	monitor_request_end(r);
}

/* The disk that was understood takes its place in the keeper's own tables. */
static void take_disk(struct monitor *m, struct remote_plan *from, unsigned disk)
{
	unsigned last = from->spec->disk_count - 1;
	struct launch_spec *spec = m->plan->spec;

	m->gone[disk] = true;
	clear_index(m, disk);
	spec->disk[disk] = from->spec->disk[last];
	spec->disk[disk].image.slot = -1;
	m->plan->image[disk] = from->image[last];
	from->image[last] = (struct plan_image){ .fdset = -1 };
	spec->disk_count = MAX(spec->disk_count, disk + 1);
}

static bool check_disk(const struct monitor *m, const struct remote_plan *plan, GError **error)
{
	const struct plan_image *image = &plan->image[plan->spec->disk_count - 1];
	const struct monitor_node *node = image->is_node ? find_node(m, image->node, NULL) : NULL;

	if (!image->driver)
		return true;
	if (!image->is_node)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "its drive= is no node of blockdev-add");
	if (used_by_disk(m, image->node) || (node && node->daemon >= 0))
		return mpq_fail(error, MPQ_ERROR_REFUSED, "Node '%s' is in use", image->node);
	return check_node(m, image, error);
}

/* Opens what it stands on.  The index is free again when this fails. */
static bool open_disk(struct monitor *m, unsigned disk, GError **error)
{
	struct spec_image *image = &m->plan->spec->disk[disk].image;
	g_autofree char *where = g_strdup(m->plan->image[disk].where);
	int ret;

	if (!images_open_one(m->images, m->plan, disk, error)) {
		size_t len = where ? strlen(where) : 0;
		char *text = error && *error ? (*error)->message : NULL;

		if (text && len && !strncmp(text, where, len) && !strncmp(text + len, ": ", 2))
			memmove(text, text + len + 2, strlen(text + len + 2) + 1);
		clear_index(m, disk);
		return false;
	}
	ret = image->kind == SPEC_IMAGE_RAW ?
	      monitor_measure(images_fds(m->images)[disk], image) : 0;
	if (!ret)
		return true;
	clear_index(m, disk);
	return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s", log_errname(ret));
}

static void attach(struct monitor *m, struct qmp_call *call, struct remote_plan *plan)
{
	g_autoptr(GError) error = NULL;
	int disk = free_index(m);
	struct monitor_request *r;

	if (disk < 0 || !check_disk(m, plan, &error)) {
		qmp_refuse(call, GENERIC, "%s", error ? error->message :
			   "there are as many disks as there can be");
		return;
	}
	take_disk(m, plan, disk);
	if (!open_disk(m, disk, &error)) {
		qmp_refuse(call, GENERIC, "%s", error->message);
		return;
	}
	r = monitor_request_new(m, call, disk);
	r->done = attached;
	monitor_ask(m, r, MANAGE_ATTACH, 0, &m->plan->spec->disk[disk],
		    sizeof(m->plan->spec->disk[disk]), images_fds(m->images)[disk]);
}

void monitor_device_add(void *opaque, struct qmp_call *call, const json_t *args)
{
	const char *driver = json_string_value(json_object_get(args, "driver"));
	g_autoptr(GError) error = NULL;
	struct monitor *m = opaque;
	struct remote_plan *plan = g_new0(struct remote_plan, 1);

	if (!monitor_parse_disk(m, args, plan, &error))
		qmp_refuse(call, GENERIC, "%s", error->message);
	else if (strcmp(driver, "scsi-hd") && strcmp(driver, "scsi-cd"))
		qmp_refuse(call, GENERIC, "Device '%s' cannot be added while the process runs",
			   driver);
	else
		attach(m, call, plan);
	remote_plan_finish(plan);
	g_free(plan);
}

/* ---- Disks that go ---- */

static void detached(struct monitor *m, struct monitor_request *r, int ret)
{
	const char *id = m->plan->spec->disk[r->disk].unit.id;
	g_autofree char *path = g_strconcat("/machine/peripheral/", id, NULL);
	unsigned disk = r->disk;

	monitor_request_end(r);
	/* -ENOTCONN: the device process itself goes. */
	if (ret) {
		if (ret != -ENOTCONN)
			log_warning("%s: cannot be detached: %s", id, log_errname(ret));
		m->gone[disk] = false;
		return;
	}
	qmp_server_event(m->server, "DEVICE_DELETED", json_pack("{s:s, s:s}", "device", id, "path",
								path));
	if (m->plan->spec->disk[disk].image.kind != SPEC_IMAGE_NBD)
		clear_index(m, disk);
}

void monitor_device_del(void *opaque, struct qmp_call *call, const json_t *args)
{
	const char *id = json_string_value(json_object_get(args, "id"));
	struct monitor *m = opaque;
	struct monitor_request *r;
	unsigned disk = 0;

	while (disk < m->plan->spec->disk_count && strcmp(m->plan->spec->disk[disk].unit.id, id))
		disk++;
	if (disk == m->plan->spec->disk_count || !*id ||
	    (m->gone[disk] && !is_pending(m, disk))) {
		qmp_refuse(call, "DeviceNotFound", "Device '%s' not found", id);
		return;
	}
	if (is_pending(m, disk)) {
		qmp_refuse(call, GENERIC, "Device %s is already in the process of unplug", id);
		return;
	}
	/* The answer says that it was asked for; the event, that it is done, if ever. */
	qmp_reply(call, NULL);
	m->gone[disk] = true;
	r = monitor_request_new(m, NULL, disk);
	r->done = detached;
	monitor_ask(m, r, MANAGE_DETACH, 0, NULL, 0, -1);
	if (r->open)
		r->deadline = INT64_MAX;
}
