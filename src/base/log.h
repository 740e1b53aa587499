/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BASE_LOG_H
#define BASE_LOG_H

/*
 * One line a call, one write(2) a line, no allocation and no locale: it works in a process that
 * may not open files (glib's writer and strerror may not).  Mechanism code does not log; it
 * returns -errno, and the applet logs once.
 */

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

/*
 * Where lines go and what stands before them: @fd stays the caller's, @prog (copied, cut at 63
 * bytes) is the program's name as QEMU prints it ("PROG: message").
 */
void log_init(int fd, const char *prog);

/* What log_init() was given. */
const char *log_prog(void);

/* The most talkative level that is still written.  The default is LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);

/* Puts an ISO 8601 time with microseconds (UTC) before each line, as QEMU's -msg timestamp=on. */
void log_set_timestamp(bool on);

/*
 * Takes lines in place of the fd: @text without the program's name, without controls or a newline.
 * NULL: the fd has them again.
 */
typedef void log_writer(void *opaque, enum log_level level, const char *text);
void log_set_writer(log_writer *writer, void *opaque);

/*
 * Writes "PROG: text\n" (warnings: "PROG: warning: text\n").  A line is cut at 1023 bytes; control
 * characters in it are written as '?'.  A full or closed log fd loses the line (SIGPIPE must be
 * ignored); after the next line that it takes, one says how many were lost.  Keeps errno.
 */
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_vline(enum log_level level, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));

/*
 * For a signal handler, "PROG: TEXTNUMBER\n": calls nothing but poll and write.  @text is cut at
 * 127 bytes; @base is 10, or 16 for a number with "0x" in front.
 */
void log_signal(const char *text, uint64_t number, unsigned base);

/*
 * Writes lines of another process, at most PIPE_BUF bytes with the newline that they get if they
 * end without; control characters (C1 too) as '?'.  Like a line of our own,
 * they are lost when the log fd does not take them at once.
 */
void log_copy(const char *lines, unsigned long len);

/* Counts such lines as lost. */
void log_drop(const char *lines, unsigned long len);

/* Lines lost so far because the log fd did not take them. */
unsigned long log_lost(void);

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* "No such file or directory" and its like, for -errno or errno; never allocates. */
const char *log_errname(int err);

#endif
