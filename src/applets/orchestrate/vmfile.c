/* SPDX-License-Identifier: GPL-2.0-or-later */

/* A VM's file: start and check take all from it, import makes one of a command line. */

#include <errno.h>
#include <stdio.h>

#include "applets/orchestrate/orchestrate.h"
#include "base/log.h"

/* One text as the list that an option makes of it. */
static char **one(const char *text)
{
	char **list = text ? g_new0(char *, 2) : NULL;

	if (list)
		list[0] = g_strdup(text);
	return list;
}

/* NULL: not given. */
static char *joined(char **list)
{
	return list ? g_strjoinv(",", list) : NULL;
}

bool orchestrate_read_vm(struct orchestrate *self, const char *path, GError **error)
{
	struct vm *vm = self->vm = vm_read(path, error);

	if (!vm)
		return false;
	self->remote = one(vm->remote);
	self->local = one(vm->local);
	self->remote_program = g_strdup(vm->all.program);
	self->on_remote_exit = g_strdup(vm->on_remote_exit);
	/* The command line's says more of this start. */
	if (!self->control)
		self->control = g_strdup(vm->control);
	self->metrics = g_strdup(vm->metrics);
	self->shutdown_timeout = vm->shutdown_timeout;
	self->run.group = &vm->group;
	self->on_error = g_strdup(vm->all.on_error);
	self->on_crash = g_strdup(vm->all.on_crash);
	self->watchdog = g_strdup(vm->all.watchdog);
	self->events = g_strdup(vm->all.events);
	self->sandbox = g_strdup(vm->all.sandbox);
	self->protocol_word = g_strdup(vm->protocol);
	if (vm->start_timeout)
		self->start_timeout = vm->start_timeout;
	self->qemu = g_strdupv((char **)vm->qemu->pdata);
	return true;
}

/* What a file has no key for, as it is of one start. */
static bool check_import(const struct orchestrate *self, GError **error)
{
	const struct {
		const char *name;
		bool given;
	} rows[] = {
		{ "name", self->name }, { "daemonize", self->daemonize },
		{ "pidfile", self->pidfile }, { "log-file", self->log_file },
		{ "log-json", self->log_json },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
		if (rows[i].given)
			return mpq_fail(error, MPQ_ERROR_USAGE, "import: --%s is not what a file "
					"says; leave it out", rows[i].name);
	return true;
}

bool orchestrate_import(struct orchestrate *self, GError **error)
{
	g_autofree char *remote = joined(self->remote), *local = joined(self->local);
	const struct vm_settings settings = {
		.protocol = self->protocol_word, .on_remote_exit = self->on_remote_exit,
		.remote = remote, .local = local, .program = self->remote_program,
		.sandbox = self->sandbox, .on_error = self->on_error,
		.on_crash = self->on_crash, .watchdog = self->watchdog, .events = self->events,
		.numa = self->numa,
		.control = self->control, .metrics = self->metrics,
		.shutdown_timeout = self->shutdown_timeout,
		.start_timeout = self->start_timeout == RUN_START_TIMEOUT ? 0 :
				 self->start_timeout,
	};
	g_autofree char *text = NULL;

	if (!check_import(self, error))
		return false;
	if (self->remotes->len || rewrite_is_cloud(self->qemu[0]))
		return mpq_fail(error, MPQ_ERROR_USAGE, "import: it takes QEMU's command line "
				"alone");
	text = vm_import(self->qemu, &settings, error);
	if (!text)
		return false;
	fputs(text, stdout);
	return fflush(stdout) != EOF ||
	       mpq_fail(error, MPQ_ERROR_SYSTEM, "stdout: %s", log_errname(errno));
}
