/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "scsi/bus.h"

/*
 * Buffers and block requests of tasks.  A block request cannot be called back: when its task ends
 * before it, it keeps the buffer, and its end is nobody's news.
 */

/* The next one to use; NULL: all are in use. */
static struct io *io_free_one(struct scsi_bus *bus)
{
	struct io *io = bus->free_ios;

	if (io || bus->used_ios == SCSI_MAX_IOS)
		return io;
	io = &bus->io[bus->used_ios++];
	io->bus = bus;
	bus->free_ios = io;
	return io;
}

bool task_get_buffer(struct task *t)
{
	struct buffers *bufs = t->bus->setup->buffers;

	if (t->buf)
		return true;
	t->buf_pooled = t->row->flags & CDB_POOL;
	t->buf = t->buf_pooled ? buffers_get(bufs, &t->bus->waiter) : t->param;
	t->buf_size = t->buf_pooled ? buffers_size(bufs) : SCSI_PARAM_SIZE;
	return t->buf;
}

void task_put_buffer(struct task *t)
{
	if (t->buf && t->buf_pooled)
		buffers_put(t->bus->setup->buffers, t->buf);
	t->buf = NULL;
}

void io_orphan(struct task *t)
{
	if (!t->io)
		return;
	t->io->task = NULL;
	t->io->orphan = t->buf_pooled ? t->buf : NULL;
	t->io = NULL;
	t->buf = NULL;
}

/* Is the medium free for this task?  CDB_ALONE excludes all others, both ways. */
static bool io_allowed(struct task *t)
{
	struct unit *unit = t->unit;

	if (!unit->alone && t->row->flags & CDB_ALONE)
		unit->alone = t;
	if (!unit->alone)
		return true;
	return unit->alone == t && !unit->ios;
}

static bool io_is_write(const struct task *t)
{
	return t->s->io_op != BLOCK_READ && t->s->io_op != BLOCK_STATUS;
}

/* The operator may retry (werror=stop, or enospc on a full disk)? */
static bool io_holds(const struct task *t, int err)
{
	const struct scsi_unit_config *config = t->unit->config;
	uint8_t policy = io_is_write(t) ? config->werror : config->rerror;

	if (t->unit->gone)
		return false;
	return policy == SCSI_ON_ERROR_STOP || (policy == SCSI_ON_ERROR_ENOSPC && err == ENOSPC);
}

static bool io_ignores(const struct task *t)
{
	const struct scsi_unit_config *config = t->unit->config;

	return (io_is_write(t) ? config->werror : config->rerror) == SCSI_ON_ERROR_IGNORE;
}

static void io_ended(struct task *t)
{
	if (t->row->done)
		t->row->done(t);
	else
		task_good(t);
}

static void tell_failed(const struct task *t, int err)
{
	const struct scsi_bus_setup *setup = t->bus->setup;

	if (setup->watch)
		setup->watch->failed(setup->opaque, t->unit->config->id, io_is_write(t), err,
				     io_ignores(t));
}

void io_end_failed(struct task *t, int err)
{
	tell_failed(t, err);
	if (!io_ignores(t)) {
		task_check_sense(t, sense_from_errno(err));
		return;
	}
	if (t->s->io_op == BLOCK_READ)	/* not what another command left there */
		memset(t->buf + t->s->io_buf, 0, t->s->io_len);
	io_ended(t);
}

static void io_failed(struct task *t, int err)
{
	if (io_holds(t, err))
		task_hold(t, io_is_write(t), err);
	else
		io_end_failed(t, err);
}

/*
 * A flush that failed once never succeeds again: what it lost is lost (block.h).  The block device
 * knows which failures are such ones: a FUA write that finds no room is none.
 */
static void io_note_flush(struct unit *unit)
{
	if (block_flush_error(unit->block))
		unit->state->poisoned = 1;
}

static void io_done(struct block_req *req, int ret)
{
	struct io *io = req->opaque;
	struct scsi_bus *bus = io->bus;
	struct task *t = io->task;

	io->unit->ios--;
	io_note_flush(io->unit);
	if (io->orphan)
		buffers_put(bus->setup->buffers, io->orphan);
	io->next = bus->free_ios;
	bus->free_ios = io;
	bus_kick(bus);
	if (!t || t->s->generation != io->generation)
		return;
	t->io = NULL;
	t->status_len = req->ret_len;
	t->status_allocated = req->ret_allocated;
	if (ret < 0) {
		io_failed(t, -ret);
	} else {
		task_unhold(t);
		io_ended(t);
	}
	task_notify(t);
}

/* Has a flush failed that this request would paper over?  (The block device itself may be new.) */
static bool io_poisoned(const struct task *t)
{
	return t->unit->state->poisoned &&
	       (t->s->io_op == BLOCK_FLUSH || t->s->io_flags & BLOCK_REQ_FUA);
}

/* The cache may have been switched off since the command began. */
static void io_write_through(struct task *t)
{
	bool writes = t->s->io_op == BLOCK_WRITE || t->s->io_op == BLOCK_ZERO;

	if (writes && !t->unit->state->write_cache)
		t->s->io_flags |= BLOCK_REQ_FUA;
}

void io_submit(struct task *t)
{
	struct scsi_bus *bus = t->bus;
	struct scsi_req_state *s = t->s;
	struct io *io = io_free_one(bus);
	bool data = s->io_op == BLOCK_READ || s->io_op == BLOCK_WRITE;

	io_write_through(t);
	if (io_poisoned(t)) {
		/* not at once: what follows may be the next window, and so on without an end */
		task_enter_wait(t, TASK_WAIT_FAIL);
		bus_kick(bus);
		return;
	}
	if (loop_held(bus->loop)) {
		/* none begins until the loop goes on, and looks at it then */
		task_enter_wait(t, TASK_WAIT_SUBMIT);
		bus_kick(bus);
		return;
	}
	if (!io || !io_allowed(t)) {
		task_enter_wait(t, TASK_WAIT_SUBMIT);
		return;
	}
	bus->free_ios = io->next;
	io->task = t;
	io->unit = t->unit;
	io->generation = s->generation;
	io->orphan = NULL;
	io->req = (struct block_req){
		.op = s->io_op, .flags = s->io_flags, .off = s->io_off, .len = s->io_len,
		.buf = data ? t->buf + s->io_buf : NULL, .done = io_done, .opaque = io,
	};
	t->io = io;
	t->unit->ios++;
	task_enter_wait(t, TASK_WAIT_IO);
	block_submit(t->unit->block, &io->req);
}

void task_io(struct task *t, enum block_op op, uint32_t flags, uint64_t off, uint64_t len,
	     uint32_t buf_off)
{
	t->s->io_op = op;
	t->s->io_flags = flags;
	t->s->io_off = off;
	t->s->io_len = len;
	t->s->io_buf = buf_off;
	io_submit(t);
}

/* Nothing that is held back is overtaken, and what fails is asked for again the other way. */
size_t task_read_into(struct task *t, uint64_t off, const struct iovec *iov, int count, size_t len)
{
	struct unit *unit = t->unit;
	ssize_t n;

	if (unit->state->held || !unit->block || !io_allowed(t))
		return 0;
	n = block_read_now(unit->block, off, iov, count, len);
	if (n <= 0)
		return 0;
	t->bus->now_count++;
	return n;
}

bool task_read_now(struct task *t, uint64_t off, uint64_t len)
{
	struct iovec iov = { .iov_base = t->buf, .iov_len = len };

	if (task_read_into(t, off, &iov, 1, len) != len)
		return false;
	t->bus->now_bytes += len;
	return true;
}
