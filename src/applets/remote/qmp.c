/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/qmp.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <glib.h>
#include <jansson.h>

#include "base/fd.h"
#include "base/log.h"

/* QEMU's docs/interop/qmp-spec: 2.2 greeting, 2.3 commands, 2.4 answers, 2.5 events. */

enum state { STATE_OFF, STATE_GREETING, STATE_CAPABILITIES, STATE_READY, STATE_DEAD };

enum command { COMMAND_NONE, COMMAND_CAPABILITIES, COMMAND_STOP, COMMAND_STATUS };

struct qmp {
	const struct qmp_ops *ops;
	void *opaque;
	struct unix_addr addr;		/* of STATE_OFF */
	int fd;
	uint8_t state;			/* enum state */
	uint8_t asked;			/* enum command: in flight */
	bool stop_wanted;		/* and not asked for yet */
	int id;				/* of the command in flight */
	int64_t deadline;		/* of what qmp_stop() asked for; 0: nothing */
	size_t in_len, out_len;
	char out[128];			/* what is left to send */
	char in[QMP_LINE_MAX];		/* what is no whole line yet */
};

static void qmp_fail(struct qmp *qmp, bool closed, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void qmp_fail(struct qmp *qmp, bool closed, const char *fmt, ...)
{
	char why[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	qmp->state = STATE_DEAD;
	qmp->deadline = 0;
	fd_close(&qmp->fd);
	qmp->ops->failed(qmp->opaque, why, closed);
}

/* ---- Sending ---- */

static void qmp_flush(struct qmp *qmp)
{
	ssize_t n = send(qmp->fd, qmp->out, qmp->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		qmp_fail(qmp, errno == EPIPE, "%s", log_errname(errno));
	if (n <= 0)
		return;
	qmp->out_len -= n;
	memmove(qmp->out, qmp->out + n, qmp->out_len);
}

static void qmp_ask(struct qmp *qmp, enum command command)
{
	static const char *const names[] = {
		[COMMAND_CAPABILITIES] = "qmp_capabilities",
		[COMMAND_STOP] = "stop",
		[COMMAND_STATUS] = "query-status",
	};

	qmp->asked = command;
	qmp->id = qmp->id % 1000000 + 1;
	qmp->out_len = snprintf(qmp->out, sizeof(qmp->out), "{\"execute\": \"%s\", \"id\": %d}\r\n",
				names[command], qmp->id);
	qmp_flush(qmp);
}

/* The next thing, if its time has come. */
static void qmp_go_on(struct qmp *qmp)
{
	if (qmp->state != STATE_READY || qmp->asked)
		return;
	if (!qmp->stop_wanted) {
		qmp->deadline = 0;
		return;
	}
	qmp->stop_wanted = false;
	qmp_ask(qmp, COMMAND_STOP);
}

/* ---- Answers: each of these has the "return" of its command ---- */

static void on_capabilities(struct qmp *qmp, const json_t *value)
{
	qmp->state = STATE_READY;
}

static void on_stop(struct qmp *qmp, const json_t *value)
{
	qmp_ask(qmp, COMMAND_STATUS);
}

static void on_status(struct qmp *qmp, const json_t *value)
{
	const char *status = json_string_value(json_object_get(value, "status"));
	const json_t *running = json_object_get(value, "running");

	if (!status || !json_is_boolean(running))
		qmp_fail(qmp, false, "its answer to query-status has no status");
	else if (json_is_true(running))
		qmp->ops->resumed(qmp->opaque);	/* somebody was quicker */
	else
		qmp->ops->stopped(qmp->opaque, status);
}

static void (*const answers[])(struct qmp *qmp, const json_t *value) = {
	[COMMAND_CAPABILITIES] = on_capabilities,
	[COMMAND_STOP] = on_stop,
	[COMMAND_STATUS] = on_status,
};

static void on_answer(struct qmp *qmp, const json_t *line)
{
	const json_t *id = json_object_get(line, "id"), *error = json_object_get(line, "error");
	const json_t *value = json_object_get(line, "return");
	const char *desc = json_string_value(json_object_get(error, "desc"));
	enum command asked = qmp->asked;

	if (error) {
		qmp_fail(qmp, false, "it refused: %.200s", desc ? desc : "no reason given");
		return;
	}
	if (!value || !asked || qmp->out_len || !json_is_integer(id) ||
	    json_integer_value(id) != qmp->id) {
		qmp_fail(qmp, false, "it answered what was not asked");
		return;
	}
	qmp->asked = COMMAND_NONE;
	answers[asked](qmp, value);
	qmp_go_on(qmp);
}

/* ---- Receiving ---- */

static void on_greeting(struct qmp *qmp, const json_t *line)
{
	if (!json_is_object(json_object_get(line, "QMP"))) {
		qmp_fail(qmp, false, "it did not greet as a QMP monitor does");
		return;
	}
	qmp->state = STATE_CAPABILITIES;
	qmp_ask(qmp, COMMAND_CAPABILITIES);
}

static void on_event(struct qmp *qmp, const json_t *event)
{
	const char *name = json_string_value(event);

	if (name && !strcmp(name, "RESUME"))
		qmp->ops->resumed(qmp->opaque);
}

static void on_line(struct qmp *qmp, const char *text, size_t len)
{
	json_t *line = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *event = json_object_get(line, "event");

	if (!json_is_object(line))
		qmp_fail(qmp, false, "a line of it is no JSON object");
	else if (qmp->state == STATE_GREETING)
		on_greeting(qmp, line);
	else if (event)
		on_event(qmp, event);
	else
		on_answer(qmp, line);
	json_decref(line);
}

static void qmp_receive(struct qmp *qmp)
{
	ssize_t n = recv(qmp->fd, qmp->in + qmp->in_len, sizeof(qmp->in) - qmp->in_len,
			 MSG_DONTWAIT);
	char *start = qmp->in, *end;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0 && errno != ECONNRESET) {
		qmp_fail(qmp, false, "%s", log_errname(errno));
		return;
	}
	if (n <= 0) {
		qmp_fail(qmp, !qmp->in_len, "it closed the connection%s",
			 qmp->in_len ? " inside a line" : "");
		return;
	}
	qmp->in_len += n;
	while (qmp->state != STATE_DEAD &&
	       (end = memchr(start, '\n', qmp->in + qmp->in_len - start))) {
		on_line(qmp, start, end - start);
		start = end + 1;
	}
	if (qmp->state == STATE_DEAD)
		return;
	qmp->in_len -= start - qmp->in;
	memmove(qmp->in, start, qmp->in_len);
	if (qmp->in_len == sizeof(qmp->in))
		qmp_fail(qmp, false, "a line of it is longer than %d bytes", QMP_LINE_MAX);
}

/* ---- What the keeper calls ---- */

struct qmp *qmp_create(int fd, const struct unix_addr *addr, const struct qmp_ops *ops,
		       void *opaque)
{
	struct qmp *qmp = g_new0(struct qmp, 1);

	qmp->fd = fd;
	qmp->ops = ops;
	qmp->opaque = opaque;
	qmp->state = addr ? STATE_OFF : STATE_GREETING;
	if (addr)
		qmp->addr = *addr;
	return qmp;
}

void qmp_destroy(struct qmp *qmp)
{
	if (!qmp)
		return;
	fd_close(&qmp->fd);
	g_free(qmp);
}

int qmp_unconnected(const struct qmp *qmp)
{
	return qmp->state == STATE_OFF ? qmp->fd : -1;
}

int qmp_poll_fd(const struct qmp *qmp, short *ret_events)
{
	if (qmp->state == STATE_OFF || qmp->state == STATE_DEAD)
		return -1;
	*ret_events = POLLIN | (qmp->out_len ? POLLOUT : 0);
	return qmp->fd;
}

int64_t qmp_deadline(const struct qmp *qmp)
{
	return qmp->deadline;
}

void qmp_polled(struct qmp *qmp)
{
	if (qmp->out_len)
		qmp_flush(qmp);
	if (qmp->state != STATE_DEAD)
		qmp_receive(qmp);
}

void qmp_tick(struct qmp *qmp, int64_t now)
{
	if (qmp->deadline && now >= qmp->deadline)
		qmp_fail(qmp, false, "it has not answered for %d s",
			 (int)(QMP_LIMIT_NS / 1000000000));
}

/* Does not wait: a listener that is there has a place in its queue, or -EAGAIN comes. */
static int qmp_connect(struct qmp *qmp)
{
	int ret = unix_addr_connect(qmp->fd, &qmp->addr);

	if (!ret)
		qmp->state = STATE_GREETING;
	return ret;
}

int qmp_stop(struct qmp *qmp, int64_t now)
{
	int ret = qmp->state == STATE_OFF ? qmp_connect(qmp) : 0;

	if (ret)
		return ret;
	if (qmp->state == STATE_DEAD)
		return -ENOTCONN;
	if (!qmp->deadline)
		qmp->deadline = now + QMP_LIMIT_NS;
	qmp->stop_wanted = true;
	qmp_go_on(qmp);
	return qmp->state == STATE_DEAD ? -ENOTCONN : 0;
}
