/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qmp/stream.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/num.h"
#include "proto/fdpass.h"

#define CHUNK 16384		/* bytes that one call takes in */
#define KEEP 65536		/* bytes of room that an empty buffer keeps */

void qmp_stream_init(struct qmp_stream *s, int fd, const struct qmp_bounds *bounds)
{
	*s = (struct qmp_stream){
		.fd = fd, .bounds = *bounds, .in = g_byte_array_new(), .out = g_byte_array_new(),
	};
}

/* Takes the first one off; the caller owns it. */
static int shift(struct qmp_passed *list, unsigned *count)
{
	int fd = list[0].fd;

	memmove(list, list + 1, --*count * sizeof(list[0]));
	return fd;
}

static void close_first(struct qmp_passed *list, unsigned *count)
{
	int fd = shift(list, count);

	fd_close(&fd);
}

void qmp_stream_finish(struct qmp_stream *s)
{
	fd_close(&s->fd);
	if (!s->in)
		return;
	while (s->came_count)
		close_first(s->came, &s->came_count);
	while (s->passed_count)
		close_first(s->passed, &s->passed_count);
	g_clear_pointer(&s->in, g_byte_array_unref);
	g_clear_pointer(&s->out, g_byte_array_unref);
}

static int broken(struct qmp_stream *s, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int broken(struct qmp_stream *s, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->why, sizeof(s->why), fmt, ap);
	va_end(ap);
	for (char *p = s->why; *p; p++)
		if (!g_ascii_isprint(*p))
			*p = '?';
	return err;
}

/* Drops the first @count bytes; a large buffer is given back when it is empty. */
static void drop(GByteArray **buf, size_t count)
{
	size_t had = (*buf)->len;

	if (count < had) {
		g_byte_array_remove_range(*buf, 0, count);
		return;
	}
	if (had > KEEP) {
		g_byte_array_unref(*buf);
		*buf = g_byte_array_new();
		return;
	}
	g_byte_array_set_size(*buf, 0);
}

/* ---- In ---- */

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/*
 * A fd came with the last bytes that there are, from @start on at the earliest: the kernel gives
 * nothing behind one in the same call.  A line's end that was sent with its text is not the next
 * text's.  The oldest has waited in vain when there are too many.
 */
static int keep_fd(struct qmp_stream *s, int fd, size_t start)
{
	size_t at = s->in->len - 1;

	if (fd == FDPASS_WRONG) {
		s->unwanted++;
		return broken(s, -EBADMSG, "more than one file descriptor came at once");
	}
	if (fd < 0)
		return 0;
	if (s->came_count == QMP_PASSED) {
		close_first(s->came, &s->came_count);
		s->unwanted++;
	}
	while (at > start && is_space(s->in->data[at]))
		at--;
	s->came[s->came_count++] = (struct qmp_passed){ at, fd };
	return 0;
}

/* recv() cannot get fds at all: the kernel closes them. */
static ssize_t receive_some(struct qmp_stream *s, void *buf, size_t room, int *ret_fd)
{
	ssize_t n;

	*ret_fd = FDPASS_NONE;
	if (s->takes_fds)
		return fdpass_recv(s->fd, buf, room, ret_fd);
	do
		n = recv(s->fd, buf, room, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? (errno == EWOULDBLOCK ? -EAGAIN : -errno) : n;
}

int qmp_stream_receive(struct qmp_stream *s)
{
	size_t len, room;
	ssize_t n;
	int fd;

	drop(&s->in, s->start);
	for (unsigned i = 0; i < s->came_count; i++)
		s->came[i].at -= min_u64(s->came[i].at, s->start);
	s->looked -= s->start;
	s->start = 0;
	len = s->in->len;
	room = min_u64(CHUNK, s->bounds.in - len);
	if (!room)
		return -EAGAIN;
	g_byte_array_set_size(s->in, len + room);
	n = receive_some(s, s->in->data + len, room, &fd);
	g_byte_array_set_size(s->in, n > 0 ? len + n : len);
	if (n == 0)
		return s->inside ? -EPIPE : -ENODATA;
	return n < 0 ? n : keep_fd(s, fd, len);
}

/* Between two texts.  Returns false on a byte that starts none. */
static bool begin(struct qmp_stream *s, uint8_t c)
{
	if (is_space(c))
		return false;
	s->inside = true;
	s->start = s->looked - 1;
	s->bare = c != '{' && c != '[';
	s->depth = !s->bare;
	return true;
}

/* A byte of a string.  No control character stands in one: there JSON ends, and a line at most. */
static void in_string(struct qmp_stream *s, uint8_t c)
{
	if (c < 0x20)
		s->bare = true;
	else if (s->escaped)
		s->escaped = false;
	else if (c == '\\')
		s->escaped = true;
	else if (c == '"')
		s->in_string = false;
}

/* A byte of a text.  Returns true when it is the last one. */
static bool go_on(struct qmp_stream *s, uint8_t c)
{
	if (!s->bare && s->in_string)
		in_string(s, c);
	else if (!s->bare && c == '"')
		s->in_string = true;
	else if (!s->bare && (c == '{' || c == '['))
		s->depth++;
	else if (!s->bare && (c == '}' || c == ']'))
		s->depth--;
	return s->bare ? c == '\n' : !s->depth;
}

/* Looks on until a text is whole: 0, -EAGAIN, or -EMSGSIZE. */
static int find_end(struct qmp_stream *s)
{
	while (s->looked < s->in->len) {
		uint8_t c = s->in->data[s->looked++];

		if (!s->inside) {
			begin(s, c);
			continue;
		}
		if (go_on(s, c))
			return 0;
		if (s->depth > QMP_DEPTH)
			return broken(s, -EMSGSIZE, "it is nested deeper than %d brackets",
				      QMP_DEPTH);
	}
	if (!s->inside)
		s->start = s->looked;
	if (s->in->len - s->start >= s->bounds.in)
		return broken(s, -EMSGSIZE, "it is longer than %zu bytes", s->bounds.in);
	return -EAGAIN;
}

int qmp_stream_next_text(struct qmp_stream *s, const char **ret, size_t *ret_len)
{
	int found = find_end(s);

	if (found)
		return found;
	*ret = (const char *)s->in->data + s->start;
	*ret_len = s->looked - s->start;
	s->start = s->looked;
	s->inside = s->bare = s->in_string = s->escaped = false;
	s->depth = 0;
	return 0;
}

int qmp_stream_next(struct qmp_stream *s, json_t **ret)
{
	json_error_t error;
	json_t *value;
	const char *text;
	size_t len;
	int found = qmp_stream_next_text(s, &text, &len);

	if (found)
		return found;
	value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (!value)
		return broken(s, -EBADMSG, "%s", error.text);
	*ret = value;
	return 0;
}

bool qmp_stream_holds(const struct qmp_stream *s)
{
	return s->fd >= 0 && s->looked < s->in->len;
}

int qmp_stream_take_fd(struct qmp_stream *s)
{
	int fd = -1;

	while (s->came_count && s->came[0].at < s->looked) {
		s->unwanted += fd >= 0;
		fd_close(&fd);
		fd = shift(s->came, &s->came_count);
	}
	return fd;
}

/* ---- Out ---- */

/* Sends up to @len bytes, or the first alone with an fd.  Returns how many, or -errno. */
static ssize_t send_some(struct qmp_stream *s, const uint8_t *bytes, size_t at, size_t len)
{
	ssize_t n;

	if (s->passed_count && s->passed[0].at == at) {
		n = fdpass_send(s->fd, bytes, 1, s->passed[0].fd);
		if (n)
			return n;
		close_first(s->passed, &s->passed_count);
		return 1;
	}
	if (s->passed_count)
		len = min_u64(len, s->passed[0].at - at);
	do
		n = send(s->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? (errno == EWOULDBLOCK ? -EAGAIN : -errno) : n;
}

int qmp_stream_flush(struct qmp_stream *s)
{
	size_t sent = 0;
	ssize_t n = 0;

	while (sent < s->out->len) {
		n = send_some(s, s->out->data + sent, sent, s->out->len - sent);
		if (n < 0)
			break;
		sent += n;
	}
	drop(&s->out, sent);
	s->sent += sent;
	for (unsigned i = 0; i < s->passed_count; i++)
		s->passed[i].at -= sent;
	return n < 0 ? n : 0;
}

static int queue(struct qmp_stream *s, const char *text, size_t len, int *passed)
{
	if (len + 2 > s->bounds.out - min_u64(s->out->len, s->bounds.out))
		return -ENOBUFS;
	if (*passed >= 0 && s->passed_count == QMP_PASSED)
		return -EBUSY;
	if (*passed >= 0) {
		s->passed[s->passed_count].at = s->out->len;
		s->passed[s->passed_count++].fd = fd_steal(passed);
	}
	g_byte_array_append(s->out, (const uint8_t *)text, len);
	g_byte_array_append(s->out, (const uint8_t *)"\r\n", 2);
	s->queued += len + 2;
	return 0;
}

int qmp_stream_send_text(struct qmp_stream *s, const char *text, size_t len, int passed)
{
	autofd fd = passed;
	int ret = queue(s, text, len, &fd);

	if (!ret)
		ret = qmp_stream_flush(s);
	return ret == -EAGAIN ? 0 : ret;
}

int qmp_stream_send(struct qmp_stream *s, const json_t *msg, int passed)
{
	autofd fd = passed;
	char *text = json_dumps(msg, s->pretty ? JSON_INDENT(4) : 0);
	int ret = text ? qmp_stream_send_text(s, text, strlen(text), fd_steal(&fd)) : -EINVAL;

	free(text);
	return ret;
}
