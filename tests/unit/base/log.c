/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log writer: one write a line, cut, without control characters, lost lines counted. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <glib.h>

#include "base/fd.h"
#include "base/log.h"
#include "../util.h"

#define LINE_MAX_BYTES 1023	/* as log.h says */

static int log_pipe[2];
static struct timespec fake_now = { .tv_sec = -1 };

/* Stands before libc's: the instant that a test has set, else the real time. */
int clock_gettime(clockid_t clock, struct timespec *ret)
{
	if (clock != CLOCK_REALTIME || fake_now.tv_sec < 0)
		return syscall(SYS_clock_gettime, clock, ret);
	*ret = fake_now;
	return 0;
}

static void log_to_pipe(const char *prog)
{
	must(pipe2(log_pipe, O_NONBLOCK | O_CLOEXEC));
	log_init(log_pipe[1], prog);
	log_set_level(LOG_LEVEL_INFO);
	log_set_timestamp(false);
}

static void log_pipe_close(void)
{
	must(close(log_pipe[0]));
	must(close(log_pipe[1]));
	log_init(STDERR_FILENO, "test");
}

/* All that has been written since the last look. */
static const char *logged(char buf[4096])
{
	ssize_t n = read(log_pipe[0], buf, 4095);

	buf[n > 0 ? n : 0] = 0;
	return buf;
}

static void test_cut(void)
{
	static const struct {
		unsigned text, line;
		enum log_level level;
	} rows[] = {
		{ 1 << 20, LINE_MAX_BYTES, LOG_LEVEL_ERROR },
		{ 1021, LINE_MAX_BYTES, LOG_LEVEL_ERROR },
		{ 1020, LINE_MAX_BYTES, LOG_LEVEL_ERROR },
		{ 1019, 1023, LOG_LEVEL_ERROR },	/* the last that fits */
		{ 1018, 1022, LOG_LEVEL_ERROR },
		{ 1011, LINE_MAX_BYTES, LOG_LEVEL_WARNING },
		{ 1010, 1023, LOG_LEVEL_WARNING },
		{ 0, 4, LOG_LEVEL_ERROR },
	};
	g_autofree char *text = g_malloc((1 << 20) + 1);
	char buf[4096];

	log_to_pipe("p");
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		memset(text, 'x', rows[i].text);
		text[rows[i].text] = 0;
		log_line(rows[i].level, "%s", text);
		logged(buf);
		g_test_message("row %u", i);
		g_assert_cmpuint(strlen(buf), ==, rows[i].line);
		g_assert_cmpint(buf[rows[i].line - 1], ==, '\n');
	}
	g_assert_cmpuint(log_lost(), ==, 0);
	log_pipe_close();
}

static void test_prog_cut(void)
{
	g_autofree char *prog = g_strnfill(100, 'n'), *want = g_strnfill(63, 'n');
	g_autofree char *line = g_strdup_printf("%s: hello\n", want);
	char buf[4096];

	log_to_pipe(prog);
	log_error("hello");
	g_assert_cmpstr(logged(buf), ==, line);
	log_pipe_close();
}

static void test_control_characters(void)
{
	static const struct {
		const char *text, *line;
	} rows[] = {
		{ "two\nlines", "p: two?lines\n" },
		{ "\033[2Jclear", "p: ?[2Jclear\n" },
		{ "\r\t\b\a\v\f", "p: ??????\n" },
		{ "\x7f\x01\x1f", "p: ???\n" },
		{ "end\n", "p: end?\n" },
		{ "caf\xc3\xa9 ~ ", "p: caf\xc3\xa9 ~ \n" },
		{ "\xc2\x9b" "31m \xc2\x9d", "p: ??31m ??\n" },	/* CSI, OSC */
		{ "\xc2\x80\xc2\x9f", "p: ????\n" },	/* the first, the last */
		{ "\xc2\xa0\xc2\xa9\xc2\xbf", "p: \xc2\xa0\xc2\xa9\xc2\xbf\n" },
		{ "\x9b" "31m\x9b", "p: ?31m?\n" },	/* as single bytes */
		{ "\xc3\x80 \xe2\x80\x9c \xf0\x9f\x98\x80",	/* inside of characters */
		  "p: \xc3\x80 \xe2\x80\x9c \xf0\x9f\x98\x80\n" },
		{ "\xc2", "p: \xc2\n" },
	};
	char buf[4096];

	log_to_pipe("p");
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		log_error("%s", rows[i].text);
		g_assert_cmpstr(logged(buf), ==, rows[i].line);
	}
	log_pipe_close();
}

/* What is copied ends with a newline, so that the next line stands alone. */
static void test_copy(void)
{
	static const struct {
		const char *text, *line;
	} rows[] = {
		{ "a\nb\n", "a\nb\n" }, { "no end", "no end\n" }, { "a\nno end", "a\nno end\n" },
		{ "\n", "\n" }, { "", "" }, { "\xc2\x9b\n\xc2\x85", "??\n??\n" },
		{ "\xc2\n\x9b", "\xc2\n?\n" }, { "\r\n", "?\n" },
	};
	g_autofree char *big = g_strnfill(PIPE_BUF, 'x');
	unsigned long lost = log_lost();
	char buf[4096];

	log_to_pipe("p");
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		log_copy(rows[i].text, strlen(rows[i].text));
		g_assert_cmpstr(logged(buf), ==, rows[i].line);
	}
	log_copy(big, PIPE_BUF);
	logged(buf);
	g_assert_cmpuint(strspn(buf, "x"), ==, PIPE_BUF - 1);
	g_assert_cmpstr(logged(buf), ==, "\n");
	log_copy("evil", 4);
	log_error("an alarm");
	g_assert_cmpstr(logged(buf), ==, "evil\np: an alarm\n");
	log_drop("a\nno end", 8);
	g_assert_cmpuint(log_lost(), ==, lost + 2);
	log_pipe_close();
}

static void test_levels(void)
{
	static const struct {
		enum log_level limit, level;
		const char *line;
	} rows[] = {
		{ LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, "" },
		{ LOG_LEVEL_WARNING, LOG_LEVEL_INFO, "" },
		{ LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, "" },
		{ LOG_LEVEL_ERROR, LOG_LEVEL_ERROR, "p: a 7\n" },
		{ LOG_LEVEL_WARNING, LOG_LEVEL_WARNING, "p: warning: a 7\n" },
		{ LOG_LEVEL_INFO, LOG_LEVEL_INFO, "p: a 7\n" },
		{ LOG_LEVEL_DEBUG, LOG_LEVEL_DEBUG, "p: a 7\n" },
		{ LOG_LEVEL_DEBUG, LOG_LEVEL_ERROR, "p: a 7\n" },
	};
	char buf[4096];

	log_to_pipe("p");
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		log_set_level(rows[i].limit);
		log_line(rows[i].level, "%s %d", "a", 7);
		g_assert_cmpstr(logged(buf), ==, rows[i].line);
	}
	log_pipe_close();
}

/* A line that the pipe does not take is lost whole, and later lines are not disturbed. */
static void test_lost(void)
{
	unsigned long lost = log_lost();
	char buf[4096] = "";
	unsigned lines = 0;

	log_init(-1, "p");
	log_error("nobody hears");
	g_assert_cmpuint(log_lost(), ==, lost + 1);

	log_to_pipe("p");
	log_error("heard again");
	g_assert_cmpstr(logged(buf), ==, "p: heard again\n");
	while (log_lost() == lost + 1 && lines++ < 10000)
		log_error("%0200d", 0);
	g_assert_cmpuint(log_lost(), ==, lost + 2);
	log_copy("and\nmore\n", 9);
	g_assert_cmpuint(log_lost(), ==, lost + 4);
	while (read(log_pipe[0], buf, sizeof(buf)) > 0)
		;
	log_error("heard");	/* told once */
	g_assert_cmpstr(logged(buf), ==,
			"p: heard\np: warning: 3 log lines before the last were lost\n");
	log_copy("as it is\n\033\177\t", 12);	/* but for what a terminal obeys */
	g_assert_cmpstr(logged(buf), ==, "as it is\n???\n");
	log_drop("x\ny\n", 4);
	log_error("heard");
	g_assert_cmpstr(logged(buf), ==,
			"p: heard\np: warning: 2 log lines before the last were lost\n");

	must(close(log_pipe[0]));
	log_error("pipe without a reader");
	log_copy("x\ny\n", 4);
	g_assert_cmpuint(log_lost(), ==, lost + 9);
	must(close(log_pipe[1]));
	log_init(STDERR_FILENO, "test");
}

/* A full pipe that would keep its writer waiting for ever loses the line; errno stays. */
static void test_full(void)
{
	unsigned long lost = log_lost();
	char page[4096] = "", buf[4096];

	log_to_pipe("p");
	must(fcntl(log_pipe[1], F_SETPIPE_SZ, sizeof(page)));
	must(write(log_pipe[1], page, sizeof(page)));
	must(fcntl(log_pipe[1], F_SETFL, 0));	/* blocks from here on */
	errno = 77;
	log_error("nobody waits");
	log_copy("x\n", 2);
	g_assert_cmpint(errno, ==, 77);
	g_assert_cmpuint(log_lost(), ==, lost + 2);
	must(read(log_pipe[0], page, sizeof(page)));
	log_copy("heard\n", 6);	/* what is said of the others does not fit in */
	g_assert_cmpstr(logged(buf), ==, "heard\n");
	log_init(-1, "p");
	log_error("nobody hears");
	g_assert_cmpint(errno, ==, 77);
	log_pipe_close();
}

static void test_timestamp(void)
{
	static const struct {
		struct timespec at;
		const char *line;
	} rows[] = {
		{ { 0, 0 }, "1970-01-01T00:00:00.000000Z p: x\n" },
		{ { 951782399, 999999999 }, "2000-02-28T23:59:59.999999Z p: x\n" },
		{ { 951782400, 999 }, "2000-02-29T00:00:00.000000Z p: x\n" },
		{ { 951868800, 1000 }, "2000-03-01T00:00:00.000001Z p: x\n" },
		{ { 1709251199, 0 }, "2024-02-29T23:59:59.000000Z p: x\n" },
		{ { 1798761599, 0 }, "2026-12-31T23:59:59.000000Z p: x\n" },
		{ { 1798761600, 0 }, "2027-01-01T00:00:00.000000Z p: x\n" },
		{ { 4107542399, 0 }, "2100-02-28T23:59:59.000000Z p: x\n" },
		{ { 4107542400, 0 }, "2100-03-01T00:00:00.000000Z p: x\n" },
		{ { 253402300799, 0 }, "9999-12-31T23:59:59.000000Z p: x\n" },
	};
	char buf[4096];

	log_to_pipe("p");
	log_set_timestamp(true);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		fake_now = rows[i].at;
		log_error("x");
		g_assert_cmpstr(logged(buf), ==, rows[i].line);
	}
	fake_now.tv_sec = -1;
	log_pipe_close();
}

/* Against libc's calendar, over four centuries; 1013 days is prime to every cycle in it. */
static void test_timestamp_sweep(void)
{
	char buf[4096], want[64];

	log_to_pipe("p");
	log_set_timestamp(true);
	for (time_t t = 12345; t < 13000000000; t += 1013 * 86400L / 8 + 1) {
		struct tm tm;

		gmtime_r(&t, &tm);
		strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S.000005Z p: x\n", &tm);
		fake_now = (struct timespec){ t, 5000 };
		log_error("x");
		g_assert_cmpstr(logged(buf), ==, want);
	}
	fake_now.tv_sec = -1;
	log_pipe_close();
}

static void test_errname(void)
{
	g_assert_cmpstr(log_errname(99999), ==, "Unknown error");
	g_assert_cmpstr(log_errname(-99999), ==, "Unknown error");
	g_assert_cmpstr(log_errname(ENOENT), ==, "No such file or directory");
	g_assert_cmpstr(log_errname(-ENOENT), ==, "No such file or directory");
}

/* For a signal handler, so without printf. */
static void test_signal(void)
{
	static const struct {
		uint64_t number;
		unsigned base;
		const char *text;
	} rows[] = {
		{ 0, 16, "0x0" }, { 9, 16, "0x9" }, { 16, 16, "0x10" }, { 0, 10, "0" },
		{ 0xabcdef, 16, "0xabcdef" }, { UINT64_MAX, 16, "0xffffffffffffffff" },
		{ 1ULL << 60, 16, "0x1000000000000000" }, { 257, 10, "257" },
		{ UINT64_MAX, 10, "18446744073709551615" },
	};
	g_autofree char *longer = g_strnfill(500, 'x');
	char buf[1024], want[64];
	ssize_t n;
	int p[2];

	must(pipe2(p, O_CLOEXEC));
	log_init(p[1], "dev");
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		log_signal("at ", rows[i].number, rows[i].base);
		n = must(read(p[0], buf, sizeof(buf)));
		g_snprintf(want, sizeof(want), "dev: at %s\n", rows[i].text);
		g_assert_cmpmem(buf, n, want, strlen(want));
	}
	log_init(p[1], longer);
	log_signal(longer, UINT64_MAX, 16);
	n = must(read(p[0], buf, sizeof(buf)));
	g_assert_cmpint(n, ==, 63 + 2 + 127 + 2 + 16 + 1);
	log_init(STDERR_FILENO, "test-log");
	must(close(p[0]));
	must(close(p[1]));
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/log/cut", test_cut);
	g_test_add_func("/log/prog-cut", test_prog_cut);
	g_test_add_func("/log/control-characters", test_control_characters);
	g_test_add_func("/log/copy", test_copy);
	g_test_add_func("/log/lost", test_lost);
	g_test_add_func("/log/full", test_full);
	g_test_add_func("/log/levels", test_levels);
	g_test_add_func("/log/errname", test_errname);
	g_test_add_func("/log/timestamp", test_timestamp);
	g_test_add_func("/log/timestamp-sweep", test_timestamp_sweep);
	g_test_add_func("/log/signal", test_signal);
	return g_test_run();
}
