/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef INITIATOR_SCSI_H
#define INITIATOR_SCSI_H

/*
 * SCSI commands over an initiator: what a logical unit is, and the blocks of a disk (SPC-4, SBC-3).
 * The unit is not trusted: all that it says of itself is copied and checked.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "initiator/initiator.h"

struct client;

#define SCSI_SCRATCH 0x1000u	/* bytes of guest RAM that a struct scsi_host needs */
#define SCSI_TARGETS 8		/* that a narrow bus has; one of them is the initiator */
#define SCSI_LUNS 64		/* that an IDENTIFY message can name */

enum scsi_type { SCSI_DISK = 0x00, SCSI_CDROM = 0x05, SCSI_NO_UNIT = 0x1f };	/* SPC-4 6.6.2 */

/* Runs one command at a time. */
struct scsi_host {
	struct initiator *initiator;
	struct client *client;
	uint64_t scratch;	/* guest-physical, of SCSI_SCRATCH bytes */
	int timeout_ms;		/* for a command */
	char why[192];		/* of the last failure, for people */
	bool broken;		/* that was the remote's or the chip's, not the unit's */
};

/* A logical unit, and, when it has blocks, what is known of them. */
struct scsi_lu {
	uint8_t target, lun;
	uint8_t type;			/* enum scsi_type, or another */
	bool removable;
	char vendor[9], product[17], revision[5];	/* printable, without trailing blanks */
	char serial[65];		/* ""; it tells none */

	uint32_t block_size;		/* bytes, a power of 2; 0: no blocks, or no medium */
	uint64_t blocks;
	bool read_only;
	bool can_fua;			/* of WRITE; one that cannot refuses it */
	bool can_unmap;			/* UNMAP */
	bool can_write_same;		/* WRITE SAME(16) with UNMAP */
	bool unmapped_zero;		/* what was unmapped reads as zeroes */
	uint32_t max_blocks;		/* of one READ or WRITE; 0: not told */
	uint32_t max_unmap;		/* blocks of one UNMAP; 0: not told */
	uint64_t max_write_same;	/* the same of WRITE SAME */
};

/* "disk", "CD-ROM", "type 0x03" and so on, in @text. */
const char *scsi_type_name(unsigned type, char *text, size_t size);

/*
 * The units of a target, in ascending order.  0; -ENODEV no such target; -errno with host->why.
 */
int scsi_report_luns(struct scsi_host *host, unsigned target, uint8_t *ret_luns,
		     unsigned *ret_count);
/*
 * Makes the unit ready and asks what it is.  0; -ENODEV no such target; -ENXIO no such unit;
 * -errno with host->why.  *ret_lu is what is known, once INQUIRY has been answered.
 */
int scsi_probe(struct scsi_host *host, unsigned target, unsigned lun, struct scsi_lu *ret_lu);
/* SYNCHRONIZE CACHE.  0, or -errno with host->why. */
int scsi_flush(struct scsi_host *host, const struct scsi_lu *lu);

/* ---- for many commands in flight: what to submit, and what came of it ---- */

/*
 * READ or WRITE, (10) or (16), of @blocks at @lba; cmd->addr is the caller's to set.  All of cmd
 * but its opaque and addr is set.  With @fua a write is on the medium when it ends.
 */
void scsi_rw(struct initiator_cmd *cmd, const struct scsi_lu *lu, bool write, uint64_t lba,
	     uint32_t blocks, bool fua);
void scsi_sync_cache(struct initiator_cmd *cmd, const struct scsi_lu *lu);
/* WRITE SAME(16) of the block at cmd->addr; with @unmap the unit may forget them instead. */
void scsi_write_same(struct initiator_cmd *cmd, const struct scsi_lu *lu, uint64_t lba,
		     uint32_t blocks, bool unmap);
#define SCSI_UNMAP_LIST 24
/* UNMAP of one range; fills @list, SCSI_UNMAP_LIST bytes, which is what stands at cmd->addr. */
void scsi_unmap(struct initiator_cmd *cmd, const struct scsi_lu *lu, uint64_t lba,
		uint32_t blocks, uint8_t *list);

/* Should the command that has ended be sent again: unit attention, busy, queue full? */
bool scsi_retry(const struct initiator_cmd *cmd);
/*
 * What came of it: 0; -errno with one line in @text: the command, its LBA, and the status or sense
 * data, or initiator_why().  -EPERM write protected, -ENOMEDIUM, -ENODATA fewer bytes than asked
 * for, -ENOSPC, -EOPNOTSUPP, else -EIO.
 */
int scsi_result(const struct initiator *initiator, const struct initiator_cmd *cmd, char *text,
		size_t size);

/* ---- sense.c ---- */

/* Sense data in fixed or descriptor format (SPC-4 4.5). */
struct scsi_sense_info {
	uint8_t key, asc, ascq;
	bool has_lba;
	uint64_t lba;
};
/* False: it is no sense data. */
bool scsi_sense_read(const uint8_t *sense, unsigned len, struct scsi_sense_info *ret_info);
/* "MEDIUM ERROR, unrecovered read error (3/11/00), LBA 5" */
void scsi_sense_text(const struct scsi_sense_info *info, char *text, size_t size);

#endif
