/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * migrate: QEMU migrates no VM with an x-pci-proxy-dev, and over vfio-user the state of the device
 * would be lost.  So what attach plugged in, which no guest has booted from, is taken out, by
 * detach itself; then QEMU's "migrate"; and if the VM stays here, attach brings it back:
 *
 *   LOOK --> detach each --> MIGRATE --completed--> the commands for the other side
 *                 |             |--failed, cancelled (a signal does that)
 *                 '-------------'--> attach those that were detached
 *
 * QEMU's QMP socket has one client at a time, so each step has a connection of its own.
 */

#include "applets/orchestrate/hotplug/migrate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <glib-unix.h>
#include <jansson.h>

#include "applets/orchestrate/hotplug/hotplug.h"
#include "applets/orchestrate/hotplug/link.h"
#include "applets/orchestrate/hotplug/look.h"
#include "applets/orchestrate/run/child.h"
#include "applets/orchestrate/run/run.h"
#include "base/fd.h"
#include "base/log.h"

#define NAME "mpqemu-orchestrate"

struct migrate {
	const struct hotplug_args *args;
	const char *uri;
	GPtrArray *moved;		/* struct migrate_device *: those that attach plugged in */
	sigset_t old_mask;
	int signal_fd;
	int signal;			/* that came, or 0 */
};

/* ---- LOOK ---- */

struct look_wait {
	GMainLoop *loop;
	GError *error;
	bool done;
};

static void looked(void *opaque, const GError *error)
{
	struct look_wait *wait = opaque;

	wait->error = error ? g_error_copy(error) : NULL;
	wait->done = true;
	g_main_loop_quit(wait->loop);
}

static bool refuse_device(const struct hotplug_device *device, GError **error)
{
	bool proxy = !strcmp(device->type, "x-pci-proxy-dev");

	return mpq_fail(error, MPQ_ERROR_REFUSED, "%s: nothing is known here of an attach that "
			"plugged it in, so the guest may have its root on it, and it would not "
			"come back; with it %s", device->id, proxy ?
			"QEMU migrates no VM (x-pci-proxy-dev blocks that)" :
			"the VM would be migrated without the state of the device");
}

static bool take_device(struct migrate *self, const struct hotplug_device *device, GError **error)
{
	struct migrate_device *moved;

	if (!hotplug_is_client(device->type))
		return true;
	moved = migrate_device_find(&self->args->target, device->id,
				    self->args->timeout * 1000);
	if (!moved)
		return refuse_device(device, error);
	g_ptr_array_add(self->moved, moved);
	if (migrate_device_has_fds(moved))
		return mpq_fail(error, MPQ_ERROR_REFUSED, "%s: it was attached with fds that were "
				"inherited (-add-fd, --events=fd=), so it would not come back",
				device->id);
	return true;
}

static bool take_devices(struct migrate *self, const struct hotplug_vm *vm, GError **error)
{
	static const char *const moving[] = { "inmigrate", "finish-migrate", "postmigrate", NULL };

	if (vm->status && g_strv_contains(moving, vm->status))
		return mpq_fail(error, MPQ_ERROR_REFUSED, "the VM is being migrated (%s)",
				vm->status);
	for (unsigned i = 0; i < vm->devices->len; i++)
		if (!take_device(self, &g_array_index(vm->devices, struct hotplug_device, i),
				 error))
			return false;
	return true;
}

static bool look(struct migrate *self, GError **error)
{
	struct look_wait wait = { .loop = g_main_loop_new(NULL, false) };
	struct hotplug_link link = { 0 };
	struct hotplug_look *look = NULL;
	int limit_ms = self->args->timeout * 1000;
	bool ok = hotplug_link_open(&link, &self->args->target, limit_ms, error);

	if (ok) {
		look = hotplug_look_create(&link, limit_ms, looked, &wait);
		hotplug_look_start(look);
		if (!wait.done)
			g_main_loop_run(wait.loop);
		if (wait.error)
			g_propagate_error(error, hotplug_link_error(&link, wait.error));
		ok = !wait.error && take_devices(self, hotplug_look_vm(look), error);
	}
	hotplug_link_close(&link);
	hotplug_look_destroy(look);
	g_clear_error(&wait.error);
	g_main_loop_unref(wait.loop);
	return ok;
}

/* ---- detach and attach ---- */

/* This program's command line with @words behind its name; g_strfreev(). */
static char **own_command(const struct migrate *self, const char *verb, char *const *words)
{
	g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
	g_autofree char *exe = g_file_read_link("/proc/self/exe", NULL);
	g_autofree char *base = exe ? g_path_get_basename(exe) : NULL;
	const char *vm = self->args->target.vm;
	g_autofree char *place = vm ? g_strdup(vm) : g_strconcat("--qmp=", self->args->qmp, NULL);
	g_autofree char *timeout = g_strdup_printf("--timeout=%d", self->args->timeout);
	g_autofree char *guest = g_strdup_printf("--guest-timeout=%d", self->args->guest_timeout);

	g_strv_builder_add(builder, exe ?: NAME);
	if (!g_strcmp0(base, "mpqemu"))
		g_strv_builder_add(builder, "orchestrate");
	g_strv_builder_add(builder, verb);
	g_strv_builder_add(builder, place);
	g_strv_builder_add(builder, timeout);
	g_strv_builder_add(builder, guest);
	for (; *words; words++)
		g_strv_builder_add(builder, *words);
	return g_strv_builder_end(builder);
}

/* Runs it to its end; it logs by itself why it fails. */
static bool run_own(const struct migrate *self, const char *verb, char *const *words)
{
	g_auto(GStrv) argv = own_command(self, verb, words);
	const struct child_setup setup = {
		.argv = argv, .stdio = CHILD_STDIO_OURS,
		.sigmask = &self->old_mask, .sigpipe = &self->args->sigpipe,
	};
	struct child child;
	const char *where;
	int ret = child_start(&child, &setup, &where);

	if (ret) {
		log_error("%s: cannot run it: %s: %s", argv[0], where, log_errname(ret));
		return false;
	}
	child_wait(&child, -1);
	return !child.status;
}

static bool detach(const struct migrate *self, struct migrate_device *device)
{
	char *const words[] = { device->id, NULL };

	log_info("%s: taken out of the VM, which has not booted from it; what the guest has "
		 "mounted of it ends", device->id);
	device->detached = run_own(self, "detach", words);
	return device->detached;
}

/* Image paths mean what they meant then. */
static bool attach(const struct migrate *self, const struct migrate_device *device)
{
	autofd here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	g_auto(GStrv) words = migrate_device_words(device);
	bool ok = here >= 0 && chdir(device->cwd) == 0 && run_own(self, "attach", words);

	if (here >= 0 && fchdir(here) < 0)
		log_warning("the directory that we were in: %s", log_errname(errno));
	return ok;
}

static void attach_again(const struct migrate *self)
{
	for (unsigned i = 0; i < self->moved->len; i++) {
		const struct migrate_device *device = self->moved->pdata[i];

		if (device->detached && !attach(self, device))
			log_error("%s: it is not attached again", device->id);
	}
}

static bool detach_all(const struct migrate *self)
{
	for (unsigned i = 0; i < self->moved->len; i++)
		if (!detach(self, self->moved->pdata[i]))
			return false;
	return true;
}

/* ---- The whole ---- */

static void print_attach(const struct migrate *self)
{
	for (unsigned i = 0; i < self->moved->len; i++) {
		g_autofree char *line = migrate_device_line(self->moved->pdata[i]);

		if (!i)
			log_info("what brings the devices back on the other side, where the "
				 "images are the same:");
		printf("%s\n", line);
	}
	fflush(stdout);
}

static int settle(struct migrate *self, enum migrate_end end)
{
	switch (end) {
	case MIGRATE_COMPLETED:
		log_info("the VM is at %s", self->uri);
		print_attach(self);
		return 0;
	case MIGRATE_UNKNOWN:
		log_error("whether the VM has gone to %s is not known, so nothing is attached "
			  "again; what would do that:", self->uri);
		print_attach(self);
		return RUN_STATUS_FAILED;
	default:
		attach_again(self);
		return self->signal ? 128 + self->signal : RUN_STATUS_FAILED;
	}
}

static int migrate(struct migrate *self)
{
	g_autoptr(GError) error = NULL;
	enum migrate_end end = MIGRATE_STAYS;

	if (!look(self, &error)) {
		log_error("%s", error->message);
		return RUN_STATUS_FAILED;
	}
	if (detach_all(self))
		end = migrate_run(&self->args->target, self->uri,
				  self->args->timeout * 1000, self->signal_fd, &self->signal);
	return settle(self, end);
}

static void device_free(void *device)
{
	migrate_device_destroy(device);
}

int hotplug_migrate(const struct hotplug_args *args)
{
	struct migrate self = { .args = args, .uri = args->words[0] };
	sigset_t mask;
	int status;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, &self.old_mask);
	self.signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (self.signal_fd < 0) {
		log_error("signalfd: %s", log_errname(errno));
		return RUN_STATUS_FAILED;
	}
	self.moved = g_ptr_array_new_with_free_func(device_free);
	status = migrate(&self);
	g_ptr_array_unref(self.moved);
	fd_close(&self.signal_fd);
	return status;
}
