/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/run/logs.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib-unix.h>

#include "base/fd.h"

#define KEEP_LINES 2000
#define LINE_MAX_BYTES 1000	/* of one line; a longer one becomes several */
#define READ_BYTES 4096		/* of a pipe at once: others have their turn */
#define DRAIN_READS 64		/* of each pipe: who writes for ever is left */

struct log_pipe {
	struct logs *logs;
	int fd;
	guint watch;
	char *source;
	char part[LINE_MAX_BYTES];	/* of a line whose end has not come */
	unsigned len;
};

struct logs {
	struct logs_options options;
	GQueue lines;			/* json_t * */
	GPtrArray *pipes;		/* struct log_pipe * */
	logs_fn *follow;
	void *opaque;
	bool busy;			/* a line is being written: no other of ours */
};

static const struct {
	const char *name;
	char syslog;
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", '3' },
	[LOG_LEVEL_WARNING] = { "warning", '4' },
	[LOG_LEVEL_INFO] = { "info", '6' },
	[LOG_LEVEL_DEBUG] = { "debug", '7' },
};

/* Ours is "PROG: [warning: ]TEXT"; what others write has its own name in front. */
static char *as_text(const struct logs *logs, const char *source, enum log_level level,
		     const char *text)
{
	bool own = !strcmp(source, log_prog());
	char mark[] = "<6>";

	mark[1] = levels[level].syslog;
	return g_strdup_printf("%s%s%s%s%s\n", logs->options.levels ? mark : "", own ? source : "",
			       own ? ": " : "",
			       own && level == LOG_LEVEL_WARNING ? "warning: " : "", text);
}

/* Only when it will not wait: nobody who reads slowly stops the VM's keeper. */
static void write_out(const struct logs *logs, const char *text)
{
	struct pollfd p = { .fd = logs->options.fd, .events = POLLOUT };

	if (poll(&p, 1, 0) > 0 && p.revents & POLLOUT)
		while (write(logs->options.fd, text, strlen(text)) < 0 && errno == EINTR)
			;
}

static void put(struct logs *logs, const char *source, enum log_level level, const char *text)
{
	g_autofree char *valid = g_utf8_make_valid(text, -1);
	json_t *line = json_pack("{s:f, s:s, s:s, s:s}", "time",
				 g_get_real_time() / 1e6, "source", source, "level",
				 levels[level].name, "message", valid);
	g_autofree char *out = NULL;

	if (logs->options.json) {
		char *json = json_dumps(line, JSON_COMPACT);

		out = g_strconcat(json, "\n", NULL);
		free(json);
	} else {
		out = as_text(logs, source, level, text);
	}
	write_out(logs, out);
	g_queue_push_tail(&logs->lines, line);
	if (logs->lines.length > KEEP_LINES)
		json_decref(g_queue_pop_head(&logs->lines));
	if (logs->follow && !logs->busy) {
		logs->busy = true;
		logs->follow(logs->opaque, line);
		logs->busy = false;
	}
}

static void on_own_line(void *opaque, enum log_level level, const char *text)
{
	put(opaque, log_prog(), level, text);
}

bool logs_is_journal(int fd)
{
	const char *stream = g_getenv("JOURNAL_STREAM");
	g_autofree char *own = NULL;
	struct stat st;

	if (!stream || fstat(fd, &st) < 0)
		return false;
	own = g_strdup_printf("%lu:%lu", (unsigned long)st.st_dev, (unsigned long)st.st_ino);
	return !strcmp(stream, own);
}

static void pipe_free(void *p)
{
	struct log_pipe *pipe = p;

	if (pipe->watch)
		g_source_remove(pipe->watch);
	fd_close(&pipe->fd);
	g_free(pipe->source);
	g_free(pipe);
}

struct logs *logs_create(const struct logs_options *options)
{
	struct logs *logs = g_new0(struct logs, 1);

	logs->options = *options;
	g_queue_init(&logs->lines);
	logs->pipes = g_ptr_array_new_with_free_func(pipe_free);
	log_set_writer(on_own_line, logs);
	return logs;
}

static void line_free(void *line)
{
	json_decref(line);
}

void logs_destroy(struct logs *logs)
{
	if (!logs)
		return;
	log_set_writer(NULL, NULL);
	g_ptr_array_unref(logs->pipes);
	g_queue_clear_full(&logs->lines, line_free);
	g_free(logs);
}

void logs_follow(struct logs *logs, logs_fn *fn, void *opaque)
{
	logs->follow = fn;
	logs->opaque = opaque;
}

/* ---- Pipes ---- */

static void pipe_line(struct log_pipe *pipe)
{
	char line[LINE_MAX_BYTES + 1];

	memcpy(line, pipe->part, pipe->len);
	line[pipe->len] = '\0';
	pipe->len = 0;
	for (char *c = line; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	put(pipe->logs, pipe->source, strstr(line, ": warning: ") ? LOG_LEVEL_WARNING :
	    LOG_LEVEL_INFO, line);
}

static void pipe_bytes(struct log_pipe *pipe, const char *bytes, size_t len)
{
	for (; len--; bytes++) {
		if (*bytes == '\n') {
			pipe_line(pipe);
			continue;
		}
		/* No line of text has it, and it would end this one. */
		pipe->part[pipe->len++] = *bytes ?: '?';
		if (pipe->len == LINE_MAX_BYTES)
			pipe_line(pipe);
	}
}

/* Returns what read() did; at the end what is left is a line. */
static ssize_t pipe_read(struct log_pipe *pipe)
{
	struct pollfd p = { .fd = pipe->fd, .events = POLLIN };
	char bytes[READ_BYTES];
	ssize_t n;

	if (poll(&p, 1, 0) <= 0)
		return -1;
	n = read(pipe->fd, bytes, sizeof(bytes));
	if (n > 0)
		pipe_bytes(pipe, bytes, n);
	else if (n == 0 && pipe->len)
		pipe_line(pipe);
	return n;
}

static gboolean pipe_readable(int fd, GIOCondition condition, void *opaque)
{
	struct log_pipe *pipe = opaque;

	if (pipe_read(pipe) != 0)
		return G_SOURCE_CONTINUE;
	pipe->watch = 0;
	g_ptr_array_remove_fast(pipe->logs->pipes, pipe);
	return G_SOURCE_REMOVE;
}

void logs_read(struct logs *logs, int fd, const char *source)
{
	struct log_pipe *pipe = g_new0(struct log_pipe, 1);

	pipe->logs = logs;
	pipe->fd = fd;
	pipe->source = g_strdup(source);
	pipe->watch = g_unix_fd_add(fd, G_IO_IN | G_IO_HUP, pipe_readable, pipe);
	g_ptr_array_add(logs->pipes, pipe);
}

void logs_drain(struct logs *logs)
{
	for (unsigned i = 0; i < logs->pipes->len; i++) {
		unsigned reads = 0;

		while (reads++ < DRAIN_READS && pipe_read(logs->pipes->pdata[i]) > 0)
			;
	}
}

json_t *logs_last(const struct logs *logs, const char *source, unsigned count)
{
	json_t *last = json_array();

	for (GList *at = logs->lines.tail; at && json_array_size(last) < count; at = at->prev) {
		const char *from = json_string_value(json_object_get(at->data, "source"));

		if (!source || !strcmp(source, from))
			json_array_insert(last, 0, at->data);
	}
	return last;
}
