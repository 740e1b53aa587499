/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/qmp.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <glib.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/unixaddr.h"
#include "qmp/client.h"

struct qmp {
	const struct qmp_ops *ops;
	void *opaque;
	struct unix_addr addr;		/* while it is not connected */
	int fd;				/* the same; owned */
	struct qmp_client *client;	/* NULL: not connected, or over */
	bool stopping;			/* "stop" or the question after it is in flight */
	bool stop_wanted;		/* once more, after that */
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
	g_clear_pointer(&qmp->client, qmp_client_destroy);
	qmp->ops->failed(qmp->opaque, why, closed);
}

/* False: there is no value, and the connection is over. */
static bool answered(struct qmp *qmp, const struct qmp_failure *failure)
{
	/* The end of the connection is told by on_failed(). */
	if (failure && failure->class)
		qmp_fail(qmp, false, "it refused: %.200s", failure->desc);
	return !failure;
}

static void ask(struct qmp *qmp, const char *name, qmp_done_fn *done)
{
	int ret = qmp_client_execute(qmp->client, name, NULL, -1, QMP_LIMIT_MS, done, qmp);

	if (ret && ret != -ENOTCONN)
		qmp_fail(qmp, ret == -EPIPE, "%s", log_errname(ret));
}

static void on_stop(void *opaque, const json_t *value, const struct qmp_failure *failure);

static void stop(struct qmp *qmp)
{
	qmp->stopping = true;
	qmp->stop_wanted = false;
	ask(qmp, "stop", on_stop);
}

static void on_status(void *opaque, const json_t *value, const struct qmp_failure *failure)
{
	const char *status = json_string_value(json_object_get(value, "status"));
	const json_t *running = json_object_get(value, "running");
	struct qmp *qmp = opaque;

	if (!answered(qmp, failure))
		return;
	if (!status || !json_is_boolean(running)) {
		qmp_fail(qmp, false, "its answer to query-status has no status");
		return;
	}
	qmp->stopping = false;
	if (json_is_true(running))
		qmp->ops->resumed(qmp->opaque);	/* somebody was quicker */
	else
		qmp->ops->stopped(qmp->opaque, status);
	if (qmp->stop_wanted)
		stop(qmp);
}

static void on_stop(void *opaque, const json_t *value, const struct qmp_failure *failure)
{
	if (answered(opaque, failure))
		ask(opaque, "query-status", on_status);
}

static void on_event(void *opaque, const char *name, const json_t *event)
{
	struct qmp *qmp = opaque;

	if (!strcmp(name, "RESUME"))
		qmp->ops->resumed(qmp->opaque);
}

static void on_failed(void *opaque, const char *why, bool closed)
{
	qmp_fail(opaque, closed, "%s", why);
}

static const struct qmp_client_ops client_ops = { .event = on_event, .failed = on_failed };

/* The few lines that a VM's stop takes; greeting and negotiation may come whenever they like. */
static void begin(struct qmp *qmp)
{
	static const struct qmp_bounds bounds = { .in = QMP_LINE_MAX, .out = 4096 };

	qmp->client = qmp_client_create(fd_steal(&qmp->fd), &bounds, 0, &client_ops, qmp);
}

struct qmp *qmp_create(int fd, const struct unix_addr *addr, const struct qmp_ops *ops,
		       void *opaque)
{
	struct qmp *qmp = g_new0(struct qmp, 1);

	qmp->fd = fd;
	qmp->ops = ops;
	qmp->opaque = opaque;
	if (addr)
		qmp->addr = *addr;
	else
		begin(qmp);
	return qmp;
}

void qmp_destroy(struct qmp *qmp)
{
	if (!qmp)
		return;
	qmp_client_destroy(qmp->client);
	fd_close(&qmp->fd);
	g_free(qmp);
}

int qmp_unconnected(const struct qmp *qmp)
{
	return qmp->fd;
}

int qmp_poll(const struct qmp *qmp, struct pollfd *p)
{
	*p = (struct pollfd){ .fd = -1 };
	return qmp->client ? qmp_client_poll(qmp->client, p) : -1;
}

void qmp_polled(struct qmp *qmp, const struct pollfd *p)
{
	if (qmp->client)
		qmp_client_polled(qmp->client, p);
}

/* Does not wait: a listener that is there has a place in its queue, or -EAGAIN comes. */
static int qmp_connect(struct qmp *qmp)
{
	int ret = unix_addr_connect(qmp->fd, &qmp->addr);

	if (!ret)
		begin(qmp);
	return ret;
}

int qmp_stop(struct qmp *qmp)
{
	int ret = qmp->fd >= 0 ? qmp_connect(qmp) : 0;

	if (ret)
		return ret;
	if (qmp->client && qmp->stopping)
		qmp->stop_wanted = true;
	else if (qmp->client)
		stop(qmp);
	return qmp->client ? 0 : -ENOTCONN;
}
