/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/control/report.h"

#include <string.h>
#include <unistd.h>

#include "applets/orchestrate/control/prom.h"
#include "applets/orchestrate/run/priv.h"
#include "applets/orchestrate/run/supervise.h"
#include "metrics/page.h"
#include "metrics/text.h"

/* Seconds since then, of g_get_monotonic_time(). */
static double since(int64_t start)
{
	return start ? (g_get_monotonic_time() - start) / 1e6 : 0;
}

static const char *phase_name(const struct run *run)
{
	if (run->phase == PHASE_START)
		return "starting";
	if (run->phase == PHASE_END)
		return "ending";
	return run->shutdown_step ? "shutting-down" : "running";
}

static json_t *report_qemu(const struct run *run)
{
	json_t *qemu = json_pack("{s:s, s:s}", "program",
				 (char *)run->plan->qemu->argv->pdata[0], "status",
				 vmm_status(run->vmm));

	if (run->qemu.pid)
		json_object_set_new(qemu, "pid", json_integer(run->qemu.pid));
	if (vmm_version(run->vmm))
		json_object_set_new(qemu, "version", json_string(vmm_version(run->vmm)));
	return qemu;
}

json_t *report_status(const struct run *run)
{
	return json_pack("{s:s, s:s, s:i, s:f, s:i, s:o}", "name", run->options->name, "phase",
			 phase_name(run), "pid", (int)getpid(), "uptime", since(run->started),
			 "remotes", (int)run_remote_total(run), "qemu", report_qemu(run));
}

static json_t *report_devices(const struct run_remote *remote)
{
	json_t *devices = json_array();

	for (unsigned i = 0; i < remote->process->slots->len; i++) {
		const struct plan_slot *slot =
			&g_array_index(remote->process->slots, struct plan_slot, i);

		if (remote->held.process || (slot->pair < remote->run->plan->pair_count &&
					     !remote->run->pairs[slot->pair].released))
			json_array_append_new(devices, json_string(slot->device));
	}
	return devices;
}

static json_t *report_remote(const struct run_remote *remote)
{
	const struct plan_process *process = remote->process;
	const pid_t pid = run_remote_pid(remote);
	json_t *report = json_pack("{s:s, s:s, s:s, s:s, s:o, s:f}", "id", run_remote_id(remote),
				   "serves", process->serves, "program",
				   (char *)process->argv->pdata[0], "state",
				   pid ? supervise_state(remote) :
				   remote->end ? "ended" : "none",
				   "devices", report_devices(remote), "uptime",
				   pid ? since(remote->started) : 0.0);

	if (pid)
		json_object_set_new(report, "pid", json_integer(pid));
	if (remote->held.process)
		json_object_set_new(report, "holder", json_integer(remote->held.holder));
	if (remote->device_pid && pid)
		json_object_set_new(report, "device-pid", json_integer(remote->device_pid));
	if (remote->restarts)
		json_object_set_new(report, "restarts", json_integer(remote->restarts));
	if (remote->crash)
		json_object_set_new(report, "cause", json_string(remote->crash));
	if (remote->storage_end)
		json_object_set_new(report, "storage", json_string(remote->storage_end));
	if (remote->end)
		json_object_set_new(report, "reason", json_string(remote->end));
	return report;
}

json_t *report_remotes(const struct run *run)
{
	json_t *remotes = json_array();

	for (unsigned i = 0; i < run_remote_total(run); i++)
		json_array_append_new(remotes, report_remote(run_remote_at(run, i)));
	return remotes;
}

/* No mapping: the file is the remote's, and may get shorter at any time. */
static bool read_page(const struct run_remote *remote, struct metrics_page *ret)
{
	struct metrics_page raw;
	ssize_t n = remote->metrics < 0 ? -1 : pread(remote->metrics, &raw, sizeof(raw), 0);

	return n >= 0 && !metrics_copy(&raw, n, ret);
}

/* What the keeper knows of a remote, and what that has counted.  The caller frees. */
static char *prometheus_text(const struct run_remote *remote, const struct metrics_page *page)
{
	g_autofree char *buf = g_malloc(METRICS_TEXT_MAX);
	struct text text;

	text_init(&text, buf, METRICS_TEXT_MAX);
	metrics_print_text(page, &text);
	return g_strdup_printf("# HELP mpqemu_remote_up Is the remote's process there?\n"
			       "# TYPE mpqemu_remote_up gauge\n"
			       "mpqemu_remote_up %d\n"
			       "# HELP mpqemu_remote_restarts_total Device processes that took "
			       "another one's place.\n"
			       "# TYPE mpqemu_remote_restarts_total counter\n"
			       "mpqemu_remote_restarts_total %u\n%s",
			       run_remote_pid(remote) > 0, remote->restarts, buf);
}

static json_t *report_page(const struct run_remote *remote, const struct metrics_page *page)
{
	g_autofree char *buf = g_malloc(METRICS_TEXT_MAX);
	g_autofree char *whole = prometheus_text(remote, page);
	json_t *report = json_pack("{s:s, s:s}", "id", run_remote_id(remote), "text", whole);
	struct text text;

	text_init(&text, buf, METRICS_TEXT_MAX);
	metrics_print_json(page, &text);
	json_object_set_new(report, "metrics", json_loads(buf, 0, NULL));
	return report;
}

json_t *report_metrics(const struct run *run)
{
	json_t *list = json_array();
	struct metrics_page page;

	for (unsigned i = 0; i < run_remote_total(run); i++)
		if (read_page(run_remote_at(run, i), &page))
			json_array_append_new(list, report_page(run_remote_at(run, i), &page));
	return list;
}

char *report_prometheus(const struct run *run)
{
	struct prom *prom = prom_create();
	struct metrics_page page;
	char *whole;

	for (unsigned i = 0; i < run_remote_total(run); i++) {
		const struct run_remote *remote = run_remote_at(run, i);
		g_autofree char *text = NULL;

		if (!read_page(remote, &page))
			continue;
		text = prometheus_text(remote, &page);
		prom_add_remote(prom, run->options->name, run_remote_id(remote), text);
	}
	whole = prom_text(prom);
	prom_destroy(prom);
	return whole;
}
