/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A session: one edu device behind a socketpair, and a peer that is not to be trusted. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <glib.h>

#include "applets/remote/serve.h"
#include "base/fd.h"
#include "base/log.h"
#include "devices/edu/edu.h"
#include "mem/arena.h"
#include "mem/guestmem.h"
#include "mem/memfd.h"
#include "world.h"

#define BAR 0xfea00000ULL

static void session_init(struct world *w)
{
	world_init(w, &serve_mpqemu, &edu_class);
}

static void send_fds(struct world *w, enum mpq_cmd cmd, const void *payload, size_t size,
		     const int *fds, unsigned count)
{
	g_assert_cmpint(mpq_send_fds(&w->mpq, cmd, payload, size, fds, count), ==, 0);
}

/* The next reply: its payload's size, or WORLD_NO_REPLY. */
static uint32_t reply(struct world *w, uint64_t *val)
{
	struct mpq_msg msg;

	if (mpq_peek(&w->mpq, &msg))
		return WORLD_NO_REPLY;
	g_assert_cmpint(mpq_consume(&w->mpq, &msg), ==, 0);
	*val = msg.u.ret;
	return msg.size;
}

/* A message and its reply of 8 bytes. */
static uint64_t ask(struct world *w, enum mpq_cmd cmd, const void *payload, size_t size)
{
	uint64_t val = 0;

	send_fds(w, cmd, payload, size, NULL, 0);
	world_settle(w);
	g_assert_cmpuint(reply(w, &val), ==, 8);
	g_assert_cmpuint(reply(w, &val), ==, WORLD_NO_REPLY);
	return val;
}

static uint64_t cfg_read(struct world *w, uint32_t addr, int32_t len)
{
	return ask(w, MPQ_PCI_CFGREAD, &(struct mpq_cfg){ .addr = addr, .len = len }, 12);
}

static uint64_t cfg_write(struct world *w, uint32_t addr, uint32_t val, int32_t len)
{
	struct mpq_cfg cfg = { .addr = addr, .val = val, .len = len };

	return ask(w, MPQ_PCI_CFGWRITE, &cfg, sizeof(cfg));
}

static uint64_t bar_read(struct world *w, uint64_t off, uint32_t size)
{
	struct mpq_bar bar = { .addr = BAR + off, .size = size, .memory = 1 };

	return ask(w, MPQ_BAR_READ, &bar, sizeof(bar));
}

static uint64_t bar_write(struct world *w, uint64_t off, uint64_t val, uint32_t size)
{
	struct mpq_bar bar = { .addr = BAR + off, .val = val, .size = size, .memory = 1 };

	return ask(w, MPQ_BAR_WRITE, &bar, sizeof(bar));
}

static void device_enable(struct world *w)
{
	g_assert_cmpuint(cfg_write(w, PCI_BASE_ADDRESS_0, BAR, 4), ==, 0);
	g_assert_cmpuint(cfg_write(w, PCI_COMMAND, 6, 2), ==, 0);
}

/* What ends a session */

static const struct {
	const char *name;
	int32_t cmd;
	uint64_t size;			/* in the header, and as many bytes up to 192 */
	enum fd_kind fds[3];
	struct mpq_sync_sysmem sync;
} violations[] = {
	{ "no such command", 8, 0 },
	{ "negative command", -1, 0 },
	{ "a reply", MPQ_RET, 8 },
	{ "longer than any message", MPQ_BAR_READ, UINT64_MAX },
	{ "too short", MPQ_PCI_CFGREAD, 8 },
	{ "too long", MPQ_DEVICE_RESET, 8 },
	{ "fds on a message without", MPQ_DEVICE_RESET, 0, { EVENT, MEMFD } },
	{ "one irqfd", MPQ_SET_IRQFD, 0, { EVENT } },
	{ "three irqfds", MPQ_SET_IRQFD, 0, { EVENT, EVENT, EVENT } },
	{ "a file as irqfd", MPQ_SET_IRQFD, 0, { MEMFD, EVENT } },
	{ "a file as resamplefd", MPQ_SET_IRQFD, 0, { EVENT, MEMFD } },
	{ "a pipe as resamplefd", MPQ_SET_IRQFD, 0, { EVENT, PIPE } },
	{ "RAM without a file", MPQ_SYNC_SYSMEM, 192, { NONE }, { .size = { 4096 } } },
	{ "RAM in a pipe", MPQ_SYNC_SYSMEM, 192, { PIPE }, { .size = { 4096 } } },
	{ "RAM without a size", MPQ_SYNC_SYSMEM, 192, { MEMFD } },
	{ "RAM behind the file", MPQ_SYNC_SYSMEM, 192, { MEMFD }, { .size = { 12288 } } },
	{ "RAM before the file", MPQ_SYNC_SYSMEM, 192, { MEMFD },
	  { .size = { 4096 }, .offset = { -4096 } } },
	{ "RAM that overlaps", MPQ_SYNC_SYSMEM, 192, { MEMFD, MEMFD },
	  { .gpa = { 0, 4096 }, .size = { 8192, 4096 } } },
	{ "RAM that wraps", MPQ_SYNC_SYSMEM, 192, { MEMFD },
	  { .gpa = { UINT64_MAX - 4095 }, .size = { 8192 } } },
};

static void send_violation(struct world *w, unsigned row)
{
	struct {
		struct mpq_header h;
		struct mpq_sync_sysmem sync;
	} m = {
		{ .cmd = violations[row].cmd, .size = violations[row].size }, violations[row].sync,
	};
	size_t len = sizeof(m.h) + MIN(violations[row].size, sizeof(m.sync));
	int fds[3];
	unsigned n = 0;

	while (n < 3 && violations[row].fds[n]) {
		fds[n] = fd_of(violations[row].fds[n]);
		n++;
	}
	must(sock_send(w->peer, &m, len, fds, n, 0));
	while (n)
		must(close(fds[--n]));
}

static void test_violations(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(violations); i++) {
		struct mpq_sync_sysmem sync = { .size = { 4096 } };
		struct world w;
		int irq[2], ram;
		unsigned fds;

		g_test_message("%s", violations[i].name);
		session_init(&w);
		fds = open_fds();
		/* With all that a session may hold: interrupt fds and RAM go with it. */
		irq[0] = fd_of(EVENT);
		irq[1] = fd_of(EVENT);
		send_fds(&w, MPQ_SET_IRQFD, NULL, 0, irq, 2);
		world_settle(&w);
		g_assert_cmpuint(open_fds(), ==, fds + 4);
		must(close(irq[0]));
		must(close(irq[1]));
		ram = fd_of(MEMFD);
		send_fds(&w, MPQ_SYNC_SYSMEM, &sync, sizeof(sync), &ram, 1);
		must(close(ram));
		world_settle(&w);
		g_assert_cmpuint(guestmem_count(w.serve.mem), ==, 1);
		send_violation(&w, i);
		send_fds(&w, MPQ_DEVICE_RESET, NULL, 0, NULL, 0);	/* not served any more */
		world_settle(&w);
		g_assert_cmpuint(w.closed, ==, 1);
		g_assert_cmpint(w.end, ==, SERVE_END_PROTOCOL);
		world_assert_hung_up(&w);
		g_assert_cmpuint(open_fds(), ==, fds);
		g_assert_cmpuint(guestmem_count(w.serve.mem), ==, 0);
		world_finish(&w);
		g_assert_cmpuint(w.closed, ==, 1);
	}
}

static void test_end_clean(void)
{
	struct world w;

	session_init(&w);
	g_assert_cmphex(cfg_read(&w, 0, 4), ==, 0x11e81234);
	fd_close(&w.peer);
	world_settle(&w);
	g_assert_cmpuint(w.closed, ==, 1);
	g_assert_cmpint(w.end, ==, SERVE_END_CLEAN);
	g_assert_cmpuint(world_settle(&w), ==, 0);
	world_finish(&w);
}

/* The peer dies before it has read its reply. */
static void test_end_unread(void)
{
	struct mpq_cfg cfg = { .len = 4 };
	struct world w;

	session_init(&w);
	send_fds(&w, MPQ_PCI_CFGREAD, &cfg, sizeof(cfg), NULL, 0);
	fd_close(&w.peer);
	world_settle(&w);
	g_assert_cmpuint(w.closed, ==, 1);
	g_assert_cmpint(w.end, ==, SERVE_END_CLEAN);
	world_finish(&w);
}

static void test_end_inside(void)
{
	struct mpq_header h = { .cmd = MPQ_BAR_READ, .size = 24 };

	for (size_t cut = 1; cut <= sizeof(h); cut++) {
		struct world w;

		session_init(&w);
		must(send(w.peer, &h, cut, 0));
		world_settle(&w);
		g_assert_cmpuint(w.closed, ==, 0);
		fd_close(&w.peer);
		world_settle(&w);
		g_assert_cmpuint(w.closed, ==, 1);
		g_assert_cmpint(w.end, ==, SERVE_END_MID_MESSAGE);
		world_finish(&w);
	}
}

/* A write of which a part came has no part of its effect, whichever part it is. */
static void test_end_inside_write(void)
{
	struct {
		struct mpq_header h;
		struct mpq_bar bar;
	} m = { { .cmd = MPQ_BAR_WRITE, .size = 24 },
		{ .addr = BAR + 4, .val = 0xffffffff, .size = 4, .memory = 1 } };

	for (size_t cut = 1; cut < sizeof(m); cut++) {
		g_autofree void *before = g_malloc(edu_class.state_size);
		struct world w;

		session_init(&w);
		device_enable(&w);
		memcpy(before, w.state, edu_class.state_size);
		must(send(w.peer, &m, cut, 0));
		world_settle(&w);
		fd_close(&w.peer);
		world_settle(&w);
		g_assert_cmpint(w.end, ==, SERVE_END_MID_MESSAGE);
		g_assert_cmpmem(before, edu_class.state_size, w.state, edu_class.state_size);
		world_finish(&w);
	}
}

/* The process ends the session: no closed(), but the peer sees it and nothing stays open. */
static void test_stop(void)
{
	struct world w;
	int irq[2];
	unsigned fds;

	session_init(&w);
	fds = open_fds();
	irq[0] = fd_of(EVENT);
	irq[1] = fd_of(EVENT);
	send_fds(&w, MPQ_SET_IRQFD, NULL, 0, irq, 2);
	world_settle(&w);
	serve_stop(&w.serve);
	serve_stop(&w.serve);
	must(close(irq[0]));
	must(close(irq[1]));
	g_assert_cmpuint(open_fds(), ==, fds);
	g_assert_cmpuint(w.closed, ==, 0);
	world_assert_hung_up(&w);
	g_assert_cmpuint(world_settle(&w), ==, 0);
	world_finish(&w);
}

/* Replies */

static void test_config_replies(void)
{
	static const struct {
		uint32_t addr;
		int32_t len;
		uint64_t val;
	} rows[] = {
		{ 0, 0, UINT64_MAX }, { 0, -1, UINT64_MAX }, { 0, 3, UINT64_MAX },
		{ 0, 8, UINT64_MAX }, { 0, 300, UINT64_MAX }, { 0xfd, 4, UINT64_MAX },
		{ 0xff, 2, UINT64_MAX }, { 0x100, 1, UINT64_MAX }, { UINT32_MAX, 1, UINT64_MAX },
		{ UINT32_MAX - 1, 4, UINT64_MAX }, { 0, INT32_MIN, UINT64_MAX },
		{ 0xfc, 4, 0 }, { 0xfd, 1, 0 }, { 0xfe, 2, 0 }, { 0xff, 1, 0 },
		{ 0, 2, 0x1234 }, { 2, 2, 0x11e8 }, { 8, 4, 0x00ff0010 }, { 0x28, 4, 0 },
	};
	struct world w;

	session_init(&w);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_test_message("row %u", i);
		g_assert_cmphex(cfg_read(&w, rows[i].addr, rows[i].len), ==, rows[i].val);
		g_assert_cmphex(cfg_write(&w, rows[i].addr, 0, rows[i].len), ==, 0);
	}
	g_assert_cmpuint(w.closed, ==, 0);
	world_finish(&w);
}

static void test_bar_replies(void)
{
	struct world w;

	session_init(&w);
	/* Nobody decodes the address: all ones, and the session goes on. */
	g_assert_cmphex(bar_read(&w, 0, 4), ==, UINT64_MAX);
	g_assert_cmphex(bar_write(&w, 0, 0, 4), ==, UINT64_MAX);
	device_enable(&w);
	g_assert_cmphex(bar_read(&w, 0, 4), ==, 0x010000ed);
	g_assert_cmphex(bar_read(&w, 3, 1), ==, 0x01);
	g_assert_cmphex(bar_read(&w, 0, 0), ==, UINT64_MAX);
	g_assert_cmphex(bar_read(&w, 0, 3), ==, UINT64_MAX);
	g_assert_cmphex(bar_read(&w, 0xffffe, 4), ==, UINT64_MAX);
	g_assert_cmphex(bar_write(&w, 0, 0, UINT32_MAX), ==, UINT64_MAX);
	g_assert_cmphex(bar_write(&w, 4, 0x0f0f0f0f, 4), ==, 0);
	g_assert_cmphex(bar_read(&w, 4, 4), ==, 0xf0f0f0f0);
	world_finish(&w);
}

static void test_reset_reply(void)
{
	uint64_t val = 77;
	struct world w;

	session_init(&w);
	device_enable(&w);
	send_fds(&w, MPQ_DEVICE_RESET, NULL, 0, NULL, 0);
	world_settle(&w);
	g_assert_cmpuint(reply(&w, &val), ==, 0);	/* without a value, as QEMU expects */
	g_assert_cmpuint(reply(&w, &val), ==, WORLD_NO_REPLY);
	g_assert_cmphex(cfg_read(&w, PCI_COMMAND, 2), ==, 0);
	g_assert_cmphex(bar_read(&w, 0, 4), ==, UINT64_MAX);
	world_finish(&w);
}

/* A message in pieces: no reply before it is whole, and no event while nothing comes. */
static void test_pieces(void)
{
	struct {
		struct mpq_header h;
		struct mpq_cfg cfg;
	} m = { { .cmd = MPQ_PCI_CFGREAD, .size = 12 }, { .len = 2 } };
	const size_t len = sizeof(m.h) + 12;
	uint64_t val;
	struct world w;

	session_init(&w);
	for (size_t cut = 1; cut < len; cut++) {
		must(send(w.peer, &m, cut, 0));
		world_settle(&w);
		g_assert_cmpuint(world_settle(&w), ==, 0);
		g_assert_cmpuint(reply(&w, &val), ==, WORLD_NO_REPLY);
		must(send(w.peer, (char *)&m + cut, len - cut, 0));
		world_settle(&w);
		g_assert_cmpuint(reply(&w, &val), ==, 8);
		g_assert_cmphex(val, ==, 0x1234);
	}
	/* Then whole ones again, several at once. */
	for (unsigned i = 0; i < 3; i++)
		must(send(w.peer, &m, len, 0));
	world_settle(&w);
	for (unsigned i = 0; i < 3; i++)
		g_assert_cmpuint(reply(&w, &val), ==, 8);
	g_assert_cmpuint(reply(&w, &val), ==, WORLD_NO_REPLY);
	world_finish(&w);
}

/* The memory map changes while the peer waits for a reply: one reply, and the new map stands. */
static void test_sync_between(void)
{
	struct mpq_bar bar = { .addr = BAR, .size = 4, .memory = 1 };
	struct mpq_sync_sysmem sync = { .size = { 4096, 4096 }, .gpa = { 0, 8192 } };
	autofd ram = fd_of(MEMFD);
	int fds[2] = { ram, ram };
	uint64_t val;
	struct world w;

	session_init(&w);
	device_enable(&w);
	send_fds(&w, MPQ_SYNC_SYSMEM, &sync, sizeof(sync), fds, 1);
	send_fds(&w, MPQ_BAR_READ, &bar, sizeof(bar), NULL, 0);
	send_fds(&w, MPQ_SYNC_SYSMEM, &sync, sizeof(sync), fds, 2);
	world_settle(&w);
	g_assert_cmpuint(reply(&w, &val), ==, 8);
	g_assert_cmphex(val, ==, 0x010000ed);
	g_assert_cmpuint(reply(&w, &val), ==, WORLD_NO_REPLY);
	g_assert_cmpuint(guestmem_count(w.serve.mem), ==, 2);
	g_assert_cmpuint(guestmem_get(w.serve.mem, 1).gpa, ==, 8192);
	world_finish(&w);
}

/* A peer that asks and does not read: it is not listened to until it reads; nothing is lost. */
static void test_stalled_reader(void)
{
	struct {
		struct mpq_header h;
		struct mpq_cfg cfg;
	} m = { { .cmd = MPQ_PCI_CFGREAD, .size = 12 }, { .len = 2 } };
	uint64_t val, sent = 0, got = 0, last;
	struct world w;

	session_init(&w);
	do {
		last = sent;
		while (send(w.peer, &m, 28, MSG_DONTWAIT) == 28)
			sent++;
		world_settle(&w);
	} while (sent != last);
	g_assert_cmpuint(world_settle(&w), ==, 0);	/* it waits, and does not spin */
	g_assert_cmpuint(w.closed, ==, 0);
	for (unsigned idle = 0; idle < 3; idle++) {
		while (reply(&w, &val) == 8) {
			g_assert_cmphex(val, ==, 0x1234);
			got++;
			idle = 0;
		}
		world_settle(&w);
	}
	g_assert_cmpuint(got, ==, sent);
	g_assert_cmphex(cfg_read(&w, 0, 2), ==, 0x1234);
	world_finish(&w);
}

static void test_stalled_reader_dies(void)
{
	struct {
		struct mpq_header h;
		struct mpq_cfg cfg;
	} m = { { .cmd = MPQ_PCI_CFGREAD, .size = 12 }, { .len = 2 } };
	struct world w;

	session_init(&w);
	do
		world_settle(&w);
	while (send(w.peer, &m, 28, MSG_DONTWAIT) == 28);
	fd_close(&w.peer);
	world_settle(&w);
	g_assert_cmpuint(w.closed, ==, 1);
	world_finish(&w);
}

/* Interrupts */

struct irq {
	int irqfd, resamplefd;
};

/* Blocking eventfds, as QEMU makes them. */
static void irq_set(struct world *w, struct irq *irq)
{
	*irq = (struct irq){ fd_of(EVENT), fd_of(EVENT) };
	send_fds(w, MPQ_SET_IRQFD, NULL, 0, (int[]){ irq->irqfd, irq->resamplefd }, 2);
	world_settle(w);
}

static void irq_close(struct irq *irq)
{
	fd_close(&irq->irqfd);
	fd_close(&irq->resamplefd);
}

static void test_irq(void)
{
	struct irq irq;
	struct world w;

	session_init(&w);
	device_enable(&w);
	irq_set(&w, &irq);
	g_assert_cmpuint(event_take(irq.irqfd), ==, 0);
	bar_write(&w, 0x60, 1, 4);
	g_assert_cmpuint(event_take(irq.irqfd), ==, 1);
	bar_write(&w, 0x60, 2, 4);		/* no edge */
	g_assert_cmpuint(event_take(irq.irqfd), ==, 0);
	/* The guest says EOI, the line is still up: again.  Then it is down: silence. */
	must(eventfd_write(irq.resamplefd, 1));
	world_settle(&w);
	g_assert_cmpuint(event_take(irq.irqfd), ==, 1);
	g_assert_cmpuint(event_take(irq.resamplefd), ==, 0);	/* it was taken */
	bar_write(&w, 0x64, 3, 4);
	must(eventfd_write(irq.resamplefd, 5));
	world_settle(&w);
	g_assert_cmpuint(event_take(irq.irqfd), ==, 0);
	g_assert_cmpuint(world_settle(&w), ==, 0);
	/* Hidden by INTx disable, shown again. */
	cfg_write(&w, PCI_COMMAND, 0x406, 2);
	bar_write(&w, 0x60, 1, 4);
	g_assert_cmpuint(event_take(irq.irqfd), ==, 0);
	cfg_write(&w, PCI_COMMAND, 0x006, 2);
	g_assert_cmpuint(event_take(irq.irqfd), ==, 1);
	irq_close(&irq);
	world_finish(&w);
}

/* A line that is up when the fds come, or when others come in their place. */
static void test_irq_late(void)
{
	struct irq first, second;
	struct world w;
	unsigned fds;

	session_init(&w);
	device_enable(&w);
	bar_write(&w, 0x60, 1, 4);
	irq_set(&w, &first);
	g_assert_cmpuint(event_take(first.irqfd), ==, 1);
	fds = open_fds();
	irq_set(&w, &second);
	g_assert_cmpuint(open_fds(), ==, fds + 2);	/* the first pair is the test's alone now */
	g_assert_cmpuint(event_take(second.irqfd), ==, 1);
	g_assert_cmpuint(event_take(first.irqfd), ==, 0);
	must(eventfd_write(first.resamplefd, 1));
	world_settle(&w);
	g_assert_cmpuint(event_take(second.irqfd), ==, 0);
	g_assert_cmpuint(event_take(first.resamplefd), ==, 1);
	irq_close(&first);
	irq_close(&second);
	world_finish(&w);
}

/* A counter that is full would hold up a writer for good. */
static void test_irq_full(void)
{
	struct irq irq;
	struct world w;

	session_init(&w);
	device_enable(&w);
	irq_set(&w, &irq);
	must(eventfd_write(irq.irqfd, UINT64_MAX - 1));
	g_assert_cmphex(bar_write(&w, 0x60, 1, 4), ==, 0);
	g_assert_cmphex(bar_read(&w, 0x24, 4), ==, 1);
	g_assert_cmpuint(event_take(irq.irqfd), ==, UINT64_MAX - 1);
	irq_close(&irq);
	world_finish(&w);
}

/* While the line is up irqfd is written again and again, and no longer. */
static void test_irq_reraise(void)
{
	struct irq irq;
	struct world w;
	int64_t start;

	session_init(&w);
	device_enable(&w);
	irq_set(&w, &irq);
	bar_write(&w, 0x60, 1, 4);
	start = loop_now();
	g_assert_cmpuint(event_take(irq.irqfd), ==, 1);
	for (unsigned i = 0; i < 2; i++) {
		while (!event_take(irq.irqfd))
			g_assert_cmpint(loop_step(w.loop, 1000), ==, 0);
		g_assert_cmpint(loop_now(), >=, start + (i + 1) * 90 * LOOP_MS);
	}
	bar_write(&w, 0x64, 1, 4);
	g_assert_cmpint(loop_step(w.loop, 150), ==, 0);
	g_assert_cmpuint(world_settle(&w), ==, 0);
	g_assert_cmpuint(event_take(irq.irqfd), ==, 0);
	irq_close(&irq);
	world_finish(&w);
}

/* What looks like an eventfd and is none: found out at its first use, said once. */
static void test_irq_no_eventfd(void)
{
	struct epoll_event ready = { .events = EPOLLIN };
	int event, epoll, ruleset;
	uint64_t rights = 1;	/* LANDLOCK_ACCESS_FS_EXECUTE */
	struct world w;

	session_init(&w);
	event = must(eventfd(1, EFD_CLOEXEC));
	epoll = must(epoll_create1(EPOLL_CLOEXEC));
	must(epoll_ctl(epoll, EPOLL_CTL_ADD, event, &ready));
	send_fds(&w, MPQ_SET_IRQFD, NULL, 0, (int[]){ event, epoll }, 2);
	world_settle(&w);
	g_assert_cmpuint(w.closed, ==, 1);
	g_assert_cmpint(w.end, ==, SERVE_END_PROTOCOL);
	must(close(event));
	must(close(epoll));
	world_finish(&w);

	/* A file without poll counts as always ready, and this one cannot be written. */
	ruleset = syscall(SYS_landlock_create_ruleset, &rights, sizeof(rights), 0);
	if (ruleset < 0) {
		g_test_skip("no landlock: half of this test");
		return;
	}
	session_init(&w);
	device_enable(&w);
	event = must(eventfd(0, EFD_CLOEXEC));
	send_fds(&w, MPQ_SET_IRQFD, NULL, 0, (int[]){ ruleset, event }, 2);
	world_settle(&w);
	g_assert_cmpuint(w.closed, ==, 0);
	send_fds(&w, MPQ_BAR_WRITE, &(struct mpq_bar){ BAR + 0x60, 1, 4, 1 }, 24, NULL, 0);
	world_settle(&w);
	g_assert_cmpuint(w.closed, ==, 1);
	g_assert_cmpint(w.end, ==, SERVE_END_PROTOCOL);
	must(close(event));
	world_finish(&w);
	must(close(ruleset));
}

/* A guest that misbehaves all the time gets one line. */
static void test_guest_errors(void)
{
	char buf[4096];
	struct world w;
	ssize_t n;
	int p[2];

	session_init(&w);
	must(pipe2(p, O_CLOEXEC | O_NONBLOCK));
	log_init(p[1], "p");
	for (unsigned i = 0; i < 1000; i++)
		pci_guest_error(&w.serve.dev, "odd");
	n = must(read(p[0], buf, sizeof(buf) - 1));
	buf[n] = 0;
	g_assert_cmpstr(buf, ==, "p: warning: edu0: guest: odd (1 so far)\n");
	g_assert_cmpuint(w.serve.guest_errors, ==, 1000);
	log_init(STDERR_FILENO, "test-serve");
	must(close(p[0]));
	must(close(p[1]));
	world_finish(&w);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	log_init(STDERR_FILENO, "test-serve");
	g_test_add_func("/serve/violations", test_violations);
	g_test_add_func("/serve/irq-no-eventfd", test_irq_no_eventfd);
	g_test_add_func("/serve/end-inside", test_end_inside);
	g_test_add_func("/serve/end-inside-write", test_end_inside_write);
	g_test_add_func("/serve/end-clean", test_end_clean);
	g_test_add_func("/serve/end-unread", test_end_unread);
	g_test_add_func("/serve/stalled-reader", test_stalled_reader);
	g_test_add_func("/serve/stalled-reader-dies", test_stalled_reader_dies);
	g_test_add_func("/serve/guest-errors", test_guest_errors);
	g_test_add_func("/serve/stop", test_stop);
	g_test_add_func("/serve/pieces", test_pieces);
	g_test_add_func("/serve/sync-between", test_sync_between);
	g_test_add_func("/serve/config-replies", test_config_replies);
	g_test_add_func("/serve/bar-replies", test_bar_replies);
	g_test_add_func("/serve/reset-reply", test_reset_reply);
	g_test_add_func("/serve/irq-full", test_irq_full);
	g_test_add_func("/serve/irq", test_irq);
	g_test_add_func("/serve/irq-late", test_irq_late);
	g_test_add_func("/serve/irq-reraise", test_irq_reraise);
	return g_test_run();
}
