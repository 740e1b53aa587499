/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Message interrupts: MSI-X's table and pending bits in their BAR, and what is sent when. */

#include "base/num.h"
#include "full.h"

/* ---- the structures in the BAR ---- */

/* Contents that tell every byte from every other, as far as the table can hold them. */
static void table_fill(struct full *f)
{
	for (unsigned i = 0; i < VECTORS; i++)
		for (unsigned at = 0; at < 16; at++)
			f->state.msix.table[i][at] = 0x80 + 16 * i + at;
	for (unsigned i = 0; i < sizeof(f->state.msix.pending); i++)
		f->state.msix.pending[i] = 0x31 * (i + 1);
}

static uint8_t byte_at(const struct full *f, uint64_t off)
{
	if (off >= TABLE_AT && off < TABLE_END)
		return f->state.msix.table[(off - TABLE_AT) / 16][(off - TABLE_AT) % 16];
	if (off >= PBA_AT && off < PBA_END)
		return f->state.msix.pending[off - PBA_AT];
	return off;
}

/* Every size at every offset, over every border; the model never sees a byte of either. */
static void test_read(void)
{
	for (unsigned max_access = 1; max_access <= 8; max_access *= 2) {
		struct pci_class cls = full_class;
		struct full f;

		cls.max_access = max_access;
		full_init(&f, &cls, PCI_SHOW_ALL);
		table_fill(&f);
		for (unsigned size = 1; size <= 8; size *= 2) {
			for (uint64_t off = 0; off + size <= 4096; off++) {
				uint64_t want = 0, val;

				for (unsigned i = 0; i < size; i++)
					want |= (uint64_t)byte_at(&f, off + i) << (8 * i);
				g_assert_true(pci_region_read(&f.dev, BAR_MSIX, off, size, &val));
				g_assert_cmphex(val, ==, want);
			}
		}
		full_finish(&f);
	}
}

/* What a write leaves of a byte: address bits 0 and 1 and vector control but bit 0 are fixed. */
static uint8_t written(unsigned at, uint8_t old, uint8_t byte)
{
	unsigned in = (at - TABLE_AT) % 16;

	if (at < TABLE_AT || at >= TABLE_END)
		return old;
	return in == 0 ? byte & 0xfc : in == 12 ? byte & 1 : in > 12 ? 0 : byte;
}

static void test_write(void)
{
	static const uint64_t vals[] = { UINT64_MAX, 0x8877665544332211, 0 };
	struct full f;

	full_init(&f, &full_class, PCI_SHOW_ALL);
	for (unsigned k = 0; k < G_N_ELEMENTS(vals); k++) {
		for (unsigned size = 1; size <= 8; size *= 2) {
			for (uint64_t off = 0xf0; off < PBA_END + 8; off++) {
				struct pci_msix_state want = f.state.msix;
				uint8_t *table = want.table[0];

				for (unsigned i = 0; i < size; i++) {
					unsigned at = off + i;

					if (at >= TABLE_AT && at < TABLE_END)
						table[at - TABLE_AT] =
							written(at, table[at - TABLE_AT],
								vals[k] >> (8 * i));
				}
				g_assert_true(pci_region_write(&f.dev, BAR_MSIX, off, size,
							       vals[k]));
				g_assert_cmpmem(&f.state.msix, sizeof(want), &want, sizeof(want));
			}
		}
	}
	full_finish(&f);
}

/* The same through the bus, and through other BARs not at all. */
static void test_bus(void)
{
	struct full f;
	uint64_t val;

	full_init(&f, &full_class, PCI_SHOW_ALL);
	full_place(&f);
	g_assert_true(pci_bus_write(&f.dev, true, 0xfe100000 + TABLE_AT, 8, 0xfee00000ULL));
	g_assert_true(pci_bus_read(&f.dev, true, 0xfe100000 + TABLE_AT, 4, &val));
	g_assert_cmphex(val, ==, 0xfee00000);
	g_assert_cmpuint(f.reads + f.writes, ==, 0);
	g_assert_true(pci_bus_write(&f.dev, true, 0xfe000000 + TABLE_AT, 8, 0));
	g_assert_true(pci_bus_write(&f.dev, true, 0xfe000000 + PBA_AT, 8, 0));
	g_assert_cmpuint(f.writes, ==, 2);
	g_assert_true(pci_region_read(&f.dev, BAR_MSIX, TABLE_AT, 4, &val));
	g_assert_cmphex(val, ==, 0xfee00000);
	full_finish(&f);
}

static void test_power_on(void)
{
	struct full f;

	full_init(&f, &full_class, 0);		/* kept, whether or not it is shown */
	for (unsigned i = 0; i < PCI_MSIX_MAX; i++) {
		g_assert_cmphex(get_le64(f.state.msix.table[i]), ==, 0);
		g_assert_cmphex(get_le64(f.state.msix.table[i] + 8), ==,
				i < VECTORS ? 1ULL << 32 : 0);
	}
	table_fill(&f);
	pci_dev_reset(&f.dev);
	for (unsigned i = 0; i < VECTORS; i++)
		g_assert_cmphex(get_le64(f.state.msix.table[i] + 8), ==, 1ULL << 32);
	g_assert_cmphex(get_le64(f.state.msix.pending), ==, 0);
	full_finish(&f);
}

/* ---- messages ---- */

static const struct {
	const char *name;
	unsigned show;
	uint16_t command, msi, msix;	/* the command register and both message controls */
	unsigned vector;
	enum pci_message answer;
	bool used;			/* what the model hears */
	int sent;			/* the vector that the host was asked for; -1: none */
	uint16_t pending;
} rows[] = {
	{ "no such vector", 7, 4, 0, 0x8000, VECTORS, PCI_MESSAGE_SENT, false, -1, 0 },
	{ "far from it", 7, 4, 0, 0x8000, UINT_MAX, PCI_MESSAGE_SENT, false, -1, 0 },
	{ "no such vector, held", 7, 0, 0, 0x8000, 64, PCI_MESSAGE_SENT, false, -1, 0 },
	{ "not shown", 6, 4, 0, 0x8000, 0, PCI_MESSAGE_SENT, false, -1, 0 },
	{ "not in use", 7, 4, 0, 0, 3, PCI_MESSAGE_OFF, false, 3, 0 },
	{ "the host knows better", 7, 4, 1, 0x8000, 3, PCI_MESSAGE_OFF, false, 3, 0 },
	{ "no bus master, none enabled", 7, 3, 0, 0, 3, PCI_MESSAGE_SENT, false, -1, 0 },
	{ "no bus master, MSI", 7, 3, 1, 0, 3, PCI_MESSAGE_SENT, true, -1, 0 },
	{ "no bus master, MSI-X", 7, 3, 0, 0x8000, 3, PCI_MESSAGE_SENT, true, -1, 8 },
	{ "no bus master, MSI-X, last", 7, 3, 0, 0x8000, 9, PCI_MESSAGE_SENT, true, -1, 0x200 },
	{ "MSI-X, nobody listens", 7, 4, 0, 0x8000, 9, PCI_MESSAGE_MASKED, true, 9, 0x200 },
	{ "MSI-X", 7, 4, 0, 0x8000, 9, PCI_MESSAGE_SENT, true, 9, 0 },
	{ "both enabled: MSI-X", 7, 4, 1, 0x8000, 9, PCI_MESSAGE_SENT, true, 9, 0 },
	{ "MSI, 1 allocated", 7, 4, 0x01, 0, 7, PCI_MESSAGE_SENT, true, 0, 0 },
	{ "MSI, 2 allocated", 7, 4, 0x11, 0, 7, PCI_MESSAGE_SENT, true, 1, 0 },
	{ "MSI, 4 allocated", 7, 4, 0x21, 0, 6, PCI_MESSAGE_SENT, true, 2, 0 },
	{ "MSI, 8 allocated", 7, 4, 0x31, 0, 6, PCI_MESSAGE_SENT, true, 6, 0 },
	{ "MSI, more than there are", 7, 4, 0x71, 0, 9, PCI_MESSAGE_SENT, true, 1, 0 },
	{ "a client that tells of nothing", 7, 4, 0, 0, 7, PCI_MESSAGE_SENT, true, 7, 0 },
};

static void test_message(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct full f;

		g_test_message("%s", rows[i].name);
		full_init(&f, &full_class, rows[i].show);
		pci_config_write(&f.dev, PCI_COMMAND, rows[i].command, 2);
		pci_config_write(&f.dev, MSI + 2, rows[i].msi, 2);
		pci_config_write(&f.dev, MSIX + 2, rows[i].msix, 2);
		f.answer = rows[i].answer;
		f.vector = UINT_MAX;
		g_assert_cmpint(pci_irq_message(&f.dev, rows[i].vector), ==, rows[i].used);
		g_assert_cmpint((int)f.vector, ==, rows[i].sent);
		g_assert_cmphex(get_le64(f.state.msix.pending), ==, rows[i].pending);
		g_assert_false(f.intx);
		full_finish(&f);
	}
}

/* A vector that MSI has and MSI-X has not is nowhere pending. */
static void test_beyond_msix(void)
{
	struct pci_class cls = full_class;
	struct full f;

	cls.msi_vectors = 32;
	full_init(&f, &cls, PCI_SHOW_ALL);
	pci_config_write(&f.dev, MSIX + 2, 0x8000, 2);
	g_assert_true(pci_irq_message(&f.dev, 20));	/* no bus master */
	pci_config_write(&f.dev, PCI_COMMAND, 4, 2);
	f.answer = PCI_MESSAGE_MASKED;
	g_assert_true(pci_irq_message(&f.dev, 31));
	g_assert_cmphex(get_le64(f.state.msix.pending), ==, 0);
	full_finish(&f);
}

static void test_no_host(void)
{
	struct full f;

	full_init(&f, &full_class, PCI_SHOW_ALL);
	pci_config_write(&f.dev, PCI_COMMAND, 4, 2);
	f.dev.host.message = NULL;
	g_assert_false(pci_irq_message(&f.dev, 0));
	pci_msix_listen(&f.dev, 0);
	full_finish(&f);
}

/* A pending one is sent once, when somebody listens, whatever else the host asks for. */
static void test_listen(void)
{
	struct full f;

	full_init(&f, &full_class, PCI_SHOW_ALL);
	full_place(&f);
	pci_config_write(&f.dev, MSIX + 2, 0x8000, 2);
	f.answer = PCI_MESSAGE_MASKED;
	g_assert_true(pci_irq_message(&f.dev, 2));
	g_assert_true(pci_irq_message(&f.dev, 2));
	g_assert_true(pci_irq_message(&f.dev, 8));
	pci_msix_listen(&f.dev, 2);		/* not really */
	g_assert_cmphex(get_le64(f.state.msix.pending), ==, 0x104);
	f.answer = PCI_MESSAGE_OFF;
	pci_msix_listen(&f.dev, 2);
	g_assert_cmphex(get_le64(f.state.msix.pending), ==, 0x104);
	f.answer = PCI_MESSAGE_SENT;
	pci_msix_listen(&f.dev, 1);
	pci_msix_listen(&f.dev, VECTORS);
	pci_msix_listen(&f.dev, PCI_MSIX_MAX);
	pci_msix_listen(&f.dev, UINT_MAX);
	g_assert_cmpuint(f.messages, ==, 0);
	pci_msix_listen(&f.dev, 2);
	g_assert_cmpuint(f.messages, ==, 1);
	g_assert_cmpuint(f.vector, ==, 2);
	g_assert_cmphex(get_le64(f.state.msix.pending), ==, 0x100);
	pci_msix_listen(&f.dev, 2);
	g_assert_cmpuint(f.messages, ==, 1);
	/* the next event of the vector takes the pending one along */
	g_assert_true(pci_irq_message(&f.dev, 8));
	g_assert_cmpuint(f.messages, ==, 2);
	g_assert_cmphex(get_le64(f.state.msix.pending), ==, 0);
	full_finish(&f);
}

/* Its events are dealt with before anybody listens: there is nothing left to send. */
static void test_settled(void)
{
	struct full f;

	full_init(&f, &full_class, PCI_SHOW_ALL);
	full_place(&f);
	f.answer = PCI_MESSAGE_MASKED;
	g_assert_true(pci_irq_message(&f.dev, 2));
	g_assert_true(pci_irq_message(&f.dev, 3));
	pci_irq_settled(&f.dev, VECTORS);
	pci_irq_settled(&f.dev, UINT_MAX);
	pci_irq_settled(&f.dev, 2);
	f.answer = PCI_MESSAGE_SENT;
	pci_msix_listen(&f.dev, 2);
	g_assert_cmpuint(f.messages, ==, 0);
	pci_msix_listen(&f.dev, 3);
	g_assert_cmpuint(f.messages, ==, 1);
	full_finish(&f);
}

/* What was held back goes out when the function may write again, and not before. */
static void test_resend(void)
{
	static const struct {
		uint16_t command;
		uint8_t power;
		unsigned messages;	/* so far */
	} steps[] = {
		{ 3, 0, 0 }, { 3, 3, 0 }, { 7, 3, 0 }, { 7, 0, 2 }, { 3, 0, 2 }, { 7, 0, 2 },
	};
	struct full f;

	full_init(&f, &full_class, PCI_SHOW_ALL);
	pci_config_write(&f.dev, MSIX + 2, 0x8000, 2);
	f.answer = PCI_MESSAGE_SENT;
	g_assert_true(pci_irq_message(&f.dev, 0));
	g_assert_true(pci_irq_message(&f.dev, 5));
	for (unsigned i = 0; i < G_N_ELEMENTS(steps); i++) {
		g_test_message("step %u", i);
		pci_config_write(&f.dev, PCI_COMMAND, steps[i].command, 2);
		pci_config_write(&f.dev, PMCSR, steps[i].power, 1);
		pci_msix_listen(&f.dev, 5);
		g_assert_cmpuint(f.messages, ==, steps[i].messages);
	}
	g_assert_cmphex(get_le64(f.state.msix.pending), ==, 0);
	full_finish(&f);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/msix/read", test_read);
	g_test_add_func("/msix/write", test_write);
	g_test_add_func("/msix/bus", test_bus);
	g_test_add_func("/msix/power-on", test_power_on);
	g_test_add_func("/msix/message", test_message);
	g_test_add_func("/msix/beyond-msix", test_beyond_msix);
	g_test_add_func("/msix/no-host", test_no_host);
	g_test_add_func("/msix/listen", test_listen);
	g_test_add_func("/msix/settled", test_settled);
	g_test_add_func("/msix/resend", test_resend);
	return g_test_run();
}
