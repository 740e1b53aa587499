/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BLOCK_POOL_H
#define BLOCK_POOL_H

/*
 * The threads that may wait for a disk, and the buffers that they work on.  All threads and
 * buffers are made at the start; nothing is allocated later.  A job is one blocking function; its
 * end is reported on the loop by an eventfd.
 */

#include <stddef.h>

struct loop;
struct pool;

struct pool_job {
	/* Runs on a pool thread: may block, touches nothing but what the job names. */
	int (*run)(struct pool_job *job);
	/* Runs on the loop with what run() returned. */
	void (*done)(struct pool_job *job, int ret);
	/* private */
	struct pool_job *next;
	int ret;
};

/* Starts @threads threads.  Returns NULL with errno set.  @loop must outlive the pool. */
struct pool *pool_create(struct loop *loop, unsigned threads);
/* Waits for the jobs that run; jobs that wait are run too. */
void pool_destroy(struct pool *pool);

/* Queues @job (FIFO); the caller keeps the memory until done(). */
void pool_submit(struct pool *pool, struct pool_job *job);

#endif
