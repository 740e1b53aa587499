/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_TRACEFD_H
#define APPLETS_REMOTE_TRACEFD_H

#include "plan/remote.h"

/*
 * Takes over the memfd that --trace= names, for the device process's slot, and writes the size of
 * its ring into the plan's spec.  False with @error set: it is not such a memfd, or the devices are
 * not those that can be traced.
 */
bool trace_take(const struct remote_plan *plan, int *ret_fd, GError **error);

#endif
