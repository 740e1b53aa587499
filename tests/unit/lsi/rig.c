/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rig.h"

#include <stdlib.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"
#include "mem/arena.h"
#include "mem/memfd.h"

/* ---- time: the model's clock is this one, and moves when a test says so ---- */

static int64_t fake_now = 1000 * LOOP_MS;

int64_t loop_now(void)
{
	return fake_now;
}

void rig_set_clock(int64_t ns)
{
	fake_now = ns;
}

void rig_advance(struct rig *rig, int64_t ns)
{
	fake_now += ns;
	rig_pass(rig, 1);
}

/* ---- disks ---- */

static void disk_do(struct rig_disk *d, struct block_req *req)
{
	if (req->op == BLOCK_READ)
		memcpy(req->buf, d->data + req->off, req->len);
	else if (req->op == BLOCK_WRITE)
		memcpy(d->data + req->off, req->buf, req->len);
	else if (req->op == BLOCK_STATUS)
		req->ret_len = req->len;
}

static void disk_end(struct rig_disk *d, struct block_req *req, int ret)
{
	if (!ret)
		ret = -d->fail;
	if (!ret)
		disk_do(d, req);
	block_complete(req, ret);
}

static void disk_submit(struct block *block, struct block_req *req)
{
	struct rig_disk *d = (struct rig_disk *)block;

	d->reads += req->op == BLOCK_READ;
	if (!d->hold) {
		disk_end(d, req, 0);
		return;
	}
	g_assert_cmpuint(d->count, <, DISK_PENDING);
	d->pending[d->count++] = req;
}

static ssize_t disk_read_now(struct block *block, uint64_t off, const struct iovec *iov, int count)
{
	struct rig_disk *d = (struct rig_disk *)block;
	size_t n = 0, max = d->now_left ? d->now_left : SIZE_MAX;

	if (!d->now || d->fail)
		return -EAGAIN;
	d->nows++;
	for (int i = 0; i < count && n < max; i++) {
		size_t part = MIN(iov[i].iov_len, max - n);

		memcpy(iov[i].iov_base, d->data + off + n, part);
		n += part;
	}
	if (d->now_left) {
		d->now_left -= n;
		d->now = d->now_left;
	}
	return n;
}

static const struct block_ops disk_ops = {
	.name = "test", .submit = disk_submit, .read_now = disk_read_now,
};

void rig_end_with(struct rig *rig, unsigned disk, unsigned index, int ret)
{
	struct rig_disk *d = &rig->disk[disk];
	struct block_req *req = d->pending[index];

	g_assert_cmpuint(index, <, d->count);
	memmove(d->pending + index, d->pending + index + 1,
		(--d->count - index) * sizeof(d->pending[0]));
	disk_end(d, req, ret);
}

void rig_end(struct rig *rig, unsigned disk, unsigned index)
{
	rig_end_with(rig, disk, index, 0);
}

static void disk_init(struct rig *rig, unsigned i, unsigned target, unsigned lun)
{
	struct rig_disk *d = &rig->disk[i];
	struct scsi_unit_config *c = &rig->units[i].config;

	d->data = g_malloc(DISK_SECTORS * 512);
	for (unsigned at = 0; at < DISK_SECTORS * 512; at++)
		d->data[at] = at / 512 * 7 + at + i;
	block_init(&d->block, &disk_ops, rig->loop, DISK_SECTORS * 512);
	rig->units[i].block = &d->block;
	c->target = target;
	c->lun = lun;
	c->write_cache = 1;
	c->scsi_version = 5;
	c->logical_block_size = c->physical_block_size = 512;
	c->discard_granularity = UINT32_MAX;
	memcpy(c->vendor, "TEST    ", 9);
	memcpy(c->product, "DISK            ", 17);
	memcpy(c->version, "0.1 ", 5);
}

/* ---- what the device sees of its process ---- */

static void intx(void *opaque, bool level)
{
	struct rig *rig = opaque;

	rig->pin_edges += level && !rig->pin;
	rig->pin = level;
}

static void guest_error(void *opaque, const char *what)
{
	struct rig *rig = opaque;

	rig->guest_errors++;
}

static void count_dma(void *opaque, enum guestmem_dir dir, uint64_t gpa, const void *data,
		      size_t len)
{
	struct rig *rig = opaque;

	rig->dma_ops++;
	rig->dma_bytes += len;
}

/* ---- memory that is not shared ---- */

#define FROM_ENVIRONMENT (-2)
static int remote_delay = FROM_ENVIRONMENT;

void rig_set_remote(int delay)
{
	remote_delay = delay;
}

static uint8_t *remote_at(struct rig *rig)
{
	uint64_t gpa = rig->remote.gpa;

	return gpa >= RIG_HIGH ? rig->high + (gpa - RIG_HIGH) : rig->ram + gpa;
}

static void remote_move(struct rig *rig)
{
	struct rig_remote *r = &rig->remote;

	if (r->write)
		memcpy(remote_at(rig), r->data, r->len);
	else
		memcpy(r->data, remote_at(rig), r->len);
	r->pending = false;
}

/* One that takes the place of another: the VMM has done that by then, and nobody hears of it. */
static int dma_request(void *opaque, bool write, uint64_t gpa, const void *data, size_t len)
{
	struct rig *rig = opaque;
	struct rig_remote *r = &rig->remote;

	g_assert_cmpuint(len, <=, GUESTMEM_REMOTE_MAX);
	g_assert_true(write == (data != NULL));
	if (r->pending)
		remote_move(rig);
	r->pending = true;
	r->age = 0;
	r->write = write;
	r->gpa = gpa;
	r->len = len;
	if (write)
		memcpy(r->data, data, len);
	rig->dma_ops++;
	rig->dma_bytes += len;
	if (++r->asked == r->stop_at)
		r->hold = true;
	return 0;
}

void rig_answer(struct rig *rig, int err)
{
	struct rig_remote *r = &rig->remote;

	g_assert_true(r->pending);
	if (err)
		r->pending = false;
	else
		remote_move(rig);
	pci_dma_answered(&rig->dev, err, r->write ? NULL : r->data, r->len);
}

static void remote_pass(struct rig *rig)
{
	struct rig_remote *r = &rig->remote;

	if (r->pending && !r->hold && r->age++ >= r->delay)
		rig_answer(rig, 0);
}

static void remote_memory(struct rig *rig)
{
	const struct guestmem_region regions[2] = {
		{ .gpa = 0, .size = RIG_RAM, .fd = -1 },
		{ .gpa = RIG_HIGH, .size = RIG_HIGH_SIZE, .fd = -1 },
	};

	for (unsigned i = 0; i < 2; i++)
		g_assert_cmpint(guestmem_map(rig->mem, &regions[i]), ==, 0);
	rig->remote.on = true;
	rig->remote.delay = remote_delay;
	rig->remote.data = g_malloc(GUESTMEM_REMOTE_MAX);
}

/* ---- the machine ---- */

static void make_memory(struct rig *rig)
{
	struct guestmem_region regions[2] = {
		{ .gpa = 0, .size = RIG_RAM, .offset = 0 },
		{ .gpa = RIG_HIGH, .size = RIG_HIGH_SIZE, .offset = RIG_RAM },
	};

	rig->fd = memfd_make("ram", RIG_RAM + RIG_HIGH_SIZE);
	g_assert_cmpint(rig->fd, >=, 0);
	rig->ram = memfd_map(rig->fd, RIG_RAM + RIG_HIGH_SIZE, true);
	g_assert_nonnull(rig->ram);
	rig->high = rig->ram + RIG_RAM;
	regions[0].fd = regions[1].fd = rig->fd;
	rig->arena = guestmem_arena_create();
	g_assert_nonnull(rig->arena);
	rig->mem = guestmem_create(rig->arena);
	if (remote_delay == FROM_ENVIRONMENT)
		remote_delay = getenv("LSI_REMOTE") ? atoi(getenv("LSI_REMOTE")) : -1;
	if (remote_delay >= 0)
		remote_memory(rig);
	else
		g_assert_cmpint(guestmem_set(rig->mem, regions, 2), ==, 0);
	guestmem_set_hook(rig->mem, count_dma, rig);
}

static int make_device(struct rig *rig, const struct pci_class *cls, const struct lsi_state *state)
{
	struct pci_host host = {
		.loop = rig->loop, .mem = rig->mem, .intx = intx, .guest_error = guest_error,
		.opaque = rig,
	};
	int ret;

	if (rig->remote.on)
		host.dma_request = dma_request;
	rig->state = state ? g_memdup2(state, sizeof(*state)) : g_new0(struct lsi_state, 1);
	ret = pci_dev_init(&rig->dev, cls, &rig->state->pci, &host, "lsi0", &rig->setup);
	rig->l = rig->dev.priv;
	return ret;
}

void rig_bare(struct rig *rig, const struct pci_class *cls)
{
	memset(rig, 0, sizeof(*rig));
	rig->loop = loop_create(-1);
	make_memory(rig);
	rig->buffers = buffers_create(rig->loop, 300, 65536);
	disk_init(rig, 0, 0, 0);
	disk_init(rig, 1, 1, 0);
	disk_init(rig, 2, 0, 1);
	rig->setup = (struct scsi_bus_setup){
		.units = rig->units, .count = RIG_DISKS, .buffers = rig->buffers,
	};
	g_assert_cmpint(make_device(rig, cls, NULL), ==, 0);
}

int rig_adopt(struct rig *rig, const struct lsi_state *state)
{
	const struct pci_class *cls = rig->dev.cls;
	struct lsi_state *old = rig->state;
	struct lsi_state *copy = g_memdup2(state, sizeof(*state));
	int ret;

	pci_dev_finish(&rig->dev);
	rig->remote.pending = false;
	ret = make_device(rig, cls, copy);
	g_free(copy);
	g_free(old);
	if (!ret)
		rig_place(rig);
	return ret;
}

void rig_place(struct rig *rig)
{
	pci_config_write(&rig->dev, PCI_BASE_ADDRESS_0, RIG_IO, 4);
	pci_config_write(&rig->dev, PCI_BASE_ADDRESS_0 + 4, RIG_REGS, 4);
	pci_config_write(&rig->dev, PCI_BASE_ADDRESS_0 + 8, RIG_SRAM, 4);
	pci_config_write(&rig->dev, PCI_COMMAND,
			 PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
}

static void setup_chip(struct rig *rig)
{
	wr8(rig, R_SCID, SCID_RRE | 7);
	wr8(rig, R_DCNTL, DCNTL_COM);
	wr16(rig, R_SIEN0, 0x0486);
	wr8(rig, R_DIEN, 0x7d);
}

void rig_ready(struct rig *rig)
{
	for (unsigned i = 0; i < RIG_DISKS; i++) {
		struct cmd tur = { .target = rig->units[i].config.target,
				   .lun = rig->units[i].config.lun, .tag = -1, .cdb_len = 6 };
		struct cmd sense = tur;

		sense.cdb[0] = 0x03;
		sense.cdb[4] = 18;
		sense.data_len = 18;
		while (cmd_do(rig, &tur) != SCSI_GOOD)
			g_assert_cmpuint(cmd_do(rig, &sense), ==, SCSI_GOOD);
	}
}

void rig_up(struct rig *rig, const struct pci_class *cls)
{
	rig_bare(rig, cls);
	rig_place(rig);
	setup_chip(rig);
	rig_ready(rig);
	g_assert_true(rig->remote.on == (rig->remote.asked > 0));
}

void rig_down(struct rig *rig)
{
	for (unsigned i = 0; i < RIG_DISKS; i++) {
		rig->disk[i].hold = false;
		while (rig->disk[i].count)
			rig_end(rig, i, 0);
	}
	pci_dev_reset(&rig->dev);
	rig_settle(rig);
	pci_dev_finish(&rig->dev);
	for (unsigned i = 0; i < RIG_DISKS; i++) {
		g_assert_true(block_idle(&rig->disk[i].block));
		g_free(rig->disk[i].data);
	}
	buffers_destroy(rig->buffers);
	guestmem_destroy(rig->mem);
	guestmem_arena_destroy(rig->arena);
	loop_destroy(rig->loop);
	munmap(rig->ram, RIG_RAM + RIG_HIGH_SIZE);
	close(rig->fd);
	g_free(rig->state);
	g_free(rig->remote.data);
}

void rig_pass(struct rig *rig, unsigned passes)
{
	while (passes--) {
		uint64_t ops = rig->dma_ops, bytes = rig->dma_bytes;

		loop_step(rig->loop, 0);
		remote_pass(rig);
		/* what this model leaves, a successor takes */
		g_assert_true(lsi_state_ok(rig->state));
		rig->max_pass_ops = MAX(rig->max_pass_ops, rig->dma_ops - ops);
		rig->max_pass_bytes = MAX(rig->max_pass_bytes, rig->dma_bytes - bytes);
	}
}

/* Work queues work for the next pass; a few idle passes in a row are the end. */
void rig_settle(struct rig *rig)
{
	unsigned quiet = 0;

	for (unsigned i = 0; quiet < 8; i++) {
		unsigned slices = rig->l->slices;

		g_assert_cmpuint(i, <, 1000000);
		if (rig->state->pace_deadline)
			rig_advance(rig, LSI_PACE);
		else
			rig_pass(rig, 1);
		quiet = slices == rig->l->slices && rig->state->run != RUN_ACTIVE &&
			(rig->state->run != RUN_WAIT_DMA || rig->remote.hold) ? quiet + 1 : 0;
	}
}

/* ---- register accesses, through the memory BAR as the bus makes them ---- */

static uint64_t bus_read(struct rig *rig, unsigned reg, unsigned size)
{
	uint64_t val, ops = rig->dma_ops;
	unsigned slices = rig->l->slices;

	g_assert_true(pci_bus_read(&rig->dev, true, RIG_REGS + reg, size, &val));
	g_assert_cmpuint(rig->dma_ops, ==, ops);
	g_assert_cmpuint(rig->l->slices, ==, slices);
	return val;
}

static void bus_write(struct rig *rig, unsigned reg, unsigned size, uint64_t val)
{
	unsigned slices = rig->l->slices;
	uint64_t ops = rig->dma_ops;

	g_assert_true(pci_bus_write(&rig->dev, true, RIG_REGS + reg, size, val));
	g_assert_cmpuint(rig->dma_ops, ==, ops);
	g_assert_cmpuint(rig->l->slices, ==, slices);
}

uint8_t rd8(struct rig *rig, unsigned reg)
{
	return bus_read(rig, reg, 1);
}

uint16_t rd16(struct rig *rig, unsigned reg)
{
	return bus_read(rig, reg, 2);
}

uint32_t rd32(struct rig *rig, unsigned reg)
{
	return bus_read(rig, reg, 4);
}

void wr8(struct rig *rig, unsigned reg, uint8_t val)
{
	bus_write(rig, reg, 1, val);
}

void wr16(struct rig *rig, unsigned reg, uint16_t val)
{
	bus_write(rig, reg, 2, val);
}

void wr32(struct rig *rig, unsigned reg, uint32_t val)
{
	bus_write(rig, reg, 4, val);
}

struct irq take_irq(struct rig *rig)
{
	struct irq irq = { .sist = rd16(rig, R_SIST0) };

	irq.dstat = rd8(rig, R_DSTAT) & 0x7f;
	return irq;
}

/* ---- assembler ---- */

struct prog prog_at(struct rig *rig, uint32_t addr)
{
	return (struct prog){ rig, addr, addr };
}

static uint8_t *script_byte(struct prog *p, uint32_t addr)
{
	if (addr >= RIG_SRAM && addr < RIG_SRAM + LSI_RAM_SIZE)
		return p->rig->state->ram + (addr - RIG_SRAM);
	g_assert_cmpuint(addr, <, RIG_RAM);
	return p->rig->ram + addr;
}

void put1(struct prog *p, uint32_t w0)
{
	put_le32(script_byte(p, p->at), w0);
	p->at += 4;
}

uint32_t put2(struct prog *p, uint32_t w0, uint32_t w1)
{
	uint32_t at = p->at;

	put1(p, w0);
	put1(p, w1);
	return at;
}

uint32_t put3(struct prog *p, uint32_t w0, uint32_t w1, uint32_t w2)
{
	uint32_t at = put2(p, w0, w1);

	put1(p, w2);
	return at;
}

void patch(struct prog *p, uint32_t insn, uint32_t w1)
{
	put_le32(script_byte(p, insn + 4), w1);
}

void prog_run(struct prog *p)
{
	wr32(p->rig, R_DSP, p->start);
	rig_settle(p->rig);
}
