/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The keeper's error policy: first a QEMU and a device process that do what they should not. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "../util.h"
#include "applets/remote/events.h"
#include "applets/remote/qmp.h"
#include "base/fd.h"
#include "base/log.h"
#include "rig.h"

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}"
#define RETURN(id) "{\"return\": {}, \"id\": " #id "}"
#define PAUSED(id) "{\"return\": {\"status\": \"paused\", \"running\": false}, \"id\": " #id "}"
#define RESUME "{\"timestamp\": {}, \"event\": \"RESUME\"}"

static unsigned count(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		n++;
	return n;
}

#define assert_has(text, what) \
	do { \
		if (!strstr(text, what)) \
			g_error("line %d: no \"%s\" in \"%s\"", __LINE__, what, text); \
	} while (0)

/* ---- A hostile QEMU ---- */

static const struct {
	const char *say[4];	/* the last one is closed after when it ends the row */
	const char *line;	/* what the one line of the log says */
} hostile[] = {
	{ { "hello\n" }, "a line of it is no JSON object" },
	{ { "\nx\n" }, "a line of it is no JSON object" },
	{ { "[]\r\n" }, "a line of it is no JSON object" },
	{ { "1\n" }, "a line of it is no JSON object" },
	{ { "{\"QMP\": {}\n" }, "it closed the connection inside a line" },
	{ { "{\"QMP\": ]}\n" }, "a line of it is no JSON object" },
	{ { "{\"QMP\": {}, \"QMP\": {}}\n" }, "a line of it is no JSON object" },
	{ { "{\"QMP\": \"\xff\"}\n" }, "a line of it is no JSON object" },
	{ { "{}\n" }, "it did not greet" },
	{ { "{\"QMP\": 1}\n" }, "it did not greet" },
	{ { "{\"return\": {}, \"id\": 1}\n" }, "it did not greet" },
	{ { RESUME "\n" RETURN(1) "\n" }, "it did not greet" },
	{ { GREETING "\n", "{\"error\": {\"desc\": \"no\"}, \"id\": 1}\n" }, "it refused: no" },
	{ { GREETING "\n", "{\"error\": {\"desc\": \"a\\n\\u0007b\"}}\n" }, "it refused: a??b" },
	{ { GREETING "\n", "{\"error\": 1}\n" }, "it refused: no reason given" },
	{ { GREETING "\n", GREETING "\n" }, "it answered what was not asked" },
	{ { GREETING "\n", RETURN(2) "\n" }, "it answered what was not asked" },
	{ { GREETING "\n", "{\"return\": {}}\n" }, "it answered what was not asked" },
	{ { GREETING "\n", "{\"return\": {}, \"id\": \"1\"}\n" }, "it answered what was not" },
	{ { GREETING "\n", "{\"id\": 1}\n" }, "it answered what was not asked" },
	{ { GREETING "\n" RETURN(1) "\n", RETURN(1) "\n" }, "it answered what was not asked" },
	{ { GREETING "\n", RETURN(1) "\n" RETURN(2) "\n" RETURN(3) "\n" },
	  "it answered what was not asked" },
	{ { "{\"QMP\"" }, "it closed the connection inside a line" },
	{ { GREETING "\n", "{\"ret" }, "it closed the connection inside a line" },
};

static void say_row(struct rig *rig, unsigned i)
{
	for (unsigned k = 0; k < G_N_ELEMENTS(hostile[i].say) && hostile[i].say[k]; k++)
		qemu_says(rig, hostile[i].say[k], strlen(hostile[i].say[k]));
	fd_close(&rig->qemu);
	rig_pump(rig);
}

/* Nothing waits for the VM: one line, and the connection is over. */
static void test_hostile_idle(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(hostile); i++) {
		struct rig rig;
		const char *log;

		g_test_message("row %u", i);
		rig_up(&rig, "");
		say_row(&rig, i);
		log = logged(&rig);
		assert_has(log, hostile[i].line);
		g_assert_cmpuint(count(log, "\n"), ==, 1);
		g_assert_cmpint(device_got(&rig), ==, -1);
		/* Later the request is not lost: a timer of the device process has it. */
		device_holds(&rig, true, ENOSPC);
		g_assert_cmpint(device_got(&rig), ==, CTL_RETRY_LATER);
		g_assert_cmpint(device_got(&rig), ==, -1);
		g_assert_cmpstr(emitted(&rig), ==, "");
		log = logged(&rig);
		assert_has(log, "it is tried again from time to time, and at once on SIGUSR1");
		g_assert_cmpuint(count(log, "\n"), ==, 1);
		rig_down(&rig);
	}
}

/* A request waits for it. */
static void test_hostile_waiting(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(hostile); i++) {
		struct rig rig;
		const char *log;

		g_test_message("row %u", i);
		rig_up(&rig, "");
		device_holds(&rig, true, EIO);
		g_assert_cmpuint(count(logged(&rig), "\n"), ==, 1);
		say_row(&rig, i);
		log = logged(&rig);
		g_assert_cmpuint(count(log, "it is not used any more"), ==, 1);
		g_assert_cmpuint(count(log, "\n"), ==, 1);
		g_assert_cmpint(device_got(&rig), ==, CTL_RETRY_LATER);
		g_assert_cmpint(device_got(&rig), ==, -1);
		rig_down(&rig);
	}
}

/* What QEMU may say of the VM, and what no QEMU would. */
static void test_hostile_status(void)
{
	static const char *const rows[] = {
		"{\"return\": {}, \"id\": 3}\n",
		"{\"return\": [], \"id\": 3}\n",
		"{\"return\": {\"status\": \"paused\"}, \"id\": 3}\n",
		"{\"return\": {\"status\": 1, \"running\": false}, \"id\": 3}\n",
		"{\"return\": {\"status\": \"paused\", \"running\": 0}, \"id\": 3}\n",
		"{\"error\": {\"desc\": \"no\"}, \"id\": 3}\n",
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct rig rig;

		rig_up(&rig, "");
		device_holds(&rig, true, EIO);
		qemu_line(&rig, GREETING);
		qemu_line(&rig, RETURN(1));
		qemu_line(&rig, RETURN(2));
		logged(&rig);
		qemu_says(&rig, rows[i], strlen(rows[i]));
		g_assert_cmpuint(count(logged(&rig), "it is not used any more"), ==, 1);
		g_assert_cmpint(device_got(&rig), ==, CTL_RETRY_LATER);
		rig_down(&rig);
	}
}

/* A line without an end: at 64 KiB it is over, whatever more would come. */
static void test_long_line(void)
{
	g_autofree char *line = g_malloc(1 << 20);
	struct rig rig;

	memset(line, '[', 1 << 20);
	rig_up(&rig, "");
	g_assert_false(qemu_says(&rig, line, 1 << 20));
	assert_has(logged(&rig), "a line of it: it is nested deeper than 128 brackets");
	rig_down(&rig);
	memset(line + 1, ' ', (1 << 20) - 1);
	rig_up(&rig, "");
	g_assert_false(qemu_says(&rig, line, 1 << 20));
	assert_has(logged(&rig), "a line of it: it is longer than 65536 bytes");
	rig_down(&rig);
	/* As long as it may be. */
	rig_up(&rig, "");
	line[QMP_LINE_MAX - 1] = ']';
	g_assert_true(qemu_says(&rig, line, QMP_LINE_MAX));
	assert_has(logged(&rig), "a line of it is no JSON object");
	rig_down(&rig);
}

/* It takes the connection and says nothing, or stops in the middle. */
static void test_silent(void)
{
	static const char *const says[] = {
		"", "{\"QM", GREETING "\n", GREETING "\n" RETURN(1) "\n",
		GREETING "\n" RETURN(1) "\n" RETURN(2) "\n",
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(says); i++) {
		struct pollfd p;
		struct rig rig;

		rig_up(&rig, "");
		for (const char *c = says[i]; *c; c++)
			qemu_says(&rig, c, 1);
		g_assert_cmpint(onerror_poll(rig.o, &p), ==, -1);
		fake_now += 3600 * SECOND_NS;
		rig_pump(&rig);
		if (i == 4) {	/* an answer to what was not asked */
			rig_down(&rig);
			continue;
		}
		g_assert_cmpstr(logged(&rig), ==, "");
		device_holds(&rig, false, EIO);
		logged(&rig);
		g_assert_cmpint(onerror_poll(rig.o, &p), ==, QMP_LIMIT_MS);
		fake_now += (QMP_LIMIT_MS - 1) * (SECOND_NS / 1000);
		rig_pump(&rig);
		g_assert_cmpint(onerror_poll(rig.o, &p), ==, 1);
		g_assert_cmpint(device_got(&rig), ==, -1);
		fake_now += SECOND_NS / 1000;
		rig_pump(&rig);
		assert_has(logged(&rig), i < 3 ? "it has not answered qmp_capabilities for 30 s" :
			   "it has not answered stop for 30 s");
		g_assert_cmpint(device_got(&rig), ==, CTL_RETRY_LATER);
		g_assert_cmpint(onerror_poll(rig.o, &p), ==, -1);
		g_assert_cmpint(p.fd, ==, -1);
		rig_down(&rig);
	}
}

/* Events by the thousand: none is news, and a resume only while something waits for it. */
static void test_event_flood(void)
{
	struct rig rig;

	rig_up(&rig, "");
	qemu_line(&rig, GREETING);
	qemu_line(&rig, RETURN(1));
	for (unsigned i = 0; i < 3000; i++) {
		qemu_line(&rig, RESUME);
		qemu_line(&rig, "{\"event\": \"NIC_RX_FILTER_CHANGED\"}");
		qemu_line(&rig, "{\"event\": [1, {}]}");
	}
	g_assert_cmpstr(logged(&rig), ==, "");
	g_assert_cmpint(device_got(&rig), ==, -1);
	rig_down(&rig);
}

/* It resumes whatever is stopped at once: the second time within a second is the timer's. */
static void test_resumes_at_once(void)
{
	static const struct {
		int64_t wait;
		int want;
	} rows[] = {
		{ 0, CTL_RETRY }, { 0, CTL_RETRY_LATER }, { SECOND_NS / 2, CTL_RETRY_LATER },
		{ SECOND_NS, CTL_RETRY },
	};
	struct rig rig;

	rig_up(&rig, "");
	qemu_line(&rig, GREETING);
	qemu_line(&rig, RETURN(1));
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *text = g_strdup_printf("{\"return\": {}, \"id\": %u}\n" RESUME "\n"
			"{\"return\": {\"status\": \"running\", \"running\": true}, \"id\": %u}\n",
			2 * i + 2, 2 * i + 3);

		fake_now += rows[i].wait;
		device_holds(&rig, true, EIO);
		qemu_says(&rig, text, strlen(text));
		g_assert_cmpint(device_got(&rig), ==, rows[i].want);
		g_assert_cmpint(device_got(&rig), ==, -1);
	}
	g_assert_null(strstr(logged(&rig), "not used"));
	rig_down(&rig);
}

/* Nobody reads what we send: it waits in the buffer, not in the keeper. */
static void test_full_socket(void)
{
	char junk[4096] = { 0 };
	int end;
	struct rig rig;

	rig_up(&rig, "");
	end = must(fcntl(atoi(rig.plan.qmp + 3), F_DUPFD_CLOEXEC, 3));
	while (send(end, junk, sizeof(junk), MSG_DONTWAIT) > 0)
		;
	while (send(end, junk, 1, MSG_DONTWAIT) > 0)
		;
	qemu_line(&rig, GREETING);
	device_holds(&rig, true, EIO);
	qemu_got(&rig);
	rig_pump(&rig);
	assert_has(qemu_got(&rig), "qmp_capabilities");
	/* An answer that comes before its question was sent is no answer. */
	while (send(end, junk, 1, MSG_DONTWAIT) > 0)
		;
	qemu_line(&rig, RETURN(1));
	logged(&rig);
	qemu_line(&rig, RETURN(2));
	assert_has(logged(&rig), "it answered what was not asked");
	fd_close(&end);
	rig_down(&rig);
}

/* ---- A hostile device process ---- */

static void test_hostile_device(void)
{
	const struct ctl_held bad[] = { { 1, true, EIO }, { 255, true, EIO }, { 0, true, 0 } };
	unsigned lines;
	struct rig rig;

	rig_up(&rig, "");
	qemu_line(&rig, GREETING);
	qemu_line(&rig, RETURN(1));
	qemu_got(&rig);
	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++)
		onerror_held(rig.o, ctl_held_pack(&bad[i]), rig.control[0]);
	onerror_held(rig.o, UINT32_MAX, rig.control[0]);
	rig_pump(&rig);
	g_assert_cmpstr(logged(&rig), ==, "");
	g_assert_cmpstr(qemu_got(&rig), ==, "");
	/* Nothing but errors, of all kinds: the log, the events and QMP have their bounds. */
	for (unsigned i = 0; i < 100000; i++)
		onerror_held(rig.o, ctl_held_pack(&(struct ctl_held){ 0, i & 1, 1 + i % 4095 }),
			     rig.control[0]);
	rig_pump(&rig);
	lines = count(logged(&rig), "\n");
	g_assert_cmpuint(lines, >, 100);
	g_assert_cmpuint(lines, <, 150);
	g_assert_cmpuint(count(emitted(&rig), "\n"), <, 150);
	g_assert_cmpuint(count(qemu_got(&rig), "\n"), ==, 1);
	/* A second later there are a few more. */
	fake_now += SECOND_NS;
	for (unsigned i = 0; i < 1000; i++)
		device_holds(&rig, true, EIO);
	lines = count(logged(&rig), "\n");
	g_assert_cmpuint(lines, >=, 8);
	g_assert_cmpuint(lines, <, 16);
	rig_down(&rig);
}

/* It does not read what the keeper says: a line, and the keeper goes on. */
static void test_full_control(void)
{
	struct rig rig;
	unsigned lines;

	rig_up(&rig, "");
	fd_close(&rig.qemu);
	rig_pump(&rig);
	while (!ctl_send(rig.control[0], CTL_RETRY, 0))
		;
	device_holds(&rig, true, EIO);
	assert_has(logged(&rig), "control channel: ");
	/* Nor does it when it reports errors only: the lines have their bounds. */
	for (unsigned i = 0; i < 100000; i++)
		onerror_held(rig.o, ctl_held_pack(&(struct ctl_held){ 0, true, EIO }),
			     rig.control[0]);
	lines = count(logged(&rig), "\n");
	g_assert_cmpuint(lines, >, 100);
	g_assert_cmpuint(lines, <, 150);
	rig_down(&rig);
}

/* A device process that reports errors, and a QEMU that answers each time: lines at a bound. */
static void test_stopped_flood(void)
{
	unsigned lines = 0;
	char line[200];
	struct rig rig;

	rig_up(&rig, "");
	qemu_line(&rig, GREETING);
	qemu_line(&rig, RETURN(1));
	for (unsigned id = 2; id < 2002; id += 2) {
		device_holds(&rig, true, EIO);
		g_snprintf(line, sizeof(line), "{\"return\": {}, \"id\": %u}\r\n", id);
		qemu_says(&rig, line, strlen(line));
		g_snprintf(line, sizeof(line), "{\"return\": {\"status\": \"paused\", "
			   "\"running\": false}, \"id\": %u}\r\n", id + 1);
		qemu_says(&rig, line, strlen(line));
		lines += count(logged(&rig), "\n");
	}
	g_assert_cmpuint(lines, >, 100);
	g_assert_cmpuint(lines, <, 150);
	rig_down(&rig);
}

/* ---- Events that nobody takes ---- */

static void test_events_lost(void)
{
	char junk[4096] = { 0 };
	struct rig rig;

	rig_up(&rig, "");
	must(fcntl(rig.events_full, F_SETFL, O_NONBLOCK));
	while (write(rig.events_full, junk, sizeof(junk)) > 0)
		;
	must(fcntl(rig.events_full, F_SETFL, 0));
	device_holds(&rig, true, EIO);
	assert_has(logged(&rig), "an event is lost: Resource temporarily unavailable");
	fd_close(&rig.events);
	fd_close(&rig.events_full);
	device_holds(&rig, true, EIO);
	assert_has(logged(&rig), "an event is lost: Broken pipe");
	rig_down(&rig);
}

/* ---- How it should be ---- */

static void assert_event(const char *text, const char *operation, bool nospace, const char *reason)
{
	json_t *line = json_loads(text, 0, NULL), *data = json_object_get(line, "data");
	const char *device, *node, *op, *action, *why, *name;
	json_int_t seconds, us;
	int space;

	g_assert_cmpint(json_unpack(line, "{s:{s:I, s:I !}, s:s, s:o !}", "timestamp", "seconds",
				    &seconds, "microseconds", &us, "event", &name, "data", &data),
			==, 0);
	g_assert_cmpint(json_unpack(data, "{s:s, s:s, s:s, s:s, s:b, s:s !}", "device", &device,
				    "node-name", &node, "operation", &op, "action", &action,
				    "nospace", &space, "reason", &why), ==, 0);
	g_assert_cmpstr(name, ==, "BLOCK_IO_ERROR");
	g_assert_cmpint(llabs(seconds - time(NULL)), <, 3600);
	g_assert_cmpint(us, <, 1000000);
	g_assert_cmpstr(device, ==, "d");
	g_assert_cmpstr(node, ==, "d");
	g_assert_cmpstr(op, ==, operation);
	g_assert_cmpstr(action, ==, "stop");
	g_assert_cmpint(space, ==, nospace);
	g_assert_cmpstr(why, ==, reason);
	g_assert_cmpuint(count(text, "\n"), ==, 1);
	json_decref(line);
}

static void test_stop(void)
{
	struct rig rig;

	rig_up(&rig, "");
	g_assert_cmpstr(qemu_got(&rig), ==, "");
	qemu_line(&rig, GREETING);
	g_assert_cmpstr(qemu_got(&rig), ==, "{\"execute\": \"qmp_capabilities\", \"id\": 1}\r\n");
	qemu_line(&rig, RETURN(1));
	g_assert_cmpstr(qemu_got(&rig), ==, "");
	device_holds(&rig, true, ENOSPC);
	g_assert_cmpstr(qemu_got(&rig), ==, "{\"execute\": \"stop\", \"id\": 2}\r\n");
	assert_event(emitted(&rig), "write", true, "No space left on device");
	g_assert_cmpstr(logged(&rig), ==, "keeper: warning: d: a write is held back: No space left "
			"on device; stopping the VM; it is tried again when the VM runs\n");
	/* Another one meanwhile, and QEMU's own events. */
	device_holds(&rig, false, EIO);
	assert_event(emitted(&rig), "read", false, "Input/output error");
	logged(&rig);
	qemu_line(&rig, "{\"timestamp\": {}, \"event\": \"STOP\"}");
	qemu_line(&rig, RETURN(2));
	g_assert_cmpstr(qemu_got(&rig), ==, "{\"execute\": \"query-status\", \"id\": 3}\r\n");
	qemu_line(&rig, PAUSED(3));
	g_assert_cmpstr(logged(&rig), ==, "keeper: the VM is stopped (paused) until it is "
			"resumed\n");
	/* The second one's stop: it may have come after a resume. */
	g_assert_cmpstr(qemu_got(&rig), ==, "{\"execute\": \"stop\", \"id\": 4}\r\n");
	qemu_line(&rig, RETURN(4));
	qemu_line(&rig, PAUSED(5));
	g_assert_cmpint(device_got(&rig), ==, -1);
	qemu_line(&rig, RESUME);
	g_assert_cmpint(device_got(&rig), ==, CTL_RETRY);
	qemu_line(&rig, RESUME);
	g_assert_cmpint(device_got(&rig), ==, -1);
	rig_down(&rig);
}

/* QEMU is there before its monitor is: what is asked for is asked when it has greeted. */
static void test_before_greeting(void)
{
	struct rig rig;

	rig_up(&rig, "");
	device_holds(&rig, true, EIO);
	device_holds(&rig, true, EIO);
	g_assert_cmpstr(qemu_got(&rig), ==, "");
	qemu_line(&rig, GREETING);
	qemu_got(&rig);
	qemu_line(&rig, RETURN(1));
	g_assert_cmpstr(qemu_got(&rig), ==, "{\"execute\": \"stop\", \"id\": 2}\r\n");
	rig_down(&rig);
}

/* An ordinary end of QEMU is nothing to speak of. */
static void test_quiet_end(void)
{
	struct rig rig;

	rig_up(&rig, "");
	qemu_line(&rig, GREETING);
	qemu_line(&rig, RETURN(1));
	fd_close(&rig.qemu);
	rig_pump(&rig);
	g_assert_cmpstr(logged(&rig), ==, "");
	rig_down(&rig);
}

/* Who stops the VM: the words of QEMU and "stop" do; what holds without it says what it does. */
static void test_who_stops(void)
{
	static const struct {
		const char *extra;
		bool write, read;
	} rows[] = {
		{ "", true, true },
		{ "--on-error=hold", false, false },
		{ "--on-error=enospc-hold", false, false },
		{ "--on-error=enospc-hold -set-werror=enospc", true, false },
		{ "--on-error=hold -set-werror=stop", true, false },
		{ "--on-error=hold -set-rerror=stop", false, true },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows) * 2; i++) {
		bool write = i & 1, want = write ? rows[i / 2].write : rows[i / 2].read;
		g_auto(GStrv) part = g_strsplit(rows[i / 2].extra, "-set-", 2);
		g_autofree char *extra = part[0] && part[1] ?
			g_strdup_printf("%s -global scsi-hd.%s", part[0], part[1]) :
			g_strdup(rows[i / 2].extra);
		struct rig rig;
		const char *log;

		g_test_message("%s, %s", extra, write ? "write" : "read");
		rig_up(&rig, extra);
		qemu_line(&rig, GREETING);
		qemu_line(&rig, RETURN(1));
		qemu_got(&rig);
		device_holds(&rig, write, ENOSPC);
		g_assert_cmpint(!!strstr(qemu_got(&rig), "stop"), ==, want);
		g_assert_cmpint(!!*emitted(&rig), ==, want);
		log = logged(&rig);
		g_assert_cmpint(!!strstr(log, "stopping the VM"), ==, want);
		g_assert_cmpint(!!strstr(log, "on SIGUSR1 to pid"), ==, !want);
		g_assert_cmpint(device_got(&rig), ==, -1);
		rig_down(&rig);
	}
}

/* A path: connected when it is needed, and as often as it takes. */
static void test_path(void)
{
	g_autofree char *dir = g_dir_make_tmp("mpqemu-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(dir, "qmp", NULL);
	g_autofree char *extra = g_strconcat("--qmp=", path, NULL);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	autofd listener = must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	struct rig rig;

	rig_up(&rig, extra);
	device_holds(&rig, true, EIO);
	assert_has(logged(&rig), "No such file or directory: the VM cannot be stopped");
	g_assert_cmpint(device_got(&rig), ==, CTL_RETRY_LATER);
	g_strlcpy(addr.sun_path, path, sizeof(addr.sun_path));
	must(bind(listener, (struct sockaddr *)&addr, sizeof(addr)));
	device_holds(&rig, true, EIO);
	assert_has(logged(&rig), "Connection refused: the VM cannot be stopped");
	g_assert_cmpint(device_got(&rig), ==, CTL_RETRY_LATER);
	must(listen(listener, 1));
	device_holds(&rig, true, EIO);
	fd_close(&rig.qemu);
	rig.qemu = must(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	fd_close(&listener);
	qemu_line(&rig, GREETING);
	qemu_line(&rig, RETURN(1));
	assert_has(qemu_got(&rig), "\"stop\"");
	g_assert_cmpint(device_got(&rig), ==, -1);
	must(unlink(path));
	must(rmdir(dir));
	rig_down(&rig);
}

/* Names of a command line are any bytes; JSON is not. */
static void test_event_names(void)
{
	static const char *const names[] = { "", "a\"b\\c\n", "\xff\xfe", "\xc3\xa4" };

	for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
		struct block_io_error what = { names[i], names[i], true, 4095 };
		g_autofree char *line = event_block_io_error(&what, 1500000);
		json_t *event = json_loads(line, 0, NULL);

		g_assert_nonnull(event);
		g_assert_cmpuint(count(line, "\n"), ==, 1);
		assert_has(line, "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 500000}, ");
		assert_has(line, "\"reason\": \"Unknown error\"");
		json_decref(event);
	}
}

/* ---- Options ---- */

static void test_bad_options(void)
{
	static const struct {
		const char *qmp, *events, *error;
	} rows[] = {
		{ "fd=", NULL, "--qmp=fd=: it takes a number, 3 or more" },
		{ "fd=2", NULL, "--qmp=fd=2: it takes a number, 3 or more" },
		{ "fd=x", NULL, "--qmp=fd=x: it takes a number, 3 or more" },
		{ "fd=99999", NULL, "--qmp=fd=99999: Bad file descriptor" },
		{ "", NULL, "--qmp=: a path of a UNIX socket has 1 to 107 bytes" },
		{ NULL, "fd=-1", "--events=fd=-1: it takes a number, 3 or more" },
		{ NULL, "fd=99999", "--events=fd=99999: Bad file descriptor" },
		{ NULL, "", "--events=: a path of a UNIX socket has 1 to 107 bytes" },
		{ NULL, "/nonexistent/x", "--events=/nonexistent/x: No such file or directory" },
	};
	g_autofree char *long_path = g_strnfill(108, 'x');
	struct remote_plan plan = { .qmp = long_path };
	unsigned fds = open_fds();
	struct onerror *o = NULL;

	g_assert_false(onerror_create(&plan, &o, NULL));
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;

		plan.qmp = (char *)(uintptr_t)rows[i].qmp;
		plan.events = (char *)(uintptr_t)rows[i].events;
		g_assert_false(onerror_create(&plan, &o, &error));
		g_assert_cmpstr(error->message, ==, rows[i].error);
	}
	g_assert_null(o);
	g_assert_cmpuint(open_fds(), ==, fds);
}

/* A pipe is no socket, and a datagram socket no stream. */
static void test_wrong_socket(void)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *text = NULL;
	struct remote_plan plan = { 0 };
	struct onerror *o = NULL;
	int fd[2];

	must(pipe2(fd, O_CLOEXEC));
	text = plan.qmp = g_strdup_printf("fd=%d", fd[0]);
	g_assert_false(onerror_create(&plan, &o, &error));
	g_assert_true(g_str_has_suffix(error->message, ": it is no stream socket"));
	close(fd[0]);
	close(fd[1]);
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/onerror/hostile-idle", test_hostile_idle);
	g_test_add_func("/onerror/hostile-waiting", test_hostile_waiting);
	g_test_add_func("/onerror/hostile-status", test_hostile_status);
	g_test_add_func("/onerror/long-line", test_long_line);
	g_test_add_func("/onerror/silent", test_silent);
	g_test_add_func("/onerror/event-flood", test_event_flood);
	g_test_add_func("/onerror/resumes-at-once", test_resumes_at_once);
	g_test_add_func("/onerror/full-socket", test_full_socket);
	g_test_add_func("/onerror/hostile-device", test_hostile_device);
	g_test_add_func("/onerror/full-control", test_full_control);
	g_test_add_func("/onerror/stopped-flood", test_stopped_flood);
	g_test_add_func("/onerror/events-lost", test_events_lost);
	g_test_add_func("/onerror/stop", test_stop);
	g_test_add_func("/onerror/before-greeting", test_before_greeting);
	g_test_add_func("/onerror/quiet-end", test_quiet_end);
	g_test_add_func("/onerror/who-stops", test_who_stops);
	g_test_add_func("/onerror/path", test_path);
	g_test_add_func("/onerror/event-names", test_event_names);
	g_test_add_func("/onerror/bad-options", test_bad_options);
	g_test_add_func("/onerror/wrong-socket", test_wrong_socket);
	return g_test_run();
}
