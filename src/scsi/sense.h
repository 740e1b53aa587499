/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SCSI_SENSE_H
#define SCSI_SENSE_H

/* Sense codes, and sense data in its two wire formats (SPC-3 4.5). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scsi/scsi.h"

/* SPC-3 table 27: sense keys. */
enum sense_key { KEY_NONE = 0x0, KEY_RECOVERED = 0x1, KEY_NOT_READY = 0x2, KEY_MEDIUM = 0x3,
		 KEY_HARDWARE = 0x4, KEY_ILLEGAL = 0x5, KEY_ATTENTION = 0x6, KEY_PROTECT = 0x7,
		 KEY_ABORTED = 0xb, KEY_MISCOMPARE = 0xe };

/* key << 16 | asc << 8 | ascq; SPC-3 table 28. */
#define SENSE(key, asc, ascq) ((uint32_t)(key) << 16 | (asc) << 8 | (ascq))
#define SENSE_NONE			SENSE(KEY_NONE, 0x00, 0x00)
#define SENSE_NOT_READY			SENSE(KEY_NOT_READY, 0x04, 0x00)
#define SENSE_NEED_START		SENSE(KEY_NOT_READY, 0x04, 0x02)
#define SENSE_NO_MEDIUM			SENSE(KEY_NOT_READY, 0x3a, 0x00)
#define SENSE_NO_MEDIUM_TRAY_OPEN	SENSE(KEY_NOT_READY, 0x3a, 0x02)
#define SENSE_REMOVAL_PREVENTED_NO_MEDIUM SENSE(KEY_NOT_READY, 0x53, 0x02)
#define SENSE_READ_ERROR		SENSE(KEY_MEDIUM, 0x11, 0x00)
#define SENSE_TARGET_FAILURE		SENSE(KEY_HARDWARE, 0x44, 0x00)
#define SENSE_LIST_LENGTH		SENSE(KEY_ILLEGAL, 0x1a, 0x00)
#define SENSE_INVALID_OPCODE		SENSE(KEY_ILLEGAL, 0x20, 0x00)
#define SENSE_LBA_RANGE			SENSE(KEY_ILLEGAL, 0x21, 0x00)
#define SENSE_INVALID_FIELD		SENSE(KEY_ILLEGAL, 0x24, 0x00)
#define SENSE_NO_LUN			SENSE(KEY_ILLEGAL, 0x25, 0x00)
#define SENSE_INVALID_PARAM		SENSE(KEY_ILLEGAL, 0x26, 0x00)
#define SENSE_NO_SAVING			SENSE(KEY_ILLEGAL, 0x39, 0x00)
#define SENSE_REMOVAL_PREVENTED		SENSE(KEY_ILLEGAL, 0x53, 0x02)
#define SENSE_INCOMPATIBLE_FORMAT	SENSE(KEY_ILLEGAL, 0x30, 0x02)
#define SENSE_TRACK_MODE		SENSE(KEY_ILLEGAL, 0x64, 0x00)
#define SENSE_WRITE_PROTECTED		SENSE(KEY_PROTECT, 0x27, 0x00)
#define SENSE_SW_WRITE_PROTECTED	SENSE(KEY_PROTECT, 0x27, 0x02)
#define SENSE_SPACE_ALLOC		SENSE(KEY_PROTECT, 0x27, 0x07)
#define SENSE_IO_ERROR			SENSE(KEY_ABORTED, 0x00, 0x06)
#define SENSE_OVERLAPPED		SENSE(KEY_ABORTED, 0x4e, 0x00)
#define SENSE_MISCOMPARE		SENSE(KEY_MISCOMPARE, 0x1d, 0x00)

/* Unit attentions: asc << 8 | ascq. */
#define UA_POWER_ON		0x2900
#define UA_BUS_RESET		0x2902
#define UA_TARGET_RESET		0x2903
#define UA_MEDIUM_CHANGED	0x2800
#define UA_CAPACITY_CHANGED	0x2a09
#define UA_LUNS_CHANGED		0x3f0e

/* Sense data that says only @code (SENSE_...). */
struct scsi_sense sense_make(uint32_t code);
/* Names the field at fault (SPC-3 4.5.2.4.2): the byte, and its highest wrong bit or -1. */
struct scsi_sense sense_field(uint32_t code, unsigned byte, int bit);
/* @info goes to the INFORMATION field. */
struct scsi_sense sense_info(uint32_t code, uint64_t info);

/* Sense for a host error (errno, positive) of the block device. */
struct scsi_sense sense_from_errno(int err);

#define SENSE_MAX_LEN 32
/*
 * Writes current sense data, fixed or descriptor format, into @buf (SENSE_MAX_LEN bytes); returns
 * its length.
 */
size_t sense_build(const struct scsi_sense *sense, bool descriptor, uint8_t *buf);

#endif
