/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef INITIATOR_LAYOUT_H
#define INITIATOR_LAYOUT_H

/*
 * Guest RAM as the initiator and its SCRIPTS share it, and the chip's registers and bits that they
 * use, by the names of chapter 4 of the LSI53C895A's manual.
 */

#include <stdint.h>

#include "initiator/initiator.h"

enum {
	R_SCNTL0 = 0x00, R_SCNTL1 = 0x01, R_SCNTL2 = 0x02, R_SCNTL3 = 0x03, R_SCID = 0x04,
	R_DSTAT = 0x0c, R_SSTAT1 = 0x0e, R_DSA = 0x10, R_ISTAT0 = 0x14, R_CTEST2 = 0x1a,
	R_TEMP = 0x1c, R_DNAD = 0x28, R_DSP = 0x2c, R_DSPS = 0x30, R_SCRATCHA = 0x34,
	R_DMODE = 0x38, R_DIEN = 0x39, R_DCNTL = 0x3b, R_SIEN0 = 0x40, R_SIST0 = 0x42,
	R_STIME0 = 0x48, R_RESPID0 = 0x4a, R_SIDL = 0x50, R_CCNTL0 = 0x56, R_SCRATCHB = 0x5c,
	R_PMJAD1 = 0xc0, R_PMJAD2 = 0xc4, R_RBC = 0xc8,
};

#define ISTAT0_DIP 0x01
#define ISTAT0_SIP 0x02
#define ISTAT0_INTF 0x04
#define ISTAT0_SIGP 0x20
#define ISTAT0_SRST 0x40

#define DSTAT_IID 0x01
#define DSTAT_SIR 0x04
#define DSTAT_ABRT 0x10
#define DSTAT_BF 0x20
#define DSTAT_MDPE 0x40

/* SIST0 and SIST1 as one number */
#define SIST_PAR 0x0001
#define SIST_RST 0x0002
#define SIST_UDC 0x0004
#define SIST_SGE 0x0008
#define SIST_MA 0x0080
#define SIST_STO 0x0400

enum {
	PHASE_DATA_OUT, PHASE_DATA_IN, PHASE_COMMAND, PHASE_STATUS, PHASE_MSG_OUT = 6,
	PHASE_MSG_IN = 7,
};

#define OWN_ID 7		/* on the bus: the one that wins */

/* ---- guest RAM; the first page stays empty ---- */

enum {
	RAM_SCRIPT = 0x1000,		/* up to RAM_VARS */
	RAM_VARS = 0x2000,		/* struct ram_vars */
	RAM_TAGS = 0x2100,		/* where the command with a tag lies; 4 bytes a tag / 4 */
	RAM_START = 0x2400,		/* start queue: struct ram_link */
	RAM_DONE = 0x2800,		/* done queue: the same */
	RAM_IDLE = 0x3000,		/* struct ram_slot: the end of the start queue */
	RAM_NOBODY = 0x3100,		/* struct ram_slot: of tags that no command has */
	RAM_SLOTS = 0x4000,		/* struct ram_slot of each command, RAM_SLOT_SIZE apart */
	RAM_SENSE = 0x8000,		/* sense data of each command, RAM_SLOT_SIZE apart */
	RAM_SLOT_SIZE = 0x100,
	RAM_QUEUE = 128,		/* links of a queue: a ring */
};

/* All words little-endian, all addresses guest-physical. */
struct ram_link {
	uint32_t value;			/* a struct ram_slot; of the done queue: 0: not yet */
	uint32_t next;			/* struct ram_link */
};

/* An entry of a table-indirect block move (manual 5.2). */
struct ram_move {
	uint32_t count, addr;
};

struct ram_vars {
	uint32_t start_pos, done_pos;	/* the next link of each queue */
	uint32_t dsa;			/* DSA, while it is used for something else */
	uint32_t tags, nobody;		/* RAM_TAGS, RAM_NOBODY */
	uint32_t moved, drain, drained;	/* scripts of these names */
	uint8_t msg_in[4], trash[4];
};

/* What the scripts find by DSA. */
struct ram_slot {
	uint32_t go, resume;		/* the script that selects, that goes on when reselected */
	uint32_t in_go, out_go;		/* the scripts of the data phases */
	uint32_t select;		/* entry of a table-indirect Select (manual 5.3) */
	struct ram_move msg_out, cdb, status;
	struct ram_move data;		/* what is left; addr tells the host how far it came */
	struct ram_link again;		/* puts the slot at the start queue's head */
	uint8_t msg_out_bytes[4];
	uint8_t cdb_bytes[16];
	uint8_t status_byte;
};

_Static_assert(sizeof(struct ram_slot) <= RAM_SLOT_SIZE, "a slot must fit");
_Static_assert(sizeof(struct ram_vars) <= RAM_TAGS - RAM_VARS, "the variables must fit");
_Static_assert(INITIATOR_SENSE <= RAM_SLOT_SIZE, "sense data must fit");
_Static_assert(INITIATOR_MAX_DEPTH * RAM_SLOT_SIZE <= RAM_SENSE - RAM_SLOTS, "slots must fit");
_Static_assert(INITIATOR_MAX_DEPTH < RAM_QUEUE, "a ring must never be full");

/* ---- script.c ---- */

/* Why a script stopped by itself: DSPS. */
enum script_stop {
	STOP_STATUS = 1,		/* a status that is not GOOD; DSA has the command */
	STOP_NO_MSG_OUT, STOP_PHASE, STOP_DIRECTION, STOP_OVERRUN, STOP_MESSAGE, STOP_RESELECT,
	STOP_NO_TAG, STOP_BAD_TAG, STOP_COUNT,
};

/* Where the host has the chip begin. */
struct script_entries {
	uint32_t start;			/* takes from the start queue */
	uint32_t select, idle, resume, bad_tag;		/* ram_slot.go and .resume */
	uint32_t data_in, data_out;	/* ram_slot.in_go and .out_go, of a command with data */
	uint32_t drain;			/* the same of one without, or whose data is all there */
	uint32_t drained;
	uint32_t wrong;			/* the same when the data goes the other way */
	uint32_t moved;			/* the phase has changed in a block move: PMJAD1, PMJAD2 */
};

/* Puts the scripts at RAM_SCRIPT of guest RAM @mem. */
void script_write(uint8_t *mem, struct script_entries *ret_entries);

#endif
