/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/num.h"
#include "metrics/page.h"
#include "pci/pci-priv.h"

/*
 * Message interrupts: MSI-X's table and pending bits (PCI Local Bus 3.0, section 6.8.2), and how a
 * message gets to the host.  The table is only kept for the guest to read: who listens to a vector
 * the host knows, because a client of vfio keeps the table that counts by itself.
 */

#define ENTRY_CONTROL 12	/* in an entry; bit 0 masks the vector */

static struct pci_msix_state *msix_state(const struct pci_dev *dev)
{
	return (struct pci_msix_state *)((uint8_t *)dev->state + dev->cls->msix.state_off);
}

static uint32_t table_size(const struct pci_msix_def *def)
{
	return (uint32_t)def->vectors * PCI_MSIX_ENTRY;
}

/* The PBA is made of qwords. */
static uint32_t pba_size(const struct pci_msix_def *def)
{
	return (def->vectors + 63u) / 64 * 8;
}

/* ---- the structures in the BARs ---- */

static bool part_ok(const struct pci_class *cls, unsigned bar, uint32_t off, uint32_t size)
{
	return bar < PCI_NUM_BARS && cls->bar[bar].kind == PCI_BAR_MEM && is_aligned(off, 8) &&
	       range_fits(off, size, cls->bar[bar].size);
}

bool pci_msix_ok(const struct pci_class *cls)
{
	const struct pci_msix_def *def = &cls->msix;

	if (!def->vectors)
		return true;
	if (def->vectors > PCI_MSIX_MAX || def->state_off < sizeof(struct pci_state) ||
	    !range_fits(def->state_off, sizeof(struct pci_msix_state), cls->state_size))
		return false;
	if (!part_ok(cls, def->table_bar, def->table_off, table_size(def)) ||
	    !part_ok(cls, def->pba_bar, def->pba_off, pba_size(def)))
		return false;
	return def->table_bar != def->pba_bar ||
	       !ranges_overlap(def->table_off, table_size(def), def->pba_off, pba_size(def));
}

void pci_msix_reset(struct pci_dev *dev)
{
	struct pci_msix_state *s;

	if (!dev->cls->msix.vectors)
		return;
	s = msix_state(dev);
	memset(s, 0, sizeof(*s));
	for (unsigned i = 0; i < dev->cls->msix.vectors; i++)
		s->table[i][ENTRY_CONTROL] = 1;	/* masked */
}

static bool in_table(const struct pci_dev *dev, unsigned bar, uint64_t off, unsigned size)
{
	const struct pci_msix_def *def = &dev->cls->msix;

	return bar == def->table_bar && ranges_overlap(off, size, def->table_off, table_size(def));
}

bool pci_msix_touched(const struct pci_dev *dev, unsigned bar, uint64_t off, unsigned size)
{
	const struct pci_msix_def *def = &dev->cls->msix;

	return in_table(dev, bar, off, size) ||
	       (bar == def->pba_bar && ranges_overlap(off, size, def->pba_off, pba_size(def)));
}

uint8_t pci_msix_read(const struct pci_dev *dev, unsigned bar, uint64_t off)
{
	const struct pci_msix_def *def = &dev->cls->msix;
	const struct pci_msix_state *s = msix_state(dev);

	if (!in_table(dev, bar, off, 1))
		return s->pending[off - def->pba_off];
	off -= def->table_off;
	return s->table[off / PCI_MSIX_ENTRY][off % PCI_MSIX_ENTRY];
}

/* The low bits of the address and all of vector control but one are read-only. */
static uint8_t entry_byte(unsigned at, uint8_t byte)
{
	static const uint8_t wmask[PCI_MSIX_ENTRY] = {
		0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, [ENTRY_CONTROL] = 0x01,
	};

	return byte & wmask[at];
}

/* The PBA is read-only. */
void pci_msix_write(struct pci_dev *dev, unsigned bar, uint64_t off, uint8_t byte)
{
	unsigned entry, at;

	if (!in_table(dev, bar, off, 1))
		return;
	off -= dev->cls->msix.table_off;
	entry = off / PCI_MSIX_ENTRY;
	at = off % PCI_MSIX_ENTRY;
	msix_state(dev)->table[entry][at] = entry_byte(at, byte);
}

void pci_msix_take_over(struct pci_dev *dev)
{
	unsigned vectors = dev->cls->msix.vectors;
	struct pci_msix_state old, *s;

	if (!vectors)
		return;
	s = msix_state(dev);
	old = *s;
	memset(s, 0, sizeof(*s));
	for (unsigned i = 0; i < vectors; i++) {
		for (unsigned at = 0; at < PCI_MSIX_ENTRY; at++)
			s->table[i][at] = entry_byte(at, old.table[i][at]);
		s->pending[i / 8] |= old.pending[i / 8] & 1u << i % 8;
	}
}

/* ---- messages ---- */

unsigned pci_msi_vectors(const struct pci_dev *dev)
{
	return dev->host.show & PCI_SHOW_CAPS ? dev->cls->msi_vectors : 0;
}

unsigned pci_msix_vectors(const struct pci_dev *dev)
{
	return dev->host.show & PCI_SHOW_CAPS ? dev->cls->msix.vectors : 0;
}

static bool is_pending(const struct pci_dev *dev, unsigned vector)
{
	return vector < pci_msix_vectors(dev) &&
	       msix_state(dev)->pending[vector / 8] & 1u << vector % 8;
}

static void set_pending(struct pci_dev *dev, unsigned vector, bool pending)
{
	uint8_t bit = 1u << vector % 8;

	if (vector >= pci_msix_vectors(dev))
		return;
	if (pending)
		msix_state(dev)->pending[vector / 8] |= bit;
	else
		msix_state(dev)->pending[vector / 8] &= ~bit;
}

static enum pci_message send(struct pci_dev *dev, unsigned vector)
{
	enum pci_message how = PCI_MESSAGE_OFF;

	if (dev->host.message)
		how = dev->host.message(dev->host.opaque, vector);
	if (how == PCI_MESSAGE_SENT)
		metrics_count(METRIC_IRQ_MESSAGES);
	if (how != PCI_MESSAGE_OFF)
		set_pending(dev, vector, how == PCI_MESSAGE_MASKED);
	return how;
}

/*
 * A message is a write on the bus: there is none without bus mastering, nor in D3hot.  Whether it
 * would have been one the host cannot be asked without sending it; config space says.
 */
static bool hold(struct pci_dev *dev, unsigned vector)
{
	if (!pci_caps_msix_enabled(dev))
		return pci_caps_msi_enabled(dev);
	set_pending(dev, vector, true);
	return true;
}

bool pci_irq_message(struct pci_dev *dev, unsigned vector)
{
	if (vector >= max_u64(pci_msi_vectors(dev), pci_msix_vectors(dev)))
		return false;
	if (!pci_bus_master(dev))
		return hold(dev, vector);
	if (pci_caps_msi_enabled(dev) && !pci_caps_msix_enabled(dev))
		vector &= pci_caps_msi_allocated(dev) - 1;
	return send(dev, vector) != PCI_MESSAGE_OFF;
}

void pci_irq_settled(struct pci_dev *dev, unsigned vector)
{
	set_pending(dev, vector, false);
}

void pci_msix_listen(struct pci_dev *dev, unsigned vector)
{
	if (is_pending(dev, vector) && pci_bus_master(dev))
		send(dev, vector);
}

void pci_msix_resend(struct pci_dev *dev)
{
	for (unsigned i = 0; i < pci_msix_vectors(dev); i++)
		pci_msix_listen(dev, i);
}
