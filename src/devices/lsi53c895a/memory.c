/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "devices/lsi53c895a/lsi.h"

/*
 * The chip as bus master.  A script may name the chip's own registers and RAM (manual 5.7.1): those
 * are served here, without a bus cycle and without entering the engine again.
 */

uint64_t lsi_addr(const struct lsi *l, unsigned sel, uint32_t low)
{
	if (l->s->regs[R_CCNTL1] & CCNTL1_DDAC)
		return low;
	return (uint64_t)lsi_get32(l, sel) << 32 | low;
}

/* How many bytes the next access to the register file takes: as wide as alignment allows. */
static unsigned reg_step(uint64_t off, size_t len)
{
	if (!(off & 3) && len >= 4)
		return 4;
	return !(off & 1) && len >= 2 ? 2 : 1;
}

static void own_read(struct lsi *l, int bar, uint64_t off, uint8_t *buf, size_t len)
{
	if (bar == LSI_BAR_RAM) {
		memcpy(buf, l->s->ram + off, len);
		return;
	}
	while (len) {
		unsigned n = reg_step(off, len);
		uint32_t val = lsi_reg_read(l, off, n);

		l->bytes -= LSI_REG_COST;
		for (unsigned i = 0; i < n; i++)
			*buf++ = val >> (8 * i);
		off += n;
		len -= n;
	}
}

static void own_write(struct lsi *l, int bar, uint64_t off, const uint8_t *buf, size_t len)
{
	if (bar == LSI_BAR_RAM) {
		memcpy(l->s->ram + off, buf, len);
		return;
	}
	while (len) {
		unsigned n = reg_step(off, len);
		uint32_t val = 0;

		for (unsigned i = 0; i < n; i++)
			val |= (uint32_t)*buf++ << (8 * i);
		l->bytes -= LSI_REG_COST;
		lsi_reg_write(l, off, n, val);
		off += n;
		len -= n;
	}
}

size_t lsi_clip(struct lsi *l, enum lsi_space space, uint64_t addr, size_t len)
{
	uint64_t off;
	int bar;

	if (space == SPACE_MEM && !pci_bars_near(l->dev, addr, len))
		return pci_dma_clip(l->dev, addr, len);
	bar = pci_bar_at(l->dev, space == SPACE_MEM, addr, 1, &off);
	len = pci_bar_clip(l->dev, space == SPACE_MEM, addr, len);
	if (bar < 0)
		return space == SPACE_MEM ? pci_dma_clip(l->dev, addr, len) : len;
	return bar == LSI_BAR_RAM ? len : min_u64(len, LSI_REG_CHUNK);
}

/* One bus cycle is in one place: memory that a BAR lies over is not reached by running into it. */
int lsi_mem_read(struct lsi *l, enum lsi_space space, uint64_t addr, void *buf, size_t len)
{
	uint64_t off;
	int bar;

	if (!pci_bus_master(l->dev))
		return -EPERM;
	if (space == SPACE_MEM && !pci_bars_near(l->dev, addr, len))
		return pci_dma_read(l->dev, addr, buf, len);
	bar = pci_bar_at(l->dev, space == SPACE_MEM, addr, len, &off);
	if (bar >= 0)
		own_read(l, bar, off, buf, len);
	else if (space == SPACE_IO || pci_bar_clip(l->dev, true, addr, len) < len)
		return -EFAULT;
	else
		return pci_dma_read(l->dev, addr, buf, len);
	return 0;
}

int lsi_mem_write(struct lsi *l, enum lsi_space space, uint64_t addr, const void *buf, size_t len)
{
	uint64_t off;
	int bar;

	if (!pci_bus_master(l->dev))
		return -EPERM;
	if (space == SPACE_MEM && !pci_bars_near(l->dev, addr, len))
		return pci_dma_write(l->dev, addr, buf, len);
	bar = pci_bar_at(l->dev, space == SPACE_MEM, addr, len, &off);
	if (bar >= 0)
		own_write(l, bar, off, buf, len);
	else if (space == SPACE_IO || pci_bar_clip(l->dev, true, addr, len) < len)
		return -EFAULT;
	else
		return pci_dma_write(l->dev, addr, buf, len);
	return 0;
}
