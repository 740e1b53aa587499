/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the operator changes while a bus works: first what cannot be, and guests that are busy. */

#include <errno.h>
#include <string.h>

#include "rig.h"

#define TUR "00 00 00 00 00 00"
#define READ_0 "28 00 00 00 00 00 00 00 01 00"

struct heard {
	unsigned trays, failures;
	bool open, locked, write, ignored;
	int err;
};

static struct heard *heard_of(void *opaque)
{
	return opaque;
}

static void on_tray(void *opaque, const char *unit_id, bool open, bool locked)
{
	heard_of(opaque)->trays++;
	heard_of(opaque)->open = open;
	heard_of(opaque)->locked = locked;
}

static void on_failed(void *opaque, const char *unit_id, bool write, int err, bool ignored)
{
	heard_of(opaque)->failures++;
	heard_of(opaque)->write = write;
	heard_of(opaque)->err = err;
	heard_of(opaque)->ignored = ignored;
}

static const struct scsi_watch watch = { on_tray, on_failed };

static void be_drive(struct rig *rig)
{
	struct scsi_unit_config *c = &rig->units[0].config;

	c->type = SCSI_UNIT_CDROM;
	c->removable = c->readonly = 1;
	c->logical_block_size = c->physical_block_size = 2048;
}

static void drive_up(struct rig *rig, struct heard *heard)
{
	*heard = (struct heard){ 0 };
	rig_init(rig, 1);
	be_drive(rig);
	rig->setup.watch = &watch;
	rig->setup.opaque = heard;
	rig_start(rig);
	rig_fails(rig, TUR, NULL, 0, 0x062900);
}

/* ---- What cannot be ---- */

static void test_nobody(void)
{
	struct scsi_unit_setup bad;
	struct rig rig;

	rig_up(&rig);
	for (unsigned target = 0; target < 20; target++)
		for (unsigned lun = 0; lun < 12; lun++) {
			if (!target && !lun)
				continue;
			g_assert_cmpint(scsi_unit_resized(rig.bus, target, lun), ==, -ENODEV);
			g_assert_cmpint(scsi_unit_eject(rig.bus, target, lun, true), ==, -ENODEV);
			g_assert_cmpint(scsi_unit_load(rig.bus, target, lun, NULL), ==, -ENODEV);
			g_assert_cmpint(scsi_unit_detach(rig.bus, target, lun), ==, -ENODEV);
		}
	g_assert_cmpint(scsi_unit_eject(rig.bus, 0, 0, true), ==, -ENOTSUP);
	g_assert_cmpint(scsi_unit_load(rig.bus, 0, 0, NULL), ==, -EBUSY);
	bad = rig.units[0];
	g_assert_cmpint(scsi_unit_attach(rig.bus, &bad), ==, -EINVAL);
	bad.config.target = SCSI_MAX_TARGETS;
	g_assert_cmpint(scsi_unit_attach(rig.bus, &bad), ==, -EINVAL);
	bad.config.target = 1;
	bad.config.lun = SCSI_MAX_LUNS;
	g_assert_cmpint(scsi_unit_attach(rig.bus, &bad), ==, -EINVAL);
	bad.config.lun = 0;
	bad.config.logical_block_size = 500;
	g_assert_cmpint(scsi_unit_attach(rig.bus, &bad), ==, -EINVAL);
	g_assert_false(scsi_target_present(rig.bus, 1));
	rig_good(&rig, TUR, NULL, 0, 0);
	rig_down(&rig);
}

/* As many units as a bus has, then one more; and the places of those that went. */
static void test_full(void)
{
	struct scsi_unit_setup *units = g_new0(struct scsi_unit_setup, SCSI_MAX_UNITS + 1);
	struct rig rig;
	unsigned n = 0;

	rig_up(&rig);
	for (unsigned round = 0; round < 3; round++) {
		for (n = 0; n < SCSI_MAX_UNITS; n++) {
			units[n] = rig.units[0];
			units[n].block = NULL;
			units[n].config.type = SCSI_UNIT_CDROM;
			units[n].config.target = 1 + n / 8;
			units[n].config.lun = n % 8;
			if (scsi_unit_attach(rig.bus, &units[n]))
				break;
		}
		g_assert_cmpuint(n, ==, SCSI_MAX_UNITS - 1);
		g_assert_cmpint(scsi_unit_attach(rig.bus, &units[n]), ==, -ENOSPC);
		while (n--) {
			g_assert_cmpint(scsi_unit_detach(rig.bus, units[n].config.target,
							 units[n].config.lun), ==, 0);
			g_assert_true(scsi_unit_left(rig.bus, &units[n].config));
		}
		g_assert_false(scsi_target_present(rig.bus, 1));
	}
	rig_good(&rig, TUR, NULL, 0, 0);
	rig_down(&rig);
	g_free(units);
}

/* ---- Guests that are busy ---- */

/* A read that the disk has not ended: the unit answers no more, and is there until it ends. */
static void test_detach_busy(void)
{
	struct scsi_command cmd = rig_cdb(READ_0);
	uint8_t data[512];
	struct rig rig;
	int req;

	rig_up(&rig);
	rig.disk[0].hold = true;
	req = rig_command(&rig, &cmd);
	rig_settle(&rig);
	g_assert_cmpuint(rig.disk[0].count, ==, 1);
	g_assert_cmpint(scsi_unit_detach(rig.bus, 0, 0), ==, 0);
	g_assert_cmpint(scsi_unit_detach(rig.bus, 0, 0), ==, -ENODEV);
	g_assert_false(scsi_unit_left(rig.bus, &rig.units[0].config));
	g_assert_cmpint(scsi_command(rig.bus, &cmd), ==, -ENODEV);
	memdisk_end(&rig.disk[0], 0, 0);
	rig_settle(&rig);
	g_assert_false(scsi_unit_left(rig.bus, &rig.units[0].config));
	g_assert_true(rig_pump(&rig, req, data, sizeof(data), 512));
	g_assert_cmpint(scsi_status(rig.bus, req), ==, SCSI_GOOD);
	scsi_release(rig.bus, req);
	rig_settle(&rig);
	g_assert_true(scsi_unit_left(rig.bus, &rig.units[0].config));
	rig_down(&rig);
}

/* What an error holds back would hold the unit for ever: it ends with that error. */
static void test_detach_held(void)
{
	struct scsi_command cmd = rig_cdb(READ_0);
	struct rig rig;
	int req;

	rig_init(&rig, 1);
	rig.units[0].config.rerror = SCSI_ON_ERROR_STOP;
	rig_start(&rig);
	rig_fails(&rig, TUR, NULL, 0, 0x062900);
	rig.disk[0].fail[BLOCK_READ] = EIO;
	rig.disk[0].fail_count = 2;
	req = rig_command(&rig, &cmd);
	rig_settle(&rig);
	g_assert_cmpint(scsi_phase(rig.bus, req), ==, SCSI_PHASE_WAIT);
	g_assert_cmpint(scsi_unit_detach(rig.bus, 0, 0), ==, 0);
	rig_settle(&rig);
	g_assert_cmpint(scsi_phase(rig.bus, req), ==, SCSI_PHASE_STATUS);
	g_assert_cmpint(scsi_status(rig.bus, req), ==, SCSI_CHECK_CONDITION);
	scsi_release(rig.bus, req);
	g_assert_true(scsi_unit_left(rig.bus, &rig.units[0].config));
	rig_down(&rig);
}

/* The medium stays until the read that has begun is over; nothing new begins. */
static void test_eject_busy(void)
{
	struct scsi_command cmd = rig_cdb(READ_0);
	uint8_t data[2048];
	struct heard heard;
	struct rig rig;
	int req;

	drive_up(&rig, &heard);
	rig.disk[0].hold = true;
	req = rig_command(&rig, &cmd);
	rig_settle(&rig);
	g_assert_cmpint(scsi_unit_eject(rig.bus, 0, 0, false), ==, -EINPROGRESS);
	g_assert_cmpuint(heard.trays, ==, 1);
	g_assert_true(heard.open);
	g_assert_cmpint(scsi_unit_load(rig.bus, 0, 0, NULL), ==, -EBUSY);
	memdisk_end(&rig.disk[0], 0, 0);
	rig_settle(&rig);
	g_assert_true(rig_pump(&rig, req, data, sizeof(data), 2048));
	scsi_release(rig.bus, req);
	rig_settle(&rig);
	g_assert_cmpint(scsi_unit_eject(rig.bus, 0, 0, false), ==, 0);
	g_assert_cmpuint(heard.trays, ==, 1);
	rig_fails(&rig, READ_0, data, sizeof(data), 0x023a02);
	rig_down(&rig);
}

/* ---- Ordinary ---- */

static void test_resized(void)
{
	uint8_t data[8];
	struct rig rig;

	rig_up(&rig);
	rig.disk[0].block.size = 1000 * 512;
	g_assert_cmpint(scsi_unit_resized(rig.bus, 0, 0), ==, 0);
	g_assert_cmpint(scsi_unit_resized(rig.bus, 0, 0), ==, 0);
	rig_fails(&rig, TUR, NULL, 0, 0x062a09);
	rig_good(&rig, "25 00 00 00 00 00 00 00 00 00", data, 8, 8);
	g_assert_cmpmem(data, 4, "\0\0\x03\xe7", 4);
	rig.disk[0].block.size = RIG_BLOCKS * 512;
	rig_down(&rig);
}

static void test_media(void)
{
	uint8_t data[2048];
	struct heard heard;
	struct rig rig;

	drive_up(&rig, &heard);
	rig_good(&rig, "1e 00 00 00 01 00", NULL, 0, 0);
	g_assert_true(heard.locked);
	g_assert_cmpint(scsi_unit_eject(rig.bus, 0, 0, false), ==, -EBUSY);
	rig_good(&rig, READ_0, data, sizeof(data), 2048);
	g_assert_cmpint(scsi_unit_eject(rig.bus, 0, 0, true), ==, 0);
	g_assert_true(heard.open && !heard.locked);
	g_assert_cmpint(scsi_unit_load(rig.bus, 0, 0, NULL), ==, 0);
	rig_fails(&rig, READ_0, data, sizeof(data), 0x023a00);
	g_assert_cmpint(scsi_unit_eject(rig.bus, 0, 0, false), ==, 0);
	g_assert_cmpint(scsi_unit_load(rig.bus, 0, 0, &rig.disk[0].block), ==, 0);
	g_assert_false(heard.open);
	rig_fails(&rig, READ_0, data, sizeof(data), 0x062800);
	rig_good(&rig, READ_0, data, sizeof(data), 2048);
	/* the guest itself */
	rig_good(&rig, "1b 00 00 00 02 00", NULL, 0, 0);
	g_assert_true(heard.open);
	rig_good(&rig, "1b 00 00 00 03 00", NULL, 0, 0);
	g_assert_false(heard.open);
	g_assert_cmpuint(heard.trays, ==, 7);
	rig_down(&rig);
}

/* A power cycle closes the tray and unlocks it, and that is heard. */
static void test_power_cycle(void)
{
	struct heard heard;
	struct rig rig;

	drive_up(&rig, &heard);
	rig_good(&rig, "1b 00 00 00 02 00", NULL, 0, 0);
	scsi_bus_reset(rig.bus, true);
	g_assert_cmpuint(heard.trays, ==, 2);
	g_assert_false(heard.open);
	rig_down(&rig);
}

static void test_attach(void)
{
	struct rig rig;
	struct scsi_unit_setup more;
	struct scsi_command cmd = rig_cdb(TUR);

	rig_up(&rig);
	more = rig.units[0];
	more.block = NULL;
	more.config.type = SCSI_UNIT_CDROM;
	more.config.lun = 3;
	g_assert_cmpint(scsi_unit_attach(rig.bus, &more), ==, 0);
	rig_fails(&rig, TUR, NULL, 0, 0x063f0e);
	cmd.lun = 3;
	rig_assert_sense(&rig, rig_do_cmd(&rig, &cmd, NULL, 0), 0x062900, "new unit", __LINE__);
	g_assert_cmpint(scsi_unit_detach(rig.bus, 0, 3), ==, 0);
	rig_fails(&rig, TUR, NULL, 0, 0x063f0e);
	rig_good(&rig, TUR, NULL, 0, 0);
	rig_down(&rig);
}

static void test_failures(void)
{
	uint8_t data[512];
	struct heard heard = { 0 };
	struct rig rig;

	rig_init(&rig, 1);
	rig.units[0].config.werror = SCSI_ON_ERROR_IGNORE;
	rig.setup.watch = &watch;
	rig.setup.opaque = &heard;
	rig_start(&rig);
	rig_fails(&rig, TUR, NULL, 0, 0x062900);
	rig.disk[0].fail[BLOCK_READ] = EIO;
	rig.disk[0].fail[BLOCK_WRITE] = ENOSPC;
	rig.disk[0].fail_count = 2;
	g_assert_cmpint(rig_do(&rig, READ_0, data, sizeof(data)), ==, SCSI_CHECK_CONDITION);
	g_assert_true(heard.failures == 1 && heard.err == EIO && !heard.write && !heard.ignored);
	rig_good(&rig, "2a 00 00 00 00 00 00 00 01 00", data, sizeof(data), 512);
	g_assert_true(heard.failures == 2 && heard.err == ENOSPC && heard.write && heard.ignored);
	rig_down(&rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/scsi/manage/hostile/nobody", test_nobody);
	g_test_add_func("/scsi/manage/hostile/full", test_full);
	g_test_add_func("/scsi/manage/hostile/detach-busy", test_detach_busy);
	g_test_add_func("/scsi/manage/hostile/detach-held", test_detach_held);
	g_test_add_func("/scsi/manage/hostile/eject-busy", test_eject_busy);
	g_test_add_func("/scsi/manage/resized", test_resized);
	g_test_add_func("/scsi/manage/media", test_media);
	g_test_add_func("/scsi/manage/power-cycle", test_power_cycle);
	g_test_add_func("/scsi/manage/attach", test_attach);
	g_test_add_func("/scsi/manage/failures", test_failures);
	return g_test_run();
}
