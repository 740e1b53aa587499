/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PLAN_REWRITE_MOVE_H
#define PLAN_REWRITE_MOVE_H

/*
 * Between move.c (devices), graph.c (what is behind their disks), bootindex.c, qmp.c, relay.c,
 * protocol.c (how they are reached).
 */

#include "plan/rewrite/priv.h"

/* struct qopt.copies has a bit for each. */
#define MOVE_MAX_REMOTES 64

/* A device with a SCSI bus, moved or not. */
struct move_host {
	struct qopt *opt;
	int owner;		/* QOPT_QEMU, or the index of its remote */
	bool full;
	char *bus;		/* as QEMU names it on the original command line */
};

/* A device that moves, and the process that it moves to. */
struct move_remote {
	struct qopt *opt;	/* the -device, which becomes the proxy */
	unsigned index;
	char *id;
	const char *driver;
	bool was_json;
	bool qemu;		/* QEMU's own x-remote serves it */
	struct opt_set *device;	/* the -device of the remote's command line */
	GString *what;		/* "lsi53c895a; scsi-hd d0", for people */
	unsigned disks;
	GArray *keep;		/* int: inherited fds that its images are in */
	struct rewrite_remote own;	/* what it has of its own or of the choice for all */
};

struct move {
	struct qcmd *cmd;
	char *const *vmm;	/* Cloud Hypervisor; NULL: cmd is QEMU's command line */
	bool attach;		/* cmd is for a VM that runs: one device, and what hangs on it */
	bool vfio_user;		/* the protocol */
	const struct rewrite_choice *choice;
	const struct rewrite_facts *facts;
	struct plan *plan;
	GPtrArray *devices;	/* struct qopt *: -device in the order in which QEMU makes them */
	GArray *hosts;		/* struct move_host */
	GArray *remotes;	/* struct move_remote */
};

static inline struct move_remote *move_remote(const struct move *move, unsigned index)
{
	return &g_array_index(move->remotes, struct move_remote, index);
}

/*
 * Gives what is behind @disk's drive= to @remote: the -drive, or the -blockdev and all that it
 * names.  Refused where something else has it already.
 */
bool move_disk_graph(struct move *move, struct qopt *disk, struct move_remote *remote,
		     GError **error);

/* Is the device of this id (or NULL) to be served by QEMU's own x-remote, by its [remote ID]? */
bool move_by_qemu(const struct move *move, const char *id);

/* Refuses a device with which that does not work. */
bool move_check_engine(const struct qopt *opt, const char *id, GError **error);

/* Gives the -netdev of such a device to the remote @index. */
bool move_take_netdev(struct move *move, struct qopt *device, unsigned index, GError **error);

/* Gives each remote what the choice says of it.  Refused where it names one that does not move. */
bool move_choose_each(struct move *move, GError **error);

/* Takes bootindex= of the disks that moved away.  Refused where something else could boot. */
bool move_drop_bootindexes(struct move *move, GError **error);

/* --on-error and --events: refuses what cannot be, and keeps the fd that it names. */
bool move_check_policy(struct move *move, GError **error);

/* Adds them to the remotes that stand in the plan, and the QMP monitors that those need. */
void move_add_policy(struct move *move);

/* A number that is free in that process of the plan. */
int move_free_fd(const struct move *move, const struct plan_process *process);

/* Lets the clients of QEMU's QMP monitors come to us, and notes what they would ask remotes. */
bool move_add_relays(struct move *move, GError **error);

/* Takes the properties of the PCI slot away, which stay in QEMU. */
void move_remove_slot_keys(const struct move *move, struct opt_set *set);

/*
 * Puts the protocol's client where the -device was: over the socket at @fd of QEMU, or the path of
 * the device's socket.
 */
bool move_put_client(struct move *move, struct move_remote *remote, int fd, GError **error);

/* Writes the object that serves the device to the remote's command line, at its fd @fd. */
bool move_write_server(struct move *move, struct plan_process *process,
		       const struct move_remote *remote, int fd, GError **error);

/* Drops those of disks that move; refused where that would change what firmware boots. */
bool move_drop_bootindexes(struct move *move, GError **error);

/* Has all that stands there moved, or is it copied for one that has? */
bool move_check_used(const struct move *move, GError **error);

/* attach: is it the first device, and has it what it needs to go to a VM that runs? */
bool move_check_attached(const struct move *move, const struct qopt *opt, GError **error);
/* attach: what QMP's device_add gets, without its connection to the remote; json_decref(). */
struct json_t *move_device_json(const struct move *move, GError **error);

/* vfio-user: puts the devices into the order in which QEMU would have made them. */
void move_order_clients(struct move *move);

/* vfio-user: warns of other devices that get other PCI slots. */
void move_warn_of_slots(struct move *move);

/* Refused where something that stays in QEMU uses what has moved. */
bool move_check_graph(struct move *move, GError **error);

#endif
