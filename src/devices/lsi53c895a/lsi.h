/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DEVICES_LSI53C895A_LSI_H
#define DEVICES_LSI53C895A_LSI_H

/*
 * The inside of the model.  Two state machines:
 *
 * The engine runs SCRIPTS (enum lsi_run):
 *
 *     STOPPED --start--> ACTIVE --interrupt, abort, reset--> STOPPED
 *                        ACTIVE --instruction must wait--> WAIT_* --lsi_wake()--> ACTIVE
 *                        WAIT_* --interrupt, abort, reset--> STOPPED
 *
 * It works in slices of at most LSI_SLICE_INSNS instructions and LSI_SLICE_BYTES bytes, each from
 * the event loop; an instruction is fetched once into insn[], and one that waits or is too long for
 * a slice is entered again with its words, and what it has left, in the state.  Nothing here calls
 * the engine from inside the engine: a register that a script writes only leaves a mark in pend.
 *
 * A bus cycle to memory that the VMM does not share parks it in WAIT_DMA (pci_dma_read()).  A step
 * is what lies between two places where the state is brought up to date (pci_dma_forget()): the
 * fetch, a table entry or pointer, each piece that moves.  It is made again from the state alone,
 * when the answer is there, and by a successor.  So before the last bus cycle of a step nothing
 * changes that would not come out the same again, and the bytes of registers whose reading has a
 * side effect are kept (HELD).
 *
 * Its pace is a bucket of credit (pace.c).  A unit is an instruction, or LSI_UNIT_BYTES that it
 * moved.  While there is credit the next slice comes with the next pass of the loop; without it,
 * LSI_PACE later.  An access of the guest's to the chip gives credit, and so does a command that
 * the disk got further, as long as the guest still comes to look now and then.  So a script that
 * runs without an end gets a slice a millisecond, and one that drives I/O is never held up.
 *
 * The bus is what the target that the chip is connected to does.  It is computed when someone looks
 * (bus_poll()): what the target wants next follows from the messages it still has to send, from
 * whether it has had its command, and from the command's phase.
 */

#include <stdbool.h>
#include <stdint.h>

#include "devices/lsi53c895a/registers.h"
#include "event/loop.h"
#include "pci/pci.h"
#include "pci/regs.h"
#include "scsi/scsi.h"

#define LSI_STATE_VERSION 2
#define LSI_RAM_SIZE 8192
#define LSI_SLICE_INSNS 512
#define LSI_SLICE_BYTES (256 * 1024)
#define LSI_CHUNK 4096		/* bytes that pass through a private buffer at once */
#define LSI_REG_CHUNK 64	/* the same to and from the chip's own registers */
#define LSI_HELD 8		/* bytes of them that can be kept (HELD) */
/* Bytes of a slice that are used up by what takes longer than to copy a byte. */
#define LSI_REG_COST 64		/* a script's access to a register in a BAR */
#define LSI_MESSAGE_COST 1024	/* a message: it may look at all commands */
#define LSI_UNIT_BYTES 512
#define LSI_REMOTE_COST 16	/* units, of a bus cycle that is a message to the VMM */
#define LSI_CREDIT_MAX (1u << 20)	/* a thousand full slices: about 0.1 s */
#define LSI_CREDIT_ACCESS (1u << 17)	/* for an access of the guest's */
#define LSI_CREDIT_IO (1u << 10)	/* at least, for a command that left WAIT: a full slice */
#define LSI_IO_MAX (1u << 16)		/* such commands since the guest's last access */
#define LSI_PACE LOOP_MS		/* ns between slices without credit */
#define LSI_MSG_IN 32		/* bytes that a target may have to say */
#define LSI_MSG_OUT 16		/* the longest message that is understood */

enum { LSI_BAR_IO, LSI_BAR_REGS, LSI_BAR_RAM };

enum lsi_run {
	RUN_STOPPED, RUN_ACTIVE, RUN_WAIT_TARGET, RUN_WAIT_RESELECT, RUN_WAIT_DISCONNECT,
	RUN_WAIT_DMA,
};

/*
 * lsi_state.begun.  HELD: registers were read for a bus cycle that still waits.  Their bytes are in
 * insn[2] (a Store, which has move_left of them for move_dst) or from insn[1] on (a Memory Move,
 * move_len of them), words that the instruction does not need any more.
 */
enum { BEGUN = 1, HELD = 2 };

/* SCSI-2 5.1.3, as MSG, C/D and I/O on the bus and in instructions */
enum lsi_phase { PHASE_DATA_OUT, PHASE_DATA_IN, PHASE_COMMAND, PHASE_STATUS,
		 PHASE_MSG_OUT = 6, PHASE_MSG_IN = 7 };

/* What the target does when it has said everything. */
enum lsi_after { AFTER_NOTHING, AFTER_COMPLETE, AFTER_DISCONNECT, AFTER_ABORT };

/* Marks of registers written: see lsi_settle(). */
enum {
	PEND_START = 1, PEND_SOFT_RESET = 2, PEND_BUS_RESET = 4, PEND_ABORT = 8, PEND_IRQ = 16,
	PEND_SIGP = 32, PEND_ALL = 63,
};

/* What the chip's side knows of a command in flight: who reselects, and in which order. */
struct lsi_nexus {
	uint32_t generation;	/* of the command at this index */
	uint32_t order;		/* of the wish to reselect */
	uint8_t used, disconnected, ready, tagged;
	uint8_t target, lun, tag, pad;
};

/* The connection on the SCSI bus.  All zero: bus free. */
struct lsi_bus {
	uint8_t connected;
	uint8_t selecting;	/* nobody answers the selection: STO at the next look */
	uint8_t target, lun;
	uint8_t identified;	/* an IDENTIFY named the LUN */
	uint8_t may_disconnect;	/* DiscPriv of that IDENTIFY */
	uint8_t attr, tag;	/* enum scsi_task_attr */
	uint8_t atn, ack;	/* ATN# asserted; ACK# still asserted after a message byte */
	uint8_t phase;		/* enum lsi_phase, as the lines stand */
	uint8_t after;		/* enum lsi_after */
	uint8_t own_status;	/* STATUS is ours: the command never reached src/scsi */
	uint8_t status;
	uint8_t has_req;
	uint8_t msg_in_len, msg_in_pos, msg_out_len;
	uint8_t cdb_len;
	uint8_t pad;
	uint16_t req;
	uint16_t msg_out_skip;	/* bytes of a message that nobody wants to hear */
	uint8_t msg_in[LSI_MSG_IN];
	uint8_t msg_out[LSI_MSG_OUT];
	uint8_t cdb[SCSI_MAX_CDB];
};

struct lsi_state {
	struct pci_state pci;
	uint8_t regs[256];
	uint8_t ram[LSI_RAM_SIZE];

	uint8_t initialized;
	uint8_t run;		/* enum lsi_run */
	uint8_t live;		/* insn[] is being executed: fetched and not finished */
	uint8_t begun;		/* its move_* are set; HELD */
	uint8_t carry;
	uint8_t pend;		/* PEND_* */
	uint8_t stacked_dstat;	/* manual 2.2.15.4: interrupts behind those in DSTAT and SIST */
	uint8_t table_high;	/* bits [31:24] of the table entry of a block move */
	uint16_t stacked_sist;
	uint8_t pad[2];
	uint32_t insn[3];
	uint32_t insn_at;
	uint32_t move_left, move_len;	/* bytes */
	uint64_t move_src, move_dst;	/* a block move in either direction has dst only */
	int64_t gen_deadline, hth_deadline;	/* CLOCK_MONOTONIC ns; 0: not running */
	int64_t pace_deadline;	/* of a slice that waits for it; the same */
	uint32_t credit;	/* units */
	uint32_t io_left;	/* commands that may still give credit */

	struct lsi_bus bus;
	uint32_t ready_order;
	uint32_t pad2;
	struct lsi_nexus nexus[SCSI_MAX_REQS];
	struct scsi_bus_state scsi;
};

_Static_assert(sizeof(struct lsi_state) <= PCI_STATE_MAX, "the state must fit");

/* The runtime part: nothing that a successor would miss. */
struct lsi {
	struct pci_dev *dev;
	struct lsi_state *s;
	struct scsi_bus *scsi;
	struct scsi_bus_setup no_units;
	struct loop_work work;
	struct loop_timer gen, hth, pace;
	unsigned nexus_end;		/* no nexus from this index on is used */
	bool in_slice;
	int insns, bytes;		/* left in this slice */
	unsigned reads;			/* that a disk did at once in this slice */
	/* for tests */
	unsigned slices, max_slice_insns, max_slice_bytes;
	uint8_t chunk[LSI_CHUNK];
};

static inline struct lsi *lsi_of(struct pci_dev *dev)
{
	return dev->priv;
}

/* ---- regs.c ---- */
extern const struct reg_file lsi_regs;
uint32_t lsi_get32(const struct lsi *l, unsigned reg);
void lsi_put32(struct lsi *l, unsigned reg, uint32_t val);
void lsi_put24(struct lsi *l, unsigned reg, uint32_t val);
static inline uint8_t *lsi_reg(struct lsi *l, unsigned reg)
{
	return &l->s->regs[reg];
}
/* An access as the register table has it; whoever makes it calls lsi_settle() afterwards. */
uint32_t lsi_reg_read(struct lsi *l, unsigned off, unsigned size);
void lsi_reg_write(struct lsi *l, unsigned off, unsigned size, uint32_t val);

/* ---- state.c ---- */
/* Can a state that this process did not make be used?  Nothing in it is believed before. */
bool lsi_state_ok(const struct lsi_state *s);

/* ---- device.c ---- */
/* Does what the marks in pend ask for, in a fixed order. */
void lsi_settle(struct lsi *l);
/* Starts, stops or moves the timers after STIME0, STIME1 or the connection changed. */
void lsi_timer_gen(struct lsi *l);
void lsi_timer_hth(struct lsi *l);

/* ---- irq.c ---- */
void lsi_irq_scsi(struct lsi *l, unsigned sist);
void lsi_irq_dma(struct lsi *l, unsigned dstat);
void lsi_irq_update(struct lsi *l);

/* ---- memory.c ---- */
enum lsi_space { SPACE_MEM, SPACE_IO };
/*
 * The chip as bus master, its own BARs included.  0, or -errno with nothing or a part moved, which
 * lsi_no_cycle() takes; -EAGAIN comes from memory alone.
 */
int lsi_mem_read(struct lsi *l, enum lsi_space space, uint64_t addr, void *buf, size_t len);
int lsi_mem_write(struct lsi *l, enum lsi_space space, uint64_t addr, const void *buf, size_t len);
/* @len, or less: what moves at once, in one place, memory, shared or not, or one of the BARs. */
size_t lsi_clip(struct lsi *l, enum lsi_space space, uint64_t addr, size_t len);
/* @low with the upper half from selector register @sel, unless 64-bit addressing is off. */
uint64_t lsi_addr(const struct lsi *l, unsigned sel, uint32_t low);

/* ---- scripts.c ---- */
/* How an instruction ended. */
enum lsi_done { INSN_DONE, INSN_AGAIN, INSN_WAIT };
void lsi_stop(struct lsi *l);
void lsi_start(struct lsi *l);
/* An instruction that waits in @state is looked at again. */
void lsi_wake(struct lsi *l, enum lsi_run state);
void lsi_slice(void *opaque);
enum lsi_done lsi_wait(struct lsi *l, enum lsi_run state);
enum lsi_done lsi_illegal(struct lsi *l);
/* A bus cycle came to @err, not 0: a bus fault, or -EAGAIN, for which the engine parks. */
enum lsi_done lsi_no_cycle(struct lsi *l, int err);
static inline uint32_t sext24(uint32_t val)
{
	return (val & 0xffffff) ^ (val & 0x800000 ? 0xff000000 : 0);
}

/* ---- pace.c: when the engine's next slice comes ---- */
/* The next slice of a script that runs.  Inside a slice it is for the slice's end to say. */
void pace_go(struct lsi *l);
void pace_stop(struct lsi *l);
/* As after a reset: full credit. */
void pace_reset(struct lsi *l);
/* A slice has used this much. */
void pace_charge(struct lsi *l, unsigned insns, unsigned bytes);
/* A bus cycle was a message to the VMM. */
void pace_remote(struct lsi *l);
/* The guest has come to look; a command got further. */
void pace_access(struct lsi *l);
void pace_io(struct lsi *l);
/* The timer's function. */
void pace_expired(void *opaque);
/* In a process that has taken the state over. */
void pace_resume(struct lsi *l);

/* ---- one function a kind of instruction: move.c, io.c, alu.c, transfer.c, copy.c ---- */
enum lsi_done insn_block_move(struct lsi *l);
enum lsi_done insn_io(struct lsi *l);
enum lsi_done insn_read_write(struct lsi *l);
enum lsi_done insn_transfer(struct lsi *l);
enum lsi_done insn_memory_move(struct lsi *l);
enum lsi_done insn_load_store(struct lsi *l);

/* ---- bus.c: the target's side ---- */
enum lsi_look { LOOK_FREE, LOOK_BUSY, LOOK_REQ };
/* What the target does: bus free, no REQ# yet, or REQ# in bus.phase. */
enum lsi_look bus_poll(struct lsi *l);
/*
 * For an instruction that needs the bus: negates a pending ACK#, and looks.  LOOK_FREE: there is
 * none; an interrupt (STO, UDC) has told so and the engine has stopped.
 */
enum lsi_look bus_look(struct lsi *l);
/* The initiator negates ACK# after a message byte; the target goes on. */
void bus_ack(struct lsi *l);
void bus_connect(struct lsi *l, unsigned target);
/* Bus free now; UDC when the target had no right to, and the script did not expect it. */
void bus_free(struct lsi *l, bool expected);
void bus_say(struct lsi *l, const uint8_t *bytes, unsigned count);
/* All commands of the initiator are forgotten; @power_on as for scsi_bus_reset(). */
void bus_reset(struct lsi *l, bool power_on);
void bus_abort_all(struct lsi *l);
/* Forgets the nexus of commands that src/scsi has ended. */
void bus_sweep(struct lsi *l);
/* The command in cdb[] is complete: hands it to src/scsi. */
void bus_command(struct lsi *l);
/* Is a target waiting to reselect?  Then it does, and true is returned. */
bool bus_reselect(struct lsi *l);
/* Reselection of an idle chip, which interrupts instead of going on with a script. */
void bus_reselect_idle(struct lsi *l);
extern const struct scsi_bus_ops lsi_scsi_ops;

/* ---- message.c ---- */
/* The next byte of a MESSAGE OUT phase. */
void message_out_byte(struct lsi *l, uint8_t byte);
/* The initiator has negated ATN#: the phase is over. */
void message_out_end(struct lsi *l);
/* Can the message that has begun be one that is not whole yet? */
bool message_out_ok(const struct lsi_bus *bus);

#endif
