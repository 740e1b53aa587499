/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TEST_LSI_RIG_H
#define TEST_LSI_RIG_H

/*
 * The chip on a small PCI bus of its own: guest memory in a memfd, disks in memory that can hold
 * requests back, a SCRIPTS assembler, and a driver that runs commands as a real one does.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/block.h"
#include "block/buffers.h"
#include "devices/lsi53c895a/lsi.h"
#include "devices/lsi53c895a/lsi53c895a.h"
#include "event/loop.h"
#include "mem/guestmem.h"
#include "pci/pci.h"
#include "scsi/scsi.h"

#define RIG_RAM (16u << 20)	/* bytes at guest address 0 */
#define RIG_HIGH 0x140000000ULL	/* 1 MiB more, above 4 GiB */
#define RIG_HIGH_SIZE (1u << 20)
#define RIG_IO 0xc000u
#define RIG_REGS 0xe0000000u
#define RIG_SRAM 0xe0010000u

#define DISK_SECTORS 4096u
#define DISK_PENDING 512

struct rig_disk {
	struct block block;
	uint8_t *data;
	bool hold;			/* requests wait for rig_end() */
	bool now;			/* reads end at once, without a request, */
	size_t now_left;		/* for so many bytes more; 0: no limit */
	unsigned nows, reads;		/* reads of that kind; by request */
	int fail;			/* errno of every request; 0: none */
	struct block_req *pending[DISK_PENDING];
	unsigned count;
};

#define RIG_DISKS 3

/*
 * Memory that the VMM does not share: the rig is the VMM, and answers a request some passes of the
 * loop after it came.  What is written is there when it answers, not before.
 */
struct rig_remote {
	bool on;
	bool hold;			/* a test answers, by rig_answer() */
	unsigned delay;			/* passes */
	unsigned asked;			/* requests so far */
	unsigned stop_at;		/* holds from the request of this number on; 0: none */
	bool pending;			/* the last one has no answer */
	unsigned age;			/* of it, passes */
	bool write;
	uint64_t gpa;
	size_t len;
	uint8_t *data;			/* GUESTMEM_REMOTE_MAX */
};

struct rig {
	struct loop *loop;
	struct guestmem_arena *arena;
	struct guestmem *mem;
	uint8_t *ram, *high;
	int fd;
	struct buffers *buffers;
	struct rig_disk disk[RIG_DISKS];
	struct scsi_unit_setup units[RIG_DISKS];
	struct scsi_bus_setup setup;
	struct lsi_state *state;
	struct pci_dev dev;
	struct lsi *l;
	bool pin;
	unsigned pin_edges;		/* rising */
	unsigned guest_errors;
	/* accesses to guest memory so far; the most of them, and of their bytes, in one pass */
	uint64_t dma_ops, dma_bytes, max_pass_ops, max_pass_bytes;
	struct rig_remote remote;
};

/*
 * How many passes rigs to come take to answer for their memory; -1: it is shared.  At first what
 * LSI_REMOTE in the environment says, with which any of these tests runs the other way.
 */
void rig_set_remote(int delay);
/* The answer to the request under way: 0 or -errno. */
void rig_answer(struct rig *rig, int err);

/* Takes the unit attentions of all disks. */
void rig_ready(struct rig *rig);
/* Disks at 0:0, 1:0 and 0:1; BARs placed, bus mastering on; power-on unit attentions are taken. */
void rig_up(struct rig *rig, const struct pci_class *cls);
void rig_bare(struct rig *rig, const struct pci_class *cls);	/* as after power-on */
void rig_place(struct rig *rig);				/* BARs, command register */
void rig_down(struct rig *rig);

/* Ends the @index-th request that a disk holds. */
void rig_end(struct rig *rig, unsigned disk, unsigned index);
/* The same, with 0 or -errno. */
void rig_end_with(struct rig *rig, unsigned disk, unsigned index, int ret);
/* Passes of the loop until nothing is left to do now; fails after many. */
void rig_settle(struct rig *rig);
void rig_pass(struct rig *rig, unsigned passes);
/* Time stands still but for this; the timers that are due then run. */
void rig_advance(struct rig *rig, int64_t ns);
/* Only while no timer runs. */
void rig_set_clock(int64_t ns);
/* Another process takes over: a new device around a copy of @state, its BARs placed anew. */
int rig_adopt(struct rig *rig, const struct lsi_state *state);

/* Each checks that the engine did not run meanwhile: no slice, no access to guest memory. */
uint8_t rd8(struct rig *rig, unsigned reg);
uint16_t rd16(struct rig *rig, unsigned reg);
uint32_t rd32(struct rig *rig, unsigned reg);
void wr8(struct rig *rig, unsigned reg, uint8_t val);
void wr16(struct rig *rig, unsigned reg, uint16_t val);
void wr32(struct rig *rig, unsigned reg, uint32_t val);

/* ---- assembler: words go to guest memory at @at (or to the script RAM, when it is there) ---- */
struct prog {
	struct rig *rig;
	uint32_t start, at;
};
struct prog prog_at(struct rig *rig, uint32_t addr);
void put1(struct prog *p, uint32_t w0);
uint32_t put2(struct prog *p, uint32_t w0, uint32_t w1);	/* its address */
uint32_t put3(struct prog *p, uint32_t w0, uint32_t w1, uint32_t w2);
void patch(struct prog *p, uint32_t insn, uint32_t w1);	/* its second word */
/* Starts the script and runs it until it stops or waits. */
void prog_run(struct prog *p);

#define S_MOVE(phase, len) (0x08000000u | (uint32_t)(phase) << 24 | (len))
#define S_CHMOV(phase, len) ((uint32_t)(phase) << 24 | (len))
#define S_TABLE 0x10000000u
#define S_INDIRECT 0x20000000u
#define S_SELECT(id) (0x40000000u | (uint32_t)(id) << 16)
#define S_SELECT_ATN(id) (0x41000000u | (uint32_t)(id) << 16)
#define S_WAIT_DISC 0x48000000u
#define S_WAIT_RESEL 0x50000000u
#define S_SET(x) (0x58000000u | (x))
#define S_CLEAR(x) (0x60000000u | (x))
#define S_ACK 0x40u
#define S_ATN 0x08u
#define S_CARRY 0x400u
#define S_TARGET 0x200u
#define S_REG(op, reg, alu, data)                                                                  \
	((uint32_t)(op) << 27 | 0x40000000u | (uint32_t)(alu) << 24 | ((reg) & 0x7fu) << 16 |      \
	 ((reg) & 0x80u) | (uint32_t)(data) << 8)
#define S_SFBR_REG(reg, alu, data) (0x68000000u | (S_REG(0, reg, alu, data) & 0x07ffffffu))
#define S_REG_SFBR(reg, alu, data) (0x70000000u | (S_REG(0, reg, alu, data) & 0x07ffffffu))
#define S_REG_REG(reg, alu, data) (0x78000000u | (S_REG(0, reg, alu, data) & 0x07ffffffu))
#define S_JUMP 0x80080000u
#define S_JUMPR 0x80880000u
#define S_CALL 0x88080000u
#define S_RETURN 0x90080000u
#define S_INT 0x98080000u
#define S_INTFLY 0x98180000u
#define S_NOP 0x80000000u
#define S_WHEN(phase) (0x00030000u | (uint32_t)(phase) << 24)
#define S_IF(phase) (0x00020000u | (uint32_t)(phase) << 24)
#define S_DATA(d) (0x00040000u | (d))
#define S_MASK(d, m) (0x00040000u | (~(uint32_t)(m) & 0xffu) << 8 | (d))
#define S_IFCARRY 0x00200000u
#define S_NOT(insn) ((insn) & ~0x00080000u)
#define S_COPY(n) (0xc0000000u | (n))
#define S_LOAD(reg, n) (0xe1000000u | (uint32_t)(reg) << 16 | (n))
#define S_STORE(reg, n) (0xe0000000u | (uint32_t)(reg) << 16 | (n))
#define S_DSA_REL 0x10000000u
enum { A_LOAD, A_SHL, A_OR, A_XOR, A_AND, A_SHR, A_ADD, A_ADDC };

/* ---- driver ---- */

/* Where command @k has its script and buffers. */
#define CMD_BASE(k) (0x00100000u + (k) * 0x1000u)
#define CMD_DATA(k) (0x00400000u + (k) * 0x4000u)
#define CMD_DATA_SIZE 0x4000u
#define RESEL_BASE 0x00080000u

enum { INT_DONE = 1, INT_DISCONNECTED, INT_RESELECTED, INT_MESSAGE, INT_PHASE };

struct cmd {
	unsigned target, lun;
	int tag;			/* -1: untagged */
	uint8_t tag_msg;		/* 0: SIMPLE */
	bool no_disconnect;
	uint8_t cdb[16];
	unsigned cdb_len;
	uint32_t data_len;
	uint64_t data_addr;		/* 0: CMD_DATA(k) */
	uint8_t extra[8];		/* messages after IDENTIFY and tag */
	unsigned extra_len;
};

/* Lays out the script of @c in slot @k; returns its start.  dispatch is at *ret_dispatch. */
uint32_t cmd_build(struct rig *rig, unsigned k, const struct cmd *c, uint32_t *ret_dispatch);
/* Starts slot @k and runs until an interrupt or a wait; returns DSPS of a SIR, or -1. */
int cmd_start(struct rig *rig, unsigned k, const struct cmd *c);
/* Waits in Wait Reselect; then -1, or INT_RESELECTED with the nexus in *ret_tag. */
int cmd_reselect(struct rig *rig, int *ret_tag);
/* Lays out that script alone; its start. */
uint32_t cmd_reselect_build(struct rig *rig);
/* After INT_RESELECTED: goes on with slot @k. */
int cmd_resume(struct rig *rig, unsigned k, const struct cmd *c);
uint8_t cmd_status(struct rig *rig, unsigned k);
/* cmd_start(), and cmd_resume() after each disconnect: what is left is INT_DONE or an interrupt. */
int cmd_run(struct rig *rig, unsigned k, const struct cmd *c);
/* A whole command in slot 0; returns its status, or 0xff. */
uint8_t cmd_do(struct rig *rig, const struct cmd *c);

struct cmd run_inquiry(unsigned target);
struct cmd cmd_rw(unsigned target, int tag, bool write, uint32_t lba, unsigned sectors);
/* An INQUIRY works: the chip and its bus are alive. */
void assert_alive(struct rig *rig);
/* Soft reset, as a driver does it, then assert_alive(). */
void assert_recovers(struct rig *rig);

/* DSTAT and SIST as they are, read once. */
struct irq { unsigned sist, dstat; };
struct irq take_irq(struct rig *rig);

#endif
