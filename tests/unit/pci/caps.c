/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Capabilities as a guest sees them: where they stand, what can be written, reset, D3hot. */

#include <errno.h>

#include "base/fd.h"
#include "base/num.h"
#include "mem/memfd.h"
#include "../util.h"
#include "full.h"

/* Config space at power-on with everything shown; what is not here is zero. */
static const uint8_t power_on[PCI_CONFIG_SIZE] = {
	[0x00] = 0x00, 0x10, 0x12, 0x00, 0, 0, 0x10 /* capability list */, 0,
	[0x09] = 0x03, 0x02, 0x01,
	[0x10] = 0x0c, [0x18] = 0x04, [0x24] = 0x01,
	[0x34] = PM, [0x3d] = 1,
	[PM] = 0x01, MSI, 0x03, 0x00, 0x08,
	[MSI] = 0x05, MSIX, 0x86, 0x00,
	[MSIX] = 0x11, EXPRESS, VECTORS - 1, 0x00, 0x04, 0x01, 0, 0, 0x04, 0x08,
	[EXPRESS] = 0x10, 0x00, 0x02, 0x00, 0x00, 0x80, 0x00, 0x10,
	[DEVCTL] = 0x10, 0x28, 0, 0, 0x11, 0x00, 0x40, 0x00, 0, 0, 0x11, 0x00,
	[EXPRESS + 0x24] = 0x10, [EXPRESS + 0x2c] = 0x02,
};

/* The bits of each byte that a guest can set and clear. */
static const uint8_t writable[PCI_CONFIG_SIZE] = {
	[0x04] = 0x07, 0x05, [0x0c] = 0xff, 0xff,
	[0x12] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,	/* 64 KiB, 64 bits */
	[0x1c] = 0xfe, 0xff, 0xff, 0xff,		/* 8 GiB */
	[0x21] = 0xf0, 0xff, 0xff,			/* 4 KiB */
	[0x24] = 0xe0, 0xff, 0xff, 0xff,		/* 32 ports */
	[0x30] = 0x01, 0xf0, 0xff, 0xff,		/* ROM, 4 KiB, with its enable bit */
	[0x3c] = 0xff,
	[PMCSR] = 0x03,
	[MSI + 2] = 0x71, 0, 0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	[MSIX + 3] = 0xc0,
	[DEVCTL] = 0x1f, 0x78,				/* without FLR */
	[EXPRESS + 0x10] = 0xcb, [EXPRESS + 0x28] = 0x10,
};

static void test_power_on(void)
{
	struct full f;

	full_init(&f, &full_class, PCI_SHOW_ALL);
	g_assert_cmpmem(f.state.pci.config, PCI_CONFIG_SIZE, power_on, PCI_CONFIG_SIZE);
	full_finish(&f);
}

static void test_masks(void)
{
	for (unsigned off = 0; off < PCI_CONFIG_SIZE; off++) {
		uint8_t ones = off == DEVCTL + 1 ? 0x7f : 0xff, want[PCI_CONFIG_SIZE];
		struct full f;

		g_test_message("offset 0x%02x", off);
		full_init(&f, &full_class, PCI_SHOW_ALL);
		memcpy(want, power_on, sizeof(want));
		pci_config_write(&f.dev, off, ones, 1);
		want[off] |= writable[off];
		g_assert_cmpmem(f.state.pci.config, sizeof(want), want, sizeof(want));
		pci_config_write(&f.dev, off, 0, 1);
		want[off] &= ~writable[off];
		g_assert_cmpmem(f.state.pci.config, sizeof(want), want, sizeof(want));
		g_assert_cmpuint(f.resets, ==, 0);
		full_finish(&f);
	}
}

/* Accesses of every size at every offset are those of their bytes, also in the extended space. */
static void test_accesses(void)
{
	static const int32_t lengths[] = { INT32_MIN, -1, 0, 1, 2, 3, 4, 5, 8, INT32_MAX };
	struct full f;

	full_init(&f, &full_class, PCI_SHOW_ALL);
	for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++)
		f.state.pci.config[i] = i * 7 + 1;
	g_assert_cmpuint(pci_config_size(&f.dev), ==, 4096);
	for (uint32_t off = 0; off < 4104; off++) {
		for (unsigned i = 0; i < G_N_ELEMENTS(lengths); i++) {
			int32_t len = lengths[i];
			bool ok = (len == 1 || len == 2 || len == 4) && off + len <= 4096;
			uint32_t want = 0;

			for (int32_t k = 0; ok && k < len; k++)
				if (off + k < PCI_CONFIG_SIZE)
					want |= (uint32_t)f.state.pci.config[off + k] << (8 * k);
			g_assert_cmphex(pci_config_read(&f.dev, off, len), ==,
					ok ? want : UINT32_MAX);
		}
	}
	g_assert_cmphex(pci_config_read(&f.dev, UINT32_MAX, 1), ==, UINT32_MAX);
	g_assert_cmphex(pci_config_read(&f.dev, UINT32_MAX - 3, 4), ==, UINT32_MAX);
	full_finish(&f);
}

/* Each access of more bytes writes what its bytes would; nothing beyond byte 255 is stored. */
static void test_wide_writes(void)
{
	static const uint32_t vals[] = { 0x7e7e7e7e, 0x5a3c0f78, 0 };
	struct full f, bytes;

	full_init(&f, &full_class, PCI_SHOW_ALL);
	full_init(&bytes, &full_class, PCI_SHOW_ALL);
	for (unsigned i = 0; i < G_N_ELEMENTS(vals); i++) {
		for (int32_t len = 2; len <= 4; len += 2) {
			for (uint32_t off = 0; off < 0x108; off++) {
				pci_config_write(&f.dev, off, vals[i], len);
				for (int32_t k = 0; k < len; k++)
					pci_config_write(&bytes.dev, off + k, vals[i] >> (8 * k),
							 1);
				g_assert_cmpmem(&f.state, sizeof(f.state), &bytes.state,
						sizeof(f.state));
			}
		}
	}
	f.config_calls = 0;
	pci_config_write(&f.dev, 0x100, 0xffffffff, 4);
	pci_config_write(&f.dev, 4092, 0xffffffff, 4);
	pci_config_write(&f.dev, 4094, 0xffffffff, 4);
	g_assert_cmpuint(f.config_calls, ==, 0);
	g_assert_cmpmem(&f.state, sizeof(f.state), &bytes.state, sizeof(f.state));
	full_finish(&f);
	full_finish(&bytes);
}

/* What a protocol does not show is not there, and cannot be written into being. */
static void test_show(void)
{
	for (unsigned show = 0; show <= PCI_SHOW_ALL; show++) {
		bool caps = show & PCI_SHOW_CAPS, wide = show & PCI_SHOW_64BIT;
		bool rom = show & PCI_SHOW_ROM;
		struct full f;

		g_test_message("show %u", show);
		full_init(&f, &full_class, show);
		g_assert_cmpuint(pci_config_size(&f.dev), ==, caps ? 4096 : 256);
		g_assert_cmpuint(pci_region_size(&f.dev, PCI_REGION_CONFIG), ==, caps ? 4096 : 256);
		g_assert_cmphex(pci_config_read(&f.dev, PCI_STATUS, 2), ==, caps ? 0x10 : 0);
		g_assert_cmphex(pci_config_read(&f.dev, PCI_CAPABILITY_LIST, 1), ==, caps ? PM : 0);
		g_assert_cmpuint(pci_msi_vectors(&f.dev), ==, caps ? 8 : 0);
		g_assert_cmpuint(pci_msix_vectors(&f.dev), ==, caps ? VECTORS : 0);
		for (unsigned off = 0; off < PCI_CONFIG_SIZE; off++) {
			uint8_t got;

			pci_config_write(&f.dev, off, off == DEVCTL + 1 ? 0x7f : 0xff, 1);
			got = pci_config_read(&f.dev, off, 1);
			if (off >= 0x40)
				g_assert_cmphex(got, ==, caps ? power_on[off] | writable[off] : 0);
		}
		g_assert_cmphex(pci_config_read(&f.dev, 0x10, 4), ==, 0xffff0008 | wide << 2);
		g_assert_cmphex(pci_config_read(&f.dev, 0x14, 4), ==, wide ? 0xffffffff : 0);
		g_assert_cmphex(pci_config_read(&f.dev, 0x18, 4), ==, wide ? 0x00000004 : 0);
		g_assert_cmphex(pci_config_read(&f.dev, 0x1c, 4), ==, wide ? 0xfffffffe : 0);
		g_assert_cmphex(pci_config_read(&f.dev, 0x30, 4), ==, rom ? 0xfffff001 : 0);
		g_assert_cmphex(pci_region_size(&f.dev, 0), ==, 0x10000);
		g_assert_cmphex(pci_region_size(&f.dev, 2), ==, wide ? 8ULL << 30 : 0);
		g_assert_cmphex(pci_region_size(&f.dev, PCI_REGION_ROM), ==, rom ? ROM_SIZE : 0);
		full_finish(&f);
	}
}

/* ---- reset ---- */

static void test_flr(void)
{
	static const struct {
		uint32_t off, val;
		int32_t len;
		bool flr;
	} rows[] = {
		{ DEVCTL, 0x80, 1, false }, { DEVCTL, 0x7fff, 2, false },
		{ DEVCTL + 2, 0x8000, 2, false }, { DEVCTL - 2, 0x8000, 2, false },
		{ DEVCTL - 4, 0xffffffff, 4, false }, { DEVCTL, 0xffff7fff, 4, false },
		{ DEVCTL + 1, 0xff7f, 1, false }, { PMCSR, 0x8000, 2, false },
		{ DEVCTL, 0x8000, 3, false }, { 0x100 + DEVCTL, 0x8000, 2, false },
		{ DEVCTL + 1, 0x80, 1, true }, { DEVCTL, 0x8000, 2, true },
		{ DEVCTL, 0x0000a810, 4, true }, { DEVCTL - 2, 0x80000000, 4, true },
		{ DEVCTL - 1, 0x00800000, 4, true }, { DEVCTL + 1, 0x00000080, 4, true },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct full f;

		g_test_message("row %u", i);
		full_init(&f, &full_class, PCI_SHOW_ALL);
		full_place(&f);
		pci_config_write(&f.dev, MSIX + 3, 0x80, 1);
		g_assert_true(pci_region_write(&f.dev, BAR_MSIX, TABLE_AT + 12, 4, 0));
		f.answer = PCI_MESSAGE_MASKED;
		g_assert_true(pci_irq_message(&f.dev, 3));
		pci_set_intx(&f.dev, true);
		f.config_calls = 0;
		pci_config_write(&f.dev, rows[i].off, rows[i].val, rows[i].len);
		g_assert_cmpuint(f.resets, ==, rows[i].flr);
		g_assert_cmpint(f.intx, ==, !rows[i].flr);
		g_assert_cmphex(pci_config_read(&f.dev, DEVCTL, 2) & 0x8000, ==, 0);
		g_assert_cmphex(f.state.msix.pending[0], ==, rows[i].flr ? 0 : 8);
		g_assert_cmpuint(f.state.msix.table[0][12], ==, rows[i].flr);
		if (rows[i].flr) {
			g_assert_cmpuint(f.config_calls, ==, 1);
			g_assert_cmpmem(f.state.pci.config, 256, power_on, 256);
		} else {
			g_assert_cmphex(pci_config_read(&f.dev, 0x10, 4), ==, 0xfe00000c);
		}
		full_finish(&f);
	}
}

/* Without a PCI Express capability that is shown, the same write is nothing. */
static void test_flr_hidden(void)
{
	struct pci_class plain = full_class;
	struct full f;

	full_init(&f, &full_class, PCI_SHOW_64BIT | PCI_SHOW_ROM);
	pci_config_write(&f.dev, DEVCTL, 0x8000, 2);
	g_assert_cmpuint(f.resets, ==, 0);
	full_finish(&f);
	plain.express = false;
	full_init(&f, &plain, PCI_SHOW_ALL);
	pci_config_write(&f.dev, DEVCTL, 0x8000, 2);
	g_assert_cmpuint(f.resets, ==, 0);
	g_assert_cmphex(pci_config_read(&f.dev, DEVCTL, 2), ==, 0);
	g_assert_cmphex(pci_config_read(&f.dev, MSIX, 2), ==, 0x0011);
	full_finish(&f);
}

/* ---- power ---- */

static void test_pm_states(void)
{
	static const struct {
		uint8_t from, to, then;
	} rows[] = {
		{ 0, 1, 0 }, { 0, 2, 0 }, { 3, 1, 3 }, { 3, 2, 3 },	/* no D1, no D2 */
		{ 0, 3, 3 }, { 3, 3, 3 }, { 3, 0, 0 }, { 0, 0, 0 },
	};
	struct full f;

	full_init(&f, &full_class, PCI_SHOW_ALL);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		for (int32_t len = 1; len <= 4; len *= 2) {
			g_test_message("row %u, %d bytes", i, len);
			pci_config_write(&f.dev, PMCSR, rows[i].from, 1);
			pci_config_write(&f.dev, PMCSR, 0xfffffffc | rows[i].to, len);
			g_assert_cmphex(pci_config_read(&f.dev, PMCSR, 4), ==, 8 | rows[i].then);
		}
	}
	g_assert_cmpuint(f.resets, ==, 0);
	full_finish(&f);
}

/* Does anything of the function but config space answer? */
static void assert_answers(struct full *f, bool on)
{
	static const struct {
		bool memory;
		uint64_t addr;
	} rows[] = {
		{ true, 0xfe000000 }, { true, 0xfe100000 }, { true, 0xfe100000 + TABLE_AT },
		{ true, 0xfe100000 + PBA_AT }, { true, 0xfe200000 }, { false, 0xc000 },
	};
	unsigned calls = f->reads + f->writes;
	uint8_t byte;

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		uint64_t val, addr = rows[i].addr;

		g_assert_cmpint(pci_bus_read(&f->dev, rows[i].memory, addr, 4, &val), ==, on);
		g_assert_cmpint(pci_bus_write(&f->dev, rows[i].memory, addr, 4, 0), ==, on);
	}
	for (unsigned i = 0; i < PCI_NUM_BARS; i++) {
		bool there = pci_region_size(&f->dev, i);
		uint64_t val;

		g_assert_cmpint(pci_region_read(&f->dev, i, 0x10, 2, &val), ==, there);
		g_assert_cmphex(val, ==, !there ? UINT64_MAX : on ? 0x1110 : 0xffff);
		g_assert_cmpint(pci_region_write(&f->dev, i, 0, 4, 0), ==, there);
	}
	pci_rom_read(&f->dev, 0, &byte, 1);
	g_assert_cmphex(byte, ==, on ? 0x55 : 0xff);
	g_assert_cmpuint(f->reads + f->writes != calls, ==, on);
}

static void test_d3hot(void)
{
	autofd fd = must(memfd_make("ram", 4096));
	struct guestmem_region r = { .gpa = 0x1000, .size = 4096, .fd = fd };
	char buf[4];
	struct full f;

	full_init(&f, &full_class, PCI_SHOW_ALL);
	g_assert_cmpint(guestmem_set(f.mem, &r, 1), ==, 0);
	full_place(&f);
	pci_set_intx(&f.dev, true);
	assert_answers(&f, true);
	pci_config_write(&f.dev, PMCSR, 3, 2);
	g_assert_false(f.intx);			/* the host has heard of it */
	assert_answers(&f, false);
	g_assert_false(pci_bus_master(&f.dev));
	g_assert_cmpint(pci_dma_write(&f.dev, 0x1000, "data", 4), ==, -EPERM);
	g_assert_cmpint(pci_dma_read(&f.dev, 0x1000, buf, 4), ==, -EPERM);
	pci_set_intx(&f.dev, false);
	pci_set_intx(&f.dev, true);
	g_assert_false(f.intx);
	g_assert_cmphex(pci_config_read(&f.dev, 0, 4), ==, 0x00121000);
	pci_config_write(&f.dev, PCI_INTERRUPT_LINE, 5, 1);
	/* No_Soft_Reset: all is as it was. */
	pci_config_write(&f.dev, PMCSR, 0, 2);
	g_assert_true(f.intx);
	assert_answers(&f, true);
	g_assert_cmpint(pci_dma_write(&f.dev, 0x1000, "data", 4), ==, 0);
	g_assert_cmphex(pci_config_read(&f.dev, PCI_INTERRUPT_LINE, 1), ==, 5);
	g_assert_cmpuint(f.resets, ==, 0);
	full_finish(&f);
}

/* A function level reset ends D3hot. */
static void test_d3hot_reset(void)
{
	struct full f;

	full_init(&f, &full_class, PCI_SHOW_ALL);
	pci_set_intx(&f.dev, true);
	pci_config_write(&f.dev, PMCSR, 3, 1);
	f.intx_calls = 0;
	pci_config_write(&f.dev, DEVCTL, 0x8000, 2);
	g_assert_cmpmem(f.state.pci.config, 256, power_on, 256);
	g_assert_cmpuint(f.resets, ==, 1);
	g_assert_cmpuint(f.intx_calls, ==, 0);
	full_finish(&f);
}

/* ---- models and hosts that cannot be ---- */

static const struct {
	const char *name;
	int ret;
	struct pci_msix_def msix;
	uint8_t msi_vectors;
	uint32_t rom_size;
} bad[] = {
#define S .state_off = offsetof(struct full_state, msix)
#define B4 .table_bar = 4, .pba_bar = 4
	{ "3 MSI vectors", -EINVAL, { 0 }, 3 },
	{ "64 MSI vectors", -EINVAL, { 0 }, 64 },
	{ "65 MSI-X vectors", -EINVAL, { 65, B4, .pba_off = 0x800, S } },
	{ "65535 MSI-X vectors", -EINVAL, { 65535, B4, .pba_off = 0x800, S } },
	{ "table in no BAR", -EINVAL, { 1, .table_bar = 6, .pba_bar = 4, S } },
	{ "table in BAR 255", -EINVAL, { 1, .table_bar = 255, .pba_bar = 4, S } },
	{ "table in an upper half", -EINVAL, { 1, .table_bar = 1, .pba_bar = 4, S } },
	{ "table in an I/O BAR", -EINVAL, { 1, .table_bar = 5, .pba_bar = 4, S } },
	{ "PBA in an I/O BAR", -EINVAL, { 1, .table_bar = 4, .pba_bar = 5, S } },
	{ "table not aligned", -EINVAL, { 1, B4, .table_off = 4, .pba_off = 0x800, S } },
	{ "PBA not aligned", -EINVAL, { 1, B4, .pba_off = 0x801, S } },
	{ "table over the end", -EINVAL, { 2, B4, .table_off = 4096 - 24, .pba_off = 0, S } },
	{ "table far behind it", -EINVAL, { 2, B4, .table_off = 0xfffffff8, .pba_off = 0, S } },
	{ "PBA at the end", -EINVAL, { 2, B4, .pba_off = 4096, S } },
	{ "PBA in the table", -EINVAL, { 2, B4, .pba_off = 24, S } },
	{ "table in the PBA", -EINVAL, { 1, B4, S } },
	{ "state over pci_state", -EINVAL, { 1, B4, .pba_off = 0x800, .state_off = 0 } },
	{ "state behind the end", -EINVAL,
	  { 1, B4, .pba_off = 0x800, .state_off = offsetof(struct full_state, msix) + 1 } },
	{ "state far behind it", -EINVAL, { 1, B4, .pba_off = 0x800, .state_off = SIZE_MAX } },
	{ "ROM of 1 KiB", -EINVAL, { 0 }, 0, 1024 },
	{ "ROM of 3 KiB", -EINVAL, { 0 }, 0, 3072 },
	{ "ROM of 32 MiB", -EINVAL, { 0 }, 0, 32 << 20 },
	{ "PBA right behind the table", 0, { 2, B4, .pba_off = 32, S } },
	{ "both at the ends", 0, { 64, B4, .table_off = 4096 - 1024, .pba_off = 0, S } },
	{ "in two BARs", 0, { 64, .table_bar = 0, .pba_bar = 4, S } },
	{ "32 MSI vectors", 0, { 0 }, 32 },
	{ "smallest ROM", 0, { 0 }, 0, 2048 },
	{ "largest ROM", 0, { 0 }, 0, 16 << 20 },
#undef S
#undef B4
};

static void test_bad(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		struct pci_class cls = full_class;
		struct full f = { 0 };

		g_test_message("%s", bad[i].name);
		f.host = (struct pci_host){ .opaque = &f, .rom = f.rom, .rom_size = 4096 };
		cls.msix = bad[i].msix;
		cls.msi_vectors = bad[i].msi_vectors;
		if (bad[i].rom_size)
			f.host.rom_size = bad[i].rom_size;
		g_assert_cmpint(pci_dev_init(&f.dev, &cls, &f.state.pci, &f.host, "f", NULL), ==,
				bad[i].ret);
		pci_dev_finish(&f.dev);
	}
}

/* ---- a predecessor's state ---- */

static void test_taken_over(void)
{
	struct full f, g;

	full_init(&f, &full_class, PCI_SHOW_ALL);
	g_assert_false(f.taken_over);
	full_place(&f);
	pci_config_write(&f.dev, 0x1c, 0x12, 4);
	pci_config_write(&f.dev, MSI + 2, 0x31, 2);
	pci_config_write(&f.dev, MSIX + 2, 0xc000, 2);
	pci_config_write(&f.dev, DEVCTL, 0x1234, 2);
	g_assert_true(pci_region_write(&f.dev, BAR_MSIX, TABLE_AT, 8, 0x1122334455667788));
	f.answer = PCI_MESSAGE_MASKED;
	g_assert_true(pci_irq_message(&f.dev, 9));
	pci_set_intx(&f.dev, true);
	pci_config_write(&f.dev, PMCSR, 3, 1);

	full_init(&g, &full_class, PCI_SHOW_ALL);
	pci_dev_finish(&g.dev);
	g.state = f.state;
	g_assert_cmpint(pci_dev_init(&g.dev, &full_class, &g.state.pci, &g.host, "g", NULL), ==, 0);
	g_assert_true(g.taken_over);
	g_assert_cmpmem(&g.state, sizeof(g.state), &f.state, sizeof(f.state));
	assert_answers(&g, false);
	g.answer = PCI_MESSAGE_SENT;
	pci_config_write(&g.dev, PMCSR, 0, 1);
	assert_answers(&g, true);
	g_assert_true(pci_intx_pin(&g.dev));
	g_assert_cmpuint(g.messages, ==, 1);
	g_assert_cmpuint(g.vector, ==, 9);
	full_finish(&g);
	full_finish(&f);
}

/* Whatever its bytes are: of config space there is left what a guest could have written. */
static void test_taken_over_forged(void)
{
	struct full f;

	full_init(&f, &full_class, PCI_SHOW_ALL);
	pci_dev_finish(&f.dev);
	memset(f.state.pci.config, 0xff, PCI_CONFIG_SIZE);
	memset(&f.state.msix, 0xff, sizeof(f.state.msix));
	f.state.pci.line = 0xff;
	g_assert_cmpint(pci_dev_init(&f.dev, &full_class, &f.state.pci, &f.host, "f", NULL), ==, 0);
	for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++) {
		uint8_t want = power_on[i] | writable[i];

		g_test_message("offset 0x%02x", i);
		g_assert_cmphex(f.state.pci.config[i], ==, i == PCI_STATUS ? want | 8 : want);
	}
	g_assert_cmpuint(f.resets, ==, 0);
	for (unsigned i = 0; i < PCI_MSIX_MAX; i++)
		g_assert_cmphex(get_le64(f.state.msix.table[i] + 8), ==,
				i < VECTORS ? 0x1ffffffff : 0);
	g_assert_cmphex(get_le64(f.state.msix.pending), ==, (1 << VECTORS) - 1);
	full_finish(&f);
}

static void test_taken_over_refused(void)
{
	static const struct {
		size_t off;
		uint32_t add;
		int ret;
		bool taken_over;
	} rows[] = {
		{ offsetof(struct pci_state, version), 1, -EINVAL, false },
		{ offsetof(struct pci_state, size), 1, -EINVAL, false },
		{ offsetof(struct pci_state, size), -1u, -EINVAL, false },
		{ offsetof(struct pci_state, magic), 1, 0, false },	/* nobody's */
		{ offsetof(struct pci_state, magic), 0, 0, true },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct full f;
		uint8_t *at;

		full_init(&f, &full_class, PCI_SHOW_ALL);
		pci_dev_finish(&f.dev);
		at = (uint8_t *)&f.state.pci + rows[i].off;
		put_le32(at, get_le32(at) + rows[i].add);
		g_assert_cmpint(pci_dev_init(&f.dev, &full_class, &f.state.pci, &f.host, "f", NULL),
				==, rows[i].ret);
		g_assert_cmpint(f.taken_over, ==, rows[i].taken_over);
		full_finish(&f);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/caps/bad", test_bad);
	g_test_add_func("/caps/flr", test_flr);
	g_test_add_func("/caps/flr-hidden", test_flr_hidden);
	g_test_add_func("/caps/accesses", test_accesses);
	g_test_add_func("/caps/wide-writes", test_wide_writes);
	g_test_add_func("/caps/masks", test_masks);
	g_test_add_func("/caps/power-on", test_power_on);
	g_test_add_func("/caps/show", test_show);
	g_test_add_func("/caps/pm-states", test_pm_states);
	g_test_add_func("/caps/d3hot", test_d3hot);
	g_test_add_func("/caps/d3hot-reset", test_d3hot_reset);
	g_test_add_func("/caps/taken-over-forged", test_taken_over_forged);
	g_test_add_func("/caps/taken-over-refused", test_taken_over_refused);
	g_test_add_func("/caps/taken-over", test_taken_over);
	return g_test_run();
}
