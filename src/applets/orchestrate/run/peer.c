/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/run/peer.h"

#include <errno.h>
#include <string.h>

/* PCI Local Bus 3.0, 6.2.1: vendor id at offset 0, device id at 2. */
#define IDS_OFFSET 0
#define IDS_SIZE 4

#define MAX_DATA 4096	/* bytes of a region in a message: more than the ids */

/* ---- vfio-user ---- */

static int send_version(struct vfu_conn *vc)
{
	const struct vfu_limits limits = { .max_fds = 1, .max_maps = 1, .max_data = MAX_DATA };
	struct {
		struct vfu_version version;	/* 0.0 */
		char text[256];
	} payload = { 0 };
	size_t len = vfu_version_text(&limits, payload.text, sizeof(payload.text));

	return vfu_command(vc, VFU_VERSION, VFU_VERSION, &payload, sizeof(payload.version) + len);
}

static int ask_vfio_user(struct peer *peer, int fd)
{
	int ret = vfu_conn_create(&peer->vfu, vfu_message_size(MAX_DATA));

	if (ret)
		return ret;
	vfu_conn_init(&peer->vfu, fd);
	return send_version(&peer->vfu);
}

/* Is it the reply to @cmd, with @size bytes of payload at least? */
static int check_reply(struct peer *peer, const struct vfu_msg *msg, enum vfu_cmd cmd, size_t size)
{
	if ((msg->h.flags & VFU_TYPE_MASK) != VFU_REPLY || msg->h.cmd != cmd)
		return conn_error(&peer->vfu.conn, "it sent command %u, expected the reply to %s",
				  msg->h.cmd, vfu_rule(cmd)->name);
	if (msg->h.flags & VFU_ERROR)
		return conn_error(&peer->vfu.conn, "it answers %s with error %u",
				  vfu_rule(cmd)->name, msg->h.error);
	if (msg->size < size)
		return conn_error(&peer->vfu.conn, "its reply to %s has %u bytes",
				  vfu_rule(cmd)->name, msg->size);
	return 0;
}

static int read_ids(struct peer *peer, const struct vfu_msg *msg)
{
	const struct vfu_region_access access = {
		.region = VFU_REGION_CONFIG, .offset = IDS_OFFSET, .count = IDS_SIZE,
	};
	int ret;

	if (!peer->negotiated) {
		ret = check_reply(peer, msg, VFU_VERSION, sizeof(struct vfu_version));
		if (!ret)
			ret = vfu_command(&peer->vfu, VFU_REGION_READ, VFU_REGION_READ, &access,
					  sizeof(access));
		peer->negotiated = true;
		return ret ? ret : -EAGAIN;
	}
	if (peer->resetting)
		return check_reply(peer, msg, VFU_RESET, 0);
	ret = check_reply(peer, msg, VFU_REGION_READ, sizeof(access) + IDS_SIZE);
	if (!ret)
		memcpy(&peer->ids, msg->payload + sizeof(access), sizeof(peer->ids));
	return ret;
}

static int answer_vfio_user(struct peer *peer)
{
	struct vfu_msg msg;
	int ret = vfu_peek(&peer->vfu, &msg);

	if (!ret)
		ret = vfu_consume(&peer->vfu, &msg);
	if (ret)
		return ret;
	ret = read_ids(peer, &msg);
	conn_fds_close(&msg.fds);
	return ret;
}

/* ---- mpqemu ---- */

static int ask_mpqemu(struct peer *peer, int fd)
{
	struct mpq_cfg question = { .addr = IDS_OFFSET, .len = IDS_SIZE };

	mpq_conn_init(&peer->conn, fd, MPQ_FROM_REMOTE);
	return mpq_send(&peer->conn, MPQ_PCI_CFGREAD, &question, sizeof(question));
}

static int answer_mpqemu(struct peer *peer)
{
	struct mpq_msg msg;
	int ret = mpq_peek(&peer->conn, &msg);

	if (!ret)
		ret = mpq_consume(&peer->conn, &msg);
	if (ret)
		return ret;
	mpq_msg_close(&msg);
	if (!peer->resetting)
		peer->ids = msg.u.ret;
	return 0;
}

/* ---- either ---- */

int peer_ask(struct peer *peer, int fd, bool vfio_user)
{
	*peer = (struct peer){ .vfio_user = vfio_user };
	return vfio_user ? ask_vfio_user(peer, fd) : ask_mpqemu(peer, fd);
}

void peer_finish(struct peer *peer)
{
	vfu_conn_finish(&peer->vfu);
}

int peer_answer(struct peer *peer)
{
	int ret = peer->vfio_user ? answer_vfio_user(peer) : answer_mpqemu(peer);

	if (ret == -EINPROGRESS)
		return -EAGAIN;
	if (ret)
		return ret;
	/* PCI 3.0, 6.2.1: 0xffff is no vendor; it is what a read of an absent function gives. */
	return (peer->ids & 0xffff) == 0xffff ? -ENODEV : 0;
}

int peer_reset(struct peer *peer)
{
	peer->resetting = true;
	if (peer->vfio_user)
		return vfu_command(&peer->vfu, VFU_RESET, VFU_RESET, NULL, 0);
	return mpq_send(&peer->conn, MPQ_DEVICE_RESET, NULL, 0);
}

const char *peer_why(const struct peer *peer)
{
	return peer->vfio_user ? peer->vfu.conn.why : peer->conn.conn.why;
}
