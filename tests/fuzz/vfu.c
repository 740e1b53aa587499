/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vfio-user session: a device behind a socketpair, and a client that sends bytes, commands in
 * pieces, file descriptors of all kinds and maps, answers the device's DMA messages rightly and
 * wrongly, reads or does not, goes away, and is followed by another.  The first byte of an input
 * says which device it is: the teaching one, or the SCSI chip without disks, whose scripts lie in
 * memory that is not shared.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/sock.h"
#include "../unit/util.h"
#include "applets/remote/serve-vfu.h"
#include "base/fd.h"
#include "devices/edu/edu.h"
#include "devices/lsi53c895a/lsi.h"
#include "devices/lsi53c895a/lsi53c895a.h"
#include "fds.h"
#include "fuzz.h"
#include "mem/arena.h"
#include "mem/guestmem.h"
#include "mem/sigbus.h"
#include "proto/vfu.h"

#define MAX_OPS 100
#define MAX_FDS 18
#define BAR 0xfea00000u

/* Made once, and put back after each input by copying what is in it. */
struct session {
	const struct pci_class *cls;
	struct pci_state *state;
	struct loop *loop;
	struct serve serve;
	struct serve_ops ops;
};

static struct {
	int fd[KINDS], null;
	struct guestmem_arena *arena;
	struct session session[2];
	/* of one input */
	unsigned fds;			/* open before it */
	struct input *in;
	struct session *s;
	int peer;
	struct vfu_conn client;		/* over it */
	unsigned closed;
	uint16_t id;
	struct vfu_header asked;	/* the device's last message */
	struct vfu_dma_access access;
} w;

static void on_closed(void *opaque, struct serve *serve, enum serve_end end)
{
	w.closed++;
}

static void after_event(void *opaque)
{
	serve_flush(&((struct session *)opaque)->serve);
}

static void session_make(struct session *s, const struct pci_class *cls, size_t priv_size)
{
	*s = (struct session){
		.cls = cls, .state = g_malloc0(cls->state_size), .loop = loop_create(-1),
		.ops = { .closed = on_closed },
	};
	g_assert_nonnull(s->loop);
	loop_set_hooks(s->loop, NULL, after_event, s);
	const struct serve_setup setup = {
		.protocol = &serve_vfio_user, .loop = s->loop, .arena = w.arena,
		.fd = must(fcntl(w.null, F_DUPFD_CLOEXEC, 0)), .cls = cls, .state = s->state,
		.id = "dev0", .ops = &s->ops,
	};

	g_assert_cmpint(serve_init(&s->serve, &setup), ==, 0);
	pci_dev_reset(&s->serve.dev);
	fuzz_snapshot(&s->serve, sizeof(s->serve));
	fuzz_snapshot(s->serve.vfu, sizeof(*s->serve.vfu));
	fuzz_snapshot(s->state, cls->state_size);
	if (priv_size)
		fuzz_snapshot(s->serve.dev.priv, priv_size);
}

void fuzz_setup(void)
{
	w.arena = guestmem_arena_create();
	g_assert_nonnull(w.arena);
	g_assert_cmpint(sigbus_guard(w.arena), ==, 0);
	fds_make(w.fd);
	w.null = w.fd[NULLDEV];
	g_assert_cmpint(vfu_version_prepare(), ==, 0);
	g_assert_cmpint(vfu_conn_create(&w.client, vfu_message_size(8192)), ==, 0);
	session_make(&w.session[0], &edu_pcie_class, 0);
	session_make(&w.session[1], &lsi53c895a_class, sizeof(struct lsi));
}

static void step(unsigned passes)
{
	while (passes--)
		g_assert_cmpint(loop_step(w.s->loop, 0), ==, 0);
}

/* A new client for the session that is there. */
static void connect_client(void)
{
	int s[2], small = 4096;		/* bytes, so that a socket is soon full */

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s));
	must(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)));
	must(setsockopt(s[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)));
	must(dup3(s[1], w.s->serve.conn->fd, O_CLOEXEC));
	must(close(s[1]));
	w.peer = s[0];
	vfu_conn_init(&w.client, w.peer);
	w.closed = 0;
	w.asked = (struct vfu_header){ 0 };
	g_assert_cmpuint(guestmem_count(w.s->serve.mem), ==, 0);
	g_assert_cmpint(serve_start(&w.s->serve), ==, 0);
}

static void session_start(struct session *s)
{
	w.fds = open_fds();
	w.s = s;
	connect_client();
}

static void session_end(void)
{
	struct serve *serve = &w.s->serve;

	serve_stop(serve);
	pci_dev_reset(&serve->dev);
	step(1);
	fd_close(&w.peer);
	must(dup3(w.null, serve->conn->fd, O_CLOEXEC));
	g_assert_cmpuint(open_fds(), ==, w.fds);
	g_assert_cmpuint(guestmem_count(serve->mem), ==, 0);
	fuzz_restore();
	fds_restore(w.fd);
	clock_reset();
}

/* ---- the client ---- */

static void send_piece(const void *bytes, size_t len, const int *fds, unsigned fd_count)
{
	/* full, or closed at the other end: the client's own trouble */
	if (w.peer >= 0 && len)
		sock_send(w.peer, bytes, len, fds, fd_count, MSG_DONTWAIT);
}

static void op_bytes(void)
{
	const uint8_t *bytes;
	size_t len = in_take(w.in, in_u8(w.in), &bytes);

	send_piece(bytes, len, NULL, 0);
}

struct message {
	struct vfu_header h;
	union {
		struct vfu_dma_map map;
		struct vfu_dma_unmap unmap;
		struct vfu_region_info info;
		struct vfu_set_irqs irqs;
		struct vfu_region_access access;
		uint8_t bytes[4104];
	} u;
};

static void fill_map(struct vfu_dma_map *map)
{
	uint8_t how = in_u8(w.in);

	*map = (struct vfu_dma_map){
		.argsz = sizeof(*map), .flags = how & 3, .addr = (uint64_t)in_u8(w.in) * PAGE,
		.size = (1 + (how >> 2 & 7)) * PAGE, .offset = (how >> 5 & 1) * PAGE,
	};
	if (how & 0x40)
		map->addr = in_u64(w.in);
	if (how & 0x80)
		map->size = in_u64(w.in);
}

static void fill_unmap(struct vfu_dma_unmap *unmap)
{
	uint8_t how = in_u8(w.in);

	*unmap = (struct vfu_dma_unmap){
		.argsz = sizeof(*unmap), .flags = how & 3, .addr = (uint64_t)in_u8(w.in) * PAGE,
		.size = (uint64_t)(how >> 2) * PAGE,
	};
}

static void fill_irqs(struct vfu_set_irqs *irqs)
{
	uint8_t which = in_u8(w.in), where = in_u8(w.in);

	*irqs = (struct vfu_set_irqs){
		.argsz = sizeof(*irqs), .flags = in_u8(w.in), .index = which & 7,
		.count = which >> 3 & 15, .start = where & 15,
	};
	if (where & 0x80)
		irqs->count = in_u32(w.in);
}

static void fill_access(struct vfu_region_access *a)
{
	uint8_t how = in_u8(w.in);

	a->region = how & 15;
	a->count = how & 0x80 ? in_u16(w.in) : 1u << (how >> 4 & 3);
	a->offset = how & 0x40 ? in_u64(w.in) : in_u16(w.in);
}

/* What the command's own payload is; its size, with what follows. */
static size_t fill_payload(struct message *m)
{
	const struct vfu_rule *rule = vfu_rule(m->h.cmd);
	size_t size = rule ? rule->size_min : 0, more = 0;

	if (m->h.cmd == VFU_DMA_MAP) {
		fill_map(&m->u.map);
	} else if (m->h.cmd == VFU_DMA_UNMAP) {
		fill_unmap(&m->u.unmap);
	} else if (m->h.cmd == VFU_SET_IRQS) {
		fill_irqs(&m->u.irqs);
		more = m->u.irqs.flags & VFU_DATA_BOOL ? MIN(m->u.irqs.count, 64) : 0;
	} else if (m->h.cmd == VFU_REGION_READ || m->h.cmd == VFU_REGION_WRITE) {
		fill_access(&m->u.access);
		more = m->h.cmd == VFU_REGION_WRITE ? MIN(m->u.access.count, 4088) : 0;
	} else if (m->h.cmd == VFU_VERSION || m->h.cmd == VFU_WRITE_MULTI) {
		more = in_u8(w.in);
	} else {
		m->u.info = (struct vfu_region_info){ .argsz = in_u8(w.in), .index = in_u8(w.in) };
	}
	in_fill(w.in, m->u.bytes + size, more);
	return size + more;
}

static unsigned read_fds(int *fds)
{
	uint8_t how = in_u8(w.in);
	unsigned count = how % (MAX_FDS + 1);

	for (unsigned i = 0; i < count; i++)
		fds[i] = w.fd[how & 0x40 ? in_u8(w.in) % KINDS : how & 0x80 ? RAM : EVENT];
	return count;
}

/* A command whole, or in two pieces with the device at work in between. */
static void op_command(void)
{
	uint8_t how = in_u8(w.in);
	struct message m = { .h = { .id = ++w.id, .cmd = in_u8(w.in) % (VFU_CMD_COUNT + 1) } };
	size_t len = sizeof(m.h) + fill_payload(&m), cut = len;
	unsigned count = 0;
	int fds[MAX_FDS];

	m.h.size = len;
	m.h.flags = how & 1 ? VFU_NO_REPLY : how & 2 ? in_u8(w.in) : 0;
	if (how & 0x04)
		m.h.size = in_u16(w.in);
	if (how & 0x40)
		count = read_fds(fds);
	if (how & 0x20)
		cut = in_u8(w.in) % len;
	send_piece(&m, cut, fds, count);
	if (cut < len && how & 0x10)
		step(2);
	send_piece((uint8_t *)&m + cut, len - cut, cut ? NULL : fds, cut ? 0 : count);
	if (how & 0x08)
		step(2);
}

static void command(unsigned cmd, const void *payload, size_t size, const int *fds, unsigned count)
{
	struct message m = { .h = { .id = ++w.id, .cmd = cmd, .size = sizeof(m.h) + size } };

	memcpy(m.u.bytes, payload, size);
	send_piece(&m, m.h.size, fds, count);
	step(1);
}

static void map(uint64_t addr, uint64_t size, int fd)
{
	const struct vfu_dma_map m = { sizeof(m), 3, 0, addr, size };

	command(VFU_DMA_MAP, &m, sizeof(m), &fd, fd >= 0);
}

static void write_region(unsigned region, uint64_t off, unsigned size, uint32_t val)
{
	const struct {
		struct vfu_region_access a;
		uint32_t val;
	} m = { { off, region, size }, val };

	command(VFU_REGION_WRITE, &m, sizeof(m.a) + size, NULL, 0);
}

/* Negotiated, mapped (shared, unshared, or both side by side), wired, bus mastering on. */
static void op_firmware(void)
{
	static const char version[] = "\0\0\0\0{\"capabilities\":{\"max_data_xfer_size\":4096}}";
	uint8_t how = in_u8(w.in);
	const struct vfu_set_irqs intx = { sizeof(intx), 0x24, VFU_IRQ_INTX, 0, 1 };
	const struct vfu_set_irqs msix = { sizeof(msix), 0x24, VFU_IRQ_MSIX, 0, 2 };
	int events[] = { w.fd[EVENT], w.fd[EVENT] };

	command(VFU_VERSION, version, how & 8 ? 4 : sizeof(version), NULL, 0);
	if (how & 1)
		map(0, 16 * PAGE, w.fd[how & 4 ? FRAGILE : RAM]);
	if (how & 2)
		map(16 * PAGE, 1 << 20, -1);
	command(VFU_SET_IRQS, &intx, sizeof(intx), events, 1);
	if (how & 16)
		command(VFU_SET_IRQS, &msix, sizeof(msix), events, 2);
	write_region(VFU_REGION_CONFIG, PCI_BASE_ADDRESS_0, 4, BAR);
	write_region(VFU_REGION_CONFIG, PCI_COMMAND, 2, 7);
}

/* A register, as a driver writes it. */
static void op_register(void)
{
	uint8_t region = in_u8(w.in) % 3;
	uint16_t off = in_u8(w.in);

	write_region(region, off, 4, in_u32(w.in));
}

/* The chip runs a script at an address, the teaching device moves from or to there. */
static void op_go(void)
{
	uint32_t addr = in_u16(w.in) * 16u;
	uint8_t how = in_u8(w.in);

	if (w.s->cls != &edu_pcie_class) {
		write_region(1, 0x2c, 4, addr);
	} else {
		write_region(0, 0x80, 4, how & 1 ? 0x40000 : addr);
		write_region(0, 0x88, 4, how & 1 ? addr : 0x40000);
		write_region(0, 0x90, 4, 1 + in_u8(w.in) * 16);
		write_region(0, 0x98, 4, how & 1 ? 3 : 1);
		clock_advance(200 << 20);
	}
	step(4);
}

/* What the server has sent; its commands are kept for op_answer(). */
static void op_read(void)
{
	struct vfu_msg msg;

	while (w.peer >= 0 && vfu_peek(&w.client, &msg) == 0 && vfu_consume(&w.client, &msg) == 0) {
		g_assert_cmpuint(msg.fds.count, ==, 0);
		if (msg.h.flags & VFU_TYPE_MASK)
			continue;
		g_assert_true(msg.h.cmd == VFU_DMA_READ || msg.h.cmd == VFU_DMA_WRITE);
		g_assert_cmpuint(msg.size, >=, sizeof(w.access));
		w.asked = msg.h;
		memcpy(&w.access, msg.payload, sizeof(w.access));
	}
	step(1);
}

/* The answer to what the device has asked for last: right, or with one thing wrong. */
static void op_answer(void)
{
	uint8_t how = in_u8(w.in), wrong = how >> 5;
	struct message m = { .h = w.asked };
	size_t data;

	op_read();
	m.h = w.asked;
	data = m.h.cmd == VFU_DMA_READ ? MIN(w.access.count, 4088) : 0;
	m.h.flags = wrong == 1 ? VFU_REPLY | VFU_ERROR : VFU_REPLY;
	m.h.id += wrong == 2;
	m.h.cmd ^= wrong == 3 ? 7 : 0;
	m.u.access.offset = w.access.addr + (wrong == 4);
	memcpy(&m.u.bytes[8], &w.access.count, 8);
	m.u.bytes[8] += wrong == 5;
	in_fill(w.in, m.u.bytes + 16, MIN(data, 1u + (how & 15) * 8));
	data -= wrong == 6 && data;
	m.h.size = sizeof(m.h) + 16 + data;
	send_piece(&m, m.h.size, &w.fd[EVENT], wrong == 7);
	step(3);
}

static void op_step(void)
{
	step(1 + in_u8(w.in) % 16);
}

static void op_time(void)
{
	clock_advance((int64_t)(1 + in_u8(w.in)) << 20);
	step(1);
}

static void op_truncate(void)
{
	fds_truncate(w.fd, in_u8(w.in) % (FRAGILE_PAGES + 1));
}

/* The client's own hand on its eventfd. */
static void op_event(void)
{
	uint64_t val = in_u8(w.in) & 1 ? UINT64_MAX - 1 : 1;

	fcntl(w.fd[EVENT], F_SETFL, O_NONBLOCK);
	if (write(w.fd[EVENT], &val, sizeof(val)) < 0)
		must(read(w.fd[EVENT], &val, sizeof(val)));
	fcntl(w.fd[EVENT], F_SETFL, 0);
	step(1);
}

/* The client goes, and another may come. */
static void op_end(void)
{
	uint8_t how = in_u8(w.in);

	if (how & 1)
		fd_close(&w.peer);
	else if (w.peer >= 0)
		shutdown(w.peer, how & 2 ? SHUT_WR : SHUT_RDWR);
	step(2);
	if (!w.closed || how & 4)
		return;
	fd_close(&w.peer);
	connect_client();
}

/* Questions of which no answer is read, until the socket takes no more. */
static void op_stall(void)
{
	const struct vfu_region_access a = { 0, VFU_REGION_CONFIG, 64 };

	for (unsigned i = 0; i < 40; i++)
		command(VFU_REGION_READ, &a, sizeof(a), NULL, 0);
}

static void drain_event(void)
{
	uint64_t count;

	fcntl(w.fd[EVENT], F_SETFL, O_NONBLOCK);
	while (read(w.fd[EVENT], &count, sizeof(count)) > 0)
		;
	fcntl(w.fd[EVENT], F_SETFL, 0);
}

void fuzz_one(struct input *in)
{
	static void (*const ops[])(void) = {
		op_bytes, op_command, op_firmware, op_register, op_go, op_read, op_answer, op_step,
		op_time, op_truncate, op_event, op_end, op_stall, op_command,
	};

	w.in = in;
	w.id = 0;
	session_start(&w.session[in_u8(in) & 1]);
	for (unsigned i = 0; i < MAX_OPS && in->left; i++) {
		ops[in_u8(in) % G_N_ELEMENTS(ops)]();
		g_assert_cmpuint(w.closed, <=, 1);
	}
	step(4);
	session_end();
	drain_event();
}
