/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "event/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define LOOP_BATCH 32	/* fds taken from epoll in one pass */
#define WAIT_MAX_MS 3600000	/* a later deadline is looked at again then */

struct watch {
	loop_fd_fn *fn;		/* NULL: free */
	void *opaque;
	uint32_t generation;	/* which use of this fd number it is */
};

/* Adaptive polling, see loop_set_poll(). */
struct poll {
	int64_t window;		/* ns; 0: off */
	bool primed;		/* the last pass had an fd event: another one may follow soon */
	unsigned score;		/* up to POLL_TRUST; 0: it does not pay */
	unsigned skip, rest;	/* waits left without a try; those after the next failure */
};

#define POLL_LOOK_MAX 4000	/* ns */
#define POLL_TRUST 8
#define POLL_REST_MIN 16
#define POLL_REST_MAX 4096

struct loop {
	int epoll_fd;
	bool quit, held;
	struct poll poll;
	struct watch watch[LOOP_MAX_FDS];	/* by fd number */
	struct loop_timer *timers;		/* sorted by deadline */
	struct loop_timer *due;			/* left for the pass under way */
	struct loop_work *work;
	struct loop_work **work_tail;
	struct loop_work *running;		/* the same */
	loop_fn *before, *after;
	void *hook_opaque;
};

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

/*
 * Events carry the generation of the watch beside the fd number: one taken for an fd that a
 * callback of the same pass has closed must not reach what stands at its number now.
 */
static int watch_ctl(struct loop *loop, int op, int fd, uint32_t events, uint32_t generation)
{
	struct epoll_event ev = {
		.events = events, .data.u64 = (uint64_t)generation << 32 | (uint32_t)fd,
	};

	return epoll_ctl(loop->epoll_fd, op, fd, &ev) < 0 ? -errno : 0;
}

int loop_fd_add(struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn, void *opaque)
{
	uint32_t generation;
	int ret;

	if (fd < 0 || fd >= LOOP_MAX_FDS)
		return -EBADF;
	if (loop->watch[fd].fn)
		return -EEXIST;
	generation = loop->watch[fd].generation + 1;
	ret = watch_ctl(loop, EPOLL_CTL_ADD, fd, events, generation);
	if (ret)
		return ret;
	loop->watch[fd] = (struct watch){ .fn = fn, .opaque = opaque, .generation = generation };
	return 0;
}

int loop_fd_mod(struct loop *loop, int fd, uint32_t events)
{
	if (fd < 0 || fd >= LOOP_MAX_FDS || !loop->watch[fd].fn)
		return -EBADF;
	return watch_ctl(loop, EPOLL_CTL_MOD, fd, events, loop->watch[fd].generation);
}

void loop_fd_del(struct loop *loop, int fd)
{
	if (fd < 0 || fd >= LOOP_MAX_FDS || !loop->watch[fd].fn)
		return;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	loop->watch[fd].fn = NULL;
}

static bool timer_unlink(struct loop_timer **list, struct loop_timer *timer)
{
	while (*list && *list != timer)
		list = &(*list)->next;
	if (!*list)
		return false;
	*list = timer->next;
	return true;
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
	if (!timer->armed)
		return;
	if (!timer_unlink(&loop->due, timer))
		timer_unlink(&loop->timers, timer);
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

/* Where @work hangs in @list, or the list's end. */
static struct loop_work **work_link(struct loop_work **list, const struct loop_work *work)
{
	while (*list && *list != work)
		list = &(*list)->next;
	return list;
}

void loop_work_cancel(struct loop *loop, struct loop_work *work)
{
	struct loop_work **link;

	if (!work->queued)
		return;
	link = work_link(&loop->running, work);
	if (!*link) {
		link = work_link(&loop->work, work);
		if (!work->next)
			loop->work_tail = link;
	}
	*link = work->next;
	work->queued = false;
}

void loop_hold(struct loop *loop, bool hold)
{
	loop->held = hold;
}

bool loop_held(const struct loop *loop)
{
	return loop->held;
}

static bool may_run(const struct loop *loop, bool unheld)
{
	return !loop->held || unheld;
}

static bool any_work(const struct loop *loop)
{
	const struct loop_work *work = loop->work;

	while (work && loop->held && !work->unheld)
		work = work->next;
	return work;
}

/* The first that may run; NULL: none. */
static const struct loop_timer *first_timer(const struct loop *loop)
{
	const struct loop_timer *timer = loop->timers;

	while (timer && loop->held && !timer->unheld)
		timer = timer->next;
	return timer;
}

/* How long epoll may wait: not at all when work is queued, else until the first timer, in ms. */
static int loop_wait_ms(const struct loop *loop, int limit_ms)
{
	const struct loop_timer *timer = first_timer(loop);
	int64_t now, left = WAIT_MAX_MS;

	if (any_work(loop))
		return 0;
	if (!timer)
		return limit_ms;
	now = loop_now();
	if (timer->deadline <= now)
		return 0;
	if (timer->deadline < now + WAIT_MAX_MS * LOOP_MS)
		left = (timer->deadline - now + LOOP_MS - 1) / LOOP_MS;
	return limit_ms >= 0 && left > limit_ms ? limit_ms : (int)left;
}

void loop_set_poll(struct loop *loop, int64_t window)
{
	loop->poll = (struct poll){ .window = window, .rest = POLL_REST_MIN };
}

/* May the wait that comes begin with a look?  Where looking does not pay, seldom. */
static bool poll_wanted(struct poll *poll)
{
	if (!poll->window || !poll->primed)
		return false;
	if (poll->score || !poll->skip)
		return true;
	poll->skip--;
	return false;
}

/*
 * A window in vain has cost what several good ones save, so trust goes faster than it comes.  Where
 * there is none left the tries become rare: on a machine with one CPU for both ends none can
 * succeed.
 */
static void poll_learn(struct poll *poll, bool good)
{
	if (good) {
		poll->score += poll->score < POLL_TRUST;
		poll->rest = POLL_REST_MIN;
		return;
	}
	poll->score = poll->score > 2 ? poll->score - 2 : 0;
	if (poll->score)
		return;
	poll->skip = poll->rest;
	if (poll->rest < POLL_REST_MAX)
		poll->rest *= 2;
}

/*
 * Looks for events until the window is over, or the first timer is due.  As epoll_wait().  What
 * the first look finds needed no other; and a look that took long was none: our CPU was the peer's
 * meanwhile.
 */
static int poll_look(struct loop *loop, struct epoll_event *ev)
{
	const struct loop_timer *timer;
	int n = epoll_wait(loop->epoll_fd, ev, LOOP_BATCH, 0);
	int64_t now = loop_now(), end = now + loop->poll.window, last;
	bool alone = true;

	if (n)
		return n;
	timer = first_timer(loop);
	if (timer && timer->deadline < end)
		end = timer->deadline;
	while (!n && alone && now < end) {
		n = epoll_wait(loop->epoll_fd, ev, LOOP_BATCH, 0);
		last = now;
		now = loop_now();
		alone = now - last < POLL_LOOK_MAX;
	}
	poll_learn(&loop->poll, n > 0 && alone);
	return n;
}

static int loop_wait(struct loop *loop, struct epoll_event *ev, int limit_ms)
{
	int wait_ms = loop_wait_ms(loop, limit_ms), n = 0;

	if (wait_ms && poll_wanted(&loop->poll)) {
		n = poll_look(loop, ev);
		wait_ms = loop_wait_ms(loop, limit_ms);
	}
	if (!n)
		n = epoll_wait(loop->epoll_fd, ev, LOOP_BATCH, wait_ms);
	loop->poll.primed = n > 0;
	return n;
}

static void loop_run_fds(struct loop *loop, const struct epoll_event *ev, int n)
{
	for (int i = 0; i < n; i++) {
		struct watch w = loop->watch[(uint32_t)ev[i].data.u64];

		if (!w.fn || w.generation != ev[i].data.u64 >> 32)
			continue;
		hook_before(loop);
		w.fn(w.opaque, ev[i].events);
		hook_after(loop);
	}
}

/* Those due when the pass came here; what they arm, even for the past, waits for the next one. */
static void loop_run_timers(struct loop *loop)
{
	struct loop_timer **p = &loop->timers;
	int64_t now;

	if (!loop->timers)
		return;
	now = loop_now();
	while (*p && (*p)->deadline <= now)
		p = &(*p)->next;
	if (p == &loop->timers)
		return;
	loop->due = loop->timers;
	loop->timers = *p;
	*p = NULL;
	while (loop->due) {
		struct loop_timer *timer = loop->due;

		loop_timer_cancel(loop, timer);
		if (!may_run(loop, timer->unheld)) {
			loop_timer_set(loop, timer, timer->deadline);
			continue;
		}
		hook_before(loop);
		timer->fn(timer->opaque);
		hook_after(loop);
	}
}

/* What was queued when the pass came here; what that queues waits for the next pass. */
static void loop_run_work(struct loop *loop)
{
	loop->running = loop->work;
	loop->work = NULL;
	loop->work_tail = &loop->work;
	while (loop->running) {
		struct loop_work *work = loop->running;

		loop_work_cancel(loop, work);
		if (!may_run(loop, work->unheld)) {
			loop_work_queue(loop, work);
			continue;
		}
		hook_before(loop);
		work->fn(work->opaque);
		hook_after(loop);
	}
}

int loop_step(struct loop *loop, int timeout_ms)
{
	struct epoll_event ev[LOOP_BATCH];
	int n = loop_wait(loop, ev, timeout_ms);

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

int loop_left_ms(int64_t due, int wait_ms)
{
	int64_t left = (due - loop_now() + LOOP_MS - 1) / LOOP_MS;

	left = left > 0 ? left : 0;
	return wait_ms < 0 || left < wait_ms ? left : wait_ms;
}
