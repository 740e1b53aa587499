/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scsi/cdb.h"

#include "base/num.h"

/* Shorthands for the rows below. */
#define D CDB_DISK
#define C CDB_CD
#define ALWAYS (CDB_UA_OK | CDB_RESERVED_OK | CDB_HEAD)
#define READS (CDB_MEDIUM | CDB_POOL | CDB_DPOFUA)
#define WRITES (CDB_MEDIUM | CDB_POOL | CDB_WRITE | CDB_DPOFUA)
#define CHANGES (CDB_MEDIUM | CDB_POOL | CDB_WRITE)

/*
 * By opcode.  The usage bytes leave out what we refuse: protection (RDPROTECT and the like), NACA
 * and LINK in CONTROL, group numbers, caching hints.
 */
const struct cdb_row cdb_table[] = {
	/* SPC-3 6.33 */
	{ 0x00, -1, D | C, 6, CDB_MEDIUM, "TEST UNIT READY", { 0x00, 0, 0, 0, 0, 0 },
	  cmd_test_unit_ready },
	/* SPC-3 6.27 */
	{ 0x03, -1, D | C, 6, ALWAYS | CDB_NO_LUN_OK, "REQUEST SENSE",
	  { 0x03, 0x01, 0, 0, 0xff, 0 }, cmd_request_sense },
	/* SBC-2 */
	{ 0x08, -1, D | C, 6, READS, "READ(6)", { 0x08, 0x1f, 0xff, 0xff, 0xff, 0 },
	  cmd_read, read_moved, read_done },
	{ 0x0a, -1, D, 6, WRITES, "WRITE(6)", { 0x0a, 0x1f, 0xff, 0xff, 0xff, 0 },
	  cmd_write, write_moved, write_done },
	/* SPC-3 6.4 */
	{ 0x12, -1, D | C, 6, ALWAYS | CDB_NO_LUN_OK, "INQUIRY",
	  { 0x12, 0x01, 0xff, 0xff, 0xff, 0 }, cmd_inquiry },
	/* SPC-3 6.7; alone: the flush when the cache goes off is to cover what is under way */
	{ 0x15, -1, D | C, 6, CDB_ALONE, "MODE SELECT(6)", { 0x15, 0x10, 0, 0, 0xff, 0 },
	  cmd_mode_select, mode_select_moved },
	/* SPC-2 7.22 */
	{ 0x16, -1, D | C, 6, 0, "RESERVE(6)", { 0x16, 0, 0, 0, 0, 0 }, cmd_reserve },
	/* SPC-2 7.17 */
	{ 0x17, -1, D | C, 6, CDB_RESERVED_OK, "RELEASE(6)", { 0x17, 0, 0, 0, 0, 0 },
	  cmd_release },
	/* SPC-3 6.9 */
	{ 0x1a, -1, D | C, 6, 0, "MODE SENSE(6)", { 0x1a, 0x08, 0xff, 0xff, 0xff, 0 },
	  cmd_mode_sense },
	/* SBC-3 5.25, MMC-6 */
	{ 0x1b, -1, D | C, 6, 0, "START STOP UNIT", { 0x1b, 0x01, 0, 0, 0xf7, 0 },
	  cmd_start_stop },
	/* SPC-3 6.28 */
	{ 0x1d, -1, D | C, 6, 0, "SEND DIAGNOSTIC", { 0x1d, 0x14, 0, 0, 0, 0 },
	  cmd_send_diagnostic },
	/* SPC-3 6.13 */
	{ 0x1e, -1, D | C, 6, 0, "PREVENT ALLOW MEDIUM REMOVAL", { 0x1e, 0, 0, 0, 0x01, 0 },
	  cmd_prevent_allow },
	/* SBC-3 5.15, MMC-6 */
	{ 0x25, -1, D | C, 10, CDB_MEDIUM, "READ CAPACITY(10)",
	  { 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0 }, cmd_read_capacity_10 },
	/* SBC-3 5.11 */
	{ 0x28, -1, D | C, 10, READS, "READ(10)",
	  { 0x28, 0x18, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0 },
	  cmd_read, read_moved, read_done },
	/* SBC-3 5.33 */
	{ 0x2a, -1, D, 10, WRITES, "WRITE(10)",
	  { 0x2a, 0x18, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0 },
	  cmd_write, write_moved, write_done },
	/* SCSI-2 */
	{ 0x2b, -1, D | C, 10, CDB_MEDIUM, "SEEK(10)",
	  { 0x2b, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0 }, cmd_seek },
	/* SBC-3 5.37 */
	{ 0x2e, -1, D, 10, WRITES, "WRITE AND VERIFY(10)",
	  { 0x2e, 0x12, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0 },
	  cmd_write_verify, write_verify_moved, write_verify_done },
	/* SBC-3 5.29 */
	{ 0x2f, -1, D, 10, READS, "VERIFY(10)",
	  { 0x2f, 0x16, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0 },
	  cmd_verify, verify_moved, verify_done },
	/* SBC-3 5.8 */
	{ 0x34, -1, D, 10, CDB_MEDIUM, "PRE-FETCH(10)",
	  { 0x34, 0x02, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0 }, cmd_prefetch },
	/* SBC-3 5.26 */
	{ 0x35, -1, D | C, 10, CDB_MEDIUM, "SYNCHRONIZE CACHE(10)",
	  { 0x35, 0x02, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0 }, cmd_sync_cache },
	/* SBC-3 5.17 */
	{ 0x37, -1, D, 10, CDB_MEDIUM, "READ DEFECT DATA(10)",
	  { 0x37, 0, 0x1f, 0, 0, 0, 0, 0xff, 0xff, 0 }, cmd_read_defect_data },
	/* SBC-3 5.43 */
	{ 0x41, -1, D, 10, CHANGES, "WRITE SAME(10)",
	  { 0x41, 0x08, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0 },
	  cmd_write_same, write_same_moved, write_same_done },
	/* SBC-3 5.28 */
	{ 0x42, -1, D, 10, CHANGES, "UNMAP", { 0x42, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0 },
	  cmd_unmap, unmap_moved, unmap_done },
	/* MMC-6 */
	{ 0x43, -1, C, 10, CDB_MEDIUM, "READ TOC/PMA/ATIP",
	  { 0x43, 0x02, 0x0f, 0, 0, 0, 0xff, 0xff, 0xff, 0xc0 }, cmd_read_toc },
	{ 0x46, -1, C, 10, CDB_UA_OK | CDB_RESERVED_OK, "GET CONFIGURATION",
	  { 0x46, 0x03, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0 }, cmd_get_configuration },
	{ 0x4a, -1, C, 10, CDB_UA_OK | CDB_RESERVED_OK, "GET EVENT STATUS NOTIFICATION",
	  { 0x4a, 0x01, 0, 0, 0xff, 0, 0, 0xff, 0xff, 0 }, cmd_get_event_status },
	{ 0x51, -1, C, 10, CDB_MEDIUM, "READ DISC INFORMATION",
	  { 0x51, 0x07, 0, 0, 0, 0, 0, 0xff, 0xff, 0 }, cmd_read_disc_information },
	/* SPC-3 6.8 */
	{ 0x55, -1, D | C, 10, CDB_ALONE, "MODE SELECT(10)",
	  { 0x55, 0x10, 0, 0, 0, 0, 0, 0xff, 0xff, 0 }, cmd_mode_select, mode_select_moved },
	/* SPC-2 7.21 */
	{ 0x56, -1, D | C, 10, 0, "RESERVE(10)", { 0x56, 0, 0, 0, 0, 0, 0, 0, 0, 0 },
	  cmd_reserve },
	/* SPC-2 7.16 */
	{ 0x57, -1, D | C, 10, CDB_RESERVED_OK, "RELEASE(10)",
	  { 0x57, 0, 0, 0, 0, 0, 0, 0, 0, 0 }, cmd_release },
	/* SPC-3 6.10 */
	{ 0x5a, -1, D | C, 10, 0, "MODE SENSE(10)",
	  { 0x5a, 0x08, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0 }, cmd_mode_sense },
	/* SBC-3 5.13 */
	{ 0x88, -1, D | C, 16, READS, "READ(16)",
	  { 0x88, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	  cmd_read, read_moved, read_done },
	/* SBC-3 5.2 */
	{ 0x89, -1, D, 16, WRITES | CDB_ALONE, "COMPARE AND WRITE",
	  { 0x89, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0xff, 0, 0 },
	  cmd_compare_and_write, compare_and_write_moved, compare_and_write_done },
	/* SBC-3 5.35 */
	{ 0x8a, -1, D, 16, WRITES, "WRITE(16)",
	  { 0x8a, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	  cmd_write, write_moved, write_done },
	/* SBC-3 5.5 */
	{ 0x8b, -1, D, 16, WRITES | CDB_ALONE, "ORWRITE(16)",
	  { 0x8b, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	  cmd_orwrite, orwrite_moved, orwrite_done },
	/* SBC-3 5.39 */
	{ 0x8e, -1, D, 16, WRITES, "WRITE AND VERIFY(16)",
	  { 0x8e, 0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	  cmd_write_verify, write_verify_moved, write_verify_done },
	/* SBC-3 5.31 */
	{ 0x8f, -1, D, 16, READS, "VERIFY(16)",
	  { 0x8f, 0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	  cmd_verify, verify_moved, verify_done },
	/* SBC-3 5.9 */
	{ 0x90, -1, D, 16, CDB_MEDIUM, "PRE-FETCH(16)",
	  { 0x90, 0x02, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	  cmd_prefetch },
	/* SBC-3 5.27 */
	{ 0x91, -1, D | C, 16, CDB_MEDIUM, "SYNCHRONIZE CACHE(16)",
	  { 0x91, 0x02, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	  cmd_sync_cache },
	/* SBC-3 5.44 */
	{ 0x93, -1, D, 16, CHANGES, "WRITE SAME(16)",
	  { 0x93, 0x09, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	  cmd_write_same, write_same_moved, write_same_done },
	/* SBC-3 5.16 */
	{ 0x9e, 0x10, D, 16, CDB_MEDIUM, "READ CAPACITY(16)",
	  { 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff },
	  cmd_read_capacity_16 },
	/* SBC-3 5.4 */
	{ 0x9e, 0x12, D, 16, CDB_MEDIUM, "GET LBA STATUS",
	  { 0x9e, 0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	  cmd_get_lba_status, NULL, get_lba_status_done },
	/* SPC-3 6.21 */
	{ 0xa0, -1, D | C, 12, ALWAYS | CDB_NO_LUN_OK, "REPORT LUNS",
	  { 0xa0, 0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0 }, cmd_report_luns },
	/* SPC-3 6.23 */
	{ 0xa3, 0x0c, D | C, 12, CDB_RESERVED_OK, "REPORT SUPPORTED OPERATION CODES",
	  { 0xa3, 0x0c, 0x87, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0 },
	  cmd_report_opcodes },
	/* SPC-3 6.24 */
	{ 0xa3, 0x0d, D | C, 12, CDB_RESERVED_OK, "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS",
	  { 0xa3, 0x0d, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0 }, cmd_report_tmf },
	/* SBC-3 5.12 */
	{ 0xa8, -1, D | C, 12, READS, "READ(12)",
	  { 0xa8, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0 },
	  cmd_read, read_moved, read_done },
	/* SBC-3 5.34 */
	{ 0xaa, -1, D, 12, WRITES, "WRITE(12)",
	  { 0xaa, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0 },
	  cmd_write, write_moved, write_done },
	/* MMC-6 */
	{ 0xad, -1, C, 12, CDB_MEDIUM | CDB_POOL, "READ DISC STRUCTURE",
	  { 0xad, 0x0f, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0 }, cmd_read_dvd_structure },
	/* SBC-3 5.38 */
	{ 0xae, -1, D, 12, WRITES, "WRITE AND VERIFY(12)",
	  { 0xae, 0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0 },
	  cmd_write_verify, write_verify_moved, write_verify_done },
	/* SBC-3 5.30 */
	{ 0xaf, -1, D, 12, READS, "VERIFY(12)",
	  { 0xaf, 0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0 },
	  cmd_verify, verify_moved, verify_done },
	/* SBC-3 5.18 */
	{ 0xb7, -1, D, 12, CDB_MEDIUM, "READ DEFECT DATA(12)",
	  { 0xb7, 0x1f, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0 }, cmd_read_defect_data },
	/* MMC-6 */
	{ 0xbb, -1, C, 12, 0, "SET CD SPEED", { 0xbb, 0x03, 0xff, 0xff, 0xff, 0xff },
	  cmd_set_cd_speed },
	{ 0xbd, -1, C, 12, CDB_UA_OK | CDB_RESERVED_OK, "MECHANISM STATUS",
	  { 0xbd, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0 }, cmd_mechanism_status },
	{ 0xbe, -1, C, 12, CDB_MEDIUM | CDB_POOL, "READ CD",
	  { 0xbe, 0x1c, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x10, 0, 0 },
	  cmd_read_cd, read_moved, read_done },
};
const unsigned cdb_table_len = sizeof(cdb_table) / sizeof(cdb_table[0]);

const struct cdb_row *cdb_find_opcode(uint8_t opcode, unsigned type)
{
	for (unsigned i = 0; i < cdb_table_len; i++)
		if (cdb_table[i].opcode == opcode && cdb_table[i].types & type)
			return &cdb_table[i];
	return NULL;
}

const struct cdb_row *cdb_find(const uint8_t *cdb, unsigned type)
{
	for (unsigned i = 0; i < cdb_table_len; i++) {
		const struct cdb_row *row = &cdb_table[i];

		if (row->opcode == cdb[0] && row->types & type &&
		    (row->action < 0 || row->action == (cdb[1] & 0x1f)))
			return row;
	}
	return NULL;
}

uint64_t cdb_lba(const uint8_t *cdb)
{
	switch (scsi_cdb_len(cdb[0])) {
	case 6:
		return get_be24(&cdb[1]) & 0x1fffff;
	case 16:
		return get_be64(&cdb[2]);
	default:
		return get_be32(&cdb[2]);
	}
}

uint32_t cdb_blocks(const uint8_t *cdb)
{
	switch (scsi_cdb_len(cdb[0])) {
	case 6:		/* SBC-3 5.10: 0 means 256 */
		return cdb[4] ? cdb[4] : 256;
	case 10:
		return get_be16(&cdb[7]);
	case 12:
		return get_be32(&cdb[6]);
	default:
		return get_be32(&cdb[10]);
	}
}

uint32_t cdb_list_len(const uint8_t *cdb)
{
	return scsi_cdb_len(cdb[0]) == 6 ? cdb[4] : cdb_blocks(cdb);
}
