/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "applets/proxy/bench/bench.h"
#include "base/clock.h"
#include "base/num.h"
#include "initiator/scsi.h"

/* Disk I/O: so many commands in flight, each followed by the next. */

#define TIMEOUT_MS 30000
#define TARGETS 16

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

static bool bad_status(struct bench_side *s, const struct initiator_cmd *cmd, GError **error)
{
	struct scsi_sense_info sense = { .key = 0 };

	scsi_sense_read(cmd->sense, cmd->sense_len, &sense);
	return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: command 0x%02x at disk %u:%u: status 0x%02x"
			", sense key %x, code %02x %02x", session_name(&s->session), cmd->cdb[0],
			cmd->target, cmd->lun, cmd->status, sense.key, sense.asc, sense.ascq);
}

/* ---- finding the disk ---- */

/* The unit that is meant, or the first disk. */
static bool find_disk(const struct bench_opts *o, struct bench_side *s, GError **error)
{
	unsigned first = o->target < 0 ? 0 : o->target;
	unsigned last = o->target < 0 ? TARGETS - 1 : first;
	struct scsi_host host = {
		.initiator = s->initiator, .client = &s->session.client,
		.scratch = INITIATOR_RAM, .timeout_ms = TIMEOUT_MS,
	};

	for (unsigned t = first; t <= last; t++) {
		struct scsi_lu lu = { .type = SCSI_NO_UNIT };
		int ret = scsi_probe(&host, t, MAX(o->lun, 0), &lu);

		if (ret && (host.broken || lu.type == SCSI_DISK))
			return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s",
					session_name(&s->session), host.why);
		s->disk.lu = lu;
		if (lu.type == SCSI_DISK)
			return true;
	}
	return o->target < 0 ?
		mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: no disk", session_name(&s->session)) :
		mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: no disk at %d:%d", session_name(&s->session),
			 o->target, MAX(o->lun, 0));
}

uint64_t bench_disk_size(const struct bench_disk *d)
{
	return d->lu.blocks * d->lu.block_size;
}

char *bench_disk_name(const struct bench_disk *d)
{
	const char *const part[] = { d->lu.vendor, d->lu.product, d->lu.revision };
	GString *name = g_string_new(NULL);

	for (unsigned i = 0; i < G_N_ELEMENTS(part); i++)
		g_string_append_printf(name, "%s%s", name->len && *part[i] ? " " : "", part[i]);
	return g_string_free(name, false);
}

static bool check_disk(const struct bench_opts *o, const struct bench_side *s, GError **error)
{
	const struct scsi_lu *lu = &s->disk.lu;
	uint64_t size = bench_disk_size(&s->disk);

	if (!size)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: a disk of %" G_GUINT64_FORMAT
				" blocks of %u bytes", session_name(&s->session), lu->blocks,
				lu->block_size);
	if (o->bs % lu->block_size)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "--bs %u: the disk has blocks of %u bytes",
				o->bs, lu->block_size);
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
	if (!find_disk(&b->opts, s, error) || !check_disk(&b->opts, s, error))
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

static int begin(struct run *r, unsigned slot)
{
	struct initiator_cmd *cmd = &r->cmd[slot];
	bool write = r->op->writes;

	if (r->op->reads && r->op->writes)
		write = (unsigned)g_rand_int_range(r->rand, 0, 100) >= r->opts->mix_reads;
	cmd->addr = INITIATOR_RAM + slot * slot_size(r->opts);
	cmd->opaque = &r->from[slot];
	scsi_rw(cmd, &r->side->disk.lu, write, next_place(r) * r->blocks, r->blocks, false);
	r->begun++;
	r->from[slot] = clock_ns();
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
	if (cmd->status != INITIATOR_GOOD)
		return bad_status(r->side, cmd, error);
	if (cmd->moved != cmd->len)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s: %u bytes of %u were moved",
				session_name(&r->side->session), r->op->name, cmd->moved, cmd->len);
	from = cmd->opaque;
	bench_meter_add(r->meter, *from, clock_ns());
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
	uint64_t size = o->size ? o->size : bench_disk_size(&s->disk);
	/* Each side has the same places in the same round. */
	uint32_t seed[] = { o->seed, o->seed >> 32, round };
	g_autoptr(GRand) rand = g_rand_new_with_seed_array(seed, G_N_ELEMENTS(seed));
	g_autofree struct run *r = g_new0(struct run, 1);

	r->side = s;
	r->opts = o;
	r->op = &bench_ops[op];
	r->meter = m;
	r->rand = rand;
	r->blocks = o->bs / s->disk.lu.block_size;
	r->places = size / o->bs;
	return run(r, error);
}
