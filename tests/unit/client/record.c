/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file of record and replay: what is written is read as the same, and nothing else is read. */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "applets/proxy/record/recfile.h"
#include "../util.h"

#define HEADER "mpqemu-record 1\ncommand a 'b c'\ndma yes\n"

struct text {
	char path[32];
	struct rec_file file;
};

static void text_open(struct text *t, const char *text)
{
	GError *error = NULL;
	int fd;

	strcpy(t->path, "/tmp/record-XXXXXX");
	fd = must(mkstemp(t->path));
	g_assert_cmpint(write(fd, text, strlen(text)), ==, strlen(text));
	close(fd);
	g_assert_true(rec_open(&t->file, t->path, &error));
	g_assert_no_error(error);
}

static void text_close(struct text *t)
{
	rec_close(&t->file);
	unlink(t->path);
}

/* Each is one line behind a good header. */
static const char *const bad[] = {
	"", " ", "0", "0.0", "0.0 ", "0.0  irq", "0.0000000001 irq x", "0.1000000 irq", "x.0 irq",
	"99999999999.0 irq", "0.0 irq#", "0.0 irq #", "0.0 IRQ", "0.0 >", "0.0 > ", "0.0 > RET 0x0",
	"0.0 > SET_IRQFD 1", "0.0 > DEVICE_RESET 0x0", "0.0 > SYNC_SYSMEM 0x0",
	"0.0 > SYNC_SYSMEM ",
	"0.0 > SYNC_SYSMEM 0x0+0x1@0", "0.0 > SYNC_SYSMEM 0x0+1@0:0x0",
	"0.0 > SYNC_SYSMEM 0x0+0x1@8:0x0", "0.0 > SYNC_SYSMEM 0x0+0x1@0:0x0 ",
	"0.0 > PCI_CFGREAD 0x0 2147483648", "0.0 > PCI_CFGREAD 0x0 --1",
	"0.0 > PCI_CFGREAD 0x0 4 0x1",
	"0.0 > PCI_CFGWRITE 0x0 4", "0.0 > PCI_CFGWRITE 0x0 4 0x100000000",
	"0.0 > BAR_READ mem 0x10000000000000000 4", "0.0 > BAR_READ mem 0x0 4294967296",
	"0.0 > BAR_READ mem 0x0 +4", "0.0 > BAR_WRITE io 0x0 4", "0.0 < RET 0xg",
	"0.0 < RET 5",
	"0.0 dma read 0x0 1", "0.0 dma read 0x0 1 ", "0.0 dma read 0x0 1 0",
	"0.0 dma read 0x0 1 AB",
	"0.0 dma read 0x0 1 00*0", "0.0 dma read 0x0 1 00*2", "0.0 dma read 0x0 1 00*",
	"0.0 ram 0x0 0 ", "0.0 ram 0x0 1 sum 0x0",
	"0.0 dma write 0x0 1 sum", "0.0 dma write 0x0 1 sum 0x",
	"0.0 dma read 0x0 99999999999 00*1",
	"0.0 dma write 0xffffffffffffffff 1 00", "0.0 end now",
	"0.0 end\n0.0 end", "0.0 end\n\n",
};

static void test_bad(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autofree char *whole = g_strconcat(HEADER, bad[i], "\n", NULL);
		g_autoptr(GError) error = NULL;
		struct rec_entry e;
		struct text t;

		text_open(&t, whole);
		if (rec_read(&t.file, &e, &error))
			g_error("taken: '%s'", bad[i]);
		g_assert_true(g_str_has_prefix(error->message, t.path));
		g_assert_null(strchr(error->message, '\n'));
		text_close(&t);
	}
}

/* The form in which a line is written is the only one of its kind. */
static const char *const good[] = {
	"0.000000 irq", "12.345678 eoi", "0.000001 end", "0.000001 end unusable: 3 lost",
	"0.000000 > SET_IRQFD", "0.000000 > DEVICE_RESET", "0.000000 < RET",
	"0.000000 < RET 0xffffffffffffffff", "0.000000 > PCI_CFGREAD 0x10 4",
	"0.000000 > PCI_CFGREAD 0xffffffff -2147483648", "0.000000 > PCI_CFGREAD 0x0 2147483647",
	"0.000000 > PCI_CFGWRITE 0x4 2 0x7", "0.000000 > BAR_READ mem 0xfebf1000 4",
	"0.000000 > BAR_READ io 0xffffffffffffffff 4294967295",
	"0.000000 > BAR_WRITE io 0xc014 1 0xff",
	"0.000000 > SYNC_SYSMEM 0x0+0xc0000@0:0x0 0x100000+0xff00000@7:0xffffffffffffffff",
	"0.000000 dma read 0x1000 3 00ff7a", "0.000000 dma read 0xfffffffffffffffc 3 000102",
	"0.000000 dma read 0x1000 4096 5a*4096",
	"0.000000 dma read 0x1000 15 000000000000000000000000000000",
	"0.000000 dma write 0x1000 16 00*16", "0.000000 ram 0x1000 2 0001",
	"0.000000 dma write 0x1000 512 sum 0x0123456789abcdef",
};

static void test_round_trip(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
		/* A reason goes to the end of the line. */
		const char *comment = strstr(good[i], "unusable") ? "" : " # for people";
		g_autofree char *whole = g_strconcat(HEADER, good[i], comment, "\n", NULL);
		g_autofree char *want = g_strconcat(good[i], "\n", NULL);
		g_autoptr(GError) error = NULL;
		struct rec_entry e;
		struct text t;
		char *out = NULL;
		size_t size;
		FILE *file;

		text_open(&t, whole);
		rec_read(&t.file, &e, &error);
		g_assert_no_error(error);
		file = open_memstream(&out, &size);
		rec_write(file, &e, NULL);
		fclose(file);
		g_assert_cmpstr(out, ==, want);
		free(out);
		rec_entry_finish(&e);
		text_close(&t);
	}
}

static void test_header(void)
{
	char command[] = "a\nb\t\"c\"";
	struct rec_header h = { .command = command, .dma = false };
	struct text t;
	char *out = NULL;
	size_t size;
	FILE *file = open_memstream(&out, &size);

	rec_write_header(file, &h);
	fclose(file);
	text_open(&t, out);
	g_assert_cmpstr(t.file.header.command, ==, h.command);
	g_assert_false(t.file.header.dma);
	text_close(&t);
	free(out);
}

/* Data are kept where a line has them, and summed up where it has not. */
static void test_dma(void)
{
	uint8_t data[REC_DATA_MAX] = { 1 };
	static const struct {
		enum rec_kind kind;
		unsigned from, len;
		bool has_data;
	} rows[] = {
		{ REC_DMA_READ, 0, REC_DATA_MAX, true }, { REC_DMA_WRITE, 0, REC_DATA_MAX, false },
		{ REC_DMA_WRITE, 0, REC_PLAIN_MAX, true },
		{ REC_DMA_WRITE, 0, REC_PLAIN_MAX + 1, false },
		{ REC_DMA_WRITE, 1, REC_DATA_MAX - 1, true },	/* all the same */
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct rec_entry e = { 0 };

		rec_set_dma(&e, rows[i].kind, 0, data + rows[i].from, rows[i].len);
		g_assert_cmpint(e.dma.has_data, ==, rows[i].has_data);
		g_assert_cmpint(e.dma.data != NULL, ==, rows[i].has_data);
		g_assert_cmphex(e.dma.sum, ==, rec_sum(data + rows[i].from, rows[i].len));
		rec_entry_finish(&e);
	}
	g_assert_cmphex(rec_sum("", 0), ==, 0xcbf29ce484222325);
	g_assert_cmphex(rec_sum("a", 1), ==, 0xaf63dc4c8601ec8c);	/* of FNV's own tables */
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/record/bad", test_bad);
	g_test_add_func("/record/round-trip", test_round_trip);
	g_test_add_func("/record/header", test_header);
	g_test_add_func("/record/dma", test_dma);
	return g_test_run();
}
