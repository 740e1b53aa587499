/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/pool.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "event/loop.h"

#define POOL_STACK_SIZE 65536	/* run() recurses nowhere and has small frames */

struct pool_list {
	struct pool_job *head;
	struct pool_job **tail;
};

struct pool {
	struct loop *loop;
	int event_fd;
	pthread_mutex_t lock;		/* for what stands below, up to the blank line */
	pthread_cond_t work;		/* waiting has a job, or stop is set */
	pthread_cond_t started;
	struct pool_list waiting, ended;
	unsigned running;		/* threads that have started */
	bool stop;

	unsigned count;
	pthread_t *threads;
	char *scratch;			/* one for each thread, and one for pool_destroy() */
};

static void list_init(struct pool_list *list)
{
	list->head = NULL;
	list->tail = &list->head;
}

static void list_add(struct pool_list *list, struct pool_job *job)
{
	job->next = NULL;
	*list->tail = job;
	list->tail = &job->next;
}

static struct pool_job *list_take(struct pool_list *list)
{
	struct pool_job *job = list->head;

	if (job) {
		list->head = job->next;
		if (!list->head)
			list->tail = &list->head;
	}
	return job;
}

/* The counter cannot overflow: one write a transition from empty, so EAGAIN does not come. */
static void pool_wake_loop(struct pool *pool)
{
	uint64_t one = 1;

	while (write(pool->event_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void *pool_thread(void *opaque)
{
	struct pool *pool = opaque;
	struct pool_job *job;
	void *scratch;

	pthread_mutex_lock(&pool->lock);
	scratch = pool->scratch + pool->running++ * POOL_SCRATCH_SIZE;
	pthread_cond_signal(&pool->started);
	for (;;) {
		bool first;

		while (!pool->waiting.head && !pool->stop)
			pthread_cond_wait(&pool->work, &pool->lock);
		job = list_take(&pool->waiting);
		if (!job)
			break;
		pthread_mutex_unlock(&pool->lock);
		job->scratch = scratch;
		job->ret = job->run(job);
		pthread_mutex_lock(&pool->lock);
		first = !pool->ended.head;
		list_add(&pool->ended, job);
		if (first)
			pool_wake_loop(pool);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* Calls done() of what has ended so far; what ends meanwhile makes the eventfd ready again. */
static void pool_report(struct pool *pool)
{
	struct pool_job *job;

	pthread_mutex_lock(&pool->lock);
	job = pool->ended.head;
	list_init(&pool->ended);
	pthread_mutex_unlock(&pool->lock);
	while (job) {
		struct pool_job *next = job->next;

		job->done(job, job->ret);
		job = next;
	}
}

static void pool_ready(void *opaque, uint32_t events)
{
	struct pool *pool = opaque;
	uint64_t count;

	if (read(pool->event_fd, &count, sizeof(count)) < 0 && errno == EAGAIN)
		return;
	pool_report(pool);
}

/* A new thread makes calls of its own, which a filter may forbid later. */
static void pool_await_threads(struct pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	while (pool->running < pool->count)
		pthread_cond_wait(&pool->started, &pool->lock);
	pthread_mutex_unlock(&pool->lock);
}

/*
 * Signals are the loop's; a new thread has its creator's mask.  The ones that a thread raises by
 * what it does stay open: the kernel ends a process that blocks them, and no handler could say why.
 */
static void pool_signal_mask(sigset_t *ret_mask)
{
	sigfillset(ret_mask);
	sigdelset(ret_mask, SIGBUS);
	sigdelset(ret_mask, SIGSEGV);
	sigdelset(ret_mask, SIGSYS);
}

static int pool_start_threads(struct pool *pool, unsigned threads)
{
	pthread_attr_t attr;
	sigset_t mask, old;
	long least = sysconf(_SC_THREAD_STACK_MIN);
	int ret = -pthread_attr_init(&attr);

	if (ret)
		return ret;
	pthread_attr_setstacksize(&attr, least > POOL_STACK_SIZE ? least : POOL_STACK_SIZE);
	pool_signal_mask(&mask);
	pthread_sigmask(SIG_SETMASK, &mask, &old);
	while (!ret && pool->count < threads) {
		ret = -pthread_create(&pool->threads[pool->count], &attr, pool_thread, pool);
		pool->count += !ret;
	}
	pool_await_threads(pool);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return ret;
}

static void pool_stop_threads(struct pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->stop = true;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->count; i++)
		pthread_join(pool->threads[i], NULL);
}

static int pool_make_eventfd(struct pool *pool, int fd_slot)
{
	int ret = 0;

	pool->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pool->event_fd < 0)
		return -errno;
	if (fd_slot >= 0)
		ret = fd_move(&pool->event_fd, fd_slot);
	return ret ? ret : loop_fd_add(pool->loop, pool->event_fd, EPOLLIN, pool_ready, pool);
}

static void pool_free(struct pool *pool, size_t scratch_size)
{
	if (pool->event_fd >= 0)
		loop_fd_del(pool->loop, pool->event_fd);
	fd_close(&pool->event_fd);
	if (pool->scratch != MAP_FAILED)
		munmap(pool->scratch, scratch_size);
	pthread_cond_destroy(&pool->started);
	pthread_cond_destroy(&pool->work);
	pthread_mutex_destroy(&pool->lock);
	free(pool->threads);
	free(pool);
}

struct pool *pool_create(struct loop *loop, unsigned threads, int fd_slot)
{
	size_t scratch_size = (threads + 1UL) * POOL_SCRATCH_SIZE;
	struct pool *pool = calloc(1, sizeof(*pool));
	int ret = -ENOMEM;

	if (!pool)
		return NULL;
	pool->loop = loop;
	pool->event_fd = -1;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->work, NULL);
	pthread_cond_init(&pool->started, NULL);
	list_init(&pool->waiting);
	list_init(&pool->ended);
	pool->threads = calloc(threads ? threads : 1, sizeof(*pool->threads));
	pool->scratch = mmap(NULL, scratch_size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pool->threads && pool->scratch != MAP_FAILED)
		ret = threads ? pool_make_eventfd(pool, fd_slot) : -EINVAL;
	if (!ret) {
		ret = pool_start_threads(pool, threads);
		if (ret)
			pool_stop_threads(pool);
	}
	if (ret) {
		pool_free(pool, scratch_size);
		errno = -ret;
		return NULL;
	}
	return pool;
}

void pool_destroy(struct pool *pool)
{
	size_t scratch_size;
	struct pool_job *job;

	if (!pool)
		return;
	scratch_size = (pool->count + 1UL) * POOL_SCRATCH_SIZE;
	pool_stop_threads(pool);
	do {
		pool_report(pool);
		job = list_take(&pool->waiting);
		if (job) {
			job->scratch = pool->scratch + pool->count * POOL_SCRATCH_SIZE;
			job->ret = job->run(job);
			list_add(&pool->ended, job);
		}
	} while (pool->ended.head);
	pool_free(pool, scratch_size);
}

void pool_submit(struct pool *pool, struct pool_job *job)
{
	pthread_mutex_lock(&pool->lock);
	list_add(&pool->waiting, job);
	pthread_cond_signal(&pool->work);
	pthread_mutex_unlock(&pool->lock);
}
