/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EVENT_LOOP_H
#define EVENT_LOOP_H

/*
 * The event loop of a device process: epoll, fixed tables, no allocation after loop_create(), no
 * call that its seccomp filter does not list.  One thread.  (The keeper and the orchestrator use
 * glib's GMainLoop, whose other libraries' sources they need.)
 *
 * One pass: wait; call the function of each ready fd; run the timers that are due; run queued work.
 * A pass has a bound: work and timers queued by a pass run in the next one.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

/* fds up to this number can be watched. */
#define LOOP_MAX_FDS 256

struct loop;

/* @events: EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP as epoll reports them. */
typedef void loop_fd_fn(void *opaque, uint32_t events);
typedef void loop_fn(void *opaque);

/* A timer; the caller owns the memory, which stays in place while it is armed. */
struct loop_timer {
	loop_fn *fn;
	void *opaque;
	int64_t deadline;		/* CLOCK_MONOTONIC, ns */
	struct loop_timer *next;	/* in the loop's sorted list, when armed */
	bool armed;
	bool unheld;			/* runs also while the loop is held */
};

/* Something to do once, in the next pass; the caller owns the memory. */
struct loop_work {
	loop_fn *fn;
	void *opaque;
	struct loop_work *next;
	bool queued;
	bool unheld;			/* as of a timer */
};

/*
 * @epoll_slot: the number that the epoll fd gets (what stands there is replaced), or -1 for any.
 * Returns NULL with errno set when it cannot be made.
 */
struct loop *loop_create(int epoll_slot);
void loop_destroy(struct loop *loop);

/* Calls @before and @after around every function that the loop calls: one event, a transaction. */
void loop_set_hooks(struct loop *loop, loop_fn *before, loop_fn *after, void *opaque);

/*
 * Watches @fd, which stays the caller's, until loop_fd_del().  @events as for epoll_ctl
 * (EPOLLET allowed).  Returns 0 or -errno: -EEXIST when watched already, -EBADF when out of range.
 */
int loop_fd_add(struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn, void *opaque);
int loop_fd_mod(struct loop *loop, int fd, uint32_t events);
/* Safe inside any callback: the function is not called again, not even in this pass. */
void loop_fd_del(struct loop *loop, int fd);

/* Arms (or re-arms) @timer for the absolute time @deadline in ns of CLOCK_MONOTONIC. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t deadline);
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);

/* Queues @work for the next pass; nothing if it is queued already. */
void loop_work_queue(struct loop *loop, struct loop_work *work);
void loop_work_cancel(struct loop *loop, struct loop_work *work);

/*
 * Held, a loop calls the functions of fds and nothing else but what is marked as unheld: the others
 * wait in their order, and what is due by then runs when the loop is held no more.  For a process
 * whose devices stand still while it still answers.
 */
void loop_hold(struct loop *loop, bool hold);
bool loop_held(const struct loop *loop);

/*
 * Before it sleeps, a pass that follows an fd event looks for the next one for up to @window ns, as
 * long as that pays: to be woken from sleep on another CPU takes longer than a peer needs for its
 * next message.  0, as at first: never.
 */
void loop_set_poll(struct loop *loop, int64_t window);

/* Runs passes until loop_quit(); returns 0, or -errno when epoll itself fails. */
int loop_run(struct loop *loop);
/* One pass, waiting at most @timeout_ms (-1: for ever); for tests and clients that poll. */
int loop_step(struct loop *loop, int timeout_ms);
void loop_quit(struct loop *loop);

/* CLOCK_MONOTONIC in ns. */
int64_t loop_now(void);

#define LOOP_MS 1000000LL	/* ns in a millisecond */

/* For who polls: ms until @due, of loop_now(), or @wait_ms if that is sooner; -1: never. */
int loop_left_ms(int64_t due, int wait_ms);

#endif
