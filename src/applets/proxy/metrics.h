/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_PROXY_METRICS_H
#define APPLETS_PROXY_METRICS_H

/* --metrics: what our client counted, as Prometheus's text or as one JSON object. */

#include <stdbool.h>

#include "client/metrics.h"

/* Prints it on standard error. */
void proxy_metrics_print(const struct client_metrics *metrics, bool json);

#endif
