/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A QMP monitor of ours: first clients that do what they should not. */
#include "qmp/server.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../sock.h"
#include "../util.h"
#include "base/fd.h"
#include "qmp/source.h"
#include "rig.h"

#define GREETING "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 3, \"minor\": 2, \"major\": 1}, " \
	"\"package\": \"test\"}, \"capabilities\": []}}\r\n"

struct world {
	struct qmp_server *server;
	int client;
	unsigned fds;
	struct qmp_call *later;		/* of the command "later" */
	unsigned runs;
	int fd;				/* of the command "getfd"; owned */
	const char *why;		/* of the last client that was dropped */
};

static void run_echo(void *opaque, struct qmp_call *call, const json_t *args)
{
	struct world *w = opaque;

	w->runs++;
	qmp_reply(call, json_deep_copy(args));
}

static void run_fail(void *opaque, struct qmp_call *call, const json_t *args)
{
	qmp_refuse(call, "DeviceNotFound", "Device '%s' \xff not found", "x");
}

static void run_later(void *opaque, struct qmp_call *call, const json_t *args)
{
	((struct world *)opaque)->later = call;
}

static void run_getfd(void *opaque, struct qmp_call *call, const json_t *args)
{
	struct world *w = opaque;

	fd_close(&w->fd);
	w->fd = qmp_call_fd(call);
	qmp_reply(call, NULL);
}

static void run_big(void *opaque, struct qmp_call *call, const json_t *args)
{
	g_autofree char *text = g_strnfill(40000, 'x');

	qmp_reply(call, json_pack("{s:s}", "text", text));
}

static const char *const modes[] = { "on", "off", NULL };

static const struct qmp_arg echo_args[] = {
	{ "s", QMP_STRING },
	{ "i", QMP_INT, true },
	{ "b", QMP_BOOL, true },
	{ "n", QMP_NUMBER, true },
	{ "o", QMP_OBJECT, true },
	{ "a", QMP_ARRAY, true },
	{ "x", QMP_ANY, true },
	{ "m", QMP_STRING, true, modes },
	{ 0 }
};

static const struct qmp_arg more_args[] = { { "s", QMP_STRING }, { 0 } };

static const struct qmp_command commands[] = {
	{ "echo", echo_args, QMP_OBJECT, QMP_PRECONFIG, run_echo },
	{ "more", more_args, QMP_OBJECT, QMP_MORE_ARGS, run_echo },
	{ "fail", NULL, QMP_NOTHING, 0, run_fail },
	{ "later", NULL, QMP_NOTHING, 0, run_later },
	{ "getfd", NULL, QMP_NOTHING, 0, run_getfd },
	{ "big", NULL, QMP_OBJECT, 0, run_big },
	{ 0 }
};

static const char *const events[] = { "EVENT", NULL };

static void on_dropped(void *opaque, const char *why)
{
	((struct world *)opaque)->why = g_intern_string(why);
}

static const struct qmp_server_config config = {
	.version = { 1, 2, 3, "test" }, .commands = commands, .events = events, .max_clients = 4,
	.takes_fds = true, .bounds = { .in = 65536, .out = 200000 }, .dropped = on_dropped,
};

/* Polls until nothing more comes of it. */
static void pump(struct world *w)
{
	for (unsigned i = 0; i < 400; i++) {
		struct pollfd p[QMP_SERVER_POLL];
		unsigned count;
		int wait_ms = qmp_server_poll(w->server, p, &count);

		if (!must(poll(p, count, 0)) && wait_ms)
			return;
		qmp_server_polled(w->server, p, count);
	}
	g_error("the server is never done");
}

static int connect_client(struct world *w)
{
	int ours, theirs;

	pair(&ours, &theirs);
	g_assert_cmpint(qmp_server_add(w->server, theirs, false), ==, 0);
	return ours;
}

static const char *ask(struct world *w, const char *text)
{
	says(w->client, text);
	pump(w);
	return hears(w->client);
}

#define NEGOTIATE "{\"execute\": \"qmp_capabilities\"}"

static void world_up(struct world *w, bool negotiated)
{
	*w = (struct world){ .fd = -1, .fds = open_fds() };
	w->server = qmp_server_create(&config, w);
	w->client = connect_client(w);
	g_assert_cmpstr(hears(w->client), ==, GREETING);
	if (negotiated)
		g_assert_cmpstr(ask(w, NEGOTIATE), ==, "{\"return\": {}}\r\n");
}

static void world_down(struct world *w)
{
	qmp_server_destroy(w->server);
	fd_close(&w->client);
	fd_close(&w->fd);
	g_assert_cmpuint(open_fds(), ==, w->fds);
}

#define ERROR(class, desc) "\"error\": {\"class\": \"" class "\", \"desc\": \"" desc "\"}}\r\n"
#define GENERIC(desc) ERROR("GenericError", desc)

/* As QEMU 7.2 answers them, but where a row says so. */
static const struct {
	const char *text, *answer;
} refused[] = {
	{ "[]", "{" GENERIC("QMP input must be a JSON object") },
	{ "1\n", "{" GENERIC("QMP input must be a JSON object") },
	{ "\"a\"\n", "{" GENERIC("QMP input must be a JSON object") },
	{ "{\"execute\":1}", "{" GENERIC("QMP input member 'execute' must be a string") },
	{ "{}", "{" GENERIC("QMP input lacks member 'execute'") },
	{ "{\"id\":5}", "{\"id\": 5, " GENERIC("QMP input lacks member 'execute'") },
	{ "{\"execute\":\"qmp_capabilities\",\"id\":{\"a\":[null]}}", "{\"id\": {\"a\": [null]}, "
	  ERROR("CommandNotFound", "Capabilities negotiation is already complete, "
		"command ignored") },
	{ "{\"execute\":\"foo\",\"id\":null}", "{\"id\": null, "
	  ERROR("CommandNotFound", "The command foo has not been found") },
	{ "{\"execute\":\"\"}", "{"
	  ERROR("CommandNotFound", "The command  has not been found") },
	{ "{\"execute\":\"fail\",\"arguments\":{\"x\":1}}",
	  "{" GENERIC("Parameter 'x' is unexpected") },
	{ "{\"execute\":\"fail\",\"arguments\":[]}",
	  "{" GENERIC("QMP input member 'arguments' must be an object") },
	{ "{\"execute\":\"fail\",\"zz\":[]}", "{" GENERIC("QMP input member 'zz' is unexpected") },
	{ "{\"exec-oob\":\"fail\"}", "{" GENERIC("The command fail does not support OOB") },
	{ "{\"execute\":\"echo\"}", "{" GENERIC("Parameter 's' is missing") },
	{ "{\"execute\":\"echo\",\"arguments\":{\"s\":1}}",
	  "{" GENERIC("Invalid parameter type for 's', expected: string") },
	{ "{\"execute\":\"echo\",\"arguments\":{\"s\":null}}",
	  "{" GENERIC("Invalid parameter type for 's', expected: string") },
	{ "{\"execute\":\"echo\",\"arguments\":{\"s\":\"\",\"i\":1.5}}",
	  "{" GENERIC("Invalid parameter type for 'i', expected: integer") },
	{ "{\"execute\":\"echo\",\"arguments\":{\"s\":\"\",\"b\":0}}",
	  "{" GENERIC("Invalid parameter type for 'b', expected: boolean") },
	{ "{\"execute\":\"echo\",\"arguments\":{\"s\":\"\",\"n\":\"1\"}}",
	  "{" GENERIC("Invalid parameter type for 'n', expected: number") },
	{ "{\"execute\":\"echo\",\"arguments\":{\"s\":\"\",\"o\":[]}}",
	  "{" GENERIC("Invalid parameter type for 'o', expected: object") },
	{ "{\"execute\":\"echo\",\"arguments\":{\"s\":\"\",\"a\":{}}}",
	  "{" GENERIC("Invalid parameter type for 'a', expected: array") },
	{ "{\"execute\":\"echo\",\"arguments\":{\"s\":\"\",\"m\":\"foo\"}}",
	  "{" GENERIC("Parameter 'm' does not accept value 'foo'") },
	{ "{\"execute\":\"more\",\"arguments\":{\"y\":1}}", "{"
	  GENERIC("Parameter 's' is missing") },
	{ "{\"execute\":\"fail\",\"id\":\"a\"}", "{\"id\": \"a\", "
	  ERROR("DeviceNotFound", "Device 'x' \xef\xbf\xbd not found") },
	/* QEMU says it in other words, and more than once. */
	{ "hello\n", "{" GENERIC("JSON parse error, invalid token near 'hello'") },
	{ "{\"execute\":\"fail\",\"execute\":\"fail\"}",
	  "{" GENERIC("JSON parse error, duplicate object key near '\\\"execute\\\"'") },
};

static void test_refused(void)
{
	struct world w;

	world_up(&w, true);
	for (unsigned i = 0; i < G_N_ELEMENTS(refused); i++) {
		g_test_message("row %u", i);
		g_assert_cmpstr(ask(&w, refused[i].text), ==, refused[i].answer);
	}
	g_assert_cmpuint(w.runs, ==, 0);
	world_down(&w);
}

static void test_not_negotiated(void)
{
	struct world w;

	world_up(&w, false);
	g_assert_cmpstr(ask(&w, "{\"execute\": \"fail\", \"id\": 1}"), ==, "{\"id\": 1, "
		ERROR("CommandNotFound",
		      "Expecting capabilities negotiation with 'qmp_capabilities'"));
	g_assert_cmpstr(ask(&w, "{\"execute\": \"query-version\"}"), ==, "{"
		ERROR("CommandNotFound",
		      "Expecting capabilities negotiation with 'qmp_capabilities'"));
	g_assert_cmpstr(ask(&w, "{\"execute\": \"qmp_capabilities\", \"arguments\": "
			    "{\"enable\": [\"oob\"]}}"), ==,
			"{" GENERIC("Capability 'oob' not available"));
	qmp_server_event(w.server, "EVENT", NULL);
	g_assert_cmpstr(hears(w.client), ==, "");
	g_assert_cmpstr(ask(&w, NEGOTIATE), ==, "{\"return\": {}}\r\n");
	world_down(&w);
}

/* One answer, and the end. */
static void test_beyond_bounds(void)
{
	g_autofree char *deep = g_strnfill(200, '['), *blank = g_strnfill(70000, ' ');
	g_autofree char *line = g_strconcat("[", blank, NULL);
	const struct { const char *text, *why; } rows[] = {
		{ deep, "it is nested deeper than 128 brackets" },
		{ line, "it is longer than 65536 bytes" },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *want = g_strdup_printf("JSON parse error, %s", rows[i].why);
		struct world w;

		world_up(&w, true);
		g_assert_nonnull(strstr(ask(&w, rows[i].text), want));
		g_assert_cmpstr(w.why, ==, rows[i].why);
		g_assert_null(ask(&w, NEGOTIATE));
		world_down(&w);
	}
}

static void test_hundred_at_once(void)
{
	g_autoptr(GString) all = g_string_new(NULL);
	struct world w;
	const char *heard;

	world_up(&w, true);
	for (unsigned i = 0; i < 100; i++)
		g_string_append_printf(all, "{\"execute\": \"fail\", \"id\": %u}", i);
	heard = ask(&w, all->str);
	for (unsigned i = 0; i < 100; i++) {
		g_autofree char *id = g_strdup_printf("{\"id\": %u, ", i);

		heard = strstr(heard, id);
		g_assert_nonnull(heard);
	}
	world_down(&w);
}

/* It asks and asks and does not read: it is listened to no more, and nothing is lost. */
static void test_never_reads(void)
{
	struct world w;
	unsigned heard = 0;

	world_up(&w, true);
	for (unsigned i = 0; i < 50; i++)
		says(w.client, "{\"execute\": \"big\"}");
	pump(&w);
	g_assert_true(qmp_server_pending(w.server));
	for (unsigned i = 0; i < 1000 && heard < 50; i++) {
		for (const char *c = hears(w.client); *c; c++)
			heard += *c == '\n';
		pump(&w);
	}
	g_assert_cmpuint(heard, ==, 50);
	world_down(&w);
}

/* Events cannot wait for it: it is dropped, and the other client is none the worse. */
static void test_never_reads_events(void)
{
	g_autofree char *text = g_strnfill(1000, 'x');
	struct world w;
	unsigned heard = 0;
	int other;

	world_up(&w, true);
	other = connect_client(&w);
	says(other, NEGOTIATE);
	pump(&w);
	hears(other);
	for (unsigned i = 0; i < 2000; i++) {
		qmp_server_event(w.server, "EVENT", json_pack("{s:s}", "text", text));
		for (const char *c = hears(other); *c; c++)
			heard += *c == '\n';
	}
	g_assert_cmpstr(w.why, ==, "it does not read what it is sent");
	g_assert_cmpuint(heard, ==, 2000);
	close(other);
	world_down(&w);
}

static void test_fds(void)
{
	static const char text[] = "{\"execute\": \"getfd\"}";
	int fds[2] = { 0, 0 };
	struct world w;

	world_up(&w, true);
	ask(&w, text);
	g_assert_cmpint(w.fd, ==, -1);
	must(sock_send(w.client, text, strlen(text), fds, 1, 0));
	pump(&w);
	g_assert_cmpint(w.fd, >=, 0);
	fd_close(&w.fd);
	must(sock_send(w.client, text, strlen(text), fds, 2, 0));
	pump(&w);
	g_assert_cmpint(w.fd, ==, -1);
	g_assert_cmpstr(w.why, ==, "more than one file descriptor came at once");
	world_down(&w);
}

static void test_too_many_clients(void)
{
	int fd[4], ours, theirs;
	struct world w;

	world_up(&w, true);
	for (unsigned i = 0; i < 3; i++)
		fd[i] = connect_client(&w);
	pair(&ours, &theirs);
	g_assert_cmpint(qmp_server_add(w.server, theirs, false), ==, -EBUSY);
	g_assert_null(hears(ours));
	close(ours);
	close(fd[0]);
	pump(&w);
	fd[0] = connect_client(&w);
	for (unsigned i = 0; i < 3; i++)
		close(fd[i]);
	pump(&w);
	world_down(&w);
}

/* The answer of a client that is gone goes nowhere, and of a server that is gone. */
static void test_gone_before_the_answer(void)
{
	struct world w;

	world_up(&w, true);
	ask(&w, "{\"execute\": \"later\"}");
	g_assert_false(qmp_call_orphaned(w.later));
	fd_close(&w.client);
	pump(&w);
	g_assert_true(qmp_call_orphaned(w.later));
	qmp_reply(w.later, NULL);
	w.client = connect_client(&w);
	ask(&w, NEGOTIATE);
	ask(&w, "{\"execute\": \"later\"}");
	qmp_server_destroy(w.server);
	w.server = NULL;
	g_assert_cmpint(qmp_call_fd(w.later), ==, -1);
	qmp_refuse(w.later, "GenericError", "too late");
	world_down(&w);
}

/* What comes after a command that takes its time waits; events do not. */
static void test_later(void)
{
	struct world w;
	const char *heard;

	world_up(&w, true);
	g_assert_cmpstr(ask(&w, "{\"execute\": \"later\", \"id\": 1}"
			    "{\"execute\": \"more\", \"arguments\": {\"s\": \"\"}}"), ==, "");
	g_assert_cmpuint(w.runs, ==, 0);
	qmp_server_event(w.server, "EVENT", NULL);
	heard = hears(w.client);
	g_assert_nonnull(strstr(heard, "\"event\": \"EVENT\"}\r\n"));
	g_assert_nonnull(strstr(heard, "{\"timestamp\": {\"seconds\": "));
	qmp_reply(w.later, json_pack("[i]", 7));
	pump(&w);
	g_assert_cmpstr(hears(w.client), ==, "{\"id\": 1, \"return\": [7]}\r\n"
			"{\"return\": {\"s\": \"\"}}\r\n");
	world_down(&w);
}

/* As socat does: all at once, and no more. */
static void test_half_closed(void)
{
	struct world w;

	world_up(&w, false);
	says(w.client, NEGOTIATE "{\"execute\": \"later\"}{\"execute\": \"fail\"}");
	must(shutdown(w.client, SHUT_WR));
	pump(&w);
	qmp_reply(w.later, NULL);
	pump(&w);
	g_assert_cmpstr(hears(w.client), ==, "{\"return\": {}}\r\n{\"return\": {}}\r\n{"
			ERROR("DeviceNotFound", "Device 'x' \xef\xbf\xbd not found"));
	g_assert_null(hears(w.client));
	g_assert_null(w.why);
	world_down(&w);
}

static void test_preconfig(void)
{
	struct world w;

	world_up(&w, true);
	qmp_server_set_preconfig(w.server, true);
	g_assert_cmpstr(ask(&w, "{\"execute\": \"fail\"}"), ==,
		"{" GENERIC("The command 'fail' is permitted only after machine initialization has "
			    "completed"));
	g_assert_cmpstr(ask(&w, "{\"execute\": \"echo\", \"arguments\": {\"s\": \"\"}}"), ==,
			"{\"return\": {\"s\": \"\"}}\r\n");
	qmp_server_set_preconfig(w.server, false);
	g_assert_nonnull(strstr(ask(&w, "{\"execute\": \"fail\"}"), "DeviceNotFound"));
	world_down(&w);
}

/* Every name that an entry of the schema uses has an entry. */
static void test_schema(void)
{
	static const char *const refs[] = { "arg-type", "ret-type", "element-type", "type", NULL };
	g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
	json_t *answer, *list, *entry, *member;
	struct world w;
	size_t i, k;

	world_up(&w, true);
	says(w.client, "{\"execute\": \"query-qmp-schema\"}");
	pump(&w);
	answer = hears_json(w.client);
	list = json_object_get(answer, "return");
	json_array_foreach(list, i, entry)
		g_assert_true(g_hash_table_add(names, (char *)(uintptr_t)
			json_string_value(json_object_get(entry, "name"))));
	for (i = 0; refs[i]; i++) {
		json_array_foreach(list, k, entry) {
			const char *name = json_string_value(json_object_get(entry, refs[i]));

			g_assert_true(!name || g_hash_table_contains(names, name));
		}
	}
	json_array_foreach(list, i, entry)
		json_array_foreach(json_object_get(entry, "members"), k, member) {
			const char *type = json_string_value(json_object_get(member, "type"));

			g_assert_true(!type || g_hash_table_contains(names, type));
		}
	for (const struct qmp_command *c = commands; c->name; c++)
		g_assert_true(g_hash_table_contains(names, c->name));
	g_assert_true(g_hash_table_contains(names, "EVENT"));
	g_assert_true(g_hash_table_contains(names, "query-qmp-schema"));
	json_decref(answer);
	world_down(&w);
}

static void test_commands(void)
{
	json_t *answer, *list;
	struct world w;

	world_up(&w, true);
	says(w.client, "{\"execute\": \"query-commands\"}");
	pump(&w);
	answer = hears_json(w.client);
	list = json_object_get(answer, "return");
	g_assert_cmpuint(json_array_size(list), ==, 4 + G_N_ELEMENTS(commands) - 1);
	json_decref(answer);
	g_assert_cmpstr(ask(&w, "{\"execute\": \"query-version\"}"), ==,
		"{\"return\": {\"qemu\": {\"micro\": 3, \"minor\": 2, \"major\": 1}, "
		"\"package\": \"test\"}}\r\n");
	world_down(&w);
}

static int listening(struct sockaddr_un *sun)
{
	int fd = must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	socklen_t len = sizeof(*sun);

	sun->sun_family = AF_UNIX;
	must(bind(fd, (struct sockaddr *)sun, sizeof(sa_family_t)));
	must(listen(fd, 10));
	must(getsockname(fd, (struct sockaddr *)sun, &len));
	return fd;
}

static int dial(const struct sockaddr_un *sun)
{
	int fd = must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

	must(connect(fd, (const struct sockaddr *)sun, sizeof(sa_family_t) + 6));
	return fd;
}

/* Clients beyond the bound wait until one goes; a pretty one gets lines. */
static void test_listens(void)
{
	struct sockaddr_un sun = { 0 };
	struct world w;
	int fd[5];

	world_up(&w, true);
	g_assert_cmpint(qmp_server_listen(w.server, listening(&sun), true), ==, 0);
	for (unsigned i = 0; i < 5; i++)
		fd[i] = dial(&sun);
	pump(&w);
	for (unsigned i = 0; i < 3; i++)
		g_assert_nonnull(strstr(hears(fd[i]), "{\n    \"QMP\": {\n"));
	g_assert_cmpstr(hears(fd[3]), ==, "");
	close(fd[0]);
	close(fd[1]);
	pump(&w);
	g_assert_nonnull(strstr(hears(fd[3]), "QMP"));
	for (unsigned i = 2; i < 5; i++)
		close(fd[i]);
	pump(&w);
	world_down(&w);
}

/* In GLib's loop, with clients that come and go. */
static void test_source(void)
{
	struct sockaddr_un sun = { 0 };
	GMainContext *context;
	GSource *source;
	struct world w;
	int fd;

	world_up(&w, true);
	context = g_main_context_new();
	qmp_server_listen(w.server, listening(&sun), false);
	source = qmp_server_source(w.server);
	g_source_attach(source, context);
	for (unsigned i = 0; i < 10; i++) {
		const char *heard = "";

		fd = dial(&sun);
		says(fd, NEGOTIATE "{\"execute\": \"fail\"}");
		for (unsigned k = 0; k < 10; k++) {
			g_main_context_iteration(context, FALSE);
			heard = *heard ? heard : hears(fd);
		}
		g_assert_nonnull(heard);
		close(fd);
	}
	while (g_main_context_iteration(context, FALSE))
		;
	g_source_destroy(source);
	g_source_unref(source);
	g_main_context_unref(context);
	world_down(&w);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/qmp-server/hostile/refused", test_refused);
	g_test_add_func("/qmp-server/hostile/not-negotiated", test_not_negotiated);
	g_test_add_func("/qmp-server/hostile/beyond-bounds", test_beyond_bounds);
	g_test_add_func("/qmp-server/hostile/hundred-at-once", test_hundred_at_once);
	g_test_add_func("/qmp-server/hostile/never-reads", test_never_reads);
	g_test_add_func("/qmp-server/hostile/never-reads-events", test_never_reads_events);
	g_test_add_func("/qmp-server/hostile/fds", test_fds);
	g_test_add_func("/qmp-server/hostile/too-many-clients", test_too_many_clients);
	g_test_add_func("/qmp-server/hostile/gone-before-the-answer", test_gone_before_the_answer);
	g_test_add_func("/qmp-server/later", test_later);
	g_test_add_func("/qmp-server/half-closed", test_half_closed);
	g_test_add_func("/qmp-server/preconfig", test_preconfig);
	g_test_add_func("/qmp-server/schema", test_schema);
	g_test_add_func("/qmp-server/commands", test_commands);
	g_test_add_func("/qmp-server/listens", test_listens);
	g_test_add_func("/qmp-server/source", test_source);
	return g_test_run();
}
