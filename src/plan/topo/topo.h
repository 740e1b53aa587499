/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PLAN_TOPO_H
#define PLAN_TOPO_H

/* From the collected options to devices, disks and peers; private to src/plan. */

#include <stdbool.h>

#include <glib.h>

#include "plan/image.h"
#include "plan/remote.h"

/* The options as they were read, each kind in the order of the command line. */
struct collection {
	GPtrArray *devices;	/* struct opt_set */
	GPtrArray *objects;	/* struct opt_set */
	GPtrArray *backends;	/* struct backend: nodes first, then drives */
	GPtrArray *globals;	/* struct global */
};

/* -global: one property of every device of a class, unless the device says otherwise. */
struct global {
	char *class_name;
	struct opt_set *set;	/* the one property */
};

/* Fills plan->spec, image, peer and object. */
bool topo_build(const struct collection *in, struct remote_plan *plan, GError **error);

#endif
