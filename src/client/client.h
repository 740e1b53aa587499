/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

/*
 * The VMM's side of both protocols, for programs that have no VM: what QEMU's x-pci-proxy-dev does
 * over mpqemu, and its vfio-user-pci over vfio-user.  Guest RAM is one memfd at guest-physical
 * address 0.  Calls wait for their reply; a vfio-user server's own requests of guest memory are
 * answered meanwhile.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/mpqemu.h"
#include "proto/vfu.h"

#define CLIENT_BARS 6

enum client_protocol { CLIENT_MPQEMU, CLIENT_VFIO_USER, CLIENT_PROTOCOL_COUNT };

struct client_metrics;
struct client_ops;
struct client_vfu;

struct client_bar {
	bool present, io, is_64bit, prefetchable;
	uint64_t size;			/* bytes */
	uint64_t addr;			/* where it stands; 0: nowhere */
};

struct client {
	const struct client_ops *ops;	/* the protocol's */
	struct conn *conn;		/* of the protocol's connection */
	struct mpq_conn *mpq;		/* mpqemu; owned */
	struct client_vfu *vfu;		/* vfio-user; owned */
	int fd;				/* the socket; owned */
	int mem_fd;			/* guest RAM; owned */
	uint8_t *mem;			/* mapped; mem_size bytes */
	uint64_t mem_size;
	int irqfd;			/* owned: INTx; read it, then client_eoi() */
	int resamplefd;			/* owned */
	int timeout_ms;			/* for one reply */
	int socket_ms;			/* of it, what the socket knows; -1: it does not block */

	bool bars_sized;
	bool bars_found;		/* bar[].addr and command are what the device has */
	struct client_bar bar[CLIENT_BARS];
	uint16_t command;		/* PCI Local Bus 3.0, section 6.2.2 */

	/* for who measures: commands that were sent, and interrupts that were dealt with */
	uint64_t messages, eois;
	struct client_metrics *metrics;	/* the caller's, set after client_init(); or NULL */

	/* vfio-user: what the server said of itself */
	uint16_t minor;
	struct vfu_limits limits;

	char why[192];			/* for client_why() */
};

/* "mpqemu", "vfio-user". */
const char *client_protocol_name(enum client_protocol protocol);
bool client_protocol_find(const char *name, enum client_protocol *ret_protocol);

/*
 * Takes over the socket @fd, makes @mem_size bytes of guest RAM (a multiple of 4096) and tells the
 * remote of it and of the interrupt.  @timeout_ms bounds each wait for a reply.
 * Returns 0 or -errno; the client can be finished either way.
 */
int client_init(struct client *client, enum client_protocol protocol, int fd, uint64_t mem_size,
		int timeout_ms);
void client_finish(struct client *client);

/* What -errno @ret of the last call means, one line for people. */
const char *client_why(struct client *client, int ret);

/*
 * Each function below returns 0, or -errno: -ETIMEDOUT no reply in time; -ENODATA, -EPIPE the
 * remote went away; -EPROTO it sent what it may not; -EINVAL such an access cannot be made; over
 * vfio-user also the error that the server answered.  After the first three there is no use in
 * another call.
 */

/* Config space, 1, 2 or 4 bytes of it. */
int client_cfg_read(struct client *client, uint32_t addr, int32_t len, uint64_t *ret_val);
int client_cfg_write(struct client *client, uint32_t addr, uint32_t val, int32_t len);

/*
 * 1, 2, 4 or 8 bytes at an address of the bus, memory or I/O space.  Over vfio-user the client
 * plays the bus: it finds the BAR that stands there and is enabled; where there is none, a read
 * gives all ones and a write is lost, as on a bus.
 */
int client_bar_read(struct client *client, bool memory, uint64_t addr, uint32_t size,
		    uint64_t *ret_val);
int client_bar_write(struct client *client, bool memory, uint64_t addr, uint32_t size,
		     uint64_t val);

/*
 * 1, 2, 4 or 8 bytes at an offset in BAR @bar.  Over mpqemu, which has nothing but addresses, a BAR
 * that stands nowhere is given a place, and the space that it is in is enabled.
 */
int client_region_read(struct client *client, unsigned bar, uint64_t off, uint32_t size,
		       uint64_t *ret_val);
int client_region_write(struct client *client, unsigned bar, uint64_t off, uint32_t size,
			uint64_t val);

/* RST# of the function.  -EOPNOTSUPP over vfio-user, when the server offers none. */
int client_reset(struct client *client);
/* INTx has been dealt with: it is sent again if the line is still up. */
int client_eoi(struct client *client);

/*
 * BAR @i (0..5): over mpqemu it is sized as QEMU's proxy does, and what stood there put back.  The
 * second half of a 64-bit BAR is not present.
 */
int client_probe_bar(struct client *client, unsigned i, struct client_bar *ret_bar);
/* Bytes of the expansion ROM, 0: none; and of config space. */
int client_rom_size(struct client *client, uint64_t *ret_size);
int client_config_size(struct client *client, uint64_t *ret_size);
/* Interrupts of a kind (VFU_IRQ_INTX, _MSI, _MSIX) that the protocol can deliver. */
int client_vectors(struct client *client, unsigned kind, unsigned *ret_count);

#endif
