/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pci/pci.h"

#include <errno.h>
#include <string.h>

#include "base/num.h"

/* Bits of config space that a guest may write in every function (PCI Local Bus 3.0, 6.2). */
static const struct {
	uint8_t off, width;
	uint32_t wmask, w1c;
} config_rows[] = {
	/* I/O, memory, bus master, SERR# enable, INTx disable: what QEMU's functions implement */
	{ PCI_COMMAND, 2, 0x0507, 0 },
	/* the error bits; the function never sets them */
	{ PCI_STATUS, 2, 0, 0xf900 },
	{ PCI_CACHE_LINE_SIZE, 1, 0xff, 0 },
	{ PCI_LATENCY_TIMER, 1, 0xff, 0 },
	{ PCI_INTERRUPT_LINE, 1, 0xff, 0 },
};

static uint16_t command(const struct pci_dev *dev)
{
	return get_le16(dev->state->config + PCI_COMMAND);
}

/* The fixed low bits of a BAR (6.2.5.1). */
static uint32_t bar_type_bits(const struct pci_bar *bar)
{
	return bar->kind == PCI_BAR_IO ? 1 : 0;
}

/* A BAR keeps the bits above its size; an I/O BAR too is 32 bits wide, upper half included. */
static uint32_t bar_mask(const struct pci_bar *bar)
{
	return bar->kind == PCI_BAR_NONE ? 0 : ~(bar->size - 1);
}

/* The bit masks of the byte at @off. */
static void config_masks(const struct pci_dev *dev, unsigned off, uint8_t *wmask, uint8_t *w1c)
{
	unsigned bar = (off - PCI_BASE_ADDRESS_0) / 4;

	*wmask = 0;
	*w1c = 0;
	for (unsigned i = 0; i < sizeof(config_rows) / sizeof(config_rows[0]); i++) {
		unsigned at = off - config_rows[i].off;

		if (off < config_rows[i].off || at >= config_rows[i].width)
			continue;
		*wmask = config_rows[i].wmask >> (8 * at);
		*w1c = config_rows[i].w1c >> (8 * at);
	}
	if (off >= PCI_BASE_ADDRESS_0 && bar < PCI_NUM_BARS)
		*wmask = bar_mask(&dev->cls->bar[bar]) >> (8 * (off & 3));
}

static void config_defaults(struct pci_dev *dev)
{
	const struct pci_class *cls = dev->cls;
	uint8_t *c = dev->state->config;

	memset(c, 0, PCI_CONFIG_SIZE);
	put_le16(c + PCI_VENDOR_ID, cls->vendor);
	put_le16(c + PCI_DEVICE_ID, cls->device);
	c[PCI_REVISION_ID] = cls->revision;
	c[PCI_CLASS_PROG] = cls->class_code;
	put_le16(c + PCI_CLASS_DEVICE, cls->class_code >> 8);
	put_le16(c + PCI_SUBSYSTEM_VENDOR_ID, cls->subsystem_vendor);
	put_le16(c + PCI_SUBSYSTEM_ID, cls->subsystem);
	c[PCI_INTERRUPT_PIN] = cls->has_irq;
	c[PCI_MIN_GNT] = cls->min_gnt;
	c[PCI_MAX_LAT] = cls->max_lat;
	for (unsigned i = 0; i < PCI_NUM_BARS; i++)
		put_le32(c + PCI_BASE_ADDRESS_0 + 4 * i, bar_type_bits(&cls->bar[i]));
}

/* Tells the host when the pin is not what it was, and shows the line in the status register. */
static void pin_update(struct pci_dev *dev, bool before)
{
	uint8_t *status = dev->state->config + PCI_STATUS;
	bool now = pci_intx_pin(dev);

	if (dev->state->line)
		*status |= PCI_STATUS_INTERRUPT;
	else
		*status &= ~PCI_STATUS_INTERRUPT;
	if (now != before && dev->host.intx)
		dev->host.intx(dev->host.opaque, now);
}

bool pci_intx_pin(const struct pci_dev *dev)
{
	return dev->state->line && !(command(dev) & PCI_COMMAND_INTX_DISABLE);
}

void pci_set_intx(struct pci_dev *dev, bool level)
{
	bool before = pci_intx_pin(dev);

	dev->state->line = level;
	pin_update(dev, before);
}

static bool access_size_ok(unsigned size)
{
	return size == 1 || size == 2 || size == 4 || size == 8;
}

static bool bar_ok(const struct pci_bar *bar)
{
	return bar->kind == PCI_BAR_NONE ||
	       (is_power_of_2(bar->size) && bar->size >= (bar->kind == PCI_BAR_IO ? 4 : 16));
}

/* Checked here once, so that no access has to: an access size of 0, for one, would never end. */
static bool class_ok(const struct pci_class *cls)
{
	for (unsigned i = 0; i < PCI_NUM_BARS; i++)
		if (!bar_ok(&cls->bar[i]))
			return false;
	return cls->state_size >= sizeof(struct pci_state) && cls->state_size <= PCI_STATE_MAX &&
	       access_size_ok(cls->max_access);
}

int pci_dev_init(struct pci_dev *dev, const struct pci_class *cls, struct pci_state *state,
		 const struct pci_host *host, const char *id, void *scsi_config)
{
	int ret;

	*dev = (struct pci_dev){ .host = *host, .id = id, .scsi_config = scsi_config };
	if (!class_ok(cls))
		return -EINVAL;
	dev->cls = cls;
	dev->state = state;
	state->magic = PCI_STATE_MAGIC;
	state->version = cls->state_version;
	state->size = cls->state_size;
	config_defaults(dev);
	ret = pci_dma_init(dev);
	if (!ret && cls->realize)
		ret = cls->realize(dev);
	if (ret) {
		pci_dma_finish(dev);
		dev->cls = NULL;	/* pci_dev_finish() has nothing to undo */
	}
	return ret;
}

void pci_dev_finish(struct pci_dev *dev)
{
	if (dev->cls && dev->cls->unrealize)
		dev->cls->unrealize(dev);
	pci_dma_finish(dev);
	dev->cls = NULL;
}

void pci_dev_reset(struct pci_dev *dev)
{
	/* The line goes down first: with the INTx disable bit gone, a hidden one would show. */
	pci_set_intx(dev, false);
	config_defaults(dev);
	pci_dma_forget(dev);
	if (dev->cls->reset)
		dev->cls->reset(dev);
	pci_set_intx(dev, false);
}

static bool config_access_ok(uint32_t off, int32_t len)
{
	return (len == 1 || len == 2 || len == 4) && range_fits(off, len, PCI_CONFIG_SIZE);
}

uint32_t pci_config_read(struct pci_dev *dev, uint32_t off, int32_t len)
{
	uint32_t val = 0;

	if (!config_access_ok(off, len))
		return UINT32_MAX;
	for (int32_t i = len; i-- > 0;)
		val = val << 8 | dev->state->config[off + i];
	return val;
}

void pci_config_write(struct pci_dev *dev, uint32_t off, uint32_t val, int32_t len)
{
	bool before = pci_intx_pin(dev);

	if (!config_access_ok(off, len))
		return;
	for (int32_t i = 0; i < len; i++) {
		uint8_t byte = val >> (8 * i), *at = &dev->state->config[off + i], wmask, w1c;

		config_masks(dev, off + i, &wmask, &w1c);
		*at = (*at & ~wmask) | (byte & wmask);
		*at &= ~(byte & w1c);
	}
	pin_update(dev, before);
	if (dev->cls->config_written)
		dev->cls->config_written(dev, off, len);
}

/*
 * The base of BAR @i, if it decodes: the command register enables its space and the guest has
 * placed it somewhere, whole, below 4 GiB (64 KiB for I/O).  A base of 0 counts as not placed, as
 * in QEMU: firmware leaves it there until it has made room.
 */
static bool bar_base(const struct pci_dev *dev, unsigned i, uint64_t *ret_base)
{
	const struct pci_bar *bar = &dev->cls->bar[i];
	uint16_t enable = bar->kind == PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
	uint64_t limit = bar->kind == PCI_BAR_IO ? 0x10000 : 0x100000000ULL;
	uint64_t base;

	if (bar->kind == PCI_BAR_NONE || !(command(dev) & enable))
		return false;
	base = get_le32(dev->state->config + PCI_BASE_ADDRESS_0 + 4 * i) & bar_mask(bar);
	if (!base || !range_fits(base, bar->size, limit))
		return false;
	*ret_base = base;
	return true;
}

int pci_bar_at(const struct pci_dev *dev, bool memory, uint64_t addr, uint64_t len,
	       uint64_t *ret_off)
{
	enum pci_bar_kind kind = memory ? PCI_BAR_MEM : PCI_BAR_IO;

	for (unsigned i = 0; i < PCI_NUM_BARS; i++) {
		uint64_t base;

		if (dev->cls->bar[i].kind != kind || !bar_base(dev, i, &base))
			continue;
		if (addr < base || !range_fits(addr - base, len, dev->cls->bar[i].size))
			continue;
		*ret_off = addr - base;
		return i;
	}
	return -ENXIO;
}

uint64_t pci_bar_clip(const struct pci_dev *dev, bool memory, uint64_t addr, uint64_t len)
{
	enum pci_bar_kind kind = memory ? PCI_BAR_MEM : PCI_BAR_IO;

	for (unsigned i = 0; i < PCI_NUM_BARS; i++) {
		uint64_t base, end;

		if (dev->cls->bar[i].kind != kind || !bar_base(dev, i, &base))
			continue;
		end = base + dev->cls->bar[i].size;
		if (addr < base)
			len = min_u64(len, base - addr);
		else if (addr < end)
			len = min_u64(len, end - addr);
	}
	return len;
}

static uint64_t size_mask(unsigned size)
{
	return size >= 8 ? UINT64_MAX : (1ULL << (8 * size)) - 1;
}

bool pci_bus_read(struct pci_dev *dev, bool memory, uint64_t addr, unsigned size, uint64_t *val)
{
	unsigned part = size < dev->cls->max_access ? size : dev->cls->max_access;
	uint64_t off;
	int bar;

	*val = UINT64_MAX;
	if (!access_size_ok(size))
		return false;
	bar = pci_bar_at(dev, memory, addr, size, &off);
	if (bar < 0)
		return false;
	*val = 0;
	for (unsigned at = 0; at < size; at += part)
		*val |= (dev->cls->read(dev, bar, off + at, part) & size_mask(part)) << (8 * at);
	return true;
}

bool pci_bus_write(struct pci_dev *dev, bool memory, uint64_t addr, unsigned size, uint64_t val)
{
	unsigned part = size < dev->cls->max_access ? size : dev->cls->max_access;
	uint64_t off;
	int bar;

	if (!access_size_ok(size))
		return false;
	bar = pci_bar_at(dev, memory, addr, size, &off);
	if (bar < 0)
		return false;
	for (unsigned at = 0; at < size; at += part)
		dev->cls->write(dev, bar, off + at, part, val >> (8 * at) & size_mask(part));
	return true;
}

void pci_guest_error(struct pci_dev *dev, const char *what)
{
	if (dev->host.guest_error)
		dev->host.guest_error(dev->host.opaque, what);
}
