/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/lsi53c895a/lsi.h"

/* Read/Write instructions (manual 5.4): register = register op data, through the 8-bit ALU. */

enum { OP_MOVE, OP_SHL, OP_OR, OP_XOR, OP_AND, OP_SHR, OP_ADD, OP_ADDC };
enum { FROM_SFBR = 5, TO_SFBR = 6, MODIFY = 7 };

/* Returns the result; bit 8 of shifts and additions goes to the carry. */
static uint8_t alu(struct lsi *l, unsigned op, uint8_t a, uint8_t b)
{
	unsigned carry = l->s->carry, r;

	switch (op) {
	case OP_SHL:
		l->s->carry = a >> 7;
		return a << 1 | carry;
	case OP_SHR:
		l->s->carry = a & 1;
		return a >> 1 | carry << 7;
	case OP_OR:
		return a | b;
	case OP_XOR:
		return a ^ b;
	case OP_AND:
		return a & b;
	case OP_ADD:
	case OP_ADDC:
		r = a + b + (op == OP_ADDC ? carry : 0);
		l->s->carry = r >> 8;
		return r;
	default:
		return b;
	}
}

enum lsi_done insn_read_write(struct lsi *l)
{
	uint32_t insn = l->s->insn[0];
	unsigned opcode = insn >> 27 & 7, op = insn >> 24 & 7;
	unsigned reg = (insn >> 16 & 0x7f) | (insn & 0x80);
	uint8_t *sfbr = lsi_reg(l, R_SFBR);
	uint8_t data = insn & 0x00800000 ? *sfbr : insn >> 8;
	uint8_t a = 0, r;

	/* MOVE does not read the register: SIST and its like keep their bits */
	if (opcode == FROM_SFBR)
		a = *sfbr;
	else if (op != OP_MOVE)
		a = lsi_reg_read(l, reg, 1);
	r = alu(l, op, a, data);
	if (opcode == TO_SFBR)
		*sfbr = r;
	else
		lsi_reg_write(l, reg, 1, r);
	return INSN_DONE;
}
