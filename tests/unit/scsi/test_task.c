/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "rig.h"

/* The task set: order, tags, aborts, resets, sense and unit attentions, reservations. */

static struct scsi_command read_cmd(uint8_t attr, uint8_t tag, uint32_t lba)
{
	struct scsi_command cmd = rig_cdb("28 00 00 00 00 00 00 00 01 00");

	cmd.attr = attr;
	cmd.tag = tag;
	put_be32(&cmd.cdb[2], lba);
	return cmd;
}

static int start_read(struct rig *rig, uint8_t attr, uint8_t tag, uint32_t lba)
{
	struct scsi_command cmd = read_cmd(attr, tag, lba);
	int req = rig_command(rig, &cmd);

	g_assert_cmpint(req, >=, 0);
	return req;
}

/* Takes a command that has its data to its end. */
static uint8_t finish(struct rig *rig, int req, void *data, size_t len)
{
	uint8_t status;

	rig->moved = 0;
	g_assert_true(rig_pump(rig, req, data, len, SIZE_MAX));
	status = scsi_status(rig->bus, req);
	scsi_release(rig->bus, req);
	return status;
}

/* Two tagged commands end in the order of their disk, not of their arrival. */
static void test_out_of_order(void)
{
	struct rig rig;
	uint8_t buf[512];
	int a, b;

	rig_up(&rig);
	rig.disk[0].hold = true;
	a = start_read(&rig, SCSI_TASK_SIMPLE, 1, 10);
	b = start_read(&rig, SCSI_TASK_SIMPLE, 2, 20);
	g_assert_cmpuint(rig.disk[0].count, ==, 2);
	memdisk_end(&rig.disk[0], 1, 0);
	g_assert_cmpuint(rig.ready[b], ==, 1);
	g_assert_cmpuint(rig.ready[a], ==, 0);
	g_assert_cmpuint(finish(&rig, b, buf, 512), ==, SCSI_GOOD);
	g_assert_cmpmem(buf, 512, rig.disk[0].data + 20 * 512, 512);
	g_assert_cmpint(scsi_phase(rig.bus, a), ==, SCSI_PHASE_WAIT);
	memdisk_end(&rig.disk[0], 0, 0);
	g_assert_cmpuint(finish(&rig, a, buf, 512), ==, SCSI_GOOD);
	g_assert_cmpmem(buf, 512, rig.disk[0].data + 10 * 512, 512);
	rig_down(&rig);
}

/* SAM-3 8.6.3: ORDERED waits for all older ones, and all younger ones for it. */
static void test_ordered(void)
{
	struct rig rig;
	int a, b, c;

	rig_up(&rig);
	rig.disk[0].hold = true;
	a = start_read(&rig, SCSI_TASK_SIMPLE, 1, 1);
	b = start_read(&rig, SCSI_TASK_ORDERED, 2, 2);
	c = start_read(&rig, SCSI_TASK_SIMPLE, 3, 3);
	rig_settle(&rig);
	g_assert_cmpuint(rig.disk[0].count, ==, 1);
	memdisk_end(&rig.disk[0], 0, 0);
	rig_settle(&rig);
	g_assert_cmpuint(rig.disk[0].count, ==, 0);	/* a's status is not delivered yet */
	finish(&rig, a, NULL, 0);
	rig_settle(&rig);
	g_assert_cmpuint(rig.disk[0].count, ==, 1);
	g_assert_cmpuint(rig.disk[0].pending[0]->off, ==, 2 * 512);
	memdisk_end(&rig.disk[0], 0, 0);
	finish(&rig, b, NULL, 0);
	rig_settle(&rig);
	g_assert_cmpuint(rig.disk[0].pending[0]->off, ==, 3 * 512);
	memdisk_end(&rig.disk[0], 0, 0);
	finish(&rig, c, NULL, 0);
	rig_down(&rig);
}

/* SAM-3 8.6.4: HEAD OF QUEUE passes all that has not started, and holds it up. */
static void test_head_of_queue(void)
{
	struct rig rig;
	int a, b, c, d;

	rig_up(&rig);
	rig.disk[0].hold = true;
	a = start_read(&rig, SCSI_TASK_SIMPLE, 1, 1);
	b = start_read(&rig, SCSI_TASK_ORDERED, 2, 2);
	c = start_read(&rig, SCSI_TASK_HEAD, 3, 3);
	d = start_read(&rig, SCSI_TASK_SIMPLE, 4, 4);
	rig_settle(&rig);
	g_assert_cmpuint(rig.disk[0].count, ==, 2);
	g_assert_cmpuint(rig.disk[0].pending[1]->off, ==, 3 * 512);
	memdisk_end(&rig.disk[0], 0, 0);
	finish(&rig, a, NULL, 0);
	rig_settle(&rig);
	g_assert_cmpuint(rig.disk[0].count, ==, 1);
	memdisk_end(&rig.disk[0], 0, 0);
	finish(&rig, c, NULL, 0);
	rig_settle(&rig);
	g_assert_cmpuint(rig.disk[0].count, ==, 1);
	g_assert_cmpuint(rig.disk[0].pending[0]->off, ==, 2 * 512);
	/* Aborting the ORDERED one lets the rest go. */
	scsi_abort(rig.bus, b);
	rig_settle(&rig);
	g_assert_cmpuint(rig.disk[0].count, ==, 2);
	g_assert_cmpuint(rig.disk[0].pending[1]->off, ==, 4 * 512);
	scsi_abort(rig.bus, d);
	rig_down(&rig);
}

/* INQUIRY and REQUEST SENSE never wait behind others (SAM-4 8.9). */
static void test_implicit_head(void)
{
	struct rig rig;
	uint8_t buf[36];

	rig_up(&rig);
	rig.disk[0].hold = true;
	start_read(&rig, SCSI_TASK_ORDERED, 1, 1);
	start_read(&rig, SCSI_TASK_ORDERED, 2, 2);
	rig_good(&rig, "12 00 00 00 24 00", buf, 36, 36);
	rig_good(&rig, "03 00 00 00 12 00", buf, 36, 18);
	scsi_bus_reset(rig.bus, false);
	rig_down(&rig);
}

/* SAM-3 5.9.3: a tag in use ends all of the initiator's commands on the unit. */
static void test_overlapped(void)
{
	struct scsi_command cmd = read_cmd(SCSI_TASK_SIMPLE, 5, 9);
	uint8_t buf[18];
	struct rig rig;
	int other, req;

	rig_up(&rig);
	rig.disk[0].hold = true;
	start_read(&rig, SCSI_TASK_SIMPLE, 5, 1);
	start_read(&rig, SCSI_TASK_UNTAGGED, 5, 2);
	cmd.initiator = 6;
	other = rig_command(&rig, &cmd);
	g_assert_cmpuint(scsi_active(rig.bus), ==, 3);
	cmd.initiator = 7;
	req = rig_command(&rig, &cmd);
	g_assert_cmpint(scsi_phase(rig.bus, req), ==, SCSI_PHASE_STATUS);
	g_assert_cmpuint(scsi_status(rig.bus, req), ==, SCSI_CHECK_CONDITION);
	g_assert_cmpuint(scsi_active(rig.bus), ==, 2);
	g_assert_cmpint(scsi_phase(rig.bus, other), ==, SCSI_PHASE_WAIT);
	scsi_release(rig.bus, req);
	rig_good(&rig, "03 00 00 00 12 00", buf, 18, 18);
	g_assert_cmpuint(buf[2], ==, 0x0b);
	g_assert_cmpuint(buf[12], ==, 0x4e);
	scsi_bus_reset(rig.bus, false);
	rig_down(&rig);
}

/* More commands than the set takes: TASK SET FULL, later nothing at all; INQUIRY still works. */
static void test_task_set_full(void)
{
	struct rig rig;
	unsigned full = 0, none = 0;
	uint8_t buf[36];

	rig_up(&rig);
	rig.disk[0].hold = true;
	for (unsigned i = 0; i < SCSI_MAX_REQS + 10; i++) {
		struct scsi_command cmd = read_cmd(SCSI_TASK_SIMPLE, i, i);
		int req;

		cmd.initiator = i >> 8 & 1;
		req = rig_command(&rig, &cmd);
		if (req < 0) {
			g_assert_cmpint(req, ==, -ENOSPC);
			none++;
		} else if (scsi_phase(rig.bus, req) == SCSI_PHASE_STATUS) {
			g_assert_cmpuint(scsi_status(rig.bus, req), ==, SCSI_TASK_SET_FULL);
			full++;
			if (full < 5)
				scsi_release(rig.bus, req);
		}
	}
	g_assert_cmpuint(full, >=, 32);
	g_assert_cmpuint(none, >, 0);
	scsi_abort(rig.bus, 0);
	rig_good(&rig, "12 00 00 00 24 00", buf, 36, 36);
	scsi_bus_reset(rig.bus, false);
	g_assert_cmpuint(scsi_active(rig.bus), ==, 0);
	rig_down(&rig);
}

/*
 * 64 requests stuck in the disk: abort and reset end them at once; what the disk does later
 * touches private buffers only, and new commands that need no buffer work all the time.
 */
static void test_abort_stuck(void)
{
	struct rig rig;
	uint8_t buf[512], *window;
	size_t len;
	int req;

	for (unsigned how = 0; how < 4; how++) {
		rig_up(&rig);
		rig.disk[0].hold = true;
		for (unsigned i = 0; i < 64; i++)
			start_read(&rig, SCSI_TASK_SIMPLE, i, i);
		g_assert_cmpuint(rig.disk[0].count, ==, 16);	/* all the buffers there are */
		if (how == 0)
			for (unsigned i = 0; i < 64; i++)
				scsi_abort(rig.bus, scsi_find(rig.bus, 0, 0, 7, i));
		else if (how == 1)
			scsi_abort_task_set(rig.bus, 0, 0, 7);
		else if (how == 2)
			scsi_target_reset(rig.bus, 0);
		else
			scsi_bus_reset(rig.bus, true);
		g_assert_cmpuint(scsi_active(rig.bus), ==, 0);
		if (how >= 2)
			rig_do(&rig, "00 00 00 00 00 00", NULL, 0);
		rig_good(&rig, "12 00 00 00 24 00", buf, 36, 36);
		/* A read waits for a buffer, and gets the first one that comes back. */
		rig.ready_total = 0;
		req = start_read(&rig, SCSI_TASK_SIMPLE, 0, 100);
		rig_settle(&rig);
		g_assert_cmpuint(rig.disk[0].count, ==, 16);
		memdisk_end(&rig.disk[0], 3, -EIO);
		rig_settle(&rig);
		g_assert_cmpuint(rig.disk[0].count, ==, 16);
		g_assert_cmpuint(rig.ready_total, ==, 0);
		memdisk_end(&rig.disk[0], 15, 0);
		rig_settle(&rig);
		g_assert_cmpuint(rig.ready_total, ==, 1);
		window = scsi_window(rig.bus, req, &len);
		g_assert_cmpmem(window, len, rig.disk[0].data + 100 * 512, 512);
		/* The others end into their own buffers. */
		while (rig.disk[0].count)
			memdisk_end(&rig.disk[0], 0, 0);
		rig_settle(&rig);
		g_assert_cmpmem(window, len, rig.disk[0].data + 100 * 512, 512);
		g_assert_cmpuint(rig.ready_total, ==, 1);
		g_assert_cmpuint(finish(&rig, req, buf, 512), ==, SCSI_GOOD);
		rig_down(&rig);
	}
}

/* The newest acknowledged write wins, though an older, aborted one is still on its way. */
static void test_newest_write_wins(void)
{
	struct scsi_command cmd = rig_cdb("2a 00 00 00 00 05 00 00 01 00");
	uint8_t a[512], b[512];
	struct rig rig;
	int req;

	memset(a, 0xaa, sizeof(a));
	memset(b, 0xbb, sizeof(b));
	rig_up(&rig);
	rig.disk[0].hold = true;
	req = rig_command(&rig, &cmd);
	rig.moved = 0;
	g_assert_false(rig_pump(&rig, req, a, 512, SIZE_MAX));
	scsi_abort(rig.bus, req);
	req = rig_command(&rig, &cmd);
	rig.moved = 0;
	g_assert_false(rig_pump(&rig, req, b, 512, SIZE_MAX));
	while (rig.disk[0].count)
		memdisk_end(&rig.disk[0], rig.disk[0].count - 1, 0);
	g_assert_cmpuint(finish(&rig, req, b, 512), ==, SCSI_GOOD);
	g_assert_cmpmem(rig.disk[0].data + 5 * 512, 512, b, 512);
	rig_down(&rig);
}

/* Contingent allegiance: the sense that nobody fetched yet is not overwritten. */
static void test_sense_of_two(void)
{
	struct rig rig;
	uint8_t buf[18];
	int a, b;

	rig_up(&rig);
	rig.disk[0].hold = true;
	a = start_read(&rig, SCSI_TASK_SIMPLE, 1, 1);
	b = start_read(&rig, SCSI_TASK_SIMPLE, 2, 2);
	memdisk_end(&rig.disk[0], 0, -ENOMEM);
	memdisk_end(&rig.disk[0], 0, -ENODATA);
	rig_settle(&rig);
	g_assert_cmpint(scsi_phase(rig.bus, a), ==, SCSI_PHASE_STATUS);
	g_assert_cmpint(scsi_phase(rig.bus, b), ==, SCSI_PHASE_WAIT);
	scsi_release(rig.bus, a);
	rig_settle(&rig);
	g_assert_cmpint(scsi_phase(rig.bus, b), ==, SCSI_PHASE_WAIT);
	rig_good(&rig, "03 00 00 00 12 00", buf, 18, 18);
	g_assert_cmpuint(buf[12], ==, 0x44);
	rig_settle(&rig);
	g_assert_cmpint(scsi_phase(rig.bus, b), ==, SCSI_PHASE_STATUS);
	g_assert_cmpuint(rig.ready[b], ==, 1);
	scsi_release(rig.bus, b);
	rig_good(&rig, "03 00 00 00 12 00", buf, 18, 18);
	g_assert_cmpuint(buf[12], ==, 0x11);
	rig_down(&rig);
}

/* Any other command of the initiator drops the sense, and lets the next one go. */
static void test_sense_dropped(void)
{
	struct scsi_command bad = rig_cdb("28 00 ff ff ff ff 00 00 01 00");
	struct rig rig;
	uint8_t buf[18];
	int req;

	rig_up(&rig);
	req = rig_command(&rig, &bad);
	g_assert_cmpuint(finish(&rig, req, NULL, 0), ==, SCSI_CHECK_CONDITION);
	rig_good(&rig, "00 00 00 00 00 00", NULL, 0, 0);
	rig_good(&rig, "03 00 00 00 12 00", buf, 18, 18);
	g_assert_cmpuint(buf[2], ==, 0);
	/* Aborting the one that holds CHECK CONDITION up. */
	rig.disk[0].hold = true;
	start_read(&rig, SCSI_TASK_SIMPLE, 1, 1);
	req = start_read(&rig, SCSI_TASK_SIMPLE, 2, 2);
	memdisk_end(&rig.disk[0], 0, -EIO);
	memdisk_end(&rig.disk[0], 0, -EIO);
	scsi_abort(rig.bus, scsi_find(rig.bus, 0, 0, 7, 1));
	rig_settle(&rig);
	g_assert_cmpint(scsi_phase(rig.bus, req), ==, SCSI_PHASE_STATUS);
	scsi_release(rig.bus, req);
	rig_down(&rig);
}

/* Which unit attention is told after which resets, and who reports it. */
static void test_unit_attentions(void)
{
	uint8_t buf[96];
	struct rig rig;

	rig_init(&rig, 1);
	rig_start(&rig);
	rig_good(&rig, "12 00 00 00 24 00", buf, 36, 36);
	rig_good(&rig, "a0 00 00 00 00 00 00 00 00 10 00 00", buf, 36, 16);
	/* POWER ON covers the resets after it. */
	scsi_bus_reset(rig.bus, false);
	scsi_target_reset(rig.bus, 0);
	rig_fails(&rig, "28 00 00 00 00 00 00 00 01 00", NULL, 0, 0x062900);
	rig_good(&rig, "00 00 00 00 00 00", NULL, 0, 0);
	scsi_bus_reset(rig.bus, false);
	rig_fails(&rig, "00 00 00 00 00 00", NULL, 0, 0x062902);
	rig_good(&rig, "00 00 00 00 00 00", NULL, 0, 0);
	scsi_bus_reset(rig.bus, false);
	scsi_target_reset(rig.bus, 0);
	rig_fails(&rig, "00 00 00 00 00 00", NULL, 0, 0x062903);
	/* REQUEST SENSE reports and clears it (SPC-3 6.27). */
	scsi_bus_reset(rig.bus, true);
	rig_good(&rig, "03 00 00 00 12 00", buf, 18, 18);
	g_assert_cmpuint(buf[2], ==, 6);
	g_assert_cmpuint(get_be16(buf + 12), ==, 0x2900);
	rig_good(&rig, "00 00 00 00 00 00", NULL, 0, 0);
	/* A reset of another target is no news. */
	scsi_target_reset(rig.bus, 3);
	rig_good(&rig, "00 00 00 00 00 00", NULL, 0, 0);
	rig_down(&rig);
}

static uint8_t as(struct rig *rig, uint8_t initiator, const char *cdb, void *data, size_t len)
{
	struct scsi_command cmd = rig_cdb(cdb);

	cmd.initiator = initiator;
	return rig_do_cmd(rig, &cmd, data, len);
}

/* RESERVE(6) and (10) against another initiator (SPC-2 5.5.1). */
static void test_reservations(void)
{
	static const char *const conflict[] = {
		"00 00 00 00 00 00", "28 00 00 00 00 00 00 00 01 00", "16 00 00 00 00 00",
		"2a 00 00 00 00 00 00 00 01 00", "25 00 00 00 00 00 00 00 00 00",
		"1a 00 08 00 ff 00", "35 00 00 00 00 00 00 00 00 00",
	};
	static const char *const allowed[] = {
		"12 00 00 00 24 00", "03 00 00 00 12 00", "17 00 00 00 00 00",
		"a0 00 00 00 00 00 00 00 00 10 00 00", "57 00 00 00 00 00 00 00 00 00",
	};
	struct rig rig;
	uint8_t buf[512];

	rig_up(&rig);
	rig_good(&rig, "16 00 00 00 00 00", NULL, 0, 0);
	rig_good(&rig, "56 00 00 00 00 00 00 00 00 00", NULL, 0, 0);
	for (unsigned i = 0; i < G_N_ELEMENTS(conflict); i++)
		g_assert_cmpuint(as(&rig, 6, conflict[i], buf, 512), ==,
				 SCSI_RESERVATION_CONFLICT);
	for (unsigned i = 0; i < G_N_ELEMENTS(allowed); i++)
		g_assert_cmpuint(as(&rig, 6, allowed[i], buf, 512), ==, SCSI_GOOD);
	/* The other's RELEASE released nothing; the owner's does. */
	g_assert_cmpuint(as(&rig, 6, conflict[0], NULL, 0), ==, SCSI_RESERVATION_CONFLICT);
	rig_good(&rig, "28 00 00 00 00 00 00 00 01 00", buf, 512, 512);
	rig_good(&rig, "17 00 00 00 00 00", NULL, 0, 0);
	g_assert_cmpuint(as(&rig, 6, conflict[2], NULL, 0), ==, SCSI_GOOD);
	g_assert_cmpuint(as(&rig, 7, conflict[0], NULL, 0), ==, SCSI_RESERVATION_CONFLICT);
	/* A reset ends it. */
	scsi_bus_reset(rig.bus, false);
	rig_fails(&rig, "00 00 00 00 00 00", NULL, 0, 0x062902);
	rig_good(&rig, "00 00 00 00 00 00", NULL, 0, 0);
	/* Third parties and extents are not supported. */
	rig_fails(&rig, "16 10 00 00 00 00", NULL, 0, 0x052400);
	rig_fails(&rig, "16 01 00 00 00 00", NULL, 0, 0x052400);
	rig_down(&rig);
}

/* What scsi_find() finds, and that clearing a task set spares the neighbours. */
static void test_task_management(void)
{
	struct scsi_command cmd = read_cmd(SCSI_TASK_SIMPLE, 4, 4);
	struct rig rig;
	int other;

	rig_init(&rig, 2);
	rig_start(&rig);
	rig_do(&rig, "00 00 00 00 00 00", NULL, 0);
	rig.disk[0].hold = rig.disk[1].hold = true;
	start_read(&rig, SCSI_TASK_SIMPLE, 4, 4);
	g_assert_cmpint(scsi_find(rig.bus, 0, 0, 7, -1), ==, -ENOENT);
	start_read(&rig, SCSI_TASK_UNTAGGED, 0, 5);
	cmd.target = 1;
	other = rig_command(&rig, &cmd);
	g_assert_cmpint(scsi_find(rig.bus, 0, 0, 7, 4), ==, 0);
	g_assert_cmpint(scsi_find(rig.bus, 0, 0, 7, -1), ==, 1);
	g_assert_cmpint(scsi_find(rig.bus, 0, 0, 6, 4), ==, -ENOENT);
	g_assert_cmpint(scsi_find(rig.bus, 0, 1, 7, 4), ==, -ENOENT);
	scsi_clear_task_set(rig.bus, 0, 0);
	g_assert_cmpuint(scsi_active(rig.bus), ==, 1);
	scsi_target_reset(rig.bus, 0);
	scsi_abort_task_set(rig.bus, 0, 0, 7);
	g_assert_cmpuint(scsi_active(rig.bus), ==, 1);
	scsi_abort(rig.bus, other);
	rig_down(&rig);
}

/* Two units at one address, or an impossible one. */
static void test_bad_setup(void)
{
	static const struct scsi_bus_ops ops = { NULL };
	struct rig rig;

	rig_init(&rig, 2);
	for (unsigned i = 0; i < 6; i++) {
		struct scsi_unit_config *c = &rig.units[1].config, keep = *c;

		c->target = i == 0 ? 0 : i == 1 ? 16 : c->target;
		c->lun = i == 2 ? 8 : 0;
		c->logical_block_size = i == 3 ? 0 : i == 4 ? 520 : i == 5 ? 1 << 20 : 512;
		errno = 0;
		g_assert_null(scsi_bus_create(&rig.setup, rig.state, &ops, NULL, rig.loop));
		g_assert_cmpint(errno, ==, EINVAL);
		*c = keep;
	}
	memset(rig.state, 0, sizeof(*rig.state));
	rig_start(&rig);
	rig_down(&rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/scsi/task/out-of-order", test_out_of_order);
	g_test_add_func("/scsi/task/ordered", test_ordered);
	g_test_add_func("/scsi/task/head-of-queue", test_head_of_queue);
	g_test_add_func("/scsi/task/implicit-head", test_implicit_head);
	g_test_add_func("/scsi/task/overlapped", test_overlapped);
	g_test_add_func("/scsi/task/task-set-full", test_task_set_full);
	g_test_add_func("/scsi/task/abort-stuck", test_abort_stuck);
	g_test_add_func("/scsi/task/newest-write-wins", test_newest_write_wins);
	g_test_add_func("/scsi/task/sense-of-two", test_sense_of_two);
	g_test_add_func("/scsi/task/sense-dropped", test_sense_dropped);
	g_test_add_func("/scsi/task/unit-attentions", test_unit_attentions);
	g_test_add_func("/scsi/task/reservations", test_reservations);
	g_test_add_func("/scsi/task/task-management", test_task_management);
	g_test_add_func("/scsi/task/bad-setup", test_bad_setup);
	return g_test_run();
}
