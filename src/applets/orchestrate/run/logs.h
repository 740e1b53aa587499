/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_RUN_LOGS_H
#define APPLETS_ORCHESTRATE_RUN_LOGS_H

/*
 * What a run's processes say: our own lines, and what the remotes write to stderr, which is a pipe
 * to us.  Each line goes on to the log, as text, as JSON, or with the level in front that
 * sd-daemon(3) has, and the last of them are kept for who asks later.
 */

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>
#include <jansson.h>

#include "base/log.h"

struct logs;

struct logs_options {
	int fd;		/* where lines go; the caller's */
	bool json;	/* an object a line */
	bool levels;	/* "<4>" in front: the journal reads them */
};

/* One more line: @line is an object, which stays the log's. */
typedef void logs_fn(void *opaque, json_t *line);

/* Takes our own lines from now on (log_set_writer()), until logs_destroy(), which is NULL-safe. */
struct logs *logs_create(const struct logs_options *options);
void logs_destroy(struct logs *logs);

/* Is @fd the journal's stream, by JOURNAL_STREAM of systemd.exec(5)? */
bool logs_is_journal(int fd);

/* Is told of each line.  One at a time; NULL: nobody. */
void logs_follow(struct logs *logs, logs_fn *fn, void *opaque);

/*
 * The read end of a pipe into which the process of @source writes; taken over.  Never waits for
 * it; logs_drain() takes in what all of them have written by now.
 */
void logs_read(struct logs *logs, int fd, const char *source);
void logs_drain(struct logs *logs);

/*
 * The kept lines of @source (NULL: all), oldest first, the last @count of them: an array of
 * objects with "time" (seconds since 1970), "source", "level" and "message".  The caller owns it.
 */
json_t *logs_last(const struct logs *logs, const char *source, unsigned count);

#endif
