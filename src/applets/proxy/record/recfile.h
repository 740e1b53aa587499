/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_PROXY_RECFILE_H
#define APPLETS_PROXY_RECFILE_H

/*
 * The file of the verbs record and replay: text, one line for each thing that happened, in the
 * order of the device process.  mpqemu-proxy(1) describes it.  Reading takes nothing on trust.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "proto/mpqemu.h"

#define REC_MAGIC "mpqemu-record "	/* a record begins with it */
#define REC_VERSION 1
#define REC_DATA_MAX 4096	/* bytes of a DMA line */
#define REC_PLAIN_MAX 64	/* of a DMA write: more than that is a sum */
#define REC_FILES 8		/* that guest RAM is in */

enum rec_kind {
	REC_MESSAGE,		/* to the remote */
	REC_REPLY,		/* RET of the remote */
	REC_IRQ,		/* the remote wrote irqfd */
	REC_EOI,		/* the remote found resamplefd written */
	REC_DMA_READ, REC_DMA_WRITE,
	REC_RAM,		/* what stood around the DMA read behind it */
	REC_END,
};

struct rec_region {
	uint64_t gpa, size, offset;
	unsigned file;		/* which of the files: counted from 0 as they are first seen */
};

struct rec_dma {
	uint64_t gpa;
	uint32_t len;
	bool has_data;		/* else the sum is all that is known */
	uint64_t sum;		/* rec_sum() of the data */
	uint8_t *data;		/* owned; or NULL */
};

struct rec_entry {
	enum rec_kind kind;
	uint64_t us;			/* since the beginning; of no meaning for a replay */
	unsigned line;			/* of the file; from 1 */
	enum mpq_cmd cmd;		/* REC_MESSAGE */
	struct mpq_cfg cfg;
	struct mpq_bar bar;
	struct rec_region region[MPQ_MAX_REGIONS];
	unsigned regions;
	bool has_value;			/* REC_REPLY: RET has a payload */
	uint64_t value;
	struct rec_dma dma;
	char *unusable;			/* REC_END: why the record is; owned; or NULL */
};

/* FNV-1a, 64 bits: tells data apart that differ by accident. */
uint64_t rec_sum(const void *data, size_t len);

/* A DMA entry with a copy of @data, or of its sum where a line has no more. */
void rec_set_dma(struct rec_entry *e, enum rec_kind kind, uint64_t gpa, const void *data,
		 size_t len);
/* Frees what it holds. */
void rec_entry_finish(struct rec_entry *e);

/* ---- writing ---- */

struct rec_header {
	char *command;			/* of the remote, quoted as for a shell; owned */
	bool dma;			/* DMA is recorded, and the order is the device's own */
};

/* Frees what it holds. */
void rec_header_finish(struct rec_header *h);
/* The lines that a record begins with. */
void rec_write_header(FILE *out, const struct rec_header *h);
/* @comment: for people, behind a '#'; or NULL. */
void rec_write(FILE *out, const struct rec_entry *e, const char *comment);
/* The same without the time, for messages about a line; the caller frees.  No data of DMA. */
char *rec_describe(const struct rec_entry *e);

/* ---- reading ---- */

struct rec_file {
	const char *path;
	FILE *file;
	unsigned line;
	struct rec_header header;
	char *text;			/* room for a line */
};

/* Errors name file, line, what was expected there and what was found: MPQ_ERROR_USAGE. */
bool rec_open(struct rec_file *f, const char *path, GError **error);
/*
 * The next entry, which becomes the caller's.  The last one is REC_END; nothing may follow it.
 * False with @error set.
 */
bool rec_read(struct rec_file *f, struct rec_entry *ret, GError **error);
void rec_close(struct rec_file *f);

/* Sets @error to "FILE:LINE: text"; returns false. */
bool rec_wrong(const struct rec_file *f, unsigned line, GError **error, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif
