/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLIENT_CLIENT_VFU_H
#define CLIENT_CLIENT_VFU_H

/* The vfio-user part of a client. */

#include "client/client-priv.h"

/*
 * Data that a server may send us at once, in a request.  Less than QEMU's 1 MiB, so that a message
 * fits into a socket as a whole, however it is cut.
 */
#define CLIENT_VFU_MAX_DATA (64u << 10)

struct client_vfu {
	struct vfu_conn conn;
	uint8_t *buf;			/* of a reply to the server, as long as a message may be */
	uint16_t next_id;
	uint32_t flags;			/* VFU_INFO_* */
	uint32_t region_flags[VFU_REGIONS];
	uint64_t region_size[VFU_REGIONS];
	uint32_t irq_flags[VFU_IRQS], irq_count[VFU_IRQS];
	bool eoi_by_message;		/* the server takes no eventfd for that */
};

/* A command, and how long its reply may be. */
struct client_vfu_call {
	enum vfu_cmd cmd;
	const void *payload;
	size_t size;
	int fd;				/* sent with it, with fd_count 1; stays the caller's */
	unsigned fd_count;
	uint32_t reply_min, reply_max;	/* bytes of payload */
};

#define CLIENT_VFU_ANY UINT32_MAX	/* reply_max: as much as a message may have */

/*
 * Sends the command and waits for its reply, answering what the server asks in between.  The
 * payload stands in the connection's buffer until the next call.  0; the errno of an error reply,
 * negative; or what struct client's calls return.
 */
int client_vfu_call(struct client *client, const struct client_vfu_call *call,
		    struct vfu_msg *ret_reply);

#endif
