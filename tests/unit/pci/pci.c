/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A PCI function as its guest sees it: config space bit by bit, BARs, INTx, reset, DMA. */

#include <errno.h>
#include <string.h>

#include <glib.h>

#include "base/fd.h"
#include "mem/arena.h"
#include "mem/guestmem.h"
#include "mem/memfd.h"
#include "pci/pci.h"
#include "../util.h"

/* A model that writes down how it is called. */
struct model_state {
	struct pci_state pci;
	uint8_t own[16];
};

struct call {
	unsigned bar, size;
	uint64_t off, val;
};

struct world {
	struct pci_dev dev;
	struct model_state state;
	struct guestmem_arena *arena;
	struct guestmem *mem;
	struct call calls[8];
	unsigned ncalls, resets, unrealized;
	unsigned config_calls, config_off, config_len;
	unsigned intx_calls;
	bool intx;
	int realize_ret;
	int line_in_reset;		/* what the model does with its line then; -1: nothing */
	char error[64];
};

static int model_realize(struct pci_dev *dev)
{
	return ((struct world *)dev->host.opaque)->realize_ret;
}

static void model_unrealize(struct pci_dev *dev)
{
	((struct world *)dev->host.opaque)->unrealized++;
}

static void model_reset(struct pci_dev *dev)
{
	struct world *w = dev->host.opaque;

	w->resets++;
	if (w->line_in_reset >= 0)
		pci_set_intx(dev, w->line_in_reset);
}

static void note(struct world *w, struct call call)
{
	g_assert_cmpuint(w->ncalls, <, G_N_ELEMENTS(w->calls));
	w->calls[w->ncalls++] = call;
}

/* Each byte reads as its own offset; what is beyond the access must not show. */
static uint64_t model_read(struct pci_dev *dev, unsigned bar, uint64_t off, unsigned size)
{
	uint64_t val = UINT64_MAX;

	note(dev->host.opaque, (struct call){ .bar = bar, .off = off, .size = size });
	for (unsigned i = 0; i < size; i++) {
		val &= ~(0xffULL << (8 * i));
		val |= ((off + i) & 0xff) << (8 * i);
	}
	return val;
}

static void model_write(struct pci_dev *dev, unsigned bar, uint64_t off, unsigned size,
			uint64_t val)
{
	note(dev->host.opaque, (struct call){ .bar = bar, .off = off, .size = size, .val = val });
}

static void model_config_written(struct pci_dev *dev, unsigned off, unsigned len)
{
	struct world *w = dev->host.opaque;

	w->config_calls++;
	w->config_off = off;
	w->config_len = len;
}

static const struct pci_class model = {
	.name = "model", .vendor = 0x1000, .device = 0x0012,
	.subsystem_vendor = 0x1af4, .subsystem = 0x1100,
	.class_code = 0x010203, .revision = 0x04, .min_gnt = 0x11, .max_lat = 0x40,
	.has_irq = true,
	.bar = {
		[0] = { PCI_BAR_IO, 256 }, [1] = { PCI_BAR_MEM, 1024 }, [2] = { PCI_BAR_MEM, 8192 },
		[4] = { PCI_BAR_IO, 4 }, [5] = { PCI_BAR_MEM, 1u << 31 },
	},
	.state_version = 3, .state_size = sizeof(struct model_state),
	.realize = model_realize, .unrealize = model_unrealize, .reset = model_reset,
	.read = model_read, .write = model_write, .max_access = 4,
	.config_written = model_config_written,
};

static void on_intx(void *opaque, bool level)
{
	struct world *w = opaque;

	w->intx_calls++;
	w->intx = level;
}

static void on_error(void *opaque, const char *what)
{
	struct world *w = opaque;

	g_strlcpy(w->error, what, sizeof(w->error));
}

static void world_init(struct world *w)
{
	struct pci_host host = { .intx = on_intx, .guest_error = on_error, .opaque = w };

	*w = (struct world){ .line_in_reset = -1, .arena = guestmem_arena_create() };
	g_assert_nonnull(w->arena);
	w->mem = guestmem_create(w->arena);
	g_assert_nonnull(w->mem);
	host.mem = w->mem;
	g_assert_cmpint(pci_dev_init(&w->dev, &model, &w->state.pci, &host, "m0", NULL), ==, 0);
}

static void world_finish(struct world *w)
{
	pci_dev_finish(&w->dev);
	g_assert_cmpuint(w->unrealized, ==, 1);
	guestmem_destroy(w->mem);
	guestmem_arena_destroy(w->arena);
}

/* Config space */

static void test_power_on(void)
{
	static const uint8_t want[0x40] = {
		0x00, 0x10, 0x12, 0x00, 0, 0, 0, 0, 0x04, 0x03, 0x02, 0x01, 0, 0, 0, 0,
		[0x10] = 1, [0x20] = 1, [0x2c] = 0xf4, 0x1a, 0x00, 0x11,
		[0x3d] = 1, 0x11, 0x40,
	};
	struct world w;

	world_init(&w);
	for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++)
		g_assert_cmphex(pci_config_read(&w.dev, i, 1), ==, i < 0x40 ? want[i] : 0);
	g_assert_cmphex(w.state.pci.magic, ==, PCI_STATE_MAGIC);
	g_assert_cmpuint(w.state.pci.version, ==, 3);
	g_assert_cmpuint(w.state.pci.size, ==, sizeof(struct model_state));
	g_assert_cmpuint(w.state.pci.line, ==, 0);
	world_finish(&w);
}

/* The bits of each byte that a guest can set; all others stay as they are. */
static const struct {
	uint8_t off, wmask;
} writable[] = {
	{ 0x04, 0x07 }, { 0x05, 0x05 },			/* command: 0x0507 */
	{ 0x0c, 0xff }, { 0x0d, 0xff }, { 0x3c, 0xff },	/* cache line, latency, interrupt line */
	{ 0x11, 0xff }, { 0x12, 0xff }, { 0x13, 0xff },	/* BAR 0: 256 bytes of I/O, 32 bits wide */
	{ 0x15, 0xfc }, { 0x16, 0xff }, { 0x17, 0xff },	/* BAR 1: 1 KiB */
	{ 0x19, 0xe0 }, { 0x1a, 0xff }, { 0x1b, 0xff },	/* BAR 2: 8 KiB */
	{ 0x20, 0xfc }, { 0x21, 0xff }, { 0x22, 0xff }, { 0x23, 0xff },	/* BAR 4: 4 bytes of I/O */
	{ 0x27, 0x80 },					/* BAR 5: 2 GiB */
};

static void test_config_masks(void)
{
	uint8_t want[PCI_CONFIG_SIZE] = { 0 };

	for (unsigned i = 0; i < G_N_ELEMENTS(writable); i++)
		want[writable[i].off] = writable[i].wmask;
	for (unsigned off = 0; off < PCI_CONFIG_SIZE; off++) {
		struct world w;
		uint8_t reset, set, cleared;

		world_init(&w);
		reset = pci_config_read(&w.dev, off, 1);
		pci_config_write(&w.dev, off, 0xff, 1);
		set = pci_config_read(&w.dev, off, 1);
		pci_config_write(&w.dev, off, 0x00, 1);
		cleared = pci_config_read(&w.dev, off, 1);
		g_test_message("offset 0x%02x", off);
		g_assert_cmphex(set, ==, reset | want[off]);
		g_assert_cmphex(cleared, ==, reset & ~want[off]);
		world_finish(&w);
	}
}

/* Error bits of the status register are cleared by ones; nothing sets them but the function. */
static void test_status_w1c(void)
{
	struct world w;

	world_init(&w);
	w.state.pci.config[PCI_STATUS] = 0xff;
	w.state.pci.config[PCI_STATUS + 1] = 0xff;
	pci_config_write(&w.dev, PCI_STATUS, 0x0000, 2);
	g_assert_cmphex(pci_config_read(&w.dev, PCI_STATUS, 2), ==, 0xfff7);
	pci_config_write(&w.dev, PCI_COMMAND, 0x80000000, 4);	/* as one dword with the command */
	g_assert_cmphex(pci_config_read(&w.dev, PCI_STATUS, 2), ==, 0x7ff7);
	pci_config_write(&w.dev, PCI_STATUS, 0xffff, 2);
	g_assert_cmphex(pci_config_read(&w.dev, PCI_STATUS, 2), ==, 0x06f7);
	world_finish(&w);
}

static void test_config_bounds(void)
{
	static const struct {
		uint32_t off;
		int32_t len;
		bool ok;
	} rows[] = {
		{ 0, 0, false }, { 0, -1, false }, { 0, INT32_MIN, false }, { 0, 3, false },
		{ 0, 5, false }, { 0, 8, false }, { 0, 300, false }, { 0, INT32_MAX, false },
		{ 0xfc, 8, false }, { 0xfd, 4, false }, { 0xfe, 4, false }, { 0xff, 4, false },
		{ 0xff, 2, false }, { 0x100, 1, false }, { 0x100, 4, false },
		{ UINT32_MAX, 1, false }, { UINT32_MAX, 2, false }, { UINT32_MAX - 3, 4, false },
		{ 0xfc, 1, true }, { 0xfc, 2, true }, { 0xfc, 4, true }, { 0xfd, 1, true },
		{ 0xfd, 2, true }, { 0xfe, 1, true }, { 0xfe, 2, true }, { 0xff, 1, true },
		{ 1, 4, true }, { 3, 2, true },
	};
	struct world w;

	world_init(&w);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		uint8_t before[PCI_CONFIG_SIZE];
		uint32_t val;

		g_test_message("row %u", i);
		memcpy(before, w.state.pci.config, sizeof(before));
		w.config_calls = 0;
		val = pci_config_read(&w.dev, rows[i].off, rows[i].len);
		g_assert_cmpint(val != UINT32_MAX, ==, rows[i].ok);
		pci_config_write(&w.dev, rows[i].off, UINT32_MAX, rows[i].len);
		g_assert_cmpuint(w.config_calls, ==, rows[i].ok);
		if (!rows[i].ok)
			g_assert_cmpmem(w.state.pci.config, sizeof(before), before, sizeof(before));
		pci_dev_reset(&w.dev);
	}
	world_finish(&w);
}

static void test_config_written(void)
{
	struct world w;

	world_init(&w);
	pci_config_write(&w.dev, 0x3a, 0x12345678, 4);	/* over reserved bytes and the line */
	g_assert_cmpuint(w.config_calls, ==, 1);
	g_assert_cmphex(w.config_off, ==, 0x3a);
	g_assert_cmpuint(w.config_len, ==, 4);
	g_assert_cmphex(pci_config_read(&w.dev, 0x38, 4), ==, 0);
	g_assert_cmphex(pci_config_read(&w.dev, 0x3c, 4), ==, 0x40110134);
	world_finish(&w);
}

/* BARs */

/* As QEMU's proxy sizes: all ones, ~(value & ~0xf) + 1, for an I/O BAR too; 0x28 is BAR "6". */
static void test_bar_sizing(void)
{
	static const uint32_t want[7] = {
		0xffffff01, 0xfffffc00, 0xffffe000, 0, 0xfffffffd, 0x80000000, 0,
	};
	struct world w;

	world_init(&w);
	for (unsigned i = 0; i < 7; i++) {
		uint32_t old = pci_config_read(&w.dev, 0x10 + 4 * i, 4);

		pci_config_write(&w.dev, 0x10 + 4 * i, UINT32_MAX, 4);
		g_assert_cmphex(pci_config_read(&w.dev, 0x10 + 4 * i, 4), ==, want[i]);
		pci_config_write(&w.dev, 0x10 + 4 * i, old, 4);
		g_assert_cmphex(pci_config_read(&w.dev, 0x10 + 4 * i, 4), ==, old);
	}
	world_finish(&w);
}

static void bars_place(struct world *w, uint16_t command)
{
	pci_config_write(&w->dev, 0x10, 0xc000, 4);
	pci_config_write(&w->dev, 0x14, 0xfebf0000, 4);
	pci_config_write(&w->dev, 0x18, 0xffffe000, 4);	/* ends with the last byte below 4 GiB */
	pci_config_write(&w->dev, 0x20, 0xfffc, 4);	/* ends with the last I/O port */
	pci_config_write(&w->dev, PCI_COMMAND, command, 2);
}

static const struct {
	uint16_t command;
	bool memory;
	uint64_t addr;
	unsigned size;
	int bar;		/* -1: nobody answers */
	uint64_t off;
} decode_rows[] = {
	{ 3, true, 0xfebefffc, 4, -1 },
	{ 3, true, 0xfebeffff, 2, -1 },		/* begins before it */
	{ 3, true, 0xfebf03fd, 4, -1 },		/* ends behind it */
	{ 3, true, 0xfebf03fc, 8, -1 },
	{ 3, true, 0xfebf0400, 1, -1 },
	{ 3, true, 0x1febf0000, 4, -1 },	/* the low half is right */
	{ 3, true, UINT64_MAX, 1, -1 },
	{ 3, true, UINT64_MAX - 1, 8, -1 },
	{ 3, true, 0xfffffffd, 4, -1 },		/* over 4 GiB */
	{ 3, true, 0x100000000, 1, -1 },
	{ 3, true, 0, 4, -1 },			/* BAR 5 is not placed */
	{ 3, true, 0xc000, 4, -1 },		/* the other space */
	{ 3, false, 0xfebf0000, 4, -1 },
	{ 3, false, 0xbfff, 2, -1 },
	{ 3, false, 0xc0fd, 4, -1 },
	{ 3, false, 0xc100, 1, -1 },
	{ 3, false, 0xfffd, 4, -1 },
	{ 3, false, 0x1c000, 4, -1 },
	{ 3, false, 0, 1, -1 },
	{ 3, true, 0xfebf0000, 0, -1 },		/* sizes that no bus makes */
	{ 3, true, 0xfebf0000, 3, -1 },
	{ 3, true, 0xfebf0000, 16, -1 },
	{ 3, true, 0xfebf0000, UINT32_MAX, -1 },
	{ 0, true, 0xfebf0000, 4, -1 },		/* not enabled */
	{ 1, true, 0xfebf0000, 4, -1 },
	{ 2, false, 0xc000, 4, -1 },
	{ 0x504, false, 0xc000, 4, -1 },
	{ 2, true, 0xfebf0000, 4, 1, 0 },
	{ 1, false, 0xc000, 4, 0, 0 },
	{ 3, true, 0xfebf03ff, 1, 1, 0x3ff },
	{ 3, true, 0xfebf03fc, 4, 1, 0x3fc },
	{ 3, true, 0xfebf0001, 4, 1, 1 },
	{ 3, true, 0xffffe000, 2, 2, 0 },
	{ 3, true, 0xffffffff, 1, 2, 0x1fff },
	{ 3, false, 0xc0ff, 1, 0, 0xff },
	{ 3, false, 0xfffc, 4, 4, 0 },
	{ 3, false, 0xffff, 1, 4, 3 },
};

static void test_bar_decode(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(decode_rows); i++) {
		bool ok = decode_rows[i].bar >= 0, memory = decode_rows[i].memory;
		uint64_t addr = decode_rows[i].addr, val = 0, off;
		unsigned size = decode_rows[i].size;
		struct world w;

		g_test_message("row %u", i);
		world_init(&w);
		bars_place(&w, decode_rows[i].command);
		g_assert_cmpint(pci_bus_read(&w.dev, memory, addr, size, &val), ==, ok);
		g_assert_cmpint(pci_bus_write(&w.dev, memory, addr, size, 0), ==, ok);
		g_assert_cmpuint(w.ncalls, ==, 2 * ok);
		if (ok) {
			g_assert_cmpint(pci_bar_at(&w.dev, memory, addr, size, &off), ==,
					decode_rows[i].bar);
			g_assert_cmphex(off, ==, decode_rows[i].off);
			g_assert_cmpuint(w.calls[0].bar, ==, decode_rows[i].bar);
			g_assert_cmphex(w.calls[0].off, ==, decode_rows[i].off);
		} else {
			g_assert_cmphex(val, ==, UINT64_MAX);
		}
		world_finish(&w);
	}
}

/* An I/O BAR whose upper half is not zero stands at no port: there are 65536 of them. */
static void test_bar_io_above(void)
{
	uint64_t off = 77;
	struct world w;

	world_init(&w);
	bars_place(&w, 3);
	pci_config_write(&w.dev, 0x10, 0x0001c000, 4);
	g_assert_cmpint(pci_bar_at(&w.dev, false, 0x1c000, 4, &off), ==, -ENXIO);
	g_assert_cmpint(pci_bar_at(&w.dev, false, 0xc000, 4, &off), ==, -ENXIO);
	g_assert_cmpuint(off, ==, 77);
	world_finish(&w);
}

/* An engine that moves a range must not run over a BAR's border unseen, from either side. */
static void test_bar_clip(void)
{
	static const struct {
		bool memory;
		uint64_t addr, len, want;
	} rows[] = {
		{ true, 0xfebf0000, 1024, 1024 },
		{ true, 0xfebf0000, 1025, 1024 },
		{ true, 0xfebf03ff, UINT64_MAX, 1 },
		{ true, 0xfebeffff, 4, 1 },
		{ true, 0xfebefff0, 16, 16 },
		{ true, 0xfebf0400, 16, 16 },
		{ true, 0xffffdff0, 0x10000, 16 },
		{ true, 0xfffff000, 0x10000, 0x1000 },
		{ true, 0x100000000, 77, 77 },
		{ true, UINT64_MAX, 77, 77 },
		{ true, 0, 0, 0 },
		{ true, 0xc0f0, 32, 32 },		/* the other space's */
		{ false, 0xc0f0, 32, 16 },
		{ false, 0xbff0, 32, 16 },
	};
	struct world w;

	world_init(&w);
	bars_place(&w, 3);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
		g_assert_cmphex(pci_bar_clip(&w.dev, rows[i].memory, rows[i].addr, rows[i].len), ==,
				rows[i].want);
	pci_config_write(&w.dev, PCI_COMMAND, 0, 2);
	g_assert_cmphex(pci_bar_clip(&w.dev, true, 0xfebeffff, 4), ==, 4);
	world_finish(&w);
}

/* pci_bar_at() takes any length, also those that no single access has. */
static void test_bar_at_length(void)
{
	static const struct {
		uint64_t addr, len;
		int bar;
	} rows[] = {
		{ 0xfebf0000, UINT64_MAX, -ENXIO },
		{ 0xfebf0001, 1024, -ENXIO },
		{ 0xfebf0000, 1025, -ENXIO },
		{ 0xfebf0000, 1024, 1 },
		{ 0xfebf0010, 12, 1 },
	};
	struct world w;

	world_init(&w);
	bars_place(&w, 2);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		uint64_t off;

		g_assert_cmpint(pci_bar_at(&w.dev, true, rows[i].addr, rows[i].len, &off), ==,
				rows[i].bar);
	}
	world_finish(&w);
}

/* A model without 8-byte registers sees two accesses, low half first; unused bits are masked. */
static void test_bar_split(void)
{
	struct world w;
	uint64_t val;

	world_init(&w);
	bars_place(&w, 3);
	g_assert_true(pci_bus_read(&w.dev, true, 0xfebf0010, 8, &val));
	g_assert_cmphex(val, ==, 0x1716151413121110);
	g_assert_cmpuint(w.ncalls, ==, 2);
	g_assert_cmphex(w.calls[1].off, ==, 0x14);
	g_assert_cmpuint(w.calls[1].size, ==, 4);
	g_assert_true(pci_bus_write(&w.dev, true, 0xfebf0020, 8, 0x8877665544332211));
	g_assert_cmphex(w.calls[2].val, ==, 0x44332211);
	g_assert_cmphex(w.calls[3].val, ==, 0x88776655);
	g_assert_cmphex(w.calls[3].off, ==, 0x24);
	g_assert_true(pci_bus_read(&w.dev, true, 0xfebf0010, 2, &val));
	g_assert_cmphex(val, ==, 0x1110);
	g_assert_true(pci_bus_write(&w.dev, true, 0xfebf0020, 1, 0x8877665544332211));
	g_assert_cmphex(w.calls[5].val, ==, 0x11);
	world_finish(&w);
}

/* INTx */

static void test_intx(void)
{
	static const struct {
		int line;		/* -1: as it is */
		int command;
		bool pin, status;
		unsigned calls;		/* of the host, in this step */
	} steps[] = {
		{ 0, 0, false, false, 0 },
		{ 1, -1, true, true, 1 },
		{ 1, -1, true, true, 0 },		/* no edge */
		{ -1, 0x400, false, true, 1 },		/* disabled: the status still shows it */
		{ 0, -1, false, false, 0 },
		{ 1, -1, false, true, 0 },
		{ -1, 0x500, false, true, 0 },
		{ -1, 0x000, true, true, 1 },		/* enabled again while up */
		{ 0, -1, false, false, 1 },
		{ 0, -1, false, false, 0 },
	};
	struct world w;

	world_init(&w);
	for (unsigned i = 0; i < G_N_ELEMENTS(steps); i++) {
		unsigned before = w.intx_calls;

		g_test_message("step %u", i);
		if (steps[i].command >= 0)
			pci_config_write(&w.dev, PCI_COMMAND, steps[i].command, 2);
		if (steps[i].line >= 0)
			pci_set_intx(&w.dev, steps[i].line);
		g_assert_cmpint(pci_intx_pin(&w.dev), ==, steps[i].pin);
		g_assert_cmpint(w.intx, ==, steps[i].pin);
		g_assert_cmpint(!!(pci_config_read(&w.dev, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT),
				==, steps[i].status);
		g_assert_cmpuint(w.intx_calls - before, ==, steps[i].calls);
	}
	/* The status bit is the line's, not the guest's. */
	pci_set_intx(&w.dev, true);
	pci_config_write(&w.dev, PCI_STATUS, 0xffff, 2);
	g_assert_cmphex(pci_config_read(&w.dev, PCI_STATUS, 2), ==, PCI_STATUS_INTERRUPT);
	world_finish(&w);
}

/* Reset */

static void test_reset(void)
{
	struct world w;
	uint64_t off;

	world_init(&w);
	bars_place(&w, 0x107);
	pci_config_write(&w.dev, 0x0c, 0xff10, 2);
	pci_config_write(&w.dev, PCI_INTERRUPT_LINE, 11, 1);
	pci_set_intx(&w.dev, true);
	pci_dev_reset(&w.dev);
	g_assert_cmpuint(w.resets, ==, 1);
	g_assert_false(w.intx);
	g_assert_cmpuint(w.state.pci.line, ==, 0);
	g_assert_cmphex(pci_config_read(&w.dev, PCI_COMMAND, 4), ==, 0);
	g_assert_cmphex(pci_config_read(&w.dev, 0x0c, 4), ==, 0);
	g_assert_cmphex(pci_config_read(&w.dev, 0x10, 4), ==, 1);
	g_assert_cmphex(pci_config_read(&w.dev, 0x14, 4), ==, 0);
	g_assert_cmphex(pci_config_read(&w.dev, 0x3c, 4), ==, 0x40110100);
	g_assert_cmpint(pci_bar_at(&w.dev, true, 0xfebf0000, 4, &off), ==, -ENXIO);
	g_assert_false(pci_bus_master(&w.dev));
	world_finish(&w);
}

/* The host hears of a reset once, and only if the pin was up, whatever the model does to it. */
static void test_reset_edges(void)
{
	static const struct {
		bool line;
		uint16_t command;
		int in_reset;
		unsigned calls;
	} rows[] = {
		{ true, 0x400, -1, 0 },		/* hidden from the host: it hears nothing */
		{ true, 0x400, 0, 0 },
		{ true, 0x400, 1, 2 },		/* raised in reset: up and down */
		{ false, 0, 0, 0 },
		{ false, 0, 1, 2 },
		{ true, 0, -1, 1 },
		{ true, 0, 0, 1 },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct world w;

		g_test_message("row %u", i);
		world_init(&w);
		pci_set_intx(&w.dev, rows[i].line);
		pci_config_write(&w.dev, PCI_COMMAND, rows[i].command, 2);
		w.intx_calls = 0;
		w.line_in_reset = rows[i].in_reset;
		pci_dev_reset(&w.dev);
		g_assert_false(w.intx);
		g_assert_false(pci_intx_pin(&w.dev));
		g_assert_cmphex(pci_config_read(&w.dev, PCI_STATUS, 2), ==, 0);
		g_assert_cmpuint(w.intx_calls, ==, rows[i].calls);
		world_finish(&w);
	}
}

/* Models that cannot be */

static void test_bad_class(void)
{
	static const struct {
		const char *name;
		int ret;
		size_t state_size;
		unsigned max_access;
		struct pci_bar bar;
	} rows[] = {
		{ "state too small", -EINVAL, sizeof(struct pci_state) - 1, 4 },
		{ "state too large", -EINVAL, PCI_STATE_MAX + 1, 4 },
		{ "no access size", -EINVAL, sizeof(struct model_state), 0 },
		{ "odd access size", -EINVAL, sizeof(struct model_state), 3 },
		{ "wide access size", -EINVAL, sizeof(struct model_state), 16 },
		{ "BAR of no size", -EINVAL, sizeof(struct model_state), 4, { PCI_BAR_MEM, 0 } },
		{ "BAR of odd size", -EINVAL, sizeof(struct model_state), 4, { PCI_BAR_MEM, 48 } },
		{ "memory below 16", -EINVAL, sizeof(struct model_state), 4, { PCI_BAR_MEM, 8 } },
		{ "I/O below 4", -EINVAL, sizeof(struct model_state), 4, { PCI_BAR_IO, 2 } },
		{ "smallest memory", 0, sizeof(struct model_state), 1, { PCI_BAR_MEM, 16 } },
		{ "smallest I/O", 0, sizeof(struct model_state), 8, { PCI_BAR_IO, 4 } },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct pci_class cls = model;
		struct pci_host host = { 0 };
		struct world w = { .line_in_reset = -1 };

		g_test_message("%s", rows[i].name);
		host.opaque = &w;
		cls.state_size = rows[i].state_size;
		cls.max_access = rows[i].max_access;
		if (rows[i].bar.kind)
			cls.bar[3] = rows[i].bar;
		g_assert_cmpint(pci_dev_init(&w.dev, &cls, &w.state.pci, &host, "m", NULL), ==,
				rows[i].ret);
		pci_dev_finish(&w.dev);
		g_assert_cmpuint(w.unrealized, ==, rows[i].ret == 0);
		pci_dev_finish(&w.dev);		/* twice is once */
		g_assert_cmpuint(w.unrealized, ==, rows[i].ret == 0);
	}
}

/* What was not realized is not unrealized. */
static void test_realize_fails(void)
{
	struct world w = { .line_in_reset = -1, .realize_ret = -ENOMEM };
	struct pci_host host = { .opaque = &w };

	g_assert_cmpint(pci_dev_init(&w.dev, &model, &w.state.pci, &host, "m", NULL), ==, -ENOMEM);
	pci_dev_finish(&w.dev);
	g_assert_cmpuint(w.unrealized, ==, 0);
}

/* DMA */

static void test_dma(void)
{
	autofd fd = must(memfd_make("ram", 4096));
	struct guestmem_region r = { .gpa = 0x1000, .size = 4096, .fd = fd };
	char buf[4] = "";
	struct world w;

	world_init(&w);
	g_assert_cmpint(guestmem_set(w.mem, &r, 1), ==, 0);
	for (unsigned command = 0; command < 0x400; command = 2 * command + 1) {
		bool master = command & PCI_COMMAND_MASTER;

		pci_config_write(&w.dev, PCI_COMMAND, command, 2);
		g_assert_cmpint(pci_bus_master(&w.dev), ==, master);
		g_assert_cmpint(pci_dma_write(&w.dev, 0x1ffc, "data", 4), ==, master ? 0 : -EPERM);
		g_assert_cmpint(pci_dma_read(&w.dev, 0x1ffc, buf, 4), ==, master ? 0 : -EPERM);
		g_assert_cmpmem(buf, 4, master ? "data" : "\0\0\0\0", 4);
	}
	g_assert_cmpint(pci_dma_write(&w.dev, 0x1ffd, "data", 4), ==, -EFAULT);
	g_assert_cmpint(pci_dma_read(&w.dev, 0xfff, buf, 4), ==, -EFAULT);
	g_assert_cmpint(pci_dma_read(&w.dev, 0x100001000, buf, 4), ==, -EFAULT);
	world_finish(&w);
}

static void test_guest_error(void)
{
	struct world w;

	world_init(&w);
	pci_guest_error(&w.dev, "odd");
	g_assert_cmpstr(w.error, ==, "odd");
	w.dev.host.guest_error = NULL;
	pci_guest_error(&w.dev, "odder");
	g_assert_cmpstr(w.error, ==, "odd");
	world_finish(&w);
}

/*
 * What made QEMU's own remote end: one byte of config space read at its very end (fd..ff), lengths
 * of 8 and -1, and an access to an address where no BAR is.
 */
static void test_x_remote_config_end(void)
{
	static const int32_t lengths[] = { 1, 2, 4, 8, 0, 3, -1, INT32_MIN, INT32_MAX };
	struct world w;

	world_init(&w);
	for (unsigned i = 0; i < G_N_ELEMENTS(lengths); i++) {
		for (uint32_t off = 0xf8; off < 0x110; off++) {
			int32_t len = lengths[i];
			bool ok = (len == 1 || len == 2 || len == 4) && off + len <= 0x100;

			g_assert_cmphex(pci_config_read(&w.dev, off, len), ==, ok ? 0 : UINT32_MAX);
			pci_config_write(&w.dev, off, UINT32_MAX, len);
		}
		g_assert_cmphex(pci_config_read(&w.dev, UINT32_MAX, lengths[i]), ==, UINT32_MAX);
	}
	g_assert_cmphex(pci_config_read(&w.dev, 0, 4), ==, 0x00121000);
	world_finish(&w);
}

static void test_x_remote_unmapped(void)
{
	static const uint64_t addrs[] = { 0, 1, 0xfebeffff, 0xfebf0400, 0x100000000, UINT64_MAX };
	static const unsigned sizes[] = { 0, 1, 2, 3, 4, 8, 16, UINT32_MAX };
	struct world w;
	uint64_t val;

	world_init(&w);
	bars_place(&w, 3);
	pci_config_write(&w.dev, 0x24, 0, 4);	/* BAR 5, which has half of the space */
	for (unsigned i = 0; i < G_N_ELEMENTS(addrs) * G_N_ELEMENTS(sizes) * 2; i++) {
		uint64_t addr = addrs[i / 2 / G_N_ELEMENTS(sizes)];
		unsigned size = sizes[i / 2 % G_N_ELEMENTS(sizes)];

		g_assert_false(pci_bus_read(&w.dev, i & 1, addr, size, &val));
		g_assert_cmphex(val, ==, UINT64_MAX);
		g_assert_false(pci_bus_write(&w.dev, i & 1, addr, size, val));
	}
	g_assert_cmpuint(w.ncalls, ==, 0);
	world_finish(&w);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/pci/config-bounds", test_config_bounds);
	g_test_add_func("/pci/bar-decode", test_bar_decode);
	g_test_add_func("/pci/bar-io-above", test_bar_io_above);
	g_test_add_func("/pci/bar-at-length", test_bar_at_length);
	g_test_add_func("/pci/bar-clip", test_bar_clip);
	g_test_add_func("/pci/hostile/x-remote-config-end", test_x_remote_config_end);
	g_test_add_func("/pci/hostile/x-remote-unmapped", test_x_remote_unmapped);
	g_test_add_func("/pci/dma", test_dma);
	g_test_add_func("/pci/bad-class", test_bad_class);
	g_test_add_func("/pci/realize-fails", test_realize_fails);
	g_test_add_func("/pci/reset-edges", test_reset_edges);
	g_test_add_func("/pci/power-on", test_power_on);
	g_test_add_func("/pci/config-masks", test_config_masks);
	g_test_add_func("/pci/config-written", test_config_written);
	g_test_add_func("/pci/status-w1c", test_status_w1c);
	g_test_add_func("/pci/bar-sizing", test_bar_sizing);
	g_test_add_func("/pci/bar-split", test_bar_split);
	g_test_add_func("/pci/intx", test_intx);
	g_test_add_func("/pci/reset", test_reset);
	g_test_add_func("/pci/guest-error", test_guest_error);
	return g_test_run();
}
