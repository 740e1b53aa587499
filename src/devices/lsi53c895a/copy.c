/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "devices/lsi53c895a/lsi.h"

/* Memory Move (manual 5.6) and Load and Store (5.7). */

static bool memory_move_begin(struct lsi *l)
{
	uint32_t *insn = l->s->insn, count = insn[0] & 0xffffff;

	/* reserved bits; source and destination must be aligned alike */
	if (insn[0] & 0x1e000000 || !count || (insn[1] ^ insn[2]) & 3)
		return false;
	l->s->move_src = lsi_addr(l, R_MMRS, insn[1]);
	l->s->move_dst = lsi_addr(l, R_MMWS, insn[2]);
	l->s->move_left = count;
	l->s->begun = BEGUN;
	return true;
}

static bool from_registers(const struct lsi *l, enum lsi_space from)
{
	uint64_t off;
	int bar = pci_bar_at(l->dev, from == SPACE_MEM, l->s->move_src, 1, &off);

	return bar >= 0 && bar != LSI_BAR_RAM;
}

/* How many bytes of registers were read already and wait to be written; 0: none. */
static size_t held(const struct lsi_state *s)
{
	if (s->begun != HELD || s->move_len > LSI_HELD || s->move_len > s->move_left)
		return 0;
	return s->move_len;
}

static void hold(struct lsi_state *s, const uint8_t *buf, size_t n)
{
	memcpy(&s->insn[1], buf, n);
	s->move_len = n;
	s->begun = HELD;
}

/* What moves at once: 0 and its length, or -errno. */
static int move_piece(struct lsi *l, enum lsi_space from, enum lsi_space to, size_t *ret_n)
{
	struct lsi_state *s = l->s;
	size_t n = held(s);
	int ret;

	if (n) {
		memcpy(l->chunk, &s->insn[1], n);
	} else {
		n = lsi_clip(l, from, s->move_src, min_u64(s->move_left, LSI_CHUNK));
		n = lsi_clip(l, to, s->move_dst, n);
		if (l->dev->dma && n > LSI_HELD && from_registers(l, from))
			n = min_u64(n, LSI_HELD);
		ret = lsi_mem_read(l, from, s->move_src, l->chunk, n);
		if (ret)
			return ret;
	}
	ret = lsi_mem_write(l, to, s->move_dst, l->chunk, n);
	if (ret == -EAGAIN && from_registers(l, from))
		hold(s, l->chunk, n);
	*ret_n = n;
	return ret;
}

/*
 * NOFLUSH (bit 24) concerns the prefetch unit, which is not modelled: every instruction is fetched
 * when its turn comes.
 */
enum lsi_done insn_memory_move(struct lsi *l)
{
	struct lsi_state *s = l->s;
	enum lsi_space from = *lsi_reg(l, R_DMODE) & DMODE_SIOM ? SPACE_IO : SPACE_MEM;
	enum lsi_space to = *lsi_reg(l, R_DMODE) & DMODE_DIOM ? SPACE_IO : SPACE_MEM;

	if (!s->begun && !memory_move_begin(l))
		return lsi_illegal(l);
	while (s->move_left) {
		size_t n;
		int ret;

		if (l->bytes <= 0)
			return INSN_AGAIN;
		ret = move_piece(l, from, to, &n);
		if (ret)
			return lsi_no_cycle(l, ret);
		pci_dma_forget(l->dev);
		if (s->begun == HELD)
			s->begun = BEGUN;
		l->bytes -= n;
		s->move_src += n;
		s->move_dst += n;
		s->move_left -= n;
	}
	return INSN_DONE;
}

#define LS_LOAD 0x01000000
#define LS_RELATIVE 0x10000000

/* Reading some of the registers clears them, so that a Store that waits keeps their bytes. */
static enum lsi_done store(struct lsi *l, uint64_t addr, unsigned reg, unsigned n)
{
	struct lsi_state *s = l->s;
	uint8_t buf[4];
	int ret;

	if (s->begun == HELD)
		memcpy(buf, &s->insn[2], n);
	else
		for (unsigned i = 0; i < n; i++)
			buf[i] = lsi_reg_read(l, reg + i, 1);
	ret = lsi_mem_write(l, SPACE_MEM, addr, buf, n);
	if (!ret)
		return INSN_DONE;
	if (ret == -EAGAIN) {
		memcpy(&s->insn[2], buf, n);
		s->move_dst = addr;
		s->move_left = n;
		s->begun = HELD;
	}
	return lsi_no_cycle(l, ret);
}

static enum lsi_done load(struct lsi *l, uint64_t addr, unsigned reg, unsigned n)
{
	uint8_t buf[4];
	int ret = lsi_mem_read(l, SPACE_MEM, addr, buf, n);

	if (ret)
		return lsi_no_cycle(l, ret);
	for (unsigned i = 0; i < n; i++)
		lsi_reg_write(l, reg + i, 1, buf[i]);
	return INSN_DONE;
}

enum lsi_done insn_load_store(struct lsi *l)
{
	uint32_t insn = l->s->insn[0];
	unsigned reg = insn >> 16 & 0xff, n = insn & 7;
	uint64_t addr = lsi_addr(l, insn & LS_LOAD ? R_MMRS : R_MMWS, l->s->insn[1]);

	if (insn & LS_RELATIVE)
		addr = lsi_addr(l, R_DRS, lsi_get32(l, R_DSA) + sext24(l->s->insn[1]));
	if (l->s->begun == HELD && !(insn & LS_LOAD))
		addr = l->s->move_dst;
	/* 1 to 4 bytes of one register dword, at the same place in a dword of memory */
	if (!n || (reg & 3) + n > 4 || (addr ^ reg) & 3)
		return lsi_illegal(l);
	l->bytes -= n;
	return insn & LS_LOAD ? load(l, addr, reg, n) : store(l, addr, reg, n);
}
