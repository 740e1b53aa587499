/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * One client of a relayed monitor.  What QEMU is to do goes to it at once, as it came.  What is
 * not QEMU's alone waits until QEMU has answered all before it, and what comes behind it waits for
 * its answer: answers come in the order of the commands.  Out-of-band commands are QEMU's.
 */

#include <errno.h>
#include <string.h>

#include <glib-unix.h>

#include "applets/orchestrate/run/relay-priv.h"
#include "base/fd.h"
#include "base/log.h"

/* query-qmp-schema alone has 200 KiB; a client that does not read is not read from. */
#define TEXT_MAX (16u << 20)
#define UNREAD_MAX (4u << 20)
/* How long a remote has for a command: it may write back an image. */
#define REMOTE_MS 60000

struct end {
	struct session *session;
	struct qmp_stream stream;
	guint watch;
	GIOCondition wanted;
};

struct session {
	struct relay_door *door;
	struct end client, qemu;
	unsigned open;		/* commands that QEMU has not answered */
	GPtrArray *oob;		/* json_t *: ids of out-of-band commands in QEMU */
	json_t *held;		/* the command that is not QEMU's alone; or NULL */
	int held_fd;
	struct route route;	/* of it */
	char *why;		/* it fails, whatever the remote answers */
	bool busy;		/* it is being done */
	bool negotiated;
	bool over;		/* what is queued is still sent */
	bool dead;		/* nobody is there any more; answers that come go nowhere */
	unsigned refs;		/* the door's, and one for each question that is open */
};

static void pump(struct session *session);

/* ---- Streams ---- */

static gboolean end_ready(int fd, GIOCondition condition, void *opaque);

static void watch_end(struct end *end, bool read)
{
	GIOCondition wanted = (read ? G_IO_IN : 0) |
			      (qmp_stream_pending(&end->stream) ? G_IO_OUT : 0);

	if (end->watch && wanted == end->wanted)
		return;
	if (end->watch)
		g_source_remove(end->watch);
	end->wanted = wanted;
	end->watch = wanted ? g_unix_fd_add(end->stream.fd, wanted, end_ready, end) : 0;
}

static void watch(struct session *session)
{
	bool held = session->held;

	watch_end(&session->client, !session->over && !held &&
		  qmp_stream_pending(&session->qemu.stream) < UNREAD_MAX);
	watch_end(&session->qemu, !session->over &&
		  qmp_stream_pending(&session->client.stream) < UNREAD_MAX);
}

static void end_finish(struct end *end)
{
	if (end->watch)
		g_source_remove(end->watch);
	end->watch = 0;
	qmp_stream_finish(&end->stream);
}

static void stop(struct session *session)
{
	session->over = true;
}

static void send_client(struct session *session, json_t *msg)
{
	if (qmp_stream_send(&session->client.stream, msg, -1))
		stop(session);
	json_decref(msg);
}

static void send_text(struct session *session, struct end *to, const char *text, size_t len, int fd)
{
	/* The line's end is the sender's; the stream adds its own. */
	while (len && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	if (qmp_stream_send_text(&to->stream, text, len, fd))
		stop(session);
}

/* ---- The command that is not QEMU's alone ---- */

static void held_done(struct session *session)
{
	json_decref(session->held);
	session->held = NULL;
	fd_close(&session->held_fd);
	route_clear(&session->route);
	g_clear_pointer(&session->why, g_free);
	session->busy = false;
}

/* {"return": @value} or {"error": ...}, with the command's id; takes @body over. */
static void answer(struct session *session, json_t *body)
{
	json_t *id = json_object_get(session->held, "id");

	if (id)
		json_object_set(body, "id", id);
	held_done(session);
	send_client(session, body);
}

static void answer_error(struct session *session, const char *class, const char *desc)
{
	answer(session, json_pack("{s:{s:s, s:s}}", "error", "class", class, "desc", desc));
}

static const char *held_name(const struct session *session)
{
	return json_string_value(json_object_get(session->held, "execute"));
}

static void session_unref(struct session *session)
{
	if (--session->refs)
		return;
	g_free(session->why);
	g_free(session);
}

/* Goes on after an answer that came by itself. */
static void resume(struct session *session)
{
	if (!session->dead)
		pump(session);
	session_unref(session);
}

static char *describe_failure(struct session *session, const struct qmp_failure *failure)
{
	const struct plan_process *process =
		session->door->relay->remotes[session->route.remote].process;

	return g_strdup_printf("%s: this disk is in the process of %s, which %s%s",
			       held_name(session), process->serves, failure->class ?
			       "has no such command" : "does not answer: ",
			       failure->class ? "" : failure->desc);
}

/* A medium that was changed took its node along. */
static bool is_well(const struct session *session, const struct qmp_failure *failure)
{
	return session->route.gone_is_well && failure->class &&
	       g_str_has_prefix(failure->desc, "Failed to find node");
}

static void remote_answers(void *opaque, const json_t *value, const struct qmp_failure *failure)
{
	struct session *session = opaque;
	g_autofree char *text = NULL;

	if (session->dead) {
		session_unref(session);
		return;
	}
	if (value || is_well(session, failure)) {
		route_done(session->door->relay, held_name(session),
			   json_object_get(session->held, "arguments"), session->route.remote);
		answer(session, value ? json_pack("{s:O}", "return", value) :
					json_pack("{s:{}}", "return"));
	} else if (session->why) {
		text = g_steal_pointer(&session->why);
		answer_error(session, "GenericError", text);
	} else if (!failure->class || !strcmp(failure->class, "CommandNotFound")) {
		text = describe_failure(session, failure);
		answer_error(session, "GenericError", text);
	} else {
		answer_error(session, failure->class, failure->desc);
	}
	resume(session);
}

/* Of a node that comes before: the first reason is why the command fails. */
static void node_answers(void *opaque, const json_t *value, const struct qmp_failure *failure)
{
	struct session *session = opaque;

	if (failure && !session->why)
		session->why = g_strdup(failure->desc);
	session_unref(session);
}

static void send_nodes(struct session *session, struct qmp_client *client)
{
	json_t *args;
	size_t i;

	json_array_foreach(session->route.nodes, i, args) {
		session->refs++;
		if (qmp_client_execute(client, "blockdev-add", json_deep_copy(args), -1,
				       REMOTE_MS, node_answers, session))
			session->refs--;
	}
}

static void ask_remote(struct session *session)
{
	struct relay_remote *remote = &session->door->relay->remotes[session->route.remote];
	struct qmp_failure failure = { .desc = "its monitor is gone" };
	int ret = -ENOTCONN;

	session->refs++;
	if (remote->client && session->route.nodes)
		send_nodes(session, remote->client);
	if (remote->client)
		ret = qmp_client_execute(remote->client, session->route.name,
					 g_steal_pointer(&session->route.args),
					 fd_steal(&session->held_fd), REMOTE_MS, remote_answers,
					 session);
	if (!ret)
		return;
	if (ret != -ENOTCONN)
		failure.desc = log_errname(ret);
	remote_answers(session, NULL, &failure);
}

static void merged(void *opaque, json_t *reply)
{
	struct session *session = opaque;

	if (session->dead) {
		json_decref(reply);
		session_unref(session);
		return;
	}
	held_done(session);
	send_client(session, reply);
	resume(session);
}

/* The held command's turn has come: QEMU has answered all before it. */
static void start_held(struct session *session)
{
	g_autofree char *text = NULL;

	session->busy = true;
	if (session->route.kind == ROUTE_MERGE) {
		text = json_dumps(session->held, 0);
		session->open++;
		send_text(session, &session->qemu, text, strlen(text), -1);
	} else if (session->route.kind == ROUTE_REMOTE) {
		ask_remote(session);
	} else if (session->route.kind == ROUTE_DONE) {
		route_done(session->door->relay, held_name(session),
			   json_object_get(session->held, "arguments"), -1);
		answer(session, json_pack("{s:{}}", "return"));
	} else {
		answer_error(session, "GenericError", session->route.why);
	}
}

/* ---- From the client ---- */

static void to_qemu(struct session *session, const char *text, size_t len, int fd,
		    const json_t *command)
{
	json_t *id = json_object_get(command, "id");

	if (json_object_get(command, "exec-oob"))
		g_ptr_array_add(session->oob, id ? json_incref(id) : json_null());
	else
		session->open++;
	send_text(session, &session->qemu, text, len, fd);
}

static void take_command(struct session *session, const char *text, size_t len)
{
	json_t *command = json_loadb(text, len, 0, NULL);
	const char *name = json_string_value(json_object_get(command, "execute"));
	json_t *args = json_object_get(command, "arguments");
	autofd fd = qmp_stream_take_fd(&session->client.stream);
	struct route route = { .kind = ROUTE_QEMU };

	if (name && (!args || json_is_object(args)))
		route = route_find(session->door->relay, name, args);
	/* Also what is no JSON: QEMU says what is wrong with it. */
	if (route.kind == ROUTE_QEMU) {
		if (name)
			route_done(session->door->relay, name, args, -1);
		to_qemu(session, text, len, fd_steal(&fd), command);
		json_decref(command);
		return;
	}
	session->held = command;
	session->held_fd = fd_steal(&fd);
	session->route = route;
}

static void pump_client(struct session *session)
{
	const char *text;
	size_t len;
	int ret = 0;

	while (!session->over && !ret) {
		if (session->held && (session->busy || session->open))
			return;
		if (session->held) {
			start_held(session);
			continue;
		}
		ret = qmp_stream_next_text(&session->client.stream, &text, &len);
		if (!ret)
			take_command(session, text, len);
		else if (ret != -EAGAIN)
			stop(session);
	}
}

/* ---- From QEMU ---- */

/* An answer to a command, and not to one that was out of band? */
static bool is_ours(struct session *session, const json_t *reply)
{
	json_t *id = json_object_get(reply, "id");

	for (unsigned i = 0; i < session->oob->len; i++)
		if (id && json_equal(session->oob->pdata[i], id)) {
			json_decref(session->oob->pdata[i]);
			g_ptr_array_remove_index(session->oob, i);
			return false;
		}
	return session->open;
}

/* Returns true when it was the list that others are merged into. */
static bool take_reply(struct session *session, const json_t *reply)
{
	if (!is_ours(session, reply))
		return false;
	session->open--;
	if (json_object_get(reply, "return"))
		session->negotiated = true;
	if (!session->busy || session->route.kind != ROUTE_MERGE)
		return false;
	session->refs++;
	merge_start(session->door->relay, held_name(session),
		    json_object_get(session->held, "arguments"), reply, merged, session);
	return true;
}

static void take_message(struct session *session, const char *text, size_t len)
{
	json_t *message = json_loadb(text, len, 0, NULL);
	bool reply = json_object_get(message, "return") || json_object_get(message, "error");
	/* Numbers that no json_int_t holds: only that it is an answer counts. */
	bool unread = !message && (g_str_has_prefix(text, "{\"return\"") ||
				   g_str_has_prefix(text, "{\"error\""));
	autofd fd = qmp_stream_take_fd(&session->qemu.stream);
	bool taken = reply && take_reply(session, message);

	if (unread && session->open)
		session->open--;
	json_decref(message);
	if (!taken)
		send_text(session, &session->client, text, len, fd_steal(&fd));
}

static void pump_qemu(struct session *session)
{
	const char *text;
	size_t len;
	int ret = 0;

	while (!session->over && !ret) {
		ret = qmp_stream_next_text(&session->qemu.stream, &text, &len);
		if (!ret)
			take_message(session, text, len);
		else if (ret != -EAGAIN)
			stop(session);
	}
}

/* ---- The whole ---- */

/* Does what can be done, and closes the session when it is over and all is sent. */
static void pump(struct session *session)
{
	session->refs++;
	pump_qemu(session);
	pump_client(session);
	if (session->over && !qmp_stream_pending(&session->client.stream))
		qmp_relay_door_open(session->door);
	else if (!session->dead)
		watch(session);
	session_unref(session);
}

static gboolean end_ready(int fd, GIOCondition condition, void *opaque)
{
	struct end *end = opaque;
	struct session *session = end->session;
	int ret = 0;

	if (condition & ~G_IO_OUT && !session->over) {
		ret = qmp_stream_receive(&end->stream);
		if (ret && ret != -EAGAIN)
			stop(session);
	}
	ret = qmp_stream_flush(&end->stream);
	if (ret && ret != -EAGAIN) {
		qmp_relay_door_open(session->door);
		return G_SOURCE_REMOVE;
	}
	/* What came with the end is passed on before it. */
	if (session->over) {
		session->over = false;
		pump_qemu(session);
		session->over = true;
	}
	pump(session);
	return G_SOURCE_CONTINUE;
}

void session_event(struct session *session, const json_t *event)
{
	if (!session->negotiated || session->over)
		return;
	if (qmp_stream_send(&session->client.stream, event, -1))
		stop(session);
	pump(session);
}

void session_drain(struct session *session)
{
	session->refs++;
	session->over = false;
	do
		pump_qemu(session);
	while (!session->over && qmp_stream_receive(&session->qemu.stream) == 0);
	qmp_stream_flush(&session->client.stream);
	session->over = true;
	session_unref(session);
}

static void end_init(struct session *session, struct end *end, int fd)
{
	static const struct qmp_bounds bounds = { .in = TEXT_MAX, .out = TEXT_MAX };

	end->session = session;
	qmp_stream_init(&end->stream, fd, &bounds);
	end->stream.takes_fds = true;
}

struct session *session_create(struct relay_door *door, int fd, int qemu)
{
	struct session *session = g_new0(struct session, 1);

	session->door = door;
	session->refs = 1;
	session->held_fd = -1;
	session->oob = g_ptr_array_new();
	end_init(session, &session->client, fd);
	end_init(session, &session->qemu, qemu);
	watch(session);
	return session;
}

void session_destroy(struct session *session)
{
	if (!session)
		return;
	session->dead = session->over = true;
	end_finish(&session->client);
	end_finish(&session->qemu);
	held_done(session);
	for (unsigned i = 0; i < session->oob->len; i++)
		json_decref(session->oob->pdata[i]);
	g_ptr_array_unref(session->oob);
	session_unref(session);
}
