/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_RUN_PEER_H
#define APPLETS_ORCHESTRATE_RUN_PEER_H

/*
 * The question that shows that a remote is alive: the vendor and device id of its function.  Over
 * mpqemu it is read through the end of the socketpair that QEMU gets afterwards; over vfio-user
 * through a connection of our own, which is closed before the VMM makes its.  Reading them changes
 * nothing.
 */

#include <stdint.h>

#include "proto/mpqemu.h"
#include "proto/vfu.h"

struct peer {
	bool vfio_user, negotiated, resetting;
	struct mpq_conn conn;
	struct vfu_conn vfu;
	uint32_t ids;		/* device id << 16 | vendor id, once answered */
};

/*
 * Sends the question over @fd, which stays the caller's.  Returns 0 or -errno; peer_finish() either
 * way.
 */
int peer_ask(struct peer *peer, int fd, bool vfio_user);
/* Also of one that is all zeros. */
void peer_finish(struct peer *peer);

/*
 * Call when the socket is readable.  Returns 0 once the answer is there (nothing is left in the
 * socket then), -EAGAIN while it is not, -ENODEV when there is no function behind the socket,
 * -ENODATA when the remote closed its end, or another -errno (-EPROTO: see peer_why()).
 */
int peer_answer(struct peer *peer);

/*
 * After its answer: asks for a reset, the function's RST#.  Returns 0 or -errno; peer_answer() has
 * the end of it.
 */
int peer_reset(struct peer *peer);

/* After -EPROTO: what was wrong. */
const char *peer_why(const struct peer *peer);

#endif
