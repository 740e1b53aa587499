/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_UNIT_PCI_FULL_H
#define TESTS_UNIT_PCI_FULL_H

/* A model that has everything that src/pci offers, and a host that answers as it is told. */

#include <string.h>

#include <glib.h>

#include "mem/arena.h"
#include "mem/guestmem.h"
#include "pci/pci.h"

#define VECTORS 10
#define TABLE_AT 0x100u
#define TABLE_END (TABLE_AT + 16 * VECTORS)
#define PBA_AT 0x800u
#define PBA_END (PBA_AT + 8)
#define ROM_SIZE 4096

/* Where its capabilities stand. */
enum { PM = 0x40, MSI = 0x48, MSIX = 0x58, EXPRESS = 0x64 };
enum { PMCSR = PM + 4, DEVCTL = EXPRESS + 8 };

/* Its BARs. */
enum { BAR_WIDE = 0, BAR_HUGE = 2, BAR_MSIX = 4, BAR_PORTS = 5 };

struct full_state {
	struct pci_state pci;
	uint8_t own[8];
	struct pci_msix_state msix;
};

struct full {
	struct pci_dev dev;
	struct full_state state;
	struct guestmem_arena *arena;
	struct guestmem *mem;
	struct pci_host host;
	unsigned reads, writes, resets, config_calls;
	bool intx;
	unsigned intx_calls;
	bool taken_over;		/* as realize saw it */
	enum pci_message answer;
	unsigned messages, vector;	/* how many the host was asked to send, and the last */
	uint8_t rom[ROM_SIZE];
};

/* The table and the PBA are not the model's. */
static void full_check(unsigned bar, uint64_t off, unsigned size)
{
	if (bar != BAR_MSIX)
		return;
	g_assert_true(off + size <= TABLE_AT || off >= TABLE_END);
	g_assert_true(off + size <= PBA_AT || off >= PBA_END);
}

/* Each byte reads as the low byte of its offset. */
static uint64_t full_read(struct pci_dev *dev, unsigned bar, uint64_t off, unsigned size)
{
	uint64_t val = 0;

	full_check(bar, off, size);
	((struct full *)dev->host.opaque)->reads++;
	for (unsigned i = 0; i < size; i++)
		val |= ((off + i) & 0xff) << (8 * i);
	return val;
}

static void full_write(struct pci_dev *dev, unsigned bar, uint64_t off, unsigned size, uint64_t val)
{
	full_check(bar, off, size);
	((struct full *)dev->host.opaque)->writes++;
}

static int full_realize(struct pci_dev *dev)
{
	((struct full *)dev->host.opaque)->taken_over = dev->taken_over;
	return 0;
}

static void full_reset(struct pci_dev *dev)
{
	((struct full *)dev->host.opaque)->resets++;
}

static void full_config_written(struct pci_dev *dev, unsigned off, unsigned len)
{
	((struct full *)dev->host.opaque)->config_calls++;
}

static const struct pci_class full_class = {
	.name = "full", .vendor = 0x1000, .device = 0x0012, .class_code = 0x010203,
	.has_irq = true,
	.bar = {
		[BAR_WIDE] = { PCI_BAR_MEM, 0x10000, .is_64bit = true, .prefetch = true },
		[BAR_HUGE] = { PCI_BAR_MEM, 8ULL << 30, .is_64bit = true },
		[BAR_MSIX] = { PCI_BAR_MEM, 4096 },
		[BAR_PORTS] = { PCI_BAR_IO, 32 },
	},
	.has_pm = true, .msi_vectors = 8, .express = true,
	.msix = {
		.vectors = VECTORS, .table_bar = BAR_MSIX, .table_off = TABLE_AT,
		.pba_bar = BAR_MSIX, .pba_off = PBA_AT,
		.state_off = offsetof(struct full_state, msix),
	},
	.state_version = 1, .state_size = sizeof(struct full_state),
	.realize = full_realize, .reset = full_reset, .read = full_read, .write = full_write,
	.max_access = 8, .config_written = full_config_written,
};

static void full_on_intx(void *opaque, bool level)
{
	((struct full *)opaque)->intx = level;
	((struct full *)opaque)->intx_calls++;
}

static enum pci_message full_on_message(void *opaque, unsigned vector)
{
	struct full *f = opaque;

	if (f->answer == PCI_MESSAGE_SENT)
		f->messages++;
	f->vector = vector;
	return f->answer;
}

static void full_init(struct full *f, const struct pci_class *cls, unsigned show)
{
	memset(f, 0, sizeof(*f));
	f->arena = guestmem_arena_create();
	g_assert_nonnull(f->arena);
	f->mem = guestmem_create(f->arena);
	g_assert_nonnull(f->mem);
	for (unsigned i = 0; i < ROM_SIZE; i++)
		f->rom[i] = i ^ i >> 8 ^ 0x55;
	f->host = (struct pci_host){
		.mem = f->mem, .intx = full_on_intx, .message = full_on_message, .opaque = f,
		.show = show, .rom = f->rom, .rom_size = ROM_SIZE,
	};
	g_assert_cmpint(pci_dev_init(&f->dev, cls, &f->state.pci, &f->host, "f0", NULL), ==, 0);
}

static void full_finish(struct full *f)
{
	pci_dev_finish(&f->dev);
	guestmem_destroy(f->mem);
	guestmem_arena_destroy(f->arena);
}

/* Every BAR but the huge one below 4 GiB, the ROM as well; all enabled. */
static void full_place(struct full *f)
{
	pci_config_write(&f->dev, 0x10, 0xfe000000, 4);
	pci_config_write(&f->dev, 0x20, 0xfe100000, 4);
	pci_config_write(&f->dev, 0x24, 0xc000, 4);
	pci_config_write(&f->dev, PCI_ROM_ADDRESS, 0xfe200001, 4);
	pci_config_write(&f->dev, PCI_COMMAND, 7, 2);
}

#endif
