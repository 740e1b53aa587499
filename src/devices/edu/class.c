/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/edu/edu-priv.h"
#include "devices/edu/edu.h"

/* QEMU's ids for both, so that its drivers take either. */
#define EDU_MODEL                                                                                  \
	.vendor = 0x1234, .device = 0x11e8, .subsystem_vendor = 0x1af4, .subsystem = 0x1100,       \
	.class_code = 0x00ff00, .revision = 0x10, .has_irq = true, .state_version = 1,             \
	.realize = edu_realize, .unrealize = edu_unrealize, .reset = edu_reset,                    \
	.read = edu_read, .write = edu_write, .max_access = 4, .dma_ready = edu_dma_ready,        \
	.stood_still = edu_stood_still, .regs = &edu_file

const struct pci_class edu_class = {
	EDU_MODEL,
	.name = "edu",
	.desc = "teaching device",
	.bar = { [0] = { PCI_BAR_MEM, 1 << 20 } },
	.msi_vectors = 1,
	.state_size = sizeof(struct edu_state),
};

const struct pci_class edu_pcie_class = {
	EDU_MODEL,
	.name = "edu-pcie",
	.desc = "teaching device, PCI Express with MSI-X",
	.bar = {
		[0] = { PCI_BAR_MEM, 1 << 20, .is_64bit = true, .prefetch = true },
		[2] = { PCI_BAR_MEM, 4096 },
	},
	.has_pm = true,
	.msi_vectors = 8,
	.msix = {
		.vectors = 8, .table_bar = 2, .pba_bar = 2, .pba_off = 0x800,
		.state_off = offsetof(struct edu_pcie_state, msix),
	},
	.express = true,
	.state_size = sizeof(struct edu_pcie_state),
};
