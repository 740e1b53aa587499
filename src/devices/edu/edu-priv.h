/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DEVICES_EDU_EDU_PRIV_H
#define DEVICES_EDU_EDU_PRIV_H

/* Between the model (edu.c) and the functions that it is put into (class.c). */

#include "pci/pci.h"
#include "pci/regs.h"

#define EDU_BUF_SIZE 4096u
#define EDU_REGS_SIZE 0xa0

/* A change of either bumps the class's state_version. */
struct edu_state {
	struct pci_state pci;
	uint8_t regs[EDU_REGS_SIZE];
	uint8_t buf[EDU_BUF_SIZE];
	int64_t dma_deadline;		/* ns; 0: no transfer under way */
};

struct edu_pcie_state {
	struct edu_state edu;
	struct pci_msix_state msix;
};

extern const struct reg_file edu_file;

/* What a class of the model is made of (struct pci_class). */
int edu_realize(struct pci_dev *dev);
void edu_unrealize(struct pci_dev *dev);
void edu_reset(struct pci_dev *dev);
void edu_dma_ready(struct pci_dev *dev);
void edu_stood_still(struct pci_dev *dev, int64_t ns);
uint64_t edu_read(struct pci_dev *dev, unsigned bar, uint64_t off, unsigned size);
void edu_write(struct pci_dev *dev, unsigned bar, uint64_t off, unsigned size, uint64_t val);

#endif
