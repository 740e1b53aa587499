/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PLAN_TOPO_PRIV_H
#define PLAN_TOPO_PRIV_H

/* Between the files that make devices, disks and peers. */

#include "plan/props.h"
#include "plan/topo.h"

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
};

/* Copies the id of a -device, "" without one, into @ret of @size bytes. */
bool topo_read_id(const struct topo *t, const struct opt_set *set, char *ret, size_t size,
		  GError **error);

/* Adds a disk to one of the buses. */
bool topo_add_disk(struct topo *t, const struct opt_set *set, const struct driver *driver,
		   const struct prop_values *values, GError **error);

/* Adds the peer of a device, or keeps what a storage daemon will need. */
bool topo_add_object(struct topo *t, const struct opt_set *set, GError **error);

#endif
