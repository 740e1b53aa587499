/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/service.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "applets/orchestrate/control/place.h"
#include "applets/orchestrate/run/logs.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/service.h"
#include "plan/opts.h"
#include "plan/rewrite/cmd.h"

bool service_open_log(struct orchestrate *self, GError **error)
{
	struct logs_options options = { .fd = STDERR_FILENO, .json = self->log_json };

	if (self->log_file) {
		self->log_fd = open(self->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC |
				    O_NOCTTY, 0600);
		if (self->log_fd < 0)
			return mpq_fail(error, MPQ_ERROR_SYSTEM, "--log-file=%s: %s",
					self->log_file, log_errname(errno));
		options.fd = self->log_fd;
	}
	options.levels = !self->log_json && logs_is_journal(options.fd);
	self->run.logs = logs_create(&options);
	return true;
}

/* What QEMU's -name says, or NULL.  The caller frees. */
static char *qemu_name(char *const *argv)
{
	static const struct opt_syntax syntax = { "guest", OPT_DIALECT_QEMUOPTS, false };
	auto_qcmd cmd = rewrite_is_cloud(argv[0]) ? NULL : qcmd_parse(argv, NULL);
	struct qopt *opt = cmd ? qcmd_last(cmd, "name") : NULL;
	auto_opt_set set = opt && opt->arg ? opt_set_parse("-name", opt->arg, &syntax, NULL) : NULL;
	const char *guest = set ? opt_get(set, "guest") : NULL;

	return guest ? place_make_name(guest) : NULL;
}

/* "web" of "/etc/mpqemu/web.conf"; the caller frees. */
static char *file_name(const char *path)
{
	g_autofree char *base = g_path_get_basename(path);
	char *dot = strrchr(base, '.');

	if (dot && dot != base)
		*dot = '\0';
	return place_make_name(base);
}

static char *choose_name(const struct orchestrate *self)
{
	char *name;

	if (self->name)
		return g_strdup(self->name);
	name = qemu_name(self->qemu);
	if (!name && self->vm)
		name = file_name(self->vm->file->path);
	return name ? name : g_strdup_printf("vm-%d", (int)getpid());
}

/* A place that nobody asked for may be missing. */
static bool choose_place(struct orchestrate *self, GError **error)
{
	g_autoptr(GError) why = NULL;

	if (!g_strcmp0(self->control, "off"))
		return true;
	if (self->control) {
		self->run.control = g_strdup(self->control);
		return true;
	}
	self->run.control = place_socket(self->run.name, true, &why);
	if (!self->run.control && why->code == MPQ_ERROR_REFUSED) {
		g_propagate_error(error, g_steal_pointer(&why));
		return false;
	}
	if (!self->run.control)
		log_warning("there is no control socket, and no verb finds this VM: %s",
			    why->message);
	return true;
}

bool service_begin(struct orchestrate *self, GError **error)
{
	int ret;

	if (self->pidfile) {
		self->pid_fd = service_pidfile(self->pidfile, error);
		if (self->pid_fd < 0)
			return false;
	}
	ret = self->daemonize ? service_fork(&self->run.ready_fd) : 0;
	if (ret)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "--daemonize: %s", log_errname(ret));
	self->run.log_qemu = self->daemonize || self->log_file || self->log_json;
	self->run.keep_stderr = !self->daemonize;
	ret = self->pid_fd >= 0 ? service_write_pid(self->pid_fd) : 0;
	if (ret)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "--pidfile=%s: %s", self->pidfile,
				log_errname(ret));
	self->pid_written = self->pid_fd >= 0;
	self->run.name = choose_name(self);
	self->run.metrics = self->metrics;
	return choose_place(self, error);
}

void service_end(struct orchestrate *self)
{
	if (self->pid_written)
		unlink(self->pidfile);
	fd_close(&self->pid_fd);
	logs_destroy(self->run.logs);
	self->run.logs = NULL;
	fd_close(&self->log_fd);
	fd_close(&self->run.ready_fd);
}
