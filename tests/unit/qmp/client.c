/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A client of a monitor: first monitors that are none. */
#include "qmp/client.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../util.h"
#include "base/fd.h"
#include "base/unixaddr.h"
#include "qmp/server.h"
#include "qmp/source.h"
#include "rig.h"

#define EVENT "{\"event\": \"EVENT\"}"
#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n"
#define RETURN(id) "{\"return\": {}, \"id\": " #id "}\r\n"

struct world {
	struct qmp_client *client;
	int peer;
	unsigned fds;
	bool destroys;			/* in each callback */
	unsigned ready, events, done, refused, lost;
	unsigned failed;
	bool closed;
	char why[300];
	char last[300];			/* the last answer, as text */
};

static void maybe_destroy(struct world *w)
{
	if (w->destroys)
		g_clear_pointer(&w->client, qmp_client_destroy);
}

static void on_ready(void *opaque, const json_t *greeting)
{
	struct world *w = opaque;

	g_assert_true(json_is_object(json_object_get(greeting, "version")));
	w->ready++;
	maybe_destroy(w);
}

static void on_event(void *opaque, const char *name, const json_t *event)
{
	struct world *w = opaque;

	g_assert_cmpstr(name, ==, "EVENT");
	w->events++;
	maybe_destroy(w);
}

static void on_failed(void *opaque, const char *why, bool closed)
{
	struct world *w = opaque;

	w->failed++;
	w->closed = closed;
	g_strlcpy(w->why, why, sizeof(w->why));
	maybe_destroy(w);
}

static const struct qmp_client_ops ops = { on_ready, on_event, on_failed };

static void on_done(void *opaque, const json_t *value, const struct qmp_failure *failure)
{
	struct world *w = opaque;

	g_assert_true(!value == !!failure);
	w->done++;
	if (failure) {
		w->refused += failure->class != NULL;
		w->lost += failure->class == NULL;
		g_strlcpy(w->last, failure->desc, sizeof(w->last));
	} else {
		char *text = json_dumps(value, JSON_ENCODE_ANY);

		g_strlcpy(w->last, text, sizeof(w->last));
		free(text);
	}
	maybe_destroy(w);
}

static const struct qmp_bounds bounds = { .in = 4096, .out = 8192 };

static void world_up(struct world *w, int limit_ms)
{
	int theirs;

	*w = (struct world){ .fds = open_fds() };
	pair(&w->peer, &theirs);
	w->client = qmp_client_create(theirs, &bounds, limit_ms, &ops, w);
}

static void world_down(struct world *w)
{
	qmp_client_destroy(w->client);
	fd_close(&w->peer);
	g_assert_cmpuint(open_fds(), ==, w->fds);
}

static void pump(struct world *w)
{
	for (unsigned i = 0; i < 20 && w->client; i++) {
		struct pollfd p;

		qmp_client_poll(w->client, &p);
		must(poll(&p, 1, 0));
		qmp_client_polled(w->client, &p);
	}
}

static void tell(struct world *w, const char *text)
{
	says(w->peer, text);
	pump(w);
}

static int ask(struct world *w, const char *name)
{
	return qmp_client_execute(w->client, name, NULL, -1, 0, on_done, w);
}

static const struct {
	const char *text, *why;
} hostile[] = {
	{ "hello\n", "a line of it is no JSON object" },
	{ "[]", "a line of it is no JSON object" },
	{ "{\"QMP\": {}, \"QMP\": {}}", "a line of it is no JSON object" },
	{ "{}", "it did not greet as a QMP monitor does" },
	{ "{\"QMP\": 1}", "it did not greet as a QMP monitor does" },
	{ EVENT "{}", "it did not greet as a QMP monitor does" },
	{ EVENT RETURN(1), "it did not greet as a QMP monitor does" },
	{ "{\"event\": {}}" GREETING GREETING, "it answered what was not asked" },
	{ RETURN(1), "it did not greet as a QMP monitor does" },
	{ "SSH-2.0-OpenSSH_9.2\r\n", "a line of it is no JSON object" },
	{ GREETING GREETING, "it answered what was not asked" },
	{ GREETING RETURN(2), "it answered what was not asked" },
	{ GREETING RETURN("1"), "it answered what was not asked" },
	{ GREETING "{\"return\": {}}", "it answered what was not asked" },
	{ GREETING "{\"id\": 1}", "it answered what was not asked" },
	{ GREETING "{\"return\": {}, \"error\": {}, \"id\": 1}",
	  "it answered what was not asked" },
	{ GREETING "{\"error\": {\"desc\": \"no\"}, \"id\": 1}", "it refused: no" },
	{ GREETING "{\"error\": 1, \"id\": 1}", "it refused: no reason given" },
	{ GREETING RETURN(1) RETURN(1), "it answered what was not asked" },
	{ GREETING RETURN(1) RETURN(3), "it answered what was not asked" },
	{ GREETING RETURN(1) RETURN(2) RETURN(3) RETURN(4), "it answered what was not asked" },
};

/* Two commands wait; both fail or were answered, and the end is told once, after them. */
static void test_hostile(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(hostile); i++) {
		struct world w;

		g_test_message("row %u", i);
		world_up(&w, 0);
		g_assert_cmpint(ask(&w, "a"), ==, 0);
		g_assert_cmpint(ask(&w, "b"), ==, 0);
		tell(&w, hostile[i].text);
		g_assert_cmpstr(w.why, ==, hostile[i].why);
		g_assert_cmpuint(w.failed, ==, 1);
		g_assert_false(w.closed);
		g_assert_cmpuint(w.done, ==, 2);
		g_assert_true(qmp_client_dead(w.client));
		g_assert_null(strchr(hears(w.peer) ?: "", '\x01'));
		g_assert_cmpint(ask(&w, "c"), ==, -ENOTCONN);
		g_assert_cmpuint(w.done, ==, 2);
		world_down(&w);
	}
}

static void test_beyond_bounds(void)
{
	g_autofree char *line = g_strnfill(6000, ' '), *deep = g_strnfill(200, '[');
	struct world w;

	line[0] = '{';
	world_up(&w, 0);
	tell(&w, line);
	g_assert_cmpstr(w.why, ==, "a line of it: it is longer than 4096 bytes");
	world_down(&w);
	world_up(&w, 0);
	tell(&w, deep);
	g_assert_cmpstr(w.why, ==, "a line of it: it is nested deeper than 128 brackets");
	world_down(&w);
}

static void test_ends(void)
{
	static const struct { const char *text, *why; bool closed; } rows[] = {
		{ "", "it closed the connection", true },
		{ "{", "it closed the connection inside a line", false },
		{ GREETING, "it closed the connection", true },
		{ GREETING RETURN(1), "it closed the connection", true },
		{ GREETING RETURN(1) "{\"ret", "it closed the connection inside a line", false },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct world w;

		world_up(&w, 0);
		ask(&w, "a");
		tell(&w, rows[i].text);
		fd_close(&w.peer);
		pump(&w);
		g_assert_cmpstr(w.why, ==, rows[i].why);
		g_assert_cmpint(w.closed, ==, rows[i].closed);
		g_assert_cmpuint(w.lost, ==, 1);
		g_assert_cmpstr(w.last, ==, rows[i].why);
		g_assert_cmpuint(w.failed, ==, 1);
		world_down(&w);
	}
}

/* It never answers: one error, at the time. */
static void test_silent(void)
{
	static const struct { const char *text, *why; int left; } rows[] = {
		{ "", "it has not answered qmp_capabilities for 5 s", 5000 },
		{ "{\"QM", "it has not answered qmp_capabilities for 5 s", 5000 },
		{ GREETING, "it has not answered qmp_capabilities for 5 s", 5000 },
		{ GREETING RETURN(1), "it has not answered a for 7.5 s", 7500 },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct pollfd p;
		struct world w;

		world_up(&w, 5000);
		qmp_client_execute(w.client, "a", json_object(), must(dup(0)), 7500, on_done, &w);
		tell(&w, rows[i].text);
		g_assert_cmpint(qmp_client_poll(w.client, &p), ==, rows[i].left);
		fake_ms += rows[i].left - 1;
		pump(&w);
		g_assert_cmpuint(w.failed, ==, 0);
		fake_ms++;
		pump(&w);
		g_assert_cmpstr(w.why, ==, rows[i].why);
		g_assert_cmpuint(w.failed, ==, 1);
		g_assert_cmpuint(w.lost, ==, 1);
		g_assert_cmpint(qmp_client_poll(w.client, &p), ==, -1);
		g_assert_cmpint(p.fd, ==, -1);
		world_down(&w);
	}
}

static void test_never_reads(void)
{
	g_autofree char *text = g_strnfill(3000, 'x');
	struct world w;
	int ret = 0;

	world_up(&w, 0);
	must(setsockopt(w.peer, SOL_SOCKET, SO_SNDBUF, &(int){ 1 }, sizeof(int)));
	tell(&w, GREETING RETURN(1));
	for (unsigned i = 0; !ret && i < 1000; i++)
		ret = qmp_client_execute(w.client, "a", json_pack("{s:s}", "x", text),
					 must(dup(0)), 0, on_done, &w);
	g_assert_true(ret == -EBUSY || ret == -ENOBUFS);
	g_assert_cmpuint(w.done, ==, 0);
	fd_close(&w.peer);
	pump(&w);
	g_assert_cmpuint(w.failed, ==, 1);
	world_down(&w);
}

/* Whoever is called may end it all. */
static void test_destroyed_in_a_call(void)
{
	static const char *const rows[] = {
		GREETING RETURN(1), "x\n", EVENT, GREETING RETURN(1) RETURN(2),
		GREETING "{\"error\": {}, \"id\": 1}", "",
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct world w;

		world_up(&w, 0);
		ask(&w, "a");
		ask(&w, "b");
		w.destroys = true;
		tell(&w, rows[i]);
		fd_close(&w.peer);
		pump(&w);
		g_assert_null(w.client);
		g_assert_cmpuint(w.ready + w.done + w.failed + w.events, ==, 1);
		world_down(&w);
	}
}

/* ---- Ordinary ---- */

static void test_in_order(void)
{
	struct world w;

	world_up(&w, 0);
	g_assert_cmpint(ask(&w, "a"), ==, 0);
	pump(&w);
	g_assert_cmpstr(hears(w.peer), ==, "");
	tell(&w, GREETING);
	g_assert_cmpstr(hears(w.peer), ==, "{\"execute\": \"qmp_capabilities\", \"id\": 1}\r\n");
	tell(&w, RETURN(1));
	g_assert_cmpuint(w.ready, ==, 1);
	g_assert_cmpstr(hears(w.peer), ==, "{\"execute\": \"a\", \"id\": 2}\r\n");
	qmp_client_execute(w.client, "b", json_pack("{s:i}", "x", 1), -1, 0, on_done, &w);
	g_assert_cmpstr(hears(w.peer), ==,
			"{\"execute\": \"b\", \"arguments\": {\"x\": 1}, \"id\": 3}\r\n");
	tell(&w, "{\"return\": [1], \"id\": 2}" EVENT);
	g_assert_cmpstr(w.last, ==, "[1]");
	g_assert_cmpuint(w.events, ==, 1);
	tell(&w, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}, \"id\": 3}");
	g_assert_cmpstr(w.last, ==, "no");
	g_assert_cmpuint(w.refused, ==, 1);
	g_assert_cmpuint(w.failed, ==, 0);
	world_down(&w);
}

/* QEMU 7.2 does that to who connects while another one has just gone. */
static void test_event_before_greeting(void)
{
	struct world w;

	world_up(&w, 0);
	tell(&w, EVENT EVENT);
	g_assert_cmpuint(w.failed + w.events, ==, 0);
	tell(&w, GREETING RETURN(1) EVENT);
	g_assert_cmpuint(w.ready, ==, 1);
	g_assert_cmpuint(w.events, ==, 1);
	world_down(&w);
}

static void test_many(void)
{
	struct world w;

	world_up(&w, 0);
	/* One place is the negotiation's. */
	for (unsigned i = 0; i < QMP_CLIENT_OPEN - 1; i++)
		g_assert_cmpint(ask(&w, "a"), ==, 0);
	g_assert_cmpint(qmp_client_execute(w.client, "a", json_object(), must(dup(0)), 0, on_done,
					   &w), ==, -EBUSY);
	tell(&w, GREETING RETURN(1));
	for (unsigned id = 2; id <= QMP_CLIENT_OPEN; id++) {
		g_autofree char *text = g_strdup_printf("{\"return\": {}, \"id\": %u}", id);

		tell(&w, text);
	}
	g_assert_cmpuint(w.done, ==, QMP_CLIENT_OPEN - 1);
	world_down(&w);
}

/* ---- Against our own server, in GLib's loop, with a fd ---- */

struct both {
	struct world w;
	GSource *source;
	int fd;
};

static void run_getfd(void *opaque, struct qmp_call *call, const json_t *args)
{
	((struct both *)opaque)->fd = qmp_call_fd(call);
	qmp_reply(call, NULL);
}

static const struct qmp_command commands[] = {
	{ "getfd", NULL, QMP_NOTHING, 0, run_getfd },
	{ 0 }
};

static void test_server(void)
{
	static const struct qmp_server_config config = {
		.version.package = "", .commands = commands, .max_clients = 1, .takes_fds = true,
		.bounds = { 4096, 65536 },
	};
	struct both both = { .w.fds = open_fds(), .fd = -1 };
	GMainContext *context = g_main_context_new();
	struct qmp_server *server;
	GSource *source[2];
	int ours, theirs;

	pair(&ours, &theirs);
	server = qmp_server_create(&config, &both);
	qmp_server_add(server, theirs, true);
	both.w.client = qmp_client_create(ours, &bounds, 5000, &ops, &both.w);
	source[0] = qmp_server_source(server);
	source[1] = qmp_client_source(both.w.client);
	for (unsigned i = 0; i < 2; i++)
		g_source_attach(source[i], context);
	g_assert_cmpint(qmp_client_execute(both.w.client, "getfd", NULL, must(dup(0)), 1000,
					   on_done, &both.w), ==, 0);
	while (!both.w.done)
		g_main_context_iteration(context, TRUE);
	g_assert_cmpstr(both.w.last, ==, "{}");
	g_assert_cmpint(both.fd, >=, 0);
	for (unsigned i = 0; i < 2; i++) {
		g_source_destroy(source[i]);
		g_source_unref(source[i]);
	}
	g_main_context_unref(context);
	fd_close(&both.fd);
	qmp_server_destroy(server);
	both.w.peer = -1;
	world_down(&both.w);
}

/* Counts polls, and never waits. */
static struct {
	unsigned polls;
	bool sleeps;		/* the last one would have */
} polled;

static int count_poll(GPollFD *fds, unsigned count, int wait_ms)
{
	int ret = g_poll(fds, count, 0);

	polled.polls++;
	polled.sleeps = !ret && wait_ms;
	return ret;
}

/* A monitor that takes its time is waited for asleep, although an answer is due some time. */
static void test_sleeps(void)
{
	g_autoptr(GMainContext) context = g_main_context_new();
	struct world w;
	GSource *source;

	world_up(&w, 60000);
	g_main_context_set_poll_func(context, count_poll);
	source = qmp_client_source(w.client);
	g_source_attach(source, context);
	g_assert_cmpint(write(w.peer, GREETING, strlen(GREETING)), ==, strlen(GREETING));
	polled.polls = 0;
	do
		g_main_context_iteration(context, true);
	while (polled.polls < 3 || (!polled.sleeps && polled.polls < 100));
	g_assert_true(polled.sleeps);
	g_assert_cmpuint(polled.polls, <, 10);
	g_source_destroy(source);
	g_source_unref(source);
	world_down(&w);
}

static void test_connect(void)
{
	struct unix_addr addr;
	int fd = -1;

	g_assert_cmpint(unix_addr_parse("/nonexistent/qmp", &addr), ==, 0);
	g_assert_cmpint(qmp_client_connect(&addr, &fd), ==, -ENOENT);
	g_assert_cmpint(fd, ==, -1);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/qmp-client/hostile", test_hostile);
	g_test_add_func("/qmp-client/hostile/beyond-bounds", test_beyond_bounds);
	g_test_add_func("/qmp-client/hostile/ends", test_ends);
	g_test_add_func("/qmp-client/hostile/silent", test_silent);
	g_test_add_func("/qmp-client/hostile/never-reads", test_never_reads);
	g_test_add_func("/qmp-client/destroyed-in-a-call", test_destroyed_in_a_call);
	g_test_add_func("/qmp-client/in-order", test_in_order);
	g_test_add_func("/qmp-client/event-before-greeting", test_event_before_greeting);
	g_test_add_func("/qmp-client/many", test_many);
	g_test_add_func("/qmp-client/server", test_server);
	g_test_add_func("/qmp-client/sleeps", test_sleeps);
	g_test_add_func("/qmp-client/connect", test_connect);
	return g_test_run();
}
