/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_UNIT_SERVE_WORLD_H
#define TESTS_UNIT_SERVE_WORLD_H

/* A session of either protocol: one device behind a socketpair, and a peer not to be trusted. */

#include "applets/remote/serve.h"
#include "proto/mpqemu.h"
#include "proto/vfu.h"

#include "../sock.h"
#include "../util.h"

#define WORLD_NO_REPLY UINT32_MAX

struct world {
	struct loop *loop;
	struct guestmem_arena *arena;
	struct serve serve;
	struct serve_ops ops;
	struct pci_state *state;
	int peer;		/* the client's end */
	struct mpq_conn mpq;	/* over it, of the session's protocol */
	struct vfu_conn vfu;
	unsigned events;	/* that the loop has seen */
	unsigned closed;
	enum serve_end end;
	unsigned fds;		/* open before all this */
	uint16_t id;		/* of the last command */
};

void world_init(struct world *w, const struct serve_protocol *protocol,
		const struct pci_class *cls);
/* No fd may be left. */
void world_finish(struct world *w);
/* A new client for a session that has ended, at the number of the former one's socket. */
void world_reconnect(struct world *w);

/* Runs what is ready; says how many events that were. */
unsigned world_settle(struct world *w);

/* The client's socket ends with no byte before it. */
void world_assert_hung_up(struct world *w);

enum fd_kind { NONE, EVENT, MEMFD, PIPE };

int fd_of(enum fd_kind kind);
/* Takes what stands in an eventfd; 0 when nothing does. */
uint64_t event_take(int fd);

/* ---- vfio-user ---- */

/* Sends a command; the number that the reply has to have. */
uint16_t vfu_tell(struct world *w, unsigned cmd, uint32_t flags, const void *payload, size_t size,
		  const int *fds, unsigned fd_count);
/*
 * The next message of the server's, of any kind, with its payload (in the connection's buffer).
 * False: none.
 */
bool vfu_next(struct world *w, struct vfu_msg *ret_msg);
/*
 * A command and its answer, which must be the only one: 0 with at most @max bytes of the payload in
 * @ret_data and its size in *ret_size, or the errno.
 */
int vfu_ask_fds(struct world *w, unsigned cmd, const void *payload, size_t size, const int *fds,
		unsigned fd_count, void *ret_data, size_t max, uint32_t *ret_size);
int vfu_ask(struct world *w, unsigned cmd, const void *payload, size_t size);

/* VERSION with QEMU's text. */
void vfu_negotiate(struct world *w);
/* A session of edu-pcie that has negotiated. */
void vfu_start(struct world *w);
/* It stands, and answers. */
void vfu_assert_alive(struct world *w);

int vfu_map(struct world *w, uint64_t addr, uint64_t size, uint64_t offset, int fd);
int vfu_unmap(struct world *w, uint64_t addr, uint64_t size);
int vfu_irqs(struct world *w, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
	     const int *fds, unsigned fd_count);
uint64_t vfu_read(struct world *w, unsigned region, uint64_t off, unsigned size);
void vfu_write(struct world *w, unsigned region, uint64_t off, unsigned size, uint64_t val);

#endif
