/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The teaching device over its bus, with a real loop and guest RAM in a memfd. */

#include <stdio.h>
#include <string.h>

#include <glib.h>

#include "base/num.h"
#include "devices/edu/edu.h"
#include "event/loop.h"
#include "mem/guestmem.h"
#include "pci/regs.h"
#include "world.h"

#define RAM_SIZE 0x10000
#define BUF 0x40000	/* the device's own memory, as DMA addresses it */

/* What each register reads after power-on, and after ones have been written to it. */
static void test_registers(void)
{
	static const struct {
		uint64_t off;
		uint32_t reset, ones;
	} rows[] = {
		{ 0x00, 0x010000ed, 0x010000ed }, { 0x04, 0, 0 }, { 0x0c, 0, 0 },
		{ 0x20, 0, 0x80 }, { 0x24, 0, 0 }, { 0x28, 0, 0 }, { 0x64, 0, 0 }, { 0x68, 0, 0 },
		{ 0x80, 0, UINT32_MAX }, { 0x84, 0, UINT32_MAX }, { 0x88, 0, UINT32_MAX },
		{ 0x8c, 0, UINT32_MAX }, { 0x90, 0, UINT32_MAX }, { 0x94, 0, UINT32_MAX },
		{ 0x98, 0, 0x7 }, { 0x9c, 0, 0 }, { 0xa0, 0, 0 }, { 0xffffc, 0, 0 },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct world w;

		g_test_message("offset 0x%x", (unsigned)rows[i].off);
		world_init(&w, &edu_class, 0, RAM_SIZE, true);
		g_assert_cmphex(world_read(&w, rows[i].off, 4), ==, rows[i].reset);
		world_write(&w, rows[i].off, 4, UINT32_MAX);
		g_assert_cmphex(world_read(&w, rows[i].off, 4), ==, rows[i].ones);
		world_finish(&w);
	}
}

static void test_identity(void)
{
	struct world w;

	world_init(&w, &edu_class, 0, RAM_SIZE, true);
	g_assert_cmphex(pci_config_read(&w.dev, PCI_VENDOR_ID, 4), ==, 0x11e81234);
	g_assert_cmphex(pci_config_read(&w.dev, PCI_REVISION_ID, 4), ==, 0x00ff0010);
	g_assert_cmphex(pci_config_read(&w.dev, PCI_SUBSYSTEM_VENDOR_ID, 4), ==, 0x11001af4);
	g_assert_cmpuint(pci_config_read(&w.dev, PCI_INTERRUPT_PIN, 1), ==, 1);
	pci_config_write(&w.dev, PCI_BASE_ADDRESS_0, UINT32_MAX, 4);
	g_assert_cmphex(pci_config_read(&w.dev, PCI_BASE_ADDRESS_0, 4), ==, 0xfff00000);
	world_finish(&w);
}

static void test_liveness(void)
{
	struct world w;

	world_init(&w, &edu_class, 0, RAM_SIZE, true);
	world_write(&w, 0x04, 4, 0x12345678);
	g_assert_cmphex(world_read(&w, 0x04, 4), ==, 0xedcba987);
	world_write(&w, 0x04, 4, 0);
	g_assert_cmphex(world_read(&w, 0x04, 4), ==, UINT32_MAX);
	/* Over ID and LIVENESS at once, as two accesses. */
	world_write(&w, 0x00, 8, 0x0000ffffdeadbeef);
	g_assert_cmphex(world_read(&w, 0x00, 8), ==, 0xffff0000010000ed);
	world_finish(&w);
}

static void test_factorial(void)
{
	static const struct {
		uint32_t n, result;
	} rows[] = {
		{ UINT32_MAX, 0 }, { 0x80000000, 0 }, { 34, 0 }, { 33, 0x80000000 },
		{ 13, 1932053504 },	/* 13! does not fit: modulo 2^32 */
		{ 12, 479001600 }, { 5, 120 }, { 1, 1 }, { 0, 1 },
	};
	struct world w;

	world_init(&w, &edu_class, 0, RAM_SIZE, true);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		world_write(&w, 0x08, 4, rows[i].n);
		/* Not done inside the access, and not disturbed by a second one. */
		g_assert_cmphex(world_read(&w, 0x20, 4), ==, 1);
		world_write(&w, 0x08, 4, 7);
		g_assert_cmpint(loop_step(w.loop, 0), ==, 0);
		g_assert_cmphex(world_read(&w, 0x20, 4), ==, 0);
		g_assert_cmpuint(world_read(&w, 0x08, 4), ==, rows[i].result);
		g_assert_false(w.pin);
	}
	world_write(&w, 0x20, 4, 0x80);
	world_write(&w, 0x08, 4, 3);
	g_assert_cmpint(loop_step(w.loop, 0), ==, 0);
	g_assert_true(w.pin);
	g_assert_cmphex(world_read(&w, 0x24, 4), ==, 1);
	world_finish(&w);
}

static void test_interrupt(void)
{
	struct world w;

	world_init(&w, &edu_class, 0, RAM_SIZE, true);
	world_write(&w, 0x60, 4, 0);
	g_assert_false(w.pin);
	world_write(&w, 0x60, 4, 0x80000001);
	world_write(&w, 0x60, 4, 0x00000100);
	g_assert_true(w.pin);
	g_assert_cmphex(world_read(&w, 0x24, 4), ==, 0x80000101);
	world_write(&w, 0x64, 4, 0x00000100);
	g_assert_true(w.pin);
	world_write(&w, 0x24, 4, 0);		/* not written like this */
	g_assert_cmphex(world_read(&w, 0x24, 4), ==, 0x80000001);
	world_write(&w, 0x64, 4, UINT32_MAX);
	g_assert_false(w.pin);
	g_assert_cmphex(world_read(&w, 0x24, 4), ==, 0);
	world_finish(&w);
}

/* DMA */

static void dma_start(struct world *w, uint64_t src, uint64_t dst, uint64_t count, uint32_t cmd)
{
	world_write(w, 0x80, 8, src);
	world_write(w, 0x88, 8, dst);
	world_write(w, 0x90, 8, count);
	world_write(w, 0x98, 4, cmd);
}

static void dma_wait(struct world *w)
{
	while (world_read(w, 0x98, 4) & 1)
		g_assert_cmpint(loop_step(w->loop, -1), ==, 0);
}

static void test_dma_refused(void)
{
	static const struct {
		const char *name;
		uint64_t src, dst, count;
		uint32_t cmd;
		uint16_t command;
	} rows[] = {
		{ "no bus master", 0, BUF, 16, 1, PCI_COMMAND_MEMORY },
		{ "before the buffer", 0, BUF - 1, 16, 1, 6 },
		{ "behind the buffer", 0, BUF + 4096, 1, 1, 6 },
		{ "over its end", 0, BUF + 4090, 7, 1, 6 },
		{ "longer than it", 0, BUF, 4097, 1, 6 },
		{ "wraps", 0, BUF + 1, UINT64_MAX, 1, 6 },
		{ "the low half is right", 0, 0x100000000 | BUF, 16, 1, 6 },
		{ "from the buffer's end", BUF + 4095, 0, 2, 3, 6 },
		{ "no buffer at all", 0, 0x100, 16, 1, 6 },
		{ "RAM ends", RAM_SIZE - 8, BUF, 16, 1, 6 },
		{ "no RAM", RAM_SIZE, BUF, 16, 1, 6 },
		{ "to no RAM", BUF, 0x0ffffff8, 16, 3, 6 },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		char zero[16] = "", buf[16];
		struct world w;

		g_test_message("%s", rows[i].name);
		world_init(&w, &edu_class, 0, RAM_SIZE, true);
		pci_config_write(&w.dev, PCI_COMMAND, rows[i].command, 2);
		dma_start(&w, rows[i].src, rows[i].dst, rows[i].count, rows[i].cmd | 4);
		dma_wait(&w);
		g_assert_cmpuint(w.errors, ==, 1);
		g_assert_true(w.pin);		/* it ends all the same */
		g_assert_cmphex(world_read(&w, 0x24, 4), ==, 0x100);
		g_assert_cmpint(guestmem_read(w.mem, RAM_SIZE - 16, buf, 16), ==, 0);
		g_assert_cmpmem(buf, 16, zero, 16);
		world_finish(&w);
	}
}

static void test_dma(void)
{
	static const struct {
		uint64_t from, at, count, to;
	} rows[] = {
		{ 0, BUF, 4096, 0x2000 },		/* all of the buffer */
		{ 0, BUF, 0, 0x2000 },			/* nothing */
		{ 0x123, BUF + 4095, 1, 0xffff },	/* the last byte of both */
		{ 0xf0000100, BUF + 7, 100, 0x3003 },	/* only 28 address lines */
	};
	g_autofree uint8_t *data = g_malloc(RAM_SIZE), *want = g_malloc(RAM_SIZE),
			   *got = g_malloc(RAM_SIZE);

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct world w;

		g_test_message("row %u", i);
		world_init(&w, &edu_class, 0, RAM_SIZE, true);
		for (unsigned k = 0; k < RAM_SIZE; k++)
			data[k] = k * 5 + (k >> 8);
		g_assert_cmpint(guestmem_write(w.mem, 0, data, RAM_SIZE), ==, 0);
		memcpy(want, data, RAM_SIZE);
		memcpy(want + rows[i].to, data + (rows[i].from & 0xffff), rows[i].count);
		dma_start(&w, rows[i].from, rows[i].at, rows[i].count, 1);
		g_assert_cmphex(world_read(&w, 0x98, 4), ==, 1);
		dma_wait(&w);
		g_assert_false(w.pin);
		dma_start(&w, rows[i].at, rows[i].to, rows[i].count, 3);
		dma_wait(&w);
		g_assert_cmpint(guestmem_read(w.mem, 0, got, RAM_SIZE), ==, 0);
		g_assert_cmpmem(got, RAM_SIZE, want, RAM_SIZE);
		g_assert_cmpuint(w.errors, ==, 0);
		world_finish(&w);
	}
}

/* A reset in the middle of everything: nothing of it happens afterwards. */
static void test_reset(void)
{
	struct world w;
	char buf[4];

	world_init(&w, &edu_class, 0, RAM_SIZE, true);
	g_assert_cmpint(guestmem_write(w.mem, 0, "data", 4), ==, 0);
	dma_start(&w, 0, BUF, 4, 1);
	dma_wait(&w);
	dma_start(&w, BUF, 0x100, 4, 7);
	world_write(&w, 0x20, 4, 0x80);
	world_write(&w, 0x08, 4, 5);
	world_write(&w, 0x60, 4, 1);
	g_assert_true(w.pin);
	pci_dev_reset(&w.dev);
	g_assert_false(w.pin);
	g_assert_cmpint(loop_step(w.loop, 150), ==, 0);
	g_assert_cmpint(loop_step(w.loop, 0), ==, 0);
	g_assert_false(w.pin);
	g_assert_cmpint(guestmem_read(w.mem, 0x100, buf, 4), ==, 0);
	g_assert_cmpmem(buf, 4, "\0\0\0\0", 4);
	/* And it works again, with an empty buffer. */
	pci_config_write(&w.dev, PCI_BASE_ADDRESS_0, BAR, 4);
	pci_config_write(&w.dev, PCI_COMMAND, 6, 2);
	g_assert_cmphex(world_read(&w, 0x98, 4), ==, 0);
	g_assert_cmphex(world_read(&w, 0x24, 4), ==, 0);
	g_assert_cmphex(world_read(&w, 0x20, 4), ==, 0);
	dma_start(&w, BUF, 0, 4, 3);
	dma_wait(&w);
	g_assert_cmpint(guestmem_read(w.mem, 0, buf, 4), ==, 0);
	g_assert_cmpmem(buf, 4, "\0\0\0\0", 4);
	world_finish(&w);
}

/* The device goes away with work and a timer pending. */
static void test_finish_while_busy(void)
{
	struct world w;

	world_init(&w, &edu_class, 0, RAM_SIZE, true);
	dma_start(&w, 0, BUF, 4, 1);
	world_write(&w, 0x08, 4, 5);
	world_finish(&w);
}

/* While a transfer is under way its parameters stay as they were at the start. */
static void test_dma_frozen(void)
{
	struct world w;
	char buf[4];

	world_init(&w, &edu_class, 0, RAM_SIZE, true);
	g_assert_cmpint(guestmem_write(w.mem, 0, "good", 4), ==, 0);
	dma_start(&w, 0, BUF, 4, 1);
	dma_start(&w, BUF + 0x100, 0x200, 99, 6);
	g_assert_cmphex(world_read(&w, 0x80, 8), ==, 0);
	g_assert_cmphex(world_read(&w, 0x88, 8), ==, BUF);
	g_assert_cmphex(world_read(&w, 0x90, 8), ==, 4);
	g_assert_cmphex(world_read(&w, 0x98, 4), ==, 1);
	dma_wait(&w);
	g_assert_false(w.pin);
	dma_start(&w, BUF, 0x300, 4, 3);
	dma_wait(&w);
	g_assert_cmpint(guestmem_read(w.mem, 0x300, buf, 4), ==, 0);
	g_assert_cmpmem(buf, 4, "good", 4);
	g_assert_cmpuint(w.errors, ==, 0);
	world_finish(&w);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/edu/dma-refused", test_dma_refused);
	g_test_add_func("/edu/dma-frozen", test_dma_frozen);
	g_test_add_func("/edu/reset", test_reset);
	g_test_add_func("/edu/finish-while-busy", test_finish_while_busy);
	g_test_add_func("/edu/registers", test_registers);
	g_test_add_func("/edu/identity", test_identity);
	g_test_add_func("/edu/liveness", test_liveness);
	g_test_add_func("/edu/factorial", test_factorial);
	g_test_add_func("/edu/interrupt", test_interrupt);
	g_test_add_func("/edu/dma", test_dma);
	return g_test_run();
}
