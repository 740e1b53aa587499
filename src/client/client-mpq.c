/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "client/client-priv.h"
#include "client/metrics.h"

/* The mpqemu protocol, as QEMU's x-pci-proxy-dev speaks it: mpqemu-protocol(7). */

#define ROM_MASK 0xfffff800u	/* PCI Local Bus 3.0, section 6.2.5.2 */

static int mpq_init(struct client *c)
{
	struct mpq_sync_sysmem sync = { .gpa = { 0 }, .size = { c->mem_size } };
	int irq[2] = { c->irqfd, c->resamplefd };
	int ret;

	c->mpq = calloc(1, sizeof(*c->mpq));
	if (!c->mpq)
		return -ENOMEM;
	mpq_conn_init(c->mpq, c->fd, MPQ_FROM_REMOTE);
	c->conn = &c->mpq->conn;
	c->socket_ms = fcntl(c->fd, F_GETFL) & O_NONBLOCK ? -1 : 0;
	ret = mpq_send_fds(c->mpq, MPQ_SYNC_SYSMEM, &sync, sizeof(sync), &c->mem_fd, 1);
	return ret ? ret : mpq_send_fds(c->mpq, MPQ_SET_IRQFD, NULL, 0, irq, 2);
}

static void mpq_finish(struct client *c)
{
	free(c->mpq);
	c->mpq = NULL;
	c->conn = NULL;
}

/* The socket ends each wait itself, so that a round trip is two system calls and no more. */
static int bound_waits(struct client *c)
{
	struct timeval tv = { c->timeout_ms / 1000, c->timeout_ms % 1000 * 1000 };

	if (setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) < 0)
		return -errno;
	c->socket_ms = c->timeout_ms;
	return 0;
}

/* On a socket that does not block: it may have been inherited, and its flags are not ours. */
static int poll_reply(struct client *c, uint32_t size, uint64_t *ret_val)
{
	int64_t deadline = client_deadline(c);
	struct mpq_msg msg;
	int ret;

	while ((ret = mpq_peek(c->mpq, &msg))) {
		ret = client_wait_input(c, ret, deadline);
		if (ret)
			return ret;
	}
	ret = mpq_consume(c->mpq, &msg);
	if (ret)
		return ret;
	if (msg.size != size)
		return conn_error(c->conn, "RET with %u bytes, expected %u", msg.size, size);
	*ret_val = msg.u.ret;
	return 0;
}

/* Waits for RET with a payload of @size bytes. */
static int wait_reply(struct client *c, uint32_t size, uint64_t *ret_val)
{
	uint64_t val = 0;
	int ret = 0;

	if (c->socket_ms >= 0 && c->socket_ms != c->timeout_ms)
		ret = bound_waits(c);
	if (!ret)
		ret = c->socket_ms < 0 ? poll_reply(c, size, &val) : mpq_await(c->mpq, size, &val);
	if (!ret && ret_val)
		*ret_val = val;
	return ret == -EAGAIN ? -ETIMEDOUT : ret;
}

static enum client_message kind_of(enum mpq_cmd cmd)
{
	static const enum client_message kinds[MPQ_CMD_COUNT] = {
		[MPQ_SYNC_SYSMEM] = CLIENT_MEMORY_MAP, [MPQ_SET_IRQFD] = CLIENT_IRQ_SETUP,
		[MPQ_RET] = CLIENT_OTHER,
		[MPQ_PCI_CFGREAD] = CLIENT_CONFIG_READ, [MPQ_PCI_CFGWRITE] = CLIENT_CONFIG_WRITE,
		[MPQ_BAR_READ] = CLIENT_BAR_READ, [MPQ_BAR_WRITE] = CLIENT_BAR_WRITE,
		[MPQ_DEVICE_RESET] = CLIENT_RESET,
	};

	return kinds[cmd];
}

static int call(struct client *c, enum mpq_cmd cmd, const void *payload, size_t size,
		uint32_t reply_size, uint64_t *ret_val)
{
	uint64_t begun = client_trip_begin(c);
	int ret = mpq_send(c->mpq, cmd, payload, size);

	c->messages++;
	if (!ret)
		ret = wait_reply(c, reply_size, ret_val);
	client_trip_end(c, kind_of(cmd), begun, !ret);
	return ret;
}

static int cfg_read(struct client *c, uint32_t addr, int32_t len, uint64_t *ret_val)
{
	struct mpq_cfg cfg = { .addr = addr, .len = len };

	return call(c, MPQ_PCI_CFGREAD, &cfg, sizeof(cfg), 8, ret_val);
}

static int cfg_write(struct client *c, uint32_t addr, uint32_t val, int32_t len)
{
	struct mpq_cfg cfg = { .addr = addr, .val = val, .len = len };

	return call(c, MPQ_PCI_CFGWRITE, &cfg, sizeof(cfg), 8, NULL);
}

static int bar_read(struct client *c, bool memory, uint64_t addr, uint32_t size, uint64_t *ret_val)
{
	struct mpq_bar bar = { .addr = addr, .size = size, .memory = memory };

	return call(c, MPQ_BAR_READ, &bar, sizeof(bar), 8, ret_val);
}

static int bar_write(struct client *c, bool memory, uint64_t addr, uint32_t size, uint64_t val)
{
	struct mpq_bar bar = { .addr = addr, .val = val, .size = size, .memory = memory };

	return call(c, MPQ_BAR_WRITE, &bar, sizeof(bar), 8, NULL);
}

static int region_read(struct client *c, unsigned bar, uint64_t off, uint32_t size,
		       uint64_t *ret_val)
{
	int ret = client_place_bar(c, bar);

	return ret ? ret : bar_read(c, !c->bar[bar].io, c->bar[bar].addr + off, size, ret_val);
}

static int region_write(struct client *c, unsigned bar, uint64_t off, uint32_t size, uint64_t val)
{
	int ret = client_place_bar(c, bar);

	return ret ? ret : bar_write(c, !c->bar[bar].io, c->bar[bar].addr + off, size, val);
}

static int reset(struct client *c)
{
	return call(c, MPQ_DEVICE_RESET, NULL, 0, 0, NULL);
}

static int eoi(struct client *c)
{
	return eventfd_write(c->resamplefd, 1) ? -errno : 0;
}

/* PCI Local Bus 3.0, section 6.2.5.1: write ones, read which of them stick. */
static int probe(struct client *c, uint32_t at, uint32_t ones, uint64_t *ret_mask)
{
	uint64_t before = 0, mask = 0;
	int ret = cfg_read(c, at, 4, &before);

	if (!ret)
		ret = cfg_write(c, at, ones, 4);
	if (!ret)
		ret = cfg_read(c, at, 4, &mask);
	if (!ret)
		ret = cfg_write(c, at, before, 4);
	if (!ret)
		*ret_mask = mask & UINT32_MAX;
	return ret;
}

static int size_bar(struct client *c, unsigned i)
{
	struct client_bar *bar = &c->bar[i];
	uint64_t low = 0, high = UINT32_MAX, mask;
	int ret = probe(c, CFG_BAR_0 + 4 * i, UINT32_MAX, &low);

	if (ret)
		return ret;
	mask = low & ~(low & BAR_IO ? 3ULL : (uint64_t)BAR_FLAGS);
	client_bar_describe(bar, low, mask);
	if (bar->is_64bit && i + 1 < CLIENT_BARS)
		ret = probe(c, CFG_BAR_0 + 4 * (i + 1), UINT32_MAX, &high);
	/* Bits that nobody asks are taken as there: of ports, the upper 16 may not be. */
	if (bar->present || high != UINT32_MAX)
		mask |= high << 32 | (bar->io ? 0xffff0000u : 0);
	client_bar_describe(bar, low, mask);
	return ret;
}

static int rom_size(struct client *c, uint64_t *ret_size)
{
	uint64_t mask = 0;
	int ret = probe(c, CFG_ROM, ROM_MASK, &mask);

	mask &= ROM_MASK;
	if (!ret)
		*ret_size = mask ? (uint32_t)(~mask + 1) : 0;
	return ret;
}

/* What x-pci-proxy-dev shows: a conventional PCI device. */
static int config_size(struct client *c, uint64_t *ret_size)
{
	*ret_size = 256;
	return 0;
}

/* The protocol carries no messages. */
static int vectors(struct client *c, unsigned kind, unsigned *ret_count)
{
	uint64_t pin = 0;
	int ret = kind == VFU_IRQ_INTX ? cfg_read(c, CFG_PIN, 1, &pin) : 0;

	if (!ret)
		*ret_count = pin != 0;
	return ret;
}

const struct client_ops client_mpqemu = {
	.name = "mpqemu", .init = mpq_init, .finish = mpq_finish,
	.cfg_read = cfg_read, .cfg_write = cfg_write, .bar_read = bar_read, .bar_write = bar_write,
	.region_read = region_read, .region_write = region_write, .reset = reset, .eoi = eoi,
	.size_bar = size_bar, .rom_size = rom_size, .config_size = config_size, .vectors = vectors,
};
