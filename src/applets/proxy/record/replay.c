/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "applets/proxy/record/replay-priv.h"
#include "applets/proxy/verb.h"
#include "base/fd.h"
#include "base/log.h"

/* The verb replay: plays the VM of a record to a remote, and compares what that does. */

#define DIFFERENCES_MAX 20	/* after the first ones the others mostly follow from them */
#define TIMED_MAX 20		/* lines about them; all are counted */

/* ---- what is told ---- */

bool replay_differs(struct replay *r, const struct item *item, GError **error, const char *fmt, ...)
{
	g_autofree char *what = rec_describe(&item->e), *text = NULL;
	va_list args;

	va_start(args, fmt);
	text = g_strdup_vprintf(fmt, args);
	va_end(args);
	printf("%s:%u: %s: %s\n", r->path, item->e.line, what, text);
	if (++r->differences < DIFFERENCES_MAX)
		return true;
	return mpq_fail(error, MPQ_ERROR_REFUSED, "%d differences are enough", DIFFERENCES_MAX);
}

void replay_timed(struct replay *r, const struct item *item, const char *fmt, ...)
{
	g_autofree char *what = rec_describe(&item->e), *text = NULL;
	va_list args;

	if (++r->timed > TIMED_MAX)
		return;
	va_start(args, fmt);
	text = g_strdup_vprintf(fmt, args);
	va_end(args);
	printf("%s:%u: depends on time: %s: %s\n", r->path, item->e.line, what, text);
}

static void say_end(const struct replay *r)
{
	if (r->timed > TIMED_MAX)
		printf("and %lu more that depend on time\n", r->timed - TIMED_MAX);
	printf("%lu messages", r->messages);
	if (r->tracing.on)
		printf(", %lu DMA reads, %lu DMA writes", r->dma_reads, r->dma_writes);
	else
		printf(" (replies and interrupts only: the remote tells of no DMA)");
	printf(", %lu interrupts: ", r->interrupts);
	if (r->differences)
		printf("%lu differences\n", r->differences);
	else
		printf("all agree\n");
}

/* ---- line by line ---- */

static bool play_line(struct replay *r, bool *ret_end, GError **error)
{
	struct item *item = window_at(r, r->head);

	switch (item->e.kind) {
	case REC_MESSAGE:
		return talk_message(r, error);
	case REC_REPLY:
		return item->done || rec_wrong(&r->file, item->e.line, error,
					       "expected a message that this RET answers");
	case REC_EOI:
		return side_eoi(r, item, error);
	case REC_IRQ:
		return (item->done || side_wait(r, item, error)) && window_settle(r, error);
	case REC_RAM:
		return true;
	case REC_END:
		*ret_end = true;
		return !item->e.unusable || rec_wrong(&r->file, item->e.line, error,
						      "the record is unusable: %s",
						      item->e.unusable);
	default:
		if (r->tracing.on)
			return item->done || side_wait(r, item, error);
		window_defer(r);
		return true;
	}
}

static bool play(struct replay *r, GError **error)
{
	bool end = false;

	while (!end) {
		uint64_t line;

		if (!window_fill(r, error))
			return false;
		line = r->head;
		if (!play_line(r, &end, error))
			return false;
		/* A loop has taken its lines off. */
		if (r->head == line)
			window_drop(r);
	}
	return true;
}

/* ---- beginning and end ---- */

static bool check_remote(const struct replay *r, GError **error)
{
	const struct remote_device *device = &r->remote.device[0];

	if (r->remote.count == 1 && device->protocol == CLIENT_MPQEMU && !device->path)
		return true;
	return mpq_fail(error, MPQ_ERROR_USAGE, "replay: expected a remote command with one "
			"-object x-remote-object,...,fd=N");
}

static bool start(struct replay *r, char *const *command, GError **error)
{
	if (!rec_open(&r->file, r->path, error) ||
	    !remote_process_read(&r->remote, command, error) || !check_remote(r, error) ||
	    !tracing_create(&r->tracing, command, r->remote.device[0].number, error))
		return false;
	if (!r->file.header.dma)
		printf("%s: without DMA: what the device reads from guest RAM is not known\n",
		       r->path);
	r->irqfd = eventfd(0, EFD_CLOEXEC);
	r->resamplefd = eventfd(0, EFD_CLOEXEC);
	if (r->irqfd < 0 || r->resamplefd < 0)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "eventfd: %s", log_errname(errno));
	if (!window_fill(r, error) || !remote_process_start(&r->remote, r->tracing.argv, error))
		return false;
	tracing_started(&r->tracing);
	r->fd = fd_steal(&r->remote.device[0].fd);
	mpq_conn_init(&r->conn, r->fd, MPQ_FROM_REMOTE);
	return true;
}

static int finish(struct replay *r)
{
	fd_close(&r->fd);
	fd_close(&r->irqfd);
	fd_close(&r->resamplefd);
	window_clear(r);
	g_queue_clear_full(&r->seen, g_free);
	ram_finish(r);
	rec_close(&r->file);
	tracing_finish(&r->tracing);
	return remote_process_finish(&r->remote);
}

static int run(const struct proxy_args *args, GError **error)
{
	g_autofree struct replay *r = g_new0(struct replay, 1);
	g_autoptr(GError) local = NULL;
	bool played = false;
	int status;

	signal(SIGPIPE, SIG_IGN);
	r->path = *(const char **)args->data;
	r->fd = r->irqfd = r->resamplefd = -1;
	r->remote.pid = -1;
	r->tracing.fd = -1;
	g_queue_init(&r->seen);
	g_queue_init(&r->deferred);
	ram_init(r);
	if (start(r, args->target.command, &local)) {
		played = play(r, &local);
		/* Enough is known: what was found out counts, and not that it went no further. */
		if (!played && g_error_matches(local, MPQ_ERROR, MPQ_ERROR_REFUSED)) {
			log_warning("replay: %s; ending", local->message);
			g_clear_error(&local);
			played = true;
		}
	}
	if (played)
		say_end(r);
	status = finish(r);
	if (local)
		g_propagate_error(error, g_steal_pointer(&local));
	else if (status && !r->differences)
		mpq_fail(error, MPQ_ERROR_SYSTEM, "the remote ended with status %d", status);
	return r->differences ? PROXY_EXIT_DIFFERENT : PROXY_EXIT_OK;
}

/* ---- the command line ---- */

static void *create(const struct proxy_verb *verb)
{
	return g_new0(const char *, 1);
}

static bool take_word(struct proxy_args *args, const char *word, GError **error)
{
	const char **path = args->data;

	if (*path)
		return mpq_fail(error, MPQ_ERROR_USAGE, "replay: expected one FILE, found "
				"%.100s too", word);
	*path = word;
	return true;
}

static bool check(const struct proxy_args *args, GError **error)
{
	const struct proxy_target *t = &args->target;

	if (!*(const char **)args->data)
		return mpq_fail(error, MPQ_ERROR_USAGE, "replay: expected a FILE");
	if (!t->command || !t->command[0] || t->socket || t->fd >= 0 || t->device ||
	    args->protocol_named)
		return mpq_fail(error, MPQ_ERROR_USAGE, "replay: expected '-- REMOTE-COMMAND "
				"[ARGUMENTS]', and beside it no option");
	return true;
}

const struct proxy_verb verb_replay = {
	.name = "replay", .form = "FILE", .help = "play a record to a remote, and compare",
	.create = create, .destroy = g_free, .word = take_word, .check = check,
	.own_target = true, .run = run,
};
