/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PLAN_IMAGE_H
#define PLAN_IMAGE_H

/* From -drive and -blockdev to struct plan_image; private to src/plan. */

#include <stdbool.h>

#include <glib.h>

#include "plan/opts.h"
#include "plan/remote.h"

/* One -drive, or one node of a -blockdev: what "drive=" of a disk can name. */
struct backend {
	const char *id;		/* points into @set; NULL: none, nothing can name it */
	struct opt_set *set;	/* the option; owned */
	bool is_node;
	bool used;
	bool empty;		/* a -drive without a medium */
	int werror, rerror;	/* enum prop_on_error; PROP_ERROR_AUTO: not given */
	struct plan_image image;	/* of a -drive: complete; of a node: made when it is used */
};

/*
 * Reads ret->set, a -drive, into the rest of @ret.  @index numbers the -drive options, for a
 * node-name where there is no id.
 */
bool drive_parse(struct backend *ret, unsigned index, GError **error);

/* Reads ret->set, a -blockdev: checks node-name and driver. */
bool node_parse(struct backend *ret, GError **error);

/* Makes the image of the node @backends[index]; it may refer to those before it. */
bool node_image(struct backend *const *backends, size_t index, struct plan_image *ret,
		GError **error);

/* Frees what it points to and empties it. */
void image_finish(struct plan_image *image);

/* Sets image->native: the options of the graph are such that the device process can do it all. */
void image_judge(struct plan_image *image);

/* What may stand at each level of a graph ("cache.direct" or "file.cache.direct"). */
struct level {
	bool readonly, auto_readonly, direct, no_flush, discard;
	uint8_t detect_zeroes;
};

/* Reads the keys PREFIX + "read-only" and so on; what is absent stays as it is in *ret. */
bool level_read(const struct opt_set *set, const char *prefix, struct level *ret, GError **error);

/* Reads the keys of a protocol ("filename", "aio", ...) below @prefix, of a -drive or -blockdev. */
bool protocol_read(struct plan_image *image, const struct opt_set *set, const char *prefix,
		   bool drive, GError **error);

/* The name of the first option below @prefix that @driver (raw, file, ...) has not, or NULL. */
const char *level_unknown(const struct opt_set *set, const char *prefix, const char *driver);

/* Is it a driver of QEMU's block layer? */
bool block_driver_known(const char *name);

/* Is it a driver that stands at the bottom of a graph? */
bool block_driver_is_protocol(const char *name);

#define NODE_NAME_MAX 31

/* Is it a driver with "file" below it, the place of the data? */
bool block_driver_has_file(const char *name);

/* QEMU's rule: an id of at most 31 characters. */
bool node_name_wellformed(const char *name);

#endif
