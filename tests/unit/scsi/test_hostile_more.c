/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "hostile.h"
#include "scsi/bus.h"

/* What a CDB, a parameter list, or an end at the wrong moment could do to ours. */

/* Parameter lists cut anywhere, and longer than any buffer. */
static void test_mode_select_lengths(void)
{
	uint8_t list[4 + 20] = { [4] = 0x08, 18, 0x04 };
	struct scsi_command cmd = rig_cdb("15 10 00 00 00 00");
	struct rig rig;

	rig_up(&rig);
	for (unsigned len = 1; len < sizeof(list); len++) {
		cmd.cdb[4] = len;
		if (len == 4)
			continue;		/* a header alone is a list */
		rig_assert_sense(&rig, rig_do_cmd(&rig, &cmd, list, len), 0x051a00, "cut", len);
	}
	cmd.cdb[4] = sizeof(list);
	g_assert_cmpuint(rig_do_cmd(&rig, &cmd, list, sizeof(list)), ==, SCSI_GOOD);
	rig_fails(&rig, "55 10 00 00 00 00 00 ff ff 00", NULL, 0, 0x051a00);
	rig_good(&rig, "15 10 00 00 00 00", NULL, 0, 0);
	hostile_down(&rig);
}

/* LBA + length past 2^32 and 2^64, in all forms. */
static void test_lba_overflow(void)
{
	static const char *const cdbs[] = {
		"08 1f ff ff 01 00", "08 00 07 ff 02 00", "0a 1f ff ff 00 00",
		"28 00 ff ff ff ff 00 ff ff 00", "28 00 00 00 07 ff 00 00 02 00",
		"a8 00 ff ff ff ff ff ff ff ff 00 00", "aa 00 00 00 00 01 ff ff ff ff 00 00",
		"88 00 ff ff ff ff ff ff ff ff 00 00 00 01 00 00",
		"88 00 ff ff ff ff ff ff ff ff ff ff ff ff 00 00",
		"8a 00 ff ff ff ff ff ff f8 00 00 00 08 00 00 00",
		"8a 00 80 00 00 00 00 00 00 00 00 00 00 01 00 00",
		"8f 00 ff ff ff ff ff ff ff ff ff ff ff ff 00 00",
		"89 00 ff ff ff ff ff ff ff ff 00 00 00 01 00 00",
		"93 01 ff ff ff ff ff ff ff ff 00 00 00 01 00 00",
		"93 09 00 00 00 00 00 00 00 01 ff ff ff ff 00 00",
		"91 00 ff ff ff ff ff ff ff ff 00 00 00 01 00 00",
		"9e 12 ff ff ff ff ff ff ff ff 00 00 00 18 00 00",
		"9e 12 00 00 00 00 00 00 08 00 00 00 00 18 00 00",
		"2b 00 00 00 08 00 00 00 00 00",
	};
	struct rig rig;

	rig_up(&rig);
	for (unsigned i = 0; i < G_N_ELEMENTS(cdbs); i++)
		rig_fails(&rig, cdbs[i], NULL, 0, 0x052100);
	for (unsigned op = 0; op <= BLOCK_STATUS; op++)
		g_assert_cmpuint(rig.disk[0].ops[op], ==, 0);
	hostile_down(&rig);
}

/*
 * A flush has failed, and errors are to be ignored: each window of a long write fails at once, and
 * went on with the next one from inside the failure of the last, as deep as the write was long.
 */
static void test_ignored_failure_is_no_recursion(void)
{
	struct scsi_command cmd = rig_cdb("93 00 00 00 00 00 00 00 00 00 ff ff ff ff 00 00");
	uint8_t block[512] = { 1 };
	struct rig rig;
	int req;

	rig_init(&rig, 1);
	rig.disk[0].block.size = 1ull << 50;
	rig.units[0].config.werror = SCSI_ON_ERROR_IGNORE;
	rig.units[0].config.write_cache = 0;
	rig_start(&rig);
	rig_fails(&rig, "00 00 00 00 00 00", NULL, 0, 0x062900);
	rig.state->unit[0].poisoned = 1;
	req = rig_command(&rig, &cmd);
	rig.moved = 0;
	g_assert_false(rig_pump(&rig, req, block, 512, SIZE_MAX));
	/* some windows a pass, not all 32 million in one event; and an abort ends it */
	g_assert_cmpuint(rig.state->req[req].blocks, >, 0xffff0000u);
	g_assert_cmpuint(rig.state->req[req].blocks, <, 0xffffffffu);
	g_assert_cmpuint(rig.disk[0].ops[BLOCK_WRITE], ==, 0);
	scsi_abort(rig.bus, req);
	hostile_down(&rig);
}

/*
 * The block length of a CD changes while a READ is under way: the READ goes on with the length that
 * it was checked with, and moves what it was asked for.
 */
static void test_block_length_under_a_read(void)
{
	static const uint32_t lengths[][2] = { { 2048, 512 }, { 512, 2048 } };
	struct scsi_command read = rig_cdb("28 00 00 00 00 00 00 00 40 00");
	struct rig rig;

	for (unsigned i = 0; i < 2; i++) {
		uint8_t list[12] = { [3] = 8 };
		unsigned ends = 0;
		int req;

		rig_init(&rig, 1);
		rig.units[0].config.type = SCSI_UNIT_CDROM;
		rig.units[0].config.logical_block_size = lengths[i][0];
		rig.units[0].config.physical_block_size = 2048;
		rig_start(&rig);
		rig_fails(&rig, "00 00 00 00 00 00", NULL, 0, 0x062900);
		rig.disk[0].hold = true;
		read.attr = SCSI_TASK_SIMPLE;
		req = rig_command(&rig, &read);
		put_be24(list + 9, lengths[i][1]);
		rig_good(&rig, "15 10 00 00 0c 00", list, sizeof(list), 12);
		g_assert_cmpuint(rig.state->unit[0].block_size, ==, lengths[i][1]);
		for (rig.moved = 0; !rig_pump(&rig, req, NULL, 0, SIZE_MAX); ends++) {
			g_assert_cmpuint(ends, <, 4);
			memdisk_end(&rig.disk[0], 0, 0);
		}
		g_assert_cmpuint(scsi_status(rig.bus, req), ==, SCSI_GOOD);
		g_assert_cmpuint(rig.moved, ==, 64 * lengths[i][0]);
		scsi_release(rig.bus, req);
		hostile_down(&rig);
	}
}

/* UNMAP lists that say more than they have. */
static void test_unmap_lists(void)
{
	static const struct { uint16_t len, data, desc; uint32_t sense; } rows[] = {
		{ 7, 0, 0, 0x051a00 },		{ 8, 0xffff, 0, 0x051a00 },
		{ 8, 6, 16, 0x051a00 },		{ 24, 22, 32, 0x051a00 },
		{ 24, 22, 15, 0x051a00 },	{ 24, 22, 0xfff0, 0x051a00 },
		{ 8 + 16 * 256, 6 + 16 * 256, 16 * 256, 0x052600 },
	};
	struct scsi_command cmd = rig_cdb("42 00 00 00 00 00 00 00 00 00");
	uint8_t list[8 + 16 * 256] = { 0 };
	struct rig rig;

	rig_up(&rig);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		put_be16(&cmd.cdb[7], rows[i].len);
		put_be16(&list[0], rows[i].data);
		put_be16(&list[2], rows[i].desc);
		rig_do_cmd(&rig, &cmd, list, rows[i].len);
		rig_assert_sense(&rig, rig.status, rows[i].sense, "UNMAP", i);
	}
	/* One bad range of two: nothing is unmapped. */
	put_be16(&cmd.cdb[7], 40);
	put_be16(&list[0], 38);
	put_be16(&list[2], 32);
	put_be32(&list[16], 8);
	put_be64(&list[24], UINT64_MAX);
	put_be32(&list[32], 1);
	rig_do_cmd(&rig, &cmd, list, 40);
	rig_assert_sense(&rig, rig.status, 0x052100, "UNMAP", 99);
	g_assert_cmpuint(rig.disk[0].ops[BLOCK_DISCARD], ==, 0);
	hostile_down(&rig);
}

/* SAM-3 5.2: NACA and LINK. */
static void test_control_byte(void)
{
	struct rig rig;

	rig_up(&rig);
	rig_fails(&rig, "00 00 00 00 00 04", NULL, 0, 0x052400);
	rig_fails(&rig, "12 00 00 00 24 01", NULL, 0, 0x052400);
	rig_fails(&rig, "28 00 00 00 00 00 00 00 01 04", NULL, 0, 0x052400);
	g_assert_cmpuint(rig.sense[15], ==, 0xca);
	g_assert_cmpuint(get_be16(rig.sense + 16), ==, 9);
	hostile_down(&rig);
}

/* Random commands, lengths, aborts and resets: everything ends, nothing is lost. */
static void test_random(void)
{
	struct rig rig;
	g_autofree uint8_t *buf = g_malloc0(1 << 20);

	rig_init(&rig, 2);
	rig.units[1].config.type = SCSI_UNIT_CDROM;
	rig.units[1].config.logical_block_size = 2048;
	rig.units[1].config.physical_block_size = 2048;
	rig_start(&rig);
	for (unsigned round = 0; round < 20000; round++) {
		const struct cdb_row *row = &cdb_table[g_test_rand_int_range(0, cdb_table_len)];
		struct scsi_command cmd = {
			.initiator = g_test_rand_int_range(0, 9) ? 7 : 6,
			.target = g_test_rand_int_range(0, 2),
			.lun = g_test_rand_int_range(0, 20) ? 0 : 1,
			.cdb_len = g_test_rand_int_range(0, 10) ? row->len : 16,
		};
		int req;

		for (unsigned i = 1; i < SCSI_MAX_CDB; i++)
			cmd.cdb[i] = g_test_rand_bit() ? 0 : g_test_rand_int();
		cmd.cdb[0] = g_test_rand_int_range(0, 10) ? row->opcode : g_test_rand_int();
		if (row->action >= 0)
			cmd.cdb[1] = row->action;
		if (row->flags & CDB_MEDIUM && row->len >= 10)	/* often inside the medium */
			memset(&cmd.cdb[2], 0, row->len == 16 ? 6 : 2);
		req = rig_command(&rig, &cmd);
		g_assert_cmpint(req, >=, 0);
		rig.moved = 0;
		if (g_test_rand_int_range(0, 4))
			g_assert_true(rig_pump(&rig, req, buf, 1 << 20, SIZE_MAX));
		if (g_test_rand_bit())
			scsi_release(rig.bus, req);
		else
			scsi_abort(rig.bus, req);
		if (!g_test_rand_int_range(0, 500))
			scsi_bus_reset(rig.bus, g_test_rand_bit());
	}
	g_assert_cmpuint(scsi_active(rig.bus), ==, 0);
	hostile_down(&rig);
}

/* Mode pages with lengths of their own, and a block descriptor behind the list's end. */
static void test_mode_select_page_lengths(void)
{
	uint8_t list[4 + 20] = { [4] = 0x08 };
	struct rig rig;

	rig_up(&rig);
	for (unsigned len = 0; len < 256; len++) {
		list[5] = len;
		list[6] = 0x04;
		if (len == 18)
			continue;
		rig_fails(&rig, "15 10 00 00 18 00", list, sizeof(list), 0x052600);
	}
	list[3] = 8;
	rig_fails(&rig, "15 10 00 00 08 00", list, 8, 0x051a00);
	hostile_down(&rig);
}

/* A command that has the medium for itself ends early: the others get it back. */
static void test_alone_and_gone(void)
{
	struct scsi_command caw = rig_cdb("89 00 00 00 00 00 00 00 00 03 00 00 00 01 00 00");
	struct scsi_command read = rig_cdb("28 00 00 00 00 00 00 00 01 00");
	struct rig rig;
	int a, b;

	rig_up(&rig);
	for (unsigned how = 0; how < 4; how++) {
		rig.disk[0].hold = true;
		caw.attr = read.attr = SCSI_TASK_SIMPLE;
		read.tag = 1;
		a = rig_command(&rig, &caw);
		g_assert_false(rig_pump(&rig, a, NULL, 0, SIZE_MAX));
		b = rig_command(&rig, &read);
		g_assert_cmpuint(rig.disk[0].count, ==, 1);
		if (how == 0)
			scsi_abort(rig.bus, a);
		else if (how == 1)
			memdisk_end(&rig.disk[0], 0, -EIO);
		else if (how == 2)
			scsi_clear_task_set(rig.bus, 0, 0);
		else
			scsi_abort_task_set(rig.bus, 0, 0, 7);
		rig.disk[0].hold = false;
		while (rig.disk[0].count)
			memdisk_end(&rig.disk[0], 0, 0);
		rig_settle(&rig);
		if (how < 2)
			g_assert_cmpint(scsi_phase(rig.bus, b), ==, SCSI_PHASE_DATA_IN);
		else
			g_assert_cmpuint(scsi_active(rig.bus), ==, 0);
		scsi_bus_reset(rig.bus, false);
		rig_fails(&rig, "00 00 00 00 00 00", NULL, 0, 0x062902);
	}
	hostile_down(&rig);
}

/* What an adapter may hand over by mistake: more bytes than a CDB has, targets that are none. */
static void test_impossible_commands(void)
{
	struct scsi_command cmd = rig_cdb("12 00 00 00 24 00");
	struct rig rig;

	rig_up(&rig);
	cmd.cdb_len = 255;
	g_assert_cmpuint(rig_do_cmd(&rig, &cmd, NULL, 0), ==, SCSI_GOOD);
	cmd.lun = 255;
	g_assert_cmpuint(rig_do_cmd(&rig, &cmd, NULL, 0), ==, SCSI_GOOD);
	for (unsigned target = 1; target < 256; target++) {
		cmd.target = target;
		g_assert_cmpint(rig_command(&rig, &cmd), ==, -ENODEV);
	}
	g_assert_cmpint(scsi_find(rig.bus, 255, 255, 255, 255), ==, -ENOENT);
	scsi_abort_task_set(rig.bus, 255, 255, 255);
	scsi_clear_task_set(rig.bus, 255, 255);
	scsi_target_reset(rig.bus, 255);
	hostile_down(&rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	hostile_add("/scsi/hostile/mode-select-lengths", test_mode_select_lengths);
	hostile_add("/scsi/hostile/lba-overflow", test_lba_overflow);
	hostile_add("/scsi/hostile/ignored-failure", test_ignored_failure_is_no_recursion);
	hostile_add("/scsi/hostile/block-length-under-a-read", test_block_length_under_a_read);
	hostile_add("/scsi/hostile/mode-select-page-lengths", test_mode_select_page_lengths);
	hostile_add("/scsi/hostile/alone-and-gone", test_alone_and_gone);
	hostile_add("/scsi/hostile/impossible-commands", test_impossible_commands);
	hostile_add("/scsi/hostile/unmap-lists", test_unmap_lists);
	hostile_add("/scsi/hostile/control-byte", test_control_byte);
	hostile_add("/scsi/hostile/random", test_random);
	return g_test_run();
}
