/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A vfio-user session: its replies, DMA by message, its end and the next client's beginning. */

#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/log.h"
#include "devices/edu/edu.h"
#include "mem/guestmem.h"
#include "world.h"

#define CONFIG VFU_REGION_CONFIG
#define PAGE 4096ULL

/* Replies */

/* Everything that can be said, right and wrong, by chance: an answer each, or none. */
static void replies_count(GRand *rand, bool no_reply)
{
	static uint8_t payload[4200];
	unsigned fds, said = 0, heard = 0;
	int some[] = { fd_of(EVENT), fd_of(MEMFD), fd_of(PIPE) };
	struct vfu_msg msg;
	struct world w;

	vfu_start(&w);
	fds = open_fds();
	for (unsigned i = 0; i < 3000; i++) {
		unsigned cmd = g_rand_int_range(rand, 2, VFU_CMD_COUNT + 1);
		const struct vfu_rule *rule = vfu_rule(cmd);
		uint32_t size = rule ? rule->size_min + g_rand_int_range(rand, 0, 20) : 0;

		for (uint32_t k = 0; k < size; k++)
			payload[k] = g_rand_boolean(rand) ? 0 : g_rand_int_range(rand, 0, 40);
		said++;
		vfu_tell(&w, cmd, no_reply ? VFU_NO_REPLY : 0, payload, size, some,
			 g_rand_int_range(rand, 0, 4));
		world_settle(&w);
		while (vfu_next(&w, &msg)) {
			g_assert_cmpuint(msg.h.flags & VFU_TYPE_MASK, ==, VFU_REPLY);
			g_assert_cmpuint(msg.h.id, ==, w.id);
			heard++;
		}
	}
	g_assert_cmpuint(heard, ==, no_reply ? 0 : said);
	vfu_irqs(&w, 0x21, VFU_IRQ_MSIX, 0, 0, NULL, 0);
	for (unsigned i = 0; i < 5; i++)
		g_assert_cmpint(vfu_irqs(&w, 0x21, i, 0, 0, NULL, 0), ==, 0);
	g_assert_cmpuint(open_fds(), ==, fds);
	vfu_assert_alive(&w);
	world_finish(&w);
	for (unsigned i = 0; i < G_N_ELEMENTS(some); i++)
		must(close(some[i]));
}

static void test_one_reply(void)
{
	GRand *rand = g_rand_new_with_seed(4);

	replies_count(rand, false);
	replies_count(rand, true);
	g_rand_free(rand);
}

/* Replies that nobody has asked for, of every kind, are passed over. */
static void test_stray_replies(void)
{
	uint8_t data[32] = { 0 };
	struct vfu_msg msg;
	struct world w;

	vfu_start(&w);
	for (unsigned cmd = 0; cmd < 20; cmd++)
		for (unsigned size = 0; size <= sizeof(data); size += 16)
			for (unsigned flags = 1; flags < 0x40; flags += 0x10)
				vfu_tell(&w, cmd, flags, data, size, (int[]){ 2, 2 }, size / 16);
	world_settle(&w);
	g_assert_false(vfu_next(&w, &msg));
	vfu_assert_alive(&w);
	world_finish(&w);
}

/* A client that asks and does not read is not listened to until it reads; nothing is lost. */
static void test_stalled_reader(void)
{
	struct {
		struct vfu_header h;
		struct vfu_region_access a;
	} m = { { 0, VFU_REGION_READ, sizeof(m), 0, 0 }, { 0, CONFIG, 256 } };
	unsigned sent = 0, got = 0, last;
	struct vfu_msg msg;
	struct world w;

	vfu_start(&w);
	do {
		last = sent;
		while (send(w.peer, &m, sizeof(m), MSG_DONTWAIT) == sizeof(m))
			m.h.id = ++sent;
		world_settle(&w);
	} while (sent != last);
	g_assert_cmpuint(world_settle(&w), ==, 0);	/* it waits, and does not spin */
	for (unsigned idle = 0; idle < 3; idle++) {
		for (; vfu_next(&w, &msg); idle = 0) {
			g_assert_cmpuint(msg.h.id, ==, (uint16_t)got);
			g_assert_cmpuint(msg.size, ==, 16 + 256);
			got++;
		}
		world_settle(&w);
	}
	g_assert_cmpuint(got, ==, sent);
	vfu_assert_alive(&w);
	world_finish(&w);
}

/* DMA by message */

#define WAIT_MS 150	/* edu begins its transfer 100 ms after the command */

/* @count bytes from guest address @addr into the device, or the other way. */
static void edu_dma(struct world *w, bool to_ram, uint64_t addr, uint64_t count)
{
	uint64_t val[] = { to_ram ? 0x40000 : addr, to_ram ? addr : 0x40000, count };

	vfu_write(w, CONFIG, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	for (unsigned i = 0; i < 6; i++)
		vfu_write(w, 0, 0x80 + 4 * i, 4, val[i / 2] >> (i % 2 * 32));
	vfu_write(w, 0, 0x98, 4, to_ram ? 3 : 1);
	for (unsigned i = 0; i < 4 && vfu_peek(&w->vfu, &(struct vfu_msg){ 0 }); i++)
		g_assert_cmpint(loop_step(w->loop, WAIT_MS), ==, 0);
}

static bool edu_busy(struct world *w)
{
	return vfu_read(w, 0, 0x98, 4) & 1;
}

/* The device's question, of which the access is copied out. */
static struct vfu_header dma_asked(struct world *w, unsigned cmd, struct vfu_dma_access *ret)
{
	struct vfu_msg msg;

	g_assert_true(vfu_next(w, &msg));
	g_assert_cmpuint(msg.h.cmd, ==, cmd);
	g_assert_cmpuint(msg.h.flags, ==, 0);
	g_assert_cmpuint(msg.size, >=, sizeof(*ret));
	memcpy(ret, msg.payload, sizeof(*ret));
	return msg.h;
}

static void dma_answer(struct world *w, struct vfu_header h, uint32_t flags,
		       const struct vfu_dma_access *a, const void *data, size_t size, unsigned fds)
{
	struct {
		struct vfu_header h;
		struct vfu_dma_access a;
		uint8_t data[4096];
	} m = { .h = h, .a = *a };

	m.h.flags = flags;
	m.h.error = flags & VFU_ERROR ? ENODEV : 0;
	m.h.size = sizeof(h) + size;
	if (data)
		memcpy(m.data, data, sizeof(m.data));
	must(sock_send(w->peer, &m, m.h.size, (int[]){ 2, 2 }, fds, 0));
	world_settle(w);
}

/* What does not answer the question leaves it open; what answers it wrongly ends it. */
static void test_dma_answers(void)
{
	static const uint8_t data[4096] = { 0x78, 0x56, 0x34, 0x12 };
	static const struct {
		const char *name;
		int id, cmd;		/* added */
		uint32_t flags;
		int64_t addr, count;	/* added */
		size_t size;
		unsigned fds;
		bool open;
	} rows[] = {
		{ "another id", 1, 0, 1, 0, 0, 16 + 64, 0, true },
		{ "another command", 0, 1, 1, 0, 0, 16 + 64, 0, true },
		{ "no command at all", 0, 100, 1, 0, 0, 16 + 64, 0, true },
		{ "an error", 0, 0, 0x21, 0, 0, 0, 0, false },
		{ "an error with data", 0, 0, 0x21, 0, 0, 16 + 64, 0, false },
		{ "nothing", 0, 0, 1, 0, 0, 0, 0, false },
		{ "no data", 0, 0, 1, 0, 0, 16, 0, false },
		{ "short", 0, 0, 1, 0, 0, 16 + 63, 0, false },
		{ "long", 0, 0, 1, 0, 0, 16 + 65, 0, false },
		{ "another address", 0, 0, 1, 1, 0, 16 + 64, 0, false },
		{ "another count", 0, 0, 1, 0, -1, 16 + 64, 0, false },
		{ "with an fd", 0, 0, 1, 0, 0, 16 + 64, 1, false },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct vfu_dma_access a;
		struct vfu_header h, bad;
		struct world w;
		unsigned fds;

		g_test_message("%s", rows[i].name);
		vfu_start(&w);
		g_assert_cmpint(vfu_map(&w, 0, 1 << 20, 0, -1), ==, 0);
		edu_dma(&w, false, 0x1000, 64);
		h = bad = dma_asked(&w, VFU_DMA_READ, &a);
		g_assert_cmpuint(a.addr, ==, 0x1000);
		g_assert_cmpuint(a.count, ==, 64);
		g_assert_true(edu_busy(&w));	/* commands are served meanwhile */
		fds = open_fds();
		bad.id += rows[i].id;
		bad.cmd += rows[i].cmd;
		a.addr += rows[i].addr;
		a.count += rows[i].count;
		dma_answer(&w, bad, rows[i].flags, &a, data, rows[i].size, rows[i].fds);
		g_assert_cmpuint(open_fds(), ==, fds);
		g_assert_true(edu_busy(&w) == rows[i].open);
		a = (struct vfu_dma_access){ 0x1000, 64 };
		for (unsigned twice = 0; twice < 2; twice++)	/* the second is nobody's */
			dma_answer(&w, h, VFU_REPLY, &a, data, 16 + 64, 0);
		g_assert_false(edu_busy(&w));
		vfu_assert_alive(&w);
		world_finish(&w);
	}
}

/* A client that takes 100 bytes at a time gets as many messages, one after the other. */
static void test_dma_pieces(void)
{
	static const char version[] =
		"\0\0\0\0{\"capabilities\":{\"max_data_xfer_size\":100}}";
	struct vfu_dma_access a;
	uint64_t at = 0x1000;
	struct vfu_msg msg;
	struct world w;

	world_init(&w, &serve_vfio_user, &edu_pcie_class);
	g_assert_cmpint(vfu_ask(&w, VFU_VERSION, version, sizeof(version)), ==, 0);
	g_assert_cmpint(vfu_map(&w, 0, 1 << 20, 0, -1), ==, 0);
	edu_dma(&w, true, at, 4096);
	while (at < 0x2000) {
		struct vfu_header h = dma_asked(&w, VFU_DMA_WRITE, &a);

		g_assert_cmpuint(a.addr, ==, at);
		g_assert_cmpuint(a.count, ==, MIN(100, 0x2000 - at));
		g_assert_cmpuint(h.size, ==, sizeof(h) + sizeof(a) + a.count);
		g_assert_false(vfu_next(&w, &msg));
		dma_answer(&w, h, VFU_REPLY, &a, NULL, 16, 0);
		at += a.count;
	}
	g_assert_false(vfu_next(&w, &msg));
	g_assert_false(edu_busy(&w));
	world_finish(&w);
}

/* The end, and the next client */

/* A session with all that it may hold, a question of the device's among it. */
static void fill(struct world *w)
{
	int fd = fd_of(MEMFD), event[8];
	struct vfu_dma_access a;

	for (unsigned i = 0; i < 8; i++)
		event[i] = fd_of(EVENT);
	g_assert_cmpint(vfu_map(w, 0, 2 * PAGE, 0, fd), ==, 0);
	g_assert_cmpint(vfu_map(w, 1 << 20, 1 << 20, 0, -1), ==, 0);
	g_assert_cmpint(vfu_irqs(w, 0x24, VFU_IRQ_INTX, 0, 1, event, 1), ==, 0);
	g_assert_cmpint(vfu_irqs(w, 0x14, VFU_IRQ_INTX, 0, 1, event, 1), ==, 0);
	g_assert_cmpint(vfu_irqs(w, 0x24, VFU_IRQ_MSIX, 0, 8, event, 8), ==, 0);
	edu_dma(w, false, 1 << 20, 64);
	dma_asked(w, VFU_DMA_READ, &a);
	must(close(fd));
	for (unsigned i = 0; i < 8; i++)
		must(close(event[i]));
}

static void end_clean(struct world *w)
{
	fd_close(&w->peer);
}

static void end_inside(struct world *w)
{
	must(sock_send(w->peer, "\1\0\2", 3, (int[]){ 2, 2 }, 2, 0));
	fd_close(&w->peer);
}

/* Inside one of which the server has taken a part, with its fds. */
static void end_inside_long(struct world *w)
{
	struct {
		struct vfu_header h;
		uint8_t part[400];
	} m = { { .cmd = VFU_REGION_WRITE, .size = 2000 } };

	must(sock_send(w->peer, &m, sizeof(m), (int[]){ 2, 2 }, 2, 0));
	world_settle(w);
	g_assert_cmpuint(w->closed, ==, 0);
	fd_close(&w->peer);
}

static void end_framing(struct world *w)
{
	struct vfu_header h = { .cmd = VFU_RESET, .size = 15 };

	must(sock_send(w->peer, &h, sizeof(h), (int[]){ 2, 2 }, 2, 0));
	vfu_tell(w, VFU_DMA_MAP, 0, NULL, 0, (int[]){ 2 }, 1);
}

static void end_unread(struct world *w)
{
	const struct vfu_region_access a = { 0, CONFIG, 256 };

	for (unsigned i = 0; i < 20; i++)
		vfu_tell(w, VFU_REGION_READ, 0, &a, sizeof(a), (int[]){ 2 }, 1);
	loop_step(w->loop, 0);
	fd_close(&w->peer);
}

/* Nothing of a client is left for the next one: maps, fds, limits, questions, interrupts. */
static void test_next_client(void)
{
	static const struct {
		void (*fn)(struct world *w);
		enum serve_end end;
	} ends[] = {
		{ end_clean, SERVE_END_CLEAN }, { end_inside, SERVE_END_MID_MESSAGE },
		{ end_inside_long, SERVE_END_MID_MESSAGE },
		{ end_framing, SERVE_END_PROTOCOL }, { end_unread, SERVE_END_CLEAN },
	};
	struct vfu_dma_access a = { 1 << 20, 64 };
	struct vfu_msg msg;
	struct world w;
	unsigned fds;

	vfu_start(&w);
	fds = open_fds();
	for (unsigned i = 0; i < 2 * G_N_ELEMENTS(ends); i++) {
		unsigned row = i % G_N_ELEMENTS(ends);

		g_test_message("end %u", row);
		fill(&w);
		ends[row].fn(&w);
		world_settle(&w);
		g_assert_cmpuint(w.closed, ==, 1);
		g_assert_cmpint(w.end, ==, ends[row].end);
		if (w.peer >= 0)
			world_assert_hung_up(&w);
		g_assert_cmpuint(open_fds(), ==, fds - (w.peer < 0));
		g_assert_cmpuint(guestmem_count(w.serve.mem), ==, 0);
		w.closed = 0;
		world_reconnect(&w);
		world_settle(&w);
		g_assert_cmpuint(open_fds(), ==, fds);
		g_assert_false(vfu_next(&w, &msg));
		g_assert_cmpint(vfu_unmap(&w, 0, PAGE), ==, EINVAL);	/* VERSION comes first */
		vfu_negotiate(&w);
		/* the answer to a question that another client was asked */
		for (unsigned id = 0; id < 16; id++)
			dma_answer(&w, (struct vfu_header){ .id = id, .cmd = VFU_DMA_READ },
				   VFU_REPLY, &a, NULL, 16 + 64, 0);
		g_assert_false(vfu_next(&w, &msg));
		g_assert_false(edu_busy(&w));	/* it failed when its client went */
		vfu_write(&w, 0, 0x60, 4, 1);
		vfu_write(&w, 0, 0x64, 4, UINT32_MAX);
		vfu_assert_alive(&w);
	}
	world_finish(&w);
}

/* A device that asks anew when its question is not answered. */
static void asks_again(struct pci_dev *dev)
{
	uint8_t data[64];

	pci_dma_forget(dev);
	pci_dma_read(dev, 1 << 20, data, sizeof(data));
}

/* What it asks while its client goes is not the next one's to answer. */
static void test_asks_again(void)
{
	struct pci_class cls = edu_pcie_class;
	struct vfu_dma_access a;
	struct vfu_msg msg;
	struct world w;

	cls.dma_ready = asks_again;
	world_init(&w, &serve_vfio_user, &cls);
	vfu_negotiate(&w);
	g_assert_cmpint(vfu_map(&w, 1 << 20, 1 << 20, 0, -1), ==, 0);
	edu_dma(&w, false, 1 << 20, 64);
	dma_asked(&w, VFU_DMA_READ, &a);
	end_clean(&w);
	world_settle(&w);
	g_assert_cmpuint(w.closed, ==, 1);
	world_reconnect(&w);
	world_settle(&w);
	g_assert_false(vfu_next(&w, &msg));
	vfu_negotiate(&w);
	g_assert_false(vfu_next(&w, &msg));
	world_finish(&w);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	log_init(-1, "test-serve-vfuend");
	g_test_add_func("/serve-vfu/one-reply", test_one_reply);
	g_test_add_func("/serve-vfu/stray-replies", test_stray_replies);
	g_test_add_func("/serve-vfu/stalled-reader", test_stalled_reader);
	g_test_add_func("/serve-vfu/dma-answers", test_dma_answers);
	g_test_add_func("/serve-vfu/dma-pieces", test_dma_pieces);
	g_test_add_func("/serve-vfu/next-client", test_next_client);
	g_test_add_func("/serve-vfu/asks-again", test_asks_again);
	return g_test_run();
}
