/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/peer.h"

#include <errno.h>

int peer_ask(struct peer *peer, int fd)
{
	/* PCI Local Bus 3.0, 6.2.1: vendor id at offset 0, device id at 2. */
	struct mpq_cfg question = { .addr = 0, .len = 4 };

	mpq_conn_init(&peer->conn, fd, MPQ_FROM_REMOTE);
	return mpq_send(&peer->conn, MPQ_PCI_CFGREAD, &question, sizeof(question));
}

int peer_answer(struct peer *peer)
{
	struct mpq_msg msg;
	int ret = mpq_peek(&peer->conn, &msg);

	if (ret == -EINPROGRESS)
		return -EAGAIN;
	if (ret)
		return ret;
	ret = mpq_consume(&peer->conn, &msg);
	if (ret)
		return ret;
	mpq_msg_close(&msg);
	peer->ids = msg.u.ret;
	/* PCI 3.0, 6.2.1: 0xffff is no vendor; it is what a read of an absent function gives. */
	return (peer->ids & 0xffff) == 0xffff ? -ENODEV : 0;
}
