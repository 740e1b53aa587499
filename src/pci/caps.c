/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/num.h"
#include "pci/pci-priv.h"
#include "pci/regs.h"

/*
 * The capability list: one table of registers a capability, offsets from its first byte.  Where a
 * capability stands follows from the class, never from config space: a predecessor may have written
 * that.
 */

#define CAPS_START 0x40
#define MSI_VECTORS_MAX 32

enum { CAP_PM = 0x01, CAP_MSI = 0x05, CAP_EXPRESS = 0x10, CAP_MSIX = 0x11 };

/* Register offsets that the code names. */
enum { R_PMCSR = 4, R_CONTROL = 2, R_MSIX_TABLE = 4, R_MSIX_PBA = 8, R_DEVCTL = 8 };

enum {
	PM_STATE = 0x0003, PM_D3HOT = 0x0003,
	MSI_ENABLE = 0x0001, MSIX_ENABLE = 0x8000,
	DEVCTL_FLR = 0x8000,
};

/* What the hooks get. */
struct cap_write {
	uint8_t *cap;
	bool flr;
};

/* A state that is not there is not entered (PCI PM 1.2, 3.2.4): of D1 and D2 nothing happens. */
static void pmcsr_written(void *opaque, const struct reg_def *reg, uint32_t old, uint32_t raw,
			  unsigned bytes)
{
	struct cap_write *w = opaque;
	unsigned state = get_le16(w->cap + R_PMCSR) & PM_STATE;

	if (state != 0 && state != PM_D3HOT)
		put_le16(w->cap + R_PMCSR, old);
}

/* The bit itself always reads as zero (PCI Express 7.5.3.4). */
static void devctl_written(void *opaque, const struct reg_def *reg, uint32_t old, uint32_t raw,
			   unsigned bytes)
{
	struct cap_write *w = opaque;

	if (raw & DEVCTL_FLR)
		w->flr = true;
}

/* PCI PM 1.2, section 3.2. */
static const struct reg_def pm_regs[] = {
	{ 2, 2, "PMC", .reset = 0x0003 },	/* version 3; no D1, no D2, no PME# */
	{ R_PMCSR, 2, "PMCSR", .reset = 0x0008 /* No_Soft_Reset */, .wmask = PM_STATE,
	  .write = pmcsr_written },
};

/*
 * PCI Local Bus 3.0, section 6.8.1, with a 64-bit address.  Without per-vector masks: a client of
 * vfio keeps this capability by itself, and would never tell of one.
 */
static const struct reg_def msi_regs[] = {
	{ R_CONTROL, 2, "MC", .reset = 0x0080, .wmask = MSI_ENABLE | 0x0070 },
	{ 4, 4, "MA", .wmask = 0xfffffffc },
	{ 8, 4, "MUA", .wmask = 0xffffffff },
	{ 12, 2, "MD", .wmask = 0xffff },
};

/* 6.8.2; the offsets are the class's. */
static const struct reg_def msix_regs[] = {
	{ R_CONTROL, 2, "MXC", .wmask = MSIX_ENABLE | 0x4000 /* function mask */ },
	{ R_MSIX_TABLE, 4, "MTAB" },
	{ R_MSIX_PBA, 4, "MPBA" },
};

/* PCI Express base specification, section 7.5.3: version 2, one lane of 2.5 GT/s. */
static const struct reg_def express_regs[] = {
	{ 2, 2, "PXCAP", .reset = 0x0002 },	/* endpoint */
	/* role-based error reporting, FLR; payloads of 128 bytes */
	{ 4, 4, "DEVCAP", .reset = 0x10008000 },
	/* error reports, relaxed ordering, no snoop, read requests of 512 bytes */
	{ R_DEVCTL, 2, "DEVCTL", .reset = 0x2810, .wmask = 0x781f, .write = devctl_written },
	{ 10, 2, "DEVSTA", .w1c = 0x000f },
	{ 12, 4, "LNKCAP", .reset = 0x00400011 },	/* no ASPM */
	{ 16, 2, "LNKCTL", .wmask = 0x00cb },	/* ASPM, RCB, common clock, extended synch */
	{ 18, 2, "LNKSTA", .reset = 0x0011 },
	{ 36, 4, "DEVCAP2", .reset = 0x00000010 },	/* completion timeout disable */
	{ 40, 2, "DEVCTL2", .wmask = 0x0010 },
	{ 44, 4, "LNKCAP2", .reset = 0x00000002 },
};

static bool has_pm(const struct pci_class *cls)
{
	return cls->has_pm;
}

static bool has_msi(const struct pci_class *cls)
{
	return cls->msi_vectors;
}

static bool has_msix(const struct pci_class *cls)
{
	return cls->msix.vectors;
}

static bool has_express(const struct pci_class *cls)
{
	return cls->express;
}

static void msi_fill(const struct pci_class *cls, uint8_t *cap)
{
	cap[R_CONTROL] |= __builtin_ctz(cls->msi_vectors) << 1;
}

static void msix_fill(const struct pci_class *cls, uint8_t *cap)
{
	put_le16(cap + R_CONTROL, cls->msix.vectors - 1);
	put_le32(cap + R_MSIX_TABLE, cls->msix.table_off | cls->msix.table_bar);
	put_le32(cap + R_MSIX_PBA, cls->msix.pba_off | cls->msix.pba_bar);
}

#define REGS(table, len) { table, sizeof(table) / sizeof((table)[0]), len }

static const struct cap {
	uint8_t id;
	struct reg_file file;
	bool (*present)(const struct pci_class *cls);
	void (*fill)(const struct pci_class *cls, uint8_t *cap);	/* what the class says */
} caps[] = {
	{ CAP_PM, REGS(pm_regs, 8), has_pm },
	{ CAP_MSI, REGS(msi_regs, 14), has_msi, msi_fill },
	{ CAP_MSIX, REGS(msix_regs, 12), has_msix, msix_fill },
	{ CAP_EXPRESS, REGS(express_regs, 60), has_express },
};

static const struct cap *caps_end(void)
{
	return caps + sizeof(caps) / sizeof(caps[0]);
}

/* The first capability from @cap on that the device shows, or caps_end(). */
static const struct cap *cap_shown(const struct pci_dev *dev, const struct cap *cap)
{
	if (!(dev->host.show & PCI_SHOW_CAPS))
		return caps_end();
	while (cap < caps_end() && !cap->present(dev->cls))
		cap++;
	return cap;
}

/* Each begins at a dword. */
static unsigned cap_span(const struct cap *cap)
{
	return align_up(cap->file.size, 4);
}

/* Where the capability stands; NULL: it is not shown. */
static const uint8_t *cap_find(const struct pci_dev *dev, uint8_t id)
{
	const struct cap *cap = cap_shown(dev, caps);

	for (unsigned at = CAPS_START; cap < caps_end(); cap = cap_shown(dev, cap + 1)) {
		if (cap->id == id)
			return dev->state->config + at;
		at += cap_span(cap);
	}
	return NULL;
}

void pci_caps_defaults(struct pci_dev *dev)
{
	uint8_t *config = dev->state->config, *link = config + PCI_CAPABILITY_LIST;
	const struct cap *cap = cap_shown(dev, caps);

	for (unsigned at = CAPS_START; cap < caps_end(); cap = cap_shown(dev, cap + 1)) {
		regs_reset(&cap->file, config + at);
		config[at] = cap->id;
		if (cap->fill)
			cap->fill(dev->cls, config + at);
		*link = at;
		link = config + at + 1;
		config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
		at += cap_span(cap);
	}
}

bool pci_caps_write(struct pci_dev *dev, unsigned off, uint8_t byte, bool *flr)
{
	const struct cap *cap = cap_shown(dev, caps);

	for (unsigned at = CAPS_START; cap < caps_end(); cap = cap_shown(dev, cap + 1)) {
		struct cap_write w = { .cap = dev->state->config + at };

		if (off >= at && off - at < cap->file.size) {
			regs_write(&cap->file, w.cap, &w, off - at, 1, byte);
			*flr |= w.flr;
			return true;
		}
		at += cap_span(cap);
	}
	return false;
}

bool pci_caps_ok(const struct pci_class *cls)
{
	return !cls->msi_vectors ||
	       (is_power_of_2(cls->msi_vectors) && cls->msi_vectors <= MSI_VECTORS_MAX);
}

bool pci_caps_d3hot(const struct pci_dev *dev)
{
	const uint8_t *pm = cap_find(dev, CAP_PM);

	return pm && (get_le16(pm + R_PMCSR) & PM_STATE) == PM_D3HOT;
}

static uint16_t control(const struct pci_dev *dev, uint8_t id)
{
	const uint8_t *cap = cap_find(dev, id);

	return cap ? get_le16(cap + R_CONTROL) : 0;
}

bool pci_caps_msix_enabled(const struct pci_dev *dev)
{
	return control(dev, CAP_MSIX) & MSIX_ENABLE;
}

bool pci_caps_msi_enabled(const struct pci_dev *dev)
{
	return control(dev, CAP_MSI) & MSI_ENABLE;
}

unsigned pci_caps_msi_allocated(const struct pci_dev *dev)
{
	unsigned allocated = 1u << (control(dev, CAP_MSI) >> 4 & 7);

	return min_u64(allocated, pci_msi_vectors(dev));
}
