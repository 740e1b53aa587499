/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_SERVE_PRIV_H
#define APPLETS_REMOTE_SERVE_PRIV_H

/* What the two protocols' sessions share. */

#include "applets/remote/serve.h"
#include "control/trace.h"
#include "mem/guestmem.h"

struct serve_protocol {
	unsigned show;			/* enum pci_show: what its clients may see of a device */
	unsigned regions;		/* of guest memory */
	/*
	 * Once: memory, serve->conn, and what the device calls in @host.  0 or -errno; finish() is
	 * called either way.
	 */
	int (*init)(struct serve *serve, const struct serve_setup *setup, struct pci_host *host);
	void (*finish)(struct serve *serve);
	/* A new peer at @fd. */
	void (*start)(struct serve *serve, int fd);
	/* The peer is gone: closes what it has handed over, forgets what is staged. */
	void (*stop)(struct serve *serve);
	/*
	 * Takes one message and carries it out.  0; conn_peek()'s or conn_consume()'s errors; a
	 * session that a message ends is closed by serve_protocol_error().
	 */
	int (*message)(struct serve *serve);
	/*
	 * Sends what is staged as far as that goes now.  0; -EAGAIN with serve->conn->out_len: the
	 * socket is full; or -errno.
	 */
	int (*flush)(struct serve *serve);
};

/* For --trace; without it nothing happens. */
static inline void serve_trace(struct serve *serve, enum trace_kind kind, uint64_t arg)
{
	if (serve->trace)
		trace_put(serve->trace, kind, serve->index, arg, NULL, 0);
}

/* The peer has broken the protocol: says so, and closes the session. */
void serve_protocol_error(struct serve *serve, const char *what);
/* Is there something in the socket that the next pass of the loop takes? */
bool serve_has_message(const struct serve *serve);
/* May a line be logged that comes at most once a second?  @after: of its kind. */
bool serve_may_tell(int64_t *after);

/*
 * One count on an eventfd.  One that is full blocks a writer, and the file's flags are not ours to
 * change: not writable means that one is pending already.  -1 is nobody's.  0, or -errno: it is no
 * eventfd.
 */
int serve_event_write(int fd);
/* Takes all counts; never waits, though the peer may have read it first.  0 or -errno. */
int serve_event_take(int fd);

/* ---- serve-mpq.c ---- */
/* Stages RET with a value. */
void serve_mpq_reply(struct serve *serve, uint64_t value);
/* Region @i of a table of SYNC_SYSMEM. */
struct guestmem_region serve_mpq_region(const struct mpq_sync_sysmem *map, unsigned i, int fd);
/* Takes over the two of SET_IRQFD (-1 stays).  0 or -errno: then they stay. */
int serve_mpq_set_irqfd(struct serve *serve, int fd[2]);

#endif
