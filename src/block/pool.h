/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BLOCK_POOL_H
#define BLOCK_POOL_H

/*
 * The threads that may wait for a disk.  All threads and their scratch memory are made at the
 * start; nothing is allocated later.  A job is one blocking function; its
 * end is reported on the loop by an eventfd.
 */

#include <stddef.h>

struct loop;
struct pool;

#define POOL_SCRATCH_SIZE 65536	/* bytes */

struct pool_job {
	/* Runs on a pool thread: may block, touches nothing but what the job names. */
	int (*run)(struct pool_job *job);
	/* Runs on the loop with what run() returned. */
	void (*done)(struct pool_job *job, int ret);
	/* While run() runs: POOL_SCRATCH_SIZE bytes of the thread's own, page aligned. */
	void *scratch;
	/* private */
	struct pool_job *next;
	int ret;
};

/*
 * Starts @threads threads, all signals but SIGBUS, SIGSEGV and SIGSYS blocked, and returns when
 * all of them run.  @fd_slot is the number that the eventfd gets (what stands there is replaced),
 * -1 for any.  Returns NULL with errno set.  @loop must outlive the pool.
 */
struct pool *pool_create(struct loop *loop, unsigned threads, int fd_slot);

/*
 * NULL-safe.  Runs every job that waits, also those that a done() submits meanwhile, calls done()
 * of each, and ends the threads.
 */
void pool_destroy(struct pool *pool);

/* Queues @job (FIFO); the caller keeps the memory until done().  From the loop's thread. */
void pool_submit(struct pool *pool, struct pool_job *job);

#endif
