/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "hostile.h"
#include "scsi/bus.h"

/*
 * What guests did to other targets, one test a bug and named after it.  After each of them a reset
 * of the bus and an INQUIRY work.
 */

/* CVE-2011-3346: READ CAPACITY(16) with any allocation length. */
static void test_read_capacity_alloc(void)
{
	static const struct { const char *cdb; size_t want; } rows[] = {
		{ "9e 10 00 00 00 00 00 00 00 00 00 00 00 00 00 00", 0 },
		{ "9e 10 00 00 00 00 00 00 00 00 00 00 00 01 00 00", 1 },
		{ "9e 10 00 00 00 00 00 00 00 00 00 00 00 1f 00 00", 31 },
		{ "9e 10 00 00 00 00 00 00 00 00 00 00 01 00 00 00", 32 },
		{ "9e 10 00 00 00 00 00 00 00 00 ff ff ff ff 00 00", 32 },
	};
	struct rig rig;
	uint8_t buf[32];

	rig_up(&rig);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
		rig_good(&rig, rows[i].cdb, buf, sizeof(buf), rows[i].want);
	hostile_down(&rig);
}

/* CVE-2013-4344: REPORT LUNS with as many logical units as fit, and any allocation length. */
static void test_report_luns(void)
{
	struct rig rig;
	struct scsi_unit_setup units[SCSI_MAX_LUNS];
	uint8_t buf[128] = { 0 };

	rig_init(&rig, 1);
	for (unsigned lun = 0; lun < SCSI_MAX_LUNS; lun++) {
		units[lun] = rig.units[0];
		units[lun].config.lun = lun;
	}
	rig.setup.units = units;
	rig.setup.count = SCSI_MAX_LUNS;
	rig_start(&rig);
	rig_good(&rig, "a0 00 00 00 00 00 ff ff ff ff 00 00", buf, sizeof(buf), 72);
	g_assert_cmpuint(get_be32(buf), ==, 64);
	rig_good(&rig, "a0 00 00 00 00 00 00 00 00 11 00 00", buf, sizeof(buf), 17);
	rig_fails(&rig, "a0 00 00 00 00 00 00 00 00 0f 00 00", buf, sizeof(buf), 0x052400);
	rig_fails(&rig, "a0 00 03 00 00 00 00 00 00 40 00 00", buf, sizeof(buf), 0x052400);
	rig.setup.count = 1;
	hostile_down(&rig);
}

/* CVE-2015-5158: opcodes of reserved and vendor groups have no length. */
static void test_reserved_groups(void)
{
	struct scsi_command cmd = { .initiator = 7, .cdb_len = 16 };
	struct rig rig;

	rig_up(&rig);
	for (unsigned op = 0; op < 256; op++) {
		unsigned group = op >> 5;

		g_assert_cmpint(scsi_cdb_len(op) == 0, ==, group == 3 || group >= 6);
		if (scsi_cdb_len(op))
			continue;
		memset(cmd.cdb, 0xff, sizeof(cmd.cdb));
		cmd.cdb[0] = op;
		rig_assert_sense(&rig, rig_do_cmd(&rig, &cmd, NULL, 0), 0x052000, "reserved", op);
	}
	hostile_down(&rig);
}

/* CVE-2021-3930: MODE SELECT of page 3Fh, which is for MODE SENSE. */
static void test_mode_select_all_pages(void)
{
	uint8_t list[4 + 64] = { 0 };
	struct scsi_command cmd = rig_cdb("15 10 00 00 00 00");
	uint8_t now[256];
	struct rig rig;

	rig_up(&rig);
	for (unsigned len = 0; len < 64; len++) {
		list[4] = 0x3f;
		list[5] = len;
		rig_fails(&rig, "15 10 00 00 44 00", list, sizeof(list), 0x052600);
	}
	list[4] = 0x7f;
	rig_fails(&rig, "15 10 00 00 44 00", list, sizeof(list), 0x052600);
	/* each page's own bytes under that number, so that nothing else is wrong with it */
	rig_good(&rig, "1a 08 3f 00 ff 00", now, sizeof(now), 4 + 12 + 24 + 32 + 20 + 12 + 12);
	for (unsigned at = 4; at < 4 + 12 + 24 + 32 + 20 + 12 + 12; at += 2 + now[at + 1]) {
		memset(list, 0, sizeof(list));
		memcpy(list + 4, now + at, 2 + now[at + 1]);
		list[4] = 0x3f;
		cmd.cdb[4] = 4 + 2 + now[at + 1];
		rig_do_cmd(&rig, &cmd, list, cmd.cdb[4]);
		rig_assert_sense(&rig, rig.status, 0x052600, "3f", at);
		/* the field at fault is the page's number (SPC-3 4.5.2.4.2) */
		g_assert_cmphex(get_be16(rig.sense + 16), ==, 4);
	}
	hostile_down(&rig);
}

/* CVE-2023-42467 and its kin: block lengths that nobody can divide by. */
static void test_mode_select_block_length(void)
{
	static const uint32_t lengths[] = { 1, 256, 511, 513, 768, 1024, 2048, 4096, 0x10000,
					    0x800000, 0xffffff };
	uint8_t list[12] = { [3] = 8 };
	struct rig rig;

	rig_up(&rig);
	for (unsigned i = 0; i < G_N_ELEMENTS(lengths); i++) {
		put_be24(list + 9, lengths[i]);
		rig_fails(&rig, "15 10 00 00 0c 00", list, sizeof(list), 0x052600);
		g_assert_cmpuint(rig.state->unit[0].block_size, ==, 512);
	}
	/* 0 keeps what there is, and so does what there is. */
	put_be24(list + 9, 0);
	rig_good(&rig, "15 10 00 00 0c 00", list, sizeof(list), 12);
	put_be24(list + 9, 512);
	rig_good(&rig, "15 10 00 00 0c 00", list, sizeof(list), 12);
	g_assert_cmpuint(rig.state->unit[0].block_size, ==, 512);
	/* A descriptor length that is none. */
	for (unsigned len = 1; len < 256; len++) {
		if (len == 8)
			continue;
		list[3] = len;
		rig_fails(&rig, "15 10 00 00 0c 00", list, sizeof(list), 0x052600);
	}
	hostile_down(&rig);
}

/* 6d1511cea0: a CDB shorter than its opcode's is not parsed past its end. */
static void test_short_cdb(void)
{
	struct rig rig;

	rig_up(&rig);
	for (unsigned i = 0; i < cdb_table_len; i++) {
		const struct cdb_row *row = &cdb_table[i];

		if (!(row->types & CDB_DISK))
			continue;
		for (unsigned len = 1; len < row->len; len++) {
			struct scsi_command cmd = { .initiator = 7, .cdb_len = len };

			memset(cmd.cdb, 0xff, sizeof(cmd.cdb));
			cmd.cdb[0] = row->opcode;
			cmd.cdb[1] = row->action < 0 || len < 2 ? 0 : row->action;
			g_assert_cmpuint(rig_do_cmd(&rig, &cmd, NULL, 0), ==,
					 SCSI_CHECK_CONDITION);
			g_assert_cmpuint(rig.sense[2], ==, 5);
			g_assert_cmpuint(rig.moved, ==, 0);
		}
	}
	/* None at all is TEST UNIT READY without its bytes. */
	rig_fails(&rig, "", NULL, 0, 0x052400);
	hostile_down(&rig);
}

/* 12ca76fc48: no blocks, anywhere. */
static void test_zero_blocks(void)
{
	static const char *const cdbs[] = {
		"28 00 00 00 00 00 00 00 00 00", "2a 00 00 00 00 00 00 00 00 00",
		"a8 00 00 00 00 00 00 00 00 00 00 00", "aa 00 00 00 00 00 00 00 00 00 00 00",
		"88 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
		"8a 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
		"2e 02 00 00 00 00 00 00 00 00", "2f 02 00 00 00 00 00 00 00 00",
		"2f 06 00 00 00 00 00 00 00 00", "89 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
		"8b 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", "42 00 00 00 00 00 00 00 00 00",
		/* at the very end of the medium */
		"28 00 00 00 08 00 00 00 00 00", "2f 00 00 00 08 00 00 00 00 00",
	};
	struct rig rig;

	rig_up(&rig);
	for (unsigned i = 0; i < G_N_ELEMENTS(cdbs); i++)
		rig_good(&rig, cdbs[i], NULL, 0, 0);
	rig_fails(&rig, "28 00 00 00 08 01 00 00 00 00", NULL, 0, 0x052100);
	/* WSNZ: for WRITE SAME 0 is refused, not "to the end". */
	rig_fails(&rig, "41 00 00 00 00 00 00 00 00 00", NULL, 0, 0x052400);
	rig_fails(&rig, "93 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00", NULL, 0, 0x052400);
	hostile_down(&rig);
}

/* 12a08998fe: a transfer that does not fit into 31 or 32 bits, on a disk that has the blocks. */
static void test_huge_transfer(void)
{
	struct rig rig;

	rig_init(&rig, 1);
	rig.disk[0].block.size = 1ull << 50;
	rig.disk[0].hold = true;
	rig_start(&rig);
	rig_fails(&rig, "00 00 00 00 00 00", NULL, 0, 0x062900);
	rig_fails(&rig, "88 00 00 00 00 00 00 00 00 00 00 40 00 00 00 00", NULL, 0, 0x052400);
	rig_fails(&rig, "88 00 00 00 00 00 00 00 00 00 00 80 00 01 00 00", NULL, 0, 0x052400);
	rig_fails(&rig, "88 00 00 00 00 00 00 00 00 00 ff ff ff ff 00 00", NULL, 0, 0x052400);
	rig_fails(&rig, "8a 00 00 00 00 00 00 00 00 00 ff ff ff ff 00 00", NULL, 0, 0x052400);
	rig_fails(&rig, "aa 00 00 00 00 00 ff ff ff ff 00 00", NULL, 0, 0x052400);
	/* No data phase, no limit: zeroes of 2 TiB are one request. */
	g_assert_cmpint(rig_command(&rig, &(struct scsi_command){ .initiator = 7, .cdb_len = 16,
		.cdb = { 0x93, 0x01, [10] = 0xff, 0xff, 0xff, 0xff } }), ==, 0);
	g_assert_cmpuint(rig.disk[0].count, ==, 1);
	g_assert_cmpuint(rig.disk[0].pending[0]->len, ==, 0xffffffffull * 512);
	memdisk_end(&rig.disk[0], 0, -EIO);
	hostile_down(&rig);
}

/* 0369f06f74: a disk of no bytes, and a drive without a disc. */
static void test_empty_disk(void)
{
	static const struct { const char *cdb; uint32_t sense; } rows[] = {
		{ "25 00 00 00 00 00 00 00 00 00", 0x020400 },
		{ "9e 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00", 0x020400 },
		{ "28 00 00 00 00 00 00 00 01 00", 0x052100 },
		{ "2a 00 00 00 00 00 00 00 01 00", 0x052100 },
		{ "2f 00 00 00 00 00 00 00 01 00", 0x052100 },
		{ "08 00 00 00 01 00", 0x052100 },
	};
	struct rig rig;

	rig_init(&rig, 1);
	rig.disk[0].block.size = 0;
	rig_start(&rig);
	rig_fails(&rig, "00 00 00 00 00 00", NULL, 0, 0x062900);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
		rig_fails(&rig, rows[i].cdb, NULL, 0, rows[i].sense);
	hostile_down(&rig);
}

/* 1505421a48: every command of the table on a unit without a medium ends, once. */
static void test_no_medium(void)
{
	for (unsigned type = 0; type < 2; type++) {
		struct rig rig;

		rig_init(&rig, 1);
		rig.units[0].block = NULL;
		rig.units[0].config.type = type ? SCSI_UNIT_CDROM : SCSI_UNIT_DISK;
		rig.units[0].config.removable = 1;
		rig_start(&rig);
		rig_fails(&rig, "00 00 00 00 00 00", NULL, 0, 0x062900);
		for (unsigned i = 0; i < cdb_table_len; i++) {
			const struct cdb_row *row = &cdb_table[i];
			struct scsi_command cmd = { .initiator = 7, .cdb_len = row->len };
			uint8_t buf[512] = { 0 };

			if (!(row->types & (type ? CDB_CD : CDB_DISK)))
				continue;
			cmd.cdb[0] = row->opcode;
			cmd.cdb[1] = row->action < 0 ? 0 : row->action;
			cmd.cdb[row->len - 2] = row->len == 6 ? 1 : 0;
			rig_do_cmd(&rig, &cmd, buf, sizeof(buf));
			if (row->flags & CDB_MEDIUM)
				rig_assert_sense(&rig, rig.status, 0x023a00, row->name, i);
		}
		g_assert_cmpuint(scsi_active(rig.bus), ==, 0);
		hostile_down(&rig);
	}
}

/* abfcd2760b, 7b7fc3d010: abort and completion in both orders; the command ends once. */
static void test_abort_races_completion(void)
{
	struct scsi_command cmd = rig_cdb("28 00 00 00 00 00 00 00 01 00");
	struct rig rig;

	rig_up(&rig);
	rig.disk[0].hold = true;
	for (unsigned order = 0; order < 2; order++) {
		int req = rig_command(&rig, &cmd);
		uint32_t generation = scsi_generation(rig.bus, req);

		if (order)
			memdisk_end(&rig.disk[0], 0, 0);
		scsi_abort(rig.bus, req);
		g_assert_cmpuint(scsi_active(rig.bus), ==, 0);
		/* The slot has a new owner before the old request ends. */
		g_assert_cmpint(rig_command(&rig, &cmd), ==, req);
		g_assert_cmpuint(scsi_generation(rig.bus, req), !=, generation);
		rig.ready_total = 0;
		if (!order)
			memdisk_end(&rig.disk[0], 0, 0);
		rig_settle(&rig);
		g_assert_cmpuint(rig.ready_total, ==, 0);
		g_assert_cmpint(scsi_phase(rig.bus, req), ==, SCSI_PHASE_WAIT);
		scsi_abort(rig.bus, req);
		scsi_abort(rig.bus, req);
		memdisk_end(&rig.disk[0], 0, -EIO);
	}
	hostile_down(&rig);
}

/* Allocation lengths: no byte more than asked for, and 0 is no error (SPC-3 4.3.4.6). */
static void test_allocation_lengths(void)
{
	static const char *const cdbs[] = {
		"12 00 00 00 00 00", "12 01 00 00 00 00", "12 01 83 00 00 00",
		"12 01 b0 00 00 00", "03 00 00 00 00 00", "1a 00 3f 00 00 00",
	};
	uint8_t buf[300];
	struct rig rig;

	rig_up(&rig);
	for (unsigned i = 0; i < G_N_ELEMENTS(cdbs); i++) {
		struct scsi_command cmd = rig_cdb(cdbs[i]);

		for (unsigned alloc = 0; alloc < 256; alloc++) {
			cmd.cdb[4] = alloc;
			memset(buf, 0xa5, sizeof(buf));
			g_assert_cmpuint(rig_do_cmd(&rig, &cmd, buf, sizeof(buf)), ==, SCSI_GOOD);
			g_assert_cmpuint(rig.moved, <=, alloc);
			for (unsigned b = rig.moved; b < sizeof(buf); b++)
				g_assert_cmpuint(buf[b], ==, 0xa5);
		}
	}
	hostile_down(&rig);
}

/* 1c7f618f68: the host fails every operation of every command; each ends, and ends once. */
static void test_host_errors(void)
{
	static const int errors[] = { EIO, ENOMEDIUM, ENOSPC, EINVAL, ENOMEM, EROFS, 9999 };
	g_autofree uint8_t *buf = g_malloc0(1 << 20);
	struct rig rig;

	for (unsigned i = 0; i < cdb_table_len * G_N_ELEMENTS(errors); i++) {
		const struct cdb_row *row = &cdb_table[i / G_N_ELEMENTS(errors)];
		struct scsi_command cmd = { .initiator = 7, .cdb_len = row->len };
		unsigned ios = 0;

		rig_init(&rig, 1);
		rig.units[0].config.type = row->types & CDB_DISK ? SCSI_UNIT_DISK : SCSI_UNIT_CDROM;
		rig.units[0].config.write_cache = i & 1;
		rig_start(&rig);
		rig_fails(&rig, "00 00 00 00 00 00", NULL, 0, 0x062900);
		cmd.cdb[0] = row->opcode;
		cmd.cdb[1] = row->action < 0 ? 0 : row->action;
		cmd.cdb[row->len == 6 ? 4 : row->len == 10 ? 8 : row->len == 12 ? 9 : 13] = 32;
		for (unsigned op = 0; op <= BLOCK_STATUS; op++)
			rig.disk[0].fail[op] = errors[i % G_N_ELEMENTS(errors)];
		rig.disk[0].fail_count = 1;
		rig_do_cmd(&rig, &cmd, buf, 1 << 20);
		for (unsigned op = 0; op <= BLOCK_STATUS; op++)
			ios += rig.disk[0].ops[op];
		if (ios)
			g_assert_cmpuint(rig.status, ==, SCSI_CHECK_CONDITION);
		g_assert_cmpuint(scsi_active(rig.bus), ==, 0);
		hostile_down(&rig);
	}
}

/* ef8489d459: VERIFY in all its forms, with an error and with a byte that differs at each step. */
static void test_verify_ends_once(void)
{
	static const char *const cdbs[] = {
		"2f 00 00 00 00 00 00 01 00 00", "2f 02 00 00 00 00 00 01 00 00",
		"2f 06 00 00 00 00 00 01 00 00", "2e 02 00 00 00 00 00 01 00 00",
		"af 02 00 00 00 00 00 00 01 00 00 00",
		"8f 06 00 00 00 00 00 00 00 00 00 00 01 00 00 00",
	};
	g_autofree uint8_t *buf = g_malloc0(256 * 512);

	for (unsigned i = 0; i < G_N_ELEMENTS(cdbs) * 4; i++) {
		struct rig rig;

		rig_init(&rig, 1);
		rig_start(&rig);
		rig_fails(&rig, "00 00 00 00 00 00", NULL, 0, 0x062900);
		rig.disk[0].fail[i & 1 ? BLOCK_READ : BLOCK_FLUSH] = EIO;
		rig.disk[0].fail_count = i & 1;
		memcpy(buf, rig.disk[0].data, 256 * 512);
		if (i & 2)
			buf[255 * 512 + 511] ^= 1;
		rig_do(&rig, cdbs[i / 4], buf, 256 * 512);
		g_assert_cmpuint(rig.status == SCSI_GOOD || rig.status == SCSI_CHECK_CONDITION, ==,
				 1);
		if (i & 1)
			g_assert_cmpuint(rig.status, ==, SCSI_CHECK_CONDITION);
		g_assert_cmpuint(scsi_active(rig.bus), ==, 0);
		hostile_down(&rig);
	}
}

/*
 * LP 1878263, GitLab 521 (megasas): a transfer of nothing has no data phase, and nobody asks for a
 * window; each command of the table with every length field 0, and with all bits set.
 */
static void test_no_data_no_phase(void)
{
	g_autofree uint8_t *buf = g_malloc0(1 << 20);

	for (unsigned i = 0; i < cdb_table_len * 2; i++) {
		const struct cdb_row *row = &cdb_table[i / 2];
		struct scsi_command cmd = { .initiator = 7, .cdb_len = row->len };
		struct rig rig;

		rig_init(&rig, 1);
		rig.units[0].config.type = row->types & CDB_DISK ? SCSI_UNIT_DISK : SCSI_UNIT_CDROM;
		rig_start(&rig);
		rig_fails(&rig, "00 00 00 00 00 00", NULL, 0, 0x062900);
		memset(cmd.cdb, i & 1 ? 0xff : 0, sizeof(cmd.cdb));
		cmd.cdb[0] = row->opcode;
		cmd.cdb[1] = row->action < 0 ? cmd.cdb[1] & 0x12 : row->action;
		cmd.cdb[row->len - 1] = 0;
		rig_do_cmd(&rig, &cmd, buf, 1 << 20);
		/* READ(6) and WRITE(6) say 256 with 0; READ CAPACITY(10) has no length */
		if (!(i & 1) && row->opcode != 0x08 && row->opcode != 0x0a && row->opcode != 0x25)
			g_assert_cmpuint(rig.moved, ==, 0);
		g_assert_cmpuint(scsi_active(rig.bus), ==, 0);
		hostile_down(&rig);
	}
}

/* 54a53a006e: WRITE SAME fills its buffer by whole blocks, whatever MODE SELECT was asked for. */
static void test_write_same_block_length(void)
{
	static const uint32_t lengths[] = { 1, 100, 511, 513, 1000, 65535, 65537, 0xffffff };
	struct scsi_command same = rig_cdb("41 00 00 00 04 00 00 00 80 00");
	struct scsi_command read = rig_cdb("28 00 00 00 00 09 00 00 80 00");
	uint8_t list[12] = { [3] = 8 }, block[512];
	struct rig rig;
	const uint8_t *win;
	size_t len;
	int ws, rd;

	rig_up(&rig);
	/* not a byte behind its buffer: the next one has a READ's data */
	same.attr = read.attr = SCSI_TASK_SIMPLE;
	read.tag = 1;
	ws = rig_command(&rig, &same);
	rd = rig_command(&rig, &read);
	rig_settle(&rig);
	memset(block, 0x99, sizeof(block));
	g_assert_true(rig_pump(&rig, ws, block, 512, SIZE_MAX));
	win = scsi_window(rig.bus, rd, &len);
	g_assert_cmpmem(win, len, rig.disk[0].data + 9 * 512, 128 * 512);
	scsi_release(rig.bus, ws);
	scsi_abort(rig.bus, rd);
	for (unsigned i = 0; i < G_N_ELEMENTS(lengths); i++) {
		put_be24(list + 9, lengths[i]);
		rig_fails(&rig, "15 10 00 00 0c 00", list, sizeof(list), 0x052600);
		memset(block, i + 1, sizeof(block));
		rig_good(&rig, "41 00 00 00 00 05 00 00 c8 00", block, 512, 512);
		for (unsigned b = 0; b < 200; b++)
			g_assert_cmpmem(rig.disk[0].data + (5 + b) * 512, 512, block, 512);
	}
	hostile_down(&rig);
}

/*
 * VPD pages that have the most to say: each ends inside the buffer, and says its own length
 * (9bd634b2f5 and its kin patched bytes behind it).
 */
static void test_longest_vpd_pages(void)
{
	static const uint8_t pages[] = { 0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2 };
	struct scsi_command cmd = rig_cdb("12 01 00 ff ff 00");
	struct scsi_unit_config *c;
	uint8_t buf[4096];
	struct rig rig;

	rig_init(&rig, 1);
	c = &rig.units[0].config;
	c->wwn = c->port_wwn = UINT64_MAX;
	c->port_index = UINT16_MAX;
	memset(c->device_id, 'd', sizeof(c->device_id));
	memset(c->serial, 's', sizeof(c->serial));
	c->min_io_size = c->opt_io_size = UINT32_MAX;
	c->max_unmap_size = c->max_io_size = UINT64_MAX;
	rig_start(&rig);
	for (unsigned i = 0; i < G_N_ELEMENTS(pages); i++) {
		cmd.cdb[2] = pages[i];
		g_assert_cmpuint(rig_do_cmd(&rig, &cmd, buf, sizeof(buf)), ==, SCSI_GOOD);
		g_assert_cmpuint(rig.moved, ==, 4 + get_be16(buf + 2));
		g_assert_cmpuint(rig.moved, <=, 256);
		if (pages[i] != 0x83)
			continue;
		/* designators end where the page does */
		for (unsigned at = 4; at < rig.moved; at += 4 + buf[at + 3])
			g_assert_cmpuint(at + 4 + buf[at + 3], <=, rig.moved);
	}
	hostile_down(&rig);
}

/* 55794c904d: a block length of 0 leaves the one there is; nothing is divided by it. */
static void test_block_length_zero(void)
{
	uint8_t list[12] = { [3] = 8 }, buf[512];
	struct rig rig;

	for (unsigned cd = 0; cd < 2; cd++) {
		rig_init(&rig, 1);
		rig.units[0].config.type = cd ? SCSI_UNIT_CDROM : SCSI_UNIT_DISK;
		rig_start(&rig);
		rig_fails(&rig, "00 00 00 00 00 00", NULL, 0, 0x062900);
		rig_good(&rig, "15 10 00 00 0c 00", list, sizeof(list), 12);
		rig_good(&rig, "25 00 00 00 00 00 00 00 00 00", buf, 8, 8);
		g_assert_cmpuint(get_be32(buf + 4), ==, 512);
		rig_good(&rig, "28 00 00 00 00 00 00 00 01 00", buf, 512, 512);
		g_assert_cmpuint(rig_do(&rig, "1a 00 3f 00 ff 00", NULL, 0), ==, SCSI_GOOD);
		hostile_down(&rig);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	hostile_add("/scsi/hostile/CVE-2011-3346", test_read_capacity_alloc);
	hostile_add("/scsi/hostile/CVE-2013-4344", test_report_luns);
	hostile_add("/scsi/hostile/CVE-2015-5158", test_reserved_groups);
	hostile_add("/scsi/hostile/CVE-2021-3930", test_mode_select_all_pages);
	hostile_add("/scsi/hostile/CVE-2023-42467", test_mode_select_block_length);
	hostile_add("/scsi/hostile/6d1511cea0", test_short_cdb);
	hostile_add("/scsi/hostile/12ca76fc48", test_zero_blocks);
	hostile_add("/scsi/hostile/12a08998fe", test_huge_transfer);
	hostile_add("/scsi/hostile/0369f06f74", test_empty_disk);
	hostile_add("/scsi/hostile/1505421a48", test_no_medium);
	hostile_add("/scsi/hostile/abfcd2760b-7b7fc3d010", test_abort_races_completion);
	hostile_add("/scsi/hostile/9bd634b2f5-e909ff9369-57dbb58d80", test_allocation_lengths);
	hostile_add("/scsi/hostile/1c7f618f68", test_host_errors);
	hostile_add("/scsi/hostile/ef8489d459", test_verify_ends_once);
	hostile_add("/scsi/hostile/LP-1878263-gitlab-521", test_no_data_no_phase);
	hostile_add("/scsi/hostile/54a53a006e", test_write_same_block_length);
	hostile_add("/scsi/hostile/55794c904d", test_block_length_zero);
	hostile_add("/scsi/hostile/9bd634b2f5-longest-pages", test_longest_vpd_pages);
	return g_test_run();
}
