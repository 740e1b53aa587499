/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "applets/proxy/record/recfile.h"
#include "base/log.h"

/* Reading a record: each line is taken apart from left to right. */

#define LINE_MAX_BYTES (2 * REC_DATA_MAX + 8192)
#define FOUND_MAX 60		/* bytes of a wrong line that an error shows */

/* Where a line is read: what is left of it, and whose it is. */
struct cursor {
	const struct rec_file *f;
	char *at;
	GError **error;
};

bool rec_wrong(const struct rec_file *f, unsigned line, GError **error, const char *fmt, ...)
{
	g_autofree char *text = NULL;
	va_list args;

	va_start(args, fmt);
	text = g_strdup_vprintf(fmt, args);
	va_end(args);
	return mpq_fail(error, MPQ_ERROR_USAGE, "%s:%u: %s", f->path, line, text);
}

static bool wrong(struct cursor *c, const char *expected)
{
	g_autofree char *found = g_strndup(c->at, FOUND_MAX), *shown = g_strescape(found, NULL);

	if (!*c->at)
		return rec_wrong(c->f, c->f->line, c->error, "expected %s, found the end of the "
				 "line", expected);
	return rec_wrong(c->f, c->f->line, c->error, "expected %s, found '%s'", expected, shown);
}

/* Takes @word when that is what comes next. */
static bool take(struct cursor *c, const char *word)
{
	size_t len = strlen(word);

	if (strncmp(c->at, word, len))
		return false;
	c->at += len;
	return true;
}

static bool expect(struct cursor *c, const char *word, const char *expected)
{
	return take(c, word) || wrong(c, expected);
}

/* Digits only: no sign, no space. */
static bool number(struct cursor *c, unsigned base, uint64_t max, uint64_t *ret,
		   const char *expected)
{
	uint64_t value = 0;
	char *p = c->at;

	for (; g_ascii_isxdigit(*p) && g_ascii_xdigit_value(*p) < (int)base; p++)
		if (__builtin_mul_overflow(value, base, &value) ||
		    __builtin_add_overflow(value, g_ascii_xdigit_value(*p), &value))
			return wrong(c, expected);
	if (p == c->at || value > max)
		return wrong(c, expected);
	c->at = p;
	*ret = value;
	return true;
}

static bool hex(struct cursor *c, uint64_t max, uint64_t *ret, const char *expected)
{
	char *start = c->at;

	if (take(c, "0x") && number(c, 16, max, ret, expected))
		return true;
	c->at = start;
	return c->error && *c->error ? false : wrong(c, expected);
}

/* ---- messages ---- */

static bool take_region(struct cursor *c, struct rec_region *r)
{
	uint64_t file = 0;

	if (!hex(c, UINT64_MAX, &r->gpa, "0xADDRESS+0xSIZE@FILE:0xOFFSET") ||
	    !expect(c, "+", "+0xSIZE") || !hex(c, UINT64_MAX, &r->size, "0xSIZE") ||
	    !expect(c, "@", "@FILE") || !number(c, 10, REC_FILES - 1, &file, "FILE, 0 to 7") ||
	    !expect(c, ":", ":0xOFFSET") || !hex(c, UINT64_MAX, &r->offset, "0xOFFSET"))
		return false;
	r->file = file;
	return true;
}

static bool take_sync(struct cursor *c, struct rec_entry *e)
{
	while (take(c, " 0x")) {
		c->at -= 2;
		if (e->regions == MPQ_MAX_REGIONS)
			return wrong(c, "at most 8 regions");
		if (!take_region(c, &e->region[e->regions++]))
			return false;
	}
	return e->regions || wrong(c, "a region");
}

static bool take_cfg(struct cursor *c, struct rec_entry *e)
{
	uint64_t addr = 0, len = 0, value = 0;
	bool minus;

	if (!expect(c, " ", "an offset") || !hex(c, UINT32_MAX, &addr, "0xOFFSET") ||
	    !expect(c, " ", "a length"))
		return false;
	minus = take(c, "-");
	if (!number(c, 10, minus ? 1ULL << 31 : INT32_MAX, &len, "a length"))
		return false;
	if (e->cmd == MPQ_PCI_CFGWRITE &&
	    (!expect(c, " ", "a value") || !hex(c, UINT32_MAX, &value, "0xVALUE")))
		return false;
	e->cfg = (struct mpq_cfg){ .addr = addr, .val = value, .len = minus ? 0 - len : len };
	return true;
}

static bool take_bar(struct cursor *c, struct rec_entry *e)
{
	uint64_t size = 0;

	e->bar.memory = take(c, " mem");
	if (!e->bar.memory && !expect(c, " io", "mem or io"))
		return false;
	if (!expect(c, " ", "an address") || !hex(c, UINT64_MAX, &e->bar.addr, "0xADDRESS") ||
	    !expect(c, " ", "a size") || !number(c, 10, UINT32_MAX, &size, "a size"))
		return false;
	e->bar.size = size;
	return e->cmd == MPQ_BAR_READ ||
	       (expect(c, " ", "a value") && hex(c, UINT64_MAX, &e->bar.val, "0xVALUE"));
}

static bool take_nothing(struct cursor *c, struct rec_entry *e)
{
	return true;
}

static bool take_message(struct cursor *c, struct rec_entry *e)
{
	static bool (*const fields[MPQ_CMD_COUNT])(struct cursor *, struct rec_entry *) = {
		[MPQ_SYNC_SYSMEM] = take_sync,
		[MPQ_PCI_CFGWRITE] = take_cfg, [MPQ_PCI_CFGREAD] = take_cfg,
		[MPQ_BAR_WRITE] = take_bar, [MPQ_BAR_READ] = take_bar,
		[MPQ_SET_IRQFD] = take_nothing, [MPQ_DEVICE_RESET] = take_nothing,
	};

	for (int cmd = 0; cmd < MPQ_CMD_COUNT; cmd++) {
		if (!fields[cmd] || !take(c, mpq_rule(cmd)->name))
			continue;
		e->kind = REC_MESSAGE;
		e->cmd = cmd;
		return fields[cmd](c, e);
	}
	return wrong(c, "a message");
}

static bool take_reply(struct cursor *c, struct rec_entry *e)
{
	e->kind = REC_REPLY;
	e->has_value = take(c, " 0x");
	return !e->has_value || number(c, 16, UINT64_MAX, &e->value, "a value");
}

/* ---- DMA ---- */

static int nibble(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool take_bytes(struct cursor *c, struct rec_dma *d)
{
	int high = nibble(c->at[0]), low = high < 0 ? -1 : nibble(c->at[1]);
	uint64_t count = 0;

	d->has_data = true;
	d->data = g_malloc(d->len);
	if (low >= 0 && c->at[2] == '*') {
		c->at += 3;
		memset(d->data, high << 4 | low, d->len);
		return number(c, 10, d->len, &count, "a count") &&
		       (count == d->len || wrong(c, "as many bytes as the DMA has"));
	}
	for (uint32_t i = 0; i < d->len; i++, c->at += 2) {
		high = nibble(c->at[0]);
		low = high < 0 ? -1 : nibble(c->at[1]);
		if (low < 0)
			return wrong(c, "a byte in hex");
		d->data[i] = high << 4 | low;
	}
	return true;
}

static bool take_place(struct cursor *c, struct rec_entry *e)
{
	struct rec_dma *d = &e->dma;
	uint64_t len = 0;

	if (!hex(c, UINT64_MAX, &d->gpa, "0xADDRESS") || !expect(c, " ", "a length") ||
	    !number(c, 10, REC_DATA_MAX, &len, "a length, at most 4096") ||
	    !expect(c, " ", "data"))
		return false;
	if (!len || d->gpa + len < d->gpa)
		return wrong(c, "1 byte or more, below 2^64");
	d->len = len;
	if (e->kind == REC_DMA_WRITE && take(c, "sum "))
		return hex(c, UINT64_MAX, &d->sum, "0xSUM");
	if (!take_bytes(c, d))
		return false;
	d->sum = rec_sum(d->data, d->len);
	return true;
}

static bool take_dma(struct cursor *c, struct rec_entry *e)
{
	e->kind = take(c, "read ") ? REC_DMA_READ : REC_DMA_WRITE;
	if (e->kind == REC_DMA_WRITE && !expect(c, "write ", "read or write"))
		return false;
	return take_place(c, e);
}

static bool take_ram(struct cursor *c, struct rec_entry *e)
{
	e->kind = REC_RAM;
	return take_place(c, e);
}

/* ---- the other lines ---- */

static bool take_irq(struct cursor *c, struct rec_entry *e)
{
	e->kind = REC_IRQ;
	return true;
}

static bool take_eoi(struct cursor *c, struct rec_entry *e)
{
	e->kind = REC_EOI;
	return true;
}

static bool take_end(struct cursor *c, struct rec_entry *e)
{
	e->kind = REC_END;
	if (take(c, " unusable: ")) {
		e->unusable = g_strescape(c->at, NULL);
		c->at += strlen(c->at);
	}
	return true;
}

static const struct {
	const char *word;
	bool (*take)(struct cursor *c, struct rec_entry *e);
} kinds[] = {
	{ "> ", take_message }, { "< RET", take_reply }, { "dma ", take_dma },
	{ "ram ", take_ram },	{ "irq", take_irq }, { "eoi", take_eoi }, { "end", take_end },
};

static bool take_time(struct cursor *c, uint64_t *ret_us)
{
	uint64_t s = 0, us = 0;

	if (!number(c, 10, UINT32_MAX, &s, "a time in seconds") || !expect(c, ".", "a time") ||
	    !number(c, 10, 999999, &us, "microseconds") || !expect(c, " ", "a space"))
		return false;
	*ret_us = s * 1000000 + us;
	return true;
}

static bool take_kind(struct cursor *c, struct rec_entry *e)
{
	for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
		if (take(c, kinds[i].word))
			return kinds[i].take(c, e);
	return wrong(c, "one of > < dma ram irq eoi end");
}

/* ---- lines ---- */

/* The next line, without its end; *ret_text NULL at the end of the file. */
static bool next_line(struct rec_file *f, char **ret_text, GError **error)
{
	size_t len;

	f->line++;
	*ret_text = NULL;
	f->text[LINE_MAX_BYTES - 1] = 'x';
	if (!fgets(f->text, LINE_MAX_BYTES, f->file))
		return ferror(f->file) ?
		       mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s", f->path, log_errname(errno)) :
		       true;
	len = strlen(f->text);
	if (!len || f->text[len - 1] != '\n')
		return rec_wrong(f, f->line, error, "expected the end of the line, found %s",
				 f->text[LINE_MAX_BYTES - 1] ? "that of the file, or a NUL" :
				 "16384 bytes without one");
	f->text[len - 1] = '\0';
	*ret_text = f->text;
	return true;
}

static bool header_line(struct rec_file *f, const char *word, struct cursor *c, GError **error)
{
	char *text;

	if (!next_line(f, &text, error))
		return false;
	*c = (struct cursor){ f, text ? text : f->text, error };
	if (!text)
		f->text[0] = '\0';
	return expect(c, word, word);
}

static bool read_header(struct rec_file *f, GError **error)
{
	uint64_t version = 0;
	struct cursor c;

	if (!header_line(f, REC_MAGIC, &c, error) ||
	    !number(&c, 10, UINT32_MAX, &version, "a version"))
		return false;
	if (version != REC_VERSION || *c.at)
		return rec_wrong(f, f->line, error, "version %" PRIu64 "%s of the format is not "
				 "known, expected %d", version, c.at, REC_VERSION);
	if (!header_line(f, "command ", &c, error))
		return false;
	f->header.command = g_strcompress(c.at);
	if (!header_line(f, "dma ", &c, error))
		return false;
	f->header.dma = !strcmp(c.at, "yes");
	return f->header.dma || !strcmp(c.at, "no") || wrong(&c, "yes or no");
}

bool rec_open(struct rec_file *f, const char *path, GError **error)
{
	*f = (struct rec_file){ .path = path };
	f->file = fopen(path, "re");
	if (!f->file)
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: %s", path, log_errname(errno));
	f->text = g_malloc0(LINE_MAX_BYTES);
	return read_header(f, error);
}

/* A comment is for people. */
static bool take_line_end(struct cursor *c)
{
	return !*c->at || take(c, " # ") || wrong(c, "the end of the line");
}

static bool at_end_of_file(struct rec_file *f, GError **error)
{
	char *text;

	return next_line(f, &text, error) &&
	       (!text || rec_wrong(f, f->line, error, "expected nothing more after the end"));
}

bool rec_read(struct rec_file *f, struct rec_entry *ret, GError **error)
{
	struct rec_entry e = { 0 };
	GError *local = NULL;
	struct cursor c = { f, NULL, &local };
	char *text;

	if (!next_line(f, &text, error))
		return false;
	if (!text)
		return rec_wrong(f, f->line, error, "expected a line that says end: the record is "
				 "cut short");
	c.at = text;
	e.line = f->line;
	if (!take_time(&c, &e.us) || !take_kind(&c, &e) || !take_line_end(&c)) {
		rec_entry_finish(&e);
		g_propagate_error(error, local);
		return false;
	}
	if (e.kind == REC_END && !at_end_of_file(f, error)) {
		rec_entry_finish(&e);
		return false;
	}
	*ret = e;
	return true;
}

void rec_close(struct rec_file *f)
{
	if (f->file)
		fclose(f->file);
	f->file = NULL;
	g_clear_pointer(&f->text, g_free);
	rec_header_finish(&f->header);
}
