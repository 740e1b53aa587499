/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SCSI_CDB_H
#define SCSI_CDB_H

/* The table of commands: one row is all that the target knows about an opcode. */

#include <stddef.h>
#include <stdint.h>

#include "scsi/scsi.h"

struct task;

#define CDB_DISK 1u
#define CDB_CD 2u

#define CDB_UA_OK	0x01u	/* runs, and leaves a unit attention pending (SAM-3) */
#define CDB_NO_LUN_OK	0x02u	/* answers for a missing logical unit too */
#define CDB_RESERVED_OK	0x04u	/* runs against another initiator's reservation (SPC-2 5.5.1) */
#define CDB_MEDIUM	0x08u	/* needs a medium that is ready */
#define CDB_WRITE	0x10u	/* changes the medium */
#define CDB_HEAD	0x20u	/* implicit head of queue (SAM-4 8.9) */
#define CDB_POOL	0x40u	/* works on a pool buffer; all others on SCSI_PARAM_SIZE bytes */
#define CDB_ALONE	0x80u	/* nothing else happens on the medium meanwhile */
#define CDB_DPOFUA	0x100u	/* byte 1 has DPO, and FUA perhaps, where the unit has them */

struct cdb_row {
	uint8_t opcode;
	int8_t action;		/* service action, or -1 */
	uint8_t types;		/* CDB_DISK, CDB_CD */
	uint8_t len;
	uint16_t flags;
	const char *name;
	uint8_t usage[SCSI_MAX_CDB];	/* SPC-3 6.23.3: 1 for each bit that means something */
	void (*start)(struct task *t);
	void (*moved)(struct task *t);	/* NULL: GOOD */
	void (*done)(struct task *t);	/* NULL: GOOD */
};

extern const struct cdb_row cdb_table[];
extern const unsigned cdb_table_len;

/* Does this device type know the opcode at all?  (A service action apart.) */
const struct cdb_row *cdb_find_opcode(uint8_t opcode, unsigned type);
/* The row, or NULL. */
const struct cdb_row *cdb_find(const uint8_t *cdb, unsigned type);

/* LOGICAL BLOCK ADDRESS and TRANSFER LENGTH where the CDB's length puts them (SPC-3 4.3.4). */
uint64_t cdb_lba(const uint8_t *cdb);
uint32_t cdb_blocks(const uint8_t *cdb);
/* ALLOCATION LENGTH and PARAMETER LIST LENGTH there. */
uint32_t cdb_list_len(const uint8_t *cdb);

/* The handlers, by file. */
void cmd_test_unit_ready(struct task *t);
void cmd_request_sense(struct task *t);
void cmd_report_luns(struct task *t);
void cmd_reserve(struct task *t);
void cmd_release(struct task *t);
void cmd_prevent_allow(struct task *t);
void cmd_start_stop(struct task *t);
void cmd_send_diagnostic(struct task *t);
void cmd_inquiry(struct task *t);
void cmd_report_opcodes(struct task *t);
void cmd_report_tmf(struct task *t);
void cmd_mode_sense(struct task *t);
void cmd_mode_select(struct task *t);
void mode_select_moved(struct task *t);
void cmd_read_capacity_10(struct task *t);
void cmd_read_capacity_16(struct task *t);
void cmd_sync_cache(struct task *t);
void cmd_prefetch(struct task *t);
void cmd_seek(struct task *t);
void cmd_read(struct task *t);
void read_moved(struct task *t);
void read_done(struct task *t);
void cmd_write(struct task *t);
void write_moved(struct task *t);
void write_done(struct task *t);
void cmd_verify(struct task *t);
void verify_moved(struct task *t);
void verify_done(struct task *t);
void cmd_write_verify(struct task *t);
void write_verify_moved(struct task *t);
void write_verify_done(struct task *t);
void cmd_orwrite(struct task *t);
void orwrite_moved(struct task *t);
void orwrite_done(struct task *t);
void cmd_compare_and_write(struct task *t);
void compare_and_write_moved(struct task *t);
void compare_and_write_done(struct task *t);
void cmd_write_same(struct task *t);
void write_same_moved(struct task *t);
void write_same_done(struct task *t);
void cmd_unmap(struct task *t);
void unmap_moved(struct task *t);
void unmap_done(struct task *t);
void cmd_get_lba_status(struct task *t);
void get_lba_status_done(struct task *t);
void cmd_read_defect_data(struct task *t);
void cmd_read_disc_information(struct task *t);
void cmd_get_configuration(struct task *t);
void cmd_get_event_status(struct task *t);
void cmd_mechanism_status(struct task *t);
void cmd_set_cd_speed(struct task *t);
void cmd_read_dvd_structure(struct task *t);
void cmd_read_toc(struct task *t);
void cmd_read_cd(struct task *t);

#endif
