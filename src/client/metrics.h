/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLIENT_METRICS_H
#define CLIENT_METRICS_H

/* What a client counts for who asks for it (struct client.metrics); else that costs nothing. */

#include <stdbool.h>
#include <stdint.h>

#include "metrics/hist.h"

/* Messages by what they ask for, of either protocol. */
enum client_message {
	CLIENT_CONFIG_READ, CLIENT_CONFIG_WRITE, CLIENT_BAR_READ, CLIENT_BAR_WRITE,
	CLIENT_MEMORY_MAP, CLIENT_IRQ_SETUP, CLIENT_RESET, CLIENT_OTHER, CLIENT_MESSAGES,
};

struct client_metrics {
	uint64_t message[CLIENT_MESSAGES];	/* sent, answered or not */
	uint64_t interrupts;			/* dealt with: client_eoi() */
	struct hist trip;			/* ns, from a message to its answer */
};

/* Nothing yet. */
void client_metrics_init(struct client_metrics *metrics);

struct client;
/* When a message is sent, in ns; 0 when nobody counts. */
uint64_t client_trip_begin(const struct client *client);
/* What became of the message that was sent at @begun. */
void client_trip_end(struct client *client, enum client_message kind, uint64_t begun,
		     bool answered);

#endif
