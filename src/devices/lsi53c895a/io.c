/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/num.h"
#include "devices/lsi53c895a/lsi.h"

/* I/O instructions (manual 5.3), initiator mode. */

#define IO_RELATIVE 0x04000000
#define IO_TABLE 0x02000000
#define IO_ATN 0x01000000

#define SIGNAL_CARRY 0x400
#define SIGNAL_TARGET 0x200
#define SIGNAL_ACK 0x40
#define SIGNAL_ATN 0x08

/* The place to go when the instruction's way is barred. */
static uint32_t alternate(struct lsi *l)
{
	uint32_t addr = l->s->insn[1];

	if (l->s->insn[0] & IO_RELATIVE)
		addr = lsi_get32(l, R_DSP) + sext24(addr);
	lsi_put32(l, R_DNAD, addr);
	return addr;
}

/* The target's id, and its timing when a table entry has it: SCNTL3, id, SXFER, 0.  0 or -errno. */
static int select_id(struct lsi *l, unsigned *ret_id)
{
	uint32_t insn = l->s->insn[0];
	uint8_t entry[4];
	int ret;

	if (!(insn & IO_TABLE)) {
		*ret_id = insn >> 16 & 0xf;
		return 0;
	}
	ret = lsi_mem_read(l, SPACE_MEM,
			   lsi_addr(l, R_DRS, lsi_get32(l, R_DSA) + sext24(insn)), entry, 4);
	if (ret)
		return ret;
	*lsi_reg(l, R_SCNTL3) = entry[3];
	*lsi_reg(l, R_SXFER) = entry[1];
	*ret_id = entry[2] & 0xf;
	return 0;
}

/*
 * Select: the chip has the highest id, so it wins the bus from targets that want to reselect.  A
 * chip that is connected already, because it was reselected, goes to the alternate address.  The
 * script goes on while the selection runs; it times out (STO) when the script next needs the bus.
 */
static enum lsi_done insn_select(struct lsi *l)
{
	struct lsi_bus *bus = &l->s->bus;
	uint32_t alt = alternate(l);
	unsigned id;
	int ret = select_id(l, &id);

	if (ret)
		return lsi_no_cycle(l, ret);
	bus_ack(l);
	if (bus->selecting)
		bus_look(l);
	if (l->s->run != RUN_ACTIVE)
		return INSN_DONE;
	if (bus->connected) {
		lsi_put32(l, R_DSP, alt);
		return INSN_DONE;
	}
	*lsi_reg(l, R_SDID) = id;
	*lsi_reg(l, R_SSTAT0) |= SSTAT0_WOA;
	*lsi_reg(l, R_SCNTL1) &= ~SCNTL1_IARB;
	bus_connect(l, id);
	bus->selecting = !scsi_target_present(l->scsi, id) || id == (*lsi_reg(l, R_SCID) & 0xf);
	bus->atn = !!(l->s->insn[0] & IO_ATN);
	bus_poll(l);
	return INSN_DONE;
}

static enum lsi_done insn_wait_disconnect(struct lsi *l)
{
	bus_ack(l);
	if (l->s->bus.selecting)
		bus_look(l);
	if (bus_poll(l) == LOOK_FREE)
		return INSN_DONE;
	return lsi_wait(l, RUN_WAIT_DISCONNECT);
}

/* The bus first, then the host's signal, which stays set until the script takes it. */
static enum lsi_done insn_wait_reselect(struct lsi *l)
{
	uint32_t alt = alternate(l);

	bus_ack(l);
	if (l->s->bus.selecting)
		bus_look(l);
	if (l->s->run != RUN_ACTIVE || l->s->bus.connected || bus_reselect(l))
		return INSN_DONE;
	if (!(*lsi_reg(l, R_ISTAT0) & ISTAT0_SIGP))
		return lsi_wait(l, RUN_WAIT_RESELECT);
	lsi_put32(l, R_DSP, alt);
	return INSN_DONE;
}

static enum lsi_done insn_set(struct lsi *l)
{
	uint32_t what = l->s->insn[0];
	struct lsi_bus *bus = &l->s->bus;

	if (what & SIGNAL_CARRY)
		l->s->carry = 1;
	if (what & SIGNAL_TARGET)
		*lsi_reg(l, R_SCNTL0) |= SCNTL0_TRG;
	if (what & SIGNAL_ATN && bus->connected)
		bus->atn = 1;
	if (what & SIGNAL_ACK && bus->connected)
		bus->ack = 1;
	return INSN_DONE;
}

static enum lsi_done insn_clear(struct lsi *l)
{
	uint32_t what = l->s->insn[0];

	if (what & SIGNAL_CARRY)
		l->s->carry = 0;
	if (what & SIGNAL_TARGET)
		*lsi_reg(l, R_SCNTL0) &= ~SCNTL0_TRG;
	if (what & SIGNAL_ATN)
		l->s->bus.atn = 0;
	if (what & SIGNAL_ACK)
		bus_ack(l);
	return INSN_DONE;
}

enum lsi_done insn_io(struct lsi *l)
{
	static enum lsi_done (*const by_opcode[])(struct lsi *) = {
		insn_select, insn_wait_disconnect, insn_wait_reselect, insn_set, insn_clear,
	};
	unsigned opcode = l->s->insn[0] >> 27 & 7;

	/* the target role is refused; ATN belongs to Select alone (manual 5.3.1) */
	if (opcode <= 2 && *lsi_reg(l, R_SCNTL0) & SCNTL0_TRG)
		return lsi_illegal(l);
	if (opcode && l->s->insn[0] & IO_ATN)
		return lsi_illegal(l);
	return by_opcode[opcode](l);
}
