/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_PROXY_FACTS_H
#define APPLETS_PROXY_FACTS_H

/* What a device says of itself, and what follows from it. */

#include <stdbool.h>
#include <stdint.h>

#include "client/client.h"
#include "pci/pci.h"

#define FACTS_CAPS_MAX 48	/* capabilities of 4 bytes each behind the header */

struct facts_cap {
	uint8_t at, id;
	const char *name;		/* NULL: unknown */
};

struct facts {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint32_t class_code;		/* 24 bits: class, subclass, interface */
	uint8_t revision, pin;		/* pin: 0 none, 1 INTA# ... */
	struct client_bar bar[PCI_NUM_BARS];
	uint64_t rom, config;		/* bytes */
	unsigned vectors[VFU_IRQ_MSIX + 1];
	unsigned cap_count;
	struct facts_cap cap[FACTS_CAPS_MAX];
};

/* Asks a device.  0 or what the client's calls return. */
int facts_ask(struct client *client, struct facts *ret_facts);

/* "SCSI storage controller" (PCI Code and ID Assignment, section 1); never NULL. */
const char *facts_class_name(const struct facts *facts);
/* The driver of Linux that binds to such a function; NULL: none that is known. */
const char *facts_linux_driver(const struct facts *facts);
/* What Linux matches its drivers with: "pci:v00001000d00000012sv...".  The caller frees. */
char *facts_modalias(const struct facts *facts);

#endif
