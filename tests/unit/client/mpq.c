/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The client over mpqemu: a remote whose answers stand in the socket before it is asked. */

#include <errno.h>
#include <sys/socket.h>

#include <glib.h>

#include "base/fd.h"
#include "client/client.h"
#include "../util.h"

#define RAM 4096
#define SHORT_MS 10
#define LONG_MS 60000

struct remote {
	int fd;
	struct client client;
};

static void start_flags(struct remote *r, int timeout_ms, int flags)
{
	static uint8_t drop[1024];
	int pair[2];

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0, pair), ==, 0);
	r->fd = pair[1];
	g_assert_cmpint(client_init(&r->client, CLIENT_MPQEMU, pair[0], RAM, timeout_ms), ==, 0);
	while (recv(r->fd, drop, sizeof(drop), MSG_DONTWAIT) > 0)
		continue;
}

static void start(struct remote *r, int timeout_ms)
{
	start_flags(r, timeout_ms, 0);
}

static void finish(struct remote *r)
{
	client_finish(&r->client);
	fd_close(&r->fd);
}

/* @len bytes of a message; -1: all. */
static void say(struct remote *r, int32_t cmd, uint64_t size, uint64_t val, ssize_t len)
{
	struct {
		struct mpq_header h;
		uint64_t val;
	} m = { { .cmd = cmd, .size = size }, val };

	if (len < 0)
		len = sizeof(m.h) + size;
	g_assert_cmpint(send(r->fd, &m, len, 0), ==, len);
}

static void say_ret(struct remote *r, uint64_t val)
{
	say(r, MPQ_RET, 8, val, -1);
}

static const struct row {
	const char *name;
	int32_t cmd;
	uint32_t size;
	int len;
	bool eof;
	int ret;
	const char *why;
} rows[] = {
	{ "ret-of-0", MPQ_RET, 0, -1, false, -EPROTO, "RET with 0 bytes, expected 8" },
	{ "ret-of-4", MPQ_RET, 4, -1, false, -EPROTO, "" },
	{ "a-command", MPQ_PCI_CFGREAD, 8, -1, false, -EPROTO, "" },
	{ "no-command", 99, 8, -1, false, -EPROTO, "" },
	{ "nothing", MPQ_RET, 8, 0, false, -ETIMEDOUT, "the remote does not answer" },
	{ "half", MPQ_RET, 8, 20, false, -ETIMEDOUT, "the remote does not answer" },
	{ "end", MPQ_RET, 8, 0, true, -ENODATA, "the remote closed the connection" },
	{ "end-in-the-middle", MPQ_RET, 8, 20, true, -EPIPE, "the remote closed the connection" },
};

/* @flags: of the client's socket; one that was inherited may be O_NONBLOCK. */
static void hostile(const struct row *row, int flags)
{
	unsigned before = open_fds();
	uint64_t val = 77;
	struct remote r;
	int ret;

	start_flags(&r, row->ret == -ETIMEDOUT ? SHORT_MS : LONG_MS, flags);
	say(&r, row->cmd, row->size, 0, row->len);
	if (row->eof)
		g_assert_cmpint(shutdown(r.fd, SHUT_WR), ==, 0);
	ret = client_cfg_read(&r.client, 0, 4, &val);
	g_test_message("%s", client_why(&r.client, ret));
	g_assert_cmpint(ret, ==, row->ret);
	g_assert_nonnull(strstr(client_why(&r.client, ret), row->why));
	g_assert_cmpint(g_str_has_prefix(client_why(&r.client, ret), "the remote broke the "
					 "protocol: "), ==, ret == -EPROTO);
	g_assert_cmpuint(val, ==, 77);
	finish(&r);
	g_assert_cmpuint(open_fds(), ==, before);
}

static void test_hostile(const void *data)
{
	hostile(data, 0);
	hostile(data, SOCK_NONBLOCK);
}

/* An fd that nobody asked for is closed, and ends the session. */
static void test_fd(void)
{
	for (unsigned i = 0; i < 2; i++) {
		unsigned before = open_fds();
		uint64_t val = 77;
		struct remote r;
		struct mpq_conn mc;

		start_flags(&r, LONG_MS, i ? SOCK_NONBLOCK : 0);
		mpq_conn_init(&mc, r.fd, MPQ_FROM_PROXY);
		g_assert_cmpint(mpq_send_fds(&mc, MPQ_RET, &val, sizeof(val), &r.fd, 1), ==, 0);
		g_assert_cmpint(client_cfg_read(&r.client, 0, 4, &val), ==, -EPROTO);
		g_assert_cmpuint(val, ==, 77);
		finish(&r);
		g_assert_cmpuint(open_fds(), ==, before);
	}
}

/* A reply in single bytes, all there before the question. */
static void test_pieces(void)
{
	struct {
		struct mpq_header h;
		uint64_t val;
	} m = { { .cmd = MPQ_RET, .size = 8 }, 0x1122334455667788 };
	uint64_t val = 0;

	for (unsigned j = 0; j < 2; j++) {
		struct remote r;

		start_flags(&r, LONG_MS, j ? SOCK_NONBLOCK : 0);
		for (unsigned i = 0; i < sizeof(m); i++)
			g_assert_cmpint(send(r.fd, (char *)&m + i, 1, 0), ==, 1);
		say_ret(&r, 5);
		g_assert_cmpint(client_cfg_read(&r.client, 0, 4, &val), ==, 0);
		g_assert_cmphex(val, ==, m.val);
		g_assert_cmpint(client_cfg_read(&r.client, 0, 4, &val), ==, 0);
		g_assert_cmphex(val, ==, 5);
		finish(&r);
	}
}

/* RET of a reset has no payload. */
static void test_reset(void)
{
	struct remote r;

	start(&r, LONG_MS);
	say(&r, MPQ_RET, 0, 0, -1);
	g_assert_cmpint(client_reset(&r.client), ==, 0);
	say_ret(&r, 0);
	g_assert_cmpint(client_reset(&r.client), ==, -EPROTO);
	g_assert_cmpstr(client_why(&r.client, -EPROTO), ==, "the remote broke the protocol: "
			"RET with 8 bytes, expected 0");
	finish(&r);
}

/* What stood in a register, and which of its bits stick. */
static void say_probe(struct remote *r, uint32_t before, uint32_t mask)
{
	say_ret(r, before);
	say_ret(r, 0);
	say_ret(r, mask);
	say_ret(r, 0);
}

static void say_bars(struct remote *r, const uint32_t mask[CLIENT_BARS])
{
	for (unsigned i = 0; i < CLIENT_BARS; i++)
		say_probe(r, 0, mask[i]);
}

/* A 64-bit BAR above 4 GiB, one of 16-bit ports, one of 16 bytes. */
static void test_bars(void)
{
	static const uint32_t mask[CLIENT_BARS] = { 0xc, 0xfffffffe, 0xff01, 0, 0xfffffff0, 0 };
	static const struct client_bar want[CLIENT_BARS] = {
		[0] = { true, false, true, true, 1ULL << 33, 0x123400000000 },
		[2] = { true, true, false, false, 256, 0xc000 },
		[4] = { true, false, false, false, 16, 0 },
	};
	struct remote r;

	start(&r, LONG_MS);
	say_bars(&r, mask);
	say_ret(&r, 0);		/* the command register */
	say_ret(&r, 0xc);
	say_ret(&r, 0x1234);
	say_ret(&r, 0xc001);
	say_ret(&r, 0);
	for (unsigned i = 0; i < CLIENT_BARS; i++) {
		struct client_bar bar;

		g_assert_cmpint(client_probe_bar(&r.client, i, &bar), ==, 0);
		g_assert_cmpint(bar.present, ==, want[i].present);
		g_assert_cmpint(bar.io, ==, want[i].io);
		g_assert_cmpint(bar.is_64bit, ==, want[i].is_64bit);
		g_assert_cmpint(bar.prefetchable, ==, want[i].prefetchable);
		g_assert_cmphex(bar.size, ==, want[i].size);
		g_assert_cmphex(bar.addr, ==, want[i].addr);
	}
	finish(&r);
}

static const uint32_t two_bars[CLIENT_BARS] = { 0xfffff000, 0xffffff01, 0xfff00000, 0, 0, 0 };

/* The next command that was sent, of those with a payload of @size bytes. */
static void heard(struct remote *r, int32_t cmd, void *payload, size_t size)
{
	struct mpq_header h;

	do {
		g_assert_cmpint(recv(r->fd, &h, sizeof(h), MSG_DONTWAIT), ==, sizeof(h));
		g_assert_cmpint(recv(r->fd, payload, h.size, MSG_DONTWAIT), ==, h.size);
	} while (h.cmd != cmd);
	g_assert_cmpuint(h.size, ==, size);
}

/* An access by offset gives the BAR a place behind those that stand, and enables its space once. */
static void test_place(void)
{
	struct mpq_cfg cfg;
	struct mpq_bar bar;
	uint64_t val = 0;
	struct remote r;

	start(&r, LONG_MS);
	say_bars(&r, two_bars);
	say_ret(&r, 4);			/* the command register */
	say_ret(&r, 0x90000000);	/* BAR 0 stands */
	say_ret(&r, 1);
	say_ret(&r, 0);
	say_ret(&r, 0);			/* BAR 2 is placed, */
	say_ret(&r, 0x90100000);	/* looked at, */
	say_ret(&r, 0);			/* enabled, */
	say_ret(&r, 0x55);		/* and read */
	g_assert_cmpint(client_region_read(&r.client, 2, 0x10, 4, &val), ==, 0);
	g_assert_cmphex(val, ==, 0x55);
	say_ret(&r, 0);
	g_assert_cmpint(client_region_write(&r.client, 0, 0x20, 8, 9), ==, 0);
	for (unsigned i = 0; i < 13; i++)	/* 12 of the sizes */
		heard(&r, MPQ_PCI_CFGWRITE, &cfg, sizeof(cfg));
	g_assert_cmphex(cfg.addr, ==, 0x18);
	g_assert_cmphex(cfg.val, ==, 0x90100000);
	heard(&r, MPQ_PCI_CFGWRITE, &cfg, sizeof(cfg));
	g_assert_cmphex(cfg.addr, ==, 4);
	g_assert_cmphex(cfg.val, ==, 6);
	g_assert_cmpint(cfg.len, ==, 2);
	heard(&r, MPQ_BAR_READ, &bar, sizeof(bar));
	g_assert_cmphex(bar.addr, ==, 0x90100010);
	g_assert_cmpuint(bar.memory, ==, 1);
	heard(&r, MPQ_BAR_WRITE, &bar, sizeof(bar));
	g_assert_cmphex(bar.addr, ==, 0x90000020);
	finish(&r);
}

/* A BAR that does not stay where it is put; one that there is no room for. */
static void test_place_fails(void)
{
	static const uint32_t huge[CLIENT_BARS] = { 0x80000000, 0x80000000, 0, 0, 0, 0 };
	uint64_t val = 0;
	struct remote r;

	start(&r, LONG_MS);
	say_bars(&r, two_bars);
	for (unsigned i = 0; i < 6; i++)
		say_ret(&r, 0);
	g_assert_cmpint(client_region_read(&r.client, 0, 0, 4, &val), ==, -EPROTO);
	g_assert_cmpstr(client_why(&r.client, -EPROTO), ==, "BAR0 cannot be placed");
	finish(&r);
	start(&r, LONG_MS);
	say_bars(&r, huge);
	for (unsigned i = 0; i < 3; i++)
		say_ret(&r, 0);
	g_assert_cmpint(client_region_read(&r.client, 0, 0, 4, &val), ==, -ENOSPC);
	finish(&r);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *path = g_strdup_printf("/mpq/%s", rows[i].name);

		g_test_add_data_func(path, &rows[i], test_hostile);
	}
	g_test_add_func("/mpq/fd", test_fd);
	g_test_add_func("/mpq/pieces", test_pieces);
	g_test_add_func("/mpq/reset", test_reset);
	g_test_add_func("/mpq/bars", test_bars);
	g_test_add_func("/mpq/place", test_place);
	g_test_add_func("/mpq/place/fails", test_place_fails);
	return g_test_run();
}
