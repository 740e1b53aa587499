/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/proxy/info/facts.h"

#include <glib.h>

#define CAPS_FIRST 0x40	/* behind the header */

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

const char *facts_class_name(const struct facts *f)
{
	uint16_t code = f->class_code >> 8;

	for (size_t i = 0; i < sizeof(class_names) / sizeof(class_names[0]); i++)
		if (class_names[i].code == code)
			return class_names[i].name;
	return "PCI device";
}

/* Capability IDs (PCI Code and ID Assignment, section 2). */
static const char *const capability_names[] = {
	[0x01] = "PM", [0x02] = "AGP", [0x03] = "VPD", [0x04] = "slot", [0x05] = "MSI",
	[0x06] = "CompactPCI hot swap", [0x07] = "PCI-X", [0x08] = "HyperTransport",
	[0x09] = "vendor", [0x0a] = "debug port", [0x0b] = "CompactPCI control",
	[0x0c] = "hot-plug", [0x0d] = "bridge subsystem", [0x0e] = "AGP 8x", [0x0f] = "secure",
	[0x10] = "PCIe", [0x11] = "MSI-X", [0x12] = "SATA", [0x13] = "AF", [0x14] = "EA",
};

/*
 * Drivers of Linux by what they bind to, the first that fits: ids, or a class and its interface
 * (0xffffff) or not (0xffff00).  The devices of QEMU and those that remotes are written for.
 */
static const struct {
	uint16_t vendor, device_first, device_last;	/* vendor 0: any */
	uint32_t class_code, class_mask;
	const char *driver;
} drivers[] = {
	{ 0x1000, 0x0001, 0x000f, 0, 0, "sym53c8xx" },
	{ 0x1000, 0x0012, 0x0012, 0, 0, "sym53c8xx" },
	{ 0x1000, 0x0020, 0x0021, 0, 0, "sym53c8xx" },
	{ 0x1000, 0x0030, 0x0032, 0, 0, "mptspi" },
	{ 0x1000, 0x0050, 0x0062, 0x010700, 0xffff00, "mptsas" },
	{ 0x1000, 0x0050, 0x0062, 0x010000, 0xffff00, "mptsas" },
	{ 0x1000, 0x0060, 0x0060, 0x010400, 0xffff00, "megaraid_sas" },
	{ 0x1000, 0x0411, 0x0411, 0, 0, "megaraid_sas" },
	{ 0x1013, 0x00b8, 0x00b8, 0, 0, "cirrus-qemu" },
	{ 0x1022, 0x2000, 0x2001, 0, 0, "pcnet32" },
	{ 0x1022, 0x2020, 0x2020, 0, 0, "am53c974" },
	{ 0x10ec, 0x8029, 0x8029, 0, 0, "ne2k-pci" },
	{ 0x10ec, 0x8139, 0x8139, 0, 0, "8139cp" },
	{ 0x1234, 0x1111, 0x1111, 0, 0, "bochs-drm" },
	{ 0x15ad, 0x07b0, 0x07b0, 0, 0, "vmxnet3" },
	{ 0x15ad, 0x07c0, 0x07c0, 0, 0, "vmw_pvscsi" },
	{ 0x1af4, 0x1000, 0x107f, 0, 0, "virtio-pci" },
	{ 0x1b36, 0x0100, 0x0100, 0, 0, "qxl" },
	{ 0x8086, 0x100e, 0x100f, 0, 0, "e1000" },
	{ 0x8086, 0x10d3, 0x10d3, 0, 0, "e1000e" },
	{ 0x8086, 0x10c9, 0x10c9, 0, 0, "igb" },
	{ 0x8086, 0x1209, 0x1209, 0, 0, "e100" },
	{ 0x8086, 0x25ab, 0x25ab, 0, 0, "i6300esb" },
	{ 0, 0, 0, 0x010601, 0xffffff, "ahci" },
	{ 0, 0, 0, 0x010802, 0xffffff, "nvme" },
	{ 0, 0, 0, 0x080500, 0xffff00, "sdhci-pci" },
	{ 0, 0, 0, 0x0c0300, 0xffffff, "uhci_hcd" },
	{ 0, 0, 0, 0x0c0310, 0xffffff, "ohci-pci" },
	{ 0, 0, 0, 0x0c0320, 0xffffff, "ehci-pci" },
	{ 0, 0, 0, 0x0c0330, 0xffffff, "xhci_hcd" },
	{ 0, 0, 0, 0x040300, 0xffff00, "snd_hda_intel" },
};

const char *facts_linux_driver(const struct facts *f)
{
	for (size_t i = 0; i < G_N_ELEMENTS(drivers); i++) {
		if (drivers[i].vendor && (f->vendor != drivers[i].vendor ||
					  f->device < drivers[i].device_first ||
					  f->device > drivers[i].device_last))
			continue;
		if ((f->class_code & drivers[i].class_mask) == drivers[i].class_code)
			return drivers[i].driver;
	}
	return NULL;
}

char *facts_modalias(const struct facts *f)
{
	return g_strdup_printf("pci:v%08Xd%08Xsv%08Xsd%08Xbc%02Xsc%02Xi%02X", f->vendor, f->device,
			       f->subsystem_vendor, f->subsystem, f->class_code >> 16,
			       f->class_code >> 8 & 0xff, f->class_code & 0xff);
}

/* The capability list (PCI Local Bus 3.0, section 6.7), which may be a wrong one. */
static int ask_capabilities(struct client *client, struct facts *f)
{
	uint64_t at = 0, header = 0;
	int ret = client_cfg_read(client, PCI_CAPABILITY_LIST, 1, &at);

	while (!ret && (at & 0xfc) >= CAPS_FIRST && f->cap_count < FACTS_CAPS_MAX) {
		struct facts_cap *cap = &f->cap[f->cap_count++];

		ret = client_cfg_read(client, at & 0xfc, 2, &header);
		*cap = (struct facts_cap){ .at = at & 0xfc, .id = header & 0xff };
		if (cap->id < G_N_ELEMENTS(capability_names))
			cap->name = capability_names[cap->id];
		at = header >> 8 & 0xff;
	}
	return ret;
}

static int ask_config(struct client *client, struct facts *f, uint64_t *ret_status)
{
	uint64_t id = 0, class_rev = 0, subsystem = 0, pin = 0;
	int ret = client_cfg_read(client, PCI_VENDOR_ID, 4, &id);

	if (!ret)
		ret = client_cfg_read(client, PCI_REVISION_ID, 4, &class_rev);
	if (!ret)
		ret = client_cfg_read(client, PCI_SUBSYSTEM_VENDOR_ID, 4, &subsystem);
	if (!ret)
		ret = client_cfg_read(client, PCI_INTERRUPT_PIN, 1, &pin);
	if (!ret)
		ret = client_cfg_read(client, PCI_STATUS, 2, ret_status);
	f->vendor = id & 0xffff;
	f->device = id >> 16 & 0xffff;
	f->revision = class_rev & 0xff;
	f->class_code = class_rev >> 8 & 0xffffff;
	f->subsystem_vendor = subsystem & 0xffff;
	f->subsystem = subsystem >> 16 & 0xffff;
	f->pin = pin;
	return ret;
}

int facts_ask(struct client *client, struct facts *ret_facts)
{
	struct facts f = { 0 };
	uint64_t status = 0;
	int ret = ask_config(client, &f, &status);

	for (unsigned i = 0; i < PCI_NUM_BARS && !ret; i++)
		ret = client_probe_bar(client, i, &f.bar[i]);
	if (!ret)
		ret = client_rom_size(client, &f.rom);
	if (!ret)
		ret = client_config_size(client, &f.config);
	for (unsigned i = VFU_IRQ_INTX; i <= VFU_IRQ_MSIX && !ret; i++)
		ret = client_vectors(client, i, &f.vectors[i]);
	if (!ret && status & PCI_STATUS_CAP_LIST)
		ret = ask_capabilities(client, &f);
	if (!ret)
		*ret_facts = f;
	return ret;
}
