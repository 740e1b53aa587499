/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_REPORT_H
#define APPLETS_REMOTE_REPORT_H

#include "applets/remote/keeper.h"

/*
 * --sandbox-report: launches a device process for each probe (sandbox/probe.h), each ending under
 * the filter that it loaded, and prints what is allowed, why, and what was tried and died.  The
 * peers of @keeper are not used.  Returns the exit status: 0 when everything was as the tables say.
 */
int report_run(const struct keeper *keeper);

#endif
