/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "rig.h"
#include "scsi/sense.h"

/* Host errors and what werror= and rerror= make of them; stable writes; write protection. */

#define READ_1 "28 00 00 00 00 00 00 00 01 00"
#define WRITE_1 "2a 00 00 00 00 00 00 00 01 00"
#define SYNC "35 00 00 00 00 00 00 00 00 00"

static void fail_next(struct rig *rig, enum block_op op, int err)
{
	rig->disk[0].fail[op] = err;
	rig->disk[0].fail_count = 1;
}

/* The sense that QEMU gives for each host error. */
static void test_errno_sense(void)
{
	static const struct { int err; uint32_t sense; } rows[] = {
		{ EIO, 0x0b0006 }, { ENOSPC, 0x072707 }, { ENODATA, 0x031100 },
		{ ENOMEM, 0x044400 }, { EREMOTEIO, 0x044400 }, { EINVAL, 0x052400 },
		{ ENOMEDIUM, 0x023a00 }, { EROFS, 0x072700 }, { ETIMEDOUT, 0x0b0006 },
	};
	uint8_t buf[512] = { 0 };
	struct rig rig;

	rig_up(&rig);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		fail_next(&rig, BLOCK_READ, rows[i].err);
		rig_fails(&rig, READ_1, buf, 512, rows[i].sense);
		fail_next(&rig, BLOCK_WRITE, rows[i].err);
		rig_fails(&rig, WRITE_1, buf, 512, rows[i].sense);
		rig_good(&rig, READ_1, buf, 512, 512);
	}
	g_assert_cmpuint(rig.reports, ==, 0);
	rig_down(&rig);
}

/* 1c7f618f68, ef8489d459: an error in any step of any command ends it once, with its sense. */
static void test_error_everywhere(void)
{
	static const struct { const char *cdb; enum block_op op; unsigned skip; } rows[] = {
		{ "28 00 00 00 00 00 00 01 00 00", BLOCK_READ, 1 },
		{ "2a 00 00 00 00 00 00 01 00 00", BLOCK_WRITE, 1 },
		{ "2f 00 00 00 00 00 00 00 02 00", BLOCK_READ, 0 },
		{ "2f 02 00 00 00 00 00 00 02 00", BLOCK_READ, 0 },
		{ "2e 02 00 00 00 00 00 00 02 00", BLOCK_WRITE, 0 },
		{ "2e 02 00 00 00 00 00 00 02 00", BLOCK_READ, 0 },
		{ "41 00 00 00 00 00 00 00 02 00", BLOCK_ZERO, 0 },
		{ "89 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00", BLOCK_READ, 0 },
		{ "8b 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00", BLOCK_READ, 0 },
		{ "8b 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00", BLOCK_WRITE, 0 },
		{ "9e 12 00 00 00 00 00 00 00 00 00 00 00 40 00 00", BLOCK_STATUS, 0 },
		{ "1b 00 00 00 00 00", BLOCK_FLUSH, 0 },
		{ "35 00 00 00 00 00 00 00 00 00", BLOCK_FLUSH, 0 },
	};
	g_autofree uint8_t *buf = g_malloc0(131072);

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct scsi_command cmd = rig_cdb(rows[i].cdb);
		struct memdisk *disk;
		struct rig rig;
		unsigned left = rows[i].skip;
		bool failed = false;
		int req;

		memset(buf, 0, 131072);
		rig_up(&rig);
		disk = &rig.disk[0];
		memset(disk->data, 0, RIG_BLOCKS * 512);
		disk->hold = true;
		req = rig_command(&rig, &cmd);
		rig.moved = 0;
		while (!rig_pump(&rig, req, buf, 131072, SIZE_MAX)) {
			bool hit = disk->pending[0]->op == rows[i].op && !left;

			left -= left && disk->pending[0]->op == rows[i].op;
			g_assert_cmpuint(disk->count, ==, 1);
			g_assert_false(failed);
			memdisk_end(disk, 0, hit ? -ENODATA : 0);
			failed |= hit;
		}
		if (!failed)
			g_error("%s ended early: %02x", rows[i].cdb, scsi_status(rig.bus, req));
		g_assert_cmpuint(scsi_status(rig.bus, req), ==, SCSI_CHECK_CONDITION);
		scsi_release(rig.bus, req);
		rig_good(&rig, "03 00 00 00 12 00", buf, 18, 18);
		g_assert_cmpuint(buf[2], ==, 3);
		rig_down(&rig);
	}
}

/* werror=stop, rerror=stop: held until the operator says so, then done as if nothing was. */
static void test_stop(void)
{
	static const char *const cdbs[] = { READ_1, WRITE_1 };
	static const enum block_op ops[] = { BLOCK_READ, BLOCK_WRITE };
	uint8_t buf[512] = { 0 };

	for (unsigned i = 0; i < 2; i++) {
		struct scsi_command cmd = rig_cdb(cdbs[i]);
		struct rig rig;
		int req;

		rig_init(&rig, 1);
		rig.units[0].config.werror = rig.units[0].config.rerror = SCSI_ON_ERROR_STOP;
		rig_start(&rig);
		rig_do(&rig, "00 00 00 00 00 00", NULL, 0);
		rig.disk[0].fail[ops[i]] = EIO;
		rig.disk[0].fail_count = 2;
		memset(buf, 0x5a, sizeof(buf));
		cmd.attr = SCSI_TASK_SIMPLE;
		req = rig_command(&rig, &cmd);
		rig.moved = 0;
		for (unsigned turn = 1; turn <= 2; turn++) {
			g_assert_false(rig_pump(&rig, req, buf, 512, SIZE_MAX));
			g_assert_cmpuint(rig.reports, ==, turn);
			g_assert_cmpint(rig.report_err, ==, EIO);
			g_assert_cmpstr(rig.report_what, ==,
					i ? "disk0 write held" : "disk0 read held");
			g_assert_cmpuint(rig.ready_total, ==, 0);
			/* Others go on; nothing is retried before its time. */
			rig_good(&rig, "00 00 00 00 00 00", NULL, 0, 0);
			rig.moved = i ? 512 : 0;
			scsi_retry_held(rig.bus);
		}
		g_assert_true(rig_pump(&rig, req, buf, 512, SIZE_MAX));
		g_assert_cmpuint(scsi_status(rig.bus, req), ==, SCSI_GOOD);
		scsi_release(rig.bus, req);
		g_assert_cmpmem(rig.disk[0].data, 512, buf, 512);
		g_assert_cmpuint(rig.disk[0].data[0], ==, i ? 0x5a : 3);
		rig_down(&rig);
	}
}

/* A held command can be aborted, and is not retried then. */
static void test_stop_abort(void)
{
	struct scsi_command cmd = rig_cdb(READ_1);
	struct rig rig;
	int req;

	rig_init(&rig, 1);
	rig.units[0].config.rerror = SCSI_ON_ERROR_STOP;
	rig_start(&rig);
	rig_do(&rig, "00 00 00 00 00 00", NULL, 0);
	fail_next(&rig, BLOCK_READ, EIO);
	req = rig_command(&rig, &cmd);
	rig_settle(&rig);
	g_assert_cmpuint(rig.reports, ==, 1);
	scsi_abort(rig.bus, req);
	scsi_retry_held(rig.bus);
	rig_settle(&rig);
	g_assert_cmpuint(rig.disk[0].ops[BLOCK_READ], ==, 1);
	g_assert_cmpuint(scsi_active(rig.bus), ==, 0);
	rig_down(&rig);
}

/* werror=enospc holds on a full disk and reports all else. */
static void test_enospc(void)
{
	struct scsi_command cmd = rig_cdb(WRITE_1);
	uint8_t buf[512] = { 0 };
	struct rig rig;
	int req;

	rig_init(&rig, 1);
	rig.units[0].config.werror = SCSI_ON_ERROR_ENOSPC;
	rig_start(&rig);
	rig_do(&rig, "00 00 00 00 00 00", NULL, 0);
	fail_next(&rig, BLOCK_WRITE, EIO);
	rig_fails(&rig, WRITE_1, buf, 512, 0x0b0006);
	fail_next(&rig, BLOCK_WRITE, ENOSPC);
	req = rig_command(&rig, &cmd);
	rig.moved = 0;
	g_assert_false(rig_pump(&rig, req, buf, 512, SIZE_MAX));
	g_assert_cmpint(rig.report_err, ==, ENOSPC);
	scsi_retry_held(rig.bus);
	g_assert_true(rig_pump(&rig, req, buf, 512, SIZE_MAX));
	g_assert_cmpuint(scsi_status(rig.bus, req), ==, SCSI_GOOD);
	scsi_release(rig.bus, req);
	rig_down(&rig);
}

/* Write-through: a full disk is no lost flush, so the held write is done once there is room. */
static void test_enospc_fua(void)
{
	struct scsi_command cmd = rig_cdb("2a 08 00 00 00 00 00 00 01 00");
	uint8_t buf[512] = { 0 };
	struct rig rig;
	int req;

	rig_init(&rig, 1);
	rig.units[0].config.werror = SCSI_ON_ERROR_ENOSPC;
	rig_start(&rig);
	rig_do(&rig, "00 00 00 00 00 00", NULL, 0);
	fail_next(&rig, BLOCK_WRITE, ENOSPC);
	req = rig_command(&rig, &cmd);
	rig.moved = 0;
	g_assert_false(rig_pump(&rig, req, buf, 512, SIZE_MAX));
	g_assert_cmpint(rig.report_err, ==, ENOSPC);
	scsi_retry_held(rig.bus);
	g_assert_true(rig_pump(&rig, req, buf, 512, SIZE_MAX));
	g_assert_cmpuint(scsi_status(rig.bus, req), ==, SCSI_GOOD);
	scsi_release(rig.bus, req);
	rig_good(&rig, SYNC, NULL, 0, 0);
	rig_down(&rig);
}

/* A lost flush is held once, for the operator to see; no retry can heal it, so it is reported. */
static void test_stop_flush(void)
{
	struct scsi_command cmd = rig_cdb(SYNC);
	struct rig rig;
	int req;

	rig_init(&rig, 1);
	rig.units[0].config.werror = SCSI_ON_ERROR_STOP;
	rig_start(&rig);
	rig_do(&rig, "00 00 00 00 00 00", NULL, 0);
	fail_next(&rig, BLOCK_FLUSH, EIO);
	req = rig_command(&rig, &cmd);
	g_assert_false(rig_pump(&rig, req, NULL, 0, SIZE_MAX));
	g_assert_cmpuint(rig.reports, ==, 1);
	scsi_retry_held(rig.bus);
	g_assert_true(rig_pump(&rig, req, NULL, 0, SIZE_MAX));
	g_assert_cmpuint(scsi_status(rig.bus, req), ==, SCSI_CHECK_CONDITION);
	scsi_release(rig.bus, req);
	rig_fails(&rig, SYNC, NULL, 0, 0x0b0006);
	g_assert_cmpuint(rig.reports, ==, 1);
	rig_down(&rig);
}

static void test_ignore(void)
{
	uint8_t buf[512] = { 0 };
	struct rig rig;

	rig_init(&rig, 1);
	rig.units[0].config.werror = SCSI_ON_ERROR_IGNORE;
	rig_start(&rig);
	rig_do(&rig, "00 00 00 00 00 00", NULL, 0);
	fail_next(&rig, BLOCK_WRITE, EIO);
	rig_good(&rig, WRITE_1, buf, 512, 512);
	fail_next(&rig, BLOCK_READ, EIO);
	rig_fails(&rig, READ_1, buf, 512, 0x0b0006);
	rig_down(&rig);
}

/* A read that failed gives no byte of what was in the buffer before. */
static void test_no_stale_data(void)
{
	g_autofree uint8_t *buf = g_malloc0(131072);
	struct rig rig;

	rig_init(&rig, 1);
	rig.units[0].config.rerror = SCSI_ON_ERROR_IGNORE;
	rig_start(&rig);
	rig_do(&rig, "00 00 00 00 00 00", NULL, 0);
	memset(buf, 0xee, 131072);
	rig_good(&rig, "2a 00 00 00 00 00 00 01 00 00", buf, 131072, 131072);
	memset(buf, 0, 512);
	rig_good(&rig, "2a 00 00 00 00 00 00 00 01 00", buf, 512, 512);
	fail_next(&rig, BLOCK_READ, EIO);
	rig_good(&rig, "28 00 00 00 00 00 00 00 80 00", buf, 65536, 65536);
	for (unsigned i = 0; i < 65536; i++)
		g_assert_cmpuint(buf[i], ==, 0);
	rig_down(&rig);
}

/* A flush that failed is never followed by one that succeeds (block.h's latch). */
static void test_flush_latch(void)
{
	uint8_t buf[512] = { 0 };
	struct rig rig;

	rig_up(&rig);
	rig_good(&rig, SYNC, NULL, 0, 0);
	fail_next(&rig, BLOCK_FLUSH, EIO);
	rig_fails(&rig, SYNC, NULL, 0, 0x0b0006);
	g_assert_cmpuint(rig.state->unit[0].poisoned, ==, 1);
	rig_fails(&rig, SYNC, NULL, 0, 0x0b0006);
	rig_fails(&rig, "2a 08 00 00 00 00 00 00 01 00", buf, 512, 0x0b0006);
	rig_good(&rig, WRITE_1, buf, 512, 512);
	scsi_bus_reset(rig.bus, true);
	g_assert_cmpuint(rig.state->unit[0].poisoned, ==, 1);
	rig_down(&rig);
}

/* A write through the cache that fails loses nothing of others': flushes go on, and so does it. */
static void test_no_latch(void)
{
	struct scsi_command cmd = rig_cdb(WRITE_1);
	uint8_t off[24] = { [4] = 0x08, 18 }, buf[512] = { 0 };
	struct rig rig;
	int req;

	rig_init(&rig, 1);
	rig.units[0].config.werror = SCSI_ON_ERROR_ENOSPC;
	rig_start(&rig);
	rig_do(&rig, "00 00 00 00 00 00", NULL, 0);
	fail_next(&rig, BLOCK_WRITE, EIO);
	rig_fails(&rig, "2a 08 00 00 00 00 00 00 01 00", buf, 512, 0x0b0006);
	g_assert_cmpuint(rig.state->unit[0].poisoned, ==, 0);
	rig_good(&rig, SYNC, NULL, 0, 0);
	/* held back with the cache off, and tried again */
	rig_good(&rig, "15 10 00 00 18 00", off, 24, 24);
	fail_next(&rig, BLOCK_WRITE, ENOSPC);
	req = rig_command(&rig, &cmd);
	rig.moved = 0;
	g_assert_false(rig_pump(&rig, req, buf, 512, SIZE_MAX));
	scsi_retry_held(rig.bus);
	g_assert_true(rig_pump(&rig, req, buf, 512, SIZE_MAX));
	g_assert_cmpuint(scsi_status(rig.bus, req), ==, SCSI_GOOD);
	scsi_release(rig.bus, req);
	rig_good(&rig, SYNC, NULL, 0, 0);
	rig_down(&rig);
}

/* A successor process knows of the failed flush from the state alone. */
static void test_flush_latch_inherited(void)
{
	uint8_t buf[512] = { 0 };
	struct rig rig;

	rig_up(&rig);
	rig.state->unit[0].poisoned = 1;
	rig_fails(&rig, SYNC, NULL, 0, 0x0b0006);
	rig_fails(&rig, "2a 08 00 00 00 00 00 00 01 00", buf, 512, 0x0b0006);
	g_assert_cmpuint(rig.disk[0].ops[BLOCK_FLUSH] + rig.disk[0].ops[BLOCK_WRITE], ==, 0);
	rig_down(&rig);
}

/* WCE off, FUA, VERIFY: the write is stable before its status. */
static void test_stable_writes(void)
{
	static const struct { const char *cdb; bool cached_fua; size_t len; } rows[] = {
		{ WRITE_1, false, 512 },
		{ "0a 00 00 00 01 00", false, 512 },
		{ "2a 08 00 00 00 00 00 00 01 00", true, 512 },
		{ "aa 08 00 00 00 00 00 00 00 01 00 00", true, 512 },
		{ "8a 18 00 00 00 00 00 00 00 00 00 00 00 01 00 00", true, 512 },
		{ "2a 10 00 00 00 00 00 00 01 00", false, 512 },
		{ "2e 00 00 00 00 00 00 00 01 00", true, 512 },
		{ "41 00 00 00 00 00 00 00 01 00", false, 512 },
		{ "93 01 00 00 00 00 00 00 00 00 00 00 00 01 00 00", false, 0 },
		{ "8b 08 00 00 00 00 00 00 00 00 00 00 00 01 00 00", true, 512 },
	};
	uint8_t off[24] = { [4] = 0x08, 18 }, data[512];
	struct rig rig;

	memset(data, 1, sizeof(data));
	rig_up(&rig);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		unsigned before = rig.disk[0].fua;

		rig_good(&rig, rows[i].cdb, data, 512, rows[i].len);
		g_assert_cmpuint(rig.disk[0].fua - before, ==, rows[i].cached_fua);
	}
	/* Turning the cache off writes what it holds. */
	rig_good(&rig, "15 10 00 00 18 00", off, 24, 24);
	g_assert_cmpuint(rig.disk[0].ops[BLOCK_FLUSH], ==, 1);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		unsigned before = rig.disk[0].fua;

		rig_good(&rig, rows[i].cdb, data, 512, rows[i].len);
		g_assert_cmpuint(rig.disk[0].fua - before, ==, 1);
	}
	rig_down(&rig);
}

/* A write that is under way when the cache goes off is on the medium, too, when that is known. */
static void test_cache_off_meanwhile(void)
{
	struct scsi_command write = rig_cdb(WRITE_1), mode = rig_cdb("15 10 00 00 18 00");
	uint8_t off[24] = { [4] = 0x08, 18 }, data[512] = { 1 };
	struct memdisk *disk;
	struct rig rig;
	int w, m;

	rig_up(&rig);
	disk = &rig.disk[0];
	disk->hold = true;
	write.attr = mode.attr = SCSI_TASK_SIMPLE;
	mode.tag = 1;
	w = rig_command(&rig, &write);
	rig.moved = 0;
	g_assert_false(rig_pump(&rig, w, data, 512, SIZE_MAX));
	m = rig_command(&rig, &mode);
	rig.moved = 0;
	g_assert_false(rig_pump(&rig, m, off, 24, SIZE_MAX));
	g_assert_cmpuint(disk->count, ==, 1);		/* the flush waits */
	memdisk_end(disk, 0, 0);
	g_assert_true(rig_pump(&rig, w, NULL, 0, SIZE_MAX));
	g_assert_false(rig_pump(&rig, m, NULL, 0, SIZE_MAX));
	g_assert_cmpuint(disk->count, ==, 1);
	g_assert_cmpuint(disk->pending[0]->op, ==, BLOCK_FLUSH);
	memdisk_end(disk, 0, 0);
	g_assert_true(rig_pump(&rig, m, NULL, 0, SIZE_MAX));
	g_assert_cmpuint(scsi_status(rig.bus, m), ==, SCSI_GOOD);
	scsi_release(rig.bus, m);
	scsi_release(rig.bus, w);
	rig_down(&rig);
}

/* So is one that was held back then, and is tried again later. */
static void test_cache_off_held(void)
{
	struct scsi_command write = rig_cdb(WRITE_1);
	uint8_t off[24] = { [4] = 0x08, 18 }, data[512] = { 1 };
	struct rig rig;
	int w;

	rig_init(&rig, 1);
	rig.units[0].config.werror = SCSI_ON_ERROR_STOP;
	rig_start(&rig);
	rig_do(&rig, "00 00 00 00 00 00", NULL, 0);
	fail_next(&rig, BLOCK_WRITE, EIO);
	write.attr = SCSI_TASK_SIMPLE;
	w = rig_command(&rig, &write);
	rig.moved = 0;
	g_assert_false(rig_pump(&rig, w, data, 512, SIZE_MAX));
	g_assert_cmpuint(rig.reports, ==, 1);
	rig_good(&rig, "15 10 00 00 18 00", off, 24, 24);
	g_assert_cmpuint(rig.disk[0].fua, ==, 0);
	scsi_retry_held(rig.bus);
	g_assert_true(rig_pump(&rig, w, NULL, 0, SIZE_MAX));
	g_assert_cmpuint(scsi_status(rig.bus, w), ==, SCSI_GOOD);
	g_assert_cmpuint(rig.disk[0].fua, ==, 1);
	scsi_release(rig.bus, w);
	rig_down(&rig);
}

/* Every command that writes is refused by a read-only unit, and by SWP. */
static void test_write_protect(void)
{
	static const char *const cdbs[] = {
		"0a 00 00 00 01 00", WRITE_1, "aa 00 00 00 00 00 00 00 00 01 00 00",
		"8a 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00",
		"2e 00 00 00 00 00 00 00 01 00", "ae 00 00 00 00 00 00 00 00 01 00 00",
		"8e 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00",
		"41 00 00 00 00 00 00 00 01 00",
		"93 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00",
		"42 00 00 00 00 00 00 00 18 00",
		"89 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00",
		"8b 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00",
	};
	uint8_t swp[16] = { [4] = 0x0a, 10, 0, 0x10, 0x08 }, buf[512];

	for (unsigned how = 0; how < 3; how++) {
		struct rig rig;

		rig_init(&rig, 1);
		rig.units[0].config.readonly = how == 0;
		rig.disk[0].block.readonly = how == 1;
		rig_start(&rig);
		rig_do(&rig, "00 00 00 00 00 00", NULL, 0);
		if (how == 2)
			rig_good(&rig, "15 10 00 00 10 00", swp, 16, 16);
		for (unsigned i = 0; i < G_N_ELEMENTS(cdbs); i++)
			rig_fails(&rig, cdbs[i], buf, 512, how == 2 ? 0x072702 : 0x072700);
		rig_good(&rig, "1a 00 3f 00 04 00", buf, 4, 4);
		g_assert_cmpuint(buf[2] & 0x80, ==, 0x80);
		rig_good(&rig, READ_1, buf, 512, 512);
		rig_down(&rig);
	}
}

/* Fixed and descriptor format say the same (SPC-3 4.5). */
static void test_sense_formats(void)
{
	struct scsi_sense field = sense_field(SENSE_INVALID_PARAM, 0x123, 5);
	struct scsi_sense info = sense_info(SENSE_LBA_RANGE, 0x123456789aull);
	uint8_t buf[SENSE_MAX_LEN];

	g_assert_cmpuint(sense_build(&field, false, buf), ==, 18);
	g_assert_cmpmem(buf, 18, "\x70\0\5\0\0\0\0\x0a\0\0\0\0\x26\0\0\x8d\x01\x23", 18);
	g_assert_cmpuint(sense_build(&field, true, buf), ==, 16);
	g_assert_cmpmem(buf, 16, "\x72\5\x26\0\0\0\0\x08\2\6\0\0\x8d\x01\x23\0", 16);
	/* An LBA that does not fit is left out of the fixed format. */
	g_assert_cmpuint(sense_build(&info, false, buf), ==, 18);
	g_assert_cmpuint(buf[0], ==, 0x70);
	g_assert_cmpuint(sense_build(&info, true, buf), ==, 20);
	g_assert_cmpuint(get_be64(buf + 12), ==, 0x123456789aull);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/scsi/error/errno-sense", test_errno_sense);
	g_test_add_func("/scsi/error/everywhere", test_error_everywhere);
	g_test_add_func("/scsi/error/stop", test_stop);
	g_test_add_func("/scsi/error/stop-abort", test_stop_abort);
	g_test_add_func("/scsi/error/enospc", test_enospc);
	g_test_add_func("/scsi/error/enospc-fua", test_enospc_fua);
	g_test_add_func("/scsi/error/stop-flush", test_stop_flush);
	g_test_add_func("/scsi/error/ignore", test_ignore);
	g_test_add_func("/scsi/error/no-stale-data", test_no_stale_data);
	g_test_add_func("/scsi/error/flush-latch", test_flush_latch);
	g_test_add_func("/scsi/error/no-latch", test_no_latch);
	g_test_add_func("/scsi/error/flush-latch-inherited", test_flush_latch_inherited);
	g_test_add_func("/scsi/error/stable-writes", test_stable_writes);
	g_test_add_func("/scsi/error/cache-off-meanwhile", test_cache_off_meanwhile);
	g_test_add_func("/scsi/error/cache-off-held", test_cache_off_held);
	g_test_add_func("/scsi/error/write-protect", test_write_protect);
	g_test_add_func("/scsi/error/sense-formats", test_sense_formats);
	return g_test_run();
}
