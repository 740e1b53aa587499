/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_MONITOR_PRIV_H
#define APPLETS_REMOTE_MONITOR_PRIV_H

/* What the files of the monitor share. */

#include <stdint.h>

#include "applets/remote/monitor.h"
#include "applets/remote/peers.h"

#define MONITOR_CLIENTS 8

struct monitor {
	struct remote_plan *plan;
	struct images *images;
	struct qmp_server_config config;
	struct qmp_server *server;
	int disks_fd;			/* owned */
	const struct metrics_disk *stats;	/* SPEC_MAX_DISKS of them, in it */
	struct peers_path path[PLAN_MAX_MONITORS];
	bool ready;
	bool quit;			/* a client wants it, and the keeper does not know yet */
	bool shutdown;			/* the event was sent */
	int64_t told;			/* when tokens were last given, ms */
	unsigned tokens;		/* lines that may be logged now */
};

/* monitor-query.c: what the disks are and do. */
void monitor_query_block(void *opaque, struct qmp_call *call, const json_t *args);
void monitor_query_nodes(void *opaque, struct qmp_call *call, const json_t *args);
void monitor_query_stats(void *opaque, struct qmp_call *call, const json_t *args);
void monitor_query_latency(void *opaque, struct qmp_call *call, const json_t *args);

#endif
