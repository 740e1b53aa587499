/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QMP_SERVER_H
#define QMP_SERVER_H

/*
 * A QMP monitor: QEMU's protocol and its error texts, over commands that the caller has in a table.
 * For any loop: qmp_server_poll() says what to wait for, qmp_server_polled() does what came
 * (source.h for GLib's loop).
 *
 * Each client negotiates and then has one command at a time executed, in order, as in QEMU; its
 * answer may come later (struct qmp_call), and what it sends until then waits.  A client that does
 * not read its answers is listened to no more, and dropped when events fill its queue.
 *
 * The server itself has qmp_capabilities, query-version, query-commands and query-qmp-schema.
 */

#include <poll.h>
#include <stdbool.h>

#include "qmp/stream.h"

#define QMP_SERVER_CLIENTS 16
#define QMP_SERVER_LISTENERS 4
#define QMP_SERVER_POLL (QMP_SERVER_LISTENERS + QMP_SERVER_CLIENTS)

struct qmp_server;
struct qmp_call;

enum qmp_type {
	QMP_NOTHING,		/* of an answer only: an empty object */
	QMP_ANY,
	QMP_STRING, QMP_INT, QMP_NUMBER, QMP_BOOL, QMP_OBJECT, QMP_ARRAY,
	QMP_TYPE_COUNT,
};

struct qmp_arg {
	const char *name;
	enum qmp_type type;
	bool optional;
	const char *const *values;	/* of a string: what it may be, up to a NULL; or NULL */
};

enum qmp_flag {
	QMP_PRECONFIG = 1,	/* also while the server is in preconfig */
	QMP_MORE_ARGS = 2,	/* arguments not in the table are the command's own matter */
	QMP_UNLISTED = 4,	/* it is there to say why it cannot be had: no query tells of it */
};

struct qmp_command {
	const char *name;
	const struct qmp_arg *args;	/* up to one without a name; NULL: none */
	enum qmp_type returns;		/* for query-qmp-schema */
	unsigned flags;			/* of enum qmp_flag */
	/*
	 * @args (borrowed, an object) is as the table says.  Answers @call with qmp_reply() or
	 * qmp_refuse(), now or later, once.
	 */
	void (*run)(void *opaque, struct qmp_call *call, const json_t *args);
};

struct qmp_server_config {
	struct { unsigned major, minor, micro; const char *package; } version;
	const struct qmp_command *commands;	/* up to one without a name */
	const char *const *events;		/* for query-qmp-schema: names up to a NULL */
	unsigned max_clients;			/* QMP_SERVER_CLIENTS at most */
	bool takes_fds;				/* commands use qmp_call_fd() */
	struct qmp_bounds bounds;
	/* A client was dropped, and not by its own wish.  May be NULL. */
	void (*dropped)(void *opaque, const char *why);
};

/* @config stays in place. */
struct qmp_server *qmp_server_create(const struct qmp_server_config *config, void *opaque);
/* NULL-safe.  Calls without an answer stay valid, and their answers go nowhere. */
void qmp_server_destroy(struct qmp_server *server);

/* Clients come at this listening UNIX stream socket, which is taken over.  0 or -ENOSPC. */
int qmp_server_listen(struct qmp_server *server, int fd, bool pretty);
/* One more client, over a connected socket, which is taken over.  0, or -EBUSY: too many. */
int qmp_server_add(struct qmp_server *server, int fd, bool pretty);

/* While this is on, only commands with QMP_PRECONFIG are executed. */
void qmp_server_set_preconfig(struct qmp_server *server, bool on);

/* An event for each client that has negotiated.  @data (an object, or NULL) is taken over. */
void qmp_server_event(struct qmp_server *server, const char *name, json_t *data);

/* Fills in @p; returns how long to wait at most, in ms, or -1.  *ret_count of them are used. */
int qmp_server_poll(struct qmp_server *server, struct pollfd p[QMP_SERVER_POLL],
		    unsigned *ret_count);
/* After poll() with them, whatever it said. */
void qmp_server_polled(struct qmp_server *server, const struct pollfd *p, unsigned count);

/* Is there a byte left that a client has not been sent? */
bool qmp_server_pending(const struct qmp_server *server);

/* The answer: @value is taken over; NULL: an empty object.  @call is of no use then. */
void qmp_reply(struct qmp_call *call, json_t *value);
/* The same, of an error.  @class: QEMU's, "GenericError" and its like. */
void qmp_refuse(struct qmp_call *call, const char *class, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The fd that came with the command or last before it; the caller owns it.  -1: none. */
int qmp_call_fd(struct qmp_call *call);
/* The command's name, as its table has it. */
const char *qmp_call_name(const struct qmp_call *call);
/* Is the client gone?  What a call does then is done for nobody. */
bool qmp_call_orphaned(const struct qmp_call *call);

#endif
