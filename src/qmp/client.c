/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qmp/client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/unixaddr.h"

/* QEMU's docs/interop/qmp-spec: 2.2 greeting, 2.3 commands, 2.4 answers, 2.5 events. */

enum state { STATE_GREETING, STATE_CAPABILITIES, STATE_READY, STATE_DEAD };

const struct qmp_bounds qmp_client_bounds = { .in = 16 << 20, .out = 1 << 20 };

/* A command that has no answer. */
struct command {
	json_t *msg;			/* not sent yet; owned */
	int passed;			/* with @msg; owned */
	char name[48];			/* for messages */
	json_int_t id;
	uint64_t end;			/* of @msg in what is sent, once it is queued */
	int64_t deadline;		/* ms of clock_ms(); 0: none */
	int limit_ms;
	qmp_done_fn *done;
	void *opaque;
};

struct qmp_client {
	struct qmp_stream stream;
	const struct qmp_client_ops *ops;
	void *opaque;
	enum state state;
	json_t *greeting;		/* owned, until it is told */
	json_int_t last_id;
	struct command open[QMP_CLIENT_OPEN];	/* the oldest first */
	unsigned open_count;
	unsigned busy;			/* calls that stand on the stack */
	bool doomed;			/* to be freed when they return */
};

/* ---- The end ---- */

static void command_clear(struct command *command)
{
	json_decref(command->msg);
	fd_close(&command->passed);
}

/* Takes the oldest one off. */
static struct command shift(struct qmp_client *client)
{
	struct command first = client->open[0];

	memmove(client->open, client->open + 1, --client->open_count * sizeof(first));
	return first;
}

static void client_free(struct qmp_client *client)
{
	while (client->open_count) {
		struct command command = shift(client);

		command_clear(&command);
	}
	json_decref(client->greeting);
	qmp_stream_finish(&client->stream);
	g_free(client);
}

static void enter(struct qmp_client *client)
{
	client->busy++;
}

static void leave(struct qmp_client *client)
{
	if (!--client->busy && client->doomed)
		client_free(client);
}

void qmp_client_destroy(struct qmp_client *client)
{
	if (!client)
		return;
	client->doomed = true;
	client->state = STATE_DEAD;
	if (!client->busy)
		client_free(client);
}

static void fail(struct qmp_client *client, bool closed, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void fail(struct qmp_client *client, bool closed, const char *fmt, ...)
{
	char why[300];
	struct qmp_failure failure = { .desc = why };
	va_list ap;

	if (client->state == STATE_DEAD)
		return;
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	client->state = STATE_DEAD;
	qmp_stream_finish(&client->stream);
	while (client->open_count && !client->doomed) {
		struct command command = shift(client);

		command_clear(&command);
		if (command.done)
			command.done(command.opaque, NULL, &failure);
	}
	if (client->ops->failed && !client->doomed)
		client->ops->failed(client->opaque, why, closed);
}

/* ---- Out ---- */

static int send_command(struct qmp_client *client, struct command *command)
{
	json_t *msg = command->msg;
	int ret;

	command->msg = NULL;
	ret = qmp_stream_send(&client->stream, msg, fd_steal(&command->passed));
	json_decref(msg);
	command->end = client->stream.queued;
	return ret;
}

/* What waited for the greeting. */
static void send_waiting(struct qmp_client *client)
{
	for (unsigned i = 0; i < client->open_count; i++) {
		int ret = client->open[i].msg ? send_command(client, &client->open[i]) : 0;

		if (ret) {
			fail(client, false, "%s", log_errname(ret));
			return;
		}
	}
}

static json_t *make_message(const char *name, json_t *args, json_int_t id)
{
	json_t *msg = json_object();

	json_object_set_new(msg, "execute", json_string(name));
	if (args)
		json_object_set_new(msg, "arguments", args);
	json_object_set_new(msg, "id", json_integer(id));
	return msg;
}

static struct command make_command(struct qmp_client *client, const char *name, json_t *args,
				   int limit_ms)
{
	struct command command = { .id = ++client->last_id, .passed = -1, .limit_ms = limit_ms };

	g_strlcpy(command.name, name, sizeof(command.name));
	command.msg = make_message(name, args, command.id);
	command.deadline = limit_ms ? clock_ms() + limit_ms : 0;
	return command;
}

int qmp_client_execute(struct qmp_client *client, const char *name, json_t *args, int passed,
		       int limit_ms, qmp_done_fn *done, void *opaque)
{
	autofd fd = passed;
	struct command *command;
	int ret = 0;

	if (client->state == STATE_DEAD || client->open_count == QMP_CLIENT_OPEN) {
		json_decref(args);
		return client->state == STATE_DEAD ? -ENOTCONN : -EBUSY;
	}
	command = &client->open[client->open_count++];
	*command = make_command(client, name, args, limit_ms);
	command->passed = fd_steal(&fd);
	command->done = done;
	command->opaque = opaque;
	if (client->state == STATE_READY)
		ret = send_command(client, command);
	if (!ret)
		return 0;
	client->open_count--;
	command_clear(command);
	return ret;
}

/* ---- In ---- */

/* The oldest command is qmp_capabilities. */
static void on_greeting(struct qmp_client *client, const json_t *text)
{
	json_t *greeting = json_object_get(text, "QMP");
	int ret;

	if (!json_is_object(greeting)) {
		fail(client, false, "it did not greet as a QMP monitor does");
		return;
	}
	client->greeting = json_incref(greeting);
	client->state = STATE_CAPABILITIES;
	ret = send_command(client, &client->open[0]);
	if (ret)
		fail(client, false, "%s", log_errname(ret));
}

static void on_capabilities(struct qmp_client *client)
{
	json_t *greeting = client->greeting;

	client->greeting = NULL;
	client->state = STATE_READY;
	if (client->ops->ready)
		client->ops->ready(client->opaque, greeting);
	json_decref(greeting);
	if (client->state == STATE_READY)
		send_waiting(client);
}

/*
 * Was the oldest command asked, all of it, and is this its id?  An error without one is of it, too:
 * of a text that QEMU could not read.
 */
static bool is_of_first(const struct qmp_client *client, const json_t *id, const json_t *error)
{
	const struct command *first = &client->open[0];

	if (!client->open_count || first->msg || client->stream.sent < first->end)
		return false;
	return id ? json_is_integer(id) && json_integer_value(id) == first->id : error != NULL;
}

static void on_answer(struct qmp_client *client, const json_t *text)
{
	const json_t *id = json_object_get(text, "id"), *error = json_object_get(text, "error");
	const json_t *value = json_object_get(text, "return");
	const char *desc = json_string_value(json_object_get(error, "desc"));
	const char *class = json_string_value(json_object_get(error, "class"));
	struct qmp_failure failure = { class ?: "", desc ?: "no reason given" };
	struct command command;

	if (!value == !error || !is_of_first(client, id, error)) {
		fail(client, false, "it answered what was not asked");
		return;
	}
	if (client->state == STATE_CAPABILITIES && error) {
		fail(client, false, "it refused: %.200s", failure.desc);
		return;
	}
	command = shift(client);
	if (client->state == STATE_CAPABILITIES)
		on_capabilities(client);
	else if (command.done)
		command.done(command.opaque, value, error ? &failure : NULL);
}

/*
 * One before the greeting is not ours: QEMU 7.2 tells the events of the moment between accept() and
 * its greeting to whom it takes for the client before us.
 */
static void on_event(struct qmp_client *client, const json_t *text, const json_t *name)
{
	if (client->state != STATE_GREETING && json_is_string(name) && client->ops->event)
		client->ops->event(client->opaque, json_string_value(name), text);
}

static void on_text(struct qmp_client *client, const json_t *text)
{
	const json_t *event = json_object_get(text, "event");

	if (!json_is_object(text))
		fail(client, false, "a line of it is no JSON object");
	else if (event)
		on_event(client, text, event);
	else if (client->state == STATE_GREETING)
		on_greeting(client, text);
	else
		on_answer(client, text);
}

static void on_texts(struct qmp_client *client)
{
	while (client->state != STATE_DEAD) {
		json_t *text;
		int ret = qmp_stream_next(&client->stream, &text);

		if (ret == -EAGAIN)
			return;
		if (ret == -EBADMSG)
			fail(client, false, "a line of it is no JSON object");
		else if (ret)
			fail(client, false, "a line of it: %s", client->stream.why);
		if (ret)
			return;
		on_text(client, text);
		json_decref(text);
	}
}

static void receive(struct qmp_client *client)
{
	int ret = qmp_stream_receive(&client->stream);

	if (!ret)
		on_texts(client);
	else if (ret == -EPIPE || (ret == -ECONNRESET && client->stream.inside))
		fail(client, false, "it closed the connection inside a line");
	else if (ret == -ENODATA || ret == -ECONNRESET)
		fail(client, true, "it closed the connection");
	else if (ret != -EAGAIN)
		fail(client, false, "%s", log_errname(ret));
}

/* ---- The loop ---- */

/* The one whose time is over first; NULL: none has a limit. */
static const struct command *most_urgent(const struct qmp_client *client)
{
	const struct command *first = NULL;

	for (unsigned i = 0; i < client->open_count; i++) {
		const struct command *command = &client->open[i];

		if (command->deadline && (!first || command->deadline < first->deadline))
			first = command;
	}
	return first;
}

int qmp_client_poll(const struct qmp_client *client, struct pollfd *p)
{
	const struct command *first = most_urgent(client);
	int64_t left;

	*p = (struct pollfd){ .fd = -1 };
	if (client->state == STATE_DEAD)
		return -1;
	p->fd = client->stream.fd;
	p->events = POLLIN | (qmp_stream_pending(&client->stream) ? POLLOUT : 0);
	if (!first)
		return -1;
	left = first->deadline - clock_ms();
	return left < 0 ? 0 : left < INT_MAX ? left : INT_MAX;
}

static void check_time(struct qmp_client *client)
{
	const struct command *first = most_urgent(client);

	if (client->state == STATE_DEAD || !first || clock_ms() < first->deadline)
		return;
	fail(client, false, "it has not answered %s for %g s", client->state < STATE_READY ?
	     "qmp_capabilities" : first->name, first->limit_ms / 1000.0);
}

void qmp_client_polled(struct qmp_client *client, const struct pollfd *p)
{
	int ret = 0;

	enter(client);
	if (client->state != STATE_DEAD && p->fd >= 0 && p->revents) {
		if (qmp_stream_pending(&client->stream))
			ret = qmp_stream_flush(&client->stream);
		/* What it said before it went counts: the end comes out of the socket, too. */
		if (!ret || ret == -EAGAIN || ret == -EPIPE || ret == -ECONNRESET)
			receive(client);
		else
			fail(client, false, "%s", log_errname(ret));
	}
	check_time(client);
	leave(client);
}

bool qmp_client_dead(const struct qmp_client *client)
{
	return client->state == STATE_DEAD;
}

/* ---- The beginning ---- */

struct qmp_client *qmp_client_create(int fd, const struct qmp_bounds *bounds, int limit_ms,
				     const struct qmp_client_ops *ops, void *opaque)
{
	struct qmp_client *client = g_new0(struct qmp_client, 1);

	qmp_stream_init(&client->stream, fd, bounds);
	client->ops = ops;
	client->opaque = opaque;
	/* Its message is sent by on_greeting(). */
	client->open[0] = make_command(client, "qmp_capabilities", NULL, limit_ms);
	client->open_count = 1;
	return client;
}

int qmp_client_connect(const struct unix_addr *addr, int *ret_fd)
{
	autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int ret = fd < 0 ? -errno : unix_addr_connect(fd, addr);

	if (!ret)
		*ret_fd = fd_steal(&fd);
	return ret;
}
