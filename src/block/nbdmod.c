/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The NBD backend, on libnbd's asynchronous calls inside our loop; see block/nbd.h.
 *
 * A request is one or more commands, one after the other: chunks of what a command may carry, and
 * a flush behind them where FUA was asked for and the server has none.  libnbd calls on_answer()
 * from inside its own calls, where it must not be called again: answers are collected, and looked
 * at when it has returned.
 */
#include <errno.h>
#include <fcntl.h>
#include <libnbd.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/num.h"
#include "block/block.h"
#include "block/nbd.h"
#include "block/probe.h"
#include "event/loop.h"

#define MAX_DATA (1u << 20)	/* bytes a command with data: all servers take these */
#define MAX_RANGE (1u << 30)	/* bytes a command without; the protocol's limit is 2^32 - 1 */
#define ZERO_SIZE 65536

static const char zeroes[ZERO_SIZE];

struct nbd_block {
	struct block block;
	struct nbd_handle *h;
	int watch_fd;			/* ours; libnbd closes its copy whenever it likes */
	uint32_t watching;		/* EPOLLIN, EPOLLOUT */
	bool dead;
	bool no_flush, probed_raw;
	bool can_flush, can_fua, can_trim, can_zero;
	struct block_req *answered;	/* oldest first */
	struct block_req **answered_tail;
	struct loop_work work;		/* for answers that came while a command was being sent */
};

/* libnbd's: a command has ended.  It may not be called from here. */
static int on_answer(void *opaque, int *error)
{
	struct block_req *req = opaque;
	struct nbd_block *nbd = (struct nbd_block *)req->block;

	req->u.remote.err = *error;
	req->u.remote.next = NULL;
	*nbd->answered_tail = req;
	nbd->answered_tail = &req->u.remote.next;
	/*
	 * Not 1, which lets libnbd free the command: when sending it finds the server gone, libnbd
	 * 1.14 answers from inside the nbd_aio call and then reads the cookie from the command.
	 */
	return 0;
}

/* Watches for what libnbd waits for, or stops when the connection is gone. */
static void rearm(struct nbd_block *nbd)
{
	unsigned dir;
	uint32_t events;

	if (nbd->dead)
		return;
	if (nbd_aio_is_dead(nbd->h) || nbd_aio_is_closed(nbd->h)) {
		nbd->dead = true;
		loop_fd_del(nbd->block.loop, nbd->watch_fd);
		return;
	}
	dir = nbd_aio_get_direction(nbd->h);
	events = (dir & LIBNBD_AIO_DIRECTION_READ ? EPOLLIN : 0) |
		(dir & LIBNBD_AIO_DIRECTION_WRITE ? EPOLLOUT : 0);
	if (events != nbd->watching)
		loop_fd_mod(nbd->block.loop, nbd->watch_fd, events);
	nbd->watching = events;
}

static bool wants_fua(const struct nbd_block *nbd, const struct block_req *req)
{
	return (req->flags & BLOCK_REQ_FUA) && !nbd->no_flush;
}

/* The senders: one command for the next req->u.remote.chunk bytes.  They return -1 on failure. */
typedef int64_t send_fn(struct nbd_block *nbd, struct block_req *req, nbd_completion_callback cb);

static int64_t send_read(struct nbd_block *nbd, struct block_req *req, nbd_completion_callback cb)
{
	uint64_t done = req->u.remote.done;

	return nbd_aio_pread(nbd->h, (char *)req->buf + done, req->u.remote.chunk,
			     req->off + done, cb, 0);
}

static uint32_t fua_flag(const struct nbd_block *nbd, const struct block_req *req)
{
	return wants_fua(nbd, req) && nbd->can_fua ? LIBNBD_CMD_FLAG_FUA : 0;
}

static int64_t send_write(struct nbd_block *nbd, struct block_req *req, nbd_completion_callback cb)
{
	uint64_t done = req->u.remote.done;

	return nbd_aio_pwrite(nbd->h, (char *)req->buf + done, req->u.remote.chunk,
			      req->off + done, cb, fua_flag(nbd, req));
}

static int64_t send_flush(struct nbd_block *nbd, struct block_req *req, nbd_completion_callback cb)
{
	return nbd_aio_flush(nbd->h, cb, 0);
}

static int64_t send_trim(struct nbd_block *nbd, struct block_req *req, nbd_completion_callback cb)
{
	return nbd_aio_trim(nbd->h, req->u.remote.chunk, req->off + req->u.remote.done, cb, 0);
}

static int64_t send_zero(struct nbd_block *nbd, struct block_req *req, nbd_completion_callback cb)
{
	uint32_t flags = fua_flag(nbd, req);

	if (!nbd->can_zero)
		return nbd_aio_pwrite(nbd->h, zeroes, req->u.remote.chunk,
				      req->off + req->u.remote.done, cb, flags);
	if (!(req->flags & BLOCK_REQ_UNMAP))
		flags |= LIBNBD_CMD_FLAG_NO_HOLE;
	return nbd_aio_zero(nbd->h, req->u.remote.chunk, req->off + req->u.remote.done, cb, flags);
}

static send_fn *const senders[] = {
	[BLOCK_READ] = send_read, [BLOCK_WRITE] = send_write, [BLOCK_FLUSH] = send_flush,
	[BLOCK_DISCARD] = send_trim, [BLOCK_ZERO] = send_zero,
};

static uint64_t chunk_limit(const struct nbd_block *nbd, const struct block_req *req)
{
	if (req->op == BLOCK_READ || req->op == BLOCK_WRITE)
		return MAX_DATA;
	if (req->op == BLOCK_ZERO && !nbd->can_zero)
		return ZERO_SIZE;
	return MAX_RANGE;
}

/* A connection that is gone is a disk that is gone; the other errors are the server's. */
static int answer_error(const struct nbd_block *nbd, int err)
{
	return nbd->dead || err == ENOTCONN || err == ESHUTDOWN || err == EPIPE ? -EIO : -err;
}

static void send_command(struct nbd_block *nbd, struct block_req *req, send_fn *sender)
{
	nbd_completion_callback cb = { .callback = on_answer, .user_data = req };
	int err;

	req->u.remote.cookie = nbd->dead ? -1 : sender(nbd, req, cb);
	if (req->u.remote.cookie >= 0)
		return;
	err = nbd->dead ? ENOTCONN : nbd_get_errno();
	block_complete(req, answer_error(nbd, err ? err : EIO));
}

/* Goes on with @req: the next chunk, the flush behind the last one, or its end. */
static void req_next(struct nbd_block *nbd, struct block_req *req)
{
	uint64_t left = req->op == BLOCK_FLUSH ? 0 : req->len - req->u.remote.done;
	bool flush = req->op == BLOCK_FLUSH || (wants_fua(nbd, req) && !nbd->can_fua);

	if (left) {
		req->u.remote.chunk = min_u64(left, chunk_limit(nbd, req));
		send_command(nbd, req, senders[req->op]);
	} else if (flush && !req->u.remote.flushing && nbd->can_flush && !nbd->no_flush) {
		req->u.remote.chunk = 0;
		req->u.remote.flushing = true;
		send_command(nbd, req, send_flush);
	} else {
		block_complete(req, 0);
	}
}

/*
 * Are others' data gone, too?  When the flush behind a write failed; and when FUA did with EIO, as
 * the server may have flushed for it, and have taken the only report of what was lost.
 */
static bool may_have_lost(const struct nbd_block *nbd, const struct block_req *req)
{
	return req->u.remote.flushing || (wants_fua(nbd, req) && req->u.remote.err == EIO);
}

static void take_answers(struct nbd_block *nbd)
{
	struct block_req *req = nbd->answered;

	nbd->answered = NULL;
	nbd->answered_tail = &nbd->answered;
	while (req) {
		struct block_req *next = req->u.remote.next;

		/* Frees the command; what it says is known. */
		nbd_aio_command_completed(nbd->h, req->u.remote.cookie);
		req->u.remote.done += req->u.remote.chunk;
		if (req->u.remote.err) {
			req->lost = may_have_lost(nbd, req);
			block_complete(req, answer_error(nbd, req->u.remote.err));
		} else {
			req_next(nbd, req);
		}
		req = next;
	}
}

/* After every use of libnbd. */
static void settle(struct nbd_block *nbd)
{
	rearm(nbd);
	if (nbd->answered)
		loop_work_queue(nbd->block.loop, &nbd->work);
}

static void nbd_work(void *opaque)
{
	struct nbd_block *nbd = opaque;
	struct block *block = &nbd->block;

	/* The last answer's done() may close the device: look at it no more then. */
	block->starting++;
	take_answers(nbd);
	block->starting--;
	settle(nbd);
}

static void nbd_ready(void *opaque, uint32_t events)
{
	struct nbd_block *nbd = opaque;
	unsigned dir = nbd_aio_get_direction(nbd->h);

	/* A failure shows in libnbd's state, which settle() looks at. */
	if ((dir & LIBNBD_AIO_DIRECTION_READ) && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		nbd_aio_notify_read(nbd->h);
	else if ((dir & LIBNBD_AIO_DIRECTION_WRITE) && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)))
		nbd_aio_notify_write(nbd->h);
	rearm(nbd);
	nbd_work(nbd);
}

/*
 * Block 0 of an image that was only guessed to be raw.  Parts of it cannot be judged without a
 * read; no SCSI disk has sectors that small.
 */
static bool is_forbidden(const struct nbd_block *nbd, const struct block_req *req)
{
	bool writes = req->op == BLOCK_WRITE || req->op == BLOCK_ZERO;

	if (!nbd->probed_raw || !writes || req->off >= PROBE_SIZE)
		return false;
	if (req->off || req->len < PROBE_SIZE)
		return true;
	return req->op == BLOCK_WRITE && strcmp(probe_format(req->buf, PROBE_SIZE), "raw");
}

static void nbd_submit(struct block *block, struct block_req *req)
{
	struct nbd_block *nbd = (struct nbd_block *)block;

	memset(&req->u.remote, 0, sizeof(req->u.remote));
	if (req->op == BLOCK_STATUS) {
		req->ret_allocated = true;
		req->ret_len = req->len;
		block_complete(req, 0);
		return;
	}
	if (is_forbidden(nbd, req)) {
		block_complete(req, -EPERM);
		return;
	}
	if (req->op == BLOCK_DISCARD && !nbd->can_trim) {
		block_complete(req, 0);
		return;
	}
	req_next(nbd, req);
	settle(nbd);
}

static void nbd_block_close(struct block *block)
{
	struct nbd_block *nbd = (struct nbd_block *)block;

	loop_work_cancel(block->loop, &nbd->work);
	loop_work_cancel(block->loop, &block->ended_work);
	if (!nbd->dead) {
		loop_fd_del(block->loop, nbd->watch_fd);
		nbd_aio_disconnect(nbd->h, 0);		/* says good-bye if it can at once */
	}
	close(nbd->watch_fd);
	nbd_close(nbd->h);
	free(nbd);
}

static const struct block_ops nbd_ops = {
	.name = "nbd",
	.submit = nbd_submit,
	.close = nbd_block_close,
};

/* Returns 0 or -errno with libnbd's words. */
static int failed(int ret, char *why, size_t why_size)
{
	int err = nbd_get_errno();

	if (ret >= 0)
		return 0;
	snprintf(why, why_size, "NBD: %s", nbd_get_error());
	return err ? -err : -EIO;
}

/* Who may close it: libnbd, or whoever has taken its place. */
static int copy_socket(const struct block_nbd_config *config)
{
	if (config->copy_fd)
		return dup3(config->fd, config->copy_fd, O_CLOEXEC);
	return fcntl(config->fd, F_DUPFD_CLOEXEC, 0);
}

static int shake_hands(struct nbd_block *nbd, const struct block_nbd_config *config, char *why,
		       size_t why_size)
{
	int ret = 0, copy;

	nbd->h = nbd_create();
	if (!nbd->h)
		return failed(-1, why, why_size);
	ret |= nbd_set_export_name(nbd->h, config->export_name);
	ret |= nbd_set_request_structured_replies(nbd->h, false);
	ret |= nbd_set_tls(nbd->h, LIBNBD_TLS_DISABLE);
	ret |= nbd_set_pread_initialize(nbd->h, false);	/* who reads looks at the result first */
	ret = failed(ret, why, why_size);
	if (ret)
		return ret;
	copy = copy_socket(config);
	if (copy < 0) {
		ret = -errno;
		snprintf(why, why_size, "NBD: no file descriptor is left");
		return ret;
	}
	return failed(nbd_connect_socket(nbd->h, copy), why, why_size);
}

/* Sets up the generic part from what the server says of itself. */
static int learn(struct nbd_block *nbd, struct loop *loop, const struct block_nbd_config *config,
		 char *why, size_t why_size)
{
	int64_t size = nbd_get_size(nbd->h);
	int64_t least = nbd_get_block_size(nbd->h, LIBNBD_SIZE_MINIMUM);
	int64_t most = nbd_get_block_size(nbd->h, LIBNBD_SIZE_MAXIMUM);

	if (size < 0)
		return failed(-1, why, why_size);
	if (least > 512 || (most > 0 && most < MAX_DATA)) {
		snprintf(why, why_size, "NBD: the server's block sizes are %lld to %lld, "
			 "not 512 to 1 MiB", (long long)least, (long long)most);
		return -EOPNOTSUPP;
	}
	block_init(&nbd->block, &nbd_ops, loop, size);
	nbd->block.align = least > 1 ? least : 1;
	nbd->block.readonly = config->readonly || nbd_is_read_only(nbd->h) == 1;
	nbd->can_flush = nbd_can_flush(nbd->h) == 1;
	nbd->can_fua = nbd_can_fua(nbd->h) == 1;
	nbd->can_zero = nbd_can_zero(nbd->h) == 1;
	nbd->can_trim = config->discard && nbd_can_trim(nbd->h) == 1;
	nbd->block.can_discard = nbd->can_trim;
	nbd->no_flush = config->no_flush;
	nbd->probed_raw = config->probed_raw;
	return 0;
}

static int watch(struct nbd_block *nbd, struct loop *loop, char *why, size_t why_size)
{
	int ret = loop_fd_add(loop, nbd->watch_fd, 0, nbd_ready, nbd);

	if (ret)
		snprintf(why, why_size, "NBD: cannot watch the socket: error %d", -ret);
	else
		rearm(nbd);
	return ret;
}

/*
 * Makes room in the heap for all that libnbd will ask for.  It asks from the loop's thread alone,
 * so it is the main arena; M_MMAP_MAX: no block of it gets a mapping of its own.
 */
static int reserve_heap(void)
{
	void *room;

	mallopt(M_TRIM_THRESHOLD, -1);
	mallopt(M_MMAP_MAX, 0);
	room = malloc(NBD_HEAP);
	free(room);
	return room ? 0 : -ENOMEM;
}

int mpqemu_nbd_create(struct loop *loop, const struct block_nbd_config *config,
		      struct block **ret_block, char *why, size_t why_size)
{
	struct nbd_block *nbd = calloc(1, sizeof(*nbd));
	int ret;

	if (!nbd || reserve_heap()) {
		free(nbd);
		snprintf(why, why_size, "NBD: out of memory");
		return -ENOMEM;
	}
	nbd->watch_fd = config->fd;
	nbd->answered_tail = &nbd->answered;
	nbd->work = (struct loop_work){ .fn = nbd_work, .opaque = nbd, .unheld = true };
	ret = shake_hands(nbd, config, why, why_size);
	if (!ret)
		ret = learn(nbd, loop, config, why, why_size);
	if (!ret)
		ret = watch(nbd, loop, why, why_size);
	if (ret) {
		if (nbd->h)
			nbd_close(nbd->h);
		free(nbd);
		return ret;
	}
	*ret_block = &nbd->block;
	return 0;
}
