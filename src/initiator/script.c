/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stddef.h>

#include "base/num.h"
#include "initiator/layout.h"

/*
 * The SCRIPTS (manual chapter 5).  A job is a struct ram_slot, which DSA points to while it has the
 * bus.  The start queue is a ring of links that ends with the idle job; the host writes a link and
 * sets SIGP, which ends Wait Reselect.  The done queue is such a ring for the way back.
 *
 * SCRATCHA has the link of the job that is being started, so that it can be put back when a target
 * reselects first; SCRATCHB0 has the status of the job that is about to end.
 */

/* ---- instructions ---- */

#define MOVE(phase, count) (0x08000000u | (uint32_t)(phase) << 24 | (count))
#define MOVE_TABLE(phase) (0x18000000u | (uint32_t)(phase) << 24)

#define SELECT_ATN_TABLE(off) (0x43000000u | (off))
#define WAIT_DISCONNECT 0x48000000u
#define WAIT_RESELECT 0x50000000u
#define CLEAR_ACK 0x60000040u
#define CLEAR_ACK_ATN 0x60000048u

#define REG_AND(reg, mask) (0x7c000000u | (uint32_t)(reg) << 16 | (mask) << 8)
#define SFBR_TO(reg) (0x6a000000u | (uint32_t)(reg) << 16)		/* OR with 0 */
#define SFBR_FROM(reg) (0x72000000u | (uint32_t)(reg) << 16)		/* the same */

/* A condition is true when bit 19 is set; comparisons are added to it. */
#define JUMP 0x80080000u
#define RETURN 0x90080000u
#define INT 0x98080000u
#define INTFLY 0x98180000u
#define IF(phase) (0x00020000u | (uint32_t)(phase) << 24)
#define WHEN(phase) (IF(phase) | 0x00010000u)
#define SFBR_IS(byte) (0x00040000u | (byte))
#define SFBR_BITS(mask, bits) (0x00040000u | (0xff & ~(mask)) << 8 | (bits))
#define UNLESS(insn) ((insn) ^ 0x00080000u)

/* 4 bytes between a register and memory, at an address or relative to DSA. */
#define LOAD(reg) (0xe1000000u | (uint32_t)(reg) << 16 | 4)
#define STORE(reg) (0xe0000000u | (uint32_t)(reg) << 16 | 4)
#define LOAD_DSA(reg) (0xf1000000u | (uint32_t)(reg) << 16 | 4)
#define STORE_DSA(reg) (0xf0000000u | (uint32_t)(reg) << 16 | 4)

enum { MSG_COMPLETE = 0x00, MSG_SAVE_POINTERS = 0x02, MSG_DISCONNECT = 0x04 };

/* ---- the text ---- */

enum label {
	NONE, START, SELECT, COMMAND, DISPATCH, IN_PHASE, OUT_PHASE, DATA_IN, DATA_OUT, DATA_FULL,
	DRAIN, DRAIN_OUT, DRAIN_END, DRAINED, MOVED, WRONG, STATUS, MESSAGE, SAVE, COMPLETE,
	STATUS_BAD, DISCONNECT, PUT_BACK, RESUME, BAD_TAG, LABEL_COUNT,
};

enum operand { NUMBER, LABEL };

static const struct row {
	uint32_t insn, arg;
	uint8_t operand;	/* what @arg is */
	uint8_t label;		/* stands here; or NONE */
} text[] = {
#define ROW(insn, arg) { insn, arg, NUMBER, NONE }
#define AT(label, insn, arg) { insn, arg, NUMBER, label }
#define GO(insn, to) { insn, to, LABEL, NONE }
#define GO_AT(label, insn, to) { insn, to, LABEL, label }
#define SLOT(field) offsetof(struct ram_slot, field)
#define LINK(field) offsetof(struct ram_link, field)
#define VAR(field) (RAM_VARS + offsetof(struct ram_vars, field))
	/* The next job.  To read CTEST2 takes SIGP back. */
	AT(START, SFBR_FROM(R_CTEST2), 0),
	ROW(LOAD(R_SCRATCHA), VAR(start_pos)),
	ROW(LOAD(R_DSA), VAR(start_pos)),
	ROW(LOAD_DSA(R_TEMP), LINK(next)),
	ROW(STORE(R_TEMP), VAR(start_pos)),
	ROW(LOAD_DSA(R_DSA), LINK(value)),
	ROW(LOAD_DSA(R_TEMP), SLOT(go)),
	ROW(RETURN, 0),

	GO_AT(SELECT, SELECT_ATN_TABLE(SLOT(select)), PUT_BACK),
	ROW(UNLESS(INT) | WHEN(PHASE_MSG_OUT), STOP_NO_MSG_OUT),
	ROW(MOVE_TABLE(PHASE_MSG_OUT), SLOT(msg_out)),
	GO(UNLESS(JUMP) | WHEN(PHASE_COMMAND), DISPATCH),
	AT(COMMAND, MOVE_TABLE(PHASE_COMMAND), SLOT(cdb)),

	GO_AT(DISPATCH, JUMP | WHEN(PHASE_MSG_IN), MESSAGE),
	GO(JUMP | IF(PHASE_DATA_OUT), OUT_PHASE),
	GO(JUMP | IF(PHASE_DATA_IN), IN_PHASE),
	GO(JUMP | IF(PHASE_STATUS), STATUS),
	GO(JUMP | IF(PHASE_COMMAND), COMMAND),
	ROW(INT, STOP_PHASE),

	/* A block move of the wrong phase would go to MOVED, and come back here for ever. */
	AT(IN_PHASE, LOAD_DSA(R_TEMP), SLOT(in_go)),
	ROW(RETURN, 0),
	AT(OUT_PHASE, LOAD_DSA(R_TEMP), SLOT(out_go)),
	ROW(RETURN, 0),
	AT(DATA_IN, MOVE_TABLE(PHASE_DATA_IN), SLOT(data)),
	GO(JUMP, DATA_FULL),
	AT(DATA_OUT, MOVE_TABLE(PHASE_DATA_OUT), SLOT(data)),
	AT(DATA_FULL, STORE_DSA(R_DNAD), SLOT(data.addr)),
	GO(JUMP | WHEN(PHASE_STATUS), STATUS),
	GO(JUMP | IF(PHASE_MSG_IN), MESSAGE),
	/*
	 * A data phase of a command that has no data, or no more.  QEMU's targets are in one while
	 * a command takes its time, offer no byte, and go to STATUS.  And its script timer can let
	 * a block move go that is not at its end yet (docs/upstream-bugs.md, row 27): the phase
	 * stays then.  One byte is asked for; only if it comes the target is wrong.
	 */
	AT(DRAIN, LOAD(R_SCRATCHB), VAR(drain)),
	ROW(STORE_DSA(R_SCRATCHB), SLOT(in_go)),
	ROW(STORE_DSA(R_SCRATCHB), SLOT(out_go)),
	ROW(LOAD(R_PMJAD1), VAR(drained)),
	ROW(LOAD(R_PMJAD2), VAR(drained)),
	GO(JUMP | IF(PHASE_DATA_OUT), DRAIN_OUT),
	ROW(MOVE(PHASE_DATA_IN, 1), VAR(trash)),
	GO(JUMP, DRAIN_END),
	AT(DRAIN_OUT, MOVE(PHASE_DATA_OUT, 1), VAR(trash)),
	AT(DRAIN_END, SFBR_FROM(R_DNAD), 0),
	ROW(INT | SFBR_IS((VAR(trash) + 1) & 0xffu), STOP_OVERRUN),
	AT(DRAINED, LOAD(R_PMJAD1), VAR(moved)),
	ROW(LOAD(R_PMJAD2), VAR(moved)),
	GO(JUMP, DISPATCH),
	/* The target has ended a block move early: it goes on there, or that was all. */
	AT(MOVED, STORE_DSA(R_DNAD), SLOT(data.addr)),
	ROW(STORE_DSA(R_RBC), SLOT(data.count)),
	GO(JUMP, DISPATCH),
	AT(WRONG, INT, STOP_DIRECTION),

	AT(STATUS, MOVE_TABLE(PHASE_STATUS), SLOT(status)),
	ROW(SFBR_TO(R_SCRATCHB), 0),
	GO(UNLESS(JUMP) | WHEN(PHASE_MSG_IN), DISPATCH),
	AT(MESSAGE, MOVE(PHASE_MSG_IN, 1), VAR(msg_in)),
	GO(JUMP | SFBR_IS(MSG_COMPLETE), COMPLETE),
	GO(JUMP | SFBR_IS(MSG_DISCONNECT), DISCONNECT),
	GO(JUMP | SFBR_IS(MSG_SAVE_POINTERS), SAVE),
	ROW(INT, STOP_MESSAGE),
	/* The pointer was saved when the block move ended: see MOVED. */
	AT(SAVE, CLEAR_ACK, 0),
	GO(JUMP | WHEN(PHASE_MSG_IN), MESSAGE),
	GO(JUMP, DISPATCH),

	/* The target may leave the bus now. */
	AT(COMPLETE, REG_AND(R_SCNTL2, 0x7fu), 0),
	ROW(CLEAR_ACK_ATN, 0),
	ROW(WAIT_DISCONNECT, 0),
	ROW(SFBR_FROM(R_SCRATCHB), 0),
	GO(UNLESS(JUMP) | SFBR_IS(0), STATUS_BAD),
	ROW(STORE(R_DSA), VAR(dsa)),
	ROW(LOAD(R_DSA), VAR(done_pos)),
	ROW(LOAD(R_SCRATCHA), VAR(dsa)),
	ROW(STORE_DSA(R_SCRATCHA), LINK(value)),
	ROW(LOAD_DSA(R_SCRATCHA), LINK(next)),
	ROW(STORE(R_SCRATCHA), VAR(done_pos)),
	ROW(INTFLY, 0),
	GO(JUMP, START),
	AT(STATUS_BAD, INT, STOP_STATUS),

	AT(DISCONNECT, REG_AND(R_SCNTL2, 0x7fu), 0),
	ROW(CLEAR_ACK_ATN, 0),
	ROW(WAIT_DISCONNECT, 0),
	GO(JUMP, START),

	/* Nothing to start, or it has to wait: whoever reselects first, or SIGP. */
	AT(PUT_BACK, LOAD(R_DSA), VAR(nobody)),
	ROW(STORE(R_SCRATCHA), VAR(start_pos)),
	GO(WAIT_RESELECT, START),
	/* the same timer ends this wait without a reselection */
	GO(UNLESS(JUMP) | WHEN(PHASE_MSG_IN), PUT_BACK),
	ROW(MOVE(PHASE_MSG_IN, 1), VAR(msg_in)),
	ROW(UNLESS(INT) | SFBR_BITS(0x80u, 0x80u), STOP_RESELECT),
	ROW(CLEAR_ACK, 0),
	ROW(UNLESS(INT) | WHEN(PHASE_MSG_IN), STOP_NO_TAG),
	ROW(MOVE(PHASE_MSG_IN, 2), VAR(msg_in[1])),
	/* A tag is four times the number of its command, and so it is an offset in the table. */
	ROW(LOAD(R_DSA), VAR(tags)),
	ROW(SFBR_FROM(R_SIDL), 0),
	ROW(SFBR_TO(R_DSA), 0),
	ROW(LOAD_DSA(R_DSA), 0),
	ROW(LOAD_DSA(R_TEMP), SLOT(resume)),
	ROW(RETURN, 0),
	AT(RESUME, CLEAR_ACK, 0),
	GO(JUMP, DISPATCH),
	AT(BAD_TAG, INT, STOP_BAD_TAG),
};

#define ROWS (sizeof(text) / sizeof(text[0]))

_Static_assert(8 * ROWS <= RAM_VARS - RAM_SCRIPT, "the scripts must fit");

static uint32_t address(unsigned row)
{
	return RAM_SCRIPT + 8 * row;
}

void script_write(uint8_t *mem, struct script_entries *ret)
{
	uint32_t at[LABEL_COUNT] = { 0 };

	for (unsigned i = 0; i < ROWS; i++)
		at[text[i].label] = address(i);
	for (unsigned i = 0; i < ROWS; i++) {
		put_le32(mem + address(i), text[i].insn);
		put_le32(mem + address(i) + 4,
			 text[i].operand == LABEL ? at[text[i].arg] : text[i].arg);
	}
	*ret = (struct script_entries){
		.start = at[START], .select = at[SELECT], .idle = at[PUT_BACK],
		.resume = at[RESUME], .bad_tag = at[BAD_TAG], .data_in = at[DATA_IN],
		.data_out = at[DATA_OUT], .drain = at[DRAIN], .drained = at[DRAINED],
		.wrong = at[WRONG], .moved = at[MOVED],
	};
}
