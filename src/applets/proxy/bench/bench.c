/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "applets/proxy/bench/bench.h"
#include "base/clock.h"
#include "base/log.h"
#include "initiator/initiator.h"

/* The verb bench: who is measured, and in which order. */

void bench_meter_add(struct bench_meter *m, uint64_t from, uint64_t to)
{
	uint64_t tick = (m->tick_from + (to - m->begin)) / BENCH_TICK_NS;

	hist_add(m->latency, to - from);
	if (tick >= m->ticks->len)
		g_array_set_size(m->ticks, tick + 1);
	g_array_index(m->ticks, uint32_t, tick)++;
	m->done++;
	m->last = to;
}

/* ---- sides ---- */

static void series_init(struct bench_series *s)
{
	for (unsigned i = 0; i < FIGURE_COUNT; i++)
		s->round[i] = g_array_new(false, false, sizeof(double));
	s->ticks = g_array_new(false, true, sizeof(uint32_t));
	s->latency = g_new(struct hist, 1);
	hist_init(s->latency, &HIST_FINE);
}

static void series_finish(struct bench_series *s)
{
	for (unsigned i = 0; i < FIGURE_COUNT; i++)
		g_array_unref(s->round[i]);
	g_array_unref(s->ticks);
	g_free(s->latency);
}

static void *bench_create(const struct proxy_verb *verb)
{
	static const char *const labels[SIDE_COUNT] = { "A", "B", "floor" };
	struct bench *b = g_new0(struct bench, 1);

	bench_opts_init(&b->opts);
	b->plot_fd = -1;
	for (unsigned i = 0; i < SIDE_COUNT; i++) {
		struct bench_side *s = &b->side[i];

		s->label = labels[i];
		s->floor = i == SIDE_FLOOR;
		s->echo_fd = -1;
		s->session.remote.pid = -1;
		for (unsigned op = 0; op < BENCH_OP_COUNT; op++)
			series_init(&s->series[op]);
	}
	return b;
}

static void bench_destroy(void *data)
{
	struct bench *b = data;

	for (unsigned i = 0; b && i < SIDE_COUNT; i++) {
		g_strfreev(b->side[i].own_argv);
		for (unsigned op = 0; op < BENCH_OP_COUNT; op++)
			series_finish(&b->side[i].series[op]);
	}
	g_free(b);
}

/* A peer that was found: who made its socket, as far as the kernel knows. */
static pid_t peer_pid(int fd)
{
	struct ucred cred = { .pid = 0 };
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || cred.pid == getpid())
		return 0;
	return cred.pid;
}

static bool side_open(struct bench *b, struct bench_side *s, GError **error)
{
	if (!session_start(&s->session, &s->target, true, error))
		return false;
	s->started = true;
	if (!session_open(&s->session, session_device(&s->session), bench_disk_ram(&b->opts),
			  error))
		return false;
	s->pid = s->session.remote.pid;
	if (s->pid <= 0)
		s->pid = peer_pid(s->session.client.fd);
	return true;
}

static bool side_close(struct bench_side *s, GError **error)
{
	bool ok = true;

	bench_floor_stop(s);
	initiator_destroy(s->initiator);
	s->initiator = NULL;
	if (s->started || s->session.remote.count)
		ok = session_finish(&s->session, error);
	s->started = false;
	return ok;
}

/* Both may have devices of the same name. */
static bool blame(const struct bench *b, const struct bench_side *s, bool ok, GError **error)
{
	if (!ok && s == &b->side[SIDE_B])
		g_prefix_error(error, "--vs: ");
	return ok;
}

/* The value of the first "file=" or "filename=" in the word, or NULL. */
static char *file_of(const char *word)
{
	static const char *const keys[] = { "file=", "filename=", "file.filename=" };
	g_auto(GStrv) part = g_strsplit(word, ",", -1);

	for (unsigned i = 0; part[i]; i++)
		for (unsigned k = 0; k < G_N_ELEMENTS(keys); k++)
			if (g_str_has_prefix(part[i], keys[k]))
				return g_strdup(part[i] + strlen(keys[k]));
	return NULL;
}

/* Both lock what they serve, as QEMU does. */
static void explain_lock(const struct bench *b, GError **error)
{
	char *const *a = b->side[SIDE_A].target.command;
	char *const *other = b->side[SIDE_B].target.command;

	for (; a && *a; a++) {
		g_autofree char *file = file_of(*a);

		for (char *const *w = other; file && w && *w; w++) {
			g_autofree char *same = file_of(*w);

			if (g_strcmp0(file, same))
				continue;
			g_prefix_error(error, "both remotes have %s, which cannot be locked for "
				       "writing twice: give each a copy of its own, or "
				       "read-only=on: ", file);
			return;
		}
	}
}

static bool open_sides(struct bench *b, GError **error)
{
	struct bench_side *other = &b->side[SIDE_B];

	if (!side_open(b, &b->side[SIDE_A], error))
		return false;
	if (!b->opts.vs || side_open(b, other, error))
		return true;
	explain_lock(b, error);
	return blame(b, other, false, error);
}

static bool pin_side(const struct bench *b, const struct bench_side *s, GError **error)
{
	int ret = b->opts.pinned && s->pid > 0 ? bench_pin(s->pid, &b->opts.cpu_remote) : 0;

	if (ret)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "--cpus %s: the remote: %s",
				b->opts.cpus, log_errname(-ret));
	return true;
}

static bool pin_all(struct bench *b, GError **error)
{
	int ret = b->opts.pinned ? bench_pin(getpid(), &b->opts.cpu_own) : 0;

	/* That has taken our children along; they get their own place now. */
	if (ret)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "--cpus %s: %s", b->opts.cpus,
				log_errname(-ret));
	return pin_side(b, &b->side[SIDE_A], error) && pin_side(b, &b->side[SIDE_B], error);
}

/* ---- rounds ---- */

struct costs {
	struct bench_cost own, remote;
	uint64_t messages, eois;
};

static void costs_get(const struct bench_side *s, struct costs *ret)
{
	*ret = (struct costs){ 0 };
	bench_cost_own(&ret->own);
	bench_cost_remote(s->pid, &ret->remote);
	if (!s->floor) {
		ret->messages = s->session.client.messages;
		ret->eois = s->session.client.eois;
	}
}

static void keep_latencies(double *figure, const struct hist *h)
{
	for (unsigned i = 0; i < FIGURE_COUNT; i++)
		if (bench_figures[i].percentile >= 0)
			figure[i] = hist_percentile(h, bench_figures[i].percentile);
	figure[FIGURE_MEAN] = hist_mean(h);
}

static void keep_round(const struct bench *b, struct bench_series *series, enum bench_op op,
		       const struct bench_meter *m, const struct costs *was,
		       const struct costs *is)
{
	double n = m->done, s = (m->last - m->begin) / 1e9;
	double figure[FIGURE_COUNT] = {
		[FIGURE_IOPS] = n / s,
		[FIGURE_MBPS] = bench_ops[op].disk ? n * b->opts.bs / s : 0,
		[FIGURE_CPU_REMOTE] = (is->remote.cpu_ns - was->remote.cpu_ns) / n,
		[FIGURE_CPU_OWN] = (is->own.cpu_ns - was->own.cpu_ns) / n,
		[FIGURE_MESSAGES] = (is->messages - was->messages) / n,
		[FIGURE_INTERRUPTS] = (is->eois - was->eois) / n,
		[FIGURE_VOL_REMOTE] = (is->remote.voluntary - was->remote.voluntary) / n,
		[FIGURE_INVOL_REMOTE] = (is->remote.involuntary - was->remote.involuntary) / n,
		[FIGURE_VOL_OWN] = (is->own.voluntary - was->own.voluntary) / n,
		[FIGURE_INVOL_OWN] = (is->own.involuntary - was->own.involuntary) / n,
	};

	keep_latencies(figure, m->latency);
	for (unsigned i = 0; i < FIGURE_COUNT; i++)
		g_array_append_val(series->round[i], figure[i]);
	hist_merge(series->latency, m->latency);
	series->ops += m->done;
	series->elapsed_ns += m->last - m->begin;
}

/* What one round is of the whole: the first ones do what does not divide. */
static uint64_t share(uint64_t all, unsigned parts, unsigned index)
{
	return all / parts + (index < all % parts);
}

static struct bench_meter meter_make(const struct bench *b, unsigned round, struct hist *latency,
				     GArray *ticks, double seconds)
{
	const struct bench_opts *o = &b->opts;
	struct bench_meter m = {
		.latency = latency, .ticks = ticks, .begin = clock_ns(), .count = UINT64_MAX,
	};

	hist_init(latency, &HIST_FINE);
	if (o->count)
		m.count = share(o->count, o->rounds, round);
	else
		m.end = m.begin + seconds * 1e9;
	m.last = m.begin;
	return m;
}

static bool run_op(struct bench *b, struct bench_side *s, enum bench_op op, unsigned round,
		   struct bench_meter *m, GError **error)
{
	return bench_ops[op].disk ? bench_disk_run(b, s, op, round, m, error) :
				    bench_trip_run(b, s, op, m, error);
}

static bool run_round(struct bench *b, struct bench_side *s, enum bench_op op, unsigned round,
		      uint64_t *ours_ns, GError **error)
{
	struct bench_series *series = &s->series[op];
	g_autofree struct hist *latency = g_new(struct hist, 1);
	struct bench_meter m;
	struct costs was, is;

	if (s->floor && (!bench_floor_start(b, s, op, error) || !pin_side(b, s, error)))
		return false;
	costs_get(s, &was);
	m = meter_make(b, round, latency, series->ticks, b->opts.runtime / b->opts.rounds);
	m.tick_from = series->elapsed_ns;
	if (!blame(b, s, run_op(b, s, op, round, &m, error), error))
		return false;
	costs_get(s, &is);
	bench_floor_stop(s);
	*ours_ns += is.own.cpu_ns - was.own.cpu_ns + is.remote.cpu_ns - was.remote.cpu_ns;
	keep_round(b, series, op, &m, &was, &is);
	return true;
}

/* Fills caches, and lets threads start; a tenth of the operations when they are counted. */
static bool ramp(struct bench *b, struct bench_side *s, enum bench_op op, GError **error)
{
	g_autofree struct hist *latency = g_new(struct hist, 1);
	g_autoptr(GArray) ticks = g_array_new(false, true, sizeof(uint32_t));
	struct bench_meter m;

	if (!bench_side_runs(s, op) || b->opts.ramp <= 0)
		return true;
	if (s->floor && !bench_floor_start(b, s, op, error))
		return false;
	m = meter_make(b, 0, latency, ticks, b->opts.ramp);
	if (b->opts.count)
		m.count = MAX(1, b->opts.count / 10);
	if (!blame(b, s, run_op(b, s, op, b->opts.rounds, &m, error), error))
		return false;
	bench_floor_stop(s);
	return true;
}

static void progress(const struct bench *b, enum bench_op op, unsigned round)
{
	const GArray *iops = b->side[SIDE_A].series[op].round[FIGURE_IOPS];

	if (!b->tty)
		return;
	fprintf(stderr, "\r");
	if (round < b->opts.rounds)
		fprintf(stderr, "%s: round %u of %u", bench_ops[op].name, round + 1,
			b->opts.rounds);
	if (round < b->opts.rounds && iops->len)
		fprintf(stderr, ", %.0f/s", g_array_index(iops, double, iops->len - 1));
	fprintf(stderr, "\033[K");
	fflush(stderr);
}

/* Each round goes through the sides the other way round: a machine that slows down favours none. */
static bool run_rounds(struct bench *b, enum bench_op op, uint64_t *ours_ns, GError **error)
{
	for (unsigned round = 0; round < b->opts.rounds; round++) {
		progress(b, op, round);
		for (unsigned i = 0; i < SIDE_COUNT; i++) {
			struct bench_side *s = &b->side[round % 2 ? SIDE_COUNT - 1 - i : i];

			if (bench_side_runs(s, op) && !run_round(b, s, op, round, ours_ns, error))
				return false;
		}
	}
	return true;
}

static bool run_workload(struct bench *b, enum bench_op op, GError **error)
{
	struct bench_load was, is;
	uint64_t ours_ns = 0;
	bool ok = true;

	for (unsigned i = 0; i < SIDE_COUNT && ok; i++)
		ok = ramp(b, &b->side[i], op, error);
	bench_load_get(&was);
	ok = ok && run_rounds(b, op, &ours_ns, error);
	progress(b, op, b->opts.rounds);
	bench_load_get(&is);
	b->noise[op] = bench_load_noise(&was, &is, ours_ns);
	/* A remote that we cannot look at would pass for somebody else. */
	if (!b->side[SIDE_A].pid)
		b->noise[op].others = 0;
	return ok;
}

/* ---- all of it ---- */

static bool prepare_side(struct bench *b, struct bench_side *s, GError **error)
{
	bool trips = false, disk = false;

	for (unsigned i = 0; i < b->opts.op_count; i++) {
		trips |= !bench_ops[b->opts.op[i]].disk;
		disk |= bench_ops[b->opts.op[i]].disk;
	}
	/* The initiator resets the chip and finds a place for its BARs: it comes first. */
	return (!disk || bench_disk_prepare(b, s, error)) &&
	       (!trips || bench_trip_prepare(b, s, error));
}

static bool prepare(struct bench *b, const struct proxy_target *target, GError **error)
{
	struct bench_side *other = &b->side[SIDE_B];

	b->side[SIDE_A].target = *target;
	if (b->opts.vs) {
		if (!g_shell_parse_argv(b->opts.vs, NULL, &other->own_argv, NULL))
			return mpq_fail(error, MPQ_ERROR_USAGE, "--vs: not a command line");
		other->target = (struct proxy_target){
			.command = other->own_argv, .fd = -1, .metrics = target->metrics,
		};
	}
	return open_sides(b, error) && pin_all(b, error) &&
	       prepare_side(b, &b->side[SIDE_A], error) &&
	       (!b->opts.vs || blame(b, other, prepare_side(b, other, error), error));
}

static bool report(const struct bench *b, GError **error)
{
	if (b->opts.json && !bench_json(b, error))
		return false;
	if (!b->opts.json)
		bench_text(b);
	return !b->opts.plot || bench_plot(b, error);
}

static bool measure(struct bench *b, const struct proxy_target *target, GError **error)
{
	bool ok = prepare(b, target, error);

	for (unsigned i = 0; i < b->opts.op_count && ok; i++)
		ok = run_workload(b, b->opts.op[i], error);
	/* Before the remotes end: what they say of that is no part of it. */
	return ok && report(b, error);
}

static int bench_run(const struct proxy_args *args, GError **error)
{
	struct bench *b = args->data;
	bool ok;

	b->tty = isatty(STDERR_FILENO);
	ok = bench_check_cpus(&b->opts, error) && bench_plot_open(b, error) &&
	     measure(b, &args->target, error);
	bench_plot_close(b, ok);
	for (unsigned i = 0; i < SIDE_COUNT; i++)
		ok = side_close(&b->side[i], ok ? error : NULL) && ok;
	return ok ? PROXY_EXIT_OK : PROXY_EXIT_REMOTE;
}

static bool bench_word(struct proxy_args *args, const char *word, GError **error)
{
	struct bench *b = args->data;

	return bench_opts_word(&b->opts, word, error);
}

static bool bench_check(const struct proxy_args *args, GError **error)
{
	const struct bench *b = args->data;

	return bench_opts_check(&b->opts, error);
}

const struct proxy_verb verb_bench = {
	.name = "bench", .form = "WORKLOAD...",
	.help = "how fast it is: cfgread, barread, randread...",
	.options = bench_options, .create = bench_create, .destroy = bench_destroy,
	.word = bench_word, .check = bench_check, .run = bench_run,
};
