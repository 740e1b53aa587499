/* SPDX-License-Identifier: GPL-2.0-or-later */
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
	l->s->begun = 1;
	return true;
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
		size_t n = min_u64(s->move_left, LSI_CHUNK);

		if (l->bytes <= 0)
			return INSN_AGAIN;
		n = lsi_clip(l, from, s->move_src, n);
		n = lsi_clip(l, to, s->move_dst, n);
		if (lsi_mem_read(l, from, s->move_src, l->chunk, n) ||
		    lsi_mem_write(l, to, s->move_dst, l->chunk, n))
			return lsi_bus_fault(l);
		l->bytes -= n;
		s->move_src += n;
		s->move_dst += n;
		s->move_left -= n;
	}
	return INSN_DONE;
}

#define LS_LOAD 0x01000000
#define LS_RELATIVE 0x10000000

enum lsi_done insn_load_store(struct lsi *l)
{
	uint32_t insn = l->s->insn[0];
	unsigned reg = insn >> 16 & 0xff, n = insn & 7;
	uint64_t addr = lsi_addr(l, insn & LS_LOAD ? R_MMRS : R_MMWS, l->s->insn[1]);
	uint8_t buf[4];

	if (insn & LS_RELATIVE)
		addr = lsi_addr(l, R_DRS, lsi_get32(l, R_DSA) + sext24(l->s->insn[1]));
	/* 1 to 4 bytes of one register dword, at the same place in a dword of memory */
	if (!n || (reg & 3) + n > 4 || (addr ^ reg) & 3)
		return lsi_illegal(l);
	l->bytes -= n;
	if (insn & LS_LOAD) {
		if (lsi_mem_read(l, SPACE_MEM, addr, buf, n))
			return lsi_bus_fault(l);
		for (unsigned i = 0; i < n; i++)
			lsi_reg_write(l, reg + i, 1, buf[i]);
		return INSN_DONE;
	}
	for (unsigned i = 0; i < n; i++)
		buf[i] = lsi_reg_read(l, reg + i, 1);
	return lsi_mem_write(l, SPACE_MEM, addr, buf, n) ? lsi_bus_fault(l) : INSN_DONE;
}
