/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The journal against a process that is gone after any of its steps, and against one that left
 * whatever it liked.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib.h>

#include "base/fd.h"
#include "journal/journal.h"
#include "mem/memfd.h"
#include "../util.h"

#define PAGE_WORD 8		/* where the word stands, bytes */
#define PAGE_ENTRY 16		/* and the entries, 16 bytes each */
#define RING 4096

struct rig {
	int fd, sock, peer;
	uint8_t *map;
	struct journal j;
	uint64_t body;
};

static void rig_up(struct rig *r)
{
	int pair[2];

	*r = (struct rig){ .fd = must(memfd_make("journal", JOURNAL_SIZE)) };
	r->map = memfd_map(r->fd, JOURNAL_SIZE, true);
	g_assert_nonnull(r->map);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair));
	r->sock = pair[0];
	r->peer = pair[1];
	g_assert_cmpint(journal_open(&r->j, r->map, r->fd), ==, 0);
	g_assert_false(r->j.taken_over);
}

static void rig_down(struct rig *r)
{
	munmap(r->map, JOURNAL_SIZE);
	fd_close(&r->fd);
	fd_close(&r->sock);
	fd_close(&r->peer);
}

/* The process is gone: its successor knows nothing but the file and the socket. */
static int succeed(struct rig *r, enum journal_phase *ret_phase, uint32_t *ret_request)
{
	g_assert_cmpint(journal_open(&r->j, r->map, r->fd), ==, 0);
	g_assert_true(r->j.taken_over);
	return journal_take_over(&r->j, ret_phase, ret_request, &r->body, sizeof(r->body));
}

static void reply_put(char text[24], unsigned n)
{
	memset(text, 0, 24);
	g_snprintf(text, 24, "reply %u", n);
}

static void assert_reply(struct rig *r, unsigned n)
{
	char want[24], got[64];

	reply_put(want, n);
	g_assert_cmpint(recv(r->peer, got, sizeof(got), 0), ==, 24);
	g_assert_cmpmem(got, 24, want, 24);
}

static void assert_quiet(struct rig *r)
{
	char byte;

	g_assert_cmpint(recv(r->peer, &byte, 1, 0), ==, -1);
	g_assert_cmpint(errno, ==, EAGAIN);
}

static void commit(struct rig *r, unsigned n)
{
	char text[24];
	uint64_t body = n;

	reply_put(text, n);
	journal_commit(&r->j, 40, text, sizeof(text), &body, sizeof(body));
}

/* Cut after each step, around the ring's end too: every reply comes once, in order. */
static void test_every_step(void)
{
	enum journal_phase phase;
	uint32_t request;
	struct rig r;

	rig_up(&r);
	for (unsigned n = 1; n < 3 * JOURNAL_SIZE / 24; n++) {
		unsigned cut = n % 5;

		commit(&r, n);
		if (cut == 1) {
			g_assert_cmpint(succeed(&r, &phase, &request), ==, 0);
			g_assert_cmpint(phase, ==, JOURNAL_DONE);
			g_assert_cmpuint(request, ==, 40);
		}
		if (cut == 2 && r.j.seek)	/* between the two calls of a wrap */
			g_assert_cmpint(lseek(r.fd, r.j.at, SEEK_SET), ==, r.j.at);
		if (cut == 2)
			g_assert_cmpint(succeed(&r, &phase, &request), ==, 0);
		g_assert_cmpint(journal_send(&r.j, r.sock), ==, 0);
		if (cut == 3) {
			g_assert_cmpint(succeed(&r, &phase, &request), ==, 0);
			g_assert_cmpint(phase, ==, JOURNAL_DONE);
			g_assert_cmpuint(r.j.left, ==, 0);
			g_assert_cmpint(journal_send(&r.j, r.sock), ==, 0);
		}
		journal_idle(&r.j);
		if (cut == 4) {
			g_assert_cmpint(succeed(&r, &phase, &request), ==, 0);
			g_assert_cmpint(phase, ==, JOURNAL_IDLE);
			g_assert_cmpuint(request, ==, 0);
			g_assert_cmpuint(r.body, ==, n);
		}
		assert_reply(&r, n);
		assert_quiet(&r);
		g_assert_cmpuint(journal_sequence(r.j.page), ==, n);
	}
	rig_down(&r);
}

/* Of a reply the socket took a part: the rest goes, and nothing twice. */
static void test_full_socket(void)
{
	enum journal_phase phase;
	char dropped[1024];
	uint32_t request;
	struct rig r;
	int ret = 0;
	unsigned n = 0;

	rig_up(&r);
	while (!ret) {
		commit(&r, ++n);
		ret = journal_send(&r.j, r.sock);
		if (!ret)
			journal_idle(&r.j);
	}
	g_assert_cmpint(ret, ==, -EAGAIN);
	g_assert_cmpint(succeed(&r, &phase, &request), ==, 0);
	g_assert_cmpint(journal_send(&r.j, r.sock), ==, -EAGAIN);
	while (recv(r.peer, dropped, 24, 0) == 24)
		n--;
	g_assert_cmpuint(n, ==, 1);
	g_assert_cmpint(journal_send(&r.j, r.sock), ==, 0);
	g_assert_cmpint(recv(r.peer, dropped, sizeof(dropped), 0), ==, 24);
	fd_close(&r.peer);
	commit(&r, 1);
	g_assert_cmpint(journal_send(&r.j, r.sock), ==, -EPIPE);
	rig_down(&r);
}

/* Messages without a reply move nothing; a body may change between two. */
static void test_no_reply(void)
{
	enum journal_phase phase;
	uint32_t request;
	uint64_t body = 77;
	struct rig r;

	rig_up(&r);
	for (unsigned n = 0; n < 10; n++) {
		journal_commit(&r.j, 208, NULL, 0, NULL, 0);
		g_assert_cmpint(succeed(&r, &phase, &request), ==, 0);
		g_assert_cmpuint(request, ==, 208);
		g_assert_cmpint(journal_send(&r.j, r.sock), ==, 0);
		journal_update(&r.j, &body, sizeof(body));
		g_assert_cmpint(succeed(&r, &phase, &request), ==, 0);
		g_assert_cmpint(phase, ==, JOURNAL_DONE);
		g_assert_cmpuint(r.body, ==, body++);
		journal_idle(&r.j);
	}
	assert_quiet(&r);
	commit(&r, 5);
	g_assert_cmpint(journal_send(&r.j, r.sock), ==, 0);
	assert_reply(&r, 5);
	rig_down(&r);
}

/* Nobody had spoken yet. */
static void test_fresh(void)
{
	enum journal_phase phase;
	uint32_t request;
	struct rig r;

	rig_up(&r);
	g_assert_cmpint(succeed(&r, &phase, &request), ==, 0);
	g_assert_cmpint(phase, ==, JOURNAL_IDLE);
	commit(&r, 1);
	g_assert_cmpint(journal_send(&r.j, r.sock), ==, 0);
	assert_reply(&r, 1);
	rig_down(&r);
}

/* What cannot be is refused, and what can be stays inside of the file. */
static void test_hostile(void)
{
	static const struct {
		unsigned at;
		uint64_t value;
		unsigned size;
	} rows[] = {
		{ 0, 1, 4 }, { 4, 99, 4 }, { PAGE_WORD, 1 << 16 | 2, 8 },
		{ PAGE_WORD, 1 << 16 | 2 << 8, 8 }, { PAGE_WORD, 1 << 16 | 0xffff, 8 },
		{ PAGE_ENTRY + 16, 0, 4 }, { PAGE_ENTRY + 16, RING - 1, 4 },
		{ PAGE_ENTRY + 16, JOURNAL_SIZE - JOURNAL_REPLY + 1, 4 },
		{ PAGE_ENTRY + 16, UINT32_MAX, 4 }, { PAGE_ENTRY + 20, JOURNAL_REPLY + 1, 4 },
		{ PAGE_ENTRY + 20, UINT32_MAX, 4 }, { PAGE_ENTRY + 24, JOURNAL_REQUEST + 1, 4 },
	};
	enum journal_phase phase;
	uint32_t request;

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct rig r;

		g_test_message("row %u", i);
		rig_up(&r);
		commit(&r, 1);
		memcpy(r.map + rows[i].at, &rows[i].value, rows[i].size);
		g_assert_cmpint(succeed(&r, &phase, &request), ==, -EINVAL);
		rig_down(&r);
	}
}

/* Any offset that it left, and any bytes of the page: a few bytes more are sent at the most. */
static void test_hostile_bytes(void)
{
	enum journal_phase phase;
	uint32_t request;
	char got[256];

	for (unsigned i = 0; i < 3000; i++) {
		struct rig r;

		rig_up(&r);
		commit(&r, 1);
		for (unsigned k = 0; k < 3; k++)
			r.map[8 + g_test_rand_int_range(0, 40)] = g_test_rand_int_range(0, 256);
		g_assert_cmpint(lseek(r.fd, g_test_rand_int_range(0, 2 * JOURNAL_SIZE), SEEK_SET),
				>=, 0);
		if (!succeed(&r, &phase, &request)) {
			journal_send(&r.j, r.sock);
			journal_idle(&r.j);
			g_assert_cmpint(recv(r.peer, got, sizeof(got), 0), <=, JOURNAL_REPLY);
			commit(&r, 2);
			g_assert_cmpint(journal_send(&r.j, r.sock), ==, 0);
			assert_reply(&r, 2);
		}
		rig_down(&r);
	}
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/journal/hostile", test_hostile);
	g_test_add_func("/journal/hostile-bytes", test_hostile_bytes);
	g_test_add_func("/journal/every-step", test_every_step);
	g_test_add_func("/journal/full-socket", test_full_socket);
	g_test_add_func("/journal/no-reply", test_no_reply);
	g_test_add_func("/journal/fresh", test_fresh);
	return g_test_run();
}
