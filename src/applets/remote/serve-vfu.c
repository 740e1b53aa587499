/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "applets/remote/serve-vfu.h"
#include "base/log.h"
#include "base/num.h"
#include "metrics/page.h"

/*
 * A session of the vfio-user protocol.  What a client does wrong is answered with an error, and the
 * session goes on; only what breaks the framing ends it.  A command is carried out when its turn
 * comes, and nothing in it waits: the client may hold its VM's lock until the reply is there.
 */

/* Data of one message; more where a ROM has to fit, which QEMU reads at once. */
#define MAX_DATA 4096u
/* DMA maps at a time: with a vIOMMU there is one for each page that a driver has mapped. */
#define MAX_MAPS 8192

/*
 * QEMU has room for an answer as long as its question, and then no text is better than one that
 * breaks the stream.  Of a client without a text we are not told what it has room for.
 */
static size_t version_text(const struct serve_vfu *vfu, char *buf, size_t room)
{
	return vfu_version_text(&vfu->own, buf, room ? room : VFU_VERSION_TEXT_MAX);
}

int vfu_answer(struct serve *serve, const void *data, size_t size)
{
	memcpy(serve->vfu->data, data, size);
	serve->vfu->reply.size = size;
	return 0;
}

static int handle_version(struct serve *serve, struct vfu_msg *msg)
{
	struct serve_vfu *vfu = serve->vfu;
	struct vfu_version version;
	size_t room = msg->size - sizeof(version);
	int ret;

	memcpy(&version, msg->payload, sizeof(version));
	if (version.major != 0)
		return EINVAL;
	ret = vfu_version_parse(msg->payload + sizeof(version), room, &vfu->client);
	if (ret)
		return -ret;
	/* The lower minor of both is spoken, and ours is 0. */
	version.minor = 0;
	vfu_answer(serve, &version, sizeof(version));
	vfu->reply.size += version_text(vfu, (char *)vfu->data + sizeof(version), room);
	vfu->negotiated = true;
	return 0;
}

static int handle_reset(struct serve *serve, struct vfu_msg *msg)
{
	pci_dev_reset(&serve->dev);
	return 0;
}

static vfu_handler *const handlers[VFU_CMD_COUNT] = {
	[VFU_VERSION] = handle_version,
	[VFU_DMA_MAP] = vfu_dma_map,
	[VFU_DMA_UNMAP] = vfu_dma_unmap,
	[VFU_GET_INFO] = vfu_get_info,
	[VFU_GET_REGION_INFO] = vfu_get_region_info,
	[VFU_GET_IRQ_INFO] = vfu_get_irq_info,
	[VFU_SET_IRQS] = vfu_set_irqs,
	[VFU_REGION_READ] = vfu_region_read,
	[VFU_REGION_WRITE] = vfu_region_write,
	[VFU_RESET] = handle_reset,
	[VFU_WRITE_MULTI] = vfu_write_multi,
};

static const uint8_t counters[VFU_CMD_COUNT] = {	/* enum metric; of a BAR */
	[VFU_VERSION] = METRIC_OTHER_MESSAGES,
	[VFU_DMA_MAP] = METRIC_MEMORY_MAPS,
	[VFU_DMA_UNMAP] = METRIC_MEMORY_MAPS,
	[VFU_GET_INFO] = METRIC_OTHER_MESSAGES,
	[VFU_GET_REGION_INFO] = METRIC_OTHER_MESSAGES,
	[VFU_GET_IRQ_INFO] = METRIC_OTHER_MESSAGES,
	[VFU_SET_IRQS] = METRIC_IRQ_SETUPS,
	[VFU_REGION_READ] = METRIC_BAR_READS,
	[VFU_REGION_WRITE] = METRIC_BAR_WRITES,
	[VFU_RESET] = METRIC_RESETS,
	[VFU_WRITE_MULTI] = METRIC_BAR_WRITES,
};

/* A message that has passed its checks. */
static void count(const struct vfu_msg *msg)
{
	unsigned cmd = msg->h.cmd;
	bool writes = cmd == VFU_REGION_WRITE;
	struct vfu_region_access a = { 0 };

	if (writes || cmd == VFU_REGION_READ)
		memcpy(&a, msg->payload, sizeof(a));
	if (a.region == VFU_REGION_CONFIG)
		metrics_count(writes ? METRIC_CONFIG_WRITES : METRIC_CONFIG_READS);
	else
		metrics_count(counters[cmd]);
}

static int carry_out(struct serve *serve, struct vfu_msg *msg)
{
	int err = vfu_check(msg);

	if (!err)
		count(msg);
	/* VERSION comes first, and once. */
	if (!err && (msg->h.cmd == VFU_VERSION) == serve->vfu->negotiated)
		err = EINVAL;
	return err ? err : handlers[msg->h.cmd](serve, msg);
}

static void tell_error(struct serve *serve, const struct vfu_msg *msg, int err)
{
	const struct vfu_rule *rule = vfu_rule(msg->h.cmd);

	metrics_count(METRIC_PEER_ERRORS);
	if (serve_may_tell(&serve->peer_error_after))
		log_warning("%s: peer: %s (command %u, %u bytes, %u fds): %s", serve->dev.id,
			    rule ? rule->name : "unknown command", msg->h.cmd, msg->size,
			    msg->fds.count + msg->fds.surplus, log_errname(-err));
}

static void take_command(struct serve *serve, struct vfu_msg *msg)
{
	struct serve_vfu *vfu = serve->vfu;
	int err;

	vfu->reply.size = 0;
	err = carry_out(serve, msg);
	if (err)
		tell_error(serve, msg, err);
	if (msg->h.flags & VFU_NO_REPLY)
		return;
	vfu->reply.staged = true;
	vfu->reply.error = err;
	vfu->reply.to = msg->h;
}

static int vfu_message_in(struct serve *serve)
{
	struct vfu_msg msg;
	int ret = vfu_peek(&serve->vfu->conn, &msg);

	if (!ret)
		ret = vfu_consume(&serve->vfu->conn, &msg);
	if (ret)
		return ret;
	if ((msg.h.flags & VFU_TYPE_MASK) == VFU_REPLY)
		vfu_dma_answer(serve, &msg);
	else
		take_command(serve, &msg);
	conn_fds_close(&msg.fds);
	return 0;
}

static int send_reply(struct serve_vfu *vfu)
{
	vfu->reply.staged = false;
	if (vfu->reply.error)
		return vfu_reply_error(&vfu->conn, &vfu->reply.to, vfu->reply.error);
	return vfu_reply(&vfu->conn, &vfu->reply.to, vfu->data, vfu->reply.size);
}

static int vfu_flush(struct serve *serve)
{
	struct serve_vfu *vfu = serve->vfu;
	int ret;

	if (vfu_irqs_flush(serve)) {
		serve_protocol_error(serve, "an interrupt's eventfd cannot be written");
		return 0;
	}
	ret = conn_flush(&vfu->conn.conn);
	if (!ret && vfu->reply.staged)
		ret = send_reply(vfu);
	return ret ? ret : vfu_dma_flush(serve);
}

/* ---- making one ---- */

static int vfu_init(struct serve *serve, const struct serve_setup *setup, struct pci_host *host)
{
	struct serve_vfu *vfu = calloc(1, sizeof(*vfu));
	int ret;

	serve->vfu = vfu;
	if (!vfu)
		return -ENOMEM;
	vfu->own = (struct vfu_limits){
		.max_fds = CONN_MAX_FDS, .max_maps = MAX_MAPS, .write_multiple = true,
		.max_data = max_u64(MAX_DATA, setup->rom_size),
	};
	ret = vfu_conn_create(&vfu->conn, vfu_message_size(vfu->own.max_data));
	if (ret)
		return ret;
	vfu->data = malloc(vfu->conn.size);
	if (!vfu->data)
		return -ENOMEM;
	vfu_irqs_init(serve);
	serve->conn = &vfu->conn.conn;
	host->intx = vfu_intx;
	host->message = vfu_message;
	host->dma_request = vfu_dma_request;
	return 0;
}

static void vfu_start(struct serve *serve, int fd)
{
	struct serve_vfu *vfu = serve->vfu;

	vfu_conn_init(&vfu->conn, fd);
	vfu->negotiated = false;
	vfu->reply.staged = false;
}

static void vfu_stop(struct serve *serve)
{
	/* What the device asks for from now on has nobody to answer it. */
	serve->vfu->negotiated = false;
	vfu_irqs_clear(serve);
	vfu_dma_clear(serve);
	serve->vfu->reply.staged = false;
}

static void vfu_finish(struct serve *serve)
{
	if (!serve->vfu)
		return;
	free(serve->vfu->data);
	vfu_conn_finish(&serve->vfu->conn);
	free(serve->vfu);
	serve->vfu = NULL;
}

const struct serve_protocol serve_vfio_user = {
	.show = PCI_SHOW_ALL, .regions = MAX_MAPS,
	.init = vfu_init, .finish = vfu_finish, .start = vfu_start, .stop = vfu_stop,
	.message = vfu_message_in, .flush = vfu_flush,
};
