/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "rig.h"

/* The commands that a boot needs, and the life of a command. */

static void test_identity(void)
{
	struct rig rig;
	uint8_t buf[256] = { 0 };

	rig_up(&rig);
	rig_good(&rig, "12 00 00 00 24 00", buf, sizeof(buf), 36);
	g_assert_cmpmem(buf + 8, 8, "QEMU    ", 8);
	g_assert_cmpmem(buf + 16, 16, "QEMU HARDDISK   ", 16);
	g_assert_cmpmem(buf + 32, 4, "2.5+", 4);
	g_assert_cmpuint(buf[2], ==, 5);
	g_assert_cmpuint(buf[7] & 0x12, ==, 0x12);
	rig_good(&rig, "12 01 00 00 ff 00", buf, sizeof(buf), 10);
	g_assert_cmpmem(buf, 10, "\0\0\0\6\0\x80\x83\xb0\xb1\xb2", 10);
	rig_good(&rig, "12 01 80 00 ff 00", buf, sizeof(buf), 10);
	g_assert_cmpmem(buf + 4, 6, "abc123", 6);
	rig_good(&rig, "12 01 83 00 ff 00", buf, sizeof(buf), 14);
	g_assert_cmpmem(buf + 4, 10, "\2\0\0\6drive0", 10);
	rig_fails(&rig, "12 01 c9 00 ff 00", buf, sizeof(buf), 0x052400);
	rig_fails(&rig, "12 00 80 00 ff 00", buf, sizeof(buf), 0x052400);
	rig_down(&rig);
}

static void test_capacity(void)
{
	struct rig rig;
	uint8_t buf[32] = { 0 };

	rig_up(&rig);
	rig_good(&rig, "25 00 00 00 00 00 00 00 00 00", buf, 8, 8);
	g_assert_cmpuint(get_be32(buf), ==, RIG_BLOCKS - 1);
	g_assert_cmpuint(get_be32(buf + 4), ==, 512);
	rig_good(&rig, "9e 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00", buf, 32, 32);
	g_assert_cmpuint(get_be64(buf), ==, RIG_BLOCKS - 1);
	g_assert_cmpuint(get_be32(buf + 8), ==, 512);
	rig_down(&rig);
}

/* Every length that READ and WRITE have, over several windows. */
static void test_read_write(void)
{
	static const struct {
		const char *write, *read;
		unsigned lba, blocks;
	} rows[] = {
		{ "0a 00 00 05 03 00", "08 00 00 05 03 00", 5, 3 },
		{ "0a 00 01 00 00 00", "08 00 01 00 00 00", 256, 256 },
		{ "2a 00 00 00 00 07 00 01 2c 00", "28 00 00 00 00 07 00 01 2c 00", 7, 300 },
		{ "aa 00 00 00 00 07 00 00 01 2c 00 00", "a8 00 00 00 00 07 00 00 01 2c 00 00",
		  7, 300 },
		{ "8a 08 00 00 00 00 00 00 07 ff 00 00 00 01 00 00",
		  "88 08 00 00 00 00 00 00 07 ff 00 00 00 01 00 00", 2047, 1 },
	};
	struct rig rig;

	rig_up(&rig);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		size_t len = rows[i].blocks * 512;
		g_autofree uint8_t *out = g_malloc(len), *in = g_malloc0(len);

		for (size_t b = 0; b < len; b++)
			out[b] = b * 31 + b / 512 + i;
		rig_good(&rig, rows[i].write, out, len, len);
		g_assert_cmpmem(rig.disk[0].data + rows[i].lba * 512, len, out, len);
		rig_good(&rig, rows[i].read, in, len, len);
		g_assert_cmpmem(in, len, out, len);
	}
	g_assert_cmpuint(rig.disk[0].fua, ==, 1);
	rig_down(&rig);
}

/* The adapter moves what it likes at a time. */
static void test_small_steps(void)
{
	struct scsi_command cmd = rig_cdb("28 00 00 00 00 00 00 00 03 00");
	uint8_t in[3 * 512] = { 0 };
	struct rig rig;
	int req;

	rig_up(&rig);
	for (size_t step = 1; step < 2000; step = step * 3 + 1) {
		req = rig_command(&rig, &cmd);
		rig.moved = 0;
		g_assert_true(rig_pump(&rig, req, in, sizeof(in), step));
		g_assert_cmpuint(scsi_status(rig.bus, req), ==, SCSI_GOOD);
		scsi_release(rig.bus, req);
		g_assert_cmpuint(rig.moved, ==, sizeof(in));
		g_assert_cmpmem(in, sizeof(in), rig.disk[0].data, sizeof(in));
	}
	rig_down(&rig);
}

static void test_luns(void)
{
	struct rig rig;
	uint8_t buf[64] = { 0 };
	struct scsi_command cmd;

	rig_init(&rig, 3);
	rig.units[1].config.target = rig.units[2].config.target = 0;
	rig.units[1].config.lun = 1;
	rig.units[2].config.lun = 5;
	rig_start(&rig);
	rig_good(&rig, "a0 00 00 00 00 00 00 00 00 40 00 00", buf, sizeof(buf), 32);
	g_assert_cmpuint(get_be32(buf), ==, 24);
	g_assert_cmpuint(buf[17], ==, 1);
	g_assert_cmpuint(buf[25], ==, 5);
	/* A LUN that is not there. */
	cmd = rig_cdb("12 00 00 00 24 00");
	cmd.lun = 2;
	g_assert_cmpuint(rig_do_cmd(&rig, &cmd, buf, sizeof(buf)), ==, SCSI_GOOD);
	g_assert_cmpuint(buf[0], ==, 0x7f);
	/* It has one VPD page, the list of them: no other, and no INQUIRY data in its place. */
	cmd = rig_cdb("12 01 00 00 24 00");
	cmd.lun = 2;
	g_assert_cmpuint(rig_do_cmd(&rig, &cmd, buf, sizeof(buf)), ==, SCSI_GOOD);
	g_assert_cmpuint(rig.moved, ==, 5);
	g_assert_cmpmem(buf, 5, "\x7f\x00\x00\x01\x00", 5);
	cmd = rig_cdb("12 01 b2 00 24 00");
	cmd.lun = 2;
	rig_assert_sense(&rig, rig_do_cmd(&rig, &cmd, NULL, 0), 0x052500, "no page", __LINE__);
	cmd = rig_cdb("00 00 00 00 00 00");
	cmd.lun = 2;
	rig_assert_sense(&rig, rig_do_cmd(&rig, &cmd, NULL, 0), 0x052500, "no LUN", __LINE__);
	/* A target that is not there. */
	cmd.target = 3;
	g_assert_cmpint(scsi_command(rig.bus, &cmd), ==, -ENODEV);
	g_assert_false(scsi_target_present(rig.bus, 3));
	g_assert_false(scsi_target_present(rig.bus, 16));
	rig_down(&rig);
}

static void test_sync_cache(void)
{
	struct rig rig;

	rig_up(&rig);
	rig_good(&rig, "35 00 00 00 00 00 00 00 00 00", NULL, 0, 0);
	rig_good(&rig, "91 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", NULL, 0, 0);
	g_assert_cmpuint(rig.disk[0].ops[BLOCK_FLUSH], ==, 2);
	rig_down(&rig);
}

static void test_request_sense(void)
{
	struct rig rig;
	uint8_t buf[64] = { 0 };

	rig_up(&rig);
	rig_good(&rig, "03 00 00 00 12 00", buf, sizeof(buf), 18);
	g_assert_cmpuint(buf[0], ==, 0x70);
	g_assert_cmpuint(buf[2], ==, 0);
	rig_good(&rig, "03 01 00 00 ff 00", buf, sizeof(buf), 8);
	g_assert_cmpuint(buf[0], ==, 0x72);
	rig_fails(&rig, "28 00 ff ff ff f0 00 00 01 00", NULL, 0, 0x052100);
	g_assert_cmpuint(rig.sense[0], ==, 0xf0);
	g_assert_cmpuint(get_be32(rig.sense + 3), ==, 0xfffffff0);
	/* It is told once. */
	rig_good(&rig, "03 00 00 00 12 00", buf, sizeof(buf), 18);
	g_assert_cmpuint(buf[2], ==, 0);
	rig_down(&rig);
}

/* A command waits for its disk, and ready() says when it goes on. */
static void test_ready(void)
{
	struct scsi_command cmd = rig_cdb("28 00 00 00 00 00 00 00 01 00");
	uint8_t in[512];
	struct rig rig;
	int req;

	rig_up(&rig);
	rig.disk[0].hold = true;
	req = rig_command(&rig, &cmd);
	rig.moved = 0;
	g_assert_false(rig_pump(&rig, req, in, sizeof(in), SIZE_MAX));
	g_assert_cmpint(scsi_phase(rig.bus, req), ==, SCSI_PHASE_WAIT);
	g_assert_cmpuint(rig.ready[req], ==, 0);
	memdisk_end(&rig.disk[0], 0, 0);
	rig_settle(&rig);
	g_assert_cmpuint(rig.ready[req], ==, 1);
	g_assert_true(rig_pump(&rig, req, in, sizeof(in), SIZE_MAX));
	scsi_release(rig.bus, req);
	g_assert_cmpuint(scsi_active(rig.bus), ==, 0);
	rig_down(&rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/scsi/basic/identity", test_identity);
	g_test_add_func("/scsi/basic/capacity", test_capacity);
	g_test_add_func("/scsi/basic/read-write", test_read_write);
	g_test_add_func("/scsi/basic/small-steps", test_small_steps);
	g_test_add_func("/scsi/basic/luns", test_luns);
	g_test_add_func("/scsi/basic/sync-cache", test_sync_cache);
	g_test_add_func("/scsi/basic/request-sense", test_request_sense);
	g_test_add_func("/scsi/basic/ready", test_ready);
	return g_test_run();
}
