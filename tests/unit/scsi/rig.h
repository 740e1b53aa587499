/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TEST_SCSI_RIG_H
#define TEST_SCSI_RIG_H

/*
 * A bus with logical units on disks in memory, and an initiator that polls.  The disks can hold
 * their requests back, end them in any order, and fail.
 */

#include <glib.h>

#include "block/block.h"
#include "block/buffers.h"
#include "event/loop.h"
#include "scsi/scsi.h"

#define MEMDISK_MAX 512

struct memdisk {
	struct block block;
	uint8_t *data;
	struct block_req **pending;	/* MEMDISK_MAX */
	unsigned count;			/* of pending */
	bool hold;			/* requests wait for memdisk_end() */
	size_t now;			/* bytes that a read has at once, 0: none */
	unsigned nows;			/* reads that were tried so */
	int fail[BLOCK_STATUS + 1];	/* errno by operation, for fail_count requests */
	unsigned fail_count;
	unsigned ops[BLOCK_STATUS + 1];	/* submitted so far */
	unsigned fua;			/* requests with BLOCK_REQ_FUA so far */
	unsigned unmap;			/* requests with BLOCK_REQ_UNMAP so far */
	uint64_t mapped_until;		/* bytes that BLOCK_STATUS calls allocated, 0: all */
	struct loop_work work;
};

#define RIG_UNITS 5

struct rig {
	struct loop *loop;
	struct buffers *buffers;
	struct memdisk disk[RIG_UNITS];
	struct scsi_unit_setup units[RIG_UNITS];
	struct scsi_bus_setup setup;
	struct scsi_bus_state *state;
	struct scsi_bus *bus;
	unsigned ready[SCSI_MAX_REQS];	/* ready() calls, by index */
	unsigned ready_total;
	bool in_call;			/* ready() now would be re-entrancy */
	unsigned reports;
	int report_err;
	char report_what[64];
	/* of the last command */
	uint8_t status;
	uint8_t sense[32];
	size_t moved;			/* bytes of the data phases */
};

#define RIG_BLOCKS 2048u

/* One disk of RIG_BLOCKS blocks of 512 bytes at 0:0; change rig->units before rig_start(). */
void rig_init(struct rig *rig, unsigned units);
void rig_start(struct rig *rig);
/* rig_init(), rig_start(), and the power-on unit attentions are taken. */
void rig_up(struct rig *rig);
void rig_down(struct rig *rig);

/* Ends the oldest-but-@index request that is held. */
void memdisk_end(struct memdisk *disk, unsigned index, int ret);
/* Everything that can happen now has happened. */
void rig_settle(struct rig *rig);

struct scsi_command rig_cdb(const char *hex);

/* scsi_command() with a check that ready() is not called inside. */
int rig_command(struct rig *rig, const struct scsi_command *cmd);
/* Moves data in pieces of at most @step bytes until STATUS; no status: it waits for the disk. */
bool rig_pump(struct rig *rig, unsigned req, void *data, size_t len, size_t step);
/*
 * A whole command of initiator 7, LUN 0:0: CDB as hex, e.g. "12 00 00 00 24 00"; data of the one
 * direction that it has.  Returns its status; sense is fetched after a CHECK CONDITION.
 */
uint8_t rig_do(struct rig *rig, const char *cdb, void *data, size_t len);
uint8_t rig_do_cmd(struct rig *rig, const struct scsi_command *cmd, void *data, size_t len);

/* The command ends with this CHECK CONDITION (key << 16 | asc << 8 | ascq). */
#define rig_fails(rig, cdb, data, len, want) \
	rig_assert_sense(rig, rig_do(rig, cdb, data, len), want, cdb, __LINE__)
void rig_assert_sense(struct rig *rig, uint8_t status, uint32_t want, const char *what, int line);
/* The command ends with GOOD and moved this many bytes. */
#define rig_good(rig, cdb, data, len, want) \
	rig_assert_good(rig, rig_do(rig, cdb, data, len), want, cdb, __LINE__)
void rig_assert_good(struct rig *rig, uint8_t status, size_t want, const char *what, int line);

#endif
