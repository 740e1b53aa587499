/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "event/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LOOP_BATCH 32	/* fds taken from epoll in one pass */

struct watch {
	loop_fd_fn *fn;		/* NULL: free */
	void *opaque;
};

struct loop {
	int epoll_fd;
	bool quit;
	struct watch watch[LOOP_MAX_FDS];	/* by fd number */
	struct loop_timer *timers;		/* sorted by deadline */
	struct loop_work *work;
	struct loop_work **work_tail;
	loop_fn *before, *after;
	void *hook_opaque;
};

int64_t loop_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

struct loop *loop_create(int epoll_slot)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return NULL;
	loop->work_tail = &loop->work;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd >= 0 && epoll_slot >= 0 && loop->epoll_fd != epoll_slot) {
		int fd = dup3(loop->epoll_fd, epoll_slot, O_CLOEXEC);

		close(loop->epoll_fd);
		loop->epoll_fd = fd;
	}
	if (loop->epoll_fd < 0) {
		free(loop);
		return NULL;
	}
	return loop;
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	close(loop->epoll_fd);
	free(loop);
}

void loop_set_hooks(struct loop *loop, loop_fn *before, loop_fn *after, void *opaque)
{
	loop->before = before;
	loop->after = after;
	loop->hook_opaque = opaque;
}

static void hook_before(struct loop *loop)
{
	if (loop->before)
		loop->before(loop->hook_opaque);
}

static void hook_after(struct loop *loop)
{
	if (loop->after)
		loop->after(loop->hook_opaque);
}

int loop_fd_add(struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn, void *opaque)
{
	struct epoll_event ev = { .events = events, .data.fd = fd };

	if (fd < 0 || fd >= LOOP_MAX_FDS)
		return -EBADF;
	if (loop->watch[fd].fn)
		return -EEXIST;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	loop->watch[fd] = (struct watch){ .fn = fn, .opaque = opaque };
	return 0;
}

int loop_fd_mod(struct loop *loop, int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.fd = fd };

	if (fd < 0 || fd >= LOOP_MAX_FDS || !loop->watch[fd].fn)
		return -EBADF;
	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &ev) < 0 ? -errno : 0;
}

void loop_fd_del(struct loop *loop, int fd)
{
	if (fd < 0 || fd >= LOOP_MAX_FDS || !loop->watch[fd].fn)
		return;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	loop->watch[fd].fn = NULL;
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
	struct loop_timer **p = &loop->timers;

	if (!timer->armed)
		return;
	while (*p != timer)
		p = &(*p)->next;
	*p = timer->next;
	timer->armed = false;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t deadline)
{
	struct loop_timer **p = &loop->timers;

	loop_timer_cancel(loop, timer);
	while (*p && (*p)->deadline <= deadline)
		p = &(*p)->next;
	timer->deadline = deadline;
	timer->next = *p;
	timer->armed = true;
	*p = timer;
}

void loop_work_queue(struct loop *loop, struct loop_work *work)
{
	if (work->queued)
		return;
	work->queued = true;
	work->next = NULL;
	*loop->work_tail = work;
	loop->work_tail = &work->next;
}

void loop_work_cancel(struct loop *loop, struct loop_work *work)
{
	struct loop_work **p = &loop->work;

	if (!work->queued)
		return;
	while (*p != work)
		p = &(*p)->next;
	*p = work->next;
	if (!work->next)
		loop->work_tail = p;
	work->queued = false;
}

/* How long epoll may wait: not at all when work is queued, else until the first timer, in ms. */
static int loop_wait_ms(const struct loop *loop, int limit_ms)
{
	int64_t left;

	if (loop->work)
		return 0;
	if (!loop->timers)
		return limit_ms;
	left = loop->timers->deadline - loop_now();
	if (left <= 0)
		return 0;
	left = (left + LOOP_MS - 1) / LOOP_MS;
	if (limit_ms >= 0 && left > limit_ms)
		return limit_ms;
	return left > 3600000 ? 3600000 : (int)left;
}

static void loop_run_fds(struct loop *loop, const struct epoll_event *ev, int n)
{
	for (int i = 0; i < n; i++) {
		struct watch w = loop->watch[ev[i].data.fd];

		if (!w.fn)
			continue;
		hook_before(loop);
		w.fn(w.opaque, ev[i].events);
		hook_after(loop);
	}
}

/* Those due when the pass began; one that re-arms itself for the past waits for the next pass. */
static void loop_run_timers(struct loop *loop)
{
	int64_t now;

	if (!loop->timers)
		return;
	now = loop_now();
	for (unsigned budget = LOOP_MAX_FDS; budget; budget--) {
		struct loop_timer *timer = loop->timers;

		if (!timer || timer->deadline > now)
			return;
		loop_timer_cancel(loop, timer);
		hook_before(loop);
		timer->fn(timer->opaque);
		hook_after(loop);
	}
}

/* As many as were queued when the pass came here; what they queue waits for the next one. */
static void loop_run_work(struct loop *loop)
{
	unsigned count = 0;

	for (struct loop_work *w = loop->work; w; w = w->next)
		count++;
	for (; count && loop->work; count--) {
		struct loop_work *work = loop->work;

		loop_work_cancel(loop, work);
		hook_before(loop);
		work->fn(work->opaque);
		hook_after(loop);
	}
}

int loop_step(struct loop *loop, int timeout_ms)
{
	struct epoll_event ev[LOOP_BATCH];
	int n = epoll_wait(loop->epoll_fd, ev, LOOP_BATCH, loop_wait_ms(loop, timeout_ms));

	if (n < 0 && errno != EINTR)
		return -errno;
	loop_run_fds(loop, ev, n);
	loop_run_timers(loop);
	loop_run_work(loop);
	return 0;
}

int loop_run(struct loop *loop)
{
	loop->quit = false;
	while (!loop->quit) {
		int ret = loop_step(loop, -1);

		if (ret)
			return ret;
	}
	return 0;
}

void loop_quit(struct loop *loop)
{
	loop->quit = true;
}
