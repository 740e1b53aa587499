/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SCSI_BUS_H
#define SCSI_BUS_H

/*
 * Inside of src/scsi: units, tasks, and what a command handler may call.
 *
 * A task is a slot of the bus's table: its progress is struct scsi_req_state (scsi.h), and struct
 * task beside it holds the pointers that belong to this process.  A command is a row of the CDB
 * table (cdb.h) with up to three functions, each of which ends by calling exactly one of the
 * task_...() functions below "what comes next":
 *
 *     start()  when the task's turn has come, all general checks passed and its buffer is there
 *     moved()  when the adapter moved the whole window
 *     done()   when the block request ended well
 *
 *   WAIT(TURN) -> WAIT(BUFFER) -> start() -> DATA_IN/DATA_OUT -> moved() -> ...
 *                                         -> WAIT(SUBMIT) -> WAIT(IO or FAIL) -> done() -> ...
 *                                         -> WAIT(HELD) by werror/rerror, back to SUBMIT on retry
 *                                         -> [WAIT(SENSE)] -> STATUS -> FREE
 */

#include "block/block.h"
#include "block/buffers.h"
#include "event/loop.h"
#include "scsi/cdb.h"
#include "scsi/scsi.h"
#include "scsi/sense.h"

/* Block requests in flight, those of ended tasks included. */
#define SCSI_MAX_IOS (SCSI_MAX_REQS + 64)
/* Slots kept for commands that only get a status: a full task set is answered, not dropped. */
#define SCSI_RESERVED_REQS 32
/* A task's private buffer for parameter data: those commands never wait for a slow disk. */
#define SCSI_PARAM_SIZE 2048u

enum task_wait { TASK_WAIT_TURN, TASK_WAIT_BUFFER, TASK_WAIT_SUBMIT, TASK_WAIT_IO, TASK_WAIT_HELD,
		 TASK_WAIT_SENSE, TASK_WAIT_FAIL };

struct unit {
	struct scsi_bus *bus;
	const struct scsi_unit_config *config;
	struct scsi_unit_state *state;
	struct block *block;		/* NULL: there is no medium */
	unsigned tasks, ordered, heads;	/* tasks in the set; of those ORDERED, HEAD OF QUEUE */
	unsigned checks;		/* tasks in STATUS with a CHECK CONDITION */
	unsigned ios;			/* block requests in flight */
	struct task *alone;		/* has or wants the medium for itself */
	struct loop_timer retry;	/* state->retry_at */
	bool gone;			/* detached: nothing new comes to it */
	bool seen, seen_ordered;	/* scratch of bus_run() */
};

struct task {
	struct scsi_bus *bus;
	struct scsi_req_state *s;
	struct unit *unit;		/* NULL: no such logical unit */
	const struct cdb_row *row;
	uint8_t *buf;			/* the command's buffer; the next two lines say whose */
	size_t buf_size;
	bool buf_pooled;
	uint8_t *param;			/* SCSI_PARAM_SIZE bytes, always there */
	struct io *io;			/* in flight */
	uint64_t status_len;		/* what BLOCK_STATUS said, for done() */
	bool status_allocated;
	struct task *prev, *next;	/* by arrival */
};

/* A block request, which may outlive its task. */
struct io {
	struct block_req req;
	struct scsi_bus *bus;
	struct unit *unit;
	struct task *task;
	uint32_t generation;		/* of the task: another one's answer is dropped */
	void *orphan;			/* pool buffer to give back, of an ended task */
	struct io *next;
};

struct scsi_bus {
	struct scsi_bus_state *state;
	const struct scsi_bus_setup *setup;
	const struct scsi_bus_ops *ops;
	void *opaque;
	struct loop *loop;
	struct loop_work work;
	struct buffers_waiter waiter;
	unsigned active;
	unsigned slots_end;		/* no slot from this index on is in use */
	unsigned unit_count;
	struct task *first, *last;
	struct task *sync;		/* the adapter is inside a call about this task */
	struct io *free_ios;		/* that have been used */
	unsigned used_ios;		/* the first ones; those behind were never touched */
	uint64_t now_bytes;		/* for scsi_read_now() */
	unsigned now_count;
	uint8_t map[SCSI_MAX_TARGETS][SCSI_MAX_LUNS];	/* unit index + 1 */
	struct unit unit[SCSI_MAX_UNITS];
	struct task task[SCSI_MAX_REQS];
	struct io io[SCSI_MAX_IOS];
	uint8_t *params;
};

/* ---- what comes next: a handler ends with one of these ---- */

/* The command is over. */
void task_good(struct task *t);
void task_status(struct task *t, uint8_t status);
void task_check(struct task *t, uint32_t code);
void task_check_sense(struct task *t, struct scsi_sense sense);
/* INVALID FIELD IN CDB, naming the byte and its highest wrong bit (or -1). */
void task_bad_cdb(struct task *t, unsigned byte, int bit);
/* INVALID FIELD IN PARAMETER LIST. */
void task_bad_param(struct task *t, unsigned byte, int bit);

/* DATA_IN of @len bytes at the start of the buffer; no bytes, no phase: moved() comes at once. */
void task_data_in(struct task *t, uint32_t len);
/* Parameter data: @len bytes of it, cut to the allocation length; then GOOD. */
void task_reply(struct task *t, uint32_t len, uint32_t alloc);
/* DATA_OUT of @len > 0 bytes to @base in the buffer. */
void task_data_out(struct task *t, uint32_t base, uint32_t len);
/* A block request; data at @buf_off of the buffer. */
void task_io(struct task *t, enum block_op op, uint32_t flags, uint64_t off, uint64_t len,
	     uint32_t buf_off);
/*
 * Reads @len bytes at @off of the medium to the start of the buffer, if that can be done at once;
 * false: it takes a task_io().
 */
bool task_read_now(struct task *t, uint64_t off, uint64_t len);
/* Reads up to @len bytes elsewhere, in the same way.  Bytes; 0: none can be had at once. */
size_t task_read_into(struct task *t, uint64_t off, const struct iovec *iov, int count, size_t len);

/* ---- inside the core: bus.c, task.c, io.c ---- */

/* Makes a unit of what stands at that place, which has nothing under way.  0 or -EINVAL. */
int bus_set_unit(struct scsi_bus *bus, struct unit *unit, const struct scsi_unit_setup *setup);
/* The tray has moved, or was locked or unlocked: whoever listens hears of it. */
void unit_tell_tray(const struct unit *unit);
/* What waiting tasks wait for may have come: looks at them in order of arrival, from the loop. */
void bus_kick(struct scsi_bus *bus);
void bus_run(void *opaque);

/* Takes a slot and a place in the task set; NULL: there is none. */
struct task *task_new(struct scsi_bus *bus, const struct scsi_command *cmd);
/* Ends it, in whatever phase: the slot is free, its block request an orphan. */
void task_free(struct task *t);
/* Its turn has come: the general checks, then start(). */
void task_start(struct task *t);
void task_enter_wait(struct task *t, enum task_wait wait);
/* Calls ready() if it is due. */
void task_notify(struct task *t);

/* Tries again what task_io() left in WAIT(SUBMIT). */
void io_submit(struct task *t);
/* What task_io() asked for has failed with errno @err for good: done(), or CHECK CONDITION. */
void io_end_failed(struct task *t, int err);
/* The task ends: leaves its request in flight alone with its buffer. */
void io_orphan(struct task *t);
/* A buffer for the row; false: wait. */
bool task_get_buffer(struct task *t);
void task_put_buffer(struct task *t);

/* hold.c: an error of the host holds the task back; a block request of a task ended well. */
void task_hold(struct task *t, bool write, int err);
void task_unhold(struct task *t);
void hold_init(struct unit *unit);
/* Forgets that anything was held, and the timer. */
void hold_reset(struct unit *unit);

/* The state after a reset, which @ua tells. */
void unit_reset(struct unit *unit, uint16_t ua, bool power_on);
/* Adds UA_... to what the initiator is to hear. */
void unit_attention(struct unit *unit, uint16_t ua);
/* The logical unit at this address, or NULL. */
struct unit *bus_unit(struct scsi_bus *bus, unsigned target, unsigned lun);

static inline const uint8_t *task_cdb(const struct task *t)
{
	return t->s->cdb;
}

/* ---- facts about a unit ---- */

static inline bool unit_is_cd(const struct unit *unit)
{
	return unit->config->type == SCSI_UNIT_CDROM;
}

static inline bool unit_has_medium(const struct unit *unit)
{
	return unit->block && !unit->state->tray_open;
}

/* Blocks of the medium; 0 without one. */
static inline uint64_t unit_blocks(const struct unit *unit)
{
	return unit_has_medium(unit) ? unit->block->size / unit->state->block_size : 0;
}

/*
 * Which of DPO and FUA (10h, 08h) mean something: without DPOFUA in the mode parameter header
 * neither does (SBC-3); MMC has no such rule.
 */
uint8_t unit_dpofua(const struct unit *unit);

#endif
