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
	struct peers_path path[PLAN_MAX_MONITORS];
	bool ready;
	bool quit;			/* a client wants it, and the keeper does not know yet */
	bool shutdown;			/* the event was sent */
	int64_t told;			/* when tokens were last given, ms */
	unsigned tokens;		/* lines that may be logged now */
};

#endif
