/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The monitor's questions: what the disks are (QEMU's qapi/block-core.json), and what they do. */
#include <sys/stat.h>

#include "applets/remote/events.h"
#include "applets/remote/images.h"
#include "applets/remote/monitor-priv.h"
#include "base/fd.h"
#include "block/block.h"
#include "metrics/disk.h"
#include "plan/spec.h"

/* ---- What they are ---- */

static const char *const detect_zeroes[] = { "off", "on", "unmap" };

/* A -blockdev's disk has none, as in QEMU. */
const char *monitor_device_name(const struct monitor *m, unsigned disk)
{
	const struct plan_image *image = &m->plan->image[disk];

	return image->is_node || !image->id ? "" : image->id;
}

/* Bytes that the file has on the host; -1: it is none of ours. */
static json_int_t actual_size(const struct monitor *m, unsigned disk)
{
	int fd = images_fds(m->images)[disk];
	struct stat st;

	if (m->plan->spec->disk[disk].image.kind != SPEC_IMAGE_RAW || fd_stat(fd, &st))
		return -1;
	return (json_int_t)st.st_blocks * 512;
}

static json_t *image_info(const struct monitor *m, unsigned disk)
{
	const struct plan_image *image = &m->plan->image[disk];
	json_int_t size = actual_size(m, disk);
	json_t *info = json_pack("{s:I, s:o, s:s, s:b}", "virtual-size",
				 (json_int_t)m->stats[disk].size, "filename",
				 event_name(image->filename ?: image->protocol ?: ""), "format",
				 image->driver, "dirty-flag", 0);

	if (size >= 0)
		json_object_set_new(info, "actual-size", json_integer(size));
	return info;
}

/* @limit: NULL: a node without a disk has none. */
static void put_limits(json_t *info, const uint64_t *limit)
{
	for (unsigned i = 0; i < BLOCK_LIMITS; i++)
		json_object_set_new(info, monitor_limits[i], json_integer(limit ? limit[i] : 0));
}

/* BlockDeviceInfo of the node that the disk stands on. */
static json_t *node_info(const struct monitor *m, unsigned disk)
{
	const struct spec_disk *d = &m->plan->spec->disk[disk];
	const struct plan_image *image = &m->plan->image[disk];
	json_t *info = json_pack("{s:s, s:o, s:b, s:s, s:b, s:i, s:i, s:{s:b, s:b, s:b}}",
		"detect_zeroes", detect_zeroes[d->image.detect_zeroes % 3],
		"image", image_info(m, disk), "ro", d->unit.readonly, "drv", image->driver,
		"encrypted", 0, "backing_file_depth", 0, "write_threshold", 0,
		"cache", "writeback", image->writeback, "direct", d->image.direct,
		"no-flush", d->image.no_flush);

	json_object_set_new(info, "file", event_name(image->filename ?: image->protocol ?: ""));
	if (image->node)
		json_object_set_new(info, "node-name", event_name(image->node));
	put_limits(info, m->limit[disk]);
	return info;
}

/* BlockInfo */
static json_t *block_info(const struct monitor *m, unsigned disk)
{
	const struct scsi_unit_config *unit = &m->plan->spec->disk[disk].unit;
	json_t *info = json_pack("{s:s, s:s, s:b, s:b, s:s}", "device",
				 monitor_device_name(m, disk), "qdev", unit->id, "removable",
				 unit->removable, "locked", m->tray[disk] & MANAGE_TRAY_LOCKED,
				 "type", "unknown");

	if (monitor_has_medium(m, disk))
		json_object_set_new(info, "inserted", node_info(m, disk));
	if (unit->removable)
		json_object_set_new(info, "tray_open",
				    json_boolean(m->tray[disk] & MANAGE_TRAY_OPEN));
	return info;
}

/* A list with what @make says of each disk (NULL: nothing). */
static json_t *list_of(const struct monitor *m,
		       json_t *(*make)(const struct monitor *m, unsigned disk))
{
	json_t *list = json_array();

	for (unsigned i = 0; i < m->plan->spec->disk_count; i++) {
		json_t *item = monitor_has_disk(m, i) ? make(m, i) : NULL;

		if (item)
			json_array_append_new(list, item);
	}
	return list;
}

/* What its daemon says of the node that the disk stands on; a copy, or NULL. */
static json_t *node_of_daemon(const struct monitor *m, unsigned disk, json_t *const *nodes)
{
	const char *name = m->plan->image[disk].node;
	json_t *node;
	size_t i;

	json_array_foreach(nodes[disk], i, node)
		if (!g_strcmp0(json_string_value(json_object_get(node, "node-name")), name)) {
			node = json_deep_copy(node);
			put_limits(node, m->limit[disk]);
			return node;
		}
	return NULL;
}

void monitor_reply_block(struct monitor *m, struct qmp_call *call, json_t *const *nodes)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < m->plan->spec->disk_count; i++) {
		json_t *node = monitor_has_disk(m, i) ? node_of_daemon(m, i, nodes) : NULL;
		json_t *info = monitor_has_disk(m, i) ? block_info(m, i) : NULL;

		if (node)
			json_object_set_new(info, "inserted", node);
		if (info)
			json_array_append_new(list, info);
	}
	qmp_reply(call, list);
}

/* Bytes of the disk whose image is that file; 0: there is none, and nobody has measured it. */
static json_int_t size_of_file(const struct monitor *m, const char *file)
{
	for (unsigned i = 0; i < m->plan->spec->disk_count; i++)
		if (monitor_has_disk(m, i) && !g_strcmp0(m->plan->image[i].filename, file))
			return m->stats[i].size;
	return 0;
}

/*
 * A node that no disk stands on: what was said of it.  Clients count on all that QEMU's schema has
 * without a question mark; libvirt refuses a list with an entry that has less.
 */
static json_t *spare_node(const struct monitor *m, const struct monitor_node *node)
{
	json_t *options = json_loads(node->text, 0, NULL);
	const json_t *file = json_object_get(options, "file");
	const char *driver = json_string_value(json_object_get(options, "driver"));
	const char *name = json_string_value(json_object_get(options, "filename")) ?:
			   json_string_value(json_object_get(file, "filename")) ?: "";
	bool readonly = json_is_true(json_object_get(options, "read-only"));
	json_t *info = json_pack("{s:s, s:s, s:s, s:b, s:b, s:i, s:i, s:s}", "node-name",
				 node->name, "drv", driver ?: "", "file", name, "ro", readonly,
				 "encrypted", 0, "backing_file_depth", 0, "write_threshold", 0,
				 "detect_zeroes", "off");

	json_object_set_new(info, "image", json_pack("{s:s, s:s, s:b, s:I}", "filename", name,
			    "format", driver ?: "", "dirty-flag", 0, "virtual-size",
			    size_of_file(m, name)));
	json_object_set_new(info, "cache", json_pack("{s:b, s:b, s:b}", "writeback", 1, "direct",
						     0, "no-flush", 0));
	put_limits(info, NULL);
	json_decref(options);
	return info;
}

static bool has_disk(const struct monitor *m, const struct monitor_node *node)
{
	for (unsigned i = 0; i < m->plan->spec->disk_count; i++)
		if (monitor_has_disk(m, i) && !g_strcmp0(m->plan->image[i].node, node->name))
			return true;
	return false;
}

/* Have the daemons told of it? */
static bool is_told(json_t *const *nodes, const struct monitor_node *node)
{
	return node->daemon >= 0 && nodes[node->daemon];
}

void monitor_reply_nodes(struct monitor *m, struct qmp_call *call, json_t *const *nodes)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < m->plan->spec->disk_count; i++)
		if (monitor_has_disk(m, i) && monitor_has_medium(m, i) && !nodes[i])
			json_array_append_new(list, node_info(m, i));
	for (unsigned i = 0; i < SPEC_MAX_DISKS; i++)
		if (nodes[i])
			json_array_extend(list, nodes[i]);
	for (guint i = 0; i < m->nodes->len; i++)
		if (!has_disk(m, m->nodes->pdata[i]) && !is_told(nodes, m->nodes->pdata[i]))
			json_array_append_new(list, spare_node(m, m->nodes->pdata[i]));
	qmp_reply(call, list);
}

/* ---- What they do ---- */

/* What QEMU counts as one kind of requests: up to two of ours. */
static const struct {
	const char *name;
	uint8_t op, also;
	bool bytes;
} kinds[] = {
	{ "rd", BLOCK_READ, BLOCK_READ, true },
	{ "wr", BLOCK_WRITE, BLOCK_ZERO, true },
	{ "flush", BLOCK_FLUSH, BLOCK_FLUSH, false },
	{ "unmap", BLOCK_DISCARD, BLOCK_DISCARD, true },
};

static void put(json_t *to, const char *fmt, const char *kind, uint64_t value)
	__attribute__((format(printf, 2, 0)));

static void put(json_t *to, const char *fmt, const char *kind, uint64_t value)
{
	g_autofree char *key = g_strdup_printf(fmt, kind);

	json_object_set_new(to, key, json_integer(value));
}

/* BlockDeviceStats.  Requests that the device itself refuses never come to a disk. */
static json_t *stats_of(const struct metrics_disk *disk)
{
	json_t *stats = json_object();

	for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
		const struct metrics_op *op = &disk->op[kinds[i].op];
		const struct metrics_op *also = kinds[i].also == kinds[i].op ? NULL :
						&disk->op[kinds[i].also];
		const char *name = kinds[i].name;

		put(stats, "%s_operations", name, op->ended - op->errors +
		    (also ? also->ended - also->errors : 0));
		put(stats, "failed_%s_operations", name, op->errors + (also ? also->errors : 0));
		put(stats, "invalid_%s_operations", name, 0);
		put(stats, "%s_total_time_ns", name, op->latency.sum +
		    (also ? also->latency.sum : 0));
		if (!kinds[i].bytes)
			continue;
		put(stats, "%s_bytes", name, op->bytes + (also ? also->bytes : 0));
		put(stats, "%s_merged", name, 0);
	}
	json_object_set_new(stats, "wr_highest_offset", json_integer(disk->highest));
	json_object_set_new(stats, "account_invalid", json_false());
	json_object_set_new(stats, "account_failed", json_true());
	json_object_set_new(stats, "timed_stats", json_array());
	return stats;
}

/* BlockStats */
static json_t *disk_stats(const struct monitor *m, unsigned disk)
{
	const struct plan_image *image = &m->plan->image[disk];
	json_t *info = json_pack("{s:s, s:s, s:o}", "device", monitor_device_name(m, disk), "qdev",
				 m->plan->spec->disk[disk].unit.id, "stats",
				 stats_of(&m->stats[disk]));

	if (monitor_has_medium(m, disk) && image->node)
		json_object_set_new(info, "node-name", event_name(image->node));
	return info;
}

void monitor_query_stats(void *opaque, struct qmp_call *call, const json_t *args)
{
	qmp_reply(call, list_of(opaque, disk_stats));
}

/* ---- How long that takes: ns, to one part in four (metrics/page.h) ---- */

static json_t *latency_of(const struct metrics_op *op)
{
	static const struct { const char *name; double percent; } points[] = {
		{ "p50", 50 }, { "p90", 90 }, { "p99", 99 }, { "p99.9", 99.9 },
	};
	struct hist h;
	json_t *info;

	metrics_buckets_hist(&op->latency, metrics_shape(METRICS_LATENCY), &h);
	info = json_pack("{s:I, s:I, s:I, s:I}", "count", (json_int_t)h.count, "min",
			 (json_int_t)(h.count ? h.min : 0), "max", (json_int_t)h.max, "mean",
			 (json_int_t)hist_mean(&h));
	for (unsigned i = 0; i < G_N_ELEMENTS(points); i++)
		json_object_set_new(info, points[i].name,
				    json_integer(hist_percentile(&h, points[i].percent)));
	return info;
}

static json_t *disk_latency(const struct monitor *m, unsigned disk)
{
	static const struct { const char *name; enum block_op op; } ops[] = {
		{ "read", BLOCK_READ }, { "write", BLOCK_WRITE }, { "flush", BLOCK_FLUSH },
		{ "discard", BLOCK_DISCARD }, { "zero", BLOCK_ZERO },
	};
	json_t *info = json_pack("{s:s, s:s}", "device", monitor_device_name(m, disk), "qdev",
				 m->plan->spec->disk[disk].unit.id);

	for (unsigned i = 0; i < G_N_ELEMENTS(ops); i++)
		json_object_set_new(info, ops[i].name, latency_of(&m->stats[disk].op[ops[i].op]));
	return info;
}

void monitor_query_latency(void *opaque, struct qmp_call *call, const json_t *args)
{
	qmp_reply(call, list_of(opaque, disk_latency));
}
