/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "devices/edu/edu-priv.h"
#include "event/loop.h"
#include "pci/regs.h"

#define EDU_BUF_AT 0x40000u	/* where the device's own memory stands in its address space */
#define EDU_DMA_MASK 0x0fffffffu	/* it drives 28 address lines */
#define EDU_DMA_DELAY (100 * LOOP_MS)

enum {
	EDU_STATUS_COMPUTING = 0x01,
	EDU_STATUS_IRQ_WHEN_DONE = 0x80,
	EDU_IRQ_FACTORIAL = 0x001,
	EDU_IRQ_DMA = 0x100,
	EDU_DMA_START = 1,
	EDU_DMA_TO_RAM = 2,
	EDU_DMA_IRQ = 4,
};

/* Register offsets that the hooks name. */
enum {
	R_FACTORIAL = 0x08, R_STATUS = 0x20, R_IRQ_STATUS = 0x24,
	R_DMA_SRC = 0x80, R_DMA_DST = 0x88, R_DMA_COUNT = 0x90, R_DMA_CMD = 0x98,
};

/* What a successor process makes anew. */
struct edu {
	struct pci_dev *dev;
	struct edu_state *s;
	struct loop_work compute;
	struct loop_timer dma;
};

static uint32_t reg_get(const struct edu *edu, unsigned off)
{
	return get_le32(edu->s->regs + off);
}

static void reg_set(struct edu *edu, unsigned off, uint32_t val)
{
	put_le32(edu->s->regs + off, val);
}

/* The message vectors of interrupt bits, one each; those above the last vector share it. */
static uint32_t irq_vectors(const struct edu *edu, uint32_t bits)
{
	unsigned last = edu->dev->cls->msi_vectors - 1;

	return (bits & ((1u << last) - 1)) | (bits >> last ? 1u << last : 0);
}

/* A message for each bit that is new, or INTx by level. */
static void irq_raise(struct edu *edu, uint32_t bits)
{
	uint32_t old = reg_get(edu, R_IRQ_STATUS);
	uint32_t vectors = irq_vectors(edu, bits & ~old);

	reg_set(edu, R_IRQ_STATUS, old | bits);
	for (; vectors; vectors &= vectors - 1)
		if (!pci_irq_message(edu->dev, __builtin_ctz(vectors)))
			pci_set_intx(edu->dev, true);
}

static void liveness_written(void *chip, const struct reg_def *reg, uint32_t old, uint32_t raw,
			     unsigned bytes)
{
	reg_set(chip, reg->off, ~raw);
}

/* The computation is not done here: a register access has to be answered at once. */
static void factorial_written(void *chip, const struct reg_def *reg, uint32_t old, uint32_t raw,
			      unsigned bytes)
{
	struct edu *edu = chip;

	if (reg_get(edu, R_STATUS) & EDU_STATUS_COMPUTING)
		return;
	reg_set(edu, R_FACTORIAL, raw);
	reg_set(edu, R_STATUS, reg_get(edu, R_STATUS) | EDU_STATUS_COMPUTING);
	loop_work_queue(edu->dev->host.loop, &edu->compute);
}

static void irq_raise_written(void *chip, const struct reg_def *reg, uint32_t old, uint32_t raw,
			      unsigned bytes)
{
	irq_raise(chip, raw);
}

static void irq_ack_written(void *chip, const struct reg_def *reg, uint32_t old, uint32_t raw,
			    unsigned bytes)
{
	struct edu *edu = chip;
	uint32_t was = reg_get(edu, R_IRQ_STATUS), now = was & ~raw;
	uint32_t settled = irq_vectors(edu, was) & ~irq_vectors(edu, now);

	reg_set(edu, R_IRQ_STATUS, now);
	for (; settled; settled &= settled - 1)
		pci_irq_settled(edu->dev, __builtin_ctz(settled));
	if (!now)
		pci_set_intx(edu->dev, false);
}

/* While a transfer is under way its parameters stay as they were. */
static void dma_param_written(void *chip, const struct reg_def *reg, uint32_t old, uint32_t raw,
			      unsigned bytes)
{
	struct edu *edu = chip;

	if (edu->s->dma_deadline)
		reg_set(edu, reg->off, old);
}

static void dma_cmd_written(void *chip, const struct reg_def *reg, uint32_t old, uint32_t raw,
			    unsigned bytes)
{
	struct edu *edu = chip;

	if (edu->s->dma_deadline) {
		reg_set(edu, reg->off, old);
		return;
	}
	if (!(raw & EDU_DMA_START))
		return;
	edu->s->dma_deadline = loop_now() + EDU_DMA_DELAY;
	loop_timer_set(edu->dev->host.loop, &edu->dma, edu->s->dma_deadline);
}

#define ALL 0xffffffffu

static const struct reg_def edu_regs[] = {
	{ 0x00, 4, "ID", .reset = 0x010000ed },
	{ 0x04, 4, "LIVENESS", .write = liveness_written },
	{ R_FACTORIAL, 4, "FACTORIAL", .write = factorial_written },
	{ R_STATUS, 4, "STATUS", .wmask = EDU_STATUS_IRQ_WHEN_DONE },
	{ R_IRQ_STATUS, 4, "IRQ_STATUS" },
	{ 0x60, 4, "IRQ_RAISE", .write = irq_raise_written },
	{ 0x64, 4, "IRQ_ACK", .write = irq_ack_written },
	{ R_DMA_SRC, 4, "DMA_SRC", .wmask = ALL, .write = dma_param_written },
	{ R_DMA_SRC + 4, 4, "DMA_SRC_HI", .wmask = ALL, .write = dma_param_written },
	{ R_DMA_DST, 4, "DMA_DST", .wmask = ALL, .write = dma_param_written },
	{ R_DMA_DST + 4, 4, "DMA_DST_HI", .wmask = ALL, .write = dma_param_written },
	{ R_DMA_COUNT, 4, "DMA_COUNT", .wmask = ALL, .write = dma_param_written },
	{ R_DMA_COUNT + 4, 4, "DMA_COUNT_HI", .wmask = ALL, .write = dma_param_written },
	{ R_DMA_CMD, 4, "DMA_CMD", .wmask = EDU_DMA_START | EDU_DMA_TO_RAM | EDU_DMA_IRQ,
	  .write = dma_cmd_written },
};

const struct reg_file edu_file = {
	.regs = edu_regs, .count = sizeof(edu_regs) / sizeof(edu_regs[0]), .size = EDU_REGS_SIZE,
};

/* n! modulo 2^32; from 34! on it is 0, which bounds the loop whatever the guest asks for. */
static uint32_t factorial(uint32_t n)
{
	uint32_t product = 1;

	for (; n > 1 && product; n--)
		product *= n;
	return product;
}

static void compute_run(void *opaque)
{
	struct edu *edu = opaque;

	reg_set(edu, R_FACTORIAL, factorial(reg_get(edu, R_FACTORIAL)));
	reg_set(edu, R_STATUS, reg_get(edu, R_STATUS) & ~(uint32_t)EDU_STATUS_COMPUTING);
	if (reg_get(edu, R_STATUS) & EDU_STATUS_IRQ_WHEN_DONE)
		irq_raise(edu, EDU_IRQ_FACTORIAL);
}

/*
 * Moves the bytes of one transfer: 0 or -errno.  A range outside the device's memory is the guest's
 * mistake.
 */
static int dma_move(struct edu *edu, bool to_ram)
{
	uint64_t src = get_le64(edu->s->regs + R_DMA_SRC), dst = get_le64(edu->s->regs + R_DMA_DST);
	uint64_t count = get_le64(edu->s->regs + R_DMA_COUNT);
	uint64_t own = to_ram ? src : dst, ram = (to_ram ? dst : src) & EDU_DMA_MASK;

	if (own < EDU_BUF_AT || !range_fits(own - EDU_BUF_AT, count, EDU_BUF_SIZE))
		return -EINVAL;
	if (to_ram)
		return pci_dma_write(edu->dev, ram, edu->s->buf + (own - EDU_BUF_AT), count);
	return pci_dma_read(edu->dev, ram, edu->s->buf + (own - EDU_BUF_AT), count);
}

/* One access is all of a transfer, so that it can be made again as long as it is under way. */
static void dma_run(void *opaque)
{
	struct edu *edu = opaque;
	uint32_t cmd = reg_get(edu, R_DMA_CMD);
	int ret = dma_move(edu, cmd & EDU_DMA_TO_RAM);

	if (ret == -EAGAIN)
		return;
	pci_dma_forget(edu->dev);
	if (ret)
		pci_guest_error(edu->dev, "edu: DMA outside guest RAM or the device's buffer");
	edu->s->dma_deadline = 0;
	reg_set(edu, R_DMA_CMD, cmd & ~(uint32_t)EDU_DMA_START);
	if (cmd & EDU_DMA_IRQ)
		irq_raise(edu, EDU_IRQ_DMA);
}

void edu_dma_ready(struct pci_dev *dev)
{
	struct edu *edu = dev->priv;

	if (loop_held(dev->host.loop))
		loop_timer_set(dev->host.loop, &edu->dma, edu->s->dma_deadline);
	else
		dma_run(edu);
}

void edu_stood_still(struct pci_dev *dev, int64_t ns)
{
	struct edu *edu = dev->priv;

	if (!edu->s->dma_deadline)
		return;
	/* a predecessor's may be any */
	if (__builtin_add_overflow(edu->s->dma_deadline, ns, &edu->s->dma_deadline))
		edu->s->dma_deadline = INT64_MAX;
	if (edu->dma.armed)
		loop_timer_set(dev->host.loop, &edu->dma, edu->s->dma_deadline);
}

static void edu_stop(struct edu *edu)
{
	loop_work_cancel(edu->dev->host.loop, &edu->compute);
	loop_timer_cancel(edu->dev->host.loop, &edu->dma);
}

void edu_reset(struct pci_dev *dev)
{
	struct edu *edu = dev->priv;

	edu_stop(edu);
	regs_reset(&edu_file, edu->s->regs);
	memset(edu->s->buf, 0, sizeof(edu->s->buf));
	edu->s->dma_deadline = 0;
}

/* Goes on with what a predecessor had under way. */
static void edu_resume(struct edu *edu)
{
	if (edu->s->dma_deadline)
		loop_timer_set(edu->dev->host.loop, &edu->dma, edu->s->dma_deadline);
	if (reg_get(edu, R_STATUS) & EDU_STATUS_COMPUTING)
		loop_work_queue(edu->dev->host.loop, &edu->compute);
}

int edu_realize(struct pci_dev *dev)
{
	struct edu *edu;

	if (((struct edu_state *)dev->state)->dma_deadline < 0)
		return -EINVAL;
	edu = calloc(1, sizeof(*edu));
	if (!edu)
		return -ENOMEM;
	edu->dev = dev;
	edu->s = (struct edu_state *)dev->state;
	edu->compute = (struct loop_work){ .fn = compute_run, .opaque = edu };
	edu->dma = (struct loop_timer){ .fn = dma_run, .opaque = edu };
	dev->priv = edu;
	if (dev->taken_over)
		edu_resume(edu);
	else
		edu_reset(dev);
	return 0;
}

void edu_unrealize(struct pci_dev *dev)
{
	edu_stop(dev->priv);
	free(dev->priv);
}

/* BAR 0 has the registers; what is not MSI-X's in BAR 2 reads as zero. */
uint64_t edu_read(struct pci_dev *dev, unsigned bar, uint64_t off, unsigned size)
{
	struct edu *edu = dev->priv;

	return bar ? 0 : regs_read(&edu_file, edu->s->regs, edu, off, size);
}

void edu_write(struct pci_dev *dev, unsigned bar, uint64_t off, unsigned size, uint64_t val)
{
	struct edu *edu = dev->priv;

	if (!bar)
		regs_write(&edu_file, edu->s->regs, edu, off, size, val);
}
