/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Remotes that lie: what registers say, and what is written to guest RAM.  The remote is a table of
 * registers and a function that is called when a command has been started.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../util.h"
#include "base/num.h"
#include "client/client-priv.h"
#include "initiator/initiator.h"
#include "initiator/layout.h"
#include "initiator/scsi.h"

#define RAM (1u << 20)
#define DATA INITIATOR_RAM
#define SHORT_MS 20

struct fake {
	struct client client;		/* first */
	struct initiator *initiator;
	uint8_t regs[256];
	void (*started)(struct fake *f);
	unsigned resets, taken;		/* SRST; links of the done queue that were filled */
	int fail;			/* of every access; 0: none */
};

static struct ram_slot *slot_at(struct fake *f, unsigned n)
{
	return (struct ram_slot *)(f->client.mem + RAM_SLOTS + n * RAM_SLOT_SIZE);
}

static void interrupt(struct fake *f)
{
	must(eventfd_write(f->client.irqfd, 1));
}

static void done(struct fake *f, uint32_t addr)
{
	put_le32(f->client.mem + RAM_DONE + f->taken++ % RAM_QUEUE * 8, addr);
	f->regs[R_ISTAT0] |= ISTAT0_INTF;
	interrupt(f);
}

/* The first command is in the last slot that is free: slot 0. */
static void good(struct fake *f)
{
	slot_at(f, 0)->status_byte = 0;
	done(f, RAM_SLOTS);
}

static void script_stops(struct fake *f, uint32_t dsps, uint32_t dsa)
{
	f->regs[R_ISTAT0] |= ISTAT0_DIP;
	f->regs[R_DSTAT] = DSTAT_SIR;
	put_le32(f->regs + R_DSPS, dsps);
	put_le32(f->regs + R_DSA, dsa);
	interrupt(f);
}

/* ---- the client ---- */

static int fake_cfg_read(struct client *c, uint32_t addr, int32_t len, uint64_t *ret_val)
{
	*ret_val = addr ? 0 : 0x00121000;
	return 0;
}

static int fake_cfg_write(struct client *c, uint32_t addr, uint32_t val, int32_t len)
{
	return 0;
}

static int fake_read(struct client *c, unsigned bar, uint64_t off, uint32_t size,
		     uint64_t *ret_val)
{
	struct fake *f = (struct fake *)c;

	g_assert_cmpuint(off + size, <=, sizeof(f->regs));
	/* more than was asked for */
	*ret_val = 0xdeadbeef00000000ULL | get_le32(f->regs + (off & ~3ULL)) >> (8 * (off & 3));
	return f->fail;
}

static int fake_write(struct client *c, unsigned bar, uint64_t off, uint32_t size, uint64_t val)
{
	struct fake *f = (struct fake *)c;

	g_assert_cmpuint(off + size, <=, sizeof(f->regs));
	if (off != R_ISTAT0)
		return f->fail;
	if (val & ISTAT0_SRST) {
		memset(f->regs, 0, sizeof(f->regs));
		f->resets++;
		f->taken = 0;
	}
	if (val & ISTAT0_INTF)
		f->regs[R_ISTAT0] &= ~ISTAT0_INTF;
	if (val == ISTAT0_SIGP && f->started)
		f->started(f);
	return f->fail;
}

static int fake_eoi(struct client *c)
{
	return 0;
}

static int fake_size_bar(struct client *c, unsigned i)
{
	c->bar[i] = (struct client_bar){ .present = i == 1, .size = 1024 };
	return 0;
}

static int fake_config_size(struct client *c, uint64_t *ret_size)
{
	*ret_size = 256;
	return 0;
}

static const struct client_ops fake_ops = {
	.name = "fake", .cfg_read = fake_cfg_read, .cfg_write = fake_cfg_write,
	.region_read = fake_read, .region_write = fake_write, .eoi = fake_eoi,
	.size_bar = fake_size_bar, .config_size = fake_config_size,
};

static void up(struct fake *f, void (*started)(struct fake *f))
{
	*f = (struct fake){ .started = started };
	f->client = (struct client){
		.ops = &fake_ops, .fd = -1, .mem_fd = -1, .resamplefd = -1,
		.mem = g_malloc0(RAM), .mem_size = RAM, .irqfd = must(eventfd(0, EFD_CLOEXEC)),
	};
	g_assert_cmpint(initiator_create(&f->client, &f->initiator), ==, 0);
	f->resets = 0;
}

static void down(struct fake *f)
{
	initiator_destroy(f->initiator);
	close(f->client.irqfd);
	g_free(f->client.mem);
}

static struct initiator_cmd command(void)
{
	return (struct initiator_cmd){
		.cdb = { 0x28 }, .cdb_len = 10, .dir = INITIATOR_IN, .addr = DATA, .len = 512,
	};
}

/* ---- lies ---- */

static void no_slot(struct fake *f)
{
	done(f, 0x12345678);
}

static void inside_a_slot(struct fake *f)
{
	done(f, RAM_SLOTS + 4);
}

static void free_slot(struct fake *f)
{
	done(f, RAM_SLOTS + RAM_SLOT_SIZE);
}

static void behind_slots(struct fake *f)
{
	done(f, RAM_SLOTS + INITIATOR_MAX_DEPTH * RAM_SLOT_SIZE);
}

static void nobody(struct fake *f)
{
	done(f, RAM_NOBODY);
}

static void full_ring(struct fake *f)
{
	for (unsigned i = 0; i < RAM_QUEUE; i++)
		done(f, RAM_SLOTS + RAM_SLOT_SIZE);
}

static void moved_too_far(struct fake *f)
{
	put_le32(&slot_at(f, 0)->data.addr, DATA + 513);
	good(f);
}

static void moved_back(struct fake *f)
{
	put_le32(&slot_at(f, 0)->data.addr, DATA - 1);
	good(f);
}

static void unknown_stop(struct fake *f)
{
	script_stops(f, 0x1000, RAM_SLOTS);
}

static void stop_zero(struct fake *f)
{
	script_stops(f, 0, RAM_SLOTS);
}

static void status_of_nothing(struct fake *f)
{
	script_stops(f, STOP_STATUS, 0xffffffff);
}

static void status_of_free(struct fake *f)
{
	script_stops(f, STOP_STATUS, RAM_SLOTS + 5 * RAM_SLOT_SIZE);
}

static void interrupt_for_nothing(struct fake *f)
{
	f->regs[R_ISTAT0] |= ISTAT0_DIP | ISTAT0_SIP;
	interrupt(f);
}

static void no_target_of_nothing(struct fake *f)
{
	f->regs[R_ISTAT0] |= ISTAT0_SIP;
	put_le16(f->regs + R_SIST0, SIST_STO);
	interrupt(f);
}

static const struct lie {
	const char *name;
	void (*started)(struct fake *f);
	const char *words;
} lies[] = {
	{ "no-slot", no_slot, "has ended which is none" },
	{ "inside-a-slot", inside_a_slot, "has ended which is none" },
	{ "free-slot", free_slot, "has ended which is none" },
	{ "behind-slots", behind_slots, "has ended which is none" },
	{ "nobody", nobody, "has ended which is none" },
	{ "full-ring", full_ring, "has ended which is none" },
	{ "moved-too-far", moved_too_far, "outside of the command's buffer" },
	{ "moved-back", moved_back, "outside of the command's buffer" },
	{ "unknown-stop", unknown_stop, "reason 0x1000" },
	{ "stop-zero", stop_zero, "reason 0x0" },
	{ "status-of-nothing", status_of_nothing, "for no command" },
	{ "status-of-free", status_of_free, "for no command" },
	{ "interrupt-for-nothing", interrupt_for_nothing, "interrupts for nothing" },
	{ "no-target-of-nothing", no_target_of_nothing, "for no command" },
};

/* -EPROTO, with a word of what it was, from then on. */
static void test_lie(gconstpointer data)
{
	const struct lie *lie = data;
	struct initiator_cmd cmd = command(), *ended;
	struct fake f;

	up(&f, lie->started);
	g_assert_cmpint(initiator_submit(f.initiator, &cmd), ==, 0);
	g_assert_cmpint(initiator_reap(f.initiator, SHORT_MS, &ended), ==, -EPROTO);
	g_assert_nonnull(strstr(initiator_why(f.initiator, -EPROTO), lie->words));
	g_assert_cmpint(initiator_reap(f.initiator, -1, &ended), ==, -EPROTO);
	g_assert_cmpint(initiator_submit(f.initiator, &cmd), ==, -EPROTO);
	down(&f);
}

static void twice(struct fake *f)
{
	good(f);
	done(f, RAM_SLOTS);
}

/* A command that ends again. */
static void test_twice(void)
{
	struct initiator_cmd cmd = command(), *ended = NULL;
	struct fake f;

	up(&f, twice);
	g_assert_cmpint(initiator_submit(f.initiator, &cmd), ==, 0);
	g_assert_cmpint(initiator_reap(f.initiator, SHORT_MS, &ended), ==, -EPROTO);
	down(&f);
}

/* ---- silence and noise ---- */

static void nothing(struct fake *f)
{
}

static void test_silence(void)
{
	struct initiator_cmd cmd = command();
	struct fake f;

	up(&f, nothing);
	g_assert_cmpint(initiator_execute(f.initiator, &cmd, SHORT_MS), ==, -ETIMEDOUT);
	g_assert_cmpuint(f.resets, ==, 1);
	f.started = good;
	g_assert_cmpint(initiator_execute(f.initiator, &cmd, 60000), ==, 0);
	down(&f);
}

/* An interrupt at each look, with nothing behind it. */
static int noisy_eoi(struct client *c)
{
	must(eventfd_write(c->irqfd, 1));
	return 0;
}

static void test_noise(void)
{
	struct client_ops noisy = fake_ops;
	struct initiator_cmd cmd = command(), *ended;
	struct fake f;

	noisy.eoi = noisy_eoi;
	up(&f, interrupt);
	f.client.ops = &noisy;
	g_assert_cmpint(initiator_submit(f.initiator, &cmd), ==, 0);
	g_assert_cmpint(initiator_reap(f.initiator, SHORT_MS, &ended), ==, -EAGAIN);
	down(&f);
}

static void test_gone(void)
{
	struct initiator_cmd cmd = command(), *ended;
	struct fake f;

	up(&f, interrupt);
	g_assert_cmpint(initiator_submit(f.initiator, &cmd), ==, 0);
	f.fail = -ENODATA;
	g_assert_cmpint(initiator_reap(f.initiator, SHORT_MS, &ended), ==, -ENODATA);
	f.fail = 0;
	g_assert_cmpint(initiator_submit(f.initiator, &cmd), ==, -ENODATA);
	down(&f);
}

/* ---- sense data ---- */

static uint8_t sense_status;
static uint8_t sense_byte;
static uint32_t sense_moved;

/* CHECK CONDITION; then REQUEST SENSE, which the write of DSP starts and this one ends at once. */
static void check_condition(struct fake *f)
{
	struct ram_slot *slot = slot_at(f, 0);

	slot->status_byte = 0x02;
	script_stops(f, STOP_STATUS, RAM_SLOTS);
}

static void end_sense(struct fake *f)
{
	struct ram_slot *slot = slot_at(f, 0);

	f->regs[R_ISTAT0] = 0;
	memset(f->client.mem + RAM_SENSE, sense_byte, INITIATOR_SENSE);
	put_le32(&slot->data.addr, RAM_SENSE + sense_moved);
	slot->status_byte = sense_status;
	if (sense_status)
		script_stops(f, STOP_STATUS, RAM_SLOTS);
	else
		done(f, RAM_SLOTS);
}

static void test_sense(void)
{
	static const struct {
		uint8_t status, byte;
		uint32_t moved;
		int ret;
		uint8_t len;
	} rows[] = {
		{ 0x00, 0xff, 96, 0, 96 }, { 0x00, 0x00, 96, 0, 8 }, { 0x00, 0x70, 18, 0, 18 },
		{ 0x00, 0x70, 7, 0, 0 }, { 0x00, 0x70, 0, 0, 0 }, { 0x00, 0x70, 97, -EPROTO, 0 },
		{ 0x00, 0x70, UINT32_MAX, -EPROTO, 0 }, { 0x02, 0x70, 18, 0, 0 },
		{ 0x08, 0x70, 18, 0, 0 },
	};
	struct initiator_cmd *ended;

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct initiator_cmd cmd = command();
		struct fake f;

		g_test_message("row %u", i);
		sense_status = rows[i].status;
		sense_byte = rows[i].byte;
		sense_moved = rows[i].moved;
		up(&f, check_condition);
		g_assert_cmpint(initiator_submit(f.initiator, &cmd), ==, 0);
		g_assert_cmpint(initiator_reap(f.initiator, SHORT_MS, &ended), ==, -EAGAIN);
		end_sense(&f);
		g_assert_cmpint(initiator_reap(f.initiator, 60000, &ended), ==, rows[i].ret);
		if (!rows[i].ret) {
			g_assert_cmphex(cmd.status, ==, 0x02);
			g_assert_cmpuint(cmd.sense_len, ==, rows[i].len);
		}
		down(&f);
	}
}

static void test_sense_text(void)
{
	static const struct {
		unsigned len;
		uint8_t sense[20];
		const char *text;
	} rows[] = {
		{ 0, { 0 }, NULL }, { 13, { 0x70, 0, 5 }, NULL }, { 7, { 0x72, 5 }, NULL },
		{ 18, { 0x00, 0, 5 }, NULL }, { 18, { 0x7f, 0, 5 }, NULL },
		{ 18, { 0xf0, 0, 3, 0, 0, 1, 0, 10, 0, 0, 0, 0, 0x11 },
		  "MEDIUM ERROR, unrecovered read error (3/11/00), LBA 256" },
		{ 18, { 0x70, 0, 0xf, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0xee, 0xdd },
		  "COMPLETED (F/ee/dd)" },
		{ 8, { 0x72, 7, 0x27, 0 }, "DATA PROTECT, write protected (7/27/00)" },
		{ 20, { 0x72, 3, 0x11, 0, 0, 0, 0, 12, 0, 10, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 2 },
		  "MEDIUM ERROR, unrecovered read error (3/11/00), LBA 4294967298" },
		/* a descriptor that is cut off; one without an end */
		{ 12, { 0x72, 3, 0x11, 0, 0, 0, 0, 12, 0, 10, 0x80, 0 },
		  "MEDIUM ERROR, unrecovered read error (3/11/00)" },
		{ 10, { 0x72, 3, 0x11, 0, 0, 0, 0, 2, 9, 255 },
		  "MEDIUM ERROR, unrecovered read error (3/11/00)" },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct scsi_sense_info info;
		char text[128];

		g_test_message("row %u", i);
		if (!rows[i].text) {
			g_assert_false(scsi_sense_read(rows[i].sense, rows[i].len, &info));
			continue;
		}
		g_assert_true(scsi_sense_read(rows[i].sense, rows[i].len, &info));
		scsi_sense_text(&info, text, sizeof(text));
		g_assert_cmpstr(text, ==, rows[i].text);
		scsi_sense_text(&info, text, 10);
		g_assert_cmpuint(strlen(text), ==, 9);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(lies); i++) {
		g_autofree char *path = g_strdup_printf("/initiator/lie/%s", lies[i].name);

		g_test_add_data_func(path, &lies[i], test_lie);
	}
	g_test_add_func("/initiator/twice", test_twice);
	g_test_add_func("/initiator/silence", test_silence);
	g_test_add_func("/initiator/noise", test_noise);
	g_test_add_func("/initiator/gone", test_gone);
	g_test_add_func("/initiator/sense", test_sense);
	g_test_add_func("/initiator/sense-text", test_sense_text);
	return g_test_run();
}
