/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A vfio-user session that stands: accesses, and what the server asks of guest memory meanwhile. */

#include <errno.h>
#include <inttypes.h>
#include <sys/eventfd.h>

#include "server.h"

static void start(struct server *s)
{
	server_init(s);
	server_start(s, SAY_COUNT, LONG_MS);
}

/* The answer to a read of @size bytes. */
static struct word word_data(uint64_t off, uint32_t region, uint32_t size, const void *data)
{
	struct vfu_region_access a = { off, region, size };
	struct word w = word_make(VFU_REGION_READ, &a, sizeof(a));

	memcpy(w.payload + sizeof(a), data, size);
	w.size += size;
	return w;
}

static void say_data(struct server *s, uint64_t off, uint32_t region, uint32_t size, uint64_t val)
{
	val = htole64(val);
	server_say(s, word_data(off, region, size, &val));
}

/* ---- register and config accesses ---- */

static void test_read(void)
{
	static const uint64_t value = 0x8877665544332211;
	struct server s;

	start(&s);
	for (unsigned size = 1; size <= 8; size *= 2) {
		uint64_t want = size == 8 ? value : value & ((1ULL << (8 * size)) - 1);
		struct vfu_region_access a;
		struct vfu_header h;
		uint64_t val = 0;

		/* the kind of each BAR is asked for once */
		for (unsigned i = 0; size == 1 && i < 3; i++)
			say_data(&s, 0x10 + 8 * i, VFU_REGION_CONFIG, 4, 0);
		say_data(&s, 16, 2, size, value);
		g_assert_cmpint(client_region_read(&s.client, 2, 16, size, &val), ==, 0);
		g_assert_cmphex(val, ==, want);
		for (unsigned i = 0; size == 1 && i < 3; i++)
			server_heard(&s, &a, sizeof(a));
		h = server_heard(&s, &a, sizeof(a));
		g_assert_cmpuint(h.cmd, ==, VFU_REGION_READ);
		g_assert_cmpuint(h.flags, ==, 0);
		g_assert_cmpuint(a.offset, ==, 16);
		g_assert_cmpuint(a.region, ==, 2);
		g_assert_cmpuint(a.count, ==, size);
	}
	server_finish(&s);
}

/* QEMU takes an answer to a write that is a header only, so do we. */
static void test_write(void)
{
	for (unsigned echo = 0; echo < 2; echo++) {
		struct vfu_region_access a = { 0x3c, VFU_REGION_CONFIG, 2 };
		struct {
			struct vfu_region_access a;
			uint16_t data;
		} got;
		struct server s;
		struct vfu_header h;

		start(&s);
		server_say(&s, word_make(VFU_REGION_WRITE, &a, echo ? sizeof(a) : 0));
		g_assert_cmpint(client_cfg_write(&s.client, 0x3c, 0x1234, 2), ==, 0);
		h = server_heard(&s, &got, 18);
		g_assert_cmpuint(h.cmd, ==, VFU_REGION_WRITE);
		g_assert_cmpuint(h.flags, ==, 0);
		g_assert_cmpint(memcmp(&got.a, &a, sizeof(a)), ==, 0);
		g_assert_cmphex(le16toh(got.data), ==, 0x1234);
		server_finish(&s);
	}
}

/* Answers to a config read of 4 bytes at 8 that are not its own, each ends the session. */
static void test_read_hostile(void)
{
	static const uint8_t data[8];
	struct word more = word_data(8, VFU_REGION_CONFIG, 4, data);
	struct word less = more, rows[] = {
		word_data(12, VFU_REGION_CONFIG, 4, data), word_data(8, VFU_REGION_ROM, 4, data),
		word_data(8, VFU_REGION_CONFIG, 2, data), word_data(8, VFU_REGION_CONFIG, 8, data),
		less, more, word_make(VFU_REGION_READ, NULL, 0),
	};

	rows[4].size--;
	rows[5].size++;
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		uint64_t val = 77;
		struct server s;

		start(&s);
		server_say(&s, rows[i]);
		g_assert_cmpint(client_cfg_read(&s.client, 8, 4, &val), ==, -EPROTO);
		g_test_message("%s", client_why(&s.client, -EPROTO));
		g_assert_cmpuint(val, ==, 77);
		server_finish(&s);
	}
}

static void test_write_hostile(void)
{
	const struct vfu_region_access a[2] = { { 4, VFU_REGION_CONFIG, 2 } }, other = { 6, 7, 2 };
	struct word rows[] = {
		word_make(VFU_REGION_WRITE, &other, sizeof(other)),
		word_make(VFU_REGION_WRITE, a, sizeof(a[0]) - 1),
		word_make(VFU_REGION_WRITE, a, sizeof(a[0]) + 1),
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct server s;

		start(&s);
		server_say(&s, rows[i]);
		g_assert_cmpint(client_cfg_write(&s.client, 4, 6, 2), ==, -EPROTO);
		server_finish(&s);
	}
}

/* The session goes on, and the words of an error do not stay. */
static void test_error(void)
{
	struct word w = word_make(VFU_REGION_READ, NULL, 0);
	uint64_t val = 0;
	struct server s;

	start(&s);
	w.h.flags |= VFU_ERROR;
	w.h.error = EIO;
	server_say(&s, w);
	g_assert_cmpint(client_cfg_read(&s.client, 0, 4, &val), ==, -EIO);
	g_assert_cmpstr(client_why(&s.client, -EIO), ==,
			"REGION_READ: the remote answers: Input/output error");
	say_data(&s, 0, VFU_REGION_CONFIG, 4, 5);
	g_assert_cmpint(client_cfg_read(&s.client, 0, 4, &val), ==, 0);
	g_assert_cmpuint(val, ==, 5);
	shutdown(s.fd, SHUT_RDWR);
	g_assert_cmpint(client_cfg_read(&s.client, 0, 4, &val), <, 0);
	g_assert_cmpstr(client_why(&s.client, -EPIPE), ==, "the remote closed the connection");
	server_finish(&s);
}

/* What cannot be is not even asked for. */
static void test_out_of_range(void)
{
	static const struct { uint32_t addr; int32_t len; } config[] = {
		{ 4096, 1 }, { 4095, 2 }, { 4093, 4 }, { UINT32_MAX, 1 }, { 0, 0 }, { 0, 8 },
		{ 0, 3 }, { 0, -1 },
	};
	static const struct { unsigned bar; uint64_t off; uint32_t size; } region[] = {
		{ 1, 0, 4 }, { 6, 0, 4 }, { 7, 0, 4 }, { UINT32_MAX, 0, 4 }, { 0, 1 << 20, 1 },
		{ 0, (1 << 20) - 3, 4 }, { 0, UINT64_MAX, 8 }, { 0, 0, 0 }, { 0, 0, 3 },
		{ 0, 0, 16 },
	};
	struct vfu_region_access a;
	uint64_t val = 77;
	struct server s;

	start(&s);
	for (unsigned i = 0; i < G_N_ELEMENTS(config); i++) {
		g_assert_cmpint(client_cfg_read(&s.client, config[i].addr, config[i].len, &val),
				==, -EINVAL);
		g_assert_cmpint(client_cfg_write(&s.client, config[i].addr, 0, config[i].len),
				==, -EINVAL);
	}
	for (unsigned i = 0; i < 3; i++)
		say_data(&s, 0x10 + 8 * i, VFU_REGION_CONFIG, 4, 0);
	for (unsigned i = 0; i < G_N_ELEMENTS(region); i++) {
		g_assert_cmpint(client_region_read(&s.client, region[i].bar, region[i].off,
						   region[i].size, &val), ==, -EINVAL);
		g_assert_cmpint(client_region_write(&s.client, region[i].bar, region[i].off,
						    region[i].size, 0), ==, -EINVAL);
	}
	for (unsigned i = 0; i < 3; i++)
		server_heard(&s, &a, sizeof(a));
	server_heard_nothing(&s);
	g_assert_cmpuint(val, ==, 77);
	server_finish(&s);
}

/* ---- the client as a bus ---- */

/* What is asked to find BARs: kinds, the command register, places.  BAR 0 is a 64-bit one. */
static void say_places(struct server *s, bool kinds, uint16_t command)
{
	static const uint32_t bars[6] = { 0xe000000c, 0x1, 0xc0000000, 0, 0xc001, 0 };

	for (unsigned i = 0; kinds && i < 3; i++)
		say_data(s, 0x10 + 8 * i, VFU_REGION_CONFIG, 4, bars[2 * i]);
	say_data(s, 4, VFU_REGION_CONFIG, 2, command);
	for (unsigned i = 0; i < 5; i++)
		if (i != 3)
			say_data(s, 0x10 + 4 * i, VFU_REGION_CONFIG, 4, bars[i]);
}

static void test_bus(void)
{
	static const struct {
		bool memory;
		uint64_t addr;
		uint32_t size, region;		/* region 9: nobody answers */
		uint64_t off;
	} rows[] = {
		{ true, 0x1e0000000, 4, 0, 0 }, { true, 0x1e00ffffc, 4, 0, 0xffffc },
		{ true, 0x1e00ffffe, 4, 9, 0 }, { true, 0xe0000000, 4, 9, 0 },
		{ true, 0xc0000ff8, 8, 2, 0xff8 }, { true, 0xbfffffff, 4, 9, 0 },
		{ true, 0xc000, 4, 9, 0 }, { false, 0xc0ff, 1, 4, 0xff },
		{ false, 0xc0ff, 2, 9, 0 }, { false, 0xc0000000, 4, 9, 0 },
		{ true, UINT64_MAX, 8, 9, 0 }, { true, 0, 4, 9, 0 },
	};
	struct server s;

	start(&s);
	say_places(&s, true, 3);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		bool there = rows[i].region < 9;
		uint64_t val = 0;

		if (there)
			say_data(&s, rows[i].off, rows[i].region, rows[i].size, 5);
		g_assert_cmpint(client_bar_read(&s.client, rows[i].memory, rows[i].addr,
						rows[i].size, &val), ==, 0);
		g_assert_cmphex(val, ==, there ? 5 : UINT64_MAX);
		if (!there)
			g_assert_cmpint(client_bar_write(&s.client, rows[i].memory, rows[i].addr,
							 rows[i].size, 0), ==, 0);
	}
	server_finish(&s);
}

/* A write to config space may move or disable them. */
static void test_bus_disabled(void)
{
	uint64_t val = 0;
	struct server s;

	start(&s);
	say_places(&s, true, 3);
	say_data(&s, 0, 2, 4, 5);
	g_assert_cmpint(client_bar_read(&s.client, true, 0xc0000000, 4, &val), ==, 0);
	g_assert_cmpuint(val, ==, 5);
	server_say(&s, word_make(VFU_REGION_WRITE, NULL, 0));
	g_assert_cmpint(client_cfg_write(&s.client, 4, 1, 2), ==, 0);
	say_places(&s, false, 1);
	g_assert_cmpint(client_bar_read(&s.client, true, 0xc0000000, 4, &val), ==, 0);
	g_assert_cmphex(val, ==, UINT64_MAX);
	say_data(&s, 0, 4, 1, 6);
	g_assert_cmpint(client_bar_read(&s.client, false, 0xc000, 1, &val), ==, 0);
	g_assert_cmpuint(val, ==, 6);
	server_finish(&s);
}

static void test_bars(void)
{
	static const struct client_bar want[CLIENT_BARS] = {
		[0] = { true, false, true, true, 1 << 20, 0x1e0000000 },
		[2] = { true, false, false, false, 4096, 0xc0000000 },
		[4] = { true, true, false, false, 256, 0xc000 },
	};
	struct server s;

	start(&s);
	say_places(&s, true, 0);
	for (unsigned i = 0; i < CLIENT_BARS; i++) {
		struct client_bar bar;

		g_assert_cmpint(client_probe_bar(&s.client, i, &bar), ==, 0);
		g_assert_cmpint(bar.present, ==, want[i].present);
		g_assert_cmpint(bar.io, ==, want[i].io);
		g_assert_cmpint(bar.is_64bit, ==, want[i].is_64bit);
		g_assert_cmpint(bar.prefetchable, ==, want[i].prefetchable);
		g_assert_cmpuint(bar.size, ==, want[i].size);
		g_assert_cmphex(bar.addr, ==, want[i].addr);
	}
	server_finish(&s);
}

/* ---- what the server asks ---- */

static const struct ask {
	const char *name;
	unsigned cmd;
	uint32_t flags;
	uint64_t addr, count;
	uint32_t size;			/* of the payload; 0: as it should be */
	uint32_t err;
	bool silent;			/* no reply */
} asks[] = {
	{ "read", VFU_DMA_READ, 0, 0x100, 64, 0, 0, false },
	{ "write", VFU_DMA_WRITE, 0, 0x200, 64, 0, 0, false },
	{ "read-last", VFU_DMA_READ, 0, RAM - 8, 8, 0, 0, false },
	{ "write-last", VFU_DMA_WRITE, 0, RAM - 8, 8, 0, 0, false },
	{ "read-nothing", VFU_DMA_READ, 0, 0, 0, 0, 0, false },
	{ "read-over-the-end", VFU_DMA_READ, 0, RAM - 7, 8, 0, ENODEV, false },
	{ "write-over-the-end", VFU_DMA_WRITE, 0, RAM - 7, 8, 0, ENODEV, false },
	{ "read-beyond", VFU_DMA_READ, 0, 1ULL << 40, 8, 0, ENODEV, false },
	{ "read-wraps", VFU_DMA_READ, 0, UINT64_MAX - 3, 8, 0, ENODEV, false },
	{ "read-too-much", VFU_DMA_READ, 0, 0, (64 << 10) + 1, 0, E2BIG, false },
	{ "read-very-much", VFU_DMA_READ, 0, 8, UINT64_MAX, 0, E2BIG, false },
	{ "write-very-much", VFU_DMA_WRITE, 0, 8, UINT64_MAX, 16, E2BIG, false },
	{ "read-short", VFU_DMA_READ, 0, 0, 8, 15, EINVAL, false },
	{ "read-long", VFU_DMA_READ, 0, 0, 8, 24, EINVAL, false },
	{ "write-short", VFU_DMA_WRITE, 0, 0, 8, 23, EINVAL, false },
	{ "write-long", VFU_DMA_WRITE, 0, 0, 8, 25, EINVAL, false },
	{ "flags", VFU_DMA_READ, VFU_ERROR, 0, 8, 0, EINVAL, false },
	{ "unknown", VFU_GET_INFO, 0, 0, 0, 0, ENOSYS, false },
	{ "far", 999, 0, 0, 0, 0, ENOSYS, false },
	{ "silent-write", VFU_DMA_WRITE, VFU_NO_REPLY, 0x300, 64, 0, 0, true },
	{ "silent-wrong", VFU_DMA_WRITE, VFU_NO_REPLY, RAM, 64, 0, ENODEV, true },
};

static uint8_t pattern(uint64_t at)
{
	return at * 7 + 1;
}

/* The client's RAM holds the pattern; a write brings its complement. */
static void check_ram(const struct client *c, const struct ask *ask)
{
	bool written = ask->cmd == VFU_DMA_WRITE && !ask->err;

	for (uint64_t i = 0; i < RAM; i++) {
		bool inside = written && i >= ask->addr && i - ask->addr < ask->count;

		if (c->mem[i] != (inside ? (uint8_t)~pattern(i) : pattern(i)))
			g_error("%s: byte 0x%" PRIx64, ask->name, i);
	}
}

static void heard_answer(struct server *s, const struct ask *ask, uint16_t id)
{
	uint8_t payload[16 + 64];
	struct vfu_header h = server_heard(s, payload, sizeof(payload));
	bool read = ask->cmd == VFU_DMA_READ;

	g_assert_cmpuint(h.id, ==, id);
	g_assert_cmpuint(h.cmd, ==, ask->cmd);
	g_assert_cmphex(h.flags, ==, ask->err ? VFU_REPLY | VFU_ERROR : VFU_REPLY);
	g_assert_cmpuint(h.error, ==, ask->err);
	g_assert_cmpuint(h.size, ==, ask->err ? 16 : 32 + (read ? ask->count : 0));
	if (ask->err)
		return;
	g_assert_cmpint(memcmp(payload, (uint64_t[]){ ask->addr, ask->count }, 16), ==, 0);
	for (uint64_t i = 0; read && i < ask->count; i++)
		g_assert_cmphex(payload[16 + i], ==, pattern(ask->addr + i));
}

/* In the middle of a config read, which is answered all the same. */
static void test_ask(const void *data)
{
	const struct ask *ask = data;
	uint8_t payload[16 + 64 + 8] = { 0 };
	bool write = ask->cmd == VFU_DMA_WRITE;
	uint32_t size = ask->size ? ask->size : 16 + (write ? ask->count : 0);
	struct vfu_region_access a;
	uint64_t val = 0;
	struct server s;

	start(&s);
	for (uint64_t i = 0; i < RAM; i++)
		s.client.mem[i] = pattern(i);
	memcpy(payload, (uint64_t[]){ ask->addr, ask->count }, 16);
	for (unsigned i = 0; write && i < 64; i++)
		payload[16 + i] = ~pattern(ask->addr + i);
	/* The client's own number is no reason to take it for an answer. */
	server_ask(&s, s.next, ask->cmd, ask->flags, payload, size);
	say_data(&s, 8, VFU_REGION_CONFIG, 4, 0x01020304);
	g_assert_cmpint(client_cfg_read(&s.client, 8, 4, &val), ==, 0);
	g_assert_cmphex(val, ==, 0x01020304);
	check_ram(&s.client, ask);
	server_heard(&s, &a, sizeof(a));
	if (!ask->silent)
		heard_answer(&s, ask, s.next - 1);
	server_heard_nothing(&s);
	server_finish(&s);
}

/* As much as the client says that it takes. */
static void test_ask_most(void)
{
	const size_t len = sizeof(struct vfu_header) + 16 + RAM;
	g_autofree uint8_t *m = g_malloc(len);
	struct vfu_header h = { .id = 5, .cmd = VFU_DMA_WRITE, .size = len };
	struct vfu_region_access a;
	uint64_t val = 0;
	struct server s;

	start(&s);
	memset(m, 0xa5, len);
	memcpy(m, &h, sizeof(h));
	memcpy(m + sizeof(h), (uint64_t[]){ 0, RAM }, 16);
	g_assert_cmpint(send(s.fd, m, len, MSG_DONTWAIT), ==, len);
	say_data(&s, 8, VFU_REGION_CONFIG, 4, 1);
	g_assert_cmpint(client_cfg_read(&s.client, 8, 4, &val), ==, 0);
	server_heard(&s, &a, sizeof(a));
	g_assert_cmphex(server_heard(&s, &a, sizeof(a)).flags, ==, VFU_REPLY);
	for (size_t i = 0; i < RAM; i++)
		g_assert_cmphex(s.client.mem[i], ==, 0xa5);
	server_finish(&s);
}

/* What comes with a request is not ours to keep, and makes it a wrong one. */
static void test_ask_with_fd(void)
{
	struct word w = word_make(VFU_DMA_READ, (uint64_t[]){ 0, 8 }, 16);
	struct vfu_region_access a;
	uint64_t val = 0;
	struct server s;
	unsigned before;

	start(&s);
	before = open_fds();
	w.h.flags = 0;
	w.fd = true;
	server_put(&s, &w, 32);
	say_data(&s, 8, VFU_REGION_CONFIG, 4, 1);
	g_assert_cmpint(client_cfg_read(&s.client, 8, 4, &val), ==, 0);
	server_heard(&s, &a, sizeof(a));
	g_assert_cmpuint(server_heard(&s, NULL, 0).error, ==, EINVAL);
	g_assert_cmpuint(open_fds(), ==, before);
	server_finish(&s);
}

/* A server that asks and asks, or does not read its answers, does not keep the client for ever. */
static void test_ask_for_ever(void)
{
	static const uint64_t all[2] = { 0, RAM };
	uint64_t val = 0;
	struct server s;

	server_init(&s);
	server_start(&s, SAY_COUNT, SHORT_MS);
	for (unsigned i = 0; i < 200; i++)
		server_ask(&s, i, VFU_DMA_READ, 0, all, sizeof(all));
	g_assert_cmpint(client_cfg_read(&s.client, 8, 4, &val), ==, -ETIMEDOUT);
	server_finish(&s);
}

/* Nor when there is always one more message: the time counts, not the silence. */
static void test_ask_in_time(void)
{
	uint64_t val = 0;
	struct server s;

	server_init(&s);
	server_start(&s, SAY_COUNT, 0);
	say_data(&s, 8, VFU_REGION_CONFIG, 4, 1);
	g_assert_cmpint(client_cfg_read(&s.client, 8, 4, &val), ==, -ETIMEDOUT);
	server_finish(&s);
}

/* Neither a command nor a reply. */
static void test_ask_type(void)
{
	uint64_t val = 0;
	struct server s;

	start(&s);
	server_ask(&s, 999, VFU_DMA_READ, 2, (uint64_t[]){ 0, 8 }, 16);
	say_data(&s, 8, VFU_REGION_CONFIG, 4, 1);
	g_assert_cmpint(client_cfg_read(&s.client, 8, 4, &val), ==, -EPROTO);
	server_finish(&s);
}

/* ---- reset and interrupt ---- */

static void test_reset(void)
{
	struct server s;

	start(&s);
	server_say(&s, word_make(VFU_RESET, NULL, 0));
	g_assert_cmpint(client_reset(&s.client), ==, 0);
	g_assert_cmpuint(server_heard(&s, NULL, 0).cmd, ==, VFU_RESET);
	server_say(&s, word_make(VFU_RESET, "x", 1));
	g_assert_cmpint(client_reset(&s.client), ==, -EPROTO);
	server_finish(&s);
}

static void test_eoi(void)
{
	eventfd_t count;
	struct server s;

	start(&s);
	g_assert_cmpint(client_eoi(&s.client), ==, 0);
	g_assert_cmpint(eventfd_read(s.client.resamplefd, &count), ==, 0);
	g_assert_cmpuint(count, ==, 1);
	server_heard_nothing(&s);
	server_finish(&s);
}

/* A server that takes no eventfd for it is told. */
static void test_eoi_by_message(void)
{
	struct vfu_set_irqs set;
	struct server s;

	server_init(&s);
	s.say[SAY_UNMASK].h.flags |= VFU_ERROR;
	s.say[SAY_UNMASK].h.error = EINVAL;
	server_start(&s, SAY_COUNT, LONG_MS);
	server_say(&s, word_make(VFU_SET_IRQS, NULL, 0));
	g_assert_cmpint(client_eoi(&s.client), ==, 0);
	g_assert_cmpuint(server_heard(&s, &set, sizeof(set)).cmd, ==, VFU_SET_IRQS);
	g_assert_cmphex(set.flags, ==, VFU_DATA_NONE | VFU_ACTION_UNMASK);
	g_assert_cmpuint(set.index | set.start, ==, 0);
	g_assert_cmpuint(set.count, ==, 1);
	server_finish(&s);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vfu/read/hostile", test_read_hostile);
	g_test_add_func("/vfu/write/hostile", test_write_hostile);
	g_test_add_func("/vfu/out-of-range", test_out_of_range);
	g_test_add_func("/vfu/error", test_error);
	g_test_add_func("/vfu/read", test_read);
	g_test_add_func("/vfu/write", test_write);
	g_test_add_func("/vfu/bars", test_bars);
	g_test_add_func("/vfu/bus", test_bus);
	g_test_add_func("/vfu/bus/disabled", test_bus_disabled);
	for (unsigned i = 0; i < G_N_ELEMENTS(asks); i++) {
		g_autofree char *path = g_strdup_printf("/vfu/ask/%s", asks[i].name);

		g_test_add_data_func(path, &asks[i], test_ask);
	}
	g_test_add_func("/vfu/ask-most", test_ask_most);
	g_test_add_func("/vfu/ask-with-fd", test_ask_with_fd);
	g_test_add_func("/vfu/ask-for-ever", test_ask_for_ever);
	g_test_add_func("/vfu/ask-in-time", test_ask_in_time);
	g_test_add_func("/vfu/ask-type", test_ask_type);
	g_test_add_func("/vfu/reset", test_reset);
	g_test_add_func("/vfu/eoi", test_eoi);
	g_test_add_func("/vfu/eoi/by-message", test_eoi_by_message);
	return g_test_run();
}
