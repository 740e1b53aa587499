/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scsi/cdb.h"

#include "base/num.h"

/* Shorthands for the rows below. */
#define D CDB_DISK
#define C CDB_CD
#define ALWAYS (CDB_UA_OK | CDB_RESERVED_OK | CDB_HEAD)
#define READS (CDB_MEDIUM | CDB_POOL)
#define WRITES (CDB_MEDIUM | CDB_POOL | CDB_WRITE)

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
	/* SBC-3 5.10, 5.30 */
	{ 0x08, -1, D | C, 6, READS, "READ(6)", { 0x08, 0x1f, 0xff, 0xff, 0xff, 0 },
	  cmd_read, read_moved, read_done },
	{ 0x0a, -1, D, 6, WRITES, "WRITE(6)", { 0x0a, 0x1f, 0xff, 0xff, 0xff, 0 },
	  cmd_write, write_moved, write_done },
	/* SPC-3 6.4 */
	{ 0x12, -1, D | C, 6, ALWAYS | CDB_NO_LUN_OK, "INQUIRY",
	  { 0x12, 0x01, 0xff, 0xff, 0xff, 0 }, cmd_inquiry },
	/* SPC-3 6.7 */
	{ 0x15, -1, D | C, 6, 0, "MODE SELECT(6)", { 0x15, 0x10, 0, 0, 0xff, 0 },
	  cmd_mode_select, mode_select_moved },
	/* SPC-3 6.9 */
	{ 0x1a, -1, D | C, 6, 0, "MODE SENSE(6)", { 0x1a, 0x08, 0xff, 0xff, 0xff, 0 },
	  cmd_mode_sense },
	/* SBC-3 5.15, MMC-6 6.25 */
	{ 0x25, -1, D | C, 10, CDB_MEDIUM, "READ CAPACITY(10)",
	  { 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0 }, cmd_read_capacity_10 },
	/* SBC-3 5.11, 5.31 */
	{ 0x28, -1, D | C, 10, READS, "READ(10)",
	  { 0x28, 0x18, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0 },
	  cmd_read, read_moved, read_done },
	{ 0x2a, -1, D, 10, WRITES, "WRITE(10)",
	  { 0x2a, 0x18, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0 },
	  cmd_write, write_moved, write_done },
	/* SBC-3 5.20 */
	{ 0x35, -1, D | C, 10, CDB_MEDIUM, "SYNCHRONIZE CACHE(10)",
	  { 0x35, 0x02, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0 }, cmd_sync_cache },
	/* SPC-3 6.8 */
	{ 0x55, -1, D | C, 10, 0, "MODE SELECT(10)",
	  { 0x55, 0x10, 0, 0, 0, 0, 0, 0xff, 0xff, 0 }, cmd_mode_select, mode_select_moved },
	/* SPC-3 6.10 */
	{ 0x5a, -1, D | C, 10, 0, "MODE SENSE(10)",
	  { 0x5a, 0x18, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0 }, cmd_mode_sense },
	/* SBC-3 5.13, 5.33 */
	{ 0x88, -1, D | C, 16, READS, "READ(16)",
	  { 0x88, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	  cmd_read, read_moved, read_done },
	{ 0x8a, -1, D, 16, WRITES, "WRITE(16)",
	  { 0x8a, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	  cmd_write, write_moved, write_done },
	/* SBC-3 5.21 */
	{ 0x91, -1, D | C, 16, CDB_MEDIUM, "SYNCHRONIZE CACHE(16)",
	  { 0x91, 0x02, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	  cmd_sync_cache },
	/* SBC-3 5.16 */
	{ 0x9e, 0x10, D, 16, CDB_MEDIUM, "READ CAPACITY(16)",
	  { 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff },
	  cmd_read_capacity_16 },
	/* SPC-3 6.21 */
	{ 0xa0, -1, D | C, 12, ALWAYS | CDB_NO_LUN_OK, "REPORT LUNS",
	  { 0xa0, 0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0 }, cmd_report_luns },
	/* SBC-3 5.12, 5.32 */
	{ 0xa8, -1, D | C, 12, READS, "READ(12)",
	  { 0xa8, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0 },
	  cmd_read, read_moved, read_done },
	{ 0xaa, -1, D, 12, WRITES, "WRITE(12)",
	  { 0xaa, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0 },
	  cmd_write, write_moved, write_done },
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
