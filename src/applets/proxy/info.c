/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>

#include "applets/proxy/session.h"
#include "applets/proxy/verb.h"
#include "client/client.h"
#include "pci/pci.h"

#define GUEST_RAM (1u << 20)
#define CAPS_FIRST 0x40	/* behind the header */
#define CAPS_MAX 48	/* capabilities of 4 bytes each */

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

/* Capability IDs (PCI Code and ID Assignment, section 2). */
static const char *const capability_names[] = {
	[0x01] = "PM", [0x02] = "AGP", [0x03] = "VPD", [0x04] = "slot", [0x05] = "MSI",
	[0x06] = "CompactPCI hot swap", [0x07] = "PCI-X", [0x08] = "HyperTransport",
	[0x09] = "vendor", [0x0a] = "debug port", [0x0b] = "CompactPCI control",
	[0x0c] = "hot-plug", [0x0d] = "bridge subsystem", [0x0e] = "AGP 8x", [0x0f] = "secure",
	[0x10] = "PCIe", [0x11] = "MSI-X", [0x12] = "SATA", [0x13] = "AF", [0x14] = "EA",
};

static void print_bar(unsigned i, const struct client_bar *bar)
{
	if (!bar->present)
		return;
	printf("  BAR%u: %s, %" PRIu64 " bytes%s%s\n", i, bar->io ? "I/O" : "memory", bar->size,
	       bar->is_64bit ? ", 64-bit" : "", bar->prefetchable ? ", prefetchable" : "");
}

/* What is asked before anything is printed. */
struct facts {
	uint64_t id, class_rev, subsystem, pin, status;
	struct client_bar bar[PCI_NUM_BARS];
	uint64_t rom, config;
	unsigned vectors[VFU_IRQ_MSIX + 1];
};

static int ask(struct client *client, struct facts *f)
{
	int ret = client_cfg_read(client, PCI_VENDOR_ID, 4, &f->id);

	if (!ret)
		ret = client_cfg_read(client, PCI_REVISION_ID, 4, &f->class_rev);
	if (!ret)
		ret = client_cfg_read(client, PCI_SUBSYSTEM_VENDOR_ID, 4, &f->subsystem);
	if (!ret)
		ret = client_cfg_read(client, PCI_INTERRUPT_PIN, 1, &f->pin);
	if (!ret)
		ret = client_cfg_read(client, PCI_STATUS, 2, &f->status);
	for (unsigned i = 0; i < PCI_NUM_BARS && !ret; i++)
		ret = client_probe_bar(client, i, &f->bar[i]);
	if (!ret)
		ret = client_rom_size(client, &f->rom);
	if (!ret)
		ret = client_config_size(client, &f->config);
	for (unsigned i = VFU_IRQ_INTX; i <= VFU_IRQ_MSIX && !ret; i++)
		ret = client_vectors(client, i, &f->vectors[i]);
	return ret;
}

/* The text of the capability list (PCI Local Bus 3.0, section 6.7), which may be a wrong one. */
static int list_capabilities(struct client *client, GString *text)
{
	uint64_t at = 0, header = 0;
	int ret = client_cfg_read(client, PCI_CAPABILITY_LIST, 1, &at);

	for (unsigned left = CAPS_MAX; !ret && (at & 0xfc) >= CAPS_FIRST && left; left--) {
		const char *name = NULL;
		unsigned id;

		at &= 0xfc;
		ret = client_cfg_read(client, at, 2, &header);
		id = header & 0xff;
		if (id < G_N_ELEMENTS(capability_names))
			name = capability_names[id];
		g_string_append(text, text->len ? ", " : "");
		if (name)
			g_string_append_printf(text, "%s at 0x%02x", name, (unsigned)at);
		else
			g_string_append_printf(text, "ID 0x%02x at 0x%02x", id, (unsigned)at);
		at = header >> 8 & 0xff;
	}
	return ret;
}

static void print_vectors(const struct facts *f)
{
	const char *sep = "";

	if (!f->vectors[VFU_IRQ_INTX] && !f->vectors[VFU_IRQ_MSI] && !f->vectors[VFU_IRQ_MSIX])
		return;
	printf("  vectors: ");
	if (f->vectors[VFU_IRQ_INTX]) {
		printf("INTx");
		sep = ", ";
	}
	if (f->vectors[VFU_IRQ_MSI]) {
		printf("%sMSI %u", sep, f->vectors[VFU_IRQ_MSI]);
		sep = ", ";
	}
	if (f->vectors[VFU_IRQ_MSIX])
		printf("%sMSI-X %u", sep, f->vectors[VFU_IRQ_MSIX]);
	printf("\n");
}

static void print_protocol(const struct client *client, enum client_protocol protocol)
{
	printf("  protocol: %s", client_protocol_name(protocol));
	if (protocol == CLIENT_VFIO_USER)
		printf(" 0.%u, %" PRIu64 " bytes of data, %u fds a message, %u DMA maps%s",
		       client->minor, client->limits.max_data, client->limits.max_fds,
		       client->limits.max_maps,
		       client->limits.write_multiple ? ", multiple writes" : "");
	printf("\n");
}

static bool print_device(struct session *session, GError **error)
{
	enum client_protocol protocol = session->remote.device[session->index].protocol;
	struct client *client = &session->client;
	g_autoptr(GString) capabilities = g_string_new(NULL);
	struct facts f = { 0 };
	int ret = ask(client, &f);

	if (!ret && f.status & PCI_STATUS_CAP_LIST)
		ret = list_capabilities(client, capabilities);
	if (ret)
		return session_failed(session, ret, error);
	printf("%s: %04x:%04x (rev %02x), %s [%06x], subsystem %04x:%04x\n", session_name(session),
	       (unsigned)(f.id & 0xffff), (unsigned)(f.id >> 16 & 0xffff),
	       (unsigned)(f.class_rev & 0xff), class_name(f.class_rev >> 16 & 0xffff),
	       (unsigned)(f.class_rev >> 8 & 0xffffff), (unsigned)(f.subsystem & 0xffff),
	       (unsigned)(f.subsystem >> 16 & 0xffff));
	if (f.pin)
		printf("  interrupt: INT%c\n", (char)('A' + f.pin - 1));
	for (unsigned i = 0; i < PCI_NUM_BARS; i++)
		print_bar(i, &f.bar[i]);
	if (f.rom)
		printf("  ROM: %" PRIu64 " bytes\n", f.rom);
	print_vectors(&f);
	if (capabilities->len)
		printf("  capabilities: %s\n", capabilities->str);
	printf("  config space: %" PRIu64 " bytes\n", f.config);
	print_protocol(client, protocol);
	return true;
}

static int info_run(const struct proxy_args *args, GError **error)
{
	struct session session;
	bool ok = session_start(&session, &args->target, false, error);

	for (unsigned i = 0; i < session.remote.count && ok; i++) {
		if (!session_wants(&session, i))
			continue;
		ok = session_open(&session, i, GUEST_RAM, error) && print_device(&session, error);
		session_close(&session);
	}
	session_finish(&session, ok ? error : NULL);
	return PROXY_EXIT_OK;
}

const struct proxy_verb verb_info = {
	.name = "info", .help = "what each device is", .run = info_run,
};
