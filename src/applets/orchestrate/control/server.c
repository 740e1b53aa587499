/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/control/server.h"

#include <stdlib.h>

#include "applets/orchestrate/control/commands.h"
#include "applets/orchestrate/control/door.h"
#include "applets/orchestrate/run/logs.h"
#include "applets/orchestrate/run/priv.h"
#include "base/log.h"

/* A list of remotes with their metrics is the largest that is sent; nothing large comes. */
#define BOUND_IN (256 << 10)
#define BOUND_OUT (8 << 20)

struct control {
	struct run *run;
	struct door *door;
	struct qmp_server_config config;
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
	struct control *control;

	*ret = NULL;
	if (!run->options->control)
		return true;
	control = g_new0(struct control, 1);
	control->run = run;
	set_config(&control->config);
	control->door = door_open(run->options->control, &control->config, run, error);
	if (!control->door) {
		g_free(control);
		return false;
	}
	logs_follow(run->options->logs, on_line, control);
	*ret = control;
	return true;
}

void control_destroy(struct control *control)
{
	if (!control)
		return;
	logs_follow(control->run->options->logs, NULL, NULL);
	door_close(control->door);
	g_free(control);
}

void control_event(struct control *control, const char *name, json_t *data)
{
	if (control)
		qmp_server_event(door_server(control->door), name, data);
	else
		json_decref(data);
}
