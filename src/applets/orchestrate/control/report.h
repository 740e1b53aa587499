/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_CONTROL_REPORT_H
#define APPLETS_ORCHESTRATE_CONTROL_REPORT_H

/* What a run has to say of itself, as the control socket's queries return it.  The caller owns. */

#include <jansson.h>

struct run;

/* query-status */
json_t *report_status(const struct run *run);
/* query-remotes */
json_t *report_remotes(const struct run *run);
/* query-metrics: an object a remote that counts, of "id", "text" (Prometheus) and "metrics". */
json_t *report_metrics(const struct run *run);
/* The same as one text of Prometheus's, with the labels vm and remote. */
char *report_prometheus(const struct run *run);

#endif
