/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_RUN_RELAY_PRIV_H
#define APPLETS_ORCHESTRATE_RUN_RELAY_PRIV_H

/* Between the files of the relay: relaydoor.c (sockets), relay.c (a client), route.c, merge.c. */

#include <glib.h>

#include "applets/orchestrate/run/priv.h"
#include "applets/orchestrate/run/relay.h"
#include "qmp/client.h"
#include "qmp/stream.h"

/* A remote's own monitor. */
struct relay_remote {
	struct qmp_relay *relay;
	const struct plan_process *process;
	struct qmp_client *client;	/* NULL: it has none, or is gone */
	GSource *source;
};

/* A node that a client added to QEMU: a medium or a disk of a remote may be made of it. */
struct relay_node {
	char *name;
	json_t *args;		/* of blockdev-add */
	int remote;		/* that has it too, or -1 */
};

struct qmp_relay {
	struct run *run;
	struct relay_door *doors;
	unsigned door_count;
	struct relay_remote *remotes;
	GPtrArray *nodes;	/* struct relay_node * */
};

/* One monitor. */
struct relay_door {
	struct qmp_relay *relay;
	const struct plan_relay *plan;
	int clients;		/* listens; ours once qmp_relay_take_over() was called */
	int qemu;		/* listens, in QEMU */
	int place;		/* O_PATH: where qemu listens */
	bool bound;		/* plan->path is ours to remove */
	guint watch;
	struct session *session;	/* or NULL */
};

/* A client, over the connected @fd, and QEMU's monitor for it.  NULL: @fd is closed. */
struct session *session_create(struct relay_door *door, int fd, int qemu);
/* NULL-safe. */
void session_destroy(struct session *session);
/* QEMU is gone: what it has said is passed on, as far as the client takes it at once. */
void session_drain(struct session *session);
/* An event of a remote's. */
void session_event(struct session *session, const json_t *event);
/* The session is over; the door opens again. */
void qmp_relay_door_open(struct relay_door *door);

/* ---- route.c: whose command is it? ---- */

enum route_kind {
	ROUTE_QEMU,	/* passed on as it is */
	ROUTE_MERGE,	/* QEMU's, and more to its list */
	ROUTE_REMOTE,	/* of the remote's monitor */
	ROUTE_DONE,	/* nothing is left to do: an empty answer */
	ROUTE_REFUSED,
};

struct route {
	enum route_kind kind;
	unsigned remote;
	const char *name;	/* ROUTE_REMOTE: the command; static text, or the client's */
	json_t *args;		/* of it; owned, or NULL */
	json_t *nodes;		/* what blockdev-add is to get before it; owned, or NULL */
	bool gone_is_well;	/* that there is no such node (any more) is no error */
	char *why;		/* ROUTE_REFUSED; owned */
};

/* @args: an object, or NULL.  route_clear() it. */
struct route route_find(struct qmp_relay *relay, const char *command, const json_t *args);
void route_clear(struct route *route);

/*
 * It was passed on to QEMU (@remote -1), or its remote has done it: what there is has changed.
 */
void route_done(struct qmp_relay *relay, const char *command, const json_t *args, int remote);
/* A device of a remote's is gone. */
void route_forget(struct qmp_relay *relay, const char *device);

/* ---- merge.c: one list of several ---- */

/* @reply: QEMU's (borrowed).  @done gets what is to be sent, which it owns, once, now or later. */
void merge_start(struct qmp_relay *relay, const char *command, const json_t *args,
		 const json_t *reply, void (*done)(void *opaque, json_t *reply), void *opaque);

#endif
