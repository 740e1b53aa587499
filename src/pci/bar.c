/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "pci/pci-priv.h"

/* BARs and the ROM: where they stand, and who answers (PCI Local Bus 3.0, section 6.2.5). */

#define BELOW_4G 0x100000000ULL
#define BAR_32BIT_MAX 0x80000000ULL
#define BAR_TYPE_IO 0x1
#define BAR_TYPE_64BIT 0x4
#define BAR_PREFETCH 0x8
#define ROM_ENABLE 0x1
#define ROM_ADDRESS_MASK 0xfffff800u

/* Is it 64 bits wide for this client? */
static bool bar_wide(const struct pci_dev *dev, const struct pci_bar *bar)
{
	return bar->is_64bit && dev->host.show & PCI_SHOW_64BIT;
}

static bool bar_shown(const struct pci_dev *dev, const struct pci_bar *bar)
{
	return bar->kind != PCI_BAR_NONE && (bar_wide(dev, bar) || bar->size <= BAR_32BIT_MAX);
}

/* The fixed low bits of a BAR (6.2.5.1). */
static uint32_t type_bits(const struct pci_dev *dev, const struct pci_bar *bar)
{
	if (!bar_shown(dev, bar))
		return 0;
	if (bar->kind == PCI_BAR_IO)
		return BAR_TYPE_IO;
	return (bar_wide(dev, bar) ? BAR_TYPE_64BIT : 0) | (bar->prefetch ? BAR_PREFETCH : 0);
}

/* A BAR keeps the bits above its size; an I/O BAR too is 32 bits wide, upper half included. */
static uint32_t slot_mask(const struct pci_dev *dev, unsigned slot)
{
	const struct pci_bar *bar = &dev->cls->bar[slot];

	if (slot > 0 && bar_wide(dev, &bar[-1]))
		return ~(bar[-1].size - 1) >> 32;
	return bar_shown(dev, bar) ? ~(bar->size - 1) : 0;
}

static uint32_t rom_mask(const struct pci_dev *dev)
{
	return dev->rom ? (~(dev->rom_size - 1) & ROM_ADDRESS_MASK) | ROM_ENABLE : 0;
}

uint8_t pci_bars_wmask(const struct pci_dev *dev, unsigned off)
{
	unsigned slot = (off - PCI_BASE_ADDRESS_0) / 4, shift = 8 * (off & 3);

	if (off >= PCI_BASE_ADDRESS_0 && slot < PCI_NUM_BARS)
		return slot_mask(dev, slot) >> shift;
	return off / 4 == PCI_ROM_ADDRESS / 4 ? rom_mask(dev) >> shift : 0;
}

void pci_bars_defaults(struct pci_dev *dev)
{
	for (unsigned i = 0; i < PCI_NUM_BARS; i++)
		put_le32(dev->state->config + PCI_BASE_ADDRESS_0 + 4 * i,
			 type_bits(dev, &dev->cls->bar[i]));
}

static bool bar_ok(const struct pci_class *cls, unsigned i)
{
	const struct pci_bar *bar = &cls->bar[i];

	if (bar->kind == PCI_BAR_NONE)
		return !bar->size && !bar->is_64bit && !bar->prefetch;
	if (!is_power_of_2(bar->size))
		return false;
	if (bar->kind == PCI_BAR_IO)
		return bar->size >= 4 && bar->size <= BAR_32BIT_MAX && !bar->is_64bit &&
		       !bar->prefetch;
	if (bar->is_64bit && (i + 1 == PCI_NUM_BARS || cls->bar[i + 1].kind != PCI_BAR_NONE))
		return false;
	return bar->size >= 16 && (bar->is_64bit || bar->size <= BAR_32BIT_MAX);
}

bool pci_bars_ok(const struct pci_class *cls)
{
	for (unsigned i = 0; i < PCI_NUM_BARS; i++)
		if (!bar_ok(cls, i))
			return false;
	return true;
}

/* ---- decoding ---- */

/* Below what a BAR has to end.  At the very top a wide one cannot stand: it is being sized. */
static uint64_t bar_limit(const struct pci_dev *dev, const struct pci_bar *bar)
{
	if (bar->kind == PCI_BAR_IO)
		return 0x10000;
	return bar_wide(dev, bar) ? UINT64_MAX : BELOW_4G;
}

static uint64_t slot_address(const struct pci_dev *dev, unsigned slot)
{
	return get_le32(dev->state->config + PCI_BASE_ADDRESS_0 + 4 * slot) & slot_mask(dev, slot);
}

/*
 * The base of BAR @i, if it decodes: the command register enables its space and the guest has
 * placed it somewhere, whole.  A base of 0 counts as not placed, as in QEMU: firmware leaves it
 * there until it has made room.
 */
static bool bar_base(const struct pci_dev *dev, unsigned i, uint64_t *ret_base)
{
	const struct pci_bar *bar = &dev->cls->bar[i];
	uint16_t enable = bar->kind == PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
	uint64_t base;

	if (!bar_shown(dev, bar) || !(pci_command(dev) & enable) || pci_caps_d3hot(dev))
		return false;
	base = slot_address(dev, i);
	if (bar_wide(dev, bar))
		base |= (uint64_t)slot_address(dev, i + 1) << 32;
	if (!base || !range_fits(base, bar->size, bar_limit(dev, bar)))
		return false;
	*ret_base = base;
	return true;
}

static void decode_span(struct pci_decode *decode, uint64_t base, uint64_t end)
{
	decode->mem_low = decode->mem_high ? min_u64(decode->mem_low, base) : base;
	decode->mem_high = max_u64(decode->mem_high, end);
}

void pci_decode_update(struct pci_dev *dev)
{
	dev->decode = (struct pci_decode){
		.master = pci_command(dev) & PCI_COMMAND_MASTER && !pci_caps_d3hot(dev),
	};
	for (unsigned i = 0; i < PCI_NUM_BARS; i++) {
		uint64_t base;

		if (dev->cls->bar[i].kind == PCI_BAR_NONE || !bar_base(dev, i, &base))
			continue;
		dev->decode.bar[i].base = base;
		dev->decode.bar[i].size = dev->cls->bar[i].size;
		if (dev->cls->bar[i].kind == PCI_BAR_MEM)
			decode_span(&dev->decode, base, base + dev->cls->bar[i].size);
	}
}

int pci_bar_at(const struct pci_dev *dev, bool memory, uint64_t addr, uint64_t len,
	       uint64_t *ret_off)
{
	enum pci_bar_kind kind = memory ? PCI_BAR_MEM : PCI_BAR_IO;

	for (unsigned i = 0; i < PCI_NUM_BARS; i++) {
		uint64_t at = addr - dev->decode.bar[i].base;

		/* below the base @at is beyond any size */
		if (dev->cls->bar[i].kind != kind || !range_fits(at, len, dev->decode.bar[i].size))
			continue;
		*ret_off = at;
		return i;
	}
	return -ENXIO;
}

uint64_t pci_bar_clip(const struct pci_dev *dev, bool memory, uint64_t addr, uint64_t len)
{
	enum pci_bar_kind kind = memory ? PCI_BAR_MEM : PCI_BAR_IO;

	for (unsigned i = 0; i < PCI_NUM_BARS; i++) {
		uint64_t base = dev->decode.bar[i].base, end = base + dev->decode.bar[i].size;

		if (dev->cls->bar[i].kind != kind || base == end)
			continue;
		if (addr < base)
			len = min_u64(len, base - addr);
		else if (addr < end)
			len = min_u64(len, end - addr);
	}
	return len;
}

/* ---- accesses ---- */

static uint64_t size_mask(unsigned size)
{
	return size >= 8 ? UINT64_MAX : (1ULL << (8 * size)) - 1;
}

/*
 * How much of the @left bytes at @off one owner takes at once: what the model takes at the most, or
 * one byte of the MSI-X structures.
 */
static unsigned piece(const struct pci_dev *dev, unsigned bar, uint64_t off, unsigned left)
{
	unsigned len = dev->cls->max_access;

	while (len > left || (len > 1 && pci_msix_touched(dev, bar, off, len)))
		len /= 2;
	return len;
}

static uint64_t bar_read(struct pci_dev *dev, unsigned bar, uint64_t off, unsigned size)
{
	uint64_t val = 0;

	for (unsigned at = 0, len; at < size; at += len) {
		uint64_t part;

		len = piece(dev, bar, off + at, size - at);
		if (pci_msix_touched(dev, bar, off + at, len))
			part = pci_msix_read(dev, bar, off + at);
		else
			part = dev->cls->read(dev, bar, off + at, len);
		val |= (part & size_mask(len)) << (8 * at);
	}
	return val;
}

static void bar_write(struct pci_dev *dev, unsigned bar, uint64_t off, unsigned size, uint64_t val)
{
	for (unsigned at = 0, len; at < size; at += len) {
		uint64_t part = val >> (8 * at);

		len = piece(dev, bar, off + at, size - at);
		if (pci_msix_touched(dev, bar, off + at, len))
			pci_msix_write(dev, bar, off + at, part);
		else
			dev->cls->write(dev, bar, off + at, len, part & size_mask(len));
	}
}

static bool access_size_ok(unsigned size)
{
	return size == 1 || size == 2 || size == 4 || size == 8;
}

/* Does the ROM decode the access?  Its own enable bit and the command register's (6.2.5.2). */
static bool rom_at(const struct pci_dev *dev, uint64_t addr, unsigned size, uint64_t *ret_off)
{
	uint32_t reg = get_le32(dev->state->config + PCI_ROM_ADDRESS);
	uint64_t base = reg & rom_mask(dev) & ROM_ADDRESS_MASK;

	if (!base || !(reg & ROM_ENABLE) || !(pci_command(dev) & PCI_COMMAND_MEMORY) ||
	    pci_caps_d3hot(dev))
		return false;
	if (addr < base || !range_fits(addr - base, size, dev->rom_size))
		return false;
	*ret_off = addr - base;
	return true;
}

void pci_rom_read(const struct pci_dev *dev, uint64_t off, void *buf, size_t len)
{
	memset(buf, 0xff, len);
	if (dev->rom && off < dev->rom_size && !pci_caps_d3hot(dev))
		memcpy(buf, dev->rom + off, min_u64(len, dev->rom_size - off));
}

static bool rom_bus_read(const struct pci_dev *dev, uint64_t addr, unsigned size, uint64_t *val)
{
	uint8_t bytes[8] = { 0 };
	uint64_t off;

	if (!rom_at(dev, addr, size, &off))
		return false;
	pci_rom_read(dev, off, bytes, size);
	*val = get_le64(bytes);
	return true;
}

bool pci_bus_read(struct pci_dev *dev, bool memory, uint64_t addr, unsigned size, uint64_t *val)
{
	uint64_t off;
	int bar;

	*val = UINT64_MAX;
	if (!access_size_ok(size))
		return false;
	bar = pci_bar_at(dev, memory, addr, size, &off);
	if (bar < 0)
		return memory && rom_bus_read(dev, addr, size, val);
	*val = bar_read(dev, bar, off, size);
	return true;
}

bool pci_bus_write(struct pci_dev *dev, bool memory, uint64_t addr, unsigned size, uint64_t val)
{
	uint64_t off;
	int bar;

	if (!access_size_ok(size))
		return false;
	bar = pci_bar_at(dev, memory, addr, size, &off);
	if (bar < 0)
		return memory && rom_at(dev, addr, size, &off);	/* read-only: taken, and dropped */
	bar_write(dev, bar, off, size, val);
	return true;
}

uint64_t pci_region_size(const struct pci_dev *dev, unsigned region)
{
	if (region == PCI_REGION_CONFIG)
		return pci_config_size(dev);
	if (region == PCI_REGION_ROM)
		return dev->rom_size;
	if (region >= PCI_NUM_BARS || !bar_shown(dev, &dev->cls->bar[region]))
		return 0;
	return dev->cls->bar[region].size;
}

static bool region_ok(const struct pci_dev *dev, unsigned region, uint64_t off, unsigned size)
{
	return region < PCI_NUM_BARS && access_size_ok(size) &&
	       range_fits(off, size, pci_region_size(dev, region));
}

bool pci_region_read(struct pci_dev *dev, unsigned region, uint64_t off, unsigned size,
		     uint64_t *val)
{
	*val = UINT64_MAX;
	if (!region_ok(dev, region, off, size))
		return false;
	*val = pci_caps_d3hot(dev) ? size_mask(size) : bar_read(dev, region, off, size);
	return true;
}

bool pci_region_write(struct pci_dev *dev, unsigned region, uint64_t off, unsigned size,
		      uint64_t val)
{
	if (!region_ok(dev, region, off, size))
		return false;
	if (!pci_caps_d3hot(dev))
		bar_write(dev, region, off, size, val);
	return true;
}
