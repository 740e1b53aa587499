/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_PEERS_H
#define APPLETS_REMOTE_PEERS_H

/* The sockets of the devices: inherited, passed by a service manager, or connected to. */

#include "plan/remote.h"

/*
 * Gets the connected stream socket of every device that has a peer: ret_fd[i] is owned by the
 * caller, -1 for a device without one; its slot stands in the spec.  Waits for a connection on a
 * listening socket of LISTEN_FDS.  False with @error set; every fd that was made is closed then.
 */
bool peers_open(const struct remote_plan *plan, int ret_fd[SPEC_MAX_DEVICES], GError **error);

#endif
