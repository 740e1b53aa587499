/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/num.h"
#include "devices/lsi53c895a/lsi.h"

/*
 * The register file (manual chapter 4): one row a register, and the hooks of those that are more
 * than memory.  A hook changes nothing but registers and leaves a mark in pend; lsi_settle() acts.
 */

uint32_t lsi_get32(const struct lsi *l, unsigned reg)
{
	return get_le32(l->s->regs + reg);
}

void lsi_put32(struct lsi *l, unsigned reg, uint32_t val)
{
	put_le32(l->s->regs + reg, val);
}

void lsi_put24(struct lsi *l, unsigned reg, uint32_t val)
{
	put_le16(l->s->regs + reg, val);
	l->s->regs[reg + 2] = val >> 16;
}

#define READ_HOOK(name)                                                                            \
	static uint32_t name(void *chip, const struct reg_def *reg, uint32_t stored, unsigned bytes)
#define WRITE_HOOK(name)                                                                           \
	static void name(void *chip, const struct reg_def *reg, uint32_t old, uint32_t raw,        \
			 unsigned bytes)

static uint8_t mark(void *chip, unsigned pend)
{
	struct lsi *l = chip;

	return l->s->pend |= pend;
}

/* ---- SCSI core ---- */

READ_HOOK(scntl1_read)
{
	struct lsi *l = chip;

	return stored | (l->s->bus.connected ? SCNTL1_CON : 0);
}

WRITE_HOOK(scntl1_write)
{
	if (raw & ~old & SCNTL1_RST)
		mark(chip, PEND_BUS_RESET);
}

/* Pins that GPCNTL makes inputs have pull-ups and nothing behind them: no serial EEPROM answers. */
READ_HOOK(gpreg_read)
{
	struct lsi *l = chip;
	uint8_t inputs = *lsi_reg(l, R_GPCNTL) | 0x60;

	return (stored & ~inputs) | (inputs & 0x7f);
}

static unsigned signals_out(const struct lsi_bus *bus)
{
	return (bus->atn ? BUS_ATN : 0) | (bus->ack ? BUS_ACK : 0);
}

READ_HOOK(socl_read)
{
	struct lsi *l = chip;

	return signals_out(&l->s->bus);
}

/* REQ# stands when the target wants a byte and has not had the ACK# of one already. */
READ_HOOK(sbcl_read)
{
	struct lsi *l = chip;
	struct lsi_bus *bus = &l->s->bus;
	unsigned req;

	if (!bus->connected)
		return 0;
	req = !bus->ack && bus_poll(l) == LOOK_REQ ? BUS_REQ : 0;
	return bus->connected ? signals_out(bus) | BUS_BSY | req | bus->phase : 0;
}

READ_HOOK(sstat0_read)
{
	struct lsi *l = chip;

	return stored | (*lsi_reg(l, R_SCNTL1) & SCNTL1_RST ? SSTAT0_RST : 0);
}

READ_HOOK(sstat1_read)
{
	struct lsi *l = chip;

	return l->s->bus.phase;
}

READ_HOOK(sstat2_read)
{
	struct lsi *l = chip;

	return l->s->bus.connected ? 0 : SSTAT2_LDSC;
}

/* What the target drives in MESSAGE IN: some drivers peek at the byte before they take it. */
READ_HOOK(sbdl_read)
{
	struct lsi *l = chip;
	struct lsi_bus *bus = &l->s->bus;

	if (!bus->connected || bus->phase != PHASE_MSG_IN)
		return 0;
	if (bus->ack)
		return *lsi_reg(l, R_SIDL);
	return bus->msg_in_pos < bus->msg_in_len ? bus->msg_in[bus->msg_in_pos] : 0;
}

WRITE_HOOK(stime0_write)
{
	lsi_timer_hth(chip);
}

/* Manual, STIME1: a change of the scale restarts the handshake timer too. */
WRITE_HOOK(stime1_write)
{
	lsi_timer_gen(chip);
	lsi_timer_hth(chip);
}

/* ---- interrupts ---- */

/* Reading clears; what is stacked behind comes up once all of the first level is clear. */
READ_HOOK(status_read)
{
	struct lsi *l = chip;

	*lsi_reg(l, reg->off) = 0;
	mark(l, PEND_IRQ);
	return reg->off == R_DSTAT ? stored | DSTAT_DFE : stored;
}

WRITE_HOOK(irq_write)
{
	mark(chip, PEND_IRQ);
}

READ_HOOK(istat0_read)
{
	struct lsi *l = chip;

	return stored | (l->s->bus.connected ? ISTAT0_CON : 0);
}

WRITE_HOOK(istat0_write)
{
	if (raw & ISTAT0_SRST)
		mark(chip, PEND_SOFT_RESET);
	if (raw & ~old & ISTAT0_ABRT)
		mark(chip, PEND_ABORT);
	if (raw & ISTAT0_SIGP)
		mark(chip, PEND_SIGP);
	mark(chip, PEND_IRQ);
}

READ_HOOK(istat1_read)
{
	struct lsi *l = chip;

	return stored | (l->s->run != RUN_STOPPED ? ISTAT1_SRUN : 0);
}

/* ---- engine ---- */

/* Reading CTEST2 is how a script takes the host's signal (manual, ISTAT0 bit 5). */
READ_HOOK(ctest2_read)
{
	struct lsi *l = chip;
	uint8_t *istat = lsi_reg(l, R_ISTAT0);
	uint32_t val = stored | CTEST2_CM | CTEST2_DACK;

	if (*istat & ISTAT0_SIGP)
		val |= CTEST2_SIGP;
	*istat &= ~ISTAT0_SIGP;
	return val;
}

WRITE_HOOK(dsp_write)
{
	struct lsi *l = chip;

	if (bytes & 8 && !(*lsi_reg(l, R_DMODE) & DMODE_MAN))
		mark(l, PEND_START);
}

WRITE_HOOK(dcntl_write)
{
	if (raw & DCNTL_STD)
		mark(chip, PEND_START);
	mark(chip, PEND_IRQ);
}

/* CTEST2.PCICIE shows the chip's own base addresses to scripts. */
READ_HOOK(scratch_read)
{
	struct lsi *l = chip;
	unsigned bar = reg->off == R_SCRATCHA ? LSI_BAR_REGS : LSI_BAR_RAM;

	if (!(*lsi_reg(l, R_CTEST2) & CTEST2_PCICIE))
		return stored;
	return get_le32(l->s->pci.config + PCI_BASE_ADDRESS_0 + 4 * bar);
}

#define RO8(off, name, reset, hook) { off, 1, name, reset, 0, 0, hook, NULL }
#define RW8(off, name, reset, mask) { off, 1, name, reset, mask, 0, NULL, NULL }
#define RW32(off, name) { off, 4, name, 0, 0xffffffff, 0, NULL, NULL }

static const struct reg_def rows[] = {
	/* SCNTL0: START and the arbitration modes belong to low-level mode, which is refused */
	RW8(R_SCNTL0, "SCNTL0", 0xc0, 0xdb),
	{ R_SCNTL1, 1, "SCNTL1", 0, 0xee, 0, scntl1_read, scntl1_write },
	{ R_SCNTL2, 1, "SCNTL2", 0, 0xf6, SCNTL2_WSS | SCNTL2_WSR, NULL, NULL },
	RW8(R_SCNTL3, "SCNTL3", 0, 0xff),
	RW8(R_SCID, "SCID", 0x07, 0x6f),
	RW8(R_SXFER, "SXFER", 0, 0xff),
	RW8(R_SDID, "SDID", 0, 0x0f),
	{ R_GPREG, 1, "GPREG", 0, 0x1f, 0, gpreg_read, NULL },
	RW8(R_SFBR, "SFBR", 0, 0xff),
	RO8(R_SOCL, "SOCL", 0, socl_read),
	RO8(R_SSID, "SSID", 0, NULL),
	RO8(R_SBCL, "SBCL", 0, sbcl_read),
	RO8(R_DSTAT, "DSTAT", 0, status_read),
	RO8(R_SSTAT0, "SSTAT0", 0, sstat0_read),
	RO8(R_SSTAT1, "SSTAT1", 0, sstat1_read),
	RO8(R_SSTAT2, "SSTAT2", 0, sstat2_read),
	RW32(R_DSA, "DSA"),
	{ R_ISTAT0, 1, "ISTAT0", 0, 0xb0, ISTAT0_INTF, istat0_read, istat0_write },
	{ R_ISTAT1, 1, "ISTAT1", 0, ISTAT1_SI, 0, istat1_read, irq_write },
	RW8(R_MBOX0, "MBOX0", 0, 0xff),
	RW8(R_MBOX1, "MBOX1", 0, 0xff),
	RO8(R_CTEST0, "CTEST0", 0xff, NULL),
	RO8(R_CTEST1, "CTEST1", 0, NULL),
	{ R_CTEST2, 1, "CTEST2", 0, CTEST2_PCICIE, 0, ctest2_read, NULL },
	/* CTEST3: the FIFO commands FLF and CLF are done as soon as they are given */
	RW8(R_CTEST3, "CTEST3", 0, 0x03),
	RW32(R_TEMP, "TEMP"),
	RO8(R_DFIFO, "DFIFO", 0, NULL),
	RW8(R_CTEST4, "CTEST4", 0, 0xf8),
	RW8(R_CTEST5, "CTEST5", 0, 0x3c),
	RO8(R_CTEST6, "CTEST6", 0, NULL),
	{ R_DBC, 2, "DBC", 0, 0xffff, 0, NULL, NULL },
	RW8(R_DBC + 2, "DBC2", 0, 0xff),
	RW8(R_DCMD, "DCMD", 0x40, 0xff),
	RW32(R_DNAD, "DNAD"),
	{ R_DSP, 4, "DSP", 0, 0xffffffff, 0, NULL, dsp_write },
	RW32(R_DSPS, "DSPS"),
	{ R_SCRATCHA, 4, "SCRATCHA", 0, 0xffffffff, 0, scratch_read, NULL },
	RW8(R_DMODE, "DMODE", 0, 0xff),
	{ R_DIEN, 1, "DIEN", 0, 0x7d, 0, NULL, irq_write },
	RW8(R_SBR, "SBR", 0, 0xff),
	{ R_DCNTL, 1, "DCNTL", 0, 0xff & ~(DCNTL_STD | DCNTL_PFF), 0, NULL, dcntl_write },
	{ R_ADDER, 4, "ADDER", 0, 0, 0, NULL, NULL },
	{ R_SIEN0, 1, "SIEN0", 0, 0xff, 0, NULL, irq_write },
	{ R_SIEN1, 1, "SIEN1", 0, 0x17, 0, NULL, irq_write },
	RO8(R_SIST0, "SIST0", 0, status_read),
	RO8(R_SIST1, "SIST1", 0, status_read),
	RW8(R_SLPAR, "SLPAR", 0, 0xff),
	RO8(R_SWIDE, "SWIDE", 0, NULL),
	RW8(R_MACNTL, "MACNTL", 0x0f, 0x0f),
	RW8(R_GPCNTL, "GPCNTL", 0x0f, 0xff),
	{ R_STIME0, 1, "STIME0", 0, 0xff, 0, NULL, stime0_write },
	{ R_STIME1, 1, "STIME1", 0, 0x7f, 0, NULL, stime1_write },
	RW8(R_RESPID0, "RESPID0", 0x80, 0xff),
	RW8(R_RESPID1, "RESPID1", 0, 0xff),
	RO8(R_STEST0, "STEST0", 0x03, NULL),
	RW8(R_STEST1, "STEST1", 0, 0xcc),
	/* STEST2.LOW, STEST3.STR, TTM, STW (low-level mode, FIFO tests) are refused: not kept */
	RW8(R_STEST2, "STEST2", 0, 0xbe),
	RW8(R_STEST3, "STEST3", 0, 0xb8),
	{ R_SIDL, 2, "SIDL", 0, 0, 0, NULL, NULL },
	/* STEST4: low voltage differential bus, clock quadrupler locked */
	RO8(R_STEST4, "STEST4", 0xe0, NULL),
	{ R_SODL, 2, "SODL", 0, 0xffff, 0, NULL, NULL },
	RW8(R_CCNTL0, "CCNTL0", 0, 0xf3),
	RW8(R_CCNTL1, "CCNTL1", 0, 0x8f),
	{ R_SBDL, 2, "SBDL", 0, 0, 0, sbdl_read, NULL },
	{ R_SCRATCHB, 4, "SCRATCHB", 0, 0xffffffff, 0, scratch_read, NULL },
	RW32(0x60, "SCRATCHC"), RW32(0x64, "SCRATCHD"), RW32(0x68, "SCRATCHE"),
	RW32(0x6c, "SCRATCHF"), RW32(0x70, "SCRATCHG"), RW32(0x74, "SCRATCHH"),
	RW32(0x78, "SCRATCHI"), RW32(0x7c, "SCRATCHJ"), RW32(0x80, "SCRATCHK"),
	RW32(0x84, "SCRATCHL"), RW32(0x88, "SCRATCHM"), RW32(0x8c, "SCRATCHN"),
	RW32(0x90, "SCRATCHO"), RW32(0x94, "SCRATCHP"), RW32(0x98, "SCRATCHQ"),
	RW32(0x9c, "SCRATCHR"),
	RW32(R_MMRS, "MMRS"),
	RW32(R_MMWS, "MMWS"),
	RW32(R_SFS, "SFS"),
	RW32(R_DRS, "DRS"),
	RW32(R_SBMS, "SBMS"),
	RW32(R_DBMS, "DBMS"),
	RW32(R_DNAD64, "DNAD64"),
	RW32(R_PMJAD1, "PMJAD1"),
	RW32(R_PMJAD2, "PMJAD2"),
	RW32(R_RBC, "RBC"),
	RW32(R_UA, "UA"),
	RW32(R_ESA, "ESA"),
	RW32(R_IA, "IA"),
	{ R_SBC, 4, "SBC", 0, 0, 0, NULL, NULL },
	RW32(R_CSBC, "CSBC"),
};

const struct reg_file lsi_regs = { rows, sizeof(rows) / sizeof(rows[0]), 256 };

uint32_t lsi_reg_read(struct lsi *l, unsigned off, unsigned size)
{
	return regs_read(&lsi_regs, l->s->regs, l, off & 0xff, size);
}

void lsi_reg_write(struct lsi *l, unsigned off, unsigned size, uint32_t val)
{
	regs_write(&lsi_regs, l->s->regs, l, off & 0xff, size, val);
}
