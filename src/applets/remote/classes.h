/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_CLASSES_H
#define APPLETS_REMOTE_CLASSES_H

struct pci_class;

/* The device model of that -device name, or NULL. */
const struct pci_class *class_find(const char *driver);

#endif
