/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"

#define LINE_MAX_BYTES 1024

/* The log is the process's own, as stderr is: no device or session has one of its own. */
static struct {
	int fd;
	enum log_level level;
	bool timestamp;
	unsigned long lost, told;	/* lines; and how many of them a later line has told of */
	log_writer *writer;
	void *opaque;			/* of the writer */
	char prog[64];
} log_state = { .fd = STDERR_FILENO, .level = LOG_LEVEL_INFO, .prog = "mpqemu" };

void log_init(int fd, const char *prog)
{
	log_state.fd = fd;
	log_state.told = log_state.lost;	/* the new reader has missed nothing yet */
	snprintf(log_state.prog, sizeof(log_state.prog), "%s", prog);
}

const char *log_prog(void)
{
	return log_state.prog;
}

void log_set_level(enum log_level level)
{
	log_state.level = level;
}

void log_set_timestamp(bool on)
{
	log_state.timestamp = on;
}

void log_set_writer(log_writer *writer, void *opaque)
{
	log_state.writer = writer;
	log_state.opaque = opaque;
}

/*
 * One write, and only when it will not wait: a reader that has stopped must not stop who logs.  A
 * pipe that is writable takes PIPE_BUF bytes, which is all that ever comes at once.
 */
static bool write_now(const void *text, size_t len)
{
	struct pollfd p = { .fd = log_state.fd, .events = POLLOUT };
	ssize_t n = -1;

	if (poll(&p, 1, 0) > 0 && p.revents & POLLOUT)
		do
			n = write(log_state.fd, text, len);
		while (n < 0 && errno == EINTR);
	return n == (ssize_t)len;
}

unsigned long log_lost(void)
{
	return log_state.lost;
}

const char *log_errname(int err)
{
	const char *text = strerrordesc_np(abs(err));

	return text ? text : "Unknown error";
}

/* Appends to line[*len], never past the last byte but one (the newline's place). */
static void line_addv(char *line, size_t *len, const char *fmt, va_list ap)
{
	size_t room = LINE_MAX_BYTES - 1 - *len;
	int n = vsnprintf(line + *len, room, fmt, ap);

	if (n > 0)
		*len += (size_t)n < room ? (size_t)n : room - 1;
}

static void line_add(char *line, size_t *len, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void line_add(char *line, size_t *len, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	line_addv(line, len, fmt, ap);
	va_end(ap);
}

/*
 * The civil date of a day count since 1970-01-01: gmtime_r may open the time zone file, which a
 * sandboxed process may not.  Era arithmetic on 400-year cycles of 146097 days, years from March.
 */
static void line_add_time(char *line, size_t *len)
{
	struct timespec ts;
	long day, era, doe, yoe, doy, mp, sec;

	clock_gettime(CLOCK_REALTIME, &ts);
	day = ts.tv_sec / 86400 + 719468;
	sec = ts.tv_sec % 86400;
	era = day / 146097;
	doe = day % 146097;
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	line_add(line, len, "%04ld-%02ld-%02ldT%02ld:%02ld:%02ld.%06ldZ ",
		 yoe + era * 400 + (mp >= 10), mp < 10 ? mp + 3 : mp - 9,
		 doy - (153 * mp + 2) / 5 + 1, sec / 3600, sec / 60 % 60, sec % 60,
		 ts.tv_nsec / 1000);
}

/*
 * What a terminal might take for a command, C1 controls (U+0080 to U+009F) too: in UTF-8 as c2 80
 * to c2 9f, and, for a terminal of single bytes, as a byte that goes on with no character.
 */
static bool is_control(unsigned char before, unsigned char c)
{
	return c < ' ' || c == 0x7f || (c >= 0x80 && c < 0xa0 && (before < 0x80 || before == 0xc2));
}

/* Writes '?' in place of controls, but for newlines with @newlines. */
static void clean(char *text, size_t len, bool newlines)
{
	unsigned char before = 0, c;

	for (size_t i = 0; i < len; i++) {
		c = text[i];
		if (is_control(before, c) && !(newlines && c == '\n')) {
			text[i] = '?';
			/* Its first byte alone is no character. */
			if (before == 0xc2 && c >= 0x80)
				text[i - 1] = '?';
		}
		before = c;
	}
}

static void line_begin(char *line, size_t *len, enum log_level level)
{
	if (log_state.timestamp)
		line_add_time(line, len);
	line_add(line, len, "%s: %s", log_state.prog,
		 level == LOG_LEVEL_WARNING ? "warning: " : "");
}

/* Whole lines, @count of them.  The first that go through again say how many did not. */
static void write_lines(const void *lines, size_t len, unsigned long count)
{
	char note[LINE_MAX_BYTES];
	size_t note_len = 0;

	if (!write_now(lines, len)) {
		log_state.lost += count;
		return;
	}
	if (log_state.lost == log_state.told)
		return;
	line_begin(note, &note_len, LOG_LEVEL_WARNING);
	line_add(note, &note_len, "%lu log lines before the last were lost\n",
		 log_state.lost - log_state.told);
	if (write_now(note, note_len))
		log_state.told = log_state.lost;
}

static unsigned long count_lines(const char *text, unsigned long len)
{
	unsigned long count = 0;

	for (unsigned long i = 0; i < len; i++)
		count += text[i] == '\n';
	/* One that has no end yet will get one. */
	return count + (len && text[len - 1] != '\n');
}

void log_copy(const char *lines, unsigned long len)
{
	char text[PIPE_BUF];

	if (!len)
		return;
	len = min_u64(len, sizeof(text));
	/* The next line shall not stand behind it. */
	if (lines[len - 1] != '\n')
		len = min_u64(len, sizeof(text) - 1);
	memcpy(text, lines, len);
	clean(text, len, true);
	if (text[len - 1] != '\n')
		text[len++] = '\n';
	write_lines(text, len, count_lines(text, len));
}

void log_drop(const char *lines, unsigned long len)
{
	log_state.lost += count_lines(lines, len);
}

void log_vline(enum log_level level, const char *fmt, va_list ap)
{
	char line[LINE_MAX_BYTES];
	int saved = errno;
	size_t len = 0;

	if (level > log_state.level)
		return;
	if (!log_state.writer)
		line_begin(line, &len, level);
	line_addv(line, &len, fmt, ap);
	clean(line, len, false);
	if (log_state.writer) {
		line[len] = '\0';
		log_state.writer(log_state.opaque, level, line);
	} else {
		line[len++] = '\n';
		write_lines(line, len, 1);
	}
	errno = saved;
}

/* No printf in a signal handler. */
static char *put_text(char *out, const char *text, size_t max)
{
	while (*text && max--)
		*out++ = *text++;
	return out;
}

void log_signal(const char *text, uint64_t number, unsigned base)
{
	char line[sizeof(log_state.prog) + 160], digits[24], *end = line;
	char *d = digits + sizeof(digits) - 1;

	*d = '\0';
	do
		*--d = "0123456789abcdef"[number % base];
	while (number /= base);
	end = put_text(end, log_state.prog, sizeof(log_state.prog));
	end = put_text(end, ": ", 2);
	end = put_text(end, text, 127);
	end = put_text(end, "0x", base == 16 ? 2 : 0);
	end = put_text(end, d, sizeof(digits));
	*end++ = '\n';
	if (!write_now(line, end - line))
		log_state.lost++;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_vline(level, fmt, ap);
	va_end(ap);
}
