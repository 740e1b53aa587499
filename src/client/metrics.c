/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/metrics.h"

#include <string.h>

#include "base/clock.h"
#include "client/client.h"
#include "metrics/page.h"

/* Times are known as well as those of a device process are (metrics/page.h). */
void client_metrics_init(struct client_metrics *m)
{
	static const struct hist_shape shape = METRICS_LATENCY_SHAPE;

	memset(m, 0, sizeof(*m));
	hist_init(&m->trip, &shape);
}

uint64_t client_trip_begin(const struct client *c)
{
	return c->metrics ? clock_ns() : 0;
}

void client_trip_end(struct client *c, enum client_message kind, uint64_t begun, bool answered)
{
	if (!c->metrics)
		return;
	c->metrics->message[kind]++;
	if (answered)
		hist_add(&c->metrics->trip, clock_ns() - begun);
}
