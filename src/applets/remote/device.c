/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/device.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/applet.h"
#include "applets/remote/classes.h"
#include "applets/remote/confine.h"
#include "applets/remote/disks.h"
#include "applets/remote/empty.h"
#include "applets/remote/manage.h"
#include "applets/remote/pause.h"
#include "applets/remote/serve.h"
#include "applets/remote/speccheck.h"
#include "base/fd.h"
#include "base/log.h"
#include "control/channel.h"
#include "control/launch.h"
#include "control/trace.h"
#include "event/loop.h"
#include "journal/journal.h"
#include "journal/txn.h"
#include "mem/arena.h"
#include "mem/memfd.h"
#include "mem/sigbus.h"
#include "metrics/disk.h"
#include "metrics/page.h"
#include "plan/spec.h"
#include "proto/vfu.h"
#include "sandbox/probe.h"

#define POLL_WINDOW (LOOP_MS / 1000 * 40)	/* ns; see the page on speed */

struct device_process {
	const struct launch_spec *spec;
	struct loop *loop;
	struct confine confine;
	struct guestmem_arena *arena;
	uint8_t *state;				/* PCI_STATE_MAX bytes a device */
	struct disks *disks;
	struct metrics_disk *stats;		/* with a monitor; or NULL */
	struct manage *manage;			/* the same */
	struct trace *trace;			/* --trace; or NULL */
	struct serve serve[SPEC_MAX_DEVICES];	/* by device index; dev.cls NULL: not served */
	struct journal journal[SPEC_MAX_DEVICES];	/* with --on-crash */
	struct serve_vault vault[SPEC_MAX_DEVICES];	/* until all has come */
	bool adopts;				/* a predecessor has crashed */
	uint64_t poisoned;			/* bit a disk: a flush has failed */
	struct serve_ops serve_ops;
	struct pause pause;
	struct loop_timer stop_limit;		/* when no keeper is there to set it */
	unsigned open;				/* sessions */
	uint32_t serving;			/* bit a device: it has a session */
	uint32_t awaited;			/* it listens, and nobody has come yet */
	bool listens;				/* any does */
	int exit_status;
	bool stopping;
};

static int fail(const char *what, int err)
{
	log_error("%s: %s", what, log_errname(err));
	return err;
}

static void before_event(void *opaque)
{
	txn_begin();
}

/* A successor's flush must not come to another end. */
static void keep_poison(struct device_process *p)
{
	uint64_t now = disks_poisoned(p->disks);

	if (now == p->poisoned)
		return;
	p->poisoned = now;
	for (unsigned i = 0; i < p->spec->device_count; i++)
		serve_journal_poison(&p->serve[i], now);
}

static void after_event(void *opaque)
{
	struct device_process *p = opaque;

	txn_commit();
	if (p->spec->on_crash)
		keep_poison(p);
	for (unsigned i = 0; i < p->spec->device_count; i++)
		serve_flush(&p->serve[i]);
}

/* The disks have nothing under way any more and are flushed. */
static void on_drained(void *opaque, int flush_error)
{
	struct device_process *p = opaque;

	if (flush_error) {
		log_error("flush at exit: %s", log_errname(flush_error));
		p->exit_status = DEVICE_EXIT_FLUSH;
	}
	loop_quit(p->loop);
}

static void stop(struct device_process *p)
{
	if (p->stopping)
		return;
	p->stopping = true;
	manage_stop(p->manage);
	pause_end(&p->pause);
	for (unsigned i = 0; i < p->spec->device_count; i++)
		if (p->spec->device[i].peer_slot >= 0) {
			serve_stop(&p->serve[i]);
			/* Nobody is left to talk to: no engine goes on, the disks end theirs. */
			pci_dev_reset(&p->serve[i].dev);
		}
	disks_drain(p->disks, on_drained, p);
}

static void tell_gone(unsigned device)
{
	int ret = ctl_send(LAUNCH_SLOT_CONTROL, CTL_PEER_GONE, device);

	if (ret)
		log_warning("control channel: %s", log_errname(ret));
}

/* Nobody is there, and nobody is to come. */
static bool is_done(const struct device_process *p)
{
	return !p->open && !p->awaited && (!p->listens || p->spec->auto_shutdown);
}

/*
 * A device that listens is as new for its next client, whose end is then told; how a session ended
 * says something of the process only if it ends with its sessions.
 */
static void on_session_closed(void *opaque, struct serve *serve, enum serve_end end)
{
	struct device_process *p = opaque;
	unsigned device = serve - p->serve;
	bool listens = p->spec->device[device].listens;

	p->open--;
	p->serving &= ~(1u << device);
	if ((!listens || p->spec->auto_shutdown) && (int)end > p->exit_status)
		p->exit_status = end;
	if (is_done(p)) {
		stop(p);
	} else if (listens && !p->stopping) {
		pci_dev_reset(&serve->dev);
		tell_gone(device);
	}
}

/* The slot of its peer, in which the one before stood until now. */
static int take_client(struct device_process *p, unsigned device, int client)
{
	int slot = p->spec->device[device].peer_slot, ret;

	if (dup3(client, slot, O_CLOEXEC) < 0)
		return -errno;
	ret = serve_start(&p->serve[device]);
	if (ret)
		shutdown(slot, SHUT_RDWR);
	return ret;
}

/* Takes over @client. */
static void on_client(struct device_process *p, uint32_t device, int client)
{
	autofd fd = client;
	int ret;

	if (p->stopping)
		return;
	if (device >= p->spec->device_count || !p->spec->device[device].listens ||
	    p->serving & 1u << device) {
		log_error("keeper: a client for device %u, which can have none now", device);
		return;
	}
	p->awaited &= ~(1u << device);
	ret = take_client(p, device, fd);
	if (ret) {
		log_error("%s: client: %s", p->spec->device[device].id, log_errname(ret));
		tell_gone(device);
		return;
	}
	p->serving |= 1u << device;
	p->open++;
}

/* What is still under way is lost, and with it what a flush would have kept. */
static void on_stop_limit(void *opaque)
{
	log_error("not drained %d s after the keeper's end; ending at once", DEVICE_STOP_LIMIT);
	_exit(DEVICE_EXIT_FLUSH);
}

static void retry_held(struct device_process *p, bool later)
{
	for (unsigned i = 0; i < p->spec->device_count; i++)
		if (p->serve[i].dev.cls && p->serve[i].dev.cls->retry)
			p->serve[i].dev.cls->retry(&p->serve[i].dev, later);
}

static void on_paused(void *opaque, uint32_t number, int err)
{
	const struct ctl_paused paused = { .number = number, .err = -err };
	int ret;

	if (err)
		log_error("flush for a pause: %s", log_errname(err));
	ret = ctl_send(LAUNCH_SLOT_CONTROL, CTL_PAUSED, ctl_paused_pack(&paused));
	if (ret)
		log_warning("control channel: %s", log_errname(ret));
}

/* One that stops goes on to its end. */
static void on_pause(struct device_process *p, const struct ctl_msg *msg)
{
	if (p->stopping)
		return;
	if (msg->type == CTL_PAUSE)
		pause_begin(&p->pause, msg->arg);
	else
		pause_end(&p->pause);
}

/* ---- A successor ---- */

/* The keeper keeps two of each kind at most. */
static void take_kept(struct device_process *p, uint32_t arg, struct conn_fds *fds)
{
	struct ctl_keep keep;
	struct serve_vault *vault;

	if (!p->adopts || !ctl_keep_unpack(arg, p->spec->device_count, &keep))
		return;
	vault = &p->vault[keep.device];
	for (unsigned i = 0; i < 2; i++) {
		bool irq = keep.kind == CTL_KEEP_IRQ;
		struct conn_fds *place = irq ? &vault->irq[i].fds : &vault->map[i].fds;

		if (place->count)
			continue;
		*place = *fds;
		*(irq ? &vault->irq[i].epoch : &vault->map[i].epoch) = keep.epoch;
		*fds = (struct conn_fds){ 0 };
		return;
	}
}

static void drop_vault(struct serve_vault *vault)
{
	for (unsigned i = 0; i < 2; i++) {
		conn_fds_close(&vault->map[i].fds);
		conn_fds_close(&vault->irq[i].fds);
	}
}

static int adopt_device(struct device_process *p, unsigned i)
{
	int ret = serve_adopt(&p->serve[i], &p->vault[i]);

	drop_vault(&p->vault[i]);
	if (ret)
		return fail("what its predecessor left cannot be gone on from", ret);
	p->poisoned |= p->serve[i].journal.kept.poisoned;
	return 0;
}

static void give_up(struct device_process *p)
{
	p->exit_status = DEVICE_EXIT_START;
	loop_quit(p->loop);
}

/* All that the keeper has kept is there. */
static void adopt_all(struct device_process *p)
{
	int ret = 0;

	if (!p->adopts)
		return;
	p->adopts = false;
	for (unsigned i = 0; i < p->spec->device_count && !ret; i++)
		if (p->spec->device[i].peer_slot >= 0) {
			p->open++;
			p->serving |= 1u << i;
			ret = adopt_device(p, i);
		}
	disks_poison(p->disks, p->poisoned);
	if (!ret)
		ret = ctl_send(LAUNCH_SLOT_CONTROL, CTL_READY, 0);
	if (ret)
		give_up(p);
}

/* Who gets no clients has no call to receive a fd by. */
static int receive(struct device_process *p, struct ctl_msg *msg, int *client)
{
	struct conn_fds fds;
	int ret;

	if (p->spec->on_crash) {
		ret = ctl_recv_fds(LAUNCH_SLOT_CONTROL, CTL_FROM_KEEPER, msg, &fds);
		if (!ret && msg->type == CTL_KEPT)
			take_kept(p, msg->arg, &fds);
		if (!ret)
			conn_fds_close(&fds);
		return ret;
	}
	if (p->listens)
		return ctl_recv_fd(LAUNCH_SLOT_CONTROL, CTL_FROM_KEEPER, msg, client);
	return ctl_recv(LAUNCH_SLOT_CONTROL, CTL_FROM_KEEPER, msg);
}

static void answer_ping(uint32_t number)
{
	int ret = ctl_send(LAUNCH_SLOT_CONTROL, CTL_PONG, number);

	if (ret)
		log_warning("control channel: %s", log_errname(ret));
}

static void on_control(void *opaque, uint32_t events)
{
	struct device_process *p = opaque;
	struct ctl_msg msg;
	int client = -1, ret = receive(p, &msg, &client);

	if (ret == -EAGAIN)
		return;
	if (ret == -EBADMSG) {
		log_error("keeper: a message without its fd, or with too many");
		return;
	}
	if (ret) {
		/* Without its keeper nobody could take the device over: end in order. */
		loop_fd_del(p->loop, LAUNCH_SLOT_CONTROL);
		log_error("keeper: %s; ending", ret == -ENODATA ? "gone" : log_errname(ret));
		/* Nobody else would end it if a disk answers no more. */
		loop_timer_set(p->loop, &p->stop_limit,
			       loop_now() + DEVICE_STOP_LIMIT * 1000 * LOOP_MS);
		stop(p);
	} else if (msg.type == CTL_STOP) {
		stop(p);
	} else if (msg.type == CTL_KEPT_ALL) {
		adopt_all(p);
	} else if (msg.type == CTL_KEPT) {
		return;
	} else if (msg.type == CTL_PING) {
		answer_ping(msg.arg);
	} else if (msg.type == CTL_PEER) {
		on_client(p, msg.arg, client);
	} else if (msg.type == CTL_PAUSE || msg.type == CTL_RESUME) {
		on_pause(p, &msg);
	} else {
		retry_held(p, msg.type == CTL_RETRY_LATER);
	}
}

static int on_keep(void *opaque, const struct ctl_keep *what, const int *fds, unsigned count)
{
	return ctl_send_fds(LAUNCH_SLOT_CONTROL, CTL_KEEP, ctl_keep_pack(what), fds, count);
}

static void on_held(void *opaque, const struct ctl_held *held)
{
	int ret = ctl_send(LAUNCH_SLOT_CONTROL, CTL_HELD, ctl_held_pack(held));

	if (ret)
		log_warning("control channel: %s", log_errname(ret));
}

/* Set-up, in order; each returns 0 or -errno after logging what failed. */

static int count_in_page(void)
{
	struct metrics_page *page = memfd_map(LAUNCH_SLOT_METRICS, METRICS_SIZE, true);

	if (!page)
		return fail("metrics", -errno);
	metrics_use(page);
	return 0;
}

static int map_spec(struct device_process *p)
{
	const struct launch_spec *spec = memfd_map(LAUNCH_SLOT_SPEC, sizeof(*spec), false);

	if (!spec)
		return fail("launch spec", -errno);
	if (!spec_ok(spec))
		return fail("launch spec", -EINVAL);
	p->spec = spec;
	log_init(LAUNCH_SLOT_LOG, spec->log_prog);
	log_set_level(spec->log_level);
	log_set_timestamp(spec->log_timestamp);
	prctl(PR_SET_NAME, spec->comm);
	p->state = memfd_map(LAUNCH_SLOT_STATE, (uint64_t)spec->device_count * PCI_STATE_MAX, true);
	return p->state ? count_in_page() : fail("state", -errno);
}

static bool speaks_vfio_user(const struct spec_device *sd)
{
	return sd->protocol == SPEC_PROTOCOL_VFIO_USER;
}

static int map_rom(const struct spec_device *sd, struct serve_setup *setup)
{
	if (sd->rom_slot < 0)
		return 0;
	setup->rom = memfd_map(sd->rom_slot, sd->rom_size, false);
	setup->rom_size = sd->rom_size;
	return setup->rom ? 0 : -errno;
}

static int map_stats(struct device_process *p)
{
	if (p->spec->manage)
		p->stats = memfd_map(LAUNCH_SLOT_DISKS, METRICS_DISKS_SIZE(SPEC_MAX_DISKS), true);
	return p->spec->manage && !p->stats ? -errno : 0;
}

/* The ring of --trace is memory: nothing of the sandbox has to allow it. */
static int map_trace(struct device_process *p)
{
	uint64_t size = p->spec->trace_size;
	void *map = size ? memfd_map(LAUNCH_SLOT_TRACE, TRACE_HEADER + size, true) : NULL;

	if (!size)
		return 0;
	if (!map)
		return -errno;
	p->trace = calloc(1, sizeof(*p->trace));
	if (!p->trace)
		return -ENOMEM;
	return trace_join(p->trace, map, size);
}

static int open_journal(struct device_process *p, unsigned i)
{
	void *map = memfd_map(LAUNCH_SLOT_JOURNAL + i, JOURNAL_SIZE, true);
	int ret = map ? journal_open(&p->journal[i], map, LAUNCH_SLOT_JOURNAL + i) : -errno;

	p->adopts |= !ret && p->journal[i].taken_over;
	return ret;
}

/* Before a filter of the set-up: it is mapped. */
static int open_journals(struct device_process *p)
{
	int ret = 0;

	for (unsigned i = 0; p->spec->on_crash && i < p->spec->device_count && !ret; i++)
		ret = open_journal(p, i);
	return ret ? fail("journal", ret) : 0;
}

static int make_device(struct device_process *p, unsigned i)
{
	const struct spec_device *sd = &p->spec->device[i];
	const struct pci_class *cls = class_find(sd->driver);
	struct pci_state *state = (struct pci_state *)(p->state + (size_t)i * PCI_STATE_MAX);
	struct serve_setup setup = {
		.protocol = speaks_vfio_user(sd) ? &serve_vfio_user : &serve_mpqemu,
		.loop = p->loop, .arena = p->arena, .fd = sd->peer_slot,
		.cls = cls, .state = state, .id = sd->id,
		.scsi_config = disks_bus_setup(p->disks, i), .ops = &p->serve_ops,
		.trace = p->trace, .index = i,
	};
	int ret;

	if (!cls)
		return fail(sd->driver, -ENODEV);
	if (p->spec->on_crash) {
		setup.journal = &p->journal[i];
		/* The chip is as after a reset; config space is in the journal. */
		memset(state, 0, PCI_STATE_MAX);
	}
	if (sd->listens) {
		p->listens = true;
		p->awaited |= 1u << i;
	}
	ret = map_rom(sd, &setup);
	if (!ret)
		ret = serve_init(&p->serve[i], &setup);
	return ret ? fail(sd->id, ret) : 0;
}

static int start_device(struct device_process *p, unsigned i)
{
	int ret = serve_start(&p->serve[i]);

	if (ret)
		return fail(p->spec->device[i].id, ret);
	p->open++;
	p->serving |= 1u << i;
	return 0;
}

/* Last of all that allocates: the heap that it sets aside is still there when a client comes. */
static int prepare_vfio_user(struct device_process *p)
{
	int ret = 0;

	for (unsigned i = 0; i < p->spec->device_count && !ret; i++)
		if (speaks_vfio_user(&p->spec->device[i]))
			ret = vfu_version_prepare();
	return ret ? fail("vfio-user", ret) : 0;
}

/* The bus of a device; NULL: it has none. */
static struct scsi_bus *find_bus(void *opaque, unsigned device)
{
	struct device_process *p = opaque;
	struct pci_dev *dev = device < p->spec->device_count ? &p->serve[device].dev : NULL;

	return dev && dev->cls && dev->cls->scsi_bus ? dev->cls->scsi_bus(dev) : NULL;
}

static int make_all(struct device_process *p)
{
	uint64_t base, size;
	int ret;

	p->loop = loop_create(LAUNCH_SLOT_EPOLL);
	if (!p->loop)
		return fail("event loop", -errno);
	loop_set_hooks(p->loop, before_event, after_event, p);
	loop_set_poll(p->loop, POLL_WINDOW);
	p->arena = guestmem_arena_create();
	if (!p->arena)
		return fail("address range for guest RAM (ulimit -v has to allow 64 GiB)", -errno);
	ret = sigbus_guard(p->arena);
	if (ret)
		return fail("SIGBUS handler", ret);
	ret = map_trace(p);
	if (ret)
		return fail("--trace", ret);
	guestmem_arena_range(p->arena, &base, &size);
	ret = map_stats(p);
	if (ret)
		return fail("counters of disks", ret);
	ret = disks_create(p->loop, p->spec, p->stats, on_held, p, &p->disks);
	if (!ret)
		ret = open_journals(p);
	if (!ret)
		ret = confine_handshake(&p->confine, base, size);
	if (!ret)
		ret = disks_connect(p->disks);
	for (unsigned i = 0; i < p->spec->device_count && !ret; i++)
		ret = make_device(p, i);
	if (!ret)
		ret = prepare_vfio_user(p);
	if (ret)
		return ret;
	p->pause = (struct pause){
		.loop = p->loop, .disks = p->disks, .serve = p->serve,
		.count = p->spec->device_count, .told = on_paused, .opaque = p,
	};
	pause_init(&p->pause);
	ret = loop_fd_add(p->loop, LAUNCH_SLOT_CONTROL, EPOLLIN, on_control, p);
	if (!ret && p->spec->manage)
		ret = manage_create(p->loop, p->disks, find_bus, p, &p->manage);
	return ret ? fail("control channel", ret) : 0;
}

/* All of it before the first byte of a peer is read. */
static int set_up(struct device_process *p)
{
	uint64_t base, size;
	int ret = map_spec(p);

	if (!ret)
		ret = disks_preload(p->spec);
	if (!ret)
		ret = confine_early(&p->confine, p->spec);
	if (!ret)
		ret = make_all(p);
	if (ret)
		return ret;
	guestmem_arena_range(p->arena, &base, &size);
	p->confine.again = p->adopts;
	return confine_late(&p->confine, base, size);
}

/*
 * In place of a device: one hostile system call.  Ends the process with PROBE_RETURNED when the
 * call comes back.
 */
static void be_hostile(struct device_process *p)
{
	struct probe probe;

	if (p->spec->probe == PROBE_NOTHING)
		_exit(DEVICE_EXIT_OK);
	if (!probe_get(&filter_device, &p->confine.env, p->spec->probe - PROBE_FIRST, &probe))
		_exit(DEVICE_EXIT_START);
	probe_make(&probe);
	_exit(PROBE_RETURNED);
}

static int serve_all(struct device_process *p)
{
	int ret = 0;

	for (unsigned i = 0; i < p->spec->device_count && !ret && !p->adopts; i++)
		if (p->spec->device[i].peer_slot >= 0 && !p->spec->device[i].listens)
			ret = start_device(p, i);
	if (!ret && !p->adopts)
		ret = ctl_send(LAUNCH_SLOT_CONTROL, CTL_READY, 0);
	if (ret)
		return fail("control channel", ret);
	ret = loop_run(p->loop);
	return ret ? fail("event loop", ret) : 0;
}

static void tear_down(struct device_process *p)
{
	for (unsigned i = 0; p->spec && i < p->spec->device_count; i++)
		if (p->serve[i].loop)
			serve_finish(&p->serve[i]);
	manage_destroy(p->manage);
	disks_destroy(p->disks);
	free(p->trace);
	loop_destroy(p->loop);
	guestmem_arena_destroy(p->arena);
}

int device_main(void)
{
	struct device_process *p = calloc(1, sizeof(*p));
	int status;

	if (!p) {
		log_error("out of memory");
		return DEVICE_EXIT_START;
	}
	p->stop_limit.fn = on_stop_limit;
	p->stop_limit.unheld = true;
	p->serve_ops = (struct serve_ops){
		.closed = on_session_closed, .keep = on_keep, .opaque = p,
	};
	if (set_up(p))
		p->exit_status = DEVICE_EXIT_START;
	else if (p->spec->probe == PROBE_EMPTY_SERVER)
		empty_serve(p->loop);
	else if (p->spec->probe)
		be_hostile(p);
	else if (serve_all(p))
		p->exit_status = DEVICE_EXIT_START;
	status = p->exit_status;
	/* What is flushed is flushed; the filter has no call for tidying up. */
	if (p->spec && p->spec->sandbox != SANDBOX_OFF)
		_exit(status);
	tear_down(p);
	free(p);
	return status;
}

int device_applet_main(int argc, char **argv)
{
	struct stat st;

	signal(SIGPIPE, SIG_IGN);
	/* What is freed after the set-up stays in the heap: there is no call to give it back by. */
	mallopt(M_TRIM_THRESHOLD, -1);
	mallopt(M_MMAP_MAX, 0);
	log_init(LAUNCH_SLOT_LOG, DEVICE_APPLET);
	if (argc != 1 || fstat(LAUNCH_SLOT_SPEC, &st) < 0 || !S_ISREG(st.st_mode)) {
		log_init(STDERR_FILENO, DEVICE_APPLET);
		log_error("mpqemu-remote starts this; it is of no use by hand");
		return DEVICE_EXIT_START;
	}
	return device_main();
}
