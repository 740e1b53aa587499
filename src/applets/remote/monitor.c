/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/monitor.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "applets/remote/events.h"
#include "applets/remote/images.h"
#include "applets/remote/monitor-priv.h"
#include "applets/remote/peers.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "control/channel.h"
#include "mem/memfd.h"
#include "metrics/disk.h"

/* ---- What every monitor has ---- */

static void run_status(void *opaque, struct qmp_call *call, const json_t *args)
{
	const struct monitor *m = opaque;

	qmp_reply(call, json_pack("{s:s, s:b, s:b}", "status", m->paused ? "paused" : "running",
				  "singlestep", 0, "running", !m->paused));
}

static void run_name(void *opaque, struct qmp_call *call, const json_t *args)
{
	const struct monitor *m = opaque;

	qmp_reply(call, m->plan->name ? json_pack("{s:s}", "name", m->plan->name) : json_object());
}

static void run_quit(void *opaque, struct qmp_call *call, const json_t *args)
{
	struct monitor *m = opaque;

	monitor_shutdown(m, "host-qmp-quit", false);
	m->quit = true;
	qmp_reply(call, NULL);
}

static const struct qmp_arg resize_args[] = {
	{ "device", QMP_STRING, true },
	{ "node-name", QMP_STRING, true },
	{ "size", QMP_INT },
	{ 0 }
};

static const struct qmp_arg eject_args[] = {
	{ "device", QMP_STRING, true },
	{ "id", QMP_STRING, true },
	{ "force", QMP_BOOL, true },
	{ 0 }
};

static const char *const readonly_modes[] = { "retain", "read-only", "read-write", NULL };

static const struct qmp_arg medium_args[] = {
	{ "device", QMP_STRING, true },
	{ "id", QMP_STRING, true },
	{ "filename", QMP_STRING },
	{ "format", QMP_STRING, true },
	{ "force", QMP_BOOL, true },
	{ "read-only-mode", QMP_STRING, true, readonly_modes },
	{ 0 }
};

static const struct qmp_arg throttle_args[] = {
	{ "device", QMP_STRING, true },
	{ "id", QMP_STRING, true },
	{ "bps", QMP_INT },
	{ "bps_rd", QMP_INT },
	{ "bps_wr", QMP_INT },
	{ "iops", QMP_INT },
	{ "iops_rd", QMP_INT },
	{ "iops_wr", QMP_INT },
	{ 0 }
};

static const struct qmp_arg node_args[] = {
	{ "node-name", QMP_STRING },
	{ 0 }
};

static const struct qmp_arg blockdev_args[] = {
	{ "driver", QMP_STRING },
	{ "node-name", QMP_STRING, true },
	{ 0 }
};

static const struct qmp_arg device_add_args[] = {
	{ "driver", QMP_STRING },
	{ "bus", QMP_STRING, true },
	{ "id", QMP_STRING, true },
	{ 0 }
};

static const struct qmp_arg device_del_args[] = { { "id", QMP_STRING }, { 0 } };

static const struct qmp_arg nodes_args[] = { { "flat", QMP_BOOL, true }, { 0 } };
static const struct qmp_arg stats_args[] = { { "query-nodes", QMP_BOOL, true }, { 0 } };

#define RELAYED(name) { name, NULL, QMP_NOTHING, QMP_MORE_ARGS, monitor_relay }
#define REFUSED(name) \
	{ name, NULL, QMP_NOTHING, QMP_MORE_ARGS | QMP_UNLISTED, monitor_relay_refused }

static const struct qmp_command commands[] = {
	{ "query-block", NULL, QMP_ARRAY, 0, monitor_relay },
	{ "query-named-block-nodes", nodes_args, QMP_ARRAY, 0, monitor_relay },
	{ "query-blockstats", stats_args, QMP_ARRAY, 0, monitor_query_stats },
	{ "query-latency", NULL, QMP_ARRAY, 0, monitor_query_latency },
	{ "block_resize", resize_args, QMP_NOTHING, 0, monitor_block_resize },
	{ "block_set_io_throttle", throttle_args, QMP_NOTHING, 0, monitor_set_throttle },
	{ "blockdev-add", blockdev_args, QMP_NOTHING, QMP_MORE_ARGS, monitor_blockdev_add },
	{ "blockdev-del", node_args, QMP_NOTHING, 0, monitor_blockdev_del },
	{ "device_add", device_add_args, QMP_NOTHING, QMP_MORE_ARGS, monitor_device_add },
	{ "device_del", device_del_args, QMP_NOTHING, 0, monitor_device_del },
	{ "eject", eject_args, QMP_NOTHING, 0, monitor_eject },
	{ "blockdev-change-medium", medium_args, QMP_NOTHING, 0, monitor_change_medium },
	RELAYED("block-commit"), RELAYED("block-stream"), RELAYED("blockdev-backup"),
	RELAYED("blockdev-mirror"), RELAYED("blockdev-create"), RELAYED("blockdev-snapshot"),
	RELAYED("blockdev-snapshot-internal-sync"),
	RELAYED("blockdev-snapshot-delete-internal-sync"), RELAYED("blockdev-reopen"),
	RELAYED("change-backing-file"), RELAYED("block-set-write-threshold"),
	RELAYED("block-dirty-bitmap-add"), RELAYED("block-dirty-bitmap-clear"),
	RELAYED("block-dirty-bitmap-disable"), RELAYED("block-dirty-bitmap-enable"),
	RELAYED("block-dirty-bitmap-merge"), RELAYED("block-dirty-bitmap-remove"),
	RELAYED("block-job-cancel"), RELAYED("block-job-complete"), RELAYED("block-job-dismiss"),
	RELAYED("block-job-finalize"), RELAYED("block-job-pause"), RELAYED("block-job-resume"),
	RELAYED("block-job-set-speed"), RELAYED("job-cancel"), RELAYED("job-complete"),
	RELAYED("job-dismiss"), RELAYED("job-finalize"), RELAYED("job-pause"),
	RELAYED("job-resume"), RELAYED("transaction"), RELAYED("object-add"), RELAYED("object-del"),
	RELAYED("qom-set"),
	{ "query-block-jobs", NULL, QMP_ARRAY, 0, monitor_relay },
	{ "query-jobs", NULL, QMP_ARRAY, 0, monitor_relay },
	REFUSED("block-export-add"), REFUSED("block-export-del"), REFUSED("nbd-server-add"),
	REFUSED("nbd-server-remove"), REFUSED("nbd-server-start"), REFUSED("nbd-server-stop"),
	REFUSED("chardev-add"), REFUSED("chardev-change"), REFUSED("chardev-remove"),
	REFUSED("chardev-send-break"), REFUSED("drive-backup"), REFUSED("drive-mirror"),
	REFUSED("blockdev-snapshot-sync"),
	{ "query-status", NULL, QMP_OBJECT, 0, run_status },
	{ "query-name", NULL, QMP_OBJECT, 0, run_name },
	{ "quit", NULL, QMP_NOTHING, 0, run_quit },
	{ 0 }
};

static const char *const events[] = {
	"BLOCK_IMAGE_CORRUPTED", "BLOCK_IO_ERROR", "BLOCK_JOB_CANCELLED", "BLOCK_JOB_COMPLETED",
	"BLOCK_JOB_ERROR", "BLOCK_JOB_PENDING", "BLOCK_JOB_READY", "BLOCK_WRITE_THRESHOLD",
	"DEVICE_DELETED", "DEVICE_TRAY_MOVED", "JOB_STATUS_CHANGE", "RESUME", "SHUTDOWN", "STOP",
	NULL
};

bool monitor_may_tell(struct bucket *bucket, unsigned burst, unsigned rate)
{
	int64_t now = clock_ms(), due = (now - bucket->told) * rate / 1000;

	if (due > 0) {
		bucket->tokens = MIN(bucket->tokens + due, burst);
		bucket->told = now;
	}
	return bucket->tokens && bucket->tokens--;
}

static void on_dropped(void *opaque, const char *why)
{
	struct monitor *m = opaque;

	if (monitor_may_tell(&m->lines, 16, 1))
		log_warning("monitor: a client is dropped: %s", why);
}

/* ---- Errors of the host ---- */

void monitor_io_error(struct monitor *m, unsigned disk, bool write, int err, const char *action)
{
	const char *node = monitor_has_disk(m, disk) ? m->plan->image[disk].node : NULL;
	struct block_io_error what = {
		.node = node ?: "", .action = action, .write = write, .err = err,
	};

	if (!monitor_has_disk(m, disk) || !err || !monitor_may_tell(&m->errors, 128, 8))
		return;
	what.device = monitor_device_name(m, disk);
	qmp_server_event(m->server, "BLOCK_IO_ERROR", event_block_io_error_data(&what));
}

void monitor_held(struct monitor *m, uint32_t arg)
{
	struct ctl_held held;

	if (!m || !ctl_held_unpack(arg, m->plan->spec->disk_count, &held))
		return;
	monitor_io_error(m, held.disk, held.write, held.err, "stop");
}

/* ---- Opening ---- */

static bool open_one(struct monitor *m, unsigned i, GError **error)
{
	const struct plan_monitor *plan = &m->plan->monitor[i];
	int fd = -1, listener = -1;

	if (!peer_open(&plan->peer, &fd, &listener, &m->path[i], error))
		return false;
	if (fd >= 0)
		qmp_server_add(m->server, fd, plan->pretty);
	if (listener >= 0)
		qmp_server_listen(m->server, listener, plan->pretty);
	return true;
}

/* Where the device process counts; the keeper reads only. */
static bool make_stats(struct monitor *m, GError **error)
{
	uint64_t size = METRICS_DISKS_SIZE(SPEC_MAX_DISKS);

	m->disks_fd = memfd_make("mpqemu-disks", size);
	if (m->disks_fd >= 0)
		m->stats = memfd_map(m->disks_fd, size, false);
	if (!m->stats)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "monitor: counters of disks: %s",
				log_errname(m->disks_fd < 0 ? m->disks_fd : errno));
	return true;
}

static void read_version(struct qmp_server_config *config)
{
	sscanf(MPQEMU_VERSION, "%u.%u.%u", &config->version.major, &config->version.minor,
	       &config->version.micro);
	config->version.package = "mpqemu-remote";
}

bool monitor_create(struct remote_plan *plan, struct images *images, struct monitor **ret,
		    GError **error)
{
	struct monitor *m;
	bool ok;

	if (!plan->monitor_count)
		return true;
	m = g_new0(struct monitor, 1);
	m->plan = plan;
	m->images = images;
	m->config = (struct qmp_server_config){
		.commands = commands, .events = events, .max_clients = MONITOR_CLIENTS,
		.bounds = { .in = 1 << 20, .out = 4 << 20 }, .dropped = on_dropped,
	};
	m->disks_fd = m->manage = -1;
	read_version(&m->config);
	m->server = qmp_server_create(&m->config, m);
	ok = make_stats(m, error) && monitor_nodes_init(m, error);
	for (unsigned i = 0; i < plan->monitor_count && ok; i++)
		ok = open_one(m, i, error);
	if (!ok) {
		monitor_destroy(m);
		return false;
	}
	monitor_daemons_init(m);
	plan->spec->manage = 1;
	*ret = m;
	return true;
}

void monitor_destroy(struct monitor *m)
{
	if (!m)
		return;
	for (unsigned i = 0; i < MONITOR_REQUESTS; i++) {
		if (m->request[i].call)
			qmp_refuse(m->request[i].call, "GenericError", "the process ends");
		if (m->request[i].open)
			monitor_request_end(&m->request[i]);
	}
	monitor_relay_finish(m);
	monitor_daemons_finish(m);
	monitor_nodes_finish(m);
	qmp_server_destroy(m->server);
	fd_close(&m->disks_fd);
	for (unsigned i = 0; i < PLAN_MAX_MONITORS; i++)
		peer_path_remove(&m->path[i]);
	g_free(m);
}

const char *monitor_path(const struct monitor *m, unsigned index)
{
	return m ? m->path[index].name : NULL;
}

/* ---- The keeper's loop ---- */

int monitor_disks_fd(const struct monitor *m)
{
	return m ? m->disks_fd : -1;
}

void monitor_ready(struct monitor *m, int manage)
{
	if (!m)
		return;
	m->manage = manage;
	m->ready = true;
}

void monitor_set_running(struct monitor *m, bool running)
{
	if (!m || m->paused == !running)
		return;
	m->paused = !running;
	qmp_server_event(m->server, running ? "RESUME" : "STOP", NULL);
}

void monitor_shutdown(struct monitor *m, const char *reason, bool guest)
{
	if (!m || m->shutdown)
		return;
	m->shutdown = true;
	qmp_server_event(m->server, "SHUTDOWN", json_pack("{s:b, s:s}", "guest", guest, "reason",
							  reason));
}

int monitor_poll(struct monitor *m, int wait_ms, struct pollfd *p, unsigned *ret_count)
{
	unsigned count;

	*ret_count = 0;
	if (!m || !m->ready)
		return wait_ms;
	p[0] = (struct pollfd){ .fd = m->manage, .events = POLLIN };
	wait_ms = monitor_sooner(wait_ms, monitor_daemons_poll(m, p + 1, &m->polled));
	wait_ms = monitor_sooner(wait_ms, qmp_server_poll(m->server, p + 1 + m->polled, &count));
	*ret_count = 1 + m->polled + count;
	wait_ms = monitor_sooner(wait_ms, monitor_relay_wait(m));
	return monitor_sooner(wait_ms, monitor_manage_wait(m));
}

bool monitor_polled(struct monitor *m, const struct pollfd *p, unsigned count)
{
	bool quit;

	if (!m || !m->ready)
		return false;
	monitor_manage_polled(m, p[0].revents);
	monitor_daemons_polled(m, p + 1, m->polled);
	monitor_relay_polled(m);
	qmp_server_polled(m->server, p + 1 + m->polled, count - 1 - m->polled);
	quit = m->quit;
	m->quit = false;
	return quit;
}
