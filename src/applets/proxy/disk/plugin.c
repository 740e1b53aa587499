/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A plugin of nbdkit: one logical unit behind a SCSI controller of a remote.  mpqemu-proxy's verb
 * disk export starts it, and hands the connection over as a file descriptor.
 *
 * nbdkit calls from many threads.  One lock is around the initiator; whoever has submitted a
 * command sleeps until reaper() has seen its end.  Data goes through buffers in guest RAM.
 */
#define NBDKIT_API_VERSION 2

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <nbdkit-plugin.h>

#include "base/fd.h"
#include "base/num.h"
#include "client/client.h"
#include "initiator/scsi.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#define DEPTH 16			/* nbdkit's threads */
#define BUFFER (1u << 20)		/* bytes of data of one command */
#define DATA (INITIATOR_RAM + SCSI_SCRATCH)
#define ZERO_BLOCK (DATA + (uint64_t)DEPTH * BUFFER)	/* SCSI_ZERO bytes that stay zero */
#define SCSI_ZERO 65536u
#define RAM_SIZE (ZERO_BLOCK + SCSI_ZERO)
#define TIMEOUT_MS 30000
#define RANGE (1u << 30)		/* bytes of a command without data, when no limit is told */
#define TRIES 20

/* A command that waits for its end. */
struct request {
	struct initiator_cmd cmd;
	pthread_cond_t ended_cond;
	bool taken, ended;
};

static struct {
	/* the command line */
	int socket_fd, ready_fd, target, lun, pause;
	enum client_protocol protocol;
	const char *device;

	struct client client;
	struct initiator *initiator;
	struct scsi_lu lu;
	pthread_mutex_t lock;		/* of all below, and of the initiator */
	pthread_cond_t free_cond;
	struct request request[DEPTH];
	int dead;			/* -errno: the remote is of no more use */
	pthread_rwlock_t blocks;	/* written while a block is read, changed and written */
	pthread_t reaper;
	int stop;			/* eventfd */
} plugin = {
	.socket_fd = -1, .ready_fd = -1, .stop = -1, .lock = PTHREAD_MUTEX_INITIALIZER,
	.free_cond = PTHREAD_COND_INITIALIZER, .blocks = PTHREAD_RWLOCK_INITIALIZER,
};

/* ---- the command line ---- */

static int plugin_config(const char *key, const char *value)
{
	const struct {
		const char *key;
		int *number;
	} numbers[] = {
		{ "socket-fd", &plugin.socket_fd }, { "ready-fd", &plugin.ready_fd },
		{ "target", &plugin.target }, { "lun", &plugin.lun }, { "pause", &plugin.pause },
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (!strcmp(key, numbers[i].key))
			return nbdkit_parse_int(key, value, numbers[i].number);
	if (!strcmp(key, "device")) {
		plugin.device = value;
		return 0;
	}
	if (!strcmp(key, "protocol") && client_protocol_find(value, &plugin.protocol))
		return 0;
	nbdkit_error("%s=%s: mpqemu-proxy does not say that", key, value);
	return -1;
}

static int plugin_config_complete(void)
{
	if (plugin.socket_fd >= 0 && plugin.ready_fd >= 0 && plugin.device)
		return 0;
	nbdkit_error("this plugin is started by mpqemu-proxy disk export");
	return -1;
}

/* ---- commands ---- */

static struct request *request_get(void)
{
	pthread_mutex_lock(&plugin.lock);
	for (;;) {
		for (unsigned i = 0; i < DEPTH; i++) {
			if (plugin.request[i].taken)
				continue;
			plugin.request[i].taken = true;
			pthread_mutex_unlock(&plugin.lock);
			return &plugin.request[i];
		}
		pthread_cond_wait(&plugin.free_cond, &plugin.lock);
	}
}

static void request_put(struct request *r)
{
	pthread_mutex_lock(&plugin.lock);
	r->taken = false;
	pthread_cond_signal(&plugin.free_cond);
	pthread_mutex_unlock(&plugin.lock);
}

static uint64_t buffer_addr(const struct request *r)
{
	return DATA + (uint64_t)(r - plugin.request) * BUFFER;
}

static uint8_t *buffer_of(const struct request *r)
{
	return plugin.client.mem + buffer_addr(r);
}

/* One line for mpqemu-proxy, which prints it and ends us. */
static int failed(const char *what)
{
	dprintf(plugin.ready_fd, "%s: %s", plugin.device, what);
	return -1;
}

/* Nothing more can come of the remote: everybody is told.  The lock is held. */
static void die(int ret)
{
	if (plugin.dead)
		return;
	plugin.dead = ret;
	failed(ret == -ETIMEDOUT ? "no answer in time" : ret == -ENODATA ?
	       "the remote closed the connection" : initiator_why(plugin.initiator, ret));
	for (unsigned i = 0; i < DEPTH; i++)
		pthread_cond_broadcast(&plugin.request[i].ended_cond);
}

static void deadline_in(struct timespec *ts, int ms)
{
	clock_gettime(CLOCK_MONOTONIC, ts);
	ts->tv_sec += ms / 1000;
}

/* Submits and waits; the lock is held. */
static int run_once(struct request *r)
{
	struct timespec deadline;
	int ret = plugin.dead;

	r->ended = false;
	if (!ret)
		ret = initiator_submit(plugin.initiator, &r->cmd);
	deadline_in(&deadline, TIMEOUT_MS);
	while (!ret && !r->ended) {
		if (plugin.dead)
			return plugin.dead;
		if (pthread_cond_timedwait(&r->ended_cond, &plugin.lock, &deadline) == ETIMEDOUT &&
		    !r->ended) {
			die(-ETIMEDOUT);
			ret = -ETIMEDOUT;
		}
	}
	return ret;
}

/* nbdkit's answer to a command: 0, or -1 with an error told; a dead remote is told of once. */
static int run(struct request *r)
{
	char why[192] = "";
	bool dead;
	int ret;

	pthread_mutex_lock(&plugin.lock);
	for (unsigned tries = TRIES; ; tries--) {
		ret = run_once(r);
		if (ret || !tries || !scsi_retry(&r->cmd))
			break;
	}
	if (ret && ret != -EINVAL && ret != -EBUSY)
		die(ret);
	if (ret)
		snprintf(why, sizeof(why), "%s", initiator_why(plugin.initiator, ret));
	else
		ret = scsi_result(plugin.initiator, &r->cmd, why, sizeof(why));
	dead = plugin.dead;
	pthread_mutex_unlock(&plugin.lock);
	if (!ret)
		return 0;
	if (!dead)
		nbdkit_error("%s: %d:%d: %s", plugin.device, plugin.target, plugin.lun, why);
	nbdkit_set_error(ret == -EOPNOTSUPP || ret == -EPERM || ret == -ENOSPC ? -ret : EIO);
	return -1;
}

/* Hands every command that has ended back to its thread. */
static void reap_all(void)
{
	struct initiator_cmd *cmd;
	int ret;

	pthread_mutex_lock(&plugin.lock);
	while (!(ret = initiator_reap(plugin.initiator, 0, &cmd))) {
		struct request *r = cmd->opaque;

		r->ended = true;
		pthread_cond_signal(&r->ended_cond);
	}
	if (ret != -EAGAIN)
		die(ret);
	pthread_mutex_unlock(&plugin.lock);
}

/* A thread: waits for interrupts, and for the remote's end. */
static void *reaper(void *opaque)
{
	struct pollfd p[] = {
		{ .fd = plugin.client.irqfd, .events = POLLIN },
		{ .fd = plugin.client.fd, .events = POLLRDHUP },
		{ .fd = plugin.stop, .events = POLLIN },
	};

	while (!plugin.dead) {
		if (poll(p, 3, -1) < 0 && errno != EINTR)
			break;
		if (p[2].revents)
			break;
		if (p[0].revents)
			reap_all();
		if (p[1].revents) {
			pthread_mutex_lock(&plugin.lock);
			die(-ENODATA);
			pthread_mutex_unlock(&plugin.lock);
		}
	}
	return NULL;
}

/* ---- starting ---- */

static int open_client(void)
{
	uint64_t id;
	int ret = client_init(&plugin.client, plugin.protocol, fd_steal(&plugin.socket_fd),
			      RAM_SIZE, TIMEOUT_MS);

	if (!ret)
		ret = client_cfg_read(&plugin.client, 0, 4, &id);
	if (!ret && plugin.pause)
		poll(NULL, 0, plugin.pause);
	if (!ret) {
		ret = initiator_create(&plugin.client, &plugin.initiator);
		if (ret == -ENODEV)
			return failed("it is no LSI 53C895A or 53C810");
	}
	return ret ? failed(client_why(&plugin.client, ret)) : 0;
}

static int find_unit(void)
{
	struct scsi_host host = {
		.initiator = plugin.initiator, .client = &plugin.client,
		.scratch = INITIATOR_RAM, .timeout_ms = TIMEOUT_MS,
	};
	int ret = scsi_probe(&host, plugin.target, plugin.lun, &plugin.lu);
	char why[224];

	if (!ret && plugin.lu.block_size)
		return 0;
	snprintf(why, sizeof(why), "%d:%d: %s", plugin.target, plugin.lun,
		 ret == -ENODEV || ret == -ENXIO ? "there is no such unit" :
		 ret ? host.why : "it has no blocks, or no medium");
	return failed(why);
}

static int start_threads(void)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	for (unsigned i = 0; i < DEPTH; i++) {
		pthread_cond_init(&plugin.request[i].ended_cond, &attr);
		plugin.request[i].cmd.opaque = &plugin.request[i];
	}
	pthread_condattr_destroy(&attr);
	plugin.stop = eventfd(0, EFD_CLOEXEC);
	if (plugin.stop < 0 || pthread_create(&plugin.reaper, NULL, reaper, NULL)) {
		fd_close(&plugin.stop);
		return failed("no thread can be made");
	}
	return 0;
}

static int plugin_after_fork(void)
{
	if (open_client() || find_unit() || start_threads())
		return -1;
	/* it stays open: its end tells mpqemu-proxy of ours */
	return write(plugin.ready_fd, "", 1) == 1 ? 0 : -1;
}

static void plugin_cleanup(void)
{
	if (plugin.stop >= 0) {
		eventfd_write(plugin.stop, 1);
		pthread_join(plugin.reaper, NULL);
		fd_close(&plugin.stop);
	}
	initiator_destroy(plugin.initiator);
	plugin.initiator = NULL;
	if (plugin.client.ops)
		client_finish(&plugin.client);
}

/* ---- what the unit can ---- */

static void *plugin_open(int readonly)
{
	return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t plugin_get_size(void *handle)
{
	return plugin.lu.blocks * plugin.lu.block_size;
}

static int plugin_can_write(void *handle)
{
	return !plugin.lu.read_only;
}

static int can_always(void *handle)
{
	return 1;
}

static int plugin_can_trim(void *handle)
{
	return plugin.lu.can_unmap;
}

static int plugin_can_zero(void *handle)
{
	return plugin.lu.can_write_same;
}

static int plugin_can_fua(void *handle)
{
	return plugin.lu.can_fua ? NBDKIT_FUA_NATIVE : NBDKIT_FUA_EMULATE;
}

static int plugin_block_size(void *handle, uint32_t *least, uint32_t *best, uint32_t *most)
{
	*least = plugin.lu.block_size;
	*best = max_u64(plugin.lu.block_size, 4096);
	*most = 32u << 20;
	return 0;
}

/* ---- data ---- */

static uint32_t most_bytes(void)
{
	uint64_t told = (uint64_t)plugin.lu.max_blocks * plugin.lu.block_size;

	return told ? min_u64(told, BUFFER) : BUFFER;
}

/* Blocks around [@off, @off + @count), as many as one command takes; returns bytes of them. */
static uint32_t cover(uint64_t off, uint32_t count, uint64_t *ret_lba, uint32_t *ret_skip)
{
	uint32_t size = plugin.lu.block_size;
	uint64_t begin = align_down(off, size), end = align_up(off + count, size);

	end = min_u64(end, begin + align_down(most_bytes(), size));
	*ret_lba = begin / size;
	*ret_skip = off - begin;
	return end - begin;
}

static int move(struct request *r, bool write, uint64_t lba, uint32_t len, bool fua)
{
	r->cmd.addr = buffer_addr(r);
	scsi_rw(&r->cmd, &plugin.lu, write, lba, len / plugin.lu.block_size, fua);
	return run(r);
}

static int plugin_pread(void *handle, void *buf, uint32_t count, uint64_t off, uint32_t flags)
{
	struct request *r = request_get();
	int ret = 0;

	while (count && !ret) {
		uint64_t lba;
		uint32_t skip, len = cover(off, count, &lba, &skip);
		uint32_t n = min_u64(len - skip, count);

		ret = move(r, false, lba, len, false);
		if (ret)
			break;
		memcpy(buf, buffer_of(r) + skip, n);
		buf = (uint8_t *)buf + n;
		off += n;
		count -= n;
	}
	request_put(r);
	return ret;
}

/* One command's worth; blocks that change in part are read first, with all other writers out. */
static int write_some(struct request *r, const void *buf, uint32_t count, uint64_t off, bool fua,
		      uint32_t *ret_n)
{
	uint64_t lba;
	uint32_t skip, len = cover(off, count, &lba, &skip), n = min_u64(len - skip, count);
	bool part = n != len;
	int ret;

	if (part)
		pthread_rwlock_wrlock(&plugin.blocks);
	else
		pthread_rwlock_rdlock(&plugin.blocks);
	ret = part ? move(r, false, lba, len, false) : 0;
	if (!ret) {
		memcpy(buffer_of(r) + skip, buf, n);
		ret = move(r, true, lba, len, fua);
	}
	pthread_rwlock_unlock(&plugin.blocks);
	*ret_n = n;
	return ret;
}

static int plugin_pwrite(void *handle, const void *buf, uint32_t count, uint64_t off,
			 uint32_t flags)
{
	struct request *r = request_get();
	bool fua = flags & NBDKIT_FLAG_FUA;
	int ret = 0;

	while (count && !ret) {
		uint32_t n = 0;

		ret = write_some(r, buf, count, off, fua, &n);
		buf = (const uint8_t *)buf + n;
		off += n;
		count -= n;
	}
	request_put(r);
	return ret;
}

static int plugin_flush(void *handle, uint32_t flags)
{
	struct request *r = request_get();
	int ret;

	scsi_sync_cache(&r->cmd, &plugin.lu);
	ret = run(r);
	request_put(r);
	return ret;
}

/* Whole blocks of [@off, @off + @count), by UNMAP or WRITE SAME. */
static int forget(uint32_t count, uint64_t off, bool same, bool unmap, uint64_t limit)
{
	uint32_t size = plugin.lu.block_size;
	uint64_t lba = align_up(off, size) / size, end = align_down(off + count, size) / size;
	struct request *r = request_get();
	int ret = 0;

	limit = min_u64(limit ? limit : UINT32_MAX, RANGE / size);
	pthread_rwlock_rdlock(&plugin.blocks);
	while (lba < end && !ret) {
		uint32_t n = min_u64(end - lba, limit);

		r->cmd.addr = same ? ZERO_BLOCK : buffer_addr(r);
		if (same)
			scsi_write_same(&r->cmd, &plugin.lu, lba, n, unmap);
		else
			scsi_unmap(&r->cmd, &plugin.lu, lba, n, buffer_of(r));
		ret = run(r);
		lba += n;
	}
	pthread_rwlock_unlock(&plugin.blocks);
	request_put(r);
	return ret;
}

/* Neither command has FUA. */
static int settle(int ret, uint32_t flags)
{
	return !ret && flags & NBDKIT_FLAG_FUA ? plugin_flush(NULL, 0) : ret;
}

static int plugin_trim(void *handle, uint32_t count, uint64_t off, uint32_t flags)
{
	return settle(forget(count, off, false, true, plugin.lu.max_unmap), flags);
}

/* Parts of blocks are nbdkit's to write. */
static int plugin_zero(void *handle, uint32_t count, uint64_t off, uint32_t flags)
{
	if (off % plugin.lu.block_size || count % plugin.lu.block_size) {
		nbdkit_set_error(EOPNOTSUPP);
		return -1;
	}
	return settle(forget(count, off, true, flags & NBDKIT_FLAG_MAY_TRIM,
			     plugin.lu.max_write_same), flags);
}

static struct nbdkit_plugin row = {
	.name = "mpqemu", .version = MPQEMU_VERSION, .longname = "a disk of a device process",
	.description = "Started by mpqemu-proxy disk export.",
	.config = plugin_config, .config_complete = plugin_config_complete,
	.after_fork = plugin_after_fork, .cleanup = plugin_cleanup,
	.open = plugin_open, .get_size = plugin_get_size, .can_write = plugin_can_write,
	.can_flush = can_always, .can_trim = plugin_can_trim, .can_zero = plugin_can_zero,
	.can_fua = plugin_can_fua, .can_multi_conn = can_always,
	.block_size = plugin_block_size, .pread = plugin_pread, .pwrite = plugin_pwrite,
	.flush = plugin_flush, .trim = plugin_trim, .zero = plugin_zero,
	.errno_is_preserved = 0,
};

/* What nbdkit looks for; its header defines it and declares it nowhere. */
extern struct nbdkit_plugin *plugin_init(void);

NBDKIT_REGISTER_PLUGIN(row)
