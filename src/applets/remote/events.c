/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/events.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib.h>
#include <jansson.h>

#include "base/log.h"

json_t *event_name(const char *name)
{
	g_autofree char *valid = g_utf8_make_valid(name, -1);

	return json_string(valid);
}

static json_t *json_timestamp(int64_t us)
{
	return json_pack("{s:I, s:I}", "seconds", (json_int_t)(us / 1000000),
			 "microseconds", (json_int_t)(us % 1000000));
}

json_t *event_block_io_error_data(const struct block_io_error *what)
{
	return json_pack("{s:o, s:o, s:s, s:s, s:b, s:s}", "device", event_name(what->device),
			 "node-name", event_name(what->node), "operation",
			 what->write ? "write" : "read", "action", what->action ?: "stop",
			 "nospace", what->err == ENOSPC, "reason", log_errname(what->err));
}

char *event_block_io_error(const struct block_io_error *what, int64_t us)
{
	json_t *data = event_block_io_error_data(what);
	json_t *event = json_pack("{s:o, s:s, s:o}", "timestamp", json_timestamp(us),
				  "event", "BLOCK_IO_ERROR", "data", data);
	char *text = json_dumps(event, 0), *line = g_strconcat(text, "\r\n", NULL);

	free(text);
	json_decref(event);
	return line;
}

/*
 * The fd's status flags belong to others too, so it is asked first; a pipe that is ready takes
 * PIPE_BUF bytes, and a stream socket takes so short a line whole.
 */
int event_write(int fd, const char *line)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	size_t len = strlen(line);
	ssize_t n;

	if (poll(&p, 1, 0) <= 0 || !(p.revents & POLLOUT))
		return p.revents & (POLLERR | POLLHUP) ? -EPIPE : -EAGAIN;
	n = send(fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno == ENOTSOCK)
		n = write(fd, line, len);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}
