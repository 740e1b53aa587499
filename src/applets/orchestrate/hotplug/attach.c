/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * attach: somebody has to be the remote's parent, so this process goes on in the background:
 *
 *   LOOK (QMP), plan, checks --> START the remote, ids, reset --> PLUG (QMP) --> ATTACHED --> END
 *
 * A VM of ours has a keeper, which gets the remote before PLUG (ADOPT) and runs it from then on.
 * Until ATTACHED the caller waits, and whatever goes wrong undoes what was done; so does the
 * caller's end.  During PLUG that waits for QEMU's answer, and if QEMU has taken the device it is
 * to give it back (UNDO).  From then on QMP is not used any more: QEMU has the other end of the
 * remote's socket, and closes it when the device or QEMU goes; then the remote ends, or is told to,
 * and this process.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <glib-unix.h>
#include <jansson.h>

#include "applets/orchestrate/hotplug/adopt.h"
#include "applets/orchestrate/hotplug/holder.h"
#include "applets/orchestrate/hotplug/hotplug.h"
#include "applets/orchestrate/hotplug/link.h"
#include "applets/orchestrate/hotplug/plug.h"
#include "applets/orchestrate/hotplug/remote.h"
#include "applets/orchestrate/hotplug/unplug.h"
#include "applets/orchestrate/precheck.h"
#include "applets/orchestrate/probe.h"
#include "applets/orchestrate/run/run.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/service.h"
#include "plan/procs.h"

enum phase {
	PHASE_LOOK, PHASE_START, PHASE_ADOPT, PHASE_PLUG, PHASE_UNDO, PHASE_ATTACHED, PHASE_END,
};

struct attach {
	const struct hotplug_args *args;
	struct probe probe;
	struct hotplug_link link;
	struct hotplug_look *look;
	struct plan *plan;
	json_t *device;			/* what device_add gets; owned until it is plugged */
	char *id;			/* of the device */
	struct hotplug_remote remote;
	struct hotplug_adopt *adopt;
	struct hotplug_plug *plug;
	struct hotplug_unplug *unplug;
	struct holder *holder;		/* our socket */
	bool released;			/* over it: the VM has the device no more */
	enum phase phase;
	bool give_up;			/* PLUG: it is to be undone, why has been said */
	int status;			/* exit status */
	int log_fd;			/* for the background: -1: /dev/null */
	int parent;			/* to be released; -1: foreground, or released */
	guint parent_watch, signal_watch, log_watch;
	int signal_fd, pipe[2];		/* the remote's stderr */
	int keeper_log[2];		/* that once more, for the VM's keeper; -1: it has none */
	sigset_t old_mask;
	GMainLoop *loop;
};

/* ---- The end ---- */

/* Ends what runs; the loop is left when nothing does. */
static void end_now(struct attach *self)
{
	self->phase = PHASE_END;
	hotplug_link_close(&self->link);
	if (self->remote.child.pid)
		hotplug_remote_end(&self->remote);
	else if (self->loop)
		g_main_loop_quit(self->loop);
}

/* What QEMU is asked while this is called is waited for. */
static void end(struct attach *self, int status)
{
	if (self->phase == PHASE_END)
		return;
	self->status = self->status ?: status;
	if (self->phase == PHASE_PLUG || self->phase == PHASE_UNDO)
		self->give_up = true;
	else
		end_now(self);
}

static void fail(struct attach *self, const GError *error)
{
	if (self->phase != PHASE_END)
		log_error("%s", error->message);
	end(self, RUN_STATUS_FAILED);
}

static void fail_qmp(struct attach *self, const GError *error)
{
	g_autoptr(GError) why = hotplug_link_error(&self->link, error);

	fail(self, why);
}

static void remote_ended(void *opaque)
{
	struct attach *self = opaque;
	g_autofree char *how = child_describe_end(&self->remote.child);
	const char *who = self->remote.process->serves;
	/* One that does not mind SIGTERM has done as it was told. */
	bool failed = self->remote.child.status &&
		      !(self->released && self->remote.child.signal == SIGTERM);

	if (self->phase < PHASE_ATTACHED) {
		log_error("%s: its process %s before QEMU had the device", who, how);
		self->status = RUN_STATUS_REMOTE;
	} else if (self->phase == PHASE_ATTACHED && failed) {
		log_error("%s: its process %s; if the VM still has the device, its guest reads "
			  "all ones from it", who, how);
		self->status = RUN_STATUS_REMOTE;
	} else if (self->phase == PHASE_ATTACHED) {
		log_info("%s: it is not used any more", who);
	}
	end(self, 0);
	if (self->phase == PHASE_END)
		g_main_loop_quit(self->loop);
}

/* ---- PLUG ---- */

/* What else the caller has open is not held open for as long as the device is there. */
static void close_inherited(const struct attach *self)
{
	for (unsigned i = 0; i < self->probe.busy_fds->len; i++)
		close(g_array_index(self->probe.busy_fds, int, i));
}

static bool release_parent(struct attach *self)
{
	int ret;

	if (self->parent < 0)
		return true;
	close_inherited(self);
	g_source_remove(self->parent_watch);
	self->parent_watch = 0;
	if (self->log_fd >= 0)
		dup2(self->log_fd, STDERR_FILENO);
	ret = service_release(&self->parent, self->log_fd >= 0);
	return !ret;
}

static void unplugged(void *opaque, const GError *error)
{
	struct attach *self = opaque;

	if (!error)
		hotplug_remote_unused(&self->remote);
	else
		log_error("%s: the VM has the device without its remote, and its guest reads all "
			  "ones from it: %s", self->remote.process->serves, error->message);
	end_now(self);
}

static void undo(struct attach *self)
{
	self->phase = PHASE_UNDO;
	self->unplug = hotplug_unplug_create(&self->link, self->id,
					     self->args->timeout * 1000,
					     self->args->guest_timeout * 1000, unplugged, self);
	hotplug_unplug_start(self->unplug);
}

static void plugged(void *opaque, const GError *error)
{
	struct attach *self = opaque;

	if (error) {
		g_autoptr(GError) why = hotplug_link_error(&self->link, error);

		log_error("%s", why->message);
		self->status = self->status ?: RUN_STATUS_FAILED;
		hotplug_remote_unused(&self->remote);
		end_now(self);
		return;
	}
	if (self->give_up) {
		undo(self);
		return;
	}
	hotplug_link_close(&self->link);
	self->phase = PHASE_ATTACHED;
	log_info("%s is attached; process %d serves it, and process %d is its parent",
		 self->remote.process->serves, self->remote.child.pid, getpid());
	/* Too late to take it back without the guest: it has seen the device. */
	release_parent(self);
}

static void plug(struct attach *self)
{
	self->phase = PHASE_PLUG;
	self->plug = hotplug_plug_create(&self->link, g_steal_pointer(&self->device),
					 hotplug_remote_take_end(&self->remote), self->remote.path,
					 self->args->timeout * 1000, plugged, self);
	hotplug_plug_start(self->plug);
}

/* ---- ADOPT ---- */

static void adopted(void *opaque, const GError *error)
{
	struct attach *self = opaque;

	if (!error) {
		plug(self);
		return;
	}
	hotplug_remote_unused(&self->remote);
	fail(self, error);
}

static void adopt(struct attach *self)
{
	self->phase = PHASE_ADOPT;
	self->adopt = hotplug_adopt_create(&self->link, &self->remote, self->id,
					   fd_steal(&self->keeper_log[0]),
					   self->args->timeout * 1000, adopted, self);
	hotplug_adopt_start(self->adopt);
}

static void remote_ready(void *opaque, const GError *error)
{
	struct attach *self = opaque;

	if (error) {
		log_error("%s", error->message);
		end(self, RUN_STATUS_REMOTE);
	} else if (self->args->target.vm) {
		adopt(self);
	} else {
		plug(self);
	}
}

/* ---- START ---- */

static const struct hotplug_remote_ops remote_ops = {
	.ready = remote_ready, .ended = remote_ended,
};

static bool start_remote(struct attach *self, GError **error)
{
	const struct hotplug_remote_setup setup = {
		.sigmask = &self->old_mask, .sigpipe = &self->args->sigpipe,
		.log_fd = self->pipe[1], .timeout_s = self->args->timeout,
		.keeper = self->args->target.vm,
	};
	bool ok;

	self->phase = PHASE_START;
	ok = hotplug_remote_start(&self->remote, self->plan, &setup, &remote_ops, self,
				  &self->status, error);
	fd_close(&self->pipe[1]);
	if (ok)
		self->status = 0;
	return ok;
}

/* ---- LOOK ---- */

static void log_lines(const GPtrArray *lines, enum log_level level)
{
	for (unsigned i = 0; i < lines->len; i++)
		log_line(level, "%s", (char *)lines->pdata[i]);
}

static void log_warnings(const struct attach *self, const struct hotplug_vm *vm)
{
	const char *lines[HOTPLUG_WARNINGS];

	hotplug_vm_warnings(vm, self->device, lines);
	for (const char **line = lines; *line; line++)
		log_warning("%s", *line);
	log_lines(self->plan->warnings, LOG_LEVEL_WARNING);
	log_lines(self->plan->notes, LOG_LEVEL_INFO);
}

/* ---- Our own socket ---- */

/* Those of attach's options that make the remote what it is. */
static json_t *report_options(const struct hotplug_args *args)
{
	const struct {
		const char *name, *value;
	} options[] = {
		{ "protocol", args->protocol_word }, { "on-error", args->on_error },
		{ "sandbox", args->sandbox }, { "events", args->events },
		{ "remote-program", args->remote_program }, { "log", args->log },
	};
	json_t *list = json_array();

	for (unsigned i = 0; i < G_N_ELEMENTS(options); i++)
		if (options[i].value)
			json_array_append_new(list, json_sprintf("--%s=%s", options[i].name,
								 options[i].value));
	return list;
}

static json_t *report(void *opaque)
{
	const struct attach *self = opaque;
	g_autofree char *cwd = g_get_current_dir();
	json_t *words = json_array();

	/* What is no text cannot be told, and then nothing is. */
	for (char *const *word = self->args->words + 1; *word; word++)
		if (words && json_array_append_new(words, json_string(*word)) < 0)
			g_clear_pointer(&words, json_decref);
	return json_pack("{s:s, s:s, s:s, s:b, s:i, s:o, s:o}", "id", self->id, "qmp",
			 self->args->target.path, "cwd", cwd, "attached",
			 self->phase == PHASE_ATTACHED, "pid", (int)self->remote.child.pid,
			 "options", report_options(self->args), "words", words ?: json_null());
}

static void release(void *opaque)
{
	struct attach *self = opaque;

	if (self->phase != PHASE_ATTACHED)
		return;
	self->released = true;
	hotplug_remote_end(&self->remote);
}

static bool take_socket(struct attach *self, GError **error)
{
	static const struct holder_ops ops = { .report = report, .release = release };

	self->id = g_strdup(json_string_value(json_object_get(self->device, "id")));
	self->holder = holder_create(self->args->target.path, self->id, &ops, self, error);
	if (!self->holder)
		g_prefix_error(error, "id=%s: it is attached already, or its process has not ended "
			       "yet: ", self->id);
	return self->holder;
}

static bool make_plan(struct attach *self, const struct hotplug_vm *vm, GError **error)
{
	const struct hotplug_args *args = self->args;
	const struct rewrite_choice choice = {
		.protocol = args->protocol, .on_error = args->on_error, .sandbox = args->sandbox,
		.events = args->events,
	};
	struct rewrite_facts *facts = &self->probe.facts;

	facts->qemu_major = vm->major;
	facts->qemu_minor = vm->minor;
	facts->has_proxy = vm->has_proxy;
	facts->has_vfio_user = vm->has_vfio_user;
	self->plan = rewrite_attach(args->words, &choice, facts, &self->device, error);
	return self->plan && hotplug_vm_check(vm, self->device, error) &&
	       precheck_remotes(self->plan, false, error) && take_socket(self, error);
}

static void looked(void *opaque, const GError *failure)
{
	struct attach *self = opaque;
	const struct hotplug_vm *vm = hotplug_look_vm(self->look);
	g_autoptr(GError) error = NULL;

	if (failure) {
		fail_qmp(self, failure);
		return;
	}
	if (!make_plan(self, vm, &error)) {
		fail(self, error);
		return;
	}
	log_warnings(self, vm);
	if (!start_remote(self, &error))
		fail(self, error);
}

static void on_event(void *opaque, const char *name, const json_t *event)
{
	hotplug_unplug_event(((struct attach *)opaque)->unplug, name, event);
}

static void on_lost(void *opaque, const char *why)
{
	hotplug_unplug_lost(((struct attach *)opaque)->unplug, why);
}

static void look(struct attach *self)
{
	g_autoptr(GError) error = NULL;
	int limit_ms = self->args->timeout * 1000;

	self->link.event = on_event;
	self->link.lost = on_lost;
	self->link.opaque = self;
	if (!hotplug_link_open(&self->link, &self->args->target, limit_ms, &error)) {
		fail(self, error);
		return;
	}
	self->look = hotplug_look_create(&self->link, limit_ms, looked, self);
	hotplug_look_start(self->look);
}

/* ---- What else comes ---- */

/* SIGTERM of somebody who means all of it: the device dies under a guest that still has it. */
static gboolean signal_came(int fd, GIOCondition condition, void *opaque)
{
	struct attach *self = opaque;
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return G_SOURCE_CONTINUE;
	if (self->phase == PHASE_ATTACHED)
		log_warning("ended by signal %u; the guest reads all ones from the device",
			    info.ssi_signo);
	else if (self->phase < PHASE_ATTACHED)
		log_info("ended by signal %u before QEMU had the device", info.ssi_signo);
	end(self, 128 + info.ssi_signo);
	return G_SOURCE_CONTINUE;
}

/* The caller was killed: what it asked for is not to be. */
static gboolean parent_gone(int fd, GIOCondition condition, void *opaque)
{
	struct attach *self = opaque;

	self->parent_watch = 0;
	log_error("the caller has ended; nothing is attached");
	end(self, RUN_STATUS_FAILED);
	return G_SOURCE_REMOVE;
}

static void lines_lost(struct attach *self)
{
	if (errno == EAGAIN)
		return;
	log_warning("the VM's keeper reads the log no more: %s", log_errname(errno));
	fd_close(&self->keeper_log[1]);
}

/* The pipe keeps what is written with one write(2) together. */
static gboolean copy_log(int fd, GIOCondition condition, void *opaque)
{
	struct attach *self = opaque;
	char lines[PIPE_BUF];
	ssize_t n = read(fd, lines, sizeof(lines));

	if (n > 0)
		log_copy(lines, n);
	/* A keeper that does not read them has no more lines of it, and stops nobody. */
	if (n > 0 && self->keeper_log[1] >= 0 && write(self->keeper_log[1], lines, n) < 0)
		lines_lost(self);
	if (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)))
		return G_SOURCE_CONTINUE;
	self->log_watch = 0;
	return G_SOURCE_REMOVE;
}

static bool take_signals(struct attach *self, GError **error)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, &self->old_mask);
	self->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (self->signal_fd < 0)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "signalfd: %s", log_errname(errno));
	self->signal_watch = g_unix_fd_add(self->signal_fd, G_IO_IN, signal_came, self);
	return true;
}

static bool take_log(struct attach *self, GError **error)
{
	if (pipe2(self->pipe, O_CLOEXEC | O_DIRECT) < 0 ||
	    (self->args->target.vm && pipe2(self->keeper_log, O_CLOEXEC | O_NONBLOCK) < 0))
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "pipe: %s", log_errname(errno));
	self->log_watch = g_unix_fd_add(self->pipe[0], G_IO_IN | G_IO_HUP, copy_log, self);
	return true;
}

/* ---- The whole ---- */

static bool open_log(struct attach *self, GError **error)
{
	const char *path = self->args->log;

	if (!path)
		return true;
	self->log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	return self->log_fd >= 0 || mpq_fail(error, MPQ_ERROR_SYSTEM, "--log=%s: %s", path,
					     log_errname(errno));
}

static bool go_to_background(struct attach *self, GError **error)
{
	int ret = self->args->foreground ? 0 : service_fork(&self->parent);

	if (ret)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "cannot go to the background: %s",
				log_errname(ret));
	if (self->parent >= 0)
		self->parent_watch = g_unix_fd_add(self->parent, G_IO_ERR, parent_gone, self);
	return true;
}

static bool set_up(struct attach *self, GError **error)
{
	if (!open_log(self, error) || !go_to_background(self, error))
		return false;
	self->loop = g_main_loop_new(NULL, false);
	return take_signals(self, error) && take_log(self, error);
}

static void attach_finish(struct attach *self)
{
	guint *const watches[] = {
		&self->parent_watch, &self->signal_watch, &self->log_watch,
	};

	/* What the remote said last. */
	while (self->log_watch && g_main_context_iteration(NULL, false))
		;
	hotplug_link_close(&self->link);
	hotplug_look_destroy(self->look);
	hotplug_adopt_destroy(self->adopt);
	hotplug_plug_destroy(self->plug);
	hotplug_unplug_destroy(self->unplug);
	hotplug_remote_finish(&self->remote);
	/* Who waits for the end of all this sees it now. */
	holder_destroy(self->holder);
	plan_destroy(self->plan);
	json_decref(self->device);
	g_free(self->id);
	for (unsigned i = 0; i < G_N_ELEMENTS(watches); i++)
		if (*watches[i])
			g_source_remove(*watches[i]);
	fd_close(&self->signal_fd);
	fd_close(&self->pipe[0]);
	fd_close(&self->pipe[1]);
	fd_close(&self->keeper_log[0]);
	fd_close(&self->keeper_log[1]);
	fd_close(&self->parent);
	fd_close(&self->log_fd);
	probe_finish(&self->probe);
	if (self->loop)
		g_main_loop_unref(self->loop);
}

int hotplug_attach(const struct hotplug_args *args)
{
	struct attach self = {
		.args = args, .log_fd = -1, .parent = -1, .signal_fd = -1, .pipe = { -1, -1 },
		.remote = HOTPLUG_REMOTE_INIT, .keeper_log = { -1, -1 },
	};
	g_autoptr(GError) error = NULL;

	probe_init(&self.probe, args->remote_program);
	if (set_up(&self, &error))
		look(&self);
	else
		fail(&self, error);
	if (self.phase != PHASE_END || self.remote.child.pid)
		g_main_loop_run(self.loop);
	attach_finish(&self);
	return self.status;
}
