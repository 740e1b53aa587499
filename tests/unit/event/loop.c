/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event loop: order, bounds of a pass, removal inside callbacks, hooks. */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <glib.h>

#include "event/loop.h"
#include "../util.h"

/* What has been called, in order: one letter a call. */
static char trace[4096];

static void note(const char *what)
{
	g_assert_cmpuint(strlen(trace) + strlen(what), <, sizeof(trace));
	strcat(trace, what);
}

static void assert_trace(const char *want)
{
	g_assert_cmpstr(trace, ==, want);
	trace[0] = 0;
}

/* The name of a call, of one letter, as an opaque pointer that stays. */
static char *name(char letter)
{
	static char names[128][2];

	names[(unsigned)letter][0] = letter;
	return names[(unsigned)letter];
}

static void on_name(void *opaque)
{
	note(opaque);
}

static void on_fd_name(void *opaque, uint32_t events)
{
	note(opaque);
}

static struct loop *make_loop(void)
{
	struct loop *loop = loop_create(-1);

	g_assert_nonnull(loop);
	trace[0] = 0;
	return loop;
}

static int ready_fd(void)
{
	return must(eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));
}

static void step(struct loop *loop)
{
	g_assert_cmpint(loop_step(loop, 0), ==, 0);
}

/* fds */

static void test_fd_errors(void)
{
	struct loop *loop = make_loop();
	int fd = ready_fd(), file = must(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
	const struct {
		int fd, add, mod;
	} rows[] = {
		{ -1, -EBADF, -EBADF },
		{ INT32_MIN, -EBADF, -EBADF },
		{ LOOP_MAX_FDS, -EBADF, -EBADF },
		{ INT32_MAX, -EBADF, -EBADF },
		{ LOOP_MAX_FDS - 1, -EBADF, -EBADF },	/* in range, not open */
		{ file, -EPERM, -EBADF },		/* epoll takes no regular file */
		{ fd, 0, 0 },
		{ fd, -EEXIST, 0 },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_test_message("row %u", i);
		g_assert_cmpint(loop_fd_add(loop, rows[i].fd, EPOLLIN, on_fd_name, name('f')),
				==, rows[i].add);
		g_assert_cmpint(loop_fd_mod(loop, rows[i].fd, EPOLLIN), ==, rows[i].mod);
	}
	loop_fd_del(loop, -1);
	loop_fd_del(loop, LOOP_MAX_FDS);
	loop_fd_del(loop, file);
	step(loop);
	assert_trace("f");
	loop_fd_del(loop, fd);
	loop_fd_del(loop, fd);
	step(loop);
	assert_trace("");
	g_assert_cmpint(loop_fd_mod(loop, fd, EPOLLIN), ==, -EBADF);
	g_assert_cmpint(loop_fd_add(loop, fd, EPOLLIN, on_fd_name, name('g')), ==, 0);
	step(loop);
	assert_trace("g");
	loop_destroy(loop);
	must(close(fd));
	must(close(file));
}

static void test_epoll_slot(void)
{
	unsigned before = open_fds();
	struct loop *loop = loop_create(150);

	g_assert_nonnull(loop);
	g_assert_cmpint(must(fcntl(150, F_GETFD)) & FD_CLOEXEC, ==, FD_CLOEXEC);
	g_assert_cmpuint(open_fds(), ==, before + 1);
	loop_destroy(loop);
	g_assert_cmpuint(open_fds(), ==, before);

	errno = 0;
	g_assert_null(loop_create(INT32_MAX));
	g_assert_cmpint(errno, ==, EBADF);
	g_assert_cmpuint(open_fds(), ==, before);
	loop_destroy(NULL);
}

static void test_fd_events(void)
{
	struct loop *loop = make_loop();
	int fd = ready_fd();

	/* Watched for nothing that it is: silent.  Level: again each pass.  Edge: once. */
	g_assert_cmpint(loop_fd_add(loop, fd, 0, on_fd_name, name('x')), ==, 0);
	step(loop);
	assert_trace("");
	g_assert_cmpint(loop_fd_mod(loop, fd, EPOLLIN), ==, 0);
	step(loop);
	step(loop);
	assert_trace("xx");
	g_assert_cmpint(loop_fd_mod(loop, fd, EPOLLIN | EPOLLET), ==, 0);
	step(loop);
	step(loop);
	assert_trace("x");
	loop_destroy(loop);
	must(close(fd));
}

/* More ready fds than one pass takes: every one gets its turn within the next passes. */
static void test_fd_many(void)
{
	struct loop *loop = make_loop();
	int fd[100];

	for (unsigned i = 0; i < G_N_ELEMENTS(fd); i++) {
		fd[i] = ready_fd();
		g_assert_cmpint(loop_fd_add(loop, fd[i], EPOLLIN | EPOLLET, on_fd_name,
					    name('.')), ==, 0);
	}
	step(loop);
	g_assert_cmpuint(strlen(trace), <=, 64);
	for (unsigned i = 0; i < 4; i++)
		step(loop);
	g_assert_cmpuint(strlen(trace), ==, G_N_ELEMENTS(fd));
	loop_destroy(loop);
	for (unsigned i = 0; i < G_N_ELEMENTS(fd); i++)
		must(close(fd[i]));
}

struct pair {
	struct loop *loop;
	int fd[2];
	uint32_t events;	/* the last ones that the second function saw */
};

/* Both of a pair are ready; the first function to run removes the other's watch. */
static void on_remove_other(void *opaque, uint32_t events)
{
	struct pair *p = opaque;

	note("r");
	loop_fd_del(p->loop, p->fd[0]);
	loop_fd_del(p->loop, p->fd[1]);
}

static void test_fd_remove_in_callback(void)
{
	struct pair p = { .loop = make_loop(), .fd = { ready_fd(), ready_fd() } };

	for (unsigned i = 0; i < 2; i++)
		g_assert_cmpint(loop_fd_add(p.loop, p.fd[i], EPOLLIN, on_remove_other, &p), ==, 0);
	step(p.loop);
	assert_trace("r");
	step(p.loop);
	assert_trace("");
	loop_destroy(p.loop);
	must(close(p.fd[0]));
	must(close(p.fd[1]));
}

static void on_events(void *opaque, uint32_t events)
{
	struct pair *p = opaque;

	note("e");
	p->events = events;
}

/* The other's number is closed, opened and watched anew: it is not told of what is not its own. */
static void on_replace_other(void *opaque, uint32_t events)
{
	struct pair *p = opaque;
	int other = p->fd[0];

	note("r");
	for (unsigned i = 0; i < 2; i++)
		loop_fd_del(p->loop, p->fd[i]);
	must(dup2(p->fd[1], other));
	g_assert_cmpint(loop_fd_add(p->loop, p->fd[0], EPOLLPRI, on_events, p), ==, 0);
	g_assert_cmpint(loop_fd_add(p->loop, p->fd[1], EPOLLPRI, on_events, p), ==, 0);
}

static void test_fd_stale_event(void)
{
	struct pair p = { .loop = make_loop(), .fd = { ready_fd(), ready_fd() } };

	for (unsigned i = 0; i < 2; i++)
		g_assert_cmpint(loop_fd_add(p.loop, p.fd[i], EPOLLIN, on_replace_other, &p), ==, 0);
	step(p.loop);
	assert_trace("r");
	loop_destroy(p.loop);
	must(close(p.fd[0]));
	must(close(p.fd[1]));
}

/* Timers */

static void test_timer_order(void)
{
	struct loop *loop = make_loop();
	struct loop_timer t[] = {
		{ on_name, name('c') }, { on_name, name('a') }, { on_name, name('b') },
		{ on_name, name('d') }, { on_name, name('z') },
	};
	int64_t now = loop_now();

	loop_timer_cancel(loop, &t[0]);		/* never armed: nothing */
	loop_timer_set(loop, &t[0], now - 10);
	loop_timer_set(loop, &t[1], now - 30);
	loop_timer_set(loop, &t[2], now - 20);
	loop_timer_set(loop, &t[3], now - 10);	/* the same instant: in the order of arming */
	loop_timer_set(loop, &t[4], now + 3600 * 1000 * LOOP_MS);
	step(loop);
	assert_trace("abcd");
	g_assert_false(t[0].armed);
	g_assert_true(t[4].armed);
	step(loop);
	assert_trace("");
	loop_timer_cancel(loop, &t[4]);
	g_assert_false(t[4].armed);
	loop_destroy(loop);
}

static void test_timer_rearm_cancel(void)
{
	struct loop *loop = make_loop();
	struct loop_timer a = { on_name, name('a') }, b = { on_name, name('b') },
			  c = { on_name, name('c') };
	int64_t now = loop_now();

	loop_timer_set(loop, &a, now + 3600 * 1000 * LOOP_MS);
	loop_timer_set(loop, &b, now - 5);
	loop_timer_set(loop, &c, now - 4);
	loop_timer_set(loop, &a, now - 3);	/* earlier than before */
	loop_timer_set(loop, &b, now - 1);	/* later than before: behind the others now */
	loop_timer_cancel(loop, &c);
	loop_timer_cancel(loop, &c);
	step(loop);
	assert_trace("ab");
	step(loop);
	assert_trace("");
	loop_destroy(loop);
}

struct canceller {
	struct loop *loop;
	struct loop_timer *timer;
	struct loop_work *work;
};

static void on_cancel(void *opaque)
{
	struct canceller *c = opaque;

	note("k");
	if (c->timer)
		loop_timer_cancel(c->loop, c->timer);
	if (c->work)
		loop_work_cancel(c->loop, c->work);
}

static void test_timer_cancel_in_callback(void)
{
	struct loop *loop = make_loop();
	struct loop_timer victim = { on_name, name('v') }, last = { on_name, name('l') };
	struct canceller c = { .loop = loop, .timer = &victim };
	struct loop_timer first = { on_cancel, &c };
	int64_t now = loop_now();

	loop_timer_set(loop, &first, now - 3);
	loop_timer_set(loop, &victim, now - 2);
	loop_timer_set(loop, &last, now - 1);
	step(loop);
	assert_trace("kl");
	g_assert_false(victim.armed);
	loop_destroy(loop);
}

struct rearm {
	struct loop *loop;
	struct loop_timer timer;
};

static void on_rearm(void *opaque)
{
	struct rearm *r = opaque;

	note("r");
	loop_timer_set(r->loop, &r->timer, loop_now() - 3600 * 1000 * LOOP_MS);
}

/* A timer that arms itself for the past runs once a pass, and holds up no other. */
static void test_timer_bound(void)
{
	struct rearm r = { .loop = make_loop(), .timer = { on_rearm, &r } };
	struct loop_timer other = { on_name, name('o') };

	loop_timer_set(r.loop, &r.timer, loop_now() - 10);
	loop_timer_set(r.loop, &other, loop_now() - 5);
	step(r.loop);
	assert_trace("ro");
	step(r.loop);
	assert_trace("r");
	loop_destroy(r.loop);
}

/* A due timer that an earlier one of the same pass moves into the future waits for it. */
static void on_postpone(void *opaque)
{
	struct canceller *c = opaque;

	note("p");
	loop_timer_set(c->loop, c->timer, loop_now() + 3600 * 1000 * LOOP_MS);
}

static void test_timer_postpone_in_callback(void)
{
	struct loop *loop = make_loop();
	struct loop_timer victim = { on_name, name('v') }, last = { on_name, name('l') };
	struct canceller c = { .loop = loop, .timer = &victim };
	struct loop_timer first = { on_postpone, &c };
	int64_t now = loop_now();

	loop_timer_set(loop, &first, now - 3);
	loop_timer_set(loop, &victim, now - 2);
	loop_timer_set(loop, &last, now - 1);
	step(loop);
	assert_trace("pl");
	g_assert_true(victim.armed);
	loop_timer_set(loop, &victim, now);
	step(loop);
	assert_trace("v");
	loop_destroy(loop);
}

/* The wait ends with the timer, never before it is due, and an earlier limit holds. */
static void test_timer_wait(void)
{
	struct loop *loop = make_loop();
	struct loop_timer t = { on_name, name('t') };
	int64_t due = loop_now() + 30 * LOOP_MS;

	loop_timer_set(loop, &t, due);
	g_assert_cmpint(loop_step(loop, 1), ==, 0);
	while (!trace[0])
		g_assert_cmpint(loop_step(loop, -1), ==, 0);
	g_assert_cmpint(loop_now(), >=, due);
	assert_trace("t");
	loop_destroy(loop);
}

/* Deadlines at the ends of the scale: due at once, and never. */
static void test_timer_limits(void)
{
	struct loop *loop = make_loop();
	struct loop_timer past = { on_name, name('p') }, never = { on_name, name('n') };

	loop_timer_set(loop, &never, INT64_MAX);
	step(loop);
	assert_trace("");
	loop_timer_set(loop, &past, INT64_MIN);
	g_assert_cmpint(loop_step(loop, -1), ==, 0);
	assert_trace("p");
	loop_timer_cancel(loop, &never);
	loop_destroy(loop);
}

/* Work */

static void test_work_order(void)
{
	struct loop *loop = make_loop();
	struct loop_work w[] = {
		{ on_name, name('a') }, { on_name, name('b') }, { on_name, name('c') },
	};

	loop_work_cancel(loop, &w[0]);		/* never queued: nothing */
	loop_work_queue(loop, &w[1]);
	loop_work_queue(loop, &w[0]);
	loop_work_queue(loop, &w[1]);		/* queued already: keeps its place */
	loop_work_queue(loop, &w[2]);
	g_assert_cmpint(loop_step(loop, -1), ==, 0);	/* does not wait */
	assert_trace("bac");
	g_assert_false(w[0].queued);
	step(loop);
	assert_trace("");
	loop_destroy(loop);
}

static void test_work_cancel(void)
{
	static const struct {
		unsigned cancel;
		const char *left;
	} rows[] = { { 0, "bc" }, { 1, "ac" }, { 2, "ab" } };

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct loop *loop = make_loop();
		struct loop_work w[] = {
			{ on_name, name('a') }, { on_name, name('b') },
			{ on_name, name('c') }, { on_name, name('d') },
		};

		for (unsigned k = 0; k < 3; k++)
			loop_work_queue(loop, &w[k]);
		loop_work_cancel(loop, &w[rows[i].cancel]);
		loop_work_cancel(loop, &w[rows[i].cancel]);
		step(loop);
		assert_trace(rows[i].left);
		/* The queue's tail is right after each kind of removal. */
		loop_work_queue(loop, &w[3]);
		loop_work_queue(loop, &w[0]);
		step(loop);
		assert_trace("da");
		loop_destroy(loop);
	}
}

static void test_work_cancel_in_callback(void)
{
	struct loop *loop = make_loop();
	struct loop_work victim = { on_name, name('v') }, last = { on_name, name('l') };
	struct canceller c = { .loop = loop, .work = &victim };
	struct loop_work first = { on_cancel, &c };

	loop_work_queue(loop, &first);
	loop_work_queue(loop, &victim);
	loop_work_queue(loop, &last);
	step(loop);
	assert_trace("kl");
	loop_destroy(loop);
}

struct requeue {
	struct loop *loop;
	struct loop_work work;
};

static void on_requeue(void *opaque)
{
	struct requeue *r = opaque;

	note("q");
	loop_work_queue(r->loop, &r->work);
}

struct swap {
	struct loop *loop;
	struct loop_work *out, *in;
};

static void on_swap(void *opaque)
{
	struct swap *s = opaque;

	note("s");
	loop_work_cancel(s->loop, s->out);
	loop_work_queue(s->loop, s->in);
}

/* What a pass queues waits for the next one, also in the place of work that was cancelled. */
static void test_work_swap_in_callback(void)
{
	struct loop *loop = make_loop();
	struct loop_work out = { on_name, name('o') }, in = { on_name, name('i') };
	struct swap s = { .loop = loop, .out = &out, .in = &in };
	struct loop_work first = { on_swap, &s };

	loop_work_queue(loop, &first);
	loop_work_queue(loop, &out);
	step(loop);
	assert_trace("s");
	step(loop);
	assert_trace("i");
	loop_destroy(loop);
}

/* Work that queues itself runs once a pass, and fds and timers get their turn in between. */
static void test_work_bound(void)
{
	struct requeue r = { .loop = make_loop(), .work = { on_requeue, &r } };
	struct loop_timer t = { on_name, name('t') };
	int fd = ready_fd();

	g_assert_cmpint(loop_fd_add(r.loop, fd, EPOLLIN, on_fd_name, name('f')), ==, 0);
	loop_work_queue(r.loop, &r.work);
	step(r.loop);
	loop_timer_set(r.loop, &t, loop_now() - 1);
	step(r.loop);
	assert_trace("fqftq");
	loop_destroy(r.loop);
	must(close(fd));
}

/* Passes and hooks */

static void test_order_and_hooks(void)
{
	struct loop *loop = make_loop();
	struct loop_timer t = { on_name, name('t') };
	struct loop_work w = { on_name, name('w') };
	int fd = ready_fd();

	g_assert_cmpint(loop_fd_add(loop, fd, EPOLLIN, on_fd_name, name('f')), ==, 0);
	loop_timer_set(loop, &t, loop_now() - 1);
	loop_work_queue(loop, &w);
	loop_set_hooks(loop, NULL, on_name, name(')'));
	step(loop);
	assert_trace("f)t)w)");
	loop_set_hooks(loop, on_name, NULL, name('('));
	step(loop);
	assert_trace("(f");
	loop_set_hooks(loop, on_name, on_name, name('|'));
	step(loop);
	assert_trace("|f|");
	loop_destroy(loop);
	must(close(fd));
}

/* Held, only fds and what is marked run; the rest keeps its order, and runs once afterwards. */
static void test_hold(void)
{
	struct loop *loop = make_loop();
	struct loop_work w[] = {
		{ on_name, name('a') }, { on_name, name('b') },
		{ on_name, name('u'), .unheld = true },
	};
	struct loop_timer t[] = {
		{ on_name, name('c') }, { on_name, name('d') },
		{ on_name, name('v'), .unheld = true },
	};
	int64_t now = loop_now();

	loop_hold(loop, true);
	g_assert_true(loop_held(loop));
	loop_work_queue(loop, &w[0]);
	loop_work_queue(loop, &w[1]);
	loop_timer_set(loop, &t[0], now - 2);
	loop_timer_set(loop, &t[1], now - 1);
	g_assert_cmpint(loop_step(loop, 0), ==, 0);
	assert_trace("");
	loop_work_queue(loop, &w[2]);
	loop_timer_set(loop, &t[2], now);
	g_assert_cmpint(loop_step(loop, -1), ==, 0);	/* does not wait */
	assert_trace("vu");
	/* an unheld one is waited for, though others are overdue */
	loop_timer_set(loop, &t[2], loop_now() + LOOP_MS);
	while (t[2].armed)
		g_assert_cmpint(loop_step(loop, -1), ==, 0);
	assert_trace("v");
	loop_work_cancel(loop, &w[0]);
	loop_timer_cancel(loop, &t[0]);
	loop_hold(loop, false);
	g_assert_cmpint(loop_step(loop, -1), ==, 0);
	assert_trace("db");
	loop_destroy(loop);
}

struct quitter {
	struct loop *loop;
	struct loop_work work;
	unsigned left;
};

static void on_quit(void *opaque)
{
	struct quitter *q = opaque;

	note("q");
	if (--q->left)
		loop_work_queue(q->loop, &q->work);
	else
		loop_quit(q->loop);
}

static void test_run_quit(void)
{
	struct quitter q = { .loop = make_loop(), .work = { on_quit, &q }, .left = 3 };

	loop_work_queue(q.loop, &q.work);
	g_assert_cmpint(loop_run(q.loop), ==, 0);
	assert_trace("qqq");
	q.left = 1;
	loop_work_queue(q.loop, &q.work);
	g_assert_cmpint(loop_run(q.loop), ==, 0);
	assert_trace("q");
	loop_destroy(q.loop);
}

/* Anything else at the place of the epoll fd: the loop ends with the reason. */
static void test_run_error(void)
{
	struct loop *loop = loop_create(151);
	int fd = must(open("/dev/null", O_RDONLY | O_CLOEXEC));

	g_assert_nonnull(loop);
	must(dup2(fd, 151));
	g_assert_cmpint(loop_run(loop), ==, -EINVAL);
	loop_destroy(loop);
	must(close(fd));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/loop/fd-errors", test_fd_errors);
	g_test_add_func("/loop/fd-remove-in-callback", test_fd_remove_in_callback);
	g_test_add_func("/loop/fd-stale-event", test_fd_stale_event);
	g_test_add_func("/loop/run-error", test_run_error);
	g_test_add_func("/loop/epoll-slot", test_epoll_slot);
	g_test_add_func("/loop/fd-events", test_fd_events);
	g_test_add_func("/loop/fd-many", test_fd_many);
	g_test_add_func("/loop/timer-limits", test_timer_limits);
	g_test_add_func("/loop/timer-cancel-in-callback", test_timer_cancel_in_callback);
	g_test_add_func("/loop/timer-bound", test_timer_bound);
	g_test_add_func("/loop/timer-postpone-in-callback", test_timer_postpone_in_callback);
	g_test_add_func("/loop/timer-order", test_timer_order);
	g_test_add_func("/loop/timer-rearm-cancel", test_timer_rearm_cancel);
	g_test_add_func("/loop/timer-wait", test_timer_wait);
	g_test_add_func("/loop/work-bound", test_work_bound);
	g_test_add_func("/loop/work-cancel-in-callback", test_work_cancel_in_callback);
	g_test_add_func("/loop/work-swap-in-callback", test_work_swap_in_callback);
	g_test_add_func("/loop/work-order", test_work_order);
	g_test_add_func("/loop/work-cancel", test_work_cancel);
	g_test_add_func("/loop/order-and-hooks", test_order_and_hooks);
	g_test_add_func("/loop/hold", test_hold);
	g_test_add_func("/loop/run-quit", test_run_quit);
	return g_test_run();
}
