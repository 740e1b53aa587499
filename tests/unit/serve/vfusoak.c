/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vfio-user's clients by the thousand, one after the other at one device, and memory maps that come
 * and go one by one.  With -m slow it is 10^5 clients and 10^6 maps; otherwise a tenth of both.
 */

#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "devices/edu/edu.h"
#include "mem/guestmem.h"
#include "mem/memfd.h"
#include "usage.h"
#include "world.h"

#define PAGE 4096ULL
#define RAM_PAGES 64

struct things {
	int ram, event[8], unmask;
};

static void things_make(struct things *t)
{
	t->unmask = fd_of(EVENT);
	t->ram = must(memfd_make("ram", RAM_PAGES * PAGE));
	for (unsigned i = 0; i < G_N_ELEMENTS(t->event); i++)
		t->event[i] = fd_of(EVENT);
}

static void things_close(struct things *t)
{
	must(close(t->unmask));
	must(close(t->ram));
	for (unsigned i = 0; i < G_N_ELEMENTS(t->event); i++)
		must(close(t->event[i]));
}

/* What QEMU says to a device until its guest runs, in short. */
static void talk(struct world *w, const struct things *t)
{
	vfu_negotiate(w);
	g_assert_cmpint(vfu_map(w, 0, 8 * PAGE, 0, t->ram), ==, 0);
	g_assert_cmpint(vfu_map(w, 1ULL << 32, PAGE, 8 * PAGE, t->ram), ==, 0);
	g_assert_cmpint(vfu_map(w, 1 << 20, PAGE, 0, -1), ==, 0);
	g_assert_cmpint(vfu_irqs(w, 0x24, VFU_IRQ_INTX, 0, 1, t->event, 1), ==, 0);
	g_assert_cmpint(vfu_irqs(w, 0x14, VFU_IRQ_INTX, 0, 1, &t->unmask, 1), ==, 0);
	g_assert_cmpint(vfu_irqs(w, 0x24, VFU_IRQ_MSIX, 0, 8, t->event, 8), ==, 0);
	vfu_write(w, 0, 0x60, 4, 1);
	vfu_write(w, 0, 0x64, 4, 1);
	g_assert_cmpint(vfu_ask(w, VFU_RESET, NULL, 0), ==, 0);
}

static void end_clean(struct world *w, const struct things *t)
{
	fd_close(&w->peer);
}

static void end_inside(struct world *w, const struct things *t)
{
	must(sock_send(w->peer, "\1\0\2", 3, &t->ram, 1, 0));
	fd_close(&w->peer);
}

static void end_framing(struct world *w, const struct things *t)
{
	must(sock_send(w->peer, "\1\0\2\0\1\0\0\0\0\0\0\0\0\0\0\0", 16, t->event, 8, 0));
}

static void end_unread(struct world *w, const struct things *t)
{
	for (unsigned i = 0; i < 4; i++)
		vfu_tell(w, VFU_RESET, 0, NULL, 0, t->event, 2);
	loop_step(w->loop, 0);
	fd_close(&w->peer);
}

static void client(struct world *w, const struct things *t, unsigned long i)
{
	static void (*const ends[])(struct world *w, const struct things *t) = {
		end_clean, end_inside, end_framing, end_unread,
	};

	w->closed = 0;
	talk(w, t);
	ends[i % G_N_ELEMENTS(ends)](w, t);
	world_settle(w);
	g_assert_cmpuint(w->closed, ==, 1);
	g_assert_cmpuint(guestmem_count(w->serve.mem), ==, 0);
	world_reconnect(w);
}

static void test_clients(void)
{
	unsigned long count = usage_rounds(100000);
	struct usage before;
	struct things t;
	struct world w;

	things_make(&t);
	world_init(&w, &serve_vfio_user, &edu_pcie_class);
	for (unsigned long i = 0; i < 100; i++)
		client(&w, &t, i);
	before = usage_now();
	for (unsigned long i = 0; i < count; i++)
		client(&w, &t, i);
	usage_same(&before, "clients", count);
	world_finish(&w);
	things_close(&t);
}

/* As a vIOMMU has it: a page comes, another goes, and now and then a mistake or all of them. */
static void map_round(struct world *w, const struct things *t, unsigned long i)
{
	uint64_t addr = i % 1000 * 2 * PAGE, far = 1ULL << 40;

	g_assert_cmpint(vfu_map(w, addr, PAGE, i * 7 % RAM_PAGES * PAGE, i % 5 ? t->ram : -1), ==,
			0);
	if (i % 16 == 0) {
		g_assert_cmpint(vfu_map(w, addr, 2 * PAGE, 0, t->ram), ==, EEXIST);
		g_assert_cmpint(vfu_map(w, far, PAGE, far, t->ram), ==, ERANGE);
		g_assert_cmpint(vfu_map(w, far, PAGE, 0, t->event[0]), !=, 0);
	}
	if (i % 1000 == 999)
		g_assert_cmpint(vfu_unmap(w, 0, UINT64_MAX), ==, 0);
	else if (i % 3 == 0)
		g_assert_cmpint(vfu_unmap(w, addr, PAGE), ==, 0);
}

static void test_maps(void)
{
	unsigned long count = usage_rounds(1000000);
	struct usage before;
	struct things t;
	struct world w;

	things_make(&t);
	vfu_start(&w);
	for (unsigned long i = 0; i < 5000; i++)
		map_round(&w, &t, i);
	before = usage_now();
	for (unsigned long i = 0; i < count; i++)
		map_round(&w, &t, i);
	usage_same(&before, "maps", count);
	world_finish(&w);
	things_close(&t);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	log_init(-1, "test-soak-vfu");
	g_test_add_func("/soak-vfu/clients", test_clients);
	g_test_add_func("/soak-vfu/maps", test_maps);
	return g_test_run();
}
