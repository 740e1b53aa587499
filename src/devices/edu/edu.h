/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DEVICES_EDU_EDU_H
#define DEVICES_EDU_EDU_H

/*
 * The teaching device: the registers of QEMU's "edu" (its docs/specs/edu), so that the drivers that
 * people wrote for it work.  It is also the shortest whole example of a device model here:
 * a register table with hooks, INTx, DMA, slow work outside the register access, a timer, reset.
 */

#include "pci/pci.h"

extern const struct pci_class edu_class;

#endif
