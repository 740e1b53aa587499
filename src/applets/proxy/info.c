/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/proxy/info.h"

#include <inttypes.h>
#include <stdio.h>

#include "client/client.h"
#include "pci/pci.h"

#define BAR_COUNT PCI_NUM_BARS

/* Names of base class and subclass (PCI Code and ID Assignment, section 1), the likely ones. */
static const struct {
	uint16_t code;
	const char *name;
} class_names[] = {
	{ 0x0000, "Unclassified device" },
	{ 0x00ff, "Unclassified device" },
	{ 0x0100, "SCSI storage controller" },
	{ 0x0101, "IDE interface" },
	{ 0x0106, "SATA controller" },
	{ 0x0107, "Serial Attached SCSI controller" },
	{ 0x0108, "Non-Volatile memory controller" },
	{ 0x0200, "Ethernet controller" },
	{ 0x0300, "VGA compatible controller" },
	{ 0x0403, "Audio device" },
	{ 0x0700, "Serial controller" },
	{ 0x0c03, "USB controller" },
};

static const char *class_name(uint16_t code)
{
	for (size_t i = 0; i < sizeof(class_names) / sizeof(class_names[0]); i++)
		if (class_names[i].code == code)
			return class_names[i].name;
	return "PCI device";
}

bool info_failed(struct client *client, const char *devid, int ret, GError **error)
{
	return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s", devid, client_why(client, ret));
}

static void print_bar(unsigned i, const struct client_bar *bar)
{
	if (!bar->present)
		return;
	printf("  BAR%u: %s, %" PRIu64 " bytes%s%s\n", i, bar->io ? "I/O" : "memory", bar->size,
	       bar->is_64bit ? ", 64-bit" : "", bar->prefetchable ? ", prefetchable" : "");
}

bool info_print(struct client *client, const char *devid, GError **error)
{
	uint64_t id = 0, class_rev = 0, subsystem = 0, pin = 0;
	struct client_bar bar[BAR_COUNT];
	int ret = client_cfg_read(client, PCI_VENDOR_ID, 4, &id);

	if (!ret)
		ret = client_cfg_read(client, PCI_REVISION_ID, 4, &class_rev);
	if (!ret)
		ret = client_cfg_read(client, PCI_SUBSYSTEM_VENDOR_ID, 4, &subsystem);
	if (!ret)
		ret = client_cfg_read(client, PCI_INTERRUPT_PIN, 1, &pin);
	for (unsigned i = 0; i < BAR_COUNT && !ret; i++)
		ret = client_probe_bar(client, i, &bar[i]);
	if (ret)
		return info_failed(client, devid, ret, error);
	printf("%s: %04x:%04x (rev %02x), %s [%06x], subsystem %04x:%04x\n", devid,
	       (unsigned)(id & 0xffff), (unsigned)(id >> 16), (unsigned)(class_rev & 0xff),
	       class_name(class_rev >> 16), (unsigned)(class_rev >> 8),
	       (unsigned)(subsystem & 0xffff), (unsigned)(subsystem >> 16));
	if (pin)
		printf("  interrupt: INT%c\n", (char)('A' + pin - 1));
	for (unsigned i = 0; i < BAR_COUNT; i++)
		print_bar(i, &bar[i]);
	return true;
}
