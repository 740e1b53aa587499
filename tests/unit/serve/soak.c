/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sessions and memory maps by the thousand: what a process holds stays the same.  With -m slow it
 * is 10^5 sessions and 10^6 maps, as HACKING.md says; otherwise a tenth of both.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib.h>

#include "applets/remote/serve.h"
#include "base/fd.h"
#include "base/log.h"
#include "devices/edu/edu.h"
#include "mem/arena.h"
#include "mem/guestmem.h"
#include "mem/memfd.h"
#include "mem/sigbus.h"
#include "usage.h"
#include "../util.h"

#define PAGE 4096ULL
#define RAM_PAGES 64
#define BAR 0xfea00000ULL

/* Sessions */

struct world {
	struct guestmem_arena *arena;
	struct loop *loop;
	struct serve serve;
	struct serve_ops ops;
	struct pci_state *state;
	struct mpq_conn peer;
	int ram, event[2];
	unsigned closed;
};

static void on_closed(void *opaque, struct serve *serve, enum serve_end end)
{
	((struct world *)opaque)->closed++;
}

static void after_event(void *opaque)
{
	serve_flush(&((struct world *)opaque)->serve);
}

static void settle(struct world *w)
{
	for (unsigned i = 0; i < 4; i++)
		g_assert_cmpint(loop_step(w->loop, 0), ==, 0);
}

static void tell(struct world *w, enum mpq_cmd cmd, const void *payload, size_t size,
		 const int *fds, unsigned count)
{
	g_assert_cmpint(mpq_send_fds(&w->peer, cmd, payload, size, fds, count), ==, 0);
	settle(w);
}

static void ask(struct world *w, enum mpq_cmd cmd, const void *payload, size_t size)
{
	struct mpq_msg msg;

	tell(w, cmd, payload, size, NULL, 0);
	g_assert_cmpint(mpq_peek(&w->peer, &msg), ==, 0);
	g_assert_cmpint(mpq_consume(&w->peer, &msg), ==, 0);
}

/* What QEMU says to a device until its guest runs, in short. */
static void talk(struct world *w)
{
	struct mpq_sync_sysmem sync = { .size = { 8 * PAGE, PAGE }, .gpa = { 0, 1ULL << 32 } };
	struct mpq_cfg bar = { .addr = PCI_BASE_ADDRESS_0, .val = BAR, .len = 4 };
	struct mpq_cfg command = { .addr = PCI_COMMAND, .val = 6, .len = 2 };
	struct mpq_bar raise = { .addr = BAR + 0x60, .val = 1, .size = 4, .memory = 1 };
	struct mpq_bar ident = { .addr = BAR, .size = 4, .memory = 1 };

	tell(w, MPQ_SYNC_SYSMEM, &sync, sizeof(sync), (int[]){ w->ram, w->ram }, 2);
	tell(w, MPQ_SET_IRQFD, NULL, 0, w->event, 2);
	ask(w, MPQ_PCI_CFGWRITE, &bar, sizeof(bar));
	ask(w, MPQ_PCI_CFGWRITE, &command, sizeof(command));
	ask(w, MPQ_BAR_WRITE, &raise, sizeof(raise));
	ask(w, MPQ_BAR_READ, &ident, sizeof(ident));
	ask(w, MPQ_DEVICE_RESET, NULL, 0);
}

/* The peer goes between two messages. */
static void end_clean(struct world *w)
{
}

/* Within one, which carries fds. */
static void end_inside(struct world *w)
{
	struct mpq_header h = { .cmd = MPQ_SYNC_SYSMEM, .size = 192 };

	must(send(w->peer.conn.fd, &h, sizeof(h), 0));
	settle(w);
}

/* With fds on a message that takes none, and more behind it. */
static void end_protocol(struct world *w)
{
	for (unsigned i = 0; i < 3; i++) {
		int fds[] = { w->ram, w->event[0] };
		int ret = mpq_send_fds(&w->peer, MPQ_DEVICE_RESET, NULL, 0, fds, 2);

		g_assert_cmpint(ret, ==, 0);
	}
	settle(w);
}

/* By the process, with a reply that the peer has not read and a request that nobody will. */
static void end_stop(struct world *w)
{
	struct mpq_cfg cfg = { .len = 2 };

	tell(w, MPQ_PCI_CFGREAD, &cfg, sizeof(cfg), NULL, 0);
	g_assert_cmpint(mpq_send_fds(&w->peer, MPQ_SET_IRQFD, NULL, 0, w->event, 2), ==, 0);
	serve_stop(&w->serve);
	w->closed++;
}

static void session(struct world *w, unsigned long i)
{
	static void (*const ends[])(struct world *) = {
		end_clean, end_inside, end_protocol, end_stop,
	};
	int s[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s));
	mpq_conn_init(&w->peer, s[0], MPQ_FROM_REMOTE);
	memset(w->state, 0, edu_class.state_size);
	const struct serve_setup setup = {
		.protocol = &serve_mpqemu, .loop = w->loop, .arena = w->arena, .fd = s[1],
		.cls = &edu_class, .state = w->state, .id = "edu0", .ops = &w->ops,
	};

	g_assert_cmpint(serve_init(&w->serve, &setup), ==, 0);
	g_assert_cmpint(serve_start(&w->serve), ==, 0);
	w->closed = 0;
	talk(w);
	ends[i % G_N_ELEMENTS(ends)](w);
	fd_close(&s[0]);
	settle(w);
	g_assert_cmpuint(w->closed, ==, 1);
	serve_finish(&w->serve);
	fd_close(&s[1]);
}

static void test_sessions(void)
{
	struct world w = {
		.arena = guestmem_arena_create(), .loop = loop_create(-1),
		.state = g_malloc0(edu_class.state_size),
		.ops = { .closed = on_closed, .opaque = &w },
		.ram = must(memfd_make("ram", RAM_PAGES * PAGE)),
		.event = { must(eventfd(0, EFD_CLOEXEC)), must(eventfd(0, EFD_CLOEXEC)) },
	};
	unsigned long count = usage_rounds(100000);
	autofd null = must(open("/dev/null", O_WRONLY | O_CLOEXEC));
	struct usage before;

	g_assert_nonnull(w.arena);
	g_assert_nonnull(w.loop);
	loop_set_hooks(w.loop, NULL, after_event, &w);
	log_init(null, "soak");
	for (unsigned long i = 0; i < 100; i++)
		session(&w, i);
	before = usage_now();
	for (unsigned long i = 0; i < count; i++)
		session(&w, i);
	usage_same(&before, "sessions", count);
	log_init(STDERR_FILENO, "test-serve-soak");
	must(close(w.event[0]));
	must(close(w.event[1]));
	must(close(w.ram));
	g_free(w.state);
	loop_destroy(w.loop);
	guestmem_arena_destroy(w.arena);
}

/* Memory maps */

struct maps {
	struct guestmem *mem;
	int sealed, loose;	/* memfd; file that can be cut short */
};

/* The @i-th table, of 1 to 8 regions that seldom are the ones before. */
static unsigned table_make(const struct maps *m, unsigned long i, struct guestmem_region *r)
{
	unsigned count = 1 + i % 8;

	for (unsigned k = 0; k < count; k++)
		r[k] = (struct guestmem_region){
			.gpa = (k + i % 3) << 24, .size = (1 + (i + k) % 7) * PAGE,
			.offset = (i * 5 + k * 3) % (RAM_PAGES - 8) * PAGE,
			.fd = (i + k) % 11 ? m->sealed : m->loose,
		};
	return count;
}

/* A table that cannot be: its last region is behind the file, or overlaps the first. */
static void table_refused(const struct maps *m, unsigned long i)
{
	struct guestmem_region r[GUESTMEM_MAX_REGIONS];
	unsigned count = table_make(m, i, r);

	r[count - 1].offset = i % 2 ? 1ULL << 40 : r[count - 1].offset;
	r[count - 1].gpa = i % 2 || count == 1 ? 1 : r[0].gpa;
	g_assert_cmpint(guestmem_set(m->mem, r, count), <, 0);
}

/* RAM that goes away, is touched, and comes back by the next table. */
static void table_lost(const struct maps *m)
{
	struct guestmem_region r = { .size = PAGE, .fd = m->loose };
	char byte;

	g_assert_cmpint(guestmem_set(m->mem, &r, 1), ==, 0);
	must(ftruncate(m->loose, 0));
	g_assert_cmpint(guestmem_read(m->mem, 0, &byte, 1), ==, -EFAULT);
	must(ftruncate(m->loose, RAM_PAGES * PAGE));
}

static void map_round(const struct maps *m, unsigned long i)
{
	struct guestmem_region r[GUESTMEM_MAX_REGIONS];
	unsigned count = table_make(m, i, r);

	g_assert_cmpint(guestmem_set(m->mem, r, count), ==, 0);
	g_assert_cmpint(guestmem_write(m->mem, r[count - 1].gpa, &i, sizeof(i)), ==, 0);
	if (i % 16 == 0)
		table_refused(m, i / 16);
	if (i % 64 == 0 && !g_getenv("MPQ_WRAPPER"))	/* valgrind: see mem/sigbus.c */
		table_lost(m);
}

static void test_maps(void)
{
	struct guestmem_arena *arena = guestmem_arena_create();
	struct maps m = {
		.sealed = must(memfd_make("ram", RAM_PAGES * PAGE)),
		.loose = must(memfd_create("loose", MFD_CLOEXEC)),
	};
	unsigned long count = usage_rounds(1000000);
	struct usage before;

	g_assert_nonnull(arena);
	g_assert_cmpint(sigbus_guard(arena), ==, 0);
	m.mem = guestmem_create(arena);
	must(ftruncate(m.loose, RAM_PAGES * PAGE));
	for (unsigned long i = 0; i <= 2310; i++)
		map_round(&m, i);
	g_assert_cmpint(guestmem_set(m.mem, NULL, 0), ==, 0);
	before = usage_now();
	for (unsigned long i = 0; i < count; i++)
		map_round(&m, i);
	g_assert_cmpint(guestmem_set(m.mem, NULL, 0), ==, 0);
	usage_same(&before, "memory maps", count);
	guestmem_destroy(m.mem);
	guestmem_arena_destroy(arena);
	must(close(m.sealed));
	must(close(m.loose));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/soak/sessions", test_sessions);
	g_test_add_func("/soak/maps", test_maps);
	return g_test_run();
}
