/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SCSI_DISK_H
#define SCSI_DISK_H

/* What the disk_*.c files share. */

#include "scsi/bus.h"

/* UNMAP: as many as fit into 4 KiB with their header, as QEMU says. */
#define UNMAP_MAX_DESCRIPTORS 255u

/* The longest transfer of one command, in blocks (MAXIMUM TRANSFER LENGTH, SBC-3 6.5.3). */
uint32_t unit_max_blocks(const struct unit *unit);
/* Do unmapped blocks read as zeroes?  Is there thin provisioning at all? */
bool unit_reads_zeroes(const struct unit *unit);
bool unit_is_thin(const struct unit *unit);

/* Ends the task with LOGICAL BLOCK ADDRESS OUT OF RANGE and returns false, or true. */
bool disk_check_range(struct task *t, uint64_t lba, uint64_t blocks);
/* Takes the CDB's LBA and length into s->lba and s->blocks; no more than @limit blocks. */
bool disk_parse_range(struct task *t, uint32_t limit);
/* How many of the blocks left fit into @space bytes. */
uint32_t disk_window_blocks(const struct task *t, size_t space);
/* A block request at s->lba. */
void disk_io(struct task *t, enum block_op op, uint32_t flags, uint32_t bytes, uint32_t buf_off);
/* @bytes at s->lba are done. */
void disk_advance(struct task *t, uint64_t bytes);
/* BLOCK_REQ_FUA as the CDB and the caching mode page say. */
uint32_t disk_write_flags(const struct task *t);

#endif
