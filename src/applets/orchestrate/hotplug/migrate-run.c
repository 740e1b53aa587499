/* SPDX-License-Identifier: GPL-2.0-or-later */

/* QEMU's "migrate", "query-migrate" and "migrate_cancel": qapi/migration.json. */

#include "applets/orchestrate/hotplug/migrate.h"

#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <glib-unix.h>
#include <jansson.h>

#include "applets/orchestrate/hotplug/link.h"
#include "base/log.h"
#include "qmp/client.h"

#define POLL_MS 200

struct migration {
	struct hotplug_link link;
	GMainLoop *loop;
	int limit_ms;
	guint timer, signal_watch;
	bool started;			/* QEMU has taken the command */
	bool done;
	enum migrate_end end;
	unsigned tenths;		/* of the way that were told */
	int signal;
};

static void finish(struct migration *self, enum migrate_end end)
{
	if (self->done)
		return;
	self->done = true;
	self->end = end;
	g_main_loop_quit(self->loop);
}

/* The connection's end, or a refusal. */
static void failed(struct migration *self, const char *command, const struct qmp_failure *failure)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GError) why = NULL;

	if (failure->class) {
		log_error("QEMU refuses (%s): %s", command, failure->desc);
		finish(self, self->started ? MIGRATE_UNKNOWN : MIGRATE_STAYS);
		return;
	}
	mpq_fail(&error, MPQ_ERROR_SYSTEM, "%s", failure->desc);
	why = hotplug_link_error(&self->link, error);
	log_error("%s", why->message);
	/* A command that was sent may have been taken; one that waited for the greeting was not. */
	finish(self, self->link.greeted ? MIGRATE_UNKNOWN : MIGRATE_STAYS);
}

static void send(struct migration *self, const char *command, json_t *args, qmp_done_fn *done)
{
	int ret = hotplug_link_execute(&self->link, command, args, -1, self->limit_ms, done,
				     self);
	const struct qmp_failure failure = { .desc = log_errname(ret) };

	if (ret)
		failed(self, command, &failure);
}

/* ---- On the way ---- */

static void tell_progress(struct migration *self, const json_t *info)
{
	const json_t *ram = json_object_get(info, "ram");
	double total = json_number_value(json_object_get(ram, "total"));
	double left = json_number_value(json_object_get(ram, "remaining"));
	unsigned tenths = total > 0 && left <= total ? 10 * (total - left) / total : 0;

	if (tenths <= self->tenths)
		return;
	self->tenths = tenths;
	log_info("migrating: %u %% of the guest's RAM, %.0f MiB left", tenths * 10,
		 left / (1 << 20));
}

static gboolean ask(void *opaque);

static void on_info(void *opaque, const json_t *info, const struct qmp_failure *failure)
{
	struct migration *self = opaque;
	const char *status = json_string_value(json_object_get(info, "status")) ?: "none";
	const char *desc = json_string_value(json_object_get(info, "error-desc"));

	if (failure) {
		failed(self, "query-migrate", failure);
	} else if (!strcmp(status, "completed")) {
		finish(self, MIGRATE_COMPLETED);
	} else if (!strcmp(status, "failed")) {
		log_error("the migration has failed: %s", desc ?: "QEMU says no more");
		finish(self, MIGRATE_STAYS);
	} else if (!strcmp(status, "cancelled")) {
		log_info("the migration is cancelled");
		finish(self, MIGRATE_STAYS);
	} else {
		tell_progress(self, info);
		self->timer = g_timeout_add(POLL_MS, ask, self);
	}
}

static gboolean ask(void *opaque)
{
	struct migration *self = opaque;

	self->timer = 0;
	send(self, "query-migrate", NULL, on_info);
	return G_SOURCE_REMOVE;
}

static void on_started(void *opaque, const json_t *value, const struct qmp_failure *failure)
{
	struct migration *self = opaque;

	if (failure) {
		failed(self, "migrate", failure);
		return;
	}
	self->started = true;
	ask(self);
}

/* query-migrate says what has become of it. */
static void on_cancel(void *opaque, const json_t *value, const struct qmp_failure *failure)
{
}

static gboolean signal_came(int fd, GIOCondition condition, void *opaque)
{
	struct migration *self = opaque;
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) != sizeof(info) || self->signal)
		return G_SOURCE_CONTINUE;
	self->signal = info.ssi_signo;
	log_info("signal %d: the migration is cancelled", self->signal);
	send(self, "migrate_cancel", NULL, on_cancel);
	return G_SOURCE_CONTINUE;
}

/* ---- The whole ---- */

enum migrate_end migrate_run(const struct hotplug_target *target, const char *uri, int limit_ms,
			     int signal_fd, int *ret_signal)
{
	struct migration self = { .limit_ms = limit_ms, .loop = g_main_loop_new(NULL, false) };
	g_autoptr(GError) error = NULL;

	if (!hotplug_link_open(&self.link, target, limit_ms, &error)) {
		log_error("%s", error->message);
		finish(&self, MIGRATE_STAYS);
	} else {
		self.signal_watch = g_unix_fd_add(signal_fd, G_IO_IN, signal_came, &self);
		send(&self, "migrate", json_pack("{s:s}", "uri", uri), on_started);
	}
	if (!self.done)
		g_main_loop_run(self.loop);
	if (self.timer)
		g_source_remove(self.timer);
	if (self.signal_watch)
		g_source_remove(self.signal_watch);
	hotplug_link_close(&self.link);
	g_main_loop_unref(self.loop);
	*ret_signal = self.signal;
	return self.end;
}
