/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "initiator/scsi.h"
#include "model.h"

#define SHORT_MS 20		/* a wait that is meant to end without anything */
#define LONG_MS 20000
#define SECTOR 512u

/* Too large for a stack. */
static struct initiator_cmd many[INITIATOR_MAX_DEPTH];

static struct initiator_cmd rw(unsigned target, unsigned lun, bool write, uint32_t lba,
			       unsigned sectors, uint64_t addr)
{
	struct initiator_cmd cmd = {
		.target = target, .lun = lun, .cdb = { write ? 0x2a : 0x28 }, .cdb_len = 10,
		.dir = write ? INITIATOR_OUT : INITIATOR_IN, .addr = addr, .len = sectors * SECTOR,
	};

	put_be32(cmd.cdb + 2, lba);
	put_be16(cmd.cdb + 7, sectors);
	return cmd;
}

static struct initiator_cmd no_data(unsigned target, unsigned lun, uint8_t op)
{
	return (struct initiator_cmd){
		.target = target, .lun = lun, .cdb = { op }, .cdb_len = op == 0x35 ? 10 : 6,
	};
}

/* It works: READ of a sector, right data. */
static void assert_works(struct model *m)
{
	struct initiator_cmd cmd;

	do {
		cmd = rw(0, 0, false, 7, 1, MODEL_DATA);
		g_assert_cmpint(initiator_execute(m->initiator, &cmd, LONG_MS), ==, 0);
	} while (scsi_retry(&cmd));
	g_assert_cmphex(cmd.status, ==, 0);
	g_assert_cmpuint(cmd.moved, ==, SECTOR);
	g_assert_cmpmem(m->rig.ram + MODEL_DATA, SECTOR, m->rig.disk[0].data + 7 * SECTOR, SECTOR);
}

/* Takes the unit attentions. */
static void make_ready(struct model *m)
{
	static const uint8_t units[RIG_DISKS][2] = { { 0, 0 }, { 1, 0 }, { 0, 1 } };

	for (unsigned i = 0; i < RIG_DISKS; i++) {
		struct initiator_cmd cmd;
		unsigned tries = 4;

		do {
			cmd = no_data(units[i][0], units[i][1], 0x00);
			g_assert_cmpint(initiator_execute(m->initiator, &cmd, LONG_MS), ==, 0);
		} while (scsi_retry(&cmd) && tries--);
		g_assert_cmphex(cmd.status, ==, 0);
	}
}

static void up(struct model *m)
{
	model_up(m, &lsi53c895a_class);
	make_ready(m);
}

/* The next that ends. */
static struct initiator_cmd *reap(struct model *m)
{
	struct initiator_cmd *cmd = NULL;

	g_assert_cmpint(initiator_reap(m->initiator, LONG_MS, &cmd), ==, 0);
	return cmd;
}

static void expect_why(struct model *m, const char *words)
{
	const char *why = initiator_why(m->initiator, -EIO);

	if (!strstr(why, words))
		g_error("\"%s\" instead of \"%s\"", why, words);
}

/* ---- what goes wrong ---- */

/* Each ends its command with -EIO and a word of what it was, and leaves an initiator that works. */
static void bus_mastering_off(struct model *m)
{
	pci_config_write(&m->rig.dev, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY, 2);
}

static void no_instruction(struct model *m)
{
	memset(m->rig.ram + 0x1000, 0xff, 0x600);	/* the scripts */
}

static void reset_bus(struct model *m)
{
	wr8(&m->rig, R_SCNTL1, SCNTL1_RST);
	wr8(&m->rig, R_SCNTL1, 0);
}

static void abort_chip(struct model *m)
{
	wr8(&m->rig, R_ISTAT0, ISTAT0_ABRT);
	wr8(&m->rig, R_ISTAT0, 0);
}

static const struct fault {
	const char *what;		/* words of the error */
	void (*before)(struct model *m);
	void (*while_held)(struct model *m);
	uint8_t op;
	unsigned sectors, len;
	enum initiator_dir dir;
} faults[] = {
	{ "bus fault", bus_mastering_off, NULL, 0x28, 1, SECTOR, INITIATOR_IN },
	{ "illegal instruction", no_instruction, NULL, 0x28, 1, SECTOR, INITIATOR_IN },
	{ "bus was reset", NULL, reset_bus, 0x28, 1, SECTOR, INITIATOR_IN },
	{ "aborted", NULL, abort_chip, 0x28, 1, SECTOR, INITIATOR_IN },
	{ "more data", NULL, NULL, 0x28, 8, SECTOR, INITIATOR_IN },
	{ "more data", NULL, NULL, 0x2a, 8, SECTOR, INITIATOR_OUT },
	{ "more data", NULL, NULL, 0x28, 1, 0, INITIATOR_NO_DATA },
	{ "more data", NULL, NULL, 0x2a, 1, 0, INITIATOR_NO_DATA },
	{ "the other way", NULL, NULL, 0x28, 1, SECTOR, INITIATOR_OUT },
	{ "the other way", NULL, NULL, 0x2a, 1, SECTOR, INITIATOR_IN },
};

static void test_fault(gconstpointer data)
{
	const struct fault *f = data;
	struct initiator_cmd cmd = rw(0, 0, false, 0, f->sectors, MODEL_DATA), other, *first;
	struct model m;

	up(&m);
	/* with another in flight, which ends in the same way */
	other = rw(1, 0, false, 0, 1, MODEL_DATA + 0x10000);
	m.rig.disk[1].hold = true;
	m.rig.disk[0].hold = f->while_held != NULL;
	g_assert_cmpint(initiator_submit(m.initiator, &other), ==, 0);
	if (f->before)
		f->before(&m);
	cmd.cdb[0] = f->op;
	cmd.dir = f->dir;
	cmd.len = f->len;
	g_assert_cmpint(initiator_submit(m.initiator, &cmd), ==, 0);
	if (f->while_held)
		f->while_held(&m);
	model_settle(&m);
	rig_place(&m.rig);
	first = reap(&m);
	g_assert_true(first == &cmd || first == &other);
	g_assert_cmpint(first->ret, ==, -EIO);
	first = reap(&m);
	g_assert_cmpint(first->ret, ==, -EIO);
	expect_why(&m, f->what);
	m.rig.disk[0].hold = m.rig.disk[1].hold = false;
	for (unsigned i = 0; i < 2; i++)
		while (m.rig.disk[i].count)
			rig_end(&m.rig, i, 0);
	/* the scripts are put there once */
	if (f->before == no_instruction) {
		initiator_destroy(m.initiator);
		g_assert_cmpint(initiator_create(&m.client, &m.initiator), ==, 0);
	}
	assert_works(&m);
	model_down(&m);
}

static void test_no_target(void)
{
	struct initiator_cmd held, nobody;
	struct model m;

	up(&m);
	m.rig.disk[1].hold = true;
	held = rw(1, 0, false, 3, 2, MODEL_DATA);
	nobody = no_data(5, 0, 0);
	g_assert_cmpint(initiator_submit(m.initiator, &held), ==, 0);
	g_assert_cmpint(initiator_submit(m.initiator, &nobody), ==, 0);
	g_assert_true(reap(&m) == &nobody);
	g_assert_cmpint(nobody.ret, ==, -ENODEV);
	expect_why(&m, "no target 5");
	rig_end(&m.rig, 1, 0);
	model_settle(&m);
	g_assert_true(reap(&m) == &held);
	g_assert_cmpint(held.ret, ==, 0);
	g_assert_cmpuint(held.moved, ==, 2 * SECTOR);
	model_down(&m);
}

static void test_timeout(void)
{
	struct initiator_cmd cmd = rw(0, 0, false, 0, 1, MODEL_DATA), *none;
	struct model m;

	up(&m);
	g_assert_cmpint(initiator_reap(m.initiator, -1, &none), ==, -EAGAIN);
	m.rig.disk[0].hold = true;
	g_assert_cmpint(initiator_execute(m.initiator, &cmd, SHORT_MS), ==, -ETIMEDOUT);
	expect_why(&m, "no answer");
	m.rig.disk[0].hold = false;
	rig_end(&m.rig, 0, 0);
	assert_works(&m);
	model_down(&m);
}

/* Nothing of a command is in guest RAM after the initiator's end. */
static void test_destroy(void)
{
	struct initiator_cmd cmd = rw(0, 0, false, 1, 1, MODEL_DATA);
	struct model m;

	up(&m);
	m.rig.disk[0].hold = true;
	g_assert_cmpint(initiator_submit(m.initiator, &cmd), ==, 0);
	initiator_destroy(m.initiator);
	m.initiator = NULL;
	memset(m.rig.ram, 0x5a, RIG_RAM);
	m.rig.disk[0].hold = false;
	rig_end(&m.rig, 0, 0);
	rig_settle(&m.rig);
	for (unsigned i = 0; i < RIG_RAM; i++)
		if (m.rig.ram[i] != 0x5a)
			g_error("0x%x was written", i);
	model_down(&m);
}

static void test_arguments(void)
{
	static const struct {
		unsigned target, lun, cdb_len;
		uint64_t addr;
		uint32_t len;
	} rows[] = {
		{ 16, 0, 6, MODEL_DATA, 16 }, { 0, 64, 6, MODEL_DATA, 16 },
		{ 0, 0, 0, MODEL_DATA, 16 }, { 0, 0, 17, MODEL_DATA, 16 },
		{ 0, 0, 6, MODEL_DATA - 1, 16 }, { 0, 0, 6, 0, 16 },
		{ 0, 0, 6, RIG_RAM - 15, 16 }, { 0, 0, 6, RIG_RAM, 1 },
		{ 0, 0, 6, UINT64_MAX - 15, 16 }, { 0, 0, 6, MODEL_DATA, 1u << 24 },
	};
	struct model m;

	up(&m);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct initiator_cmd cmd = {
			.target = rows[i].target, .lun = rows[i].lun, .cdb_len = rows[i].cdb_len,
			.dir = INITIATOR_IN, .addr = rows[i].addr, .len = rows[i].len,
		};

		g_test_message("row %u", i);
		g_assert_cmpint(initiator_submit(m.initiator, &cmd), ==, -EINVAL);
	}
	assert_works(&m);
	model_down(&m);
}

/* ---- sense ---- */

static void test_sense(void)
{
	struct initiator_cmd cmd, held = rw(0, 0, false, 9, 1, MODEL_DATA + 0x1000);
	struct scsi_sense_info info;
	struct model m;
	char why[128];

	up(&m);
	m.rig.disk[0].hold = true;
	g_assert_cmpint(initiator_submit(m.initiator, &held), ==, 0);
	/* the next commands are in the start queue when it fails: its sense comes before them */
	cmd = rw(0, 0, false, DISK_SECTORS, 1, MODEL_DATA);
	g_assert_cmpint(initiator_submit(m.initiator, &cmd), ==, 0);
	g_assert_true(reap(&m) == &cmd);
	g_assert_cmpint(cmd.ret, ==, 0);
	g_assert_cmphex(cmd.status, ==, 0x02);
	g_assert_cmpuint(cmd.moved, ==, 0);
	g_assert_true(scsi_sense_read(cmd.sense, cmd.sense_len, &info));
	g_assert_cmphex(info.key << 16 | info.asc << 8 | info.ascq, ==, 0x052100);
	g_assert_cmpint(scsi_result(m.initiator, &cmd, why, sizeof(why)), ==, -EIO);
	g_assert_cmpstr(why, ==, "READ at LBA 4096: ILLEGAL REQUEST, logical block address out of "
			"range (5/21/00)");
	rig_end(&m.rig, 0, 0);
	model_settle(&m);
	g_assert_true(reap(&m) == &held);
	g_assert_cmphex(held.status, ==, 0);
	model_down(&m);
}

/* A disk that fails, with a full queue of commands for it. */
static void test_medium_errors(void)
{
	struct initiator_cmd *cmd = many;
	struct scsi_sense_info info;
	struct model m;

	up(&m);
	m.rig.disk[0].fail = EIO;
	for (unsigned i = 0; i < INITIATOR_MAX_DEPTH; i++) {
		cmd[i] = rw(0, 0, false, i, 1, MODEL_DATA + i * SECTOR);
		g_assert_cmpint(initiator_submit(m.initiator, &cmd[i]), ==, 0);
	}
	for (unsigned i = 0; i < INITIATOR_MAX_DEPTH; i++) {
		struct initiator_cmd *ended = reap(&m);

		g_assert_cmpint(ended->ret, ==, 0);
		g_assert_cmphex(ended->status, ==, 0x02);
		g_assert_true(scsi_sense_read(ended->sense, ended->sense_len, &info));
		g_assert_cmphex(info.key, !=, 0);
	}
	m.rig.disk[0].fail = 0;
	assert_works(&m);
	model_down(&m);
}

/* ---- what goes right ---- */

static void test_read_write(gconstpointer class)
{
	static const unsigned sizes[] = { 1, 8, 127, 256, 2048, 4000 };
	struct model m;

	model_up(&m, class);
	make_ready(&m);
	for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
		struct initiator_cmd cmd = rw(1, 0, false, 5, sizes[i], MODEL_DATA);
		uint8_t *data = m.rig.ram + MODEL_DATA;
		unsigned before = m.accesses;

		g_assert_cmpint(initiator_execute(m.initiator, &cmd, LONG_MS), ==, 0);
		g_assert_cmphex(cmd.status, ==, 0);
		g_assert_cmpuint(cmd.moved, ==, sizes[i] * SECTOR);
		g_assert_cmpmem(data, cmd.moved, m.rig.disk[1].data + 5 * SECTOR, cmd.moved);
		/* SIGP; ISTAT, INTF, ISTAT */
		g_assert_cmpuint(m.accesses - before, ==, 4);
		memset(data, i + 1, cmd.moved);
		cmd = rw(1, 0, true, 5, sizes[i], MODEL_DATA);
		g_assert_cmpint(initiator_execute(m.initiator, &cmd, LONG_MS), ==, 0);
		g_assert_cmphex(cmd.status, ==, 0);
		g_assert_cmpuint(cmd.moved, ==, sizes[i] * SECTOR);
		g_assert_cmpmem(m.rig.disk[1].data + 5 * SECTOR, cmd.moved, data, cmd.moved);
		g_assert_cmpuint(m.accesses - before, ==, 8);
	}
	model_down(&m);
}

static void test_short_data(void)
{
	struct initiator_cmd cmd = {
		.cdb = { 0x12, 0, 0, 0, 36 }, .cdb_len = 6, .dir = INITIATOR_IN, .addr = MODEL_DATA,
		.len = 0x10000,
	};
	struct model m;

	up(&m);
	memset(m.rig.ram + MODEL_DATA, 0xaa, 0x10000);
	g_assert_cmpint(initiator_execute(m.initiator, &cmd, LONG_MS), ==, 0);
	g_assert_cmpuint(cmd.moved, ==, 36);
	g_assert_cmpmem(m.rig.ram + MODEL_DATA + 8, 12, "TEST    DISK", 12);
	g_assert_cmphex(m.rig.ram[MODEL_DATA + 36], ==, 0xaa);
	model_down(&m);
}

static void submit_many(struct model *m, struct initiator_cmd *cmd)
{
	static const uint8_t units[RIG_DISKS][2] = { { 0, 0 }, { 1, 0 }, { 0, 1 } };

	for (unsigned i = 0; i < INITIATOR_MAX_DEPTH; i++) {
		const uint8_t *u = units[i % RIG_DISKS];

		cmd[i] = rw(u[0], u[1], false, 10 * i, 3, MODEL_DATA + i * 3 * SECTOR);
		g_assert_cmpint(initiator_submit(m->initiator, &cmd[i]), ==, 0);
	}
}

/* As many as can be, over targets and LUNs, which end in any order. */
static void test_depth(void)
{
	struct initiator_cmd *cmd = many, more = no_data(0, 0, 0), *none;
	unsigned seed = 1, begun;
	struct model m;

	up(&m);
	for (unsigned i = 0; i < RIG_DISKS; i++)
		m.rig.disk[i].hold = true;
	begun = m.accesses;
	submit_many(&m, cmd);
	g_assert_cmpint(initiator_submit(m.initiator, &more), ==, -EBUSY);
	g_assert_cmpint(initiator_reap(m.initiator, 0, &none), ==, -EAGAIN);
	for (unsigned left = INITIATOR_MAX_DEPTH; left; left--) {
		struct rig_disk *d;
		struct initiator_cmd *ended;
		unsigned i, disk;

		do
			disk = (seed = seed * 1103515245 + 12345) >> 16 & 3;
		while (disk >= RIG_DISKS || !m.rig.disk[disk].count);
		d = &m.rig.disk[disk];
		rig_end(&m.rig, disk, (seed >> 20) % d->count);
		model_settle(&m);
		ended = reap(&m);
		i = ended - cmd;
		g_assert_cmpuint(i % RIG_DISKS, ==, disk);
		g_assert_cmpint(ended->ret, ==, 0);
		g_assert_cmphex(ended->status, ==, 0);
		g_assert_cmpmem(m.rig.ram + ended->addr, ended->moved, d->data + 10 * i * SECTOR,
				3 * SECTOR);
	}
	g_assert_cmpuint(m.accesses - begun, ==, 4 * INITIATOR_MAX_DEPTH);
	model_down(&m);
}

/* Commands that end together have one interrupt. */
static void test_together(void)
{
	struct initiator_cmd *cmd = many;
	unsigned begun;
	struct model m;

	up(&m);
	begun = m.accesses;
	submit_many(&m, cmd);
	for (unsigned i = 0; i < INITIATOR_MAX_DEPTH; i++)
		g_assert_cmpint(reap(&m)->ret, ==, 0);
	g_assert_cmpuint(m.accesses - begun, ==, INITIATOR_MAX_DEPTH + 3);
	model_down(&m);
}

/* The queues are rings: more commands than they have links, several times over. */
static void test_many(void)
{
	struct initiator_cmd cmd[5];
	struct model m;

	up(&m);
	for (unsigned i = 0; i < 5; i++) {
		cmd[i] = rw(0, 0, false, i, 1, MODEL_DATA + i * SECTOR);
		g_assert_cmpint(initiator_submit(m.initiator, &cmd[i]), ==, 0);
	}
	for (unsigned n = 0; n < 1000; n++) {
		struct initiator_cmd *ended = reap(&m);

		g_assert_cmphex(ended->status, ==, 0);
		g_assert_cmpuint(ended->moved, ==, SECTOR);
		g_assert_cmpint(initiator_submit(m.initiator, ended), ==, 0);
	}
	model_down(&m);
}

static void test_no_data(void)
{
	struct initiator_cmd sync = no_data(0, 0, 0x35), read = rw(1, 0, false, 0, 1, MODEL_DATA);
	struct model m;

	up(&m);
	m.rig.disk[0].hold = true;
	g_assert_cmpint(initiator_submit(m.initiator, &sync), ==, 0);
	g_assert_cmpint(initiator_submit(m.initiator, &read), ==, 0);
	g_assert_true(reap(&m) == &read);
	rig_end(&m.rig, 0, 0);
	model_settle(&m);
	g_assert_true(reap(&m) == &sync);
	g_assert_cmpint(sync.ret, ==, 0);
	g_assert_cmphex(sync.status, ==, 0);
	g_assert_cmpuint(sync.moved, ==, 0);
	model_down(&m);
}

static void test_probe(void)
{
	struct scsi_host host;
	uint8_t luns[SCSI_LUNS];
	unsigned count;
	struct scsi_lu lu;
	struct model m;

	model_up(&m, &lsi53c895a_class);
	host = (struct scsi_host){
		.initiator = m.initiator, .client = &m.client, .scratch = MODEL_DATA,
		.timeout_ms = LONG_MS,
	};
	g_assert_cmpint(scsi_report_luns(&host, 0, luns, &count), ==, 0);
	g_assert_cmpuint(count, ==, 2);
	g_assert_cmpuint(luns[0] << 8 | luns[1], ==, 1);
	g_assert_cmpint(scsi_report_luns(&host, 5, luns, &count), ==, -ENODEV);
	g_assert_cmpint(scsi_probe(&host, 5, 0, &lu), ==, -ENODEV);
	g_assert_cmpint(scsi_probe(&host, 1, 3, &lu), ==, -ENXIO);
	g_assert_cmpint(scsi_probe(&host, 1, 0, &lu), ==, 0);
	g_assert_cmpstr(lu.vendor, ==, "TEST");
	g_assert_cmpstr(lu.product, ==, "DISK");
	g_assert_cmpstr(lu.revision, ==, "0.1");
	g_assert_cmpuint(lu.type, ==, SCSI_DISK);
	g_assert_cmpuint(lu.blocks, ==, DISK_SECTORS);
	g_assert_cmpuint(lu.block_size, ==, SECTOR);
	g_assert_false(lu.read_only);
	g_assert_cmpint(scsi_flush(&host, &lu), ==, 0);
	model_down(&m);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(faults); i++) {
		g_autofree char *path = g_strdup_printf("/initiator/fault/%u", i);

		g_test_add_data_func(path, &faults[i], test_fault);
	}
	g_test_add_func("/initiator/no-target", test_no_target);
	g_test_add_func("/initiator/timeout", test_timeout);
	g_test_add_func("/initiator/destroy", test_destroy);
	g_test_add_func("/initiator/arguments", test_arguments);
	g_test_add_func("/initiator/sense", test_sense);
	g_test_add_func("/initiator/medium-errors", test_medium_errors);
	g_test_add_data_func("/initiator/read-write", &lsi53c895a_class, test_read_write);
	g_test_add_data_func("/initiator/read-write-810", &lsi53c810_class, test_read_write);
	g_test_add_func("/initiator/short-data", test_short_data);
	g_test_add_func("/initiator/depth", test_depth);
	g_test_add_func("/initiator/together", test_together);
	g_test_add_func("/initiator/many", test_many);
	g_test_add_func("/initiator/no-data", test_no_data);
	g_test_add_func("/initiator/probe", test_probe);
	return g_test_run();
}
