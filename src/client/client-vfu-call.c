/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "client/client-vfu.h"
#include "client/metrics.h"

/*
 * A command and its reply.  There is one at a time, so the next reply is its own.  Both sides may
 * ask: what the server wants of guest memory is answered while the client waits.
 */

/* Sends what conn_send() has left. */
static int finish_sending(struct client *c, int ret, int64_t deadline)
{
	while (ret == -EAGAIN) {
		ret = client_wait_output(c, deadline);
		if (!ret)
			ret = conn_flush(c->conn);
	}
	return ret;
}

static int send_command(struct client *c, uint16_t id, const struct client_vfu_call *call,
			int64_t deadline)
{
	struct vfu_conn *vc = &c->vfu->conn;
	int ret;

	c->messages++;
	if (!call->fd_count) {
		ret = vfu_command(vc, id, call->cmd, call->payload, call->size);
		return finish_sending(c, ret, deadline);
	}
	/* A short one, which finds room at once when there is any: it may not wait for ever. */
	ret = client_wait_output(c, deadline);
	return ret ? ret : vfu_command_fds(vc, id, call->cmd, call->payload, call->size,
					   &call->fd, call->fd_count);
}

/* ---- what the server asks ---- */

/* Carries out DMA_READ or DMA_WRITE on guest RAM.  0 with the reply in vfu->buf, or an errno. */
static int access_memory(struct client *c, const struct vfu_msg *msg, size_t *ret_size)
{
	bool write = msg->h.cmd == VFU_DMA_WRITE;
	struct vfu_dma_access a;

	if (msg->size < sizeof(a) || msg->h.flags & ~VFU_NO_REPLY ||
	    msg->fds.count || msg->fds.surplus || msg->fds.lost)
		return EINVAL;
	memcpy(&a, msg->payload, sizeof(a));
	if (a.count > CLIENT_VFU_MAX_DATA)
		return E2BIG;
	if (msg->size != sizeof(a) + (write ? a.count : 0))
		return EINVAL;
	if (!range_fits(a.addr, a.count, c->mem_size))
		return ENODEV;		/* as QEMU says it */
	memcpy(c->vfu->buf, &a, sizeof(a));
	if (write)
		memcpy(c->mem + a.addr, msg->payload + sizeof(a), a.count);
	else
		memcpy(c->vfu->buf + sizeof(a), c->mem + a.addr, a.count);
	*ret_size = sizeof(a) + (write ? 0 : a.count);
	return 0;
}

static int answer(struct client *c, const struct vfu_msg *msg, int64_t deadline)
{
	bool known = msg->h.cmd == VFU_DMA_READ || msg->h.cmd == VFU_DMA_WRITE;
	size_t size = 0;
	int err = known ? access_memory(c, msg, &size) : ENOSYS, ret;

	if (msg->h.flags & VFU_NO_REPLY)
		return 0;
	if (err)
		ret = vfu_reply_error(&c->vfu->conn, &msg->h, err);
	else
		ret = vfu_reply(&c->vfu->conn, &msg->h, c->vfu->buf, size);
	return finish_sending(c, ret, deadline);
}

/* ---- the reply ---- */

/* The next message, fds and all: they are the caller's to close. */
static int take_message(struct client *c, struct vfu_msg *msg, int64_t deadline)
{
	int ret;

	while ((ret = vfu_peek(&c->vfu->conn, msg))) {
		ret = client_wait_input(c, ret, deadline);
		if (ret)
			return ret;
	}
	return vfu_consume(&c->vfu->conn, msg);
}

static const char *name_of(unsigned cmd)
{
	const struct vfu_rule *rule = vfu_rule(cmd);

	return rule ? rule->name : "an unknown command";
}

static int check_reply(struct client *c, uint16_t id, const struct client_vfu_call *call,
		       const struct vfu_msg *msg)
{
	const char *name = name_of(call->cmd);

	if (msg->h.id != id || msg->h.cmd != call->cmd)
		return conn_error(c->conn, "the answer to message %u, %s, instead of that to %u, "
				  "%s", msg->h.id, name_of(msg->h.cmd), id, name);
	if (msg->h.flags & ~(VFU_REPLY | VFU_ERROR))
		return conn_error(c->conn, "%s: an answer with flags 0x%x", name, msg->h.flags);
	if (msg->h.flags & VFU_ERROR) {
		if (!msg->h.error || msg->h.error > 4095)
			return conn_error(c->conn, "%s: refused with error %u", name, msg->h.error);
		return client_fail(c, -(int)msg->h.error, "%s: the remote answers: %s", name,
				   log_errname(msg->h.error));
	}
	if (msg->size < call->reply_min || msg->size > call->reply_max)
		return conn_error(c->conn, "%s: an answer of %u bytes, expected %u%s", name,
				  msg->size, call->reply_min,
				  call->reply_min == call->reply_max ? "" : " or more");
	return 0;
}

/* One message while the client waits: its reply, or what the server asks, which is answered. */
static int take_one(struct client *c, uint16_t id, const struct client_vfu_call *call,
		    const struct vfu_msg *msg, int64_t deadline, bool *ret_is_reply)
{
	*ret_is_reply = (msg->h.flags & VFU_TYPE_MASK) == VFU_REPLY;
	if (*ret_is_reply)
		return check_reply(c, id, call, msg);
	if (msg->h.flags & VFU_TYPE_MASK || (msg->h.id == id && msg->h.cmd == call->cmd))
		return conn_error(c->conn, "%s: a message with flags 0x%x instead of an answer",
				  name_of(call->cmd), msg->h.flags);
	return answer(c, msg, deadline);
}

static enum client_message kind_of(const struct client_vfu_call *call)
{
	struct vfu_region_access a = { .region = 0 };
	bool config;

	if (call->size >= sizeof(a))
		memcpy(&a, call->payload, sizeof(a));
	config = a.region == VFU_REGION_CONFIG;
	switch (call->cmd) {
	case VFU_REGION_READ:
		return config ? CLIENT_CONFIG_READ : CLIENT_BAR_READ;
	case VFU_REGION_WRITE:
		return config ? CLIENT_CONFIG_WRITE : CLIENT_BAR_WRITE;
	case VFU_DMA_MAP:
	case VFU_DMA_UNMAP:
		return CLIENT_MEMORY_MAP;
	case VFU_SET_IRQS:
		return CLIENT_IRQ_SETUP;
	case VFU_RESET:
		return CLIENT_RESET;
	default:
		return CLIENT_OTHER;
	}
}

int client_vfu_call(struct client *c, const struct client_vfu_call *call,
		    struct vfu_msg *ret_reply)
{
	uint64_t begun = client_trip_begin(c);
	int64_t deadline = client_deadline(c);
	uint16_t id = c->vfu->next_id++;
	bool is_reply = false;
	struct vfu_msg msg;
	int ret = send_command(c, id, call, deadline);

	while (!ret && !is_reply) {
		/* A server that keeps asking has not answered either. */
		ret = client_expired(deadline) ? -ETIMEDOUT : take_message(c, &msg, deadline);
		if (ret)
			break;
		ret = take_one(c, id, call, &msg, deadline, &is_reply);
		/* What a region could be mapped by is not used. */
		conn_fds_close(&msg.fds);
	}
	client_trip_end(c, kind_of(call), begun, is_reply);
	if (!ret && ret_reply)
		*ret_reply = msg;
	return ret;
}
