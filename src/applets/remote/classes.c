/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/classes.h"

#include <stddef.h>
#include <string.h>

#include "devices/edu/edu.h"
#include "devices/lsi53c895a/lsi53c895a.h"
#include "pci/pci.h"

static const struct pci_class *const classes[] = {
	&edu_class,
	&edu_pcie_class,
	&lsi53c810_class,
	&lsi53c895a_class,
};

const struct pci_class *class_find(const char *driver)
{
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (!strcmp(classes[i]->name, driver))
			return classes[i];
	return NULL;
}
