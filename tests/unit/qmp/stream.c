/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON texts over a socket: first a peer that does what it should not. */
#include "qmp/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../sock.h"
#include "../util.h"
#include "base/fd.h"
#include "rig.h"

static const struct qmp_bounds bounds = { .in = 4096, .out = 8192 };

struct world {
	struct qmp_stream s;
	int peer;
	unsigned fds;
};

static void world_up(struct world *w)
{
	int theirs;

	w->fds = open_fds();
	pair(&w->peer, &theirs);
	qmp_stream_init(&w->s, theirs, &bounds);
}

static void world_down(struct world *w)
{
	fd_close(&w->peer);
	qmp_stream_finish(&w->s);
	qmp_stream_finish(&w->s);
	g_assert_cmpuint(open_fds(), ==, w->fds);
}

/* Takes in all that is there, and says how the next text is. */
static int next(struct world *w, json_t **ret)
{
	while (!qmp_stream_receive(&w->s))
		;
	return qmp_stream_next(&w->s, ret);
}

/* ---- Hostile ---- */

static const struct {
	const char *text;
	int want;
	const char *why;
} hostile[] = {
	{ "hello\n", -EBADMSG, "invalid token" },
	{ "'x'\n", -EBADMSG, "invalid token" },
	{ "{'a': 1}", -EBADMSG, "string or '}' expected" },
	{ "{]", -EBADMSG, "string or '}' expected" },
	{ "[1,]", -EBADMSG, "unexpected token" },
	{ "{\"a\": 1, \"a\": 2}", -EBADMSG, "duplicate object key" },
	{ "{\"a\": 01}", -EBADMSG, "invalid token" },
	{ "{\"a\": 99999999999999999999}", -EBADMSG, "too big integer" },
	{ "{\"a\": 1e9999}", -EBADMSG, "real number overflow" },
	{ "{\"a\": nan}", -EBADMSG, "invalid token" },
	{ "{\"\xff\": 1}", -EBADMSG, "unable to decode byte 0xff" },
	{ "{\"\xc0\x80\": 1}", -EBADMSG, "unable to decode byte" },
	{ "{\"\xed\xa0\x80\": 1}", -EBADMSG, "unable to decode byte" },
	{ "{\"\\ud800\": 1}", -EBADMSG, "invalid Unicode" },
	{ "{\"\\u0000\": 1}", -EBADMSG, "NUL byte in object key" },
	{ "[\"\\u0000\"]", -EBADMSG, "\\u0000 is not allowed" },
	{ "{\"\\x\": 1}", -EBADMSG, "invalid escape" },
	{ "{\"a\nb\": 1}\n", -EBADMSG, "unexpected newline" },
	{ "{\"a\tb\": 1}\n", -EBADMSG, "control character" },
	{ "}\n", -EBADMSG, "" },
	{ "]]]]\n", -EBADMSG, "" },
	{ "1 2\n", -EBADMSG, "end of file expected" },
	{ "\xef\xbb\xbf{}\n", -EBADMSG, "" },
	{ "nul\n", -EBADMSG, "invalid token" },
};

/* Each is one error with a reason, and what follows is heard. */
static void test_hostile(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(hostile); i++) {
		struct world w;
		json_t *value;

		g_test_message("row %u", i);
		world_up(&w);
		says(w.peer, hostile[i].text);
		g_assert_cmpint(next(&w, &value), ==, hostile[i].want);
		if (!strstr(w.s.why, hostile[i].why))
			g_error("row %u: no \"%s\" in \"%s\"", i, hostile[i].why, w.s.why);
		says(w.peer, "\n{\"good\": 1}");
		while (next(&w, &value))
			g_assert_true(qmp_stream_holds(&w.s));
		g_assert_true(json_object_get(value, "good"));
		json_decref(value);
		g_assert_cmpint(next(&w, &value), ==, -EAGAIN);
		world_down(&w);
	}
}

static void test_zeros(void)
{
	static const char text[] = "\0\0\0\n{\"a\0b\": 1}\n{\"c\": \0 1}[]";
	static const int want[] = { -EBADMSG, -EBADMSG, -EBADMSG, 0, -EAGAIN };
	struct world w;
	json_t *value = NULL;

	world_up(&w);
	must(send(w.peer, text, sizeof(text) - 1, 0));
	for (unsigned i = 0; i < G_N_ELEMENTS(want); i++)
		g_assert_cmpint(next(&w, &value), ==, want[i]);
	json_decref(value);
	world_down(&w);
}

/* A text of @len bytes that is good but for its length. */
static char *long_text(size_t len)
{
	char *text = g_malloc(len + 1);

	memset(text, ' ', len);
	text[0] = '[';
	text[len - 1] = ']';
	text[len] = '\0';
	return text;
}

static void test_length(void)
{
	g_autofree char *fits = long_text(bounds.in), *over = long_text(bounds.in + 1);
	struct world w;
	json_t *value;

	world_up(&w);
	for (unsigned i = 0; i < 3; i++) {
		says(w.peer, fits);
		g_assert_cmpint(next(&w, &value), ==, 0);
		json_decref(value);
	}
	says(w.peer, "\n\n");
	says(w.peer, over);
	g_assert_cmpint(next(&w, &value), ==, -EAGAIN);
	g_assert_cmpint(next(&w, &value), ==, -EMSGSIZE);
	g_assert_cmpstr(w.s.why, ==, "it is longer than 4096 bytes");
	world_down(&w);
}

/* Blank lines are no text, however many. */
static void test_blank(void)
{
	g_autofree char *blank = g_strnfill(3 * bounds.in, '\n');
	struct world w;
	json_t *value;

	world_up(&w);
	says(w.peer, blank);
	for (unsigned i = 0; i < 8; i++)
		g_assert_cmpint(next(&w, &value), ==, -EAGAIN);
	says(w.peer, "{}");
	g_assert_cmpint(next(&w, &value), ==, 0);
	json_decref(value);
	world_down(&w);
}

static void test_depth(void)
{
	g_autofree char *deep = g_strnfill(QMP_DEPTH, '['), *ends = g_strnfill(QMP_DEPTH, ']');
	struct world w;
	json_t *value;

	world_up(&w);
	says(w.peer, deep);
	g_assert_cmpint(next(&w, &value), ==, -EAGAIN);
	says(w.peer, ends);
	g_assert_cmpint(next(&w, &value), ==, 0);
	json_decref(value);
	says(w.peer, deep);
	says(w.peer, "{");
	g_assert_cmpint(next(&w, &value), ==, -EMSGSIZE);
	g_assert_cmpstr(w.s.why, ==, "it is nested deeper than 128 brackets");
	world_down(&w);
}

/* Brackets in strings are none. */
static void test_strings(void)
{
	struct world w;
	json_t *value;

	world_up(&w);
	says(w.peer, "{\"a}\\\"{[\": \"\\\\\"}");
	g_assert_cmpint(next(&w, &value), ==, 0);
	g_assert_cmpstr(json_string_value(json_object_get(value, "a}\"{[")), ==, "\\");
	json_decref(value);
	world_down(&w);
}

static void test_ends(void)
{
	static const struct { const char *text; int want; } rows[] = {
		{ "", -ENODATA }, { " \r\n", -ENODATA }, { "{}", -ENODATA }, { "{}{", -EPIPE },
		{ "1", -EPIPE }, { "{\"a", -EPIPE },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct world w;
		json_t *value;
		int ret;

		world_up(&w);
		says(w.peer, rows[i].text);
		must(shutdown(w.peer, SHUT_WR));
		while (!(ret = qmp_stream_receive(&w.s)))
			while (!qmp_stream_next(&w.s, &value))
				json_decref(value);
		g_assert_cmpint(ret, ==, rows[i].want);
		world_down(&w);
	}
}

/* ---- Ordinary ---- */

static void test_by_bytes(void)
{
	static const char text[] = " {\"a\": \"\xc3\xa4\",\r\n \"b\": [1, {}]}\r\n[]";
	struct world w;
	json_t *value;

	world_up(&w);
	for (unsigned i = 0; text[i]; i++) {
		int ret;

		must(send(w.peer, text + i, 1, 0));
		ret = next(&w, &value);
		g_assert_cmpint(ret, ==, text[i] == ']' && text[i + 1] != '\0' ? -EAGAIN :
				text[i] == '}' && text[i + 1] == '\r' ? 0 :
				text[i + 1] ? -EAGAIN : 0);
		if (!ret)
			json_decref(value);
	}
	world_down(&w);
}

static void test_hundred_at_once(void)
{
	g_autoptr(GString) all = g_string_new(NULL);
	struct world w;
	json_t *value;

	for (unsigned i = 0; i < 100; i++)
		g_string_append_printf(all, "{\"n\": %u}%s", i, i % 3 ? "" : "\n");
	world_up(&w);
	says(w.peer, all->str);
	for (unsigned i = 0; i < 100; i++) {
		g_assert_cmpint(next(&w, &value), ==, 0);
		g_assert_cmpint(json_integer_value(json_object_get(value, "n")), ==, i);
		json_decref(value);
	}
	g_assert_cmpint(next(&w, &value), ==, -EAGAIN);
	world_down(&w);
}

/* ---- Out ---- */

static void test_never_reads(void)
{
	g_autofree char *text = g_strnfill(1000, 'x');
	json_t *msg = json_pack("{s:s}", "a", text);
	struct world w;
	unsigned sent = 0;

	world_up(&w);
	while (!qmp_stream_send(&w.s, msg, -1))
		g_assert_cmpuint(++sent, <, 10000);
	g_assert_cmpint(qmp_stream_send(&w.s, msg, -1), ==, -ENOBUFS);
	g_assert_cmpuint(qmp_stream_pending(&w.s), <=, bounds.out);
	/* All that was taken arrives, whole. */
	for (;;) {
		const char *heard = hears(w.peer);

		for (; *heard; heard++)
			sent -= *heard == '\n';
		if (!qmp_stream_flush(&w.s) && !sent)
			break;
	}
	fd_close(&w.peer);
	g_assert_cmpint(qmp_stream_send(&w.s, msg, -1), ==, -EPIPE);
	json_decref(msg);
	world_down(&w);
}

static void test_is_no_json(void)
{
	json_t *msg = json_real(1);
	struct world w;

	world_up(&w);
	g_assert_cmpint(qmp_stream_send(&w.s, msg, must(dup(0))), ==, -EINVAL);
	json_decref(msg);
	world_down(&w);
}

/* ---- fds ---- */

static void test_fds_not_wanted(void)
{
	int fds[3] = { 0, 0, 0 };
	struct world w;
	unsigned before;
	json_t *value;

	world_up(&w);
	before = open_fds();
	must(sock_send(w.peer, "{}", 2, fds, 3, 0));
	g_assert_cmpint(next(&w, &value), ==, 0);
	json_decref(value);
	g_assert_cmpint(qmp_stream_take_fd(&w.s), ==, -1);
	g_assert_cmpuint(open_fds(), ==, before);
	world_down(&w);
}

static void test_fds(void)
{
	int fds[3] = { 0, 0, 0 };
	struct world w;
	unsigned before;
	json_t *value;
	autofd fd = -1;

	world_up(&w);
	w.s.takes_fds = true;
	before = open_fds();
	for (unsigned i = 1; i < 10; i++) {
		must(sock_send(w.peer, " ", 1, fds, 1, 0));
		g_assert_cmpint(qmp_stream_receive(&w.s), ==, 0);
		g_assert_cmpuint(open_fds(), ==, before + MIN(i, QMP_PASSED));
		g_assert_cmpuint(w.s.unwanted, ==, i - MIN(i, QMP_PASSED));
	}
	/* None came with a text yet; then the last one alone is of use. */
	g_assert_cmpint(qmp_stream_take_fd(&w.s), ==, -1);
	says(w.peer, "{}");
	g_assert_cmpint(next(&w, &value), ==, 0);
	json_decref(value);
	fd = qmp_stream_take_fd(&w.s);
	g_assert_cmpint(fcntl(fd, F_GETFD), ==, FD_CLOEXEC);
	g_assert_cmpint(qmp_stream_take_fd(&w.s), ==, -1);
	g_assert_cmpuint(open_fds(), ==, before + 1);
	must(sock_send(w.peer, " ", 1, fds, 3, 0));
	g_assert_cmpint(qmp_stream_receive(&w.s), ==, -EBADMSG);
	g_assert_cmpuint(open_fds(), ==, before + 1);
	fd_close(&fd);
	world_down(&w);
}

/* The line's end that is sent along is not the next text's, and neither is the fd. */
static void test_fd_of_a_line(void)
{
	struct world w;
	json_t *value;
	autofd fd = -1;
	int zero = 0;

	world_up(&w);
	w.s.takes_fds = true;
	must(sock_send(w.peer, "{} \r\n", 5, &zero, 1, 0));
	g_assert_cmpint(next(&w, &value), ==, 0);
	json_decref(value);
	fd = qmp_stream_take_fd(&w.s);
	g_assert_cmpint(fd, >=, 0);
	fd_close(&fd);
	world_down(&w);
}

/* A fd goes with the first byte of its message, also when that waits for room. */
static void test_passes(void)
{
	g_autofree char *text = g_strnfill(6000, 'x');
	json_t *filler = json_pack("{s:s}", "a", text), *msg = json_pack("{s:i}", "b", 1);
	struct qmp_stream other;
	unsigned got = 0, sent = 0;
	struct world w;
	json_t *value;

	world_up(&w);
	while (!qmp_stream_pending(&w.s))
		g_assert_cmpint(qmp_stream_send(&w.s, filler, -1), ==, 0);
	for (; sent < QMP_PASSED; sent++)
		g_assert_cmpint(qmp_stream_send(&w.s, msg, must(dup(0))), ==, 0);
	g_assert_cmpint(qmp_stream_send(&w.s, msg, must(dup(0))), ==, -EBUSY);
	qmp_stream_init(&other, fd_steal(&w.peer), &(struct qmp_bounds){ 16384, 1 });
	other.takes_fds = true;
	while (got < sent) {
		qmp_stream_receive(&other);
		while (!qmp_stream_next(&other, &value)) {
			bool wanted = json_object_get(value, "b");
			int fd = qmp_stream_take_fd(&other);

			g_assert_true(wanted == (fd >= 0));
			got += fd >= 0;
			fd_close(&fd);
			json_decref(value);
		}
		qmp_stream_flush(&w.s);
	}
	json_decref(filler);
	json_decref(msg);
	qmp_stream_finish(&other);
	world_down(&w);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/qmp-stream/hostile", test_hostile);
	g_test_add_func("/qmp-stream/hostile/zeros", test_zeros);
	g_test_add_func("/qmp-stream/hostile/length", test_length);
	g_test_add_func("/qmp-stream/hostile/blank", test_blank);
	g_test_add_func("/qmp-stream/hostile/depth", test_depth);
	g_test_add_func("/qmp-stream/hostile/ends", test_ends);
	g_test_add_func("/qmp-stream/hostile/never-reads", test_never_reads);
	g_test_add_func("/qmp-stream/hostile/fds-not-wanted", test_fds_not_wanted);
	g_test_add_func("/qmp-stream/hostile/fds", test_fds);
	g_test_add_func("/qmp-stream/hostile/fd-of-a-line", test_fd_of_a_line);
	g_test_add_func("/qmp-stream/strings", test_strings);
	g_test_add_func("/qmp-stream/by-bytes", test_by_bytes);
	g_test_add_func("/qmp-stream/hundred-at-once", test_hundred_at_once);
	g_test_add_func("/qmp-stream/is-no-json", test_is_no_json);
	g_test_add_func("/qmp-stream/passes", test_passes);
	return g_test_run();
}
