/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdbool.h>

#include "metrics/page.h"
#include "metrics/text.h"

#define PREFIX "mpqemu_"

static const char *const ops[METRICS_IO_OPS] = {
	"read", "write", "flush", "discard", "zero", "status",
};
static const char *const kinds[] = {
	"config_read", "config_write", "bar_read", "bar_write", "memory_map", "irq_setup", "reset",
	"other",
};
static const char *const directions[] = { "read", "write" };
static const char *const irqs[] = { "intx", "message" };

/* Counters of one name, told apart by a label. */
static const struct family {
	const char *name, *label;	/* label NULL: one counter */
	const char *const *value;	/* of the label */
	unsigned count;
	enum metric first;
	const char *help;
} families[] = {
	{ "messages", "kind", kinds, 8, METRIC_CONFIG_READS, "Messages of the client." },
	{ "sessions", NULL, NULL, 1, METRIC_SESSIONS, "Clients that have come." },
	{ "peer_errors", NULL, NULL, 1, METRIC_PEER_ERRORS, "Mistakes of a client." },
	{ "guest_errors", NULL, NULL, 1, METRIC_GUEST_ERRORS, "Mistakes of the guest's driver." },
	{ "dma_accesses", "direction", directions, 2, METRIC_DMA_READS,
	  "Accesses of the device to guest memory." },
	{ "dma_bytes", "direction", directions, 2, METRIC_DMA_READ_BYTES,
	  "Bytes that the device has read from and written to guest memory." },
	{ "interrupts", "kind", irqs, 2, METRIC_INTX,
	  "Times that the line went up, and messages (MSI, MSI-X)." },
	{ "scripts_instructions", NULL, NULL, 1, METRIC_SCRIPTS_INSTRUCTIONS,
	  "SCRIPTS instructions, or parts of one." },
	{ "scripts_slices", NULL, NULL, 1, METRIC_SCRIPTS_SLICES, "Times that the engine ran." },
	{ "io_started", "op", ops, METRICS_IO_OPS, METRIC_IO_STARTED, "Requests to disks." },
	{ "io_ended", "op", ops, METRICS_IO_OPS, METRIC_IO_ENDED, "Requests that have ended." },
	{ "io_errors", "op", ops, METRICS_IO_OPS, METRIC_IO_ERRORS, "Requests that have failed." },
	{ "io_bytes", "op", ops, METRICS_IO_OPS, METRIC_IO_BYTES,
	  "Bytes of requests that have ended well." },
};

#define FAMILIES (sizeof(families) / sizeof(families[0]))

typedef unsigned long long ull;

/* ---- Prometheus's text ---- */

static void text_head(struct text *out, const char *name, const char *suffix, const char *type,
		      const char *help)
{
	text_add(out, "# HELP " PREFIX "%s%s %s\n# TYPE " PREFIX "%s%s %s\n", name, suffix, help,
		 name, suffix, type);
}

static void text_family(const struct metrics_page *page, const struct family *f, struct text *out)
{
	text_head(out, f->name, "_total", "counter", f->help);
	for (unsigned i = 0; i < f->count; i++) {
		if (f->label)
			text_add(out, PREFIX "%s_total{%s=\"%s\"} %llu\n", f->name, f->label,
				 f->value[i], (ull)page->counter[f->first + i]);
		else
			text_add(out, PREFIX "%s_total %llu\n", f->name,
				 (ull)page->counter[f->first]);
	}
}

void metrics_print_text(const struct metrics_page *page, struct text *out)
{
	struct hist h;

	for (unsigned i = 0; i < FAMILIES; i++)
		text_family(page, &families[i], out);
	text_head(out, "io_depth", "", "histogram", "Requests under way on a disk as one comes.");
	metrics_hist(page, METRICS_DEPTH, &h);
	hist_text(&h, PREFIX "io_depth", NULL, false, out);
	text_head(out, "io_seconds", "", "histogram", "From a request's start to its end.");
	for (unsigned op = 0; op < METRICS_IO_OPS; op++) {
		metrics_hist(page, METRICS_LATENCY + op, &h);
		if (h.count)
			hist_text(&h, PREFIX "io_seconds", ops[op], true, out);
	}
}

/* ---- JSON ---- */

static void json_family(const struct metrics_page *page, const struct family *f, struct text *out)
{
	if (!f->label) {
		text_add(out, "\"%s\": %llu, ", f->name, (ull)page->counter[f->first]);
		return;
	}
	text_add(out, "\"%s\": {", f->name);
	for (unsigned i = 0; i < f->count; i++)
		text_add(out, "%s\"%s\": %llu", i ? ", " : "", f->value[i],
			 (ull)page->counter[f->first + i]);
	text_add(out, "}, ");
}

void metrics_print_json(const struct metrics_page *page, struct text *out)
{
	struct hist h;

	text_add(out, "{");
	for (unsigned i = 0; i < FAMILIES; i++)
		json_family(page, &families[i], out);
	metrics_hist(page, METRICS_DEPTH, &h);
	text_add(out, "\"io_depth\": ");
	hist_json(&h, out);
	text_add(out, ", \"io_ns\": {");
	for (unsigned op = 0; op < METRICS_IO_OPS; op++) {
		metrics_hist(page, METRICS_LATENCY + op, &h);
		text_add(out, "%s\"%s\": ", op ? ", " : "", ops[op]);
		hist_json(&h, out);
	}
	text_add(out, "}}\n");
}
