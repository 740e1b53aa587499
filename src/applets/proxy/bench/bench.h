/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_PROXY_BENCH_H
#define APPLETS_PROXY_BENCH_H

/*
 * The verb bench: what its parts share.
 *
 * A workload is one kind of operation.  It is run on each side in turn, round after round: the
 * remote (A), another remote that it is compared with (B, --vs), and, where operations are round
 * trips, a process of our own that only sends back bytes (the floor).  What disturbs the machine
 * disturbs all of them, and each round gives a pair that can be compared.
 */

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <glib.h>

#include "applets/proxy/session.h"
#include "initiator/scsi.h"
#include "metrics/hist.h"

/* ---- workloads ---- */

enum bench_op {
	BENCH_CFG_READ, BENCH_BAR_READ, BENCH_BAR_WRITE,
	BENCH_READ, BENCH_WRITE, BENCH_RW, BENCH_RANDREAD, BENCH_RANDWRITE, BENCH_RANDRW,
	BENCH_OP_COUNT,
};

struct bench_op_info {
	const char *name;		/* as fio has it, where it has it */
	bool disk, random, reads, writes;
};

extern const struct bench_op_info bench_ops[BENCH_OP_COUNT];
/* The workload of that name. */
bool bench_op_find(const char *name, enum bench_op *ret_op);

/* ---- options ---- */

struct bench_opts {
	enum bench_op op[BENCH_OP_COUNT];	/* which, in their order */
	unsigned op_count;
	uint32_t bs;			/* bytes of an I/O; a multiple of 512 */
	unsigned iodepth;
	uint64_t size;			/* bytes of the disk that are used; 0: all */
	unsigned mix_reads;		/* percent, of rw and randrw */
	uint64_t seed;
	double runtime, ramp;		/* s, of a workload on a side; before the first round */
	uint64_t count;			/* operations instead of a time; 0 */
	unsigned rounds;
	int target, lun;		/* -1: the first disk */
	bool reg_named;
	unsigned reg_bar, reg_size;
	uint64_t reg_off;
	bool allow_write, json;
	const char *plot;		/* file; or NULL */
	const char *vs;			/* command line; or NULL */
	bool pinned;
	cpu_set_t cpu_own, cpu_remote;
	const char *cpus;		/* as it was written */
};

/* What holds when nothing is said. */
void bench_opts_init(struct bench_opts *opts);
extern const struct option_def bench_options[];
/* A word: the name of a workload. */
bool bench_opts_word(struct bench_opts *opts, const char *word, GError **error);
bool bench_opts_check(const struct bench_opts *opts, GError **error);

/* ---- what is measured ---- */

enum bench_figure {
	FIGURE_IOPS, FIGURE_MBPS, FIGURE_MEAN, FIGURE_P50, FIGURE_P90, FIGURE_P99, FIGURE_P999,
	FIGURE_MAX, FIGURE_CPU_REMOTE, FIGURE_CPU_OWN, FIGURE_MESSAGES, FIGURE_INTERRUPTS,
	FIGURE_VOL_REMOTE, FIGURE_INVOL_REMOTE, FIGURE_VOL_OWN, FIGURE_INVOL_OWN,
	FIGURE_COUNT,
};

struct bench_figure_info {
	const char *key;		/* in JSON, with its unit */
	const char *label, *unit;	/* on the terminal */
	double scale;			/* what is kept, times this, is what is shown */
	double percentile;		/* >= 0: of all rounds' latencies, not a median of rounds */
	bool disk_only;
};

extern const struct bench_figure_info bench_figures[FIGURE_COUNT];

/* What a process has used. */
struct bench_cost {
	uint64_t cpu_ns, voluntary, involuntary;
};

/* While a round runs. */
struct bench_meter {
	struct hist *latency;		/* ns */
	GArray *ticks;			/* of uint32_t: operations in each BENCH_TICK_NS */
	uint64_t tick_from;		/* where this round begins in them, ns */
	uint64_t begin, end;		/* ns of CLOCK_MONOTONIC; end: 0 for a count */
	uint64_t count;			/* operations that are wanted; UINT64_MAX for a time */
	uint64_t done, last;		/* operations; when the last one ended */
};

#define BENCH_TICK_NS 20000000u

static inline bool bench_meter_over(const struct bench_meter *m, uint64_t now, uint64_t begun)
{
	return begun >= m->count || (m->end && now >= m->end);
}

/* An operation took from @from to @to. */
void bench_meter_add(struct bench_meter *m, uint64_t from, uint64_t to);

/* One workload on one side. */
struct bench_series {
	GArray *round[FIGURE_COUNT];	/* of double */
	struct hist *latency;		/* ns, of all rounds */
	GArray *ticks;
	uint64_t ops, elapsed_ns;
};

struct bench_disk {
	bool known;
	struct scsi_lu lu;
	uint64_t next;			/* where sequential I/O goes on, in --bs */
};

/* Who is measured. */
struct bench_side {
	const char *label;		/* "A", "B", "floor" */
	struct proxy_target target;
	char **own_argv;		/* of --vs; or NULL */
	struct session session;
	bool started;
	struct initiator *initiator;	/* NULL until a workload needs it */
	struct bench_disk disk;
	pid_t pid;			/* of the remote or the echo; 0: not known */
	bool floor;			/* no remote at all */
	int echo_fd;			/* floor: our end, during a round; -1 */
	bool reg_addressed, reg_memory;	/* the register has an address of the bus */
	uint64_t reg_addr;
	struct bench_series series[BENCH_OP_COUNT];
};

enum { SIDE_A, SIDE_B, SIDE_FLOOR, SIDE_COUNT };

/* What else went on in the machine during one workload. */
struct bench_noise {
	double steal;			/* part of the CPUs' time that the host took */
	double others;			/* part that went to processes that are not ours */
};

struct bench {
	struct bench_opts opts;
	struct bench_side side[SIDE_COUNT];
	struct bench_noise noise[BENCH_OP_COUNT];
	unsigned reg_bar, reg_size;	/* the register of bar-read and bar-write */
	uint64_t reg_off;
	bool tty;			/* progress is shown */
	int plot_fd;			/* owned; -1 */
	bool plot_made;			/* its file was not there before */
};

static inline bool bench_side_runs(const struct bench_side *s, enum bench_op op)
{
	return s->floor ? !bench_ops[op].disk : s->started;
}

/* ---- bench-trip.c ---- */

/* Starts, for one round, a process that sends back as many bytes as a remote would. */
bool bench_floor_start(struct bench *b, struct bench_side *s, enum bench_op op, GError **error);
void bench_floor_stop(struct bench_side *s);
/* Which register is accessed; asks @s what it is. */
bool bench_trip_prepare(struct bench *b, struct bench_side *s, GError **error);
bool bench_trip_run(struct bench *b, struct bench_side *s, enum bench_op op,
		    struct bench_meter *m, GError **error);

/* ---- bench-disk.c ---- */

/* Bytes of guest RAM that the options need. */
uint64_t bench_disk_ram(const struct bench_opts *opts);
/* Bytes of it. */
uint64_t bench_disk_size(const struct bench_disk *disk);
/* "QEMU QEMU HARDDISK 2.5+"; g_free() it. */
char *bench_disk_name(const struct bench_disk *disk);
/* Finds the disk; it must be large enough. */
bool bench_disk_prepare(struct bench *b, struct bench_side *s, GError **error);
bool bench_disk_run(struct bench *b, struct bench_side *s, enum bench_op op, unsigned round,
		    struct bench_meter *m, GError **error);

/* ---- bench-cost.c ---- */

/* Of all threads of @pid and of what it has started; zero for pid 0. */
void bench_cost_remote(pid_t pid, struct bench_cost *ret);
void bench_cost_own(struct bench_cost *ret);
/* Can all CPUs of --cpus be used here? */
bool bench_check_cpus(const struct bench_opts *opts, GError **error);
/* Puts all those threads onto @set.  0 or -errno. */
int bench_pin(pid_t pid, const cpu_set_t *set);

/* Time of all CPUs since the machine started, in clock ticks. */
struct bench_load {
	uint64_t total, busy, steal;
};

/* All zero when the kernel does not say. */
void bench_load_get(struct bench_load *ret);
/* @ours_ns: CPU time of all sides and of ourselves in between. */
struct bench_noise bench_load_noise(const struct bench_load *from, const struct bench_load *to,
				    uint64_t ours_ns);

/* ---- bench-stat.c ---- */

struct bench_summary {
	double value, min, max;
	double cv;			/* standard deviation of the rounds / their mean */
};

/* A / B, of the pairs that the rounds are. */
struct bench_ratio {
	bool known;			/* no pair was divided by zero */
	double value, min, max;
	double low, high;		/* 95 % of the medians of pairs drawn again (bootstrap) */
};

/* Of no values: 0. */
double bench_median(const double *values, unsigned count);
/* Standard deviation / mean; 0 where there is none. */
double bench_cv(const double *values, unsigned count);
/* A figure over the rounds. */
struct bench_summary bench_summarise(const struct bench_series *s, enum bench_figure figure);
/* @a / @b, round by round. */
struct bench_ratio bench_compare(const struct bench_series *a, const struct bench_series *b,
				 enum bench_figure figure);

/* Beyond these a workload is said to be noisy. */
#define BENCH_NOISY_CV 0.05
#define BENCH_NOISY_STEAL 0.01
#define BENCH_NOISY_OTHERS 0.05
/* Why the workload's figures are not to be relied on, one line; NULL: they are.  g_free() it. */
char *bench_noisy(const struct bench *b, enum bench_op op);

/* ---- output ---- */

/* On standard output, for people. */
void bench_text(const struct bench *b);
/* On standard output, for programs. */
bool bench_json(const struct bench *b, GError **error);
/* Opens the file of --plot, if there is one, and changes nothing in it; bench_plot_close(). */
bool bench_plot_open(struct bench *b, GError **error);
/* Into that file. */
bool bench_plot(const struct bench *b, GError **error);
/* One that was made for nothing is removed. */
void bench_plot_close(struct bench *b, bool drawn);
/* "depth 16, 4096 bytes" or what else is to be said of a workload.  g_free() it. */
char *bench_op_detail(const struct bench *b, enum bench_op op);

#endif
