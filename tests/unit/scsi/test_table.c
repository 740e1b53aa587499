/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/num.h"
#include "rig.h"
#include "scsi/bus.h"
#include "scsi/mode.h"

/* Each row of the CDB and mode page tables, and the lists that guests are given of them. */

static void test_rows(void)
{
	for (unsigned i = 0; i < cdb_table_len; i++) {
		const struct cdb_row *row = &cdb_table[i];
		unsigned low = row->usage[1] & 0x1f;

		g_assert_cmpuint(row->len, ==, scsi_cdb_len(row->opcode));
		g_assert_cmpuint(row->usage[0], ==, row->opcode);
		g_assert_cmpuint(row->usage[row->len - 1] & 0x05, ==, 0);
		for (unsigned b = row->len; b < SCSI_MAX_CDB; b++)
			g_assert_cmpuint(row->usage[b], ==, 0);
		if (row->action >= 0)
			g_assert_cmpuint(low, ==, (unsigned)row->action);
		g_assert_nonnull(row->start);
		g_assert_cmpuint(row->types & ~3u, ==, 0);
		g_assert_cmpuint(row->types, !=, 0);
		if (row->flags & CDB_WRITE)
			g_assert_true(row->flags & CDB_MEDIUM && row->types == CDB_DISK);
		/* In order, and no row hides another. */
		if (i)
			g_assert_cmpint(row[-1].opcode * 256 + row[-1].action, <,
					row->opcode * 256 + row->action);
		if (i && row[-1].opcode == row->opcode)
			g_assert_cmpint(row[-1].action, >=, 0);
	}
}

static void test_pages(void)
{
	for (unsigned i = 0; i < mode_page_count; i++) {
		const struct mode_page *page = &mode_pages[i];
		bool changes = false;

		g_assert_cmpuint(page->value[0], ==, page->code);
		g_assert_cmpuint(page->value[1], ==, page->len - 2u);
		g_assert_cmpuint(page->len, <=, MODE_PAGE_MAX);
		for (unsigned b = 0; b < MODE_PAGE_MAX; b++)
			changes |= page->changeable[b];
		g_assert_cmpint(changes, ==, page->set != NULL);
		if (i)
			g_assert_cmpuint(page[-1].code, <=, page->code);
	}
}

/* REPORT SUPPORTED OPERATION CODES lists each row of the type, as the row is. */
static void test_report_all(void)
{
	g_autofree uint8_t *buf = g_malloc0(4096);

	for (unsigned type = 0; type < 2; type++) {
		unsigned off = 4, mask = type ? CDB_CD : CDB_DISK, rows = 0;
		struct rig rig;

		rig_init(&rig, 1);
		rig.units[0].config.type = type ? SCSI_UNIT_CDROM : SCSI_UNIT_DISK;
		rig.units[0].config.logical_block_size = type ? 2048 : 512;
		rig.units[0].config.physical_block_size = 2048;
		rig_start(&rig);
		rig_do(&rig, "00 00 00 00 00 00", NULL, 0);
		for (unsigned i = 0; i < cdb_table_len; i++)
			rows += !!(cdb_table[i].types & mask);
		rig_good(&rig, "a3 0c 00 00 00 00 00 00 10 00 00 00", buf, 4096, 4 + 8 * rows);
		g_assert_cmpuint(get_be32(buf), ==, 8 * rows);
		for (unsigned i = 0; i < cdb_table_len; i++) {
			const struct cdb_row *row = &cdb_table[i];

			if (!(row->types & mask))
				continue;
			g_assert_cmpuint(buf[off], ==, row->opcode);
			g_assert_cmpuint(buf[off + 5], ==, row->action >= 0);
			g_assert_cmpuint(get_be16(buf + off + 6), ==, row->len);
			off += 8;
		}
		rig_good(&rig, "a3 0c 80 00 00 00 00 00 10 00 00 00", buf, 4096, 4 + 20 * rows);
		rig_down(&rig);
	}
}

static void test_report_one(void)
{
	struct scsi_command cmd = rig_cdb("a3 0c 00 00 00 00 00 00 00 ff 00 00");
	uint8_t buf[256];
	struct rig rig;

	rig_up(&rig);
	for (unsigned op = 0; op < 256; op++) {
		const struct cdb_row *row = cdb_find_opcode(op, CDB_DISK);
		bool actions = row && row->action >= 0;

		cmd.cdb[3] = op;
		cmd.cdb[5] = actions ? row->action : 0;
		for (unsigned options = 1; options <= 3; options++) {
			cmd.cdb[2] = options;
			rig_do_cmd(&rig, &cmd, buf, sizeof(buf));
			if ((options == 1 && actions) || (options == 2 && row && !actions)) {
				rig_assert_sense(&rig, rig.status, 0x052400, "option", op);
				continue;
			}
			g_assert_cmpuint(rig.status, ==, SCSI_GOOD);
			g_assert_cmpuint(buf[1], ==, row ? 3 : 1);
			g_assert_cmpuint(rig.moved, ==, row ? 4u + row->len : 4u);
			if (row)
				g_assert_cmpmem(buf + 4, row->len, row->usage, row->len);
		}
	}
	rig_fails(&rig, "a3 0c 04 00 00 00 00 00 00 ff 00 00", buf, 256, 0x052400);
	/* An action that an opcode does not have. */
	rig_good(&rig, "a3 0c 02 9e 00 1f 00 00 00 ff 00 00", buf, 256, 4);
	g_assert_cmpuint(buf[1], ==, 1);
	rig_good(&rig, "a3 0c 82 9e 00 10 00 00 00 ff 00 00", buf, 256, 4 + 16 + 12);
	g_assert_cmpuint(buf[1], ==, 0x83);
	rig_good(&rig, "a3 0d 00 00 00 00 00 00 00 04 00 00", buf, 256, 4);
	g_assert_cmpuint(buf[0], ==, 0xd2);
	/* Unknown opcodes and actions are told apart. */
	rig_fails(&rig, "04 00 00 00 00 00", NULL, 0, 0x052000);
	rig_fails(&rig, "9e 1f 00 00 00 00 00 00 00 00 00 00 00 00 00 00", NULL, 0, 0x052400);
	rig_down(&rig);
}

/* The state is what a successor gets: no pointer, and within the device's 64 KiB. */
static void test_state_size(void)
{
	g_assert_cmpuint(sizeof(struct scsi_bus_state), <=, 48 * 1024);
	g_assert_cmpuint(sizeof(struct scsi_req_state) % 8, ==, 0);
	g_assert_cmpuint(sizeof(struct scsi_unit_state) % 8, ==, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/scsi/table/rows", test_rows);
	g_test_add_func("/scsi/table/pages", test_pages);
	g_test_add_func("/scsi/table/report-all", test_report_all);
	g_test_add_func("/scsi/table/report-one", test_report_one);
	g_test_add_func("/scsi/table/state-size", test_state_size);
	return g_test_run();
}
