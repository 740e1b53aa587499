/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "rig.h"

/* scsi-cd: what MMC says of a drive with one data disc, and its tray. */

static void cd_up(struct rig *rig, bool medium)
{
	struct scsi_unit_config *c;

	rig_init(rig, 1);
	c = &rig->units[0].config;
	c->type = SCSI_UNIT_CDROM;
	c->removable = c->readonly = 1;
	c->logical_block_size = c->physical_block_size = 2048;
	c->dpofua = 0;
	strcpy(c->product, "QEMU CD-ROM");
	if (!medium)
		rig->units[0].block = NULL;
	rig_start(rig);
	rig_fails(rig, "00 00 00 00 00 00", NULL, 0, 0x062900);
}

static void test_identity(void)
{
	uint8_t buf[64];
	struct rig rig;

	cd_up(&rig, true);
	rig_good(&rig, "12 00 00 00 24 00", buf, 36, 36);
	g_assert_cmpuint(buf[0], ==, 0x05);
	g_assert_cmpuint(buf[1], ==, 0x80);
	g_assert_cmpmem(buf + 16, 16, "QEMU CD-ROM     ", 16);
	rig_good(&rig, "12 01 00 00 ff 00", buf, 64, 7);
	g_assert_cmpmem(buf, 7, "\5\0\0\3\0\x80\x83", 7);
	rig_fails(&rig, "12 01 b0 00 ff 00", buf, 64, 0x052400);
	rig_good(&rig, "25 00 00 00 00 00 00 00 00 00", buf, 8, 8);
	g_assert_cmpuint(get_be32(buf), ==, RIG_BLOCKS / 4 - 1);
	g_assert_cmpuint(get_be32(buf + 4), ==, 2048);
	/* A disk's commands are not a drive's. */
	rig_fails(&rig, "2a 00 00 00 00 00 00 00 01 00", NULL, 0, 0x052000);
	rig_fails(&rig, "9e 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00", NULL, 0, 0x052000);
	rig_down(&rig);
}

static void test_toc(void)
{
	/* 512 blocks: the lead-out is at 512, MSF 00:08:62. */
	static const struct { const char *cdb; size_t len; const char *want; } rows[] = {
		{ "43 00 00 00 00 00 00 00 ff 00", 20,
		  "\0\x12\1\1\0\x14\1\0\0\0\0\0\0\x14\xaa\0\0\0\2\0" },
		{ "43 02 00 00 00 00 01 00 ff 00", 20,
		  "\0\x12\1\1\0\x14\1\0\0\0\2\0\0\x14\xaa\0\0\0\x08\x3e" },
		{ "43 00 00 00 00 00 aa 00 ff 00", 12, "\0\x0a\1\1\0\x14\xaa\0\0\0\2\0" },
		{ "43 00 01 00 00 00 00 00 ff 00", 12, "\0\x0a\1\1\0\x14\1\0\0\0\0\0" },
		{ "43 00 00 00 00 00 00 00 04 00", 4, "\0\x12\1\1" },
		{ "43 00 00 00 00 00 00 00 ff 40", 12, "\0\x0a\1\1\0\x14\1\0\0\0\0\0" },
	};
	uint8_t buf[256];
	struct rig rig;

	cd_up(&rig, true);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		rig_good(&rig, rows[i].cdb, buf, sizeof(buf), rows[i].len);
		g_assert_cmpmem(buf, rows[i].len, rows[i].want, rows[i].len);
	}
	rig_good(&rig, "43 02 02 00 00 00 00 00 ff 00", buf, sizeof(buf), 48);
	g_assert_cmpuint(buf[4 + 22 + 3], ==, 0xa2);
	g_assert_cmpuint(buf[4 + 22 + 9], ==, 8);
	rig_fails(&rig, "43 00 00 00 00 00 02 00 ff 00", buf, 256, 0x052400);
	rig_fails(&rig, "43 00 05 00 00 00 00 00 ff 00", buf, 256, 0x052400);
	rig_down(&rig);
}

static void test_configuration(void)
{
	uint8_t buf[256];
	struct rig rig;

	cd_up(&rig, true);
	rig_good(&rig, "46 00 00 00 00 00 00 00 ff 00", buf, 256, 8 + 12 + 12 + 8 + 12 + 8 + 4);
	g_assert_cmpuint(get_be32(buf), ==, rig.moved - 4);
	g_assert_cmpuint(get_be16(buf + 6), ==, 0x0008);
	g_assert_cmpuint(buf[8 + 4 + 6], ==, 1);		/* profile CD-ROM is current */
	/* One feature; current ones only; from a number on. */
	rig_good(&rig, "46 02 00 01 00 00 00 00 ff 00", buf, 256, 8 + 12);
	g_assert_cmpuint(get_be16(buf + 8), ==, 1);
	rig_good(&rig, "46 01 00 00 00 00 00 00 ff 00", buf, 256, 8 + 12 + 12 + 8 + 12 + 8);
	rig_good(&rig, "46 00 00 1f 00 00 00 00 ff 00", buf, 256, 8 + 4);
	rig_good(&rig, "46 02 01 00 00 00 00 00 ff 00", buf, 256, 8);
	rig_fails(&rig, "46 03 00 00 00 00 00 00 ff 00", buf, 256, 0x052400);
	/* Longer than 90 minutes: a DVD. */
	rig.disk[0].block.size = 405001ull * 2048;
	rig_good(&rig, "46 02 00 00 00 00 00 00 ff 00", buf, 256, 20);
	g_assert_cmpuint(get_be16(buf + 6), ==, 0x0010);
	rig_good(&rig, "ad 00 00 00 00 00 00 00 01 00 00 00", buf, 256, 256);
	g_assert_cmpuint(get_be16(buf), ==, 2050);
	g_assert_cmpuint(get_be32(buf + 12), ==, 0x30000 + 405000);
	rig_good(&rig, "ad 00 00 00 00 00 00 ff ff ff 00 00", buf, 256, 16);
	rig_fails(&rig, "ad 00 00 00 00 00 00 03 ff ff 00 00", buf, 256, 0x052400);
	rig_fails(&rig, "ad 01 00 00 00 00 00 00 ff ff 00 00", buf, 256, 0x052400);
	rig.disk[0].block.size = RIG_BLOCKS * 512;
	rig_fails(&rig, "ad 00 00 00 00 00 00 00 ff ff 00 00", buf, 256, 0x053002);
	rig_down(&rig);
}

/* The whole of READ DISC STRUCTURE does not fit into a parameter buffer. */
static void test_disc_structure(void)
{
	g_autofree uint8_t *buf = g_malloc0(4096);
	struct rig rig;

	cd_up(&rig, true);
	rig.disk[0].block.size = 405001ull * 2048;
	rig_good(&rig, "ad 00 00 00 00 00 00 00 ff ff 00 00", buf, 4096, 2052);
	rig_good(&rig, "ad 00 00 00 00 00 00 04 ff ff 00 00", buf, 4096, 2052);
	rig_good(&rig, "ad 00 00 00 00 00 00 01 ff ff 00 00", buf, 4096, 8);
	rig.disk[0].block.size = RIG_BLOCKS * 512;
	rig_down(&rig);
}

static void test_disc_information(void)
{
	uint8_t buf[64];
	struct rig rig;

	cd_up(&rig, true);
	rig_good(&rig, "51 00 00 00 00 00 00 00 ff 00", buf, 64, 34);
	g_assert_cmpmem(buf, 8, "\0\x20\x0e\1\1\1\1\x20", 8);
	rig_fails(&rig, "51 01 00 00 00 00 00 00 ff 00", buf, 64, 0x052400);
	rig_good(&rig, "bd 00 00 00 00 00 00 00 00 08 00 00", buf, 64, 8);
	g_assert_cmpmem(buf, 8, "\0\0\0\0\0\1\0\0", 8);
	rig_good(&rig, "bb 00 ff ff ff ff 00 00 00 00 00 00", NULL, 0, 0);
	rig_down(&rig);
}

/* Open, close, lock; what TEST UNIT READY and the event status say of it. */
static void test_tray(void)
{
	uint8_t buf[8];
	struct rig rig;

	cd_up(&rig, true);
	rig_good(&rig, "4a 01 00 00 10 00 00 00 08 00", buf, 8, 8);
	g_assert_cmpmem(buf, 8, "\0\4\4\x10\0\2\0\0", 8);
	rig_good(&rig, "1e 00 00 00 01 00", NULL, 0, 0);
	rig_fails(&rig, "1b 00 00 00 02 00", NULL, 0, 0x055302);
	rig_good(&rig, "1e 00 00 00 00 00", NULL, 0, 0);
	rig_good(&rig, "1b 00 00 00 02 00", NULL, 0, 0);
	rig_fails(&rig, "00 00 00 00 00 00", NULL, 0, 0x023a02);
	rig_fails(&rig, "28 00 00 00 00 00 00 00 01 00", NULL, 0, 0x023a02);
	rig_fails(&rig, "43 00 00 00 00 00 00 00 ff 00", NULL, 0, 0x023a02);
	rig_good(&rig, "4a 01 00 00 10 00 00 00 08 00", buf, 8, 8);
	g_assert_cmpmem(buf + 4, 2, "\0\1", 2);
	rig_good(&rig, "bd 00 00 00 00 00 00 00 00 08 00 00", buf, 8, 8);
	g_assert_cmpuint(buf[1], ==, 0x10);
	rig_good(&rig, "46 02 00 00 00 00 00 00 08 00", buf, 8, 8);
	g_assert_cmpuint(get_be16(buf + 6), ==, 0);
	/* Closed: a new medium, told once. */
	rig_good(&rig, "1b 00 00 00 03 00", NULL, 0, 0);
	rig_good(&rig, "00 00 00 00 00 00", NULL, 0, 0);
	rig_good(&rig, "4a 01 00 00 10 00 00 00 08 00", buf, 8, 8);
	g_assert_cmpmem(buf + 4, 2, "\2\2", 2);
	rig_good(&rig, "4a 01 00 00 10 00 00 00 08 00", buf, 8, 8);
	g_assert_cmpmem(buf + 4, 2, "\0\2", 2);
	/* No such class; asynchronous is refused. */
	rig_good(&rig, "4a 01 00 00 02 00 00 00 08 00", buf, 8, 4);
	g_assert_cmpmem(buf, 4, "\0\0\x80\x10", 4);
	rig_fails(&rig, "4a 00 00 00 10 00 00 00 08 00", buf, 8, 0x052400);
	/* A reset unlocks; a power cycle closes. */
	rig_good(&rig, "1e 00 00 00 01 00", NULL, 0, 0);
	scsi_bus_reset(rig.bus, false);
	rig_do(&rig, "00 00 00 00 00 00", NULL, 0);
	rig_good(&rig, "1b 00 00 00 02 00", NULL, 0, 0);
	scsi_bus_reset(rig.bus, true);
	rig_do(&rig, "00 00 00 00 00 00", NULL, 0);
	rig_good(&rig, "00 00 00 00 00 00", NULL, 0, 0);
	rig_down(&rig);
}

static void test_no_disc(void)
{
	uint8_t buf[8];
	struct rig rig;

	cd_up(&rig, false);
	rig_fails(&rig, "00 00 00 00 00 00", NULL, 0, 0x023a00);
	rig_good(&rig, "4a 01 00 00 10 00 00 00 08 00", buf, 8, 8);
	g_assert_cmpmem(buf + 4, 2, "\0\0", 2);
	rig_good(&rig, "1e 00 00 00 01 00", NULL, 0, 0);
	rig_fails(&rig, "1b 00 00 00 02 00", NULL, 0, 0x025302);
	rig_down(&rig);
}

/* READ CD gives user data, and the block length can be 512 for those who boot so. */
static void test_read(void)
{
	g_autofree uint8_t *buf = g_malloc0(65536 * 2);
	uint8_t list[12] = { [3] = 8 };
	struct rig rig;

	cd_up(&rig, true);
	rig_good(&rig, "28 08 00 00 00 01 00 00 28 00", buf, 40 * 2048, 40 * 2048);
	g_assert_cmpmem(buf, 40 * 2048, rig.disk[0].data + 2048, 40 * 2048);
	rig_good(&rig, "be 00 00 00 00 02 00 00 28 10 00 00", buf, 40 * 2048, 40 * 2048);
	g_assert_cmpmem(buf, 40 * 2048, rig.disk[0].data + 2 * 2048, 40 * 2048);
	rig_good(&rig, "be 00 00 00 00 02 00 00 28 00 00 00", NULL, 0, 0);
	rig_fails(&rig, "be 00 00 00 00 02 00 00 01 f8 00 00", buf, 2048, 0x052400);
	rig_fails(&rig, "be 00 00 00 00 02 00 00 01 10 01 00", buf, 2048, 0x052400);
	rig_fails(&rig, "be 04 00 00 00 02 00 00 01 10 00 00", buf, 2048, 0x056400);
	rig_fails(&rig, "be 00 00 00 02 00 00 00 01 10 00 00", buf, 2048, 0x052100);
	put_be24(list + 9, 512);
	rig_good(&rig, "15 10 00 00 0c 00", list, 12, 12);
	rig_good(&rig, "25 00 00 00 00 00 00 00 00 00", buf, 8, 8);
	g_assert_cmpuint(get_be32(buf), ==, RIG_BLOCKS - 1);
	rig_good(&rig, "28 00 00 00 00 05 00 00 01 00", buf, 512, 512);
	g_assert_cmpmem(buf, 512, rig.disk[0].data + 5 * 512, 512);
	put_be24(list + 9, 1024);
	rig_fails(&rig, "15 10 00 00 0c 00", list, 12, 0x052600);
	scsi_bus_reset(rig.bus, false);
	g_assert_cmpuint(rig.state->unit[0].block_size, ==, 2048);
	rig_down(&rig);
}

/* A read under way when the block length changes goes on with its own. */
static void test_block_length_race(void)
{
	struct scsi_command cmd = rig_cdb("28 00 00 00 01 f0 00 01 00 00");
	uint8_t list[12] = { [3] = 8, [10] = 8 };
	g_autofree uint8_t *buf = g_malloc0(1 << 20);
	struct rig rig;
	int req;

	cd_up(&rig, true);
	list[10] = 2;
	rig_good(&rig, "15 10 00 00 0c 00", list, 12, 12);
	put_be32(&cmd.cdb[2], RIG_BLOCKS - 256);
	cmd.attr = SCSI_TASK_SIMPLE;
	req = rig_command(&rig, &cmd);
	rig_settle(&rig);
	list[10] = 8;
	rig_good(&rig, "15 10 00 00 0c 00", list, 12, 12);
	rig.moved = 0;
	g_assert_true(rig_pump(&rig, req, buf, 1 << 20, SIZE_MAX));
	g_assert_cmpuint(scsi_status(rig.bus, req), ==, SCSI_GOOD);
	g_assert_cmpuint(rig.moved, ==, 256 * 512);
	g_assert_cmpmem(buf, 256 * 512, rig.disk[0].data + (RIG_BLOCKS - 256) * 512, 256 * 512);
	scsi_release(rig.bus, req);
	rig_down(&rig);
}

static void test_mode_pages(void)
{
	uint8_t buf[256];
	struct rig rig;

	cd_up(&rig, true);
	rig_good(&rig, "1a 00 3f 00 ff 00", buf, 255, 4 + 12 + 20 + 12 + 8 + 16 + 12 + 22);
	g_assert_cmpuint(buf[3], ==, 0);
	rig_good(&rig, "5a 00 2a 00 00 00 00 00 ff 00", buf, 255, 30);
	g_assert_cmpmem(buf + 8, 7, "\x2a\x14\x3b\0\x7f\xff\x2d", 7);
	rig_good(&rig, "1e 00 00 00 01 00", NULL, 0, 0);
	rig_good(&rig, "5a 00 2a 00 00 00 00 00 ff 00", buf, 255, 30);
	g_assert_cmpuint(buf[14], ==, 0x2f);
	rig_down(&rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/scsi/cd/identity", test_identity);
	g_test_add_func("/scsi/cd/toc", test_toc);
	g_test_add_func("/scsi/cd/configuration", test_configuration);
	g_test_add_func("/scsi/cd/disc-structure", test_disc_structure);
	g_test_add_func("/scsi/cd/disc-information", test_disc_information);
	g_test_add_func("/scsi/cd/tray", test_tray);
	g_test_add_func("/scsi/cd/no-disc", test_no_disc);
	g_test_add_func("/scsi/cd/read", test_read);
	g_test_add_func("/scsi/cd/block-length-race", test_block_length_race);
	g_test_add_func("/scsi/cd/mode-pages", test_mode_pages);
	return g_test_run();
}
