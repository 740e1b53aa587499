/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DEVICES_EDU_EDU_H
#define DEVICES_EDU_EDU_H

/*
 * The teaching device: the registers of QEMU's "edu" (its docs/specs/edu), so that the drivers that
 * people wrote for it work.  It is also the shortest whole example of a device model here:
 * a register table with hooks, interrupts of every kind, DMA, slow work outside the register
 * access, a timer, reset, a predecessor's state.
 */

#include "pci/pci.h"

extern const struct pci_class edu_class;
/* The same model as a PCI Express function: a 64-bit BAR, 8 vectors of MSI or MSI-X (BAR 2). */
extern const struct pci_class edu_pcie_class;

#endif
