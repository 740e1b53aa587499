/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/proxy/metrics.h"

#include <unistd.h>

#include <glib.h>

#include "base/fd.h"
#include "metrics/text.h"

#define PREFIX "mpqemu_client_"
#define TEXT_MAX (16u << 10)

typedef unsigned long long ull;

/* As in the metrics of a remote. */
static const char *const kinds[CLIENT_MESSAGES] = {
	[CLIENT_CONFIG_READ] = "config_read", [CLIENT_CONFIG_WRITE] = "config_write",
	[CLIENT_BAR_READ] = "bar_read", [CLIENT_BAR_WRITE] = "bar_write",
	[CLIENT_MEMORY_MAP] = "memory_map", [CLIENT_IRQ_SETUP] = "irq_setup",
	[CLIENT_RESET] = "reset", [CLIENT_OTHER] = "other",
};

static void head(struct text *out, const char *name, const char *type, const char *help)
{
	text_add(out, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name, help, name, type);
}

static void print_text(const struct client_metrics *m, struct text *out)
{
	head(out, "messages_total", "counter", "Messages to the remote.");
	for (unsigned i = 0; i < CLIENT_MESSAGES; i++)
		text_add(out, PREFIX "messages_total{kind=\"%s\"} %llu\n", kinds[i],
			 (ull)m->message[i]);
	head(out, "interrupts_total", "counter", "Interrupts that were dealt with.");
	text_add(out, PREFIX "interrupts_total %llu\n", (ull)m->interrupts);
	head(out, "round_trip_seconds", "histogram", "From a message to its answer.");
	hist_text(&m->trip, PREFIX "round_trip_seconds", NULL, true, out);
}

static void print_json(const struct client_metrics *m, struct text *out)
{
	text_add(out, "{\"messages\": {");
	for (unsigned i = 0; i < CLIENT_MESSAGES; i++)
		text_add(out, "%s\"%s\": %llu", i ? ", " : "", kinds[i], (ull)m->message[i]);
	text_add(out, "}, \"interrupts\": %llu, \"round_trip_ns\": ", (ull)m->interrupts);
	hist_json(&m->trip, out);
	text_add(out, "}\n");
}

void proxy_metrics_print(const struct client_metrics *m, bool json)
{
	g_autofree char *buf = g_malloc(TEXT_MAX);
	struct text text;

	text_init(&text, buf, TEXT_MAX);
	(json ? print_json : print_text)(m, &text);
	/* Where errors go, so there is nowhere to say that it failed. */
	(void)fd_write_all(STDERR_FILENO, buf, text.len);
}
