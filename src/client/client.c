/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"
#include "client/client-priv.h"
#include "client/metrics.h"
#include "mem/memfd.h"

static const struct client_ops *const protocols[CLIENT_PROTOCOL_COUNT] = {
	[CLIENT_MPQEMU] = &client_mpqemu,
	[CLIENT_VFIO_USER] = &client_vfio_user,
};

const char *client_protocol_name(enum client_protocol protocol)
{
	return protocols[protocol]->name;
}

bool client_protocol_find(const char *name, enum client_protocol *ret_protocol)
{
	for (unsigned i = 0; i < CLIENT_PROTOCOL_COUNT; i++) {
		if (!strcmp(protocols[i]->name, name)) {
			*ret_protocol = i;
			return true;
		}
	}
	return false;
}

int client_init(struct client *c, enum client_protocol protocol, int fd, uint64_t mem_size,
		int timeout_ms)
{
	*c = (struct client){
		.ops = protocols[protocol], .fd = fd, .mem_fd = -1, .irqfd = -1, .resamplefd = -1,
		.mem_size = mem_size, .timeout_ms = timeout_ms,
	};
	c->mem_fd = memfd_make("mpqemu-ram", mem_size);
	if (c->mem_fd < 0)
		return c->mem_fd;
	c->mem = memfd_map(c->mem_fd, mem_size, true);
	if (!c->mem)
		return -errno;
	c->irqfd = eventfd(0, EFD_CLOEXEC);
	c->resamplefd = c->irqfd < 0 ? -1 : eventfd(0, EFD_CLOEXEC);
	if (c->resamplefd < 0)
		return -errno;
	return c->ops->init(c);
}

void client_finish(struct client *c)
{
	/* Of a message that has not come as a whole. */
	if (c->conn)
		conn_fds_close(&c->conn->fds);
	c->ops->finish(c);
	if (c->mem)
		munmap(c->mem, c->mem_size);
	c->mem = NULL;
	fd_close(&c->mem_fd);
	fd_close(&c->irqfd);
	fd_close(&c->resamplefd);
	fd_close(&c->fd);
}

/* ---- errors ---- */

int client_fail(struct client *c, int ret, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->why, sizeof(c->why), fmt, ap);
	va_end(ap);
	return ret;
}

const char *client_why(struct client *c, int ret)
{
	if (c->why[0])
		return c->why;
	if (ret == -ENODATA || ret == -EPIPE || ret == -ECONNRESET)
		return "the remote closed the connection";
	if (ret == -ETIMEDOUT)
		return "the remote does not answer";
	if (ret != -EPROTO || !c->conn)
		return log_errname(ret);
	client_fail(c, ret, "the remote broke the protocol: %s", c->conn->why);
	return c->why;
}

/* ---- waiting ---- */

int64_t client_deadline(const struct client *c)
{
	return clock_ms() + c->timeout_ms;
}

bool client_expired(int64_t deadline)
{
	return clock_ms() >= deadline;
}

static int wait_for(struct client *c, short events, int64_t most_ms, int64_t deadline)
{
	struct pollfd p = { .fd = c->fd, .events = events };
	int64_t left = deadline - clock_ms();
	int n;

	if (left <= 0)
		return -ETIMEDOUT;
	n = poll(&p, events != 0, left < most_ms ? left : most_ms);
	return n < 0 && errno != EINTR ? -errno : 0;
}

/* A part of a message keeps the fd readable, so then poll cannot tell when the rest is there. */
int client_wait_input(struct client *c, int looked, int64_t deadline)
{
	if (looked == -EAGAIN)
		return wait_for(c, POLLIN, INT32_MAX, deadline);
	return looked == -EINPROGRESS ? wait_for(c, 0, 1, deadline) : looked;
}

int client_wait_output(struct client *c, int64_t deadline)
{
	for (;;) {
		struct pollfd p = { .fd = c->fd, .events = POLLOUT };
		int ret;

		if (poll(&p, 1, 0) > 0)
			return 0;
		ret = wait_for(c, POLLOUT, INT32_MAX, deadline);
		if (ret)
			return ret;
	}
}

/* ---- calls ---- */

static int check_config(struct client *c, uint32_t addr, int32_t len)
{
	uint64_t size = 0;
	int ret;

	c->why[0] = 0;
	ret = c->ops->config_size(c, &size);
	if (ret)
		return ret;
	if ((len != 1 && len != 2 && len != 4) || !range_fits(addr, len, size))
		return client_fail(c, -EINVAL, "%d bytes at 0x%x are outside of config space, "
				   "which has %llu bytes", len, addr, (unsigned long long)size);
	return 0;
}

int client_cfg_read(struct client *c, uint32_t addr, int32_t len, uint64_t *ret_val)
{
	int ret = check_config(c, addr, len);

	return ret ? ret : c->ops->cfg_read(c, addr, len, ret_val);
}

/* Any write may be one that moves BARs: to them, to the command register, of a reset (FLR). */
int client_cfg_write(struct client *c, uint32_t addr, uint32_t val, int32_t len)
{
	int ret = check_config(c, addr, len);

	c->bars_found = false;
	return ret ? ret : c->ops->cfg_write(c, addr, val, len);
}

int client_bar_read(struct client *c, bool memory, uint64_t addr, uint32_t size, uint64_t *ret_val)
{
	c->why[0] = 0;
	return c->ops->bar_read(c, memory, addr, size, ret_val);
}

int client_bar_write(struct client *c, bool memory, uint64_t addr, uint32_t size, uint64_t val)
{
	c->why[0] = 0;
	return c->ops->bar_write(c, memory, addr, size, val);
}

/* Is there such a BAR, and such an access in it? */
static int check_region(struct client *c, unsigned bar, uint64_t off, uint32_t size)
{
	int ret = client_size_bars(c);

	if (ret)
		return ret;
	if (bar >= CLIENT_BARS || !c->bar[bar].present)
		return client_fail(c, -EINVAL, "there is no BAR%u", bar);
	if (!is_power_of_2(size) || size > 8)
		return client_fail(c, -EINVAL, "an access of %u bytes, expected 1, 2, 4 or 8",
				   size);
	if (!range_fits(off, size, c->bar[bar].size))
		return client_fail(c, -EINVAL, "%u bytes at 0x%llx are outside of BAR%u, which "
				   "has %llu bytes", size, (unsigned long long)off, bar,
				   (unsigned long long)c->bar[bar].size);
	return 0;
}

int client_region_read(struct client *c, unsigned bar, uint64_t off, uint32_t size,
		       uint64_t *ret_val)
{
	int ret;

	c->why[0] = 0;
	ret = check_region(c, bar, off, size);
	return ret ? ret : c->ops->region_read(c, bar, off, size, ret_val);
}

int client_region_write(struct client *c, unsigned bar, uint64_t off, uint32_t size, uint64_t val)
{
	int ret;

	c->why[0] = 0;
	ret = check_region(c, bar, off, size);
	return ret ? ret : c->ops->region_write(c, bar, off, size, val);
}

int client_reset(struct client *c)
{
	c->why[0] = 0;
	c->bars_found = false;
	return c->ops->reset(c);
}

int client_eoi(struct client *c)
{
	c->why[0] = 0;
	c->eois++;
	if (c->metrics)
		c->metrics->interrupts++;
	return c->ops->eoi(c);
}

int client_probe_bar(struct client *c, unsigned i, struct client_bar *ret_bar)
{
	int ret;

	c->why[0] = 0;
	ret = client_find_bars(c);
	if (!ret)
		*ret_bar = c->bar[i];
	return ret;
}

int client_rom_size(struct client *c, uint64_t *ret_size)
{
	c->why[0] = 0;
	return c->ops->rom_size(c, ret_size);
}

int client_config_size(struct client *c, uint64_t *ret_size)
{
	c->why[0] = 0;
	return c->ops->config_size(c, ret_size);
}

int client_vectors(struct client *c, unsigned kind, unsigned *ret_count)
{
	c->why[0] = 0;
	return c->ops->vectors(c, kind, ret_count);
}
