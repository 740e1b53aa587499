/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/lsi53c895a/lsi.h"

/*
 * Interrupts (manual 2.2.15).  The first one shows in SIST or DSTAT and sets SIP or DIP; what comes
 * while one of those is set is stacked behind, and comes up when all of the first level was read.
 * A nonfatal SCSI interrupt that is masked only shows in SIST: neither SIP nor the pin.
 */

#define SIST_NONFATAL (SIST_CMP | SIST_SEL | SIST_RSL | SIST_GEN | SIST_HTH)

static unsigned sien(struct lsi *l)
{
	return *lsi_reg(l, R_SIEN0) | *lsi_reg(l, R_SIEN1) << 8;
}

static unsigned sist(struct lsi *l)
{
	return *lsi_reg(l, R_SIST0) | *lsi_reg(l, R_SIST1) << 8;
}

static void post_scsi(struct lsi *l, unsigned bits)
{
	*lsi_reg(l, R_SIST0) |= bits;
	*lsi_reg(l, R_SIST1) |= bits >> 8;
	if (bits & (~SIST_NONFATAL | sien(l)))
		*lsi_reg(l, R_ISTAT0) |= ISTAT0_SIP;
}

static void post_dma(struct lsi *l, unsigned bits)
{
	*lsi_reg(l, R_DSTAT) |= bits;
	if (bits)
		*lsi_reg(l, R_ISTAT0) |= ISTAT0_DIP;
}

void lsi_irq_scsi(struct lsi *l, unsigned bits)
{
	if (*lsi_reg(l, R_ISTAT0) & (ISTAT0_SIP | ISTAT0_DIP))
		l->s->stacked_sist |= bits;
	else
		post_scsi(l, bits);
	if (bits & (~SIST_NONFATAL | sien(l)))
		lsi_stop(l);
	lsi_irq_update(l);
}

void lsi_irq_dma(struct lsi *l, unsigned bits)
{
	if (*lsi_reg(l, R_ISTAT0) & (ISTAT0_SIP | ISTAT0_DIP))
		l->s->stacked_dstat |= bits;
	else
		post_dma(l, bits);
	lsi_stop(l);
	lsi_irq_update(l);
}

static bool pin_level(struct lsi *l)
{
	uint8_t istat = *lsi_reg(l, R_ISTAT0);

	if (*lsi_reg(l, R_DCNTL) & DCNTL_IRQD || *lsi_reg(l, R_ISTAT1) & ISTAT1_SI)
		return false;
	return istat & ISTAT0_INTF || (istat & ISTAT0_SIP && sist(l) & sien(l)) ||
	       (istat & ISTAT0_DIP && *lsi_reg(l, R_DSTAT) & *lsi_reg(l, R_DIEN));
}

/* After anything that interrupts depend on has changed. */
void lsi_irq_update(struct lsi *l)
{
	uint8_t *istat = lsi_reg(l, R_ISTAT0);

	if (!sist(l))
		*istat &= ~ISTAT0_SIP;
	if (!*lsi_reg(l, R_DSTAT))
		*istat &= ~ISTAT0_DIP;
	if (!(*istat & (ISTAT0_SIP | ISTAT0_DIP)) && (l->s->stacked_sist || l->s->stacked_dstat)) {
		unsigned sist_bits = l->s->stacked_sist, dstat_bits = l->s->stacked_dstat;

		l->s->stacked_sist = 0;
		l->s->stacked_dstat = 0;
		/* the pin drops for a moment, so that an edge tells of the second interrupt */
		pci_set_intx(l->dev, *istat & ISTAT0_INTF && pin_level(l));
		post_scsi(l, sist_bits);
		post_dma(l, dstat_bits);
	}
	pci_set_intx(l->dev, pin_level(l));
}
