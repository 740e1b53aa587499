/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/proxy/info/names.h"

#include <stddef.h>
#include <strings.h>

#include "devices/edu/edu.h"
#include "devices/lsi53c895a/lsi53c895a.h"
#include "pci/regs.h"

/* The header of config space (PCI Local Bus 3.0, section 6.1). */
static const struct {
	const char *name;
	uint8_t off, size;
} config[] = {
	{ "VENDOR_ID", 0x00, 2 },
	{ "DEVICE_ID", 0x02, 2 },
	{ "COMMAND", 0x04, 2 },
	{ "STATUS", 0x06, 2 },
	{ "REVISION", 0x08, 1 },
	{ "CLASS_PROG", 0x09, 1 },
	{ "CLASS_DEVICE", 0x0a, 2 },
	{ "CACHE_LINE_SIZE", 0x0c, 1 },
	{ "LATENCY_TIMER", 0x0d, 1 },
	{ "HEADER_TYPE", 0x0e, 1 },
	{ "BIST", 0x0f, 1 },
	{ "BASE_ADDRESS_0", 0x10, 4 },
	{ "BASE_ADDRESS_1", 0x14, 4 },
	{ "BASE_ADDRESS_2", 0x18, 4 },
	{ "BASE_ADDRESS_3", 0x1c, 4 },
	{ "BASE_ADDRESS_4", 0x20, 4 },
	{ "BASE_ADDRESS_5", 0x24, 4 },
	{ "CARDBUS_CIS", 0x28, 4 },
	{ "SUBSYSTEM_VENDOR_ID", 0x2c, 2 },
	{ "SUBSYSTEM_ID", 0x2e, 2 },
	{ "ROM_ADDRESS", 0x30, 4 },
	{ "CAPABILITY_LIST", 0x34, 1 },
	{ "INTERRUPT_LINE", 0x3c, 1 },
	{ "INTERRUPT_PIN", 0x3d, 1 },
	{ "MIN_GNT", 0x3e, 1 },
	{ "MAX_LAT", 0x3f, 1 },
};

static const struct pci_class *const classes[] = {
	&lsi53c895a_class, &lsi53c810_class, &edu_class,
};

bool name_in_config(const char *name, struct name_place *ret_place)
{
	for (size_t i = 0; i < sizeof(config) / sizeof(config[0]); i++) {
		if (strcasecmp(config[i].name, name))
			continue;
		*ret_place = (struct name_place){ .off = config[i].off, .size = config[i].size };
		return true;
	}
	return false;
}

bool name_of_register(uint16_t vendor, uint16_t device, const char *name,
		      struct name_place *ret_place, bool *ret_known)
{
	*ret_known = false;
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		const struct pci_class *cls = classes[i];

		if (cls->vendor != vendor || cls->device != device)
			continue;
		*ret_known = true;
		for (unsigned j = 0; j < cls->regs->count; j++) {
			const struct reg_def *reg = &cls->regs->regs[j];

			if (strcasecmp(reg->name, name))
				continue;
			*ret_place = (struct name_place){
				.bar = cls->regs_bar, .off = reg->off, .size = reg->width,
			};
			return true;
		}
	}
	return false;
}

const char *name_at_config(unsigned off)
{
	for (size_t i = 0; i < sizeof(config) / sizeof(config[0]); i++)
		if (config[i].off == off)
			return config[i].name;
	return NULL;
}

/* The LSI chips show the same registers in an I/O BAR, BAR 0. */
static bool shows_registers(const struct pci_class *cls, unsigned bar)
{
	return bar == cls->regs_bar || (bar == 0 && cls->bar[0].kind == PCI_BAR_IO);
}

const char *name_at_register(uint16_t vendor, uint16_t device, unsigned bar, uint64_t off)
{
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		const struct pci_class *cls = classes[i];

		if (cls->vendor != vendor || cls->device != device || !shows_registers(cls, bar))
			continue;
		for (unsigned j = 0; j < cls->regs->count; j++)
			if (cls->regs->regs[j].off == off)
				return cls->regs->regs[j].name;
	}
	return NULL;
}
