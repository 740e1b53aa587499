/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "devices/lsi53c895a/lsi.h"
#include "devices/lsi53c895a/lsi53c895a.h"

/* The PCI function: BARs, resets, timers. */

/* ---- timers (manual, STIME0 and STIME1) ---- */

/* Code 1 is 125 us, each further one doubles; the scale bit is a factor of 16.  ns, 0: disabled. */
static int64_t timer_period(unsigned code, bool scale)
{
	return code ? (125000LL << (code - 1)) * (scale ? 16 : 1) : 0;
}

static void timer_arm(struct lsi *l, struct loop_timer *timer, int64_t *deadline, int64_t period)
{
	*deadline = period ? loop_now() + period : 0;
	if (period)
		loop_timer_set(l->dev->host.loop, timer, *deadline);
	else
		loop_timer_cancel(l->dev->host.loop, timer);
}

void lsi_timer_gen(struct lsi *l)
{
	uint8_t stime1 = *lsi_reg(l, R_STIME1);

	timer_arm(l, &l->gen, &l->s->gen_deadline, timer_period(stime1 & 0xf, stime1 & 0x20));
}

/* Runs while connected; every handshake starts it anew. */
void lsi_timer_hth(struct lsi *l)
{
	unsigned code = l->s->bus.connected ? *lsi_reg(l, R_STIME0) >> 4 : 0;

	if (code || l->s->hth_deadline)
		timer_arm(l, &l->hth, &l->s->hth_deadline,
			  timer_period(code, *lsi_reg(l, R_STIME1) & 0x10));
}

static void gen_expired(void *opaque)
{
	struct lsi *l = opaque;

	l->s->gen_deadline = 0;
	lsi_irq_scsi(l, SIST_GEN);
	lsi_settle(l);
}

static void hth_expired(void *opaque)
{
	struct lsi *l = opaque;

	l->s->hth_deadline = 0;
	lsi_irq_scsi(l, SIST_HTH);
	lsi_settle(l);
}

/* ---- resets ---- */

/* Registers and engine as after power-on; the script RAM keeps its contents. */
static void chip_reset(struct lsi *l)
{
	lsi_stop(l);
	loop_work_cancel(l->dev->host.loop, &l->work);
	loop_timer_cancel(l->dev->host.loop, &l->gen);
	loop_timer_cancel(l->dev->host.loop, &l->hth);
	l->s->gen_deadline = l->s->hth_deadline = 0;
	pace_reset(l);
	l->s->pend = 0;
	l->s->carry = 0;
	l->s->stacked_dstat = 0;
	l->s->stacked_sist = 0;
	regs_reset(&lsi_regs, l->s->regs);
	lsi_irq_update(l);
}

/*
 * ISTAT0.SRST.  The targets are not told, but the initiator that their commands belong to is gone:
 * they are dropped, so that no command of before reaches into what the driver does next.
 */
static void soft_reset(struct lsi *l)
{
	bus_abort_all(l);
	chip_reset(l);
}

/* SCNTL1.RST: the chip drives RST# and sees it itself. */
static void drive_reset(struct lsi *l)
{
	bus_reset(l, false);
	lsi_irq_scsi(l, SIST_RST);
}

static void abort_operation(struct lsi *l)
{
	lsi_irq_dma(l, DSTAT_ABRT);
}

static void signal_process(struct lsi *l)
{
	lsi_wake(l, RUN_WAIT_RESELECT);
}

void lsi_settle(struct lsi *l)
{
	static const struct {
		uint8_t mark;
		void (*fn)(struct lsi *l);
	} order[] = {
		{ PEND_SOFT_RESET, soft_reset },	/* takes the other marks along */
		{ PEND_BUS_RESET, drive_reset },
		{ PEND_ABORT, abort_operation },
		{ PEND_IRQ, lsi_irq_update },
		{ PEND_START, lsi_start },
		{ PEND_SIGP, signal_process },
	};

	for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		if (!(l->s->pend & order[i].mark))
			continue;
		l->s->pend &= ~order[i].mark;
		order[i].fn(l);
	}
	bus_reselect_idle(l);
}

static void lsi_reset(struct pci_dev *dev)
{
	struct lsi *l = lsi_of(dev);

	bus_reset(l, true);
	chip_reset(l);
	memset(l->s->ram, 0, sizeof(l->s->ram));
	/* the value that QEMU's function has there */
	l->s->pci.config[PCI_LATENCY_TIMER] = 0xff;
}

/* ---- BARs ---- */

static uint64_t lsi_read(struct pci_dev *dev, unsigned bar, uint64_t off, unsigned size)
{
	struct lsi *l = lsi_of(dev);
	uint32_t val = 0;

	pace_access(l);
	if (bar == LSI_BAR_RAM) {
		memcpy(&val, l->s->ram + off, size);
		return le32toh(val);
	}
	val = lsi_reg_read(l, off, size);
	lsi_settle(l);
	return val;
}

static void lsi_write(struct pci_dev *dev, unsigned bar, uint64_t off, unsigned size, uint64_t val)
{
	struct lsi *l = lsi_of(dev);
	uint32_t le = htole32(val);

	pace_access(l);
	if (bar == LSI_BAR_RAM) {
		memcpy(l->s->ram + off, &le, size);
		return;
	}
	lsi_reg_write(l, off, size, val);
	lsi_settle(l);
}

/* ---- making one ---- */

static void resume(struct lsi *l)
{
	/* whoever was asked for it is another's, or is gone: the step is made again */
	if (l->s->run == RUN_WAIT_DMA)
		l->s->run = RUN_ACTIVE;
	if (l->s->gen_deadline)
		loop_timer_set(l->dev->host.loop, &l->gen, l->s->gen_deadline);
	if (l->s->hth_deadline)
		loop_timer_set(l->dev->host.loop, &l->hth, l->s->hth_deadline);
	pace_resume(l);
}

static int lsi_realize(struct pci_dev *dev)
{
	struct lsi *l = calloc(1, sizeof(*l));
	const struct scsi_bus_setup *setup = dev->scsi_config;

	if (!l)
		return -ENOMEM;
	l->dev = dev;
	l->s = (struct lsi_state *)dev->state;
	if (!lsi_state_ok(l->s)) {
		free(l);
		return -EINVAL;
	}
	l->work = (struct loop_work){ .fn = lsi_slice, .opaque = l };
	l->gen = (struct loop_timer){ .fn = gen_expired, .opaque = l };
	l->hth = (struct loop_timer){ .fn = hth_expired, .opaque = l };
	l->pace = (struct loop_timer){ .fn = pace_expired, .opaque = l };
	l->scsi = scsi_bus_create(setup ? setup : &l->no_units, &l->s->scsi, &lsi_scsi_ops, l,
				  dev->host.loop);
	if (!l->scsi) {
		int err = errno;

		free(l);
		return -err;
	}
	dev->priv = l;
	l->nexus_end = SCSI_MAX_REQS;	/* a predecessor's state may have any */
	if (l->s->initialized) {
		resume(l);
		return 0;
	}
	l->s->initialized = 1;
	pace_reset(l);
	regs_reset(&lsi_regs, l->s->regs);
	l->s->pci.config[PCI_LATENCY_TIMER] = 0xff;
	return 0;
}

static void lsi_unrealize(struct pci_dev *dev)
{
	struct lsi *l = lsi_of(dev);

	if (!l)
		return;
	loop_work_cancel(dev->host.loop, &l->work);
	loop_timer_cancel(dev->host.loop, &l->gen);
	loop_timer_cancel(dev->host.loop, &l->hth);
	loop_timer_cancel(dev->host.loop, &l->pace);
	scsi_bus_destroy(l->scsi);
	free(l);
	dev->priv = NULL;
}

static void timer_shift(struct lsi *l, struct loop_timer *timer, int64_t *deadline, int64_t ns)
{
	if (!*deadline)
		return;
	/* a predecessor's may be any */
	if (__builtin_add_overflow(*deadline, ns, deadline))
		*deadline = INT64_MAX;
	loop_timer_set(l->dev->host.loop, timer, *deadline);
}

/* A guest that did not run has not let the chip wait. */
static void lsi_stood_still(struct pci_dev *dev, int64_t ns)
{
	struct lsi *l = lsi_of(dev);

	timer_shift(l, &l->gen, &l->s->gen_deadline, ns);
	timer_shift(l, &l->hth, &l->s->hth_deadline, ns);
	timer_shift(l, &l->pace, &l->s->pace_deadline, ns);
}

static void lsi_dma_ready(struct pci_dev *dev)
{
	lsi_wake(lsi_of(dev), RUN_WAIT_DMA);
}

static void lsi_retry(struct pci_dev *dev, bool later)
{
	if (later)
		scsi_retry_later(lsi_of(dev)->scsi);
	else
		scsi_retry_held(lsi_of(dev)->scsi);
}

static struct scsi_bus *lsi_scsi_bus(struct pci_dev *dev)
{
	return lsi_of(dev)->scsi;
}

/* QEMU gives both chips the same BARs and subsystem, and so do we. */
#define LSI_CLASS(qemu_name, text, id)                                                             \
	{                                                                                          \
		.name = qemu_name, .desc = text, .vendor = 0x1000, .device = id,                   \
		.subsystem_vendor = 0, .subsystem = 0x1000, .class_code = 0x010000,                \
		.has_irq = true, .has_scsi_bus = true, .max_access = 4,                            \
		.regs = &lsi_regs, .regs_bar = LSI_BAR_REGS,                                       \
		.bar = {                                                                           \
			[LSI_BAR_IO] = { PCI_BAR_IO, 256 },                                        \
			[LSI_BAR_REGS] = { PCI_BAR_MEM, 0x400 },                                   \
			[LSI_BAR_RAM] = { PCI_BAR_MEM, LSI_RAM_SIZE },                             \
		},                                                                                 \
		.state_version = LSI_STATE_VERSION, .state_size = sizeof(struct lsi_state),        \
		.realize = lsi_realize, .unrealize = lsi_unrealize, .reset = lsi_reset,            \
		.read = lsi_read, .write = lsi_write, .retry = lsi_retry,                         \
		.dma_ready = lsi_dma_ready, .scsi_bus = lsi_scsi_bus,                              \
		.stood_still = lsi_stood_still,                                                    \
	}

const struct pci_class lsi53c895a_class =
	LSI_CLASS("lsi53c895a", "LSI Logic 53C895A SCSI host adapter", 0x0012);
const struct pci_class lsi53c810_class =
	LSI_CLASS("lsi53c810", "LSI Logic 53C810 SCSI host adapter", 0x0001);
