/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The teaching device's transfers to memory that the VMM does not share: the test is the VMM. */

#include <errno.h>
#include <string.h>

#include <glib.h>

#include "devices/edu/edu.h"
#include "event/loop.h"
#include "world.h"

#define RAM 0x8000u
#define BUF 0x40000u
#define TO_RAM 2u

static uint32_t rd(struct world *w, uint64_t off)
{
	return world_read(w, off, 4);
}

static void wr(struct world *w, uint64_t off, uint32_t val)
{
	world_write(w, off, 4, val);
}

/* Starts a transfer with an interrupt at its end, up to where the VMM is asked. */
static void start(struct world *w, uint32_t direction, uint32_t count)
{
	unsigned asked = w->asked;

	wr(w, 0x80, direction ? BUF : RAM);
	wr(w, 0x88, direction ? RAM : BUF);
	wr(w, 0x90, count);
	wr(w, 0x98, 1 | direction | 4);
	while (w->asked == asked)
		loop_step(w->loop, 1000);
	g_assert_true(w->write == (direction == TO_RAM));
	g_assert_cmphex(w->gpa, ==, RAM);
	g_assert_cmpuint(w->len, ==, count);
}

/* Under way: registers answer, no end is to be seen, and what the guest writes changes nothing. */
static void assert_under_way(struct world *w, uint32_t direction)
{
	unsigned asked = w->asked;

	for (unsigned i = 0; i < 10; i++) {
		loop_step(w->loop, 0);
		g_assert_cmphex(rd(w, 0x98), ==, 1 | direction | 4);
		g_assert_cmphex(rd(w, 0x24), ==, 0);
		wr(w, 0x90, 1);
		wr(w, 0x98, 0);
		wr(w, 0x98, 1);
		g_assert_false(w->pin);
	}
	g_assert_cmpuint(w->asked, ==, asked);
}

static void assert_ended(struct world *w, uint32_t direction)
{
	g_assert_cmphex(rd(w, 0x98), ==, direction | 4);
	g_assert_cmphex(rd(w, 0x24), ==, 0x100);
	g_assert_true(w->pin);
	wr(w, 0x64, 0x100);
	g_assert_false(w->pin);
}

/* From memory and back, all that the device's own memory holds. */
static void test_there_and_back(void)
{
	uint8_t bytes[4096];
	struct world w;

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = i * 7 + (i >> 8);
	world_init(&w, &edu_class, 0, 0x10000, false);
	start(&w, 0, sizeof(bytes));
	assert_under_way(&w, 0);
	pci_dma_answered(&w.dev, 0, bytes, sizeof(bytes));
	assert_ended(&w, 0);
	start(&w, TO_RAM, sizeof(bytes));
	g_assert_cmpmem(w.data, sizeof(bytes), bytes, sizeof(bytes));
	assert_under_way(&w, TO_RAM);
	pci_dma_answered(&w.dev, 0, NULL, 0);
	assert_ended(&w, TO_RAM);
	/* the same once more is a transfer of its own */
	start(&w, TO_RAM, sizeof(bytes));
	pci_dma_answered(&w.dev, 0, NULL, 0);
	assert_ended(&w, TO_RAM);
	g_assert_cmpuint(w.asked, ==, 3);
	g_assert_cmpuint(w.errors, ==, 0);
	world_finish(&w);
}

/* It ends as one outside of memory does, with the guest's mistake told. */
static void test_fails(void)
{
	struct world w;

	world_init(&w, &edu_class, 0, 0x10000, false);
	for (unsigned i = 0; i < 2; i++) {
		start(&w, i ? TO_RAM : 0, 16);
		pci_dma_answered(&w.dev, -EFAULT, NULL, 0);
		assert_ended(&w, i ? TO_RAM : 0);
		g_assert_cmpuint(w.errors, ==, i + 1);
	}
	world_finish(&w);
}

/* A reset under way: the answer comes for nobody, and the next transfer asks anew. */
static void test_reset(void)
{
	struct world w;

	world_init(&w, &edu_class, 0, 0x10000, false);
	start(&w, 0, 4);
	pci_dev_reset(&w.dev);
	pci_config_write(&w.dev, PCI_BASE_ADDRESS_0, BAR, 4);
	pci_config_write(&w.dev, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	pci_dma_answered(&w.dev, 0, "late", 4);
	g_assert_cmphex(rd(&w, 0x98), ==, 0);
	g_assert_false(w.pin);
	start(&w, TO_RAM, 4);
	g_assert_cmpmem(w.data, 4, "\0\0\0\0", 4);
	pci_dma_answered(&w.dev, 0, NULL, 0);
	assert_ended(&w, TO_RAM);
	start(&w, 0, 4);
	world_finish(&w);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/edu/dma/there-and-back", test_there_and_back);
	g_test_add_func("/edu/dma/fails", test_fails);
	g_test_add_func("/edu/dma/reset", test_reset);
	return g_test_run();
}
