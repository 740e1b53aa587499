/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The teaching device with all that it has shown: messages, capabilities, a predecessor's state. */

#include <errno.h>
#include <string.h>

#include <glib.h>

#include "base/num.h"
#include "devices/edu/edu-priv.h"
#include "devices/edu/edu.h"
#include "event/loop.h"
#include "mem/guestmem.h"
#include "world.h"

#define RAM_SIZE 0x1000
#define BUF 0x40000

#define DEVCTL 0x6c	/* of PCI Express, which stands behind PM, MSI and MSI-X */

enum { IRQ_STATUS = 0x24, IRQ_RAISE = 0x60, IRQ_ACK = 0x64, PBA = 0x800 };

static uint64_t rd(struct world *w, unsigned region, uint64_t off, unsigned size)
{
	uint64_t val;

	g_assert_true(pci_region_read(&w->dev, region, off, size, &val));
	return val;
}

static void wr(struct world *w, uint64_t off, unsigned size, uint64_t val)
{
	g_assert_true(pci_region_write(&w->dev, 0, off, size, val));
}

/* ---- what it shows ---- */

static void test_identity(void)
{
	static const struct {
		const struct pci_class *cls;
		unsigned show;
		uint16_t status;
		unsigned config, msi, msix;
		uint32_t bar0;
		uint64_t bar2;
	} rows[] = {
		{ &edu_class, 0, 0, 256, 0, 0, 0, 0 },
		{ &edu_class, PCI_SHOW_ALL, 0x10, 256, 1, 0, 0, 0 },
		{ &edu_pcie_class, 0, 0, 256, 0, 0, 0x8, 4096 },
		{ &edu_pcie_class, PCI_SHOW_ALL, 0x10, 4096, 8, 8, 0xc, 4096 },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct world w;

		g_test_message("row %u", i);
		world_init(&w, rows[i].cls, rows[i].show, RAM_SIZE, true);
		g_assert_cmphex(pci_config_read(&w.dev, PCI_VENDOR_ID, 4), ==, 0x11e81234);
		g_assert_cmphex(pci_config_read(&w.dev, PCI_STATUS, 2), ==, rows[i].status);
		g_assert_cmpuint(pci_config_size(&w.dev), ==, rows[i].config);
		g_assert_cmpuint(pci_msi_vectors(&w.dev), ==, rows[i].msi);
		g_assert_cmpuint(pci_msix_vectors(&w.dev), ==, rows[i].msix);
		g_assert_cmphex(pci_config_read(&w.dev, 0x10, 4), ==, BAR | rows[i].bar0);
		g_assert_cmphex(pci_region_size(&w.dev, 0), ==, 1 << 20);
		g_assert_cmphex(pci_region_size(&w.dev, 2), ==, rows[i].bar2);
		g_assert_cmphex(rd(&w, 0, 0, 4), ==, 0x010000ed);
		world_finish(&w);
	}
}

/* With nothing shown, config space is what it was before there were capabilities. */
static void test_edu_hidden(void)
{
	static const uint8_t on[PCI_CONFIG_SIZE] = {
		[0x00] = 0x34, 0x12, 0xe8, 0x11, [0x08] = 0x10, [0x0a] = 0xff,
		[0x2c] = 0xf4, 0x1a, 0x00, 0x11, [0x3d] = 0x01,
	};
	static const uint8_t ones[PCI_CONFIG_SIZE] = {
		[0x04] = 0x07, 0x05, [0x0c] = 0xff, 0xff, [0x12] = 0xf0, 0xff, [0x3c] = 0xff,
	};
	struct world w;

	world_init(&w, &edu_class, 0, RAM_SIZE, true);
	pci_dev_reset(&w.dev);
	for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++)
		g_assert_cmphex(pci_config_read(&w.dev, i, 1), ==, on[i]);
	for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++)
		pci_config_write(&w.dev, i, 0xff, 1);
	for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++)
		g_assert_cmphex(pci_config_read(&w.dev, i, 1), ==, on[i] | ones[i]);
	g_assert_cmphex(pci_config_read(&w.dev, PCI_CONFIG_SIZE, 1), ==, UINT32_MAX);
	world_finish(&w);
}

/* The registers are in BAR 0 alone; of BAR 2 there is MSI-X, and zeros. */
static void test_bar2(void)
{
	struct world w;

	world_init(&w, &edu_pcie_class, PCI_SHOW_ALL, RAM_SIZE, true);
	wr(&w, 0x80, 8, 0x1122334455667788);
	for (uint64_t off = 0x80; off < 4096; off += 8) {
		g_assert_true(pci_region_write(&w.dev, 2, off, 8, UINT64_MAX));
		g_assert_cmphex(rd(&w, 2, off, 8), ==, 0);
	}
	g_assert_cmphex(rd(&w, 0, 0x80, 8), ==, 0x1122334455667788);
	g_assert_cmphex(rd(&w, 0, IRQ_STATUS, 4), ==, 0);
	g_assert_cmphex(rd(&w, 2, 0x7c, 4), ==, 1);	/* the last vector's control */
	world_finish(&w);
}

/* ---- interrupts ---- */

/* Bits are raised on top of others; what is sent by vector then, as a mask of one each. */
static const struct {
	const struct pci_class *cls;
	uint32_t before, bits, vectors;
} message_rows[] = {
	{ &edu_pcie_class, 0, 0, 0 },
	{ &edu_pcie_class, 0x01, 0x01, 0 },		/* not new */
	{ &edu_pcie_class, 0x80, 0x80, 0 },
	{ &edu_pcie_class, 0, 0x01, 0x01 },
	{ &edu_pcie_class, 0, 0x55, 0x55 },
	{ &edu_pcie_class, 0x11, 0x55, 0x44 },
	{ &edu_pcie_class, 0, 0x80, 0x80 },
	{ &edu_pcie_class, 0, 0x100, 0x80 },
	{ &edu_pcie_class, 0, 0x80000000, 0x80 },
	{ &edu_pcie_class, 0x80, 0x100, 0x80 },		/* new, though the vector is not */
	{ &edu_pcie_class, 0, 0xffffffff, 0xff },
	{ &edu_class, 0x01, 0x01, 0 },
	{ &edu_class, 0, 0x01, 0x01 },
	{ &edu_class, 0x01, 0x80000000, 0x01 },
	{ &edu_class, 0, 0xffffffff, 0x01 },
};

static void test_messages(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(message_rows); i++) {
		struct world w;

		g_test_message("row %u", i);
		world_init(&w, message_rows[i].cls, PCI_SHOW_ALL, RAM_SIZE, true);
		w.answer = PCI_MESSAGE_SENT;
		wr(&w, IRQ_RAISE, 4, message_rows[i].before);
		memset(w.sent, 0, sizeof(w.sent));
		wr(&w, IRQ_RAISE, 4, message_rows[i].bits);
		for (unsigned v = 0; v < 32; v++)
			g_assert_cmpuint(w.sent[v], ==, message_rows[i].vectors >> v & 1);
		g_assert_cmphex(rd(&w, 0, IRQ_STATUS, 4), ==,
				message_rows[i].before | message_rows[i].bits);
		g_assert_false(w.pin);
		wr(&w, IRQ_ACK, 4, 1);		/* what is left raises no pin either */
		g_assert_false(w.pin);
		world_finish(&w);
	}
}

/* Without messages, by level; the host is not asked for any when they are not shown. */
static void test_level(void)
{
	static const struct {
		unsigned show;
		enum pci_message answer;
	} rows[] = { { 0, PCI_MESSAGE_SENT }, { PCI_SHOW_ALL, PCI_MESSAGE_OFF } };
	static const struct pci_class *const classes[] = { &edu_class, &edu_pcie_class };

	for (unsigned i = 0; i < 4; i++) {
		struct world w;

		g_test_message("row %u", i);
		world_init(&w, classes[i & 1], rows[i >> 1].show, RAM_SIZE, true);
		w.answer = rows[i >> 1].answer;
		wr(&w, IRQ_RAISE, 4, 0);
		g_assert_false(w.pin);
		wr(&w, IRQ_RAISE, 4, 0x101);
		g_assert_true(w.pin);
		wr(&w, IRQ_ACK, 4, 0x100);
		g_assert_true(w.pin);
		wr(&w, IRQ_ACK, 4, 0x001);
		g_assert_false(w.pin);
		for (unsigned v = 0; v < 32; v++)
			g_assert_cmpuint(w.sent[v], ==, 0);
		world_finish(&w);
	}
}

/* Raised while masked: pending until somebody listens, or until the driver has acknowledged it. */
static void test_pending(void)
{
	struct world w;

	world_init(&w, &edu_pcie_class, PCI_SHOW_ALL, RAM_SIZE, true);
	w.answer = PCI_MESSAGE_MASKED;
	wr(&w, IRQ_RAISE, 4, 0x307);
	g_assert_cmphex(rd(&w, 2, PBA, 8), ==, 0x87);
	wr(&w, IRQ_ACK, 4, 0x101);
	g_assert_cmphex(rd(&w, 2, PBA, 8), ==, 0x86);	/* bit 9 is left for vector 7 */
	wr(&w, IRQ_ACK, 4, 0x200);
	g_assert_cmphex(rd(&w, 2, PBA, 8), ==, 0x06);
	w.answer = PCI_MESSAGE_SENT;
	for (unsigned v = 0; v < 8; v++)
		pci_msix_listen(&w.dev, v);
	for (unsigned v = 0; v < 8; v++)
		g_assert_cmpuint(w.sent[v], ==, v == 1 || v == 2);
	g_assert_cmphex(rd(&w, 2, PBA, 8), ==, 0);
	g_assert_false(w.pin);
	world_finish(&w);
}

/* The end of a computation and of a transfer, by message. */
static void test_events(void)
{
	struct world w;

	world_init(&w, &edu_pcie_class, PCI_SHOW_ALL, RAM_SIZE, true);
	w.answer = PCI_MESSAGE_SENT;
	wr(&w, 0x20, 4, 0x80);
	wr(&w, 0x08, 4, 5);
	g_assert_cmpint(loop_step(w.loop, 0), ==, 0);
	g_assert_cmpuint(w.sent[0], ==, 1);
	wr(&w, 0x80, 8, 0);
	wr(&w, 0x88, 8, BUF);
	wr(&w, 0x90, 8, 16);
	wr(&w, 0x98, 4, 5);
	while (rd(&w, 0, 0x98, 4) & 1)
		g_assert_cmpint(loop_step(w.loop, -1), ==, 0);
	g_assert_cmpuint(w.sent[7], ==, 1);
	g_assert_cmpuint(w.errors, ==, 0);
	g_assert_false(w.pin);
	world_finish(&w);
}

static void test_flr(void)
{
	struct world w;

	world_init(&w, &edu_pcie_class, PCI_SHOW_ALL, RAM_SIZE, true);
	w.answer = PCI_MESSAGE_MASKED;
	wr(&w, IRQ_RAISE, 4, 0xff);
	wr(&w, 0x08, 4, 5);
	pci_config_write(&w.dev, DEVCTL, 0x8000, 2);
	g_assert_cmpint(loop_step(w.loop, 0), ==, 0);
	g_assert_cmphex(rd(&w, 0, IRQ_STATUS, 4), ==, 0);
	g_assert_cmphex(rd(&w, 0, 0x20, 4), ==, 0);
	g_assert_cmphex(rd(&w, 2, PBA, 8), ==, 0);
	g_assert_cmphex(pci_config_read(&w.dev, PCI_COMMAND, 2), ==, 0);
	world_finish(&w);
}

/* ---- a predecessor's state ---- */

/* A transfer and a computation under way, an interrupt pending: the successor ends all of it. */
static void test_taken_over(void)
{
	struct world w, next;
	char buf[4];

	world_init(&w, &edu_pcie_class, PCI_SHOW_ALL, RAM_SIZE, true);
	g_assert_cmpint(guestmem_write(w.mem, 0, "data", 4), ==, 0);
	w.answer = PCI_MESSAGE_MASKED;
	wr(&w, 0x80, 8, 0);
	wr(&w, 0x88, 8, BUF);
	wr(&w, 0x90, 8, 4);
	wr(&w, 0x98, 4, 5);
	wr(&w, 0x20, 4, 0x80);
	wr(&w, 0x08, 4, 5);
	wr(&w, IRQ_RAISE, 4, 0x04);
	/* ending leaves the state as it is */
	pci_dev_finish(&w.dev);

	world_init(&next, &edu_pcie_class, PCI_SHOW_ALL, RAM_SIZE, true);
	g_assert_cmpint(guestmem_write(next.mem, 0, "data", 4), ==, 0);
	pci_dev_finish(&next.dev);
	memcpy(next.state, w.state, edu_pcie_class.state_size);
	g_assert_cmpint(pci_dev_init(&next.dev, &edu_pcie_class, next.state, &next.host, "edu0",
				     NULL), ==, 0);
	next.answer = PCI_MESSAGE_SENT;
	g_assert_cmphex(rd(&next, 2, PBA, 8), ==, 0x04);
	while (rd(&next, 0, 0x98, 4) & 1)
		g_assert_cmpint(loop_step(next.loop, -1), ==, 0);
	g_assert_cmphex(rd(&next, 0, IRQ_STATUS, 4), ==, 0x105);
	g_assert_cmpuint(rd(&next, 0, 0x08, 4), ==, 120);
	g_assert_cmpuint(next.sent[0], ==, 1);
	g_assert_cmpuint(next.sent[7], ==, 1);
	pci_msix_listen(&next.dev, 2);
	g_assert_cmpuint(next.sent[2], ==, 1);
	g_assert_cmpuint(next.errors, ==, 0);
	wr(&next, 0x80, 8, BUF);
	wr(&next, 0x88, 8, 0x100);
	wr(&next, 0x98, 4, 3);
	while (rd(&next, 0, 0x98, 4) & 1)
		g_assert_cmpint(loop_step(next.loop, -1), ==, 0);
	g_assert_cmpint(guestmem_read(next.mem, 0x100, buf, 4), ==, 0);
	g_assert_cmpmem(buf, 4, "data", 4);
	world_finish(&next);
	world_finish(&w);
}

static void test_taken_over_refused(void)
{
	struct edu_state *s;
	struct world w;

	world_init(&w, &edu_class, PCI_SHOW_ALL, RAM_SIZE, true);
	pci_dev_finish(&w.dev);
	s = (struct edu_state *)w.state;
	s->dma_deadline = INT64_MIN;
	g_assert_cmpint(pci_dev_init(&w.dev, &edu_class, w.state, &w.host, "edu0", NULL), ==,
			-EINVAL);
	world_finish(&w);
}

/* Any registers at all: a guest goes on with them, and they do no harm. */
static void test_taken_over_forged(void)
{
	struct edu_pcie_state *s;
	struct world w;

	world_init(&w, &edu_pcie_class, PCI_SHOW_ALL, RAM_SIZE, true);
	pci_dev_finish(&w.dev);
	s = (struct edu_pcie_state *)w.state;
	memset(s->edu.regs, 0xff, sizeof(s->edu.regs));
	s->edu.dma_deadline = 1;
	memset(&s->msix, 0xff, sizeof(s->msix));
	g_assert_cmpint(pci_dev_init(&w.dev, &edu_pcie_class, w.state, &w.host, "edu0", NULL), ==,
			0);
	g_assert_cmphex(rd(&w, 2, PBA, 8), ==, 0xff);
	for (unsigned i = 0; i < 4; i++)
		g_assert_cmpint(loop_step(w.loop, 1), ==, 0);
	g_assert_cmpuint(rd(&w, 0, 0x08, 4), ==, 0);
	g_assert_cmphex(rd(&w, 0, 0x98, 4) & 1, ==, 0);
	g_assert_cmpuint(w.errors, ==, 1);
	world_finish(&w);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/edu-pcie/taken-over-forged", test_taken_over_forged);
	g_test_add_func("/edu-pcie/taken-over-refused", test_taken_over_refused);
	g_test_add_func("/edu-pcie/taken-over", test_taken_over);
	g_test_add_func("/edu-pcie/flr", test_flr);
	g_test_add_func("/edu-pcie/edu-hidden", test_edu_hidden);
	g_test_add_func("/edu-pcie/bar2", test_bar2);
	g_test_add_func("/edu-pcie/messages", test_messages);
	g_test_add_func("/edu-pcie/pending", test_pending);
	g_test_add_func("/edu-pcie/level", test_level);
	g_test_add_func("/edu-pcie/events", test_events);
	g_test_add_func("/edu-pcie/identity", test_identity);
	return g_test_run();
}
