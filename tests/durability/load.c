/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "load.h"

#include <string.h>
#include <sys/mman.h>

#include "base/num.h"
#include "block/block.h"
#include "block/rawio.h"
#include "ledger.h"
#include "port.h"
#include "scsi/scsi.h"

#define CACHE_ON 0x04		/* WCE, caching mode page (SBC-3 6.4.5) */

struct slot {
	bool busy;
	unsigned write;		/* the ledger's number; 0: none */
	bool durable;		/* when it is acknowledged, whatever the cache */
	uint64_t flush;		/* the ledger's; 0: it is none */
	uint64_t read;		/* the same of a read */
	uint32_t lba, blocks;
	enum { MODE_NONE, MODE_CACHE_OFF, MODE_CACHE_ON } mode;
	uint8_t *data;		/* PORT_WIDE_BLOCKS */
};

struct run {
	const struct load *load;
	struct load_count *count;
	GRand *rand;
	struct port *port;
	struct block *block;
	struct cutdisk *disk;
	struct ledger ledger;
	struct slot slot[PORT_SLOTS];
	unsigned busy;
	bool mode_busy;		/* a MODE SELECT is under way */
	bool cache_off;		/* as the host knows: it was told so, and has not asked for it */
	char bad[200];		/* what a read found that it may not */
	bool attention;		/* commands may be refused once, for a unit attention */
};

static unsigned pick(struct run *r, unsigned n)
{
	return g_rand_int_range(r->rand, 0, n);
}

/* ---- commands ---- */

/* What a command is to be made of. */
struct making {
	struct slot *slot;
	struct port_cmd cmd;
	uint32_t lba, blocks;
	bool cache_on;
};

static void put_write(struct run *r, struct making *m, enum ledger_kind kind, uint32_t sectors)
{
	struct slot *s = m->slot;

	s->write = ledger_issue(&r->ledger, kind, m->lba, m->blocks);
	for (uint32_t i = 0; i < sectors; i++)
		ledger_stamp(&r->ledger, s->write, m->lba + i, s->data + i * LEDGER_SECTOR);
	m->cmd.len = sectors * LEDGER_SECTOR;
	s->durable = false;
}

/* WRITE(10), with FUA or without */
static void make_write(struct run *r, struct making *m)
{
	bool fua = !pick(r, 3);

	/* Zeroes may be detected on their way, and not be written then. */
	put_write(r, m, pick(r, 5) ? LEDGER_DATA : LEDGER_ZERO, m->blocks);
	m->slot->durable |= fua;
	m->cmd.cdb[0] = 0x2a;
	m->cmd.cdb[1] = fua ? 0x08 : 0;
}

/* READ(10) */
static void make_read(struct run *r, struct making *m)
{
	m->cmd.cdb[0] = 0x28;
	m->cmd.len = m->blocks * LEDGER_SECTOR;
	m->cmd.in = true;
	m->slot->read = ledger_tick(&r->ledger);
}

/* WRITE AND VERIFY(10) */
static void make_verify(struct run *r, struct making *m)
{
	put_write(r, m, LEDGER_DATA, m->blocks);
	m->slot->durable = true;
	m->cmd.cdb[0] = 0x2e;
}

/* WRITE SAME(10) */
static void make_same(struct run *r, struct making *m)
{
	put_write(r, m, pick(r, 4) ? LEDGER_SAME : LEDGER_ZERO, 1);
	m->cmd.cdb[0] = 0x41;
}

/* WRITE SAME(16) with NDOB: zeroes; with UNMAP or without */
static void make_zero(struct run *r, struct making *m)
{
	put_write(r, m, LEDGER_ZERO, 0);
	m->cmd.cdb[0] = 0x93;
	m->cmd.cdb[1] = pick(r, 2) ? 0x09 : 0x01;
	m->cmd.cdb_len = 16;
	put_be64(m->cmd.cdb + 2, m->lba);
	put_be32(m->cmd.cdb + 10, m->blocks);
}

/* UNMAP: a hint, or what it leaves reads as zeroes; but only a flush makes it last. */
static void make_unmap(struct run *r, struct making *m)
{
	uint8_t *list = m->slot->data;

	put_write(r, m, LEDGER_ZERO, 0);
	r->ledger.write[m->slot->write].lazy = true;
	r->ledger.write[m->slot->write].hint = !r->block->zero_after_discard;
	memset(list, 0, 24);
	put_be16(list, 22);
	put_be16(list + 2, 16);
	put_be64(list + 8, m->lba);
	put_be32(list + 16, m->blocks);
	m->cmd.len = 24;
	memset(m->cmd.cdb, 0, sizeof(m->cmd.cdb));
	m->cmd.cdb[0] = 0x42;
	m->cmd.cdb[8] = 24;
}

/* SYNCHRONIZE CACHE(10) */
static void make_sync(struct run *r, struct making *m)
{
	memset(m->cmd.cdb, 0, sizeof(m->cmd.cdb));
	m->cmd.cdb[0] = 0x35;
	m->slot->flush = ledger_tick(&r->ledger);
}

/*
 * MODE SELECT(6), caching page, with writes under way.  Once it is known that the cache is off, all
 * that was acknowledged before is on the medium, and all that is acknowledged later.
 */
static void make_mode(struct run *r, struct making *m)
{
	memset(m->slot->data, 0, 24);
	m->slot->data[4] = 0x08;
	m->slot->data[5] = 18;
	m->slot->data[6] = m->cache_on ? 0 : CACHE_ON;
	m->cmd.len = 24;
	memset(m->cmd.cdb, 0, sizeof(m->cmd.cdb));
	m->cmd.cdb[0] = 0x15;
	m->cmd.cdb[1] = 0x10;
	m->cmd.cdb[4] = 24;
	m->cmd.cdb_len = 6;
	m->slot->mode = m->cache_on ? MODE_CACHE_OFF : MODE_CACHE_ON;
	if (m->cache_on)
		m->slot->flush = ledger_tick(&r->ledger);
	else
		r->cache_off = false;
	r->mode_busy = true;
}

typedef void make_fn(struct run *r, struct making *m);

static make_fn *const makers[] = {
	make_write, make_write, make_write, make_verify, make_same, make_zero, make_unmap,
	make_sync, make_sync, make_mode, make_read, make_read,
};

static struct slot *free_slot(struct run *r)
{
	unsigned first = pick(r, PORT_SLOTS);

	for (unsigned i = 0; i < PORT_SLOTS; i++)
		if (!r->slot[(first + i) % PORT_SLOTS].busy)
			return &r->slot[(first + i) % PORT_SLOTS];
	return NULL;
}

static bool is_wide(const struct run *r)
{
	return port_is_wide && r->load->seed / 2 % 4 == 3;
}

static uint32_t sectors(const struct run *r)
{
	return is_wide(r) ? PORT_WIDE_SECTORS : PORT_SECTORS;
}

/* Mostly where many others are. */
static void pick_range(struct run *r, struct making *m)
{
	bool wide = is_wide(r) && !pick(r, 3);
	uint32_t space = wide ? PORT_WIDE_SECTORS : PORT_SECTORS;
	uint32_t most = wide ? PORT_WIDE_BLOCKS : PORT_BLOCKS;

	m->lba = pick(r, space);
	m->blocks = 1 + pick(r, MIN(most, space - m->lba));
}

static void start(struct run *r)
{
	struct making m = { .slot = free_slot(r), .cmd.cdb_len = 10 };
	make_fn *make = makers[pick(r, G_N_ELEMENTS(makers))];

	if (!m.slot || ledger_full(&r->ledger) || (make == make_mode && r->mode_busy))
		return;
	m.cache_on = port_cache_on(r->port);
	pick_range(r, &m);
	put_be32(m.cmd.cdb + 2, m.lba);
	put_be16(m.cmd.cdb + 7, m.blocks);
	m.cmd.data = m.slot->data;
	m.slot->write = 0;
	m.slot->flush = m.slot->read = 0;
	m.slot->lba = m.lba;
	m.slot->blocks = m.blocks;
	m.slot->mode = MODE_NONE;
	make(r, &m);
	m.slot->busy = true;
	r->busy++;
	port_start(r->port, m.slot - r->slot, &m.cmd);
}

/* ---- their ends ---- */

static void check_read(struct run *r, const struct slot *s)
{
	for (uint32_t i = 0; i < s->blocks && !r->bad[0]; i++)
		ledger_check_read(&r->ledger, s->read, s->lba + i, s->data + i * LEDGER_SECTOR,
				  r->bad, sizeof(r->bad));
	r->count->read++;
}

static void slot_end(struct run *r, struct slot *s, bool good)
{
	if (s->write) {
		s->durable |= r->cache_off && !r->ledger.write[s->write].lazy;
		ledger_end(&r->ledger, s->write, good, s->durable);
	}
	if (s->read && good)
		check_read(r, s);
	if (s->mode == MODE_CACHE_OFF && good) {
		ledger_cache_off(&r->ledger, s->flush);
		r->cache_off = true;
	} else if (s->flush && good) {
		ledger_flushed(&r->ledger, s->flush);
	}
	if (s->mode)
		r->mode_busy = false;
	r->count->acked += good;
	r->count->durable += good && s->write && s->durable;
	r->count->flushed += good && s->flush;
	s->busy = false;
	r->busy--;
}

static void poll_all(struct run *r)
{
	uint8_t status;

	port_run(r->port);
	for (unsigned i = 0; i < PORT_SLOTS; i++) {
		if (!r->slot[i].busy || !port_ended(r->port, i, &status))
			continue;
		if (status == SCSI_CHECK_CONDITION && r->attention)
			r->count->refused++;
		else if (status != SCSI_GOOD)
			g_error("seed %u: status %02x", r->load->seed, status);
		slot_end(r, &r->slot[i], status == SCSI_GOOD);
	}
}

static void kill_some(struct run *r)
{
	enum port_kill how = pick(r, PORT_KILLS);
	unsigned slot = pick(r, PORT_SLOTS);

	if (!r->busy || (how == PORT_ABORT_TAG && !r->slot[slot].busy))
		return;
	port_kill(r->port, slot, how);
	if (how >= PORT_BUS_DEVICE_RESET) {	/* mode pages go back to their defaults */
		r->attention = true;
		r->cache_off = false;
	}
	for (unsigned i = 0; i < PORT_SLOTS; i++) {
		if (!r->slot[i].busy || (how == PORT_ABORT_TAG && i != slot))
			continue;
		r->count->killed++;
		slot_end(r, &r->slot[i], false);
	}
}

/* ---- the run ---- */

static void run_steps(struct run *r)
{
	unsigned steps = 10 + pick(r, 80);
	/* A disk that goes by age, or one that lets requests lie for long. */
	unsigned oldest = pick(r, 2) ? 2 : 100, pace = 2 + pick(r, 4);

	while (steps--) {
		if (r->load->kills && !pick(r, r->load->kills))
			kill_some(r);
		else if (pick(r, pace))
			start(r);
		else
			cut_step(r->disk, r->rand, oldest);
		poll_all(r);
	}
}

static void run_to_end(struct run *r)
{
	while (r->busy || cut_waiting(r->disk)) {
		cut_step(r->disk, r->rand, 100);
		poll_all(r);
	}
}

static bool judge(struct run *r, char *why, unsigned why_size)
{
	static uint8_t disk[PORT_WIDE_SECTORS * LEDGER_SECTOR];

	if (r->bad[0]) {
		g_snprintf(why, why_size, "a read: %s", r->bad);
		return false;
	}
	memcpy(disk, cut_data(r->disk), sectors(r) * LEDGER_SECTOR);
	if (r->load->cut)
		cut_power(r->disk, r->rand, disk);
	else
		ledger_all_durable(&r->ledger);
	return ledger_check_all(&r->ledger, disk, why, why_size);
}

/* What a raw image can stand on. */
static const struct raw_row {
	struct cut_host host;
	struct block_raw_config config;
	uint32_t align;			/* of O_DIRECT */
} raw_rows[] = {
	{ .host = { .short_writes = true } },
	{ .host = { .no_dsync = true, .short_writes = true } },
	{ .host = { .no_fallocate = true }, .config = { .discard = true } },
	{ .config = { .discard = true, .detect_zeroes = RAW_DETECT_UNMAP } },
	{ .config = { .direct = true }, .align = 4096, .host = { .short_writes = true } },
	{ .config = { .direct = true, .discard = true, .probed_raw = true }, .align = 4096,
	  .host = { .no_dsync = true, .no_fallocate = true } },
};

static const struct raw_row *raw_row(const struct load *load)
{
	return &raw_rows[load->seed / 2 % G_N_ELEMENTS(raw_rows)];
}

static struct block *make_raw(struct loop *loop, void *opaque)
{
	const struct raw_row *row = raw_row(opaque);
	struct block_raw_config config = row->config;
	struct block *block;

	config.fd = memfd_create("image", MFD_CLOEXEC);
	config.size = PORT_WIDE_SECTORS * LEDGER_SECTOR;
	config.sys = &cut_sys;
	g_assert_cmpint(raw_create(loop, NULL, &config, &block), ==, 0);
	if (row->align) {
		struct raw_block *raw = (struct raw_block *)block;

		raw->io.align = raw->io.mem_align = block->overlap_align = row->align;
	}
	return block;
}

static void make_disk(struct run *r)
{
	static const uint32_t physical[] = { 512, 4096 };
	static uint8_t content[PORT_WIDE_SECTORS * LEDGER_SECTOR];

	ledger_init(&r->ledger, sectors(r));
	for (uint32_t lba = 0; lba < sectors(r); lba++)
		ledger_stamp(&r->ledger, 0, lba, content + lba * LEDGER_SECTOR);
	r->disk = cut_attach(r->block, content, sectors(r) * LEDGER_SECTOR,
			     physical[r->load->seed % 2], r->load->defect);
	if (r->load->raw) {
		struct cut_host host = raw_row(r->load)->host;

		host.raw = true;
		cut_set_host(r->disk, &host);
	}
}

bool load_run(const struct load *load, struct load_count *count, char *why, unsigned why_size)
{
	struct run *r = g_new0(struct run, 1);
	bool good;

	for (unsigned i = 0; i < PORT_SLOTS; i++)
		r->slot[i].data = g_malloc(PORT_WIDE_BLOCKS * LEDGER_SECTOR);
	r->load = load;
	r->count = count;
	r->rand = g_rand_new_with_seed(load->seed);
	r->port = port_up(load->raw ? make_raw : NULL, (void *)(uintptr_t)load, &r->block);
	make_disk(r);
	run_steps(r);
	if (!load->cut)
		run_to_end(r);
	good = judge(r, why, why_size);
	run_to_end(r);
	cut_detach(r->disk);
	port_down(r->port);
	for (unsigned i = 0; i < PORT_SLOTS; i++)
		g_free(r->slot[i].data);
	g_rand_free(r->rand);
	g_free(r);
	return good;
}
