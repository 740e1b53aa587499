/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "applets/proxy/bench/bench.h"
#include "base/num.h"
#include "initiator/initiator.h"

/* Disk I/O: so many commands in flight, each followed by the next. */

#define TIMEOUT_MS 30000
#define TARGETS 16
#define READY_TRIES 8		/* one takes one unit attention: SAM-5, section 5.14 */

enum { STATUS_GOOD = 0 };	/* SAM-5, section 5.3.1 */
enum {				/* SPC-4 and SBC-3, operation codes */
	TEST_UNIT_READY = 0x00, INQUIRY = 0x12, READ_CAPACITY_10 = 0x25, READ_10 = 0x28,
	WRITE_10 = 0x2a, READ_16 = 0x88, WRITE_16 = 0x8a, READ_CAPACITY_16 = 0x9e,
};
enum { INQUIRY_LEN = 36, CAPACITY_10_LEN = 8, CAPACITY_16_LEN = 32 };

static uint64_t slot_size(const struct bench_opts *o)
{
	return align_up(o->bs, 4096);
}

uint64_t bench_disk_ram(const struct bench_opts *o)
{
	return INITIATOR_RAM + o->iodepth * slot_size(o);
}

static bool failed(struct bench_side *s, int ret, const char *what, GError **error)
{
	return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s: %s", session_name(&s->session), what,
			ret == -EAGAIN ? "no answer in 30 s" : initiator_why(s->initiator, ret));
}

/* Fixed and descriptor format, SPC-4, section 4.5. */
static bool bad_status(struct bench_side *s, const struct initiator_cmd *cmd, GError **error)
{
	const uint8_t *sense = cmd->sense;
	bool descriptor = (sense[0] & 0x7f) >= 0x72;

	return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: command 0x%02x at disk %u:%u: status 0x%02x"
			", sense key %x, code %02x %02x", session_name(&s->session), cmd->cdb[0],
			cmd->target, cmd->lun, cmd->status, sense[descriptor ? 1 : 2] & 0xf,
			sense[descriptor ? 2 : 12], sense[descriptor ? 3 : 13]);
}

/* ---- finding the disk ---- */

/* A command with @len bytes of data from the device; @ret_data points at them. */
static int ask(struct bench_side *s, struct initiator_cmd *cmd, const uint8_t *cdb, unsigned len,
	       unsigned data, const uint8_t **ret_data)
{
	*cmd = (struct initiator_cmd){
		.target = s->disk.target, .lun = s->disk.lun, .cdb_len = len,
		.dir = data ? INITIATOR_IN : INITIATOR_NO_DATA, .addr = INITIATOR_RAM, .len = data,
	};
	memcpy(cmd->cdb, cdb, len);
	*ret_data = s->session.client.mem + INITIATOR_RAM;
	return initiator_execute(s->initiator, cmd, TIMEOUT_MS);
}

/* Vendor, product and revision are fields of fixed length: one blank is enough between them. */
static void keep_name(char *name, const uint8_t *fields, unsigned len)
{
	unsigned n = 0;

	for (unsigned i = 0; i < len; i++) {
		char c = g_ascii_isprint(fields[i]) ? fields[i] : '?';

		if (c != ' ' || (n && name[n - 1] != ' '))
			name[n++] = c;
	}
	name[n] = 0;
	g_strchomp(name);
}

/* Is there a disk?  0, -ENODEV: no. */
static int inquire(struct bench_side *s)
{
	static const uint8_t cdb[6] = { [0] = INQUIRY, [4] = INQUIRY_LEN };
	struct initiator_cmd cmd;
	const uint8_t *data;
	int ret = ask(s, &cmd, cdb, sizeof(cdb), INQUIRY_LEN, &data);

	if (ret)
		return ret;
	/* Peripheral qualifier and type, SPC-4, section 6.6.2: a direct access block device. */
	if (cmd.status != STATUS_GOOD || cmd.moved < INQUIRY_LEN || data[0] != 0)
		return -ENODEV;
	keep_name(s->disk.name, data + 8, sizeof(s->disk.name) - 1);
	return 0;
}

static bool find_disk(const struct bench_opts *o, struct bench_side *s, GError **error)
{
	unsigned first = o->target < 0 ? 0 : o->target;
	unsigned last = o->target < 0 ? TARGETS - 1 : first;

	for (unsigned t = first; t <= last; t++) {
		int ret;

		s->disk.target = t;
		s->disk.lun = o->lun < 0 ? 0 : o->lun;
		ret = inquire(s);
		if (!ret)
			return true;
		if (ret != -ENODEV)
			return failed(s, ret, "INQUIRY", error);
	}
	return o->target < 0 ?
		mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: no disk", session_name(&s->session)) :
		mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: no disk at %d:%d", session_name(&s->session),
			 o->target, o->lun);
}

static bool wait_ready(struct bench_side *s, GError **error)
{
	static const uint8_t cdb[6] = { [0] = TEST_UNIT_READY };
	struct initiator_cmd cmd;
	const uint8_t *data;

	for (unsigned i = 0; i < READY_TRIES; i++) {
		int ret = ask(s, &cmd, cdb, sizeof(cdb), 0, &data);

		if (ret)
			return failed(s, ret, "TEST UNIT READY", error);
		if (cmd.status == STATUS_GOOD)
			return true;
	}
	return bad_status(s, &cmd, error);
}

static bool read_capacity(struct bench_side *s, GError **error)
{
	static const uint8_t cdb10[10] = { [0] = READ_CAPACITY_10 };
	static const uint8_t cdb16[16] = {
		[0] = READ_CAPACITY_16, [1] = 0x10, [13] = CAPACITY_16_LEN,
	};
	struct initiator_cmd cmd;
	const uint8_t *data;
	int ret = ask(s, &cmd, cdb10, sizeof(cdb10), CAPACITY_10_LEN, &data);

	if (ret)
		return failed(s, ret, "READ CAPACITY", error);
	s->disk.blocks = get_be32(data) + 1ULL;
	s->disk.block_size = get_be32(data + 4);
	if (cmd.status == STATUS_GOOD && get_be32(data) == UINT32_MAX) {
		ret = ask(s, &cmd, cdb16, sizeof(cdb16), CAPACITY_16_LEN, &data);
		if (ret)
			return failed(s, ret, "READ CAPACITY", error);
		s->disk.blocks = get_be64(data) + 1;
		s->disk.block_size = get_be32(data + 8);
	}
	return cmd.status == STATUS_GOOD ? true : bad_status(s, &cmd, error);
}

static bool check_disk(const struct bench_opts *o, const struct bench_side *s, GError **error)
{
	const struct bench_disk *d = &s->disk;
	uint64_t size;

	if (!d->block_size || !d->blocks || d->blocks > UINT64_MAX / d->block_size)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: a disk of %" G_GUINT64_FORMAT
				" blocks of %u bytes", session_name(&s->session), d->blocks,
				d->block_size);
	size = d->blocks * d->block_size;
	if (o->bs % d->block_size)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "--bs %u: the disk has blocks of %u bytes",
				o->bs, d->block_size);
	if (size < o->bs || size < o->size)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: the disk has %" G_GUINT64_FORMAT
				" bytes only", session_name(&s->session), size);
	return true;
}

/* What is written does not compress. */
static void fill_buffers(const struct bench_opts *o, struct bench_side *s)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(o->seed);
	uint8_t *mem = s->session.client.mem;

	for (uint64_t at = INITIATOR_RAM; at < bench_disk_ram(o); at += 4)
		put_le32(mem + at, g_rand_int(rand));
}

bool bench_disk_prepare(struct bench *b, struct bench_side *s, GError **error)
{
	int ret;

	if (s->disk.known)
		return true;
	ret = initiator_create(&s->session.client, &s->initiator);
	if (ret == -ENODEV)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: no LSI 53C8xx, which disk workloads "
				"need", session_name(&s->session));
	if (ret)
		return session_failed(&s->session, ret, error);
	if (!find_disk(&b->opts, s, error) || !wait_ready(s, error) || !read_capacity(s, error) ||
	    !check_disk(&b->opts, s, error))
		return false;
	fill_buffers(&b->opts, s);
	s->disk.known = true;
	return true;
}

/* ---- I/O ---- */

struct run {
	struct bench_side *side;
	const struct bench_opts *opts;
	const struct bench_op_info *op;
	struct bench_meter *meter;
	GRand *rand;
	uint32_t blocks;		/* of an I/O */
	uint64_t places;		/* where one can be */
	uint64_t begun;
	struct initiator_cmd cmd[INITIATOR_MAX_DEPTH];
	uint64_t from[INITIATOR_MAX_DEPTH];
};

static uint64_t next_place(struct run *r)
{
	uint64_t n;

	if (!r->op->random) {
		n = r->side->disk.next % r->places;
		r->side->disk.next = n + 1;
		return n;
	}
	n = (uint64_t)g_rand_int(r->rand) << 32 | g_rand_int(r->rand);
	return n % r->places;
}

/* The 10-byte command where it is enough, as Linux's sd does: SBC-3, sections 5.11 and 5.13. */
static void make_cdb(struct initiator_cmd *cmd, bool write, uint64_t lba, uint32_t blocks)
{
	memset(cmd->cdb, 0, sizeof(cmd->cdb));
	if (lba <= UINT32_MAX && blocks <= UINT16_MAX) {
		cmd->cdb_len = 10;
		cmd->cdb[0] = write ? WRITE_10 : READ_10;
		put_be32(cmd->cdb + 2, lba);
		put_be16(cmd->cdb + 7, blocks);
		return;
	}
	cmd->cdb_len = 16;
	cmd->cdb[0] = write ? WRITE_16 : READ_16;
	put_be64(cmd->cdb + 2, lba);
	put_be32(cmd->cdb + 10, blocks);
}

static int begin(struct run *r, unsigned slot)
{
	struct initiator_cmd *cmd = &r->cmd[slot];
	bool write = r->op->writes;

	if (r->op->reads && r->op->writes)
		write = (unsigned)g_rand_int_range(r->rand, 0, 100) >= r->opts->mix_reads;
	*cmd = (struct initiator_cmd){
		.target = r->side->disk.target, .lun = r->side->disk.lun,
		.dir = write ? INITIATOR_OUT : INITIATOR_IN,
		.addr = INITIATOR_RAM + slot * slot_size(r->opts), .len = r->opts->bs,
		.opaque = &r->from[slot],
	};
	make_cdb(cmd, write, next_place(r) * r->blocks, r->blocks);
	r->begun++;
	r->from[slot] = bench_now();
	return initiator_submit(r->side->initiator, cmd);
}

/* Waits for one, which makes its slot free. */
static bool end(struct run *r, unsigned *ret_slot, GError **error)
{
	struct initiator_cmd *cmd;
	int ret = initiator_reap(r->side->initiator, TIMEOUT_MS, &cmd);
	uint64_t *from;

	if (!ret)
		ret = cmd->ret;
	if (ret)
		return failed(r->side, ret, r->op->name, error);
	if (cmd->status != STATUS_GOOD)
		return bad_status(r->side, cmd, error);
	if (cmd->moved != cmd->len)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s: %u bytes of %u were moved",
				session_name(&r->side->session), r->op->name, cmd->moved, cmd->len);
	from = cmd->opaque;
	bench_meter_add(r->meter, *from, bench_now());
	*ret_slot = from - r->from;
	return true;
}

static bool run(struct run *r, GError **error)
{
	unsigned flying = 0, slot = 0;
	int ret = 0;

	while (!ret && flying < r->opts->iodepth && r->begun < r->meter->count) {
		ret = begin(r, flying);
		flying++;
	}
	while (!ret && flying) {
		if (!end(r, &slot, error))
			return false;
		flying--;
		if (bench_meter_over(r->meter, r->meter->last, r->begun))
			continue;
		ret = begin(r, slot);
		flying++;
	}
	return ret ? failed(r->side, ret, r->op->name, error) : true;
}

bool bench_disk_run(struct bench *b, struct bench_side *s, enum bench_op op, unsigned round,
		    struct bench_meter *m, GError **error)
{
	const struct bench_opts *o = &b->opts;
	uint64_t size = o->size ? o->size : s->disk.blocks * s->disk.block_size;
	/* Each side has the same places in the same round. */
	uint32_t seed[] = { o->seed, o->seed >> 32, round };
	g_autoptr(GRand) rand = g_rand_new_with_seed_array(seed, G_N_ELEMENTS(seed));
	g_autofree struct run *r = g_new0(struct run, 1);

	r->side = s;
	r->opts = o;
	r->op = &bench_ops[op];
	r->meter = m;
	r->rand = rand;
	r->blocks = o->bs / s->disk.block_size;
	r->places = size / o->bs;
	return run(r, error);
}
