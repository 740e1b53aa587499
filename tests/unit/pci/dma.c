/* SPDX-License-Identifier: GPL-2.0-or-later */
/* DMA to memory that is shared and to memory that is not, with the test as device and as VMM. */

#include <errno.h>
#include <string.h>

#include <glib.h>

#include "base/fd.h"
#include "mem/arena.h"
#include "mem/guestmem.h"
#include "mem/memfd.h"
#include "pci/pci.h"
#include "../util.h"

#define SHARED 0x1000u		/* where shared memory lies, and then memory that is not */
#define REMOTE 0x2000u
#define READONLY 0x4000u
#define END 0x5000u

struct world {
	struct pci_state state;
	struct pci_dev dev;
	struct guestmem_arena *arena;
	struct guestmem *mem;
	unsigned ready, resets;
	/* the VMM */
	unsigned asked;
	bool write;
	uint64_t gpa;
	size_t len;
	uint8_t data[GUESTMEM_REMOTE_MAX];
	int refuse;		/* -errno: the request cannot be sent */
	bool at_once;		/* answers inside of the request, */
	int answer;		/* with this */
};

static void model_ready(struct pci_dev *dev)
{
	((struct world *)dev->host.opaque)->ready++;
}

static void model_reset(struct pci_dev *dev)
{
	((struct world *)dev->host.opaque)->resets++;
}

static const struct pci_class model = {
	.name = "dma", .state_size = sizeof(struct pci_state), .max_access = 4,
	.reset = model_reset, .dma_ready = model_ready,
};

static int on_request(void *opaque, bool write, uint64_t gpa, const void *data, size_t len)
{
	static const uint8_t bytes[] = "at once";
	struct world *w = opaque;

	g_assert_cmpuint(len, <=, GUESTMEM_REMOTE_MAX);
	g_assert_true(write == (data != NULL));
	if (w->refuse)
		return w->refuse;
	w->asked++;
	w->write = write;
	w->gpa = gpa;
	w->len = len;
	if (write)
		memcpy(w->data, data, len);
	if (w->at_once)
		pci_dma_answered(&w->dev, w->answer, bytes, len);
	return 0;
}

static void world_init_with(struct world *w, bool ask)
{
	struct pci_host host = { .opaque = w, .dma_request = ask ? on_request : NULL };
	struct guestmem_region r[] = {
		{ .gpa = SHARED, .size = 4096 }, { .gpa = REMOTE, .size = 8192, .fd = -1 },
		{ .gpa = READONLY, .size = 4096, .fd = -1, .readonly = true },
	};
	autofd fd = must(memfd_make("ram", 4096));

	*w = (struct world){ .arena = guestmem_arena_create() };
	g_assert_nonnull(w->arena);
	w->mem = guestmem_create(w->arena);
	g_assert_nonnull(w->mem);
	r[0].fd = fd;
	for (unsigned i = 0; i < G_N_ELEMENTS(r); i++)
		g_assert_cmpint(guestmem_map(w->mem, &r[i]), ==, 0);
	host.mem = w->mem;
	g_assert_cmpint(pci_dev_init(&w->dev, &model, &w->state, &host, "d0", NULL), ==, 0);
	pci_config_write(&w->dev, PCI_COMMAND, PCI_COMMAND_MASTER, 2);
}

static void world_init(struct world *w)
{
	world_init_with(w, true);
}

static void world_finish(struct world *w)
{
	pci_dev_finish(&w->dev);
	g_assert_null(w->dev.dma);
	guestmem_destroy(w->mem);
	guestmem_arena_destroy(w->arena);
}

static int rd(struct world *w, uint64_t gpa, void *buf, size_t len)
{
	return pci_dma_read(&w->dev, gpa, buf, len);
}

static int wr(struct world *w, uint64_t gpa, const void *buf, size_t len)
{
	return pci_dma_write(&w->dev, gpa, buf, len);
}

/* What is refused, and asks nobody. */
static void test_refused(void)
{
	static const struct { uint64_t gpa; size_t len; bool write; } rows[] = {
		{ REMOTE, GUESTMEM_REMOTE_MAX + 1, false },
		{ REMOTE, GUESTMEM_REMOTE_MAX + 1, true },
		{ SHARED - 1, 4, false }, { SHARED - 1, 4, true }, { END - 2, 4, false },
		{ READONLY, 4, true }, { READONLY - 2, 4, true }, { END, 1, false },
		{ UINT64_MAX, 4, true },
	};
	static uint8_t buf[GUESTMEM_REMOTE_MAX + 1];
	struct world w;

	world_init(&w);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_test_message("row %u", i);
		g_assert_cmpint(rows[i].write ? wr(&w, rows[i].gpa, buf, rows[i].len) :
						rd(&w, rows[i].gpa, buf, rows[i].len), ==, -EFAULT);
		g_assert_cmpuint(w.asked, ==, 0);
	}
	pci_config_write(&w.dev, PCI_COMMAND, 0, 2);
	g_assert_cmpint(rd(&w, REMOTE, buf, 4), ==, -EPERM);
	g_assert_cmpint(wr(&w, REMOTE, buf, 4), ==, -EPERM);
	g_assert_cmpuint(w.asked, ==, 0);
	world_finish(&w);
}

/* Without anybody to ask such memory is out of reach. */
static void test_nobody_to_ask(void)
{
	struct world w;
	char buf[4];

	world_init_with(&w, false);
	g_assert_null(w.dev.dma);
	g_assert_cmpint(rd(&w, REMOTE, buf, 4), ==, -EFAULT);
	g_assert_cmpint(wr(&w, REMOTE, buf, 4), ==, -EFAULT);
	g_assert_cmpint(wr(&w, SHARED, "data", 4), ==, 0);
	g_assert_cmpint(rd(&w, SHARED, buf, 4), ==, 0);
	g_assert_cmpmem(buf, 4, "data", 4);
	pci_dma_forget(&w.dev);
	pci_dma_answered(&w.dev, 0, "data", 4);
	g_assert_cmpuint(w.ready, ==, 0);
	g_assert_cmpuint(pci_dma_clip(&w.dev, REMOTE, 8192), ==, 8192);
	world_finish(&w);
}

static void test_read(void)
{
	struct world w;
	char buf[5] = "none";

	world_init(&w);
	for (unsigned i = 0; i < 3; i++) {
		g_assert_cmpint(rd(&w, REMOTE + 4, buf, 4), ==, -EAGAIN);
		g_assert_cmpstr(buf, ==, "none");
		g_assert_cmpuint(w.asked, ==, 1);
	}
	g_assert_false(w.write);
	g_assert_cmphex(w.gpa, ==, REMOTE + 4);
	g_assert_cmpuint(w.len, ==, 4);
	pci_dma_answered(&w.dev, 0, "data", 4);
	g_assert_cmpuint(w.ready, ==, 1);
	g_assert_cmpint(rd(&w, REMOTE + 4, buf, 4), ==, 0);
	g_assert_cmpstr(buf, ==, "data");
	/* the next step asks again */
	pci_dma_forget(&w.dev);
	g_assert_cmpint(rd(&w, REMOTE + 4, buf, 4), ==, -EAGAIN);
	g_assert_cmpuint(w.asked, ==, 2);
	world_finish(&w);
}

static void test_write(void)
{
	struct world w;

	world_init(&w);
	g_assert_cmpint(wr(&w, REMOTE + 4, "data", 4), ==, -EAGAIN);
	g_assert_true(w.write);
	g_assert_cmpmem(w.data, 4, "data", 4);
	g_assert_cmpint(wr(&w, REMOTE + 4, "data", 4), ==, -EAGAIN);
	g_assert_cmpuint(w.asked, ==, 1);
	pci_dma_answered(&w.dev, 0, NULL, 0);
	g_assert_cmpuint(w.ready, ==, 1);
	g_assert_cmpint(wr(&w, REMOTE + 4, "data", 4), ==, 0);
	g_assert_cmpuint(w.asked, ==, 1);
	/* the same again in the same step is a second one */
	g_assert_cmpint(wr(&w, REMOTE + 4, "data", 4), ==, -EAGAIN);
	g_assert_cmpuint(w.asked, ==, 2);
	world_finish(&w);
}

/* Answers that are none, and errors: -EFAULT, and the same when the step is made again. */
static void test_bad_answers(void)
{
	static const struct { int err; const void *data; size_t len; bool write; } rows[] = {
		{ -EFAULT, NULL, 0, false }, { -EIO, "data", 4, false }, { 0, NULL, 4, false },
		{ 0, "data", 3, false }, { 0, "data", 5, false }, { 0, "data", 0, false },
		{ -EFAULT, NULL, 0, true }, { -EAGAIN, NULL, 4, true },
	};
	struct world w;

	world_init(&w);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		char buf[5] = "none";

		g_test_message("row %u", i);
		for (unsigned again = 0; again < 2; again++) {
			int ret = rows[i].write ? wr(&w, REMOTE, buf, 4) : rd(&w, REMOTE, buf, 4);

			g_assert_cmpint(ret, ==, again ? -EFAULT : -EAGAIN);
			g_assert_cmpstr(buf, ==, "none");
			g_assert_cmpuint(w.asked, ==, i + 1);
			pci_dma_answered(&w.dev, rows[i].err, rows[i].data, rows[i].len);
		}
		g_assert_cmpuint(w.ready, ==, i + 1);
		pci_dma_forget(&w.dev);
	}
	world_finish(&w);
}

static void test_cannot_be_sent(void)
{
	struct world w;
	char buf[4];

	world_init(&w);
	w.refuse = -EPIPE;
	g_assert_cmpint(rd(&w, REMOTE, buf, 4), ==, -EFAULT);
	pci_dma_forget(&w.dev);
	w.refuse = -EAGAIN;
	g_assert_cmpint(wr(&w, REMOTE, "data", 4), ==, -EFAULT);
	pci_dma_answered(&w.dev, 0, "data", 4);
	g_assert_cmpuint(w.ready, ==, 0);
	world_finish(&w);
}

/* A VMM that answers inside of the request: nothing is under way afterwards, nobody is woken. */
static void test_answered_at_once(void)
{
	struct world w;
	char buf[8] = "";

	world_init(&w);
	w.at_once = true;
	g_assert_cmpint(rd(&w, REMOTE, buf, 7), ==, 0);
	g_assert_cmpstr(buf, ==, "at once");
	g_assert_cmpint(wr(&w, REMOTE, "data", 4), ==, 0);
	w.answer = -EIO;
	g_assert_cmpint(wr(&w, REMOTE, "data", 4), ==, -EFAULT);
	g_assert_cmpuint(w.ready, ==, 0);
	w.at_once = false;
	/* one of an earlier run, that comes now: nothing waits for it */
	pci_dma_answered(&w.dev, 0, "data", 4);
	g_assert_cmpuint(w.ready, ==, 0);
	world_finish(&w);
}

/* A step of two reads and a write: each answer brings it one access further. */
static int step(struct world *w, char *a, char *b)
{
	int ret = rd(w, REMOTE, a, 4);

	ret = ret ? ret : rd(w, REMOTE + 0x100, b, 4);
	return ret ? ret : wr(w, REMOTE + 0x200, "done", 4);
}

static void test_step(void)
{
	static const char *const answers[] = { "aaaa", "bbbb", NULL };
	struct world w;
	char a[5] = "", b[5] = "";

	world_init(&w);
	for (unsigned i = 0; i < 3; i++) {
		g_assert_cmpint(step(&w, a, b), ==, -EAGAIN);
		g_assert_cmpint(step(&w, a, b), ==, -EAGAIN);
		g_assert_cmpuint(w.asked, ==, i + 1);
		g_assert_cmphex(w.gpa, ==, REMOTE + 0x100 * i);
		pci_dma_answered(&w.dev, 0, answers[i], 4);
		g_assert_cmpuint(w.ready, ==, i + 1);
	}
	g_assert_cmpint(step(&w, a, b), ==, 0);
	g_assert_cmpstr(a, ==, "aaaa");
	g_assert_cmpstr(b, ==, "bbbb");
	g_assert_cmpuint(w.asked, ==, 3);
	world_finish(&w);
}

/* Accesses to shared memory are made each time, and are nothing to the log. */
static void test_mixed_step(void)
{
	struct world w;
	char buf[5] = "", other[5] = "";

	world_init(&w);
	for (unsigned i = 0; i < 2; i++) {
		g_assert_cmpint(wr(&w, SHARED, i ? "new " : "old ", 4), ==, 0);
		g_assert_cmpint(rd(&w, REMOTE, buf, 4), ==, i ? 0 : -EAGAIN);
		if (!i)
			pci_dma_answered(&w.dev, 0, "data", 4);
	}
	g_assert_cmpint(rd(&w, SHARED, other, 4), ==, 0);
	g_assert_cmpstr(other, ==, "new ");
	g_assert_cmpint(wr(&w, REMOTE, "data", 4), ==, -EAGAIN);
	g_assert_cmpuint(w.asked, ==, 2);
	/* what lies in both is asked for as a whole, and nothing of it is moved before */
	pci_dma_forget(&w.dev);
	g_assert_cmpint(wr(&w, REMOTE - 2, "both", 4), ==, -EAGAIN);
	g_assert_cmphex(w.gpa, ==, REMOTE - 2);
	g_assert_cmpint(rd(&w, REMOTE - 2, buf, 2), ==, 0);
	g_assert_cmpmem(buf, 2, "\0\0", 2);
	world_finish(&w);
}

/* Another access than the one of before: what came from there on is dropped, its answer too. */
static void test_another_way(void)
{
	static const struct { uint64_t gpa; size_t len; bool write; } rows[] = {
		{ REMOTE + 0x104, 4, false }, { REMOTE + 0x100, 3, false },
		{ REMOTE + 0x100, 4, true },
	};
	char a[5] = "", b[5] = "";
	struct world w;

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		world_init(&w);
		g_assert_cmpint(step(&w, a, b), ==, -EAGAIN);
		pci_dma_answered(&w.dev, 0, "aaaa", 4);
		g_assert_cmpint(step(&w, a, b), ==, -EAGAIN);
		g_assert_cmpint(rd(&w, REMOTE, a, 4), ==, 0);
		g_assert_cmpint(rows[i].write ? wr(&w, rows[i].gpa, b, rows[i].len) :
						rd(&w, rows[i].gpa, b, rows[i].len), ==, -EAGAIN);
		g_assert_cmpuint(w.asked, ==, 3);
		g_assert_cmphex(w.gpa, ==, rows[i].gpa);
		g_assert_cmpuint(w.len, ==, rows[i].len);
		/* the first is still known; then it is the old way again */
		g_assert_cmpint(step(&w, a, b), ==, -EAGAIN);
		g_assert_cmpuint(w.asked, ==, 4);
		g_assert_cmphex(w.gpa, ==, REMOTE + 0x100);
		pci_dma_answered(&w.dev, 0, "bbbb", 4);
		g_assert_cmpint(step(&w, a, b), ==, -EAGAIN);
		g_assert_cmphex(w.gpa, ==, REMOTE + 0x200);
		g_assert_cmpstr(b, ==, "bbbb");
		world_finish(&w);
	}
}

/* The same from the first one on: the answer is that access's, however much was asked before. */
static void test_another_step(void)
{
	char a[5] = "", b[5] = "";
	struct world w;

	world_init(&w);
	g_assert_cmpint(step(&w, a, b), ==, -EAGAIN);
	pci_dma_answered(&w.dev, 0, "aaaa", 4);
	g_assert_cmpint(step(&w, a, b), ==, -EAGAIN);
	g_assert_cmpint(rd(&w, REMOTE + 8, a, 4), ==, -EAGAIN);
	g_assert_cmpuint(w.asked, ==, 3);
	pci_dma_answered(&w.dev, 0, "cccc", 4);
	g_assert_cmpuint(w.ready, ==, 2);
	g_assert_cmpint(rd(&w, REMOTE + 8, a, 4), ==, 0);
	g_assert_cmpstr(a, ==, "cccc");
	/* what the other step had second is not known any more */
	g_assert_cmpint(rd(&w, REMOTE + 0x100, b, 4), ==, -EAGAIN);
	g_assert_cmpuint(w.asked, ==, 4);
	world_finish(&w);
}

/* Four accesses a step; one more is the model's mistake, and is refused. */
static void test_long_step(void)
{
	struct world w;
	char buf[4];

	world_init(&w);
	for (unsigned run = 0; run < 5; run++) {
		int ret = 0;

		for (unsigned i = 0; i < 5 && !ret; i++)
			ret = rd(&w, REMOTE + 16 * i, buf, 4);
		g_assert_cmpint(ret, ==, run < 4 ? -EAGAIN : -EFAULT);
		pci_dma_answered(&w.dev, 0, "data", 4);
	}
	g_assert_cmpuint(w.asked, ==, 4);
	pci_dma_forget(&w.dev);
	g_assert_cmpint(rd(&w, REMOTE, buf, 4), ==, -EAGAIN);
	world_finish(&w);
}

/* What was given up: a late answer wakes nobody and is nobody's. */
static void test_forgotten(void)
{
	struct world w;
	char buf[5] = "none";

	for (unsigned reset = 0; reset < 2; reset++) {
		world_init(&w);
		g_assert_cmpint(rd(&w, REMOTE, buf, 4), ==, -EAGAIN);
		if (reset)
			pci_dev_reset(&w.dev);
		else
			pci_dma_forget(&w.dev);
		pci_dma_answered(&w.dev, 0, "late", 4);
		g_assert_cmpuint(w.ready, ==, 0);
		pci_config_write(&w.dev, PCI_COMMAND, PCI_COMMAND_MASTER, 2);
		g_assert_cmpint(rd(&w, REMOTE, buf, 4), ==, -EAGAIN);
		g_assert_cmpuint(w.asked, ==, 2);
		g_assert_cmpstr(buf, ==, "none");
		world_finish(&w);
	}
}

/* The map changes while the answer is under way: it is taken as it comes. */
static void test_map_changes(void)
{
	struct guestmem_region r = { .gpa = REMOTE, .size = 8192 };
	autofd fd = must(memfd_make("ram", 8192));
	struct world w;
	char buf[5] = "";

	r.fd = fd;
	for (unsigned shared = 0; shared < 2; shared++) {
		world_init(&w);
		g_assert_cmpint(rd(&w, REMOTE, buf, 4), ==, -EAGAIN);
		g_assert_cmpint(guestmem_unmap(w.mem, REMOTE, 8192), ==, 1);
		if (shared)
			g_assert_cmpint(guestmem_map(w.mem, &r), ==, 0);
		pci_dma_answered(&w.dev, 0, "data", 4);
		g_assert_cmpint(rd(&w, REMOTE, buf, 4), ==, 0);
		g_assert_cmpstr(buf, ==, "data");
		pci_dma_forget(&w.dev);
		g_assert_cmpint(rd(&w, REMOTE, buf, 4), ==, shared ? 0 : -EFAULT);
		g_assert_cmpuint(w.asked, ==, 1);
		world_finish(&w);
	}
}

static void test_clip(void)
{
	struct world w;

	world_init(&w);
	g_assert_cmpuint(pci_dma_clip(&w.dev, REMOTE, 8192), ==, GUESTMEM_REMOTE_MAX);
	g_assert_cmpuint(pci_dma_clip(&w.dev, REMOTE, 16), ==, 16);
	g_assert_cmpuint(pci_dma_clip(&w.dev, SHARED + 0xff0, 8192), ==, 16);
	world_finish(&w);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/pci/dma/refused", test_refused);
	g_test_add_func("/pci/dma/nobody-to-ask", test_nobody_to_ask);
	g_test_add_func("/pci/dma/read", test_read);
	g_test_add_func("/pci/dma/write", test_write);
	g_test_add_func("/pci/dma/bad-answers", test_bad_answers);
	g_test_add_func("/pci/dma/cannot-be-sent", test_cannot_be_sent);
	g_test_add_func("/pci/dma/answered-at-once", test_answered_at_once);
	g_test_add_func("/pci/dma/step", test_step);
	g_test_add_func("/pci/dma/mixed-step", test_mixed_step);
	g_test_add_func("/pci/dma/another-way", test_another_way);
	g_test_add_func("/pci/dma/another-step", test_another_step);
	g_test_add_func("/pci/dma/long-step", test_long_step);
	g_test_add_func("/pci/dma/forgotten", test_forgotten);
	g_test_add_func("/pci/dma/map-changes", test_map_changes);
	g_test_add_func("/pci/dma/clip", test_clip);
	return g_test_run();
}
