/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "rig.h"

/* What werror= and rerror= make of each error, and when a held request is tried again. */

#define READ_1 "28 00 00 00 00 00 00 00 01 00"
#define WRITE_1 "2a 00 00 00 00 00 00 00 01 00"
#define SECOND (1000 * LOOP_MS)

/* The loop's clock is the test's. */
static int64_t fake_now = 1000 * SECOND;

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	if (clock != CLOCK_MONOTONIC)
		return syscall(SYS_clock_gettime, clock, ret);
	ret->tv_sec = fake_now / SECOND;
	ret->tv_nsec = fake_now % SECOND;
	return 0;
}

static void start(struct rig *rig, uint8_t werror, uint8_t rerror, uint8_t waits)
{
	rig_init(rig, 1);
	rig->units[0].config.werror = werror;
	rig->units[0].config.rerror = rerror;
	rig->units[0].config.waits = waits;
	rig_start(rig);
	rig_do(rig, "00 00 00 00 00 00", NULL, 0);
}

static void fail(struct rig *rig, enum block_op op, int err, unsigned count)
{
	rig->disk[0].fail[op] = err;
	rig->disk[0].fail_count = count;
}

static int begin(struct rig *rig, const char *cdb)
{
	static uint8_t buf[512];
	struct scsi_command cmd = rig_cdb(cdb);
	int req;

	cmd.attr = SCSI_TASK_SIMPLE;
	cmd.tag = rig->ready_total;	/* another one than that of the last command */
	req = rig_command(rig, &cmd);
	rig->moved = 0;
	rig_pump(rig, req, buf, sizeof(buf), SIZE_MAX);
	return req;
}

static void is_good(struct rig *rig, int req)
{
	uint8_t buf[512];

	g_assert_true(rig_pump(rig, req, buf, sizeof(buf), SIZE_MAX));
	g_assert_cmpuint(scsi_status(rig->bus, req), ==, SCSI_GOOD);
	scsi_release(rig->bus, req);
}

static void advance(struct rig *rig, int64_t ns)
{
	fake_now += ns;
	rig_settle(rig);
}

/* ---- The policies ---- */

static const struct {
	int err;
	uint32_t sense;
} errors[] = {
	{ EIO, 0x0b0006 }, { ENOSPC, 0x072707 }, { ENODATA, 0x031100 }, { ENOMEM, 0x044400 },
	{ EREMOTEIO, 0x044400 }, { EINVAL, 0x052400 }, { ENOMEDIUM, 0x023a00 },
	{ EDQUOT, 0x0b0006 }, { ETIMEDOUT, 0x0b0006 },
};

/* A letter an error, in the order above: (r)eported, (i)gnored, (h)eld. */
static const struct {
	uint8_t policy;
	const char *verdicts;
} policies[] = {
	{ SCSI_ON_ERROR_REPORT, "rrrrrrrrr" },
	{ SCSI_ON_ERROR_IGNORE, "iiiiiiiii" },
	{ SCSI_ON_ERROR_STOP, "hhhhhhhhh" },
	{ SCSI_ON_ERROR_ENOSPC, "rhrrrrrrr" },
};

/* The command under @verdict; the other direction's policy is of no account. */
static void judge(bool write, uint8_t policy, uint8_t other, int err, uint32_t sense, char verdict)
{
	const char *cdb = write ? WRITE_1 : READ_1;
	uint8_t buf[512] = { 0 };
	struct rig rig;

	start(&rig, write ? policy : other, write ? other : policy, 0);
	fail(&rig, write ? BLOCK_WRITE : BLOCK_READ, err, 1);
	if (verdict == 'r') {
		rig_fails(&rig, cdb, buf, 512, sense);
	} else if (verdict == 'i') {
		rig_good(&rig, cdb, buf, 512, 512);
	} else {
		int req = begin(&rig, cdb);

		g_assert_cmpuint(scsi_phase(rig.bus, req), ==, SCSI_PHASE_WAIT);
		g_assert_cmpint(rig.report_err, ==, err);
		advance(&rig, SECOND);
		is_good(&rig, req);
	}
	g_assert_cmpuint(rig.reports, ==, verdict == 'h');
	rig_down(&rig);
}

static void test_policies(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(policies) * G_N_ELEMENTS(errors) * 2; i++) {
		unsigned e = i / 2 % G_N_ELEMENTS(errors), p = i / 2 / G_N_ELEMENTS(errors);
		uint8_t other = policies[(p + 1) % G_N_ELEMENTS(policies)].policy;

		g_test_message("policy %u, %s, %s", p, strerrorname_np(errors[e].err),
			       i & 1 ? "write" : "read");
		judge(i & 1, policies[p].policy, other, errors[e].err, errors[e].sense,
		      policies[p].verdicts[e]);
	}
}

/* ---- When it is tried again ---- */

static void test_waits(void)
{
	static const int seconds[] = { 1, 2, 4, 8, 16, 32, 60, 60, 60 };
	struct rig rig;
	int req;

	start(&rig, SCSI_ON_ERROR_STOP, SCSI_ON_ERROR_STOP, 0);
	fail(&rig, BLOCK_WRITE, EIO, G_N_ELEMENTS(seconds));
	req = begin(&rig, WRITE_1);
	for (unsigned i = 0; i < G_N_ELEMENTS(seconds); i++) {
		unsigned tried = i + 1;

		/* The deadline is absolute and in the state: a successor needs no more. */
		g_assert_cmpint(rig.state->unit[0].retry_at, ==, fake_now + seconds[i] * SECOND);
		g_assert_cmpuint(rig.reports, ==, tried);
		advance(&rig, seconds[i] * SECOND - 1);
		g_assert_cmpuint(rig.disk[0].ops[BLOCK_WRITE], ==, tried);
		advance(&rig, 1);
		g_assert_cmpuint(rig.disk[0].ops[BLOCK_WRITE], ==, tried + 1);
	}
	is_good(&rig, req);
	g_assert_cmpint(rig.state->unit[0].retry_at, ==, 0);
	/* All is well again: the next trouble starts with a short wait. */
	fail(&rig, BLOCK_READ, EIO, 1);
	req = begin(&rig, READ_1);
	g_assert_cmpint(rig.state->unit[0].retry_at, ==, fake_now + SECOND);
	advance(&rig, SECOND);
	is_good(&rig, req);
	rig_down(&rig);
}

static void test_operator(void)
{
	struct rig rig;
	int req;

	start(&rig, SCSI_ON_ERROR_STOP, SCSI_ON_ERROR_STOP, 0);
	fail(&rig, BLOCK_WRITE, EIO, 5);
	req = begin(&rig, WRITE_1);
	advance(&rig, SECOND);
	advance(&rig, 2 * SECOND);
	g_assert_cmpuint(rig.disk[0].ops[BLOCK_WRITE], ==, 3);
	scsi_retry_held(rig.bus);
	rig_settle(&rig);
	g_assert_cmpuint(rig.disk[0].ops[BLOCK_WRITE], ==, 4);
	g_assert_cmpint(rig.state->unit[0].retry_at, ==, fake_now + SECOND);
	/* One timer: what the operator cut short does not come in addition. */
	advance(&rig, SECOND);
	g_assert_cmpuint(rig.disk[0].ops[BLOCK_WRITE], ==, 5);
	advance(&rig, 2 * SECOND);
	is_good(&rig, req);
	rig_down(&rig);
}

/* Several requests of one unit: one report a direction and round, one timer, all tried at once. */
static void test_many(void)
{
	struct rig rig;
	int req[6];

	start(&rig, SCSI_ON_ERROR_STOP, SCSI_ON_ERROR_STOP, 0);
	rig.disk[0].fail[BLOCK_READ] = rig.disk[0].fail[BLOCK_WRITE] = EIO;
	rig.disk[0].fail_count = 12;
	for (unsigned i = 0; i < 6; i++) {
		rig.ready_total++;	/* begin() takes the tag from it */
		req[i] = begin(&rig, i % 2 ? WRITE_1 : READ_1);
	}
	g_assert_cmpuint(rig.reports, ==, 2);
	advance(&rig, SECOND);
	g_assert_cmpuint(rig.reports, ==, 4);
	g_assert_cmpuint(rig.disk[0].ops[BLOCK_READ] + rig.disk[0].ops[BLOCK_WRITE], ==, 12);
	advance(&rig, 2 * SECOND);
	for (unsigned i = 0; i < 6; i++)
		is_good(&rig, req[i]);
	rig_down(&rig);
}

/* A guest that gives up and repeats as fast as it can: a report a second, not one a command. */
static void test_flood(void)
{
	struct rig rig;

	start(&rig, SCSI_ON_ERROR_STOP, SCSI_ON_ERROR_STOP, 0);
	fail(&rig, BLOCK_WRITE, EIO, UINT32_MAX);
	for (unsigned i = 0; i < 3000; i++) {
		scsi_abort(rig.bus, begin(&rig, WRITE_1));
		advance(&rig, SECOND / 1000);
	}
	g_assert_cmpuint(rig.reports, <=, 4);
	g_assert_cmpuint(scsi_active(rig.bus), ==, 0);
	rig_down(&rig);
}

/* ---- For the operator only (the VM is stopped) ---- */

static void test_no_timer(void)
{
	struct rig rig;
	int write, read;

	start(&rig, SCSI_ON_ERROR_STOP, SCSI_ON_ERROR_STOP, SCSI_HOLD_WRITE);
	fail(&rig, BLOCK_WRITE, EIO, 3);
	write = begin(&rig, WRITE_1);
	g_assert_cmpint(rig.state->unit[0].retry_at, ==, 0);
	advance(&rig, 3600 * SECOND);
	g_assert_cmpuint(rig.disk[0].ops[BLOCK_WRITE], ==, 1);
	scsi_retry_held(rig.bus);
	rig_settle(&rig);
	g_assert_cmpuint(rig.disk[0].ops[BLOCK_WRITE], ==, 2);
	g_assert_cmpuint(rig.reports, ==, 2);
	/* Nobody can stop the VM: then the timer does it. */
	scsi_retry_later(rig.bus);
	scsi_retry_later(rig.bus);
	g_assert_cmpint(rig.state->unit[0].retry_at, ==, fake_now + SECOND);
	advance(&rig, SECOND);
	g_assert_cmpuint(rig.reports, ==, 3);
	g_assert_cmpint(rig.state->unit[0].retry_at, ==, 0);
	scsi_retry_held(rig.bus);
	rig_settle(&rig);
	is_good(&rig, write);
	/* The other direction has its timer. */
	fail(&rig, BLOCK_READ, EIO, 1);
	read = begin(&rig, READ_1);
	g_assert_cmpint(rig.state->unit[0].retry_at, ==, fake_now + SECOND);
	advance(&rig, SECOND);
	is_good(&rig, read);
	rig_down(&rig);
}

/* Nothing held: "later" is no timer, and a timer of what was aborted does nothing. */
static void test_nothing_held(void)
{
	struct rig rig;

	start(&rig, SCSI_ON_ERROR_STOP, SCSI_ON_ERROR_STOP, 0);
	scsi_retry_later(rig.bus);
	scsi_retry_held(rig.bus);
	g_assert_cmpint(rig.state->unit[0].retry_at, ==, 0);
	fail(&rig, BLOCK_WRITE, EIO, 1);
	scsi_abort(rig.bus, begin(&rig, WRITE_1));
	advance(&rig, SECOND);
	g_assert_cmpint(rig.state->unit[0].retry_at, ==, 0);
	g_assert_cmpuint(rig.disk[0].ops[BLOCK_WRITE], ==, 1);
	rig_down(&rig);
}

/* A power cycle forgets all of it; a bus that goes takes an armed timer along. */
static void test_reset(void)
{
	struct rig rig;

	start(&rig, SCSI_ON_ERROR_STOP, SCSI_ON_ERROR_STOP, 0);
	fail(&rig, BLOCK_WRITE, EIO, 2);
	begin(&rig, WRITE_1);
	scsi_bus_reset(rig.bus, true);
	g_assert_cmpint(rig.state->unit[0].retry_at, ==, 0);
	g_assert_cmpuint(rig.state->unit[0].held, ==, 0);
	advance(&rig, 60 * SECOND);
	g_assert_cmpuint(rig.disk[0].ops[BLOCK_WRITE], ==, 1);
	rig_do(&rig, "00 00 00 00 00 00", NULL, 0);
	begin(&rig, WRITE_1);
	g_assert_cmpuint(rig.reports, ==, 2);
	g_assert_cmpint(rig.state->unit[0].retry_at, ==, fake_now + SECOND);
	rig_down(&rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/scsi/hold/policies", test_policies);
	g_test_add_func("/scsi/hold/waits", test_waits);
	g_test_add_func("/scsi/hold/operator", test_operator);
	g_test_add_func("/scsi/hold/many", test_many);
	g_test_add_func("/scsi/hold/flood", test_flood);
	g_test_add_func("/scsi/hold/no-timer", test_no_timer);
	g_test_add_func("/scsi/hold/nothing-held", test_nothing_held);
	g_test_add_func("/scsi/hold/reset", test_reset);
	return g_test_run();
}
