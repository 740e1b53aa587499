/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "base/num.h"
#include "devices/lsi53c895a/lsi.h"
#include "metrics/page.h"

/*
 * The SCRIPTS processor (manual chapter 5): fetch, dispatch, and the slices that it works in.  This
 * is the only loop over instructions, and nothing that an instruction does enters it again.
 */

typedef enum lsi_done insn_fn(struct lsi *l);

/* By the first word's bits 31 to 27: instruction type and opcode. */
static insn_fn *const kinds[32] = {
	[0x00 ... 0x07] = insn_block_move,
	[0x08 ... 0x0c] = insn_io,
	[0x0d ... 0x0f] = insn_read_write,
	[0x10 ... 0x17] = insn_transfer,
	[0x18 ... 0x1b] = insn_memory_move,
	[0x1c ... 0x1f] = insn_load_store,
};

void lsi_stop(struct lsi *l)
{
	l->s->run = RUN_STOPPED;
	l->s->live = 0;
	l->s->begun = 0;
	if (l->s->pace_deadline)
		pace_stop(l);
}

void lsi_start(struct lsi *l)
{
	pci_dma_forget(l->dev);	/* what a script before has asked for is not this one's */
	l->s->run = RUN_ACTIVE;
	l->s->live = 0;
	l->s->begun = 0;
	pace_go(l);
}

void lsi_wake(struct lsi *l, enum lsi_run state)
{
	if (l->s->run != state)
		return;
	l->s->run = RUN_ACTIVE;
	pace_go(l);
}

enum lsi_done lsi_wait(struct lsi *l, enum lsi_run state)
{
	l->s->run = state;
	return INSN_WAIT;
}

enum lsi_done lsi_illegal(struct lsi *l)
{
	pci_guest_error(l->dev, "SCRIPTS: illegal instruction");
	lsi_irq_dma(l, DSTAT_IID);
	return INSN_DONE;
}

/*
 * The bus cycle found nobody, or bus mastering is off (manual, DSTAT bit 5).  An engine that a
 * register read by this very instruction has stopped does not wait: the cycle is its last one.
 */
enum lsi_done lsi_no_cycle(struct lsi *l, int err)
{
	if (err == -EAGAIN) {
		pace_remote(l);
		return l->s->run == RUN_ACTIVE ? lsi_wait(l, RUN_WAIT_DMA) : INSN_DONE;
	}
	pci_guest_error(l->dev, "SCRIPTS: bus fault");
	lsi_irq_dma(l, DSTAT_BF);
	return INSN_DONE;
}

/* Has it a third word?  Memory Move, MOVE64 and JUMP64 do (manual 5.2, 5.5, 5.6). */
static bool has_third_word(const struct lsi *l, uint32_t insn)
{
	bool direct = !(insn & 0xf0000000);

	if (insn >> 29 == 6)
		return true;
	if (insn >> 27 == 0x10)
		return insn & 0x00400000;
	return direct && l->s->regs[R_CCNTL1] & CCNTL1_EN64DBMV;
}

/* The first two words, or the first alone when it is zero; 0 or -errno. */
static int fetch_first(struct lsi *l, uint64_t at, uint8_t *buf)
{
	int ret = lsi_mem_read(l, SPACE_MEM, at, buf, 8);

	if (!ret || ret == -EAGAIN)
		return ret;
	ret = lsi_mem_read(l, SPACE_MEM, at, buf, 4);
	return !ret && get_le32(buf) ? -EFAULT : ret;
}

/*
 * Fetches the instruction at DSP into insn[].  A first word of zero is skipped on its own, as
 * SeaBIOS's driver needs it: its script has such a word where it moves no data.  A script that lies
 * in the chip's registers may be stopped by an interrupt that reading them brings.
 */
static void fetch(struct lsi *l)
{
	uint64_t at = lsi_addr(l, R_SFS, lsi_get32(l, R_DSP));
	unsigned words = 2;
	uint8_t buf[8] = { 0 };
	int ret = fetch_first(l, at, buf);

	if (ret) {
		lsi_no_cycle(l, ret);
		return;
	}
	if (l->s->run != RUN_ACTIVE)
		return;
	l->s->insn_at = at;
	l->s->insn[0] = get_le32(buf);
	if (!l->s->insn[0]) {
		pci_dma_forget(l->dev);
		lsi_put32(l, R_DSP, at + 4);
		return;
	}
	l->s->insn[1] = get_le32(buf + 4);
	if (has_third_word(l, l->s->insn[0])) {
		ret = lsi_mem_read(l, SPACE_MEM, at + 8, buf, 4);
		if (ret) {
			lsi_no_cycle(l, ret);
			return;
		}
		if (l->s->run != RUN_ACTIVE)
			return;
		l->s->insn[2] = get_le32(buf);
		words = 3;
	}
	pci_dma_forget(l->dev);
	lsi_put32(l, R_DSP, at + 4 * words);
	lsi_put32(l, R_DBC, l->s->insn[0]);	/* and DCMD, its upper byte */
	lsi_put32(l, R_DSPS, l->s->insn[1]);
	l->s->live = 1;
	l->s->begun = 0;
}

/* Bytes that a disk had at hand, and that the instruction has waited for. */
static void charge_reads(struct lsi *l)
{
	unsigned count;

	l->bytes -= scsi_read_now(l->scsi, &count);
	l->reads += count;
}

/* One instruction, or a part of one. */
static void step(struct lsi *l)
{
	enum lsi_done done;

	l->insns--;
	if (!l->s->live)
		fetch(l);
	if (l->s->live) {
		done = kinds[l->s->insn[0] >> 27](l);
		if (done == INSN_DONE) {
			pci_dma_forget(l->dev);
			l->s->live = 0;
			l->s->begun = 0;
			if (l->s->run == RUN_ACTIVE && *lsi_reg(l, R_DCNTL) & DCNTL_SSM)
				lsi_irq_dma(l, DSTAT_SSI);
		}
	}
	if (l->s->pend)
		lsi_settle(l);
	charge_reads(l);
}

static void count_slice(struct lsi *l)
{
	unsigned insns = LSI_SLICE_INSNS - l->insns, bytes = LSI_SLICE_BYTES - l->bytes;

	pace_charge(l, insns, bytes);
	for (; l->reads; l->reads--)
		pace_io(l);
	l->slices++;
	metrics_count(METRIC_SCRIPTS_SLICES);
	metrics_add(METRIC_SCRIPTS_INSTRUCTIONS, insns);
	if (insns > l->max_slice_insns)
		l->max_slice_insns = insns;
	if (bytes > l->max_slice_bytes)
		l->max_slice_bytes = bytes;
}

void lsi_slice(void *opaque)
{
	struct lsi *l = opaque;

	l->in_slice = true;
	l->insns = LSI_SLICE_INSNS;
	l->bytes = LSI_SLICE_BYTES;
	while (l->s->run == RUN_ACTIVE && l->insns > 0 && l->bytes > 0)
		step(l);
	count_slice(l);
	bus_reselect_idle(l);
	l->in_slice = false;
	if (l->s->run == RUN_ACTIVE)
		pace_go(l);
}
