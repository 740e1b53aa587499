/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "rig.h"

/* scsi-hd beyond READ and WRITE: verify, provisioning, atomic writes, mode pages, stopping. */

#define BS 512

/* VERIFY of all lengths and BYTCHK values, over several windows. */
static void test_verify(void)
{
	static const char *const cdbs[] = {
		"2f 00 00 00 00 00 00 01 00 00",
		"af 00 00 00 00 00 00 00 01 00 00 00",
		"8f 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00",
	};
	g_autofree uint8_t *data = g_malloc(256 * BS);
	struct rig rig;

	rig_up(&rig);
	for (unsigned i = 0; i < G_N_ELEMENTS(cdbs); i++) {
		struct scsi_command cmd = rig_cdb(cdbs[i]);
		unsigned reads = rig.disk[0].ops[BLOCK_READ];

		/* 0: the medium alone, which is read. */
		rig_good(&rig, cdbs[i], NULL, 0, 0);
		g_assert_cmpuint(rig.disk[0].ops[BLOCK_READ], >, reads);
		/* 1: byte by byte. */
		memcpy(data, rig.disk[0].data, 256 * BS);
		cmd.cdb[1] = 0x02;
		g_assert_cmpuint(rig_do_cmd(&rig, &cmd, data, 256 * BS), ==, SCSI_GOOD);
		g_assert_cmpuint(rig.moved, ==, 256 * BS);
		data[255 * BS + 511] ^= 1;
		rig_do_cmd(&rig, &cmd, data, 256 * BS);
		rig_assert_sense(&rig, rig.status, 0x0e1d00, "VERIFY", i);
		/* It stops at the window that differs. */
		data[0] ^= 1;
		rig_do_cmd(&rig, &cmd, data, 256 * BS);
		rig_assert_sense(&rig, rig.status, 0x0e1d00, "VERIFY", i);
		g_assert_cmpuint(rig.moved, ==, 32768);
		/* 2 is reserved, 3: one block against all. */
		cmd.cdb[1] = 0x04;
		rig_do_cmd(&rig, &cmd, data, 256 * BS);
		rig_assert_sense(&rig, rig.status, 0x052400, "VERIFY", i);
		cmd.cdb[1] = 0x06;
		rig_do_cmd(&rig, &cmd, rig.disk[0].data, BS);
		rig_assert_sense(&rig, rig.status, 0x0e1d00, "VERIFY", i);
		g_assert_cmpuint(rig.moved, ==, BS);
	}
	memset(rig.disk[0].data, 0x42, 256 * BS);
	memset(data, 0x42, BS);
	rig_good(&rig, "2f 06 00 00 00 00 00 01 00 00", data, BS, BS);
	rig.disk[0].data[255 * BS + 511] = 0;
	rig_fails(&rig, "2f 06 00 00 00 00 00 01 00 00", data, BS, 0x0e1d00);
	rig_fails(&rig, "2f 20 00 00 00 00 00 00 01 00", data, BS, 0x052400);
	rig_down(&rig);
}

static void test_write_and_verify(void)
{
	static const char *const cdbs[] = {
		"2e 00 00 00 00 09 00 00 65 00", "2e 02 00 00 00 09 00 00 65 00",
		"ae 02 00 00 00 09 00 00 00 65 00 00",
		"8e 02 00 00 00 00 00 00 00 09 00 00 00 65 00 00",
	};
	g_autofree uint8_t *data = g_malloc(101 * BS);
	struct rig rig;

	rig_up(&rig);
	for (unsigned i = 0; i < G_N_ELEMENTS(cdbs); i++) {
		for (unsigned b = 0; b < 101 * BS; b++)
			data[b] = b / 3 + i;
		rig_good(&rig, cdbs[i], data, 101 * BS, 101 * BS);
		g_assert_cmpmem(rig.disk[0].data + 9 * BS, 101 * BS, data, 101 * BS);
	}
	rig_fails(&rig, "2e 04 00 00 00 00 00 00 01 00", data, BS, 0x052400);
	/* A medium that did not keep what was written. */
	rig.disk[0].hold = true;
	{
		struct scsi_command cmd = rig_cdb("2e 02 00 00 00 00 00 00 01 00");
		int req = rig_command(&rig, &cmd);

		rig.moved = 0;
		g_assert_false(rig_pump(&rig, req, data, BS, SIZE_MAX));
		memdisk_end(&rig.disk[0], 0, 0);
		rig.disk[0].data[100] ^= 1;
		memdisk_end(&rig.disk[0], 0, 0);
		g_assert_true(rig_pump(&rig, req, data, BS, SIZE_MAX));
		g_assert_cmpuint(scsi_status(rig.bus, req), ==, SCSI_CHECK_CONDITION);
		scsi_release(rig.bus, req);
	}
	rig_down(&rig);
}

static void test_write_same(void)
{
	uint8_t block[BS] = { 0 };
	struct rig rig;

	rig_up(&rig);
	/* A pattern is written, in windows. */
	memset(block, 0x77, 256);
	rig_good(&rig, "41 00 00 00 00 03 00 01 2c 00", block, BS, BS);
	for (unsigned i = 3; i < 303; i++)
		g_assert_cmpmem(rig.disk[0].data + i * BS, BS, block, BS);
	g_assert_cmpuint(rig.disk[0].data[303 * BS], ==, (303 * 7 + 3) & 0xff);
	g_assert_cmpuint(rig.disk[0].ops[BLOCK_WRITE], ==, 3);
	/* UNMAP with a pattern writes it as well. */
	rig_good(&rig, "93 08 00 00 00 00 00 00 00 00 00 00 00 02 00 00", block, BS, BS);
	g_assert_cmpmem(rig.disk[0].data, BS, block, BS);
	g_assert_cmpuint(rig.disk[0].unmap, ==, 0);
	/* Zeroes go down as one request, with UNMAP only if asked for. */
	memset(block, 0, BS);
	rig_good(&rig, "41 00 00 00 00 03 00 01 2c 00", block, BS, BS);
	g_assert_cmpuint(rig.disk[0].ops[BLOCK_ZERO], ==, 1);
	g_assert_cmpuint(rig.disk[0].unmap, ==, 0);
	g_assert_cmpmem(rig.disk[0].data + 302 * BS, BS, block, BS);
	g_assert_cmpuint(rig.disk[0].data[303 * BS], ==, (303 * 7 + 3) & 0xff);
	rig_good(&rig, "41 08 00 00 00 03 00 01 2c 00", block, BS, BS);
	g_assert_cmpuint(rig.disk[0].unmap, ==, 1);
	/* NDOB: no data at all. */
	rig_good(&rig, "93 09 00 00 00 00 00 00 00 00 00 00 00 03 00 00", NULL, 0, 0);
	g_assert_cmpmem(rig.disk[0].data + 2 * BS, BS, block, BS);
	/* PBDATA, LBDATA, ANCHOR, WRPROTECT; NDOB in the short form. */
	rig_fails(&rig, "41 04 00 00 00 00 00 00 01 00", block, BS, 0x052400);
	rig_fails(&rig, "41 02 00 00 00 00 00 00 01 00", block, BS, 0x052400);
	rig_fails(&rig, "41 18 00 00 00 00 00 00 01 00", block, BS, 0x052400);
	rig_fails(&rig, "41 20 00 00 00 00 00 00 01 00", block, BS, 0x052400);
	rig_fails(&rig, "41 01 00 00 00 00 00 00 01 00", block, BS, 0x052400);
	rig_down(&rig);
}

static void test_unmap(void)
{
	uint8_t list[56] = { 0, 54, 0, 48 };
	struct rig rig;

	put_be64(list + 8, 8);
	put_be32(list + 16, 8);
	put_be64(list + 24, 100);	/* of no blocks */
	put_be64(list + 40, 2047);
	put_be32(list + 48, 1);
	rig_up(&rig);
	rig_good(&rig, "42 00 00 00 00 00 00 00 38 00", list, 56, 56);
	g_assert_cmpuint(rig.disk[0].ops[BLOCK_DISCARD], ==, 2);
	g_assert_cmpuint(rig.disk[0].data[8 * BS], ==, 0);
	g_assert_cmpuint(rig.disk[0].data[2047 * BS], ==, 0);
	g_assert_cmpuint(rig.disk[0].data[16 * BS], !=, 0);
	/* More at once than MAXIMUM UNMAP LBA COUNT. */
	rig.units[0].config.max_unmap_size = 8 * BS;
	rig_fails(&rig, "42 00 00 00 00 00 00 00 38 00", list, 56, 0x052600);
	rig_fails(&rig, "42 01 00 00 00 00 00 00 38 00", list, 56, 0x052400);
	/* discard=ignore: a hint that is not taken. */
	rig.units[0].config.max_unmap_size = 0;
	rig.units[0].config.discard = 0;
	rig_good(&rig, "42 00 00 00 00 00 00 00 38 00", list, 56, 56);
	g_assert_cmpuint(rig.disk[0].ops[BLOCK_DISCARD], ==, 2);
	rig_down(&rig);
}

static void test_get_lba_status(void)
{
	uint8_t buf[64] = { 0 };
	struct rig rig;

	rig_up(&rig);
	rig.disk[0].mapped_until = 100 * BS + 7;
	rig_good(&rig, "9e 12 00 00 00 00 00 00 00 0a 00 00 00 40 00 00", buf, 64, 40);
	g_assert_cmpuint(get_be32(buf), ==, 36);
	g_assert_cmpuint(get_be64(buf + 8), ==, 10);
	g_assert_cmpuint(get_be32(buf + 16), ==, 91);	/* the block mapped in part too */
	g_assert_cmpuint(buf[20], ==, 0);
	g_assert_cmpuint(get_be64(buf + 24), ==, 101);
	g_assert_cmpuint(get_be32(buf + 32), ==, RIG_BLOCKS - 101);
	g_assert_cmpuint(buf[36], ==, 1);
	/* Room for one. */
	rig_good(&rig, "9e 12 00 00 00 00 00 00 00 0a 00 00 00 18 00 00", buf, 64, 24);
	g_assert_cmpuint(get_be32(buf), ==, 20);
	/* No thin provisioning: all is mapped. */
	rig.units[0].config.discard_granularity = 0;
	rig_good(&rig, "9e 12 00 00 00 00 00 00 07 00 00 00 00 40 00 00", buf, 64, 24);
	g_assert_cmpuint(buf[20], ==, 0);
	g_assert_cmpuint(get_be32(buf + 16), ==, 256);
	rig_down(&rig);
}

/* LBPME, LBPRZ and what the VPD pages say, by what the backend can do. */
static void test_provisioning_pages(void)
{
	static const struct {
		bool discard, can, zero;
		uint32_t gran;
		uint8_t rc, b2, type;
	} rows[] = {
		{ false, true, true, UINT32_MAX, 0x80, 0xe0, 2 },
		{ true, false, true, UINT32_MAX, 0x80, 0xe0, 2 },
		{ true, true, false, UINT32_MAX, 0x80, 0xe0, 2 },
		{ true, true, true, UINT32_MAX, 0xc0, 0xe4, 2 },
		{ true, true, true, 0, 0x00, 0xe0, 1 },
	};
	uint8_t buf[64];

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct rig rig;

		rig_init(&rig, 1);
		rig.units[0].config.discard = rows[i].discard;
		rig.units[0].config.discard_granularity = rows[i].gran;
		rig.units[0].config.rotation_rate = 7200;
		rig.units[0].config.physical_block_size = 4096;
		rig.units[0].config.opt_io_size = 65536;
		rig.disk[0].block.can_discard = rows[i].can;
		rig.disk[0].block.zero_after_discard = rows[i].zero;
		rig_start(&rig);
		rig_do(&rig, "00 00 00 00 00 00", NULL, 0);
		rig_good(&rig, "9e 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00", buf, 32, 32);
		g_assert_cmpuint(buf[14], ==, rows[i].rc);
		g_assert_cmpuint(buf[13], ==, 3);
		rig_good(&rig, "12 01 b2 00 40 00", buf, 64, 8);
		g_assert_cmpuint(buf[5], ==, rows[i].b2);
		g_assert_cmpuint(buf[6], ==, rows[i].type);
		rig_good(&rig, "12 01 b0 00 40 00", buf, 64, 64);
		g_assert_cmpuint(get_be32(buf + 8), ==, INT32_MAX / 512);
		g_assert_cmpuint(get_be32(buf + 12), ==, 128);
		g_assert_cmpuint(get_be32(buf + 20), ==, (1u << 30) / 512);
		g_assert_cmpuint(get_be32(buf + 24), ==, 255);
		g_assert_cmpuint(get_be32(buf + 28), ==, rows[i].gran ? 8 : 0);
		rig_good(&rig, "12 01 b1 00 40 00", buf, 64, 64);
		g_assert_cmpuint(get_be16(buf + 4), ==, 7200);
		rig_down(&rig);
	}
}

static void test_compare_and_write(void)
{
	uint8_t data[4 * BS];
	struct rig rig;

	rig_up(&rig);
	memcpy(data, rig.disk[0].data + 5 * BS, 2 * BS);
	memset(data + 2 * BS, 0x99, 2 * BS);
	rig_good(&rig, "89 00 00 00 00 00 00 00 00 05 00 00 00 02 00 00", data, sizeof(data),
		 sizeof(data));
	g_assert_cmpmem(rig.disk[0].data + 5 * BS, 2 * BS, data + 2 * BS, 2 * BS);
	/* Once more: it is not what it was.  INFORMATION: the first byte that differs. */
	memset(data, 0x99, 700);
	rig_fails(&rig, "89 00 00 00 00 00 00 00 00 05 00 00 00 02 00 00", data, sizeof(data),
		  0x0e1d00);
	g_assert_cmpuint(rig.sense[0], ==, 0xf0);
	g_assert_cmpuint(get_be32(rig.sense + 3), ==, 700);
	g_assert_cmpmem(rig.disk[0].data + 5 * BS, 2 * BS, data + 2 * BS, 2 * BS);
	/* More blocks than one buffer takes; VPD B0h says how many. */
	rig_good(&rig, "12 01 b0 00 40 00", data, 64, 64);
	g_assert_cmpuint(data[5], ==, (65536 - 4096) / (3 * BS));
	rig_fails(&rig, "89 00 00 00 00 00 00 00 00 00 00 00 00 29 00 00", NULL, 0, 0x052400);
	rig_down(&rig);
}

/* Nothing comes between the compare and the write, and two of them do not mix. */
static void test_compare_and_write_alone(void)
{
	struct scsi_command caw = rig_cdb("89 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00");
	struct scsi_command write = rig_cdb("2a 00 00 00 00 00 00 00 01 00");
	uint8_t data[2 * BS], other[BS];
	struct memdisk *disk;
	struct rig rig;
	int a, b, c;

	rig_up(&rig);
	disk = &rig.disk[0];
	disk->hold = true;
	memcpy(data, disk->data, BS);
	memset(data + BS, 0xaa, BS);
	memset(other, 0xbb, BS);
	caw.attr = write.attr = SCSI_TASK_SIMPLE;
	caw.tag = 1;
	a = rig_command(&rig, &caw);
	rig.moved = 0;
	rig_pump(&rig, a, data, 2 * BS, SIZE_MAX);
	write.tag = 2;
	b = rig_command(&rig, &write);
	rig.moved = 0;
	rig_pump(&rig, b, other, BS, SIZE_MAX);
	caw.tag = 3;
	c = rig_command(&rig, &caw);
	rig.moved = 0;
	rig_pump(&rig, c, data, 2 * BS, SIZE_MAX);
	/* The compare's read alone; then its write alone; then the others, in order. */
	g_assert_cmpuint(disk->count, ==, 1);
	memdisk_end(disk, 0, 0);
	rig_settle(&rig);
	g_assert_cmpuint(disk->count, ==, 1);
	g_assert_cmpint(disk->pending[0]->op, ==, BLOCK_WRITE);
	memdisk_end(disk, 0, 0);
	rig_settle(&rig);
	g_assert_cmpuint(scsi_status(rig.bus, a), ==, SCSI_GOOD);
	g_assert_cmpuint(disk->count, ==, 1);
	memdisk_end(disk, 0, 0);
	rig_settle(&rig);
	g_assert_cmpint(scsi_phase(rig.bus, b), ==, SCSI_PHASE_STATUS);
	memdisk_end(disk, 0, 0);
	rig_settle(&rig);
	g_assert_cmpuint(scsi_status(rig.bus, c), ==, SCSI_CHECK_CONDITION);
	g_assert_cmpmem(disk->data, BS, other, BS);
	/* An aborted one does not keep the medium. */
	scsi_release(rig.bus, a);
	a = rig_command(&rig, &caw);
	scsi_abort_task_set(rig.bus, 0, 0, 7);
	disk->hold = false;
	rig_good(&rig, "28 00 00 00 00 00 00 00 01 00", data, BS, BS);
	rig_down(&rig);
}

static void test_orwrite(void)
{
	g_autofree uint8_t *data = g_malloc(100 * BS), *before = g_malloc(100 * BS);
	struct rig rig;

	rig_up(&rig);
	memcpy(before, rig.disk[0].data, 100 * BS);
	memset(data, 0x11, 100 * BS);
	rig_good(&rig, "8b 00 00 00 00 00 00 00 00 00 00 00 00 64 00 00", data, 100 * BS, 100 * BS);
	for (unsigned i = 0; i < 100 * BS; i++)
		g_assert_cmpuint(rig.disk[0].data[i], ==, before[i] | 0x11);
	rig_down(&rig);
}

/* ---- mode pages ---- */

static void test_mode_sense(void)
{
	static const uint8_t codes[] = { 0x01, 0x04, 0x05, 0x08, 0x0a, 0x1c };
	uint8_t all[256] = { 0 }, one[256] = { 0 };
	unsigned off = 12, end;
	struct rig rig;

	rig_up(&rig);
	rig_good(&rig, "1a 00 3f 00 ff 00", all, 255, 124);
	end = all[0] + 1;
	g_assert_cmpuint(end, ==, 124);
	g_assert_cmpuint(all[2], ==, 0x10);		/* DPOFUA */
	g_assert_cmpuint(all[3], ==, 8);
	g_assert_cmpuint(get_be32(all + 4), ==, RIG_BLOCKS);
	g_assert_cmpuint(get_be24(all + 9), ==, BS);
	for (unsigned i = 0; i < G_N_ELEMENTS(codes); i++) {
		struct scsi_command cmd = rig_cdb("1a 08 00 00 ff 00");

		/* Each page by itself, in the same place of page 3Fh. */
		cmd.cdb[2] = codes[i];
		g_assert_cmpuint(rig_do_cmd(&rig, &cmd, one, 255), ==, SCSI_GOOD);
		g_assert_cmpuint(one[4], ==, codes[i]);
		g_assert_cmpuint(rig.moved, ==, 6u + one[5]);
		g_assert_cmpmem(all + off, one[5] + 2, one + 4, one[5] + 2);
		off += one[5] + 2;
		/* Saved values there are none; the others have the same length. */
		cmd.cdb[2] = 0xc0 | codes[i];
		rig_do_cmd(&rig, &cmd, one, 255);
		rig_assert_sense(&rig, rig.status, 0x053900, "saved", i);
		cmd.cdb[2] = 0x40 | codes[i];
		g_assert_cmpuint(rig_do_cmd(&rig, &cmd, one, 255), ==, SCSI_GOOD);
		g_assert_cmpuint(one[4], ==, codes[i]);
	}
	g_assert_cmpuint(off, ==, end);
	rig_good(&rig, "5a 00 3f 00 00 00 00 01 00 00", one, 256, 128);
	g_assert_cmpuint(get_be16(one), ==, 126);
	g_assert_cmpmem(one + 16, 112, all + 12, 112);
	rig_fails(&rig, "1a 00 0d 00 ff 00", one, 255, 0x052400);
	rig_fails(&rig, "1a 00 08 01 ff 00", one, 255, 0x052400);
	rig_down(&rig);
}

/* What may change changes, nothing else does, and a bad list changes nothing. */
static void test_mode_select(void)
{
	uint8_t list[64] = { 0 }, buf[64];
	struct rig rig;

	rig_up(&rig);
	list[4] = 0x08;
	list[5] = 18;
	rig_good(&rig, "15 10 00 00 18 00", list, 24, 24);
	g_assert_cmpuint(rig.state->unit[0].write_cache, ==, 0);
	rig_good(&rig, "1a 08 08 00 ff 00", buf, 24, 24);
	g_assert_cmpuint(buf[6], ==, 0);
	rig_good(&rig, "1a 08 88 00 ff 00", buf, 24, 24);
	g_assert_cmpuint(buf[6], ==, 4);
	rig_good(&rig, "1a 08 48 00 ff 00", buf, 24, 24);
	g_assert_cmpuint(buf[6], ==, 4);
	/* The first page is good, the second is not. */
	list[6] = 0x04;
	list[24] = 0x0a;
	list[25] = 10;
	list[26] = 0xff;
	rig_fails(&rig, "15 10 00 00 24 00", list, 36, 0x052600);
	g_assert_cmpuint(rig.state->unit[0].write_cache, ==, 0);
	list[26] = 0;
	list[27] = 0x10;
	rig_good(&rig, "15 10 00 00 24 00", list, 36, 36);
	g_assert_cmpuint(rig.state->unit[0].write_cache, ==, 1);
	/* PF must be set, SP must not. */
	rig_fails(&rig, "15 00 00 00 18 00", list, 24, 0x052400);
	rig_fails(&rig, "15 11 00 00 18 00", list, 24, 0x052400);
	/* A reset brings the default back. */
	list[6] = 0;
	rig_good(&rig, "15 10 00 00 18 00", list, 24, 24);
	scsi_bus_reset(rig.bus, false);
	g_assert_cmpuint(rig.state->unit[0].write_cache, ==, 1);
	rig_down(&rig);
}

/* ---- DPO and FUA, start and stop ---- */

static void test_dpofua(void)
{
	static const char *const cdbs[] = {
		"28 08 00 00 00 00 00 00 01 00", "28 10 00 00 00 00 00 00 01 00",
		"2a 08 00 00 00 00 00 00 01 00", "2f 10 00 00 00 00 00 00 01 00",
		"88 08 00 00 00 00 00 00 00 00 00 00 00 01 00 00",
		"89 08 00 00 00 00 00 00 00 00 00 00 00 01 00 00",
	};
	uint8_t buf[2 * BS] = { 0 };
	struct rig rig;

	rig_init(&rig, 1);
	rig.units[0].config.dpofua = 0;
	rig_start(&rig);
	rig_do(&rig, "00 00 00 00 00 00", NULL, 0);
	for (unsigned i = 0; i < G_N_ELEMENTS(cdbs); i++)
		rig_fails(&rig, cdbs[i], buf, sizeof(buf), 0x052400);
	rig_good(&rig, "a3 0c 01 28 00 00 00 00 00 40 00 00", buf, 64, 14);
	g_assert_cmpuint(buf[5], ==, 0);
	rig_down(&rig);
}

static void test_start_stop(void)
{
	uint8_t buf[BS];
	struct rig rig;

	rig_up(&rig);
	rig_good(&rig, "1b 00 00 00 00 00", NULL, 0, 0);
	g_assert_cmpuint(rig.disk[0].ops[BLOCK_FLUSH], ==, 1);
	rig_fails(&rig, "00 00 00 00 00 00", NULL, 0, 0x020402);
	rig_fails(&rig, "28 00 00 00 00 00 00 00 01 00", buf, BS, 0x020402);
	rig_good(&rig, "12 00 00 00 24 00", buf, 36, 36);
	rig_good(&rig, "1b 00 00 00 01 00", NULL, 0, 0);
	rig_good(&rig, "28 00 00 00 00 00 00 00 01 00", buf, BS, BS);
	rig_good(&rig, "1b 00 00 00 04 00", NULL, 0, 0);	/* NO_FLUSH */
	g_assert_cmpuint(rig.disk[0].ops[BLOCK_FLUSH], ==, 1);
	/* A power cycle starts it. */
	scsi_bus_reset(rig.bus, true);
	rig_fails(&rig, "00 00 00 00 00 00", NULL, 0, 0x062900);
	rig_good(&rig, "00 00 00 00 00 00", NULL, 0, 0);
	/* Nothing to eject; power conditions are taken and ignored. */
	rig_good(&rig, "1b 00 00 00 02 00", NULL, 0, 0);
	rig_good(&rig, "1b 00 00 00 30 00", NULL, 0, 0);
	rig_good(&rig, "00 00 00 00 00 00", NULL, 0, 0);
	rig_good(&rig, "1d 04 00 00 00 00", NULL, 0, 0);
	rig_fails(&rig, "1d 20 00 00 00 00", NULL, 0, 0x052400);
	rig_fails(&rig, "1d 10 00 00 08 00", NULL, 0, 0x052400);
	rig_down(&rig);
}

/* 4 KiB blocks: the same commands in larger units. */
static void test_4k(void)
{
	g_autofree uint8_t *buf = g_malloc(40 * 4096);
	struct rig rig;

	rig_init(&rig, 1);
	rig.units[0].config.logical_block_size = rig.units[0].config.physical_block_size = 4096;
	rig_start(&rig);
	rig_do(&rig, "00 00 00 00 00 00", NULL, 0);
	rig_good(&rig, "25 00 00 00 00 00 00 00 00 00", buf, 8, 8);
	g_assert_cmpuint(get_be32(buf), ==, RIG_BLOCKS / 8 - 1);
	g_assert_cmpuint(get_be32(buf + 4), ==, 4096);
	rig_good(&rig, "28 00 00 00 00 02 00 00 28 00", buf, 40 * 4096, 40 * 4096);
	g_assert_cmpmem(buf, 40 * 4096, rig.disk[0].data + 2 * 4096, 40 * 4096);
	rig_fails(&rig, "28 00 00 00 01 00 00 00 01 00", buf, 4096, 0x052100);
	rig_down(&rig);
}

/* Lists and hints that cost nothing. */
static void test_small_commands(void)
{
	uint8_t buf[8];
	struct rig rig;

	rig_up(&rig);
	rig_good(&rig, "34 00 00 00 00 00 00 00 08 00", NULL, 0, 0);
	rig_good(&rig, "90 00 00 00 00 00 00 00 00 00 00 00 00 08 00 00", NULL, 0, 0);
	rig_good(&rig, "2b 00 00 00 07 ff 00 00 00 00", NULL, 0, 0);
	rig_good(&rig, "37 00 1d 00 00 00 00 00 08 00", buf, 8, 4);
	g_assert_cmpmem(buf, 4, "\0\x1d\0\0", 4);
	rig_good(&rig, "b7 18 00 00 00 00 00 00 00 08 00 00", buf, 8, 8);
	g_assert_cmpmem(buf, 8, "\0\x18\0\0\0\0\0\0", 8);
	rig_down(&rig);
}

/* Everything that writes meets DATA PROTECT (SBC-3 4.12), whatever else is wrong with it. */
static void test_write_protected(void)
{
	static const char *const cdbs[] = {
		"0a 00 00 00 01 00", "2a 00 00 00 00 00 00 00 01 00",
		"aa 00 00 00 00 00 00 00 00 01 00 00",
		"8a 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00",
		"2e 00 00 00 00 00 00 00 01 00", "41 00 00 00 00 00 00 00 01 00",
		"93 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00",
		"89 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00",
	};
	uint8_t data[2 * BS] = { 1 }, mode[64];
	struct rig rig;

	rig_init(&rig, 1);
	rig.units[0].config.readonly = 1;
	rig_start(&rig);
	rig_do(&rig, "00 00 00 00 00 00", NULL, 0);
	for (unsigned i = 0; i < G_N_ELEMENTS(cdbs); i++)
		rig_fails(&rig, cdbs[i], data, sizeof(data), 0x072700);
	g_assert_cmpuint(rig.disk[0].ops[BLOCK_WRITE] + rig.disk[0].ops[BLOCK_ZERO], ==, 0);
	/* Byte 2 of MODE SENSE's header: WP. */
	g_assert_cmpuint(rig_do(&rig, "1a 00 3f 00 40 00", mode, sizeof(mode)), ==, SCSI_GOOD);
	g_assert_cmpuint(mode[2] & 0x80, ==, 0x80);
	rig_good(&rig, "28 00 00 00 00 00 00 00 01 00", data, BS, BS);
	rig_down(&rig);
}

/* A whole READ(10) of @blocks from @lba, whose data is the medium's. */
static void read_good(struct rig *rig, unsigned lba, unsigned blocks)
{
	g_autofree char *cdb = g_strdup_printf("28 00 00 00 %02x %02x 00 %02x %02x 00", lba >> 8,
					       lba & 255, blocks >> 8, blocks & 255);
	g_autofree uint8_t *data = g_malloc0(blocks * BS);

	rig_good(rig, cdb, data, blocks * BS, blocks * BS);
	g_assert_cmpmem(data, blocks * BS, rig->disk[0].data + lba * BS, blocks * BS);
}

/* What a disk has at hand takes no request, window by window, and is told of. */
static void test_read_now(void)
{
	struct rig rig;
	struct memdisk *disk = &rig.disk[0];
	unsigned count;

	rig_up(&rig);
	disk->now = RIG_BLOCKS * BS;
	scsi_read_now(rig.bus, &count);
	read_good(&rig, 5, 8);
	g_assert_cmpuint(scsi_read_now(rig.bus, &count), ==, 8 * BS);
	g_assert_cmpuint(count, ==, 1);
	read_good(&rig, 1, 1024);
	g_assert_cmpuint(scsi_read_now(rig.bus, &count), ==, 1024 * BS);
	g_assert_cmpuint(count, >, 1);
	g_assert_cmpuint(scsi_read_now(rig.bus, &count), ==, 0);
	g_assert_cmpuint(count, ==, 0);
	g_assert_cmpuint(disk->ops[BLOCK_READ], ==, 0);
	/* a part of what was asked for is none */
	disk->now = 8 * BS - 1;
	read_good(&rig, 5, 8);
	g_assert_cmpuint(disk->ops[BLOCK_READ], ==, 1);
	/* VERIFY and the like do as they did */
	disk->now = RIG_BLOCKS * BS;
	rig_good(&rig, "2f 00 00 00 00 00 00 00 01 00", NULL, 0, 0);
	g_assert_cmpuint(disk->ops[BLOCK_READ], ==, 2);
	rig_down(&rig);
}

/* The newest write that was acknowledged, or is on its way, is what a read sees. */
static void test_read_now_behind_write(void)
{
	struct rig rig;
	struct memdisk *disk = &rig.disk[0];
	struct scsi_command write = rig_cdb("2a 00 00 00 00 05 00 00 01 00");
	struct scsi_command read = rig_cdb("28 00 00 00 00 05 00 00 01 00");
	uint8_t data[BS];
	int w, r;

	rig_up(&rig);
	disk->now = RIG_BLOCKS * BS;
	disk->hold = true;
	write.attr = read.attr = SCSI_TASK_SIMPLE;
	read.tag = 1;
	memset(data, 0x5a, BS);
	w = rig_command(&rig, &write);
	rig.moved = 0;
	g_assert_false(rig_pump(&rig, w, data, BS, BS));
	r = rig_command(&rig, &read);
	memset(data, 0, BS);
	rig.moved = 0;
	g_assert_false(rig_pump(&rig, r, data, BS, BS));
	g_assert_cmpuint(disk->nows, ==, 0);
	disk->hold = false;
	memdisk_end(disk, 0, 0);
	rig_settle(&rig);
	g_assert_true(rig_pump(&rig, w, NULL, 0, BS));
	g_assert_true(rig_pump(&rig, r, data, BS, BS));
	for (unsigned i = 0; i < BS; i++)
		g_assert_cmphex(data[i], ==, 0x5a);
	scsi_release(rig.bus, w);
	scsi_release(rig.bus, r);
	rig_down(&rig);
}

/* What is out of range is not read at all, and an error is the request's to tell. */
static void test_read_now_fails(void)
{
	struct rig rig;
	struct memdisk *disk = &rig.disk[0];
	uint8_t data[BS];

	rig_up(&rig);
	disk->now = RIG_BLOCKS * BS;
	rig_fails(&rig, "28 00 00 00 08 00 00 00 01 00", data, BS, 0x052100);
	g_assert_cmpuint(disk->nows, ==, 0);
	disk->now = 0;
	disk->fail[BLOCK_READ] = EIO;
	disk->fail_count = 1;
	g_assert_cmpuint(rig_do(&rig, "28 00 00 00 00 00 00 00 01 00", data, BS), ==,
			 SCSI_CHECK_CONDITION);
	g_assert_cmpuint(disk->nows, ==, 1);
	g_assert_cmpuint(disk->ops[BLOCK_READ], ==, 1);
	rig_down(&rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/scsi/disk/verify", test_verify);
	g_test_add_func("/scsi/disk/write-and-verify", test_write_and_verify);
	g_test_add_func("/scsi/disk/write-same", test_write_same);
	g_test_add_func("/scsi/disk/unmap", test_unmap);
	g_test_add_func("/scsi/disk/get-lba-status", test_get_lba_status);
	g_test_add_func("/scsi/disk/provisioning-pages", test_provisioning_pages);
	g_test_add_func("/scsi/disk/compare-and-write", test_compare_and_write);
	g_test_add_func("/scsi/disk/compare-and-write-alone", test_compare_and_write_alone);
	g_test_add_func("/scsi/disk/orwrite", test_orwrite);
	g_test_add_func("/scsi/disk/mode-sense", test_mode_sense);
	g_test_add_func("/scsi/disk/mode-select", test_mode_select);
	g_test_add_func("/scsi/disk/write-protected", test_write_protected);
	g_test_add_func("/scsi/disk/dpofua", test_dpofua);
	g_test_add_func("/scsi/disk/start-stop", test_start_stop);
	g_test_add_func("/scsi/disk/4k", test_4k);
	g_test_add_func("/scsi/disk/read-now", test_read_now);
	g_test_add_func("/scsi/disk/read-now-behind-write", test_read_now_behind_write);
	g_test_add_func("/scsi/disk/read-now-fails", test_read_now_fails);
	g_test_add_func("/scsi/disk/small-commands", test_small_commands);
	return g_test_run();
}
