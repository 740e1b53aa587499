/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <jansson.h>

#include "applets/proxy/bench/bench.h"

/* What was measured, for programs: mpqemu-proxy(1) names the keys. */

static json_t *json_words(char *const *words)
{
	json_t *list = json_array();

	for (; words && *words; words++) {
		json_t *word = json_string(*words);

		/* One that is not UTF-8 is nothing that JSON can say. */
		json_array_append_new(list, word ? word : json_null());
	}
	return list;
}

static json_t *json_side(const struct bench_side *s)
{
	const struct remote_device *device = &s->session.remote.device[s->session.index];
	json_t *o = json_object();

	json_object_set_new(o, "label", json_string(s->label));
	json_object_set_new(o, "device", json_string(session_name(&s->session)));
	json_object_set_new(o, "protocol", json_string(client_protocol_name(device->protocol)));
	json_object_set_new(o, "command", json_words(s->target.command));
	json_object_set_new(o, "pid", s->pid ? json_integer(s->pid) : json_null());
	if (s->disk.known) {
		const struct scsi_lu *lu = &s->disk.lu;
		g_autofree char *name = bench_disk_name(&s->disk);

		json_object_set_new(o, "disk", json_pack("{s:i,s:i,s:s,s:I,s:i}",
			"target", lu->target, "lun", lu->lun, "name", name,
			"blocks", (json_int_t)lu->blocks, "block_size", lu->block_size));
	}
	return o;
}

static json_t *json_machine(void)
{
	struct utsname u;

	if (uname(&u) < 0)
		return json_null();
	return json_pack("{s:s,s:s,s:I}", "kernel", u.release, "architecture", u.machine,
			 "cpus", (json_int_t)sysconf(_SC_NPROCESSORS_ONLN));
}

static json_t *json_options(const struct bench_opts *o)
{
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:f,s:f,s:I,s:I,s:s?}",
			 "bs", (json_int_t)o->bs, "iodepth", (json_int_t)o->iodepth,
			 "size", (json_int_t)o->size, "rwmixread", (json_int_t)o->mix_reads,
			 "randseed", (json_int_t)o->seed, "runtime", o->runtime,
			 "ramp_time", o->ramp, "count", (json_int_t)o->count,
			 "rounds", (json_int_t)o->rounds, "cpus", o->cpus);
}

/* ---- figures ---- */

static json_t *json_rounds(const GArray *rounds)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < rounds->len; i++)
		json_array_append_new(list, json_real(g_array_index(rounds, double, i)));
	return list;
}

static json_t *json_figures(const struct bench_series *s)
{
	json_t *o = json_object();

	for (unsigned i = 0; i < FIGURE_COUNT; i++) {
		struct bench_summary sum = bench_summarise(s, i);

		json_object_set_new(o, bench_figures[i].key, json_pack("{s:f,s:f,s:f,s:f,s:o}",
			"value", sum.value, "min", sum.min, "max", sum.max, "cv", sum.cv,
			"rounds", json_rounds(s->round[i])));
	}
	return o;
}

static json_t *json_histogram(const struct hist *h)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < h->shape.count; i++)
		if (h->bucket[i])
			json_array_append_new(list, json_pack("[I,I,I]",
				(json_int_t)hist_low(&h->shape, i),
				(json_int_t)MIN(hist_high(&h->shape, i), INT64_MAX),
				(json_int_t)h->bucket[i]));
	return list;
}

static json_t *json_measured(const struct bench_side *s, enum bench_op op)
{
	const struct bench_series *series = &s->series[op];

	return json_pack("{s:s,s:I,s:f,s:o,s:o}", "label", s->label,
			 "operations", (json_int_t)series->ops,
			 "seconds", series->elapsed_ns / 1e9, "figures", json_figures(series),
			 "latency_ns_histogram", json_histogram(series->latency));
}

static json_t *json_ratio(const struct bench *b, enum bench_op op, const struct bench_side *other)
{
	json_t *o = json_object();

	for (unsigned i = 0; i < FIGURE_COUNT; i++) {
		struct bench_ratio r = bench_compare(&b->side[SIDE_A].series[op],
						     &other->series[op], i);

		json_object_set_new(o, bench_figures[i].key, !r.known ? json_null() :
			json_pack("{s:f,s:f,s:f,s:[f,f]}", "value", r.value, "min", r.min,
				  "max", r.max, "bootstrap95", r.low, r.high));
	}
	return json_pack("{s:s,s:s,s:o}", "of", b->side[SIDE_A].label, "to", other->label,
			 "figures", o);
}

static json_t *json_workload(const struct bench *b, enum bench_op op)
{
	g_autofree char *detail = bench_op_detail(b, op), *noisy = bench_noisy(b, op);
	json_t *sides = json_array(), *ratios = json_array();

	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		if (!bench_side_runs(&b->side[i], op))
			continue;
		json_array_append_new(sides, json_measured(&b->side[i], op));
		if (i != SIDE_A)
			json_array_append_new(ratios, json_ratio(b, op, &b->side[i]));
	}
	return json_pack("{s:s,s:s,s:o,s:o,s:s?,s:{s:f,s:f}}", "name", bench_ops[op].name,
			 "detail", detail, "sides", sides, "ratios", ratios, "noisy", noisy,
			 "noise", "steal", b->noise[op].steal, "others", b->noise[op].others);
}

bool bench_json(const struct bench *b, GError **error)
{
	g_autoptr(GDateTime) now = g_date_time_new_now_utc();
	g_autofree char *date = g_date_time_format_iso8601(now);
	json_t *remotes = json_array(), *workloads = json_array(), *all;
	int ret;

	for (unsigned i = 0; i < SIDE_COUNT; i++)
		if (b->side[i].started)
			json_array_append_new(remotes, json_side(&b->side[i]));
	for (unsigned i = 0; i < b->opts.op_count; i++)
		json_array_append_new(workloads, json_workload(b, b->opts.op[i]));
	all = json_pack("{s:s,s:s,s:o,s:o,s:o,s:o}", "version", MPQEMU_VERSION, "date", date,
			"machine", json_machine(), "options", json_options(&b->opts),
			"remotes", remotes, "workloads", workloads);
	ret = json_dumpf(all, stdout, JSON_INDENT(2));
	json_decref(all);
	printf("\n");
	return ret ? mpq_fail(error, MPQ_ERROR_SYSTEM, "the figures cannot be said in JSON") : true;
}
