/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/pool.h"

#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fd.h"
#include "block/buffers.h"
#include "event/loop.h"

struct job {
	struct pool_job job;
	struct pool *pool;
	int runs, dones, again;
	pthread_t runner;
	sigset_t mask;
};

static int job_run(struct pool_job *job)
{
	struct job *j = (struct job *)job;

	memset(job->scratch, j->runs, POOL_SCRATCH_SIZE);
	j->runs++;
	j->runner = pthread_self();
	pthread_sigmask(SIG_SETMASK, NULL, &j->mask);
	return -j->runs;
}

static void job_done(struct pool_job *job, int ret)
{
	struct job *j = (struct job *)job;

	g_assert_cmpint(ret, ==, -j->runs);
	j->dones++;
	if (j->again-- > 0)
		pool_submit(j->pool, job);
}

static struct job make_job(struct pool *pool, int again)
{
	return (struct job){ .job = { .run = job_run, .done = job_done }, .pool = pool,
			     .again = again };
}

/* What a thread can raise by itself reaches its handler; all else is the loop's. */
static void check_mask(const sigset_t *mask)
{
	for (int sig = 1; sig < 32; sig++) {
		if (sig == SIGKILL || sig == SIGSTOP)
			continue;
		g_assert_cmpint(sigismember(mask, sig), ==,
				sig != SIGBUS && sig != SIGSEGV && sig != SIGSYS);
	}
}

static void test_runs(void)
{
	struct loop *loop = loop_create(-1);
	struct pool *pool = pool_create(loop, 3, 200);
	struct job jobs[50];
	int done = 0;

	g_assert_nonnull(pool);
	g_assert_true(fd_is_open(200));
	for (unsigned i = 0; i < G_N_ELEMENTS(jobs); i++) {
		jobs[i] = make_job(pool, 2);
		pool_submit(pool, &jobs[i].job);
	}
	while (done < 150) {
		loop_step(loop, 10000);
		done = 0;
		for (unsigned i = 0; i < G_N_ELEMENTS(jobs); i++)
			done += jobs[i].dones;
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(jobs); i++) {
		g_assert_cmpint(jobs[i].runs, ==, 3);
		g_assert_false(pthread_equal(jobs[i].runner, pthread_self()));
		check_mask(&jobs[i].mask);
	}
	pool_destroy(pool);
	g_assert_false(fd_is_open(200));
	loop_destroy(loop);
}

/* Nothing that was accepted is lost, not even what a done() submits during the shutdown. */
static void test_shutdown_with_waiting(void)
{
	struct loop *loop = loop_create(-1);
	struct pool *pool = pool_create(loop, 1, -1);
	struct job jobs[20];

	for (unsigned i = 0; i < G_N_ELEMENTS(jobs); i++) {
		jobs[i] = make_job(pool, 3);
		pool_submit(pool, &jobs[i].job);
	}
	pool_destroy(pool);
	for (unsigned i = 0; i < G_N_ELEMENTS(jobs); i++) {
		g_assert_cmpint(jobs[i].runs, ==, 4);
		g_assert_cmpint(jobs[i].dones, ==, 4);
	}
	loop_destroy(loop);
}

static void test_start_failures(void)
{
	struct loop *loop = loop_create(-1);
	struct rlimit old, low;

	g_assert_null(pool_create(loop, 0, -1));
	g_assert_cmpint(errno, ==, EINVAL);
	getrlimit(RLIMIT_NOFILE, &old);
	low = old;
	low.rlim_cur = 3;
	setrlimit(RLIMIT_NOFILE, &low);
	g_assert_null(pool_create(loop, 1, -1));
	g_assert_cmpint(errno, ==, EMFILE);
	setrlimit(RLIMIT_NOFILE, &old);
	/* a slot that cannot be had */
	g_assert_null(pool_create(loop, 1, 1 << 30));
	g_assert_cmpint(errno, ==, EBADF);
	loop_destroy(loop);
}

struct waiter {
	struct buffers_waiter waiter;
	struct buffers *bufs;
	void *got;
	unsigned calls;
	bool declines;
};

static void waiter_ready(struct buffers_waiter *waiter)
{
	struct waiter *w = (struct waiter *)waiter;

	w->calls++;
	if (!w->declines)
		w->got = buffers_get(w->bufs, waiter);
}

static void test_buffers(void)
{
	struct loop *loop = loop_create(-1);
	struct buffers *bufs = buffers_create(loop, 2, 8192);
	struct waiter w[4];
	void *a, *b;

	for (int i = 0; i < 4; i++)
		w[i] = (struct waiter){ .waiter.ready = waiter_ready, .bufs = bufs };
	w[1].declines = true;
	g_assert_cmpuint(buffers_size(bufs), ==, 8192);
	a = buffers_get(bufs, NULL);
	b = buffers_get(bufs, NULL);
	g_assert_true(a && b && a != b);
	g_assert_cmpuint((uintptr_t)a % 4096, ==, 0);
	memset(a, 1, 8192);
	memset(b, 2, 8192);
	for (int i = 0; i < 4; i++)
		g_assert_null(buffers_get(bufs, &w[i].waiter));
	g_assert_null(buffers_get(bufs, &w[0].waiter));	/* twice is once */
	buffers_cancel(bufs, &w[0].waiter);
	buffers_cancel(bufs, &w[0].waiter);
	buffers_put(bufs, a);
	g_assert_cmpuint(w[1].calls, ==, 0);		/* from the loop alone */
	g_assert_null(buffers_get(bufs, NULL));		/* who comes late does not overtake */
	loop_step(loop, 0);
	g_assert_cmpuint(w[0].calls, ==, 0);
	g_assert_cmpuint(w[1].calls, ==, 1);		/* did not take it: the next one gets it */
	g_assert_true(w[2].got == a);
	g_assert_cmpuint(w[3].calls, ==, 0);
	buffers_put(bufs, b);
	loop_step(loop, 0);
	g_assert_true(w[3].got == b);
	buffers_put(bufs, a);
	g_assert_true(buffers_get(bufs, NULL) == a);	/* the warm one */
	buffers_destroy(bufs);
	loop_destroy(loop);
}

static void test_buffers_bad(void)
{
	struct loop *loop = loop_create(-1);

	g_assert_null(buffers_create(loop, 0, 4096));
	g_assert_null(buffers_create(loop, 1, 0));
	g_assert_null(buffers_create(loop, 1, 4095));
	g_assert_null(buffers_create(loop, UINT_MAX, SIZE_MAX - 4095));
	g_assert_cmpint(errno, ==, EINVAL);
	g_assert_null(buffers_create(loop, 1, SIZE_MAX / 2 - 4095));
	g_assert_cmpint(errno, ==, ENOMEM);
	buffers_destroy(NULL);
	loop_destroy(loop);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/pool/start-failures", test_start_failures);
	g_test_add_func("/pool/shutdown-with-waiting", test_shutdown_with_waiting);
	g_test_add_func("/pool/runs", test_runs);
	g_test_add_func("/buffers/bad", test_buffers_bad);
	g_test_add_func("/buffers/waiters", test_buffers);
	return g_test_run();
}
