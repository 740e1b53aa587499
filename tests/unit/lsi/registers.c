/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "rig.h"

/* The register file: each row of the table, and the registers that do something. */

static void test_table(void)
{
	g_assert_cmpint(regs_check(&lsi_regs), ==, 0);
	g_assert_nonnull(regs_by_name(&lsi_regs, "ISTAT0"));
}

/* Reset values that are not the row's alone: what computed bits add. */
static uint32_t after_reset(const struct reg_def *reg)
{
	switch (reg->off) {
	case R_GPREG:
		return 0x6f;	/* GPIO4 is an output, the others are pulled up */
	case R_DSTAT:
		return DSTAT_DFE;
	case R_SSTAT2:
		return SSTAT2_LDSC;
	case R_CTEST2:
		return CTEST2_CM | CTEST2_DACK;
	default:
		return reg->reset;
	}
}

static uint32_t read_row(struct rig *rig, const struct reg_def *reg)
{
	return reg->width == 1 ? rd8(rig, reg->off) :
	       reg->width == 2 ? rd16(rig, reg->off) : rd32(rig, reg->off);
}

static void write_row(struct rig *rig, const struct reg_def *reg, uint32_t val)
{
	if (reg->width == 1)
		wr8(rig, reg->off, val);
	else if (reg->width == 2)
		wr16(rig, reg->off, val);
	else
		wr32(rig, reg->off, val);
}

static void test_reset_values(void)
{
	struct rig rig;

	rig_bare(&rig, &lsi53c895a_class);
	rig_place(&rig);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < lsi_regs.count; i++)
			g_assert_cmphex(read_row(&rig, &lsi_regs.regs[i]), ==,
					after_reset(&lsi_regs.regs[i]));
		/* whatever stood there, a soft reset and RST# bring back the same */
		for (unsigned i = 0; i < lsi_regs.count; i++)
			if (lsi_regs.regs[i].off != R_ISTAT0 && lsi_regs.regs[i].off != R_DSP)
				write_row(&rig, &lsi_regs.regs[i], 0x5a5a5a5a);
		if (round == 1) {
			pci_dev_reset(&rig.dev);
			rig_place(&rig);
		} else {
			wr8(&rig, R_ISTAT0, ISTAT0_SRST);
		}
		g_assert_false(rig.pin);
	}
	rig_down(&rig);
}

/* Registers whose write or read has a meaning beyond the stored bits have tests of their own. */
static bool plain(const struct reg_def *reg)
{
	return !reg->read && !reg->write && !reg->w1c;
}

static void test_write_masks(void)
{
	struct rig rig;

	rig_bare(&rig, &lsi53c895a_class);
	rig_place(&rig);
	for (unsigned i = 0; i < lsi_regs.count; i++) {
		const struct reg_def *reg = &lsi_regs.regs[i];
		uint32_t fixed = reg->reset & ~reg->wmask;

		if (!plain(reg))
			continue;
		write_row(&rig, reg, 0xffffffff);
		g_assert_cmphex(read_row(&rig, reg), ==, reg->wmask | fixed);
		write_row(&rig, reg, 0);
		g_assert_cmphex(read_row(&rig, reg), ==, fixed);
	}
	rig_down(&rig);
}

/* Every size and alignment, through both BARs, also where no register is. */
static void test_accesses(void)
{
	struct rig rig;
	uint64_t val;

	rig_bare(&rig, &lsi53c895a_class);
	rig_place(&rig);
	wr32(&rig, R_SCRATCHB, 0x44332211);
	g_assert_cmphex(rd8(&rig, R_SCRATCHB + 2), ==, 0x33);
	g_assert_cmphex(rd16(&rig, R_SCRATCHB + 1), ==, 0x3322);
	g_assert_cmphex(rd32(&rig, 0x300 + R_SCRATCHB), ==, 0x44332211);
	g_assert_true(pci_bus_read(&rig.dev, false, RIG_IO + R_SCRATCHB, 4, &val));
	g_assert_cmphex(val, ==, 0x44332211);
	g_assert_true(pci_bus_read(&rig.dev, true, RIG_REGS + R_SCRATCHB, 8, &val));
	g_assert_cmphex(val, ==, 0x0000000044332211);
	for (unsigned off = 0; off < 0x400; off++)
		for (unsigned size = 1; size <= 8; size *= 2) {
			bool inside = off + size <= 0x400;

			g_assert_cmpint(pci_bus_read(&rig.dev, true, RIG_REGS + off, size, &val),
					==, inside);
			g_assert_cmpint(pci_bus_write(&rig.dev, true, RIG_SRAM + off, size, off),
					==, true);
		}
	g_assert_false(pci_bus_read(&rig.dev, true, RIG_SRAM + LSI_RAM_SIZE - 1, 2, &val));
	g_assert_true(pci_bus_write(&rig.dev, true, RIG_SRAM + LSI_RAM_SIZE - 8, 8,
				    0x1122334455667788));
	g_assert_true(pci_bus_read(&rig.dev, true, RIG_SRAM + LSI_RAM_SIZE - 4, 4, &val));
	g_assert_cmphex(val, ==, 0x11223344);
	rig_down(&rig);
}

static void test_own_bits(void)
{
	struct rig rig;

	rig_bare(&rig, &lsi53c895a_class);
	rig_place(&rig);
	/* commands in registers do not stay */
	wr8(&rig, R_CTEST3, CTEST3_CLF | CTEST3_FLF | 1);
	g_assert_cmphex(rd8(&rig, R_CTEST3), ==, 1);
	wr8(&rig, R_STEST3, STEST3_CSF | 0x80);
	g_assert_cmphex(rd8(&rig, R_STEST3), ==, 0x80);
	wr8(&rig, R_DCNTL, DCNTL_PFF | DCNTL_COM);
	g_assert_cmphex(rd8(&rig, R_DCNTL), ==, DCNTL_COM);
	/* the host's signal is taken by reading CTEST2 */
	wr8(&rig, R_ISTAT0, ISTAT0_SIGP | 0x10);
	g_assert_cmphex(rd8(&rig, R_ISTAT0), ==, ISTAT0_SIGP | 0x10);
	g_assert_cmphex(rd8(&rig, R_CTEST2) & CTEST2_SIGP, ==, CTEST2_SIGP);
	g_assert_cmphex(rd8(&rig, R_CTEST2) & CTEST2_SIGP, ==, 0);
	g_assert_cmphex(rd8(&rig, R_ISTAT0), ==, 0x10);
	/* CTEST2.PCICIE shows where the chip is */
	wr32(&rig, R_SCRATCHA, 1);
	wr8(&rig, R_CTEST2, CTEST2_PCICIE);
	g_assert_cmphex(rd32(&rig, R_SCRATCHA), ==, RIG_REGS);
	g_assert_cmphex(rd32(&rig, R_SCRATCHB), ==, RIG_SRAM);
	wr8(&rig, R_CTEST2, 0);
	g_assert_cmphex(rd32(&rig, R_SCRATCHA), ==, 1);
	/* no serial EEPROM pulls a GPIO input down; an output reads back */
	wr8(&rig, R_GPREG, 0);
	g_assert_cmphex(rd8(&rig, R_GPREG), ==, 0x6f);
	wr8(&rig, R_GPCNTL, 0x0e);
	g_assert_cmphex(rd8(&rig, R_GPREG), ==, 0x6e);
	wr8(&rig, R_GPREG, 1);
	g_assert_cmphex(rd8(&rig, R_GPREG), ==, 0x6f);
	/* Linux writes all ones over DSTAT to SSTAT2 to find out whether registers are cached */
	wr32(&rig, R_DSTAT, 0xffffffff);
	g_assert_cmphex(rd32(&rig, R_DSTAT), ==, 0x02000080);
	rig_down(&rig);
}

static void test_interrupt_masks(void)
{
	struct rig rig;

	rig_bare(&rig, &lsi53c895a_class);
	rig_place(&rig);
	/* a fatal interrupt that is masked shows in ISTAT, and the pin follows the mask at once */
	wr8(&rig, R_ISTAT0, ISTAT0_ABRT);
	g_assert_cmphex(rd8(&rig, R_ISTAT0), ==, ISTAT0_ABRT | ISTAT0_DIP);
	g_assert_false(rig.pin);
	wr8(&rig, R_DIEN, DSTAT_ABRT);
	g_assert_true(rig.pin);
	wr8(&rig, R_ISTAT1, ISTAT1_SI);
	g_assert_false(rig.pin);
	wr8(&rig, R_ISTAT1, 0);
	wr8(&rig, R_DCNTL, DCNTL_IRQD);
	g_assert_false(rig.pin);
	wr8(&rig, R_DCNTL, 0);
	g_assert_true(rig.pin);
	wr8(&rig, R_ISTAT0, 0);
	g_assert_cmphex(rd8(&rig, R_DSTAT), ==, DSTAT_ABRT | DSTAT_DFE);
	g_assert_false(rig.pin);
	g_assert_cmphex(rd8(&rig, R_ISTAT0), ==, 0);
	rig_down(&rig);
}

/* The second interrupt stands behind the first, and the pin makes a new edge for it. */
static void test_interrupt_stacking(void)
{
	struct rig rig;

	rig_bare(&rig, &lsi53c895a_class);
	rig_place(&rig);
	wr8(&rig, R_DIEN, 0x7d);
	wr16(&rig, R_SIEN0, SIST_RST);
	wr8(&rig, R_ISTAT0, ISTAT0_ABRT);
	wr8(&rig, R_ISTAT0, 0);
	wr8(&rig, R_SCNTL1, SCNTL1_RST);
	wr8(&rig, R_SCNTL1, 0);
	g_assert_cmphex(rd8(&rig, R_ISTAT0), ==, ISTAT0_DIP);
	g_assert_cmphex(rd16(&rig, R_SIST0), ==, 0);
	g_assert_cmpuint(rig.pin_edges, ==, 1);
	g_assert_cmphex(rd8(&rig, R_DSTAT) & 0x7f, ==, DSTAT_ABRT);
	g_assert_cmphex(rd8(&rig, R_ISTAT0), ==, ISTAT0_SIP);
	g_assert_cmpuint(rig.pin_edges, ==, 2);
	g_assert_cmphex(rd16(&rig, R_SIST0), ==, SIST_RST);
	g_assert_cmphex(rd8(&rig, R_ISTAT0), ==, 0);
	g_assert_false(rig.pin);
	rig_down(&rig);
}

/* A nonfatal interrupt that is masked only shows in SIST; enabled, it is like a fatal one. */
static void test_general_purpose_timer(void)
{
	struct rig rig;
	int64_t start;

	rig_bare(&rig, &lsi53c895a_class);
	rig_place(&rig);
	start = loop_now();
	wr8(&rig, R_STIME1, 0x04);	/* 1 ms */
	g_assert_cmphex(rd16(&rig, R_SIST0), ==, 0);
	rig_advance(&rig, LOOP_MS - 1);
	g_assert_cmpint(rig.state->gen_deadline, ==, start + LOOP_MS);
	rig_advance(&rig, 1);
	g_assert_cmpint(rig.state->gen_deadline, ==, 0);
	g_assert_cmphex(rd8(&rig, R_ISTAT0), ==, 0);
	g_assert_cmphex(rd16(&rig, R_SIST0), ==, SIST_GEN);
	wr16(&rig, R_SIEN0, SIST_GEN);
	wr8(&rig, R_STIME1, 0x01);
	rig_advance(&rig, LOOP_MS / 8);
	g_assert_true(rig.pin);
	g_assert_cmphex(rd8(&rig, R_ISTAT0), ==, ISTAT0_SIP);
	g_assert_cmphex(rd16(&rig, R_SIST0), ==, SIST_GEN);
	g_assert_false(rig.pin);
	/* the scale bit is a factor of 16, and zero stops the timer */
	start = loop_now();
	wr8(&rig, R_STIME1, 0x2f);
	g_assert_cmpint(rig.state->gen_deadline, ==, start + 16 * 2048 * LOOP_MS);
	wr8(&rig, R_STIME1, 0);
	g_assert_cmpint(rig.state->gen_deadline, ==, 0);
	rig_down(&rig);
}

static void test_bus_reset_register(void)
{
	struct rig rig;

	rig_up(&rig, &lsi53c895a_class);
	wr8(&rig, R_SCNTL1, SCNTL1_RST);
	/* what Linux checks while the reset lasts: RST# is asserted and no other line */
	g_assert_cmphex(rd8(&rig, R_SSTAT0) & 3, ==, SSTAT0_RST);
	g_assert_cmphex(rd8(&rig, R_SBCL), ==, 0);
	g_assert_cmphex(rd16(&rig, R_SBDL), ==, 0);
	wr8(&rig, R_SCNTL1, SCNTL1_RST);	/* no second one while it lasts */
	wr8(&rig, R_SCNTL1, 0);
	g_assert_cmphex(rd8(&rig, R_SSTAT0) & 2, ==, 0);
	g_assert_cmphex(take_irq(&rig).sist, ==, SIST_RST);
	g_assert_cmphex(take_irq(&rig).sist, ==, 0);
	assert_alive(&rig);
	rig_down(&rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/lsi/registers/table", test_table);
	g_test_add_func("/lsi/registers/reset-values", test_reset_values);
	g_test_add_func("/lsi/registers/write-masks", test_write_masks);
	g_test_add_func("/lsi/registers/accesses", test_accesses);
	g_test_add_func("/lsi/registers/own-bits", test_own_bits);
	g_test_add_func("/lsi/registers/interrupt-masks", test_interrupt_masks);
	g_test_add_func("/lsi/registers/interrupt-stacking", test_interrupt_stacking);
	g_test_add_func("/lsi/registers/general-purpose-timer", test_general_purpose_timer);
	g_test_add_func("/lsi/registers/bus-reset", test_bus_reset_register);
	return g_test_run();
}
