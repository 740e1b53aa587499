/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/vfu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

#define HEADER sizeof(struct vfu_header)
#define INFO_MAX 4096	/* a client may send all the room that it has for the answer */

static const struct vfu_rule rules[VFU_CMD_COUNT] = {
	[VFU_VERSION] = { "VERSION", 4, 4 + VFU_VERSION_TEXT_MAX, 0, true },
	[VFU_DMA_MAP] = { "DMA_MAP", 32, 32, 1, true },
	/* SPDK sends the fd of the map along */
	[VFU_DMA_UNMAP] = { "DMA_UNMAP", 24, 24, 1, true },
	[VFU_GET_INFO] = { "DEVICE_GET_INFO", 16, INFO_MAX, 0, true },
	[VFU_GET_REGION_INFO] = { "DEVICE_GET_REGION_INFO", 32, INFO_MAX, 0, true },
	[VFU_GET_REGION_IO_FDS] = { "DEVICE_GET_REGION_IO_FDS", 0, 0, 0, false },
	[VFU_GET_IRQ_INFO] = { "DEVICE_GET_IRQ_INFO", 16, INFO_MAX, 0, true },
	[VFU_SET_IRQS] = { "DEVICE_SET_IRQS", 20, 20 + INFO_MAX, CONN_MAX_FDS, true },
	[VFU_REGION_READ] = { "REGION_READ", 16, 16, 0, true },
	[VFU_REGION_WRITE] = { "REGION_WRITE", 16, 0, 0, true },
	/* the server's own commands */
	[VFU_DMA_READ] = { "DMA_READ", 0, 0, 0, false },
	[VFU_DMA_WRITE] = { "DMA_WRITE", 0, 0, 0, false },
	[VFU_RESET] = { "DEVICE_RESET", 0, 0, 0, true },
	[VFU_DIRTY_PAGES] = { "DIRTY_PAGES", 0, 0, 0, false },
	[VFU_WRITE_MULTI] = { "REGION_WRITE_MULTI", 8, 0, 0, true },
	[VFU_DEVICE_FEATURE] = { "DEVICE_FEATURE", 0, 0, 0, false },
	[VFU_MIG_DATA_READ] = { "MIG_DATA_READ", 0, 0, 0, false },
	[VFU_MIG_DATA_WRITE] = { "MIG_DATA_WRITE", 0, 0, 0, false },
};

const struct vfu_rule *vfu_rule(unsigned cmd)
{
	return cmd < VFU_CMD_COUNT && rules[cmd].name ? &rules[cmd] : NULL;
}

static int message_length(struct conn *conn, size_t *ret_len)
{
	struct vfu_header h;

	memcpy(&h, conn->in, HEADER);
	if (h.size < HEADER || h.size > conn->in_size)
		return conn_error(conn, "a message of %u bytes, expected %zu to %zu", h.size,
				  HEADER, conn->in_size);
	*ret_len = h.size;
	return 0;
}

static const struct conn_framing framing = {
	.header = HEADER, .look = 256, .max_fds = CONN_MAX_FDS, .length = message_length,
};

/* Also of what is too long to be carried out, so that it is answered; WRITE_MULTI has 4824. */
#define MESSAGE_MIN 8192

size_t vfu_message_size(size_t max_data)
{
	size_t size = HEADER + sizeof(struct vfu_region_access) + max_data;

	return align_up(size > MESSAGE_MIN ? size : MESSAGE_MIN, 8);
}

_Static_assert(HEADER + sizeof(struct vfu_write_multi) +
	       VFU_MULTI_MAX * sizeof(struct vfu_multi_write) <= MESSAGE_MIN, "WRITE_MULTI fits");

int vfu_conn_create(struct vfu_conn *vc, size_t size)
{
	*vc = (struct vfu_conn){ .room = malloc(2 * size), .size = size };
	vc->conn.fd = -1;
	return vc->room ? 0 : -ENOMEM;
}

void vfu_conn_finish(struct vfu_conn *vc)
{
	free(vc->room);
	vc->room = NULL;
}

void vfu_conn_init(struct vfu_conn *vc, int fd)
{
	conn_init(&vc->conn, fd, &framing, vc->room, vc->size, vc->room + vc->size, vc->size);
}

int vfu_peek(struct vfu_conn *vc, struct vfu_msg *msg)
{
	int ret = conn_peek(&vc->conn);

	if (ret)
		return ret;
	memcpy(&msg->h, vc->conn.in, HEADER);
	msg->payload = vc->conn.in + HEADER;
	msg->size = msg->h.size - HEADER;
	msg->fds = (struct conn_fds){ 0 };
	return 0;
}

int vfu_consume(struct vfu_conn *vc, struct vfu_msg *msg)
{
	return conn_consume(&vc->conn, &msg->fds);
}

int vfu_check(const struct vfu_msg *msg)
{
	const struct vfu_rule *rule = vfu_rule(msg->h.cmd);

	if (!rule || (msg->h.flags & ~VFU_NO_REPLY))
		return EINVAL;
	if (msg->fds.lost)
		return EMFILE;
	if (!rule->served)
		return ENOTSUP;
	if (msg->size < rule->size_min || (rule->size_max && msg->size > rule->size_max) ||
	    (!rule->size_max && !rule->size_min && msg->size))
		return EINVAL;
	return msg->fds.count + msg->fds.surplus > rule->fd_max ? EINVAL : 0;
}

static int answer(struct vfu_conn *vc, const struct vfu_header *to, uint32_t flags, int error,
		  const void *payload, size_t size)
{
	const struct vfu_header h = {
		.id = to->id, .cmd = to->cmd, .size = HEADER + size, .flags = VFU_REPLY | flags,
		.error = error,
	};

	return conn_send(&vc->conn, &h, payload, size);
}

int vfu_reply(struct vfu_conn *vc, const struct vfu_header *to, const void *payload, size_t size)
{
	return answer(vc, to, 0, 0, payload, size);
}

int vfu_reply_error(struct vfu_conn *vc, const struct vfu_header *to, int error)
{
	return answer(vc, to, VFU_ERROR, error, NULL, 0);
}

static struct vfu_header command_header(uint16_t id, enum vfu_cmd cmd, size_t size)
{
	return (struct vfu_header){ .id = id, .cmd = cmd, .size = HEADER + size };
}

int vfu_command(struct vfu_conn *vc, uint16_t id, enum vfu_cmd cmd, const void *payload,
		size_t size)
{
	const struct vfu_header h = command_header(id, cmd, size);

	return conn_send(&vc->conn, &h, payload, size);
}

int vfu_command_fds(struct vfu_conn *vc, uint16_t id, enum vfu_cmd cmd, const void *payload,
		    size_t size, const int *fds, unsigned fd_count)
{
	const struct vfu_header h = command_header(id, cmd, size);

	return conn_send_fds(&vc->conn, &h, payload, size, fds, fd_count);
}
