/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Adaptive polling of the event loop, on a clock that moves only when it is looked at. */

#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <glib.h>

#include "event/loop.h"

#define WINDOW 40000	/* ns */
#define STEP 1000	/* ns that a look at the clock takes */

static struct {
	int64_t now;
	unsigned looks;		/* at the clock */
	unsigned answer_at;	/* the peer writes at the look of this number; 0: never */
	int64_t slow;		/* ns that this look took besides: somebody else had the CPU */
	int fd;
	unsigned events;
} w;

int64_t loop_now(void)
{
	w.looks++;
	w.now += STEP;
	if (w.looks == w.answer_at) {
		w.now += w.slow;
		g_assert_cmpint(eventfd_write(w.fd, 1), ==, 0);
	}
	return w.now;
}

static void on_event(void *opaque, uint32_t events)
{
	eventfd_t count;

	g_assert_cmpint(eventfd_read(w.fd, &count), ==, 0);
	w.events++;
}

static struct loop *up(int64_t window)
{
	struct loop *loop = loop_create(-1);

	w.now = 1000000000;
	w.looks = w.answer_at = w.slow = w.events = 0;
	w.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	g_assert_cmpint(loop_fd_add(loop, w.fd, EPOLLIN, on_event, NULL), ==, 0);
	loop_set_poll(loop, window);
	return loop;
}

static void down(struct loop *loop)
{
	loop_destroy(loop);
	close(w.fd);
}

/* An event is there, then a wait of a millisecond at the most: looks at the clock in that wait. */
static unsigned wait_after_event(struct loop *loop, unsigned answer_at)
{
	g_assert_cmpint(eventfd_write(w.fd, 1), ==, 0);
	g_assert_cmpint(loop_step(loop, 1), ==, 0);
	w.looks = 0;
	w.answer_at = answer_at;
	g_assert_cmpint(loop_step(loop, 1), ==, 0);
	w.answer_at = 0;
	return w.looks;
}

static void test_off(void)
{
	struct loop *loop = up(0);

	for (unsigned i = 0; i < 100; i++)
		g_assert_cmpuint(wait_after_event(loop, 0), ==, 0);
	down(loop);
}

/* An idle loop sleeps; so does one whose last pass had no fd's event. */
static void test_idle(void)
{
	struct loop *loop = up(WINDOW);

	g_assert_cmpint(loop_step(loop, 1), ==, 0);
	g_assert_cmpuint(w.looks, ==, 0);
	g_assert_cmpuint(wait_after_event(loop, 0), >, 10);
	w.looks = 0;
	g_assert_cmpint(loop_step(loop, 1), ==, 0);
	g_assert_cmpuint(w.looks, ==, 0);
	down(loop);
}

static void on_timer(void *opaque)
{
}

/* The window is a bound, and a timer's deadline another one. */
static void test_bounds(void)
{
	struct loop *loop = up(WINDOW);
	struct loop_timer timer = { .fn = on_timer };

	g_assert_cmpuint(wait_after_event(loop, 0), <=, WINDOW / STEP + 2);
	down(loop);
	loop = up(WINDOW);
	g_assert_cmpint(eventfd_write(w.fd, 1), ==, 0);
	g_assert_cmpint(loop_step(loop, 1), ==, 0);
	loop_timer_set(loop, &timer, w.now + 10 * STEP);
	w.looks = 0;
	g_assert_cmpint(loop_step(loop, 1), ==, 0);
	g_assert_cmpuint(w.looks, <, 20);
	down(loop);
}

/* Where nothing comes in time the tries become rare; where it comes each wait begins with looks. */
static void test_learns(void)
{
	struct loop *loop = up(WINDOW);
	unsigned tries = 0;

	for (unsigned i = 0; i < 1000; i++)
		tries += wait_after_event(loop, 0) > 2;
	g_assert_cmpuint(tries, >=, 3);
	g_assert_cmpuint(tries, <=, 10);
	for (unsigned i = 0; i < 2000; i++)
		wait_after_event(loop, 5);
	tries = w.events = 0;
	for (unsigned i = 0; i < 100; i++)
		tries += wait_after_event(loop, 5) >= 5;
	g_assert_cmpuint(tries, ==, 100);
	g_assert_cmpuint(w.events, ==, 200);
	/* some in vain among them do not end it */
	wait_after_event(loop, 0);
	wait_after_event(loop, 0);
	g_assert_cmpuint(wait_after_event(loop, 5), >=, 5);
	down(loop);
}

/* One CPU for both: the peer answers while we are off the CPU.  That is no reason to look. */
static void test_shared_cpu(void)
{
	struct loop *loop = up(WINDOW);
	unsigned tries = 0;

	w.slow = 20000;
	for (unsigned i = 0; i < 1000; i++)
		tries += wait_after_event(loop, 5) > 2;
	g_assert_cmpuint(tries, <=, 10);
	down(loop);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/event/poll/off", test_off);
	g_test_add_func("/event/poll/idle", test_idle);
	g_test_add_func("/event/poll/bounds", test_bounds);
	g_test_add_func("/event/poll/learns", test_learns);
	g_test_add_func("/event/poll/shared-cpu", test_shared_cpu);
	return g_test_run();
}
