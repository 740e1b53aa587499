/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

/*
 * The proxy's side of the mpqemu protocol: what QEMU's x-pci-proxy-dev does, for programs that have
 * no VM.  Guest RAM is one memfd at guest-physical address 0.  Calls wait for their reply.
 */

#include <stdbool.h>
#include <stdint.h>

#include "proto/mpqemu.h"

struct client {
	struct mpq_conn conn;
	int fd;				/* the socket; owned */
	int mem_fd;			/* guest RAM; owned */
	uint8_t *mem;			/* mapped; mem_size bytes */
	uint64_t mem_size;
	int irqfd, resamplefd;		/* owned: read the one, write the other as EOI */
	int timeout_ms;			/* for one reply */
};

/*
 * Takes over the socket @fd, makes @mem_size bytes of guest RAM (a multiple of 4096) and tells the
 * remote of it and of the interrupt.  @timeout_ms bounds each wait for a reply.
 * Returns 0 or -errno; the client can be finished either way.
 */
int client_init(struct client *client, int fd, uint64_t mem_size, int timeout_ms);
void client_finish(struct client *client);

/*
 * Each returns 0, or -errno: -ETIMEDOUT no reply in time; -ENODATA, -EPIPE the remote went away;
 * -EPROTO it sent what it may not (client->conn.why).
 */
int client_cfg_read(struct client *client, uint32_t addr, int32_t len, uint64_t *ret_val);
int client_cfg_write(struct client *client, uint32_t addr, uint32_t val, int32_t len);
int client_bar_read(struct client *client, bool memory, uint64_t addr, uint32_t size,
		    uint64_t *ret_val);
int client_bar_write(struct client *client, bool memory, uint64_t addr, uint32_t size,
		     uint64_t val);
int client_reset(struct client *client);

struct client_bar {
	bool present, io, is_64bit, prefetchable;
	uint64_t size;			/* bytes */
};

/* Sizes BAR @i (0..5) as QEMU's proxy does, and puts back what stood there. */
int client_probe_bar(struct client *client, unsigned i, struct client_bar *ret_bar);

#endif
