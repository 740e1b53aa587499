/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guest RAM that goes away under its mapping: a fault of that access, and life goes on. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib.h>

#include "base/fd.h"
#include "base/log.h"
#include "mem/arena.h"
#include "mem/guestmem.h"
#include "mem/sigbus.h"
#include "../util.h"

#define PAGE 4096ULL
#define PAGES 8
#define SIZE (PAGES * PAGE)

static struct guestmem_arena *arena;

/* A table of one region at @gpa 0x100000 of a file that cannot be sealed. */
struct world {
	struct guestmem *mem;
	struct guestmem_region r;
};

#define GPA 0x100000ULL

static void world_init(struct world *w)
{
	*w = (struct world){
		.mem = guestmem_create(arena),
		.r = { .gpa = GPA, .size = SIZE, .fd = must(memfd_create("ram", MFD_CLOEXEC)) },
	};
	g_assert_nonnull(w->mem);
	must(ftruncate(w->r.fd, SIZE));
	g_assert_cmpint(guestmem_set(w->mem, &w->r, 1), ==, 0);
}

static void world_finish(struct world *w)
{
	guestmem_destroy(w->mem);
	must(close(w->r.fd));
}

static void assert_gone(struct world *w)
{
	struct iovec iov;
	char buf[4] = "keep";

	g_assert_cmpint(guestmem_read(w->mem, GPA, buf, 4), ==, -EFAULT);
	g_assert_cmpint(guestmem_write(w->mem, GPA + SIZE - 4, buf, 4), ==, -EFAULT);
	g_assert_cmpint(guestmem_iov(w->mem, GPA, 4, &iov, 1), ==, -EFAULT);
}

/* All of it goes: each access is a fault, said once, and the same table brings it back. */
static void test_truncated(void)
{
	uint64_t gpa = 0;
	char buf[4];
	struct world w;

	world_init(&w);
	for (unsigned round = 1; round < 4; round++) {
		g_assert_cmpint(guestmem_write(w.mem, GPA, "data", 4), ==, 0);
		g_assert_false(guestmem_lost(w.mem, &gpa));
		must(ftruncate(w.r.fd, 0));
		assert_gone(&w);
		g_assert_true(guestmem_lost(w.mem, &gpa));
		g_assert_cmpuint(gpa, ==, GPA);
		assert_gone(&w);
		g_assert_false(guestmem_lost(w.mem, &gpa));
		g_assert_cmpuint(guestmem_count(w.mem), ==, 1);
		/* Not yet: the file is still too short, and the table stands. */
		g_assert_cmpint(guestmem_set(w.mem, &w.r, 1), ==, -ERANGE);
		must(ftruncate(w.r.fd, SIZE));
		assert_gone(&w);
		g_assert_cmpint(guestmem_set(w.mem, &w.r, 1), ==, 0);
		g_assert_cmpint(guestmem_read(w.mem, GPA, buf, 4), ==, 0);
		g_assert_cmpmem(buf, 4, "\0\0\0\0", 4);
	}
	world_finish(&w);
}

/* The end goes: an access that runs into it is a fault, though its first part was there. */
static void test_in_the_middle(void)
{
	g_autofree char *buf = g_malloc0(SIZE), *ones = g_malloc(SIZE);
	struct world w;
	char back[4];

	memset(ones, 1, SIZE);
	for (unsigned keep = 1; keep < PAGES; keep++) {
		world_init(&w);
		g_assert_cmpint(guestmem_write(w.mem, GPA, ones, SIZE), ==, 0);
		must(ftruncate(w.r.fd, keep * PAGE));
		g_assert_cmpint(guestmem_read(w.mem, GPA + 1, buf, keep * PAGE - 1), ==, 0);
		if (keep % 2)
			g_assert_cmpint(guestmem_read(w.mem, GPA, buf, SIZE), ==, -EFAULT);
		else
			g_assert_cmpint(guestmem_write(w.mem, GPA, ones, SIZE), ==, -EFAULT);
		assert_gone(&w);
		/* What is still in the file is what was there. */
		must(pread(w.r.fd, back, 4, (keep - 1) * PAGE));
		g_assert_cmpmem(back, 4, "\1\1\1\1", 4);
		world_finish(&w);
	}
}

/* One region of three goes: the others are RAM, a range over the border is a fault. */
static void test_neighbours(void)
{
	struct world w;
	autofd other = must(memfd_create("other", MFD_CLOEXEC));
	struct guestmem_region r[3] = {
		{ .gpa = GPA - PAGE, .size = PAGE, .fd = other },
		{ .gpa = GPA, .size = SIZE },
		{ .gpa = GPA + SIZE, .size = PAGE, .offset = PAGE, .fd = other },
	};
	char buf[4];

	must(ftruncate(other, 2 * PAGE));
	world_init(&w);
	r[1].fd = w.r.fd;
	g_assert_cmpint(guestmem_set(w.mem, r, 3), ==, 0);
	must(ftruncate(w.r.fd, 0));
	g_assert_cmpint(guestmem_read(w.mem, GPA - 2, buf, 4), ==, -EFAULT);
	g_assert_cmpint(guestmem_write(w.mem, GPA + SIZE - 2, buf, 4), ==, -EFAULT);
	g_assert_cmpint(guestmem_write(w.mem, GPA - 4, "here", 4), ==, 0);
	g_assert_cmpint(guestmem_write(w.mem, GPA + SIZE, "also", 4), ==, 0);
	assert_gone(&w);
	world_finish(&w);
}

/* The kernel's own access in our name: EFAULT and no signal. */
static void test_kernel_access(void)
{
	struct world w;
	autofd zero = must(memfd_create("zero", MFD_CLOEXEC));
	struct iovec iov;
	uint64_t gpa;

	must(ftruncate(zero, PAGE));
	world_init(&w);
	g_assert_cmpint(guestmem_iov(w.mem, GPA, PAGE, &iov, 1), ==, 1);
	must(ftruncate(w.r.fd, 0));
	g_assert_cmpint(preadv(zero, &iov, 1, 0), ==, -1);
	g_assert_cmpint(errno, ==, EFAULT);
	g_assert_false(guestmem_lost(w.mem, &gpa));
	assert_gone(&w);
	world_finish(&w);
}

/*
 * Another thread cuts the file short somewhere within a row of accesses.  In step: in each of the
 * 10^4 rounds the file is whole at first, is cut once while the accesses run, and made whole again.
 */

#define ROUNDS 10000

struct cutter {
	pthread_t thread;
	int fd;
	atomic_uint begun, done;	/* rounds */
};

static void wait_until(atomic_uint *count, unsigned value)
{
	while (atomic_load(count) < value)
		sched_yield();
}

static void *cut(void *opaque)
{
	struct cutter *c = opaque;

	for (unsigned i = 1; i <= ROUNDS; i++) {
		wait_until(&c->begun, i);
		for (volatile unsigned delay = i % 64 * 16; delay; delay--)
			;
		must(ftruncate(c->fd, i % PAGES * PAGE));
		atomic_store(&c->done, i);
	}
	return NULL;
}

/* Accesses until one of them is a fault; all before it are good. */
static unsigned access_until_fault(struct world *w, char *buf)
{
	for (unsigned good = 0; ; good++) {
		int ret = good % 2 ? guestmem_read(w->mem, GPA, buf, SIZE) :
				     guestmem_write(w->mem, GPA, buf, SIZE);

		if (ret) {
			g_assert_cmpint(ret, ==, -EFAULT);
			return good;
		}
		if (good % 8 == 7)	/* one CPU for both must do */
			sched_yield();
	}
}

static void test_race(void)
{
	g_autofree char *buf = g_malloc0(SIZE);
	unsigned long good = 0;
	struct cutter c = { 0 };
	struct world w;

	world_init(&w);
	c.fd = w.r.fd;
	must(-pthread_create(&c.thread, NULL, cut, &c));
	for (unsigned i = 1; i <= ROUNDS; i++) {
		must(ftruncate(c.fd, SIZE));
		g_assert_cmpint(guestmem_set(w.mem, &w.r, 1), ==, 0);
		atomic_store(&c.begun, i);
		good += access_until_fault(&w, buf);
		wait_until(&c.done, i);
		assert_gone(&w);
	}
	must(-pthread_join(c.thread, NULL));
	g_test_message("%u cuts, %lu good accesses before them", ROUNDS, good);
	g_assert_cmpuint(good, >, 0);
	world_finish(&w);
}

/* A SIGBUS that has nothing to do with guest RAM */

static void touch_own_file(void)
{
	int fd = memfd_create("own", MFD_CLOEXEC);
	volatile char *p;

	if (fd < 0 || ftruncate(fd, PAGE) < 0)
		_exit(1);
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED || ftruncate(fd, 0) < 0)
		_exit(1);
	*p = 1;
}

static void send_signal(void)
{
	kill(getpid(), SIGBUS);
}

/* The address of a sent signal is whatever lies there: the kernel's word counts, not it. */
static void send_with_address(void)
{
	siginfo_t si = { .si_signo = SIGBUS, .si_code = -1 };
	uint64_t base, size;

	guestmem_arena_range(arena, &base, &size);
	si.si_addr = (void *)(uintptr_t)base;
	syscall(SYS_rt_sigqueueinfo, getpid(), SIGBUS, &si);
}

static void test_outside(void)
{
	/* Who sends one shall not end the device: no access of its own has failed. */
	static const struct {
		void (*cause)(void);
		int status;
	} rows[] = {
		{ touch_own_file, SIGBUS_EXIT }, { send_signal, 0 }, { send_with_address, 0 },
	};
	struct world w;

	world_init(&w);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		char line[256];
		int p[2], status;
		ssize_t n;
		pid_t pid;

		must(pipe2(p, O_CLOEXEC));
		pid = must(fork());
		if (!pid) {
			log_init(p[1], "dev");
			rows[i].cause();
			_exit(0);
		}
		must(close(p[1]));
		must(waitpid(pid, &status, 0));
		g_assert_true(WIFEXITED(status));
		g_assert_cmpint(WEXITSTATUS(status), ==, rows[i].status);
		n = must(read(p[0], line, sizeof(line) - 1));
		line[n] = '\0';
		g_test_message("%s", line);
		g_assert_true(g_str_has_prefix(line, rows[i].status ?
					       "dev: SIGBUS outside guest memory, at 0x" : ""));
		g_assert_true(rows[i].status ? g_str_has_suffix(line, "\n") : !n);
		must(close(p[0]));
	}
	world_finish(&w);
}

/* Its copies do not know their own registers in the middle: what is resumed there goes astray. */
static void test_valgrind(void)
{
	g_test_skip("valgrind cannot go on after a fault within a copy");
}

int main(int argc, char **argv)
{
	sigset_t all;
	int status;

	g_test_init(&argc, &argv, NULL);
	if (g_getenv("MPQ_WRAPPER")) {
		g_test_add_func("/sigbus/valgrind", test_valgrind);
		return g_test_run();
	}
	arena = guestmem_arena_create();
	g_assert_nonnull(arena);
	/* As in a thread of the pool: the guard itself sees to it that the signal comes through. */
	sigfillset(&all);
	must(-pthread_sigmask(SIG_BLOCK, &all, NULL));
	g_assert_cmpint(sigbus_guard(arena), ==, 0);
	sigdelset(&all, SIGBUS);
	must(-pthread_sigmask(SIG_UNBLOCK, &all, NULL));
	g_test_add_func("/sigbus/truncated", test_truncated);
	g_test_add_func("/sigbus/in-the-middle", test_in_the_middle);
	g_test_add_func("/sigbus/neighbours", test_neighbours);
	g_test_add_func("/sigbus/kernel-access", test_kernel_access);
	g_test_add_func("/sigbus/race", test_race);
	g_test_add_func("/sigbus/outside", test_outside);
	status = g_test_run();
	guestmem_arena_destroy(arena);
	return status;
}
