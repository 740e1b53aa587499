/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_VAULT_H
#define APPLETS_REMOTE_VAULT_H

/*
 * Fds that a device process has got from its peers, and that its successor needs: guest memory's,
 * interrupts'.  The device process hands over dups (CTL_KEEP) before it takes the message that
 * brought them off the socket, so none can be lost.  To the keeper they are opaque and counted: of
 * each kind of a device the last two, since the process may die before it has made use of the
 * newer ones; the successor finds in its journal which count.
 */

#include <stdbool.h>
#include <stdint.h>

#include "control/channel.h"
#include "plan/spec.h"
#include "proto/conn.h"

struct vault_entry {
	uint16_t epoch;
	struct conn_fds fds;		/* owned; count 0: unused */
};

struct vault {
	unsigned devices;
	struct vault_entry entry[SPEC_MAX_DEVICES][CTL_KEEP_KINDS][2];
	uint8_t newest[SPEC_MAX_DEVICES][CTL_KEEP_KINDS];
};

/* An empty one, for so many @devices. */
void vault_init(struct vault *vault, unsigned devices);
/* Closes what it has. */
void vault_finish(struct vault *vault);

/* CTL_KEEP came with @arg and @fds, which it takes over (nonsense is closed). */
void vault_keep(struct vault *vault, uint32_t arg, struct conn_fds *fds);

/* All of them to a successor, by its @control channel, and CTL_KEPT_ALL.  0 or -errno. */
int vault_give(const struct vault *vault, int control);

#endif
