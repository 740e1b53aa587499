/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "base/num.h"
#include "client/client-priv.h"

/*
 * The client as the bus that its device is on: where BARs stand (PCI Local Bus 3.0, section
 * 6.2.5.1), and where there is room for one.
 */

/* Above any guest RAM of ours, and below what a PC has under 4 GiB; of ports, above the fixed. */
#define MEMORY_BASE 0x80000000u
#define MEMORY_END 0xfec00000u
#define PORT_BASE 0x1000u
#define PORT_END 0x10000u

void client_bar_describe(struct client_bar *bar, uint32_t dword, uint64_t mask)
{
	bool io = dword & BAR_IO;

	*bar = (struct client_bar){
		.present = mask != 0,
		.io = io,
		.is_64bit = !io && (dword & BAR_TYPE) == BAR_TYPE_64,
		.prefetchable = !io && dword & BAR_PREFETCH,
		.size = mask ? ~mask + 1 : 0,
	};
}

int client_size_bars(struct client *c)
{
	if (c->bars_sized)
		return 0;
	for (unsigned i = 0; i < CLIENT_BARS; i++) {
		int ret = c->ops->size_bar(c, i);

		if (ret)
			return ret;
		if (c->bar[i].is_64bit && i + 1 < CLIENT_BARS)
			c->bar[++i] = (struct client_bar){ .present = false };
	}
	c->bars_sized = true;
	return 0;
}

static int find_bar(struct client *c, unsigned i)
{
	struct client_bar *bar = &c->bar[i];
	uint64_t low = 0, high = 0;
	int ret = c->ops->cfg_read(c, CFG_BAR_0 + 4 * i, 4, &low);

	if (!ret && bar->is_64bit)
		ret = c->ops->cfg_read(c, CFG_BAR_0 + 4 * (i + 1), 4, &high);
	if (!ret)
		bar->addr = high << 32 | (low & ~(bar->io ? 3ULL : 0xfULL));
	return ret;
}

int client_find_bars(struct client *c)
{
	uint64_t command = 0;
	int ret = client_size_bars(c);

	if (ret || c->bars_found)
		return ret;
	ret = c->ops->cfg_read(c, CFG_COMMAND, 2, &command);
	for (unsigned i = 0; i < CLIENT_BARS && !ret; i++)
		if (c->bar[i].present)
			ret = find_bar(c, i);
	c->command = command;
	c->bars_found = !ret;
	return ret;
}

static bool is_enabled(const struct client *c, bool io)
{
	return c->command & (io ? COMMAND_IO : COMMAND_MEMORY);
}

int client_decode(struct client *c, bool memory, uint64_t addr, uint32_t size, uint64_t *ret_off)
{
	int ret = client_find_bars(c);

	if (ret)
		return ret;
	for (unsigned i = 0; i < CLIENT_BARS; i++) {
		const struct client_bar *bar = &c->bar[i];

		if (!bar->present || !bar->addr || bar->io == memory || !is_enabled(c, bar->io) ||
		    addr < bar->addr || !range_fits(addr - bar->addr, size, bar->size))
			continue;
		*ret_off = addr - bar->addr;
		return i;
	}
	return -ENXIO;
}

/* Behind every other of its kind. */
static int find_room(const struct client *c, const struct client_bar *bar, uint64_t *ret_addr)
{
	uint64_t end = bar->io ? PORT_END : MEMORY_END;
	uint64_t next = bar->io ? PORT_BASE : max_u64(MEMORY_BASE, c->mem_size);

	for (unsigned i = 0; i < CLIENT_BARS; i++) {
		const struct client_bar *other = &c->bar[i];

		if (other->present && other->io == bar->io && other->addr < end &&
		    other->addr + other->size > next)
			next = other->addr + other->size;
	}
	if (next >= end)
		return -ENOSPC;
	next = align_up(next, bar->size);
	if (!range_fits(next, bar->size, end))
		return -ENOSPC;
	*ret_addr = next;
	return 0;
}

static int put_bar(struct client *c, unsigned i, uint64_t addr)
{
	int ret = c->ops->cfg_write(c, CFG_BAR_0 + 4 * i, addr, 4);

	if (!ret && c->bar[i].is_64bit)
		ret = c->ops->cfg_write(c, CFG_BAR_0 + 4 * (i + 1), addr >> 32, 4);
	return ret ? ret : find_bar(c, i);
}

int client_place_bar(struct client *c, unsigned i)
{
	struct client_bar *bar = &c->bar[i];
	uint64_t addr;
	int ret = client_find_bars(c);

	if (ret)
		return ret;
	if (!bar->addr) {
		ret = find_room(c, bar, &addr);
		if (ret)
			return client_fail(c, ret, "there is no room for BAR%u, which has %llu "
					   "bytes", i, (unsigned long long)bar->size);
		ret = put_bar(c, i, addr);
		if (!ret && bar->addr != addr)
			ret = client_fail(c, -EPROTO, "BAR%u cannot be placed", i);
	}
	if (!ret && !is_enabled(c, bar->io)) {
		c->command |= bar->io ? COMMAND_IO : COMMAND_MEMORY;
		ret = c->ops->cfg_write(c, CFG_COMMAND, c->command, 2);
	}
	return ret;
}
