/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "metrics/page.h"
#include "pci/pci-priv.h"

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

uint16_t pci_command(const struct pci_dev *dev)
{
	return get_le16(dev->state->config + PCI_COMMAND);
}

/* The bit masks of the byte at @off, but for capabilities. */
static void config_masks(const struct pci_dev *dev, unsigned off, uint8_t *wmask, uint8_t *w1c)
{
	*wmask = pci_bars_wmask(dev, off);
	*w1c = 0;
	for (unsigned i = 0; i < sizeof(config_rows) / sizeof(config_rows[0]); i++) {
		unsigned at = off - config_rows[i].off;

		if (off < config_rows[i].off || at >= config_rows[i].width)
			continue;
		*wmask = config_rows[i].wmask >> (8 * at);
		*w1c = config_rows[i].w1c >> (8 * at);
	}
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
	pci_bars_defaults(dev);
	pci_caps_defaults(dev);
}

static void status_update(struct pci_dev *dev)
{
	uint8_t *status = dev->state->config + PCI_STATUS;

	if (dev->state->line)
		*status |= PCI_STATUS_INTERRUPT;
	else
		*status &= ~PCI_STATUS_INTERRUPT;
}

/* Tells the host when the pin is not what it was, and shows the line in the status register. */
static void pin_update(struct pci_dev *dev, bool before)
{
	bool now = pci_intx_pin(dev);

	status_update(dev);
	if (now && !before)
		metrics_count(METRIC_INTX);
	if (now != before && dev->host.intx)
		dev->host.intx(dev->host.opaque, now);
}

bool pci_intx_pin(const struct pci_dev *dev)
{
	return dev->state->line && !(pci_command(dev) & PCI_COMMAND_INTX_DISABLE) &&
	       !pci_caps_d3hot(dev);
}

void pci_set_intx(struct pci_dev *dev, bool level)
{
	bool before = pci_intx_pin(dev);

	dev->state->line = level;
	pin_update(dev, before);
}

bool pci_bus_master(const struct pci_dev *dev)
{
	return dev->decode.master;
}

/* Checked here once, so that no access has to: an access size of 0, for one, would never end. */
static bool class_ok(const struct pci_class *cls)
{
	return cls->state_size >= sizeof(struct pci_state) && cls->state_size <= PCI_STATE_MAX &&
	       is_power_of_2(cls->max_access) && cls->max_access <= 8 && pci_bars_ok(cls) &&
	       pci_caps_ok(cls) && pci_msix_ok(cls);
}

static bool rom_ok(const struct pci_host *host)
{
	return !host->rom || (is_power_of_2(host->rom_size) && host->rom_size >= PCI_ROM_MIN &&
			      host->rom_size <= PCI_ROM_MAX);
}

/* A guest's write of one byte, stored; true: it asks for a function level reset. */
static bool config_byte_write(struct pci_dev *dev, unsigned off, uint8_t byte)
{
	uint8_t *at = &dev->state->config[off], wmask, w1c;
	bool flr = false;

	if (pci_caps_write(dev, off, byte, &flr))
		return flr;
	config_masks(dev, off, &wmask, &w1c);
	*at = (*at & ~wmask) | (byte & wmask);
	*at &= ~(byte & w1c);
	return false;
}

/*
 * A predecessor's config space is input: its guest may have taken that process over.  What is left
 * of it is what a guest could have written.
 */
static void config_take_over(struct pci_dev *dev, const uint8_t old[PCI_CONFIG_SIZE])
{
	config_defaults(dev);
	for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++)
		config_byte_write(dev, i, old[i]);
	status_update(dev);
}

void pci_config_restore(struct pci_dev *dev, const uint8_t config[PCI_CONFIG_SIZE])
{
	config_take_over(dev, config);
	pci_decode_update(dev);
}

static void state_fresh(struct pci_dev *dev)
{
	dev->state->magic = PCI_STATE_MAGIC;
	dev->state->version = dev->cls->state_version;
	dev->state->size = dev->cls->state_size;
	config_defaults(dev);
	pci_msix_reset(dev);
}

static int state_begin(struct pci_dev *dev)
{
	uint8_t old[PCI_CONFIG_SIZE];

	dev->taken_over = dev->state->magic == PCI_STATE_MAGIC;
	if (!dev->taken_over) {
		state_fresh(dev);
		return 0;
	}
	if (dev->state->version != dev->cls->state_version ||
	    dev->state->size != dev->cls->state_size)
		return -EINVAL;
	memcpy(old, dev->state->config, sizeof(old));
	config_take_over(dev, old);
	pci_msix_take_over(dev);
	return 0;
}

int pci_dev_init(struct pci_dev *dev, const struct pci_class *cls, struct pci_state *state,
		 const struct pci_host *host, const char *id, void *scsi_config)
{
	int ret;

	*dev = (struct pci_dev){ .host = *host, .id = id, .scsi_config = scsi_config };
	if (!class_ok(cls) || !rom_ok(host))
		return -EINVAL;
	dev->cls = cls;
	dev->state = state;
	if (host->rom && host->show & PCI_SHOW_ROM) {
		dev->rom = host->rom;
		dev->rom_size = host->rom_size;
	}
	ret = state_begin(dev);
	if (!ret) {
		pci_decode_update(dev);
		ret = pci_dma_init(dev);
	}
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
	pci_decode_update(dev);
	pci_msix_reset(dev);
	pci_dma_forget(dev);
	if (dev->cls->reset)
		dev->cls->reset(dev);
	pci_set_intx(dev, false);
}

uint32_t pci_config_size(const struct pci_dev *dev)
{
	bool express = dev->cls->express && dev->host.show & PCI_SHOW_CAPS;

	return express ? PCI_CONFIG_SIZE_EXPRESS : PCI_CONFIG_SIZE;
}

static bool config_access_ok(const struct pci_dev *dev, uint32_t off, int32_t len)
{
	return (len == 1 || len == 2 || len == 4) && range_fits(off, len, pci_config_size(dev));
}

uint32_t pci_config_read(struct pci_dev *dev, uint32_t off, int32_t len)
{
	uint32_t val = 0;

	if (!config_access_ok(dev, off, len))
		return UINT32_MAX;
	for (uint32_t at = off + len; at-- > off;)
		val = val << 8 | (at < PCI_CONFIG_SIZE ? dev->state->config[at] : 0);
	return val;
}

/* Stores what a guest may write.  Returns whether it asks for a function level reset. */
static bool config_store(struct pci_dev *dev, uint32_t off, uint32_t val, int32_t len)
{
	bool flr = false;

	for (int32_t i = 0; i < len && off + i < PCI_CONFIG_SIZE; i++)
		flr |= config_byte_write(dev, off + i, val >> (8 * i));
	return flr;
}

void pci_config_write(struct pci_dev *dev, uint32_t off, uint32_t val, int32_t len)
{
	bool pin = pci_intx_pin(dev), master = pci_bus_master(dev), flr;

	if (!config_access_ok(dev, off, len) || off >= PCI_CONFIG_SIZE)
		return;
	flr = config_store(dev, off, val, len);
	pci_decode_update(dev);
	pin_update(dev, pin);
	if (flr)
		pci_dev_reset(dev);
	else if (!master && pci_bus_master(dev))
		pci_msix_resend(dev);
	if (dev->cls->config_written)
		dev->cls->config_written(dev, off, len);
}

void pci_guest_error(struct pci_dev *dev, const char *what)
{
	metrics_count(METRIC_GUEST_ERRORS);
	if (dev->host.guest_error)
		dev->host.guest_error(dev->host.opaque, what);
}
