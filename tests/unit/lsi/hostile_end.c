/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "hostile.h"

/*
 * Commands that end before their time: aborts and resets at any step, and what is left of them.
 */

/* CVE-2024-6519: nothing finds a request that is gone, whichever way it went. */
static void test_request_after_its_end(void)
{
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	for (unsigned i = 0; i < 40; i++) {
		struct cmd c = cmd_rw(0, 4, i & 1, 30, 2);
		uint32_t dispatch;

		rig.disk[0].hold = true;
		cmd_build(&rig, 1, &c, &dispatch);
		if (cmd_start(&rig, 1, &c) == INT_DISCONNECTED && i & 2) {
			rig_end(&rig, 0, 0);
			rig_settle(&rig);
		}
		if (i & 4)
			wr8(&rig, R_SCNTL1, SCNTL1_RST);
		if (i & 8)
			wr8(&rig, R_ISTAT0, ISTAT0_SRST);
		if (i & 16)
			scsi_target_reset(rig.l->scsi, 0);
		wr8(&rig, R_SCNTL1, 0);
		take_irq(&rig);
		take_irq(&rig);
		rig_pass(&rig, 4);
		/* the script goes on as if nothing had been, then waits for the lost target */
		wr32(&rig, R_DSP, dispatch);
		rig_pass(&rig, 20);
		p = prog_at(&rig, AT);
		put2(&p, S_WAIT_RESEL, AT);
		put2(&p, S_MOVE(PHASE_MSG_IN, 3), MEM + 0x100);
		put2(&p, S_MOVE(i & 1 ? PHASE_DATA_OUT : PHASE_DATA_IN, 1024), MEM + 0x200);
		wr32(&rig, R_DSP, AT);
		rig_pass(&rig, 20);
		rig.disk[0].hold = false;
		while (rig.disk[0].count)
			rig_end(&rig, 0, 0);
		rig_pass(&rig, 20);
		assert_recovers(&rig);
	}
	hostile_down(&rig);
}

/* The reset comes while a memory move is half done: not a byte is moved after it. */
static void test_reset_in_mid_instruction(void)
{
	struct rig rig;
	struct prog p;
	uint8_t *copy = g_malloc(RIG_RAM);

	for (unsigned how = 0; how < 3; how++) {
		hostile_up(&rig, &p);
		for (unsigned i = 0; i < 0x700000; i += 4)
			put_le32(rig.ram + 0x100000 + i, i * 2654435761u);
		put3(&p, S_COPY(0x700000), 0x100000, 0x800000);
		put2(&p, S_JUMP, AT);
		wr32(&rig, R_DSP, AT);
		rig_pass(&rig, 3);
		g_assert_cmpint(rig.state->live, ==, 1);
		if (how == 0)
			wr8(&rig, R_ISTAT0, ISTAT0_SRST);
		else if (how == 1)
			wr8(&rig, R_ISTAT0, ISTAT0_ABRT);
		else
			pci_dev_reset(&rig.dev);
		memcpy(copy, rig.ram, RIG_RAM);
		rig_pass(&rig, 50);
		g_assert_true(!memcmp(copy, rig.ram, RIG_RAM));
		rig_place(&rig);
		hostile_down(&rig);
	}
	g_free(copy);
}

/* All ways to end 64 commands that are stuck in a slow disk, and 256 of them. */
static void test_end_stuck_commands(void)
{
	enum { ABORT, DEVICE_MSG_RESET, BUS_RESET, SOFT_RESET, PCI_RESET, WAYS };
	struct rig rig;
	struct prog p;

	for (unsigned i = 0; i < 2 * WAYS; i++) {
		unsigned count = i < WAYS ? 64 : 256;

		hostile_up(&rig, &p);
		rig.disk[0].hold = rig.disk[1].hold = true;
		g_assert_cmpuint(start_many(&rig, count, false), ==, count);
		g_assert_cmpuint(scsi_active(rig.l->scsi), ==, count);
		for (unsigned t = 0; t < 2 && i % WAYS <= DEVICE_MSG_RESET; t++) {
			memcpy(rig.ram + MEM, i % WAYS ? "\xc0\x0c" : "\xc0\x06", 2);
			p = prog_at(&rig, AT);
			put2(&p, S_SELECT_ATN(t), 0);
			put2(&p, S_REG_REG(R_SCNTL2, A_AND, 0x7f), 0);
			put2(&p, S_MOVE(PHASE_MSG_OUT, 2), MEM);
			put2(&p, S_WAIT_DISC, 0);
			put2(&p, S_INT, 1);
			prog_run(&p);
			g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SIR);
		}
		if (i % WAYS == BUS_RESET) {
			wr8(&rig, R_SCNTL1, SCNTL1_RST);
			wr8(&rig, R_SCNTL1, 0);
			g_assert_cmphex(take_irq(&rig).sist, ==, SIST_RST);
		}
		if (i % WAYS == SOFT_RESET)
			wr8(&rig, R_ISTAT0, ISTAT0_SRST);
		if (i % WAYS == PCI_RESET)
			pci_dev_reset(&rig.dev);
		assert_nothing_lands(&rig);
		rig_place(&rig);
		hostile_down(&rig);
	}
}

/* More commands than there is room for: TASK SET FULL, and all that were taken still end. */
static void test_too_many_commands(void)
{
	struct cmd c = cmd_rw(0, 1, false, 9, 1);
	unsigned started = 0, ended = 0;
	struct rig rig;
	struct prog p;
	int tag, what;

	hostile_up(&rig, &p);
	rig.disk[0].hold = rig.disk[1].hold = true;
	for (unsigned k = 0; k < 400; k++) {
		c = cmd_rw(k & 1, k / 2, false, 9, 1);
		what = cmd_start(&rig, 1, &c);
		if (what == INT_DISCONNECTED) {
			started++;
			continue;
		}
		g_assert_cmpint(what, ==, INT_DONE);
		g_assert_cmphex(cmd_status(&rig, 1), ==, SCSI_TASK_SET_FULL);
	}
	g_assert_cmpuint(started, >=, 256);
	for (unsigned d = 0; d < 2; d++) {
		rig.disk[d].hold = false;
		while (rig.disk[d].count)
			rig_end(&rig, d, 0);
	}
	while (scsi_active(rig.l->scsi)) {
		g_assert_cmpint(cmd_reselect(&rig, &tag), ==, INT_RESELECTED);
		c = cmd_rw(0, tag, false, 9, 1);
		what = cmd_resume(&rig, 1, &c);
		if (what == INT_DONE)
			ended++;
		else
			g_assert_cmpint(what, ==, INT_DISCONNECTED);
	}
	g_assert_cmpuint(ended, ==, started);
	hostile_down(&rig);
}

/*
 * A write is stuck in the disk when its command is ended; a second write of the same sector is
 * acknowledged afterwards: that one is on the disk in the end.
 */
static void test_newest_write_wins(void)
{
	struct cmd old = cmd_rw(0, 1, true, 50, 1), new = cmd_rw(0, 2, true, 50, 1);
	struct rig rig;
	struct prog p;
	int what, tag;

	for (unsigned how = 0; how < 3; how++) {
		hostile_up(&rig, &p);
		rig.disk[0].hold = true;
		memset(rig.ram + CMD_DATA(1), 0xaa, 512);
		memset(rig.ram + CMD_DATA(2), 0x55, 512);
		g_assert_cmpint(cmd_start(&rig, 1, &old), ==, INT_DISCONNECTED);
		rig_settle(&rig);
		g_assert_cmpuint(rig.disk[0].count, ==, 1);
		if (how == 0) {
			wr8(&rig, R_ISTAT0, ISTAT0_SRST);
		} else if (how == 1) {
			wr8(&rig, R_SCNTL1, SCNTL1_RST);
			wr8(&rig, R_SCNTL1, 0);
		} else {
			pci_dev_reset(&rig.dev);
			rig_place(&rig);
		}
		take_irq(&rig);
		wr8(&rig, R_DCNTL, DCNTL_COM);
		rig.disk[0].hold = false;
		if (how)
			assert_alive(&rig);
		for (unsigned i = 0; how && i < 2; i++) {
			struct cmd sense = run_inquiry(0);

			sense.cdb[0] = 0x03;
			sense.cdb[4] = sense.data_len = 18;
			g_assert_cmphex(cmd_do(&rig, &sense), ==, SCSI_GOOD);
		}
		what = cmd_start(&rig, 2, &new);
		while (what != INT_DONE) {
			g_assert_cmpint(what, ==, INT_DISCONNECTED);
			if (rig.disk[0].count)
				rig_end(&rig, 0, 0);
			rig_settle(&rig);
			g_assert_cmpint(cmd_reselect(&rig, &tag), ==, INT_RESELECTED);
			g_assert_cmpint(tag, ==, 2);
			what = cmd_resume(&rig, 2, &new);
		}
		g_assert_cmphex(cmd_status(&rig, 2), ==, SCSI_GOOD);
		while (rig.disk[0].count)
			rig_end(&rig, 0, 0);
		rig_settle(&rig);
		for (unsigned i = 0; i < 512; i++)
			g_assert_cmphex(rig.disk[0].data[50 * 512 + i], ==, 0x55);
		hostile_down(&rig);
	}
}

/*
 * Commands that wait for their sense take even the places that are kept for refusals: the chip then
 * answers TASK SET FULL by itself, and a message or a reset meets a target without a command.
 */
static void test_no_place_at_all(void)
{
	struct cmd bad = { .target = 0, .cdb = { 0x01 }, .cdb_len = 6 };
	struct rig rig;
	struct prog p;
	unsigned waiting = 0;

	hostile_up(&rig, &p);
	/* one per target whose sense nobody may overwrite until it has told its status */
	for (unsigned t = 0; t < 2; t++) {
		struct cmd read = cmd_rw(t, 255, false, 1, 1);

		rig.disk[t].hold = true;
		rig.disk[t].fail = EIO;
		g_assert_cmpint(cmd_start(&rig, 1, &read), ==, INT_DISCONNECTED);
		release_disk(&rig, t);
		rig.disk[t].fail = 0;
	}
	for (unsigned i = 2; i < SCSI_MAX_REQS; i++) {
		bad.target = i & 1;
		bad.tag = i / 2;
		waiting += cmd_start(&rig, 1, &bad) == INT_DISCONNECTED;
	}
	g_assert_cmpuint(waiting, ==, SCSI_MAX_REQS - 2);
	g_assert_cmpuint(scsi_active(rig.l->scsi), ==, SCSI_MAX_REQS);
	bad.target = 0;
	bad.tag = 200;
	for (unsigned i = 0; i < 3; i++) {
		g_assert_cmpint(cmd_start(&rig, 1, &bad), ==, INT_DONE);
		g_assert_cmphex(cmd_status(&rig, 1), ==, SCSI_TASK_SET_FULL);
	}
	/* a message in the place of its status */
	memcpy(rig.ram + MEM, "\xc0\x06", 2);
	p = prog_at(&rig, AT);
	put2(&p, S_SELECT_ATN(0), 0);
	put2(&p, S_REG_REG(R_SCNTL2, A_AND, 0x7f), 0);
	put2(&p, S_MOVE(PHASE_MSG_OUT, 1), MEM);
	put2(&p, S_MOVE(PHASE_COMMAND, 6), MEM + 8);
	put2(&p, S_SET(S_ATN), 0);
	put2(&p, S_MOVE(PHASE_MSG_OUT, 1), MEM + 1);
	put2(&p, S_WAIT_DISC, 0);
	put2(&p, S_INT, 1);
	prog_run(&p);
	g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SIR);
	g_assert_cmpuint(scsi_active(rig.l->scsi), ==, SCSI_MAX_REQS / 2);
	hostile_down(&rig);
}

/* Bus mastering goes away under a READ: not a byte more, a bus fault, and the command can end. */
static void test_no_bus_master_under_a_read(void)
{
	struct cmd c = cmd_rw(0, -1, false, 0, 2048);
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	c.no_disconnect = true;
	wr32(&rig, R_DSP, cmd_build(&rig, 1, &c, NULL));
	for (unsigned i = 0; !rig.ram[CMD_DATA(1) + 65536 + 1]; i++) {
		g_assert_cmpuint(i, <, 100);
		rig_pass(&rig, 1);
	}
	g_assert_cmpint(rig.state->begun, ==, 1);
	pci_config_write(&rig.dev, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY, 2);
	memset(rig.ram + CMD_DATA(1), 0xee, 2048 * 512);
	rig_settle(&rig);
	g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_BF);
	for (unsigned i = 0; i < 2048 * 512; i++)
		g_assert_cmphex(rig.ram[CMD_DATA(1) + i], ==, 0xee);
	rig_place(&rig);
	hostile_down(&rig);
}

/* The operator's retry, at once and later, meets commands that are gone. */
static void test_retry_after_the_end(void)
{
	struct cmd c = cmd_rw(0, 1, true, 7, 1);
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	rig.units[0].config.werror = SCSI_ON_ERROR_STOP;
	for (unsigned i = 0; i < 4; i++) {
		rig.disk[0].fail = ENOSPC;
		g_assert_cmpint(cmd_start(&rig, 1, &c), ==, INT_DISCONNECTED);
		rig_settle(&rig);
		g_assert_cmpuint(scsi_active(rig.l->scsi), ==, 1);
		if (i & 1)
			wr8(&rig, R_ISTAT0, ISTAT0_SRST);
		rig.disk[0].fail = 0;
		rig.dev.cls->retry(&rig.dev, i & 2);
		rig_advance(&rig, 100000 * LOOP_MS);
		rig_settle(&rig);
		g_assert_cmpuint(scsi_active(rig.l->scsi), ==, !(i & 1));
		assert_recovers(&rig);
	}
	hostile_down(&rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	hostile_add("/lsi/hostile/CVE-2024-6519", test_request_after_its_end);
	hostile_add("/lsi/hostile/reset-in-mid-instruction", test_reset_in_mid_instruction);
	hostile_add("/lsi/hostile/end-stuck-commands", test_end_stuck_commands);
	hostile_add("/lsi/hostile/too-many-commands", test_too_many_commands);
	hostile_add("/lsi/hostile/newest-write-wins", test_newest_write_wins);
	hostile_add("/lsi/hostile/no-place-at-all", test_no_place_at_all);
	hostile_add("/lsi/hostile/no-bus-master-under-a-read", test_no_bus_master_under_a_read);
	hostile_add("/lsi/hostile/retry-after-the-end", test_retry_after_the_end);
	return g_test_run();
}
