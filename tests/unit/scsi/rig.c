/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rig.h"

#include <errno.h>
#include <string.h>

/* ---- a disk in memory ---- */

static void memdisk_status(const struct memdisk *disk, struct block_req *req)
{
	req->ret_allocated = !disk->mapped_until || req->off < disk->mapped_until;
	req->ret_len = req->len;
	if (disk->mapped_until && req->ret_allocated)
		req->ret_len = MIN(req->len, disk->mapped_until - req->off);
}

static int memdisk_perform(struct memdisk *disk, struct block_req *req)
{
	int *fail = &disk->fail[req->op];

	if (*fail && disk->fail_count) {
		disk->fail_count--;
		return -*fail;
	}
	switch (req->op) {
	case BLOCK_READ:
		memcpy(req->buf, disk->data + req->off, req->len);
		break;
	case BLOCK_WRITE:
		memcpy(disk->data + req->off, req->buf, req->len);
		break;
	case BLOCK_ZERO:
	case BLOCK_DISCARD:
		memset(disk->data + req->off, 0, req->len);
		break;
	case BLOCK_FLUSH:
		break;
	case BLOCK_STATUS:
		memdisk_status(disk, req);
		break;
	}
	return 0;
}

void memdisk_end(struct memdisk *disk, unsigned index, int ret)
{
	struct block_req *req;

	g_assert_cmpuint(index, <, disk->count);
	req = disk->pending[index];
	disk->count--;
	memmove(&disk->pending[index], &disk->pending[index + 1],
		(disk->count - index) * sizeof(disk->pending[0]));
	block_complete(req, ret ? ret : memdisk_perform(disk, req));
}

static void memdisk_work(void *opaque)
{
	struct memdisk *disk = opaque;

	while (!disk->hold && disk->count)
		memdisk_end(disk, 0, 0);
}

static void memdisk_submit(struct block *block, struct block_req *req)
{
	struct memdisk *disk = (struct memdisk *)block;

	g_assert_cmpuint(disk->count, <, MEMDISK_MAX);
	disk->pending[disk->count++] = req;
	disk->ops[req->op]++;
	disk->fua += !!(req->flags & BLOCK_REQ_FUA);
	disk->unmap += !!(req->flags & BLOCK_REQ_UNMAP);
	loop_work_queue(block->loop, &disk->work);
}

static void memdisk_close(struct block *block)
{
}

static ssize_t memdisk_read_now(struct block *block, uint64_t off, const struct iovec *iov,
				int count)
{
	struct memdisk *disk = (struct memdisk *)block;
	size_t n = MIN(iov->iov_len, disk->now);

	disk->nows++;
	memcpy(iov->iov_base, disk->data + off, n);
	return n ? (ssize_t)n : -EAGAIN;
}

static const struct block_ops memdisk_ops = {
	.name = "memdisk", .submit = memdisk_submit, .close = memdisk_close,
	.read_now = memdisk_read_now,
};

/* ---- the bus ---- */

static void rig_ready(void *opaque, unsigned req)
{
	struct rig *rig = opaque;

	g_assert_false(rig->in_call);
	g_assert_cmpint(scsi_phase(rig->bus, req), !=, SCSI_PHASE_FREE);
	g_assert_cmpint(scsi_phase(rig->bus, req), !=, SCSI_PHASE_WAIT);
	rig->ready[req]++;
	rig->ready_total++;
}

static void rig_report(void *opaque, const char *id, bool write, int err)
{
	struct rig *rig = opaque;

	rig->reports++;
	rig->report_err = err;
	g_snprintf(rig->report_what, sizeof(rig->report_what), "%s %s held", id,
		   write ? "write" : "read");
}

static void rig_init_unit(struct rig *rig, unsigned i)
{
	struct memdisk *disk = &rig->disk[i];
	struct scsi_unit_config *c = &rig->units[i].config;

	disk->data = g_malloc0(RIG_BLOCKS * 512);
	for (unsigned b = 0; b < RIG_BLOCKS; b++)
		memset(disk->data + b * 512, b * 7 + 3, 512);
	disk->pending = g_new0(struct block_req *, MEMDISK_MAX);
	disk->work = (struct loop_work){ .fn = memdisk_work, .opaque = disk };
	block_init(&disk->block, &memdisk_ops, rig->loop, RIG_BLOCKS * 512);
	disk->block.can_discard = true;
	*c = (struct scsi_unit_config){
		.type = SCSI_UNIT_DISK, .target = i, .write_cache = 1, .scsi_version = 5,
		.logical_block_size = 512, .physical_block_size = 512,
		.discard_granularity = UINT32_MAX, .max_unmap_size = 1ull << 30,
		.max_io_size = INT32_MAX, .dpofua = 1, .discard = 1,
		.vendor = "QEMU", .product = "QEMU HARDDISK", .version = "2.5+",
		.serial = "abc123", .device_id = "drive0",
	};
	g_snprintf(c->id, sizeof(c->id), "disk%u", i);
	rig->units[i].block = &disk->block;
}

void rig_init(struct rig *rig, unsigned units)
{
	memset(rig, 0, sizeof(*rig));
	rig->loop = loop_create(-1);
	g_assert_nonnull(rig->loop);
	rig->buffers = buffers_create(rig->loop, 16, 65536);
	g_assert_nonnull(rig->buffers);
	for (unsigned i = 0; i < units; i++)
		rig_init_unit(rig, i);
	rig->setup = (struct scsi_bus_setup){
		.units = rig->units, .count = units, .buffers = rig->buffers,
		.report = rig_report, .opaque = rig,
	};
	rig->state = g_new0(struct scsi_bus_state, 1);
}

void rig_start(struct rig *rig)
{
	static const struct scsi_bus_ops ops = { .ready = rig_ready };

	rig->bus = scsi_bus_create(&rig->setup, rig->state, &ops, rig, rig->loop);
	g_assert_nonnull(rig->bus);
}

void rig_up(struct rig *rig)
{
	rig_init(rig, 1);
	rig_start(rig);
	rig_fails(rig, "00 00 00 00 00 00", NULL, 0, 0x062900);
}

void rig_settle(struct rig *rig)
{
	for (int i = 0; i < 8; i++)
		g_assert_cmpint(loop_step(rig->loop, 0), ==, 0);
}

void rig_down(struct rig *rig)
{
	for (unsigned i = 0; i < RIG_UNITS; i++) {
		struct memdisk *disk = &rig->disk[i];

		disk->hold = false;
		while (disk->count)
			memdisk_end(disk, 0, 0);
	}
	rig_settle(rig);
	scsi_bus_destroy(rig->bus);
	for (unsigned i = 0; i < rig->setup.count; i++) {
		g_assert_true(block_idle(&rig->disk[i].block));
		loop_work_cancel(rig->loop, &rig->disk[i].work);
		g_free(rig->disk[i].data);
		g_free(rig->disk[i].pending);
	}
	buffers_destroy(rig->buffers);
	loop_destroy(rig->loop);
	g_free(rig->state);
}

/* ---- the initiator ---- */

struct scsi_command rig_cdb(const char *hex)
{
	struct scsi_command cmd = { .initiator = 7 };
	g_auto(GStrv) bytes = g_strsplit(hex, " ", -1);

	for (unsigned i = 0; bytes[i]; i++) {
		if (!*bytes[i])
			continue;
		g_assert_cmpuint(cmd.cdb_len, <, SCSI_MAX_CDB);
		cmd.cdb[cmd.cdb_len++] = g_ascii_strtoull(bytes[i], NULL, 16);
	}
	return cmd;
}

int rig_command(struct rig *rig, const struct scsi_command *cmd)
{
	int req;

	rig->in_call = true;
	req = scsi_command(rig->bus, cmd);
	rig->in_call = false;
	return req;
}

static void rig_move(struct rig *rig, unsigned req, uint8_t *data, size_t len, size_t step)
{
	bool in = scsi_phase(rig->bus, req) == SCSI_PHASE_DATA_IN;
	size_t n, known;
	uint8_t *win = scsi_window(rig->bus, req, &n);

	g_assert_cmpuint(n, >, 0);
	n = MIN(n, step);
	known = rig->moved < len ? MIN(n, len - rig->moved) : 0;
	if (known && in)
		memcpy(data + rig->moved, win, known);
	else if (!in && known)
		memcpy(win, data + rig->moved, known);
	if (!in && known < n)
		memset(win + known, 0, n - known);
	rig->moved += n;
	rig->in_call = true;
	scsi_advance(rig->bus, req, n);
	rig->in_call = false;
}

bool rig_pump(struct rig *rig, unsigned req, void *data, size_t len, size_t step)
{
	for (int idle = 0; idle < 16;) {
		switch (scsi_phase(rig->bus, req)) {
		case SCSI_PHASE_DATA_IN:
		case SCSI_PHASE_DATA_OUT:
			rig_move(rig, req, data, len, step);
			idle = 0;
			break;
		case SCSI_PHASE_WAIT:
			loop_step(rig->loop, 0);
			idle++;
			break;
		default:
			return true;
		}
	}
	return false;
}

static void rig_fetch_sense(struct rig *rig, const struct scsi_command *of)
{
	struct scsi_command cmd = rig_cdb("03 00 00 00 20 00");
	size_t moved = rig->moved;
	int req;

	cmd.target = of->target;
	cmd.lun = of->lun;
	cmd.initiator = of->initiator;
	req = rig_command(rig, &cmd);
	g_assert_cmpint(req, >=, 0);
	rig->moved = 0;
	g_assert_true(rig_pump(rig, req, rig->sense, sizeof(rig->sense), SIZE_MAX));
	g_assert_cmpuint(scsi_status(rig->bus, req), ==, SCSI_GOOD);
	scsi_release(rig->bus, req);
	rig->moved = moved;
}

uint8_t rig_do_cmd(struct rig *rig, const struct scsi_command *cmd, void *data, size_t len)
{
	int req = rig_command(rig, cmd);

	g_assert_cmpint(req, >=, 0);
	rig->moved = 0;
	g_assert_true(rig_pump(rig, req, data, len, SIZE_MAX));
	rig->status = scsi_status(rig->bus, req);
	scsi_release(rig->bus, req);
	memset(rig->sense, 0, sizeof(rig->sense));
	if (rig->status == SCSI_CHECK_CONDITION)
		rig_fetch_sense(rig, cmd);
	return rig->status;
}

uint8_t rig_do(struct rig *rig, const char *cdb, void *data, size_t len)
{
	struct scsi_command cmd = rig_cdb(cdb);

	return rig_do_cmd(rig, &cmd, data, len);
}

void rig_assert_sense(struct rig *rig, uint8_t status, uint32_t want, const char *what, int line)
{
	uint32_t got = (rig->sense[2] & 0xf) << 16 | rig->sense[12] << 8 | rig->sense[13];

	if (status != SCSI_CHECK_CONDITION || got != want)
		g_error("line %d: %s: status %02x sense %06x, want %06x", line, what, status, got,
			want);
}

void rig_assert_good(struct rig *rig, uint8_t status, size_t want, const char *what, int line)
{
	uint32_t got = (rig->sense[2] & 0xf) << 16 | rig->sense[12] << 8 | rig->sense[13];

	if (status != SCSI_GOOD || rig->moved != want)
		g_error("line %d: %s: status %02x sense %06x, %zu bytes, want %zu", line, what,
			status, got, rig->moved, want);
}
