/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PLAN_TOPO_PRIV_H
#define PLAN_TOPO_PRIV_H

/* Between the files that make devices, disks and peers. */

#include "plan/props.h"
#include "plan/topo/topo.h"

#define BUS_NAME_MAX 96

/* A SCSI bus: of the device of that index. */
struct bus {
	unsigned device;
	char name[BUS_NAME_MAX];
};

struct topo {
	const struct collection *in;
	struct remote_plan *plan;
	struct launch_spec *spec;
	struct bus bus[SPEC_MAX_DEVICES];
	unsigned bus_count;
	unsigned anonymous_buses;
	int devfn[SPEC_MAX_DEVICES];		/* -1: any slot */
	bool rom_bar[SPEC_MAX_DEVICES];
};

/* Copies the id of a -device, "" without one, into @ret of @size bytes. */
bool topo_read_id(const struct topo *t, const struct opt_set *set, char *ret, size_t size,
		  GError **error);

/* Adds a disk to one of the buses. */
bool topo_add_disk(struct topo *t, const struct opt_set *set, const struct driver *driver,
		   const struct prop_values *values, GError **error);

/* Adds the peer of a device, or keeps what a storage daemon will need. */
bool topo_add_object(struct topo *t, const struct opt_set *set, GError **error);

/* Fails at the first key of @set that is not in @known. */
bool topo_check_keys(const struct opt_set *set, const char *const *known, GError **error);

/* An inherited fd: its number, or its name in LISTEN_FDNAMES; to peer->kind, fd and name. */
bool topo_parse_fd(const struct opt_set *set, const char *text, struct plan_peer *peer,
		   GError **error);

enum topo_found { TOPO_PCI_DEVICE, TOPO_NOT_PCI, TOPO_NOT_FOUND };

/* The PCI device of that id; *ret_device is its index. */
enum topo_found topo_find_device(const struct topo *t, const char *id, unsigned *ret_device);

/*
 * How an object reaches the peer of *ret_device.  What @peer gets is the caller's, also on failure.
 */
bool topo_read_vfio_user(const struct topo *t, const struct opt_set *set, struct plan_peer *peer,
			 unsigned *ret_device, GError **error);

#endif
