/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SCSI_SCSI_H
#define SCSI_SCSI_H

/*
 * A SCSI bus as its host adapter sees it: targets with logical units, each on a block device, and a
 * table of commands (tasks, SAM-3) in flight.
 *
 * The adapter polls: it starts a command, asks for its phase, moves data through the command's
 * window, and takes the status.  Nothing calls back into the adapter from inside a call that the
 * adapter made; when a waiting command goes on, ops->ready() says so, from the loop.
 *
 *     scsi_command() -> WAIT ... ready() -> DATA_IN or DATA_OUT (window, advance, maybe WAIT again)
 *                    -> STATUS -> scsi_release()
 *
 * Everything a successor process needs is in struct scsi_bus_state: no pointers there; a command
 * is named by its index, and its generation tells an old answer from a new command.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "scsi/config.h"

struct block;
struct buffers;
struct loop;

#define SCSI_MAX_TARGETS 16
#define SCSI_MAX_LUNS 8		/* a target */
#define SCSI_MAX_UNITS 64	/* a bus */
#define SCSI_MAX_REQS 288	/* a bus; more get TASK SET FULL */
#define SCSI_MAX_CDB 16

enum scsi_phase { SCSI_PHASE_FREE, SCSI_PHASE_WAIT, SCSI_PHASE_DATA_IN, SCSI_PHASE_DATA_OUT,
		  SCSI_PHASE_STATUS };

enum scsi_task_attr { SCSI_TASK_UNTAGGED, SCSI_TASK_SIMPLE, SCSI_TASK_ORDERED, SCSI_TASK_HEAD };

/* SAM-3 5.3.1 */
enum scsi_status { SCSI_GOOD = 0x00, SCSI_CHECK_CONDITION = 0x02, SCSI_CONDITION_MET = 0x04,
		   SCSI_BUSY = 0x08, SCSI_RESERVATION_CONFLICT = 0x18, SCSI_TASK_SET_FULL = 0x28,
		   SCSI_TASK_ABORTED = 0x40 };

/*
 * Sense data without its wire format (SPC-3 4.5): fixed or descriptor sense is made from it when it
 * is asked for.
 */
struct scsi_sense {
	uint8_t key, asc, ascq;
	uint8_t flags;			/* private to src/scsi */
	uint8_t sks[3];			/* SENSE KEY SPECIFIC with SKSV, SPC-3 4.5.2.4 */
	uint8_t pad;
	uint64_t info;			/* INFORMATION: an LBA or an offset */
};

/* One command in flight: identity, then progress; private to src/scsi. */
struct scsi_req_state {
	uint8_t phase;			/* enum scsi_phase */
	uint8_t status;
	uint8_t target, lun, initiator, attr, tag;
	uint8_t cdb_len;
	uint8_t cdb[SCSI_MAX_CDB];
	uint32_t generation;
	uint8_t wait;			/* what phase WAIT waits for: enum task_wait */
	uint8_t notify;			/* ready() is to be called */
	uint8_t step;			/* the command's own state machine */
	uint8_t io_op;			/* the block request that it makes: enum block_op */
	uint64_t order;			/* arrival; counts up for the bus */
	uint64_t lba;			/* next block of the medium */
	uint64_t blocks;		/* left to transfer on the medium */
	uint64_t io_off, io_len;	/* bytes on the block device */
	uint32_t io_flags, io_buf;	/* BLOCK_REQ_*; where the data is in its buffer */
	uint32_t win_base, win_len, win_off;	/* the open window, in its buffer */
	uint32_t arg[2];
	uint32_t block_size;			/* the unit's when it started, bytes */
	uint8_t was_held;		/* once, after an error of the host */
	uint8_t direct;			/* the window is not in the buffer: scsi_read_direct() */
	uint8_t pad[2];
	struct scsi_sense sense;	/* of its CHECK CONDITION */
};

/* A logical unit's own state. */
struct scsi_unit_state {
	struct scsi_sense sense;	/* of the last CHECK CONDITION, for REQUEST SENSE */
	uint8_t sense_valid;		/* bit 7 set, initiator id below */
	uint8_t ua_count;
	uint16_t ua[4];			/* pending unit attentions, asc << 8 | ascq, oldest first */
	uint8_t write_cache;
	uint8_t swp;			/* software write protect, control mode page */
	uint8_t stopped;
	uint8_t tray_open, tray_locked, medium_event;
	uint8_t reserved;		/* RESERVE(6): bit 7 set, initiator id below */
	uint8_t poisoned;		/* a flush failed: see block.h */
	uint8_t held;			/* SCSI_HOLD_READ, _WRITE: held back and reported */
	uint8_t retry_step;		/* of the back-off: the next wait is the longer one */
	uint32_t block_size;		/* bytes, as MODE SELECT left it */
	int64_t retry_at;		/* CLOCK_MONOTONIC, ns: held ones are tried again; 0: no */
};

struct scsi_bus_state {
	uint32_t next_generation;
	uint32_t pad;
	uint64_t next_order;
	struct scsi_unit_state unit[SCSI_MAX_UNITS];
	struct scsi_req_state req[SCSI_MAX_REQS];
};

struct scsi_bus;

struct scsi_bus_ops {
	/* A command that was in WAIT has another phase now.  From the loop. */
	void (*ready)(void *opaque, unsigned req);
	/* The adapter knows windows that it has to read by itself. */
	bool direct;
};

/* One logical unit and the block device under it (NULL: no medium). */
struct scsi_unit_setup {
	struct scsi_unit_config config;
	struct block *block;
};

/* Who hears of more. */
struct scsi_watch {
	/* A tray has moved, or was locked or unlocked, by the guest or the operator. */
	void (*tray)(void *opaque, const char *unit_id, bool open, bool locked);
	/* A request of the host failed; the guest is told, or it is ignored: not held back. */
	void (*failed)(void *opaque, const char *unit_id, bool write, int err, bool ignored);
};

/* What a bus is made of; given to the device model as pci_dev.scsi_config. */
struct scsi_bus_setup {
	struct scsi_unit_setup *units;
	unsigned count;
	struct buffers *buffers;
	/*
	 * A request was held back by werror/rerror=stop|enospc: the first of its unit and direction
	 * since the last retry.  @err is an errno.  May be NULL.
	 */
	void (*report)(void *opaque, const char *unit_id, bool write, int err);
	const struct scsi_watch *watch;	/* with the same opaque; or NULL */
	void *opaque;
};

/*
 * @state is memory inside the adapter's own state: zeroed, or what another process left there, of
 * which only the counters are taken over.  @setup and all it names outlive the bus.
 * Returns NULL with errno set (EINVAL: two units at one address, or an impossible address).
 */
struct scsi_bus *scsi_bus_create(const struct scsi_bus_setup *setup, struct scsi_bus_state *state,
				 const struct scsi_bus_ops *ops, void *opaque, struct loop *loop);
/* Commands in flight are dropped; the block devices must be idle. */
void scsi_bus_destroy(struct scsi_bus *bus);

/* Does anything answer at this target id? */
bool scsi_target_present(const struct scsi_bus *bus, unsigned target);

struct scsi_command {
	uint8_t target, lun, initiator;
	uint8_t attr;			/* enum scsi_task_attr */
	uint8_t tag;
	uint8_t cdb_len;
	uint8_t cdb[SCSI_MAX_CDB];
};

/* How many bytes a CDB of this opcode has (SPC-3 4.3.3), or 0 for a reserved or vendor group. */
unsigned scsi_cdb_len(uint8_t opcode);

/*
 * Takes a command.  Returns its index; the command may already be in any phase but FREE.
 * -ENODEV: no such target.  (A missing LUN, a bad CDB, a full task set and a task tagged like one
 * in flight are commands that end with the right status, as on a real bus.)  -ENOSPC: all
 * SCSI_MAX_REQS are taken, even for that: the adapter answers TASK SET FULL by itself.
 */
int scsi_command(struct scsi_bus *bus, const struct scsi_command *cmd);

/* Of command @req: its phase, and a number that changes when the index is used again. */
enum scsi_phase scsi_phase(const struct scsi_bus *bus, unsigned req);
uint32_t scsi_generation(const struct scsi_bus *bus, unsigned req);

/*
 * The bytes that can be moved now, in DATA_IN (to read) and DATA_OUT (to fill); good until the next
 * call on this bus.  *ret_len > 0.
 */
void *scsi_window(struct scsi_bus *bus, unsigned req, size_t *ret_len);
/*
 * With ops->direct: the length of a window in DATA_IN that scsi_window() does not have, and that
 * scsi_read_direct() reads; 0: it is an ordinary one.
 */
size_t scsi_direct(const struct scsi_bus *bus, unsigned req);
/*
 * Reads up to @len bytes of such a window into @count segments, which may be guest memory, without
 * a wait.  Returns how many bytes were moved, as by scsi_advance().  0: none; the rest of the
 * transfer comes the ordinary way, so that the phase is WAIT now, or the window an ordinary one.
 */
size_t scsi_read_direct(struct scsi_bus *bus, unsigned req, const struct iovec *iov, int count,
			size_t len);
/* @len bytes of the window were moved.  At its end the phase changes. */
void scsi_advance(struct scsi_bus *bus, unsigned req, size_t len);

/*
 * What commands have read from their disks inside the adapter's calls, because the host had it at
 * hand, since this was last asked: bytes, and *ret_count reads.  No ready() tells of them.
 */
uint64_t scsi_read_now(struct scsi_bus *bus, unsigned *ret_count);

/* In phase STATUS. */
uint8_t scsi_status(const struct scsi_bus *bus, unsigned req);
/* The status was delivered: the index is free again. */
void scsi_release(struct scsi_bus *bus, unsigned req);

/* Task management (SAM-3 7).  They return at once: what the host still does for an ended command
 * touches private buffers only. */
void scsi_abort(struct scsi_bus *bus, unsigned req);
/* The task of that nexus and tag; -ENOENT if there is none. */
int scsi_find(const struct scsi_bus *bus, unsigned target, unsigned lun, unsigned initiator,
	      int tag /* -1: untagged */);
void scsi_abort_task_set(struct scsi_bus *bus, unsigned target, unsigned lun, unsigned initiator);
void scsi_clear_task_set(struct scsi_bus *bus, unsigned target, unsigned lun);
/* BUS DEVICE RESET message: every LUN of the target, UNIT ATTENTION 29/03. */
void scsi_target_reset(struct scsi_bus *bus, unsigned target);
/* RST on the SCSI bus: 29/02.  @power_on (PCI reset): 29/00, mode pages saved values. */
void scsi_bus_reset(struct scsi_bus *bus, bool power_on);

/*
 * The operator's changes, from the loop.  -ENODEV: there is no such unit.
 *
 * Its block device has another size: UNIT ATTENTION, CAPACITY DATA HAS CHANGED.
 */
int scsi_unit_resized(struct scsi_bus *bus, unsigned target, unsigned lun);
/*
 * The tray opens, and the medium goes.  -ENOTSUP: it cannot; -EBUSY: the guest has locked it, and
 * @force is not set; -EINPROGRESS: the tray is open, and commands still use the medium: again
 * later.  At 0 the block device is the caller's.
 */
int scsi_unit_eject(struct scsi_bus *bus, unsigned target, unsigned lun, bool force);
/*
 * The tray closes with that medium in it (NULL: none).  -EBUSY: it is not open, or not empty;
 * -EINVAL: not one that the unit can have.
 */
int scsi_unit_load(struct scsi_bus *bus, unsigned target, unsigned lun, struct block *block);
/*
 * A new unit; @setup stays in place.  -EINVAL: an impossible one, or there is one at its address;
 * -ENOSPC.
 */
int scsi_unit_attach(struct scsi_bus *bus, const struct scsi_unit_setup *setup);
/* The unit answers no more.  What is under way ends; scsi_unit_left() says when it has. */
int scsi_unit_detach(struct scsi_bus *bus, unsigned target, unsigned lun);
/* Does nothing use the detached unit of that config any more? */
bool scsi_unit_left(const struct scsi_bus *bus, const struct scsi_unit_config *config);

/* Commands whose phase is not FREE. */
unsigned scsi_active(const struct scsi_bus *bus);

/* The operator: retries what werror/rerror=stop|enospc holds back, and the back-off is over. */
void scsi_retry_held(struct scsi_bus *bus);
/* What is held back and waits for the operator (scsi_unit_config.waits) is retried by timer. */
void scsi_retry_later(struct scsi_bus *bus);

#endif
