/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PCI_PCI_PRIV_H
#define PCI_PCI_PRIV_H

/* What the parts of a PCI function ask of each other. */

#include "pci/pci.h"

/* The command register. */
uint16_t pci_command(const struct pci_dev *dev);

/* ---- bar.c ---- */

/* Can a class be like this?  The part that is checked here. */
bool pci_bars_ok(const struct pci_class *cls);
/* The type bits of every BAR. */
void pci_bars_defaults(struct pci_dev *dev);
/* The bits that a guest may write in config byte @off, which may be any; 0 outside BARs and ROM. */
uint8_t pci_bars_wmask(const struct pci_dev *dev, unsigned off);

/* After each change of config space: brings dev->decode up to date. */
void pci_decode_update(struct pci_dev *dev);

/* ---- caps.c ---- */

/* Can a class be like this?  The part that is checked here. */
bool pci_caps_ok(const struct pci_class *cls);
/* Builds the capability list, if it is to be shown. */
void pci_caps_defaults(struct pci_dev *dev);
/*
 * A guest's write of one config byte, if it belongs to a capability: false otherwise.  Sets *flr
 * when it asks for a function level reset.
 */
bool pci_caps_write(struct pci_dev *dev, unsigned off, uint8_t byte, bool *flr);
bool pci_caps_d3hot(const struct pci_dev *dev);
/* What the guest has enabled, as far as the client lets config space know. */
bool pci_caps_msix_enabled(const struct pci_dev *dev);
bool pci_caps_msi_enabled(const struct pci_dev *dev);
/* Vectors that the guest has given to MSI; a power of two, at most those of the class. */
unsigned pci_caps_msi_allocated(const struct pci_dev *dev);

/* ---- msix.c ---- */

/* Can a class be like this?  The part that is checked here. */
bool pci_msix_ok(const struct pci_class *cls);
/* Table and pending bits as after power-on. */
void pci_msix_reset(struct pci_dev *dev);
/* A predecessor's, as far as a guest and the function could have brought them about. */
void pci_msix_take_over(struct pci_dev *dev);
/* Does the access touch a byte of the table or the PBA? */
bool pci_msix_touched(const struct pci_dev *dev, unsigned bar, uint64_t off, unsigned size);
/* One byte of them. */
uint8_t pci_msix_read(const struct pci_dev *dev, unsigned bar, uint64_t off);
void pci_msix_write(struct pci_dev *dev, unsigned bar, uint64_t off, uint8_t byte);
/* The function may send again: whatever is pending tries. */
void pci_msix_resend(struct pci_dev *dev);

#endif
