/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_PEER_H
#define APPLETS_ORCHESTRATE_PEER_H

/*
 * The question that shows that a remote is alive: the vendor and device id of its function, read
 * over the end of the socketpair that QEMU gets afterwards.  Reading them changes nothing.
 */

#include <stdint.h>

#include "proto/mpqemu.h"

struct peer {
	struct mpq_conn conn;
	uint32_t ids;		/* device id << 16 | vendor id, once answered */
};

/* Sends the question over @fd, which stays the caller's.  Returns 0 or -errno. */
int peer_ask(struct peer *peer, int fd);

/*
 * Call when the socket is readable.  Returns 0 once the answer is there (nothing is left in the
 * socket then), -EAGAIN while it is not, -ENODEV when there is no function behind the socket,
 * -ENODATA when the remote closed its end, or another -errno (-EPROTO: see peer->conn.conn.why).
 */
int peer_answer(struct peer *peer);

#endif
