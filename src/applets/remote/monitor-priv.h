/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_MONITOR_PRIV_H
#define APPLETS_REMOTE_MONITOR_PRIV_H

/* What the files of the monitor share. */

#include <stdint.h>

#include "block/image.h"
#include "control/manage.h"
#include "applets/remote/monitor.h"
#include "applets/remote/peers.h"

#define MONITOR_CLIENTS 8

struct monitor;
struct monitor_request;

/* The device process has answered: 0 or -errno (-ETIMEDOUT: it has not). */
typedef void monitor_answer_fn(struct monitor *m, struct monitor_request *r, int ret);

/* A command that waits for the device process: a client has one at most. */
struct monitor_request {
	struct qmp_call *call;		/* NULL: the place is free */
	uint32_t serial;
	unsigned disk;
	int64_t deadline;		/* ms of clock_ms() */
	monitor_answer_fn *done;	/* answers the call, or asks for more */
	/* the command's own */
	uint64_t size;
	struct image image;		/* fd owned; -1 */
	char *filename;			/* owned */
};

struct monitor {
	struct remote_plan *plan;
	struct images *images;
	struct qmp_server_config config;
	struct qmp_server *server;
	int disks_fd;			/* owned */
	const struct metrics_disk *stats;	/* SPEC_MAX_DISKS of them, in it */
	struct peers_path path[PLAN_MAX_MONITORS];
	int manage;			/* the channel to the device process, the keeper's */
	uint32_t serial;		/* of the last request */
	struct monitor_request request[MONITOR_CLIENTS];
	bool gone[SPEC_MAX_DISKS];	/* detached */
	uint8_t tray[SPEC_MAX_DISKS];	/* MANAGE_TRAY_... */
	bool ready;
	bool quit;			/* a client wants it, and the keeper does not know yet */
	bool shutdown;			/* the event was sent */
	int64_t told;			/* when tokens were last given, ms */
	unsigned tokens;		/* lines that may be logged now */
};

/* Is there a disk of that index? */
static inline bool monitor_has_disk(const struct monitor *m, unsigned disk)
{
	return disk < m->plan->spec->disk_count && !m->gone[disk];
}

static inline bool monitor_has_medium(const struct monitor *m, unsigned disk)
{
	return m->plan->spec->disk[disk].image.kind != SPEC_IMAGE_NONE;
}

/* The name of its -drive; "": it has none. */
const char *monitor_device_name(const struct monitor *m, unsigned disk);

/* monitor-manage.c: what changes. */
void monitor_block_resize(void *opaque, struct qmp_call *call, const json_t *args);
void monitor_eject(void *opaque, struct qmp_call *call, const json_t *args);
void monitor_change_medium(void *opaque, struct qmp_call *call, const json_t *args);

/* A place for a request of @call about that disk; the caller fills in the rest. */
struct monitor_request *monitor_request_new(struct monitor *m, struct qmp_call *call,
					    unsigned disk);
/*
 * Asks the device process; r->done() follows, perhaps at once.  @body: @len bytes, or NULL; @fd:
 * goes along, the caller's, or -1.
 */
void monitor_ask(struct monitor *m, struct monitor_request *r, enum manage_type type,
		 uint64_t value, const void *body, size_t len, int fd);
/* The command is over: its call has been answered. */
void monitor_request_end(struct monitor_request *r);
/* For the loop: what the device process has sent; and the next time limit, ms from now, or -1. */
void monitor_manage_polled(struct monitor *m, short revents);
int monitor_manage_wait(const struct monitor *m);

/* monitor-query.c: what the disks are and do. */
void monitor_query_block(void *opaque, struct qmp_call *call, const json_t *args);
void monitor_query_nodes(void *opaque, struct qmp_call *call, const json_t *args);
void monitor_query_stats(void *opaque, struct qmp_call *call, const json_t *args);
void monitor_query_latency(void *opaque, struct qmp_call *call, const json_t *args);

#endif
