/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_SERVICE_H
#define APPLETS_ORCHESTRATE_SERVICE_H

/*
 * How a run stands on its host: its name and control socket, its log, its pid file, and whether it
 * is in the background.
 */

#include "applets/orchestrate/orchestrate.h"

/* Opens the log that the options ask for; from here on lines go there. */
bool service_open_log(struct orchestrate *self, GError **error);

/*
 * All else is well, and the run is next: gives it its name and its place, goes into the background,
 * takes the pid file.
 */
bool service_begin(struct orchestrate *self, GError **error);

/* Removes the pid file, ends the log.  Also after a failure of either. */
void service_end(struct orchestrate *self);

#endif
