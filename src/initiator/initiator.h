/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef INITIATOR_INITIATOR_H
#define INITIATOR_INITIATOR_H

/*
 * A SCSI initiator: drives an LSI 53C8xx that a struct client is connected to, the way Linux's
 * sym53c8xx does: SCRIPTS of its own in guest RAM, a start queue, SIGP to start, interrupt on the
 * fly to complete, tags, disconnection and reselection, sense fetched after a CHECK CONDITION.
 *
 * One I/O takes four register accesses, each a message and its reply: the write of SIGP to ISTAT
 * that starts it; and for an interrupt ISTAT read, INTF written back, ISTAT read again (manual
 * 2.2.15).  That is the chip's minimum with a driver that believes the manual: INTF must be cleared
 * or the line stays up, it has to be read to know whose the interrupt is, and what came between the
 * two would be lost without the last read.  Commands that end together share an interrupt, so with
 * N in flight it is between 1 + 3/N and 4.  Everything else goes through guest RAM.
 *
 * The remote is not trusted.  What it writes to guest RAM is copied once and checked; where it is
 * wrong the answer is -EPROTO, and every later call gives the same.  No call waits longer than its
 * time-out and the client's for each register access.
 */

#include <stddef.h>
#include <stdint.h>

struct client;
struct initiator;

#define INITIATOR_MAX_DEPTH 64	/* commands in flight */
#define INITIATOR_SENSE 96	/* bytes of sense data that are kept */

/* Statuses of a command (SAM-5 5.3.1), as far as something follows from them. */
enum initiator_status {
	INITIATOR_GOOD = 0x00, INITIATOR_CHECK_CONDITION = 0x02, INITIATOR_BUSY = 0x08,
	INITIATOR_TASK_SET_FULL = 0x28,
};

enum initiator_dir { INITIATOR_NO_DATA, INITIATOR_IN, INITIATOR_OUT };

/* One command.  The caller's until initiator_submit(), and again when initiator_reap() gives it. */
struct initiator_cmd {
	uint8_t target, lun;
	uint8_t cdb_len;
	uint8_t cdb[16];
	enum initiator_dir dir;
	uint64_t addr;			/* guest-physical, of the data; inside client->mem */
	uint32_t len;			/* bytes, less than 16 MiB */
	void *opaque;			/* the caller's */

	/* results */
	int ret;			/* 0; -ENODEV nobody answers the selection; or -errno */
	uint8_t status;			/* SAM-3 5.3.1, when ret is 0 */
	uint8_t sense_len;
	uint8_t sense[INITIATOR_SENSE];
	uint32_t moved;			/* bytes of data */

	/* private */
	unsigned slot;
};

/* RAM that the initiator needs for itself, from address 0 on; the rest is the caller's for data. */
#define INITIATOR_RAM 0x40000u

/*
 * Finds BARs, resets the chip, puts the scripts into guest RAM, of which @client needs more than
 * INITIATOR_RAM, enables bus mastering.  0 or -errno (-ENODEV: no LSI 53C8xx).
 */
int initiator_create(struct client *client, struct initiator **ret_initiator);
/* Resets the chip: nothing is moved any more.  NULL-safe. */
void initiator_destroy(struct initiator *initiator);

/* What -errno of the last call means, one line for people. */
const char *initiator_why(const struct initiator *initiator, int ret);

/*
 * Starts @cmd: one register write.  0; -EBUSY all slots are taken; -EINVAL; -errno as of struct
 * client's calls.
 */
int initiator_submit(struct initiator *initiator, struct initiator_cmd *cmd);

/*
 * The next command that has ended, in *ret_cmd: waits up to @timeout_ms (-1: no limit) for one.
 * 0; -EAGAIN none ended in time, or none is in flight; -errno for good.
 *
 * A command's own failure is in its ret: -ENODEV, or -EIO after what stops the chip (a phase
 * mismatch, an unexpected disconnect, a bus fault, an illegal instruction, a bus reset, ...).  The
 * chip is reset then, and all that was in flight ends in that way.  initiator_why() names it.
 */
int initiator_reap(struct initiator *initiator, int timeout_ms, struct initiator_cmd **ret_cmd);

/*
 * Submits and waits for that very command; nothing else may be in flight.  0, cmd->ret or -errno;
 * -ETIMEDOUT: it did not end, and the chip was reset.
 */
int initiator_execute(struct initiator *initiator, struct initiator_cmd *cmd, int timeout_ms);

#endif
