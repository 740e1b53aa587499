/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 64-bit BARs and the ROM: sizing, decoding, access by number. */

#include <errno.h>

#include "full.h"

/* As Cloud Hypervisor sizes: all ones into both halves and the ROM, read, put back. */
static void test_sizing(void)
{
	static const struct {
		uint32_t off, ones, value;	/* what reads then; what is kept of 0x12345678 */
	} rows[] = {
		{ 0x10, 0xffff000c, 0x1234000c }, { 0x14, 0xffffffff, 0x12345678 },
		{ 0x18, 0x00000004, 0x00000004 }, { 0x1c, 0xfffffffe, 0x12345678 },
		{ 0x20, 0xfffff000, 0x12345000 }, { 0x24, 0xffffffe1, 0x12345661 },
		{ 0x28, 0, 0 }, { 0x30, 0xfffff001, 0x12345000 },
	};
	struct full f;

	full_init(&f, &full_class, PCI_SHOW_ALL);
	for (unsigned command = 0; command < 8; command += 7) {
		pci_config_write(&f.dev, PCI_COMMAND, command, 2);
		for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
			g_test_message("offset 0x%x", rows[i].off);
			pci_config_write(&f.dev, rows[i].off, 0x12345678, 4);
			g_assert_cmphex(pci_config_read(&f.dev, rows[i].off, 4), ==, rows[i].value);
			pci_config_write(&f.dev, rows[i].off, UINT32_MAX, 4);
			g_assert_cmphex(pci_config_read(&f.dev, rows[i].off, 4), ==, rows[i].ones);
			pci_config_write(&f.dev, rows[i].off, rows[i].value, 4);
			g_assert_cmphex(pci_config_read(&f.dev, rows[i].off, 4), ==, rows[i].value);
		}
	}
	/* A ROM BAR has its bit 0 to enable it, and keeps no other low bit. */
	pci_config_write(&f.dev, PCI_ROM_ADDRESS, 0xfffff800, 4);
	g_assert_cmphex(pci_config_read(&f.dev, PCI_ROM_ADDRESS, 4), ==, 0xfffff000);
	full_finish(&f);
}

static const struct {
	unsigned show;
	uint32_t low, high;	/* of BAR 0, 64 KiB */
	uint64_t addr;
	unsigned size;
	bool ok;
} decode_rows[] = {
	{ 7, 0, 0, 0, 4, false },			/* not placed */
	{ 7, 0xffff0000, 0xffffffff, 0xffffffffffff0000, 4, false },	/* being sized */
	{ 7, 0, 1, 0x0fffffffc, 4, false },
	{ 7, 0, 1, 0x0fffffffe, 4, false },		/* begins before it */
	{ 7, 0, 1, 0x10000fffd, 4, false },		/* ends behind it */
	{ 7, 0, 1, 0x100010000, 1, false },
	{ 7, 0, 1, 0, 4, false },			/* the low half is right */
	{ 7, 0, 1, 0x200000000, 4, false },
	{ 7, 0xfe000000, 0x80000000, 0xfe000000, 4, false },
	{ 5, 0xfe000000, 1, 0x1fe000000, 4, false },	/* shown as 32 bits wide */
	{ 5, 0, 1, 0x100000000, 4, false },
	{ 7, 0, 1, 0x100000000, 3, false },
	{ 7, 0, 1, 0x100000000, 4, true },
	{ 7, 0, 1, 0x10000fffc, 4, true },
	{ 7, 0, 1, 0x10000fff8, 8, true },
	{ 7, 0, 1, 0x10000ffff, 1, true },
	{ 7, 0xfe000000, 0x80000000, 0x80000000fe000000, 4, true },
	{ 7, 0xfffe0000, 0xffffffff, 0xfffffffffffe0000, 8, true },
	{ 7, 0xffff0000, 0, 0xffff0000, 4, true },	/* up to 4 GiB */
	{ 7, 0xfe000000, 0, 0xfe000000, 4, true },
	{ 5, 0xfe000000, 0, 0xfe000000, 4, true },
	{ 5, 0xfe000000, 1, 0xfe000000, 4, true },	/* there is no upper half */
};

static void test_decode(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(decode_rows); i++) {
		uint64_t addr = decode_rows[i].addr, val, off;
		unsigned size = decode_rows[i].size;
		bool ok = decode_rows[i].ok;
		struct full f;

		g_test_message("row %u", i);
		full_init(&f, &full_class, decode_rows[i].show);
		pci_config_write(&f.dev, 0x10, decode_rows[i].low, 4);
		pci_config_write(&f.dev, 0x14, decode_rows[i].high, 4);
		pci_config_write(&f.dev, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
		g_assert_cmpint(pci_bus_read(&f.dev, true, addr, size, &val), ==, ok);
		g_assert_cmpint(pci_bus_write(&f.dev, true, addr, size, 0), ==, ok);
		g_assert_cmpuint(f.reads + f.writes, ==, 2 * ok);
		if (ok) {
			g_assert_cmpint(pci_bar_at(&f.dev, true, addr, size, &off), ==, BAR_WIDE);
			g_assert_cmphex(off, ==, addr & 0xffff);
		} else {
			g_assert_cmphex(val, ==, UINT64_MAX);
		}
		pci_config_write(&f.dev, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MASTER, 2);
		g_assert_false(pci_bus_read(&f.dev, true, addr, size, &val));
		full_finish(&f);
	}
}

static void test_huge(void)
{
	struct full f;
	uint64_t off;

	full_init(&f, &full_class, PCI_SHOW_ALL);
	pci_config_write(&f.dev, 0x1c, 0x3f, 4);	/* bit 0 is inside its size */
	pci_config_write(&f.dev, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	g_assert_cmpint(pci_bar_at(&f.dev, true, 0x3e00000000, 8ULL << 30, &off), ==, BAR_HUGE);
	g_assert_cmpint(pci_bar_at(&f.dev, true, 0x3ffffffff8, 8, &off), ==, BAR_HUGE);
	g_assert_cmphex(off, ==, 0x1fffffff8);
	g_assert_cmpint(pci_bar_at(&f.dev, true, 0x4000000000, 1, &off), ==, -ENXIO);
	g_assert_cmpint(pci_bar_at(&f.dev, true, 0x3dffffffff, 1, &off), ==, -ENXIO);
	g_assert_cmphex(pci_bar_clip(&f.dev, true, 0x3dffffff00, UINT64_MAX), ==, 0x100);
	g_assert_cmphex(pci_bar_clip(&f.dev, true, 0x3e00000000, UINT64_MAX), ==, 8ULL << 30);
	full_finish(&f);
}

/* ---- access by number ---- */

static const struct {
	unsigned region;
	uint64_t off;
	unsigned size;
	bool ok;
} region_rows[] = {
	{ 1, 0, 1, false },			/* an upper half */
	{ 3, 0, 1, false },
	{ PCI_REGION_ROM, 0, 4, false }, { PCI_REGION_CONFIG, 0, 4, false }, { 8, 0, 4, false },
	{ UINT_MAX, 0, 4, false },
	{ BAR_WIDE, 0, 0, false }, { BAR_WIDE, 0, 3, false }, { BAR_WIDE, 0, 5, false },
	{ BAR_WIDE, 0, 16, false }, { BAR_WIDE, 0, UINT_MAX, false },
	{ BAR_WIDE, 0x10000, 1, false }, { BAR_WIDE, 0xffff, 2, false },
	{ BAR_WIDE, 0xfff9, 8, false }, { BAR_WIDE, UINT64_MAX, 1, false },
	{ BAR_WIDE, UINT64_MAX - 3, 4, false }, { BAR_WIDE, 0x100000000, 4, false },
	{ BAR_HUGE, 8ULL << 30, 1, false }, { BAR_HUGE, (8ULL << 30) - 7, 8, false },
	{ BAR_PORTS, 32, 1, false }, { BAR_PORTS, 29, 4, false }, { BAR_PORTS, 25, 8, false },
	{ BAR_WIDE, 0, 1, true }, { BAR_WIDE, 0xffff, 1, true }, { BAR_WIDE, 0xfff8, 8, true },
	{ BAR_WIDE, 3, 4, true }, { BAR_WIDE, 0xfff7, 8, true },
	{ BAR_HUGE, (8ULL << 30) - 8, 8, true }, { BAR_HUGE, 0x100000001, 2, true },
	{ BAR_PORTS, 28, 4, true }, { BAR_PORTS, 31, 1, true }, { BAR_PORTS, 24, 8, true },
};

/* Whatever the command register says, and wherever the BAR is. */
static void test_region(void)
{
	struct full f;

	full_init(&f, &full_class, PCI_SHOW_ALL);
	for (unsigned placed = 0; placed < 2; placed++) {
		for (unsigned i = 0; i < G_N_ELEMENTS(region_rows); i++) {
			unsigned region = region_rows[i].region, size = region_rows[i].size;
			bool ok = region_rows[i].ok;
			uint64_t off = region_rows[i].off, val = 0, want = 0;

			g_test_message("row %u, placed %u", i, placed);
			f.reads = f.writes = 0;
			g_assert_cmpint(pci_region_read(&f.dev, region, off, size, &val), ==, ok);
			for (unsigned k = 0; ok && k < size; k++)
				want |= ((off + k) & 0xff) << (8 * k);
			g_assert_cmphex(val, ==, ok ? want : UINT64_MAX);
			g_assert_cmpint(pci_region_write(&f.dev, region, off, size, 0), ==, ok);
			g_assert_cmpuint(f.reads, ==, ok);
			g_assert_cmpuint(f.writes, ==, ok);
		}
		full_place(&f);
	}
	full_finish(&f);
}

static void test_region_size(void)
{
	static const uint64_t want[] = {
		0x10000, 0, 8ULL << 30, 0, 4096, 32, ROM_SIZE, 4096, 0, 0,
	};
	struct full f;

	full_init(&f, &full_class, PCI_SHOW_ALL);
	for (unsigned i = 0; i < G_N_ELEMENTS(want); i++)
		g_assert_cmphex(pci_region_size(&f.dev, i), ==, want[i]);
	g_assert_cmphex(pci_region_size(&f.dev, UINT_MAX), ==, 0);
	full_finish(&f);
}

/* ---- ROM ---- */

static const struct {
	uint32_t reg;
	uint16_t command;
	uint64_t addr;
	unsigned size;
	bool ok;
} rom_rows[] = {
	{ 0xfe200000, 2, 0xfe200000, 4, false },	/* not enabled here, */
	{ 0xfe200001, 5, 0xfe200000, 4, false },	/* or there */
	{ 0x00000001, 2, 0x00000000, 4, false },	/* not placed */
	{ 0xfe200001, 2, 0xfe1fffff, 2, false },
	{ 0xfe200001, 2, 0xfe200ffd, 4, false },
	{ 0xfe200001, 2, 0xfe201000, 1, false },
	{ 0xfe200001, 2, 0x1fe200000, 4, false },
	{ 0xfe200001, 2, 0xfe200000, 3, false },
	{ 0xfe200001, 2, 0xfe200000, 4, true },
	{ 0xfe200001, 2, 0xfe200ffc, 4, true },
	{ 0xfe200001, 2, 0xfe200ff8, 8, true },
	{ 0xfe200001, 2, 0xfe200fff, 1, true },
	{ 0xfe200001, 2, 0xfe200003, 2, true },
	{ 0xfffff001, 2, 0xfffffffc, 4, true },		/* up to 4 GiB */
};

static void test_rom(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(rom_rows); i++) {
		uint64_t addr = rom_rows[i].addr, val, want = 0;
		unsigned size = rom_rows[i].size;
		bool ok = rom_rows[i].ok;
		struct full f;

		g_test_message("row %u", i);
		full_init(&f, &full_class, PCI_SHOW_ALL);
		pci_config_write(&f.dev, PCI_ROM_ADDRESS, rom_rows[i].reg, 4);
		pci_config_write(&f.dev, PCI_COMMAND, rom_rows[i].command, 2);
		g_assert_cmpint(pci_bus_read(&f.dev, true, addr, size, &val), ==, ok);
		for (unsigned k = 0; ok && k < size; k++)
			want |= (uint64_t)f.rom[(addr + k) & (ROM_SIZE - 1)] << (8 * k);
		g_assert_cmphex(val, ==, ok ? want : UINT64_MAX);
		g_assert_cmpint(pci_bus_write(&f.dev, true, addr, size, 0), ==, ok);
		g_assert_false(pci_bus_read(&f.dev, false, addr, size, &val));
		g_assert_cmphex(f.rom[0], ==, 0x55);
		g_assert_cmpuint(f.reads + f.writes, ==, 0);
		full_finish(&f);
	}
}

static void test_rom_read(void)
{
	static const struct {
		uint64_t off;
		size_t len, there;	/* bytes asked for, and those that the ROM has */
	} rows[] = {
		{ UINT64_MAX, 8, 0 }, { 1ULL << 32, 8, 0 }, { ROM_SIZE, 8, 0 },
		{ ROM_SIZE - 3, 8, 3 }, { ROM_SIZE - 8, 8, 8 }, { 0, ROM_SIZE + 16, ROM_SIZE },
		{ 0, 0, 0 }, { 77, 100, 100 },
	};
	static uint8_t buf[ROM_SIZE + 32], want[ROM_SIZE + 32];

	for (unsigned show = 0; show <= PCI_SHOW_ALL; show++) {
		struct full f;

		full_init(&f, &full_class, show);
		for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
			memset(buf, 0xee, sizeof(buf));
			memset(want, 0xee, sizeof(want));
			memset(want, 0xff, rows[i].len);
			if (show & PCI_SHOW_ROM && rows[i].there)
				memcpy(want, f.rom + rows[i].off, rows[i].there);
			pci_rom_read(&f.dev, rows[i].off, buf, rows[i].len);
			g_assert_cmpmem(buf, sizeof(buf), want, sizeof(want));
		}
		full_finish(&f);
	}
}

/* ---- models that cannot be ---- */

static void test_bad(void)
{
	static const struct {
		const char *name;
		int ret;
		unsigned slot;
		struct pci_bar bar, next;
	} rows[] = {
		{ "I/O of 64 bits", -EINVAL, 0, { PCI_BAR_IO, 32, .is_64bit = true } },
		{ "I/O, prefetchable", -EINVAL, 0, { PCI_BAR_IO, 32, .prefetch = true } },
		{ "I/O of 4 GiB", -EINVAL, 0, { PCI_BAR_IO, 1ULL << 32 } },
		{ "nothing, of 64 bits", -EINVAL, 0, { PCI_BAR_NONE, .is_64bit = true } },
		{ "nothing, of a size", -EINVAL, 0, { PCI_BAR_NONE, 16 } },
		{ "32 bits, 4 GiB", -EINVAL, 0, { PCI_BAR_MEM, 1ULL << 32 } },
		{ "in the last slot", -EINVAL, 5, { PCI_BAR_MEM, 4096, .is_64bit = true } },
		{ "the next one taken", -EINVAL, 0, { PCI_BAR_MEM, 4096, .is_64bit = true },
		  { PCI_BAR_MEM, 16 } },
		{ "next one wide too", -EINVAL, 0, { PCI_BAR_MEM, 4096, .is_64bit = true },
		  { PCI_BAR_MEM, 4096, .is_64bit = true } },
		{ "64 bits, below 16", -EINVAL, 0, { PCI_BAR_MEM, 8, .is_64bit = true } },
		{ "64 bits, odd size", -EINVAL, 0, { PCI_BAR_MEM, 3ULL << 32, .is_64bit = true } },
		{ "32 bits, 2 GiB", 0, 0, { PCI_BAR_MEM, 1ULL << 31, .prefetch = true } },
		{ "64 bits, 16 bytes", 0, 4, { PCI_BAR_MEM, 16, .is_64bit = true } },
		{ "64 bits, the largest", 0, 0, { PCI_BAR_MEM, 1ULL << 63, .is_64bit = true } },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct pci_class cls = full_class;
		struct full f = { 0 };

		g_test_message("%s", rows[i].name);
		f.host = (struct pci_host){ .opaque = &f, .show = PCI_SHOW_ALL };
		memset(cls.bar, 0, sizeof(cls.bar));
		cls.msix.vectors = 0;
		cls.bar[rows[i].slot] = rows[i].bar;
		if (rows[i].next.kind)
			cls.bar[rows[i].slot + 1] = rows[i].next;
		g_assert_cmpint(pci_dev_init(&f.dev, &cls, &f.state.pci, &f.host, "f", NULL), ==,
				rows[i].ret);
		pci_dev_finish(&f.dev);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/bar/bad", test_bad);
	g_test_add_func("/bar/decode", test_decode);
	g_test_add_func("/bar/region", test_region);
	g_test_add_func("/bar/rom", test_rom);
	g_test_add_func("/bar/rom-read", test_rom_read);
	g_test_add_func("/bar/sizing", test_sizing);
	g_test_add_func("/bar/huge", test_huge);
	g_test_add_func("/bar/region-size", test_region_size);
	return g_test_run();
}
