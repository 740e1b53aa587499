/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/proxy/record/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "applets/proxy/info/names.h"
#include "applets/proxy/record/recfile.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"

/*
 * What stands around a small DMA read, mostly more of the guest's program for the device: a remote
 * that goes another way through it (QEMU's) will read that.  Written when it has changed.
 */
#define BLOCK 256		/* bytes, aligned */
#define BLOCKS 1024		/* whose last contents are known */
#define SMALL 64		/* bytes of a DMA read */

#define QUEUE_MAX 4096		/* messages that the remote has not taken: a socket holds fewer */

enum { CFG_BAR_0 = 0x10, CFG_BAR_END = 0x28, BARS = 6 };

/* One direction's bytes on their way to be a message. */
struct assembly {
	size_t len;
	uint8_t bytes[sizeof(struct mpq_header) + MPQ_MAX_PAYLOAD];
	unsigned file[MPQ_MAX_REGIONS];
	int fd[MPQ_MAX_REGIONS];	/* copies; owned */
	unsigned files;
};

struct recorder {
	FILE *out;
	struct trace *trace;
	gint64 start;			/* us */
	struct assembly way[2];		/* of the remote, of the VM */
	GQueue message, reply;		/* struct rec_entry: seen, not written yet */
	bool reply_due;			/* the trace is ahead of the socket */
	struct { dev_t dev; ino_t ino; } file[REC_FILES];
	unsigned files;
	struct { uint64_t gpa, size, offset; int fd; } map[MPQ_MAX_REGIONS];
	unsigned regions;
	struct { uint64_t gpa, sum; } block[BLOCKS];
	char *unusable;

	/* For the comments alone: what the config accesses have shown. */
	struct rec_entry last;
	uint16_t vendor, device;
	uint32_t written[BARS], flags[BARS];
	uint64_t size[BARS];
};

static void spoil(struct recorder *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void spoil(struct recorder *r, const char *fmt, ...)
{
	va_list args;

	if (r->unusable)
		return;
	va_start(args, fmt);
	r->unusable = g_strdup_vprintf(fmt, args);
	va_end(args);
}

struct recorder *recorder_create(FILE *out, struct trace *trace, const char *command)
{
	struct recorder *r = g_new0(struct recorder, 1);
	struct rec_header header = { .command = g_strdup(command), .dma = trace != NULL };

	r->out = out;
	r->trace = trace;
	r->start = g_get_monotonic_time();
	g_queue_init(&r->message);
	g_queue_init(&r->reply);
	rec_write_header(out, &header);
	rec_header_finish(&header);
	return r;
}

static void clear(GQueue *queue)
{
	struct rec_entry *e;

	while ((e = g_queue_pop_head(queue))) {
		rec_entry_finish(e);
		g_free(e);
	}
}

static void forget_map(struct recorder *r)
{
	for (unsigned i = 0; i < r->regions; i++)
		fd_close(&r->map[i].fd);
	r->regions = 0;
}

static void drop_files(struct assembly *a)
{
	for (unsigned i = 0; i < a->files; i++)
		fd_close(&a->fd[i]);
	a->files = 0;
}

void recorder_destroy(struct recorder *r)
{
	if (!r)
		return;
	clear(&r->message);
	clear(&r->reply);
	forget_map(r);
	drop_files(&r->way[true]);
	drop_files(&r->way[false]);
	g_free(r->unusable);
	g_free(r);
}

/* ---- what an access means, for the comment ---- */

static void learn_bar(struct recorder *r, unsigned i, uint32_t value)
{
	uint32_t flags = value & 1 ? 3 : 0xf;

	if (r->written[i] != UINT32_MAX)
		return;
	r->flags[i] = value & flags;
	r->size[i] = value ? (uint32_t)(~(value & ~flags) + 1) : 0;
}

/* The size of a BAR is what sticks of all ones (PCI Local Bus 3.0, section 6.2.5.1). */
static void learn(struct recorder *r, const struct rec_entry *e)
{
	const struct rec_entry *asked = &r->last;
	unsigned i = (e->cfg.addr - CFG_BAR_0) / 4;

	if (e->kind == REC_MESSAGE && e->cmd == MPQ_PCI_CFGWRITE && e->cfg.len == 4 &&
	    e->cfg.addr >= CFG_BAR_0 && e->cfg.addr < CFG_BAR_END)
		r->written[i] = e->cfg.val;
	if (e->kind != REC_REPLY || asked->cmd != MPQ_PCI_CFGREAD)
		return;
	if (asked->cfg.addr == 0)
		r->vendor = e->value;
	if (asked->cfg.addr == 0 && asked->cfg.len == 4)
		r->device = e->value >> 16;
	if (asked->cfg.addr == 2)
		r->device = e->value;
	if (asked->cfg.len == 4 && asked->cfg.addr >= CFG_BAR_0 && asked->cfg.addr < CFG_BAR_END)
		learn_bar(r, (asked->cfg.addr - CFG_BAR_0) / 4, e->value);
}

static char *comment_bar(const struct recorder *r, const struct mpq_bar *bar)
{
	for (unsigned i = 0; i < BARS; i++) {
		uint64_t base = r->written[i] & ~(r->flags[i] & 1 ? 3u : 0xfu);
		const char *name;

		if (!r->size[i] || bar->memory != !(r->flags[i] & 1) || bar->addr < base ||
		    bar->addr - base >= r->size[i])
			continue;
		name = name_at_register(r->vendor, r->device, i, bar->addr - base);
		return g_strdup_printf("BAR%u+0x%" PRIx64 "%s%s", i, bar->addr - base,
				       name ? " " : "", name ? name : "");
	}
	return NULL;
}

static char *comment(const struct recorder *r, const struct rec_entry *e)
{
	if (e->kind != REC_MESSAGE)
		return NULL;
	if (e->cmd == MPQ_BAR_READ || e->cmd == MPQ_BAR_WRITE)
		return comment_bar(r, &e->bar);
	if (e->cmd == MPQ_PCI_CFGREAD || e->cmd == MPQ_PCI_CFGWRITE)
		return g_strdup(name_at_config(e->cfg.addr));
	return NULL;
}

static void put(struct recorder *r, struct rec_entry *e)
{
	g_autofree char *text = comment(r, e);

	e->us = g_get_monotonic_time() - r->start;
	rec_write(r->out, e, text);
	learn(r, e);
	if (e->kind == REC_MESSAGE)
		r->last = *e;
}

static void put_kind(struct recorder *r, enum rec_kind kind)
{
	struct rec_entry e = { .kind = kind };

	put(r, &e);
}

/* ---- messages ---- */

/* Which of the files of guest RAM it is; UINT_MAX: there are too many. */
static unsigned file_number(struct recorder *r, int fd)
{
	struct stat st;

	if (fd_stat(fd, &st))
		return UINT_MAX;
	for (unsigned i = 0; i < r->files; i++)
		if (r->file[i].dev == st.st_dev && r->file[i].ino == st.st_ino)
			return i;
	if (r->files == REC_FILES)
		return UINT_MAX;
	r->file[r->files].dev = st.st_dev;
	r->file[r->files].ino = st.st_ino;
	return r->files++;
}

static void take_files(struct recorder *r, struct assembly *a, const struct conn_fds *fds)
{
	for (unsigned i = 0; i < fds->count && a->files < MPQ_MAX_REGIONS; i++) {
		a->file[a->files] = file_number(r, fds->fd[i]);
		a->fd[a->files++] = fcntl(fds->fd[i], F_DUPFD_CLOEXEC, 0);
	}
}

static void decode_sync(struct recorder *r, struct assembly *a, struct rec_entry *e)
{
	struct mpq_sync_sysmem sync;

	memcpy(&sync, a->bytes + sizeof(struct mpq_header), sizeof(sync));
	forget_map(r);
	for (unsigned i = 0; i < a->files; i++) {
		if (a->file[i] == UINT_MAX)
			spoil(r, "guest RAM is in more than %d files", REC_FILES);
		r->map[i].gpa = sync.gpa[i];
		r->map[i].size = sync.size[i];
		r->map[i].offset = sync.offset[i];
		r->map[i].fd = fd_steal(&a->fd[i]);
		e->region[i] = (struct rec_region){ sync.gpa[i], sync.size[i], sync.offset[i],
						    a->file[i] % REC_FILES };
	}
	e->regions = r->regions = a->files;
	if (!a->files)
		spoil(r, "SYNC_SYSMEM without a file descriptor");
}

/* @a holds a whole message that its rule allows. */
static void decode(struct recorder *r, struct assembly *a, const struct mpq_header *h,
		   struct rec_entry *e)
{
	const uint8_t *payload = a->bytes + sizeof(*h);

	e->kind = REC_MESSAGE;
	e->cmd = h->cmd;
	if (h->cmd == MPQ_SYNC_SYSMEM)
		decode_sync(r, a, e);
	else if (h->cmd == MPQ_PCI_CFGREAD || h->cmd == MPQ_PCI_CFGWRITE)
		memcpy(&e->cfg, payload, sizeof(e->cfg));
	else if (h->cmd == MPQ_BAR_READ || h->cmd == MPQ_BAR_WRITE)
		memcpy(&e->bar, payload, sizeof(e->bar));
	if (h->cmd != MPQ_RET)
		return;
	e->kind = REC_REPLY;
	e->has_value = h->size == sizeof(e->value);
	if (e->has_value)
		memcpy(&e->value, payload, sizeof(e->value));
}

static void message_done(struct recorder *r, bool from_vm, struct assembly *a,
			 const struct mpq_header *h)
{
	struct rec_entry *e = g_new0(struct rec_entry, 1);
	GQueue *queue = from_vm ? &r->message : &r->reply;

	decode(r, a, h, e);
	if (r->trace) {
		g_queue_push_tail(queue, e);
		if (queue->length > QUEUE_MAX)
			spoil(r, "%u messages wait that its trace does not tell of", QUEUE_MAX);
		return;
	}
	put(r, e);
	g_free(e);
}

/* Bytes that one message still needs; 0: it is whole.  Not one of the protocol: spoils. */
static size_t missing(struct recorder *r, bool from_vm, const struct assembly *a)
{
	const struct mpq_rule *rule;
	struct mpq_header h;

	if (a->len < sizeof(h))
		return sizeof(h) - a->len;
	memcpy(&h, a->bytes, sizeof(h));
	rule = mpq_rule(h.cmd);
	if (!rule || rule->sender != (from_vm ? MPQ_FROM_PROXY : MPQ_FROM_REMOTE) ||
	    h.size < rule->size_min || h.size > rule->size_max ||
	    (h.size % 8 && h.cmd == MPQ_RET)) {
		spoil(r, "%s sent what is no message of the protocol",
		      from_vm ? "the VM" : "the remote");
		return 0;
	}
	return sizeof(h) + h.size - a->len;
}

void recorder_saw(struct recorder *r, bool from_vm, const void *data, size_t len,
		  const struct conn_fds *fds)
{
	struct assembly *a = &r->way[from_vm];
	const uint8_t *p = data;

	take_files(r, a, fds);
	while (len && !r->unusable) {
		size_t part = MIN(len, missing(r, from_vm, a));
		struct mpq_header h;

		memcpy(a->bytes + a->len, p, part);
		a->len += part;
		p += part;
		len -= part;
		if (missing(r, from_vm, a) || r->unusable)
			continue;
		memcpy(&h, a->bytes, sizeof(h));
		message_done(r, from_vm, a, &h);
		a->len = 0;
		drop_files(a);
	}
}

/* ---- the trace ---- */

static void put_head(struct recorder *r, GQueue *queue)
{
	struct rec_entry *e = g_queue_pop_head(queue);

	put(r, e);
	rec_entry_finish(e);
	g_free(e);
}

/* The whole block at @gpa, if it is RAM of one region. */
static bool read_block(const struct recorder *r, uint64_t gpa, uint8_t data[BLOCK])
{
	for (unsigned i = 0; i < r->regions; i++)
		if (gpa >= r->map[i].gpa &&
		    range_fits(gpa - r->map[i].gpa, BLOCK, r->map[i].size))
			return pread(r->map[i].fd, data, BLOCK,
				     r->map[i].offset + (gpa - r->map[i].gpa)) == BLOCK;
	return false;
}

/* @read: the DMA read, which knows its own bytes better: RAM may have changed since. */
static void put_block(struct recorder *r, uint64_t gpa, const struct rec_dma *read)
{
	uint64_t from = max_u64(gpa, read->gpa), end = min_u64(gpa + BLOCK, read->gpa + read->len);
	unsigned i = gpa / BLOCK % BLOCKS;
	struct rec_entry e = { 0 };
	uint8_t data[BLOCK];

	if (!read_block(r, gpa, data))
		return;
	memcpy(data + (from - gpa), read->data + (from - read->gpa), end - from);
	rec_set_dma(&e, REC_RAM, gpa, data, BLOCK);
	if (r->block[i].gpa != gpa || r->block[i].sum != e.dma.sum)
		put(r, &e);
	r->block[i].gpa = gpa;
	r->block[i].sum = e.dma.sum;
	rec_entry_finish(&e);
}

static void put_around(struct recorder *r, const struct rec_dma *read)
{
	uint64_t first = read->gpa & ~(uint64_t)(BLOCK - 1);

	if (read->len > SMALL)
		return;
	put_block(r, first, read);
	if (read->gpa + read->len - 1 >= first + BLOCK)
		put_block(r, first + BLOCK, read);
}

static void put_dma(struct recorder *r, const struct trace_event *event)
{
	struct rec_entry e = { 0 };

	if (!event->len || event->arg + event->len < event->arg) {
		spoil(r, "the trace of the remote is none");
		return;
	}
	rec_set_dma(&e, event->kind == TRACE_DMA_READ ? REC_DMA_READ : REC_DMA_WRITE, event->arg,
		    r->trace->data, event->len);
	if (e.kind == REC_DMA_READ)
		put_around(r, &e.dma);
	put(r, &e);
	rec_entry_finish(&e);
}

static void put_message(struct recorder *r, const struct trace_event *event)
{
	const struct rec_entry *e = g_queue_peek_head(&r->message);

	if (e && e->cmd == event->arg)
		put_head(r, &r->message);
	else
		spoil(r, "the trace of the remote tells of a message that it was not sent");
}

static void put_event(struct recorder *r, const struct trace_event *event)
{
	switch (event->kind) {
	case TRACE_MESSAGE:
		put_message(r, event);
		break;
	case TRACE_REPLY:
		r->reply_due = true;
		break;
	case TRACE_IRQ:
		put_kind(r, REC_IRQ);
		break;
	case TRACE_EOI:
		put_kind(r, REC_EOI);
		break;
	default:
		put_dma(r, event);
	}
}

void recorder_irq(struct recorder *r)
{
	if (!r->unusable)
		put_kind(r, REC_IRQ);
}

/* A reply's turn comes with the trace, and its value with the socket, mostly a little later. */
static bool reply_there(struct recorder *r)
{
	if (!r->reply_due)
		return true;
	if (!r->reply.length)
		return false;
	r->reply_due = false;
	put_head(r, &r->reply);
	return true;
}

bool recorder_drain(struct recorder *r)
{
	struct trace_event event;
	bool any = false;
	int ret = 0;

	while (r->trace && !r->unusable && reply_there(r)) {
		ret = trace_next(r->trace, &event);
		if (ret)
			break;
		put_event(r, &event);
		any = true;
	}
	if (ret == -ENOBUFS)
		spoil(r, "%" PRIu64 " events of the remote were lost here: they were not read in "
		      "time", trace_lost(r->trace));
	else if (ret == -EPROTO)
		spoil(r, "the trace of the remote is none");
	return any;
}

const char *recorder_end(struct recorder *r)
{
	struct rec_entry e = { .kind = REC_END };

	recorder_drain(r);
	e.unusable = r->unusable;
	put(r, &e);
	if (fflush(r->out) || ferror(r->out))
		spoil(r, "it cannot be written: %s", log_errname(errno));
	return r->unusable;
}
