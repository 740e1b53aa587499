/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DEVICES_LSI53C895A_LSI53C895A_H
#define DEVICES_LSI53C895A_LSI53C895A_H

/*
 * LSI Logic 53C895A (and, as the same model with another identity, 53C810): a SCSI host adapter
 * whose programs, called SCRIPTS, lie in guest memory or in 8 KiB of its own.  What of the chip is
 * modelled is listed in docs/lsi53c895a.md.  "Manual" in the comments here is LSI's Technical
 * Manual S14028.B of the 53C895A; its chapter 4 has the registers, chapter 5 the instructions.
 */

#include "pci/pci.h"

extern const struct pci_class lsi53c895a_class;
extern const struct pci_class lsi53c810_class;

#endif
