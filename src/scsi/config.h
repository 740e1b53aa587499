/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SCSI_CONFIG_H
#define SCSI_CONFIG_H

/* What a logical unit is: plain data, made from -device scsi-hd and scsi-cd. */

#include <stdint.h>

enum scsi_unit_type { SCSI_UNIT_DISK, SCSI_UNIT_CDROM };

/* What a host error of the backend does (QEMU's werror= and rerror=). */
enum scsi_on_error { SCSI_ON_ERROR_REPORT, SCSI_ON_ERROR_IGNORE, SCSI_ON_ERROR_STOP,
		     SCSI_ON_ERROR_ENOSPC };

/* Directions of what an error holds back. */
#define SCSI_HOLD_READ 1u
#define SCSI_HOLD_WRITE 2u

struct scsi_unit_config {
	uint8_t type;			/* enum scsi_unit_type */
	uint8_t target;
	uint8_t lun;
	uint8_t removable;
	uint8_t readonly;
	uint8_t dpofua;
	uint8_t write_cache;		/* WCE at power-on */
	uint8_t werror, rerror;		/* enum scsi_on_error */
	uint8_t discard;		/* UNMAP reaches the backend */
	uint8_t scsi_version;		/* INQUIRY byte 2; 5 = SPC-3, QEMU's default */
	uint8_t waits;			/* SCSI_HOLD_...: held for the operator, without a timer */
	uint16_t rotation_rate;		/* rpm; 0 not reported, 1 solid state */
	uint32_t logical_block_size, physical_block_size;	/* bytes */
	uint32_t min_io_size, opt_io_size;			/* bytes; 0 = not reported */
	uint32_t discard_granularity;	/* bytes; UINT32_MAX = the default */
	uint64_t max_unmap_size;	/* bytes */
	uint64_t max_io_size;		/* bytes */
	uint64_t wwn, port_wwn;		/* NAA; 0 = none */
	uint16_t port_index;
	char vendor[8 + 1], product[16 + 1], version[4 + 1];
	char serial[36 + 1];
	char device_id[64 + 1];		/* VPD 83h, T10 id: device_id=, the serial or drive id */
	char id[64];			/* of the -device, for messages */
};

#endif
