/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SCSI_DISK_H
#define SCSI_DISK_H

/* What the disk_*.c files share. */

#include "scsi/bus.h"

/* UNMAP: as many as fit into 4 KiB with their header, as QEMU says. */
#define UNMAP_MAX_DESCRIPTORS 255u

/* The longest transfer of one command, in blocks (MAXIMUM TRANSFER LENGTH of VPD B0h). */
uint32_t unit_max_blocks(const struct unit *unit);
/* The longest COMPARE AND WRITE, in blocks: all of it is in one buffer. */
uint8_t unit_caw_max(const struct unit *unit);
/* Do unmapped blocks read as zeroes?  Is there thin provisioning at all? */
bool unit_reads_zeroes(const struct unit *unit);
bool unit_is_thin(const struct unit *unit);

/* Ends the task with LOGICAL BLOCK ADDRESS OUT OF RANGE and returns false, or true. */
bool disk_check_range(struct task *t, uint64_t lba, uint64_t blocks);
/* Takes the CDB's LBA and length into s->lba and s->blocks; no more than @limit blocks. */
bool disk_parse_range(struct task *t, uint32_t limit);
/*
 * Byte 1 of 10, 12 and 16 byte CDBs: refuses protection information (SBC-3 4.22), and DPO and FUA
 * if the unit does not have them.  Ends the task and returns false.
 */
bool disk_check_byte1(struct task *t);
/* Both, for READ and WRITE; a length of 0 ends the task as well (GOOD). */
bool disk_start(struct task *t);
/* How many of the blocks left fit into @space bytes. */
uint32_t disk_window_blocks(const struct task *t, size_t space);
/* A block request at s->lba. */
void disk_io(struct task *t, enum block_op op, uint32_t flags, uint64_t bytes, uint32_t buf_off);
/* @bytes at s->lba are done. */
void disk_advance(struct task *t, uint64_t bytes);
/* BLOCK_REQ_FUA as the CDB and the caching mode page say. */
uint32_t disk_write_flags(const struct task *t);

/*
 * Of a window that is not in the buffer: reads whole blocks, and returns the bytes that came, 0 for
 * none; its rest comes the ordinary way.
 */
size_t disk_read_direct(struct task *t, const struct iovec *iov, int count, size_t len);
void disk_direct_end(struct task *t);

#endif
