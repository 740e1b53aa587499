/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_EVENTS_H
#define APPLETS_REMOTE_EVENTS_H

/*
 * --events: a socket, pipe or file on which the keeper writes events in QMP's form, one JSON object
 * a line, for a management program.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* What the event BLOCK_IO_ERROR says (QEMU's qapi/block-core.json). */
struct block_io_error {
	const char *device;	/* id of the -drive, "" of a -blockdev */
	const char *node;
	bool write;
	int err;		/* errno */
	const char *action;	/* "stop", "report", "ignore"; NULL: "stop" */
};

struct json_t;

/* The event as a line with its newline; @us: microseconds since 1970.  The caller frees. */
char *event_block_io_error(const struct block_io_error *what, int64_t us);

/* Its data alone, for a monitor's event; the caller owns it. */
struct json_t *event_block_io_error_data(const struct block_io_error *what);
/* A name of the command line may be any bytes, and JSON takes UTF-8 only. */
struct json_t *event_name(const char *name);

/* Writes a line of at most PIPE_BUF bytes, or nothing: never waits.  Returns 0 or -errno. */
int event_write(int fd, const char *line);

#endif
