/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Long reads of what the host has cached: straight to guest memory, or the ordinary way. */
#include <string.h>

#include "rig.h"

#define SECTORS 600u	/* 300 KiB, more than a slice */
#define LBA 3u

/* Memory behind the data that nothing may touch. */
#define GUARD 4096u

struct fixture {
	struct rig rig;
	struct cmd cmd;
	uint8_t *data;		/* where it goes */
	uint64_t hooked;	/* bytes that the hook was told of */
};

static void on_moved(void *opaque, enum guestmem_dir dir, uint64_t gpa, const void *data,
		     size_t len)
{
	struct fixture *f = opaque;
	uint64_t from = CMD_DATA(1);

	if (dir == GUESTMEM_WRITE && gpa >= from && gpa < from + SECTORS * 512)
		f->hooked += len;
}

static void up(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	rig_up(&f->rig, &lsi53c895a_class);
	rig_ready(&f->rig);
	f->cmd = cmd_rw(0, 3, false, LBA, SECTORS);
	f->cmd.no_disconnect = true;	/* the script has one MOVE for all of it */
	f->data = f->rig.ram + CMD_DATA(1);
	memset(f->data, 0xee, SECTORS * 512 + GUARD);
	f->rig.disk[0].now = true;
	f->rig.disk[0].reads = f->rig.disk[0].nows = 0;
}

/* To the end, also if the target has to wait for its disk on the way. */
static void run(struct fixture *f)
{
	if (cmd_start(&f->rig, 1, &f->cmd) == INT_DONE)
		return;
	rig_settle(&f->rig);
	g_assert_cmphex(take_irq(&f->rig).dstat, ==, DSTAT_SIR);
}

static void check(struct fixture *f)
{
	g_assert_cmphex(cmd_status(&f->rig, 1), ==, SCSI_GOOD);
	g_assert_cmpmem(f->data, SECTORS * 512, f->rig.disk[0].data + LBA * 512, SECTORS * 512);
	for (unsigned i = 0; i < GUARD; i++)
		g_assert_cmphex(f->data[SECTORS * 512 + i], ==, 0xee);
}

static void test_whole(void)
{
	struct fixture f;

	up(&f);
	run(&f);
	check(&f);
	g_assert_cmpuint(f.rig.disk[0].reads, ==, 0);
	if (!f.rig.remote.on)		/* the first look, and a piece a slice */
		g_assert_cmpuint(f.rig.disk[0].nows, <=, 4);
	rig_down(&f.rig);
}

/* The recorder's hook hears of each byte, whichever way it went. */
static void test_hook(void)
{
	struct fixture f;

	up(&f);
	guestmem_set_hook(f.rig.mem, on_moved, &f);
	run(&f);
	guestmem_set_hook(f.rig.mem, NULL, NULL);
	check(&f);
	if (!f.rig.remote.on)
		g_assert_cmpuint(f.hooked, ==, SECTORS * 512);
	rig_down(&f.rig);
}

/* The cache ends anywhere, in the middle of a block too: the rest comes from the disk. */
static void test_cache_ends(void)
{
	static const size_t at[] = { 1, 511, 16383, 16384, 16385, 20000, 65536, 100000, 262144,
				     262145, 300000, 307199 };

	for (unsigned i = 0; i < G_N_ELEMENTS(at); i++) {
		struct fixture f;

		up(&f);
		f.rig.disk[0].now_left = at[i];
		run(&f);
		check(&f);
		g_assert_cmpuint(f.rig.disk[0].reads, >, 0);
		rig_down(&f.rig);
	}
}

/* A write of the rest that is on its way: the read waits for it, and the engine for the read. */
static void test_behind_write(void)
{
	struct fixture f;
	struct cmd write = cmd_rw(0, 4, true, LBA + 100, 1);

	up(&f);
	f.rig.disk[0].hold = true;
	memset(f.rig.ram + CMD_DATA(2), 0x5a, 512);
	g_assert_cmpint(cmd_start(&f.rig, 2, &write), ==, INT_DISCONNECTED);
	cmd_start(&f.rig, 1, &f.cmd);
	g_assert_cmpint(f.rig.state->run, ==, RUN_WAIT_TARGET);
	f.rig.disk[0].hold = false;
	rig_end(&f.rig, 0, 0);
	rig_settle(&f.rig);
	g_assert_cmphex(f.rig.disk[0].data[(LBA + 100) * 512], ==, 0x5a);
	g_assert_cmphex(take_irq(&f.rig).dstat, ==, DSTAT_SIR);
	check(&f);
	rig_down(&f.rig);
}

/* An error of the host in the middle is told as it is of an ordinary read. */
static void test_error(void)
{
	struct fixture f;

	up(&f);
	f.rig.disk[0].now_left = 100000;
	f.rig.disk[0].hold = true;
	cmd_start(&f.rig, 1, &f.cmd);
	g_assert_cmpuint(f.rig.disk[0].count, ==, 1);
	f.rig.disk[0].fail = 5;
	rig_end(&f.rig, 0, 0);
	rig_settle(&f.rig);
	g_assert_cmphex(take_irq(&f.rig).sist & SIST_MA, ==, SIST_MA);
	rig_down(&f.rig);
}

/* Where there is no memory the cycle fails, as any does. */
static void test_no_memory(void)
{
	struct fixture f;

	up(&f);
	f.cmd.data_addr = RIG_RAM - 128 * 1024;
	cmd_start(&f.rig, 1, &f.cmd);
	g_assert_cmphex(take_irq(&f.rig).dstat & DSTAT_BF, ==, DSTAT_BF);
	rig_down(&f.rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/lsi/direct/whole", test_whole);
	g_test_add_func("/lsi/direct/hook", test_hook);
	g_test_add_func("/lsi/direct/cache-ends", test_cache_ends);
	g_test_add_func("/lsi/direct/behind-write", test_behind_write);
	g_test_add_func("/lsi/direct/error", test_error);
	g_test_add_func("/lsi/direct/no-memory", test_no_memory);
	return g_test_run();
}
