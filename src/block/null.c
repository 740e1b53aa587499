/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/null.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/block.h"

struct null_block {
	struct block block;
	int64_t latency;	/* ns */
};

static void null_end(struct block_req *req)
{
	if (req->op == BLOCK_READ)
		memset(req->buf, 0, req->len);
	req->ret_allocated = false;
	req->ret_len = req->len;
	block_complete(req, 0);
}

static void null_timeout(void *opaque)
{
	null_end(opaque);
}

static void null_submit(struct block *block, struct block_req *req)
{
	const struct null_block *null = (const struct null_block *)block;

	if (!null->latency) {
		null_end(req);
		return;
	}
	req->u.timer = (struct loop_timer){
		.fn = null_timeout, .opaque = req, .unheld = true,
	};
	loop_timer_set(block->loop, &req->u.timer, loop_now() + null->latency);
}

static ssize_t null_read_now(struct block *block, uint64_t off, const struct iovec *iov, int count)
{
	ssize_t n = 0;

	if (((const struct null_block *)block)->latency)
		return -EAGAIN;
	for (int i = 0; i < count; i++) {
		memset(iov[i].iov_base, 0, iov[i].iov_len);
		n += iov[i].iov_len;
	}
	return n;
}

static void null_close(struct block *block)
{
	free(block);
}

static const struct block_ops null_ops = {
	.name = "null-co",
	.submit = null_submit,
	.close = null_close,
	.read_now = null_read_now,
};

struct block *null_create(struct loop *loop, uint64_t size, int64_t latency)
{
	struct null_block *null = calloc(1, sizeof(*null));

	if (!null)
		return NULL;
	block_init(&null->block, &null_ops, loop, size);
	null->block.can_discard = true;
	null->block.zero_after_discard = true;
	null->latency = latency;
	return &null->block;
}
