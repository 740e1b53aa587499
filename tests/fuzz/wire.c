/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A session: the teaching device behind a socketpair, and a peer that sends bytes, messages in
 * pieces, file descriptors of all kinds and memory maps, reads or does not, and goes away.  The
 * first byte of an input may turn it around: then a remote does all that to a proxy's connection.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/util.h"
#include "applets/remote/serve.h"
#include "base/fd.h"
#include "devices/edu/edu.h"
#include "fds.h"
#include "fuzz.h"
#include "mem/arena.h"
#include "mem/sigbus.h"

#define MAX_OPS 100
#define MAX_FDS 12
#define BAR 0xfea00000ULL

static struct {
	int fd[KINDS];
	struct pci_state *state;
	struct guestmem_arena *arena;
	/* of one input */
	unsigned fds;			/* open before it */
	struct input *in;
	struct loop *loop;
	struct serve serve;
	struct serve_ops ops;
	int peer;
	unsigned closed;
} w;

static void on_closed(void *opaque, struct serve *serve, enum serve_end end)
{
	w.closed++;
}

static void after_event(void *opaque)
{
	serve_flush(&w.serve);
}

void fuzz_setup(void)
{
	w.state = g_malloc0(PCI_STATE_MAX);
	w.arena = guestmem_arena_create();
	g_assert_nonnull(w.arena);
	g_assert_cmpint(sigbus_guard(w.arena), ==, 0);
	fds_make(w.fd);
	w.ops = (struct serve_ops){ .closed = on_closed };
}

/*
 * Made anew for each input: socket, epoll and guest memory are the kernel's, and what a session
 * leaves in them is a part of what is looked at.
 */
static void session_start(void)
{
	int s[2], small = 4096;		/* bytes, so that a socket is soon full */

	w.fds = open_fds();
	w.closed = 0;
	memset(w.state, 0, edu_class.state_size);
	w.loop = loop_create(-1);
	g_assert_nonnull(w.loop);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s));
	must(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)));
	must(setsockopt(s[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)));
	w.peer = s[0];
	loop_set_hooks(w.loop, NULL, after_event, NULL);
	const struct serve_setup setup = {
		.protocol = &serve_mpqemu, .loop = w.loop, .arena = w.arena, .fd = s[1],
		.cls = &edu_class, .state = w.state, .id = "edu0", .ops = &w.ops,
	};

	g_assert_cmpint(serve_init(&w.serve, &setup), ==, 0);
	g_assert_cmpint(serve_start(&w.serve), ==, 0);
}

static void session_end(void)
{
	int fd = w.serve.conn->fd;

	g_assert_cmpuint(w.closed, <=, 1);
	serve_finish(&w.serve);
	fd_close(&fd);
	fd_close(&w.peer);
	loop_destroy(w.loop);
	g_assert_cmpuint(open_fds(), ==, w.fds);
	/* what the session wrote into its guest */
	fds_restore(w.fd);
	clock_reset();
}

/* ---- the peer ---- */

static void send_piece(const void *bytes, size_t len, const int *fds, unsigned fd_count)
{
	union {
		char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (w.peer < 0 || !len)
		return;
	if (fd_count) {
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, fd_count * sizeof(int));
	}
	/* full, or closed at the other end: the peer's own trouble */
	sendmsg(w.peer, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void step(unsigned passes)
{
	while (passes-- && w.loop)
		g_assert_cmpint(loop_step(w.loop, 0), ==, 0);
}

static void op_bytes(void)
{
	const uint8_t *bytes;
	size_t len = in_take(w.in, in_u8(w.in), &bytes);

	send_piece(bytes, len, NULL, 0);
}

struct message {
	struct mpq_header h;
	union {
		struct mpq_cfg cfg;
		struct mpq_bar bar;
		struct mpq_sync_sysmem sync;
		uint8_t bytes[MPQ_MAX_PAYLOAD];
	} u;
};

static void fill_bar(struct mpq_bar *bar)
{
	uint8_t how = in_u8(w.in);

	bar->addr = BAR + in_u32(w.in) % 0x100100;
	bar->size = how & 0x40 ? how : 1u << (how & 3);
	bar->memory = !(how & 0x80);
	bar->val = in_u64(w.in);
}

static void fill_sync(struct mpq_sync_sysmem *sync)
{
	for (unsigned i = 0; i < MPQ_MAX_REGIONS; i++) {
		uint8_t how = in_u8(w.in);

		sync->gpa[i] = (uint64_t)in_u16(w.in) << (how & 0x80 ? 44 : 12);
		sync->size[i] = (uint64_t)(1 + (how & 7)) * PAGE;
		sync->offset[i] = (int64_t)(how >> 3 & 3) * PAGE;
		if (how & 0x40)
			sync->size[i] = in_u64(w.in);
		if (how & 0x20)
			sync->offset[i] = in_u64(w.in);
		if (i + 1 >= (how & 7))
			break;
	}
}

/* A message with the right size, unless bit 7 of @how has another put in its header. */
static size_t read_message(struct message *m, uint8_t how)
{
	const struct mpq_rule *rule;

	*m = (struct message){ .h.cmd = how & 7 };
	rule = mpq_rule(m->h.cmd);
	m->h.size = rule->size_max;
	if (m->h.cmd == MPQ_BAR_READ || m->h.cmd == MPQ_BAR_WRITE) {
		fill_bar(&m->u.bar);
	} else if (m->h.cmd == MPQ_SYNC_SYSMEM) {
		fill_sync(&m->u.sync);
	} else if (rule->size_max == sizeof(m->u.cfg)) {
		m->u.cfg.addr = in_u16(w.in);
		m->u.cfg.val = in_u32(w.in);
		m->u.cfg.len = (int8_t)in_u8(w.in);
	}
	if (how & 0x80)
		m->h.size = in_u64(w.in);
	return sizeof(m->h) + rule->size_max;
}

static unsigned read_fds(int *fds, uint8_t cmd)
{
	uint8_t how = in_u8(w.in);
	unsigned count = how % (MAX_FDS + 1);

	for (unsigned i = 0; i < count; i++)
		fds[i] = w.fd[in_u8(w.in) % KINDS];
	if (!(how & 0x80))
		return count;
	/* what the message takes, as QEMU would send it */
	count = mpq_rule(cmd)->fd_min;
	for (unsigned i = 0; i < count; i++)
		fds[i] = w.fd[cmd == MPQ_SET_IRQFD ? EVENT : RAM];
	return count;
}

/* A message whole, or in two pieces with the device at work in between. */
static void op_message(void)
{
	uint8_t how = in_u8(w.in);
	struct message m;
	size_t len = read_message(&m, how), cut = len;
	unsigned count = 0;
	int fds[MAX_FDS];

	if (how & 0x40)
		count = read_fds(fds, how & 7);
	if (how & 0x20)
		cut = in_u8(w.in) % len;
	send_piece(&m, cut, fds, count);
	if (cut < len && how & 0x10)
		step(2);
	send_piece((uint8_t *)&m + cut, len - cut, cut ? NULL : fds, cut ? 0 : count);
	if (how & 0x08)
		step(2);
}

/* The device's BAR placed and enabled, its guest mapped, its interrupt wired. */
static void op_firmware(void)
{
	bool fragile = in_u8(w.in) & 1;
	struct message place = {
		.h = { .cmd = MPQ_PCI_CFGWRITE, .size = sizeof(place.u.cfg) },
		.u.cfg = { .addr = PCI_BASE_ADDRESS_0, .val = BAR, .len = 4 },
	}, map = {
		.h = { .cmd = MPQ_SYNC_SYSMEM, .size = sizeof(map.u.sync) },
		.u.sync.size = { (fragile ? FRAGILE_PAGES : RAM_PAGES) * PAGE },
	}, irq = { .h.cmd = MPQ_SET_IRQFD };
	int events[] = { w.fd[EVENT], w.fd[EVENT] };

	send_piece(&place, sizeof(place.h) + sizeof(place.u.cfg), NULL, 0);
	place.u.cfg = (struct mpq_cfg){ .addr = PCI_COMMAND, .val = 7, .len = 2 };
	send_piece(&place, sizeof(place.h) + sizeof(place.u.cfg), NULL, 0);
	send_piece(&map, sizeof(map.h) + sizeof(map.u.sync), &w.fd[fragile ? FRAGILE : RAM], 1);
	send_piece(&irq, sizeof(irq.h), events, 2);
	step(5);
}

static void op_step(void)
{
	step(1 + in_u8(w.in) % 16);
}

static void op_read(void)
{
	uint8_t buf[512];

	if (w.peer >= 0)
		recv(w.peer, buf, 1 + in_u16(w.in) % sizeof(buf), MSG_DONTWAIT);
}

static void op_time(void)
{
	clock_advance((int64_t)(1 + in_u8(w.in)) << 20);
	step(1);
}

/* RAM that goes away while it is mapped, and comes back. */
static void op_truncate(void)
{
	fds_truncate(w.fd, in_u8(w.in) % (FRAGILE_PAGES + 1));
}

/* KVM's side of the eventfds, and a peer that reads what is not its own. */
static void op_event(void)
{
	uint64_t val = in_u8(w.in);

	if (val & 1)
		val = UINT64_MAX - 1;
	fcntl(w.fd[EVENT], F_SETFL, O_NONBLOCK);
	if (val & 2 ? read(w.fd[EVENT], &val, sizeof(val)) < 0 :
		      write(w.fd[EVENT], &val, sizeof(val)) < 0)
		step(1);
	fcntl(w.fd[EVENT], F_SETFL, 0);
}

static void op_end(void)
{
	uint8_t how = in_u8(w.in) & 3;

	if (w.peer < 0)
		return;
	if (how < 3)
		shutdown(w.peer, how == 0 ? SHUT_WR : how == 1 ? SHUT_RD : SHUT_RDWR);
	else
		fd_close(&w.peer);
	step(2);
}

/* Requests of which no reply is read, until the socket takes no more. */
static void op_stall(void)
{
	struct message m = { .h = { .cmd = MPQ_PCI_CFGREAD, .size = sizeof(m.u.cfg) } };

	for (unsigned i = 0; i < 40; i++) {
		send_piece(&m, sizeof(m.h) + sizeof(m.u.cfg), NULL, 0);
		step(1);
	}
}

static void run_ops(void)
{
	static void (*const ops[])(void) = {
		op_bytes, op_message, op_message, op_firmware, op_step, op_read, op_time, op_event,
		op_end, op_stall, op_truncate,
	};

	for (unsigned i = 0; i < MAX_OPS && w.in->left; i++)
		ops[in_u8(w.in) % G_N_ELEMENTS(ops)]();
}

/* ---- the other way round ---- */

/* Takes what has come; returns false when the connection is of no more use. */
static bool proxy_take(struct mpq_conn *conn)
{
	struct mpq_msg msg;
	int ret = mpq_peek(conn, &msg);

	if (ret == -EAGAIN || ret == -EINPROGRESS)
		return true;
	if (!ret)
		ret = mpq_consume(conn, &msg);
	if (ret)
		return false;
	g_assert_cmpint(msg.cmd, ==, MPQ_RET);
	g_assert_cmpuint(msg.fd_count, ==, 0);
	return true;
}

static void proxy_send(struct mpq_conn *conn)
{
	uint8_t how = in_u8(w.in);
	struct message m;
	int fds[MAX_FDS];
	unsigned count = how & 0x40 ? read_fds(fds, how & 7) : 0;

	read_message(&m, how & 0x7f);
	if (how & 0x20)
		mpq_send(conn, m.h.cmd, &m.u, m.h.size + (how & 0x10 ? in_u8(w.in) : 0));
	else
		mpq_send_fds(conn, m.h.cmd, &m.u, m.h.size, fds, count);
}

static void proxy_flush(struct mpq_conn *conn)
{
	uint8_t sink[4096];

	while (w.peer >= 0 && recv(w.peer, sink, sizeof(sink), MSG_DONTWAIT) > 0)
		;
	conn_flush(&conn->conn);
}

/* Waits never: what is sent is far less than a socket takes. */
static void proxy(void)
{
	struct mpq_conn conn;
	int s[2];

	w.fds = open_fds();
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s));
	mpq_conn_init(&conn, s[1], MPQ_FROM_REMOTE);
	w.peer = s[0];
	w.loop = NULL;
	for (unsigned i = 0; i < MAX_OPS && w.in->left; i++) {
		switch (in_u8(w.in) % 6) {
		case 0:
			op_bytes();
			break;
		case 1:
			op_message();
			break;
		case 2:
			proxy_send(&conn);
			break;
		case 3:
			proxy_flush(&conn);
			break;
		case 4:
			op_end();
			break;
		}
		if (!proxy_take(&conn))
			break;
	}
	fd_close(&w.peer);
	fd_close(&s[1]);
	g_assert_cmpuint(open_fds(), ==, w.fds);
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
	w.in = in;
	if (in_u8(in) & 1) {
		proxy();
		return;
	}
	session_start();
	run_ops();
	step(4);
	session_end();
	drain_event();
}
