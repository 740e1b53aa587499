/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_PROXY_DISK_H
#define APPLETS_PROXY_DISK_H

/* The verb disk: the disks behind a SCSI controller of a remote. */

#include "applets/proxy/session.h"
#include "applets/proxy/verb.h"
#include "initiator/scsi.h"

/* What is to be done. */
enum disk_what { DISK_NOTHING, DISK_LIST, DISK_COPY, DISK_EXPORT };

struct disk_args {
	enum disk_what what;
	const char *words[2];		/* that follow it */
	unsigned word_count;
	bool json, force, read_only;
	const char *listen;		/* a path; or NULL */
	/* of DISK_COPY and DISK_EXPORT, from the words */
	unsigned target, lun;
	const char *file;		/* the other side of DISK_COPY */
	bool to_file;
};

/* A device that is open, and its initiator. */
struct disk {
	struct session *session;
	struct initiator *initiator;
	struct scsi_host host;
};

/* Where in guest RAM data may stand. */
#define DISK_DATA (INITIATOR_RAM + SCSI_SCRATCH)

/* Opens the device that is meant, with @data_size bytes at DISK_DATA.  disk_close() in any case. */
bool disk_open(struct disk *disk, struct session *session, uint64_t data_size, GError **error);
void disk_close(struct disk *disk);
/* What the unit is; it must be one with blocks. */
bool disk_probe(struct disk *disk, const struct disk_args *args, struct scsi_lu *ret_lu,
		GError **error);

/* Prints the units of every target. */
bool disk_list(const struct disk_args *args, struct session *session, GError **error);
/* Moves a unit into a file, or a file into a unit; what was written is on the medium then. */
bool disk_copy(const struct disk_args *args, struct session *session, GError **error);
/* Serves a unit over NBD until it is told to end by SIGINT or SIGTERM. */
bool disk_export(const struct disk_args *args, struct session *session, GError **error);

#endif
