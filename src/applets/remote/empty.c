/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/empty.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include "control/launch.h"
#include "event/loop.h"
#include "proto/mpqemu.h"

#define REPLY_SIZE (sizeof(struct mpq_header) + sizeof(uint64_t))

static void on_peer(void *opaque, uint32_t events)
{
}

/* Three calls, which the filter has rows for: a wait, what is there, and a reply. */
void empty_serve(struct loop *loop)
{
	const struct {
		struct mpq_header header;
		uint64_t value;
	} reply = { .header = { .cmd = MPQ_RET, .size = sizeof(uint64_t) } };
	uint8_t request[sizeof(struct mpq_header) + MPQ_MAX_PAYLOAD];
	struct epoll_event ev;
	ssize_t n = 1;

	_Static_assert(sizeof(reply) == REPLY_SIZE, "a RET with its value");
	if (loop_fd_add(loop, LAUNCH_SLOT_PEER, EPOLLIN, on_peer, NULL))
		return;
	do {
		if (epoll_wait(LAUNCH_SLOT_EPOLL, &ev, 1, -1) < 1)
			continue;
		n = recv(LAUNCH_SLOT_PEER, request, sizeof(request), MSG_DONTWAIT);
		if (n > 0)
			n = send(LAUNCH_SLOT_PEER, &reply, sizeof(reply),
				 MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n > 0);
}
