/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mpqemu-remote killed by SIGKILL at random moments, with writes of a host in flight: the image
 * holds every write that was acknowledged, whole, and nobody holds its lock any more.
 *
 *   MPQ_DURABILITY_ROUNDS=N   rounds (else 200)
 *   MPQ_DURABILITY_SEED=N     that round only; the moment of the kill is only roughly the same
 */
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/num.h"
#include "host.h"
#include "ledger.h"
#include "unit/util.h"

#define SECTORS 256u
#define MAX_BLOCKS (CMD_DATA_SIZE / LEDGER_SECTOR)
#define TAGS 8

enum victim { DEVICE, KEEPER, BOTH, VICTIMS };

struct slot {
	bool busy;
	unsigned write;			/* the ledger's */
};

struct round {
	struct host host;
	GRand *rand;
	struct ledger ledger;
	struct slot slot[TAGS];
	unsigned busy;
	const char *path;
	int fd;
};

static struct {
	unsigned acked, in_flight;
	unsigned victims[VICTIMS];
} total;

static unsigned pick(struct round *r, unsigned n)
{
	return g_rand_int_range(r->rand, 0, n);
}

/* ---- the killer: a timer's signal ---- */

static int victim_fds[2];

static void on_alarm(int sig)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(victim_fds); i++)
		if (victim_fds[i] >= 0)
			pidfd_send_signal(victim_fds[i], SIGKILL, NULL, 0);
}

static void arm_killer(struct round *r)
{
	/* us after the first command: now and then within it, mostly later */
	static const unsigned within[] = { 200, 2000, 10000, 30000 };
	struct itimerval when = {
		.it_value.tv_usec = 1 + pick(r, within[pick(r, G_N_ELEMENTS(within))]),
	};
	enum victim victim = pick(r, VICTIMS);

	total.victims[victim]++;
	victim_fds[0] = victim == KEEPER ? -1 : must(pidfd_open(r->host.device, 0));
	victim_fds[1] = victim == DEVICE ? -1 : must(pidfd_open(r->host.keeper, 0));
	must(setitimer(ITIMER_REAL, &when, NULL));
}

static void disarm_killer(void)
{
	const struct itimerval never = { 0 };

	must(setitimer(ITIMER_REAL, &never, NULL));
	for (unsigned i = 0; i < G_N_ELEMENTS(victim_fds); i++)
		if (victim_fds[i] >= 0)
			close(victim_fds[i]);
}

/* ---- the load ---- */

static void on_ended(void *opaque, unsigned tag, uint8_t status)
{
	struct round *r = opaque;
	struct slot *s = &r->slot[tag];

	g_assert_cmpuint(status, ==, SCSI_GOOD);
	g_assert_true(s->busy);
	ledger_end(&r->ledger, s->write, true, true);
	s->busy = false;
	r->busy--;
	total.acked++;
}

/* A write: plain, FUA, WRITE AND VERIFY. */
static int start(struct round *r, unsigned tag)
{
	static const struct { uint8_t opcode, byte1; } kinds[] = {
		{ 0x2a, 0 }, { 0x2a, 0 }, { 0x2a, 0x08 }, { 0x2e, 0 },
	};
	uint32_t lba = pick(r, SECTORS), blocks = 1 + pick(r, MIN(MAX_BLOCKS, SECTORS - lba));
	unsigned kind = pick(r, G_N_ELEMENTS(kinds));
	struct cmd cmd = {
		.cdb = { kinds[kind].opcode, kinds[kind].byte1 }, .cdb_len = 10,
		.data_len = blocks * LEDGER_SECTOR,
	};
	struct slot *s = &r->slot[tag];

	put_be32(cmd.cdb + 2, lba);
	put_be16(cmd.cdb + 7, blocks);
	s->write = ledger_issue(&r->ledger, LEDGER_DATA, lba, blocks);
	for (uint32_t i = 0; i < blocks; i++)
		ledger_stamp(&r->ledger, s->write, lba + i,
			     r->host.rig.ram + CMD_DATA(tag) + i * LEDGER_SECTOR);
	s->busy = true;
	r->busy++;
	return host_command(&r->host, tag, &cmd, on_ended, r);
}

static void run_load(struct round *r)
{
	int ret = 0;

	while (ret != HOST_GONE && !ledger_full(&r->ledger)) {
		unsigned tag = pick(r, TAGS);

		if (!r->slot[tag].busy && pick(r, 3))
			ret = start(r, tag);
		else if (r->busy)
			ret = host_go_on(&r->host, on_ended, r);
	}
	total.in_flight += r->busy;
}

/* ---- the round ---- */

static void write_first_content(struct round *r)
{
	static uint8_t content[SECTORS * LEDGER_SECTOR];

	ledger_init(&r->ledger, SECTORS);
	for (uint32_t lba = 0; lba < SECTORS; lba++)
		ledger_stamp(&r->ledger, 0, lba, content + lba * LEDGER_SECTOR);
	g_assert_cmpint(pwrite(r->fd, content, sizeof(content), 0), ==, sizeof(content));
}

static bool is_locked(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 100,
			      .l_len = 108 };

	must(fcntl(fd, F_OFD_GETLK, &lock));
	return lock.l_type != F_UNLCK;
}

static void take_attentions(struct round *r)
{
	static const struct cmd ready = { .cdb_len = 6 };

	while (host_sense(&r->host, &ready) > 0)
		;
}

/* A test of the test: with one acknowledged write taken back, the check fails. */
static void check_bites(struct round *r, uint8_t *disk)
{
	char why[200];

	for (unsigned i = 1; i < r->ledger.count; i++) {
		uint32_t lba = r->ledger.write[i].lba;

		if (!r->ledger.write[i].acked)
			continue;
		ledger_stamp(&r->ledger, 0, lba, disk + lba * LEDGER_SECTOR);
		g_assert_false(ledger_check_all(&r->ledger, disk, why, sizeof(why)));
		return;
	}
}

/* The ways to an image; O_DIRECT where its file system has it. */
static char *make_drive(struct round *r)
{
	static const char *const options[] = {
		"", ",cache=none", ",cache=writethrough", ",discard=unmap,detect-zeroes=unmap",
	};
	unsigned i = pick(r, G_N_ELEMENTS(options));
	int fd = open(r->path, O_RDWR | O_DIRECT | O_CLOEXEC);

	if (fd < 0 && i == 1)
		i = 0;
	if (fd >= 0)
		close(fd);
	return g_strdup_printf("file=%s,format=raw%s", r->path, options[i]);
}

static void run_round(struct round *r, uint32_t seed)
{
	g_autofree char *drive = NULL;
	static uint8_t disk[SECTORS * LEDGER_SECTOR];
	char why[200];
	int status;

	r->rand = g_rand_new_with_seed(seed);
	write_first_content(r);
	memset(r->slot, 0, sizeof(r->slot));
	r->busy = 0;
	drive = make_drive(r);
	host_start(&r->host, drive, NULL);
	take_attentions(r);
	g_assert_true(is_locked(r->fd));
	arm_killer(r);
	run_load(r);
	host_hang_up(&r->host);
	status = host_wait(&r->host);
	disarm_killer();
	if (is_locked(r->fd))
		g_error("seed %u: the image is still locked (status %d)", seed, status);
	g_assert_cmpint(pread(r->fd, disk, sizeof(disk), 0), ==, sizeof(disk));
	if (!ledger_check_all(&r->ledger, disk, why, sizeof(why)))
		g_error("seed %u: %s", seed, why);
	check_bites(r, disk);
	host_finish(&r->host);
	g_rand_free(r->rand);
}

static unsigned number(const char *name, unsigned otherwise)
{
	const char *text = g_getenv(name);

	return text ? strtoul(text, NULL, 0) : otherwise;
}

static void test_kill(void)
{
	g_autofree char *path = g_build_filename(g_get_tmp_dir(), "mpqemu-kill-XXXXXX", NULL);
	unsigned first = number("MPQ_DURABILITY_SEED", 0);
	unsigned rounds = number("MPQ_DURABILITY_ROUNDS", 200);
	struct round *r = g_new0(struct round, 1);
	const unsigned fds = open_fds();

	if (g_getenv("MPQ_DURABILITY_SEED"))
		rounds = 1;
	signal(SIGALRM, on_alarm);
	r->path = path;
	r->fd = g_mkstemp(path);
	g_assert_cmpint(r->fd, >=, 0);
	for (unsigned i = first; i < first + rounds; i++)
		run_round(r, i);
	close(r->fd);
	g_unlink(path);
	g_free(r);
	g_assert_cmpuint(open_fds(), ==, fds);
	g_test_message("%u rounds: device killed %u times, keeper %u, both %u; %u writes "
		       "acknowledged, %u in flight", rounds, total.victims[DEVICE],
		       total.victims[KEEPER], total.victims[BOTH], total.acked, total.in_flight);
	g_assert_cmpuint(total.acked, >, rounds);
	g_assert_cmpuint(total.in_flight, >, rounds / 2);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/durability/kill", test_kill);
	return g_test_run();
}
