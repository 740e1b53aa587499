/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A raw image on a host whose write does not come back: the thread that waits for it is all that
 * waits.
 */
#include <glib.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "block/raw.h"
#include "block/rawio.h"
#include "scsi/rig.h"

#define LBA 8u
#define OLD 0xaa
#define NEW 0xbb
#define WRITE "2a 00 00 00 00 08 00 00 01 00"
#define READ_ELSEWHERE "28 00 00 00 00 40 00 00 01 00"
#define INQUIRY "12 00 00 00 24 00"
#define SYNC "35 00 00 00 00 00 00 00 00 00"

/* A gate in front of pwrite. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool closed;
	unsigned waiting, passed;
} gate = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static ssize_t gated_pwrite(int fd, const void *buf, size_t len, off_t off, int flags)
{
	pthread_mutex_lock(&gate.lock);
	gate.waiting++;
	pthread_cond_broadcast(&gate.changed);
	while (gate.closed)
		pthread_cond_wait(&gate.changed, &gate.lock);
	gate.waiting--;
	gate.passed++;
	pthread_mutex_unlock(&gate.lock);
	return raw_sys_libc.pwrite(fd, buf, len, off, flags);
}

static void gate_set(bool closed)
{
	pthread_mutex_lock(&gate.lock);
	gate.closed = closed;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
}

static void gate_wait_for_one(void)
{
	pthread_mutex_lock(&gate.lock);
	while (!gate.waiting)
		pthread_cond_wait(&gate.changed, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
}

static unsigned gate_waiting(void)
{
	unsigned n;

	pthread_mutex_lock(&gate.lock);
	n = gate.waiting;
	pthread_mutex_unlock(&gate.lock);
	return n;
}

struct fixture {
	struct rig rig;
	struct pool *pool;
	struct block *block;
	struct raw_sys sys;
	int fd;
	uint8_t tag;		/* of the next command */
};

static void up(struct fixture *f)
{
	struct block_raw_config config = { .size = RIG_BLOCKS * 512 };

	memset(f, 0, sizeof(*f));
	f->sys = raw_sys_libc;
	f->sys.pwrite = gated_pwrite;
	config.sys = &f->sys;
	rig_init(&f->rig, 1);
	f->fd = memfd_create("image", MFD_CLOEXEC);
	g_assert_cmpint(ftruncate(f->fd, config.size), ==, 0);
	config.fd = dup(f->fd);
	f->pool = pool_create(f->rig.loop, 4, -1);
	g_assert_nonnull(f->pool);
	g_assert_cmpint(raw_create(f->rig.loop, f->pool, &config, &f->block), ==, 0);
	f->rig.units[0].block = f->block;
	rig_start(&f->rig);
	rig_do(&f->rig, "00 00 00 00 00 00", NULL, 0);
}

static void down(struct fixture *f)
{
	while (!block_idle(f->block))
		loop_step(f->rig.loop, 1000);
	block_close(f->block);
	pool_destroy(f->pool);
	rig_down(&f->rig);
	close(f->fd);
}

static unsigned start(struct fixture *f, const char *cdb, uint8_t *data)
{
	struct scsi_command cmd = rig_cdb(cdb);
	int req;

	cmd.attr = SCSI_TASK_SIMPLE;
	cmd.tag = f->tag++;
	req = rig_command(&f->rig, &cmd);
	g_assert_cmpint(req, >=, 0);
	f->rig.moved = 0;
	if (data)
		g_assert_false(rig_pump(&f->rig, req, data, 512, SIZE_MAX));
	return req;
}

/* A command that threads may have to end. */
static void good(struct fixture *f, unsigned req, uint8_t *data)
{
	while (!rig_pump(&f->rig, req, data, 512, SIZE_MAX))
		loop_step(f->rig.loop, 1000);
	g_assert_cmpuint(scsi_status(f->rig.bus, req), ==, SCSI_GOOD);
	scsi_release(f->rig.bus, req);
}

static void expect_alive(struct fixture *f)
{
	uint8_t buf[512];

	good(f, start(f, INQUIRY, NULL), buf);
	good(f, start(f, READ_ELSEWHERE, NULL), buf);
	good(f, start(f, SYNC, NULL), buf);
	g_assert_cmpuint(gate_waiting(), ==, 1);
}

static void end_it(struct fixture *f, unsigned req, unsigned how)
{
	if (how == 0)
		scsi_abort(f->rig.bus, req);
	else if (how == 1)
		scsi_abort_task_set(f->rig.bus, 0, 0, 7);
	else if (how == 2)
		scsi_target_reset(f->rig.bus, 0);
	else
		scsi_bus_reset(f->rig.bus, how == 4);
	g_assert_cmpuint(scsi_active(f->rig.bus), ==, 0);
	if (how >= 2)
		rig_do(&f->rig, "00 00 00 00 00 00", NULL, 0);
}

/*
 * A write hangs; its command is ended, others work; a newer write of the same block waits behind
 * it and wins; the end of the old one is nobody's news.
 */
static void test_hanging_write(void)
{
	uint8_t old[512], new[512], got[512];
	struct fixture f;
	unsigned req;

	memset(old, OLD, sizeof(old));
	memset(new, NEW, sizeof(new));
	for (unsigned how = 0; how < 5; how++) {
		up(&f);
		gate_set(true);
		req = start(&f, WRITE, old);
		gate_wait_for_one();
		expect_alive(&f);
		end_it(&f, req, how);
		expect_alive(&f);
		req = start(&f, WRITE, new);
		expect_alive(&f);
		g_assert_cmpuint(scsi_phase(f.rig.bus, req), ==, SCSI_PHASE_WAIT);
		f.rig.ready_total = gate.passed = 0;
		gate_set(false);
		good(&f, req, new);
		g_assert_cmpuint(f.rig.ready_total, ==, 1);
		g_assert_cmpuint(gate.passed, ==, 2);
		g_assert_cmpint(pread(f.fd, got, 512, LBA * 512), ==, 512);
		g_assert_cmpmem(got, 512, new, 512);
		down(&f);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/slow/hanging-write", test_hanging_write);
	return g_test_run();
}
