/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLIENT_CLIENT_PRIV_H
#define CLIENT_CLIENT_PRIV_H

/* What the parts of the client share. */

#include "client/client.h"

/* Config space (PCI Local Bus 3.0, section 6.1), as far as a client has to know it. */
enum { CFG_COMMAND = 0x04, CFG_BAR_0 = 0x10, CFG_ROM = 0x30, CFG_PIN = 0x3d };
enum { COMMAND_IO = 1, COMMAND_MEMORY = 2 };
enum { BAR_IO = 1, BAR_TYPE = 6, BAR_TYPE_64 = 4, BAR_PREFETCH = 8, BAR_FLAGS = 0xf };

/* One protocol.  Accesses have been checked as far as a client can. */
struct client_ops {
	const char *name;
	int (*init)(struct client *client);
	void (*finish)(struct client *client);		/* also after a failed init */
	int (*cfg_read)(struct client *client, uint32_t addr, int32_t len, uint64_t *ret_val);
	int (*cfg_write)(struct client *client, uint32_t addr, uint32_t val, int32_t len);
	int (*bar_read)(struct client *client, bool memory, uint64_t addr, uint32_t size,
			uint64_t *ret_val);
	int (*bar_write)(struct client *client, bool memory, uint64_t addr, uint32_t size,
			 uint64_t val);
	int (*region_read)(struct client *client, unsigned bar, uint64_t off, uint32_t size,
			   uint64_t *ret_val);
	int (*region_write)(struct client *client, unsigned bar, uint64_t off, uint32_t size,
			    uint64_t val);
	int (*reset)(struct client *client);
	int (*eoi)(struct client *client);
	/* Sets bar[i] but for its address, and bar[i + 1] when it is a 64-bit BAR's second half. */
	int (*size_bar)(struct client *client, unsigned i);
	int (*rom_size)(struct client *client, uint64_t *ret_size);
	int (*config_size)(struct client *client, uint64_t *ret_size);
	int (*vectors)(struct client *client, unsigned kind, unsigned *ret_count);
};

extern const struct client_ops client_mpqemu, client_vfio_user;

/* ---- client.c ---- */

/* Sets client->why; returns @ret. */
int client_fail(struct client *client, int ret, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* When a wait that begins now has to end: milliseconds of CLOCK_MONOTONIC. */
int64_t client_deadline(const struct client *client);
bool client_expired(int64_t deadline);
/*
 * After conn_peek() with the answer @looked: waits until another look is worth it and returns 0.
 * -ETIMEDOUT; or @looked, when there is nothing to wait for.
 */
int client_wait_input(struct client *client, int looked, int64_t deadline);
/* Until the socket takes a message of some bytes.  0, -ETIMEDOUT or -errno. */
int client_wait_output(struct client *client, int64_t deadline);

/* ---- client-bar.c ---- */

/* Makes bar[] what the device has, but for the addresses; asked for once. */
int client_size_bars(struct client *client);
/* Makes bar[].addr and command those of the device. */
int client_find_bars(struct client *client);
/* The BAR of which [addr, addr + size) is a part, with its offset; -ENXIO: of none. */
int client_decode(struct client *client, bool memory, uint64_t addr, uint32_t size,
		  uint64_t *ret_off);
/* Gives BAR @i a place and enables its space, unless it has. */
int client_place_bar(struct client *client, unsigned i);
/* What @dword and @mask, one bit for each that can be written, say of a BAR. */
void client_bar_describe(struct client_bar *bar, uint32_t dword, uint64_t mask);

#endif
