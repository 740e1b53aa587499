/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/mpqemu.h"

#include <errno.h>
#include <string.h>

#include "base/fd.h"

static const struct mpq_rule rules[MPQ_CMD_COUNT] = {
	[MPQ_SYNC_SYSMEM] = { "SYNC_SYSMEM", MPQ_FROM_PROXY, 192, 192, 1, MPQ_MAX_FDS, false },
	[MPQ_RET] = { "RET", MPQ_FROM_REMOTE, 0, 8, 0, 0, false },
	[MPQ_PCI_CFGWRITE] = { "PCI_CFGWRITE", MPQ_FROM_PROXY, 12, 12, 0, 0, true },
	[MPQ_PCI_CFGREAD] = { "PCI_CFGREAD", MPQ_FROM_PROXY, 12, 12, 0, 0, true },
	[MPQ_BAR_WRITE] = { "BAR_WRITE", MPQ_FROM_PROXY, 24, 24, 0, 0, true },
	[MPQ_BAR_READ] = { "BAR_READ", MPQ_FROM_PROXY, 24, 24, 0, 0, true },
	[MPQ_SET_IRQFD] = { "SET_IRQFD", MPQ_FROM_PROXY, 0, 0, 2, 2, false },
	[MPQ_DEVICE_RESET] = { "DEVICE_RESET", MPQ_FROM_PROXY, 0, 0, 0, 0, true },
};

const struct mpq_rule *mpq_rule(int32_t cmd)
{
	return cmd >= 0 && cmd < MPQ_CMD_COUNT ? &rules[cmd] : NULL;
}

void mpq_msg_close(struct mpq_msg *msg)
{
	for (unsigned i = 0; i < msg->fd_count; i++)
		fd_close(&msg->fd[i]);
	msg->fd_count = 0;
}

/* Is it a message that the peer may send, of a size that it may have? */
static int message_length(struct conn *conn, size_t *ret_len)
{
	const struct mpq_rule *rule;
	struct mpq_header h;

	memcpy(&h, conn->in, sizeof(h));
	rule = mpq_rule(h.cmd);
	if (!rule)
		return conn_error(conn, "unknown command 0x%x", h.cmd);
	if (rule->sender != conn->peer)
		return conn_error(conn, "%s comes from the wrong side", rule->name);
	if (h.size < rule->size_min || h.size > rule->size_max)
		return conn_error(conn, "%s with %llu bytes of payload, expected %u", rule->name,
				  (unsigned long long)h.size, rule->size_max);
	if (h.cmd == MPQ_RET && h.size != 0 && h.size != 8)
		return conn_error(conn, "RET with %llu bytes of payload, expected 0 or 8",
				  (unsigned long long)h.size);
	*ret_len = sizeof(h) + h.size;
	return 0;
}

static const struct conn_framing framing = {
	.header = sizeof(struct mpq_header),
	.look = sizeof(struct mpq_header) + MPQ_MAX_PAYLOAD,
	.max_fds = MPQ_MAX_FDS, .length = message_length,
};

void mpq_conn_init(struct mpq_conn *mc, int fd, enum mpq_sender peer)
{
	conn_init(&mc->conn, fd, &framing, mc->in, sizeof(mc->in), mc->out, sizeof(mc->out));
	mc->conn.peer = peer;
}

int mpq_peek(struct mpq_conn *mc, struct mpq_msg *msg)
{
	struct mpq_header h;
	int ret = conn_peek(&mc->conn);

	if (ret)
		return ret;
	memcpy(&h, mc->in, sizeof(h));
	msg->cmd = h.cmd;
	msg->size = h.size;
	msg->fd_count = 0;
	memcpy(&msg->u, mc->in + sizeof(h), msg->size);
	return 0;
}

static int check_fds(struct conn *conn, const struct mpq_rule *rule, const struct conn_fds *fds)
{
	unsigned count = fds->count + fds->surplus;

	if (fds->lost)
		return conn_error(conn, "%s with more file descriptors than fit (%u arrived)",
				  rule->name, count);
	if (count < rule->fd_min || count > rule->fd_max)
		return conn_error(conn, "%s with %u file descriptors, expected %u..%u", rule->name,
				  count, rule->fd_min, rule->fd_max);
	return 0;
}

static int hand_over(struct mpq_conn *mc, struct conn_fds *fds, struct mpq_msg *msg)
{
	int ret = check_fds(&mc->conn, mpq_rule(msg->cmd), fds);

	if (ret) {
		conn_fds_close(fds);
		return ret;
	}
	msg->fd_count = fds->count;
	memcpy(msg->fd, fds->fd, fds->count * sizeof(fds->fd[0]));
	return 0;
}

int mpq_consume(struct mpq_conn *mc, struct mpq_msg *msg)
{
	struct conn_fds fds;
	int ret = conn_consume(&mc->conn, &fds);

	return ret ? ret : hand_over(mc, &fds, msg);
}

int mpq_peek_fds(struct mpq_conn *mc, struct mpq_msg *msg)
{
	struct conn_fds fds;
	int ret;

	if (!mpq_rule(msg->cmd)->fd_max)
		return 0;
	ret = conn_peek_fds(&mc->conn, &fds);
	return ret ? ret : hand_over(mc, &fds, msg);
}

int mpq_drop(struct mpq_conn *mc, const struct mpq_msg *msg)
{
	struct conn_fds fds;
	int ret = conn_consume(&mc->conn, &fds);

	if (ret)
		return ret;
	ret = check_fds(&mc->conn, mpq_rule(msg->cmd), &fds);
	conn_fds_close(&fds);
	return ret;
}

int mpq_await(struct mpq_conn *mc, uint32_t size, uint64_t *ret_val)
{
	const size_t head = sizeof(struct mpq_header);
	int ret = conn_await(&mc->conn, head + size);

	if (ret)
		return ret;
	/* The remote sends nothing else: message_length() has seen to that. */
	if (mc->conn.msg_len != head + size)
		return conn_error(&mc->conn, "RET with %zu bytes, expected %u",
				  mc->conn.msg_len - head, size);
	if (size)
		memcpy(ret_val, mc->in + head, sizeof(*ret_val));
	return 0;
}

int mpq_send(struct mpq_conn *mc, enum mpq_cmd cmd, const void *payload, size_t size)
{
	const struct mpq_header h = { .cmd = cmd, .size = size };

	return conn_send(&mc->conn, &h, payload, size);
}

int mpq_send_fds(struct mpq_conn *mc, enum mpq_cmd cmd, const void *payload, size_t size,
		 const int *fds, unsigned fd_count)
{
	const struct mpq_header h = { .cmd = cmd, .size = size };

	return conn_send_fds(&mc->conn, &h, payload, size, fds, fd_count);
}
