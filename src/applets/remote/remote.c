/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/applet.h"
#include "applets/remote/device.h"
#include "applets/remote/images.h"
#include "applets/remote/keeper.h"
#include "applets/remote/metricsfile.h"
#include "applets/remote/monitor.h"
#include "applets/remote/onerror.h"
#include "applets/remote/peers.h"
#include "applets/remote/reconnect.h"
#include "applets/remote/report.h"
#include "applets/remote/roms.h"
#include "applets/remote/supervised.h"
#include "applets/remote/tracefd.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/service.h"
#include "control/launch.h"
#include "plan/remote.h"
#include "sandbox/filter.h"
#include "sandbox/probe.h"

/* What lasts as long as the keeper. */
struct remote {
	const char *prog;
	struct remote_plan plan;
	struct images *images;
	struct onerror *onerror;
	struct monitor *monitor;
	struct supervised supervised;
	struct peers peers;
	int rom[SPEC_MAX_DEVICES];	/* owned */
	int trace_fd;			/* --trace; owned */
	int metrics_fd;			/* owned */
	int pid_fd;			/* the locked pid file; owned */
	bool pid_written;
	struct notify notify;		/* the service manager */
	int parent_fd;			/* -daemonize: the parent waits for a byte; owned */
};

static bool set_up_log(struct remote *r, GError **error)
{
	const struct remote_plan *plan = &r->plan;
	g_autofree char *prog = NULL;
	int fd = STDERR_FILENO;

	if (plan->logfile) {
		fd = open(plan->logfile, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		if (fd < 0)
			return mpq_fail(error, MPQ_ERROR_SYSTEM, "-D %s: %s", plan->logfile,
					log_errname(errno));
	}
	if (plan->msg_guest_name && plan->name)
		prog = g_strdup_printf("%s %s", plan->name, r->prog);
	log_init(fd, prog ? prog : r->prog);
	log_set_timestamp(plan->msg_timestamp);
	if (plan->debug)
		log_set_level(LOG_LEVEL_DEBUG);
	return true;
}

static bool open_pidfile(struct remote *r, GError **error)
{
	if (!r->plan.pidfile)
		return true;
	r->pid_fd = service_pidfile(r->plan.pidfile, error);
	return r->pid_fd >= 0;
}

static int write_pidfile(struct remote *r)
{
	if (r->pid_fd < 0)
		return 0;
	r->pid_written = true;
	return service_write_pid(r->pid_fd);
}

static int on_ready(void *opaque)
{
	struct remote *r = opaque;
	int ret = write_pidfile(r);

	if (ret) {
		log_error("cannot create PID file: %s", log_errname(ret));
		return ret;
	}
	/* stderr stays the caller's until here, so that errors are seen. */
	if (service_release(&r->parent_fd, false))
		log_warning("-daemonize: the caller is gone");
	return 0;
}

/* Why a disk cannot have a new connection, for a successor.  NULL: it can, or needs none. */
static const char *check_storage(const struct spec_image *image, int fd, int place)
{
	if (image->kind != SPEC_IMAGE_NBD)
		return NULL;
	if (place < 0)
		return "its NBD server is behind TCP, where nobody can tell when it is done with "
		       "what the last one asked for (one at a UNIX socket, or a storage daemon "
		       "before it, can have one)";
	if (reconnect_is_held(fd) < 0)
		return "this kernel does not tell when an NBD server has closed a connection "
		       "(sock_diag, the module unix_diag)";
	return NULL;
}

/*
 * A successor goes on with the sockets and images that its predecessor had, and with NBD servers of
 * which can be told when they are done with it.  Not with clients that come and go.
 */
static bool check_on_crash(const struct remote_plan *plan, const struct images *images,
			   GError **error)
{
	const struct launch_spec *spec = plan->spec;
	const char *id = NULL, *why = NULL;

	if (plan->on_crash == SPEC_ON_CRASH_FAIL)
		return true;
	for (unsigned i = 0; i < spec->device_count; i++)
		if (spec->device[i].protocol != SPEC_PROTOCOL_MPQEMU || spec->device[i].listens) {
			id = spec->device[i].id;
			why = "its clients come and go (x-vfio-user-server)";
		}
	for (unsigned i = 0; i < spec->disk_count; i++)
		if (!why) {
			id = spec->disk[i].unit.id;
			why = check_storage(&spec->disk[i].image, images_fds(images)[i],
					    images_places(images)[i]);
		}
	if (spec->manage)
		return mpq_fail(error, MPQ_ERROR_USAGE, "--on-crash: a successor knows nothing of "
				"disks that came by a monitor (-qmp, -mon); leave one of them out");
	if (plan->trace)
		return mpq_fail(error, MPQ_ERROR_USAGE, "--trace: a recording is of one device "
				"process; leave --on-crash out");
	if (!why)
		return true;
	return mpq_fail(error, MPQ_ERROR_USAGE, "--on-crash: %s has no successor: %s; leave the "
			"option out", id, why);
}

/* What the device process is told of the log and the sandbox. */
static void fill_spec(struct remote *r)
{
	const struct remote_plan *plan = &r->plan;
	struct launch_spec *spec = plan->spec;

	spec->sandbox = plan->sandbox;
	spec->on_crash = plan->sandbox_report ? SPEC_ON_CRASH_FAIL : plan->on_crash;
	spec->log_level = plan->debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO;
	spec->log_timestamp = plan->msg_timestamp;
	spec->probe = plan->empty_server ? PROBE_EMPTY_SERVER : 0;
	g_strlcpy(spec->log_prog, log_prog(), sizeof(spec->log_prog));
	g_strlcpy(spec->comm, plan->process ? plan->process : r->prog, sizeof(spec->comm));
}

static bool prepare(struct remote *r, GError **error)
{
	int ret;

	/* A log that nobody reads any more loses lines, and nothing else. */
	signal(SIGPIPE, SIG_IGN);
	/* A caller that ignores it leaves it so: no end of a child would be heard of. */
	signal(SIGCHLD, SIG_DFL);
	/* ulimit -f: what does not fit is an error with a name. */
	signal(SIGXFSZ, SIG_IGN);
	if (!set_up_log(r, error))
		return false;
	fill_spec(r);
	for (guint i = 0; r->plan.warnings && i < r->plan.warnings->len; i++)
		log_warning("%s", (const char *)g_ptr_array_index(r->plan.warnings, i));
	if (r->plan.process)
		prctl(PR_SET_NAME, r->plan.process);
	if (r->plan.sandbox_report) {
		for (unsigned i = 0; i < r->plan.spec->device_count; i++) {
			r->plan.spec->device[i].peer_slot = LAUNCH_SLOT_PEER + i;
			r->plan.spec->device[i].listens = r->plan.peer[i].server;
		}
		return images_open(&r->plan, &r->images, error);
	}
	if (!roms_open(&r->plan, r->rom, error))
		return false;
	if (r->plan.trace && !trace_take(&r->plan, &r->trace_fd, error))
		return false;
	if (r->plan.metrics && !metrics_file_open(r->plan.metrics, &r->metrics_fd, error))
		return false;
	/* LISTEN_FDS are for the process that was started, */
	if (!open_pidfile(r, error) || !peers_open(&r->plan, &r->peers, error))
		return false;
	/* and a storage daemon ends with the one that started it. */
	ret = r->plan.daemonize ? service_fork(&r->parent_fd) : 0;
	if (ret)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "-daemonize: %s", log_errname(ret));
	ret = notify_init(&r->notify);
	if (ret)
		log_warning("NOTIFY_SOCKET: %s: the service manager is told nothing",
			    log_errname(ret));
	return supervised_take(&r->supervised, r->plan.control,
			       r->plan.on_crash != SPEC_ON_CRASH_FAIL, error) &&
	       onerror_create(&r->plan, &r->onerror, error) &&
	       images_open(&r->plan, &r->images, error) &&
	       monitor_create(&r->plan, r->images, &r->monitor, error) &&
	       check_on_crash(&r->plan, r->images, error) &&
	       (!r->plan.metrics || metrics_file_begin(r->plan.metrics, r->metrics_fd, error));
}

/* The pid file, the sockets' paths, those of monitors, NULL. */
#define MAX_REMOVED (1 + SPEC_MAX_DEVICES + PLAN_MAX_MONITORS + 1)

/* What finish() removes, and the features that this takes. */
static unsigned list_removed(const struct remote *r, const char *removes[MAX_REMOVED])
{
	unsigned count = 0, features = 0;

	if (r->plan.pidfile) {
		removes[count++] = r->plan.pidfile;
		features |= FILTER_PIDFILE;
	}
	for (unsigned i = 0; i < SPEC_MAX_DEVICES; i++)
		if (r->peers.path[i].name) {
			removes[count++] = r->peers.path[i].name;
			features |= FILTER_SOCKET_PATH;
		}
	for (unsigned i = 0; i < r->plan.monitor_count; i++)
		if (monitor_path(r->monitor, i)) {
			removes[count++] = monitor_path(r->monitor, i);
			features |= FILTER_SOCKET_PATH;
		}
	removes[count] = NULL;
	return features;
}

static int daemon_status(void *opaque, unsigned disk)
{
	struct remote *r = opaque;

	return images_daemon_status(r->images, disk);
}

static int run(struct remote *r)
{
	const char *removes[MAX_REMOVED];
	int daemon[SPEC_MAX_DISKS];
	struct keeper keeper = {
		.prog = r->prog, .spec = r->plan.spec, .peer = r->peers.fd,
		.listener = r->peers.listener, .features = list_removed(r, removes),
		.removes = removes, .rom = r->rom, .image = images_fds(r->images),
		.place = images_places(r->images), .daemon = daemon,
		.watchdog = r->plan.spec->on_crash ? r->plan.watchdog : 0,
		.metrics = r->metrics_fd, .trace = r->trace_fd, .onerror = r->onerror,
		.monitor = r->monitor, .disks = monitor_disks_fd(r->monitor),
		.supervised = &r->supervised, .notify = &r->notify, .ready = on_ready,
		.daemon_status = daemon_status, .opaque = r,
	};

	for (unsigned i = 0; i < SPEC_MAX_DISKS; i++) {
		daemon[i] = images_daemon(r->images, i);
		if (daemon[i] >= 0)
			keeper.features |= FILTER_DAEMON;
	}
	return r->plan.sandbox_report ? report_run(&keeper) : keeper_run(&keeper);
}

static void finish(struct remote *r)
{
	monitor_destroy(r->monitor);
	images_close(r->images);
	onerror_destroy(r->onerror);
	supervised_finish(&r->supervised);
	peers_finish(&r->peers);
	for (unsigned i = 0; i < SPEC_MAX_DEVICES; i++)
		fd_close(&r->rom[i]);
	if (r->pid_written)
		unlink(r->plan.pidfile);
	fd_close(&r->trace_fd);
	fd_close(&r->pid_fd);
	fd_close(&r->parent_fd);
	notify_finish(&r->notify);
	fd_close(&r->metrics_fd);
	remote_plan_finish(&r->plan);
}

/* A caller may have closed them: nothing of ours shall get their numbers. */
static void open_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	fd_close(&fd);
}

int remote_main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	struct remote r = {
		.prog = slash ? slash + 1 : argv[0], .pid_fd = -1, .parent_fd = -1,
		.supervised.fd = -1, .notify.fd = -1, .metrics_fd = -1, .trace_fd = -1,
	};
	g_autoptr(GError) error = NULL;
	int status = DEVICE_EXIT_OK;
	bool ok;

	peers_init(&r.peers);
	for (unsigned i = 0; i < SPEC_MAX_DEVICES; i++)
		r.rom[i] = -1;
	open_standard_fds();
	log_init(STDERR_FILENO, r.prog);
	ok = remote_plan_parse(argc, argv, &r.plan, &error);
	if (ok && r.plan.action == PLAN_PRINT)
		fputs(r.plan.output, stdout);
	else if (ok && r.plan.action == PLAN_PRINT_METRICS)
		ok = metrics_file_print(r.plan.print_metrics, r.plan.json, &error);
	else if (ok && (ok = prepare(&r, &error)))
		status = run(&r);
	if (!ok) {
		log_error("%s", error->message);
		status = DEVICE_EXIT_START;
	}
	finish(&r);
	return status;
}
