/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_PEERS_H
#define APPLETS_REMOTE_PEERS_H

/* The sockets of the devices: inherited, passed by a service manager, connected to, listened on. */

#include <sys/stat.h>

#include "plan/remote.h"

/* A path that was bound, and what stood there then. */
struct peers_path {
	char *name;			/* owned; NULL: none */
	dev_t dev;
	ino_t ino;
};

/* Of each device; -1 where it has none. */
struct peers {
	int fd[SPEC_MAX_DEVICES];		/* its peer, connected; owned */
	int listener[SPEC_MAX_DEVICES];		/* where its clients come; owned */
	struct peers_path path[SPEC_MAX_DEVICES];
};

/* Nothing is open. */
void peers_init(struct peers *peers);

/*
 * Gets the stream socket of every device that has a peer: connected, or listening where the plan
 * has a server.  Slots and who listens are written into the plan's spec.  A server's path is bound
 * anew where nobody has it any more; its mode lets others connect whom the umask lets write.  Waits
 * for a connection on an inherited socket that listens for one peer.  False with @error set; @peers
 * needs peers_finish() then, too.
 */
bool peers_open(const struct remote_plan *plan, struct peers *peers, GError **error);

/*
 * The socket of one: *ret_fd, if it is connected, or *ret_listener, and *ret_path if a name was
 * bound.  They stay as they are else.  False with @error.
 */
bool peer_open(const struct plan_peer *peer, int *ret_fd, int *ret_listener,
	       struct peers_path *ret_path, GError **error);
/* Removes the name, if it is still that socket's. */
void peer_path_remove(struct peers_path *path);

/* Closes all, and removes the paths that are still those sockets'. */
void peers_finish(struct peers *peers);

#endif
