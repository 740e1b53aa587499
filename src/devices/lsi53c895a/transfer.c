/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/lsi53c895a/lsi.h"

/* Transfer Control instructions (manual 5.5): JUMP, CALL, RETURN, INT and INTFLY on a condition. */

#define TC_RELATIVE 0x00800000
#define TC_64 0x00400000
#define TC_CARRY 0x00200000
#define TC_FLY 0x00100000
#define TC_TRUE 0x00080000
#define TC_DATA 0x00040000
#define TC_PHASE 0x00020000
#define TC_WAIT 0x00010000

enum { JUMP, CALL, RETURN, INTERRUPT };

static bool data_matches(struct lsi *l, uint32_t insn)
{
	uint8_t care = ~(insn >> 8);

	return (*lsi_reg(l, R_SFBR) & care) == (insn & care);
}

/*
 * Each comparison asked for must come out as bit 19 says; without any, the instruction is taken
 * when bit 19 is set and is a NOP when it is clear.
 */
static bool taken(struct lsi *l, uint32_t insn)
{
	bool want = insn & TC_TRUE;

	if (!(insn & (TC_CARRY | TC_DATA | TC_PHASE)))
		return want;
	if (insn & TC_CARRY && (l->s->carry != 0) != want)
		return false;
	if (insn & TC_PHASE && (l->s->bus.phase == (insn >> 24 & 7)) != want)
		return false;
	return !(insn & TC_DATA) || data_matches(l, insn) == want;
}

static enum lsi_done transfer(struct lsi *l, unsigned opcode)
{
	uint32_t insn = l->s->insn[0], addr = l->s->insn[1], next = lsi_get32(l, R_DSP);

	if (insn & TC_RELATIVE && opcode <= CALL) {
		addr = next + sext24(addr);
		lsi_put32(l, R_ADDER, addr);
	}
	switch (opcode) {
	case CALL:
		lsi_put32(l, R_TEMP, next);
		lsi_put32(l, R_DSP, addr);
		break;
	case JUMP:
		if (insn & TC_64)
			lsi_put32(l, R_SFS, l->s->insn[2]);
		lsi_put32(l, R_DSP, addr);
		break;
	case RETURN:
		lsi_put32(l, R_DSP, lsi_get32(l, R_TEMP));
		break;
	default:
		if (insn & TC_FLY) {
			*lsi_reg(l, R_ISTAT0) |= ISTAT0_INTF;
			lsi_irq_update(l);
		} else {
			lsi_irq_dma(l, DSTAT_SIR);
		}
	}
	return INSN_DONE;
}

enum lsi_done insn_transfer(struct lsi *l)
{
	uint32_t insn = l->s->insn[0];
	unsigned opcode = insn >> 27 & 7;

	if (opcode > INTERRUPT || (insn & TC_64 && opcode != JUMP))
		return lsi_illegal(l);
	if (insn & TC_WAIT) {
		enum lsi_look look = bus_look(l);

		if (look == LOOK_FREE)
			return INSN_DONE;
		if (look == LOOK_BUSY)
			return lsi_wait(l, RUN_WAIT_TARGET);
	}
	return taken(l, insn) ? transfer(l, opcode) : INSN_DONE;
}
