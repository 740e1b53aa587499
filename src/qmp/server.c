/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qmp/server.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "qmp/check.h"
#include "qmp/schema.h"

#define ACCEPT_PAUSE 1000	/* ms: the process has no fd to spare */
#define OUT_PAUSE 65536		/* bytes: a client that has these to read is not listened to */

#define NOT_FOUND "CommandNotFound"
#define GENERIC "GenericError"

struct client {
	struct qmp_stream stream;	/* closed: the place is free */
	struct qmp_server *server;
	struct qmp_call *call;		/* that has no answer yet; it owns itself */
	bool negotiated;
	bool ending;			/* nothing more comes from it */
	bool failed;			/* nor is anything more of it wanted */
};

struct listener {
	int fd;				/* owned */
	bool pretty;
	int64_t pause;			/* no accept before this, in ms of clock_ms() */
};

struct qmp_server {
	const struct qmp_server_config *config;
	void *opaque;
	bool preconfig;
	struct listener listener[QMP_SERVER_LISTENERS];
	unsigned listener_count;
	struct client client[QMP_SERVER_CLIENTS];
	/* Of the last poll(): its listeners, and where each client's entry is, plus 1. */
	unsigned polled;
	unsigned at[QMP_SERVER_CLIENTS];
};

struct qmp_call {
	struct client *client;		/* NULL: gone */
	json_t *id;			/* owned; NULL: none */
	const char *name;		/* of the command, in its table */
};

static bool is_there(const struct client *client)
{
	return client->stream.fd >= 0;
}

/* ---- Out ---- */

static void disown(struct client *client)
{
	if (client->call)
		client->call->client = NULL;
	client->call = NULL;
}

static void drop(struct client *client, const char *why)
{
	struct qmp_server *server = client->server;

	if (!is_there(client))
		return;
	disown(client);
	qmp_stream_finish(&client->stream);
	if (why && server->config->dropped)
		server->config->dropped(server->opaque, why);
}

/* Takes @msg over. */
static void say(struct client *client, json_t *msg)
{
	int ret = is_there(client) ? qmp_stream_send(&client->stream, msg, -1) : 0;

	json_decref(msg);
	if (ret == -ENOBUFS)
		drop(client, "it does not read what it is sent");
	else if (ret)
		drop(client, ret == -EPIPE || ret == -ECONNRESET ? NULL : log_errname(ret));
}

static json_t *make_error(const char *class, const char *desc)
{
	json_t *error = json_object();

	json_object_set_new(error, "class", json_string(class));
	json_object_set_new(error, "desc", json_string(desc));
	return error;
}

/* @value is taken over. */
static void answer(struct client *client, const char *key, json_t *value, json_t *id)
{
	json_t *msg = json_object();

	if (id)
		json_object_set(msg, "id", id);
	json_object_set_new(msg, key, value);
	say(client, msg);
}

static void call_finish(struct qmp_call *call, const char *key, json_t *value)
{
	struct client *client = call->client;

	if (client) {
		client->call = NULL;
		answer(client, key, value, call->id);
	} else {
		json_decref(value);
	}
	json_decref(call->id);
	g_free(call);
}

void qmp_reply(struct qmp_call *call, json_t *value)
{
	call_finish(call, "return", value ?: json_object());
}

void qmp_refuse(struct qmp_call *call, const char *class, const char *fmt, ...)
{
	g_autofree char *text = NULL, *valid = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = g_strdup_vprintf(fmt, ap);
	va_end(ap);
	valid = g_utf8_make_valid(text, -1);
	call_finish(call, "error", make_error(class, valid));
}

int qmp_call_fd(struct qmp_call *call)
{
	return call->client ? qmp_stream_take_fd(&call->client->stream) : -1;
}

const char *qmp_call_name(const struct qmp_call *call)
{
	return call->name;
}

bool qmp_call_orphaned(const struct qmp_call *call)
{
	return !call->client;
}

static json_t *timestamp(void)
{
	json_t *stamp = json_object();
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	json_object_set_new(stamp, "seconds", json_integer(ts.tv_sec));
	json_object_set_new(stamp, "microseconds", json_integer(ts.tv_nsec / 1000));
	return stamp;
}

void qmp_server_event(struct qmp_server *server, const char *name, json_t *data)
{
	json_t *event = json_object();

	json_object_set_new(event, "timestamp", timestamp());
	json_object_set_new(event, "event", json_string(name));
	if (data)
		json_object_set_new(event, "data", data);
	for (unsigned i = 0; i < QMP_SERVER_CLIENTS; i++)
		if (is_there(&server->client[i]) && server->client[i].negotiated)
			say(&server->client[i], json_incref(event));
	json_decref(event);
}

/* ---- The server's own commands: their opaque is the client ---- */

static json_t *version_of(const struct qmp_server *server)
{
	json_t *version = json_object(), *numbers = json_object();

	json_object_set_new(numbers, "micro", json_integer(server->config->version.micro));
	json_object_set_new(numbers, "minor", json_integer(server->config->version.minor));
	json_object_set_new(numbers, "major", json_integer(server->config->version.major));
	json_object_set_new(version, "qemu", numbers);
	json_object_set_new(version, "package", json_string(server->config->version.package));
	return version;
}

static void run_capabilities(void *opaque, struct qmp_call *call, const json_t *args)
{
	const json_t *wanted = json_array_get(json_object_get(args, "enable"), 0);
	struct client *client = opaque;

	if (client->negotiated) {
		qmp_refuse(call, NOT_FOUND, "Capabilities negotiation is already complete, "
			   "command ignored");
	} else if (wanted) {
		qmp_refuse(call, GENERIC, "Capability '%s' not available",
			   json_string_value(wanted) ?: "?");
	} else {
		client->negotiated = true;
		qmp_reply(call, NULL);
	}
}

static void run_version(void *opaque, struct qmp_call *call, const json_t *args)
{
	const struct client *client = opaque;

	qmp_reply(call, version_of(client->server));
}

static void run_commands(void *opaque, struct qmp_call *call, const json_t *args);
static void run_schema(void *opaque, struct qmp_call *call, const json_t *args);

static const struct qmp_arg capabilities_args[] = {
	{ "enable", QMP_ARRAY, true },
	{ 0 }
};

static const struct qmp_command own[] = {
	{ "qmp_capabilities", capabilities_args, QMP_NOTHING, QMP_PRECONFIG, run_capabilities },
	{ "query-version", NULL, QMP_OBJECT, QMP_PRECONFIG, run_version },
	{ "query-commands", NULL, QMP_ARRAY, QMP_PRECONFIG, run_commands },
	{ "query-qmp-schema", NULL, QMP_ARRAY, QMP_PRECONFIG, run_schema },
	{ 0 }
};

static void add_names(json_t *list, const struct qmp_command *commands)
{
	for (; commands->name; commands++) {
		json_t *info;

		if (commands->flags & QMP_UNLISTED)
			continue;
		info = json_object();
		json_object_set_new(info, "name", json_string(commands->name));
		json_array_append_new(list, info);
	}
}

static void run_commands(void *opaque, struct qmp_call *call, const json_t *args)
{
	const struct client *client = opaque;
	json_t *list = json_array();

	add_names(list, own);
	add_names(list, client->server->config->commands);
	qmp_reply(call, list);
}

static void run_schema(void *opaque, struct qmp_call *call, const json_t *args)
{
	const struct qmp_server_config *config = ((struct client *)opaque)->server->config;
	json_t *list = json_array();

	qmp_schema_add(list, own, NULL);
	qmp_schema_add(list, config->commands, config->events);
	qmp_schema_add_types(list);
	qmp_reply(call, list);
}

static const struct qmp_command *find(const struct qmp_command *commands, const char *name)
{
	for (; commands->name; commands++)
		if (!strcmp(commands->name, name))
			return commands;
	return NULL;
}

/* ---- In ---- */

static void run(struct client *client, const struct qmp_command *command, void *opaque,
		struct qmp_call *call, const json_t *args)
{
	g_autofree char *wrong = qmp_check_args(command, args);
	json_t *none = args ? NULL : json_object();

	call->name = command->name;
	if (wrong)
		qmp_refuse(call, GENERIC, "%s", wrong);
	else if (client->server->preconfig && !(command->flags & QMP_PRECONFIG))
		qmp_refuse(call, GENERIC, "The command '%s' is permitted only after machine "
			   "initialization has completed", command->name);
	else
		command->run(opaque, call, args ?: none);
	json_decref(none);
}

static void dispatch(struct client *client, struct qmp_call *call, const json_t *text)
{
	const json_t *oob = json_object_get(text, "exec-oob");
	const char *name = json_string_value(json_object_get(text, "execute") ?: oob);
	const json_t *args = json_object_get(text, "arguments");
	const struct qmp_command *mine = find(own, name);
	const struct qmp_command *theirs = find(client->server->config->commands, name);

	if (!client->negotiated && mine != own)
		qmp_refuse(call, NOT_FOUND,
			   "Expecting capabilities negotiation with 'qmp_capabilities'");
	else if (!mine && !theirs)
		qmp_refuse(call, NOT_FOUND, "The command %s has not been found", name);
	else if (oob)
		qmp_refuse(call, GENERIC, "The command %s does not support OOB", name);
	else if (mine)
		run(client, mine, client, call, args);
	else
		run(client, theirs, client->server->opaque, call, args);
}

static void on_text(struct client *client, json_t *text)
{
	g_autofree char *wrong = qmp_check_text(text);
	struct qmp_call *call = g_new0(struct qmp_call, 1);

	call->client = client;
	call->id = json_incref(json_object_get(text, "id"));
	client->call = call;
	if (wrong)
		qmp_refuse(call, GENERIC, "%s", wrong);
	else
		dispatch(client, call, text);
}

static bool may_go_on(const struct client *client)
{
	return is_there(client) && !client->call && !client->failed &&
	       qmp_stream_pending(&client->stream) < OUT_PAUSE;
}

static void refuse_text(struct client *client, const char *what)
{
	g_autofree char *desc = g_strdup_printf("JSON parse error, %s", what);

	answer(client, "error", make_error(GENERIC, desc), NULL);
}

static void on_texts(struct client *client)
{
	while (may_go_on(client)) {
		json_t *text;
		int ret = qmp_stream_next(&client->stream, &text);

		if (ret == -EAGAIN)
			return;
		if (!ret) {
			on_text(client, text);
			json_decref(text);
			continue;
		}
		/* Too long or too deep: where the next one starts, nobody knows. */
		client->failed = ret != -EBADMSG;
		refuse_text(client, client->stream.why);
	}
}

static void receive(struct client *client)
{
	int ret = qmp_stream_receive(&client->stream);

	if (ret == -EBADMSG)
		drop(client, client->stream.why);
	else if (ret == -ECONNRESET)
		drop(client, NULL);
	else if (ret == -ENODATA || ret == -EPIPE)
		client->ending = true;
	else if (ret && ret != -EAGAIN)
		drop(client, log_errname(ret));
}

/* One that has ended gets its answers, while there is an end to take them. */
static void settle(struct client *client)
{
	bool over = client->failed || (client->ending && !client->call &&
				       !qmp_stream_holds(&client->stream));

	if (!is_there(client) || !over || qmp_stream_pending(&client->stream))
		return;
	drop(client, client->failed ? client->stream.why : NULL);
}

static void serve(struct client *client, short revents)
{
	int ret = qmp_stream_pending(&client->stream) ? qmp_stream_flush(&client->stream) : 0;

	if (ret && ret != -EAGAIN) {
		drop(client, ret == -EPIPE || ret == -ECONNRESET ? NULL : log_errname(ret));
		return;
	}
	if (may_go_on(client) && !client->ending && revents & (POLLIN | POLLHUP | POLLERR))
		receive(client);
	else if (revents & (POLLHUP | POLLERR) && (client->ending || !may_go_on(client)))
		drop(client, NULL);
	on_texts(client);
	settle(client);
}

/* ---- Clients come ---- */

static struct client *free_place(struct qmp_server *server)
{
	for (unsigned i = 0; i < server->config->max_clients; i++)
		if (!is_there(&server->client[i]))
			return &server->client[i];
	return NULL;
}

static void greet(struct client *client)
{
	json_t *greeting = json_object(), *inner = json_object();

	json_object_set_new(inner, "version", version_of(client->server));
	json_object_set_new(inner, "capabilities", json_array());
	json_object_set_new(greeting, "QMP", inner);
	say(client, greeting);
}

int qmp_server_add(struct qmp_server *server, int fd, bool pretty)
{
	struct client *client = free_place(server);

	if (!client) {
		fd_close(&fd);
		return -EBUSY;
	}
	*client = (struct client){ .server = server };
	qmp_stream_init(&client->stream, fd, &server->config->bounds);
	client->stream.takes_fds = server->config->takes_fds;
	client->stream.pretty = pretty;
	greet(client);
	return 0;
}

int qmp_server_listen(struct qmp_server *server, int fd, bool pretty)
{
	if (server->listener_count == QMP_SERVER_LISTENERS) {
		fd_close(&fd);
		return -ENOSPC;
	}
	server->listener[server->listener_count++] = (struct listener){ .fd = fd,
									.pretty = pretty };
	return 0;
}

static void accept_one(struct qmp_server *server, struct listener *listener)
{
	int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0)
		qmp_server_add(server, fd, listener->pretty);
	else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
		listener->pause = clock_ms() + ACCEPT_PAUSE;
}

/* ---- The loop ---- */

static int poll_listener(struct qmp_server *server, struct listener *listener, struct pollfd *p)
{
	int64_t left = listener->pause ? listener->pause - clock_ms() : 0;

	*p = (struct pollfd){ .fd = -1, .events = POLLIN };
	if (!free_place(server))
		return -1;
	if (left > 0)
		return left;
	listener->pause = 0;
	p->fd = listener->fd;
	return -1;
}

/* Is there something to do without waiting for the socket? */
static bool has_more(const struct client *client)
{
	return qmp_stream_holds(&client->stream) ||
	       (client->ending && !qmp_stream_pending(&client->stream));
}

static void poll_client(const struct client *client, struct pollfd *p)
{
	bool listens = may_go_on(client) && !client->ending;

	*p = (struct pollfd){
		.fd = client->stream.fd,
		.events = (listens ? POLLIN : 0) |
			  (qmp_stream_pending(&client->stream) ? POLLOUT : 0),
	};
}

int qmp_server_poll(struct qmp_server *server, struct pollfd p[QMP_SERVER_POLL],
		    unsigned *ret_count)
{
	unsigned count = 0;
	int wait_ms = -1;

	for (unsigned i = 0; i < server->listener_count; i++) {
		int ms = poll_listener(server, &server->listener[i], &p[count++]);

		if (ms >= 0 && (wait_ms < 0 || ms < wait_ms))
			wait_ms = ms;
	}
	for (unsigned i = 0; i < QMP_SERVER_CLIENTS; i++) {
		const struct client *client = &server->client[i];

		server->at[i] = 0;
		if (!is_there(client))
			continue;
		poll_client(client, &p[count]);
		server->at[i] = ++count;
		/* An answer was given between two polls, and there is more to do. */
		if (may_go_on(client) && has_more(client))
			wait_ms = 0;
	}
	server->polled = server->listener_count;
	*ret_count = count;
	return wait_ms;
}

void qmp_server_polled(struct qmp_server *server, const struct pollfd *p, unsigned count)
{
	for (unsigned i = 0; i < QMP_SERVER_CLIENTS; i++) {
		unsigned at = server->at[i];

		if (at && at <= count && is_there(&server->client[i]))
			serve(&server->client[i], p[at - 1].revents);
		server->at[i] = 0;
	}
	for (unsigned i = 0; i < server->polled && i < count; i++)
		if (p[i].fd >= 0 && p[i].revents && free_place(server))
			accept_one(server, &server->listener[i]);
}

bool qmp_server_pending(const struct qmp_server *server)
{
	for (unsigned i = 0; i < QMP_SERVER_CLIENTS; i++)
		if (is_there(&server->client[i]) && qmp_stream_pending(&server->client[i].stream))
			return true;
	return false;
}

void qmp_server_set_preconfig(struct qmp_server *server, bool on)
{
	server->preconfig = on;
}

struct qmp_server *qmp_server_create(const struct qmp_server_config *config, void *opaque)
{
	struct qmp_server *server = g_new0(struct qmp_server, 1);

	server->config = config;
	server->opaque = opaque;
	for (unsigned i = 0; i < QMP_SERVER_CLIENTS; i++)
		server->client[i].stream.fd = -1;
	return server;
}

void qmp_server_destroy(struct qmp_server *server)
{
	if (!server)
		return;
	for (unsigned i = 0; i < QMP_SERVER_CLIENTS; i++) {
		disown(&server->client[i]);
		qmp_stream_finish(&server->client[i].stream);
	}
	for (unsigned i = 0; i < server->listener_count; i++)
		fd_close(&server->listener[i].fd);
	g_free(server);
}
