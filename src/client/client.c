/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/client.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>

#include "base/fd.h"
#include "mem/memfd.h"

#define BAR_0 0x10
#define BAR_IO 1u
#define BAR_TYPE_64 0x6u
#define BAR_PREFETCH 8u

static int announce(struct client *c)
{
	struct mpq_sync_sysmem sync = { .gpa = { 0 }, .size = { c->mem_size } };
	int irq[2] = { c->irqfd, c->resamplefd };
	int ret = mpq_send_fds(&c->conn, MPQ_SYNC_SYSMEM, &sync, sizeof(sync), &c->mem_fd, 1);

	return ret ? ret : mpq_send_fds(&c->conn, MPQ_SET_IRQFD, NULL, 0, irq, 2);
}

int client_init(struct client *c, int fd, uint64_t mem_size, int timeout_ms)
{
	*c = (struct client){
		.fd = fd, .mem_fd = -1, .irqfd = -1, .resamplefd = -1,
		.mem_size = mem_size, .timeout_ms = timeout_ms,
	};
	mpq_conn_init(&c->conn, fd, MPQ_FROM_REMOTE);
	c->mem_fd = memfd_make("mpqemu-ram", mem_size);
	if (c->mem_fd < 0)
		return c->mem_fd;
	c->mem = memfd_map(c->mem_fd, mem_size, true);
	c->irqfd = eventfd(0, EFD_CLOEXEC);
	c->resamplefd = eventfd(0, EFD_CLOEXEC);
	if (!c->mem || c->irqfd < 0 || c->resamplefd < 0)
		return -errno;
	return announce(c);
}

void client_finish(struct client *c)
{
	if (c->mem)
		munmap(c->mem, c->mem_size);
	c->mem = NULL;
	fd_close(&c->mem_fd);
	fd_close(&c->irqfd);
	fd_close(&c->resamplefd);
	fd_close(&c->fd);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/*
 * Waits for a whole message.  A part of one keeps the fd readable, so then poll cannot tell when
 * the rest is there: look again each millisecond.
 */
static int wait_message(struct client *c, struct mpq_msg *msg)
{
	int64_t deadline = now_ms() + c->timeout_ms;

	for (;;) {
		int ret = mpq_peek(&c->conn, msg);
		struct pollfd p = { .fd = c->fd, .events = POLLIN };
		int64_t left = deadline - now_ms();

		if (ret != -EAGAIN && ret != -EINPROGRESS)
			return ret;
		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(&p, ret == -EAGAIN, ret == -EAGAIN ? left : 1) < 0 && errno != EINTR)
			return -errno;
	}
}

/* Waits for RET with a payload of @size bytes. */
static int wait_reply(struct client *c, uint32_t size, uint64_t *ret_val)
{
	struct mpq_msg msg;
	int ret = wait_message(c, &msg);

	if (!ret)
		ret = mpq_consume(&c->conn, &msg);
	if (ret)
		return ret;
	if (msg.size != size) {
		return conn_error(&c->conn.conn, "RET with %u bytes, expected %u", msg.size, size);
	}
	if (ret_val)
		*ret_val = msg.u.ret;
	return 0;
}

static int call(struct client *c, enum mpq_cmd cmd, const void *payload, size_t size,
		uint32_t reply_size, uint64_t *ret_val)
{
	int ret = mpq_send(&c->conn, cmd, payload, size);

	return ret ? ret : wait_reply(c, reply_size, ret_val);
}

int client_cfg_read(struct client *c, uint32_t addr, int32_t len, uint64_t *ret_val)
{
	struct mpq_cfg cfg = { .addr = addr, .len = len };

	return call(c, MPQ_PCI_CFGREAD, &cfg, sizeof(cfg), 8, ret_val);
}

int client_cfg_write(struct client *c, uint32_t addr, uint32_t val, int32_t len)
{
	struct mpq_cfg cfg = { .addr = addr, .val = val, .len = len };

	return call(c, MPQ_PCI_CFGWRITE, &cfg, sizeof(cfg), 8, NULL);
}

int client_bar_read(struct client *c, bool memory, uint64_t addr, uint32_t size, uint64_t *ret_val)
{
	struct mpq_bar bar = { .addr = addr, .size = size, .memory = memory };

	return call(c, MPQ_BAR_READ, &bar, sizeof(bar), 8, ret_val);
}

int client_bar_write(struct client *c, bool memory, uint64_t addr, uint32_t size, uint64_t val)
{
	struct mpq_bar bar = { .addr = addr, .val = val, .size = size, .memory = memory };

	return call(c, MPQ_BAR_WRITE, &bar, sizeof(bar), 8, NULL);
}

int client_reset(struct client *c)
{
	return call(c, MPQ_DEVICE_RESET, NULL, 0, 0, NULL);
}

/* PCI Local Bus 3.0, section 6.2.5.1: write ones, read which of them stick. */
int client_probe_bar(struct client *c, unsigned i, struct client_bar *ret_bar)
{
	uint64_t before = 0, mask = 0;
	uint32_t at = BAR_0 + 4 * i, flags;
	int ret = client_cfg_read(c, at, 4, &before);

	if (!ret)
		ret = client_cfg_write(c, at, UINT32_MAX, 4);
	if (!ret)
		ret = client_cfg_read(c, at, 4, &mask);
	if (!ret)
		ret = client_cfg_write(c, at, before, 4);
	if (ret)
		return ret;
	flags = mask & BAR_IO ? BAR_IO : mask & 0xf;
	mask &= mask & BAR_IO ? 0xfffffffcu : 0xfffffff0u;
	*ret_bar = (struct client_bar){
		.present = mask != 0,
		.io = flags & BAR_IO,
		.is_64bit = !(flags & BAR_IO) && (flags & BAR_TYPE_64) == 0x4,
		.prefetchable = !(flags & BAR_IO) && flags & BAR_PREFETCH,
		.size = mask ? (uint32_t)(~mask + 1) : 0,
	};
	return 0;
}
