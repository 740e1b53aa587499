/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_PROXY_ACCESS_H
#define APPLETS_PROXY_ACCESS_H

/* Accesses to registers and config space, as the command line names them. */

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct client;

enum access_kind { ACCESS_READ, ACCESS_WRITE, ACCESS_CONFIG };

struct access {
	const char *text;	/* as it was written */
	char name[24];		/* a register's: bar, off and perhaps size are found by it; or "" */
	bool config, write;
	unsigned bar;		/* not of config space */
	uint64_t off;
	unsigned size;		/* bytes: 1, 2, 4; 8, but not of config space; 0: as NAME has */
	uint64_t value;		/* of a write */
};

/*
 * "BAR:OFFSET[:SIZE]" (ACCESS_READ), the same with "=VALUE" (ACCESS_WRITE), or
 * "OFFSET[:SIZE][=VALUE]" (ACCESS_CONFIG); numbers are decimal, 0x hex or 0 octal.  A name, which
 * starts with a letter, stands for BAR:OFFSET or OFFSET.  @text has to stay.  MPQ_ERROR_USAGE.
 */
bool access_parse(enum access_kind kind, const char *text, struct access *ret, GError **error);

/*
 * Makes the access; a read is printed as the write of what was read: "0:0x8:4=0x00000078",
 * "ISTAT0:1=0x00".  @devid is the device's name in an error.
 */
bool access_run(struct client *client, const char *devid, const struct access *access,
		GError **error);

#endif
