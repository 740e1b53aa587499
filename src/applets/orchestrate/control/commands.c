/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/control/commands.h"

#include <errno.h>
#include <string.h>

#include "applets/orchestrate/control/report.h"
#include "applets/orchestrate/run/adopted.h"
#include "applets/orchestrate/run/logs.h"
#include "applets/orchestrate/run/priv.h"
#include "applets/orchestrate/run/supervise.h"
#include "base/log.h"

/* Seconds that a guest has to shut down, if nothing else is said. */
#define SHUTDOWN_SECONDS 60
#define SHUTDOWN_MAX 86400

static void run_query_status(void *opaque, struct qmp_call *call, const json_t *args)
{
	qmp_reply(call, report_status(opaque));
}

static void run_query_remotes(void *opaque, struct qmp_call *call, const json_t *args)
{
	qmp_reply(call, report_remotes(opaque));
}

static void run_query_metrics(void *opaque, struct qmp_call *call, const json_t *args)
{
	qmp_reply(call, report_metrics(opaque));
}

static void run_query_logs(void *opaque, struct qmp_call *call, const json_t *args)
{
	const json_t *count = json_object_get(args, "count");
	json_int_t wanted = count ? json_integer_value(count) : 1000;
	struct run *run = opaque;

	if (wanted < 0)
		qmp_refuse(call, "GenericError", "Parameter 'count' expects a number of lines");
	else
		qmp_reply(call, logs_last(run->options->logs,
					  json_string_value(json_object_get(args, "source")),
					  MIN(wanted, 100000)));
}

static void run_shutdown_command(void *opaque, struct qmp_call *call, const json_t *args)
{
	const json_t *timeout = json_object_get(args, "timeout");
	json_int_t seconds = timeout ? json_integer_value(timeout) : SHUTDOWN_SECONDS;
	struct run *run = opaque;

	if (seconds < 0 || seconds > SHUTDOWN_MAX) {
		qmp_refuse(call, "GenericError", "Parameter 'timeout' expects seconds, 0 to %d",
			   SHUTDOWN_MAX);
	} else if (run->phase != PHASE_RUN) {
		qmp_refuse(call, "GenericError", "the VM is not running");
	} else {
		log_info("asked to shut down, with %lld s for the guest", (long long)seconds);
		run_shutdown(run, seconds);
		qmp_reply(call, NULL);
	}
}

/* ---- What is QEMU's to answer ---- */

/* Its answer, as it came.  The call may be nobody's by then. */
static void on_qemu(void *opaque, const json_t *value, const struct qmp_failure *failure)
{
	struct qmp_call *call = opaque;

	if (failure)
		qmp_refuse(call, failure->class ?: "GenericError", "%s", failure->desc);
	else
		qmp_reply(call, json_incref((json_t *)(uintptr_t)value));
}

static void ask_qemu(struct run *run, struct qmp_call *call, const char *command, json_t *args)
{
	int ret = -ENOTCONN;

	if (vmm_answers(run->vmm))
		ret = vmm_execute(run->vmm, command, args, qmp_call_fd(call), on_qemu, call);
	else
		json_decref(args);
	if (ret)
		qmp_refuse(call, "GenericError", "QEMU's monitor cannot be asked: %s",
			   log_errname(ret));
}

static void run_stop(void *opaque, struct qmp_call *call, const json_t *args)
{
	ask_qemu(opaque, call, "stop", NULL);
}

static void run_cont(void *opaque, struct qmp_call *call, const json_t *args)
{
	ask_qemu(opaque, call, "cont", NULL);
}

static void on_restarted(void *opaque, const char *why)
{
	if (why)
		qmp_refuse(opaque, "GenericError", "it cannot be restarted: %s", why);
	else
		qmp_reply(opaque, NULL);
}

/* The remote that serves the device, or NULL. */
static struct run_remote *find_remote(const struct run *run, const char *device)
{
	for (unsigned i = 0; i < run_remote_total(run); i++) {
		struct run_remote *remote = run_remote_at(run, i);
		const GArray *slots = remote->process->slots;

		for (unsigned k = 0; k < slots->len; k++)
			if (!strcmp(g_array_index(slots, struct plan_slot, k).device, device))
				return remote;
	}
	return NULL;
}

static void run_restart(void *opaque, struct qmp_call *call, const json_t *args)
{
	const char *device = json_string_value(json_object_get(args, "device"));
	struct run_remote *remote = find_remote(opaque, device);
	int ret;

	if (!remote) {
		qmp_refuse(call, "DeviceNotFound", "Device '%s' not found", device);
		return;
	}
	ret = supervise_restart(remote, on_restarted, call);
	if (ret)
		qmp_refuse(call, "GenericError", "it cannot be restarted: %s", ret == -EBUSY ?
			   "that is under way" : ret == -ENOTSUP ? "it is no mpqemu-remote" :
			   log_errname(ret));
}

/* ---- What attach and detach say ---- */

static void run_release_command(void *opaque, struct qmp_call *call, const json_t *args)
{
	const char *device = json_string_value(json_object_get(args, "device"));

	if (run_release(opaque, device))
		qmp_reply(call, NULL);
	else
		qmp_refuse(call, "DeviceNotFound", "Device '%s' not found", device);
}

static void answer(struct qmp_call *call, bool ok, const GError *error)
{
	if (ok)
		qmp_reply(call, NULL);
	else
		qmp_refuse(call, "GenericError", "%s", error->message);
}

static void run_adopt(void *opaque, struct qmp_call *call, const json_t *args)
{
	const struct adopted_facts facts = {
		.id = json_string_value(json_object_get(args, "id")),
		.serves = json_string_value(json_object_get(args, "serves")),
		.program = json_string_value(json_object_get(args, "program")),
		.pid = json_integer_value(json_object_get(args, "pid")),
		.holder = json_integer_value(json_object_get(args, "holder")),
		.socket = json_integer_value(json_object_get(args, "socket")),
	};
	g_autoptr(GError) error = NULL;
	bool ok = false;

	if (facts.pid < 1 || facts.holder < 1)
		mpq_fail(&error, MPQ_ERROR_USAGE, "Parameters 'pid' and 'holder' expect processes");
	else
		ok = adopted_add(opaque, &facts, qmp_call_fd(call), &error);
	answer(call, ok, error);
}

static void run_adopt_fd(void *opaque, struct qmp_call *call, const json_t *args)
{
	const char *id = json_string_value(json_object_get(args, "id"));
	const char *name = json_string_value(json_object_get(args, "name"));
	g_autoptr(GError) error = NULL;
	bool ok = adopted_give(opaque, id, name, qmp_call_fd(call), &error);

	answer(call, ok, error);
}

static void run_qemu(void *opaque, struct qmp_call *call, const json_t *args)
{
	json_t *own = json_object_get(args, "arguments");

	ask_qemu(opaque, call, json_string_value(json_object_get(args, "execute")),
		 own ? json_deep_copy(own) : NULL);
}

static const struct qmp_arg logs_args[] = {
	{ "source", QMP_STRING, true },
	{ "count", QMP_INT, true },
	{ NULL }
};

static const struct qmp_arg shutdown_args[] = {
	{ "timeout", QMP_INT, true },
	{ NULL }
};

static const struct qmp_arg device_args[] = {
	{ "device", QMP_STRING },
	{ NULL }
};

static const struct qmp_arg adopt_args[] = {
	{ "id", QMP_STRING },
	{ "serves", QMP_STRING },
	{ "program", QMP_STRING },
	{ "pid", QMP_INT },
	{ "holder", QMP_INT },
	{ "socket", QMP_INT, true },
	{ NULL }
};

static const char *const adopt_names[] = { "metrics", "log", NULL };

static const struct qmp_arg adopt_fd_args[] = {
	{ "id", QMP_STRING },
	{ "name", QMP_STRING, .values = adopt_names },
	{ NULL }
};

static const struct qmp_arg qemu_args[] = {
	{ "execute", QMP_STRING },
	{ "arguments", QMP_OBJECT, true },
	{ NULL }
};

const struct qmp_command control_commands[] = {
	{ "query-status", NULL, QMP_OBJECT, 0, run_query_status },
	{ "query-remotes", NULL, QMP_ARRAY, 0, run_query_remotes },
	{ "query-metrics", NULL, QMP_ARRAY, 0, run_query_metrics },
	{ "query-logs", logs_args, QMP_ARRAY, 0, run_query_logs },
	{ "shutdown", shutdown_args, QMP_NOTHING, 0, run_shutdown_command },
	{ "stop", NULL, QMP_NOTHING, 0, run_stop },
	{ "cont", NULL, QMP_NOTHING, 0, run_cont },
	{ "restart", device_args, QMP_NOTHING, 0, run_restart },
	{ "release", device_args, QMP_NOTHING, 0, run_release_command },
	{ "adopt", adopt_args, QMP_NOTHING, 0, run_adopt },
	{ "adopt-fd", adopt_fd_args, QMP_NOTHING, 0, run_adopt_fd },
	{ "qemu", qemu_args, QMP_ANY, 0, run_qemu },
	{ NULL }
};

const char *const control_events[] = {
	"MPQEMU_STATUS", "MPQEMU_REMOTE_STATE", "MPQEMU_REMOTE_CRASHED",
	"MPQEMU_REMOTE_RESTARTED", "MPQEMU_REMOTE_STORAGE_GONE", "MPQEMU_REMOTE_EXITED",
	"MPQEMU_LOG", NULL
};
