/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/proxy/record/recfile.h"

#include <inttypes.h>
#include <string.h>

#define UNIFORM_MIN 16		/* bytes of one value that are written as "00*4096" */

uint64_t rec_sum(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t sum = 0xcbf29ce484222325;

	for (size_t i = 0; i < len; i++)
		sum = (sum ^ p[i]) * 0x100000001b3;
	return sum;
}

static bool is_uniform(const uint8_t *data, size_t len)
{
	return len >= UNIFORM_MIN && !memcmp(data, data + 1, len - 1);
}

void rec_set_dma(struct rec_entry *e, enum rec_kind kind, uint64_t gpa, const void *data,
		 size_t len)
{
	e->kind = kind;
	e->dma = (struct rec_dma){ .gpa = gpa, .len = len, .sum = rec_sum(data, len) };
	e->dma.has_data = kind != REC_DMA_WRITE || len <= REC_PLAIN_MAX || is_uniform(data, len);
	if (e->dma.has_data)
		e->dma.data = g_memdup2(data, len);
}

void rec_entry_finish(struct rec_entry *e)
{
	g_clear_pointer(&e->dma.data, g_free);
	g_clear_pointer(&e->unusable, g_free);
}

void rec_header_finish(struct rec_header *h)
{
	g_clear_pointer(&h->command, g_free);
}

/* ---- each kind of line ---- */

static void print_sync(GString *s, const struct rec_entry *e)
{
	for (unsigned i = 0; i < e->regions; i++)
		g_string_append_printf(s, " 0x%" PRIx64 "+0x%" PRIx64 "@%u:0x%" PRIx64,
				       e->region[i].gpa, e->region[i].size, e->region[i].file,
				       e->region[i].offset);
}

static void print_cfg(GString *s, const struct rec_entry *e)
{
	g_string_append_printf(s, " 0x%x %" PRId32, e->cfg.addr, e->cfg.len);
	if (e->cmd == MPQ_PCI_CFGWRITE)
		g_string_append_printf(s, " 0x%x", e->cfg.val);
}

static void print_bar(GString *s, const struct rec_entry *e)
{
	g_string_append_printf(s, " %s 0x%" PRIx64 " %u", e->bar.memory ? "mem" : "io",
			       e->bar.addr, e->bar.size);
	if (e->cmd == MPQ_BAR_WRITE)
		g_string_append_printf(s, " 0x%" PRIx64, e->bar.val);
}

static void print_nothing(GString *s, const struct rec_entry *e)
{
}

static void print_message(GString *s, const struct rec_entry *e)
{
	static void (*const fields[MPQ_CMD_COUNT])(GString *, const struct rec_entry *) = {
		[MPQ_SYNC_SYSMEM] = print_sync, [MPQ_RET] = print_nothing,
		[MPQ_PCI_CFGWRITE] = print_cfg, [MPQ_PCI_CFGREAD] = print_cfg,
		[MPQ_BAR_WRITE] = print_bar, [MPQ_BAR_READ] = print_bar,
		[MPQ_SET_IRQFD] = print_nothing, [MPQ_DEVICE_RESET] = print_nothing,
	};

	g_string_append_printf(s, "> %s", mpq_rule(e->cmd)->name);
	fields[e->cmd](s, e);
}

static void print_data(GString *s, const struct rec_dma *d)
{
	if (!d->has_data) {
		g_string_append_printf(s, " sum 0x%016" PRIx64, d->sum);
		return;
	}
	g_string_append_c(s, ' ');
	if (is_uniform(d->data, d->len)) {
		g_string_append_printf(s, "%02x*%u", d->data[0], d->len);
		return;
	}
	for (uint32_t i = 0; i < d->len; i++) {
		g_string_append_c(s, "0123456789abcdef"[d->data[i] >> 4]);
		g_string_append_c(s, "0123456789abcdef"[d->data[i] & 15]);
	}
}

static void print_entry(GString *s, const struct rec_entry *e)
{
	switch (e->kind) {
	case REC_MESSAGE:
		print_message(s, e);
		break;
	case REC_REPLY:
		if (e->has_value)
			g_string_append_printf(s, "< RET 0x%" PRIx64, e->value);
		else
			g_string_append(s, "< RET");
		break;
	case REC_IRQ:
		g_string_append(s, "irq");
		break;
	case REC_EOI:
		g_string_append(s, "eoi");
		break;
	case REC_DMA_READ:
	case REC_DMA_WRITE:
		g_string_append_printf(s, "dma %s 0x%" PRIx64 " %u",
				       e->kind == REC_DMA_READ ? "read" : "write", e->dma.gpa,
				       e->dma.len);
		break;
	case REC_RAM:
		g_string_append_printf(s, "ram 0x%" PRIx64 " %u", e->dma.gpa, e->dma.len);
		break;
	case REC_END:
		if (e->unusable)
			g_string_append_printf(s, "end unusable: %s", e->unusable);
		else
			g_string_append(s, "end");
	}
}

char *rec_describe(const struct rec_entry *e)
{
	GString *s = g_string_new(NULL);

	print_entry(s, e);
	return g_string_free(s, false);
}

void rec_write(FILE *out, const struct rec_entry *e, const char *comment)
{
	GString *s = g_string_sized_new(128);

	g_string_append_printf(s, "%" PRIu64 ".%06" PRIu64 " ", e->us / 1000000, e->us % 1000000);
	print_entry(s, e);
	if (e->dma.len)
		print_data(s, &e->dma);
	if (comment)
		g_string_append_printf(s, " # %s", comment);
	g_string_append_c(s, '\n');
	fwrite(s->str, 1, s->len, out);
	g_string_free(s, true);
}

/* What a header line says may come from a command line: it stays one line. */
void rec_write_header(FILE *out, const struct rec_header *h)
{
	g_autofree char *command = g_strescape(h->command, NULL);

	fprintf(out, REC_MAGIC "%d\ncommand %.4000s\ndma %s\n", REC_VERSION, command,
		h->dma ? "yes" : "no");
}
