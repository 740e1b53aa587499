/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A vfio-user session: edu-pcie, and a client that is not to be trusted; command by command. */

#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/log.h"
#include "devices/edu/edu.h"
#include "mem/guestmem.h"
#include "world.h"

#define CONFIG VFU_REGION_CONFIG
#define PAGE 4096ULL
#define VECTORS 8	/* of edu-pcie's MSI, and of its MSI-X */

/* Order and VERSION */

/* A payload that the rule of @cmd allows. */
static size_t sample(unsigned cmd, uint8_t *payload)
{
	memset(payload, 0, 64);
	return vfu_rule(cmd)->size_min;
}

static void test_order(void)
{
	uint8_t payload[64];
	struct world w;

	world_init(&w, &serve_vfio_user, &edu_pcie_class);
	for (unsigned cmd = 0; cmd <= VFU_CMD_COUNT; cmd++) {
		const struct vfu_rule *rule = vfu_rule(cmd);
		size_t size = rule ? sample(cmd, payload) : 0;

		g_test_message("command %u", cmd);
		if (cmd != VFU_VERSION)
			g_assert_cmpint(vfu_ask(&w, cmd, payload, size), ==,
					rule && !rule->served ? ENOTSUP : EINVAL);
	}
	g_assert_cmpuint(guestmem_count(w.serve.mem), ==, 0);
	/* refused, and then the right one is taken; once */
	g_assert_cmpint(vfu_ask(&w, VFU_VERSION, "\1\0\0\0", 4), ==, EINVAL);
	g_assert_cmpint(vfu_ask(&w, VFU_VERSION, "\0\0\0\0{", 6), ==, EINVAL);
	g_assert_cmpint(vfu_ask(&w, VFU_VERSION, "\0\0\0\0{}", 6), ==, EINVAL);
	g_assert_cmpint(vfu_ask(&w, VFU_VERSION, "\0\0\5\0", 4), ==, 0);
	g_assert_cmpint(vfu_ask(&w, VFU_VERSION, "\0\0\0\0", 4), ==, EINVAL);
	vfu_assert_alive(&w);
	world_finish(&w);
}

/* Each answer is a version, a text and its NUL, and nothing behind that. */
static void test_version_text(void)
{
	static const char *const texts[] = {
		"", "{}", "{\"capabilities\":{}}",
		"{\"capabilities\":{\"max_msg_fds\":1,\"max_data_xfer_size\":1048576}}",
		("{\"capabilities\":{\"max_msg_fds\":1,\"max_data_xfer_size\":1048576,"
		"\"migration\":{\"pgsize\":4096}}}                                         "),
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
		char ask[300] = { 0 }, got[300];
		struct vfu_limits limits;
		uint32_t size;
		struct world w;

		g_test_message("%s", texts[i]);
		world_init(&w, &serve_vfio_user, &edu_pcie_class);
		strcpy(ask + 4, texts[i]);
		g_assert_cmpint(vfu_ask_fds(&w, VFU_VERSION, ask,
					    4 + (i ? strlen(texts[i]) + 1 : 0), NULL, 0, got,
					    sizeof(got), &size), ==, 0);
		/* as long as the question at the most, where that had a text */
		g_assert_cmpuint(size, <=, i ? 4 + strlen(texts[i]) + 1 : sizeof(got));
		g_assert_cmpmem(got, 4, "\0\0\0\0", 4);
		g_assert_cmpint(vfu_version_parse(got + 4, size - 4, &limits), ==, 0);
		if (!i || strlen(texts[i]) > 60)
			g_assert_cmpuint(limits.max_data, ==, 4096);
		else
			g_assert_cmpuint(size, ==, 4);
		vfu_assert_alive(&w);
		world_finish(&w);
	}
}

/* Interrupts */

static unsigned vectors_of(uint32_t index)
{
	static const unsigned vectors[] = { 1, VECTORS, VECTORS, 1, 1 };

	return index < G_N_ELEMENTS(vectors) ? vectors[index] : 0;
}

/* The protocol's rules, said anew: one action, one kind of data, and all of it fits. */
static bool irqs_good(uint32_t flags, uint32_t index, uint32_t start_at, uint32_t count,
		      unsigned fds)
{
	uint32_t data = flags & 7, action = flags & ~7u;

	if (index > 4 || (uint64_t)start_at + count > vectors_of(index))
		return false;
	if (data != VFU_DATA_NONE && data != VFU_DATA_BOOL && data != VFU_DATA_EVENTFD)
		return false;
	if (action != VFU_ACTION_TRIGGER &&
	    ((action != VFU_ACTION_MASK && action != VFU_ACTION_UNMASK) || index))
		return false;
	if (action == VFU_ACTION_MASK && data == VFU_DATA_EVENTFD)
		return false;
	if (!count)	/* all of them off */
		return !start_at && !fds && data == VFU_DATA_NONE && action == VFU_ACTION_TRIGGER;
	return !fds || (data == VFU_DATA_EVENTFD && fds == count);
}

static void irqs_row(struct world *w, uint32_t flags, uint32_t index, uint32_t at, uint32_t count,
		     unsigned nfds, const int *fds)
{
	bool good = irqs_good(flags, index, at, count, nfds);
	unsigned before = open_fds();
	int err = vfu_irqs(w, flags, index, at, count, fds, nfds);

	if (err != (good ? 0 : EINVAL))
		g_error("flags %x index %u start %u count %u, %u fds: errno %d", flags, index, at,
			count, nfds, err);
	g_assert_cmpuint(open_fds(), ==, before + (good ? nfds : 0));
	if (!good)
		return;
	/* all off again */
	g_assert_cmpint(vfu_irqs(w, 0x21, index, 0, 0, NULL, 0), ==, 0);
	g_assert_cmpuint(open_fds(), ==, before);
}

/* Every combination of flags, indexes, ranges and numbers of fds. */
static void test_irqs(void)
{
	static const uint32_t numbers[] = { 0, 1, 7, 8, 9, UINT32_MAX };
	const unsigned n = G_N_ELEMENTS(numbers);
	int fds[17];
	struct world w;

	vfu_start(&w);
	for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++)
		fds[i] = fd_of(EVENT);
	for (uint32_t flags = 0; flags < 128; flags++) {
		for (unsigned i = 0; i < 6 * n * n; i++) {
			uint32_t index = i % 6, at = numbers[i / 6 % n], count = numbers[i / 6 / n];

			irqs_row(&w, flags, index, at, count, 0, NULL);
			if (flags & VFU_DATA_EVENTFD && count <= 8)
				irqs_row(&w, flags, index, at, count, count, fds);
		}
		for (unsigned i = 0; i < 6; i++)
			irqs_row(&w, flags, i, 0, 1, 2, fds);
		irqs_row(&w, flags, VFU_IRQ_MSIX, 0, 8, 1, fds);
		irqs_row(&w, flags, VFU_IRQ_MSIX, 0, 8, 7, fds);
		irqs_row(&w, flags, VFU_IRQ_MSIX, 0, 8, 16, fds);
		irqs_row(&w, flags, VFU_IRQ_MSIX, 0, 8, 17, fds);
	}
	irqs_row(&w, 0x80000024, 0, 0, 1, 1, fds);
	for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++)
		must(close(fds[i]));
	vfu_assert_alive(&w);
	world_finish(&w);
}

/* What is no eventfd is refused, wherever it stands; the command has no part of its effect. */
static void test_irqs_kinds(void)
{
	int file = fd_of(MEMFD), p = fd_of(PIPE), event = fd_of(EVENT);
	const int rows[][2] = { { file, event }, { event, file }, { p, p }, { event, p } };
	unsigned before;
	struct world w;

	vfu_start(&w);
	before = open_fds();
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_assert_cmpint(vfu_irqs(&w, 0x24, VFU_IRQ_MSIX, 0, 2, rows[i], 2), ==, EINVAL);
		g_assert_cmpint(vfu_irqs(&w, 0x24, VFU_IRQ_MSI, 6, 2, rows[i], 2), ==, EINVAL);
	}
	g_assert_cmpint(vfu_irqs(&w, 0x24, VFU_IRQ_INTX, 0, 1, &file, 1), ==, EINVAL);
	g_assert_cmpint(vfu_irqs(&w, 0x14, VFU_IRQ_INTX, 0, 1, &p, 1), ==, EINVAL);
	g_assert_cmpuint(open_fds(), ==, before);
	vfu_assert_alive(&w);
	world_finish(&w);
	must(close(file));
	must(close(p));
	must(close(event));
}

/* DATA_BOOL with a byte too few and too many; a command that ends in its own header. */
static void test_irqs_size(void)
{
	struct {
		struct vfu_set_irqs set;
		uint8_t chosen[16];
	} m = { { sizeof(m.set), VFU_DATA_BOOL | VFU_ACTION_TRIGGER, VFU_IRQ_MSIX, 0, 4 } };
	struct world w;

	vfu_start(&w);
	for (size_t data = 0; data <= sizeof(m.chosen); data++)
		g_assert_cmpint(vfu_ask(&w, VFU_SET_IRQS, &m, sizeof(m.set) + data), ==,
				data == 4 ? 0 : EINVAL);
	for (size_t size = 0; size < sizeof(m.set); size++)
		g_assert_cmpint(vfu_ask(&w, VFU_SET_IRQS, &m, size), ==, EINVAL);
	vfu_assert_alive(&w);
	world_finish(&w);
}

static void test_irq_info(void)
{
	struct vfu_irq_info info = { .argsz = sizeof(info) }, got;
	struct world w;

	vfu_start(&w);
	for (info.index = 0; info.index <= 6; info.index++) {
		int err = vfu_ask_fds(&w, VFU_GET_IRQ_INFO, &info, sizeof(info), NULL, 0, &got,
				      sizeof(got), NULL);

		g_assert_cmpint(err, ==, info.index > 4 ? EINVAL : 0);
		if (!err)
			g_assert_cmpuint(got.count, ==, vectors_of(info.index));
	}
	info.index = UINT32_MAX;
	g_assert_cmpint(vfu_ask(&w, VFU_GET_IRQ_INFO, &info, sizeof(info)), ==, EINVAL);
	info = (struct vfu_irq_info){ .argsz = sizeof(info) - 1 };
	g_assert_cmpint(vfu_ask(&w, VFU_GET_IRQ_INFO, &info, sizeof(info)), ==, EINVAL);
	world_finish(&w);
}

static void wait_event(struct world *w, int fd)
{
	while (!event_take(fd))
		g_assert_cmpint(loop_step(w->loop, 1000), ==, 0);
}

/* INTx is sent once, and again when it is unmasked while the line is up: by message, by eventfd. */
static void test_intx(void)
{
	int irq = fd_of(EVENT), unmask = fd_of(EVENT);
	struct world w;

	vfu_start(&w);
	g_assert_cmpint(vfu_irqs(&w, 0x24, 0, 0, 1, &irq, 1), ==, 0);
	vfu_write(&w, 0, 0x60, 4, 1);
	g_assert_cmpuint(event_take(irq), ==, 1);
	vfu_write(&w, 0, 0x60, 4, 2);
	g_assert_cmpuint(event_take(irq), ==, 0);
	g_assert_cmpint(vfu_irqs(&w, 0x11, 0, 0, 1, NULL, 0), ==, 0);
	wait_event(&w, irq);
	g_assert_cmpint(vfu_irqs(&w, 0x14, 0, 0, 1, &unmask, 1), ==, 0);
	must(write(unmask, &(uint64_t){ 3 }, 8));
	world_settle(&w);
	g_assert_cmpuint(event_take(irq), ==, 1);
	g_assert_cmpuint(event_take(unmask), ==, 0);
	/* masked by the client; down; unmasked: nothing */
	g_assert_cmpint(vfu_irqs(&w, 0x09, 0, 0, 1, NULL, 0), ==, 0);
	vfu_write(&w, 0, 0x64, 4, 3);
	g_assert_cmpint(vfu_irqs(&w, 0x11, 0, 0, 1, NULL, 0), ==, 0);
	g_assert_cmpuint(event_take(irq), ==, 0);
	world_finish(&w);
	must(close(irq));
	must(close(unmask));
}

/* Sent, and not looked at before the loop runs. */
static void post_write(struct world *w, uint64_t off, uint32_t val)
{
	const struct {
		struct vfu_region_access a;
		uint32_t val;
	} m = { { off, 0, 4 }, val };

	vfu_tell(w, VFU_REGION_WRITE, VFU_NO_REPLY, &m, sizeof(m.a) + 4, NULL, 0);
}

/*
 * The guest's write that takes the line down was sent before its end of interrupt: both are there,
 * and nobody has looked yet.
 */
static void test_intx_posted(void)
{
	int irq = fd_of(EVENT), unmask = fd_of(EVENT);
	struct world w;

	vfu_start(&w);
	g_assert_cmpint(vfu_irqs(&w, 0x24, 0, 0, 1, &irq, 1), ==, 0);
	g_assert_cmpint(vfu_irqs(&w, 0x14, 0, 0, 1, &unmask, 1), ==, 0);
	for (unsigned i = 0; i < 100; i++) {
		vfu_write(&w, 0, 0x60, 4, 1);
		g_assert_cmpuint(event_take(irq), ==, 1);
		must(write(unmask, &(uint64_t){ 1 }, 8));
		for (unsigned k = 0; k < i % 4; k++)
			post_write(&w, 0x04, k);
		post_write(&w, 0x64, 1);
		world_settle(&w);
		g_assert_cmpuint(event_take(unmask), ==, 0);
		g_assert_cmpuint(event_take(irq), ==, 0);
	}
	world_finish(&w);
	must(close(irq));
	must(close(unmask));
}

/* What QEMU does without KVM: the message that unmasks comes before the write that acknowledges. */
static void test_intx_early_unmask(void)
{
	int irq = fd_of(EVENT);
	struct vfu_set_irqs unmask = {
		.argsz = sizeof(unmask), .flags = VFU_ACTION_UNMASK | VFU_DATA_NONE, .count = 1,
	};
	struct world w;

	vfu_start(&w);
	g_assert_cmpint(vfu_irqs(&w, 0x24, 0, 0, 1, &irq, 1), ==, 0);
	for (unsigned i = 0; i < 100; i++) {
		vfu_write(&w, 0, 0x60, 4, 1);
		g_assert_cmpuint(event_take(irq), ==, 1);
		vfu_tell(&w, VFU_SET_IRQS, VFU_NO_REPLY, &unmask, sizeof(unmask), NULL, 0);
		post_write(&w, 0x64, 1);
		world_settle(&w);
		g_assert_cmpuint(event_take(irq), ==, 0);
		/* the next one is not late */
		vfu_write(&w, 0, 0x60, 4, 2);
		g_assert_cmpuint(event_take(irq), ==, 1);
		vfu_write(&w, 0, 0x64, 4, 2);
		g_assert_cmpint(vfu_irqs(&w, 0x11, 0, 0, 1, NULL, 0), ==, 0);
		g_assert_cmpuint(event_take(irq), ==, 0);
	}
	world_finish(&w);
	must(close(irq));
}

/* An eventfd that is full, and one that is read by its giver first, hold nobody up. */
static void test_event_full(void)
{
	int irq = fd_of(EVENT);
	struct world w;

	vfu_start(&w);
	must(write(irq, &(uint64_t){ UINT64_MAX - 1 }, 8));
	g_assert_cmpint(vfu_irqs(&w, 0x24, 0, 0, 1, &irq, 1), ==, 0);
	vfu_write(&w, 0, 0x60, 4, 1);
	vfu_assert_alive(&w);
	g_assert_cmpuint(event_take(irq), ==, UINT64_MAX - 1);
	world_finish(&w);
	must(close(irq));
}

/* Guest memory */

static const struct {
	const char *name;
	struct vfu_dma_map map;
	enum fd_kind fd;	/* the file has 8192 bytes */
	int err;
} maps[] = {
	{ "argsz too small", { 31, 3, 0, 0, PAGE }, NONE, EINVAL },
	{ "argsz 0", { 0, 3, 0, 0, PAGE }, MEMFD, EINVAL },
	{ "neither read nor written", { 32, 0, 0, 0, PAGE }, MEMFD, EINVAL },
	{ "unknown flag", { 32, 7, 0, 0, PAGE }, MEMFD, EINVAL },
	{ "unknown high flag", { 32, 0x80000003, 0, 0, PAGE }, NONE, EINVAL },
	{ "size 0", { 32, 3, 0, 0, 0 }, MEMFD, EINVAL },
	{ "size 0 without fd", { 32, 3, 0, 0, 0 }, NONE, EINVAL },
	{ "odd size", { 32, 3, 0, 0, 4095 }, MEMFD, EINVAL },
	{ "odd address", { 32, 3, 0, 1, PAGE }, NONE, EINVAL },
	{ "odd offset", { 32, 3, 512, 0, PAGE }, MEMFD, EINVAL },
	{ "wraps", { 32, 3, 0, -PAGE, 2 * PAGE }, MEMFD, EINVAL },
	{ "wraps without fd", { 32, 3, 0, PAGE, -PAGE }, NONE, EINVAL },
	{ "beyond the file", { 32, 3, 0, 0, 3 * PAGE }, MEMFD, ERANGE },
	{ "offset beyond the file", { 32, 3, 2 * PAGE, 0, PAGE }, MEMFD, ERANGE },
	{ "offset wraps", { 32, 3, -PAGE, 0, 2 * PAGE }, MEMFD, ERANGE },
	{ "a pipe", { 32, 3, 0, 0, PAGE }, PIPE, -1 },
	{ "an eventfd", { 32, 3, 0, 0, PAGE }, EVENT, -1 },
	{ "good", { 32, 3, PAGE, 0, PAGE }, MEMFD, 0 },
	{ "good, argsz above", { UINT32_MAX, 1, 0, 0, 2 * PAGE }, MEMFD, 0 },
	{ "good, unshared, offset is nothing", { 32, 2, 77, 0, 1ULL << 40 }, NONE, 0 },
};

static void test_maps(void)
{
	struct world w;
	unsigned fds;

	vfu_start(&w);
	fds = open_fds();
	for (unsigned i = 0; i < G_N_ELEMENTS(maps); i++) {
		int fd = maps[i].fd ? fd_of(maps[i].fd) : -1, err;

		g_test_message("%s", maps[i].name);
		err = vfu_ask_fds(&w, VFU_DMA_MAP, &maps[i].map, sizeof(maps[i].map), &fd, fd >= 0,
				  NULL, 0, NULL);
		if (maps[i].err >= 0)
			g_assert_cmpint(err, ==, maps[i].err);
		g_assert_true(!err == !maps[i].err);
		g_assert_cmpuint(guestmem_count(w.serve.mem), ==, !err);
		if (!err)
			g_assert_cmpint(vfu_unmap(&w, maps[i].map.addr, maps[i].map.size), ==, 0);
		fd_close(&fd);
		g_assert_cmpuint(open_fds(), ==, fds);
	}
	vfu_assert_alive(&w);
	world_finish(&w);
}

static void test_overlap(void)
{
	int fd = fd_of(MEMFD);
	struct world w;

	vfu_start(&w);
	g_assert_cmpint(vfu_map(&w, PAGE, 2 * PAGE, 0, fd), ==, 0);
	g_assert_cmpint(vfu_map(&w, PAGE, 2 * PAGE, 0, fd), ==, EEXIST);	/* the very same */
	g_assert_cmpint(vfu_map(&w, 0, 2 * PAGE, 0, fd), ==, EEXIST);
	g_assert_cmpint(vfu_map(&w, 2 * PAGE, PAGE, PAGE, fd), ==, EEXIST);
	g_assert_cmpint(vfu_map(&w, PAGE, 2 * PAGE, 0, -1), ==, EEXIST);
	g_assert_cmpint(vfu_map(&w, 0, 1ULL << 63, 0, -1), ==, EEXIST);
	g_assert_cmpint(vfu_map(&w, 0, PAGE, 0, fd), ==, 0);
	g_assert_cmpint(vfu_map(&w, 3 * PAGE, PAGE, 0, -1), ==, 0);
	g_assert_cmpuint(guestmem_count(w.serve.mem), ==, 3);
	world_finish(&w);
	must(close(fd));
}

static void test_unmaps(void)
{
	static const struct {
		uint32_t argsz, flags;
		uint64_t addr, size;
		int err;
		unsigned left;		/* of three: at 0, 8 and 16 pages, of 2 pages each */
	} rows[] = {
		{ 23, 0, 0, 2 * PAGE, EINVAL, 3 }, { 24, 1, 0, 2 * PAGE, EINVAL, 3 },
		{ 24, 4, 0, 2 * PAGE, EINVAL, 3 }, { 24, 0, 0, 0, EINVAL, 3 },
		{ 24, 2, PAGE, 0, EINVAL, 3 }, { 24, 2, 0, PAGE, EINVAL, 3 },
		{ 24, 3, 0, 0, EINVAL, 3 }, { 24, 0, 0, PAGE, EINVAL, 3 },
		{ 24, 0, PAGE, PAGE, EINVAL, 3 }, { 24, 0, 0, 9 * PAGE, EINVAL, 3 },
		{ 24, 0, 9 * PAGE, 0x7f * PAGE, EINVAL, 3 },
		{ 24, 0, 1, UINT64_MAX, EINVAL, 3 },
		{ 24, 0, 2 * PAGE, 6 * PAGE, 0, 3 }, { 24, 0, 0, 2 * PAGE, 0, 2 },
		{ 24, 0, 0, 8 * PAGE, 0, 2 }, { 24, 0, 0, 10 * PAGE, 0, 1 },
		{ 24, 0, 8 * PAGE, UINT64_MAX, 0, 1 }, { 24, 0, 0, UINT64_MAX, 0, 0 },
		{ 24, 2, 0, 0, 0, 0 }, { 64, 0, 0, 2 * PAGE, 0, 2 },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct vfu_dma_unmap m = { rows[i].argsz, rows[i].flags, rows[i].addr,
					   rows[i].size }, got;
		int fd = fd_of(MEMFD);
		uint32_t size;
		struct world w;

		g_test_message("row %u", i);
		vfu_start(&w);
		for (unsigned k = 0; k < 3; k++)
			g_assert_cmpint(vfu_map(&w, k * 8 * PAGE, 2 * PAGE, 0, k == 1 ? -1 : fd),
					==, 0);
		g_assert_cmpint(vfu_ask_fds(&w, VFU_DMA_UNMAP, &m, sizeof(m), &fd, 1, &got,
					    sizeof(got), &size), ==, rows[i].err);
		if (!rows[i].err)	/* all of it comes back: clients read a fixed size */
			g_assert_cmpmem(&got, size, &m, sizeof(m));
		g_assert_cmpuint(guestmem_count(w.serve.mem), ==, rows[i].left);
		world_finish(&w);
		must(close(fd));
	}
}

/* As many maps as we said, and no more. */
static void test_full_table(void)
{
	struct world w;

	vfu_start(&w);
	for (unsigned i = 0; i < 8192; i++)
		g_assert_cmpint(vfu_map(&w, 2 * i * PAGE, PAGE, 0, -1), ==, 0);
	g_assert_cmpint(vfu_map(&w, PAGE, PAGE, 0, -1), ==, ENOSPC);
	g_assert_cmpint(vfu_map(&w, 0, PAGE, 0, -1), ==, EEXIST);
	g_assert_cmpint(vfu_unmap(&w, 2 * PAGE, PAGE), ==, 0);
	g_assert_cmpint(vfu_map(&w, PAGE, PAGE, 0, -1), ==, 0);
	vfu_assert_alive(&w);
	world_finish(&w);
}

/* Regions */

static const struct {
	uint64_t off;
	uint32_t region, count;
	int read, write;	/* errno */
} accesses[] = {
	{ 0, 0, 4, 0, 0 }, { 0, 0, 0, EINVAL, EINVAL }, { 0, 0, 3, EINVAL, EINVAL },
	{ 0, 0, 8, 0, 0 }, { 0, 0, 16, EINVAL, EINVAL }, { 0, 0, 4096, EINVAL, EINVAL },
	{ 0xffffc, 0, 4, 0, 0 }, { 0xffffd, 0, 4, EINVAL, EINVAL },
	{ 1 << 20, 0, 1, EINVAL, EINVAL },
	{ UINT64_MAX, 0, 1, EINVAL, EINVAL }, { UINT64_MAX - 3, 0, 4, EINVAL, EINVAL },
	{ UINT64_MAX - 3, 7, 8, EINVAL, EINVAL },
	{ 0, 1, 4, EINVAL, EINVAL }, { 0, 2, 4, 0, 0 }, { 4095, 2, 2, EINVAL, EINVAL },
	{ 0, 3, 1, EINVAL, EINVAL }, { 0, 5, 1, EINVAL, EINVAL }, { 0, 6, 4, EINVAL, EINVAL },
	{ 0, 7, 0, EINVAL, EINVAL }, { 0, 7, 1, 0, 0 }, { 0, 7, 3, 0, 0 }, { 0, 7, 256, 0, 0 },
	{ 0, 7, 4096, 0, 0 }, { 1, 7, 4095, 0, 0 }, { 1, 7, 4096, EINVAL, EINVAL },
	{ 4095, 7, 1, 0, 0 }, { 4095, 7, 2, EINVAL, EINVAL }, { 4096, 7, 1, EINVAL, EINVAL },
	{ 0, 7, 4097, EINVAL, EINVAL }, { 0, 7, UINT32_MAX, EINVAL, -1 },
	{ 0, 8, 4, EINVAL, EINVAL }, { 0, 9, 4, EINVAL, EINVAL },
	{ 0, UINT32_MAX, 4, EINVAL, EINVAL },
};

static void test_accesses(void)
{
	static struct {
		struct vfu_region_access a;
		uint8_t data[4200];
	} m;

	for (unsigned i = 0; i < G_N_ELEMENTS(accesses); i++) {
		uint32_t count = accesses[i].count, size;
		struct world w;

		g_test_message("region %u offset %llx count %u", accesses[i].region,
			       (unsigned long long)accesses[i].off, count);
		vfu_start(&w);
		m.a = (struct vfu_region_access){ accesses[i].off, accesses[i].region, count };
		g_assert_cmpint(vfu_ask_fds(&w, VFU_REGION_READ, &m.a, sizeof(m.a), NULL, 0, NULL,
					    0, &size), ==, accesses[i].read);
		g_assert_cmpuint(size, ==, accesses[i].read ? 0 : sizeof(m.a) + count);
		if (accesses[i].write >= 0)
			g_assert_cmpint(vfu_ask_fds(&w, VFU_REGION_WRITE, &m, sizeof(m.a) + count,
						    NULL, 0, NULL, 0, &size), ==,
					accesses[i].write);
		/* more and less data than it says */
		g_assert_cmpint(vfu_ask(&w, VFU_REGION_WRITE, &m, sizeof(m.a) +
					MIN(count, 4100) + 1), ==, EINVAL);
		if (count)
			g_assert_cmpint(vfu_ask(&w, VFU_REGION_WRITE, &m, sizeof(m.a) +
						MIN(count, 4100) - 1), ==, EINVAL);
		vfu_assert_alive(&w);
		world_finish(&w);
	}
}

static void test_region_info(void)
{
	struct vfu_region_info info = { .argsz = sizeof(info) }, got;
	static const uint64_t sizes[] = { 1 << 20, 0, 4096, 0, 0, 0, 0, 4096, 0 };
	uint8_t long_ask[VFU_REGION_CONFIG + 4064] = { 0 };
	uint32_t size;
	struct world w;

	vfu_start(&w);
	for (info.index = 0; info.index < 12; info.index++) {
		int err = vfu_ask_fds(&w, VFU_GET_REGION_INFO, &info, sizeof(info), NULL, 0, &got,
				      sizeof(got), &size);

		g_assert_cmpint(err, ==, info.index < 9 ? 0 : EINVAL);
		if (!err)
			g_assert_cmpuint(got.size, ==, sizes[info.index]);
	}
	info = (struct vfu_region_info){ .argsz = 31 };
	g_assert_cmpint(vfu_ask(&w, VFU_GET_REGION_INFO, &info, sizeof(info)), ==, EINVAL);
	/* as SPDK asks: all the room that it has */
	info.argsz = 4064;
	memcpy(long_ask, &info, sizeof(info));
	g_assert_cmpint(vfu_ask_fds(&w, VFU_GET_REGION_INFO, long_ask, 4064, NULL, 0, &got,
				    sizeof(got), &size), ==, 0);
	g_assert_cmpuint(size, ==, sizeof(got));
	world_finish(&w);
}

/* Writes put together: too many, not as many as it says, one that is none. */
static void test_write_multi(void)
{
	static struct {
		uint64_t count;
		struct vfu_multi_write write[VFU_MULTI_MAX + 1];
	} m;
	const size_t each = sizeof(m.write[0]);
	struct world w;

	vfu_start(&w);
	for (unsigned i = 0; i <= VFU_MULTI_MAX; i++)
		m.write[i] = (struct vfu_multi_write){ 0x80, 0, 4, { i } };
	for (unsigned n = 0; n <= VFU_MULTI_MAX; n++) {
		m.count = n;
		g_assert_cmpint(vfu_ask(&w, VFU_WRITE_MULTI, &m, 8 + n * each), ==, 0);
		if (n < VFU_MULTI_MAX)
			g_assert_cmpint(vfu_ask(&w, VFU_WRITE_MULTI, &m, 8 + n * each + 1), ==,
					EINVAL);
		if (n)
			g_assert_cmpint(vfu_ask(&w, VFU_WRITE_MULTI, &m, 8 + n * each - 1), ==,
					EINVAL);
		m.count = n + 1;
		g_assert_cmpint(vfu_ask(&w, VFU_WRITE_MULTI, &m, 8 + n * each), ==, EINVAL);
	}
	g_assert_cmphex(vfu_read(&w, 0, 0x80, 4), ==, 199);
	m.count = UINT64_MAX / 24 + 1;		/* times 24 it is 8 */
	g_assert_cmpint(vfu_ask(&w, VFU_WRITE_MULTI, &m, 8 + 8), ==, EINVAL);
	m.count = 3;
	m.write[1].count = 9;	/* the first is made, the third is not */
	m.write[0].data[0] = 0x11;
	m.write[2].data[0] = 0x33;
	g_assert_cmpint(vfu_ask(&w, VFU_WRITE_MULTI, &m, 8 + 3 * each), ==, EINVAL);
	g_assert_cmphex(vfu_read(&w, 0, 0x80, 4), ==, 0x11);
	m.count = VFU_MULTI_MAX + 1;
	g_assert_cmpint(vfu_ask(&w, VFU_WRITE_MULTI, &m, sizeof(m)), ==, EINVAL);
	vfu_assert_alive(&w);
	world_finish(&w);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	log_init(-1, "test-serve-vfu");
	g_test_add_func("/serve-vfu/order", test_order);
	g_test_add_func("/serve-vfu/version-text", test_version_text);
	g_test_add_func("/serve-vfu/irqs", test_irqs);
	g_test_add_func("/serve-vfu/irqs-kinds", test_irqs_kinds);
	g_test_add_func("/serve-vfu/irqs-size", test_irqs_size);
	g_test_add_func("/serve-vfu/irq-info", test_irq_info);
	g_test_add_func("/serve-vfu/intx", test_intx);
	g_test_add_func("/serve-vfu/intx-posted", test_intx_posted);
	g_test_add_func("/serve-vfu/intx-early-unmask", test_intx_early_unmask);
	g_test_add_func("/serve-vfu/event-full", test_event_full);
	g_test_add_func("/serve-vfu/maps", test_maps);
	g_test_add_func("/serve-vfu/overlap", test_overlap);
	g_test_add_func("/serve-vfu/unmaps", test_unmaps);
	g_test_add_func("/serve-vfu/full-table", test_full_table);
	g_test_add_func("/serve-vfu/accesses", test_accesses);
	g_test_add_func("/serve-vfu/region-info", test_region_info);
	g_test_add_func("/serve-vfu/write-multi", test_write_multi);
	return g_test_run();
}
