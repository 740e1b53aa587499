/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/proxy/info/info.h"

#include <inttypes.h>
#include <stdio.h>

#include <glib.h>

static void print_bar(unsigned i, const struct client_bar *bar)
{
	if (!bar->present)
		return;
	printf("  BAR%u: %s, %" PRIu64 " bytes%s%s\n", i, bar->io ? "I/O" : "memory", bar->size,
	       bar->is_64bit ? ", 64-bit" : "", bar->prefetchable ? ", prefetchable" : "");
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

static void print_protocol(const struct session *session)
{
	enum client_protocol protocol = session->remote.device[session->index].protocol;
	const struct client *client = &session->client;

	printf("  protocol: %s", client_protocol_name(protocol));
	if (protocol == CLIENT_VFIO_USER)
		printf(" 0.%u, %" PRIu64 " bytes of data, %u fds a message, %u DMA maps%s",
		       client->minor, client->limits.max_data, client->limits.max_fds,
		       client->limits.max_maps,
		       client->limits.write_multiple ? ", multiple writes" : "");
	printf("\n");
}

static void print_capabilities(const struct facts *f)
{
	for (unsigned i = 0; i < f->cap_count; i++) {
		const struct facts_cap *cap = &f->cap[i];

		printf(i ? ", " : "  capabilities: ");
		if (cap->name)
			printf("%s at 0x%02x", cap->name, cap->at);
		else
			printf("ID 0x%02x at 0x%02x", cap->id, cap->at);
	}
	if (f->cap_count)
		printf("\n");
}

void info_text(const struct session *session, const struct facts *f)
{
	const char *driver = facts_linux_driver(f);

	printf("%s: %04x:%04x (rev %02x), %s [%06x], subsystem %04x:%04x\n", session_name(session),
	       f->vendor, f->device, f->revision, facts_class_name(f), f->class_code,
	       f->subsystem_vendor, f->subsystem);
	if (f->pin)
		printf("  interrupt: INT%c\n", (char)('A' + f->pin - 1));
	for (unsigned i = 0; i < PCI_NUM_BARS; i++)
		print_bar(i, &f->bar[i]);
	if (f->rom)
		printf("  ROM: %" PRIu64 " bytes\n", f->rom);
	print_vectors(f);
	print_capabilities(f);
	printf("  config space: %" PRIu64 " bytes\n", f->config);
	printf("  Linux driver: %s\n", driver ? driver : "none that is known");
	print_protocol(session);
}
