/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PROTO_MPQEMU_H
#define PROTO_MPQEMU_H

/*
 * The mpqemu protocol between QEMU's x-pci-proxy-dev and a remote device process: the messages.
 * mpqemu-protocol(7) describes it.  Byte order and layout are the host's: both ends run on it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/conn.h"

#define MPQ_MAX_FDS 8		/* QEMU's proxy may send 8 in one message */
#define MPQ_MAX_REGIONS 8
#define MPQ_MAX_PAYLOAD 192

enum mpq_cmd {
	MPQ_SYNC_SYSMEM,
	MPQ_RET,
	MPQ_PCI_CFGWRITE,
	MPQ_PCI_CFGREAD,
	MPQ_BAR_WRITE,
	MPQ_BAR_READ,
	MPQ_SET_IRQFD,
	MPQ_DEVICE_RESET,
	MPQ_CMD_COUNT,
};

struct mpq_header {
	int32_t cmd;
	uint32_t pad;
	uint64_t size;
};

struct mpq_sync_sysmem {
	uint64_t gpa[MPQ_MAX_REGIONS];
	uint64_t size[MPQ_MAX_REGIONS];
	int64_t offset[MPQ_MAX_REGIONS];
};

struct mpq_cfg {
	uint32_t addr;
	uint32_t val;
	int32_t len;
};

struct mpq_bar {
	uint64_t addr;
	uint64_t val;
	uint32_t size;
	uint8_t memory;		/* 1: memory space, 0: I/O space */
	uint8_t pad[3];
};

_Static_assert(sizeof(struct mpq_header) == 16, "wire layout");
_Static_assert(sizeof(struct mpq_sync_sysmem) == 192, "wire layout");
_Static_assert(sizeof(struct mpq_cfg) == 12, "wire layout");
_Static_assert(sizeof(struct mpq_bar) == 24, "wire layout");

/* A received message with all that came with it. */
struct mpq_msg {
	enum mpq_cmd cmd;
	uint32_t size;		/* payload bytes, as the message table allows */
	unsigned fd_count;
	union {
		struct mpq_sync_sysmem sync;
		struct mpq_cfg cfg;
		struct mpq_bar bar;
		uint64_t ret;
		uint8_t bytes[MPQ_MAX_PAYLOAD];
	} u;
	int fd[MPQ_MAX_FDS];	/* fd_count of them, the holder's to close: mpq_msg_close() */
};

/* Who sends a message, and what must be true of it. */
enum mpq_sender { MPQ_FROM_PROXY, MPQ_FROM_REMOTE };

struct mpq_rule {
	const char *name;
	enum mpq_sender sender;
	uint16_t size_min, size_max;
	uint8_t fd_min, fd_max;
	bool reply;		/* RET follows */
};

/* The rule of @cmd, or NULL when there is no such command. */
const struct mpq_rule *mpq_rule(int32_t cmd);

/* Closes the fds that nobody took over (those >= 0). */
void mpq_msg_close(struct mpq_msg *msg);

/* A connection of this protocol with its buffers; stays where it is. */
struct mpq_conn {
	struct conn conn;
	uint8_t in[sizeof(struct mpq_header) + MPQ_MAX_PAYLOAD];
	uint8_t out[sizeof(struct mpq_header) + MPQ_MAX_PAYLOAD];
};

/* An idle connection over @fd, on which @peer sends. */
void mpq_conn_init(struct mpq_conn *mc, int fd, enum mpq_sender peer);

/* As conn_peek(), for a message of a known kind and the right size; fills @msg but for its fds. */
int mpq_peek(struct mpq_conn *mc, struct mpq_msg *msg);

/*
 * As conn_consume(): the fds become the caller's in @msg->fd.  -EPROTO (conn.why) when they are not
 * those that the message takes: all are closed then.
 */
int mpq_consume(struct mpq_conn *mc, struct mpq_msg *msg);

/*
 * On a marked connection (conn_mark()) the two steps of mpq_consume() are apart: copies of the fds,
 * checked, while the message stays on the socket; and then the message goes, with its own fds.  As
 * mpq_consume(), in both: the second one knows for sure which fds are the message's.
 */
int mpq_peek_fds(struct mpq_conn *mc, struct mpq_msg *msg);
int mpq_drop(struct mpq_conn *mc, const struct mpq_msg *msg);

/*
 * As conn_await(), for the reply to a command, RET with @size bytes of payload: -EPROTO when it is
 * anything else.
 */
int mpq_await(struct mpq_conn *mc, uint32_t size, uint64_t *ret_val);

/* As conn_send() and conn_send_fds(). */
int mpq_send(struct mpq_conn *mc, enum mpq_cmd cmd, const void *payload, size_t size);
int mpq_send_fds(struct mpq_conn *mc, enum mpq_cmd cmd, const void *payload, size_t size,
		 const int *fds, unsigned fd_count);

#endif
