/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/control/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "applets/orchestrate/control/commands.h"
#include "applets/orchestrate/control/place.h"
#include "applets/orchestrate/run/logs.h"
#include "applets/orchestrate/run/priv.h"
#include "base/fd.h"
#include "base/log.h"
#include "qmp/source.h"

/* A list of remotes with their metrics is the largest that is sent; nothing large comes. */
#define BOUND_IN (256 << 10)
#define BOUND_OUT (8 << 20)

struct control {
	struct run *run;
	char *path;
	int listener;			/* ours; the server has a copy */
	struct qmp_server *server;
	struct qmp_server_config config;
	GSource *source;
};

static void on_dropped(void *opaque, const char *why)
{
	log_warning("control socket: a client was dropped: %s", why);
}

static void on_line(void *opaque, json_t *line)
{
	control_event(opaque, "MPQEMU_LOG", json_incref(line));
}

static void set_config(struct qmp_server_config *config)
{
	unsigned *const numbers[] = {
		&config->version.major, &config->version.minor, &config->version.micro,
	};
	g_auto(GStrv) parts = g_strsplit(MPQEMU_VERSION, ".", 3);

	for (unsigned i = 0; i < G_N_ELEMENTS(numbers) && parts[i]; i++)
		*numbers[i] = strtoul(parts[i], NULL, 10);
	config->version.package = "mpqemu-orchestrate";
	config->commands = control_commands;
	config->events = control_events;
	config->max_clients = QMP_SERVER_CLIENTS;
	config->takes_fds = true;
	config->bounds = (struct qmp_bounds){ .in = BOUND_IN, .out = BOUND_OUT };
	config->dropped = on_dropped;
}

bool control_create(struct run *run, struct control **ret, GError **error)
{
	const char *path = run->options->control;
	struct control *control;
	int fd, copy;

	*ret = NULL;
	if (!path)
		return true;
	fd = place_listen(path, error);
	if (fd < 0)
		return false;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0) {
		mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s", path, log_errname(errno));
		place_remove(path, fd);
		return false;
	}
	control = g_new0(struct control, 1);
	control->run = run;
	control->path = g_strdup(path);
	control->listener = fd;
	set_config(&control->config);
	control->server = qmp_server_create(&control->config, run);
	qmp_server_listen(control->server, copy, false);
	control->source = qmp_server_source(control->server);
	g_source_attach(control->source, NULL);
	logs_follow(run->options->logs, on_line, control);
	*ret = control;
	return true;
}

void control_destroy(struct control *control)
{
	if (!control)
		return;
	logs_follow(control->run->options->logs, NULL, NULL);
	g_source_destroy(control->source);
	g_source_unref(control->source);
	qmp_server_destroy(control->server);
	place_remove(control->path, control->listener);
	g_free(control->path);
	g_free(control);
}

void control_event(struct control *control, const char *name, json_t *data)
{
	if (control)
		qmp_server_event(control->server, name, data);
	else
		json_decref(data);
}
