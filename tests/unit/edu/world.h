/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_UNIT_EDU_WORLD_H
#define TESTS_UNIT_EDU_WORLD_H

/* What surrounds the teaching device in its tests: a real loop, and guest RAM at address 0. */

#include "mem/guestmem.h"
#include "pci/pci.h"

#define BAR 0xfea00000ULL	/* where BAR 0 stands, bus mastering and memory enabled */

struct world {
	struct pci_dev dev;
	struct pci_state *state;
	struct pci_host host;
	struct loop *loop;
	struct guestmem_arena *arena;
	struct guestmem *mem;
	int ram;			/* -1: the VMM does not share it */
	bool pin;
	unsigned errors;		/* that the guest made */

	enum pci_message answer;	/* to a message interrupt */
	unsigned sent[32];		/* messages that were sent, by vector */

	/* The last request for memory that is not shared; the test answers it. */
	unsigned asked;
	bool write;
	uint64_t gpa;
	size_t len;
	uint8_t data[GUESTMEM_REMOTE_MAX];	/* of a write */
};

/* @show: PCI_SHOW_...; @shared: the RAM is a memfd, else the VMM keeps it for itself. */
void world_init(struct world *w, const struct pci_class *cls, unsigned show, size_t ram_size,
		bool shared);
void world_finish(struct world *w);

/* At an offset from BAR. */
uint64_t world_read(struct world *w, uint64_t off, unsigned size);
void world_write(struct world *w, uint64_t off, unsigned size, uint64_t val);

#endif
